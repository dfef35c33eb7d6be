"""The shape of an attack: what it is called, what it does, which numbers it gives, and when it cannot run.

An attack sees an :class:`Audited` checkpoint as facts and documents, and a :class:`Bench` with models that
answer in numpy. Real ones lie above (``mlmguard.audit``); a test writes its own in a few lines.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mlmguard.leakage.answers import Answers, Ids
from mlmguard.leakage.canaries import Secret
from mlmguard.leakage.extraction import Target
from mlmguard.leakage.ngram_index import NgramIndex
from mlmguard.leakage.results import Given, Named, Passage, Result, Rows, Span
from mlmguard.settings import AuditSettings
from mlmguard.types import Manifest, Metric, PrivacyStatement


class Audited(Protocol):
    """What is known of the checkpoint before anything is run."""

    @property
    def members(self) -> Rows:
        """The documents it was trained on."""

    @property
    def held_out(self) -> Rows:
        """Documents it was not trained on."""

    @property
    def window(self) -> int:
        """Tokens that the model is shown at once, special ones included."""

    @property
    def causal(self) -> bool:
        """Whether it predicts the next token and fills no masks."""

    @property
    def shipped(self) -> bool:
        """Whether its tokenizer is the one that the package ships, entry by entry."""

    @property
    def statement(self) -> PrivacyStatement | None:
        """Its claim, for a checkpoint of ours."""

    @property
    def manifest(self) -> Manifest | None:
        """The scan of its corpus, for a checkpoint of ours."""

    @property
    def has_reference(self) -> bool:
        """Whether there is a model that saw neither members nor held-out documents."""

    @property
    def shadows(self) -> Sequence[object]:
        """More such models, trained as this one was on other documents; only their number is of use here."""

    @property
    def changes(self) -> Mapping[str, tuple[Rows, Rows]]:
        """Documents "added" and "forgotten" since an earlier release, each with others that neither saw."""

    @property
    def secrets(self) -> Sequence[Secret]:
        """The canaries, with their coins."""

    @property
    def tiers(self) -> Sequence[Sequence[Secret]]:
        """The canaries by their number of copies, the fewest first: those are the ones that are judged."""

    @property
    def planted_once(self) -> bool:
        """Whether the canaries that are judged are one unit each."""

    @property
    def guesses(self) -> int:
        """Guesses of the ε bound, fixed before training."""

    @property
    def named(self) -> Sequence[Named]:
        """The values that the user named, and where they stand in the members."""


class Bench(Protocol):
    """Models, samples and indices of one audit, set up once for all attacks."""

    @property
    def audited(self) -> Audited:
        """What is attacked."""

    @property
    def settings(self) -> AuditSettings:
        """How much to spend on it."""

    @property
    def model(self) -> Answers:
        """The model under attack."""

    @property
    def reference(self) -> Answers | None:
        """A model that saw neither members nor held-out documents."""

    @property
    def shadows(self) -> Sequence[Answers]:
        """More such models."""

    @property
    def earlier(self) -> Answers | None:
        """The earlier release, where one was named."""

    @property
    def members(self) -> Sequence[Passage]:
        """A sample of the documents trained on."""

    @property
    def others(self) -> Sequence[Passage]:
        """As many that were held out."""

    @property
    def indices(self) -> tuple[NgramIndex, NgramIndex]:
        """The n-grams of all members and of all held-out documents."""

    @property
    def personal_spans(self) -> Sequence[Span]:
        """The scan's findings in both, with their raw values in place; none without a scan of ours."""

    @property
    def given(self) -> Sequence[Given]:
        """The values that the user named, where they stand in members, or alone where they stand in none."""

    @property
    def tokens(self) -> Sequence[str]:
        """The token of each id, "" for a gap."""

    @property
    def entries(self) -> Collection[str]:
        """The entries of the tokenizer's vocabulary, V strings."""

    @property
    def classes(self) -> Ids:
        """(V,) what kind of token each entry is (``formats``)."""

    @property
    def alphabets(self) -> Sequence[Ids]:
        """For each kind its tokens."""

    @property
    def frame(self) -> tuple[int, int]:
        """The ids that begin and end a window, [CLS] and [SEP]."""

    def drawn(self, splits: Sequence[Rows], rng: np.random.Generator) -> Sequence[Sequence[Passage]]:
        """Return as many whole units of each split, drawn at random."""

    def rng(self, what: str) -> np.random.Generator:
        """Return a generator for one attack: adding or leaving out another attack changes nothing here."""

    def index(self, name: str, documents: Iterable[Ids]) -> NgramIndex:
        """Return an index of ``documents`` that is gone with the bench; ``name`` is its own."""

    def encoded(self, rows: Rows) -> Iterator[Ids]:
        """Token ids of each row, in order, without special tokens."""

    def written_so(self, target: Target, candidates: Ids) -> NDArray[np.bool_]:
        """(N,) whether the tokenizer would write each of ``candidates`` (N, P) with just these tokens, in the
        place of the target's truth; all of them where it cannot be told."""

    def targets(self, spans: Sequence[tuple[str, int, int]]) -> list[Target | None]:
        """Return each span (text, start, end) in a window around it; None when it does not fit."""


ALONE = (
    "only members are named, and nothing to compare them with: members dealt by a coin after the training "
    "are members all the same (`mlmguard split` deals documents before one)"
)


def _always(audited: Audited) -> str:
    """No reason against it: the attack can run on any checkpoint."""
    return ""


Text = str | Callable[[Audited], str]
"""A sentence, or one that depends on what is audited."""


@dataclass(frozen=True)
class Part:
    """What the same run of an attack answers beside, on a line of the coverage of its own."""

    name: str
    does: Text
    metrics: Sequence[Metric]
    cannot: Callable[[Audited], str] = _always
    how: str = ""
    control: str = ""
    unasked: Callable[[Audited], str] = _always
    compares: bool = True  # with documents that were not trained on

    def not_applicable(self, audited: Audited) -> str:
        """What nobody gave it to compare with; "" where it applies."""
        alone = self.compares and audited.statement is None and not audited.held_out
        return ALONE if alone else self.unasked(audited)

    def done(self, audited: Audited) -> str:
        """Return what was done, as the coverage says it."""
        return self.does if isinstance(self.does, str) else self.does(audited)


@dataclass(frozen=True)
class Attack:
    """One attack. Its ``name`` is its line in the coverage and the family of its metrics.

    ``run`` gives a :class:`Result` and draws from ``bench.rng`` only, so that the same seed gives the same
    numbers. ``cannot`` says why it does not run on a checkpoint, "" where it does; ``unasked`` what nobody
    gave it to compare with, so that it does not apply. ``how`` and ``control`` are for the page of docs.
    What an attack puts into ``Result.tests`` becomes ``NAME.METRIC_p``: every
    policy judges all numbers of that ending as corrected p-values. A plug-in registers an Attack under the
    entry point ``mlmguard.attacks``.
    """

    name: str
    does: Text
    metrics: Sequence[Metric]
    run: Callable[[Bench], Result]
    cannot: Callable[[Audited], str] = _always
    how: str = ""
    control: str = ""
    beside: tuple[Part, ...] = ()
    unasked: Callable[[Audited], str] = _always
    compares: bool = True

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its lines of the coverage: its own and those ``beside`` it."""
        own = Part(
            self.name, self.does, self.metrics, self.cannot, self.how, self.control, self.unasked,
            self.compares,
        )  # fmt: skip
        return (own, *self.beside)

    def refused(self, audited: Audited) -> str:
        """Why it does not run on a checkpoint, "" where it does."""
        return self.parts[0].not_applicable(audited) or self.cannot(audited)


def fills_no_masks(audited: Audited) -> str:
    """Why an attack that hides tokens does not run on a causal model."""
    return "this model predicts the next token: it fills no masks" if audited.causal else ""
