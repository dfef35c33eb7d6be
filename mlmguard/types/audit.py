"""What an audit measured."""

from __future__ import annotations

from mlmguard.types.corpus import Manifest
from mlmguard.types.noun import noun
from mlmguard.types.privacy import PrivacyStatement, Seal


@noun
class Canary:
    """A planted secret: its own unit, its own recorded fair coin. Text lives in the run folder only."""

    id: str
    unit_id: str
    repetitions: int
    planted: bool


@noun
class CanaryRecord:
    """Which canaries another tool's checkpoint was trained with: where they lie, and no text and no coin."""

    run_id: str
    canaries: int
    canaries_digest: str  # SHA-256 of the file with texts and coins
    guesses: int  # of an audit, fixed before training
    initial_digest: str  # of the weights that training began with
    tool_version: str
    schema: str = "mlmguard/canaries/v1"


DEAL = "split.json"
"""The file beside members and non-members that says how they were dealt."""


@noun
class SplitRecord:
    """Members and non-members dealt by coin before a training. Its digests are keyed: they tell nothing."""

    key_id: str
    seed: int
    share: float
    unit_key: str
    parts: int  # what was dealt: units and copies together
    members: int
    non_members: int
    members_digest: str
    non_members_digest: str
    start_digest: str  # of the weights that training was to begin with; "": not named
    tool_version: str
    schema: str = "mlmguard/split/v1"


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
    """Coverage of the audit: each known attack, run or not, and why not.

    ``status`` is "run", "not run", or "not applicable" where nobody asked for a comparison that the attack is
    made of: an earlier release, shadow models, documents that were not trained on.
    """

    attack: str
    status: str
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


ALONE = "No non-members were named: what compares with documents not trained on is not applicable."
"""The note of evidence that had nothing to compare with."""
UNREAD = "The checkpoint's own privacy.json was not read: it was audited with --members, as one of others."
"""Note of evidence without a claim whose checkpoint makes one."""
DEALT = "Dealt by coin before the training"
"""How the note of evidence begins whose members and non-members `mlmguard split` dealt."""


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
    seal: Seal | None = None  # over everything else here, weights and statement included; None: not sealed
    schema: str = "mlmguard/evidence/v1"

    @property
    def is_of_drift(self) -> bool:
        """Say whether this is what ``drift`` found, and no audit."""
        return [run.attack for run in self.attacks] == ["drift"]


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
