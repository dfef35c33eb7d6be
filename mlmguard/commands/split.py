"""Deal members and non-members by coin, before a model is trained elsewhere.

FILE is a file or folder of documents, in any format that `scan` reads. DIR gets members.jsonl, to train on,
non-members.jsonl, to keep out of the training, and split.json, the record by which `mlmguard audit` knows the
deal. Copies of a text, and documents of one unit, are dealt together. The same key and seed deal alike.

Deal first and train then: after a training every document is a member, and no coin can change that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from mlmguard import __version__, console
from mlmguard.artifacts import Key, load_key, read_noun, weights_digest, write_json, write_text
from mlmguard.commands.leading_on import then
from mlmguard.commands.options import FOLDER, PLACE, Grouped, Page, place, quietly
from mlmguard.corpus import dealing
from mlmguard.corpus.read import documents
from mlmguard.errors import InputError
from mlmguard.settings import ScanSettings
from mlmguard.types import DEAL, Document, SplitRecord

FEWEST = 10
"""Documents of each side: what an audit needs."""
MARKS = ("privacy.json", "training.json", "canaries.json", "trainer_state.json", "optimizer.pt")
"""Files that a training leaves beside its weights."""


def split(
    corpus: Path,
    out: Path,
    key: Key,
    seed: int = 0,
    share: float = 0.2,
    reading: documents.Settings | None = None,
    model: Path | None = None,
) -> SplitRecord:
    """Deal the documents of ``corpus`` into two files in ``out``, and record the deal.

    ``model`` is what training will begin with: its weights are in the record, so that an audit of the same
    weights is refused. Raises :class:`InputError` for a model that is trained already, as far as its folder
    says so, for too few documents, and where ``out`` holds another deal.
    """
    if (corpus / "config.json").is_file():
        raise _already_trained(corpus)
    start = _start(model) if model is not None else ""
    reading = reading or documents.Settings()
    listed = [item for item in documents.read(corpus, reading, (out,)) if isinstance(item, Document)]
    apart, parts = dealing.deal(listed, key, seed, share)
    members, others = dealing.sides(listed, apart)
    if min(len(members), len(others)) < FEWEST:
        raise InputError(
            str(corpus),
            f"{len(listed)} documents in {parts} parts give {len(members)} members and {len(others)} others",
            f"at least {FEWEST} of each",
            "take more documents, or another --share",
        )
    record = SplitRecord(
        key_id=key.id,
        seed=seed,
        share=share,
        unit_key=reading.unit_key or "",
        parts=parts,
        members=len(members),
        non_members=len(others),
        members_digest=dealing.signed(key, seed, (one.text for one in members)),
        non_members_digest=dealing.signed(key, seed, (one.text for one in others)),
        start_digest=start,
        tool_version=__version__,
    )
    _refuse_another(out / DEAL, record)
    for name, side in (("members", members), ("non-members", others)):
        write_text(out / f"{name}.jsonl", _lines(side, reading), mode=0o600)
    write_json(out / DEAL, record)
    return record


def _lines(side: Sequence[Document], reading: documents.Settings) -> str:
    rows = []
    for one in side:
        unit = {reading.unit_key: one.unit} if reading.unit_key else {}
        row = {**one.metadata, **unit, "id": one.id, "text": one.text}
        rows.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(rows)


def _start(model: Path) -> str:
    """The digest of the weights that training will begin with."""
    if not (model / "config.json").is_file():
        raise InputError(f"--model {model}", "no config.json", "the folder that training will begin with")
    if any((model / name).exists() for name in MARKS):
        raise _already_trained(model, "--model ")
    return weights_digest(model)


def _already_trained(model: Path, flag: str = "") -> InputError:
    return InputError(
        f"{flag}{model}",
        "a model that is trained already: a coin cannot make its members non-members",
        "documents that nothing was trained on yet",
        "`mlmguard audit` takes --members alone, or with --non-members that its training never saw",
    )


def _refuse_another(path: Path, record: SplitRecord) -> None:
    if path.exists() and read_noun(path, SplitRecord) != record:
        raise InputError(str(path), "another deal lies there", "a new folder", "name another with --out")


# --- the command ----------------------------------------------------------------------------------------


@click.command("split", cls=Page)
@click.argument("file", type=PLACE)
@place("--out", "out", "Where the two files and the record go.", "split")
@click.option(
    "--share",
    cls=Grouped,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="Share of the documents that stays out of the training: the more, the fewer leaks are seen.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the coin, beside the key.")
@click.option("--unit-key", metavar="KEY", help="Column that says whose a document is: dealt together.")
@click.option(
    "--text-key", metavar="KEY", default=ScanSettings.text_key, show_default=True, help="Column of the text."
)
@click.option(
    "--model",
    type=FOLDER,
    help="What training will begin with; refused where its folder shows a training, and known to the audit.",
)
@quietly
def command(
    file: Path,
    out: Path,
    share: float,
    seed: int,
    unit_key: str | None,
    text_key: str,
    model: Path | None,
    quiet: bool,
) -> None:
    reading = documents.Settings(text_key=text_key, unit_key=unit_key)
    record = split(file, out, load_key(), seed, share, reading, model)
    console.explanation(
        "Dealt",
        [
            ("members", f"{record.members:,}: train on these"),
            ("non-members", f"{record.non_members:,}: keep them out of the training"),
            ("parts", f"{record.parts:,} dealt; copies and units stay together"),
        ],
    )
    console.written([out / "members.jsonl", out / "non-members.jsonl", out / DEAL], quiet)
    members, others = out / "members.jsonl", out / "non-members.jsonl"
    then("audit", "CKPT", "--members", members, "--non-members", others, quiet=quiet)
