"""Find personal data and duplicates; write a cleaned, split corpus.

CORPUS is a folder, a file, a pattern ("notes/**/*.txt"), "-" for standard input, or an address that fsspec
knows ("s3://..."). The corpus is read and left as it is; what is written is a cleaned copy with a manifest.
Jobs on many machines examine a part each with --shard; --merge then writes what one scan would have written.
"""

from __future__ import annotations

import math
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlmguard import artifacts, console
from mlmguard.commands.options import FILE, Page, options, overwriting, place, shared, show
from mlmguard.commands.watching import interruptible
from mlmguard.errors import InputError, PartialRun
from mlmguard.settings import ScanSettings, check
from mlmguard.types import Proof

if TYPE_CHECKING:
    from mlmguard.corpus.shards import ShardRecord


@click.command("scan", cls=Page, renamed={"--leave-out": "--forget-list"})
@click.argument("corpus")
@options(ScanSettings)
@place("--clean", "clean", "Where the cleaned, split corpus goes.", "clean")
@place("--reports", "reports", "Where counts and findings go.", "reports")
@place(
    "--forget-list",
    "forget",
    "A list that `forget-list` wrote: its documents are left out.",
    type=FILE,
    group="Copies and splits",
)
@place(
    "--baseline",
    "baseline",
    "Known findings: end with 10 only when there is one that is not in it.",
    type=FILE,
)
@overwriting
@shared
def command(
    corpus: str,
    clean: Path,
    reports: Path,
    forget: Path | None,
    baseline: Path | None,
    workers: int | None,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> int:
    from mlmguard.commands import baseline as known
    from mlmguard.commands import forget_list, leading_on
    from mlmguard.corpus.read.sources import local
    from mlmguard.engine import default_workers
    from mlmguard.scan import examine_shard, scan
    from mlmguard.scan.prove import REPORT as PROOF

    key = artifacts.load_key()
    today = date.fromisoformat(artifacts.source_date())
    accepted = known.read(baseline, key) if baseline else None
    if accepted:
        settings["kept"] = known.kept(accepted, today)
    if forget:
        settings["left_out"] = frozenset(one.id for one in forget_list.read(forget).documents)
    chosen = ScanSettings(workers=workers or default_workers(), **settings)
    check(chosen)
    if chosen.part or chosen.merge:
        _refuse_what_is_copied(corpus, "--merge" if chosen.merge else "--shard")
    with interruptible(quiet or as_json) as watcher:
        place = local(corpus, key, sys.stdin.buffer)
        if chosen.part:
            record = examine_shard(
                place, clean, reports, key=key, settings=chosen, overwrite=overwrite, watcher=watcher
            )
        else:
            manifest = scan(
                place, clean, reports, key=key, settings=chosen, overwrite=overwrite, watcher=watcher
            )
    if chosen.part:
        _say_what_was_examined(record, as_json)
        leading_on.then("scan", corpus, "--merge", quiet=quiet)
        return 0
    proof = artifacts.read_noun(reports / PROOF, Proof) if chosen.prove else None
    show(manifest, as_json, lambda: console.scan_summary(manifest, _proved(proof)))
    console.written([clean, reports / "scan.json", reports / "findings.jsonl"], quiet)
    if proof and proof.differ:
        counts = f"{proof.findings_differ} in their findings, {proof.copies_differ} in their copies"
        index = f" and nothing put into {chosen.index}" if chosen.index else ""
        raise PartialRun(
            f"--prove: of {proof.sample} documents these differ from stock: {counts}; "
            f"{clean} was written{index}, do not rely on it before you know why."
        )
    if accepted is None:
        leading_on.then("train", clean, "--dp-epsilon", 8, quiet=quiet)
        return 0
    compared = known.compare(reports / "findings.jsonl", accepted, today)
    if not as_json:
        console.explanation("Beside the baseline", compared.lines())
    return 10 if compared.new else 0


def _proved(proof: Proof | None) -> dict[str, str]:
    """What is said of a sample held against stock, and of what it is no proof."""
    if proof is None:
        return {}
    differ = f"{proof.findings_differ:,} differ in findings, {proof.copies_differ:,} in copies"
    return {
        "held against stock": f"{proof.sample:,} of {proof.documents:,} documents: {differ}; "
        f"at most {math.ceil(proof.most * 1e4) / 1e4:.2%} of all, at 95 %",
        "of its findings": f"{proof.found_by_stock:,} of {proof.found:,} are stock's by the same "
        "recognisers; it has nothing for names, seams, headings and your lists",
    }


def _refuse_what_is_copied(corpus: str, flag: str) -> None:
    """Raise :class:`InputError` for a corpus of which every job would read a copy of its own."""
    if corpus == "-" or "://" in corpus:
        found = "standard input" if corpus == "-" else "an address"
        raise InputError(
            flag, f"{found}, which is copied first", "a folder that all jobs see", "copy it to one"
        )


def _say_what_was_examined(record: ShardRecord, as_json: bool) -> None:
    """Print how much a shard held; names of files can be personal."""
    told = {"shard": record.number, "of": record.of, "files": len(record.files), "bytes": record.bytes}
    lines = [("files", f"{len(record.files):,}"), ("MB", f"{record.bytes / 1e6:,.1f}")]
    if not record.files:
        lines.append(("note", "there are fewer files than shards: nothing to do here"))
    show(told, as_json, lambda: console.explanation(f"Examined {record.name}", lines))
