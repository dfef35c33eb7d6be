"""Probes: what is learnable is found, what is not is chance, and a file without labels is refused."""

import json

import numpy as np
import pytest
import torch

from mlmguard.commands import probe as probes
from mlmguard.errors import InputError
from mlmguard.training import checkpoint, downstream
from mlmguard.training.downstream import Scores
from mlmguard.training.text.tokenizer import Tokenizer
from tests.fixtures.folders import edit
from tests.fixtures.models import small

TOKENIZER = Tokenizer.load(None)
CPU = torch.device("cpu")


def model_of(seed=0):
    return small(TOKENIZER, 32, seed, hidden=32)


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def texts(count=160, seed=0, signal=True):
    """Two labels; the words of each come from an own half of the vocabulary where there is a signal."""
    rng = np.random.default_rng(seed)
    words = [word for word in sorted(TOKENIZER.entries()) if word.isalpha() and len(word) > 3]
    sides = words[:15], words[15:30]
    labels = rng.integers(0, 2, count)
    return [
        {
            "text": " ".join(rng.choice(sides[label] if signal else words[:30], 8)),
            "label": ["yes", "no"][label],
        }
        for label in labels
    ]


@pytest.mark.parametrize("method", [downstream.linear_probe, downstream.fine_tune])
@pytest.mark.parametrize("signal", [True, False])
def test_a_signal_is_found_and_its_absence_is_chance(tmp_path, method, signal):
    labelled = downstream.read_labelled(written(tmp_path / "x.jsonl", texts(signal=signal)), "classification")
    model = model_of()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    area = probes.macro_auc(method(model, TOKENIZER, labelled, 32, CPU))
    assert area > 0.8 if signal else 0.2 < area < 0.8
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_words_are_labelled_at_their_first_piece(tmp_path):
    rng = np.random.default_rng(0)
    words = [word for word in sorted(TOKENIZER.entries()) if word.isalpha() and len(word) > 3]
    rows = []
    for _ in range(80):
        said = [str(word) for word in rng.choice(words, 6)]
        labels = ["O"] * 6
        for k in rng.integers(0, 6, 2):
            said[k], labels[k] = f"pharmaco{said[k]}", "DRUG"
        rows.append({"tokens": said, "labels": labels})
    labelled = downstream.read_labelled(written(tmp_path / "x.jsonl", rows), "token-classification")
    scores = downstream.fine_tune(model_of(), TOKENIZER, labelled, 64, CPU, epochs=40, learning_rate=5e-3)
    assert len(scores.truth) == 6 * 24
    assert downstream.macro_f1(scores, labelled.names) > 0.9


def test_f1_and_auc_are_those_of_a_naive_count():
    rng = np.random.default_rng(0)
    p, truth = rng.random((60, 3)), rng.integers(0, 3, 60)
    said = p.argmax(1)
    values = []
    for k in (1, 2):
        tp = sum(a == k == b for a, b in zip(said, truth))
        precision, recall = tp / (said == k).sum(), tp / (truth == k).sum()
        values.append(2 * precision * recall / (precision + recall))
    scores = Scores(p, truth)
    assert downstream.macro_f1(scores, ("O", "A", "B")) == pytest.approx(np.mean(values))
    areas = []
    for k in range(3):
        pairs = [(a > b) + (a == b) / 2 for a in p[truth == k, k] for b in p[truth != k, k]]
        areas.append(np.mean(pairs))
    assert probes.macro_auc(scores) == pytest.approx(np.mean(areas))


@pytest.mark.parametrize(
    "rows, said",
    [
        ([{"text": "a"}] * 30, 'line 1: no "text" with its "label"'),
        ([{"text": "a", "label": "x"}] * 30, "30 rows with 1 labels"),
        ([{"text": "a", "label": "x"}, {"text": "b", "label": "y"}], "2 rows with 2 labels"),
        (["not a row"], "line 1"),
        ([{"text": "\ud800", "label": "x"}] * 30, "line 1: half of a character"),
    ],
)
def test_a_file_without_labels_is_refused_in_one_line(tmp_path, rows, said, capsys):
    from mlmguard.cli import run

    data = written(tmp_path / "labels.jsonl", rows)
    assert run(["probe", str(tmp_path), "--task", "classification", "--data", str(data)]) == 2
    err = capsys.readouterr().err
    assert said in err and len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("labels", [["O"], 5, "OO", {"0": "O", "1": "O"}, []])
def test_words_that_do_not_match_their_labels_are_refused(tmp_path, labels):
    data = written(tmp_path / "x.jsonl", [{"tokens": ["a", "b"], "labels": labels}] * 30)
    with pytest.raises(InputError, match="do not match"):
        downstream.read_labelled(data, "token-classification")


@pytest.mark.parametrize("raw", [b"\xff", b"[" * 100_000, b"\x1b[2J", b"5" * 9_000])
def test_bytes_that_are_no_labelled_file_are_one_line(tmp_path, raw, capsys):
    from mlmguard.cli import run

    (tmp_path / "x.jsonl").write_bytes(raw)
    assert run(["probe", str(tmp_path), "--task", "classification", "--data", str(tmp_path / "x.jsonl")]) == 2
    err = capsys.readouterr().err
    assert len(err.strip().splitlines()) == 1 and "\x1b" not in err


@pytest.mark.parametrize("change", [{"layer_norm_eps": -1.0}, {"chunk_size_feed_forward": 7}])
def test_a_model_that_gives_no_numbers_is_not_measured(tmp_path, change, capsys):
    from mlmguard.cli import run

    checkpoint.save_weights(tmp_path / "m", model_of(0), TOKENIZER)
    edit(tmp_path / "m" / "config.json", lambda config: config.update(change))
    data = written(tmp_path / "x.jsonl", texts())
    at = str(tmp_path / "m")
    assert run(["probe", at, "--before", at, "--task", "classification", "--data", str(data), "-q"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_probe_measures_before_and_after(tmp_path, capsys):
    from mlmguard.cli import run

    for name, seed in (("before", 1), ("after", 0)):
        checkpoint.save_weights(tmp_path / name, model_of(seed), TOKENIZER)
    data = written(tmp_path / "x.jsonl", texts())
    arguments = ["probe", str(tmp_path / "after"), "--task", "classification", "--data", str(data)]
    assert run([*arguments, "--before", str(tmp_path / "before"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["model"], row["method"]) for row in rows] == [
        (model, method) for model in ("before", "after") for method in ("linear probe", "fine-tuned")
    ]
    assert all(row["low"] <= row["value"] <= row["high"] and row["examples"] == 48 for row in rows)
    assert run(arguments) == 2 and "--before" in capsys.readouterr().err
