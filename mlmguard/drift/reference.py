"""What a checkpoint is compared with: text like the one it learnt from, which it does not know by heart.

A model foretells what it was trained on better than any other text. Its training rows tell which words are
known; loss and embeddings are those of documents that its run held out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlmguard.artifacts import load_key, read_json, read_noun
from mlmguard.corpus.clean import CleanFolder, of_run
from mlmguard.corpus.records import Numbers
from mlmguard.drift.sides import CHARACTERS, Drawn, drawn, named, rows_of
from mlmguard.errors import InputError
from mlmguard.settings import DriftSettings
from mlmguard.training.privacy import seals
from mlmguard.types import PrivacyStatement, Watcher

KNOWN = 4
"""Documents in which words are counted, for each that is compared."""
_Pair = tuple[str, str]  # text and source


@dataclass(frozen=True)
class Reference:
    """Documents in which words are counted (``known``), others to compare (``before``), the run's id, what is
    to be told, and digests of known texts."""

    known: Drawn
    before: Drawn
    run_id: str
    told: tuple[str, ...]
    known_texts: Numbers

    def without_known(self, texts: Iterable[_Pair], what: str, watcher: Watcher) -> Iterator[_Pair]:
        """Those of ``texts`` that are not, word for word, what was learnt from or what words are counted in.

        Those are foretold by heart and never hold a new word; of before they are left out, too.
        """
        met = left = 0
        for text, source in texts:
            met += 1
            if _digest(text) in self.known_texts:
                left += 1
            else:
                yield text, source
        if left:
            watcher.tell(f"{what}: {left:,} of {met:,} documents are known text word for word, and left out")


def of(ckpt: Path, against: Path | None, settings: DriftSettings, watcher: Watcher) -> Reference:
    """What the text that comes now is compared with.

    Of texts that the user names one half is counted and the other compared: counted and compared at once, no
    word of before would be new.
    """
    rng = np.random.default_rng([settings.seed, *b"before"])
    if against is not None:
        rows = named(against, settings.text_key, watcher, load_key())
        halves = drawn(rows, 2 * settings.documents, rng).halves(rng)
        note = (
            "--against is taken for text that the checkpoint was not trained on: it foretells its own "
            "training text better than any other."
        )
        known, before = halves
        stored = _stored(zip(known.texts, known.sources))
        before = before.without(lambda text: _digest(text) in stored)
        return Reference(known, before, run_id(ckpt), (note, _LEFT_OUT), stored)
    corpus = _corpus(ckpt, "--against")
    stored = Numbers()
    known = drawn(_noted(rows_of(corpus, "train"), stored), KNOWN * settings.documents, rng)
    held_out = (row for row in rows_of(corpus, "validation", "test") if _digest(row[0]) not in stored)
    before = drawn(held_out, settings.documents, rng)
    note = "Words are counted in its training rows; compared are rows that its run held out."
    return Reference(known, before, run_id(ckpt), (note, _LEFT_OUT, *_of_units(corpus)), stored)


_LEFT_OUT = "Documents that are known text word for word are left out of both sides."


def _of_units(corpus: CleanFolder) -> tuple[str, ...]:
    """Say where documents that are dealt anew are not independent."""
    rows = units = 0
    met = Numbers()
    for row in corpus.rows("validation", "test"):
        rows += 1
        units += met.add(_digest(row["unit"]))
    if units == rows:
        return ()
    return (
        f"The {rows:,} rows held out are of {units:,} units, and documents are dealt, not units: other "
        "persons of the same kind can look like movement.",
    )


def unseen(old: Path, new: Path) -> tuple[Iterator[tuple[str, str]], tuple[str, ...]]:
    """(text, source) of rows that the run of ``new`` held out and that of ``old`` was not trained on."""
    before, after = (_corpus(ckpt, "--texts") for ckpt in (old, new))
    trained = _stored(rows_of(before, "train"))
    rows = (row for row in rows_of(after, "validation", "test") if _digest(row[0]) not in trained)
    return rows, ("Shown are rows that NEW held out and OLD was not trained on.",)


def run_id(ckpt: Path) -> str:
    """The id of the run that made a checkpoint; "" where it is not one of ours."""
    path = ckpt / "privacy.json"
    return read_noun(path, PrivacyStatement).run_id if path.is_file() else ""


def _corpus(ckpt: Path, flag: str) -> CleanFolder:
    """The cleaned corpus that a checkpoint was trained on; :class:`InputError` where it is not at hand."""
    missing = InputError(
        str(ckpt), "the corpus that it was trained on is not at hand",
        "its run folder, .mlmguard/runs/ID", f"name text that it was not trained on with {flag}",
    )  # fmt: skip
    if not (ckpt / "privacy.json").is_file():
        raise missing
    found = seals.run_of(ckpt, read_noun(ckpt / "privacy.json", PrivacyStatement))
    if found.folder is None or found.fault or not (found.folder / "run.json").is_file():
        raise missing
    known = read_json(found.folder / "run.json")
    if not Path(known["clean"]).is_dir():
        raise missing
    return of_run(known, f"name text that it was not trained on with {flag}")


def _stored(rows: Iterable[_Pair]) -> Numbers:
    found = Numbers()
    for _ in _noted(rows, found):
        pass
    return found


def _noted(rows: Iterable[_Pair], known: Numbers) -> Iterator[_Pair]:
    """``rows``, each of whose texts is ``known`` from then on."""
    for row in rows:
        known.add(_digest(row[0]))
        yield row


def _digest(text: str) -> int:
    """Of as much of a text as is kept when documents are drawn."""
    words = " ".join(text[:CHARACTERS].split()).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest())
