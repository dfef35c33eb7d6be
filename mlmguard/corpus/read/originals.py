"""Raw texts of a finished scan, for the audit: found again in the corpus, and proved to be unchanged."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from mlmguard import artifacts
from mlmguard.corpus.read import documents as readers
from mlmguard.errors import InputError
from mlmguard.types import Document


def originals(
    run: Path,
    wanted: Collection[str] | None = None,
    corpus: Path | None = None,
    ignore: Iterable[Path] = (),
) -> Iterator[tuple[str, str]]:
    """(document id, raw text) of the documents of scan run folder ``run``, in corpus order.

    ``wanted`` narrows it to some ids; ``corpus`` says where the corpus lies now, if it was moved.
    :class:`InputError` if a file is gone, new or not what it was.
    """
    scan: dict[str, Any] = artifacts.read_json(run / "scan.json")
    place = corpus or Path(scan["corpus"])
    ours = [*(Path(path) for path in scan["ignored"]), *ignore]
    _check_unchanged(place, scan["files"], readers.digests(place, ours))
    skipped_later = set(scan["skipped_after_reading"])
    documents = (
        item
        for item in readers.read(place, readers.Settings(**scan["reading"]), ours)
        if isinstance(item, Document)
    )
    in_order = (document for number, document in enumerate(documents) if number not in skipped_later)
    left = None if wanted is None else set(wanted)
    with (run / "documents.jsonl").open(encoding="utf-8") as rows:
        for row, document in zip(rows, in_order):
            id = str(json.loads(row)["id"])
            if left is None:
                yield id, document.text
            elif id in left:
                yield id, document.text
                left.remove(id)
                if not left:
                    return
    if left:
        raise InputError(
            str(run), f"{len(left)} of the wanted documents are not in this scan", "ids of this run"
        )


def _check_unchanged(place: Path, then: dict[str, str], now: dict[str, str]) -> None:
    for what, names in (
        ("gone", then.keys() - now.keys()),
        ("new", now.keys() - then.keys()),
        ("changed", {name for name in then.keys() & now.keys() if then[name] != now[name]}),
    ):
        if names:
            raise InputError(
                str(place),
                f"{len(names)} files {what} since the scan",
                "the corpus as it was scanned",
                "scan it again",
            )
