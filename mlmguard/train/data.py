"""What a run is given: the rows of ``clean/``, as texts, as units of tokens, and as held-out windows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from mlmguard.artifacts import find_run_folder, read_json
from mlmguard.corpus.clean import CleanFolder, Findings, findings_of, open_clean, refuse_damaged, source_of
from mlmguard.errors import InputError
from mlmguard.leakage import canaries
from mlmguard.settings import TrainSettings
from mlmguard.train import planning
from mlmguard.train.run import Run
from mlmguard.training.evaluation import HeldOutTexts
from mlmguard.training.privacy.claim import UnitOfPrivacy
from mlmguard.training.recipes import Recipe
from mlmguard.training.text import tokens
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.tokens import Text, Tokens
from mlmguard.training.text.units import Row, cut
from mlmguard.types import Watcher

Texts = Callable[[], Iterable[Text]]
"""Every text that is trained on, read anew at each call."""


@dataclass(frozen=True)
class Corpus:
    """``clean/`` and what the scan found in it, where the scan's run folder is at hand."""

    clean: CleanFolder
    findings: Findings | None = field(repr=False)

    @property
    def scanned_by(self) -> str | None:
        """The key of ``mlmguard scan --unit-key``, None without one."""
        key = self.clean.manifest.settings.get("unit_key", "null")
        return None if key == "null" else key

    @property
    def raw(self) -> str:
        """Where the scan says the raw corpus lay; "" when its run folder is gone."""
        folder = find_run_folder(self.clean.manifest.run_id, self.clean.folder.resolve().parent)
        return str(read_json(folder / "scan.json").get("corpus", "")) if folder else ""

    @property
    def held_out_digest(self) -> str:
        """SHA-256 over validation and test files: runs with one digest were measured on the same texts."""
        apart = sorted(self.clean.digests[shard.path] for shard in self.clean.sound if shard.split != "train")
        return hashlib.sha256("".join(apart).encode()).hexdigest()

    def texts(self, split: str) -> Iterator[Text]:
        """The rows of ``split``, each its own, with what was found in it."""
        for row in self.clean.rows(split):
            yield Text(row["id"], row["text"], self.found_in(row["id"]))

    def found_in(self, row_id: str) -> Sequence[tuple[int, int]]:
        """Places of findings in the text of a row, in characters, end exclusive."""
        return self.findings.of(row_id) if self.findings else ()


def opened(clean: Path, settings: TrainSettings, watcher: Watcher) -> Corpus:
    """Open ``clean/``, leave damaged shards out and say so.

    Raises :class:`InputError` where a split would lose more than it may, where ``settings`` leave out a
    source that there is not, or need a validation split or findings that are not at hand.
    """
    corpus = open_clean(clean)
    _leave_out_damaged(corpus, settings, watcher)
    _refuse_unknown_source(corpus, settings.leave_out)
    if (settings.evaluate_every or settings.early_stop) and not any(
        shard.split == "validation" for shard in corpus.sound
    ):
        raise InputError(
            str(clean),
            "an empty validation split",
            "documents to stop early or to draw a curve by",
            "scan a larger corpus, or leave --early-stop and --evaluate-every out",
        )
    found = findings_of(corpus)
    if settings.pii_targets and found is None:
        raise InputError(
            "--pii-targets",
            f"the run folder of {corpus.manifest.run_id} is missing",
            "the findings of the scan",
            "run it where `mlmguard scan` ran",
        )
    return Corpus(corpus, found)


def _leave_out_damaged(corpus: CleanFolder, settings: TrainSettings, watcher: Watcher) -> None:
    for split, written in corpus.manifest.splits.items():
        lost = sum(shard.documents for shard in corpus.damaged if shard.split == split)
        if lost > settings.max_lost * written:
            share = (
                f"; with it {lost / written:.0%} of the {split} documents are lost, "
                f"{settings.max_lost:.0%} may"
            )
            refuse_damaged(corpus, [split], share)
    for shard in corpus.damaged:
        watcher.tell(
            f"{shard.shard} is left out: {shard.reason}; it held {shard.documents:,} {shard.split} documents"
        )


def _refuse_unknown_source(corpus: CleanFolder, source: str | None) -> None:
    """Held-out rows of a source that is left out stay, so that runs can be compared."""
    if source is None:
        return
    known = sorted({source_of(row["id"]) for row in corpus.rows("train")})
    if source not in known or known == [source]:
        raise InputError(
            f"--leave-out {source}",
            "nothing is left to train on" if source in known else "no training row comes from it",
            "one of several sources: " + ", ".join(known),
        )


def texts(
    corpus: Corpus, settings: TrainSettings, unit: UnitOfPrivacy, planted: Sequence[canaries.Secret]
) -> Texts:
    """The rows of clean/train, then what was planted."""
    return partial(_texts, corpus, settings, unit, planted)


def _texts(
    corpus: Corpus, settings: TrainSettings, unit: UnitOfPrivacy, planted: Sequence[canaries.Secret]
) -> Iterator[Text]:
    # windows of a stride are rows of an epoch, each on its own, whoever wrote them
    owner = "unit" if unit.gathers_rows and settings.stride is None else "id"
    for row in corpus.clean.rows("train"):
        if settings.leave_out is None or source_of(row["id"]) != settings.leave_out:
            yield Text(row[owner], row["text"], corpus.found_in(row["id"]))
    for secret in planted:
        for name, text in canaries.units(secret):
            yield Text(name, text, keep=(secret.start, secret.end))


def tokenised(
    run: Run,
    tokenizer: Tokenizer,
    texts: Texts,
    unit: UnitOfPrivacy,
    settings: TrainSettings,
    corpus: Corpus,
) -> Tokens:
    """The units of all texts, on disk in the run folder; a resumed run finds them there."""
    noted = planning.masking_of(settings, 0.15).needs_notes
    pieces = unit.is_piece or settings.stride is not None

    def rows() -> Iterable[Row]:
        whole = tokens.tokenised(tokenizer, texts(), noted, settings.window - 2 if pieces else None)
        return cut(whole, settings.window, settings.stride) if pieces else whole

    of = [
        corpus.clean.digests,
        tokenizer.fingerprint(),
        run.canaries_digest(),
        noted,
        asdict(settings),
        [unit.kind, unit.name],
    ]
    key = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()
    units = tokens.kept(run.folder / "tokens", key, rows, len(tokenizer))
    if unit.is_piece:
        run.update(cut=f"{settings.window} {tokenizer.fingerprint()[:16]}")
    if not len(units):
        raise InputError(str(corpus.clean.folder), "no token in any training document", "text to train on")
    return units


def held_out(corpus: Corpus, tokenizer: Tokenizer, units: Tokens, recipe: Recipe) -> HeldOutTexts:
    """One window of each validation and test row, with what the scan found in it."""
    return HeldOutTexts.of(
        tokenizer,
        corpus.texts("validation"),
        corpus.texts("test"),
        units.counts(len(tokenizer)),
        recipe.window,
        noted=corpus.findings is not None and tokenizer.knows_words,
    )
