"""The card of ``clean/``: a data set that `datasets.load_dataset` opens, and what is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from mlmguard.corpus import split
from mlmguard.types import Manifest
from mlmguard.types.corpus import not_looked_for

COLUMNS = ("id", "text", "unit", "metadata")
"""Of each row, all texts: the features of the data set."""
NAME = "README.md"
_MADE = "A corpus that mlmguard "


def is_ours(text: str) -> bool:
    """Say whether a card is one of ours: another is not replaced."""
    return text.startswith("---\nconfigs:\n") and f"\n{_MADE}" in text


def card(manifest: Manifest) -> str:
    """Make the text of the card: where each split lies, the columns, what was taken out, and what was not
    looked for."""
    found, taken = Counter[str](), Counter[str]()
    for one in manifest.findings:
        found[one.rule] += one.found
        taken[one.rule] += one.redacted
    unseen = ", ".join(f"`{type_}`" for type_ in sorted(not_looked_for(manifest.coverage)))
    return "\n".join(
        [
            *_head(manifest.splits),
            f"# `{manifest.run_id}`",
            "",
            f"{_MADE}{manifest.tool_version} has cleaned: {manifest.documents_written:,} of "
            f"{manifest.documents_read:,} documents, after {manifest.duplicates.exact:,} exact and "
            f"{manifest.duplicates.near:,} near copies were left out.",
            "**Cleaned is not anonymous**: what no detector finds is still in it.",
            "",
            "| split | documents |",
            "|---|---:|",
            *(f"| {name} | {manifest.splits.get(name, 0):,} |" for name in split.SPLITS),
            "",
            "| type | found in all documents read | taken out of these |",
            "|---|---:|---:|",
            *(f"| `{type_}` | {count:,} | {taken[type_]:,} |" for type_, count in sorted(found.items())),
            "",
            f"Not looked for: {unseen or 'nothing of what every scan tells of'}. `manifest.json` has all "
            "figures, and for each type its detector and measured recall.",
            "",
        ]
    )


def _head(splits: Mapping[str, int]) -> list[str]:
    """What `datasets` reads. A split without a row has no file, and a pattern without a file is an error."""
    files = [
        line
        for name in split.SPLITS
        if splits.get(name)
        for line in (f"  - split: {name}", f"    path: {name}-*.jsonl")
    ]
    features = [line for name in COLUMNS for line in (f"  - name: {name}", "    dtype: string")]
    return [
        "---",
        "configs:",
        "- config_name: default",
        "  data_files:",
        *files,
        "dataset_info:",
        "  features:",
        *features,
        "---",
        "",
    ]
