"""docs/runbooks.md: every command as it stands there, what it says and how it ends."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.programs import MLMGUARD, programs

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "runbooks.md").read_text("utf-8")


def commands() -> Iterator[tuple[str, int, str]]:
    """Each command, how it ends and words of what it says; the comment behind it says both."""
    lines = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    for line, after in zip(lines, [*lines[1:], ""]):
        if not line.startswith("#"):
            told = re.fullmatch(r"# exit (\d+)(?:: (.*))?", after)
            yield line, int(told[1]) if told else 0, (told[2] or "") if told else ""


def test_the_page_has_every_failure_that_people_meet() -> None:
    assert {code for _, code, _ in commands()} == {0, 1, 2, 10, 137}
    assert all(
        re.fullmatch(r"# exit \d+(: .+)?", line) for line in re.findall(r"^# exit.*$", PAGE, re.MULTILINE)
    )


@pytest.mark.slow
def test_every_runbook_works_as_it_stands_there(tmp_path: Path) -> None:
    for name in ("make_mbox.py", "rollout.sh"):
        shutil.copy(ROOT / "examples" / name, tmp_path)
    (policy,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "rollout.yaml").write_text(policy)
    python = MLMGUARD.replace(" -m mlmguard", "")
    environment = programs(tmp_path / "bin", mlmguard=MLMGUARD, python=python)
    for line, code, words in commands():
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        said = done.stdout[-3000:] + done.stderr[-3000:]
        ended = done.returncode if done.returncode >= 0 else 128 - done.returncode  # as a shell has it
        assert ended == code, f"{line}\n{said}"
        assert words in " ".join(said.split()), f"{line}\n{said}"  # a table breaks its lines
        assert "Traceback" not in said, line
