"""Say what is held about one person: documents, checkpoints, exposure.

Name the person by values or by the key the corpus was scanned by. No value is printed.

\f
A data subject asks (GDPR article 15), and the answer must not spread the data further: values come from a
file or from standard input, so that no shell keeps them, and leave as their number in that list. Findings
are met by their keyed fingerprints; beside that the cleaned text is read, for what no detector found.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from mlmguard import artifacts, console
from mlmguard.artifacts import Key, find_run_folder, lines_of, read_json
from mlmguard.commands.forget_list import Exposed, exposed
from mlmguard.commands.options import FILE, FOLDER, Page, shared, show
from mlmguard.corpus.clean import CleanCorpus, read_clean
from mlmguard.corpus.detect.identity import fingerprint
from mlmguard.errors import InputError
from mlmguard.showing import show_epsilon

SHORTEST = 4  # characters: anything shorter stands in every other document


@dataclass(frozen=True)
class Held:
    """One document that holds something of the person. ``value``: its number in the list; 0 by key."""

    value: int
    document_id: str
    split: str  # "" where the document is not in clean/
    found_as: str  # the type a detector gave it; "" where none did
    status: str  # "redacted", "kept", "in the text", "this person's" or "removed as a copy"


@dataclass(frozen=True)
class Trained:
    """A training run on the corpus."""

    run_id: str
    claim: str
    checkpoint: str
    finished: bool


@dataclass(frozen=True)
class Answer:
    """Everything that is known; of the values themselves, nothing."""

    values: int
    held: tuple[Held, ...]
    checkpoints: tuple[Trained, ...]
    exposed: tuple[Exposed, ...]  # what ``audit --records`` says of these documents


def values_of(lines: Iterable[str]) -> list[str]:
    """One value a line, blank lines left out.

    Raises:
        InputError: nothing to look for, or a value so short that it stands everywhere.
    """
    values = [line.strip() for line in lines if line.strip()]
    if not values:
        raise InputError("--values", "no value", "one a line")
    for number, value in enumerate(values, 1):
        if len(value) < SHORTEST:
            raise InputError(
                f"--values: line {number}", "too short to mean one person", f"{SHORTEST} characters"
            )
    return values


def subject(
    clean: Path, runs: Path, key: Key, values: Sequence[str], person: str = "", records: Path | None = None
) -> Answer:
    """Look ``values`` up, and rows of ``person``, written as ``KEY=VALUE`` with the scan's ``--unit-key``.

    Raises :class:`InputError` for a corpus scanned under another key, or without its run folder.
    """
    corpus = read_clean(clean)
    if corpus.manifest.key_id != key.id:
        raise InputError(
            str(clean),
            f"scanned under key {corpus.manifest.key_id}",
            f"key {key.id}",
            "name its key with MLMGUARD_KEY_FILE",
        )
    scan_run = find_run_folder(corpus.manifest.run_id, clean.resolve().parent, runs.parent.parent)
    if scan_run is None:
        raise InputError(str(clean), "the scan's run folder is missing", "the .mlmguard/runs/ID it left")
    splits = {row["id"]: split for split, rows in _by_split(corpus) for row in rows}
    held = [
        *_found(scan_run, key, values, splits),
        *_in_the_text(corpus, values),
        *_by_key(corpus, key, person),
    ]
    held += _copies(scan_run, held)
    documents = {one.document_id for one in held}
    return Answer(
        len(values),
        tuple(sorted(set(held), key=lambda one: (one.value, one.document_id, one.found_as, one.status))),
        tuple(_checkpoints(runs, corpus.manifest.commitment)),
        tuple(one for one in exposed(records) if one.document_id in documents) if records else (),
    )


def _by_split(corpus: CleanCorpus) -> Iterator[tuple[str, Sequence[Mapping[str, str]]]]:
    yield "train", corpus.train
    yield "held out", corpus.held_out


def _found(scan_run: Path, key: Key, values: Sequence[str], splits: Mapping[str, str]) -> Iterator[Held]:
    """Findings of the scan with the fingerprint of a value, under whatever type it was found."""
    wanted: dict[tuple[str, str], int] = {}
    known: set[str] = set()
    with (scan_run / "spans.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            span = json.loads(line)
            rule = span["rule"]
            if rule not in known:
                known.add(rule)
                wanted |= {(rule, fingerprint(key, rule, value)): k for k, value in enumerate(values, 1)}
            number = wanted.get((rule, span["fingerprint"]))
            if number is not None:
                status = "redacted" if span["redacted"] else "kept"
                yield Held(number, span["id"], splits.get(span["id"], ""), rule, status)


def _in_the_text(corpus: CleanCorpus, values: Sequence[str]) -> Iterator[Held]:
    """Cleaned rows that still hold a value, whatever the case and the space between its words."""
    wanted = [" ".join(value.casefold().split()) for value in values]
    for split, rows in _by_split(corpus):
        for row in rows:
            text = " ".join(row["text"].casefold().split())
            for number, value in enumerate(wanted, 1):
                if value in text:
                    yield Held(number, row["id"], split, "", "in the text")


def _by_key(corpus: CleanCorpus, key: Key, person: str) -> Iterator[Held]:
    if not person:
        return
    known = corpus.manifest.settings.get("unit_key", "null")
    scanned_by = None if known == "null" else known
    name, _, value = person.partition("=")
    if not value or name != scanned_by:
        raise InputError(
            "--key",
            "another key than the scan's" if value else "no value",
            f"{scanned_by}=VALUE" if scanned_by else "a corpus of `mlmguard scan --unit-key`",
        )
    unit = key.fingerprint("unit", value)
    for split, rows in _by_split(corpus):
        for row in rows:
            if row["unit"] == unit:
                yield Held(0, row["id"], split, "", "this person's")


def _copies(scan_run: Path, held: Sequence[Held]) -> list[Held]:
    """Documents that the scan removed as copies of those: the corpus holds them, no training saw them."""
    rows = [json.loads(line) for line in lines_of(scan_run / "documents.jsonl")]
    cluster = {row["id"]: row["cluster"] for row in rows}
    removed: dict[str, list[str]] = {}
    for row in rows:
        if row["status"] != "kept":
            removed.setdefault(row["cluster"], []).append(row["id"])
    return [
        Held(one.value, copy, "", "", "removed as a copy")
        for one in held
        for copy in removed.get(cluster.get(one.document_id, ""), [])
    ]


def _checkpoints(runs: Path, commitment: str) -> Iterator[Trained]:
    """Training runs on this corpus, by their run folders."""
    for path in sorted(runs.glob("train-*/run.json")):
        known = read_json(path)
        if known.get("commitment") == commitment:
            plan = known.get("plan")
            claim = f"ε = {show_epsilon(plan['epsilon'])}, unit {plan['unit']}" if plan else "not private"
            done = known.get("status") == "done"
            yield Trained(path.parent.name, claim, str(known.get("checkpoint", "")), done)


# --- the command ----------------------------------------------------------------------------------------


@click.command("subject", cls=Page)
@click.option(
    "--values",
    "listed",
    type=click.File("r", encoding="utf-8"),
    help="Values, one a line; - is standard input.",
)
@click.option(
    "--key", "person", metavar="KEY=VALUE", help="The person, by the key the corpus was scanned by."
)
@click.option("--clean", type=FOLDER, default="clean", show_default=True, help="The scanned corpus.")
@click.option("--records", type=FILE, help="From `audit --records`: how exposed these documents are.")
@shared
def command(
    listed: Any, person: str | None, clean: Path, records: Path | None, quiet: bool, as_json: bool
) -> None:
    if listed is None and person is None:
        raise click.UsageError("name the person: --values FILE, or --key KEY=VALUE")
    values = values_of(listed) if listed is not None else []
    found = subject(clean, artifacts.RUNS, artifacts.load_key(), values, person or "", records)
    rows = [
        (f"value {one.value}" if one.value else "by key", f"{one.document_id} ({one.split or 'not kept'}): "
         f"{f'{one.found_as}, ' if one.found_as else ''}{one.status}")
        for one in found.held
    ]  # fmt: skip
    rows += [("trained on", f"{one.run_id}: {one.claim}") for one in found.checkpoints]
    rows += [("exposed", f"{row.document_id}: {row.attack}, {row.kind}") for row in found.exposed]
    show(found, as_json, lambda: console.explanation("Held", rows or [("nothing", "no document holds it")]))
