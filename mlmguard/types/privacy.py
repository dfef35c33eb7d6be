"""A plan, what it has cost, and the claim computed from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from mlmguard.types.noun import noun


class UnitKind(StrEnum):
    """What one unit of privacy is made of, whatever it is called: a key may be named "document"."""

    ROW = "row"  # one row of clean/
    PIECE = "piece"  # a row is cut into several
    KEY = "key"  # all rows that share one value of a key


@noun
class DpPlan:
    """The one object that couples sampler, clipper, noise and ledger; they cannot be set apart.

    A step draws every unit with probability ``sample_rate``, clips each unit's gradient to
    ``max_grad_norm``, adds N(0, (noise_multiplier * max_grad_norm)^2) per coordinate to the sum, and
    divides by ``normaliser`` (expected units a step, from a public size, never from the draw). Where passes
    are rounded to 16 bits, the noise is wider by ``precision_margin``, a share of itself.
    """

    noise_multiplier: float
    max_grad_norm: float
    sample_rate: float
    steps: int
    delta: float
    unit: str  # its name: "document", "sequence", or that of a key
    normaliser: float
    epsilon: float  # the target this plan was calibrated to
    grid: float = 0.0  # spacing that sums and noise are rounded to, as a share of C; 0: none
    precision_margin: float = 0.0  # of the sensitivity: by what share rounding may carry it past the norm


@noun
class LedgerEntry:
    """What one release cost. ``mechanism`` says how to read the numbers:

    ``poisson-gaussian``: ``steps`` Gaussian sums at ``noise_multiplier`` under Poisson ``sample_rate``;
    ``discrete-laplace``: one integer of sensitivity 1 released with noise P(k) ∝ e^{−``epsilon``·|k|};
    ``gaussian-threshold``: one vector of sensitivity 1 in L2, released at ``noise_multiplier`` where it
    exceeds a threshold that something in one unit alone passes with probability at most ``delta``.
    """

    mechanism: str
    noise_multiplier: float = 0.0
    sample_rate: float = 1.0
    steps: int = 0
    epsilon: float = 0.0
    delta: float = 0.0
    what: str = ""


@noun
class AccountantReading:
    """ε of one ledger by one accountant."""

    name: str
    epsilon: float


@noun
class Hazard:
    """A known way for a claim to be hollow, and whether it applies here."""

    id: str
    status: str  # "absent" | "present" | "unknown"
    detail: str


@noun
class MechanismCheck:
    """What a private run found of its own mechanism. ``outcome`` is "passed", "failed" or "not run"."""

    id: str
    outcome: str
    what: str  # was compared with what
    blind_to: str  # faults it cannot see


@noun
class CorpusRelease:
    """Another run on the same corpus. ``status`` is "finished" or "unfinished" (its steps count too)."""

    run_id: str
    private: bool
    epsilon: float | None  # at its own δ; None: not private
    unit: str
    status: str
    unit_kind: str = ""  # a UnitKind; "": not known, as in files older than this field


@noun
class Seal:
    """A statement under the key of the house that trained it: an HMAC over everything else in it."""

    key_id: str  # a name for the key that does not give it away
    value: str


@noun
class PrivacyStatement:
    """The claim, computed from the ledger of what ran."""

    run_id: str
    private: bool
    epsilon: float | None  # None: no finite ε is claimed
    delta: float | None
    accountants: tuple[AccountantReading, ...]
    unit: str
    unit_definition: str
    adjacency: str
    sampler: str
    plan: DpPlan | None
    ledger: tuple[LedgerEntry, ...]
    steps_applied: int
    covers: str
    data_accesses: tuple[str, ...]
    unprotected: tuple[str, ...]
    hazards: tuple[Hazard, ...]
    tool_version: str
    contribution: Mapping[str, float] = field(default_factory=dict)  # the bounds on what one unit can do
    epsilon_without_amplification: float | None = None  # if it were known who was drawn at every step
    gaussian_mu: float | None = None  # of the training steps, by the central limit: for orientation only
    true_positive_ceilings: Mapping[str, float] = field(default_factory=dict)  # by false-positive rate
    group_epsilon: Mapping[str, float | None] = field(default_factory=dict)  # by group size; None: no bound
    raw_corpus: str = ""  # what is claimed for the documents before preprocessing
    adaptation: str = ""  # which parameters were trained
    corpus_epsilon: float | None = None  # of all private runs on this corpus together, at ``delta``
    corpus_epsilon_reason: str = ""  # why there is none
    corpus_releases: tuple[CorpusRelease, ...] = ()
    tool_versions: Mapping[str, str] = field(default_factory=dict)
    unit_kind: str = ""  # a UnitKind; "": not known, as in files older than this field
    digests: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of what is claimed about, by name
    guesses: int | None = None  # how many an audit of the canaries makes, fixed before the first score
    mechanism_checks: tuple[MechanismCheck, ...] = ()  # empty: made before runs tested themselves
    warnings: tuple[str, ...] = ()  # what the release should be held against, and no claim is made about
    # of old statements only: the number of records can be computed from realised batch sizes
    batch_sizes: Mapping[str, float] = field(default_factory=dict)
    digest: str = ""  # SHA-256 over everything else here: catches accidents, not tampering
    seal: Seal | None = None  # None: made before there were seals
    schema: str = "mlmguard/privacy/v1"
