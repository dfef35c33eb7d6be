"""What a model is trained to predict: hidden tokens, and beside them whether two passages belong together.

The auxiliary label is predicted at [CLS] by the vocabulary head itself, with [CLS] for "they
follow each other" and [SEP] for "they do not". No new parameters: every architecture can do it, the
checkpoint stays a plain masked language model, and a private run clips the answer's gradient together with
its unit's, as one more predicted token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlmguard.errors import InputError
from mlmguard.settings import Objective as Choice
from mlmguard.training.text.masking import Ids, Notes
from mlmguard.training.text.tokenizer import NO_WORD, Tokenizer
from mlmguard.training.text.units import Unit, passage

FEWEST = 2  # tokens a passage needs so that it can be parted


@dataclass(frozen=True)
class Framed:
    """One example before masking. ``answer`` is the token to be predicted at [CLS], None for no question."""

    ids: Ids  # (T,) with its special tokens
    notes: Notes | None
    answer: int | None = None

    def __repr__(self) -> str:
        return f"Framed({len(self.ids)} tokens)"


Another = Callable[[], Unit]
Objective = Callable[[Unit, int, Tokenizer, np.random.Generator, Another], Framed]


def masked(
    unit: Unit, window: int, tokenizer: Tokenizer, rng: np.random.Generator, another: Another
) -> Framed:
    """[CLS] one random passage [SEP]: hidden tokens alone (MLM)."""
    return _framed([passage(unit, window - 2, rng)], tokenizer)


def sentence_order(
    unit: Unit, window: int, tokenizer: Tokenizer, rng: np.random.Generator, another: Another
) -> Framed:
    """[CLS] A [SEP] B [SEP]: two halves of one passage, swapped in half of the cases (Lan et al. 2020, 3.1).

    Both come from the same unit, so that a private run may use it.
    """
    ids, notes = passage(unit, window - 3, rng)
    if len(ids) < FEWEST:
        return _framed([(ids, notes)], tokenizer)
    middle = len(ids) // 2
    halves = [
        (ids[part], notes.part(part) if notes else None) for part in (slice(middle), slice(middle, None))
    ]
    in_order = rng.random() < 0.5
    return _framed(halves if in_order else halves[::-1], tokenizer, in_order)


def next_sentence(
    unit: Unit, window: int, tokenizer: Tokenizer, rng: np.random.Generator, another: Another
) -> Framed:
    """[CLS] A [SEP] B [SEP]: in half of the cases B is another unit's (Devlin et al. 2019, 3.1, task 2).

    One unit is then in the example of another: plain runs only.
    """
    ids, notes = passage(unit, window - 3, rng)
    if len(ids) < FEWEST:
        return _framed([(ids, notes)], tokenizer)
    middle = len(ids) // 2
    first, second = slice(middle), slice(middle, None)
    head = (ids[first], notes.part(first) if notes else None)
    follows = rng.random() < 0.5
    if follows:
        tail = (ids[second], notes.part(second) if notes else None)
    else:
        tail = passage(another(), len(ids) - middle, rng)
    return _framed([head, tail], tokenizer, follows)


OBJECTIVES: dict[str, Objective] = {
    Choice.MLM: masked,
    Choice.SOP: sentence_order,
    Choice.NSP: next_sentence,
}


def refuse_unanswerable(objective: str, tokenizer: Tokenizer) -> None:
    """Raise :class:`InputError` where the tokenizer has no two special tokens to answer with."""
    if objective != "mlm" and tokenizer.cls == tokenizer.sep:
        raise InputError(
            f"--objective {objective}",
            "a tokenizer whose [CLS] and [SEP] are one token",
            "two to answer with",
        )


def _framed(
    parts: list[tuple[Ids, Notes | None]], tokenizer: Tokenizer, together: bool | None = None
) -> Framed:
    ids = np.concatenate(
        [[tokenizer.cls], *(piece for part, _ in parts for piece in (part, [tokenizer.sep]))]
    )
    notes = None
    if parts[0][1] is not None:
        words, personal = [[NO_WORD]], [[False]]
        for _, own in parts:
            assert own is not None
            words += [own.words, [NO_WORD]]  # type: ignore[list-item]
            personal += [own.personal, [False]]  # type: ignore[list-item]
        notes = Notes(np.concatenate(words).astype(np.int64), np.concatenate(personal).astype(bool))
    answer = None if together is None else (tokenizer.cls if together else tokenizer.sep)
    return Framed(ids.astype(np.int64), notes, answer)
