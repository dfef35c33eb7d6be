"""One model, however its weights and its tokenizer are stored: the audit says the same of all of them."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM, BertTokenizerFast

from mlmguard.audit import Foreign, audit
from mlmguard.settings import AuditSettings, TrainSettings
from tests.fixtures.workbench import Bench
from tests.loading.test_weights import PREFIXED

pytestmark = pytest.mark.slow

FEW = AuditSettings(documents=40, probed=200, spans=8, searched=16, restarts=4, samples=20, windows=400)
WEIGHTS = "model.safetensors"
Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("same"), notes=240)


@pytest.fixture(scope="module")
def trained(bench: Bench) -> Path:
    """A BERT that has learnt some of its corpus, with vocab.txt and tokenizer.json beside it."""
    start = bench.folder / "start"
    start.mkdir()
    rows = [json.loads(line) for path in (bench.folder / "clean").glob("*.jsonl") for line in path.open()]
    words = sorted({word for row in rows for word in row["text"].lower().split() if word.isalpha()})
    letters = [*map(chr, range(33, 127)), *(f"##{chr(k)}" for k in range(97, 123))]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    entries = list(dict.fromkeys([*special, *letters, *words[:400]]))
    (start / "vocab.txt").write_text("\n".join(entries) + "\n", "utf-8")
    tokenizer = BertTokenizerFast(vocab=str(start / "vocab.txt"))
    tokenizer.save_pretrained(start)
    torch.manual_seed(3)
    small = BertConfig(
        vocab_size=len(entries), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64, architectures=["BertForMaskedLM"],
    )  # fmt: skip
    BertForMaskedLM(small).save_pretrained(start)
    made = bench.train("ckpt", TrainSettings(init=str(start), steps=150, canaries=0, learning_rate=5e-3))
    folder = bench.folder / "trained"
    folder.mkdir()
    for name in ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(made / name, folder)
    shutil.copy(start / "vocab.txt", folder)
    return folder


@pytest.fixture(scope="module")
def data(bench: Bench) -> Foreign:
    files = sorted((bench.folder / "clean").glob("*.jsonl"))
    held_out = bench.folder / "others.jsonl"
    held_out.write_text("".join(path.read_text() for path in files if not path.name.startswith("train")))
    return Foreign(next(path for path in files if path.name.startswith("train")), held_out)


def changed(how: Callable[[Weights], Weights]) -> Callable[[Path], object]:
    return lambda folder: save_file(how(load_file(folder / WEIGHTS)), folder / WEIGHTS, {"format": "pt"})


def cast(*kinds: torch.dtype) -> Callable[[Path], object]:
    def to_each(weights: Weights) -> Weights:
        for kind in kinds:
            weights = {name: weight.to(kind) for name, weight in weights.items()}
        return weights

    return changed(to_each)


def sharded(folder: Path) -> None:
    model = AutoModelForMaskedLM.from_pretrained(folder)
    (folder / WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2


def without(*names: str) -> Callable[[Path], object]:
    return lambda folder: [(folder / name).unlink() for name in names]


def prefixed(which: str) -> Callable[[Path], object]:
    return changed(lambda weights: {PREFIXED[which](name): w.clone() for name, w in weights.items()})


BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
AS_IT_IS: Callable[[Path], object] = lambda folder: None  # noqa: E731
#: how it is stored, and the folder of fp32 weights that it must be scored like
STORED: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "bf16": (cast(BF16), cast(BF16, FP32)),
    "fp16": (cast(FP16), cast(FP16, FP32)),
    "fp64": (cast(torch.float64), AS_IT_IS),
    "sharded": (sharded, AS_IT_IS),
    "sharded bf16": (lambda folder: [cast(BF16)(folder), sharded(folder)], cast(BF16, FP32)),
    **{f"prefixed {which}": (prefixed(which), AS_IT_IS) for which in ("_orig_mod.", "module.", "model.")},
    "prefixed twice": (prefixed("two of them"), AS_IT_IS),
    "without tokenizer.json": (without("tokenizer.json"), AS_IT_IS),
    "without vocab.txt": (without("vocab.txt"), AS_IT_IS),
    "without tokenizer_config.json": (without("tokenizer_config.json"), AS_IT_IS),
    "vocab.txt alone": (without("tokenizer.json", "tokenizer_config.json"), AS_IT_IS),
}


@pytest.fixture(scope="module")
def scores(
    bench: Bench, trained: Path, data: Foreign
) -> Callable[[str, object], dict[str, list[float | None]]]:
    """Every number of an audit by its name; each way to store the model is audited once."""
    known: dict[object, dict[str, list[float | None]]] = {}

    def of(name: str, change: Callable[[Path], object]) -> dict[str, list[float | None]]:
        if change not in known:
            folder = Path(shutil.copytree(trained, bench.folder / name.replace(" ", "-")))
            change(folder)
            records = bench.folder / f"{folder.name}.records.jsonl"
            evidence = audit(folder, bench.folder / "out", FEW, source=data, records=records)
            found = {
                f"{m.attack}.{m.metric}.{m.slice}": [m.value, m.low, m.high, float(m.examples or 0)]
                for m in evidence.measurements
            }
            for row in map(json.loads, records.read_text().splitlines()):
                found[f"{row['attack']} {row['kind']} of {row['document_id']}"] = [row["score"]]
            known[change] = found
        return known[change]

    return of


@pytest.mark.parametrize("name", STORED)
def test_the_audit_says_the_same_however_the_weights_are_stored(name, scores):
    stored, alike = STORED[name]
    found, expected = scores(name, stored), scores(f"like {name}", alike)
    assert found.keys() == expected.keys() and len(found) > 30
    assert not {
        key: (found[key], expected[key]) for key in found if not alike_to_1e4(found[key], expected[key])
    }


def alike_to_1e4(one: list[float | None], other: list[float | None]) -> bool:
    return all(
        a == b or (a is not None and b is not None and math.isclose(a, b, rel_tol=0, abs_tol=1e-4))
        for a, b in zip(one, other, strict=True)
    )


def test_a_model_of_other_weights_is_told_apart(scores):
    """The comparison can fail: weights of fewer digits have other scores than those of all of them."""
    found = scores("a coarse model", changed(lambda w: {k: (v * 8).round() / 8 for k, v in w.items()}))
    expected = scores("the model", AS_IT_IS)
    assert not all(alike_to_1e4(found[key], expected[key]) for key in found.keys() & expected.keys())
