"""The log of --verbose: what happened, never what was read."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlmguard import cli, logs
from mlmguard.engine import LocalEngine
from mlmguard.types import SILENT

PLANTED = "zaphira.quux@private.example"


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """A log that is on, with libraries heard as the command hears them, and put back afterwards."""
    handlers, shows = list(logging.getLogger().handlers), warnings.showwarning
    logs.hear_libraries()
    logs.begin("mlmguard scan", "0.1.0")
    yield capsys
    logs.end(0)
    logging.getLogger().handlers[:], warnings.showwarning = handlers, shows


def facts(line: str) -> dict[str, str]:
    found = re.findall(r'(\w+)=("[^"]*"|\S+)', line)
    return {key: value.strip('"') for key, value in found}


CUT_SHORT = """
import signal, time
from mlmguard import logs

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background

class Held:
    def __del__(self):
        raise KeyboardInterrupt

logs.hear_libraries()
held = Held()
try:
    del held
    time.sleep(20)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_ctrl_c_that_falls_into_what_takes_an_object_down_is_not_lost() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CUT_SHORT], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "interrupted\n"


def test_a_stage_is_told_when_it_begins_and_when_it_is_done(log: pytest.CaptureFixture[str]) -> None:
    follow = logs.followed(SILENT.progress)
    for done in range(101):
        follow("look for copies", done, 100)
    logs.end(10)
    begin, first, last, end = (facts(line) for line in log.readouterr().err.splitlines())
    assert (begin["event"], begin["command"]) == ("begin", "mlmguard scan")
    assert (first["stage"], first["done"], first["total"]) == ("look for copies", "0", "100")
    assert (last["done"], end["event"], end["exit_code"]) == ("100", "end", "10")
    assert float(end["peak_mib"]) > 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", end["time"])


def test_a_long_stage_is_told_again(log: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "EVERY", 0.0)
    follow = logs.followed(SILENT.progress)
    for done in range(5):
        follow("train", done, None)
    assert log.readouterr().err.count("stage=train") == 5


def test_what_a_library_says_is_not_repeated(
    log: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logging.getLogger("some.library").warning("cannot parse %s", PLANTED)
    logging.getLogger("some.library").error(f"cannot parse {PLANTED}", stack_info=True)
    try:
        raise ValueError(PLANTED)
    except ValueError:
        logging.getLogger("some.library").exception(PLANTED)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", logs._warned)
        warnings.warn(f"odd: {PLANTED}", UserWarning, stacklevel=1)
    logs.event("stage", stage=PLANTED, detail=f"card 4111 1111 1111 1111\n{PLANTED}")
    err = log.readouterr().err
    assert "zaphira" not in err and "4111" not in err
    rows = [facts(line) for line in err.splitlines()[1:]]
    assert [row["event"] for row in rows] == ["library"] * 4 + ["stage"]
    assert {row["logger"] for row in rows[:3]} == {"some.library"}
    assert rows[1]["level"] == "error" and rows[1]["place"].startswith("test_logs:")
    assert rows[3]["category"] == "UserWarning"


def test_without_verbose_a_library_is_silent(tmp_path: Path) -> None:
    loud = (
        "import logging, warnings; from mlmguard import cli;"
        f"cli.run(['policy', 'check', 'base']); logging.getLogger('x').error({PLANTED!r});"
        f"warnings.warn({PLANTED!r})"
    )
    ran = subprocess.run([sys.executable, "-c", loud], capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, "")


def _complain(number: int) -> int:
    logging.getLogger("some.library").error(PLANTED)
    warnings.warn(PLANTED, stacklevel=1)
    return number


def test_a_worker_has_no_voice(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(LocalEngine(2).map(_complain, range(4))) == [0, 1, 2, 3]
    assert capfd.readouterr().err == ""


def test_no_shared_memory_means_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("multiprocessing.synchronize.SemLock.__init__", refused)
    assert list(LocalEngine(2).map(abs, [-1, -2, -3])) == [1, 2, 3]


def test_what_nobody_can_catch_is_told_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    class Falls:
        def __del__(self) -> None:
            raise ValueError("Ada Example, 4 Oak Road")

    def thread() -> None:
        raise KeyError("Ada Example, 4 Oak Road")

    logs.hear_libraries()
    logs.begin("mlmguard test", "0")
    Falls()
    ended = threading.Thread(target=thread)
    ended.start()
    ended.join()
    logs.end(0)
    said = capsys.readouterr().err
    assert "Ada" not in said and "Traceback" not in said
    assert said.count("level=error") == 2 and "test_logs.py" in said


def test_every_command_can_be_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    for command in cli.leaves().values():
        assert [option for option in command.params if "--verbose" in option.opts], command.name
    assert cli.run(["policy", "check", "base", "--verbose"]) == 0
    begin, end = (facts(line) for line in capsys.readouterr().err.splitlines())
    assert (begin["command"], end["exit_code"]) == ("mlmguard policy check", "0")
    assert cli.run(["policy", "check", "none-such", "-v"]) == 2
    assert "exit_code=2" in capsys.readouterr().err
    assert cli.run(["policy", "check", "base"]) == 0
    assert capsys.readouterr().err == ""


def test_a_ctrl_c_in_a_destructor_at_the_very_end_hangs_nothing() -> None:
    program = (
        "from mlmguard import logs\nlogs.hear_libraries()\n"
        "class Kept:\n    def __del__(self): raise KeyboardInterrupt\n"
        "kept = Kept()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True)
    assert (ended.returncode, ended.stderr) == (0, b"")
