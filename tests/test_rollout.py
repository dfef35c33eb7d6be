"""The example of a rollout: nothing moves without a verdict, and what does not work is taken back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fixtures.programs import programs

SCRIPT = Path(__file__).resolve().parent.parent / "examples" / "rollout.sh"

#: mlmguard, which notes how it was called and ends as the test wants; the real one judges in `test_runbooks`.
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
        self._environment = programs(folder / "bin", mlmguard=NOTED)

    def model(self, name: str) -> str:
        (self.folder / name).mkdir()
        (self.folder / name / "model.safetensors").write_text(f"weights of {name}")
        return name

    def roll_out(self, *arguments: str, **exits: int) -> subprocess.CompletedProcess[str]:
        codes = {name.upper(): str(code) for name, code in exits.items()}
        return subprocess.run(
            ["bash", str(SCRIPT), *arguments],
            cwd=self.folder, env=self._environment | codes, capture_output=True, text=True, timeout=60,
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
    assert not (house.folder / "releases").exists()


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


def test_a_release_that_was_changed_since_does_not_serve_again(house: House) -> None:
    one = house.model("one")
    assert house.roll_out(one, "audit.json", "base").returncode == 0
    (house.folder / "releases" / "current" / "config.json").write_text("{}")
    done = house.roll_out(one, "audit.json", "base")
    assert done.returncode == 1 and "is not what was verified" in done.stderr


def test_the_same_weights_with_another_configuration_are_another_release(house: House) -> None:
    one = house.model("one")
    first = house.roll_out(one, "audit.json", "base").stdout
    (house.folder / one / "config.json").write_text("{}")
    done = house.roll_out(one, "audit.json", "base")
    assert done.returncode == 0 and done.stdout != first
    assert (house.folder / "releases" / "current" / "config.json").exists()


@pytest.mark.parametrize("arguments", [(), ("ckpt",), ("ckpt", "audit.json")])
def test_what_is_missing_is_named_before_anything_is_called(house: House, arguments: tuple[str, ...]) -> None:
    done = house.roll_out(*arguments)
    assert done.returncode == 1 and ("CKPT", "EVIDENCE", "POLICY")[len(arguments)] in done.stderr
    assert sorted(path.name for path in house.folder.iterdir()) == ["bin"]
