"""The nouns of mlmguard: frozen dataclasses over the standard library.

They describe what happened. What it *means* is computed elsewhere (``accounting``, ``policy``).
Public values are fields. Text of people is a field in exactly one noun, :class:`Document`, and is kept
out of every ``repr``; everything downstream carries a type, a place and a keyed fingerprint instead.
"""

from __future__ import annotations

from mlmguard.types.audit import (
    ALONE,
    DEAL,
    AttackRun,
    Canary,
    CanaryRecord,
    Curve,
    Evidence,
    Measurement,
    Metric,
    ModelFacts,
    Review,
    SplitRecord,
)
from mlmguard.types.corpus import (
    LABEL_OF_NO_TYPE,
    ColumnCount,
    Detector,
    Document,
    DuplicateCounts,
    Finding,
    FindingCount,
    LanguageCount,
    Location,
    Manifest,
    RepeatedIds,
    Repetition,
    Shard,
    Skipped,
    looked_for,
    not_looked_for,
)
from mlmguard.types.judgement import Attested, Judgement, Status, Verdict, WaiverUse
from mlmguard.types.noun import SILENT, Progress, Watcher, noun
from mlmguard.types.privacy import (
    AccountantReading,
    CorpusRelease,
    DpPlan,
    Hazard,
    LedgerEntry,
    MechanismCheck,
    PrivacyStatement,
    Seal,
    UnitKind,
)

__all__ = [
    "ALONE",
    "DEAL",
    "LABEL_OF_NO_TYPE",
    "SILENT",
    "AccountantReading",
    "AttackRun",
    "Attested",
    "Canary",
    "CanaryRecord",
    "ColumnCount",
    "CorpusRelease",
    "Curve",
    "Detector",
    "Document",
    "DpPlan",
    "DuplicateCounts",
    "Evidence",
    "Finding",
    "FindingCount",
    "Hazard",
    "Judgement",
    "LanguageCount",
    "LedgerEntry",
    "Location",
    "Manifest",
    "Measurement",
    "MechanismCheck",
    "Metric",
    "ModelFacts",
    "PrivacyStatement",
    "Progress",
    "RepeatedIds",
    "Repetition",
    "Review",
    "Seal",
    "Shard",
    "Skipped",
    "SplitRecord",
    "Status",
    "UnitKind",
    "Verdict",
    "WaiverUse",
    "Watcher",
    "looked_for",
    "not_looked_for",
    "noun",
]
