"""Every value that many documents have in the same place: is it given back where others of its kind are not?

A name that is learnt by heart moves no score of its document, of which it is three tokens in a hundred, and a
sample of sixty names holds one of two dozen. Here the fields of a form are found by what stands around them:
between the same neighbours many documents have one word or another. Each of those words, and each finding of
the scan, is hidden whole, and its score says how much likelier the model holds it there than its share among
the values of its kind makes it, in log-odds: a model that is sure of one name in ten, and right, lies far
above one that has learnt which names there are.

The test is that of :mod:`mlmguard.leakage.records`, among fields and among findings of each fate: the highest
scores lie among trained and held-out units as dealt cards do. What is given back, each of its tokens the
likeliest, and lies above every held-out value of its kind is listed. It counts as recovered where the
reference does not know it, no held-out value of its kind comes near, documents of like words do not hold the
same value, and so many are that they would seldom all lie in the training set by chance.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mlmguard.leakage import formats, metrics
from mlmguard.leakage.answers import Answers, Floats, Ids, Probe
from mlmguard.leakage.attack import Attack, Audited, Bench, fills_no_masks
from mlmguard.leakage.extraction import Target
from mlmguard.leakage.records import FOUND, mixed, trials
from mlmguard.leakage.results import CONTROL, Exposed, PValue, Result, Rows, Span
from mlmguard.measures import family
from mlmguard.types import Measurement

# --- values, and what they are compared with ----------------------------------------------------------

FEWEST_UNITS, LEAST_SHARE = 40, 0.01
"""Units that hold a value of a kind, at least, and the share of all: where fewer do there is no form."""
FEWEST_VALUES, COMMONEST = 4, 0.5
"""Different values of a field, at least, and the share that the commonest may have: a field has a choice."""
CONTROLS = 20
"""Held-out units of a kind, at least, beside which its values are listed."""
LONGEST = 12
"""Tokens of a value."""


@dataclass(frozen=True)
class Value:
    """A value in its window. ``kind`` names the field, or the type and fate of a finding; no text of it."""

    row: int  # of the documents, members first
    kind: str
    rule: str  # the type of a finding; "word" in a field
    target: Target = field(repr=False)

    @property
    def group(self) -> str:
        """What it is drawn with: fields, or the fate of a finding."""
        return "field" if self.rule == "word" else self.kind.rsplit(" ", 1)[-1]

    @property
    def content(self) -> bytes:
        """Its tokens."""
        return self.target.ids[list(self.target.positions)].tobytes()


def words(ids: Ids, classes: Ids) -> Iterator[tuple[int, int]]:
    """Where the words and numbers of a document begin and end, in tokens.

    >>> classes = np.array([formats.WORD, formats.CONTINUATION, formats.PUNCTUATION, formats.DIGIT])
    >>> list(words(np.array([0, 1, 2, 3, 3]), classes))
    [(0, 2), (3, 5)]
    """
    kinds, end = classes[ids], 0
    while end < len(ids):
        start, end = end, end + 1
        if kinds[start] not in (formats.WORD, formats.CONTINUATION, formats.DIGIT):
            continue
        while end < len(ids) and kinds[end] == kinds[start] == formats.DIGIT:
            end += 1
        while end < len(ids) and kinds[end] == formats.CONTINUATION:
            end += 1
        yield start, end


def _neighbours(ids: Ids, places: NDArray[np.int64]) -> NDArray[np.uint64]:
    """(N, 2) what stands around each word (N, 2): two tokens and one after it, one token and two after it."""
    around = np.concatenate([[-1, -1], ids, [-1, -1]])
    start, end = places[:, 0] + 2, places[:, 1] + 2
    before, after = (
        mixed(1, around[start - 2], around[start - 1], around[end]),
        mixed(2, around[start - 1], around[end], around[end + 1]),
    )
    return np.stack([before, after], axis=1)


def fields(
    documents: Mapping[int, Ids], units: Sequence[str], classes: Ids
) -> Iterator[tuple[int, int, int, str]]:
    """Words between the same neighbours as other words in many documents: document, start, end and field.

    ``units`` names the unit of privacy of each document: what ten documents of one person share is no form.
    """
    places = {k: np.array(list(words(ids, classes)), np.int64).reshape(-1, 2) for k, ids in documents.items()}
    around = {k: _neighbours(ids, places[k]) for k, ids in documents.items()}
    holders: dict[int, dict[str, bytes]] = defaultdict(dict)  # of each frequent slot a value a unit
    seen: Counter[int] = Counter()
    for own in around.values():
        seen.update(set(own.ravel().tolist()))
    least = max(FEWEST_UNITS, LEAST_SHARE * len({units[k] for k in documents}))
    often = {slot for slot, count in seen.items() if count >= least}
    for k, ids in documents.items():
        for (start, end), slots in zip(places[k].tolist(), around[k].tolist()):
            for slot in slots:
                if slot in often:
                    holders[slot].setdefault(units[k], ids[start:end].tobytes())
    chosen = {slot: len(held) for slot, held in holders.items() if len(held) >= least and _a_choice(held)}
    for k in documents:
        for (start, end), slots in zip(places[k].tolist(), around[k].tolist()):
            best = max(slots, key=lambda slot: chosen.get(slot, 0))
            if best in chosen:
                yield k, start, end, f"field {best}"


def _a_choice(held: Mapping[str, bytes]) -> bool:
    count = Counter(held.values())
    return len(count) >= FEWEST_VALUES and count.most_common(1)[0][1] <= COMMONEST * len(held)


def _in_its_window(ids: Ids, start: int, end: int, bench: Bench) -> Target | None:
    """A word in a window around it; None where it is long, or stands elsewhere in the document as well."""
    room = bench.audited.window - 2
    if end - start > min(LONGEST, room // 2) or _stands_again(ids, np.arange(start, end)):
        return None
    left = max(0, min(start - (room - (end - start)) // 2, len(ids) - room))
    framed = np.concatenate([bench.frame[:1], ids[left : left + room], bench.frame[1:]])
    kinds = tuple(int(bench.classes[token]) for token in ids[start:end])
    return Target(framed, tuple(range(start - left + 1, end - left + 1)), kinds)


def _stands_again(ids: Ids, places: NDArray[np.int64]) -> bool:
    """Whether what stands at ``places`` stands elsewhere in ``ids`` too: it could be copied from there."""
    offsets = places - places[0]
    starts = np.arange(len(ids) - offsets[-1])
    same = (ids[starts[:, None] + offsets] == ids[places]).all(axis=1)
    return int(same.sum()) > 1


def _of_findings(spans: Sequence[Span], number: Mapping[str, int]) -> Iterator[Value]:
    """The scan's findings, each type apart and what was kept apart from what was taken out."""
    for span in spans:
        row, places = number.get(span.document_id), np.array(span.target.positions)
        if row is not None and len(places) <= LONGEST and not _stands_again(span.target.ids, places):
            fate = (span.fate or "kept") if span.kind == CONTROL else span.kind
            yield Value(row, f"{span.rule} {fate}", span.rule, span.target)


# --- how much likelier than its share -----------------------------------------------------------------


def given_back(model: Answers, targets: Sequence[Target]) -> tuple[Floats, NDArray[np.bool_]]:
    """Σ log p of each value, hidden whole, and whether each of its tokens is ranked first, (N,) both.

    Its tokens shown one after the other, the surest first, would tell more of those that are known in parts,
    and of all others too: names in one held-out document of seven came back.
    """
    answers = model.answer([Probe(target.ids, target.positions) for target in targets])
    value = np.array([answer.log_probability.sum() for answer in answers], dtype=float)
    return value, np.array([bool((answer.rank == 1).all()) for answer in answers], dtype=bool)


def log_odds(log_probability: Floats) -> Floats:
    """Log-odds of log-probabilities; what is within a millionth of certain counts as that.

    >>> log_odds(np.log([0.5, 0.9])).round(4).tolist()
    [0.0, 2.1972]
    """
    p = np.minimum(log_probability, np.log1p(-1e-6))
    result: Floats = p - np.log1p(-np.exp(p))
    return result


def shares(values: Sequence[Value], units: Sequence[str]) -> Floats:
    """(N,) of each value, the share of the *other* units of its kind that hold it, half a unit added."""
    holders: dict[tuple[str, bytes], set[str]] = defaultdict(set)
    of_kind: dict[str, set[str]] = defaultdict(set)
    for one in values:
        holders[one.kind, one.content].add(units[one.row])
        of_kind[one.kind].add(units[one.row])
    return np.array(
        [(len(holders[one.kind, one.content]) - 0.5) / len(of_kind[one.kind]) for one in values], dtype=float
    )


class Alike:
    """Documents that hold values of one kind, by their words: what those that are like one hold."""

    def __init__(
        self, values: Sequence[Value], documents: Mapping[int, Ids], units: Sequence[str], classes: Ids
    ):
        self._values, self._units = values, units
        self._words = [_set_of_words(documents[one.row], classes) for one in values]
        count = Counter(word for own in self._words for word in own)
        self._weight = {word: np.log(len(values) / n) ** 2 for word, n in count.items()}

    def share(self, number: int) -> float:
        """Of the values of other units, each weighed by what its document shares with that of ``number``, the
        share that are the same; rare words count for more, and few like documents for more than many."""
        own, value = self._words[number], self._values[number]
        same = total = 0.0
        for one, held in zip(self._values, self._words):
            if self._units[one.row] != self._units[value.row]:
                weight = sum(self._weight[word] for word in own & held) ** 2
                total += weight
                same += weight * (one.content == value.content)
        return same / total if total else 0.0


def _set_of_words(ids: Ids, classes: Ids) -> set[bytes]:
    return {ids[start:end].tobytes() for start, end in words(ids, classes)}


# --- the attack ---------------------------------------------------------------------------------------

LEVEL_SHARE = 0.1
"""The share of the family's level that is this test's own: two dozen names beside a held-out share of .3 give
4e-4 at best."""
LISTED, RECOVERED, APART = 4.0, 6.0, 2.0
"""Log-odds above a value's share: 55 and 400 times the odds; and how far what counts as recovered lies above
every held-out value of its kind."""
SELDOM = 0.25
"""So seldom do as many values as count as recovered all lie in the training set by the deal alone."""


GIVEN_BACK = 0.8
"""The share of leaked values that count as recovered; of 24 names taught by heart, twice, all did."""


def detectable(trained: int, held_out: int) -> int:
    """The fewest units with a leaked value of a kind that four audits of five fail; ``trained`` + 1: none."""
    fewest = metrics.fewest_leaked(trained, held_out, SELDOM)
    return min(trials(fewest, GIVEN_BACK, FOUND), trained + 1)


def values(bench: Bench) -> Result:
    """Score every value of a field and every finding; test, list and recover."""
    trained, held_out = bench.audited.members, bench.audited.held_out
    if not trained or not held_out:
        return _nothing("no members or no held-out documents")
    every = Values(bench)
    if not every.values:
        return _nothing("no field and no finding that enough documents hold")
    listed = every.listed()
    recovered = every.recovered(listed)
    left = f"; {every.looked_through:,} of {len(every.rows):,} documents, drawn at random" * every.drawn
    found = {every.values[k].row for k in listed}
    return Result(
        (
            _count("listed", len(found), len(every.values), f"documents, by {len(every.kinds)} kinds{left}"),
            _count("recovered", len({every.values[k].row for k in recovered}), len(every.values), ""),
        ),
        (),
        (every.test(),),
        tuple(
            Exposed(
                every.rows[every.values[k].row]["id"], "values", every.values[k].rule, float(every.score[k])
            )
            for k in listed
        ),
    )


def _nothing(note: str) -> Result:
    names = ("listed", "recovered")
    return Result(tuple(Measurement("values", n, None, None, None, 0.95, 0, note=note) for n in names))


def _count(metric: str, found: int, of: int, note: str) -> Measurement:
    return Measurement("values", metric, float(found), None, None, 0.95, of, note=note)


NOT_GIVEN = 1000.0
"""What is not given back lies so far below what is."""


class Values:
    """The values of one audit, scored."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self._rng = bench, bench.rng("values")
        self.rows: Rows = [*bench.audited.members, *bench.audited.held_out]
        self._members = len(bench.audited.members)
        self._units = [row["unit"] for row in self.rows]
        self._documents = self._some()
        self.values = self._enough(list(self._found()))
        self.kinds: dict[str, list[int]] = defaultdict(list)
        for k, one in enumerate(self.values):
            self.kinds[one.kind].append(k)
        value, self.first = given_back(bench.model, [one.target for one in self.values])
        self._odds = log_odds(value)
        self._usual = log_odds(np.log(shares(self.values, self._units)))
        self.score = self._odds - self._usual
        self.score[~self.first] -= NOT_GIVEN

    @property
    def looked_through(self) -> int:
        """Documents whose values were looked for."""
        return len(self._documents)

    @property
    def drawn(self) -> bool:
        """Whether those are not all."""
        return self.looked_through < len(self.rows)

    def _some(self) -> dict[int, Ids]:
        """Documents of units drawn at random, as many as may be spent on."""
        most = max(2, self._bench.settings.windows // 2)
        chosen = range(len(self.rows))
        if len(self.rows) > most:
            owned: dict[str, list[int]] = defaultdict(list)
            for k, unit in enumerate(self._units):
                owned[unit].append(k)
            groups = list(owned.values())
            order = [k for n in self._rng.permutation(len(groups)) for k in groups[n]]
            chosen = sorted(order[:most])  # type: ignore[assignment]
        return dict(zip(chosen, self._bench.encoded([self.rows[k] for k in chosen])))

    def _found(self) -> Iterator[Value]:
        for row, start, end, kind in fields(self._documents, self._units, self._bench.classes):
            target = _in_its_window(self._documents[row], start, end, self._bench)
            if target is not None:
                yield Value(row, kind, "word", target)
        number = {self.rows[k]["id"]: k for k in self._documents}
        yield from _of_findings(self._bench.personal_spans, number)

    def _enough(self, found: Sequence[Value]) -> list[Value]:
        """Those of kinds that enough units hold; by whole documents, as many as may be spent on."""
        held: dict[str, set[str]] = defaultdict(set)
        for one in found:
            held[one.kind].add(self._units[one.row])
        kept = [one for one in found if len(held[one.kind]) >= FEWEST_UNITS]
        most = self._bench.settings.windows // 2
        if len(kept) <= most:
            return kept
        by_row: dict[int, list[Value]] = defaultdict(list)
        for one in kept:
            by_row[one.row].append(one)
        rows = list(by_row)
        return [one for n in self._rng.permutation(len(rows)) for one in by_row[rows[n]]][:most]

    def trained(self, k: int) -> bool:
        """Whether a value is one of a document that was trained on."""
        return self.values[k].row < self._members

    def _of(self, kind: str, *, trained: bool) -> list[int]:
        return [k for k in self.kinds[kind] if self.trained(k) is trained]

    def _owners(self, numbers: Sequence[int]) -> set[str]:
        return {self._units[self.values[k].row] for k in numbers}

    def test(self) -> PValue:
        """Where the highest scores of units lie, among fields and among findings of each fate.

        Apart, because findings are drawn: a unit of which they were not would be compared by its fields alone
        with units of the other side that have both.
        """
        drawn: dict[str, tuple[dict[str, float], dict[str, float]]] = defaultdict(lambda: ({}, {}))
        for k, (one, score) in enumerate(zip(self.values, self.score.tolist())):
            best, unit = drawn[one.group][not self.trained(k)], self._units[one.row]
            best[unit] = max(best.get(unit, -np.inf), score)
        found = [metrics.top_p(list(own.values()), list(out.values())) for own, out in drawn.values()]
        units = len(self._owners([k for k in range(len(self.values)) if self.trained(k)]))
        p = min(1.0, len(found) * min(found))
        return PValue("values", p, units, metric="highest", share=LEVEL_SHARE)

    def listed(self) -> list[int]:
        """Values given back that lie above every held-out one of their kind, and that nothing else tells."""
        found = []
        for kind, numbers in self.kinds.items():
            controls = self._of(kind, trained=False)
            if len(self._owners(controls)) < CONTROLS:
                continue
            bar = max(LISTED, float(self.score[controls].max()))
            above = [k for k in self._of(kind, trained=True) if self.score[k] > bar]
            if above:
                alike = Alike(
                    [self.values[k] for k in numbers], self._documents, self._units, self._bench.classes
                )
                place = {k: n for n, k in enumerate(numbers)}
                found += [k for k in above if self._above_like(k, alike.share(place[k])) > LISTED]
        return found

    def _above_like(self, k: int, share: float) -> float:
        """The score of a value against its share among documents of like words, where that is the larger."""
        if share >= 1:
            return -np.inf
        told = log_odds(np.log(np.array([max(share, 1e-9)])))[0] if share > 0 else -np.inf
        return float(min(self.score[k], self._odds[k] - told))

    def recovered(self, listed: Sequence[int]) -> list[int]:
        """Those of the listed that no control comes near and no reference knows, if they are many."""
        reference = self._bench.reference
        strong = [k for k in listed if self.score[k] >= max(RECOVERED, self._highest(k) + APART)]
        if reference is None or not strong:
            return []
        value, first = given_back(reference, [self.values[k].target for k in strong])
        known = first & (log_odds(value) - self._usual[strong] > LISTED / 2)  # one name in ten it guesses
        got = [k for k, outside in zip(strong, known) if not outside]
        by_kind: dict[str, list[int]] = defaultdict(list)
        for k in got:
            by_kind[self.values[k].kind].append(k)
        return [
            k for kind, own in by_kind.items() if len(self._owners(own)) >= self._fewest(kind) for k in own
        ]

    def _highest(self, k: int) -> float:
        """The highest score of a held-out value of the same kind."""
        return float(self.score[self._of(self.values[k].kind, trained=False)].max())

    def _fewest(self, kind: str) -> int:
        """How many units must give their value of a kind back."""
        sides = [len(self._owners(self._of(kind, trained=side))) for side in (True, False)]
        return metrics.fewest_leaked(sides[0], sides[1], SELDOM)


def _does(audited: Audited) -> str:
    return "every value of a field and every finding, hidden whole; the surest against held-out ones"


ATTACK = Attack(
    "values",
    _does,
    family("values"),
    values,
    fills_no_masks,
    how=(
        "fields are words between the same neighbours as other words in many documents; each value of one, "
        "and each finding, is hidden whole, and its log-odds are compared with its share among the values of "
        "its kind. `--records` lists documents whose value is given back, more surely than any held-out one"
    ),
    control=(
        "values of the same field or type in held-out documents; the reference, and documents of like words, "
        "where a value is to count as recovered"
    ),
)
