"""What is read, what is found in it, and what a scan writes down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field

from mlmguard.types.noun import later, noun


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
    """A record that was left out, and why. ``line`` is 1-based, 0 for the whole file.

    Of a file that lost many the first are listed one by one; ``records`` is how many more there are of this
    reason, and ``line`` that of the first of them.
    """

    source: str
    reason: str
    line: int = 0
    records: int = later(default=1)


LABEL_OF_NO_TYPE = "label of no type"


@noun
class Detector:
    """What looks for one entity type. ``status`` is "available", "not run" or "no detector"; or, where
    ``entity`` is a label of the user's model that means no type, :data:`LABEL_OF_NO_TYPE`.

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
    """Findings of one entity type in one source, over the documents that were read.

    What was found and not redacted lies in copies that were removed. ``left`` counts what stays in the
    written text: accepted, too weak a match, or of a type that was not asked for. None: not known.
    """

    rule: str
    source: str
    found: int
    redacted: int
    documents: int
    left: int | None = later(default=None)


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
class LanguageCount:
    """Documents in one language. ``status`` is "looked for", "not looked for" or "undetermined".

    ``made`` are the entity types that rules find by words and forms of the language, ``measured`` those of
    them whose recall was measured on text in it.
    """

    language: str  # ISO 639; "und" where it was not determined
    documents: int
    status: str
    made: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()


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
    earlier: int = later(default=0)  # documents removed as copies of what earlier scans have seen (`--index`)


@noun
class EarlierScans:
    """What a scan was held against beside itself: the texts of earlier scans that ``index`` holds.

    ``joined`` counts their clusters that copies in this one show to be one: each is a document that a scan of
    everything at once would have left out.
    """

    scans: int
    documents: int
    joined: int
    index: str  # a keyed name of what it held


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
    earlier: EarlierScans | None = later(default=None)  # where the scan had an index
    languages: tuple[LanguageCount, ...] = ()  # most documents first; () in manifests of before
    schema: str = "mlmguard/manifest/v1"

    @property
    def foreign(self) -> dict[str, int]:
        """Documents by language, of languages whose identifiers nobody looked for."""
        return {row.language: row.documents for row in self.languages if row.status == "not looked for"}

    @property
    def records_skipped(self) -> int:
        """How many records were left out: entries of ``skipped`` may stand for several."""
        return sum(one.records for one in self.skipped)


@noun
class Proof:
    """A random sample of a scan held against stock Presidio and datasketch.

    ``most`` is the upper end, at 95 %, of the share of all documents that differ.
    """

    run_id: str  # of the scan
    sample: int  # documents, drawn from
    documents: int  # that were read
    findings_differ: int  # documents in which stock finds other things, or that were cleaned otherwise
    copies_differ: int  # documents whose signature or copies are not what the definition says
    most: float
    found: int  # findings of the scan in the sample
    found_by_stock: int  # those of them that stock has, too
    pairs: int  # of a document of the sample and another that were compared word by word
    stock: Mapping[str, str]  # versions
    not_held: tuple[str, ...]  # what stock has nothing for
    schema: str = "mlmguard/scan-prove/v1"

    @property
    def differ(self) -> bool:
        """Say whether any document differs."""
        return self.findings_differ + self.copies_differ > 0


#: Types of which every scan says whether it looked for them.
ALWAYS_TOLD = frozenset({"PERSON", "LOCATION", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE"})


def looked_for(coverage: Iterable[Detector]) -> frozenset[str]:
    """Those entity types of a coverage that a detector looks for."""
    return frozenset(d.entity for d in coverage if d.status == "available")


def not_looked_for(coverage: Iterable[Detector]) -> frozenset[str]:
    """Those that none looks for: of a model's label that means no type nobody knows what it would be.

    A coverage that does not speak of a type that every scan tells of has not looked for it.
    """
    types = {d.entity for d in coverage if d.status != LABEL_OF_NO_TYPE}
    return frozenset(types | ALWAYS_TOLD) - looked_for(coverage)
