"""The tutorial of docs/tutorial.md, from an empty folder: every command as it stands there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_every_command_of_the_tutorial_works_as_it_stands_there(tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples" / "make_mbox.py", tmp_path)
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text("utf-8"), re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()]
    verbs = {line.split()[1] for line in commands if line.startswith("mlmguard")}
    assert verbs == {"scan", "train", "audit", "gate", "sign", "verify", "report"}
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "mlmguard").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mlmguard "$@"\n')
    (bin_folder / "mlmguard").chmod(0o755)
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    for line in commands:
        done = subprocess.run(
            line.replace("python make_mbox.py", f'"{sys.executable}" make_mbox.py'),
            shell=True, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        if line.startswith("mlmguard") and line.split()[1] in ("scan", "train", "audit", "gate"):
            assert len(done.stdout.splitlines()) <= 45, line
            assert "next: mlmguard" in done.stderr, line
    judged = json.loads((tmp_path / "reports" / "audit.json").read_text("utf-8"))
    assert judged["statement"]["epsilon"] <= 8
    assert "to be written" in (tmp_path / "reports" / "annex.md").read_text("utf-8")
