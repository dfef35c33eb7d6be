"""The bench on which a checkpoint is attacked: model, reference and samples, set up once for all attacks."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from mlmguard.audited import Rows, Trained
from mlmguard.leakage import formats, ngrams
from mlmguard.leakage.attacks import NGRAM
from mlmguard.leakage.extraction import Target
from mlmguard.leakage.results import Passage
from mlmguard.leakage.signals import Ids, NextTokenScorer, Scorer
from mlmguard.training import models
from mlmguard.training.evaluation import unigram_log_probabilities
from mlmguard.training.numerics import autocast, best_device
from mlmguard.training.text import tokenizer
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.tokens import Text, tokenised
from mlmguard.training.text.units import windows

CAUSAL_TOKENS = 1024  # a pass: every position of a causal model brings logits over the whole vocabulary


@dataclass(frozen=True)
class AuditSettings:
    """How much to spend. The defaults take about a minute for a small model on two cores."""

    documents: int = 400  # of each side, for membership, n-grams and generation
    probed: int = 4000  # spans of each kind with one token hidden
    spans: int = 60  # spans of each kind that the search tries to get back whole
    searched: int = 40  # canaries of each side that the search tries to get back whole
    restarts: int = 24
    samples: int = 400  # texts drawn from the model
    minutes: float | None = None  # no attack is begun after that; what was not run is listed
    queries: int | None = None  # windows shown to the models; no attack is begun after so many
    stop_early: bool = False  # end a search that a quarter of its spans settles (leakage.sequential)
    seed: int = 0


class Bench:
    """Model, reference, samples and indices; a context, for the indices lie in a folder of their own."""

    def __init__(self, trained: Trained, settings: AuditSettings) -> None:
        self.trained = trained
        self.settings = settings
        words = trained.words
        marks = tokenizer.next_token_marks if trained.causal else tokenizer.special_tokens
        self.marks: tokenizer.SpecialTokens = marks(words)
        tokens = words.convert_ids_to_tokens(range(len(words)))
        self.classes = formats.token_classes(tokens, set(words.all_special_ids))
        self.alphabets = formats.alphabets(self.classes)
        self.model = self._scorer(trained.model)
        self.reference = self._scorer(trained.reference) if trained.reference is not None else None
        self.shadows = [self._scorer(shadow) for shadow in trained.shadows]
        self._open = ExitStack()

    def __enter__(self) -> Bench:
        """Index what was trained on and what was not, under a key that nobody keeps, and draw the samples."""
        self._folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="mlmguard-")))
        self._key = secrets.token_bytes(32)
        counts = np.zeros(len(self.trained.words), dtype=np.int64)

        def counted() -> Iterator[Ids]:
            nonlocal counts
            for ids in self.encoded(self.trained.members):
                counts += np.bincount(ids, minlength=len(counts))
                yield ids

        self.indices = (
            self.index("members", counted()),
            self.index("held-out", self.encoded(self.trained.held_out)),
        )
        self.unigram = unigram_log_probabilities(counts)
        rng = self.rng("sample")
        # as many of each: a side with more documents would bring other cluster sizes into the tests
        sides = (self.trained.members, self.trained.held_out)
        count = min(self.settings.documents, *(len(rows) for rows in sides))
        self.members, self.others = (self._passages(rows, count, rng) for rows in sides)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    @property
    def queries(self) -> int:
        """Windows that the models have been shown so far."""
        scorers = [self.model, *self.shadows, *([self.reference] if self.reference else [])]
        return sum(scorer.queries for scorer in scorers)

    def rng(self, what: str) -> np.random.Generator:
        """A generator for one attack: adding or leaving out another attack changes nothing here."""
        return np.random.default_rng([self.settings.seed, *what.encode()])

    def index(self, name: str, documents: Iterable[Ids]) -> ngrams.NgramIndex:
        """An index of ``documents`` that is gone with the bench."""
        return ngrams.build(self._folder / name, documents, NGRAM, self._key)

    def encoded(self, rows: Rows) -> Iterator[Ids]:
        """Token ids of each row, in order, without special tokens."""
        texts = (Text(row["id"], row["text"]) for row in rows)
        return (
            row.ids
            for row in tokenised(
                Tokenizer.of(self.trained.words, causal=self.trained.causal), texts, noted=False
            )
        )

    def frame(self, ids: Ids) -> Ids:
        """The first window of a document."""
        return windows(ids, self.trained.window, self.marks.cls, self.marks.sep)[0]

    def _scorer(self, model: Any) -> Scorer:
        device = best_device()
        model.to(device).eval()
        said = models.next_token_logits if self.trained.causal else models.masked_logits

        def logits_at(input_ids: Any, attention: Any, where: Any) -> Any:
            with autocast(device):
                return said(model, input_ids, attention, where)

        if self.trained.causal:
            return NextTokenScorer(logits_at, -1, self.marks.pad, device, self.alphabets, CAUSAL_TOKENS)
        return Scorer(logits_at, self.trained.words.mask_token_id, self.marks.pad, device, self.alphabets)

    def _passages(self, rows: Rows, count: int, rng: np.random.Generator) -> list[Passage]:
        """The first window of ``count`` documents, drawn without replacement."""
        picked = [rows[k] for k in sorted(rng.permutation(len(rows))[:count])]
        draws = self.trained.draws
        return [
            Passage(row["id"], self.frame(ids), row["unit"], len(ids), draws)
            for row, ids in zip(picked, self.encoded(picked))
            if len(ids) >= 3
        ]

    def targets(self, spans: Sequence[tuple[str, int, int]]) -> list[Target | None]:
        """Each span (text, start, end) in a window around it; None when it does not fit.

        Only the neighbourhood of a span is tokenised.
        """
        if not spans:
            return []
        reach = 16 * self.trained.window  # characters: no ordinary token is longer
        cut = []
        for text, start, end in spans:
            left = max(0, start - reach)
            if left:
                left += len(text[left:start]) - len(text[left:start].split(None, 1)[-1])  # not inside a word
            cut.append((text[left : end + reach], start - left, end - left))
        encoded = self.trained.words(
            [text for text, _, _ in cut],
            add_special_tokens=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        return [
            self._target(ids, offsets, start, end)
            for ids, offsets, (_, start, end) in zip(encoded["input_ids"], encoded["offset_mapping"], cut)
        ]

    def _target(
        self, tokens: Sequence[int], offsets: Sequence[tuple[int, int]], start: int, end: int
    ) -> Target | None:
        places = [k for k, (a, b) in enumerate(offsets) if a < end and b > start]
        room = self.trained.window - 2
        if not places or len(places) > room // 2:
            return None
        ids = np.array(tokens, dtype=np.int64)
        left = max(0, min(places[0] - (room - len(places)) // 2, len(ids) - room))
        framed = np.concatenate([[self.marks.cls], ids[left : left + room], [self.marks.sep]])
        if any(self.classes[ids[place]] == formats.SPECIAL for place in places):
            return None  # an unknown token cannot be told from another
        # punctuation is format, which the attacker has: it would take "it ends in a dot" for a secret
        secret = [place for place in places if self.classes[ids[place]] != formats.PUNCTUATION]
        kinds = tuple(int(self.classes[ids[place]]) for place in secret)
        return Target(framed, tuple(place - left + 1 for place in secret), kinds) if secret else None
