"""The dials of a training run, and which of them contradict each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlmguard.errors import InputError
from mlmguard.settings.choices import (
    FROM_SCRATCH,
    LEARNT_TOKENIZERS,
    Adaptation,
    ClippingEngine,
    Masking,
    Objective,
    PiiTargets,
    Precision,
    Schedule,
    Size,
    UnitChoice,
)
from mlmguard.settings.dial import Contradiction, dial


def read_mix(text: str) -> tuple[float, float, float]:
    """The shares of ``80/10/10``: hidden, swapped for a random token, kept.

    Raises :class:`InputError` where they are not three numbers that add up to 100.

    >>> read_mix("80/10/10")
    (0.8, 0.1, 0.1)
    """
    try:
        hidden, swapped, kept = (float(part) / 100 for part in text.split("/"))
    except ValueError:
        hidden = swapped = kept = -1.0
    if not (min(hidden, swapped, kept) >= 0 and abs(hidden + swapped + kept - 1) <= 1e-9):
        raise InputError(
            "--mask-mix", repr(text), "three numbers that add up to 100, as in 80/10/10: hidden/swapped/kept"
        )
    return hidden, swapped, kept


PRIVACY, MODEL, OPTIMISATION = "Privacy", "Model and tokenizer", "Optimisation"
PREDICTING, SPEED, PLAIN = "Masking and objective", "Memory and speed", "Plain runs only"
MEASURING, DATA = "What the audit measures", "Data and reproduction"

_DRAWN_UNIT = "a drawn unit contributes one random window"


@dataclass(frozen=True)
class TrainSettings:
    """Every dial of a training run; None means derived, and printed."""

    size: str = dial(Size.NANO, "Model size.", group=MODEL, choices=Size)
    adapt: str = dial(
        Adaptation.FULL, "Which parameters are trained.", group=OPTIMISATION, choices=Adaptation
    )
    freeze: tuple[str, ...] = dial(
        (),
        "Leave parameters as they are whose names match, as in '*.embeddings.*'. Repeatable.",
        group=OPTIMISATION,
        metavar="PATTERN",
    )
    lora_rank: int | None = dial(
        None, "Rank of the updates of --adapt lora.", group=OPTIMISATION, derived="8", least=1
    )
    lora_targets: tuple[str, ...] = dial(
        (),
        "Linear layers that --adapt lora updates, as in '*.query'. Repeatable; all without it.",
        group=OPTIMISATION,
        metavar="PATTERN",
    )
    init: str | None = dial(
        None,
        "A Hugging Face folder or name to start from, or `scratch`.",
        group=MODEL,
        derived="warmed up on public text",
    )
    tokenizer: str | None = dial(
        None,
        "A public one by folder or name, `dp` to learn one from noised word counts, `learn` to learn one "
        "from the text.",
        group=MODEL,
        derived="the model's, or the one shipped",
    )
    add_tokens: str | None = dial(
        None,
        "Words to add to the tokenizer of --init, one a line, declared public; each begins as its pieces do.",
        group=MODEL,
        metavar="FILE",
    )
    tokenizer_epsilon: float | None = dial(
        None, "Share of ε for --tokenizer dp.", group=MODEL, derived="a tenth", above=0
    )
    allow_private_tokenizer: bool = dial(
        False,
        "Accept --tokenizer learn in a private run: outside the claim, named as a hazard.",
        group=MODEL,
    )
    dp_epsilon: float | None = dial(
        None,
        "Train with differential privacy up to this ε. Without it the model is not private.",
        group=PRIVACY,
        above=0,
        hint="leave it out for a plain run",
    )
    unit: str | None = dial(
        None,
        "What is protected as one.",
        group=PRIVACY,
        choices=UnitChoice,
        derived="the key the corpus was scanned by, else document",
    )
    unit_key: str | None = dial(
        None,
        "The key the corpus must have been scanned by, so that a person is one unit.",
        group=PRIVACY,
    )
    delta: float | None = dial(
        None, "δ of the claim.", group=PRIVACY, derived="a power of ten, at most 1/(10 n)", above=0, below=1
    )
    public_size: int | None = dial(
        None,
        "Number of units, if it may be known; train counts them under noise and charges for it otherwise.",
        group=PRIVACY,
        least=1,
    )
    steps: int | None = dial(None, "Optimiser steps, fixed in advance.", group=OPTIMISATION, least=1)
    batch_units: int | None = dial(None, "Expected units a step.", group=OPTIMISATION, least=1)
    learning_rate: float | None = dial(None, "Peak learning rate.", group=OPTIMISATION, above=0)
    max_grad_norm: float = dial(
        1.0,
        "Private: C, the most by which one unit can move the sum of gradients. Plain: the largest norm of a "
        "step's gradient.",
        group=OPTIMISATION,
        above=0,
    )
    window: int = dial(64, "Tokens of one window, special tokens included.", group=OPTIMISATION, least=8)
    augmentation_multiplicity: int | None = dial(
        None,
        "Private: windows of a drawn unit, each masked by itself, whose mean gradient is clipped as one. ε "
        "stays, a step takes as many times longer.",
        group=OPTIMISATION,
        metavar="K",
        derived="1",
        least=1,
    )
    stride: int | None = dial(
        None,
        "Cut documents into windows this many tokens apart.",
        group=PLAIN,
        least=1,
        plain_only=_DRAWN_UNIT,
    )
    masking: str = dial(
        Masking.TOKEN,
        "What is hidden together: single tokens, whole words, spans of words.",
        group=PREDICTING,
        choices=Masking,
    )
    mask_rate: float | None = dial(
        None,
        "Share of tokens that are masked.",
        group=PREDICTING,
        derived="0.3 private, 0.15 plain",
        above=0,
        below=1,
        hint="0.1 to 0.5 are usual",
    )
    final_mask_rate: float | None = dial(
        None,
        "Share that the mask rate reaches, linearly, at the last step.",
        group=PREDICTING,
        above=0,
        below=1,
        hint="0.1 to 0.5 are usual",
    )
    mask_mix: str = dial(
        "80/10/10",
        "Of the masked tokens: hidden by [MASK], swapped for a random one, kept.",
        group=PREDICTING,
        read=read_mix,
    )
    pii_targets: str | None = dial(
        None,
        "Mask half of the scan's findings, each as a whole, or never predict one.",
        group=PREDICTING,
        choices=PiiTargets,
    )
    static_masks: bool = dial(False, "The same window and masks each time a unit is drawn.", group=PREDICTING)
    objective: str = dial(
        Objective.MLM,
        "What is predicted beside hidden tokens: the order of two passages (sop), or whether they belong "
        "together (nsp, plain only).",
        group=PREDICTING,
        choices=Objective,
    )
    schedule: str = dial(
        Schedule.LINEAR, "The learning rate after its warm-up.", group=OPTIMISATION, choices=Schedule
    )
    warmup_steps: int | None = dial(
        None,
        "Steps of linear warm-up.",
        group=OPTIMISATION,
        derived="a tenth, private a twentieth",
        least=0,
    )
    micro_tokens: int = dial(
        8192,
        "Padded tokens of one pass; a larger batch is accumulated, and only memory changes.",
        group=SPEED,
        least=1,
    )
    precision: str = dial(
        Precision.AUTO,
        "Of forward and backward passes; auto is fp32 on a CPU, bf16 on a GPU. fp16 is plain only.",
        group=SPEED,
        choices=Precision,
    )
    compile: bool = dial(
        False,
        "Compile the layers into single kernels first.",
        group=PLAIN,
        plain_only="clipping watches every layer, and a compiled one shows it nothing",
    )
    packing: bool = dial(
        False,
        "Put several examples into one row; none attends to another.",
        group=PLAIN,
        plain_only="a private step clips by row",
    )
    gradient_checkpointing: bool = dial(False, "Less memory, more time, the same gradient.", group=SPEED)
    evaluate_every: int = dial(
        0,
        "Steps between validation losses; 0 for none.",
        group=PLAIN,
        least=0,
        plain_only="held-out numbers are computed after the last step and steer nothing",
    )
    early_stop: int = dial(
        0,
        "Stop after so many evaluations without a gain while the gap to training grows, and keep the best.",
        group=PLAIN,
        least=0,
        plain_only="the number of steps is fixed in advance and charged",
    )
    quiet_metrics: bool = dial(
        False, "Private runs: compute and keep no number on private text.", group=PRIVACY
    )
    leave_out: str | None = dial(
        None, "A top-level folder or file of the corpus that is not trained on.", group=DATA, metavar="SOURCE"
    )
    canaries: int = dial(
        500, "Canaries planted by coin so that the audit can measure; 0 for none.", group=MEASURING, least=0
    )
    canary_repetitions: int = dial(
        1,
        "Copies of each planted canary: above 1 a positive control, without a bound on ε.",
        group=MEASURING,
        least=1,
    )
    canary_tiers: tuple[int, ...] = dial(
        (),
        "Plant 40 further canaries so many times, to see what repetition does. Repeatable.",
        group=MEASURING,
        flag="--canary-tier",
        metavar="COPIES",
    )
    engine: str | None = dial(
        None,
        "How the gradient of each unit is clipped; both are exact.",
        derived="one-pass, or opacus for an encoder that it does not know",
        group=SPEED,
        flag="--dp-engine",
        choices=ClippingEngine,
    )
    seed: int = dial(0, "Seed of a plain run; private draws never use it.", group=DATA)
    max_lost: float = dial(
        0.1,
        "Share of a split that may lie in damaged files; these are left out and named.",
        group=DATA,
        least=0,
        most=1,
    )

    #: The order of ``--help``: what most people need, then the groups.
    MOST_USED: ClassVar = ("dp_epsilon", "public_size", "unit_key", "size", "init", "steps")
    GROUPS: ClassVar = (PRIVACY, MODEL, OPTIMISATION, PREDICTING, SPEED, PLAIN, MEASURING, DATA)

    @property
    def private(self) -> bool:
        """Whether the run is differentially private."""
        return self.dp_epsilon is not None

    @property
    def starts_from(self) -> str | None:
        """The folder or name of the initial model; None for a model of our own."""
        return None if self.init == FROM_SCRATCH else self.init

    CONTRADICTIONS: ClassVar[tuple[Contradiction, ...]] = (
        Contradiction(
            lambda s: s.static_masks and s.final_mask_rate is not None,
            "--final-mask-rate",
            "beside --static-masks",
            "masks that are drawn anew",
        ),
        Contradiction(
            lambda s: not s.private and s.augmentation_multiplicity is not None,
            "--augmentation-multiplicity",
            "a run that is not private: a plain one draws more windows by more --steps",
            "--dp-epsilon beside it",
        ),
        Contradiction(
            lambda s: s.static_masks and (s.augmentation_multiplicity or 1) > 1,
            "--augmentation-multiplicity {augmentation_multiplicity}",
            "beside --static-masks it would be the same window as many times",
            "windows and masks that are drawn anew",
        ),
        Contradiction(
            lambda s: s.private and s.objective == Objective.NSP,
            "--objective mlm+nsp",
            "a pair of two units in a private run: one would move the other's gradient",
            "an objective within one unit",
            "--objective mlm+sop asks a similar question",
        ),
        Contradiction(
            lambda s: s.private and s.precision == Precision.FP16,
            "--precision fp16",
            "a private run: a step whose gradient overflows would be left out, and which one is private",
            "bf16 or fp32",
        ),
        Contradiction(
            lambda s: s.stride is not None and s.stride > s.window - 2,
            "--stride {stride}",
            "it leaves tokens out",
            "at most the window of {window} less its two special tokens",
        ),
        Contradiction(
            lambda s: s.private and s.tokenizer == "learn" and not s.allow_private_tokenizer,
            "--tokenizer learn",
            "its entries would be a release of private text outside the claim",
            "a public tokenizer, or --tokenizer dp",
            "--allow-private-tokenizer accepts it as a hazard that the statement names",
        ),
        Contradiction(
            lambda s: not s.private and s.tokenizer == "dp",
            "--tokenizer dp",
            "a run that is not private",
            "--dp-epsilon beside it",
        ),
        Contradiction(
            lambda s: s.tokenizer == "dp" and s.unit == UnitChoice.SEQUENCE,
            "--tokenizer dp",
            "words are counted by document or person",
            "--unit document",
        ),
        Contradiction(
            lambda s: s.tokenizer in LEARNT_TOKENIZERS and s.starts_from is not None,
            "--tokenizer {tokenizer}",
            "the initial model has a vocabulary of its own",
            "--init scratch, or none",
        ),
        Contradiction(
            lambda s: s.adapt != Adaptation.LORA and (s.lora_rank is not None or bool(s.lora_targets)),
            "--lora-rank and --lora-targets",
            "beside --adapt {adapt}",
            "--adapt lora",
        ),
        Contradiction(
            lambda s: s.add_tokens is not None and s.starts_from is None,
            "--add-tokens",
            "no model to add them to",
            "a checkpoint with --init",
            "a tokenizer that is learnt here has the words of the text",
        ),
        Contradiction(
            lambda s: s.private and s.tokenizer_epsilon is not None and s.tokenizer_epsilon >= s.dp_epsilon,
            "--tokenizer-epsilon",
            "{tokenizer_epsilon:g}",
            "above 0 and below --dp-epsilon",
        ),
        Contradiction(
            lambda s: any(tier <= s.canary_repetitions or s.canaries == 0 for tier in s.canary_tiers),
            "--canary-tier",
            "beside {canaries} canaries of {canary_repetitions} copies each",
            "more copies than those canaries have, and at least one of those",
        ),
    )
