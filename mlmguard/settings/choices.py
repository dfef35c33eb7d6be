"""What can be chosen: enums by which the rooms key their tables."""

from __future__ import annotations

from enum import StrEnum

LANGUAGES = ("es", "de", "fr", "it", "pt", "nl")
"""What ``scan --language`` can be asked for beside English."""


class Size(StrEnum):
    """Sizes of a model that mlmguard makes itself."""

    NANO = "nano"
    TINY = "tiny"
    MINI = "mini"
    SMALL = "small"
    BASE = "base"


class Adaptation(StrEnum):
    """Which parameters a run trains."""

    FULL = "full"
    LORA = "lora"
    BITFIT = "bitfit"
    HEAD = "head"


class UnitChoice(StrEnum):
    """What ``--unit`` can name: units that need no key. What a unit is, is a ``types.UnitKind``."""

    DOCUMENT = "document"
    SEQUENCE = "sequence"


class Masking(StrEnum):
    """What is hidden together."""

    TOKEN = "token"
    WORD = "word"
    SPAN = "span"


class PiiTargets(StrEnum):
    """What masking does with the findings of the scan."""

    MASK_MORE = "mask-more"
    EXCLUDE = "exclude"


class Objective(StrEnum):
    """What is predicted beside hidden tokens."""

    MLM = "mlm"
    SOP = "mlm+sop"
    NSP = "mlm+nsp"


class Schedule(StrEnum):
    """The learning rate after its warm-up."""

    LINEAR = "linear"
    COSINE = "cosine"
    CONSTANT = "constant"


class Precision(StrEnum):
    """What forward and backward passes compute in."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class ClippingEngine(StrEnum):
    """How the gradient of each unit is clipped; both are exact."""

    ONE_PASS = "one-pass"
    OPACUS = "opacus"


class Cleaning(StrEnum):
    """What happens to a finding in the text."""

    REPLACE = "replace"
    MASK = "mask"
    PSEUDONYM = "pseudonym"
    SURROGATE = "surrogate"
    DROP_DOCUMENT = "drop-document"


class Keep(StrEnum):
    """Which of several copies stays; with ``ALL`` they stay together in one split."""

    FIRST = "first"
    LONGEST = "longest"
    FEWEST_FINDINGS = "fewest-findings"
    ALL = "all"


class CutPassages(StrEnum):
    """Where passages that another document holds are cut out."""

    BETWEEN_SPLITS = "between-splits"
    EVERYWHERE = "everywhere"
    NOWHERE = "nowhere"


class EngineChoice(StrEnum):
    """Who examines a corpus."""

    LOCAL = "local"
    RAY = "ray"


#: Tokenizers that ``--tokenizer`` learns from the corpus: from noised word counts, or from the text as it is.
LEARNT_TOKENIZERS = ("dp", "learn")
FROM_SCRATCH = "scratch"
