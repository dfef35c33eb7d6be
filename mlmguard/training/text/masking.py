"""Masking strategies, each a function on one example.

One example at a time is not only simple: a strategy that looks across examples would let one record change
another's gradient and void per-record clipping. That is why this list is closed to plug-ins.

A strategy chooses what is to be predicted; what is then shown in its place is the same for all of them:
[MASK], a token drawn uniformly, or the token itself (:class:`Mix`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlmguard.errors import InputError
from mlmguard.settings import Masking as Choice
from mlmguard.training.text.tokenizer import NO_WORD, Encoded, Tokenizer

Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]
IGNORED = -100  # the label torch's cross entropy leaves out


class Mix(NamedTuple):
    """Shares of the chosen tokens that become [MASK], become a random token, and stay as they are."""

    hidden: float = 0.8
    swapped: float = 0.1
    kept: float = 0.1


BERT_MIX = Mix()


@dataclass(frozen=True)
class Notes:
    """What a strategy may know of the T tokens of one sequence beside their ids; never shown."""

    words: Ids  # (T,) number of the word each token belongs to, NO_WORD for none
    personal: Flags  # (T,) inside a finding of the scan

    def __repr__(self) -> str:
        return f"Notes({len(self.words)} tokens)"

    def part(self, part: slice) -> Notes:
        """Return the notes of a part of the sequence."""
        return Notes(self.words[part], self.personal[part])

    def framed(self) -> Notes:
        """Return the notes of the same tokens between two special ones."""
        return Notes(
            np.pad(self.words, 1, constant_values=NO_WORD), np.pad(self.personal, 1, constant_values=False)
        )


@dataclass(frozen=True)
class Masking:
    """How a run masks. Every number is public."""

    strategy: str = "token"
    rate: float = 0.15
    final_rate: float | None = None  # reached linearly at the last step; None: the rate is fixed
    mix: Mix = BERT_MIX
    pii: str = ""  # "mask-more", "exclude", or "": findings are like everything else
    static: bool = False  # the same window and the same masks whenever a unit is drawn

    def at(self, step: int, steps: int) -> float:
        """Return the rate at ``step`` of ``steps`` (linear schedules: Ankner et al. 2024)."""
        if self.final_rate is None or steps < 2:
            return self.rate
        return self.rate + (self.final_rate - self.rate) * step / (steps - 1)

    @property
    def needs_notes(self) -> bool:
        """It looks at words or at findings."""
        return self.strategy != "token" or bool(self.pii)


# --- the strategies -----------------------------------------------------------------------------------


def choose_tokens(free: Ids, notes: Notes | None, rate: float, rng: np.random.Generator) -> Ids:
    """Choose each token by itself with probability ``rate`` (Devlin et al. 2019, section 3.1).

    ``free`` are the positions that may be chosen; the result is some of them, in order.
    """
    return free[rng.random(len(free)) < rate]


def choose_words(free: Ids, notes: Notes | None, rate: float, rng: np.random.Generator) -> Ids:
    """Choose all tokens of a word or none, each word with probability ``rate``.

    Whole-word masking as released with BERT in May 2019 (see Cui et al. 2021): a word's pieces give each
    other away.
    """
    words = _words(notes, free)[free]
    names = np.unique(words)
    return free[np.isin(words, names[rng.random(len(names)) < rate])]


SPAN_STOP = 0.2  # p of the geometric distribution of span lengths
SPAN_LONGEST = 10  # words


def choose_spans(free: Ids, notes: Notes | None, rate: float, rng: np.random.Generator) -> Ids:
    """Spans of whole words until a share ``rate`` of the tokens is chosen (Joshi et al. 2020, SpanBERT).

    A span's length in words is geometric with p = 0.2, cut off at 10 (mean 3.8); its first word is uniform.
    A span never crosses what may not be chosen, and the last one is cut where the share is reached.
    """
    if not len(free):
        return free
    words = _words(notes, free)
    share = rate * len(free)
    budget = int(share)
    if share > budget:  # rounded by chance, or short windows would always hide too many or too few
        budget += int(rng.random() < share - budget)
    if not budget:
        return free[:0]
    starts = _word_starts(free, words)
    weights = SPAN_STOP * (1 - SPAN_STOP) ** np.arange(SPAN_LONGEST)
    chosen = np.zeros(len(words), dtype=bool)
    may = np.zeros(len(words), dtype=bool)
    may[free] = True
    taken = 0
    for first in rng.permutation(starts):  # each word begins at most one span
        length = 1 + int(rng.choice(SPAN_LONGEST, p=weights / weights.sum()))
        place = int(first)
        for _ in range(length):
            end = place
            while end < len(words) and may[end] and not chosen[end] and words[end] == words[place]:
                end += 1
            left = budget - taken
            if end - place > left and rng.random() >= left / (end - place):
                return np.flatnonzero(chosen)  # cut before a word that does not fit, as often as is fair
            chosen[place:end] = True
            taken += end - place
            if taken >= budget:
                return np.flatnonzero(chosen)
            if end == place or end == len(words) or words[end] == NO_WORD:
                break
            place = end
    return np.flatnonzero(chosen)


Strategy = Callable[[Ids, "Notes | None", float, np.random.Generator], Ids]

STRATEGIES: dict[str, Strategy] = {
    Choice.TOKEN: choose_tokens,
    Choice.WORD: choose_words,
    Choice.SPAN: choose_spans,
}

PERSONAL_RATE = 0.5
"""Share of the findings that ``mask-more`` hides, each as a whole, whatever the rate of everything else."""


def mask(
    ids: Ids,
    tokenizer: Tokenizer,
    rng: np.random.Generator,
    masking: Masking,
    notes: Notes | None = None,
    rate: float | None = None,
) -> tuple[Ids, Ids]:
    """(input ids, labels) of one example of T tokens, both (T,); labels are −100 where nothing is predicted.

    Special tokens, padding among them, are never chosen. At least one token is where one may be, so that no
    short record is without a loss; of several at least one is not. ``rate`` stands in for the masking's own
    where it follows a schedule.

    With ``pii="exclude"`` no token of a finding is ever predicted; with ``"mask-more"`` half of the findings
    are, each as a whole (after the salient spans of Guu et al. 2020), and the strategy chooses among the
    rest.
    """
    rate = masking.rate if rate is None else rate
    free = np.flatnonzero(~np.isin(ids, list(tokenizer.special_ids)))
    ordinary, extra = len(free), free[:0]
    if masking.pii:
        assert notes is not None
        personal = notes.personal[free]
        if masking.pii == "mask-more":
            extra = _whole_findings(free[personal], rng)
        free = free[~personal]
    chosen = np.union1d(STRATEGIES[masking.strategy](free, notes, rate, rng), extra)
    if not len(chosen) and len(free):
        chosen = rng.choice(free, 1)
    if len(chosen) == ordinary > 1:  # a window of masks alone teaches nothing but how frequent tokens are
        chosen = np.delete(chosen, rng.integers(len(chosen)))
    return _shown(ids, chosen, tokenizer, rng, masking.mix)


def mask_tokens(
    ids: Ids, tokenizer: Tokenizer, rng: np.random.Generator, rate: float = 0.15
) -> tuple[Ids, Ids]:
    """BERT's own masking of one example, shape (T,): 15 % of the tokens, 80/10/10."""
    return mask(ids, tokenizer, rng, Masking(rate=rate))


def _shown(
    ids: Ids, chosen: Ids, tokenizer: Tokenizer, rng: np.random.Generator, mix: Mix
) -> tuple[Ids, Ids]:
    labels = np.full_like(ids, IGNORED)
    labels[chosen] = ids[chosen]
    masked = ids.copy()
    fate = rng.random(len(chosen))
    masked[chosen[fate < mix.hidden]] = tokenizer.mask_id
    swapped = chosen[(fate >= mix.hidden) & (fate < mix.hidden + mix.swapped)]
    masked[swapped] = tokenizer.ids[rng.integers(0, len(tokenizer.ids), len(swapped))]
    return masked, labels


LONGEST_WORD = 10
"""Tokens. What is longer is no word but a link, a key or a text without spaces: hidden as one, it would hide
a window that it fills."""


def _words(notes: Notes | None, free: Ids) -> Ids:
    """The number of each token's word; in what is too long for a word each token has its own.

    Too long is also what fills more than half of the places that may be chosen, ``free``.
    """
    assert notes is not None  # whoever made the masking has refused tokenizers without word boundaries
    _, which, counts = np.unique(notes.words, return_inverse=True, return_counts=True)
    most = min(LONGEST_WORD, max(1, len(free) // 2))
    long = (counts[which] > most) & (notes.words != NO_WORD)
    if not long.any():
        return notes.words
    words = notes.words.astype(np.int64)
    words[long] = words.max() + 1 + np.arange(int(long.sum()))
    return words


def _word_starts(free: Ids, words: Ids) -> Ids:
    """The positions in ``free`` at which a word begins."""
    before = np.where(free > 0, words[free - 1], NO_WORD)
    return free[words[free] != before]


def _whole_findings(places: Ids, rng: np.random.Generator) -> Ids:
    """Each run of neighbouring positions as a whole, with probability :data:`PERSONAL_RATE`."""
    if not len(places):
        return places
    run = np.cumsum(np.diff(places, prepend=places[0]) > 1)
    return places[(rng.random(run[-1] + 1) < PERSONAL_RATE)[run]]


# --- what is read of a user, a tokenizer, a unit -------------------------------------------------------


def refuse_wordless(masking: Masking, tokenizer: Tokenizer) -> None:
    """Raise :class:`InputError` where ``tokenizer`` cannot say what the strategy needs."""
    if masking.needs_notes and not tokenizer.knows_words:
        raise InputError(
            f"--masking {masking.strategy}" if masking.strategy != "token" else "--pii-targets",
            "a tokenizer that does not say which token belongs to which word",
            "a fast tokenizer (tokenizer.json)",
            "name another with --tokenizer, or mask by token",
        )


def notes_of(encoded: Encoded, findings: Sequence[tuple[int, int]]) -> Notes:
    """Word numbers and personal tokens of one text.

    ``findings`` are spans in characters of the text, end exclusive; a token that overlaps one is personal.
    """
    personal = np.zeros(len(encoded.ids), dtype=bool)
    for start, end in findings:
        personal |= (encoded.offsets[:, 0] < end) & (encoded.offsets[:, 1] > start)
    return Notes(encoded.words, personal)


def own_rng(unit_id: str, seed: int) -> np.random.Generator:
    """The generator of static masks: a function of the unit alone, so that no unit moves another's masks."""
    return np.random.default_rng([seed, *hashlib.sha256(unit_id.encode("utf-8", "surrogatepass")).digest()])
