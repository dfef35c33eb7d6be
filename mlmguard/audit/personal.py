"""The scan's findings as spans to attack, their values read from the raw corpus."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmguard.corpus.detect import strong
from mlmguard.corpus.detect.finder import OURS, STRONG, Finder, finder
from mlmguard.corpus.detect.spans import Span as Place
from mlmguard.corpus.read.originals import originals
from mlmguard.errors import InputError
from mlmguard.leakage.results import CONTROL, Rows, Span, of_whole_units, units_dealt

if TYPE_CHECKING:
    from mlmguard.audit.bench import Bench


def personal_spans(bench: Bench) -> list[Span]:
    """Draw up to ``probed`` findings of each kind, kept, redacted and held-out: all of some units.

    Of another's checkpoint there was no scan: its members and non-members are looked through here.

    Raises :class:`InputError` where the scan's run folder or the raw corpus is not what it was.
    """
    audited = bench.audited
    if audited.manifest is None or audited.run is None:
        return [] if audited.causal else _looked_through(bench)
    if audited.scan_run is None:
        raise InputError(
            audited.manifest.run_id,
            "its run folder is missing",
            "the .mlmguard/runs/ID that `mlmguard scan` left",
            "run the audit where the scan ran",
        )
    rng, most = bench.rng("personal spans"), bench.settings.probed
    known = {row["id"]: ("train", row) for row in audited.members}
    known |= {row["id"]: (CONTROL, row) for row in audited.held_out}
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    with (audited.scan_run / "spans.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            span = json.loads(line)
            if span["id"] in known:
                split = known[span["id"]][0]
                kind = split if split == CONTROL else _fate(span)
                by_kind.setdefault(kind, []).append(span)
    picked = [
        (kind, span)
        for kind, group in sorted(by_kind.items())
        for span in of_whole_units(group, lambda span: known[span["id"]][1]["unit"], most, rng)
    ]
    ids = {span["id"] for _, span in picked}
    raw = dict(originals(audited.scan_run, ids, audited.corpus)) if picked else {}
    places = []
    for _, span in picked:
        clean, start = known[span["id"]][1]["text"], span["clean_start"]
        value = raw[span["id"]][span["raw_start"] : span["raw_end"]]
        places.append((clean[:start] + value + clean[span["clean_end"] :], start, start + len(value)))
    return [
        Span(span["id"], span["rule"], target, kind, known[span["id"]][1]["unit"], _fate(span))
        for (kind, span), target in zip(picked, bench.targets(places))
        if target is not None
    ]


def _fate(span: Mapping[str, Any]) -> str:
    return "redacted" if span["redacted"] else "kept"


# --- another's checkpoint -----------------------------------------------------------------------------

MOST_CHARACTERS = 4_000_000
"""Of each side, that are looked through for findings, in documents drawn at random: a quarter of it holds as
many as are probed."""


def _looked_through(bench: Bench) -> list[Span]:
    """Findings of the detectors that `mlmguard scan` uses by itself; nothing was taken out of these texts."""
    rng, audited = bench.rng("personal spans"), bench.audited
    looking = finder(names=STRONG if strong.installed() else OURS)
    found: list[Span] = []
    for kind, rows in (("kept", audited.members), (CONTROL, audited.held_out)):
        places = [
            (row, one.rule, one.start, one.end)
            for row in _some(rows, rng)
            for one in _found(looking, row["text"])
        ]
        picked = of_whole_units(places, lambda place: place[0]["unit"], bench.settings.probed, rng)
        targets = bench.targets([(row["text"], start, end) for row, _, start, end in picked])
        found += [
            Span(row["id"], rule, target, kind, row["unit"], "kept")
            for (row, rule, _, _), target in zip(picked, targets)
            if target is not None
        ]
    return found


def _found(looking: Finder, text: str) -> list[Place]:
    """What is personal in ``text``; a text that breaks a detector has nothing to be attacked."""
    try:
        return looking.find(text)
    except Exception:
        return []


def _some(rows: Rows, rng: np.random.Generator) -> Iterator[Mapping[str, str]]:
    """Rows of whole units in random order, until enough was looked through."""
    left = MOST_CHARACTERS
    for unit in units_dealt(rows, lambda row: row["unit"], rng):
        if left <= 0:
            return
        left -= sum(len(rows[k]["text"]) for k in unit)
        yield from (rows[k] for k in unit)
