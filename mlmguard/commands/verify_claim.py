"""What follows from plan, ledger and facts of the training, computed anew and compared with a statement."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from mlmguard import accounting
from mlmguard.settings import FROM_SCRATCH, UnitChoice
from mlmguard.showing import show_checks, show_epsilon
from mlmguard.training.privacy import claim, derived
from mlmguard.training.privacy.claim import UnitOfPrivacy
from mlmguard.training.privacy.origin import PUBLIC, UNKNOWN, Origin
from mlmguard.training.privacy.seals import Check, is_older
from mlmguard.types import LedgerEntry, PrivacyStatement, UnitKind

#: Relative. Accountants round up to their grid; a figure this close to what is computed anew is the same.
_ROUNDING = 1e-3
_FROM_TEXT = ("sampling-mismatch", "damaged-input")
"""Hazards whose words hold numbers of the run: only whether they are answered is checked."""


def plain(statement: PrivacyStatement) -> Iterator[Check]:
    """A statement that claims nothing holds nothing of a claim."""
    if statement.plan or statement.ledger or statement.epsilon is not None or statement.accountants:
        do = "do not release: nobody can say what it claims"
        yield Check("claim", "not private, beside a plan, a ledger or an ε", "contradicted", do)
    else:
        do = "treat the weights like the corpus"
        yield Check("claim", "no differential privacy is claimed", "holds", do)


def private(statement: PrivacyStatement, training: Mapping[str, Any]) -> Iterator[Check]:
    """Every field of a private claim; ``training`` is what ``training.json`` says."""
    plan, delta = statement.plan, statement.delta
    if plan is None or delta is None or statement.epsilon is None or not statement.ledger:
        yield Check(
            "claim", "without plan, δ, ε or ledger", "contradicted", "a claim is computed from what ran"
        )
        return
    yield _ledger(statement)
    spent = accounting.compose(statement.ledger, delta)
    claimed = show_epsilon(statement.epsilon)
    compared = f"ε = {show_epsilon(spent)} at δ = {delta:g} from the ledger, {claimed} claimed"
    if not (math.isfinite(spent) and _same(statement.epsilon, spent)):
        yield Check("ε, computed anew", compared, "contradicted", "the claim is not what was spent")
    else:
        yield Check("ε, computed anew", compared, "holds")
    if not math.isfinite(spent) or not plan.noise_multiplier > 0:
        return
    yield from _figures(statement)
    yield _mechanism(statement)
    if is_older(statement):
        yield Check("words", "not compared: an older version had others", "unknown")
    else:
        yield from _words(statement, training)


def _mechanism(statement: PrivacyStatement) -> Check:
    """What the run's tests of its own mechanism came to: a failed one says that something else ran."""
    tests = statement.mechanism_checks
    if not tests:
        return Check("mechanism", "not tested: made before runs tested themselves", "unknown")
    found = show_checks(tests)
    if failed := next((test.id for test in tests if test.outcome == "failed"), ""):
        return Check("mechanism", found, "contradicted", f"mlmguard explain mechanism.{failed}")
    return Check("mechanism", found, "holds" if all(t.outcome == "passed" for t in tests) else "unknown")


def _ledger(statement: PrivacyStatement) -> Check:
    plan, steps = statement.plan, derived.steps_of(statement.ledger)
    assert plan is not None
    strange = [entry for entry in statement.ledger if not _as_planned(entry, statement)]
    if strange or steps != plan.steps or statement.steps_applied > steps:
        found = f"{steps:,} steps charged, {plan.steps:,} planned, {statement.steps_applied:,} applied"
        if strange:
            found += "; other noise or sample rate than planned"
        do = "the plan couples noise, rate and steps; do not release"
        return Check("ledger", found, "contradicted", do)
    return Check("ledger", f"{steps:,} steps as planned, {statement.steps_applied:,} applied", "holds")


def _as_planned(entry: LedgerEntry, statement: PrivacyStatement) -> bool:
    plan = statement.plan
    if entry.mechanism != "poisson-gaussian" or plan is None:
        return True
    return (entry.noise_multiplier, entry.sample_rate) == (plan.noise_multiplier, plan.sample_rate)


def _figures(statement: PrivacyStatement) -> Iterator[Check]:
    """Every number that plan and ledger decide: an older statement may lack some, and says so."""
    assert statement.plan is not None
    stated = {**asdict(statement), "accountants": statement.accountants}
    expected = derived.fields(statement.ledger, statement.plan)
    del expected["epsilon"]  # it has a line of its own
    for field in ("adjacency", "sampler", "raw_corpus") if is_older(statement) else ():
        del expected[field]
    absent = [name for name in expected if is_older(statement) and not stated[name]]
    differ = [name for name in expected if name not in absent and not _same(stated[name], expected[name])]
    alone = not any(release.private for release in statement.corpus_releases)
    together, epsilon = statement.corpus_epsilon, statement.epsilon
    assert epsilon is not None
    if together is None:
        if not is_older(statement) and (alone or not statement.corpus_epsilon_reason):
            differ.append("corpus_epsilon")
    elif not (_same(together, epsilon) if alone else together >= epsilon):
        differ.append("corpus_epsilon")
    if differ:
        found, do = f"other than from plan and ledger: {', '.join(differ)}", "do not rely on them"
        yield Check("figures, computed anew", found, "contradicted", do)
    elif absent:
        found = f"as from plan and ledger; not stated: {', '.join(absent)}"
        yield Check("figures, computed anew", found, "unknown")
    else:
        yield Check("figures, computed anew", f"{len(expected) + 1} fields as from plan and ledger", "holds")


def _same(stated: Any, expected: Any) -> bool:
    """Is a field what was computed, numbers to the rounding of an accountant?"""
    if isinstance(expected, Mapping):
        return set(stated) == set(expected) and all(_same(stated[key], expected[key]) for key in expected)
    if isinstance(expected, tuple):
        return len(stated) == len(expected) and all(
            one.name == other.name and _same(one.epsilon, other.epsilon)
            for one, other in zip(stated, expected)
        )
    if isinstance(expected, float) and isinstance(stated, float):
        return math.isclose(stated, expected, rel_tol=_ROUNDING, abs_tol=1e-9)
    return bool(stated == expected)


def _words(statement: PrivacyStatement, training: Mapping[str, Any]) -> Iterator[Check]:
    """Unit, coverage, accesses and hazards: a sentence that training did not write contradicts."""
    try:
        unit, tokenizer = unit_of(statement, training), derived.tokenizer_kind(str(training["tokenizer"]))
        expected = {one.id: one for one in _hazards(statement, training, unit, tokenizer)}
    except (KeyError, TypeError, ValueError):
        do = "restore training.json as training wrote it"
        yield Check("words", "training.json lacks the facts they follow from", "contradicted", do)
        return
    differ = []
    assert statement.plan is not None
    if (statement.unit, statement.unit_definition) != (unit.name, unit.definition):
        differ.append("unit_definition")
    if statement.plan.unit != unit.name:
        differ.append("unit of the plan")
    left_out = any(one.id == "damaged-input" and one.status == "present" for one in statement.hazards)
    if statement.covers != derived.covers(tokenizer, left_out):
        differ.append("covers")
    quiet = derived.UNPROTECTED not in statement.unprotected
    if statement.unprotected != derived.unprotected(quiet):
        differ.append("unprotected")
    if statement.data_accesses != derived.data_accesses(statement.ledger, quiet):
        differ.append("data_accesses")
    do = "do not rely on them; restore privacy.json as training wrote it"
    if differ:
        yield Check("words", f"other than training writes: {', '.join(differ)}", "contradicted", do)
    else:
        yield Check("words", "unit, coverage and accesses as training writes them", "holds")
    stated = {one.id: one for one in statement.hazards}
    wrong = sorted(
        name
        for name in stated.keys() | expected.keys()
        if name not in stated
        or name not in expected
        or stated[name].status != expected[name].status
        or (name not in _FROM_TEXT and stated[name].detail != expected[name].detail)
    )
    if wrong or len(stated) != len(statement.hazards):
        found = f"missing, or other than the run's: {', '.join(wrong) or 'one stands twice'}"
        yield Check("hazards", found, "contradicted", do)
    else:
        yield Check("hazards", f"all {len(expected)} answered as this run's", "holds")


def unit_of(statement: PrivacyStatement, training: Mapping[str, Any]) -> UnitOfPrivacy:
    """The unit as training words it, from its kind, its name and what a draw gives."""
    draw = int(training["window"]), int(training.get("augmentation_multiplicity", 1))
    if UnitKind(statement.unit_kind) == UnitKind.KEY:
        return UnitOfPrivacy.of(None, None, statement.unit, *draw)
    choices = {UnitKind.ROW: UnitChoice.DOCUMENT, UnitKind.PIECE: UnitChoice.SEQUENCE}
    return UnitOfPrivacy.of(choices[UnitKind(statement.unit_kind)], None, None, *draw)


def _origin(statement: PrivacyStatement) -> Origin:
    """Where named weights come from, by the runs on the corpus that the hazard names; none: unknown."""
    said = next((one.detail for one in statement.hazards if one.id == "initial-weights"), "")
    named = sorted(
        (one for one in statement.corpus_releases if one.run_id in said), key=lambda r: said.index(r.run_id)
    )
    plain = next((one.run_id for one in named if not one.private), "")
    composed = tuple(one.run_id for one in named if not plain)
    return Origin(named[0].run_id if named else UNKNOWN, plain, composed)


def _hazards(
    statement: PrivacyStatement, training: Mapping[str, Any], unit: UnitOfPrivacy, tokenizer: str
) -> tuple[Any, ...]:
    assert statement.plan is not None
    stated = {one.id: one for one in statement.hazards}
    start = str(training["init"])
    damaged = stated.get("damaged-input")
    facts = claim.Facts(
        unit=unit,
        public_size=not any(entry.mechanism == "discrete-laplace" for entry in statement.ledger),
        tokenizer=tokenizer,
        origin=Origin(PUBLIC) if start in (derived.WARMED_UP, FROM_SCRATCH) else _origin(statement),
        sampled_as_claimed=not derived.failed(statement.mechanism_checks, "sampler"),
        others=statement.corpus_releases,
        corpus_epsilon=statement.corpus_epsilon,
        corpus_epsilon_reason=statement.corpus_epsilon_reason,
        learning_rate_given="tuning" in stated and stated["tuning"].status == "unknown",
        left_out=["a shard"] if damaged and damaged.status == "present" else [],
        sealed=damaged is not None and damaged.status == "absent",
        precision_margin=None if training["precision"] == "fp32" else statement.plan.precision_margin,
    )
    return claim.hazards(facts)
