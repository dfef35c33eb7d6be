"""What was done before another tool's training, for its audit: canaries planted, and documents dealt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlmguard.artifacts import find_run_folder, key_at_hand, read_noun, sha256_file, weights_digest
from mlmguard.corpus import dealing
from mlmguard.errors import InputError
from mlmguard.leakage import canaries
from mlmguard.leakage.results import Rows
from mlmguard.types import DEAL, DEALT, CanaryRecord, SplitRecord


@dataclass(frozen=True)
class Planted:
    """Canaries of a checkpoint, and the weights that its training began with."""

    record: CanaryRecord
    secrets: Sequence[canaries.Secret] = field(repr=False)
    initial: str | None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the evidence has to know of them."""
        reference = "the weights it began with" if self.initial else "no reference"
        return (f"Canaries of {self.record.run_id}, planted into a training elsewhere; {reference}.",)


def planted(ckpt: Path, run: Path | None) -> Planted | None:
    """The canaries that the checkpoint's record names; None without a record.

    ``run`` is their folder, where it is not found beside the checkpoint or here. Raises :class:`InputError`
    for canaries, or weights to compare with, that are not those of the record.
    """
    path = ckpt / canaries.RECORD
    if not path.is_file():
        if run is not None:
            raise InputError(
                str(ckpt),
                f"no {canaries.RECORD}",
                "a checkpoint trained with PlantCanaries",
                "leave out --run",
            )
        return None
    record = read_noun(path, CanaryRecord)
    near = list(ckpt.resolve().parents)[:3]
    folder = run or find_run_folder(record.run_id, *near)
    if folder is None:
        raise InputError(
            str(path),
            f"no folder {record.run_id} of its canaries",
            "the .mlmguard/runs/NAME that PlantCanaries made",
            "name it with --run",
        )
    coins = folder / "canaries.jsonl"
    if not coins.is_file() or sha256_file(coins) != record.canaries_digest:
        found = "not the canaries this checkpoint was trained with"
        raise InputError(str(coins), found, f"the file with the digest in {canaries.RECORD}")
    secrets = canaries.load(coins)
    if len(secrets) != record.canaries or not 2 <= record.guesses <= record.canaries:
        found = f"{record.canaries} canaries and {record.guesses} guesses"
        raise InputError(str(path), found, f"{len(secrets)} canaries, and two guesses to as many")
    initial = folder / "initial"
    if not initial.is_dir():
        return Planted(record, secrets, None)
    if weights_digest(initial) != record.initial_digest:
        raise InputError(str(initial), "not the weights that this training began with", "its own folder")
    return Planted(record, secrets, str(initial))


# --- dealt documents ----------------------------------------------------------------------------------


def dealt(members: Path, non_members: Path | None) -> SplitRecord | None:
    """The record of `mlmguard split` beside both files, where they are those that it wrote."""
    if non_members is None or members.parent.resolve() != non_members.parent.resolve():
        return None
    path = members.parent / DEAL
    return read_noun(path, SplitRecord) if path.is_file() else None


def refuse_undealt(ckpt: Path, record: SplitRecord, members: Path, sides: Sequence[Rows]) -> str:
    """Say what is known of the deal; :class:`InputError` for files or weights that contradict its record.

    Weights that lay there when the documents were dealt were trained before: no time of a file is proof of
    that, their digest is.
    """
    path = members.parent / DEAL
    if record.start_digest and weights_digest(ckpt) == record.start_digest:
        raise InputError(
            str(ckpt),
            "these weights were there before the documents were dealt: nothing was trained on the deal since",
            "a model trained on the members after `mlmguard split`",
            "audit it with --members alone, or with --non-members that its training never saw",
        )
    key = key_at_hand()
    if key is None or key.id != record.key_id:
        return "Dealt by `mlmguard split` under another key: the files could not be held against its record."
    digests = (record.members_digest, record.non_members_digest)
    for rows, digest, name in zip(sides, digests, ("members", "non-members")):
        if dealing.signed(key, record.seed, (row["text"] for row in rows)) != digest:
            found = f"its {name} are not those that were dealt"
            raise InputError(
                str(path), found, "both files as `mlmguard split` wrote them", "deal and train anew"
            )
    return f"{DEALT}: {record.parts:,} parts, seed {record.seed}, recorded."
