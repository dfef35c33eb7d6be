"""Canaries in an ordinary training of Hugging Face's ``Trainer``.

    plant = PlantCanaries(tokenizer, "my-run")
    trainer = Trainer(..., train_dataset=plant.into(dataset), callbacks=[plant])

Each canary is a row of its own, planted by its own fair coin. A callback cannot change a dataset that a
Trainer holds already, so :meth:`PlantCanaries.into` gives the one to train on, and the callback only looks: a
training without the planted rows does not begin. Texts and coins lie in a private folder,
``.mlmguard/runs/NAME``, beside the weights that training began with; what is written into each checkpoint
(``canaries.json``) is where they are, how many, and their digest. ``mlmguard audit CKPT --members …`` reads
both.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainerCallback

from mlmguard import __version__
from mlmguard.artifacts import (
    RUNS,
    Key,
    load_key,
    locked,
    read_json,
    run_folder,
    sha256_file,
    weights_digest,
    write_json,
)
from mlmguard.errors import InputError
from mlmguard.leakage import canaries
from mlmguard.types import CanaryRecord


class PlantCanaries(TrainerCallback):
    """Plants canaries by fair coins, looks that they are trained on, and records them beside each checkpoint.

    ``run`` names the training: the same name again, as a script that resumes says it, is the same canaries.
    """

    def __init__(
        self, tokenizer: Any, run: str, count: int = 500, *, runs: Path = RUNS, key: Key | None = None
    ) -> None:
        if count < 2:
            raise InputError("count", str(count), "two canaries or more")
        if not run or "/" in run or run.startswith("."):
            raise InputError("run", repr(run), "a name for this training, without a slash")
        self.tokenizer = tokenizer
        self.folder = run_folder(run, runs)
        with locked(self.folder):  # every process of a team comes here
            if not (self.folder / "canaries.jsonl").exists():
                self._draw(count, key or load_key())
        self._facts: dict[str, Any] = read_json(self.folder / "run.json")
        self.canaries = canaries.load(self.folder / "canaries.jsonl")
        if len(self.canaries) != count:
            do = "name another run, or give the same count"
            raise InputError(str(self.folder), f"{len(self.canaries)} canaries were drawn", str(count), do)

    def __repr__(self) -> str:
        return f"PlantCanaries({self.folder.name})"

    def _draw(self, count: int, key: Key) -> None:
        """Coins and texts, before anything is trained, by a seed that only who has the key can follow."""
        nonce = secrets.token_hex(16)
        rng = np.random.default_rng(int(key.seal(f"canaries {nonce}"), 16))
        canaries.save(canaries.draw(count, rng), self.folder / "canaries.jsonl")
        # fixed here, before any score exists: a number of guesses chosen afterwards voids the bound
        facts = {"nonce": nonce, "key_id": key.id, "guesses": max(2, count // 2)}
        write_json(self.folder / "run.json", facts, mode=0o600)

    @property
    def texts(self) -> list[str]:
        """The planted ones, for whoever builds a dataset by hand. They are private."""
        return [text for secret in self.canaries for _, text in canaries.units(secret)]

    def into(self, dataset: Any, text: str = "text") -> Any:
        """Return ``dataset`` with a row for each planted canary at its end.

        It may be a ``datasets.Dataset``, a list, or anything with a length and items, of rows that hold
        ``input_ids`` or a column ``text``, or of plain strings. Call it on what the Trainer is given: after
        tokens were cut into blocks, which would tear canaries apart. Raises :class:`InputError` for rows that
        cannot be made alike.
        """
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__") or not len(dataset):
            do = "for a stream, add `plant.texts` to what it streams"
            raise InputError("the dataset", "no rows with a number", "a dataset that is not a stream", do)
        some = [dataset[k] for k in range(min(len(dataset), _LOOKED_AT))]
        if all(isinstance(row, str) for row in some):
            return _Joined(dataset, self.texts)
        rows = [self._row(words, some, text) for words in self.texts]
        if hasattr(dataset, "features") and hasattr(dataset, "column_names"):
            from datasets import Dataset, concatenate_datasets

            every = {name: [row.get(name) for row in rows] for name in dataset.column_names}
            added = Dataset.from_dict(every, features=dataset.features)
            return concatenate_datasets([dataset, added])
        return _Joined(dataset, rows)

    def _row(self, words: str, like: Sequence[Mapping[str, Any]], text: str) -> dict[str, Any]:
        """One canary as a row that is made as those of the dataset are."""
        first = like[0]
        if "input_ids" not in first:
            if text not in first:
                raise InputError("the dataset", f"no input_ids and no {text!r}", "tokens, or into(…, text=)")
            return {text: words}
        if "labels" in first:
            do = "let DataCollatorForLanguageModeling draw the masks"
            raise InputError("the dataset", "labels in its rows", "rows whose masks are not drawn yet", do)
        lengths = {len(row["input_ids"]) for row in like}
        block = {"padding": "max_length", "max_length": lengths.pop()} if _one_length(like) else {}
        made = self.tokenizer(words, truncation=bool(block), return_special_tokens_mask=True, **block)
        tensors = hasattr(first["input_ids"], "new_tensor")
        return {
            name: first[name].new_tensor(made[name]) if tensors else made[name]
            for name in first
            if name in made
        }

    # --- the callback -------------------------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, **about: Any) -> None:
        """Look that every planted canary is in the dataset, and keep the weights that training begins with.

        Raises :class:`InputError` where one is missing.
        """
        loader = about.get("train_dataloader")
        missing = self._missing(loader.dataset if loader is not None else [])
        if missing:
            raise InputError(
                "train_dataset",
                f"{missing} of {len(self.texts)} planted canaries are not in it",
                "the dataset that plant.into(dataset) returned",
                "call it last, after tokens are cut into blocks, and give Trainer what it returns",
            )
        if not state.is_world_process_zero or (self.folder / "initial").exists():
            return
        if state.global_step:
            do = "begin the training anew, or under another name"
            raise InputError(str(self.folder), "the weights that training began with are gone", "", do)
        about["model"].save_pretrained(self.folder / "initial")
        digest = weights_digest(self.folder / "initial")
        self._facts |= {"initial": digest}
        write_json(self.folder / "run.json", self._facts, mode=0o600)

    def on_save(self, args: Any, state: Any, control: Any, **about: Any) -> None:
        """Record the canaries in the checkpoint that was just written."""
        if state.is_world_process_zero:
            self.record(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def on_train_end(self, args: Any, state: Any, control: Any, **about: Any) -> None:
        """Record them where the model will be saved."""
        if state.is_world_process_zero:
            self.record(Path(args.output_dir))

    def record(self, folder: Path | str) -> None:
        """Write into a checkpoint's ``folder`` which canaries it was trained with: no text and no coin."""
        made = CanaryRecord(
            run_id=self.folder.name,
            canaries=len(self.canaries),
            canaries_digest=sha256_file(self.folder / "canaries.jsonl"),
            guesses=int(self._facts["guesses"]),
            initial_digest=str(self._facts.get("initial", "")),
            tool_version=__version__,
        )
        write_json(Path(folder) / canaries.RECORD, made)

    def _missing(self, dataset: Any) -> int:
        """How many planted canaries no row holds. Those at its end are looked at first."""
        left = {tuple(ids): None for ids in self._ids(self.texts)}
        starts: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for ids in left:
            starts.setdefault(ids[:_START], []).append(ids)
        planted = len(left)
        for row in self._rows(dataset, planted):
            for k in range(len(row) - _START + 1):
                for one in starts.get(tuple(row[k : k + _START]), ()):
                    if one in left and tuple(row[k : k + len(one)]) == one:
                        del left[one]
            if not left:
                return 0
        return len(left)

    def _rows(self, dataset: Any, planted: int) -> Iterator[list[int]]:
        if not hasattr(dataset, "__len__"):
            return
        size = len(dataset)
        for k in (*range(max(0, size - planted), size), *range(max(0, size - planted))):
            row = dataset[k]
            if isinstance(row, Mapping) and "input_ids" in row:
                yield [int(one) for one in row["input_ids"]]
            else:
                values = [row] if isinstance(row, str) else list(row.values())
                yield from self._ids(value for value in values if isinstance(value, str))

    def _ids(self, texts: Iterable[str]) -> list[list[int]]:
        listed = list(texts)
        return self.tokenizer(listed, add_special_tokens=False)["input_ids"] if listed else []


_LOOKED_AT = 64  # rows that say how all of a dataset are made
_START = 6  # tokens by which a canary is looked for: of "Vault record of" and the name


def _one_length(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether rows are blocks of one length, which the collator may count on."""
    return len(rows) >= 8 and len({len(row["input_ids"]) for row in rows}) == 1


class _Joined:
    """A dataset and more rows after it."""

    def __init__(self, dataset: Any, added: Sequence[Any]) -> None:
        self._dataset, self._added = dataset, added

    def __len__(self) -> int:
        return len(self._dataset) + len(self._added)

    def __getitem__(self, index: int) -> Any:
        index = index + len(self) if index < 0 else index
        size = len(self._dataset)
        return self._dataset[index] if index < size else self._added[index - size]
