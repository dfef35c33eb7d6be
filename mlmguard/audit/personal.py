"""The scan's findings as spans to attack, their values read from the raw corpus."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlmguard.corpus.read.originals import originals
from mlmguard.errors import InputError
from mlmguard.leakage.results import CONTROL, Span

if TYPE_CHECKING:
    from mlmguard.audit.bench import Bench


def personal_spans(bench: Bench) -> list[Span]:
    """Draw up to ``probed`` findings of each kind: kept, redacted and held-out; none without a scan of ours.

    Raises :class:`InputError` where the scan's run folder or the raw corpus is not what it was.
    """
    audited = bench.audited
    if audited.manifest is None or audited.run is None:
        return []
    if audited.scan_run is None:
        raise InputError(
            audited.manifest.run_id,
            "its run folder is missing",
            "the .mlmguard/runs/ID that `mlmguard scan` left",
            "run the audit where the scan ran",
        )
    rng = bench.rng("personal spans")
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
        (kind, group[k])
        for kind, group in sorted(by_kind.items())
        for k in sorted(rng.permutation(len(group))[: bench.settings.probed])
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
