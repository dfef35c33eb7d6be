"""A scan by the tasks of Ray: the bytes of one process, no text on the way, and one line where it fails.

Most of it asks a stand-in that runs tasks in this process and keeps what passes through it; the last test
asks Ray itself where it is installed.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from mlmguard import artifacts, engine
from mlmguard.corpus.synthetic import write_corpus
from mlmguard.errors import InputError, MlmguardError, PartialRun
from mlmguard.scan import scan
from mlmguard.scan import shards as scan_shards
from mlmguard.settings import ScanSettings
from tests.scan.places import Place, outputs

SECRET = "Wolfeschlegelstein"


class StandIn(ModuleType):
    """What the engine uses of Ray."""

    __version__ = "0"

    class RayError(Exception):
        pass

    def __init__(self) -> None:
        super().__init__("ray")
        self.exceptions = SimpleNamespace(RayError=self.RayError)
        self.passed: list[bytes] = []
        self.asked: dict[str, Any] = {}
        self.up = False
        self.fails: Exception | None = None

    def init(self, **about: Any) -> None:
        if self.fails:
            raise self.fails
        self.asked, self.up = about, True

    def shutdown(self) -> None:
        self.up = False

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def put(self, value: Any) -> Any:
        self.passed.append(pickle.dumps(value))
        return value

    def remote(self, **about: Any) -> Callable[..., Any]:
        assert about["max_retries"] > 0 and self.up
        return lambda function: SimpleNamespace(remote=lambda *given: (function, given))

    def get(self, task: Any) -> Any:
        function, given = task
        said = function(*pickle.loads(pickle.dumps(given)))  # noqa: S301  (our own)
        self.passed.append(pickle.dumps((given, said)))
        return said


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    there = StandIn()
    monkeypatch.setitem(sys.modules, "ray", there)
    return there


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    write_corpus(place.corpus, None, notes=60)
    for number in range(12):
        place.put(f"{number}.txt", f"letter {number} to Mr. {SECRET} in the same words as all of the others")
    return place


def by_ray(place: Place, **settings: Any) -> Any:
    return scan(
        place.corpus, place.clean, place.reports, key=artifacts.load_key(), runs=place.runs,
        settings=ScanSettings(engine="ray", **settings),
    )  # fmt: skip


def test_the_bytes_are_those_of_a_scan_here_and_no_text_goes_through_ray(
    place: Place, ray: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> None:
    straight = Place(tmp_path_factory.mktemp("straight"))
    write_corpus(straight.corpus, None, notes=60)
    for path in place.corpus.glob("*.txt"):
        straight.put(path.name, path.read_bytes())
    asked = frozenset({"3.txt"})
    straight.scan(key=artifacts.load_key(), left_out=asked)
    by_ray(place, workers=2, left_out=asked)
    assert outputs(place) == outputs(straight)
    assert ray.asked["_node_ip_address"] == "127.0.0.1" and not ray.asked["log_to_driver"] and not ray.up
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    names = [path.name for path in place.corpus.rglob("*") if path.is_file()]
    assert len(ray.passed) == 1 + 8  # four tasks a core
    key = Path(os.environ["MLMGUARD_KEY_FILE"]).read_bytes().strip()
    for data in ray.passed:
        assert len(data) < 4000
        assert not any(word in data for word in (SECRET.encode(), b"letter", key, *map(str.encode, names)))


def test_an_interrupted_scan_keeps_its_division(place: Place, ray: StandIn) -> None:
    place.shard(2, 3, key=artifacts.load_key())
    by_ray(place)
    assert len(ray.passed) == 1 + 3


def test_what_a_task_says_is_one_line_with_its_code(place: Place, ray: StandIn) -> None:
    place.shard(1, 3, key=artifacts.load_key(), mode="mask")
    with pytest.raises(MlmguardError, match=r"shard 1/3: made with other settings \(mode\)") as raised:
        by_ray(place)
    assert raised.value.exit_code == 2 and not ray.up and not place.clean.exists()
    by_ray(place, mode="mask")


def test_of_an_exception_only_its_kind_is_said(
    place: Place, ray: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError(f"cannot read {SECRET}")

    monkeypatch.setattr(scan_shards, "batches", broken)
    with pytest.raises(MlmguardError) as raised:
        by_ray(place)
    assert str(raised.value) == "shard 1 broke (ValueError)." and raised.value.exit_code == 1


def test_a_task_that_is_lost_for_good_is_a_partial_run(place: Place, ray: StandIn) -> None:
    def lost(task: Any) -> Any:
        raise StandIn.RayError("node died")

    ray.get = lost  # type: ignore[method-assign]
    with pytest.raises(PartialRun, match=r"a task of Ray was lost 5 times \(RayError\)"):
        by_ray(place)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (RuntimeError("Version mismatch: Python: 3.9"), "--address: the cluster has another Python or Ray"),
        (ConnectionError("no"), "--address: no Ray cluster answers"),
    ],
)
def test_a_cluster_that_does_not_fit_or_answer(
    place: Place, ray: StandIn, failure: Exception, message: str
) -> None:
    ray.fails = failure
    with pytest.raises(InputError, match=message):
        by_ray(place, address="10.0.0.1:6379")


def test_without_ray_it_says_what_to_install(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"Ray is not installed; pip install 'mlmguard\[ray\]'"):
        by_ray(place)


@pytest.mark.parametrize(
    "settings", [{"address": "auto"}, {"engine": "ray", "shard": "1/2"}, {"engine": "ray", "merge": True}]
)
def test_settings_that_contradict(place: Place, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="--engine ray"):
        place.scan(**settings)


# --- Ray itself ---------------------------------------------------------------------------------------

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")


@pytest.mark.slow
@needs_ray
def test_ray_with_a_worker_killed_makes_the_same_bytes(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    straight = Place(tmp_path_factory.mktemp("straight"))
    write_corpus(straight.corpus, None, notes=60)
    for path in place.corpus.glob("*.txt"):
        straight.put(path.name, path.read_bytes())
    straight.scan(key=artifacts.load_key())
    killed: list[int] = []
    done = threading.Event()

    def kill() -> None:
        """One process that works on a shard, once there is one."""
        while not done.is_set() and not killed:
            for part in place.runs.glob("shards-*/*/examined.part"):
                found = subprocess.run(
                    ["pgrep", "-f", "ray::_task"], capture_output=True, text=True
                ).stdout.split()
                if found and part.exists():
                    os.kill(int(found[0]), signal.SIGKILL)
                    killed.append(int(found[0]))
                    break
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        by_ray(place, workers=2)
    finally:
        done.set()
        killer.join()
    assert killed and outputs(place) == outputs(straight)
    assert engine._imported_ray().is_initialized() is False
