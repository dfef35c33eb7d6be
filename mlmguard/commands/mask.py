"""Show what each masking strategy does to a text, and what a checkpoint predicts there.

With --model the likeliest tokens at each masked position are computed; --out writes a page to look at,
without script or request, that holds what was typed and what is predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from mlmguard import console
from mlmguard.artifacts import write_text
from mlmguard.commands.options import FILE, Page, place, shared, show
from mlmguard.corpus.detect import finder as detect
from mlmguard.corpus.detect import strong
from mlmguard.errors import InputError
from mlmguard.settings import TrainSettings, check, read_mix
from mlmguard.training.text import masking
from mlmguard.training.text.masking import IGNORED, Ids, Masking, Mix
from mlmguard.training.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from mlmguard.training.guesses import Guess


@dataclass(frozen=True)
class Piece:
    """A token as the model sees it. ``fate`` is "hidden", "swapped" or "kept" where it is to be predicted."""

    text: str
    fate: str = ""
    personal: bool = False
    guess: Guess | None = None


@dataclass(frozen=True)
class Masked:
    """One strategy and the sentence masked by it."""

    strategy: str
    pieces: tuple[Piece, ...]
    predicted: int
    tokens: int


def mask(
    text: str,
    name: str | None = None,
    rate: float = 0.15,
    mix: str = "80/10/10",
    seed: int = 0,
    model: str | None = None,
) -> tuple[Masked, ...]:
    """Every strategy on ``text``, by the tokenizer ``name`` (None: that of ``model``, or the one shipped).

    Raises :class:`InputError` for a text without tokens, an impossible rate, or a tokenizer that is not fast.
    """
    check(TrainSettings(mask_rate=rate, mask_mix=mix))
    tokenizer = Tokenizer.load(name or model)
    predict = _predictor(model, tokenizer) if model else _nothing
    shares = Mix(*read_mix(mix))
    ways = {
        **{strategy: Masking(strategy, rate, mix=shares) for strategy in masking.STRATEGIES},
        "token, findings masked more": Masking("token", rate, mix=shares, pii="mask-more"),
        "token, findings excluded": Masking("token", rate, mix=shares, pii="exclude"),
    }
    for way in ways.values():
        masking.refuse_wordless(way, tokenizer)
    names = detect.STRONG if strong.installed() else detect.OURS  # as a scan looks for them
    findings = [(span.start, span.end) for span in detect.finder(names=names).find(text)]
    (encoded,) = tokenizer.encode_with_places([text])
    notes = masking.notes_of(encoded, findings)
    ids = np.array(encoded.ids, dtype=np.int64)
    if not len(ids):
        raise InputError("the text", "no token in it", "a sentence")
    found = []
    for strategy, way in ways.items():
        shown, labels = masking.mask(ids, tokenizer, np.random.default_rng(seed), way, notes)
        tokens, known = tokenizer.tokens(shown.tolist()), predict(shown, labels)
        pieces = tuple(
            Piece(token, _fate(now, label, tokenizer), bool(personal), known.get(place))
            for place, (token, now, label, personal) in enumerate(zip(tokens, shown, labels, notes.personal))
        )
        found.append(Masked(strategy, pieces, int((labels != IGNORED).sum()), len(ids)))
    return tuple(found)


def _nothing(shown: Ids, labels: Ids) -> Mapping[int, Guess]:
    return {}


def _predictor(model: str, tokenizer: Tokenizer) -> Callable[[Ids, Ids], Mapping[int, Guess]]:
    from mlmguard.training import models
    from mlmguard.training.guesses import guesses

    loaded = models.load(model)[0]
    models.refuse_unusable(loaded, tokenizer, model)
    return lambda shown, labels: guesses(loaded, tokenizer, shown, labels, models.window_of(loaded))


def _fate(now: int, label: int, tokenizer: Tokenizer) -> str:
    if label == IGNORED:
        return ""
    if now == label:
        return "kept"
    return "hidden" if now == tokenizer.mask_id else "swapped"


# --- the command ----------------------------------------------------------------------------------------


@click.command("mask", cls=Page)
@click.argument("text")
@click.option("--tokenizer", "name", help="A tokenizer by folder or name.  [default: the one shipped]")
@click.option(
    "--mask-rate", "rate", type=float, default=0.15, show_default=True, help="Share of tokens masked."
)
@click.option("--mask-mix", "mix", default="80/10/10", show_default=True, help="Hidden, swapped, kept.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other masks.")
@click.option("--model", help="A checkpoint by folder or name: what does it predict at the masks?")
@place("--out", "out", "Write a page to look at, as HTML.", type=FILE)
@shared
def command(text: str, out: Path | None, quiet: bool, as_json: bool, **given: Any) -> None:
    found = mask(text, **given)
    if out is not None:
        from mlmguard.report import masks

        write_text(out, masks.render(found, given["model"] or ""))
        console.written([out], quiet)
    rows = [
        (
            f"{one.strategy} ({one.predicted} of {one.tokens})",
            [(p.text, p.fate, p.personal) for p in one.pieces],
        )
        for one in found
    ]
    show(found, as_json, lambda: console.masks(rows))
