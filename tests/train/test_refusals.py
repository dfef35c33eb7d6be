"""Refused, broken or interrupted before its first step, a run leaves what it spent and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mlmguard.artifacts import read_json
from mlmguard.errors import CannotGoOn, InputError
from mlmguard.settings import TrainSettings
from mlmguard.train import train
from mlmguard.training import checkpoint, models
from mlmguard.training.loop import Interrupted
from mlmguard.training.privacy import releases
from mlmguard.training.privacy.ledger import CorpusLedger
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import Watcher
from tests.fixtures.places import scanned
from tests.training.test_encoders import built

PRIVATE = TrainSettings(
    init="scratch",
    size="nano",
    dp_epsilon=1,
    steps=2,
    canaries=4,
    public_size=600,
    batch_units=300,
    window=32,
)
COUNTED = replace(PRIVATE, public_size=None, batch_units=None)
PLAIN = replace(PRIVATE, dp_epsilon=None, public_size=None, batch_units=8)
LEARNT = replace(COUNTED, tokenizer="dp")
ERRORS = (RuntimeError, MemoryError, KeyboardInterrupt, OSError)


@pytest.fixture(autouse=True)
def counted_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """The count is charged and comes out right: noise would leave too few of sixty in one run of seven."""
    noised = releases.noisy_count
    monkeypatch.setattr(releases, "noisy_count", lambda count: (count, noised(count)[1]))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scanned(tmp_path_factory.mktemp("place"), rows=60)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound model of the shipped tokenizer with 32 positions."""
    tokenizer = Tokenizer.load(None)
    folder = tmp_path_factory.mktemp("start") / "model"
    checkpoint.save_weights(folder, models.fresh("nano", tokenizer, 32, 0.0, 1), tokenizer)
    return folder


@pytest.fixture(autouse=True)
def known_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The noised count is that of a fixed seed: enough units, and one search for σ for all tests."""
    monkeypatch.setattr("mlmguard.training.privacy.releases.private_rng", lambda: np.random.default_rng(4))


def trained(place: Path, out: Path, settings: TrainSettings, **more: object) -> object:
    places = place / "clean", out / "ckpt", out / "reports"
    return train(*places, settings, runs=out / "runs", overwrite=True, **more)  # type: ignore[arg-type]


def left_of(out: Path, settings: TrainSettings) -> list[str]:
    """Check that nothing stays but what was spent; return what that is."""
    folders = list((out / "runs").glob("train-*"))
    entered = CorpusLedger(out / "runs").read()
    assert not (out / "ckpt").exists() and not (out / "reports").exists()
    if not folders:
        assert entered == []
        return []
    (folder,), (run,) = folders, entered
    known = read_json(folder / "run.json")
    assert {path.name for path in folder.iterdir()} <= {"run.json", "tokenizer"}
    assert not {"plan", "recipe", "entered", "guesses"} & set(known)
    assert [entry["what"] for entry in known["spent"]] == [entry.what for entry in run.entries]
    assert not run.finished and run.run_id == folder.name
    assert (folder / "tokenizer").exists() == (len(run.entries) == 2)
    return [entry.what for entry in run.entries]


STAGES = (
    "mlmguard.train.run._describe",
    "mlmguard.train.run.Run.planted",
    "mlmguard.train.data.texts",
    "mlmguard.train.initial._tokenizer",
    "mlmguard.train.initial.tokenizer",
    "mlmguard.train.initial.named",
    "mlmguard.training.text.tokens._write",
    "mlmguard.train.data.tokenised",
    "mlmguard.train.planning.private_plan",
    "mlmguard.train.planning.private_recipe",
    "mlmguard.train.planning.plan",
    "mlmguard.training.models.fresh",
    "mlmguard.training.checkpoint.save_weights",
    "mlmguard.train.initial.model",
    "mlmguard.train.planning.mode",
    "mlmguard.training.adapt.adapt",
    "mlmguard.training.modes.refuse_unclippable",
    "mlmguard.training.modes.self_check",
    "mlmguard.training.modes.Private.prepare_mode",
    "mlmguard.train.data.held_out",
    "mlmguard.train.run.Run.charge",
    "mlmguard.train.run.Run.enter",
    "mlmguard.train.run.Trackers",
    "mlmguard.training.journal.Journal.__init__",
    "mlmguard.training.modes.Private.running",
    "mlmguard.training.mechanism.poisson_draw",
)


def breaks(monkeypatch: pytest.MonkeyPatch, stage: str, error: type[BaseException], first: bool) -> None:
    """Let ``stage`` raise, before it has done its work or after."""
    place, _, name = stage.rpartition(".")
    owner = pytest.importorskip(place) if not place[place.rfind(".") + 1].isupper() else None
    if owner is None:
        module, _, cls = place.rpartition(".")
        owner = getattr(pytest.importorskip(module), cls)
    honest = getattr(owner, name)

    def broken(*args: object, **kwargs: object) -> object:
        if not first:
            honest(*args, **kwargs)
        raise error("the machine broke here")

    monkeypatch.setattr(owner, name, broken)


@pytest.mark.parametrize("number, stage", enumerate(STAGES), ids=STAGES)
@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("settings", [PRIVATE, COUNTED], ids=["public size", "counted"])
def test_a_run_that_breaks_before_its_first_step_leaves_what_it_spent(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, stage: str, first: bool,
    settings: TrainSettings,
) -> None:  # fmt: skip
    error = ERRORS[(number + first) % len(ERRORS)]
    breaks(monkeypatch, stage, error, first)
    with pytest.raises(error):
        trained(place, tmp_path, settings)
    told = (
        STAGES.index("mlmguard.train.planning.private_plan") <= number
    )  # what was noised and not told is not
    if (stage.endswith("planning.plan") and first) or stage.endswith("Run.charge"):
        told = False
    assert left_of(tmp_path, settings) == (["number of units"] if told and settings is COUNTED else [])


@pytest.mark.parametrize("stage", STAGES[6:8] + STAGES[10:11] + STAGES[17:18] + STAGES[21:22])
def test_a_tokenizer_that_was_paid_for_stays_with_its_bill(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    with monkeypatch.context() as patch:
        breaks(patch, stage, RuntimeError, first=False)
        with pytest.raises(RuntimeError):
            trained(place, tmp_path, LEARNT)
    assert left_of(tmp_path, LEARNT) == ["number of units", "vocabulary from word counts"]


def test_after_a_crash_the_same_command_goes_on_with_the_count_it_has_paid_for(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        breaks(patch, "mlmguard.train.run.Run.enter", KeyboardInterrupt, first=False)
        with pytest.raises(KeyboardInterrupt):
            trained(place, tmp_path, COUNTED)
    assert left_of(tmp_path, COUNTED) == ["number of units"]
    trained(place, tmp_path, COUNTED)
    (run,) = CorpusLedger(tmp_path / "runs").read()
    assert [entry.what for entry in run.entries] == ["number of units", "training"] and run.finished


@pytest.mark.parametrize("stage", [STAGES[1], STAGES[7], STAGES[13], STAGES[19], STAGES[21], STAGES[23]])
def test_a_plain_run_leaves_nothing_either(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    breaks(monkeypatch, stage, MemoryError, first=False)
    with pytest.raises(MemoryError):
        trained(place, tmp_path, PLAIN)
    assert left_of(tmp_path, PLAIN) == []


def test_a_plain_run_that_is_done_again_and_breaks_leaves_the_earlier_one_as_it_was(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(place, tmp_path, PLAIN)
    (run,) = CorpusLedger(tmp_path / "runs").read()

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}

    before = files()
    with monkeypatch.context() as patch:
        breaks(patch, "mlmguard.training.journal.Journal.__init__", MemoryError, first=True)
        with pytest.raises(MemoryError):
            trained(place, tmp_path, PLAIN)
    assert files() == before and CorpusLedger(tmp_path / "runs").read() == [run]
    trained(place, tmp_path, PLAIN)
    assert set(files()) == set(before)


# --- what is found late -------------------------------------------------------------------------------


def edited(start: Path, folder: Path, change: Callable[[models.nn.Module], None]) -> str:
    tokenizer = Tokenizer.load(str(start))
    model = models.load(start)[0]
    with torch.no_grad():
        change(model)
    checkpoint.save_weights(folder / "edited", model, tokenizer)
    return str(folder / "edited")


def set_weight(value: float) -> Callable[[models.nn.Module], None]:
    def change(model: models.nn.Module) -> None:
        next(model.parameters())[3, 5] = value

    return change


@pytest.mark.parametrize("settings", [PRIVATE, COUNTED, PLAIN], ids=["public size", "counted", "plain"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_refused_before_anything_is_counted(
    place: Path, start: Path, tmp_path: Path, value: float, settings: TrainSettings
) -> None:
    init = edited(start, tmp_path, set_weight(value))
    with pytest.raises(InputError, match=r"weights of .* are not finite") as refused:
        trained(place, tmp_path, replace(settings, init=init))
    assert refused.value.exit_code == 2 and "\n" not in str(refused.value)
    assert left_of(tmp_path, settings) == []


def swap_entries(folder: Path) -> None:
    told = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = told["model"]["vocab"]
    names = sorted(vocabulary, key=vocabulary.get)
    told["model"]["vocab"] = dict(zip([*names[:5], *names[:4:-1]], range(len(names))))
    (folder / "tokenizer.json").write_text(json.dumps(told))


def claim_of_another(folder: Path) -> None:
    (folder / "privacy.json").write_text('{"run_id": "train-1"}')


FOLDERS: dict[str, Callable[[Path], object]] = {
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "half of the weights": lambda folder: (folder / "model.safetensors").write_bytes(b"12345678"),
    "no configuration": lambda folder: (folder / "config.json").unlink(),
    "no tokenizer": lambda folder: (folder / "tokenizer.json").unlink(),
    "a claim that is none": claim_of_another,
}


@pytest.mark.parametrize("damage", FOLDERS)
def test_an_initial_folder_that_is_damaged_leaves_nothing(
    place: Path, start: Path, tmp_path: Path, damage: str
) -> None:
    copy = shutil.copytree(start, tmp_path / "start")
    FOLDERS[damage](copy)
    with pytest.raises(InputError):
        trained(place, tmp_path, replace(COUNTED, init=str(copy)))
    assert left_of(tmp_path, COUNTED) == []


def test_another_tokenizer_and_too_long_a_window_are_refused_before_anything_is_counted(
    place: Path, start: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(start, tmp_path / "other")
    swap_entries(other)
    late = (
        ({"tokenizer": str(other)}, "not the tokenizer of"),
        ({"window": 64}, "--window: 64"),
    )
    for change, said in late:
        with pytest.raises(InputError, match=said):
            trained(place, tmp_path, replace(COUNTED, init=str(start), **change))
        assert left_of(tmp_path, COUNTED) == []


@pytest.mark.parametrize(
    "settings, spent",
    [
        (replace(COUNTED, delta=0.5), ["number of units"]),
        (replace(COUNTED, dp_epsilon=0.2), ["number of units"]),
        (replace(COUNTED, dp_epsilon=0.05), []),
        (replace(PRIVATE, public_size=5, batch_units=5), []),
        (replace(PRIVATE, dp_epsilon=0.01), []),
        (replace(PRIVATE, delta=0.01), []),
    ],
)
def test_what_planning_finds_out_leaves_what_was_told(
    place: Path, tmp_path: Path, settings: TrainSettings, spent: list[str]
) -> None:
    with pytest.raises(InputError):
        trained(place, tmp_path, settings)
    assert left_of(tmp_path, settings) == spent


def test_a_model_that_mixes_records_is_refused_before_anything_is_counted(
    place: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = models.load

    def mixing(path: object, **options: int) -> object:
        loaded = honest(path, **options)  # type: ignore[arg-type]
        loaded.model.mixer = torch.nn.BatchNorm1d(4)
        return loaded

    monkeypatch.setattr(models, "load", mixing)
    with pytest.raises(InputError, match="mixes records"):
        trained(place, tmp_path, replace(COUNTED, init=str(start)))
    assert left_of(tmp_path, COUNTED) == []


UNTRAINABLE: dict[str, tuple[dict[str, object], str]] = {
    "a pattern that freezes nothing": ({"freeze": ("nosuch*",)}, "--freeze nosuch"),
    "patterns that freeze all": ({"freeze": ("*",)}, "nothing is left to train"),
    "no layer for low-rank updates": ({"adapt": "lora", "lora_targets": ("nosuch*",)}, "--lora-targets"),
}


@pytest.mark.parametrize("fault", UNTRAINABLE)
@pytest.mark.parametrize("named", [True, False], ids=["named", "scratch"])
def test_what_cannot_be_trained_is_refused_before_anything_is_counted(
    place: Path, start: Path, tmp_path: Path, fault: str, named: bool
) -> None:
    change, said = UNTRAINABLE[fault]
    settings = replace(COUNTED, init=str(start) if named else "scratch", **change)
    with pytest.raises(InputError, match=said):
        trained(place, tmp_path, settings)
    assert left_of(tmp_path, settings) == []


@pytest.mark.parametrize("model_type", ["ibert", "longformer", "deberta", "squeezebert", "bart"])
def test_an_engine_that_is_not_exact_is_refused_before_anything_is_counted(
    place: Path, tmp_path: Path, model_type: str
) -> None:
    tokenizer = Tokenizer.load(None)
    _, model = built(model_type)
    checkpoint.save_weights(tmp_path / "start", model, tokenizer)
    settings = replace(COUNTED, init=str(tmp_path / "start"), engine="one-pass")
    with pytest.raises(InputError, match="--dp-engine opacus"):
        trained(place, tmp_path, settings)
    assert left_of(tmp_path, settings) == []


def test_canaries_that_are_not_there_leave_nothing(place: Path, tmp_path: Path) -> None:
    with pytest.raises((InputError, OSError)):
        trained(place, tmp_path, COUNTED, planted=tmp_path / "none.jsonl")
    assert left_of(tmp_path, COUNTED) == []


# --- after the first step -----------------------------------------------------------------------------


def test_a_crash_after_a_step_keeps_what_is_needed_to_go_on(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        breaks(patch, "mlmguard.training.mechanism.noisy_mean", MemoryError, first=True)
        with pytest.raises(MemoryError):
            trained(place, tmp_path, PRIVATE)
    (run,) = CorpusLedger(tmp_path / "runs").read()
    assert [entry.steps for entry in run.entries] == [1]
    (folder,) = (tmp_path / "runs").glob("train-*")
    assert {"tokens", "canaries.jsonl", "initial", "ledger.jsonl", "run.json"} <= {
        p.name for p in folder.iterdir()
    }
    result = trained(place, tmp_path, PRIVATE)
    assert result.statement.run_id == run.run_id and result.statement.steps_applied == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("which", ["words", "as many other words", "weights", "tokenizer"])
@pytest.mark.parametrize("settings", [PRIVATE, PLAIN], ids=["private", "plain"])
def test_a_run_does_not_go_on_with_other_words_or_weights_than_it_began_with(
    place: Path, start: Path, tmp_path: Path, which: str, settings: TrainSettings
) -> None:
    init, words = Path(shutil.copytree(start, tmp_path / "start")), tmp_path / "words.txt"
    words.write_text("zorbulin\nquexafen\n")
    settings = replace(settings, init=str(init), add_tokens=str(words), tokenizer=str(start))
    if which == "tokenizer":
        settings = replace(settings, init="scratch", add_tokens=None, tokenizer=str(init))
    with pytest.raises(Interrupted):
        trained(place, tmp_path, settings, watcher=Watcher(stop=lambda: True))
    changed = {"weights": init / "model.safetensors", "tokenizer": init / "tokenizer.json"}.get(which, words)
    before = changed.read_bytes()
    if which == "weights":
        tokenizer = Tokenizer.load(None)
        checkpoint.save_weights(init, models.fresh("nano", tokenizer, 32, 0.0, 2), tokenizer)
    elif which == "tokenizer":
        swap_entries(init)
    else:
        words.write_text("zorbulin\n" + "vantiplex\n" * (which != "words"))
    other = trained(place, tmp_path, settings)
    changed.write_bytes(before)
    first, second = CorpusLedger(tmp_path / "runs").read()
    assert other.statement.run_id == second.run_id != first.run_id and not first.finished  # type: ignore[attr-defined]
    assert trained(place, tmp_path, settings).statement.run_id == first.run_id  # type: ignore[attr-defined]


def test_a_step_that_learns_from_nobody_ends_the_run_instead_of_releasing_noise(
    place: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finite weights whose answers overflow: all units are dropped, on which the self-check agrees.

    Such a start is refused by its answers; others may come to it on their way.
    """
    monkeypatch.setattr(models, "_refuse_no_numbers", lambda answers, thing: None)
    init = edited(start, tmp_path, lambda model: [p.mul_(1e30) for p in model.parameters()] and None)
    with pytest.raises(CannotGoOn, match="an error of the run, which releases nothing") as broke:
        trained(place, tmp_path, replace(PRIVATE, init=init))
    assert broke.value.exit_code == 1 and "\n" not in str(broke.value)
    assert not (tmp_path / "ckpt").exists()
    (run,) = CorpusLedger(tmp_path / "runs").read()
    assert [entry.steps for entry in run.entries] == [1] and not run.finished
    (folder,) = (tmp_path / "runs").glob("train-*")
    assert {path.name for path in folder.iterdir()} == {"run.json", "ledger.jsonl"}
    assert read_json(folder / "run.json")["status"] == "failed"
    with pytest.raises(CannotGoOn):  # another run: this one does not go on
        trained(place, tmp_path, replace(PRIVATE, init=init))
    assert len(CorpusLedger(tmp_path / "runs").read()) == 2


def test_one_unit_without_a_finite_gradient_does_not_end_a_run() -> None:
    from tests.train import test_units

    model = models.fresh("nano", Tokenizer.load(None), 32, 0.0, 0)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight[777] = 1e38
    rng = np.random.default_rng(0)
    sound = [test_units.units.Unit(f"u{k}", (rng.integers(10, 700, 20),)) for k in range(4)]
    worst = test_units.units.Unit("worst", (np.full(20, 777),))
    assert bool(test_units.noiseless_sum(model, [*sound, worst], rng).isfinite().all())
    with pytest.raises(CannotGoOn):
        test_units.noiseless_sum(model, [worst], rng)


def test_an_interruption_between_steps_is_no_refusal(place: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        trained(place, tmp_path, PRIVATE, watcher=Watcher(stop=lambda: True))
    (folder,) = (tmp_path / "runs").glob("train-*")
    assert (folder / "state.json").exists() and (folder / "tokens").exists()
