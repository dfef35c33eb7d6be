"""Workers: their order, what they share, and that none outlives the process that called for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import hears_ctrl_c

CHILD = """
import os, sys, time
from mlmguard.engine import LocalEngine

def work(number):
    open(f"{sys.argv[1]}/{os.getpid()}", "w").close()
    time.sleep(600)

if __name__ == "__main__":
    try:
        list(LocalEngine(2, preload=sys.argv[2:]).map(work, range(4)))
    except KeyboardInterrupt:
        sys.exit(130)
"""


@dataclass
class Busy:
    """A process whose two workers are at work."""

    process: subprocess.Popen[str]
    workers: list[int]


@pytest.fixture(params=[(), ("colorsys",)], ids=["spawned", "forked from a server"])
def busy(request: pytest.FixtureRequest, tmp_path: Path) -> Busy:
    script, here = tmp_path / "child.py", tmp_path / "workers"
    script.write_text(CHILD)
    here.mkdir()
    command = [sys.executable, str(script), str(here), *request.param]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=hears_ctrl_c
    )
    while len(list(here.iterdir())) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    return Busy(process, [int(worker.name) for worker in here.iterdir()])


def over(process: int, seconds: float = 20.0) -> bool:
    """If that process ends in time."""
    for _ in range(int(seconds / 0.05)):
        try:
            os.kill(process, 0)
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True  # nobody is left to ask how it ended
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_workers_do_not_outlive_a_killed_parent(busy: Busy) -> None:
    assert not any(over(worker, 0.1) for worker in busy.workers)
    busy.process.kill()
    busy.process.communicate()
    assert all(over(worker) for worker in busy.workers)


def test_ctrl_c_is_heard_once(busy: Busy) -> None:
    os.killpg(busy.process.pid, signal.SIGINT)
    said = busy.process.communicate(timeout=30)[1]
    assert busy.process.returncode == 130 and said == ""
    assert all(over(worker) for worker in busy.workers)


LOADED = """
import json, sys
from mlmguard.engine import LocalEngine

def is_loaded(module):
    return module in sys.modules

if __name__ == "__main__":
    print(json.dumps(list(LocalEngine(2, preload=sys.argv[1:]).map(is_loaded, ["colorsys", "wave"]))))
"""


def loaded(folder: Path, *preload: str, **environment: str) -> list[bool]:
    """Whether workers have two modules; in a process of its own, which has no server of another test."""
    script = folder / "loaded.py"
    script.write_text(LOADED)
    done = subprocess.run(
        [sys.executable, str(script), *preload],
        env={**os.environ, **environment}, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return list(json.loads(done.stdout))


def test_a_temporary_folder_too_deep_for_a_socket_is_no_obstacle(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    assert loaded(tmp_path, "colorsys", TMPDIR=str(deep)) == [False, False]


def test_what_is_preloaded_is_there(tmp_path: Path) -> None:
    assert loaded(tmp_path, "colorsys") == [True, False]
    assert loaded(tmp_path) == [False, False]


UNGUARDED = """
import sys
from mlmguard.engine import LocalEngine

print("begun")
print(list(LocalEngine(2, preload=sys.argv[1:]).map(len, ["a", "bc", "def"])))
"""


@pytest.mark.parametrize("preload", [(), ("colorsys",)], ids=["spawned", "forked from a server"])
@pytest.mark.parametrize("how", ["a script", "a module", "standard input"])
def test_a_program_that_calls_outside_of_a_guard_runs_once(
    tmp_path: Path, preload: tuple[str, ...], how: str
) -> None:
    (tmp_path / "unguarded.py").write_text(UNGUARDED)
    command = {
        "a script": [sys.executable, "unguarded.py"],
        "a module": [sys.executable, "-m", "unguarded"],
        "standard input": [sys.executable, "-"],
    }[how]
    done = subprocess.run(
        [*command, *preload], cwd=tmp_path, input=UNGUARDED, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "begun\n[1, 2, 3]\n"


VARIABLE = """
import os, sys
from mlmguard.engine import LocalEngine

def work(number):
    return os.environ.get("MLMGUARD_STATE", "")

def beside(number):
    open(os.environ.get("MLMGUARD_STATE", "") + str(number), "w").close()

if __name__ == "__main__":
    engine = LocalEngine(2, preload=["json"])
    for state in sys.argv[1:]:  # what a fork has is the server's, which began with neither
        os.environ["MLMGUARD_STATE"] = state
        print(set(engine.map(work, range(4))))
        with engine.beside(beside, [1]) as wait:
            wait()
"""


def test_workers_have_the_variables_of_the_process_that_called_for_them(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(VARIABLE)
    done = subprocess.run(
        [sys.executable, "script.py", "one", "two"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["{'one'}", "{'two'}"], done.stderr
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".py"} >= {"one1", "two1"}
