"""A scan held against what earlier ones have seen (``--index``), and kept for later ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlmguard import artifacts
from mlmguard.corpus.copies import index, minhash
from mlmguard.errors import InputError
from mlmguard.scan.books import Workplace
from mlmguard.scan.job import Job, corpus_name
from mlmguard.settings import ScanSettings
from mlmguard.types import Watcher


@contextmanager
def indexed(
    settings: ScanSettings, key: artifacts.Key, corpus: Path, *ours: Path
) -> Iterator[index.Index | None]:
    """Give the index that ``settings`` name, held until the scan is done; None where they name none.

    Raises :class:`InputError` for one in or around the corpus or a folder of ``ours``, for one of another
    key or of other settings, and where another scan has it.
    """
    if settings.index is None:
        yield None
        return
    own = settings.index.resolve()
    for place in (corpus, *ours):
        other = place.resolve()
        if own.is_relative_to(other) or other.is_relative_to(own):
            where = "in" if own.is_relative_to(other) else "around"
            raise InputError(
                str(settings.index), f"it lies {where} {place}", "a folder of its own", "name another"
            )
    with index.opened(settings.index, key, _how(settings)) as found:
        yield found


def _how(settings: ScanSettings) -> dict[str, str]:
    """What must be the same for texts of two scans to be compared."""
    names = ("near_threshold", "permutations", "mail_headers", "max_chars")
    return {name: json.dumps(getattr(settings, name)) for name in names} | {
        "words_of_a_shingle": str(minhash.SHINGLE)
    }


def remember(job: Job, place: Workplace, watcher: Watcher) -> None:
    """Put what was read into the index, for later scans.

    It comes before ``clean/`` takes its place: what was published is always in the index, and a scan that is
    killed between the two finds itself there when it is run again.
    """
    if job.earlier is not None:
        watcher.progress("index", 0, None)
        place.remember(corpus_name(job.inputs, job.settings, job.key))
