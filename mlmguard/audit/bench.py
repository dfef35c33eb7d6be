"""The bench on which a checkpoint is attacked: model, reference and samples, set up once for all attacks."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlmguard.artifacts import run_folder, scratch
from mlmguard.audit.checkpoint import Audited
from mlmguard.audit.given import given
from mlmguard.audit.personal import personal_spans
from mlmguard.leakage import formats, ngram_index
from mlmguard.leakage.answers import Ids
from mlmguard.leakage.extraction import Target
from mlmguard.leakage.results import Given, Passage, Rows, Span, whole_units
from mlmguard.leakage.scorer import NextTokenScorer, Scorer
from mlmguard.settings import AuditSettings
from mlmguard.training import models
from mlmguard.training.evaluation import unigram_log_probabilities
from mlmguard.training.numerics import autocast, best_device
from mlmguard.training.text.tokens import Text, tokenised
from mlmguard.training.text.units import windows

CAUSAL_TOKENS = 1024  # a pass: every position of a causal model has logits over the whole vocabulary


class Bench:
    """Model, reference, samples and indices; a context, for the indices lie in a folder of their own."""

    def __init__(self, audited: Audited, settings: AuditSettings) -> None:
        self.audited = audited
        self.settings = settings
        tokenizer = audited.tokenizer
        self.frame = (tokenizer.cls, tokenizer.sep)
        self.classes = formats.token_classes(self.tokens, tokenizer.special_ids)
        self.alphabets = formats.alphabets(self.classes)
        self.model = self._scorer(audited.model)
        self.reference = self._scorer(audited.reference) if audited.reference is not None else None
        self.shadows = [self._scorer(shadow) for shadow in audited.shadows]
        self.earlier = self._scorer(audited.earlier) if audited.earlier is not None else None
        self._open = ExitStack()

    def __enter__(self) -> Bench:
        """Index what was trained on and what was not, under a key that nobody keeps, and draw the samples."""
        # beside what else is private of the run; of another's checkpoint, in a folder for such audits
        private = self.audited.run or run_folder("audits")
        self._folder = self._open.enter_context(scratch(private, "indices"))
        self._key = secrets.token_bytes(32)
        counts = np.zeros(len(self.audited.tokenizer), dtype=np.int64)

        def counted() -> Iterator[Ids]:
            nonlocal counts
            for ids in self.encoded(self.audited.members):
                counts += np.bincount(ids, minlength=len(counts))
                yield ids

        self.indices = (
            self.index("members", counted()),
            self.index("held-out", self.encoded(self.audited.held_out)),
        )
        self.unigram = unigram_log_probabilities(counts)
        splits = (self.audited.members, self.audited.held_out)
        self.members, self.others = self.drawn(splits, self.rng("sample"))
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
        beside = [one for one in (self.reference, self.earlier) if one is not None]
        scorers = [self.model, *self.shadows, *beside]
        return sum(scorer.queries for scorer in scorers)

    def rng(self, what: str) -> np.random.Generator:
        """A generator for one attack: adding or leaving out another attack changes nothing here."""
        return np.random.default_rng([self.settings.seed, *what.encode()])

    def drawn(self, splits: Sequence[Rows], rng: np.random.Generator) -> list[list[Passage]]:
        """As many whole units of each split: more would give other cluster sizes into the tests."""
        chosen = whole_units(splits, self.settings.documents, rng)
        return [self._passages(rows, picked) for rows, picked in zip(splits, chosen)]

    def index(self, name: str, documents: Iterable[Ids]) -> ngram_index.NgramIndex:
        """An index of ``documents`` that is gone with the bench."""
        return ngram_index.build(self._folder / name, documents, ngram_index.NGRAM, self._key)

    def encoded(self, rows: Rows) -> Iterator[Ids]:
        """Token ids of each row, in order, without special tokens."""
        texts = (Text(row["id"], row["text"]) for row in rows)
        return (row.ids for row in tokenised(self.audited.tokenizer, texts, noted=False))

    @cached_property
    def entries(self) -> frozenset[str]:
        """The entries of the tokenizer's vocabulary."""
        return frozenset(self.audited.tokenizer.entries())

    @cached_property
    def tokens(self) -> list[str]:
        """The token of each id, "" for a gap."""
        return self.audited.tokenizer.tokens()

    @cached_property
    def personal_spans(self) -> list[Span]:
        """Up to ``probed`` of the scan's findings of each kind, with their raw values in place."""
        return personal_spans(self)

    @cached_property
    def given(self) -> list[Given]:
        """The values that the user named, in members that hold them, or alone."""
        return given(self)

    def written_so(self, target: Target, candidates: Ids) -> NDArray[np.bool_]:
        """(N,) whether the tokenizer would cut each of ``candidates`` (N, P) so, read back from its letters.

        True of all where not even the truth comes back as it is: a span that begins inside a word.
        """
        first, last = target.positions[0], target.positions[-1] + 1
        places = [position - first for position in target.positions]
        spans = np.repeat(target.ids[None, first:last], 1 + len(candidates), axis=0)
        spans[1:, places] = candidates
        own = self.audited.tokenizer.hugging_face
        texts = [own.decode(span, clean_up_tokenization_spaces=False) for span in spans.tolist()]
        same = np.array([a == b for a, b in zip(self.audited.tokenizer.encode(texts), spans.tolist())])
        return same[1:] if same[0] else np.ones(len(candidates), dtype=bool)

    def _scorer(self, model: Any) -> Scorer:
        device = best_device()
        model.to(device).eval()
        logits = models.next_token_logits if self.audited.causal else models.masked_logits

        def logits_at(input_ids: Any, attention: Any, where: Any) -> Any:
            with autocast(device):
                return logits(model, input_ids, attention, where)

        tokenizer = self.audited.tokenizer
        if self.audited.causal:
            return NextTokenScorer(logits_at, -1, tokenizer.pad, device, self.alphabets, CAUSAL_TOKENS)
        return Scorer(logits_at, tokenizer.mask_id, tokenizer.pad, device, self.alphabets)

    def _passages(self, rows: Rows, chosen: Sequence[int]) -> list[Passage]:
        """The first window of each of the ``chosen`` documents."""
        picked = [rows[k] for k in chosen]
        draws = self.audited.draws
        return [
            Passage(
                row["id"], windows(ids, self.audited.window, *self.frame)[0], row["unit"], len(ids), draws
            )
            for row, ids in zip(picked, self.encoded(picked))
            if len(ids) >= 3
        ]

    def targets(self, spans: Sequence[tuple[str, int, int]]) -> list[Target | None]:
        """Each span (text, start, end) in a window around it; None when it does not fit.

        Only the neighbourhood of a span is tokenised.
        """
        if not spans:
            return []
        reach = 16 * self.audited.window  # characters: no ordinary token is longer
        cut = []
        for text, start, end in spans:
            left = max(0, start - reach)
            if left:
                left += len(text[left:start]) - len(text[left:start].split(None, 1)[-1])  # not inside a word
            cut.append((text[left : end + reach], start - left, end - left))
        encoded = self.audited.tokenizer.encode_with_places([text for text, _, _ in cut])
        return [self._target(row.ids, row.offsets, start, end) for row, (_, start, end) in zip(encoded, cut)]

    def _target(
        self, tokens: Sequence[int], offsets: NDArray[np.int64], start: int, end: int
    ) -> Target | None:
        places = [k for k, (a, b) in enumerate(offsets) if a < end and b > start]
        room = self.audited.window - 2
        if not places or len(places) > room // 2:
            return None
        ids = np.array(tokens, dtype=np.int64)
        left = max(0, min(places[0] - (room - len(places)) // 2, len(ids) - room))
        framed = np.concatenate([self.frame[:1], ids[left : left + room], self.frame[1:]])
        if any(self.classes[ids[place]] == formats.SPECIAL for place in places):
            return None  # an unknown token cannot be distinguished from another
        # punctuation is format, which the attacker has: it would take "it ends in a dot" for a secret
        secret = [place for place in places if self.classes[ids[place]] != formats.PUNCTUATION]
        kinds = tuple(int(self.classes[ids[place]]) for place in secret)
        return Target(framed, tuple(place - left + 1 for place in secret), kinds) if secret else None
