"""Members and non-members by coin: what belongs together stays so, and never after a training."""

import json
import stat
from pathlib import Path

import pytest

from mlmguard.artifacts import Key
from mlmguard.commands.split import MARKS, split
from mlmguard.corpus.read.documents import Settings
from mlmguard.errors import InputError
from tests.fixtures.elsewhere import filler
from tests.fixtures.workbench import KEY


def corpus(folder: Path, rows: list[dict[str, str]], name: str = "corpus.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def texts_in(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text("utf-8").splitlines()]


TEXTS = filler(200, 5)


def test_every_document_is_on_one_side_and_copies_are_on_the_same(tmp_path):
    near = [f"{text[:-1]}, once more." for text in TEXTS[:60]]
    file = corpus(tmp_path, [{"text": text} for text in (*TEXTS, *TEXTS[60:90], *near)])
    record = split(file, tmp_path / "out", KEY)
    members, others = (texts_in(tmp_path / "out" / f"{name}.jsonl") for name in ("members", "non-members"))
    assert sorted((*members, *others)) == sorted((*TEXTS, *TEXTS[60:90], *near))
    assert record.members == len(members) and record.non_members == len(others)
    assert not set(members) & set(others) and 0.12 < len(others) / 290 < 0.28
    side = {text: k for k, texts in enumerate((members, others)) for text in texts}
    apart = [one for one, other in zip(near, TEXTS) if side[one] != side[other]]
    assert len(apart) <= 3  # few words are not always seen to be near
    assert stat.S_IMODE((tmp_path / "out" / "members.jsonl").stat().st_mode) == 0o600
    written = (tmp_path / "out" / "split.json").read_text()
    assert not any(text in written for text in TEXTS)


def test_the_deal_follows_from_key_and_seed_and_not_from_the_order_of_the_file(tmp_path):
    one = corpus(tmp_path, [{"text": text} for text in TEXTS], "one.jsonl")
    other = corpus(tmp_path, [{"text": text} for text in reversed(TEXTS)], "other.jsonl")
    split(one, tmp_path / "a", KEY)
    assert split(one, tmp_path / "a", KEY) == split(other, tmp_path / "b", KEY)  # the same
    dealt = {name: set(texts_in(tmp_path / name / "non-members.jsonl")) for name in ("a", "b")}
    assert dealt["a"] == dealt["b"]
    for name, key, seed in (("c", KEY, 1), ("d", Key(b"another key that tests use, 32 b"), 0)):
        split(one, tmp_path / name, key, seed)
        assert set(texts_in(tmp_path / name / "non-members.jsonl")) != dealt["a"]
    with pytest.raises(InputError, match="another deal lies there"):
        split(one, tmp_path / "a", KEY, 1)


def test_documents_of_one_unit_are_dealt_together(tmp_path):
    file = corpus(tmp_path, [{"text": text, "author": f"a{k % 40}"} for k, text in enumerate(TEXTS)])
    record = split(file, tmp_path / "out", KEY, reading=Settings(unit_key="author"))
    assert record.parts <= 40 and record.unit_key == "author"
    whose = [
        {json.loads(line)["author"] for line in (tmp_path / "out" / f"{name}.jsonl").read_text().splitlines()}
        for name in ("members", "non-members")
    ]
    assert not whose[0] & whose[1] and len(whose[0] | whose[1]) == 40


def test_a_model_that_is_trained_already_is_refused(tmp_path):
    file = corpus(tmp_path, [{"text": text} for text in TEXTS])
    model = tmp_path / "model"
    model.mkdir()
    with pytest.raises(InputError, match=r"no config\.json"):
        split(file, tmp_path / "out", KEY, model=model)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    assert split(file, tmp_path / "start", KEY, model=model).start_digest
    for mark in MARKS:
        (model / mark).write_text("{}")
        with pytest.raises(InputError, match="trained already"):
            split(file, tmp_path / "out", KEY, model=model)
        (model / mark).unlink()
    with pytest.raises(InputError, match="trained already"):
        split(model, tmp_path / "out", KEY)
    assert not (tmp_path / "out").exists()


def test_too_few_documents_for_an_audit_are_refused(tmp_path):
    file = corpus(tmp_path, [{"text": text} for text in TEXTS[:20]])
    with pytest.raises(InputError, match="at least 10 of each"):
        split(file, tmp_path / "out", KEY)
    same = corpus(tmp_path, [{"text": TEXTS[0]}] * 50, "same.jsonl")
    with pytest.raises(InputError, match="50 documents in 1 parts"):
        split(same, tmp_path / "out", KEY)
