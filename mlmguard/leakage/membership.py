"""Was this document in the training data? Judged by the model, and by two baselines beside it.

The blind baseline sees only the texts: when it separates members from non-members, the sets differ in kind,
and the model's own figure says nothing about membership. The reference should have seen neither set. When
it separates them and the texts alone do not, it knows the members: a finding about what training began with.

Every attack scores the same random masks, so that what it adds to ``loss`` is not luck with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mlmguard.leakage import metrics
from mlmguard.leakage.answers import Answer, Answers, Floats, Ids, Probe, masked_answers, spaced_masks
from mlmguard.leakage.attack import Attack, Audited, Bench, Part
from mlmguard.leakage.learned import described, joined, learned, lowest, standardised
from mlmguard.leakage.results import Exposed, Passage, PValue, Result, measured
from mlmguard.measures import family
from mlmguard.types import Curve, Measurement

RATE = 0.15
SHIFT_AUC = 0.55
"""A blind AUC whose whole interval lies above this is a shift: chance is 0.5, and 0.05 is the room that an
interval of a few hundred documents leaves."""
SHIFT_P = 0.01
"""And a shift is what at most this share of random deals of the same documents shows as well."""
SHIFTED = "shift: members and held-out documents differ in kind; verdict withheld"


def membership(
    model: Answers,
    reference: Answers | None,
    members: Sequence[Passage],
    others: Sequence[Passage],
    rng: np.random.Generator,
    shadows: Sequence[Answers] = (),
    rate: float = RATE,
) -> Result:
    """Membership attacks beside two baselines; verdicts are withheld when the texts alone show a shift.

    ``loss``, ``min-k``, ``min-k++`` and ``neighbours`` need the model alone, ``calibrated``, ``votes`` and
    ``rmia`` a reference as well, ``lira`` at least two ``shadows``, models that saw neither set; ``learned``
    is fitted to the other units each (:mod:`mlmguard.leakage.learned`). The scores
    of one unit's documents are averaged: the question is whether the unit took part. ``rate`` of the tokens
    are scored in one pass: all of them where the model predicts the next one.
    """
    if not members or not others:
        note = "no members or no held-out documents"
        return Result(
            (Measurement("membership", "auc", None, None, None, 0.95, 0, slice="calibrated", note=note),)
        )
    passages = [*members, *others]
    windows, split = [passage.ids for passage in passages], len(members)
    hidden = [spaced_masks(len(ids), rate, rng) for ids in windows]
    by_unit = Units(passages, split)
    own = masked_answers(model, windows, hidden, moments=True)
    outside = masked_answers(reference, windows, hidden) if reference is not None else None
    scores = _scores(model, own, outside, shadows, windows, hidden, by_unit, rng)
    blind = {"blind": blind_scores(windows, split, by_unit.halves(rng))}
    seen, shifted = told_apart(windows, by_unit, blind["blind"], rng)
    if reference is not None:
        blind["reference"] = scores.pop("reference")
    baselines = {name: metrics.auc(*by_unit.means(values)) for name, values in blind.items()}
    baselines["blind"] = seen
    note = SHIFTED if shifted else ""
    pairs = {name: by_unit.means(values) for name, values in scores.items()}
    tested = pairs if reference is None else {**pairs, "reference": by_unit.means(blind["reference"])}
    n = by_unit.count
    measurements = [
        measured("membership", "auc", metrics.auc(*pair), n, name, note=note) for name, pair in pairs.items()
    ]
    best = "loss" if reference is None else "calibrated"
    measurements += _true_positives(*pairs[best], note)
    measurements += [measured("membership", f"{name}_auc", found, n) for name, found in baselines.items()]
    measurements.append(Measurement("membership", "shift", float(shifted), None, None, 0.95, n, note=note))
    tests = [PValue("membership", metrics.rank_sum_p(*pair), n, name, "auc") for name, pair in tested.items()]
    found = learned(*by_unit.described(own, outside), rng)
    if found is not None:
        pairs["learned"] = found.trained, found.held_out
        measurements.append(measured("membership", "auc", found.auc, n, "learned", note=note))
        tests.append(PValue("membership", found.p, n, "learned", "auc"))
    return Result(
        tuple(measurements),
        tuple(_roc(name, *pair) for name, pair in pairs.items()),
        () if shifted else tuple(tests),
        () if shifted else tuple(_most_exposed(members, scores[best][:split], scores[best][split:])),
    )


LISTED = 0.05
"""Documents are listed as members at this rate of false discoveries (Benjamini and Hochberg 1995)."""


def _most_exposed(members: Sequence[Passage], inside: Floats, out: Floats) -> list[Exposed]:
    """Members whose score hardly any held-out document reaches, with one minus the adjusted p-value."""
    above = len(out) - np.searchsorted(np.sort(out), inside)
    adjusted = stats.false_discovery_control((1 + above) / (1 + len(out)))
    return [
        Exposed(passage.document_id, "membership", "document", float(1 - p))
        for passage, p in zip(members, adjusted)
        if p <= LISTED
    ]


def _scores(
    model: Answers,
    own: Sequence[Sequence[Answer]],
    outside: Sequence[Sequence[Answer]] | None,
    shadows: Sequence[Answers],
    windows: Sequence[Ids],
    hidden: Sequence[Sequence[tuple[int, ...]]],
    by_unit: Units,
    rng: np.random.Generator,
) -> dict[str, Floats]:
    """Every attack's score of every window, higher = likelier a member; "reference" is the baseline's."""
    loss = mean_by_text(own)
    scores = {
        "loss": loss,
        "min-k": np.array([lowest(joined(rows)) for rows in own]),
        "min-k++": np.array([lowest(standardised(rows)) for rows in own]),
        "neighbours": neighbours(model, windows, hidden, own, rng),
    }
    unaware = [mean_by_text(masked_answers(shadow, windows, hidden)) for shadow in shadows]
    if outside is not None:
        expected = mean_by_text(outside)
        scores["reference"] = expected
        scores["calibrated"] = loss - expected
        scores["votes"] = np.array([votes(rows, other) for rows, other in zip(own, outside)])
        scores["rmia"] = rmia(loss, [expected, *unaware], by_unit.split, by_unit.halves(rng))
    if len(unaware) >= 2:
        scores["lira"] = lira(loss, unaware)
    return scores


# --- the scores ---------------------------------------------------------------------------------------


def mean_by_text(windows: Sequence[Sequence[Answer]]) -> Floats:
    """(N,) minus the loss: mean log-probability of each window over all its patterns."""
    return np.array([joined(rows).mean() for rows in windows])


def votes(own: Sequence[Answer], outside: Sequence[Answer]) -> float:
    """The share of mask patterns in which the model beats the reference (after SAMA, 2026)."""
    signs = [np.sign(a.log_probability.mean() - b.log_probability.mean()) for a, b in zip(own, outside)]
    return float(np.mean(signs))


NEIGHBOURS = 4
REPLACED = 0.05


def neighbours(
    model: Answers,
    windows: Sequence[Ids],
    hidden: Sequence[Sequence[tuple[int, ...]]],
    own: Sequence[Sequence[Answer]],
    rng: np.random.Generator,
) -> Floats:
    """How much likelier each window is than texts that differ from it in a few words (Mattern et al. 2023).

    Each of ``NEIGHBOURS`` replaces a twentieth of the tokens by what the model itself finds likeliest there,
    other than the truth. Compared under the window's own masks, at the tokens that stayed.
    """
    changed: list[tuple[int, tuple[int, ...]]] = []
    for k, ids in enumerate(windows):
        inner = len(ids) - 2
        for _ in range(NEIGHBOURS):
            drawn = 1 + rng.permutation(inner)[: max(1, round(REPLACED * inner))]
            changed.append((k, tuple(sorted(int(p) for p in drawn))))
    answers = model.answer([Probe(windows[k], places) for k, places in changed], top=2)
    texts = []
    for (k, places), answer in zip(changed, answers):
        truth = windows[k][list(places)]
        first, second = answer.choices.T
        text = windows[k].copy()
        text[list(places)] = np.where(first == truth, second, first)
        texts.append(text)
    near = masked_answers(model, texts, [hidden[k] for k, _ in changed])
    differences: list[list[float]] = [[] for _ in windows]
    for (k, places), rows in zip(changed, near):
        replaced = np.isin(np.concatenate([list(pattern) for pattern in hidden[k]]), places)
        gap = (joined(own[k]) - joined(rows))[~replaced]
        differences[k].append(float(gap.mean()) if len(gap) else 0.0)
    return np.array([float(np.mean(row)) for row in differences])


OFFLINE = 0.3


def rmia(loss: Floats, outside: Sequence[Floats], split: int, fold: Ids) -> Floats:
    """Share of population documents that x is likelier than, relative to models that saw neither.

    Zarifzadeh, Liu and Shokri 2024, equation 2 with γ = 1, offline: p(x) is estimated from the ``outside``
    models alone and moved by a = 0.3 towards what training on x would give. Likelihoods are geometric means
    over tokens. The population is the non-members (from ``split`` on) of the other ``fold`` (N,), 0 or 1, so
    that none is compared with itself or with others of its unit.
    """
    p = np.mean([np.exp(values) for values in outside], axis=0)
    ratio = loss - np.log(((1 + OFFLINE) * p + (1 - OFFLINE)) / 2)
    scores = np.zeros(len(loss))
    for half in (0, 1):
        population = np.sort(ratio[split:][fold[split:] != half])
        if len(population):
            scores[fold == half] = np.searchsorted(population, ratio[fold == half]) / len(population)
    return scores


def lira(loss: Floats, shadows: Sequence[Floats]) -> Floats:
    """How many deviations the model's confidence lies above that of models that never saw the document.

    Carlini et al. 2022, section 4, offline with one deviation for all documents, which is what few shadows
    can support. Confidence is log(p / (1 − p)) of the geometric mean probability over tokens.
    """
    own, others = (_logit(np.asarray(values)) for values in (loss, shadows))
    deviation = np.sqrt(others.var(axis=0, ddof=1).mean())
    scores: Floats = (own - others.mean(axis=0)) / max(float(deviation), 1e-6)
    return scores


def _logit(log_probability: Floats) -> Floats:
    p = np.exp(np.minimum(log_probability, -1e-9))
    return np.log(p) - np.log1p(-p)


def blind_scores(windows: Sequence[Ids], members: int, fold: Ids) -> Floats:
    """Membership guessed from the text alone: naive Bayes over token presence and length, cross-fitted.

    The first ``members`` windows are members. Each ``fold`` (N,), 0 or 1, is scored by a model fitted on the
    other, so a blind AUC above one half means the two sets differ in what they say (Das et al. 2024). No unit
    may lie in both folds: its author's words would give its other documents away.
    """
    labels = np.arange(len(windows)) < members
    lengths = np.array([len(ids) for ids in windows])
    buckets = np.searchsorted(np.quantile(lengths, np.linspace(0.1, 0.9, 9)), lengths)
    size = int(max(int(ids.max()) for ids in windows)) + 1
    present = np.zeros((len(windows), size + 10), dtype=bool)
    for row, ids in enumerate(windows):
        present[row, ids] = True
        present[row, size + buckets[row]] = True
    scores = np.zeros(len(windows))
    for half in (0, 1):
        fit, score = fold != half, fold == half
        rates = [
            (present[fit & (labels == label)].sum(0) + 1) / ((fit & (labels == label)).sum() + 2)
            for label in (True, False)
        ]
        weights = np.log(rates[0] / rates[1])
        absent = np.log((1 - rates[0]) / (1 - rates[1]))
        values = present[score] @ (weights - absent) + absent.sum()
        scores[score] = values - np.median(values)  # the two folds' models differ by a constant
    return scores


_DEALS = 199


def told_apart(
    windows: Sequence[Ids], by_unit: Units, blind: Floats, rng: np.random.Generator
) -> tuple[metrics.Interval, bool]:
    """Return the AUC of the blind scores, and whether the two sets differ in kind.

    Documents made from few templates are not independent: a template that fell to one side by chance is told
    apart by each of its documents, and the interval of an AUC does not know it. Where that interval shows a
    shift, whole units are dealt anew: what as many deals show is no shift, and their spread is the interval.
    """
    found = metrics.auc(*by_unit.means(blind))
    if found.low <= SHIFT_AUC:
        return found, False
    null = []
    for _ in range(_DEALS):
        order, dealt = by_unit.dealt(rng)
        again = [windows[k] for k in order]
        null.append(metrics.auc(*dealt.means(blind_scores(again, dealt.split, dealt.halves(rng)))).value)
    shifted = (1 + sum(value >= found.value for value in null)) / (1 + _DEALS) <= SHIFT_P
    reach = 1.96 * float(np.std(null))
    low, high = max(0.0, found.value - reach), min(1.0, found.value + reach)
    return replace(found, low=min(found.low, low), high=max(found.high, high)), shifted


# --- from scores to numbers ---------------------------------------------------------------------------


class Units:
    """Which documents are whose: scores of one unit are averaged before anything is compared."""

    def __init__(self, passages: Sequence[Passage], split: int) -> None:
        self._order = []
        for part in (passages[:split], passages[split:]):
            numbers: dict[str, int] = {}
            order = [numbers.setdefault(passage.owner, len(numbers)) for passage in part]
            self._order.append(np.array(order))
        self._passages = passages
        self.split = split
        self.count = sum(int(order.max()) + 1 for order in self._order)

    def dealt(self, rng: np.random.Generator) -> tuple[list[int], Units]:
        """Whole units dealt anew, as many to each side: the documents in their new order, and their units."""
        inside, out = self._order
        first = int(inside.max()) + 1
        side = rng.permutation(self.count) >= first
        of = side[np.concatenate([inside, first + out])]
        order = np.argsort(of, kind="stable").tolist()
        return order, Units([self._passages[k] for k in order], int((~of).sum()))

    def halves(self, rng: np.random.Generator) -> Ids:
        """(N,) 0 or 1 for each document, whole units in one half, as many in both."""
        half = rng.permutation(self.count) % 2
        inside, out = self._order
        first = self.count - int(out.max()) - 1
        return np.concatenate([half[inside], half[first + out]])

    def means(self, values: Floats) -> tuple[Floats, Floats]:
        """(members' units, others' units) from one score a document."""
        inside, out = (
            _mean_by(order, part)
            for order, part in zip(self._order, (values[: self.split], values[self.split :]))
        )
        return inside, out

    def described(
        self, own: Sequence[Sequence[Answer]], outside: Sequence[Sequence[Answer]] | None
    ) -> tuple[Floats, Floats]:
        """(members' units, F) and (others' units, F): the numbers that a score is learnt from."""
        beside = outside if outside is not None else [None] * len(own)
        numbers = np.array([described(rows, other) for rows, other in zip(own, beside)])
        inside, out = zip(*(self.means(column) for column in numbers.T))
        return np.stack(inside, axis=1), np.stack(out, axis=1)


def _mean_by(order: NDArray[np.int64], values: Floats) -> Floats:
    means: Floats = np.bincount(order, weights=values) / np.bincount(order)
    return means


def _true_positives(inside: Floats, out: Floats, note: str) -> list[Measurement]:
    measurements = []
    n = len(inside) + len(out)
    for label, fpr in metrics.FALSE_POSITIVE_RATES.items():
        found = metrics.tpr_at_fpr(inside, out, fpr)
        if found is None:
            refusal = (
                f"{len(out)} held-out documents give {len(out) * fpr:.1f} expected false positives; "
                f"{metrics.EXPECTED_FALSE_POSITIVES} are needed"
            )
            measurements.append(Measurement("membership", label, None, None, None, 0.95, n, note=refusal))
        else:
            measurements.append(measured("membership", label, found, n, note=note))
    return measurements


def _roc(name: str, inside: Floats, out: Floats) -> Curve:
    fpr, tpr = metrics.roc(inside, out)
    keep = np.unique(np.linspace(0, len(fpr) - 1, min(len(fpr), 200)).astype(int))
    bands = [metrics.clopper_pearson(round(float(t) * len(inside)), len(inside)) for t in tpr[keep]]
    return Curve(
        "membership", "roc", "false-positive rate", "true-positive rate", name,
        tuple(map(float, fpr[keep])), tuple(map(float, tpr[keep])),
        tuple(low for low, _ in bands), tuple(high for _, high in bands),
    )  # fmt: skip


# --- the attack ---------------------------------------------------------------------------------------

ALL = 1.0
"""Every position is scored in one pass: nothing has to be hidden from a causal model."""


def _run(bench: Bench) -> Result:
    return membership(
        bench.model, bench.reference, bench.members, bench.others, bench.rng("membership"), bench.shadows,
        ALL if bench.audited.causal else RATE,
    )  # fmt: skip


def _does(audited: Audited) -> str:
    if not audited.has_reference:
        return "loss, min-k, neighbours and a learnt score: no --reference; with a blind baseline"
    return "loss, min-k, neighbours, calibrated, mask votes, RMIA and a learnt score, with two baselines"


SHADOW_MODELS = Part(
    "shadow models",
    lambda audited: f"LiRA with {len(audited.shadows)} shadow models",
    (),
    lambda audited: "" if len(audited.shadows) >= 2 else "LiRA needs two or more models that saw neither set",
    unasked=lambda audited: "" if audited.shadows else "no shadow models were given (--shadow)",
)
ATTACK = Attack(
    "membership",
    _does,
    family("membership"),
    _run,
    how=(
        "masked loss; minus the loss of the initial checkpoint under the same masks; the least likely fifth "
        "of the tokens, as they are (min-k) and by the model's own spread (min-k++); votes of the masks; "
        "texts a few words away (neighbours); RMIA; LiRA with two or more `--shadow` models; a score "
        "learnt from the other units each (`learned`); averaged over the documents of a unit"
    ),
    control=(
        "held-out rows; a blind baseline (words and length only): when it separates the sets, the verdict is "
        "withheld; the reference alone, tested as the model is: what it knows, training started from"
    ),
    beside=(SHADOW_MODELS,),
)
