"""What a claim says: what the unit is, what is done with one, and the ways in which a claim can be hollow.

Each hazard is a question that NIST SP 800-226 or the pitfalls page of jax_privacy asks of a private training
run, with the answer for this one. "absent" stands only where this program made it so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlmguard.errors import InputError
from mlmguard.settings import UnitChoice
from mlmguard.showing import show_epsilon
from mlmguard.training.privacy.origin import PUBLIC, Origin
from mlmguard.types import CorpusRelease, Hazard, UnitKind


@dataclass(frozen=True)
class UnitOfPrivacy:
    """What one row of the sampler is: its kind, its name, and a sentence. A key may have any name."""

    kind: UnitKind
    name: str
    definition: str

    @classmethod
    def of(
        cls, chosen: str | None, unit_key: str | None, scanned_by: str | None, window: int, views: int = 1
    ) -> UnitOfPrivacy:
        """The unit of a run on rows that were scanned by the key ``scanned_by`` (None: without one).

        ``chosen`` is "document", "sequence" or None: the key where the scan had one, else the document. A
        drawn unit contributes ``views`` windows.

        Raises:
            InputError: ``unit_key`` is not the key of the scan, or is named beside a smaller unit.
        """
        if unit_key is not None and unit_key != scanned_by:
            raise InputError(
                f"--unit-key {unit_key}",
                f"the corpus was scanned by {scanned_by}"
                if scanned_by
                else "the corpus was scanned without a key",
                "rows that say whose they are",
                f"run `mlmguard scan --unit-key {unit_key}` first",
            )
        if unit_key is not None and chosen is not None:
            raise InputError(
                f"--unit {chosen}", f"named beside --unit-key {unit_key}", "one of the two", "leave one out"
            )
        if chosen == UnitChoice.SEQUENCE:
            return cls(
                UnitKind.PIECE,
                str(UnitChoice.SEQUENCE),
                f"one piece of at most {window - 2} tokens of a row of clean/train; a row is as many units "
                "as it has pieces, and a whole document has the guarantee of a group",
            )
        windows = "one random window" if views == 1 else f"the mean of {views} random windows"
        draw = f"each draw contributes {windows} of at most {window} tokens"
        of_which = " of one of them" if views == 1 else ", each of one of them"
        if chosen is None and scanned_by is not None:
            return cls(
                UnitKind.KEY,
                scanned_by,
                f"all rows of clean/train that share one value of “{scanned_by}”; {draw}{of_which}",
            )
        if chosen in (None, UnitChoice.DOCUMENT):
            return cls(UnitKind.ROW, str(UnitChoice.DOCUMENT), f"one row of clean/train; {draw}")
        known = " or ".join(f'"{choice}"' for choice in UnitChoice)
        raise InputError("--unit", repr(chosen), known, "a person is --unit-key KEY")

    @property
    def gathers_rows(self) -> bool:
        """Several rows of clean/ can belong to one unit, as all of a person's do."""
        return self.kind == UnitKind.KEY

    @property
    def is_piece(self) -> bool:
        """A row of clean/ is cut into several units."""
        return self.kind == UnitKind.PIECE


RAW_CORPUS = (
    "not possible: deduplication lets another copy in when one document is removed, so the claim is for the "
    "rows of clean/train"
)


@dataclass(frozen=True)
class Facts:
    """What the hazards are judged by."""

    unit: UnitOfPrivacy
    public_size: bool  # n was declared public
    tokenizer: str  # "shipped", "named", "dp" or "private"
    origin: Origin  # of the initial weights
    sampled_as_claimed: bool  # the draws were those of the claimed sampler, as far as was tested
    others: Sequence[CorpusRelease]
    corpus_epsilon: float | None
    corpus_epsilon_reason: str  # why there is none
    learning_rate_given: bool
    left_out: Sequence[str]  # shards of clean/ that were not as the scan wrote them
    sealed: bool  # the others have the digests that the scan wrote
    precision_margin: float | None  # by what share 16-bit passes widened the noise; None: all of it fp32


ALWAYS = (
    Hazard("steps", "absent", "a fixed number of steps; no early stop and no retry on private results"),
    Hazard("normaliser", "absent", "sums are divided by a public number, never by the draw"),
    Hazard("batch-mixing", "absent", "layers that mix records are refused; losses are per unit"),
    Hazard("clipping", "absent", "compared with a one-record loop on the first units of this run"),
    Hazard("resumption", "absent", "steps are charged before their noise is drawn and never run twice"),
    Hazard("validation", "absent", "held-out numbers are computed after the last step and steer nothing"),
    Hazard(
        "random-numbers",
        "absent",
        "noise, draws and coins come from ciphers under keys of 256 bits that are never kept; windows and "
        "masks too, or they are a function of the unit alone (--static-masks)",
    ),
    Hazard(
        "floating-point",
        "absent",
        "sums and noise are added as whole numbers of a grid, wider by what rounding may add",
    ),
    Hazard(
        "timing", "unknown", "how long a step takes depends on the draw; nobody else may watch the machine"
    ),
    Hazard("preprocessing", "present", f"a claim for the raw corpus is {RAW_CORPUS}"),
    Hazard(
        "reports",
        "present",
        "held-out metrics and audit reports are computed from private text and are not covered",
    ),
    Hazard(
        "run-folder",
        "unknown",
        "canaries and unfinished state lie in the run folder; who else may read it is not known here",
    ),
)
"""What holds of every private run of this program."""


def hazards(facts: Facts) -> tuple[Hazard, ...]:
    """Every known way for the claim to be hollow, and whether it applies."""
    return (
        _sampler(facts.sampled_as_claimed),
        _size(facts.public_size),
        _unit(facts.unit),
        TOKENIZERS[facts.tokenizer],
        _initial(facts),
        _tuning(facts),
        _siblings(facts.others),
        _precision(facts.precision_margin),
        damaged_input(facts.left_out, facts.sealed, named=facts.public_size),
        *ALWAYS,
    )


def _sampler(agrees: bool) -> Hazard:
    if agrees:
        return Hazard("sampling-mismatch", "absent", "batch sizes vary as Poisson sampling does")
    detail = "batch sizes are not those of Poisson sampling: the ε does not hold"
    return Hazard("sampling-mismatch", "present", detail)


def _size(public: bool) -> Hazard:
    if public:
        return Hazard("size-dependence", "present", "n is declared public by --public-size")
    return Hazard("size-dependence", "absent", "settings derive from a noised count that is in the ledger")


def _unit(unit: UnitOfPrivacy) -> Hazard:
    if not unit.gathers_rows:
        detail = f"the unit is a {unit.name}: a person with several of them has the guarantee of a group"
        return Hazard("unit-smaller-than-person", "present", detail)
    detail = f"the unit is one value of “{unit.name}”; whether that is one person is not known here"
    return Hazard("unit-smaller-than-person", "unknown", detail)


TOKENIZERS = {
    "shipped": Hazard("tokenizer", "absent", "learnt from public text, pinned by digest"),
    "named": Hazard("tokenizer", "unknown", "declared public by naming it; nothing here can check that"),
    "dp": Hazard("tokenizer", "absent", "learnt from noised word counts; its ε is in the ledger"),
    "private": Hazard(
        "tokenizer",
        "present",
        "learnt from the private text without noise: what its entries say is outside the claim",
    ),
}


def _initial(facts: Facts) -> Hazard:
    origin = facts.origin
    if origin.started_from == PUBLIC:
        return Hazard("initial-weights", "absent", "random or warmed up on public text")
    if origin.plain:
        detail = (
            f"they come from {origin.plain}, which was trained on this corpus without privacy: no ε holds"
        )
        return Hazard("initial-weights", "present", detail)
    if origin.composed and facts.corpus_epsilon is not None:
        detail = (
            f"they come from {', '.join(origin.composed)}, private on this corpus and in its ledger: with "
            f"what that cost, the weights have ε = {show_epsilon(facts.corpus_epsilon)}"
        )
        return Hazard("initial-weights", "absent", detail)
    detail = "whatever the initial checkpoint was trained on is outside the claim"
    if origin.composed:
        detail = f"they come from {', '.join(origin.composed)}, and {facts.corpus_epsilon_reason}"
    return Hazard("initial-weights", "unknown", detail)


def _tuning(facts: Facts) -> Hazard:
    private = [run for run in facts.others if run.private]
    if not private:
        given = "; a learning rate was given: if it was tuned on this corpus elsewhere, that is not counted"
        return Hazard(
            "tuning",
            "unknown" if facts.learning_rate_given else "absent",
            "no other private run on this corpus in its ledger"
            + (given if facts.learning_rate_given else ""),
        )
    together = (
        f"together they cost ε = {show_epsilon(facts.corpus_epsilon)}"
        if facts.corpus_epsilon is not None
        else f"no ε for all of them: {facts.corpus_epsilon_reason}"
    )
    return Hazard("tuning", "present", f"{len(private)} more private runs on this corpus: {together}")


def _precision(margin: float | None) -> Hazard:
    if margin is None:
        return Hazard("precision", "absent", "norms, sums and noise are fp32, as all of the step")
    detail = (
        "passes run in bf16; norms, sums and noise are fp32, and the noise is wider by "
        f"{margin:.2%} for what rounding was measured to add: measured, not proved"
    )
    return Hazard("precision", "present", detail)


def damaged_input(left_out: Sequence[str], sealed: bool, named: bool) -> Hazard:
    """Were all rows those that the scan wrote? Not ``named``: where a shard's number would tell the size."""
    if not left_out and sealed:
        return Hazard("damaged-input", "absent", "every file of clean/ has the digest that the scan gave it")
    if not left_out:
        detail = "every row of clean/ could be read; the digests of the scan were not at hand to compare with"
        return Hazard("damaged-input", "unknown", detail)
    which = ", ".join(left_out) if named else "named in the run folder, for their numbers tell the size"
    detail = (
        f"{len(left_out)} files of clean/ were not as the scan wrote them and were left out ({which}): "
        "the claim is for the rows of the others, as they lie in them"
    )
    return Hazard("damaged-input", "present", detail)


def _siblings(others: Sequence[CorpusRelease]) -> Hazard:
    plain = [run.run_id for run in others if not run.private]
    if not plain:
        return Hazard("non-private-releases", "absent", "none in the corpus ledger of this machine")
    shown = ", ".join(plain[:5]) + (f" and {len(plain) - 5} more" if len(plain) > 5 else "")
    detail = f"void this claim if they are released (NIST SP 800-226, 2.6): {shown}"
    return Hazard("non-private-releases", "present", detail)
