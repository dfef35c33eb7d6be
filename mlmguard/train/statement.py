"""The claim of a run, computed from the ledger of what ran; for a plain run, that there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from mlmguard import __version__, accounting
from mlmguard.settings import LEARNT_TOKENIZERS, TrainSettings
from mlmguard.train.data import Corpus
from mlmguard.train.planning import Plan
from mlmguard.train.run import Run
from mlmguard.training.journal import Journal
from mlmguard.training.mechanism import SamplerCheck, check_sampler
from mlmguard.training.privacy import claim
from mlmguard.training.privacy.claim import UnitOfPrivacy
from mlmguard.training.privacy.ledger import RunOnCorpus, epsilon_together
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
        "unprotected": (
            *(
                ()
                if settings.quiet_metrics
                else ("losses, held-out metrics and counts of the training text",)
            ),
            "every number of an audit report",
        ),
        "tool_version": __version__,
        "tool_versions": {name: version(name) for name in TOOLS},
    }
    if dp is None:
        stated = _not_private(corpus, common)
    else:
        precision = plan.recipe.precision
        stated = _private(settings, unit, dp, ledger, journal, units, corpus, others, own, precision, common)
    return replace(stated, digest=accounting.statement_digest(stated))


def _not_private(corpus: Corpus, common: dict[str, Any]) -> PrivacyStatement:
    left_out = [shard.shard for shard in corpus.clean.damaged]
    return PrivacyStatement(
        private=False, epsilon=None, delta=None, accountants=(), adjacency="", sampler="shuffled epochs",
        plan=None, ledger=(), batch_sizes={}, covers="nothing: this run is not private",
        hazards=(claim.damaged_input(left_out, corpus.clean.sealed, named=True),) if left_out else (),
        data_accesses=("training", "held-out metrics", "audit"),
        raw_corpus="nothing: this run is not private", **common,
    )  # fmt: skip


def _private(
    settings: TrainSettings,
    unit: UnitOfPrivacy,
    plan: DpPlan,
    ledger: Sequence[LedgerEntry],
    journal: Journal,
    units: int,
    corpus: Corpus,
    others: list[RunOnCorpus],
    own: RunOnCorpus,
    precision: str,
    common: dict[str, Any],
) -> PrivacyStatement:
    left_out = [shard.shard for shard in corpus.clean.damaged]
    readings = accounting.readings(ledger, plan.delta)
    sampler = check_sampler(journal.drawn, units, plan.sample_rate)
    together, reason = epsilon_together([own, *others], plan.delta)
    kind = _tokenizer_kind(settings)
    covered = "weights, but not the tokenizer" if kind == "private" else "weights and tokenizer"
    return PrivacyStatement(
        private=True,
        epsilon=readings[0].epsilon,
        delta=plan.delta,
        accountants=readings,
        adjacency="one unit added or removed",
        sampler="Poisson: every unit independently at every step",
        plan=plan,
        ledger=tuple(ledger),
        batch_sizes=_sizes(sampler),
        covers=f"{covered}, for the rows of clean/train" + (" that were read" if left_out else ""),
        data_accesses=(
            *(f"{entry.what} ({entry.mechanism}, in the ledger)" for entry in ledger),
            "self-check of the clipping on the first units (steers nothing)",
            *(() if settings.quiet_metrics else ("held-out metrics (unprotected)",)),
            "audit (unprotected)",
        ),
        hazards=claim.hazards(
            claim.Facts(
                unit=unit,
                public_size=settings.public_size is not None,
                tokenizer=kind,
                initial_weights=settings.starts_from,
                sampler=sampler,
                others=common["corpus_releases"],
                corpus_epsilon=together,
                corpus_epsilon_reason=reason,
                learning_rate_given=settings.learning_rate is not None,
                left_out=left_out,
                sealed=corpus.clean.sealed,
                precision_margin=None if precision == "fp32" else plan.precision_margin,
            )
        ),
        contribution={"windows_a_draw": 1.0, "gradient_norm": plan.max_grad_norm},
        epsilon_without_amplification=accounting.epsilon_without_amplification(
            plan.noise_multiplier, journal.charged, plan.delta
        ),
        gaussian_mu=accounting.gaussian_mu(plan.noise_multiplier, plan.sample_rate, journal.charged),
        true_positive_ceilings={
            f"{rate:g}": accounting.true_positive_ceiling(ledger, rate)
            for rate in accounting.FALSE_POSITIVE_RATES
        },
        group_epsilon={
            str(size): accounting.group_epsilon(ledger, size, plan.delta) for size in accounting.GROUPS
        },
        raw_corpus=claim.RAW_CORPUS,
        corpus_epsilon=together,
        corpus_epsilon_reason=reason,
        **common,
    )


def _release(run: RunOnCorpus) -> CorpusRelease:
    epsilon = accounting.compose(run.entries, run.delta) if run.private and run.delta else None
    return CorpusRelease(
        run.run_id, run.private, epsilon, run.unit,
        "finished" if run.finished else "unfinished", run.unit_kind,
    )  # fmt: skip


def _sizes(sampler: SamplerCheck) -> dict[str, float]:
    """Realised batch sizes, standardised: they say whether the sampler did what was claimed, and not n."""
    return {
        "mean_z": sampler.mean_z,
        "variance_ratio": sampler.variance_ratio,
        "variance_p": sampler.p_value,
        "steps": float(sampler.steps),
        **{name: float(count) for name, count in sampler.histogram.items()},
    }


def _tokenizer_kind(settings: TrainSettings) -> str:
    """A key of :data:`claim.TOKENIZERS`."""
    if settings.tokenizer in LEARNT_TOKENIZERS:
        return "dp" if settings.tokenizer == "dp" else "private"
    return "named" if settings.tokenizer or settings.starts_from else "shipped"
