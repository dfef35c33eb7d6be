"""The example of a rollout: nothing moves without a verdict, and what does not work is taken back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "examples" / "rollout.sh"

#: mlmguard, which notes how it was called and ends as the test wants; the real one judges in `test_journey`.
NOTED = f"""#!{sys.executable}
import os, sys
with open("calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
sys.exit(int(os.environ.get(sys.argv[1].upper(), "0")))
"""


class House:
    """A folder with models, evidence and what was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "bin" / "mlmguard").write_text(NOTED)
        (folder / "bin" / "mlmguard").chmod(0o755)

    def model(self, name: str) -> str:
        (self.folder / name).mkdir()
        (self.folder / name / "model.safetensors").write_text(f"weights of {name}")
        return name

    def roll_out(self, *arguments: str, **exits: int) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        codes = {name.upper(): str(code) for name, code in exits.items()}
        environment = {**os.environ, "PATH": path, **codes}
        return subprocess.run(
            ["bash", str(SCRIPT), *arguments],
            cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    @property
    def serves(self) -> str:
        """The model that the service reads; "" for none."""
        weights = self.folder / "releases" / "current" / "model.safetensors"
        return weights.read_text().removeprefix("weights of ") if weights.exists() else ""

    @property
    def calls(self) -> Sequence[str]:
        return [line.split()[0] for line in (self.folder / "calls").read_text().splitlines()]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize("code", [2, 3, 10])
def test_without_a_pass_of_the_gate_nothing_moves(house: House, code: int) -> None:
    done = house.roll_out(house.model("one"), "audit.json", "base", gate=code)
    assert done.returncode == code and house.calls == ["gate"]
    assert not list((house.folder / "releases").iterdir())


def test_weights_that_were_not_audited_do_not_serve(house: House) -> None:
    assert house.roll_out(house.model("one"), "audit.json", "base").returncode == 0
    done = house.roll_out(house.model("two"), "audit.json", "base", verify=10)
    assert done.returncode == 10 and house.serves == "one"
    assert sum(path.is_dir() and not path.is_symlink() for path in (house.folder / "releases").iterdir()) == 1


def test_the_copy_that_will_serve_is_what_is_verified(house: House) -> None:
    house.roll_out(house.model("one"), "audit.json", "base")
    (verified,) = [line for line in (house.folder / "calls").read_text().splitlines() if "verify" in line]
    assert verified.startswith("verify releases/.coming.") and "--evidence audit.json" in verified


def test_the_model_of_before_can_be_had_back(house: House) -> None:
    assert "no model served before" in house.roll_out("--back").stderr
    for name in ("one", "two"):
        assert house.roll_out(house.model(name), "audit.json", "base", "true").returncode == 0
    assert house.serves == "two"
    assert house.roll_out("--back").returncode == 0 and house.serves == "one"


def test_a_model_that_does_not_work_is_taken_back(house: House) -> None:
    works = ["grep", "-q", "one", "releases/current/model.safetensors"]
    assert house.roll_out(house.model("one"), "audit.json", "base", *works).returncode == 0
    done = house.roll_out(house.model("two"), "audit.json", "base", *works)
    assert done.returncode == 1 and house.serves == "one" and "taken back" in done.stderr


def test_the_first_model_that_does_not_work_leaves_nothing_to_serve(house: House) -> None:
    done = house.roll_out(house.model("one"), "audit.json", "base", "false")
    assert done.returncode == 1 and house.serves == "" and "nothing serves" in done.stderr
