"""Every training document, in every window of it: leaks that a sample and its mean cannot see.

A dozen documents of two thousand move no mean, and a sample of four hundred holds two of them. Here windows
begin at as many tokens of every document as may be spent, for what a model knows by heart may be bound to
its place in the window, and a share of each is hidden once. The windows that stand out are then hidden whole,
token by token, and a document's score says how much likelier those tokens are, the hardest of them too, than
the same tokens between the same neighbours in other documents. Where a reference knows more than word
frequencies, what it knows is taken off as well, and the higher of the two scores counts: a start that leaks
*is* the reference.

The test is exact. Which units were held out was dealt at random, so the highest scores lie among trained and
held-out units as dealt cards do, whatever the scores are and however easy some texts are. It has a share of
the family's level of its own, fixed beforehand: k leaked units beside a held-out share s cannot give a p
below (1 − s)^k, and dividing that among all tests would cost another dozen documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mlmguard.leakage import metrics
from mlmguard.leakage.answers import Answer, Answers, Floats, Ids, Probe, spaced_masks
from mlmguard.leakage.attack import Attack, Audited, Bench, fills_no_masks
from mlmguard.leakage.results import Exposed, PValue, Result, Rows
from mlmguard.measures import family
from mlmguard.types import Measurement

RATE = 0.15
FEWEST = 4
"""Tokens that are hidden in a window, at least: one alone says too little."""
SHORTEST = 24
"""Tokens of the last window that begins inside a document; a shorter document is one window."""


# --- the windows --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """Some neighbouring tokens of a document, with what a pass hides of them."""

    start: int  # the place in the document where it begins
    probe: Probe

    @property
    def places(self) -> Ids:
        """(M,) the hidden places, in the document."""
        return np.array(self.probe.positions, dtype=np.int64) - 1 + self.start


def starts(tokens: int, room: int, stride: int | None) -> list[int]:
    """Where windows of at most ``room`` tokens begin in a document.

    Where consecutive ones would; where the last 20, 30, 40 … tokens are one of their own, as people cut; and
    every ``stride`` tokens, None: nowhere else.
    """
    cut = [tokens - n for n in (*range(20, room, 10), room) if n < tokens]
    between = range(0, max(0, tokens - SHORTEST + 1), stride) if stride else ()
    return sorted({*range(0, max(1, tokens), room), *cut, *between})


def glances(
    ids: Ids, room: int, stride: int | None, frame: tuple[int, int], rng: np.random.Generator
) -> list[Window]:
    """The windows of a document, each with a random share of its tokens hidden."""
    found = []
    for start in starts(len(ids), room, stride):
        inner = ids[start : start + room]
        count = min(len(inner), max(FEWEST, round(RATE * len(inner))))
        places = np.sort(rng.permutation(len(inner))[:count])
        found.append(Window(start, Probe(_framed(inner, frame), tuple((1 + places).tolist()))))
    return found


def _framed(inner: Ids, frame: tuple[int, int]) -> Ids:
    return np.concatenate([frame[:1], inner, frame[1:]])


@dataclass(frozen=True)
class Glanced:
    """A document (T,) and, of each hidden token of its windows, window, place and log-probability (N,)."""

    ids: Ids = field(repr=False)
    window: Ids = field(repr=False)
    place: Ids = field(repr=False)
    value: Floats = field(repr=False)

    @cached_property
    def by_place(self) -> Floats:
        """(T,) the mean at each place over the windows that hide it; nan where none does."""
        count = np.bincount(self.place, minlength=len(self.ids))
        with np.errstate(invalid="ignore"):
            mean: Floats = np.bincount(self.place, self.value, len(self.ids)) / count
        return mean


# --- what is to be expected ---------------------------------------------------------------------------

SHRINK = 2.0
"""A context met so often is believed half; the rest is what a shorter one says."""
_SLOTS = 1 << 20
"""Of a table of contexts, 8 MB: rare ones that share a slot by chance are taken for one."""


class Expected:
    """The log-probability of a token between its neighbours, in other documents than its own.

    Learnt from documents drawn from all, trained on or not. A token whose two neighbours were seldom met is
    expected as it is beside one of them, and one seldom met there as it is anywhere.
    """

    def __init__(self, documents: Iterable[Glanced], vocabulary: int) -> None:
        sizes = (vocabulary, _SLOTS, _SLOTS, _SLOTS)
        self._sums, self._counts = ([np.zeros(size) for size in sizes] for _ in range(2))
        for document in documents:
            values = document.by_place
            known = ~np.isnan(values)
            for keys, sums, counts in zip(_contexts(document.ids), self._sums, self._counts):
                np.add.at(sums, keys[known], values[known])
                np.add.at(counts, keys[known], 1)
        self._mean = float(self._sums[0].sum() / max(self._counts[0].sum(), 1))

    def of(self, ids: Ids, own: Floats | None = None) -> Floats:
        """(T,) what is expected; ``own`` (T,): values of this document that were learnt from, taken out."""
        met = self._met(ids, own)
        taken = 0.0 if own is None else np.nan_to_num(own)
        word, left, right, both = (sums[keys] - taken for sums, keys in zip(self._sums, _contexts(ids)))
        expected = (word + SHRINK * self._mean) / (met[0] + SHRINK)
        expected = (left + right + SHRINK * expected) / (met[1] + met[2] + SHRINK)
        result: Floats = (both + SHRINK * expected) / (met[3] + SHRINK)
        return result

    def unguessable(self, ids: Ids, own: Floats | None = None) -> NDArray[np.bool_]:
        """(T,) whether a token is rare, and stands between these neighbours in no other document."""
        word, *_, both = self._met(ids, own)
        result: NDArray[np.bool_] = (word < RARE * self._counts[0].sum()) & (both == 0)
        return result

    def _met(self, ids: Ids, own: Floats | None) -> list[Floats]:
        """How often each token was met, (T,) for each of its contexts, but for the values of ``own``."""
        learnt = 0 if own is None else ~np.isnan(own)
        return [counts[keys] - learnt for counts, keys in zip(self._counts, _contexts(ids))]


def _contexts(ids: Ids) -> tuple[Ids, Ids, Ids, Ids]:
    """Of each token: itself, with the one before it, with the one after it, with both; as table places."""
    before, after = np.concatenate([[-1], ids[:-1]]), np.concatenate([ids[1:], [-1]])
    return ids, _slot(1, before, ids), _slot(2, ids, after), _slot(3, before, ids, after)


def _slot(kind: int, *tokens: Ids) -> Ids:
    return (mixed(kind, *tokens) % np.uint64(_SLOTS)).astype(np.int64)


def mixed(kind: int, *tokens: Ids) -> NDArray[np.uint64]:
    """(N,) a number for each row of ``tokens`` (N,), of ``kind``: equal rows have equal ones."""
    found = np.full(len(tokens[0]), kind, np.uint64)
    for one in tokens:
        found = (found ^ (one + 2).astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        found ^= found >> np.uint64(29)
    return found


# --- which window stands out --------------------------------------------------------------------------


def standing_out(document: Glanced, expected: Floats, windows: int) -> Floats:
    """(W,) how far each of a document's ``windows`` lies above what is expected of it.

    In standard errors of a mean of so many tokens, up to a factor that is the same for all.
    """
    size = np.bincount(document.window, minlength=windows)
    more = np.bincount(document.window, document.value - expected[document.place], windows)
    with np.errstate(invalid="ignore"):
        score: Floats = np.where(size > 0, more / np.sqrt(size), -np.inf)
    return score


HARDEST = 0.2


def known_by_heart(more: Floats) -> float:
    """One score of a whole window from what each token is likelier by (T,), in nats: half its mean, half its
    lowest fifth. A template is easy where it is one; what is known by heart is known where it is hard."""
    return float(0.5 * more.mean() + 0.5 * np.quantile(more, HARDEST)) if len(more) else -np.inf


# --- the attack ---------------------------------------------------------------------------------------

LEVEL_SHARE = 0.25
"""The share of the family's level that is this test's own."""
SURE = 0.005
"""The corrected p-value at which the policy ``base`` fails a test."""


def fewest(trained: int, held_out: int) -> int:
    """The fewest leaked units for which this test falls below :data:`SURE` where no other unit scores higher.

    ``trained`` + 1 where none are enough.
    """
    return metrics.fewest_leaked(trained, held_out, SURE * LEVEL_SHARE * metrics.FIRST_CUT)


STANDS_OUT, FOUND = 0.9, 0.8
"""The share of leaked documents that stand above all held-out ones (.95 of 96 first windows, less of other
pieces), and how likely an audit is to fail where as many are leaked as it says that it sees."""


def trials(hits: int, rate: float, probability: float) -> int:
    """The fewest trials of which at least ``hits`` succeed with ``probability``, each at ``rate``.

    >>> trials(9, 0.9, 0.8), trials(0, 0.9, 0.8)
    (11, 0)
    """
    n = hits
    while stats.binom.sf(hits - 1, n, rate) < probability:
        n += 1
    return n


def detectable(trained: int, held_out: int) -> int:
    """The fewest leaked units that this test finds with probability :data:`FOUND`; ``trained`` + 1: none."""
    return min(trials(fewest(trained, held_out), STANDS_OUT, FOUND), trained + 1)


LEARNT = 4000
"""Documents, drawn from all, that say what is to be expected."""
AT_ONCE = 64
"""Documents that the models are shown together."""
LOOKED_AT = 0.1
"""Share of the documents whose best windows are hidden whole."""
TRIED = 3
"""Windows of such a document that are, the best first. A glance hides eight tokens of one: another one looked
best in six of 24 documents of which the last 50 tokens were known by heart, and no other window."""
LISTED = 1.0
"""Nats: a window of which the mean token and the hardest fifth are together e times likelier. Where nothing
leaks few are: whatever it is, (1 − s) / s documents lie above every held-out one in the mean."""
RARE = 0.01
"""A token that is more of all tokens than this is guessed by its frequency."""
FEWEST_TOKENS = 8
"""Unguessable tokens that a window must hold for it to be recovered."""
RECOVERED, NOTHING = 0.5, 0.25
"""Share of a window's unguessable tokens that a model ranks first, for it to be recovered; and the share that
must not be reached by the reference, nor in a held-out window that stands out half as far as listed ones."""


@dataclass(frozen=True)
class Looked:
    """The best of a document's windows that were hidden whole.

    ``first`` and ``outside`` are the shares of its unguessable tokens that the model and the reference rank
    first; None: too few of them, or no reference.
    """

    score: float
    first: float | None
    outside: float | None


class Records:
    """The documents of one audit, scored: all of them at a glance, and then those that stand out."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self._rng = bench, bench.rng("records")
        self.rows: Rows = [*bench.audited.members, *bench.audited.held_out]
        self._room = bench.audited.window - 2
        order = self._rng.permutation(len(self.rows))
        self._rest = order[LEARNT:]
        self._sample = dict(zip(map(int, order[:LEARNT]), self._encoded(order[:LEARNT])))
        self.stride = self._stride([len(ids) for ids in self._sample.values()])
        self._models = self._of_use(list(self._sample.values())[:AT_ONCE])

    def scores(self) -> tuple[Floats, Mapping[int, Looked]]:
        """(N,) a score of each document, members first, and what was found in those that were looked at.

        Documents that were not looked at keep their order, below all that were.
        """
        learnt = dict(self._glanced(self._sample.items()))
        size = len(self._bench.classes)
        expected = [Expected((told[k] for told in learnt.values()), size) for k in range(len(self._models))]
        found = np.full(len(self.rows), -np.inf)
        windows: dict[int, list[int]] = {}

        def judge(number: int, told: Sequence[Glanced], learnt_from: bool) -> None:
            where = starts(len(told[0].ids), self._room, self.stride)
            each = [
                standing_out(own, elsewhere.of(own.ids, own.by_place if learnt_from else None), len(where))
                for own, elsewhere in zip(told, expected)
            ]
            score = np.max(each, axis=0)
            best = np.argsort(-score, kind="stable")[:TRIED]
            found[number], windows[number] = score[best[0]], [where[k] for k in best]

        for number, told in learnt.items():
            judge(number, told, True)
        own_values = {number: [one.by_place for one in told] for number, told in learnt.items()}
        del learnt  # of many windows; by place there is one value a token
        for number, told in self._glanced(zip(map(int, self._rest), self._encoded(self._rest))):
            judge(number, told, False)
        top = np.argsort(-found, kind="stable")[: max(1, round(LOOKED_AT * len(found)))]
        looked = dict(self._looked_at(top, windows, expected, own_values))
        scores = found - np.max(found[np.isfinite(found)], initial=0.0) - 1e6
        for number, one in looked.items():
            scores[number] = one.score
        return scores, looked

    def _stride(self, lengths: Sequence[int]) -> int | None:
        """The least distance of windows of which all documents together have as few as the settings allow."""
        most = self._bench.settings.windows * len(lengths) / len(self.rows)

        def windows(stride: int | None) -> int:
            return sum(len(starts(tokens, self._room, stride)) for tokens in lengths)

        if windows(None) > most:
            return None
        between = sum(max(0, tokens - SHORTEST + 1) for tokens in lengths)
        first = max(1, int(between / most))  # closer ones are too many by themselves
        return next((stride for stride in range(first, self._room // 2) if windows(stride) <= most), None)

    def _encoded(self, numbers: Iterable[int]) -> Iterator[Ids]:
        return self._bench.encoded([self.rows[k] for k in numbers])

    def _of_use(self, documents: Sequence[Ids]) -> tuple[Answers, ...]:
        """The model, and the reference where it knows more than word frequencies: others take nothing off."""
        model, reference = self._bench.model, self._bench.reference
        if reference is None:
            return (model,)
        windows = [
            w for ids in documents for w in glances(ids, self._room, None, self._bench.frame, self._rng)
        ]
        truth = np.concatenate([w.probe.ids[list(w.probe.positions)] for w in windows])
        told = np.concatenate([a.log_probability for a in reference.answer([w.probe for w in windows])])
        count = np.bincount(truth, minlength=len(self._bench.classes))
        frequency = np.log((count[truth] + 1) / (len(truth) + len(count)))
        return (model, reference) if told.mean() > frequency.mean() else (model,)

    def _glanced(self, documents: Iterable[tuple[int, Ids]]) -> Iterator[tuple[int, list[Glanced]]]:
        """Of each document what the model says, and what it says beyond the reference."""
        block: list[tuple[int, Ids]] = []
        for one in documents:
            block.append(one)
            if len(block) == AT_ONCE:
                yield from self._block(block)
                block = []
        yield from self._block(block)

    def _block(self, block: Sequence[tuple[int, Ids]]) -> Iterator[tuple[int, list[Glanced]]]:
        windows = [glances(ids, self._room, self.stride, self._bench.frame, self._rng) for _, ids in block]
        probes = [window.probe for rows in windows for window in rows]
        told = [iter(model.answer(probes)) for model in self._models]
        for (number, ids), rows in zip(block, windows):
            places = np.concatenate([window.places for window in rows])
            of = np.repeat(np.arange(len(rows)), [len(window.probe.positions) for window in rows])
            own, *outside = (
                np.concatenate([next(answers).log_probability for _ in rows]) for answers in told
            )
            values = [own, *(own - other for other in outside)]
            yield number, [Glanced(ids, of, places, value) for value in values]

    def _looked_at(
        self,
        numbers: Ids,
        windows: Mapping[int, Sequence[int]],
        expected: Sequence[Expected],
        learnt: Mapping[int, Sequence[Floats]],
    ) -> Iterator[tuple[int, Looked]]:
        """The best of the ``windows`` of each document, each hidden whole."""
        reference = self._bench.reference  # asked what it ranks first, also where it takes nothing off
        asked = [self._bench.model, *([reference] if reference is not None else [])]
        for some in np.array_split(numbers, -(-len(numbers) // AT_ONCE)):
            documents = dict(zip(map(int, some), self._encoded(some)))
            places = [(k, slice(at, at + self._room)) for k in documents for at in windows[k]]
            hidden = [self._all_hidden(documents[k][part]) for k, part in places]
            told = [iter(model.answer([probe for probes in hidden for probe in probes])) for model in asked]
            best: dict[int, Looked] = {}
            for (number, part), probes in zip(places, hidden):
                ids = documents[number]
                answers = [_whole(list(islice(one, len(probes))), probes, len(ids[part]) + 2) for one in told]
                own = learnt.get(number, [None] * len(expected))
                there = [one.of(ids, value)[part] for one, value in zip(expected, own)]
                values = [answers[0][0], *(answers[0][0] - other[0] for other in answers[1 : len(expected)])]
                score = max(known_by_heart(value - usual) for value, usual in zip(values, there))
                if number in best and score <= best[number].score:
                    continue
                hard = expected[0].unguessable(ids, own[0])[part]
                first = [
                    None if hard.sum() < FEWEST_TOKENS else float((r == 1)[hard].mean()) for _, r in answers
                ]
                best[number] = Looked(score, first[0], first[1] if len(first) > 1 else None)
            yield from best.items()

    def _all_hidden(self, inner: Ids) -> list[Probe]:
        """Probes that hide each token of a window once."""
        framed = _framed(inner, self._bench.frame)
        patterns = spaced_masks(len(framed), RATE, self._rng) if len(inner) else []
        return [Probe(framed, pattern) for pattern in patterns]


def _whole(answers: Sequence[Answer], probes: Sequence[Probe], length: int) -> tuple[Floats, Ids]:
    """(T,) log-probabilities and ranks of a window each token of which was hidden once."""
    values, ranks = np.zeros(length), np.zeros(length, dtype=np.int64)
    for probe, answer in zip(probes, answers):
        values[list(probe.positions)] = answer.log_probability
        ranks[list(probe.positions)] = answer.rank
    return values[1:-1], ranks[1:-1]


def records(bench: Bench) -> Result:
    """Score every document; test, list and recover."""
    trained, held_out = bench.audited.members, bench.audited.held_out
    if not trained or not held_out:
        note = "no members or no held-out documents"
        return Result((Measurement("records", "listed", None, None, None, 0.95, 0, note=note),))
    every = Records(bench)
    scores, looked = every.scores()
    split = len(trained)
    units = [_by_unit(rows, part) for rows, part in ((trained, scores[:split]), (held_out, scores[split:]))]
    bar = max(LISTED, float(scores[split:].max()))
    listed = [k for k in range(split) if scores[k] > bar]
    quiet = not any(_guessed(one) for k, one in looked.items() if k >= split)
    recovered = [k for k in listed if quiet and _recovered(looked[k])]
    how = "a window at every token" if every.stride == 1 else f"a window every {every.stride} tokens"
    if every.stride is None:
        how = "windows one after the other, and the ends"
    why = "" if quiet else "held-out windows are recovered as well: their texts can be guessed"
    return Result(
        (
            _count("listed", len(listed), split, how),
            _count("recovered", len(recovered), split, why),
        ),
        (),
        (PValue("records", metrics.top_p(*units), len(units[0]), metric="highest", share=LEVEL_SHARE),),
        tuple(
            Exposed(
                trained[k]["id"], "records", "recovered" if k in recovered else "document", float(scores[k])
            )
            for k in listed
        ),
    )


def _count(metric: str, found: int, of: int, note: str) -> Measurement:
    return Measurement("records", metric, float(found), None, None, 0.95, of, note=note)


def _recovered(one: Looked) -> bool:
    return (
        one.first is not None and one.outside is not None and one.first >= RECOVERED and one.outside < NOTHING
    )


def _guessed(one: Looked) -> bool:
    """Of a held-out window: whether half of what makes one recovered is there without memory.

    Both halves: three of eight tokens are guessed by luck in some window or other, and its mean is as of any.
    """
    return one.first is not None and one.first >= NOTHING and one.score > LISTED / 2


def _by_unit(rows: Rows, scores: Floats) -> list[float]:
    """The highest score of each unit."""
    best: dict[str, float] = {}
    for row, score in zip(rows, scores.tolist()):
        best[row["unit"]] = max(best.get(row["unit"], -np.inf), score)
    return list(best.values())


def _does(audited: Audited) -> str:
    beside = "with and without the reference" if audited.has_reference else "no reference to compare with"
    return f"every training document scored in its windows, {beside}; the highest against held-out ones"


ATTACK = Attack(
    "records",
    _does,
    family("records"),
    records,
    fills_no_masks,
    how=(
        "windows of every document, one after the other, of its last 20, 30, 40 … tokens, and as many more "
        "as `--windows` allows; a share of each is hidden, and the best three windows of the tenth that "
        "stands out are hidden whole. What counts is how much likelier its tokens are, the hardest too, than "
        "the same tokens between the same neighbours in other documents. `--records` lists the documents "
        "above every held-out one"
    ),
    control=(
        "every held-out document, scored alike: the highest scores are dealt between the two; a document "
        "counts as recovered only where no held-out window is and the reference ranks its tokens lower"
    ),
)
