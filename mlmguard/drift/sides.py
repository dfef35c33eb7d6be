"""The two sides of a comparison: documents drawn while they are read, and what a checkpoint makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mlmguard.artifacts import Key, read_json
from mlmguard.corpus.clean import CleanFolder, open_clean, refuse_damaged, source_of
from mlmguard.corpus.examine import safe_name
from mlmguard.corpus.read.documents import Settings as Reading
from mlmguard.corpus.read.documents import read
from mlmguard.corpus.split import SPLITS
from mlmguard.errors import InputError
from mlmguard.leakage.answers import Answers, masked_answers, spaced_masks
from mlmguard.leakage.learned import joined
from mlmguard.leakage.scorer import Scorer
from mlmguard.loading import loader
from mlmguard.report.clearance import WITHHELD, name
from mlmguard.training import models
from mlmguard.training.embeddings import pooled
from mlmguard.training.numerics import autocast, best_device
from mlmguard.training.text.masking import Ids
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.tokens import Text, tokenised
from mlmguard.training.text.units import Unit, window
from mlmguard.types import Document, Manifest, Watcher

Floats = NDArray[np.float64]

FEWEST = 20
"""Documents of a side, or of one source of it, below which nothing is compared."""
TOKENS = 1024  # of a document that are counted: a long one is no more than a beginning
CHARACTERS = 16 * TOKENS  # that are kept of a text until it is tokenised
WINDOW = 128  # tokens that the model is shown of a document
RATE = 0.15  # of them hidden in a pass
PASSES = 2  # a document: it is one draw of many, and more passes make its own score surer alone


# --- documents ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """Texts drawn at random, each with the source it came from; ``met`` is how many there were."""

    texts: tuple[str, ...] = field(repr=False)
    sources: tuple[str, ...]
    met: int

    def halves(self, rng: np.random.Generator) -> tuple[Drawn, Drawn]:
        """Deal the texts to two halves by coin."""
        order = rng.permutation(len(self.texts)).tolist()
        middle = len(order) // 2
        return self._of(order[:middle]), self._of(order[middle:])

    def without(self, known: Callable[[str], bool]) -> Drawn:
        """Those whose text is not ``known``."""
        return self._of([k for k, text in enumerate(self.texts) if not known(text)])

    def _of(self, chosen: Sequence[int]) -> Drawn:
        return Drawn(tuple(self.texts[k] for k in chosen), tuple(self.sources[k] for k in chosen), self.met)


def drawn(texts: Iterable[tuple[str, str]], most: int, rng: np.random.Generator) -> Drawn:
    """``most`` of the (text, source) pairs, each as likely as every other, with no more than those in memory.

    Algorithm R of Vitter 1985. Of a long text its beginning is kept.
    """
    kept: list[tuple[str, str]] = []
    met = 0
    for text, source in texts:
        place = met if met < most else int(rng.integers(met + 1))
        met += 1
        if place < most:
            kept[place : place + 1] = [(text[:CHARACTERS], source)]
    return Drawn(tuple(text for text, _ in kept), tuple(source for _, source in kept), met)


def named(place: Path, text_key: str, watcher: Watcher, key: Key) -> Iterator[tuple[str, str]]:
    """(text, source) of each document of a folder, a file or a pattern, or of a cleaned corpus.

    The source is the top-level folder or file, or the keyed fingerprint of what a column of that name holds:
    that is data, a ward or a person. What cannot be read is counted.
    """
    if is_cleaned(place):
        corpus = open_clean(place)
        refuse_damaged(corpus)
        yield from rows_of(corpus, *SPLITS)
        return
    skipped = 0
    for item in read(place, Reading(text_key=text_key)):
        if isinstance(item, Document):
            value = item.metadata.get("source")
            yield item.text, _by_fingerprint(value, key) if value else item.source
        else:
            skipped += item.records
    if skipped:
        watcher.tell(f"{place}: {skipped:,} records were left out: they could not be read")


def is_cleaned(place: Path) -> bool:
    """Say whether ``mlmguard scan`` wrote this folder."""
    manifest = place / "manifest.json"
    data = read_json(manifest) if manifest.is_file() else None
    return isinstance(data, dict) and data.get("schema") == Manifest.schema


def rows_of(corpus: CleanFolder, *splits: str) -> Iterator[tuple[str, str]]:
    """(text, source) of each row of these splits."""
    for row in corpus.rows(*splits):
        yield row["text"], source_of(row["id"])


def shown(sides: Sequence[Drawn], key: Key) -> list[Drawn]:
    """The same with sources that may be shown: "" for those of few documents, which could be one person's.

    What is personal in a name is replaced as in a scan; what is no short name at all goes by its fingerprint.
    """
    counts = Counter(source for side in sides for source in side.sources)
    safe = {}
    for source, count in counts.items():
        shortened = name(safe_name(source, key)) if count >= FEWEST else ""
        safe[source] = shortened if shortened != WITHHELD else _by_fingerprint(source, key)
    return [replace(side, sources=tuple(safe[source] for source in side.sources)) for side in sides]


def _by_fingerprint(source: str, key: Key) -> str:
    return f"source {key.fingerprint('SOURCE', source)}"


# --- a checkpoint -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """A checkpoint that was looked at and loaded."""

    place: Path
    model: Any = field(repr=False)
    tokenizer: Tokenizer
    head: bool  # the masked-language head came with the weights
    told: tuple[str, ...]
    most: int = WINDOW

    @property
    def window(self) -> int:
        """Tokens of a document that it is shown."""
        return min(self.most, models.window_of(self.model))

    def scorer(self) -> Answers:
        """The model as it answers for hidden tokens."""
        device = best_device()
        self.model.to(device).eval()

        def logits_at(input_ids: Any, attention: Any, where: Any) -> Any:
            with autocast(device):
                return models.masked_logits(self.model, input_ids, attention, where)

        return Scorer(logits_at, self.tokenizer.mask_id, self.tokenizer.pad, device)


def opened(ckpt: Path) -> Opened:
    """Load the masked language model in ``ckpt``, a folder or a hub name.

    Raises :class:`InputError` for what is none, or cannot be shown text.
    """
    place = loader.folder_of(str(ckpt))
    loaded, tokenizer = models.load(place), Tokenizer.load(str(place))
    models.refuse_too_few_rows(loaded.model, tokenizer, str(ckpt))
    models.refuse_one_word(tokenizer, str(ckpt))
    models.refuse_unusable(loaded.model, tokenizer, str(ckpt))
    return Opened(place, loaded.model, tokenizer, loaded.head, loaded.told)


# --- what it makes of them ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """N documents as tokens, with how one checkpoint reads a window of each."""

    ids: tuple[Ids, ...] = field(repr=False)
    sources: tuple[str, ...]
    nats: Floats = field(repr=False)  # (N,) minus the log-probability of the hidden tokens, summed
    hidden: Floats = field(repr=False)  # (N,) how many they were
    unigram: Floats = field(repr=False)  # (N,) the same of word frequencies alone
    vectors: Floats = field(repr=False)  # (N, H) mean of the last hidden states

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, chosen: Sequence[int]) -> Side:
        """The documents at these places."""
        at = np.asarray(chosen, dtype=np.int64)
        return Side(
            tuple(self.ids[k] for k in at),
            tuple(self.sources[k] for k in at),
            *(column[at] for column in (self.nats, self.hidden, self.unigram, self.vectors)),
        )


def tokens_of(tokenizer: Tokenizer, side: Drawn, what: str) -> tuple[list[Ids], list[str]]:
    """The first tokens and the source of each text that has any; ``what`` names the texts in an error.

    Raises :class:`InputError` where fewer than :data:`FEWEST` are left.
    """
    rows = tokenised(tokenizer, (Text("", text) for text in side.texts), noted=False)
    pairs = [(row.ids[:TOKENS], source) for row, source in zip(rows, side.sources) if len(row.ids)]
    if len(pairs) < FEWEST:
        found = "1 document" if len(pairs) == 1 else f"{len(pairs)} documents"
        raise InputError(what, f"{found} with a token in it", f"at least {FEWEST}", "name more text")
    return [ids for ids, _ in pairs], [source for _, source in pairs]


def counts_of(sequences: Sequence[Ids], vocabulary: int) -> Any:
    """(N, V) how often each token stands in each document, as a sparse matrix."""
    rows = np.repeat(np.arange(len(sequences)), [len(ids) for ids in sequences])
    columns = np.concatenate(sequences)
    shape = len(sequences), vocabulary
    return sparse.csr_matrix((np.ones(len(columns)), (rows, columns)), shape=shape)


def described(
    checkpoint: Opened,
    ids: Sequence[Ids],
    sources: Sequence[str],
    log_shares: Floats,
    rng: np.random.Generator,
    notice: Callable[[int, int], None] = lambda done, total: None,
) -> Side:
    """Show ``checkpoint`` one random window of each document.

    ``log_shares`` (V,) are the logarithms of the tokens' shares in text that is known.
    """
    frame = checkpoint.tokenizer.cls, checkpoint.tokenizer.sep
    windows = [window(Unit("", (one,)), checkpoint.window, *frame, rng) for one in ids]
    patterns = [spaced_masks(len(shown), RATE, rng)[:PASSES] for shown in windows]
    scorer = checkpoint.scorer()
    nats, sizes, unigram = np.zeros(len(ids)), np.zeros(len(ids)), np.zeros(len(ids))
    for start in range(0, len(windows), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        found = masked_answers(scorer, windows[part], patterns[part])
        for k, answers in enumerate(found, start):
            places = [position for pattern in patterns[k] for position in pattern]
            nats[k], sizes[k] = -joined(answers).sum(), len(places)
            unigram[k] = -log_shares[windows[k][places]].sum()
        notice(min(start + _TOGETHER, len(windows)), len(windows))
    vectors = pooled(checkpoint.model, windows, checkpoint.tokenizer.pad, best_device())
    return Side(tuple(ids), tuple(sources), nats, sizes, unigram, vectors)


_TOGETHER = 256  # documents whose answers are in memory together
