"""Two processes train as one: one draw, disjoint work, noise once, equal parameters."""

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mlmguard.artifacts import read_noun
from mlmguard.training import distributed, journal, loop, mechanism
from mlmguard.training.recipes import Recipe
from mlmguard.training.text import units
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import DpPlan, PrivacyStatement
from tests.fixtures.models import small
from tests.train.test_units import scanned

STEPS = 12
RECIPE = Recipe(STEPS, 20, 0.05, 1, 32, weight_decay=0.0)


def seeded(seed):
    mechanism.private_rng = lambda: np.random.default_rng(seed)


def sgd(groups, lr, betas):
    return torch.optim.SGD(groups, lr=lr)


def train(rank, size, folder, noise_multiplier, rate):
    """One process of ``size``; what it ends with goes to ``folder``."""
    torch.set_num_threads(1)
    if size > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    seeded(7 + rank)  # each process has entropy of its own: only the first one's may count
    torch.optim.AdamW = sgd
    tokenizer = Tokenizer.load(None)
    model = small(tokenizer)
    rng = np.random.default_rng(0)
    corpus = [units.Unit(f"u{k}", (rng.integers(10, len(tokenizer), 8 + k % 20),)) for k in range(40)]
    plan = DpPlan(noise_multiplier, 1.0, rate, STEPS, 1e-5, "document", 20.0, 8.0)
    sums = []
    honest = mechanism.noisy_mean

    def noted(summed, *others):
        sums.append(summed.flatten().clone())
        return honest(summed, *others)

    mechanism.noisy_mean = noted
    book = journal.Journal(folder, plan, writes=rank == 0)
    team = distributed.Team(rank, size)
    loop.train(model, corpus, tokenizer, RECIPE, book, plan, team=team)
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    # over the whole vector: key biases have gradients that are zero up to rounding
    parameters = len(list(model.parameters()))
    sums = [torch.cat(sums[k : k + parameters]) for k in range(0, len(sums), parameters)]
    torch.save((flat, sums, book.drawn), folder / f"{size}-{rank}.pt")
    if size > 1:
        dist.destroy_process_group()


def together(folder, size, noise_multiplier=0.0, rate=0.5):
    folder.mkdir(parents=True)
    mp.spawn(train, args=(size, folder, noise_multiplier, rate), nprocs=size)
    return [torch.load(folder / f"{size}-{rank}.pt") for rank in range(size)]


def test_two_processes_come_to_the_sums_and_parameters_of_one(tmp_path):
    ((alone, sums, drawn),) = together(tmp_path / "one", 1)
    (first, shared, drawn_by_first), (second, unshared, drawn_by_second) = together(tmp_path / "two", 2)
    assert drawn == drawn_by_first == drawn_by_second and len(drawn) == STEPS
    assert not unshared  # noise is added once, by the first
    assert len(sums) == len(shared) == STEPS
    for ours, theirs in zip(shared, sums):
        assert float((ours - theirs).norm() / theirs.norm()) < 1e-6
    assert torch.equal(first, second)
    assert float((first - alone).norm() / alone.norm()) < 1e-5
    lines = (tmp_path / "two" / "ledger.jsonl").read_text().splitlines()
    assert [json.loads(line.split("\t")[0])["step"] for line in lines] == list(range(STEPS))


def test_ranks_stay_equal_under_noise_and_through_empty_draws(tmp_path):
    (first, _, drawn), (second, _, _) = together(tmp_path / "two", 2, noise_multiplier=1.0, rate=0.03)
    assert 0 in drawn  # nobody drawn, or nobody on one rank, and all go on
    assert torch.equal(first, second) and bool(first.isfinite().all())


@pytest.mark.slow
def test_torchrun_trains_one_checkpoint_under_one_ledger(tmp_path):
    folder = scanned(tmp_path)
    arguments = (
        "train --dp-epsilon 8 --public-size 600 --batch-units 300 --steps 4 --canaries 4 --init scratch"
    )
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, "-m", "mlmguard", *arguments.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("ε = ") == 1  # one process talks
    statement = read_noun(folder / "ckpt" / "privacy.json", PrivacyStatement)
    assert statement.steps_applied == statement.ledger[-1].steps == 4
    assert len(list((folder / ".mlmguard" / "runs").glob("train-*"))) == 1


def test_the_shares_of_a_draw_are_disjoint_and_whole():
    for size in (1, 2, 3, 8):
        for count in (0, 1, 7, 24):
            shares = [list(distributed.Team(rank, size).share(range(count))) for rank in range(size)]
            assert sorted(itertools.chain(*shares)) == list(range(count))


def test_the_draw_of_a_team_has_the_variance_of_one_sampler():
    """The team draws once; two local draws of half the rate, say, would not add up to this."""
    rng = np.random.default_rng(3)
    sizes = [len(units.poisson_draw(400, 0.2, rng)) for _ in range(3000)]
    check = mechanism.check_sampler(sizes, 400, 0.2)
    assert check.agrees and check.variance_ratio == pytest.approx(1, abs=0.12)
