"""The ways in which a claim can be hollow, and what a private run tests of its own mechanism, as tables."""

from __future__ import annotations

from collections.abc import Mapping

#: Every way in which a claim can be hollow, as (what it is, what to do). A statement says of each of them
#: whether it applies; a rule counts as ``privacy.hazards_present`` those that are
#: neither ``STANDING`` nor ``STATED``.
HAZARDS: Mapping[str, tuple[str, str]] = {
    "batch-mixing": (
        "a layer that mixes the records of a batch lets one of them change the gradients of the others",
        "use an architecture without batch statistics; mlmguard refuses the others",
    ),
    "clipping": (
        "if a record can move the sum of gradients by more than C, the noise is too small for it",
        "nothing while the self-check at the start of the run holds; report it if it does not",
    ),
    "damaged-input": (
        "rows of a file that is not what the scan wrote would be rows that nobody scanned",
        "files that differ are left out and the claim is for the others; scan again for all of them",
    ),
    "floating-point": (
        "noise drawn in floating point is not exactly Gaussian, and its gaps can tell",
        "nothing: sums and noise are rounded to a grid before they are added, and the noise is wider for it",
    ),
    "initial-weights": (
        "what the initial checkpoint was trained on is outside the claim",
        "start from a model whose training text is public or is not about your people; one that was trained "
        "on the same corpus without privacy voids the claim",
    ),
    "non-private-releases": (
        "a release without privacy from the same records voids what the private one promised",
        "do not release the other run, or say that the claim is void",
    ),
    "normaliser": (
        "dividing by the size of the draw instead of a public number tells the size",
        "nothing: the normaliser is fixed before training",
    ),
    "precision": (
        "gradients in low precision are rounded, by more than the noise was made for",
        "train in fp32 where the claim must hold to the letter",
    ),
    "preprocessing": (
        "deduplication couples records: removing one lets a copy of it in",
        "read the claim as one about the rows of clean/train, not about the raw corpus",
    ),
    "random-numbers": (
        "noise from a generator that can be predicted can be subtracted",
        "nothing: the generators are ciphers, and their keys come from the operating system and are not kept",
    ),
    "reports": (
        "losses, metrics and audits are computed from private text and are not covered by ε",
        "treat reports like the corpus",
    ),
    "resumption": (
        "a step that is run twice spends twice",
        "nothing: a step is charged before its noise is drawn and is never run again",
    ),
    "run-folder": (
        "canaries, places of personal data and metrics on private text lie in the run folder",
        "keep .mlmguard/ at mode 0700 on the machine that trained; mlmguard doctor checks it",
    ),
    "sampling-mismatch": (
        "an accountant that assumes Poisson draws says nothing of shuffled batches",
        "nothing: the sampler is the one the accountant assumes; see the draws in the statement",
    ),
    "size-dependence": (
        "settings derived from the exact number of records tell it",
        "let the noised count stand, or make sure that the size given as public is public",
    ),
    "steps": (
        "stopping when a private loss looks good is a choice made on private text",
        "nothing: the number of steps is fixed before the first",
    ),
    "timing": (
        "how long a step takes can tell how many records it drew",
        "keep clocks and logs of the training machine away from who gets the model",
    ),
    "tokenizer": (
        "a vocabulary learnt from private text holds its words, whatever the weights do",
        "use the shipped tokenizer, or one learnt with privacy",
    ),
    "tuning": (
        "choosing among runs on the same records spends as well",
        "choose settings on public text, or compose all runs: mlmguard ledger",
    ),
    "unit-smaller-than-person": (
        "a person with many records is protected for each of them, not for all",
        "name the person's column with --unit-key when you scan",
    ),
    "validation": (
        "held-out numbers speak of held-out people",
        "treat them like the corpus; they are not in the claim",
    ),
}

#: What holds of every private run of this tool, whatever its settings; a reader knows it once.
STANDING = frozenset({"preprocessing", "reports", "run-folder", "timing"})
#: What the settings say themselves: the page states the unit, and a policy that asks for persons has a rule.
STATED = frozenset({"unit-smaller-than-person"})

#: What a private run tests of its own mechanism, as (what is compared with what, what it cannot see).
MECHANISM_CHECKS: Mapping[str, tuple[str, str]] = {
    "sampler": (
        "the sizes of all draws and how often each canary was drawn, beside independent draws",
        "a sampler that prefers some texts for what they say",
    ),
    "noise": (
        "the variance between clipped sum and release of every parameter tensor at random steps, and of the "
        "canaries at every step, beside the plan",
        "noise that somebody else can predict",
    ),
    "clipping": (
        "clipped sums of units of text at random steps, beside a loop that clips one record after the other",
        "units and steps that were not compared",
    ),
    "canaries": (
        "ε shown by units with gradients of their own that took part by coin in every step, beside the claim",
        "what happens to a text before its gradient: its windows, its masks, its passes through the model",
    ),
}
