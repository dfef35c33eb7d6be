"""The numbers a policy may address: what each says, and those that follow from the nouns.

The audit measures; this file names. A derived number is a count or a fact that stands in the manifest, the
statement or the list of attacks already, so that a rule can address it like any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

from mlmguard.hazards import STANDING, STATED
from mlmguard.tiers import next_tier, tier
from mlmguard.types import (
    ALONE,
    DEALT,
    Evidence,
    FindingCount,
    LedgerEntry,
    Measurement,
    Metric,
    PrivacyStatement,
    looked_for,
    not_looked_for,
)

_METRICS = (
    Metric("model.heldout_loss", "mean loss on held-out text, nats a token", interval=True),
    Metric("model.unigram_loss",
           "loss of word frequencies alone on the same text, nats a token", interval=True),
    Metric("model.unigram_margin",
           "unigram loss minus the model's, nats a token; above 0 is better", interval=True),
    Metric("model.beats_unigram",
           "1 if the model is better than word frequencies on held-out text", yes_no=True),
    Metric("model.head_loaded",
           "1 if the masked-language head came from the checkpoint, 0 if it is random", yes_no=True),
    Metric("ngram.top1_train",
           "share of masked words of training phrases that the model ranks first", interval=True),
    Metric("ngram.top1_heldout",
           "share of masked words of matched held-out phrases that the model ranks first", interval=True),
    Metric("ngram.top1_excess",
           "training minus held-out phrases completed: at most this much is memorisation", interval=True),
    Metric("ngram.top1_p", "probability of so many phrases completed by chance, corrected for all tests"),
    Metric("ngram.counterfactual_excess",
           "the excess of phrases beyond what the reference completes as well", interval=True),
    Metric("rare.top1", "share of masked rare words the model ranks first", interval=True),
    Metric("rare.top1_excess",
           "how much more often a masked rare word is ranked first than an unseen one", interval=True),
    Metric("rare.top1_p",
           "probability of so many rare words ranked first by chance, corrected for all tests"),
    Metric("rare.top10", "share of masked rare words among the model's first ten", interval=True),
    Metric("rare.median_rank", "median rank of a masked rare word among all tokens", interval=True),
    Metric("rare.extraction_p",
           "probability of so many rare words recovered by chance, corrected for all tests"),
    Metric("rare.extraction_rate",
           "share of rare words, chosen without any detector, recovered whole by search", interval=True),
    Metric("rare.extraction_excess",
           "share of rare words recovered whole, minus that of words the model never saw", interval=True),
    Metric("records.listed",
           "how many training documents the model knows by heart, more than any held-out one"),
    Metric("records.recovered",
           "how many of those give their tokens back, where held-out ones and the reference do not"),
    Metric("records.highest_p",
           "probability that the highest scores lie in training documents by the deal, corrected"),
    Metric("values.listed",
           "how many training documents hold a value that is given back, more surely than any held-out one"),
    Metric("values.recovered",
           "how many of those come back where held-out ones and the reference give nothing near, if many do"),
    Metric("values.highest_p",
           "probability that the surest values lie in training documents by the deal, corrected"),
    Metric("generation.verbatim_rate",
           "share of drawn texts with an n-gram of training (or held-out) documents", interval=True),
    Metric("generation.near_verbatim_rate",
           "share of drawn texts that a document holds up to a tenth of edits", interval=True),
    Metric("generation.personal_rate",
           "share of drawn texts with a personal value of training (or held-out) text", interval=True),
    Metric("generation.documents_emitted",
           "share of documents of which a drawn text holds an n-gram of its own", interval=True),
    Metric("generation.documents_emitted_excess", "training minus held-out documents emitted", interval=True),
    Metric("generation.documents_p",
           "probability of so many documents emitted by chance, corrected for all tests"),
    Metric("vocabulary.rare_words_known",
           "share of words of one document that are vocabulary entries", interval=True),
    Metric("vocabulary.rare_words_p",
           "probability of such a difference of words by chance, corrected for all tests"),
    Metric("vocabulary.findings_known",
           "share of personal values that are one vocabulary entry", interval=True),
    Metric("vocabulary.findings_p",
           "probability of such a difference of values by chance, corrected for all tests"),
    Metric("pii.extraction_rate", "share of personal spans recovered whole by search", interval=True),
    Metric("pii.extraction_excess",
           "share of personal spans recovered, minus that of spans the model never saw", interval=True),
    Metric("pii.extraction_p", "probability of so many spans recovered by chance, corrected for all tests"),
    Metric("pii.top1", "share of masked personal words the model ranks first", interval=True),
    Metric("pii.top1_p",
           "probability of so many personal words ranked first by chance, corrected for all tests"),
    Metric("pii.top10", "share of masked personal words among the model's first ten", interval=True),
    Metric("pii.median_rank", "median rank of a masked personal word among all tokens", interval=True),
    Metric("pii.top1_excess",
           "how much more often a masked personal word is ranked first than an unseen one", interval=True),
    Metric("secrets.found",
           "share of the values named that search gives back or that rank before all decoys", interval=True),
    Metric("secrets.extraction_rate", "share of values named that search gives back whole", interval=True),
    Metric("secrets.ranked_first",
           "share of values named that rank before all decoys, and search does not give back", interval=True),
    Metric("secrets.top1", "share of masked tokens of those values the model ranks first", interval=True),
    Metric("secrets.found_p", "probability of so many values found by chance, corrected for all tests"),
    Metric("canary.auc", "area under the ROC of planted canaries against the others; 0.5 is chance",
           interval=True, column="canary AUC"),
    Metric("canary.exposure_mean", "mean exposure of planted canaries in bits; 1.443 is chance",
           interval=True, column="canary exposure, bits"),
    Metric("canary.exposure_p", "probability of such exposures by chance, corrected for the family of tests"),
    Metric("canary.exact_exposure_median",
           "median exposure in bits by exact rank among all secrets of the format", interval=True),
    Metric("canary.extrapolated_exposure_median",
           "median exposure in bits by a fitted tail; 1 is chance", interval=True),
    Metric("canary.extraction_rate",
           "share of planted canaries recovered whole by search", interval=True, column="canaries extracted"),
    Metric("canary.extraction_rate_heldout",
           "share of never-planted twins recovered whole by the same search", interval=True),
    Metric("canary.extraction_p",
           "probability of so many canaries recovered by chance, corrected for all tests"),
    Metric("membership.auc", "area under the ROC of members against non-members; 0.5 is chance",
           interval=True, column="membership AUC"),
    Metric("membership.tpr_at_0_1pct_fpr",
           "share of members recognised at 0.1 % false accusations", interval=True),
    Metric("membership.tpr_at_1pct_fpr",
           "share of members recognised at 1 % false accusations; 0.01 is chance", interval=True),
    Metric("membership.tpr_at_10pct_fpr",
           "share of members recognised at 10 % false accusations; 0.1 is chance", interval=True),
    Metric("membership.auc_p", "probability of such an area by chance, corrected for the family of tests"),
    Metric("membership.shift",
           "1 if members and non-members differ in kind, so that membership speaks of the split",
           yes_no=True),
    Metric("membership.blind_auc",
           "area under the ROC of a guesser that never sees the model; 0.5 is chance", interval=True),
    Metric("membership.reference_auc",
           "area under the ROC for the reference model alone; 0.5 is chance", interval=True),
    Metric("releases.auc",
           "area under the ROC of documents that came or went between two releases; 0.5 is chance",
           interval=True),
    Metric("releases.auc_p",
           "probability of such an area between two releases by chance, corrected for all tests"),
    Metric("epsilon.one_run_lower_bound",
           "ε this one training run demonstrably spent, at 95 % confidence", column="ε shown"),
    Metric("epsilon.white_box_lower_bound",
           "ε that canaries of the run itself show of its mechanism, at 95 % confidence"),
    Metric("epsilon.white_box_if", "the bound that this test would give under a fault (the slice)"),
    Metric("epsilon.two_sample_heuristic",
           "lower bound of ε by true and false positives; no theorem about one run"),
    Metric("epsilon.if_gaussian", "lower bound of ε if secrets leak as by a Gaussian mechanism; no theorem"),
    Metric("epsilon.claimed", "the ε that the checkpoint claims"),
    Metric("epsilon.refutable", "1 if this audit had enough canaries to refute the claim", yes_no=True),
    Metric("privacy.epsilon", "ε computed from the ledger"),
    Metric("privacy.corpus_epsilon", "ε of all private runs on the corpus together, this one included"),
    Metric("privacy.delta_times_n",
           "δ times the public number of units; above 1 a whole record may be given away"),
    Metric("privacy.hazards_present", "how many known ways for the claim to be hollow apply to this run"),
    Metric("privacy.unit_is_person", "1 if all records of a person are one unit of privacy", yes_no=True),
    Metric("privacy.initial_weights",
           "1 if what the initial weights were trained on is public, or in the ledger of private runs",
           yes_no=True),
    Metric("privacy.steps_applied_share",
           "share of the steps that were charged whose noised sums reached the weights"),
    Metric("privacy.mechanism_checks_failed", "how many tests of its own mechanism a private run has failed"),
    Metric("privacy.tier",
           "how much the statement discloses, by the tiers of the OpenDP deployments registry"),
    Metric("leakage.p",
           "probability that a test (the slice) finds as much where nothing leaked, corrected for all tests"),
    Metric("drift.p", "probability of such a difference (the slice) where nothing moved, corrected for all"),
    Metric("drift.p_documents", "the same by documents dealt anew, where earlier results judge"),
    Metric("drift.vocabulary_js", "Jensen-Shannon divergence of tokens, in bits", interval=True),
    Metric("drift.unknown_change", "share of unknown tokens, now minus before", interval=True),
    Metric("drift.unseen_change", "share of tokens never met, now minus before", interval=True),
    Metric("drift.rare_change", "share of rare tokens, now minus before", interval=True),
    Metric("drift.pseudo_perplexity", "pseudo-perplexity of a side (the slice)", interval=True),
    Metric("drift.loss_change", "loss at hidden tokens, now minus before, nats a token", interval=True),
    Metric("drift.embedding_mmd", "squared distance of embeddings (MMD)", interval=True),
    Metric("drift.embedding_auc", "area under the ROC of a line that tells now from before", interval=True),
    Metric("drift.cka", "alignment of two checkpoints on the same documents; 1 is alike", interval=True),
    Metric("drift.row_movement", "one minus the cosine of embedding rows, by token frequency", interval=True),
    Metric("scan.skipped_share", "share of records that could not be read"),
    Metric("scan.foreign_share", "share of documents in a language whose identifiers nobody looked for"),
    Metric("scan.missing_detectors", "how many entity types no detector looked for"),
    Metric("scan.redacted",
           "1 if values of a type (the slice) are looked for, and what was found was redacted", yes_no=True),
    Metric("scan.recall",
           "share of the values of a type in a labelled sample that the scan found", interval=True),
    Metric("scan.residual_rate",
           "share of passages of the cleaned corpus in which a person still found something", interval=True),
    Metric("audit.attacks_not_run", "how many known attacks were not run"),
    Metric("audit.attack_run", "1 if the attack (the slice) was run", yes_no=True),
)  # fmt: skip

#: Every number the audit or the statement can give, by name; what plug-ins measure comes on top.
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _METRICS}

COPIES_SLICE = "copies "
"""How the slices begin that tell of canaries planted more often."""


def family(name: str) -> tuple[Metric, ...]:
    """The metrics of one attack: those whose names begin with its own."""
    return tuple(metric for metric in _METRICS if metric.family == name)


#: The attacks in the order they run, each where it lies: written as an entry point is, so that whoever judges
#: numbers imports nothing that computes them.
ATTACKS: Mapping[str, str] = {
    "ngram": "mlmguard.leakage.ngram:ATTACK",
    "pii": "mlmguard.leakage.spans:PERSONAL_DATA",
    "rare": "mlmguard.leakage.spans:RARE_WORDS",
    "membership": "mlmguard.leakage.membership:ATTACK",
    "records": "mlmguard.leakage.records:ATTACK",
    "values": "mlmguard.leakage.values:ATTACK",
    "releases": "mlmguard.leakage.releases:ATTACK",
    "generation": "mlmguard.leakage.generation:ATTACK",
    "vocabulary": "mlmguard.leakage.vocabulary:ATTACK",
    "canary": "mlmguard.leakage.planted:ATTACK",
    "secrets": "mlmguard.leakage.given:ATTACK",
}
#: What applies to every checkpoint. Others are comparisons that somebody has to ask for: an earlier release,
#: shadow models, values named, what a plug-in needs; or a vocabulary that is not the one of the package.
REQUIRED = frozenset({*ATTACKS, "epsilon", "mechanism"} - {"releases", "secrets", "vocabulary"})

#: Attacks whose control are the held-out documents. Membership has a rule of its own for sets that differ.
COMPARED = frozenset({"ngram", "pii", "rare", "records", "values", "generation", "vocabulary"})

#: Families that speak of the claim, the corpus or the run; every other family is an attack on the model.
NOT_LEAKAGE = frozenset({"model", "privacy", "scan", "audit", "drift"})
OF_THE_RUN = frozenset({"epsilon.white_box_lower_bound", "epsilon.white_box_if"})
"""Measured on the releases of the run: a model that learnt nothing does not make them say less."""
_BOUNDS = frozenset({"epsilon.one_run_lower_bound", "epsilon.white_box_lower_bound"})
YES_NO = frozenset(metric.name for metric in _METRICS if metric.yes_no)

#: A number that follows from the nouns: its slice, its value (None: unknown) and what it counts.
_Derived = tuple[str, float | None, str]


def numbers(evidence: Evidence) -> Iterator[Measurement]:
    """All numbers a rule can address: the audit's, and those that follow from the other nouns."""
    yield from (m for m in evidence.measurements if f"{m.attack}.{m.metric}" not in DERIVED)
    for metric, derive in DERIVED.items():
        attack, name = metric.split(".")
        for slice_, value, note in derive(evidence):
            number = None if value is None else float(value)
            yield Measurement(attack, name, number, None, None, 1.0, 0, slice=slice_, note=note)


def claim(evidence: Evidence) -> PrivacyStatement | None:
    """The statement, where it claims something."""
    return evidence.statement if evidence.statement is not None and evidence.statement.private else None


def claimed_epsilon(evidence: Evidence) -> float | None:
    """The ε the checkpoint claims; the smaller one if statement and audit disagree."""
    claims = [m.value for m in evidence.measurements if (m.attack, m.metric) == ("epsilon", "claimed")]
    claims += [claimed.epsilon] if (claimed := claim(evidence)) else []
    return min((c for c in claims if c is not None and not math.isnan(c)), default=None)


def charged_steps(ledger: Iterable[LedgerEntry]) -> int:
    """How many steps of training a ledger has charged."""
    return sum(entry.steps for entry in ledger if entry.mechanism == "poisson-gaussian")


def applied(statement: PrivacyStatement) -> str:
    """How many of the steps that were paid for are in the weights; "" without a ledger of any."""
    charged = charged_steps(statement.ledger)
    return f"{statement.steps_applied:,} of {charged:,} charged" if charged else ""


APPLIED = 0.9
"""The share of its steps below which a run is said not to have trained: they were charged and lost."""


def broken(evidence: Evidence) -> str:
    """Return why no audit can find the model clean, or "" if it is sound."""
    if not evidence.model.head_loaded:
        return "the head was not in the checkpoint, so what was attacked is not what was trained"
    if not evidence.model.beats_unigram:
        if ALONE in evidence.notes:
            return "no text is known that it was not trained on, so nobody can say whether the model works"
        return "the model is no better than word frequencies, so finding nothing in it says nothing"
    return ""


def refuted(evidence: Evidence) -> str:
    """Return why the claimed ε does not hold, or "" where nothing in the evidence speaks against it."""
    claimed = claim(evidence)
    if claimed is None or claimed.epsilon is None:
        return ""
    failed = [check.id for check in claimed.mechanism_checks if check.outcome == "failed"]
    if failed:
        return f"the run failed tests of its own mechanism ({', '.join(failed)})"
    for m in evidence.measurements:
        if f"{m.attack}.{m.metric}" in _BOUNDS and m.value is not None and m.value > claimed.epsilon:
            return f"the run demonstrably spent ε ≥ {m.value:.3g}"
    if any(hazard.id == "initial-weights" and hazard.status == "present" for hazard in claimed.hazards):
        return "the initial weights knew the corpus without privacy"
    return ""


def unlike(evidence: Evidence) -> str:
    """Return why a comparison with the held-out documents shows nothing of the model, or "" if it does.

    Documents that a coin dealt, in a scan or by `mlmguard split`, are exchangeable whatever they say; those
    that a user named may be of another language or kind, and then members score higher without memory.
    """
    dealt = evidence.statement is not None or any(note.startswith(DEALT) for note in evidence.notes)
    shifted = any((m.attack, m.metric) == ("membership", "shift") and m.value for m in evidence.measurements)
    if dealt or not shifted:
        return ""
    return "members and the documents they are compared with differ in kind, and no coin dealt them"


# --- derived ------------------------------------------------------------------------------------------


def _counted(names: Iterable[str]) -> list[_Derived]:
    found = sorted(set(names))
    return [("", len(found), ", ".join(found[:8]) + (" …" if len(found) > 8 else ""))]


def _epsilon(evidence: Evidence) -> list[_Derived]:
    claimed = claim(evidence)
    return [] if claimed is None or claimed.epsilon is None else [("", claimed.epsilon, "")]


def _corpus_epsilon(evidence: Evidence) -> list[_Derived]:
    claimed = claim(evidence)
    return [] if claimed is None else [("", claimed.corpus_epsilon, claimed.corpus_epsilon_reason)]


def _delta_times_n(evidence: Evidence) -> list[_Derived]:
    claimed = claim(evidence)
    if claimed is None or claimed.delta is None or claimed.plan is None or claimed.plan.sample_rate <= 0:
        return []
    # the plan's normaliser is the expected draw of a step: rate times the public size
    return [("", claimed.delta * claimed.plan.normaliser / claimed.plan.sample_rate, "")]


def _hazards(evidence: Evidence) -> list[_Derived]:
    claimed = claim(evidence)
    if claimed is None or not claimed.hazards:
        return []
    told = STANDING | STATED
    return _counted(h.id for h in claimed.hazards if h.status != "absent" and h.id not in told)


def _unit_is_person(evidence: Evidence) -> list[_Derived]:
    claimed = claim(evidence)
    found = [h for h in claimed.hazards if h.id == "unit-smaller-than-person"] if claimed else []
    answers = {"absent": 1.0, "present": 0.0}
    return [("", answers.get(hazard.status), hazard.detail) for hazard in found]


def _initial_weights(evidence: Evidence) -> list[_Derived]:
    claimed = claim(evidence)
    found = [h for h in claimed.hazards if h.id == "initial-weights"] if claimed else []
    answers = {"absent": 1.0, "present": 0.0}
    return [("", answers.get(hazard.status), hazard.detail) for hazard in found]


def _mechanism_checks(evidence: Evidence) -> list[_Derived]:
    claimed = claim(evidence)
    if claimed is None or not claimed.mechanism_checks:
        return []
    if all(check.outcome == "not run" for check in claimed.mechanism_checks):
        return [("", None, "the run made none of its tests")]
    return _counted(check.id for check in claimed.mechanism_checks if check.outcome == "failed")


def _steps_applied(evidence: Evidence) -> list[_Derived]:
    claimed = claim(evidence)
    charged = charged_steps(claimed.ledger) if claimed else 0
    return [("", claimed.steps_applied / charged, applied(claimed))] if claimed and charged else []


def _tier(evidence: Evidence) -> list[_Derived]:
    if claim(evidence) is None:
        return []
    reached, missing = tier(evidence.statement)
    return [("", reached, next_tier(reached, missing) if missing else "")]


def _tests(evidence: Evidence) -> Iterator[_Derived]:
    """Every corrected p-value of the audit, of plug-ins too: a test that no rule judges is no test."""
    for m in evidence.measurements:
        if m.metric.endswith("_p"):
            yield f"{m.attack}.{m.metric[:-2]} {m.slice}".rstrip(), m.value, m.note


def _skipped_share(evidence: Evidence) -> list[_Derived]:
    if evidence.manifest is None:
        return []
    skipped = evidence.manifest.records_skipped
    met = evidence.manifest.documents_read + skipped
    return [("", skipped / met, "")] if met else []


_UNTOLD = 0.5
"""The share of documents of no language that could be told, above which nothing is known of the corpus'."""


def _foreign_share(evidence: Evidence) -> list[_Derived]:
    """Scans of before say nothing of languages: not known."""
    if evidence.manifest is None:
        return []
    if not evidence.manifest.languages:
        return [("", None, "the scan did not tell the languages of the documents")]
    foreign = evidence.manifest.foreign
    untold = sum(row.documents for row in evidence.manifest.languages if row.status == "undetermined")
    if untold > _UNTOLD * evidence.manifest.documents_read:
        of = f"{untold:,} of {evidence.manifest.documents_read:,} documents"
        why = f"the language of {of} could not be told"
        return [("", None, why)]
    named = ", ".join(f"{language} {count:,}" for language, count in list(foreign.items())[:5])
    return [("", sum(foreign.values()) / max(1, evidence.manifest.documents_read), named)]


def _missing_detectors(evidence: Evidence) -> list[_Derived]:
    if evidence.manifest is None or not evidence.manifest.coverage:
        return []
    return _counted(set(not_looked_for(evidence.manifest.coverage)))


def _redacted(evidence: Evidence) -> Iterator[_Derived]:
    """By type: whether all of it is out of the written text. Values in removed copies count as found only."""
    manifest = evidence.manifest
    if manifest is None:
        return
    available = looked_for(manifest.coverage)
    counts: dict[str, tuple[int, int]] = {}
    for row in manifest.findings:
        unredacted, left = counts.get(row.rule, (0, 0))
        counts[row.rule] = (unredacted + row.found - row.redacted, left + _left(row))
    for entity in sorted(available | not_looked_for(manifest.coverage) | set(counts)):
        unredacted, left = counts.get(entity, (0, 0))
        if left or (unredacted and manifest.documents_written == manifest.documents_read):
            yield entity, 0.0, f"{left or unredacted:,} values were found and left in the text"
        elif entity not in available:
            yield entity, None, f"no detector looked for {entity}"
        else:
            yield entity, 1.0, ""


def _left(row: FindingCount) -> int:
    """Values in the written text. A manifest of before says it only where nothing was redacted."""
    if row.left is not None:
        return row.left
    return 0 if row.redacted else row.found


def _attacks_not_run(evidence: Evidence) -> list[_Derived]:
    if not evidence.attacks:
        return []
    done = {
        attack.attack
        for attack in evidence.attacks
        if attack.status == "run" or (attack.status == "not applicable" and attack.attack not in REQUIRED)
    }
    listed = {attack.attack for attack in evidence.attacks}  # evidence of before says nothing of secrets
    return _counted(((ATTACKS.keys() - {"secrets"}) | listed) - done)


def _attack_run(evidence: Evidence) -> Iterator[_Derived]:
    for attack in evidence.attacks:
        yield attack.attack, 1.0 if attack.status == "run" else None, attack.detail


#: Derived numbers by metric; a rule never compares an interval of one.
DERIVED: Mapping[str, Callable[[Evidence], Iterable[_Derived]]] = {
    "model.beats_unigram": lambda evidence: [
        ("", None if ALONE in evidence.notes else float(evidence.model.beats_unigram), "")
    ],
    "model.head_loaded": lambda evidence: [("", float(evidence.model.head_loaded), "")],
    "privacy.epsilon": _epsilon,
    "privacy.corpus_epsilon": _corpus_epsilon,
    "privacy.delta_times_n": _delta_times_n,
    "privacy.hazards_present": _hazards,
    "privacy.unit_is_person": _unit_is_person,
    "privacy.initial_weights": _initial_weights,
    "privacy.steps_applied_share": _steps_applied,
    "privacy.mechanism_checks_failed": _mechanism_checks,
    "privacy.tier": _tier,
    "leakage.p": _tests,
    "scan.skipped_share": _skipped_share,
    "scan.foreign_share": _foreign_share,
    "scan.missing_detectors": _missing_detectors,
    "scan.redacted": _redacted,
    "audit.attacks_not_run": _attacks_not_run,
    "audit.attack_run": _attack_run,
}
