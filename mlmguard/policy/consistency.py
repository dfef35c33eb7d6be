"""What cannot be true is refused before it is judged: what contradicts itself proves nothing.

A judge believes files. Numbers outside of what they can be, a claim below its own ledger, unknown words where
few are known, or a list from which something was taken would each make a verdict better than the audit was.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from mlmguard import accounting
from mlmguard.errors import InputError
from mlmguard.hazards import HAZARDS, MECHANISM_CHECKS
from mlmguard.measures import ATTACKS, DERIVED, REQUIRED, YES_NO, charged_steps
from mlmguard.types import (
    ALONE,
    LABEL_OF_NO_TYPE,
    Curve,
    DpPlan,
    Evidence,
    LedgerEntry,
    Manifest,
    Measurement,
    PrivacyStatement,
    Review,
)

_BEYOND = 1e15
"""No count, bit or ε is as large. A loss may be, of weights that are out of bounds, and is shown as it is."""
_CONFIDENCE = (0.95, 0.975)
"""What intervals are formed at; those of a search that may end after its first look, at half the error."""
_EXACT = ("epsilon.claimed", "epsilon.refutable")
"""Measured from nothing, and so at full confidence."""
_ROUNDING = 1e-6  # relative: numbers are written with all their digits
_CLAIM_ROUNDING = 1e-3  # relative: accountants round up to their grid
_LONGEST = 10_000  # entries of one list of the evidence, but for points of curves
_SHARE_ENDS = ("rate", "rate_heldout", "auc", "top1", "top10", "top1_train", "top1_heldout", "emitted",
               "known", "found", "first", "recall", "_p", "_fpr", "_share")  # fmt: skip
_HAZARD = ("absent", "present", "unknown")
_OLDEST = ("initial-weights", "tokenizer", "tuning")
"""Hazards that statements older than digests answered, too."""
_HOLM = re.compile(r"Holm over (\d{1,4}) tests")
_STANDS_OUT = 2.5  # bits; by chance a mean of 1.44
_BY_CHANCE = 0.05
_WIDEST = 7.0  # over n, squared: what Hoeffding's inequality allows beyond with probability 1e-6
_MEASURING = frozenset({*ATTACKS, "epsilon"})
_LEAST_NOISE = 0.1  # of its norm; with less, a claim says nothing
_DERIVED_ROUNDING = 0.01  # relative: their grids are coarser, and were others in versions of before
_RATES = ("0.001", "0.01", "0.1")
_SAYS_NOTHING = 50.0
"""A claim above this is not checked against its ledger: its odds are e⁵⁰, more than any audit can show."""
_MOST_STEPS = 2_000_000
_MOST_ENTRIES = 16
"""Of a ledger: a run writes one for its steps, one for its count and one for its tokenizer."""


def refuse_impossible(said: Evidence | Review | PrivacyStatement, thing: str) -> None:
    """Raise :class:`InputError` with the first thing in ``said`` that cannot be true."""
    fault = next(faults(said), "")
    if fault:
        raise InputError(
            thing, fault, "what agrees with itself", "restore it as it was written, or make it anew"
        )


def faults(evidence: Evidence | Review | PrivacyStatement) -> Iterator[str]:
    """Everything in ``evidence`` that cannot be true, cheap things first."""
    if isinstance(evidence, PrivacyStatement):
        yield from _of_statement(evidence)
        return
    for place, number in enumerate(evidence.measurements):
        yield from (f"measurements.{place} {fault}" for fault in _of_number(number))
    if isinstance(evidence, Review):
        yield from _counts({"passages": evidence.passages})
        return
    yield from _of_model(evidence)
    for place, curve in enumerate(evidence.curves):
        yield from (f"curves.{place} {fault}" for fault in _of_curve(curve))
    yield from _of_attacks(evidence)
    yield from _of_the_family(evidence)
    if evidence.manifest is not None:
        yield from (f"manifest: {fault}" for fault in _of_manifest(evidence.manifest))
    if evidence.statement is not None:
        yield from (f"statement: {fault}" for fault in _of_statement(evidence.statement))
        yield from _of_claims(evidence)


# --- numbers ------------------------------------------------------------------------------------------


def _of_number(number: Measurement) -> Iterator[str]:
    name = f"{number.attack}.{number.metric}"
    said = (number.value, number.low, number.high, number.ceiling)
    if any(one is not None and not math.isfinite(one) for one in said):
        yield f"({name[:60]}) is no finite number"
        return
    if number.examples < 0:
        yield f"({name[:60]}) has {number.examples:,} examples"
    if name in DERIVED:
        return  # computed here, from the nouns; what a file says of it is not read
    declared = (1.0,) if name in _EXACT else _CONFIDENCE
    if number.confidence not in declared:
        yield f"({name[:60]}) is at {number.confidence:g} confidence and not at {declared[0]:g}"
    value, low, high, ceiling = said
    ends = [one for one in (low, value, high) if one is not None]
    if any(above < below - _slack(below) for below, above in pairwise(ends)):
        yield f"({name[:60]}) lies outside its own interval"
    if value is not None and ceiling is not None and value > ceiling + _slack(ceiling):
        yield f"({name[:60]}) is above the largest value that its design could show"
    least, most = range_of(name)
    if any(one < least - _ROUNDING or one > most + _ROUNDING for one in (*ends, ceiling or 0.0)):
        yield f"({name[:60]}) is not between {least:g} and {most:g}"
    if name in YES_NO and value not in (None, 0.0, 1.0):
        yield f"({name[:60]}) is neither yes nor no"


def range_of(name: str) -> tuple[float, float]:
    """What a number of this name can be: shares and probabilities, their differences, bits and ε, or any."""
    family, _, metric = name.partition(".")
    if metric == "counterfactual_excess":
        return -2.0, 2.0  # a difference of two differences
    if metric.endswith(("_excess", "_margin")):
        return (-1.0, 1.0) if metric.endswith("_excess") else (-math.inf, math.inf)
    if family == "drift":
        return _OF_DRIFT.get(metric, (-math.inf, math.inf))
    if metric.endswith(_SHARE_ENDS):
        return 0.0, 1.0
    if family == "epsilon" or "exposure" in metric or metric.endswith("_rank"):
        return 0.0, _BEYOND
    return (0.0 if metric.endswith("_loss") else -math.inf), math.inf


_OF_DRIFT = {
    **dict.fromkeys(("p", "p_documents", "vocabulary_js", "embedding_auc"), (0.0, 1.0)),
    **dict.fromkeys(("unknown_change", "unseen_change", "rare_change", "cka"), (-1.0, 1.0)),
    "pseudo_perplexity": (0.0, math.inf),
    "embedding_mmd": (-2.0, 2.0),
    "row_movement": (0.0, 2.0),
}


def _slack(value: float) -> float:
    return _ROUNDING * max(1.0, abs(value))


def _counts(named: dict[str, int]) -> Iterator[str]:
    yield from (f"{name} is {count:,}" for name, count in named.items() if count < 0 or count > _BEYOND)


def _of_curve(curve: Curve) -> Iterator[str]:
    if len(curve.x) != len(curve.y) or {len(curve.low), len(curve.high)} - {0, len(curve.x)}:
        yield "has points without a partner"
    if not all(map(math.isfinite, (*curve.x, *curve.y, *curve.low, *curve.high))):
        yield "has a point that is no finite number"


# --- the audit ----------------------------------------------------------------------------------------


def _of_model(evidence: Evidence) -> Iterator[str]:
    yield from _counts({"parameters": evidence.model.parameters, "vocabulary": evidence.model.vocabulary})
    if len(evidence.model.digest) != 64 or set(evidence.model.digest) - set("0123456789abcdef"):
        yield "model.digest is no SHA-256"
    margins = [m.low for m in evidence.measurements if (m.attack, m.metric) == ("model", "unigram_margin")]
    unproved = not margins and bool(evidence.measurements)  # an empty audit is inconclusive as it is
    if evidence.model.beats_unigram and (unproved or any(low is None or low <= 0 for low in margins)):
        yield "the model beats word frequencies, by a margin that may be none"
    if max(len(evidence.measurements), len(evidence.curves), len(evidence.attacks)) > _LONGEST:
        yield f"holds a list of more than {_LONGEST:,} entries"


def _of_attacks(evidence: Evidence) -> Iterator[str]:
    yield from _unknown(
        "attack", (one.status for one in evidence.attacks), ("run", "not run", "not applicable")
    )
    alone = evidence.statement is None and ALONE in evidence.notes  # they count as not run all the same
    for one in evidence.attacks:
        if one.status == "not applicable" and one.attack in REQUIRED and not alone:
            yield f"attack {one.attack[:40]!r} applies to every checkpoint"
    yield from _twice("attack", (one.attack for one in evidence.attacks))
    told = {number.attack for number in evidence.measurements}
    formed = {m.attack for m in evidence.measurements if m.value is not None} & set(ATTACKS)
    for one in evidence.attacks:
        if one.status == "run" and one.attack in _MEASURING - told:
            yield f"attack {one.attack[:40]!r} was run, and no number of it is there"
        if one.status == "not run" and one.attack in formed:
            yield f"attack {one.attack[:40]!r} was not run, and numbers of it are there"


def _of_the_family(evidence: Evidence) -> Iterator[str]:
    """What belongs together: a test and its number, all tests of one correction, a mean and its test."""
    named = {(m.attack, m.metric, m.slice): m for m in evidence.measurements}
    tests = [m for m in evidence.measurements if m.metric.endswith("_p") and m.value is not None]
    for test in tests:
        family = _HOLM.match(test.note)
        if family and int(family[1]) != len(tests):
            yield f"{len(tests)} tests, of a family of {int(family[1]):,}"
            break
    areas = {
        ending: {slice_ for attack, metric, slice_ in named if (attack, metric) == ("membership", ending)}
        for ending in ("auc", "auc_p")
    }
    if areas["auc_p"] - areas["auc"] - {"reference"}:
        yield "a test of membership without its area"
    mean, p = (named.get(("canary", f"exposure_{end}", "")) for end in ("mean", "p"))
    if mean and p and (mean.low or 0) > _STANDS_OUT and (p.value or 0) >= _BY_CHANCE:
        yield f"canaries of {mean.value:.3g} bits of exposure, and a test that finds none"
    for name in ("extraction_rate", "extraction_rate_heldout"):
        rate = named.get(("canary", name, ""))
        if not rate or rate.value is None or rate.low is None or rate.examples <= 0:
            continue
        if rate.value - rate.low > math.sqrt(_WIDEST / rate.examples):
            yield f"(canary.{name}) has a wider interval than {rate.examples:,} canaries give"


def _of_manifest(manifest: Manifest) -> Iterator[str]:
    copies = manifest.duplicates
    yield from _counts(
        {
            "documents_read": manifest.documents_read,
            "documents_written": manifest.documents_written,
            "duplicates": min(
                copies.exact, copies.near, copies.cross_split, copies.evaluation, copies.earlier
            ),
            "passages": min(copies.passages, copies.passages_cut),
            "skipped": manifest.records_skipped,
            **{f"splits.{name[:20]}": count for name, count in manifest.splits.items()},
            **{f"outputs.{n}": shard.documents for n, shard in enumerate(manifest.outputs)},
        }
    )
    if any(one.records < 1 for one in manifest.skipped):
        yield "an entry of what was left out that stands for no record"
    if manifest.documents_written > manifest.documents_read:
        yield "more documents were written than read"
    if sum(manifest.splits.values()) != manifest.documents_written:
        yield "the splits do not hold the documents that were written"
    for row in manifest.findings:
        sound = 0 <= row.redacted <= row.found and 0 <= row.documents <= row.found
        if not sound or (row.left or 0) < 0:
            yield f"findings of {row.rule[:40]!r} do not add up"
    for column in manifest.columns:
        if not 0 <= column.documents <= column.found:
            yield f"findings of {column.rule[:40]!r} in a column do not add up"
    yield from _unknown(
        "detector",
        (d.status for d in manifest.coverage),
        ("available", "not run", "no detector", LABEL_OF_NO_TYPE),
    )
    yield from _unknown(
        "language",
        (row.status for row in manifest.languages),
        ("looked for", "not looked for", "undetermined"),
    )
    if manifest.languages and sum(row.documents for row in manifest.languages) != manifest.documents_read:
        yield "documents by language are not those that were read"
    if any(row.documents < 0 for row in manifest.languages):
        yield "a negative number of documents in a language"
    if manifest.schema != Manifest.schema:
        yield "of another schema"


# --- the claim ----------------------------------------------------------------------------------------


def _of_claims(evidence: Evidence) -> Iterator[str]:
    statement = evidence.statement
    assert statement is not None
    for number in evidence.measurements:
        if (number.attack, number.metric) != ("epsilon", "claimed") or number.value is None:
            continue
        if statement.epsilon is None or not math.isclose(
            number.value, statement.epsilon, rel_tol=_CLAIM_ROUNDING
        ):
            yield "the audit names another ε than the statement"


def _of_statement(statement: PrivacyStatement) -> Iterator[str]:
    if statement.schema != PrivacyStatement.schema:
        yield "of another schema"
    yield from _twice("hazard", (one.id for one in statement.hazards))
    yield from _unknown("hazard", (one.status for one in statement.hazards), _HAZARD)
    yield from _twice("check", (one.id for one in statement.mechanism_checks))
    yield from _unknown(
        "check", (one.outcome for one in statement.mechanism_checks), ("passed", "failed", "not run")
    )
    yield from _counts({"steps_applied": statement.steps_applied})
    numbers = [statement.epsilon, statement.delta, statement.corpus_epsilon, statement.gaussian_mu]
    numbers += [reading.epsilon for reading in statement.accountants]
    if any(one is not None and not (math.isfinite(one) and one >= 0) for one in numbers):
        yield "a cost that is negative or no finite number"
        return
    if not statement.private:
        if statement.epsilon is not None or statement.ledger or statement.plan is not None:
            yield "not private, beside a plan, a ledger or an ε"
        return
    yield from _complete(statement)
    yield from _spent(statement)


def _complete(statement: PrivacyStatement) -> Iterator[str]:
    """All that a private statement of its version answers: what was taken out would count as no hazard."""
    current = bool(statement.digests or statement.seal or statement.mechanism_checks)
    answered = {one.id for one in statement.hazards}
    missing = sorted(set(HAZARDS if current else _OLDEST) - answered)
    if missing:
        yield f"hazards that are not answered: {', '.join(missing)}"
    if statement.mechanism_checks:
        untold = sorted(set(MECHANISM_CHECKS) - {one.id for one in statement.mechanism_checks})
        if untold:
            yield f"checks of the mechanism that are not told: {', '.join(untold)}"


def _spent(statement: PrivacyStatement) -> Iterator[str]:
    plan, delta, epsilon = statement.plan, statement.delta, statement.epsilon
    if epsilon is None:
        return  # private without a finite ε: a rule says what that is worth
    if plan is None or delta is None or not statement.ledger:
        yield "an ε without plan, δ or ledger"
        return
    if not 0 < delta < 1:
        yield "a δ that is no probability"
        return
    if len(statement.ledger) > _MOST_ENTRIES:
        yield f"a ledger of {len(statement.ledger):,} entries"
        return
    strange = next((fault for entry in statement.ledger for fault in _of_entry(entry)), "")
    if strange:
        yield f"ledger: {strange}"
        return
    for entry in statement.ledger:
        if entry.mechanism == "poisson-gaussian" and entry.steps and not _as_planned(entry, plan):
            yield "steps charged with another noise or sample rate than was planned"
            return
    charged = charged_steps(statement.ledger)
    if charged != plan.steps or statement.steps_applied > charged:
        yield f"{charged:,} steps charged, {plan.steps:,} planned and {statement.steps_applied:,} applied"
        return
    if statement.corpus_epsilon is not None and statement.corpus_epsilon < epsilon * (1 - _CLAIM_ROUNDING):
        yield "the runs on the corpus together cost less than this one"
    if epsilon >= _SAYS_NOTHING:
        return
    if _costs_more(statement.ledger, delta, epsilon * (1 + _CLAIM_ROUNDING)):
        yield f"claims ε = {epsilon:.4g}, and its ledger costs more"
        return
    yield from _derived(statement, delta)


def _as_planned(entry: LedgerEntry, plan: DpPlan) -> bool:
    pairs = (entry.noise_multiplier, plan.noise_multiplier), (entry.sample_rate, plan.sample_rate)
    return all(math.isclose(charged, planned, rel_tol=_ROUNDING) for charged, planned in pairs)


def _derived(statement: PrivacyStatement, delta: float) -> Iterator[str]:
    """What follows from the ledger and is said to be less: what an attack can do, what a group has."""
    for rate, ceiling in statement.true_positive_ceilings.items():
        if rate not in _RATES:
            yield f"a ceiling at a rate that is not known ({rate[:20]!r})"
            continue
        allowed = accounting.true_positive_ceiling(statement.ledger, float(rate))
        if ceiling < allowed * (1 - _DERIVED_ROUNDING):
            yield f"a ceiling of {ceiling:.3g} at {rate} false accusations, and its ledger allows more"
    for size, said in statement.group_epsilon.items():
        if size not in map(str, accounting.GROUPS):
            yield f"a group of a size that is not known ({size[:20]!r})"
            continue
        found = accounting.group_epsilon(statement.ledger, int(size), delta)
        if said is not None and (found is None or said < found * (1 - _DERIVED_ROUNDING)):
            yield f"ε = {said:.4g} for a group of {size}, and its ledger costs more"


def _costs_more(ledger: Sequence[LedgerEntry], delta: float, claimed: float) -> bool:
    """Does ``ledger`` cost more than ``claimed``? The quick bound first: composing the absurd takes long."""
    pure = (entry.epsilon for entry in ledger if entry.mechanism == "discrete-laplace")
    gaussian = (accounting.least_epsilon(entry) for entry in ledger if entry.mechanism != "discrete-laplace")
    return max((*pure, *gaussian)) > claimed or accounting.compose(ledger, delta) > claimed + 1e-9


def _of_entry(entry: LedgerEntry) -> Iterator[str]:
    if entry.mechanism not in ("poisson-gaussian", "discrete-laplace", "gaussian-threshold"):
        yield f"a mechanism that is not known ({entry.mechanism[:40]!r})"
        return
    numbers = (entry.noise_multiplier, entry.sample_rate, entry.epsilon, entry.delta)
    if not all(map(math.isfinite, numbers)) or min(numbers) < 0 or entry.steps < 0:
        yield "a number below 0, or none"
    elif entry.mechanism == "discrete-laplace":
        if entry.epsilon == 0:
            yield "a count that costs nothing"
    elif entry.noise_multiplier < _LEAST_NOISE:
        yield "a release without noise"
    elif entry.sample_rate > 1 or entry.delta >= 1:
        yield "a probability above 1"
    elif entry.steps > _MOST_STEPS:
        yield f"more than {_MOST_STEPS:,} steps, which is more than can be composed here"


# --- words --------------------------------------------------------------------------------------------


def _unknown(what: str, found: Iterable[str], known: tuple[str, ...]) -> Iterator[str]:
    for one in found:
        if one not in known:
            yield f"{what} status {one[:40]!r} is none of {', '.join(known)}"


def _twice(what: str, found: Iterable[str]) -> Iterator[str]:
    for name, count in Counter(found).items():
        if count > 1:
            yield f"{what} {name[:40]!r} stands {count} times"
