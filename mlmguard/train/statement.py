"""The claim of a run, computed from the ledger of what ran; for a plain run, that there is none."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from mlmguard import __version__, accounting
from mlmguard.artifacts import as_noun
from mlmguard.measures import APPLIED, charged_steps
from mlmguard.settings import TrainSettings
from mlmguard.train import mechanism
from mlmguard.train.data import Corpus
from mlmguard.train.planning import Plan
from mlmguard.train.run import Run
from mlmguard.training.journal import Journal
from mlmguard.training.mechanism import SamplerCheck
from mlmguard.training.privacy import claim, derived
from mlmguard.training.privacy.claim import UnitOfPrivacy
from mlmguard.training.privacy.ledger import RunOnCorpus, epsilon_together
from mlmguard.training.privacy.origin import UNKNOWN, Origin
from mlmguard.training.privacy.self_audit import SelfAudit
from mlmguard.types import CorpusRelease, DpPlan, LedgerEntry, PrivacyStatement

TOOLS = ("torch", "transformers", "tokenizers", "opacus", "dp-accounting", "numpy")


def statement(
    run: Run,
    settings: TrainSettings,
    unit: UnitOfPrivacy,
    plan: Plan,
    dp: DpPlan | None,
    ledger: Sequence[LedgerEntry],
    journal: Journal,
    units: int,
    corpus: Corpus,
    audit: SelfAudit | None,
) -> PrivacyStatement:
    """State what ``ledger``, all that the run has charged, amounts to; ``dp`` is the plan as it ran."""
    own, others = run.ledger.on_corpus_of(run.id)
    common: dict[str, Any] = {
        "run_id": run.id,
        "unit": unit.name,
        "unit_kind": str(unit.kind),
        "unit_definition": unit.definition,
        "steps_applied": journal.applied,
        "adaptation": settings.adapt,
        "corpus_releases": tuple(_release(other) for other in others),
        "unprotected": derived.unprotected(settings.quiet_metrics),
        "tool_version": __version__,
        "tool_versions": {name: version(name) for name in TOOLS},
    }
    if dp is None:
        return _not_private(corpus, common)
    common["warnings"] = _warnings(ledger, journal.applied)
    sampler = mechanism.sampler_check(journal, audit, units, dp)
    common["mechanism_checks"] = mechanism.tested(run, audit, sampler, dp, ledger)
    runs, precision = [own, *others], plan.recipe.precision
    return _private(run, settings, unit, dp, ledger, sampler, corpus, runs, precision, common)


def _warnings(ledger: Sequence[LedgerEntry], applied: int) -> tuple[str, ...]:
    charged = charged_steps(ledger)
    if applied >= APPLIED * charged:
        return ()
    lost = f"{applied:,} of {charged:,} steps reached the weights, and all were paid for"
    return (f"{lost}: a run that is killed loses what it had not saved. Train again, with an ε of its own.",)


def _not_private(corpus: Corpus, common: dict[str, Any]) -> PrivacyStatement:
    left_out = [shard.shard for shard in corpus.clean.damaged]
    return PrivacyStatement(
        private=False, epsilon=None, delta=None, accountants=(), adjacency="", sampler="shuffled epochs",
        plan=None, ledger=(), covers="nothing: this run is not private",
        hazards=(claim.damaged_input(left_out, corpus.clean.sealed, named=True),) if left_out else (),
        data_accesses=("training", "held-out metrics", "audit"),
        raw_corpus="nothing: this run is not private", **common,
    )  # fmt: skip


def _private(
    run: Run,
    settings: TrainSettings,
    unit: UnitOfPrivacy,
    plan: DpPlan,
    ledger: Sequence[LedgerEntry],
    sampler: SamplerCheck,
    corpus: Corpus,
    runs: list[RunOnCorpus],
    precision: str,
    common: dict[str, Any],
) -> PrivacyStatement:
    left_out = [shard.shard for shard in corpus.clean.damaged]
    known = run.facts().get("origin")  # a run that an earlier version began has none
    origin = as_noun(known, Origin, "run.json") if known else Origin(UNKNOWN)
    together, reason = epsilon_together(runs, plan.delta)
    kind = derived.tokenizer_kind(derived.tokenizer_of(settings))
    return PrivacyStatement(
        private=True,
        plan=plan,
        ledger=tuple(ledger),
        covers=derived.covers(kind, bool(left_out)),
        data_accesses=derived.data_accesses(ledger, settings.quiet_metrics),
        hazards=claim.hazards(
            claim.Facts(
                unit=unit,
                public_size=settings.public_size is not None,
                tokenizer=kind,
                origin=origin,
                sampled_as_claimed=sampler.agrees
                and not derived.failed(common["mechanism_checks"], "sampler"),
                others=common["corpus_releases"],
                corpus_epsilon=together,
                corpus_epsilon_reason=reason,
                learning_rate_given=settings.learning_rate is not None,
                left_out=left_out,
                sealed=corpus.clean.sealed,
                precision_margin=None if precision == "fp32" else plan.precision_margin,
            )
        ),
        corpus_epsilon=together,
        corpus_epsilon_reason=reason,
        **derived.fields(ledger, plan),
        **common,
    )


def _release(run: RunOnCorpus) -> CorpusRelease:
    epsilon = accounting.compose(run.entries, run.delta) if run.private and run.delta else None
    return CorpusRelease(
        run.run_id, run.private, epsilon, run.unit,
        "finished" if run.finished else "unfinished", run.unit_kind,
    )  # fmt: skip
