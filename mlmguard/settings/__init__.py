"""Every dial of scan, train, audit and drift, written once: name, default, help, range, choices, group.

The command line makes its options from the fields (``commands.options``), :func:`check` refuses values out of
range and combinations that contradict each other, and the rooms key their tables by the enums.
"""

from mlmguard.settings.audit import AuditSettings
from mlmguard.settings.choices import (
    FROM_SCRATCH,
    LANGUAGES,
    LEARNT_TOKENIZERS,
    Adaptation,
    Cleaning,
    ClippingEngine,
    CutPassages,
    EngineChoice,
    Keep,
    Masking,
    Objective,
    PiiTargets,
    Precision,
    Schedule,
    Size,
    UnitChoice,
)
from mlmguard.settings.dial import Contradiction, Dial, check, check_value, dial, dials
from mlmguard.settings.drift import DriftSettings
from mlmguard.settings.scan import ScanSettings
from mlmguard.settings.train import TrainSettings, read_mix

__all__ = [
    "FROM_SCRATCH",
    "LANGUAGES",
    "LEARNT_TOKENIZERS",
    "Adaptation",
    "AuditSettings",
    "Cleaning",
    "ClippingEngine",
    "Contradiction",
    "CutPassages",
    "Dial",
    "DriftSettings",
    "EngineChoice",
    "Keep",
    "Masking",
    "Objective",
    "PiiTargets",
    "Precision",
    "ScanSettings",
    "Schedule",
    "Size",
    "TrainSettings",
    "UnitChoice",
    "check",
    "check_value",
    "dial",
    "dials",
    "read_mix",
]
