"""Two runs side by side: what came and went, and a source that spoils the rest is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mlmguard import cli
from mlmguard.artifacts import Key
from mlmguard.commands.compare import _suspect, compare
from mlmguard.corpus.clean import source_of
from mlmguard.errors import InputError
from mlmguard.scan import ScanSettings, scan
from mlmguard.train import TrainSettings, train
from mlmguard.training.text.tokenizer import Tokenizer

KEY = Key(b"a key that only tests use, 32 b.")
WORDS = [w for w in Tokenizer.load(None).entries() if w.isalpha() and len(w) > 3]
QUICK = TrainSettings(init="scratch", steps=10, batch_units=16, canaries=0, window=32)


def notes(path: Path, count: int, seed: int, orderly: bool) -> None:
    """Notes that keep to one of eight topics with six words each, or to none."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        for k in range(count):
            topic = 6 * int(rng.integers(8))
            words = WORDS[topic : topic + 6] if orderly else WORDS[:48]
            text = " ".join(str(word) for word in rng.choice(words, 24))
            stream.write(json.dumps({"id": f"{seed}-{k}", "text": text}) + "\n")


def trained(root: Path, name: str, settings: TrainSettings = QUICK) -> Path:
    folder = root / name
    runs = folder / ".mlmguard" / "runs"
    scan(
        folder / "corpus", folder / "clean", folder / "reports", key=KEY,
        settings=ScanSettings(workers=1, near_threshold=1.0), runs=runs,
    )  # fmt: skip
    train(folder / "clean", folder / "ckpt", folder / "reports", settings, runs=runs)
    return folder / "ckpt"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("compare")
    for name in ("old", "new"):
        notes(root / name / "corpus" / "ward" / "notes.jsonl", 400, 1, orderly=True)
    notes(root / "new" / "corpus" / "clinic" / "notes.jsonl", 60, 2, orderly=True)
    notes(root / "new" / "corpus" / "vendor" / "notes.jsonl", 800, 3, orderly=False)
    return trained(root, "old"), trained(root, "new")


def test_rows_are_counted_by_source_and_numbers_stand_side_by_side(pair: tuple[Path, Path]) -> None:
    found = compare(*pair)
    counts = {one.source: (one.came, one.went) for one in found.sources}
    assert set(counts) == {"ward", "clinic", "vendor"}
    assert counts["clinic"][0] > 30 and counts["vendor"][0] > 300 and counts["clinic"][1] == 0
    moved = {one.number: (one.old, one.new) for one in found.numbers}
    assert moved["units"][1] > moved["units"][0] and "heldout_loss" in moved
    assert not found.suspects and found.blamed == ""


def test_the_source_that_spoils_the_rest_is_named(
    pair: tuple[Path, Path], capsys: pytest.CaptureFixture, own_state: Path
) -> None:
    assert cli.run(["compare", *map(str, pair), "--suspects", "--steps", "60", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    gains = {one["source"]: one["gain"] for one in told["suspects"]}
    assert told["blamed"] == "vendor" and gains["vendor"] > 0 > gains["clinic"] - gains["vendor"]
    ledger = (own_state / "ledger.jsonl").read_text()
    assert ledger.count('"event": "start"') == 1 + len(gains)  # all rows, each left out


def test_a_gain_is_the_ratio_of_sums_with_its_usual_interval() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(3, 9, 400).astype(float)
    having = [(float(5 * t + rng.normal()), float(t)) for t in tokens]
    without = [(float(4.8 * t + rng.normal()), float(t)) for t in tokens]
    one = _suspect("x", having, without)
    draws = [rng.integers(0, 400, 400) for _ in range(500)]
    gaps = np.array([a[0] - b[0] for a, b in zip(having, without)])
    again = np.array([gaps[d].sum() / tokens[d].sum() for d in draws])
    assert one.gain == pytest.approx(gaps.sum() / tokens.sum())
    assert one.high - one.low == pytest.approx(2 * 1.96 * again.std(), rel=0.15)


@pytest.mark.parametrize(
    ("row", "source"), [("notes/a.jsonl#1", "notes"), ("notes.jsonl#L1", "notes.jsonl"), ("a.txt", "a.txt")]
)
def test_a_source_is_the_top_level_folder_or_file(row: str, source: str) -> None:
    assert source_of(row) == source


def test_what_cannot_be_left_out_is_refused(pair: tuple[Path, Path]) -> None:
    new = pair[1].parent
    for source, said in (("nowhere", "no training row comes from it"),):
        with pytest.raises(InputError, match=said):
            train(
                new / "clean", new / "x", new / "r", TrainSettings(**{**vars(QUICK), "leave_out": source}),
                runs=new / ".mlmguard" / "runs",
            )  # fmt: skip
    with pytest.raises(InputError, match="no source has rows"):
        compare(pair[1], pair[1], suspects=True)
