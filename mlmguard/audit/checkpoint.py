"""What is audited: a checkpoint read back together with what it was and was not trained on.

A checkpoint of ours is compared with its statement, its run folder, its canaries' digest and its corpus; one
of another tool with the two files its user names. Whatever does not fit is refused before any attack.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlmguard.artifacts import (
    RUNS,
    find_run_folder,
    key_at_hand,
    lines_of,
    load_key,
    read_json,
    read_noun,
    sha256_file,
    weights_digest,
)
from mlmguard.audit import elsewhere, given
from mlmguard.corpus.clean import of_run, whole
from mlmguard.corpus.read.documents import Settings as Reading
from mlmguard.corpus.read.documents import read as read_documents
from mlmguard.errors import InputError
from mlmguard.leakage import canaries, releases
from mlmguard.leakage.results import Named, Rows
from mlmguard.loading import folder as folders
from mlmguard.loading import loader
from mlmguard.loading.loader import Loaded, refuse_adapter
from mlmguard.policy.consistency import refuse_impossible
from mlmguard.settings import UnitChoice
from mlmguard.training import models
from mlmguard.training.privacy import seals
from mlmguard.training.recipes import epochs
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import ALONE, UNREAD, Document, Manifest, PrivacyStatement, UnitKind


@dataclass(frozen=True)
class Ours:
    """A checkpoint that ``mlmguard train`` wrote; where what belongs to it lies, if not where it was left."""

    run: Path | None = None  # its run folder
    corpus: Path | None = None  # the raw corpus
    earlier: Path | None = None  # a release of nearly this corpus that was published before
    runs: Path = RUNS  # where run folders are kept


@dataclass(frozen=True)
class Foreign:
    """A checkpoint that another tool trained, and the files or folders of its data."""

    members: Path
    non_members: Path | None = None  # None: not known, so that nothing can be compared
    reference: str | None = None  # a model that saw neither, by folder or name
    shadows: tuple[str, ...] = ()  # more of them, trained as this one was on other documents
    secrets: Path | None = None  # values to ask after, one a line; "-" is standard input
    run: Path | None = None  # the folder of its canaries, where `PlantCanaries` planted some


@dataclass(frozen=True)
class Audited:
    """Everything the attacks need of one checkpoint, read back and checked. None: not a run of ours."""

    ckpt: Path
    model: Any
    tokenizer: Tokenizer
    head_loaded: bool
    window: int
    members: Rows
    held_out: Rows
    reference: Any | None
    run: Path | None = None
    statement: PrivacyStatement | None = None
    manifest: Manifest | None = None
    scan_run: Path | None = None  # run folder of the scan of its corpus, where it was found
    corpus: Path | None = None  # the raw corpus, where it was moved
    secrets: Sequence[canaries.Secret] = ()
    guesses: int = 0
    draws: float | None = None  # how often training is expected to have drawn one unit
    shadows: Sequence[Any] = ()
    earlier_ckpt: Path | None = None  # the release before this one
    earlier: Any | None = None  # its model
    changes: Mapping[str, tuple[Rows, Rows]] = field(default_factory=dict)  # what came or went since
    named: Sequence[Named] = ()  # values that the user asks after
    causal: bool = False  # predicts the next token and fills no masks
    notes: tuple[str, ...] = ()  # what a reader of the evidence has to know of it

    def __repr__(self) -> str:
        return f"Audited({self.run_id})"

    @property
    def run_id(self) -> str:
        """The id of the training run; "" where it is not one of ours."""
        return self.statement.run_id if self.statement is not None else ""

    @property
    def shipped(self) -> bool:
        """Whether its tokenizer is the one that the package ships, entry by entry."""
        return self.tokenizer.is_shipped()

    @property
    def has_reference(self) -> bool:
        """Whether there is a model that saw neither members nor held-out documents."""
        return self.reference is not None

    @property
    def tiers(self) -> Sequence[Sequence[canaries.Secret]]:
        """The canaries by their number of copies, the fewest first: those are the ones that are judged."""
        copies = sorted({secret.canary.repetitions for secret in self.secrets})
        return [[s for s in self.secrets if s.canary.repetitions == times] for times in copies]

    @property
    def planted_once(self) -> bool:
        """The ε bound is a theorem about canaries that are one unit each; repeated ones are a control."""
        return bool(self.secrets) and self.tiers[0][0].canary.repetitions == 1

    def copies(self) -> Mapping[str, int]:
        """How many documents of the corpus each kept one stood for; {} without the scan's folder."""
        path = self.scan_run / "documents.jsonl" if self.scan_run else None
        if path is None or not path.is_file():
            return {}
        rows = (json.loads(line) for line in lines_of(path))
        return {row["id"]: int(row["copies"]) for row in rows}


def read(ckpt: Path, source: Ours | Foreign, seed: int = 0) -> Audited:
    """Read the checkpoint in ``ckpt`` with its data; a head that it lacks is drawn from ``seed``.

    Raises :class:`InputError` with the line that says which of them does not fit.
    """
    if isinstance(source, Foreign):
        return _read_foreign(ckpt, source, seed)
    audited = _read_ours(ckpt, source, seed)
    return audited if source.earlier is None else _beside_earlier(audited, source.earlier, source.runs, seed)


def _read_ours(ckpt: Path, source: Ours, seed: int) -> Audited:
    """A checkpoint of ours with its run folder and corpus."""
    _refuse_incomplete(ckpt)
    if not (ckpt / "privacy.json").is_file():
        raise InputError(
            str(ckpt),
            "no privacy.json",
            "a checkpoint written by `mlmguard train`",
            "for another's, name its data with --members",
        )
    refuse_impossible(read_noun(ckpt / "privacy.json", PrivacyStatement), f"{ckpt}/privacy.json")
    statement = seals.read_statement(ckpt)
    training = read_json(ckpt / "training.json")
    beside = source.runs.parent.parent
    folder = source.run or _own_run(ckpt, statement, beside)
    if not (folder / "run.json").is_file():
        raise _no_run(folder, statement)
    known = read_json(folder / "run.json")
    seals.refuse_changed_run(folder, statement)
    corpus = whole(of_run(known, "scan the original corpus again with the same settings"))
    secrets: tuple[canaries.Secret, ...] = ()
    if training.get("canaries"):
        path = folder / "canaries.jsonl"
        if not path.is_file() or sha256_file(path) != training.get("canaries_digest"):
            raise InputError(
                str(path),
                "not the canaries this checkpoint was trained with",
                "the file with the digest in training.json",
            )
        secrets = tuple(canaries.load(path))
    loaded, tokenizer = _load(ckpt, seed)
    model = loaded.model
    reference = models.load(folder / "initial").model
    return Audited(
        ckpt=ckpt,
        model=model,
        tokenizer=tokenizer,
        head_loaded=loaded.head,
        window=min(int(training.get("window", WINDOW)), models.window_of(model)),
        members=corpus.train,
        held_out=corpus.held_out,
        reference=reference,
        run=folder,
        statement=statement,
        manifest=corpus.manifest,
        scan_run=find_run_folder(corpus.manifest.run_id, folder.parent.parent.parent, beside),
        corpus=source.corpus,
        secrets=secrets,
        guesses=int(known.get("guesses", 0)),
        # a piece of a document is drawn on its own there, and no passage is one piece
        notes=(*_seal_notes(statement), *loaded.told),
        draws=None if _of_pieces(statement) else _draws(known, corpus.train, secrets),
    )


def _beside_earlier(audited: Audited, earlier: Path, runs: Path, seed: int) -> Audited:
    """``audited`` with a release that was published before it, and the documents that came or went since.

    Documents are known by their cleaned text, so both corpora must have been cleaned alike.
    """
    before = _read_ours(earlier, Ours(runs=runs), seed)
    now, then = audited.manifest, before.manifest
    assert now is not None and then is not None
    fault, expected = "", ""
    if before.run_id == audited.run_id:
        fault, expected = "the audited checkpoint itself", "one that was published before"
    elif not before.head_loaded:
        fault, expected = "it has no head that predicts tokens", "a whole masked language model"
    elif before.tokenizer.fingerprint() != audited.tokenizer.fingerprint():
        fault, expected = "another tokenizer than the checkpoint's", "one trained on with `train --init`"
    elif (now.key_id, now.settings) != (then.key_id, then.settings):
        fault, expected = (
            "its corpus was cleaned in another way",
            "the key and the settings of this one's scan",
        )
    elif models.window_of(before.model) < audited.window:
        fault = f"at most {models.window_of(before.model)} positions"
        expected = f"the checkpoint's window of {audited.window}"
    if fault:
        raise InputError(f"--earlier {earlier}", fault, expected, "audit the two apart")
    told = f"Earlier release: run {before.run_id}, weights {weights_digest(earlier)[:16]}."
    return replace(
        audited,
        earlier_ckpt=earlier,
        earlier=before.model,
        changes=_changes(before, audited),
        notes=(*audited.notes, told, *(f"Earlier release: {note}" for note in before.notes)),
    )


def _changes(before: Audited, now: Audited) -> Mapping[str, tuple[Rows, Rows]]:
    """Documents trained on by one release only, each beside documents of units that neither was trained on.

    A unit that both were trained on tells by its other documents. Where there are enough, those with the same
    fate are compared: what came to the corpus since with what came, what went with what went; all others may
    be of another time.
    """
    trained = {row["unit"] for one in (before, now) for row in one.members}
    old, new = ([_named(rows) for rows in (one.members, one.held_out)] for one in (before, now))
    changes = {}
    for name, (members, held_out), there in (("added", new, old), ("forgotten", old, new)):
        texts, others_there = ({digest for digest, _ in rows} for rows in there)
        units = {row["unit"] for _, row in there[0]}
        sides = (
            [(d, row) for d, row in members if d not in texts and row["unit"] not in units],
            [(d, row) for d, row in held_out if d not in texts and row["unit"] not in trained],
        )
        alike = tuple([row for d, row in side if d not in others_there] for side in sides)
        enough = all(len({row["unit"] for row in rows}) >= releases.FEWEST for rows in alike)
        changed, others = alike if enough else tuple([row for _, row in side] for side in sides)
        changes[name] = changed, others
    return changes


def _named(rows: Rows) -> list[tuple[bytes, Mapping[str, str]]]:
    """Each row behind a digest of its words."""
    return [
        (hashlib.blake2b(_words(row).encode("utf-8", "surrogatepass"), digest_size=16).digest(), row)
        for row in rows
    ]


def _words(row: Mapping[str, str]) -> str:
    return " ".join(row["text"].split())


def _of_pieces(statement: PrivacyStatement) -> bool:
    """Are the units pieces of rows? Statements without a kind are of runs that knew pieces by name."""
    if statement.unit_kind:
        return statement.unit_kind == UnitKind.PIECE
    return statement.unit == UnitChoice.SEQUENCE


def _seal_notes(statement: PrivacyStatement) -> tuple[str, ...]:
    seal = seals.compare_seal(statement, key_at_hand())
    return () if seal.outcome == "holds" else (f"The seal of the statement: {seal.found}.",)


def _own_run(ckpt: Path, statement: PrivacyStatement, beside: Path) -> Path:
    """The run folder of a checkpoint; one under its id that is of another run is refused by name."""
    found = seals.run_of(ckpt, statement, beside)
    if found.folder is None:
        raise _no_run(ckpt, statement, found.skipped)
    if found.fault:
        raise InputError(
            str(found.folder), found.fault, "the run folder of this checkpoint", "name it with --run"
        )
    return found.folder


def _no_run(thing: Path, statement: PrivacyStatement, skipped: Sequence[str] = ()) -> InputError:
    return InputError(
        str(thing),
        "; ".join((f"no run folder for {statement.run_id}", *skipped)),
        "the .mlmguard/runs/ID that training left",
        "name it with --run",
    )


def _draws(known: Mapping[str, Any], rows: Rows, secrets: Sequence[canaries.Secret]) -> float | None:
    """The expected number of windows that were drawn of a given unit: a plan's rate, or epochs."""
    if known.get("plan"):
        views = (known.get("recipe") or {}).get("views", 1)  # earlier versions knew one window a draw only
        return float(known["plan"]["sample_rate"] * known["plan"]["steps"] * views)
    if not known.get("recipe"):
        return None
    units = len({row["unit"] for row in rows}) + sum(len(canaries.units(secret)) for secret in secrets)
    return epochs(known["recipe"]["steps"], known["recipe"]["batch_units"], units)


WINDOW = 128  # tokens shown to a model whose training window is not known


def _read_foreign(ckpt: Path, foreign: Foreign, seed: int) -> Audited:
    """Somebody else's checkpoint beside the data it was and was not trained on.

    Documents that are in both are removed from the non-members, and a note says how many.
    """
    ckpt = loader.folder_of(ckpt)
    _refuse_incomplete(ckpt)
    named = given.read(foreign.secrets, load_key()) if foreign.secrets else []
    members, outside, dealt = _sides(ckpt, foreign)
    causal = models.predicts_next(ckpt)
    planted = elsewhere.planted(ckpt, foreign.run)
    loaded, tokenizer = _load(ckpt, seed, causal)
    model = loaded.model
    outside_model = foreign.reference or (planted.initial if planted else None)
    reference = _alike(outside_model, causal, seed, tokenizer) if outside_model else None
    shadows = [_alike(shadow, causal, seed, tokenizer) for shadow in foreign.shadows]
    beside = [*([reference] if reference is not None else []), *shadows]
    window = min(WINDOW, *(models.window_of(one) for one in (model, *beside)))
    given.refuse_unspellable(named, tokenizer, window, f"--secrets {foreign.secrets}")
    named = given.placed(named, members)
    return Audited(
        ckpt=ckpt,
        model=model,
        tokenizer=tokenizer,
        head_loaded=loaded.head,
        window=window,
        members=members,
        held_out=outside,
        named=named,
        secrets=planted.secrets if planted else (),
        guesses=planted.record.guesses if planted else 0,
        reference=reference,
        shadows=shadows,
        causal=causal,
        notes=(
            "Not a run of mlmguard: members and non-members are as the user named them.",
            *([UNREAD] if (ckpt / "privacy.json").is_file() else []),
            *dealt,
            *(planted.notes if planted else ()),
            *given.notes(named),
            *loaded.told,
        ),
    )


def _sides(ckpt: Path, foreign: Foreign) -> tuple[Rows, Rows, list[str]]:
    """Members and non-members, and what is to be told of them. What is in both is no non-member."""
    record = elsewhere.dealt(foreign.members, foreign.non_members)
    reading = Reading(unit_key=record.unit_key or None) if record else Reading()
    sides: list[list[dict[str, str]]] = []
    for flag, path in (("--members", foreign.members), ("--non-members", foreign.non_members)):
        if path is None:
            return sides[0], [], [ALONE]
        documents = [item for item in read_documents(path, reading) if isinstance(item, Document)]
        rows = [{"id": d.id, "text": d.text, "unit": d.unit or d.id} for d in documents]
        same = len(set(map(_words, rows))) == 1
        if same or len(rows) < FEWEST_DOCUMENTS:
            found = "1 document" if len(rows) == 1 else f"{len(rows)} documents"
            found += ", all of one text" if same and len(rows) > 1 else ""
            raise InputError(f"{flag} {path}", found, f"at least {FEWEST_DOCUMENTS}")
        sides.append(rows)
    told = [elsewhere.refuse_undealt(ckpt, record, foreign.members, sides)] if record else []
    members, others = sides
    known = set(map(_words, members))
    outside = [row for row in others if _words(row) not in known]
    both = len(others) - len(outside)
    if len(outside) < FEWEST_DOCUMENTS:
        raise InputError(
            f"--non-members {foreign.non_members}",
            f"{both} of {len(others)} are members too",
            f"at least {FEWEST_DOCUMENTS} that are not",
        )
    return members, outside, [f"{both} non-members are members too and were removed.", *told]


def _alike(path: str, causal: bool, seed: int, tokenizer: Tokenizer) -> Any:
    """A model to compare with, by folder or name: it must answer the same question about the same tokens."""
    if (Path(path) / "config.json").is_file() and models.predicts_next(Path(path)) != causal:
        found, wanted = ("masked", "causal") if causal else ("causal", "masked")
        raise InputError(path, f"a {found} language model", f"a {wanted} one, as the checkpoint is")
    has_own = folders.has_vocabulary(Path(path)) or not Path(path).is_dir()
    if has_own and (apart := tokenizer.differs_from(path)):
        raise InputError(
            path,
            f"its tokens are not the checkpoint's: {apart}",
            "a model with the same tokenizer",
            "leave it out, or name the checkpoint that training began with",
        )
    found = models.load(path, causal=causal, seed=seed).model
    _refuse_unusable(found, tokenizer, path, causal)
    return found


def _refuse_unusable(model: Any, tokenizer: Tokenizer, thing: str, causal: bool) -> None:
    models.refuse_too_few_rows(model, tokenizer, thing)
    models.refuse_one_word(tokenizer, thing)
    usable = models.refuse_unusable_causal if causal else models.refuse_unusable
    usable(model, tokenizer, thing)


FEWEST_DOCUMENTS = 10


def _refuse_incomplete(ckpt: Path) -> None:
    refuse_adapter(ckpt)
    if not ckpt.exists():
        do = "a name on a hub, as any model trained elsewhere, goes with --members"
        raise InputError(str(ckpt), "no such folder", "a checkpoint of `mlmguard train`", do)
    if not (ckpt / "config.json").is_file():
        raise InputError(str(ckpt), "no config.json", "a checkpoint folder", "did `mlmguard train` finish?")
    if not folders.has_vocabulary(ckpt):
        raise InputError(
            str(ckpt), "no tokenizer", "tokenizer.json beside the weights", "copy it from the training run"
        )


def _load(ckpt: Path, seed: int, causal: bool = False) -> tuple[Loaded, Tokenizer]:
    """The model, with what is to be told of its weights, and its tokenizer."""
    loaded = models.load(ckpt, causal=causal, seed=seed)
    tokenizer = Tokenizer.load(str(ckpt), causal=causal)
    _refuse_unusable(loaded.model, tokenizer, str(ckpt), causal)
    if causal:
        return loaded, tokenizer
    told = models.padding_of(loaded.model, tokenizer, str(ckpt))
    return loaded._replace(told=(*loaded.told, *told)), tokenizer
