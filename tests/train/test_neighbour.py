"""The neighbour test: what a record that no step drew leaves behind in a private checkpoint. Nothing.

Coins, draws, noise and the outputs of the other noised releases are fixed here; whatever then differs between
training on D and on D with one more record is a leak that no accountant counts.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlmguard.artifacts import Key
from mlmguard.scan import ScanSettings, scan
from mlmguard.train import TrainSettings, initial, planning, run, train
from mlmguard.training import mechanism
from mlmguard.training.privacy import releases
from mlmguard.training.privacy.randomness import NoiseSource
from mlmguard.training.privacy.self_audit import SelfAudit
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import LedgerEntry

KEY = Key(b"a key that only tests use, 32 b.")
RECORDS = 40
BASE = {
    "init": "scratch", "dp_epsilon": 8.0, "steps": 2, "batch_units": 20, "window": 32, "canaries": 4,
    "learning_rate": 1e-3,
}  # fmt: skip

OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "unit": ({"unit": "document"}, {"unit": "sequence"}, {"unit_key": "author"}),
    "tokenizer": ({}, {"tokenizer": "dp"}),
    "adapt": ({}, {"adapt": "lora"}, {"adapt": "bitfit"}),
    "objective": ({}, {"objective": "mlm+sop"}),
    "quiet": ({}, {"quiet_metrics": True}),
    "windows": ({}, {"augmentation_multiplicity": 3}),
    "size": ({"public_size": 400}, {}),
}
EVERY = [
    chosen
    for parts in itertools.product(*OPTIONS.values())
    if not {("unit", "sequence"), ("tokenizer", "dp")}
    <= (chosen := dict(itertools.chain(*map(dict.items, parts)))).items()
]  # a noised vocabulary of pieces is refused
# every choice of every option, and most pairs of choices; all 240 run where MLMGUARD_ALL_NEIGHBOURS is set
QUICK = [EVERY[0], EVERY[-1]]
SOME = EVERY if os.environ.get("MLMGUARD_ALL_NEIGHBOURS") else [EVERY[k] for k in range(4, 240, 27)]


def words(seed: int, count: int = 60) -> str:
    known = [word for word in Tokenizer.load(None).entries() if word.isalpha() and len(word) > 3]
    return " ".join(np.random.default_rng(seed).choice(known, count))


def scanned(folder: Path, rows: list[dict[str, str]], key: str | None) -> Path:
    (folder / "corpus").mkdir(parents=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "corpus" / "notes.jsonl").write_text(lines)
    settings = ScanSettings(workers=1, splits="1,0,0", unit_key=key)
    scan(
        folder / "corpus", folder / "clean", folder / "reports", key=KEY, settings=settings,
        runs=folder / "runs",
    )  # fmt: skip
    return folder


def corpora(folder: Path, key: str | None) -> tuple[Path, Path, Path]:
    """D; D and one more record, the last of the training rows; D with other texts of its first author."""
    rows = [
        {"id": f"n{k}", "author": f"a{k // 2}", "text": f"{words(2 * k)}. {words(2 * k + 1)}."}
        for k in range(RECORDS)
    ]
    extra = {"id": "z", "author": "z", "text": f"{words(900)}. {words(901)}. {words(902)}."}
    others = [{**row, "text": f"{words(950 + k)}. {words(960 + k)}."} for k, row in enumerate(rows[:2])]
    changed = [*others, *rows[2:]]  # all that the first author wrote
    return (
        scanned(folder / "d", rows, key),
        scanned(folder / "more", [*rows, extra], key),
        scanned(folder / "changed", changed, key),
    )


@pytest.fixture(scope="module")
def by_document(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return corpora(tmp_path_factory.mktemp("documents"), None)


@pytest.fixture(scope="module")
def by_author(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return corpora(tmp_path_factory.mktemp("authors"), "author")


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Coins, draws and noise from known seeds; the noised count and vocabulary as given."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setattr("secrets.token_hex", lambda count: "0" * 2 * count)
    for module in (mechanism, releases, run):
        monkeypatch.setattr(module, "private_rng", lambda: np.random.default_rng(0))
    monkeypatch.setattr(mechanism, "noise_source", lambda: NoiseSource(bytes(32)))
    monkeypatch.setattr(
        releases, "noisy_count", lambda count: (400, LedgerEntry("discrete-laplace", epsilon=0.05))
    )
    vocabulary = {"alpha": 9.0, "beta": 7.0}
    spent = LedgerEntry("gaussian-threshold", 40.0, steps=1, delta=1e-6)
    monkeypatch.setattr(releases, "noisy_words", lambda *given: (vocabulary, spent))

    def the_first_units(count: int, rate: float, rng: object) -> np.ndarray[Any, Any]:
        """Some canaries, the same at every step, and the first units of text; never the last one."""
        canaries = audits[-1].taking_part
        return np.concatenate([np.arange(0, canaries, 2), canaries + np.arange(10)])

    audits: list[SelfAudit] = []
    drawn = SelfAudit.draw
    monkeypatch.setattr(
        SelfAudit,
        "draw",
        lambda *given: audits.append(drawn(*given)) or audits[-1],  # type: ignore[func-returns-value]
    )
    monkeypatch.setattr(mechanism, "poisson_draw", the_first_units)
    assert initial.releases is releases and planning.releases is releases
    yield


def files(place: Path, settings: dict[str, Any]) -> dict[str, bytes]:
    ckpt = place / "ckpt"
    whole = TrainSettings(**{**BASE, **settings})
    train(place / "clean", ckpt, place / "reports", whole, runs=place / "runs", overwrite=True)
    return {
        path.relative_to(ckpt).as_posix(): path.read_bytes() for path in ckpt.rglob("*") if path.is_file()
    }


def name_of(settings: dict[str, Any]) -> str:
    return "-".join(str(value) for value in settings.values())


def check(settings: dict[str, Any], corpora: tuple[Path, Path, Path]) -> None:
    base, more, changed = (files(place, settings) for place in corpora)
    assert len(base) >= 5 and base.keys() == more.keys() == changed.keys()
    assert [name for name in base if base[name] != more[name]] == []
    # the text of a unit that was drawn: in the weights, through the noise, and in nothing else
    assert base["model.safetensors"] != changed["model.safetensors"]
    assert [name for name in base if without_digests(base[name]) != without_digests(changed[name])] == [
        "model.safetensors"
    ]


DIGESTS = ("digest", "digests", "seal")


def without_digests(data: bytes) -> object:
    """A JSON file without the digests and seals of the weights; another file as it is."""
    try:
        told = json.loads(data)
    except (UnicodeDecodeError, ValueError):
        return data
    return (
        {name: value for name, value in told.items() if name not in DIGESTS}
        if isinstance(told, dict)
        else told
    )


@pytest.mark.parametrize("settings", QUICK, ids=name_of)
def test_a_record_that_no_step_drew_leaves_no_trace(settings, fixed, request):
    corpora = request.getfixturevalue("by_author" if "unit_key" in settings else "by_document")
    check(settings, corpora)


@pytest.mark.slow
@pytest.mark.parametrize("settings", SOME, ids=name_of)
def test_it_leaves_none_under_any_options(settings, fixed, request):
    corpora = request.getfixturevalue("by_author" if "unit_key" in settings else "by_document")
    check(settings, corpora)
