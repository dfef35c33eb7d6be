"""The nouns of mlmguard: frozen dataclasses over the standard library.

They describe what happened. What it *means* is computed elsewhere (``accounting``, ``policy``).
Public values are fields. Text of people is a field in exactly one noun, :class:`Document`, and is kept
out of every ``repr``; everything downstream carries a type, a place and a keyed fingerprint instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def noun(cls: type[_T]) -> type[_T]:
    """A frozen dataclass whose file form refuses keys it does not know."""
    cls.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
    return dataclass(frozen=True)(cls)


Progress = Callable[[str, int, int | None], None]
"""How far a verb is: ``progress(stage, done, total)``; ``total`` is None if unknown."""


@dataclass(frozen=True)
class Watcher:
    """Whoever watches a verb. ``stop()`` is called between two steps of work that can go on later."""

    progress: Progress = lambda stage, done, total: None
    tell: Callable[[str], None] = lambda line: None
    stop: Callable[[], bool] = bool

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Report stage ``name`` as begun, and as done where its block ends without an error."""
        self.progress(name, 0, 1)
        yield
        self.progress(name, 1, 1)


SILENT = Watcher()
"""The :class:`Watcher` that nobody is."""


# --- the corpus ---------------------------------------------------------------------------------------


@noun
class Document:
    """One record as it was read: the unit of privacy unless ``unit`` names a larger one."""

    id: str  # safe to show: the relative path, or path#L12, with personal data in it fingerprinted
    text: str = field(repr=False)
    source: str  # safe to show: the top-level folder or file the document came from
    unit: str = field(default="", repr=False)  # "" = the document itself
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    id_was_taken: bool = False  # by an earlier row of its file: it goes by its line


@noun
class Location:
    """A span of a document, in characters of its decoded text, or of another ``column``; end exclusive."""

    document_id: str
    start: int
    end: int
    column: str = ""  # of its row; "" = the text


@noun
class Finding:
    """Something personal at a place. The value itself is never here: ``fingerprint`` is a keyed HMAC."""

    rule: str  # the entity type, e.g. "EMAIL_ADDRESS"
    severity: str
    score: float
    location: Location
    fingerprint: str
    status: str = "kept"  # what became of its document, as in documents.jsonl
    document_copies: int = 1  # documents of the corpus that are copies of its document, itself included
    value_documents: int = 1  # documents of the corpus whose texts hold the same value


@noun
class Skipped:
    """A record that was left out, and why. ``line`` is 1-based, 0 for the whole file."""

    source: str
    reason: str
    line: int = 0


@noun
class Detector:
    """What looks for one entity type. ``status`` is "available", "not run" or "no detector".

    ``recall`` is what was measured on labelled text, with its counts; "not measured" if nothing was, "" where
    there is nothing to measure.
    """

    entity: str
    name: str
    version: str
    status: str
    recall: str = ""


@noun
class Shard:
    """One output file. No digest: one per document in the open would be a membership test."""

    path: str
    split: str
    documents: int


@noun
class FindingCount:
    """Findings of one entity type in one source, over the documents that were read."""

    rule: str
    source: str
    found: int
    redacted: int
    documents: int


@noun
class ColumnCount:
    """Findings of one entity type in one other column of the rows. They are cleaned, and never trained on."""

    rule: str
    column: str
    found: int
    documents: int


@noun
class Repetition:
    """How often values of one entity type stand in the corpus: what is repeated is memorised."""

    rule: str
    severity: str
    values: int  # that two documents and more hold
    most: int  # documents that hold the most frequent one
    most_copies: int  # of one document that holds a value of the type


@noun
class RepeatedIds:
    """Rows of one source whose id an earlier row of their file has: they are kept, and go by their lines."""

    source: str
    documents: int
    first: str  # the id that the first of them goes by


@noun
class DuplicateCounts:
    """Documents removed as copies, the pairs that crossed a split before they were moved together, and the
    passages of fifty words and more that kept documents share."""

    exact: int
    near: int
    cross_split: int
    clusters: tuple[int, ...] = ()  # sizes of the duplicate clusters, largest first
    evaluation: int = 0  # documents removed as copies of what `--against` names
    passages: int = 0  # that a kept document shares with another one or with an evaluation set
    passages_cut: int = 0  # of these, cut out of the document


@noun
class Manifest:
    """What ``scan`` read, removed, wrote and could not look for."""

    run_id: str
    documents_read: int
    documents_written: int
    splits: Mapping[str, int]
    outputs: tuple[Shard, ...]
    skipped: tuple[Skipped, ...]
    findings: tuple[FindingCount, ...]
    duplicates: DuplicateCounts
    coverage: tuple[Detector, ...]
    commitment: str  # salted SHA-256 over inputs and outputs; the salt stays in the run folder
    key_id: str
    settings: Mapping[str, str]
    tool_version: str
    columns: tuple[ColumnCount, ...] = ()
    repetition: tuple[Repetition, ...] = ()  # the worst first: severity times documents
    repeated_ids: tuple[RepeatedIds, ...] = ()
    schema: str = "mlmguard/manifest/v1"


# --- privacy ------------------------------------------------------------------------------------------


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
    unit: str  # "document", "author", "sequence" …
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
class CorpusRelease:
    """Another run on the same corpus. ``status`` is "finished" or "unfinished" (its steps count too)."""

    run_id: str
    private: bool
    epsilon: float | None  # at its own δ; None: not private
    unit: str
    status: str


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
    batch_sizes: Mapping[str, float]  # expected and observed mean and variance of realised draws
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
    corpus_releases: tuple[CorpusRelease, ...] = ()
    tool_versions: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""  # SHA-256 over everything else here: catches accidents, not tampering
    schema: str = "mlmguard/privacy/v1"


# --- the audit ----------------------------------------------------------------------------------------


@noun
class Canary:
    """A planted secret: its own unit, its own recorded fair coin. Text lives in the run folder only."""

    id: str
    unit_id: str
    repetitions: int
    planted: bool


@noun
class Measurement:
    """One number of one attack, never bare: interval, confidence, how many examples, what it could show.

    ``value`` None means the attack ran and could not form the number; ``note`` says why.
    ``ceiling`` is the largest value this design could have reported (None: no such bound).
    ``slice`` narrows what was measured ("redacted", "EMAIL_ADDRESS", "copies 10+"); "" is all of it.
    """

    attack: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    confidence: float
    examples: int
    ceiling: float | None = None
    slice: str = ""
    note: str = ""


@noun
class Metric:
    """What one number is called, what it says, and how it is to be shown.

    ``name`` is ``family.metric``; the family is the attack that measures it, or what it speaks of.
    """

    name: str
    says: str
    interval: bool = False  # formed with an interval around it, always
    yes_no: bool = False
    column: str = ""  # its heading in an ablation's table; "" = it has no column there

    @property
    def family(self) -> str:
        """What comes before the dot."""
        return self.name.split(".")[0]


@noun
class Curve:
    """Points behind a figure. ``low``/``high`` are pointwise interval ends, empty if there are none."""

    attack: str
    name: str
    x_label: str
    y_label: str
    series: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@noun
class AttackRun:
    """Coverage of the audit: each known attack, run or not, and why not."""

    attack: str
    status: str  # "run" | "not run"
    detail: str


@noun
class ModelFacts:
    """What was audited, with nothing of the text it was trained on."""

    architecture: str
    parameters: int
    vocabulary: int
    digest: str  # SHA-256 over the weight files
    head_loaded: bool
    beats_unigram: bool


@noun
class Evidence:
    """Everything a judge may see: attack numbers, the privacy claim, what the scan did."""

    run_id: str
    model: ModelFacts
    manifest: Manifest | None
    statement: PrivacyStatement | None
    measurements: tuple[Measurement, ...]
    curves: tuple[Curve, ...]
    attacks: tuple[AttackRun, ...]
    notes: tuple[str, ...]
    tool_version: str
    schema: str = "mlmguard/evidence/v1"


@noun
class Review:
    """What a person found in a random sample of the cleaned corpus: only a labelled sample gives that.

    ``commitment`` is that of the scan's manifest: the review speaks of that corpus and of no other.
    """

    run_id: str
    commitment: str
    passages: int
    measurements: tuple[Measurement, ...]
    tool_version: str
    schema: str = "mlmguard/review/v1"


# --- the judgement ------------------------------------------------------------------------------------


class Status(StrEnum):
    """What a rule says of the evidence. Not knowing is a value."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    WAIVED = "waived"


@noun
class Verdict:
    """One rule's judgement: what was required, what was observed, and why that is the answer."""

    rule: str
    status: Status
    severity: str
    required: str
    observed: str
    reason: str
    title: str = ""
    control: str = ""  # the sentence of a standard that the rule stands for
    file: str = ""  # the policy file the rule stands in, relative where it can be
    line: int = 0  # 1-based, 0 if unknown
    fingerprint: str = ""  # of this rule on these weights: what a waiver can be narrowed to


@noun
class WaiverUse:
    """What became of one waiver of the policy on the day of the judgement.

    ``state`` is "in force", "expires soon", "expired", "unused", "not yet" or "undated".
    """

    rule: str
    slice: str
    fingerprint: str
    reason: str
    owner: str
    approver: str
    ticket: str
    created: str
    expires: str
    state: str


@noun
class Attested:
    """A statement that no number can make, and who signed it; ``signed_by`` "" if nobody did."""

    id: str
    role: str
    statement: str
    signed_by: str = ""
    date: str = ""


@noun
class Judgement:
    """All verdicts of one policy on one evidence."""

    policy: str
    policy_version: str
    policy_hash: str
    status: Status
    verdicts: tuple[Verdict, ...]
    day: str = ""  # ISO date that waivers and signatures were checked against
    waivers: tuple[WaiverUse, ...] = ()
    attestations: tuple[Attested, ...] = ()
    loosened: tuple[str, ...] = ()  # what a child policy loosens of its parent, by whom and why
