"""One audit on several processes: the same bytes, whoever is lost, and nothing left behind."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mlmguard.audit import Foreign, Ours, audit, together
from mlmguard.engine import LocalEngine
from mlmguard.train import TrainSettings
from mlmguard.types import SILENT, Watcher
from tests.fixtures.workbench import QUICK, Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("together"))


@pytest.fixture(scope="module")
def plain(bench):
    return bench.train("plain", TrainSettings(init="scratch", steps=40, canaries=40))


@pytest.fixture
def for_few(monkeypatch):
    """Several processes for corpora as small as those of tests."""
    monkeypatch.setattr(together, "FEWEST", 1)


def audited(bench, plain, workers, source=None, watcher=SILENT):
    """The bytes that an audit of so many processes writes."""
    reports = bench.folder / f"reports-{workers}"
    settings = replace(QUICK, workers=workers)
    audit(plain, reports, settings, source=source or Ours(runs=bench.runs), watcher=watcher)
    return (reports / "audit.json").read_bytes()


def left_behind(bench, plain):
    return [path.name for path in bench.run_of(plain).iterdir() if "mlmguard-" in path.name]


@pytest.mark.slow
def test_any_number_of_processes_writes_the_same_bytes(bench, plain, for_few):
    alone = audited(bench, plain, 1)
    stages = []
    shared = audited(bench, plain, 3, watcher=Watcher(lambda stage, done, total: stages.append(stage)))
    assert shared == alone
    attacks = {run["attack"] for run in json.loads(alone)["attacks"] if run["status"] == "run"}
    assert not attacks <= set(stages)  # others ran some of them
    assert not left_behind(bench, plain) and not list(bench.run_of(plain).glob("audit-*"))


@pytest.mark.slow
def test_the_same_of_another_tools_checkpoint(bench, plain, tmp_path, for_few):
    from tests.audit.test_audit import as_another_tool_would_leave_it

    folder, members, others = as_another_tool_would_leave_it(bench, plain, "foreign")
    source = Foreign(members, others)
    assert audited(bench, folder, 2, source) == audited(bench, folder, 1, source)


@pytest.mark.slow
def test_a_process_that_is_lost_costs_no_result(bench, plain, for_few, monkeypatch):
    alone = audited(bench, plain, 1)
    monkeypatch.setattr(together.Share, "__reduce__", lambda self: (Lost, (self.taken,)))
    assert audited(bench, plain, 2) == alone


class Lost:
    """Takes two attacks and is killed, as by a system out of memory."""

    def __init__(self, taken: Path) -> None:
        self.taken = taken

    def __call__(self, number: int) -> None:
        for name in ("pii", "values"):
            (self.taken / name).touch()
        os.kill(os.getpid(), signal.SIGKILL)


class Slow:
    """Says that it began and works for ever, but for a word to end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, number: int) -> None:
        (self.folder / f"began {number}").touch()
        try:
            time.sleep(600)
        finally:
            (self.folder / f"ended {number}").touch()


def test_an_error_ends_those_beside_and_they_clear_up(tmp_path):
    """What Ctrl-C does."""
    with pytest.raises(KeyboardInterrupt), LocalEngine(3).beside(Slow(tmp_path), [1, 2]):
        while len(list(tmp_path.glob("began*"))) < 2:
            time.sleep(0.05)
        raise KeyboardInterrupt
    assert len(list(tmp_path.glob("ended*"))) == 2


def test_one_process_where_more_would_not_do_the_same(bench, plain, for_few):
    audited = together.checkpoint.read(plain, Ours(runs=bench.runs))
    ours, two = Ours(), replace(QUICK, workers=2)
    assert together._processes(audited, together.workers(ours, two)) == 2
    assert together._processes(audited, together.workers(ours, replace(two, minutes=5.0))) == 1
    assert together._processes(audited, together.workers(ours, replace(two, queries=5))) == 1
    assert together._processes(audited, together.workers(Foreign(Path("m"), secrets=Path("-")), two)) == 1
    assert together._processes(audited, together.workers(Foreign(Path("m"), secrets=Path("s")), two)) == 2


def test_few_documents_are_attacked_by_one_process(bench, plain):
    audited = together.checkpoint.read(plain, Ours(runs=bench.runs))
    assert len(audited.members) < together.FEWEST
    assert together._processes(audited, together.workers(Ours(), replace(QUICK, workers=2))) == 1
