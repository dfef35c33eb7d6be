"""The tokens of a run as files that are mapped into memory: a corpus costs the disk, not the memory.

    tokens/ids.bin      every sequence after the other, 2 bytes a token (4 where the vocabulary is large)
    tokens/words.bin    the number of each token's word, where masking needs it
    tokens/personal.bin is a token inside a finding, where masking needs it
    tokens/places.npy   where each sequence begins and ends, unit by unit
    tokens/bounds.npy   which sequences are whose
    tokens/names.bin    the units' ids
    tokens/key.json     digest of all that the files are a function of, written last

They are private text in another spelling, so they lie in the run folder, readable by its owner only, and go
when the run is done. Writing them holds one batch of texts and about 40 bytes a sequence in memory.

No `datasets`: a row of an Arrow table takes longer to fetch than to mask (docs/decisions/0004).
"""

from __future__ import annotations

import hashlib
import re
import shutil
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from mlmguard.artifacts import read_json, write_json
from mlmguard.errors import InputError
from mlmguard.training.text.masking import Ids, Notes, notes_of
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.units import Row, Unit

CHUNK = 1 << 20  # tokens counted at a time
TEXTS, CHARACTERS = 256, 1 << 19  # tokenised at a time: tokenizers hold some 50 bytes a character


class Text(NamedTuple):
    """A text, whose it is, and where the scan found something personal in it, in characters.

    A text with ``keep`` is one piece where rows are cut into pieces: the one around these characters.
    """

    unit: str
    text: str
    findings: Sequence[tuple[int, int]] = ()
    keep: tuple[int, int] | None = None


def tokenised(
    tokenizer: Tokenizer, texts: Iterable[Text], noted: bool, piece: int | None = None
) -> Iterator[Row]:
    """Yield each text as a row of tokens, with word numbers and personal tokens if ``noted``; in batches.

    ``piece`` is the length of the pieces that rows will be cut into, if they will be.
    """
    for batch in _batches(texts):
        if piece is not None:
            batch = [_one_piece(tokenizer, one, piece) if one.keep else one for one in batch]
        strings = [one.text for one in batch]
        if noted:
            for one, encoded in zip(batch, tokenizer.encode_with_places(strings)):
                notes = notes_of(encoded, one.findings)
                yield Row(one.unit, np.array(encoded.ids, dtype=np.int64), notes)
        else:
            for one, ids in zip(batch, tokenizer.encode(strings)):
                yield Row(one.unit, np.array(ids, dtype=np.int64))


def _one_piece(tokenizer: Tokenizer, text: Text, piece: int) -> Text:
    """``text`` without what lies too far from what is kept: at most ``piece`` tokens."""
    assert text.keep is not None
    start, end = text.keep
    words = list(re.finditer(r"\S+", text.text))
    inside = [k for k, word in enumerate(words) if word.start() < end and word.end() > start]
    first, last = inside[0], inside[-1]

    def of(low: int, high: int) -> str:
        return text.text[words[low].start() : words[high].end()]

    def fits(low: int, high: int) -> bool:
        return low >= 0 and high < len(words) and len(tokenizer.encode([of(low, high)])[0]) <= piece

    if not fits(first, last):
        raise InputError(
            "--window", f"{piece} tokens and two more", "room for the secret of a canary in one piece",
            "choose a larger one, or --canaries 0",
        )  # fmt: skip
    grew = True
    while grew:  # a word on the left, then one on the right, while they fit
        grew = False
        if fits(first - 1, last):
            first, grew = first - 1, True
        if fits(first, last + 1):
            last, grew = last + 1, True
    return text._replace(text=of(first, last))


def _batches(texts: Iterable[Text]) -> Iterator[list[Text]]:
    batch: list[Text] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text.text)
        if len(batch) == TEXTS or size > CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class Tokens(Sequence[Unit]):
    """The units in a folder that :func:`kept` wrote; each is cut out of the files when it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._dtype = np.dtype(read_json(folder / "key.json")["dtype"])
        self._ids = _mapped(folder / "ids.bin", self._dtype)
        self._words = _mapped(folder / "words.bin", np.dtype(np.int32))
        self._personal = _mapped(folder / "personal.bin", np.dtype(np.bool_))
        self._names = _mapped(folder / "names.bin", np.dtype(np.uint8))
        self._places, self._bounds, self._names_at = (
            np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))
            for name in ("places", "bounds", "names_at")
        )

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @overload
    def __getitem__(self, k: int) -> Unit: ...
    @overload
    def __getitem__(self, k: slice) -> list[Unit]: ...
    def __getitem__(self, k: Any) -> Any:
        if isinstance(k, slice):
            return [self[one] for one in range(*k.indices(len(self)))]
        if not 0 <= k < len(self):
            raise IndexError(f"unit {k} of {len(self)}")
        places = self._places[self._bounds[k] : self._bounds[k + 1]].tolist()
        notes = tuple(Notes(self._words[a:b], self._personal[a:b]) for a, b in places if len(self._words))
        start, stop = self._names_at[k].tolist()
        name = self._names[start:stop].tobytes().decode("utf-8", "surrogatepass")
        return Unit(name, tuple(self._ids[a:b] for a, b in places), notes)

    def __repr__(self) -> str:
        return f"Tokens({len(self)} units)"

    @property
    def sequences(self) -> NDArray[np.int64]:
        """(U,) how many sequences each unit has."""
        return np.diff(self._bounds)

    def counts(self, vocabulary: int) -> NDArray[np.int64]:
        """(V,) how often each token occurs; the files are read in pieces, not mapped."""
        found = np.zeros(vocabulary, dtype=np.int64)
        with (self._folder / "ids.bin").open("rb") as stream:
            while piece := stream.read(CHUNK * self._dtype.itemsize):
                found += np.bincount(np.frombuffer(piece, self._dtype), minlength=vocabulary)
        return found


def kept(folder: Path, key: str, rows: Callable[[], Iterable[Row]], vocabulary: int) -> Tokens:
    """Return the units of ``rows()``, written to ``folder``, or as they lie there under the same ``key``.

    Rows of one unit are gathered, units in the order in which they first appear, empty rows left out.
    """
    marker = folder / "key.json"
    if not (marker.exists() and read_json(marker)["key"] == key):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        _write(folder, key, rows(), np.dtype(np.uint16 if vocabulary <= 1 << 16 else np.uint32))
    return Tokens(folder)


def _write(folder: Path, key: str, rows: Iterable[Row], dtype: np.dtype[Any]) -> None:
    places, owners, named = array("q"), array("q"), array("q")
    at = named_at = 0
    with ExitStack() as files:
        ids, words, personal, names = (
            files.enter_context((folder / f"{name}.bin").open("wb"))
            for name in ("ids", "words", "personal", "names")
        )
        for row in rows:
            if not len(row.ids):
                continue
            ids.write(row.ids.astype(dtype).tobytes())
            if row.notes is not None:
                words.write(row.notes.words.astype(np.int32).tobytes())
                personal.write(row.notes.personal.astype(np.bool_).tobytes())
            name = row.unit.encode("utf-8", "surrogatepass")
            names.write(name)
            places.extend((at, at + len(row.ids)))
            named.extend((named_at, named_at + len(name)))
            owners.append(int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), signed=True))
            at, named_at = at + len(row.ids), named_at + len(name)
    of = _in_order(np.frombuffer(owners, np.int64))
    order = np.argsort(of, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(of))]).astype(np.int64)
    np.save(folder / "places.npy", np.frombuffer(places, np.int64).reshape(-1, 2)[order])
    np.save(folder / "bounds.npy", bounds)
    np.save(folder / "names_at.npy", np.frombuffer(named, np.int64).reshape(-1, 2)[order[bounds[:-1]]])
    write_json(folder / "key.json", {"key": key, "dtype": dtype.name}, mode=0o600)


def _in_order(owners: NDArray[np.int64]) -> Ids:
    """(R,) the number of the unit of each sequence, in order of first appearance.

    Units are told apart by 64 bits of their ids' digest: two of a million meet by a chance of 3e-8, and would
    then be one unit.
    """
    _, first, inverse = np.unique(owners, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    return place[inverse]


def _mapped(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The file as an array that is read when it is looked at; an empty file cannot be mapped."""
    if not path.stat().st_size:
        return np.zeros(0, dtype)
    return np.asarray(np.memmap(path, dtype, mode="r"))
