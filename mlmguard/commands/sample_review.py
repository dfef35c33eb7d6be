"""Label a random sample of cleaned passages: what did the scan miss?

The sample is blinded. After each passage type what is still in it:

\b
  PERSON 2, US_SSN   two names and a social security number are left
  Enter alone        nothing is left
  Ctrl-D             stop; the next call goes on there

\f
Passages of ``clean/`` are drawn by a keyed order, so that nobody chooses them. They are shown blinded:
without their document, and with every stand-in of the scan as the same bar. The person says which types are
still in them; from that come the share of passages that hold something and the recall of each type, with
exact bounds. 299 passages with nothing left in any show that at most 1 % hold something (each end of an
interval holds with 95 % confidence).

Answers are kept in the private run folder, by number and type only, so that a review can be stopped and
go on.
"""

from __future__ import annotations

import heapq
import json
import re
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from mlmguard import __version__, artifacts, console
from mlmguard.artifacts import Key, find_run_folder, lines_of, read_noun, write_json
from mlmguard.commands.options import FILE, FOLDER, Page, shared, show
from mlmguard.errors import InputError
from mlmguard.types import Manifest, Measurement, Review, looked_for, not_looked_for

PASSAGES = 299
"""The least number of which none found shows 1 % at most, at 95 % confidence."""
_LENGTH = 500  # characters, about
_BAR = "▇▇▇"
_ALPHA = 0.10  # two-sided, so that each end holds with 95 %


@dataclass(frozen=True)
class Passage:
    """Some characters of a cleaned document, and what the scan had found in them."""

    name: str  # a keyed hash; it decides the order
    text: str = field(repr=False)
    found: tuple[str, ...]  # rules of the stand-ins in it


Ask = Callable[[int, int, str], str]
"""(number, of how many, text with bars) -> what the person types; raises ``EOFError`` to stop."""


def sample_review(
    clean: Path, key: Key, ask: Ask, complain: Callable[[str], None], passages: int = PASSAGES
) -> Review:
    """Draw, ask, keep and count. Raises ``EOFError`` when the person stops: what was answered is kept."""
    if passages < 1:
        raise InputError("--passages", str(passages), "at least 1")
    if not (clean / "manifest.json").is_file():
        raise InputError(str(clean), "no manifest.json", "a folder written by `mlmguard scan`")
    manifest = read_noun(clean / "manifest.json", Manifest)
    run = find_run_folder(manifest.run_id, clean.parent)
    if run is None:
        raise InputError(
            f"run {manifest.run_id}", "no run folder", "the one the scan wrote", "scan again here"
        )
    drawn = draw(clean, manifest, run, key, passages)
    types = sorted(looked_for(manifest.coverage) | not_looked_for(manifest.coverage))
    book = run / "review.jsonl"
    answers = _answers(book)
    for number, passage in enumerate(drawn, 1):
        while passage.name not in answers:
            try:
                answers[passage.name] = parse(ask(number, len(drawn), passage.text), types)
            except InputError as problem:
                complain(str(problem))
                continue
            book.touch(mode=0o600)
            with book.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"passage": passage.name, "missed": answers[passage.name]}) + "\n")
    return Review(
        run_id=manifest.run_id,
        commitment=manifest.commitment,
        passages=len(drawn),
        measurements=tuple(measure(drawn, [answers[p.name] for p in drawn])),
        tool_version=__version__,
    )


def write(review: Review, path: Path) -> None:
    """The counts, nothing of the texts."""
    write_json(path, review)


def lines(review: Review) -> list[tuple[str, str]]:
    """For people: each rate with its bounds and counts."""
    rows = [("passages", str(review.passages))]
    for m in review.measurements:
        name = f"{m.metric.replace('_', ' ')} {m.slice}".strip()
        rows.append((name, f"{m.value:.3f} (from {m.low:.3f} to {m.high:.3f}; n = {m.examples})"))
    return rows


def draw(clean: Path, manifest: Manifest, run: Path, key: Key, passages: int) -> list[Passage]:
    """A uniform sample without replacement, in random order; a larger one begins with a smaller one."""
    places = _places(run)

    def every() -> Iterator[Passage]:
        for shard in manifest.outputs:
            with (clean / Path(shard.path).name).open(encoding="utf-8") as lines:
                for line in lines:
                    row = json.loads(line)
                    found = places.get(row["id"], [])
                    for start, end in cut(row["text"]):
                        name = key.fingerprint("passage", f"{manifest.commitment}\0{row['id']}\0{start}")
                        yield _blinded(name, row["text"], start, end, found)

    return heapq.nsmallest(passages, every(), key=lambda p: p.name)


def cut(text: str) -> Iterator[tuple[int, int]]:
    """Passages of about ``_LENGTH`` characters, at the end of a line or sentence, else between words."""
    start = 0
    while start < len(text):
        end = min(len(text), start + _LENGTH)
        if end < len(text):
            window = text[start:end]
            cuts = [m.end() for m in re.finditer(r"\n+|[.!?]\s+", window)] or [
                m.end() for m in re.finditer(r"\s+", window)
            ]
            end = start + next((c for c in reversed(cuts) if c >= _LENGTH // 4), len(window))
        if text[start:end].strip():
            yield start, end
        start = end


def _places(run: Path) -> dict[str, list[tuple[int, int, str]]]:
    """Document -> (start, end, rule) of its stand-ins, in order."""
    places: dict[str, list[tuple[int, int, str]]] = {}
    with (run / "spans.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if not row["redacted"]:
                continue  # it stands in the text, for the person who looks to find
            places.setdefault(row["id"], []).append((row["clean_start"], row["clean_end"], row["rule"]))
    return places


def _blinded(name: str, text: str, start: int, end: int, found: Sequence[tuple[int, int, str]]) -> Passage:
    shown, at, rules = [], start, []
    for low, high, rule in found[bisect_left(found, start, key=lambda f: f[1]) :]:
        if low >= end:
            break
        if high > start:
            shown += [text[at : max(at, low)], _BAR]
            at = min(end, high)
            if low >= start:  # one that began in the passage before counts there
                rules.append(rule)
    return Passage(name, "".join([*shown, text[at:end]]), tuple(rules))


def parse(answer: str, types: Sequence[str]) -> dict[str, int]:
    """ "PERSON 2, phone" -> {"PERSON": 2, "PHONE_NUMBER": 1}; nothing means nothing is left.

    >>> parse("per 2, US_SSN", ["PERSON", "PHONE_NUMBER", "US_SSN"])
    {'PERSON': 2, 'US_SSN': 1}
    >>> parse(" ", ["PERSON"])
    {}
    """
    missed: Counter[str] = Counter()
    for part in filter(None, re.split(r"[,;]\s*|\s*$", answer.strip())):
        match = re.fullmatch(r"([A-Za-z_0-9]*[A-Za-z_])[ =:]*(\d{1,3})?", part.strip())
        name = match.group(1).upper() if match else ""
        kinds = [t for t in types if t == name] or [t for t in types if name and t.startswith(name)]
        if match is None or len(kinds) != 1:
            raise InputError(
                "that match", "no type or several", f"types like {', '.join(types[:4])}, with counts"
            )
        missed[kinds[0]] += int(match.group(2) or 1)
    return {kind: count for kind, count in sorted(missed.items()) if count}


def _answers(book: Path) -> dict[str, dict[str, int]]:
    if not book.is_file():
        return {}
    rows = [json.loads(line) for line in lines_of(book) if line.strip()]
    return {row["passage"]: row["missed"] for row in rows}


def measure(drawn: Sequence[Passage], missed: Sequence[dict[str, int]]) -> Iterator[Measurement]:
    """``scan.residual_rate`` over passages, and ``scan.recall`` over the values of each type met."""
    left = sum(bool(one) for one in missed)
    note = "one-sided 95 % ends; passages drawn at random from clean/"
    yield _rate("residual_rate", "", left, len(drawn), note)
    lost: Counter[str] = Counter()
    for one in missed:
        lost.update(one)
    found = Counter(rule for passage in drawn for rule in passage.found)
    note = "one-sided 95 % ends; values of one passage counted as independent"
    for kind in sorted(lost.keys() | found.keys()):
        yield _rate("recall", kind, found[kind], found[kind] + lost[kind], note)


def _rate(metric: str, slice_: str, hits: int, of: int, note: str) -> Measurement:
    from mlmguard.leakage.metrics import clopper_pearson

    low, high = clopper_pearson(hits, of, _ALPHA)
    return Measurement("scan", metric, hits / of, low, high, 0.95, of, slice=slice_, note=note)


# --- the command ----------------------------------------------------------------------------------------


@click.command("sample-review", cls=Page)
@click.argument("clean", type=FOLDER, default="clean")
@click.option("--passages", type=int, default=299, show_default=True, help="How many to label.")
@click.option("--out", type=FILE, default="reports/review.json", show_default=True, help="The numbers.")
@shared
def command(clean: Path, passages: int, out: Path, quiet: bool, as_json: bool) -> None:
    from mlmguard.commands import sample_review as review

    def ask(number: int, of: int, text: str) -> str:
        click.echo(f"\n--- {number} of {of} ---\n{text}\n", err=True)
        click.echo("still in it: ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line

    try:
        found = review.sample_review(clean, artifacts.load_key(), ask, console.warn, passages)
    except EOFError:
        console.say("Stopped; the answers are kept, and the next call goes on from here.", quiet)
        raise KeyboardInterrupt from None
    review.write(found, out)
    show(found, as_json, lambda: console.explanation("Sample review", review.lines(found)))
    console.written([out], quiet)
