"""The tutorial of docs/tutorial.md, from an empty folder: every command as it stands there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.programs import MLMGUARD, programs

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_every_command_of_the_tutorial_works_as_it_stands_there(tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples" / "make_mbox.py", tmp_path)
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text("utf-8"), re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()]
    verbs = {line.split()[1] for line in commands if line.startswith("mlmguard")}
    assert verbs == {"scan", "train", "audit", "gate", "sign", "verify", "report"}
    environment = programs(tmp_path / "bin", mlmguard=MLMGUARD)
    for line in commands:
        done = subprocess.run(
            line.replace("python make_mbox.py", f'"{sys.executable}" make_mbox.py'),
            shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        if line.startswith("mlmguard") and line.split()[1] in ("scan", "train", "audit", "gate"):
            assert len(done.stdout.splitlines()) <= 45, line
            assert "next: mlmguard" in done.stderr, line
    judged = json.loads((tmp_path / "reports" / "audit.json").read_text("utf-8"))
    assert judged["statement"]["epsilon"] <= 8
    assert "to be written" in (tmp_path / "reports" / "annex.md").read_text("utf-8")
