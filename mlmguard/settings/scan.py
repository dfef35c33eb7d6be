"""The dials of a scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mlmguard.errors import InputError
from mlmguard.settings.choices import LANGUAGES, Cleaning, CutPassages, EngineChoice, Keep
from mlmguard.settings.dial import Contradiction, dial

READING, FINDING, COPIES, RUNNING = "Reading", "Finding and cleaning", "Copies and splits", "Running"

SPLITS = ("train", "validation", "test")
MOST_PARTS = 100_000


def shares(text: str) -> Mapping[str, float]:
    """Read the shares of the three splits, as in ``0.9,0.05,0.05``.

    Raises :class:`InputError` unless they are three numbers that add up to 1.
    """
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) != len(SPLITS) or any(not 0 <= one <= 1 for one in found) or abs(sum(found) - 1) > 1e-6:
        raise InputError("--splits", repr(text[:40]), f"shares of {', '.join(SPLITS)} that add up to 1")
    return dict(zip(SPLITS, found))


def part(text: str) -> tuple[int, int]:
    """Read which part of how many, as in ``2/8``.

    Raises :class:`InputError` unless they are whole numbers, the first from 1 to the second.
    """
    number, slash, of = text.partition("/")
    digits = number.isascii() and number.isdigit() and of.isascii() and of.isdigit()
    if not slash or not digits or not 1 <= int(number) <= int(of) <= MOST_PARTS:
        expected = f"a number, a slash and how many there are (up to {MOST_PARTS:,}), as in 2/8"
        raise InputError("--shard", repr(text[:40]), expected, "numbers begin with 1")
    return int(number), int(of)


@dataclass(frozen=True)
class ScanSettings:
    """What a scan reads, looks for, removes and keeps."""

    text_key: str = dial("text", "Column or key that holds the text.", group=READING)
    id_key: str = dial("id", "Column or key that names a row.", group=READING)
    unit_key: str | None = dial(
        None,
        "Column or key of the person a row belongs to; splits never cross it.",
        group=READING,
    )
    mail_headers: bool = dial(False, "Subject, From and To are part of a mail's text.", group=READING)
    max_chars: int = dial(1_000_000, "Longest document, in characters.", flag="", least=1)
    entities: tuple[str, ...] | None = dial(None, "Entity types to look for; None: all.", flag="")
    threshold: float = dial(0.4, "Least score of a finding.", group=FINDING, above=0, most=1)
    ner: Path | None = dial(
        None,
        "A model that finds names in the place of ours: a folder (spaCy, GLiNER, token classifier) or an "
        "installed spaCy package.",
        group=FINDING,
        metavar="FOLDER|PACKAGE",
    )
    no_names: bool = dial(False, "Do not look for names of persons, places and organisations.", group=FINDING)
    names_by_cue: bool = dial(
        False, "Look for names by the words before them; most names are missed.", group=FINDING
    )
    deny_list: Path | None = dial(
        None,
        "Values that are always personal, one a line; or recognisers of your own (.toml).",
        group=FINDING,
    )
    allow_list: Path | None = dial(
        None, "Values that are nobody's and stay, one a line; they are counted.", group=FINDING
    )
    countries: tuple[str, ...] = dial(
        (),
        "Also look for the identifiers of these countries, by code, as in de,es,in.",
        group=FINDING,
        flag="--country",
        separated=True,
    )
    languages: tuple[str, ...] = dial(
        ("en",),
        f"Languages beside English whose words and identifiers are looked for: {', '.join(LANGUAGES)}.",
        group=FINDING,
        flag="--language",
        separated=True,
    )
    mode: str = dial(Cleaning.REPLACE, "What happens to a finding.", group=FINDING, choices=Cleaning)
    #: (entity type, fingerprint) of values that stay, from a baseline.
    kept: tuple[tuple[str, str], ...] = ()
    near_threshold: float = dial(
        0.8, "Least Jaccard similarity of the shingles of two near copies.", flag="", above=0, most=1
    )
    permutations: int = dial(128, "Length of a MinHash signature.", flag="", least=16, most=4096)
    keep: str = dial(Keep.FIRST, "Which of several copies stays.", group=COPIES, choices=Keep)
    cut_passages: str = dial(
        CutPassages.BETWEEN_SPLITS,
        "Where passages of 50 words and more that another document holds are cut out.",
        group=COPIES,
        choices=CutPassages,
    )
    against: tuple[Path, ...] = dial(
        (), "Evaluation texts: their copies and passages are taken out of the corpus.", group=COPIES
    )
    index: Path | None = dial(
        None,
        "What earlier scans have seen: copies of it are left out, and this scan is added; a folder, made "
        "where there is none.",
        group=COPIES,
        metavar="FOLDER",
    )
    #: Ids of documents that somebody asked to leave out.
    left_out: frozenset[str] = frozenset()
    splits: str = dial(
        "0.9,0.05,0.05",
        "Shares of what is trained on, of validation and of test; more held out shows smaller leaks.",
        group=COPIES,
        metavar="TRAIN,VALIDATION,TEST",
        read=shares,
    )
    max_skipped: float | None = dial(
        None,
        "End with 1 when more records are left out (a share below 1, a count from 1 on).",
        group=RUNNING,
        least=0,
    )
    workers: int = dial(1, "Processes that read and find.", group=RUNNING, derived="one a core", least=1)
    shard: str | None = dial(
        None,
        "Examine one part of the corpus, as in 2/8: a job of many machines. --merge does the rest.",
        group=RUNNING,
        metavar="I/N",
        read=part,
    )
    engine: str = dial(
        EngineChoice.LOCAL,
        "Who reads and finds: processes of this machine, or tasks of Ray (pip install 'mlmguard[ray]').",
        group=RUNNING,
        choices=EngineChoice,
    )
    address: str | None = dial(
        None,
        "The Ray cluster: host:port, ray://…, or auto.",
        group=RUNNING,
        derived="one on this machine, for this scan",
    )
    prove: int | None = dial(
        None,
        "Hold this many documents, drawn at random, against stock Presidio and datasketch (pip install "
        "'mlmguard[prove]'); end with 1 if one differs.",
        group=RUNNING,
        least=1,
    )
    merge: bool = dial(False, "Put together what the --shard jobs have examined, and write.", group=RUNNING)

    #: The order of ``--help``: what most people need, then the groups.
    MOST_USED: ClassVar = ("mode", "text_key", "unit_key", "languages", "countries", "ner", "workers")
    GROUPS: ClassVar = (READING, FINDING, COPIES, RUNNING)

    CONTRADICTIONS: ClassVar[tuple[Contradiction, ...]] = (
        Contradiction(
            lambda s: s.shard is not None and s.merge,
            "--merge",
            "beside --shard",
            "one of the two",
            "run the --shard jobs first, then --merge once",
        ),
        Contradiction(
            lambda s: s.engine == EngineChoice.RAY and (s.shard is not None or s.merge),
            "--engine ray",
            "beside --shard or --merge",
            "one of them: Ray runs the jobs of all shards, and the merge follows",
        ),
        Contradiction(
            lambda s: s.index is not None and s.keep == Keep.ALL,
            "--index",
            "beside --keep all",
            "one of the two: one leaves copies of earlier scans out, the other none",
        ),
        Contradiction(
            lambda s: s.address is not None and s.engine != EngineChoice.RAY,
            "--address",
            "without --engine ray",
            "both",
        ),
    )

    @property
    def part(self) -> tuple[int, int] | None:
        """Which part of how many is examined; None for a whole scan."""
        return part(self.shard) if self.shard else None

    @property
    def shares(self) -> Mapping[str, float]:
        """The share of each split."""
        return shares(self.splits)
