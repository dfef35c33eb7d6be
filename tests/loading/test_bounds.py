"""A tokenizer that asks for gigabytes is refused before anything is made of it; whole ones are not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlmguard import cli
from mlmguard.errors import InputError
from mlmguard.loading import folder as folders
from mlmguard.loading import loader
from mlmguard.loading.bounds import refuse_unbounded
from tests.fixtures.folders import edit

ROOT = Path(__file__).resolve().parents[2]
PLANTED = "planted.person@example.org"


def replaces(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def steps(*normalizers: dict[str, Any]) -> dict[str, Any]:
    return {"normalizer": {"type": "Sequence", "normalizers": list(normalizers)}}


def padding(**change: Any) -> dict[str, Any]:
    usual = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0}
    return {"padding": {**usual, "pad_type_id": 0, "pad_token": "[PAD]", **change}}


ASKED: dict[str, Callable[[dict[str, Any]], object]] = {
    "letters that grow": lambda t: t.update(steps(*[replaces({"String": "a"}, "a" * 1000)] * 3)),
    "an expression that matches nothing": lambda t: t.update(steps(replaces({"Regex": ""}, "x" * 5000))),
    "a long beginning": lambda t: t.update(normalizer={"type": "Prepend", "prepend": "x" * 10**6}),
    "a number of four billion": lambda t: t["model"]["vocab"].update({"x": 2**32 - 1}),
    "a number below none": lambda t: t["model"]["vocab"].update({"x": -1}),
    "an added entry far away": lambda t: t["added_tokens"][0].update(id=2**31),
    "rows without end": lambda t: t.update(padding(strategy={"Fixed": 10**12})),
    "rows of a multiple of nothing": lambda t: t.update(padding(pad_to_multiple_of=0)),
}

_MANY: dict[str, tuple[str, Callable[[int], dict[str, Any]], int]] = {
    "special tokens": (
        "tokenizer_config.json", lambda n: {"extra_special_tokens": [f"<{k}>" for k in range(n)]}, 5_000,
    ),
    "special tokens of before": (
        "special_tokens_map.json", lambda n: {"additional_special_tokens": ["<x>"] * n}, 5_000,
    ),
    "added entries by id": (
        "tokenizer_config.json", lambda n: {"added_tokens_decoder": {str(k): {} for k in range(n)}}, 50_000,
    ),
    "added entries": ("tokenizer.json", lambda n: {"added_tokens": [{}] * n}, 50_000),
    "entries": ("tokenizer.json", lambda n: {"model": {"vocab": [["x", 0.0]] * n}}, 2_000_000),
    "merges": ("tokenizer.json", lambda n: {"model": {"merges": ["a b"] * n}}, 2_000_000),
}  # fmt: skip
"""What takes seconds, or the square of its number, to load: where, how many, and the most there may be."""


@pytest.mark.parametrize("name", _MANY)
def test_more_entries_than_any_tokenizer_has_are_refused(name: str) -> None:
    file, many, most = _MANY[name]
    refuse_unbounded(many(most), Path(file))
    with pytest.raises(InputError, match=f"more than {most:,}"):
        refuse_unbounded(many(most + 1), Path(file))


@pytest.mark.parametrize("length", [0, -5, "512", True, [512]])
def test_a_length_that_is_none_is_refused(length: object) -> None:
    for whole in (512, 10**30, 1e30, None):
        refuse_unbounded({"model_max_length": whole}, Path("tokenizer_config.json"))
    with pytest.raises(InputError, match="model_max_length"):
        refuse_unbounded({"model_max_length": length}, Path("tokenizer_config.json"))


def test_so_are_they_by_the_command(ckpt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A hundred thousand special tokens took half a minute."""
    edit(
        ckpt / "tokenizer_config.json",
        lambda t: t.update(extra_special_tokens=[f"<{k}>" for k in range(10**5)]),
    )
    began = time.process_time()
    assert cli.run(["mask", "--tokenizer", str(ckpt), "hello"]) == 2
    assert time.process_time() - began < 5
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("name", ASKED)
def test_a_tokenizer_that_asks_for_more_than_a_text_needs_is_refused(ckpt: Path, name: str) -> None:
    edit(ckpt / "tokenizer.json", ASKED[name])
    with pytest.raises(InputError, match=r"tokenizer\.json") as refused:
        loader.tokenizer(ckpt)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["added_tokens.json", "vocab.json"])
def test_so_are_lists_of_entries(ckpt: Path, name: str) -> None:
    (ckpt / name).write_text('{"x": 4294967295}', "utf-8")
    with pytest.raises(InputError, match=name):
        folders.tokenizer_files(ckpt)


def test_so_are_entries_that_a_class_makes_up(ckpt: Path) -> None:
    edit(ckpt / "tokenizer_config.json", lambda c: c.update(tokenizer_class="ByT5Tokenizer", extra_ids=10**7))
    with pytest.raises(InputError, match="extra_ids"):
        loader.tokenizer(ckpt)


def test_replacements_that_tokenizers_are_made_of_load(ckpt: Path) -> None:
    usual = (
        *(
            replaces({"String": "``"}, '"'),
            replaces({"Regex": " {2,}"}, " "),
            replaces({"Regex": "\\s+"}, " "),
        ),
        *({"type": "NFKD"}, {"type": "Prepend", "prepend": "\u2581"}, replaces({"String": " "}, "\u2581")),
    )
    edit(ckpt / "tokenizer.json", lambda t: t.update(steps(*usual)))
    edit(ckpt / "tokenizer_config.json", lambda c: c.update(model_max_length=10**30))
    assert len(loader.tokenizer(ckpt)) > 100


PANICS: dict[str, Callable[[dict[str, Any]], object]] = {
    "an expression without end": lambda t: t.update(
        pre_tokenizer={
            "type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False
        },
        normalizer=None,
    ),
    "a table that is none": lambda t: t.update(
        normalizer={"type": "Precompiled", "precompiled_charsmap": "////////////////"}
    ),
    "an option of no name": lambda t: t.update(normalizer={"type": PLANTED}),
    "a kind of no name": lambda t: t["model"].update(type=PLANTED),
}  # fmt: skip


@pytest.mark.parametrize("name", PANICS)
def test_what_a_library_prints_past_python_does_not_reach_the_terminal(ckpt: Path, name: str) -> None:
    """The real command: a panic of Rust writes to the descriptor itself, with the text that it met."""
    edit(ckpt / "tokenizer.json", PANICS[name])
    ran = subprocess.run(
        [sys.executable, "-m", "mlmguard", "mask", "--tokenizer", str(ckpt), "a" * 40 + f" {PLANTED}"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "RUST_BACKTRACE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert len(ran.stderr.splitlines()) == 1 and ran.stderr.startswith("error: ")
    assert PLANTED not in ran.stderr


def test_the_terminal_is_python_s_alone() -> None:
    """What writes to the descriptors is not seen, here and in a child; what Python writes is."""
    program = (
        "import os, subprocess, sys; from mlmguard.__main__ import _keep_the_terminal as keep; keep();"
        "os.write(1, b'past'); os.write(2, b'past'); subprocess.run(['echo', 'past']);"
        "print('said'); print('told', file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("said\n", "told\n", 0)
