"""``mlmguard drift``: what moved between two checkpoints, or between the text of one and what comes now.

    OLD + NEW + texts ──▶ the same documents shown to both   ──▶ numbers, tests ──▶ drift.json
    CKPT + texts      ──▶ what it learnt from, what comes now ──▶ numbers, tests ──▶ drift.json

No threshold is fixed: a number is judged by documents dealt anew, or by earlier results of the same
comparison. The result holds no text and no token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlmguard import __version__
from mlmguard.artifacts import load_key, weights_digest, write_json
from mlmguard.drift import comparing, earlier, reference
from mlmguard.drift.comparing import Family, Found, Known
from mlmguard.drift.sides import (
    TOKENS,
    Opened,
    Side,
    counts_of,
    described,
    drawn,
    is_cleaned,
    named,
    opened,
    shown,
    tokens_of,
)
from mlmguard.drift.statistics import ratio_interval
from mlmguard.errors import InputError
from mlmguard.leakage.results import measured
from mlmguard.settings import DriftSettings, check
from mlmguard.training.evaluation import unigram_log_probabilities
from mlmguard.training.privacy import seals
from mlmguard.types import SILENT, Drift, Measurement, ModelFacts, Watcher


def drift(
    ckpt: Path,
    new: Path | None = None,
    *,
    texts: Path | None = None,
    against: Path | None = None,
    baseline: Path | None = None,
    reports: Path = Path("reports"),
    settings: DriftSettings | None = None,
    watcher: Watcher = SILENT,
) -> Drift:
    """Compare ``ckpt`` with ``new``, or its text (``against``) with ``texts``; write ``reports/drift.json``.

    Two checkpoints are shown ``texts``, by default documents that neither was trained on. Text of one is by
    default what its own run held out, and counted words are those that it was trained on. ``baseline`` is a
    folder of earlier results that judge this one. Raises :class:`InputError` for whatever cannot be compared.
    """
    settings = settings or DriftSettings()
    check(settings)
    target = reports / "drift.json"
    before = earlier.results(baseline, target) if baseline is not None else []
    if new is not None:
        found = _checkpoints(ckpt, new, texts, settings, watcher)
    elif texts is not None:
        found = _texts(ckpt, texts, against, settings, watcher)
    else:
        raise InputError(str(ckpt), "nothing to compare it with", "a second checkpoint, or --texts")
    if before:
        judged, note = earlier.judged(found, before)
        found = replace(
            found,
            judged_by="earlier results",
            measurements=(*(_by_documents(m) for m in found.measurements), *judged),
            notes=(*found.notes, note),
        )
    found = replace(found, seal=seals.sealed_evidence(found.evidence, load_key()).seal)
    write_json(target, found)
    return found


def _by_documents(m: Measurement) -> Measurement:
    """A p-value by documents under another name, where earlier results judge."""
    return replace(m, metric="p_documents") if m.metric == "p" else m


UNLIKE = (
    "Of what comes now and what it is compared with only one was cleaned: what a scan takes out counts as "
    "movement. Scan the other, and name its clean/."
)


# --- texts --------------------------------------------------------------------------------------------


def _texts(ckpt: Path, texts: Path, against: Path | None, settings: DriftSettings, watcher: Watcher) -> Drift:
    model = opened(ckpt)
    most = settings.documents
    of = reference.of(ckpt, against, settings, watcher)
    coming = of.without_known(named(texts, settings.text_key, watcher, load_key()), str(texts), watcher)
    now, told = drawn(coming, most, _rng(settings, "now")), of.told
    if is_cleaned(texts) != (against is None or is_cleaned(against)):
        told = (*told, UNLIKE)
    known, before, now = shown([of.known, of.before, now], load_key())
    what = f"--against {against}" if against else f"{ckpt}: documents that its run held out"
    known_ids, _ = tokens_of(model.tokenizer, known, what)
    counts = _counted(known_ids, model)
    family = Family(settings.resamples, settings.seed)
    old, new = (
        _side(model, tokens_of(model.tokenizer, side, thing), counts, name, settings, watcher)
        for name, side, thing in (
            (comparing.BEFORE, before, what),
            (comparing.NOW, now, f"--texts {texts}, known text left out"),
        )
    )
    unknown = model.tokenizer.hugging_face.unk_token_id
    heard = Known(counts, model.tokenizer.special_ids, unknown)
    with watcher.stage("compare"):
        found = comparing.texts(old, new, heard, family, head=model.head)
    family.refuse_too_few(found.tests)
    facts, working = _facts(model, old, family)
    documents = {
        comparing.BEFORE: len(old),
        comparing.NOW: len(new),
        "known": len(known_ids),
    }
    origin = "--against" if against else "held out"
    about = {**_about(settings, model), "before": origin}
    return _drift(found, "texts", facts, None, working, documents, about, of.run_id, (*told, *model.told))


def _counted(sequences: list[np.ndarray], model: Opened) -> np.ndarray:
    counts = np.asarray(counts_of(sequences, len(model.tokenizer)).sum(axis=0)).ravel()
    return counts.astype(np.int64)


def _side(
    model: Opened,
    tokens: tuple[list[np.ndarray], list[str]],
    counts: np.ndarray,
    name: str,
    settings: DriftSettings,
    watcher: Watcher,
) -> Side:
    return described(
        model,
        *tokens,
        unigram_log_probabilities(counts),
        _rng(settings, f"windows {name}"),
        lambda done, total: watcher.progress(f"read {name}", done, total),
    )


# --- checkpoints --------------------------------------------------------------------------------------


def _checkpoints(
    old: Path, new: Path, texts: Path | None, settings: DriftSettings, watcher: Watcher
) -> Drift:
    pair = opened(old), opened(new)
    if apart := pair[1].tokenizer.differs_from(str(pair[0].place)):
        do = "what is compared are the answers to the same tokens: take a checkpoint trained on from OLD"
        raise InputError(f"{old} and {new}", f"two tokenizers: {apart}", "one tokenizer", do)
    told: tuple[str, ...] = ()
    if texts is not None:
        rows = named(texts, settings.text_key, watcher, load_key())
    else:
        rows, told = reference.unseen(old, new)
    (sample,) = shown([drawn(rows, settings.documents, _rng(settings, "now"))], load_key())
    what = f"--texts {texts}" if texts else f"{new}: documents that neither run was trained on"
    tokens = tokens_of(pair[0].tokenizer, sample, what)
    counts = _counted(tokens[0], pair[0])
    window = min(one.window for one in pair)
    was, became = (
        _side(replace(one, most=window), tokens, counts, "texts", settings, watcher) for one in pair
    )
    family = Family(settings.resamples, settings.seed)
    with watcher.stage("compare"):
        found = comparing.checkpoints(was, became, pair, family)
    family.refuse_too_few(found.tests)
    facts, working = _facts(pair[1], became, family)
    before, _ = _facts(pair[0], was, family)
    about = {**_about(settings, pair[1]), "window": str(window)}
    documents = {"shown to both": len(was)}
    notes = (*told, *pair[0].told, *pair[1].told)
    run_id = reference.run_id(new)
    return _drift(found, "checkpoints", facts, before, working, documents, about, run_id, notes)


# --- both ---------------------------------------------------------------------------------------------


def _facts(model: Opened, side: Side, family: Family) -> tuple[ModelFacts, Measurement]:
    """What was looked through, and whether it foretells better than word frequencies: one that does not
    says little by its losses and vectors."""
    interval = ratio_interval(side.unigram - side.nats, side.hidden, family.rng("margin"))
    facts = ModelFacts(
        architecture=model.model.config.model_type,
        parameters=sum(one.numel() for one in model.model.parameters()),
        vocabulary=len(model.tokenizer),
        digest=weights_digest(model.place),
        head_loaded=model.head,
        beats_unigram=interval.low > 0,
    )
    return facts, measured("model", "unigram_margin", interval, len(side))


def _about(settings: DriftSettings, model: Opened) -> dict[str, str]:
    """What has to agree where results are compared."""
    return {
        "documents": str(settings.documents),
        "tokens": str(TOKENS),
        "window": str(model.window),
        "tokenizer": model.tokenizer.fingerprint()[:16],
    }


def _drift(
    found: Found,
    compares: str,
    model: ModelFacts,
    earlier_model: ModelFacts | None,
    working: Measurement,
    documents: Mapping[str, int],
    about: Mapping[str, str],
    run_id: str,
    notes: tuple[str, ...],
) -> Drift:
    head = () if model.head_loaded else ("Its head is a random one: how well text is foretold is left out.",)
    return Drift(
        run_id=run_id,
        compares=compares,
        judged_by="documents",
        model=model,
        earlier_model=earlier_model,
        documents=documents,
        settings=about,
        measurements=(working, *found.measurements, *comparing.corrected(found.tests, "p")),
        notes=("Computed from text that may be private and not covered by ε.", *notes, *head),
        tool_version=__version__,
    )


def _rng(settings: DriftSettings, what: str) -> np.random.Generator:
    return np.random.default_rng([settings.seed, *what.encode()])
