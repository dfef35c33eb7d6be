"""A stranger's folder: nothing of it runs, nothing outside it is read, it asks for what it stores."""

from __future__ import annotations

import ast
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mlmguard
from mlmguard import cli
from mlmguard.artifacts import folder_digests
from mlmguard.errors import InputError
from mlmguard.loading import folder as folders
from mlmguard.loading import headers, loader
from mlmguard.training import checkpoint, models
from mlmguard.training.text.tokenizer import Tokenizer
from tests.fixtures.folders import edit, whole

HOUSE = Path(mlmguard.__file__).parent
WEIGHTS, INDEX = folders.WEIGHTS, folders.INDEX


def test_a_whole_folder_loads(ckpt: Path) -> None:
    model, head, told = models.load(ckpt)
    assert head and model.config.hidden_size == 16 and told == ()
    assert len(Tokenizer.load(str(ckpt))) == model.config.vocab_size
    assert folders.surfaces(ckpt) == ()


def test_weights_that_stay_in_the_house_are_their_owner_s_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        whole(tmp_path / "initial")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "initial").iterdir()}
    assert {WEIGHTS, "config.json", "tokenizer.json"} <= modes.keys() and set(modes.values()) == {0o600}


def test_from_pretrained_has_one_door() -> None:
    names = {"from_pretrained", "from_config", "snapshot_download", "hf_hub_download"}
    found = {
        path.relative_to(HOUSE).as_posix()
        for path in HOUSE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr in names)
        or (isinstance(node, ast.Name) and node.id in names)
    }
    assert found == {"loading/loader.py"}
    source = (HOUSE / "loading" / "loader.py").read_text("utf-8")
    assert "trust_remote_code=True" not in source and '"trust_remote_code": True' not in source


# --- no code ------------------------------------------------------------------------------------------

_CODE = """
from pathlib import Path
Path({witness!r}).write_text("ran")
from transformers import PretrainedConfig, BertTokenizer, BertForMaskedLM
class C(PretrainedConfig):
    model_type = "ev"
class T(BertTokenizer): pass
class M(BertForMaskedLM): pass
"""
_MAP = {"AutoConfig": "ev.C", "AutoTokenizer": ["ev.T", None], "AutoModelForMaskedLM": "ev.M",
        "AutoModelForTokenClassification": "ev.M"}  # fmt: skip


def _unknown_type(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(model_type="ev", auto_map=_MAP))


def _known_type(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(auto_map=_MAP))


def _tokenizer_alone(folder: Path) -> None:
    edit(
        folder / "tokenizer_config.json",
        lambda c: c.update(auto_map={"AutoTokenizer": ["ev.T", "ev.T"]}, tokenizer_class="EvTokenizer"),
    )


@pytest.mark.parametrize("attack", [_unknown_type, _known_type, _tokenizer_alone])
def test_no_code_of_a_folder_runs_whatever_is_answered(
    ckpt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    witness = tmp_path / "witness"
    (ckpt / "ev.py").write_text(_CODE.format(witness=str(witness)), "utf-8")
    attack(ckpt)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 9))
    code = cli.run(["mask", "--tokenizer", str(ckpt), "hello"])
    assert code in (0, 2)
    for what in (loader.MASKED, loader.TAGGER):
        try:
            loader.model(ckpt, what)
        except InputError as refused:
            assert "\n" not in str(refused)
    assert not witness.exists()
    assert "Do you wish to run" not in capsys.readouterr().out
    kinds = {one.kind for one in folders.surfaces(ckpt)}
    assert {"program", "auto_map, code by name"} <= kinds


@pytest.mark.parametrize("more", ["output_attentions", "output_hidden_states", "torchscript"])
def test_a_model_that_was_saved_to_show_more_is_saved_again(ckpt: Path, tmp_path: Path, more: str) -> None:
    edit(ckpt / "config.json", lambda c: c.update({more: True}))
    checkpoint.save_weights(tmp_path / "again", models.load(ckpt)[0], Tokenizer.load(None))
    assert models.load(tmp_path / "again")[1]


def test_no_network_is_asked_for_a_folder_and_a_name_is_one_line(ckpt: Path) -> None:
    edit(ckpt / "config.json", lambda c: c.update(transformers_version="4.40.0", model_type="bert"))
    loader.tokenizer(ckpt)  # no_network of conftest raises where a hub is asked
    for name in ("no/such/name/at-all", "../elsewhere", "x\0y", "a" * 500):
        with pytest.raises(InputError):
            loader.tokenizer(name)


# --- what is loaded lies in the folder ----------------------------------------------------------------


def _index(folder: Path, target: str) -> None:
    (folder / WEIGHTS).rename(folder / "decoy.safetensors")
    names = headers.header(folder / "decoy.safetensors")
    told = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, target)}
    (folder / INDEX).write_text(json.dumps(told), "utf-8")


@pytest.mark.parametrize(
    "target",
    ["../outside.safetensors", "sub/in.safetensors", "/etc/hostname", "..", "", "x" * 300, "\ud800", "a\0b"],
    ids=["above", "below", "root", "parent", "nothing", "longer than names are", "half a character", "NUL"],
)
def test_an_index_that_leaves_the_folder_is_refused_and_named(ckpt: Path, target: str) -> None:
    shutil.copy(ckpt / WEIGHTS, ckpt.parent / "outside.safetensors")
    (ckpt / "sub").mkdir()
    shutil.copy(ckpt / WEIGHTS, ckpt / "sub" / "in.safetensors")
    _index(ckpt, target)
    with pytest.raises(InputError, match="leaves the folder"):
        models.load(ckpt)
    assert any(one.leaves for one in folders.surfaces(ckpt))


@pytest.mark.parametrize("name", ["chat_template.jinja", "generation_config.json", "vocab.txt", "notes"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_a_device_in_the_folder_is_one_line_and_nothing_waits(
    ckpt: Path, name: str, kind: str
) -> None:
    if kind == "pipe":
        os.mkfifo(ckpt / name)
    else:
        (ckpt / name).symlink_to("/dev/zero")
    for load in (models.load, loader.tokenizer):
        with pytest.raises(InputError, match=r"a pipe or a device|leaves the folder") as refused:
            load(ckpt)
        assert name in str(refused.value)
    assert [one.where for one in folders.surfaces(ckpt) if one.leaves] == [name]


def test_folders_a_thousand_deep_are_looked_through(ckpt: Path) -> None:
    """Python's own walk calls itself for each, and fails."""
    before, here = ckpt / "ev.py", Path.cwd()
    before.write_text("")
    try:
        os.chdir(ckpt)
        for _ in range(1100):
            Path("d").mkdir()
            os.chdir("d")
        Path("deep.py").write_text("")
    finally:
        os.chdir(here)
    assert [one.where[-7:] for one in folders.surfaces(ckpt)] == ["deep.py", "ev.py"]
    assert len([name for name in folder_digests(ckpt) if name.endswith(".py")]) == 2
    subprocess.run(["rm", "-r", ckpt / "d"], check=True)  # Python's own cannot


def test_an_index_of_files_beside_it_loads(ckpt: Path) -> None:
    _index(ckpt, "decoy.safetensors")
    assert models.load(ckpt)[1]
    assert [path.name for path in folders.weight_files(ckpt)] == ["decoy.safetensors"]


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "tokenizer.json"])
def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_not(ckpt: Path, name: str) -> None:
    outside = ckpt.parent / f"other-{name}"
    (ckpt / name).rename(outside)
    (ckpt / name).symlink_to(outside)
    with pytest.raises(InputError, match="leaves the folder"):
        models.load(ckpt), Tokenizer.load(str(ckpt))
    assert [one.where for one in folders.surfaces(ckpt) if one.leaves] == [name]
    (ckpt / name).unlink()
    (ckpt / "within").write_bytes(outside.read_bytes())
    (ckpt / name).symlink_to("within")
    models.load(ckpt), Tokenizer.load(str(ckpt))


def test_the_cache_of_the_hub_links_to_its_own_files(made: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "0f"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for path in made.iterdir():
        shutil.copy(path, blobs / path.name)
        (snapshot / path.name).symlink_to(Path("../../blobs") / path.name)
    assert models.load(snapshot)[1]
    assert not [one for one in folders.surfaces(snapshot) if one.leaves]


def test_an_adapter_that_names_another_model_is_refused(ckpt: Path) -> None:
    told = {"peft_type": "LORA", "base_model_name_or_path": str(ckpt.parent / "elsewhere")}
    (ckpt / "adapter_config.json").write_text(json.dumps(told), "utf-8")
    with pytest.raises(InputError, match="adapter"):
        models.load(ckpt)


def test_a_tokenizer_that_names_files_elsewhere_is_refused(ckpt: Path) -> None:
    for change in ({"vocab_file": "/etc/passwd"}, {"fast_tokenizer_files": ["../../x.json"]}):
        shutil.copy(ckpt / "tokenizer_config.json", ckpt / "kept")
        edit(ckpt / "tokenizer_config.json", lambda c, change=change: c.update(change))  # type: ignore[misc]
        with pytest.raises(InputError, match="elsewhere"):
            loader.tokenizer(ckpt)
        (ckpt / "kept").rename(ckpt / "tokenizer_config.json")


# --- headers and numbers ------------------------------------------------------------------------------


def _lfs(data: bytes) -> bytes:
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"


_MANY = json.dumps(
    {f"e{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(60_000)}
).encode()
DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "junk": lambda data: bytes(range(256)) * 64,
    "a pointer": _lfs,
    "cut short": lambda data: data[: len(data) // 2],
    "longer": lambda data: data + b"\0",
    "an endless header": lambda data: struct.pack("<Q", 1 << 62) + data[8:],
    "a header 100,000 deep": lambda data: struct.pack("<Q", 200_000) + b"[" * 100_000 + b"]" * 100_000,
    "a list": lambda data: struct.pack("<Q", 2) + b"[]",
    "a type of numbers that is a list": lambda data: data.replace(b'"dtype":"F32"', b'"dtype":["F"]', 1),
    "more tensors than any": lambda data: (
        struct.pack("<Q", len(_MANY)) + _MANY + data[8 + struct.unpack("<Q", data[:8])[0] :]
    ),
    "shapes beyond the file": lambda data: data.replace(b'"shape":[16]', b'"shape":[99]', 1),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_weights_are_one_line(ckpt: Path, name: str) -> None:
    (ckpt / WEIGHTS).write_bytes(DAMAGED[name]((ckpt / WEIGHTS).read_bytes()))
    with pytest.raises(InputError) as refused:
        models.load(ckpt)
    assert WEIGHTS in str(refused.value) and "\n" not in str(refused.value)


CONFIGS: dict[str, Callable[[dict[str, Any]], object]] = {
    "vocabulary of a billion": lambda c: c.update(vocab_size=10**9),
    "width below zero": lambda c: c.update(hidden_size=-64),
    "no heads": lambda c: c.update(num_attention_heads=0),
    "width as text": lambda c: c.update(hidden_size="64"),
    "width as a fraction": lambda c: c.update(hidden_size=16.5),
    "width as yes": lambda c: c.update(hidden_size=True),
    "a list of types": lambda c: c.update(model_type=["bert"]),
    "a quantisation": lambda c: c.update(quantization_config={"quant_method": "bitsandbytes"}),
    "a kernel of the hub": lambda c: c.update(_attn_implementation="someone/kernel"),
    "a compiler": lambda c: c.update(_attn_implementation="flex_attention"),
    "the same, inside": lambda c: c.update(text_config={"attn_implementation": "someone/kernel:f"}),
    "3000 layers": lambda c: c.update(num_hidden_layers=3000),
    "300,000 keys": lambda c: c.update({f"k{n}": n for n in range(300_000)}),
    "a billion labels": lambda c: c.update(num_labels=10**9),
    "positions without end": lambda c: c.update(max_position_embeddings=10**12),
    "an inner width without end": lambda c: c.update(intermediate_size=10**9),
    "other weights": lambda c: c.update(transformers_weights="decoy.safetensors"),
    "padding as text": lambda c: c.update(pad_token_id="[PAD]"),
    "padding by a list": lambda c: c.update(pad_token_id=[0]),
    "padding beyond the words": lambda c: c.update(pad_token_id=10**9),
    "heads that do not divide the width": lambda c: c.update(num_attention_heads=3),
    "an unknown type": lambda c: c.update(model_type="no-such"),
    "no type": lambda c: c.pop("model_type"),
    "an activation of no name": lambda c: c.update(hidden_act="no-such"),
    "a type of numbers of no name": lambda c: c.update(dtype="no_such"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_that_asks_for_what_it_may_not(ckpt: Path, name: str) -> None:
    edit(ckpt / "config.json", CONFIGS[name])
    began = time.process_time()
    with pytest.raises(InputError) as refused:
        models.load(ckpt)
    assert "\n" not in str(refused.value)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "raw", ["[" * 100_000 + "]" * 100_000, "[]", "", "nul", '{"a": 1' + "0" * 5000 + "}", "\udcff"]
)
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_files_that_are_no_json_of_that_kind(ckpt: Path, name: str, raw: str) -> None:
    (ckpt / name).write_bytes(raw.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError) as refused:
        models.load(ckpt), Tokenizer.load(str(ckpt))
    assert name in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(x*)*y", "(["])
def test_a_tokenizer_that_panics_is_one_line(
    ckpt: Path, pattern: str, capfd: pytest.CaptureFixture[str]
) -> None:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    edit(ckpt / "tokenizer.json", lambda t: t.update(pre_tokenizer=split, normalizer=None))
    code = cli.run(["mask", "--tokenizer", str(ckpt), "a" * 40 + " planted.person@example.org"])
    error = capfd.readouterr().err
    assert code in (0, 2)
    assert "Traceback" not in error and "planted" not in error


@pytest.mark.slow
@settings(max_examples=200, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_header_is_read_or_refused(made: Path, tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray((made / WEIGHTS).read_bytes())
    length = 8 + struct.unpack("<Q", raw[:8])[0]
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, length - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / WEIGHTS
    path.write_bytes(raw)
    try:
        headers.header(path)
    except InputError as refused:
        assert "\n" not in str(refused)
