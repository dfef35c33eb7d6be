"""The ledger of a run: killed anywhere it never spends more, never repeats noise, and notices damage."""

import json
import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import torch

from mlmguard import accounting, cli
from mlmguard.errors import InputError
from mlmguard.scan import ScanSettings, scan
from mlmguard.train import TrainSettings, train
from mlmguard.training import journal as journals
from mlmguard.training import loop, mechanism
from mlmguard.training.privacy.ledger import CorpusLedger
from mlmguard.training.recipes import Recipe
from mlmguard.training.text import units
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import DpPlan, LedgerEntry, Watcher
from tests.fixtures.models import small
from tests.fixtures.workbench import KEY, damaged
from tests.train.test_units import QUICK, notes

STEPS = 260
PLAN = DpPlan(6.0, 1.0, 0.5, STEPS, 1e-5, "document", 6.0, 0.0)
RECIPE = Recipe(steps=STEPS, batch_units=6, learning_rate=1e-3, warmup_steps=1, window=16)


def run_to_the_end(folder):
    """One training process, writing a digest of every noise vector to disk before it is used."""
    torch.set_num_threads(1)
    journals.SAVE_EVERY_SECONDS = 0.03
    honest = mechanism.gaussian
    log = os.open(folder / "noise.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def logged(*arguments):
        vector = honest(*arguments)
        os.write(log, (sha256(vector.numpy().tobytes()).hexdigest() + "\n").encode())
        return vector

    mechanism.gaussian = logged
    tokenizer = Tokenizer.load(None)
    model = small(tokenizer, 16, hidden=8, heads=1)
    rng = np.random.default_rng(0)
    corpus = [units.Unit(f"u{k}", (rng.integers(10, len(tokenizer), 12),)) for k in range(12)]
    loop.train(model, corpus, tokenizer, RECIPE, journals.Journal(folder, PLAN), PLAN)


def charged(folder):
    path = folder / "ledger.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


@pytest.mark.slow
def test_twenty_kills_at_random_moments_spend_no_more_and_repeat_no_noise(tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    rng = np.random.default_rng()
    kills = 0
    while kills < 20:
        process = context.Process(target=run_to_the_end, args=(tmp_path,))
        before = charged(tmp_path)
        process.start()
        while charged(tmp_path) == before and process.is_alive():
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.06))  # some ten steps: within a step, a save, or between
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run ended before it had been killed often enough"
        kills += 1
    last = context.Process(target=run_to_the_end, args=(tmp_path,))
    last.start()
    last.join()
    assert last.exitcode == 0

    journal = journals.Journal(tmp_path, PLAN)
    (entry,) = journal.entries()
    target = accounting.epsilon(PLAN.noise_multiplier, PLAN.sample_rate, STEPS, PLAN.delta)
    assert entry.steps == STEPS
    assert accounting.compose([entry], PLAN.delta) <= target
    digests = (tmp_path / "noise.log").read_text().split()
    assert len(digests) > STEPS and len(set(digests)) == len(digests)
    assert not list(tmp_path.glob("*.pt")) and not list(tmp_path.glob("*.pkl"))


# --- damage -------------------------------------------------------------------------------------------


@pytest.fixture
def four_steps(tmp_path):
    journal = journals.Journal(tmp_path, PLAN)
    for step in range(4):
        journal.charge(step, 5 + step)
    return tmp_path


def test_a_ledger_line_cut_short_by_a_power_cut_still_counts(four_steps):
    path = four_steps / "ledger.jsonl"
    path.write_text(path.read_text()[:-40])
    journal = journals.Journal(four_steps, PLAN)
    assert journal.charged == 4 and journal.drawn == [5, 6, 7]
    journal.charge(4, 9)
    again = journals.Journal(four_steps, PLAN)
    assert again.charged == 5 and again.drawn == [5, 6, 7, 9]
    assert again.entries()[0].steps == 5


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace('"drawn": 6', '"drawn": 2'),
        lambda text: "".join(text.splitlines(keepends=True)[1:]),
        lambda text: text.splitlines(keepends=True)[0] + text,
    ],
    ids=["edited", "first line gone", "line repeated"],
)
def test_a_damaged_ledger_is_refused_by_name(four_steps, damage):
    path = four_steps / "ledger.jsonl"
    path.write_text(damage(path.read_text()))
    with pytest.raises(InputError, match=r"ledger\.jsonl") as refused:
        journals.Journal(four_steps, PLAN)
    assert refused.value.exit_code == 2


def test_a_ledger_of_another_plan_is_refused(four_steps):
    other = DpPlan(1.0, 1.0, 0.5, STEPS, 1e-5, "document", 6.0, 0.0)
    with pytest.raises(InputError, match="digest"):
        journals.Journal(four_steps, other)


def test_a_ledger_shorter_than_the_saved_state_is_refused(four_steps):
    model = torch.nn.Linear(2, 2)
    journal = journals.Journal(four_steps, PLAN)
    journal.save(model, torch.optim.AdamW(model.parameters()), 4)
    assert journals.Journal(four_steps, PLAN).charged == 4
    path = four_steps / "ledger.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(InputError, match="2 steps"):
        journals.Journal(four_steps, PLAN)


# --- the ledger of a corpus ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared_corpus(tmp_path_factory):
    """A plain run, an abandoned private one, and two finished private ones, the last on another scan."""
    folder = tmp_path_factory.mktemp("shared")
    notes(folder / "corpus")
    runs = folder / ".mlmguard" / "runs"

    def scanned(name, **settings):
        settings = ScanSettings(workers=1, **settings)
        scan(
            folder / "corpus",
            folder / name,
            folder / "reports",
            key=KEY,
            settings=settings,
            runs=runs,
            overwrite=True,
        )

    def trained(clean, stop=bool, **changes):
        settings = TrainSettings(**{**vars(QUICK), **changes})
        return train(
            folder / clean,
            folder / "ckpt",
            folder / "reports",
            settings,
            runs=runs,
            overwrite=True,
            watcher=Watcher(stop=stop),
        )

    scanned("clean")
    plain = trained("clean", dp_epsilon=None, steps=2)
    with pytest.raises(loop.Interrupted):
        trained("clean", stop=lambda: True, dp_epsilon=3.0)
    first = trained("clean", dp_epsilon=4.0)
    scanned("clean-again", threshold=0.6)
    second = trained("clean-again", dp_epsilon=5.0)
    return folder, plain.statement, first.statement, second.statement


def test_a_statement_composes_every_private_run_on_its_corpus(shared_corpus):
    *_, first, second = shared_corpus
    kinds = [(release.private, release.status) for release in second.corpus_releases]
    assert kinds == [(False, "finished"), (True, "unfinished"), (True, "finished")]
    abandoned = second.corpus_releases[1]
    assert 0 < abandoned.epsilon < 3  # one of three steps was charged
    assert second.corpus_epsilon > max(first.corpus_epsilon, second.epsilon) > 4
    assert second.corpus_epsilon <= first.epsilon + second.epsilon + abandoned.epsilon + 0.01


def test_releases_that_void_a_claim_are_named(shared_corpus):
    _, plain, _, second = shared_corpus
    hazards = {hazard.id: hazard for hazard in second.hazards}
    assert hazards["non-private-releases"].status == "present"
    assert plain.run_id in hazards["non-private-releases"].detail
    assert hazards["tuning"].status == "present" and "2 more private runs" in hazards["tuning"].detail


def test_the_command_shows_all_runs_and_what_they_cost_together(
    shared_corpus, capsys, monkeypatch, state_of_the_module
):
    folder, plain, _, second = shared_corpus
    monkeypatch.setenv("MLMGUARD_STATE", str(state_of_the_module))
    assert cli.run(["ledger", "--runs", str(folder / ".mlmguard" / "runs"), "--json"]) == 0
    (corpus,) = json.loads(capsys.readouterr().out)
    assert corpus["runs"][0]["run_id"] == plain.run_id and len(corpus["runs"]) == 4
    assert corpus["epsilon"] == pytest.approx(second.corpus_epsilon, abs=1e-6)
    assert cli.run(["ledger", "--runs", str(folder / ".mlmguard" / "runs")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "NOT private" in shown and "not finished" in shown and "void" in shown


@pytest.mark.parametrize("old", [True, False], ids=["where earlier versions kept it", "in the state folder"])
def test_a_damaged_corpus_ledger_stops_every_command_that_reads_it(
    shared_corpus, tmp_path, capsys, state_of_the_module, own_state, old
):
    assert cli.run(["ledger", "--runs", str(tmp_path / "nothing")]) == 2
    assert "MLMGUARD_STATE" in capsys.readouterr().err
    text = (state_of_the_module / "ledger.jsonl").read_text()
    place = tmp_path if old else own_state
    (place / "ledger.jsonl").write_text("".join(text.splitlines(keepends=True)[1:]))
    assert cli.run(["ledger", "--runs", str(tmp_path)]) == 2
    assert "digest" in capsys.readouterr().err


def test_a_run_whose_folder_is_gone_counts_with_all_it_had_planned(tmp_path):
    ledger = CorpusLedger(tmp_path)
    steps = LedgerEntry("poisson-gaussian", 2.0, 0.1, 50)
    common = {"corpus": "c", "raw": "", "private": True, "unit": "document", "delta": 1e-5}
    ledger.start("train-a", planned=[steps], **common)
    ledger.start("train-b", planned=[steps], **common)
    _, (other,) = ledger.on_corpus_of("train-b")
    assert other.entries == (steps,) and not other.finished


def test_an_edited_statement_is_refused(shared_corpus):
    _, _, first, _ = shared_corpus
    accounting.refuse_edited(first, "privacy.json")
    edited = replace(first, ledger=(), epsilon=0.1)
    with pytest.raises(InputError, match="does not match its digest") as refused:
        accounting.refuse_edited(edited, "privacy.json")
    assert refused.value.exit_code == 2


def test_edited_checkpoints_are_refused_by_every_command_that_reads_one(
    shared_corpus, tmp_path, capsys, monkeypatch
):
    folder = shared_corpus[0]
    monkeypatch.chdir(folder)
    copy = tmp_path / "ckpt"
    shutil.copytree(folder / "ckpt", copy)
    damaged(copy / "privacy.json", steps_applied=1)
    for command in (["audit", str(copy)], ["train", "clean", "--init", str(copy), "--ckpt", "new"]):
        assert cli.run(command) == 2
        assert "does not match its digest" in capsys.readouterr().err


def test_a_run_that_the_corpus_ledger_has_lost_is_not_composed_away(tmp_path):
    with pytest.raises(InputError, match="does not know train-a"):
        CorpusLedger(tmp_path).on_corpus_of("train-a")
