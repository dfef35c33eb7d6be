"""Where a run starts from: its tokenizer, and the model before its first step on private text."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlmguard import accounting
from mlmguard.errors import InputError
from mlmguard.loading import folder as folders
from mlmguard.settings import LEARNT_TOKENIZERS, TrainSettings
from mlmguard.train import planning, warm
from mlmguard.train.data import Texts
from mlmguard.train.run import TOKENIZER, Run
from mlmguard.training import checkpoint, models, modes
from mlmguard.training.privacy import releases, seals
from mlmguard.training.privacy.claim import UnitOfPrivacy
from mlmguard.training.recipes import Recipe
from mlmguard.training.text import masking, objectives
from mlmguard.training.text import tokenizer as tokenizers
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import Watcher

# --- the tokenizer ------------------------------------------------------------------------------------


def tokenizer(run: Run, settings: TrainSettings, unit: UnitOfPrivacy, texts: Texts) -> Tokenizer:
    """Public by path or name, the shipped one, or learnt here: from noised counts, or from the text itself.

    Raises :class:`InputError` for one that cannot do what the settings' masking and objective need.
    """
    chosen = _tokenizer(run, settings, unit, texts)
    if settings.add_tokens is not None:
        chosen = chosen.with_words(settings.add_tokens)
    masking.refuse_wordless(planning.masking_of(settings, planning.PLAIN_MASKS), chosen)
    objectives.refuse_unanswerable(settings.objective, chosen)
    return chosen


def _tokenizer(run: Run, settings: TrainSettings, unit: UnitOfPrivacy, texts: Texts) -> Tokenizer:
    name = settings.tokenizer or settings.starts_from
    if name not in LEARNT_TOKENIZERS:
        return Tokenizer.load(name)
    kept = run.folder / TOKENIZER
    if not (kept / "tokenizer.json").exists():  # a resumed run has it, and has paid for it
        if name == "dp":
            learnt = _learn_privately(run, settings, unit, texts)
        else:
            learnt = tokenizers.learn((one.text for one in texts()), tokenizers.PUBLIC_VOCABULARY)
        learnt.save(kept)
    return Tokenizer.load(str(kept))


def _learn_privately(run: Run, settings: TrainSettings, unit: UnitOfPrivacy, texts: Texts) -> Tokenizer:
    """A vocabulary from word counts under noise, charged before anything of it reaches the disk."""
    assert settings.dp_epsilon is not None
    count = len({hash(one.unit) for one in texts()})
    size, spent = planning.public_size(run, settings, count, unit)
    delta = planning.delta_of(settings, size)
    share = settings.tokenizer_epsilon or settings.dp_epsilon / 10
    part = delta / 10  # of δ, for the noise and again for the threshold
    weights, entry = releases.noisy_words(
        _words_by_unit(texts, unit), accounting.noise_multiplier(share, part, 1.0, 1), part
    )
    spent = (*spent, entry)
    run.update(spent=[asdict(one) for one in spent])
    run.charge(unit, delta, spent)
    return tokenizers.learn_from_weights(weights, tokenizers.PUBLIC_VOCABULARY)


def _words_by_unit(texts: Texts, unit: UnitOfPrivacy) -> Iterator[Iterable[str]]:
    """The words of each unit. Only where a unit has several texts must its distinct words be held."""
    if not unit.gathers_rows:
        yield from (tokenizers.words_of(one.text) for one in texts())
        return
    found: dict[str, set[str]] = {}
    for one in texts():
        found.setdefault(one.unit, set()).update(map(sys.intern, tokenizers.words_of(one.text)))
    yield from found.values()


# --- the model ----------------------------------------------------------------------------------------


def named(run: Run, settings: TrainSettings, tokenizer: Tokenizer, watcher: Watcher) -> Any | None:
    """The checkpoint named by ``--init``, None without one; read before anything is spent, to be refused.

    The run notes whose weights they are, for its ledger and its statement.

    Raises :class:`InputError` for weights that are not numbers, that cannot be trained with privacy, are not
    of this tokenizer or have too few positions.
    """
    if run.team.first and "origin" not in run.facts():  # on resume, what it was when they were read first
        run.update(origin=asdict(run.origin(settings.starts_from)))
    if settings.starts_from is None:
        if settings.private and (settings.freeze or settings.lora_targets):  # names that it may not have
            of_its_kind = models.fresh(settings.size, tokenizer, settings.window, 0.0, settings.seed)
            modes.refuse_untrainable(of_its_kind, tokenizer, settings)
        return None
    name = settings.starts_from
    if (Path(name) / "privacy.json").is_file():
        seals.read_statement(Path(name))
    found, _, told = models.load(name, seed=settings.seed)
    for line in told:
        watcher.tell(line)
    if settings.tokenizer is not None:
        _refuse_another(settings.tokenizer, tokenizer, name, watcher)
    models.refuse_too_few_rows(found, tokenizer, settings.tokenizer or name)
    models.add_rows(found, tokenizer.added, settings.seed)
    models.refuse_unusable(found, tokenizer, name)
    padding = models.padding_of(found, tokenizer, name)
    for line in (*padding, *models.full_attention(found, settings.window, name)):
        watcher.tell(line)
    if models.window_of(found) < settings.window:
        raise InputError(
            "--window", str(settings.window), f"at most the model's {models.window_of(found)} positions"
        )
    if settings.private:
        modes.refuse_untrainable(found, tokenizer, settings)
    return found


def _refuse_another(given: str, tokenizer: Tokenizer, name: str, watcher: Watcher) -> None:
    """Raise :class:`InputError` for a tokenizer that reads other words than the model ``name`` knows."""
    if Path(name).is_dir() and not folders.has_vocabulary(Path(name)):
        watcher.tell(
            f"{name} has no tokenizer of its own: that {given} is the one it learnt with is your word"
        )
        return
    apart = tokenizer.differs_from(name)
    if apart:
        raise InputError(
            f"--tokenizer {given}",
            f"not the tokenizer of {name}: {apart}",
            "the one that the model learnt with",
            "leave --tokenizer out",
        )


def model(
    run: Run,
    settings: TrainSettings,
    tokenizer: Tokenizer,
    recipe: Recipe,
    named: Any | None,
    watcher: Watcher,
) -> Any:
    """The model before its first step on private text, kept in the run folder as the audit's reference.

    It is ``named`` where there is one.
    """
    if not run.team.first:
        return models.load(run.folder / "initial")[0]
    found = named
    if settings.init is None:
        found = warm.start(run, settings, tokenizer, recipe, watcher)
    elif found is None:
        found = models.fresh(settings.size, tokenizer, recipe.window, 0.0, settings.seed)
    if not (run.folder / "initial").exists():
        partial = run.folder / "initial.partial"  # a kill here must not leave half a reference
        checkpoint.save_weights(partial, found, tokenizer)
        partial.rename(run.folder / "initial")
    run.ready()
    return found
