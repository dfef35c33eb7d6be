"""Evidence as an audit writes it, built from nouns: what the policy, report and console tests look at.

The numbers are invented and hang together like those of a small private run at ε = 8 with 500 canaries.
``python -m tests.evidence_fixture`` writes the samples under ``reports/`` from it, and ``docs/schemas/`` from
the nouns.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from pathlib import Path

from mlmguard.artifacts import json_schema, to_json
from mlmguard.hazards import MECHANISM_CHECKS
from mlmguard.policy.judging import exit_code, judge
from mlmguard.policy.reading import load, policy_schema
from mlmguard.report.clearance import case
from mlmguard.report.formats import render
from mlmguard.types import (
    AccountantReading,
    AttackRun,
    Curve,
    Detector,
    DpPlan,
    DuplicateCounts,
    Evidence,
    FindingCount,
    Hazard,
    Judgement,
    LedgerEntry,
    Manifest,
    Measurement,
    MechanismCheck,
    ModelFacts,
    PrivacyStatement,
    Repetition,
    Shard,
    Skipped,
)

REPORTS = Path(__file__).resolve().parent.parent / "reports"
SCHEMAS = REPORTS.parent / "docs" / "schemas"
TODAY = date(2026, 3, 2)
Points = tuple[float, ...]


def number(
    name: str,
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    n: int = 0,
    *,
    slice: str = "",
    ceiling: float | None = None,
    note: str = "",
) -> Measurement:
    """A measurement of ``attack.metric`` at 95 % confidence."""
    attack, metric = name.split(".")
    return Measurement(attack, metric, value, low, high, 0.95, n, ceiling, slice, note)


def manifest() -> Manifest:
    """A scan of 3,284 notes in four sources."""
    found = (
        ("PERSON", "clinic", 2210, 0, 1480),
        ("PERSON", "support", 1322, 0, 1010),
        ("EMAIL_ADDRESS", "support", 913, 913, 702),
        ("EMAIL_ADDRESS", "clinic", 118, 118, 104),
        ("PHONE_NUMBER", "clinic", 641, 640, 598),
        ("PHONE_NUMBER", "support", 522, 517, 480),
        ("DATE_TIME", "clinic", 1804, 0, 1207),
        ("US_SSN", "clinic", 214, 214, 214),
        ("CREDIT_CARD", "billing", 388, 388, 371),
        ("IBAN_CODE", "billing", 129, 129, 122),
        ("IP_ADDRESS", "support", 97, 97, 91),
        ("MEDICAL_RECORD", "clinic", 455, 455, 455),
    )
    detectors = (
        ("CREDIT_CARD", "CreditCardRecognizer", "available"),
        ("EMAIL_ADDRESS", "EmailRecognizer", "available"),
        ("IBAN_CODE", "IbanRecognizer", "available"),
        ("IP_ADDRESS", "IpRecognizer", "available"),
        ("MEDICAL_RECORD", "RecordNumberRecognizer", "available"),
        ("PHONE_NUMBER", "PhoneRecognizer", "available"),
        ("US_SSN", "UsSsnRecognizer", "available"),
        ("DATE_TIME", "DateRecognizer", "available"),
        ("PERSON", "FieldNameRecognizer", "available"),
        ("LOCATION", "", "no detector"),
        ("ORGANIZATION", "", "no detector"),
    )
    return Manifest(
        run_id="scan-4c1d09aa",
        documents_read=3284,
        documents_written=2871,
        splits={"train": 2297, "validation": 287, "test": 287},
        outputs=tuple(
            Shard(f"{split}-00000.jsonl", split, n)
            for split, n in (("train", 2297), ("validation", 287), ("test", 287))
        ),
        skipped=(
            Skipped("clinic/scan-0114.txt", "not UTF-8"),
            Skipped("clinic/scan-0290.txt", "not UTF-8"),
            Skipped("support/export.jsonl", "malformed JSON", 817),
            Skipped("billing/logo.png", "binary file"),
        ),
        findings=tuple(FindingCount(*row) for row in found),
        duplicates=DuplicateCounts(
            exact=241,
            near=172,
            cross_split=63,
            clusters=(38, 24, 19, 11, *[7] * 6, *[4] * 18, *[2] * 96),
        ),
        coverage=tuple(
            Detector(entity, name, "2.2.366" if name else "", status) for entity, name, status in detectors
        ),
        repetition=(
            Repetition("US_SSN", "high", 14, 9, 38),
            Repetition("EMAIL_ADDRESS", "medium", 212, 187, 24),
        ),
        commitment="c0b8e64d1f7a2395" * 4,
        key_id="9f31c07be2aa",
        settings={"near_threshold": "0.8", "permutations": "128", "score": "0.4", "redact": "mask"},
        tool_version="0.1.0",
    )


def statement() -> PrivacyStatement:
    """A claim of ε = 7.98 from a ledger of 600 Poisson steps and one Laplace count."""
    plan = DpPlan(0.742, 1.0, 0.111, 600, 1e-5, "document", 256.0, 8.0, 2.0**-24)
    return PrivacyStatement(
        run_id="train-77e0b1f2",
        private=True,
        epsilon=7.98,
        delta=1e-5,
        accountants=(
            AccountantReading("PLD", 7.962),
            AccountantReading("PRV", 7.98),
            AccountantReading("RDP", 8.611),
        ),
        unit="document",
        unit_definition="one row of clean/train; a drawn document contributes one window",
        adjacency="add or remove one",
        sampler="Poisson, fixed number of steps",
        plan=plan,
        ledger=(
            LedgerEntry("laplace", epsilon=0.05, what="noisy count of units"),
            LedgerEntry("poisson-gaussian", 0.742, 0.111, 600, what="training steps"),
        ),
        steps_applied=600,
        mechanism_checks=tuple(
            MechanismCheck(name, "passed", what, blind) for name, (what, blind) in MECHANISM_CHECKS.items()
        ),
        covers="weights and tokenizer, for the rows of clean/train",
        data_accesses=(
            "count of units, Laplace noise, ε = 0.05, in the ledger",
            "600 noisy gradient sums, in the ledger",
            "held-out loss for this report, not in the ledger",
        ),
        unprotected=("audit reports", "metrics of the run folder", "the choice of model size"),
        hazards=(
            Hazard(
                "sampling-mismatch",
                "absent",
                "batches are drawn by the Poisson sampling that the accountant assumes",
            ),
            Hazard("size-dependence", "absent", "settings derive from a noised count that is in the ledger"),
            Hazard("tokenizer", "absent", "learnt from public text, pinned by digest"),
            Hazard("initial-weights", "absent", "public text only"),
            Hazard(
                "preprocessing",
                "present",
                "deduplication couples rows: the claim is for the rows of clean/train",
            ),
            Hazard("tuning", "unknown", "other runs on the same corpus are not composed into this ε"),
        ),
        tool_version="0.1.0",
    )


def _measurements() -> tuple[Measurement, ...]:
    return (
        number("model.heldout_loss", 4.871, 4.79, 4.95, 287),
        number("model.unigram_loss", 5.702, 5.66, 5.74, 287),
        number("model.unigram_margin", 0.831, 0.762, 0.902, 287),
        number("ngram.top1_train", 0.418, 0.389, 0.447, 1100),
        number("ngram.top1_heldout", 0.411, 0.382, 0.440, 1100),
        number("ngram.top1_excess", 0.007, -0.034, 0.048, 1100),
        number("ngram.top1_excess", 0.004, -0.041, 0.049, 780, slice="copies 1"),
        number("ngram.top1_excess", 0.013, -0.057, 0.083, 240, slice="copies 2-4"),
        number("ngram.top1_excess", 0.021, -0.102, 0.144, 80, slice="copies 10+"),
        number("generation.documents_emitted_excess", 0.0, -0.013, 0.013, 287),
        number("pii.extraction_rate", 0.006, 0.001, 0.022, 320, slice="kept"),
        number("pii.extraction_rate", 0.0, 0.0, 0.009, 320, slice="redacted"),
        number("pii.extraction_rate", 0.006, 0.001, 0.022, 320, slice="held-out"),
        number("pii.extraction_excess", 0.0, -0.017, 0.017, 320, slice="kept"),
        number("pii.extraction_excess", -0.006, -0.022, 0.008, 320, slice="redacted"),
        number("pii.extraction_p", 1.0, n=320, slice="kept"),
        number("pii.extraction_p", 1.0, n=320, slice="redacted"),
        number("pii.extraction_rate", 0.0, 0.0, 0.019, 190, slice="EMAIL_ADDRESS"),
        number("pii.extraction_rate", 0.009, 0.001, 0.033, 220, slice="PERSON"),
        number("canary.exposure_mean", 1.51, 1.32, 1.70, 249, ceiling=7.97),
        number("canary.exposure_p", 0.431, n=249),
        number("canary.extraction_rate", 0.0, 0.0, 0.0147, 249),
        number("canary.extraction_rate_heldout", 0.0, 0.0, 0.0146, 251),
        number("canary.extraction_p", 1.0, n=249),
        number("membership.auc", 0.512, 0.464, 0.560, 574, slice="loss"),
        number("membership.auc", 0.521, 0.473, 0.569, 574, slice="calibrated"),
        number(
            "membership.tpr_at_1pct_fpr",
            None,
            n=574,
            note="287 held-out documents give 2.9 expected false positives; 10 are needed",
        ),
        number("membership.tpr_at_10pct_fpr", 0.118, 0.083, 0.161, 574),
        number("membership.auc_p", 1.0, n=574, slice=""),
        number("membership.shift", 0.0, n=574),
        number("membership.blind_auc", 0.508, 0.460, 0.556, 574),
        number("membership.reference_auc", 0.503, 0.455, 0.551, 574),
        number("epsilon.one_run_lower_bound", 0.21, 0.21, n=500, ceiling=5.12),
        number("epsilon.white_box_lower_bound", 2.81, 2.81, n=20_000, ceiling=5.89),
        number("epsilon.white_box_if", 5.89, n=20_000, slice="noise cut to a quarter"),
        number("epsilon.claimed", 7.98),
        number("epsilon.refutable", 0.0, note="500 canaries can refute claims up to 5.12"),
    )


def _curves() -> tuple[Curve, ...]:
    unknown = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    train = (0.418, 0.236, 0.121, 0.058, 0.026, 0.011)
    held = (0.411, 0.231, 0.118, 0.059, 0.024, 0.012)
    bits = tuple(round(7.97 * i / 40, 4) for i in range(41))
    exposed = tuple(round(max(2**-b - 0.004 * (b > 5), 0.0) * (1 - 0.04 * math.sin(2 * b)), 4) for b in bits)
    controls = tuple(round(2**-b * (1 + 0.03 * math.sin(3 * b)) if b else 1.0, 4) for b in bits)
    secret = (0.101, 0.012, 0.0, 0.0, 0.0, 0.0)
    twin = (0.104, 0.008, 0.0, 0.0, 0.0, 0.0)
    fpr = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0)
    loss = (0.0, 0.002, 0.007, 0.014, 0.024, 0.056, 0.108, 0.213, 0.362, 0.515, 0.711, 0.857, 1.0)
    calibrated = (0.0, 0.004, 0.009, 0.017, 0.029, 0.061, 0.116, 0.224, 0.375, 0.526, 0.719, 0.861, 1.0)

    def band(y: tuple[float, ...], sign: int, n: int) -> tuple[float, ...]:
        return tuple(round(min(1, max(0, v + sign * 1.96 * math.sqrt(v * (1 - v) / n))), 4) for v in y)

    def attack(
        name: str, figure: str, labels: tuple[str, str], series: str, x: Points, y: Points, n: int
    ) -> Curve:
        ends = (band(y, -1, n), band(y, 1, n)) if n else ((), ())
        return Curve(name, figure, *labels, series, x, y, *ends)

    hidden, roc = ("tokens hidden", "exact recovery"), ("false-positive rate", "true-positive rate")
    canary = ("exposure (bits)", "share at or above")
    return (
        attack("ngram", "k-unknown", hidden, "train", unknown, train, 1100),
        attack("ngram", "k-unknown", hidden, "held-out", unknown, held, 1100),
        attack("canary", "exposure", canary, "planted", bits, exposed, 0),
        attack("canary", "exposure", canary, "controls", bits, controls, 0),
        attack("canary", "k-unknown", hidden, "planted", unknown, secret, 249),
        attack("canary", "k-unknown", hidden, "controls", unknown, twin, 251),
        attack("membership", "roc", roc, "loss", fpr, loss, 287),
        attack("membership", "roc", roc, "calibrated", fpr, calibrated, 287),
    )


def clean() -> Evidence:
    """A sound private model in which the audit found nothing."""
    return Evidence(
        run_id="audit-5d2e8c10",
        model=ModelFacts("BertForMaskedLM", 4_416_698, 8192, "7e11a90bd3c64f25" * 4, True, True),
        manifest=manifest(),
        statement=statement(),
        measurements=_measurements(),
        curves=_curves(),
        attacks=(
            AttackRun("ngram", "run", "1,100 training and 1,100 matched held-out phrases"),
            AttackRun("pii", "run", "640 spans the scan found, 320 held-out"),
            AttackRun("canary", "run", "249 planted, 251 twins"),
            AttackRun("membership", "run", "287 members, 287 non-members"),
            AttackRun("epsilon", "run", "one-run bound over 500 coins"),
            AttackRun("mechanism", "run", "canaries of the run itself, scored at every release"),
            AttackRun("vocabulary", "not run", "the tokenizer is public"),
            AttackRun("shadow models", "not run", "LiRA needs two or more models that saw neither set"),
        ),
        notes=("Whole-span search used 40 restarts a span.",),
        tool_version="0.1.0",
    )


def changed(evidence: Evidence, *measurements: Measurement) -> Evidence:
    """``evidence`` with numbers replaced, by attack, metric and slice, or added."""

    def key(m: Measurement) -> tuple[str, str, str]:
        return m.attack, m.metric, m.slice

    new = {key(m): m for m in measurements}
    kept = [new.pop(key(m), m) for m in evidence.measurements]
    return replace(evidence, measurements=(*kept, *new.values()))


def extractable() -> Evidence:
    """An overfitted model, worse than unigram on held-out text, that gives its secrets away."""
    leaking = changed(
        clean(),
        number("model.unigram_margin", -5.7, -5.9, -5.5, 287),
        number("canary.extraction_rate", 0.96, 0.927, 0.981, 249),
        number("canary.exposure_mean", 7.6, 7.5, 7.7, 249, ceiling=7.97),
        number("canary.exposure_p", 1e-12, n=249),
        number("pii.extraction_rate", 0.71, 0.66, 0.76, 320, slice="kept"),
        number("pii.extraction_excess", 0.70, 0.65, 0.75, 320, slice="kept"),
        number("pii.extraction_p", 1e-9, n=320, slice="kept"),
        number("membership.auc", 0.97, 0.95, 0.99, 574, slice="loss"),
    )
    return replace(leaking, model=replace(leaking.model, beats_unigram=False))


def untrained() -> Evidence:
    """Random weights: nothing is found, which says nothing."""
    blank = changed(clean(), number("model.unigram_margin", -3.3, -3.4, -3.2, 287))
    return replace(blank, model=replace(blank.model, beats_unigram=False))


def not_private() -> Evidence:
    """The same findings without any claim."""
    said = replace(
        statement(), private=False, epsilon=None, delta=None, accountants=(), plan=None, ledger=(), hazards=()
    )
    kept = tuple(m for m in clean().measurements if (m.attack, m.metric) != ("epsilon", "claimed"))
    return replace(
        clean(), statement=said, measurements=(*kept, number("epsilon.claimed", None, note="not private"))
    )


def samples() -> dict[str, str]:
    """The committed samples by file name: the clean evidence under the base policy."""
    policy = load("base")
    judgement = judge(policy, clean(), TODAY)
    shown = case(clean(), judgement, policy.advice, exit_code(judgement))
    return {f"sample.{fmt}": render(fmt, shown) for fmt in ("html", "json", "sarif")}


def schemas() -> dict[str, str]:
    """The committed JSON Schemas by file name."""
    nouns = {"evidence": Evidence, "privacy": PrivacyStatement, "manifest": Manifest, "judgement": Judgement}
    made = {f"{name}.json": to_json(json_schema(noun)) for name, noun in nouns.items()}
    return {**made, "policy.json": to_json(policy_schema())}


if __name__ == "__main__":
    for folder, files in ((REPORTS, samples()), (SCHEMAS, schemas())):
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
            print(f"wrote {folder.name}/{name}")
