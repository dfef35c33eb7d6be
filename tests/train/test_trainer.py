"""The training verb: what its options do to a whole run, what it measures, and what it refuses."""

import json
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlmguard.artifacts import Key, hold, read_json
from mlmguard.audit import Ours, checkpoint
from mlmguard.errors import InputError
from mlmguard.policy.judging import judge
from mlmguard.policy.reading import load
from mlmguard.scan import ScanSettings, scan
from mlmguard.train import TrainSettings, released, train
from mlmguard.training import checkpoint as released_folder
from mlmguard.training import evaluation, gradients, loop, models, modes
from mlmguard.training.privacy import claim
from mlmguard.training.privacy.ledger import CorpusLedger
from mlmguard.training.text import masking
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import Watcher
from tests.fixtures.evidence import claiming, clean
from tests.fixtures.models import small

TESTS = Path(__file__).parents[1]
TOKENIZER = Tokenizer.load(None)
PLAIN = TrainSettings(init="scratch", steps=12, batch_units=16, canaries=0, window=32)
PRIVATE = TrainSettings(
    init="scratch", dp_epsilon=8, steps=3, canaries=0, public_size=600, batch_units=300, window=32
)


def scanned(folder, notes=60, splits=None):
    """Notes with an address each, cleaned so that a pseudonym stands there."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    rng = np.random.default_rng(0)
    words = [word for word in TOKENIZER.entries() if word.isalpha() and len(word) > 3]
    said = [" ".join(rng.choice(words, 20)) for _ in range(2 * notes)]
    rows = [
        {"id": f"n{k}", "text": f"{said[2 * k]} write to q{k}@example.org {said[2 * k + 1]}"}
        for k in range(notes)
    ]
    (corpus / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = ScanSettings(workers=1, mode="pseudonym", **({"splits": splits} if splits else {}))
    key = Key(b"a key that only tests use, 32 b.")
    scan(corpus, folder / "clean", folder / "reports", key=key, settings=settings, runs=runs(folder))
    return folder


def runs(folder):
    return folder / ".mlmguard" / "runs"


def trained(folder, settings, tell=lambda line: None, stop=bool, **options):
    places = (folder / "clean", folder / "ckpt", folder / "reports")
    watcher = Watcher(tell=tell, stop=stop)
    return train(*places, settings, runs=runs(folder), watcher=watcher, **{"overwrite": True, **options})


def with_(settings, **changes):
    return TrainSettings(**{**vars(settings), **changes})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return scanned(tmp_path_factory.mktemp("trainer"))


# --- options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [PLAIN, PRIVATE], ids=["plain", "private"])
def test_every_option_that_both_kinds_of_run_take_reaches_the_run(place, base):
    changes = {
        "masking": "span", "mask_rate": 0.4, "final_mask_rate": 0.2, "mask_mix": "100/0/0",
        "pii_targets": "exclude", "objective": "mlm+sop", "schedule": "cosine", "warmup_steps": 2,
        "micro_tokens": 256, "gradient_checkpointing": True,
    }  # fmt: skip
    result = trained(place, with_(base, **changes))
    recipe = read_json(runs(place) / result.statement.run_id / "run.json")["recipe"]
    assert recipe["masking"] == {
        "strategy": "span", "rate": 0.4, "final_rate": 0.2, "mix": [1.0, 0.0, 0.0], "pii": "exclude",
        "static": False,
    }  # fmt: skip
    assert (recipe["objective"], recipe["schedule"], recipe["warmup_steps"]) == ("mlm+sop", "cosine", 2)
    assert recipe["micro_tokens"] == 256
    assert result.facts["masking"] == "span, 100/0/0, the rate goes to 0.2, findings: exclude, dynamic"
    assert result.statement.steps_applied == base.steps


def test_findings_are_never_predicted_when_they_are_excluded(place, monkeypatch):
    """Every token of every address the scan found, in whatever window it is drawn, stays without a label."""

    seen, original = [], gradients.plain_gradient

    def look(model, examples, *rest):
        seen.extend(examples)
        return original(model, examples, *rest)

    monkeypatch.setattr(gradients, "plain_gradient", look)
    trained(place, with_(PLAIN, pii_targets="exclude", mask_rate=0.5, steps=20, mask_mix="0/0/100"))
    addressed = predicted = 0
    for ids, labels in seen:
        text = TOKENIZER.tokens(ids.tolist())
        for k, token in enumerate(text):
            if token in ("<", ">"):  # the stand-in that a pseudonym begins and ends with
                addressed += 1
                predicted += int(labels[k] != masking.IGNORED)
    assert addressed > 100 and predicted == 0


def test_windows_of_a_stride_cover_every_document_as_rows_of_an_epoch(place):
    whole, cut = trained(place, PLAIN), trained(place, with_(PLAIN, stride=15))
    assert cut.unprotected["units"] > 2 * whole.unprotected["units"]


def test_a_packed_run_is_the_unpacked_one(place, monkeypatch):
    """Step by step, but for the rounding of sums, which the optimiser widens in twelve steps (to 1.8e-6, seen
    once); several texts fit a window.

    Without dropout, whose draws depend on the shape of a batch.
    """
    monkeypatch.setattr(modes, "PLAIN_DROPOUT", 0.0)
    loose, packed = (losses(place, with_(PLAIN, window=256, packing=packing)) for packing in (False, True))
    assert len(loose) == PLAIN.steps and packed == pytest.approx(loose, rel=1e-5)


def losses(folder, settings):
    """The training loss of every step."""
    run = trained(folder, settings).statement.run_id
    return read_json(runs(folder) / run / "metrics.json")["curves"]["loss"]


def test_an_early_stop_is_said_and_recorded(place):
    said = []
    settings = with_(PLAIN, steps=400, learning_rate=2e-2, early_stop=2, evaluate_every=20)
    result = trained(place, settings, tell=said.append)
    assert len(said) == 1 and "stopped falling" in said[0]
    assert result.statement.steps_applied < 400
    metrics = read_json(runs(place) / result.statement.run_id / "metrics.json")
    best = min(one["validation"] for one in metrics["evaluations"])
    assert (
        f"back to step {next(e['step'] for e in metrics['evaluations'] if e['validation'] == best)}"
        in said[0]
    )


@pytest.mark.parametrize("base", [PLAIN, PRIVATE], ids=["plain", "private"])
def test_what_breaks_after_the_last_step_goes_on_from_there(place, monkeypatch, base):
    def full(*given):
        raise OSError("no space left")

    settings = with_(base, micro_tokens=4100)  # a run of its own
    with monkeypatch.context() as patch:
        patch.setattr(released, "release", full)
        with pytest.raises(OSError):
            trained(place, settings)
    statement = trained(place, settings).statement
    assert statement.steps_applied == base.steps
    assert sum(entry.steps for entry in statement.ledger) == (base.steps if settings.private else 0)


def test_nobody_else_can_write_to_a_checkpoint_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        released_folder.save(
            tmp_path / "out" / "ckpt", models.fresh("nano", TOKENIZER, 32, 0.0, 1), TOKENIZER, {}, "card",
            lambda folder: clean().statement,
        )  # fmt: skip
    finally:
        os.umask(before)
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").rglob("*")}
    assert found.pop("ckpt") == 0o755 and set(found.values()) == {0o644} and "config.json" in found
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o750


class Killed(BaseException):
    """What no handler of ours is there for."""


@pytest.mark.parametrize(("dies_at", "applied"), [(1, 11), (9, 3)], ids=["second step", "tenth step"])
def test_a_private_run_that_was_killed_says_what_reached_the_weights(place, monkeypatch, dies_at, applied):
    """State is there from the first step on; what was charged after it and lost is told and warned of."""
    settings = with_(PRIVATE, steps=12, seed=dies_at)
    charge = loop.Journal.charge

    def dies(journal, step, drawn):
        charge(journal, step, drawn)
        if step == dies_at:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop.Journal, "charge", dies)
        with pytest.raises(Killed):
            trained(place, settings)
    statement = trained(place, settings).statement
    assert (statement.steps_applied, statement.ledger[-1].steps) == (applied, 12)
    lost = applied < 0.9 * 12
    assert [w.startswith(f"{applied} of 12 steps") for w in statement.warnings] == [True] * lost
    evidence = claiming(clean(), replace(statement, epsilon=7.98))
    verdict = next(v for v in judge(load("base"), evidence).verdicts if v.rule == "dp-steps-applied")
    assert (verdict.status, f"{applied} of 12 charged" in verdict.reason) == (
        ("warn", True) if lost else ("pass", False)
    )


def test_of_two_that_go_on_with_one_run_the_second_is_refused(place, monkeypatch):
    """Each would charge the same steps, and spend them."""
    settings = with_(PRIVATE, steps=4, seed=77)
    charge = loop.Journal.charge

    def dies(journal, step, drawn):
        charge(journal, step, drawn)
        if step == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop.Journal, "charge", dies)
        with pytest.raises(Killed):
            trained(place, settings)
    [run] = [p.parent for p in runs(place).glob("*/run.json") if read_json(p).get("status") == "running"]
    before = (run / "ledger.jsonl").read_bytes()
    other = hold(run)
    with pytest.raises(InputError, match="another process works in it"):
        trained(place, settings)
    assert (run / "ledger.jsonl").read_bytes() == before
    os.close(other)
    assert trained(place, settings).statement.ledger[-1].steps == 4


def test_16_bit_passes_train_as_32_bit_ones_do(place):
    whole, short = (trained(place, with_(PLAIN, precision=precision)) for precision in ("fp32", "bf16"))
    assert (whole.facts["precision"], short.facts["precision"]) == ("fp32", "bf16")
    assert short.unprotected["heldout_loss"] == pytest.approx(whole.unprotected["heldout_loss"], abs=0.05)
    assert short.unprotected["heldout_loss"] != whole.unprotected["heldout_loss"]


@pytest.mark.slow
def test_compiled_layers_compute_the_same_and_leave_a_plain_checkpoint(place, monkeypatch):
    """Step by step; without dropout, which a compiler draws in an order of its own."""
    monkeypatch.setattr(modes, "PLAIN_DROPOUT", 0.0)
    whole, fused = (losses(place, with_(PLAIN, size="mini", compile=flag)) for flag in (False, True))
    assert len(whole) == PLAIN.steps and fused == pytest.approx(whole, rel=1e-6)
    assert models.load(place / "ckpt")[1]


@pytest.mark.slow
def test_without_a_compiler_compile_is_refused_in_one_line(place, tmp_path):
    """In a process of its own, because what was compiled once is kept."""
    lacking = {**os.environ, "CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "kept")}
    command = ["-m", "mlmguard", "train", "--init", "scratch", "--steps", "2", "--compile", "--overwrite"]
    ended = subprocess.run(
        [sys.executable, *command], cwd=place, env=lacking, capture_output=True, text=True, check=False
    )
    assert (
        ended.returncode == 2 and "--compile: nothing can be compiled here" in ended.stderr.splitlines()[-1]
    )


# --- what is measured ---------------------------------------------------------------------------------


def test_what_is_measured_lies_in_the_run_folder_and_holds_no_text(place):
    result = trained(place, with_(PLAIN, evaluate_every=4))
    numbers = result.unprotected
    assert numbers["heldout_perplexity"] == pytest.approx(np.exp(numbers["heldout_loss"]))
    assert numbers["heldout_top5_accuracy"] >= numbers["heldout_accuracy"]
    assert 0 < numbers["vocabulary_seen_often"] < numbers["vocabulary_seen"] < 1
    assert numbers["tokens_per_second"] > 0 and numbers["heldout_rare_tokens"] > 0
    assert numbers["heldout_personal_tokens"] > 0
    assert 0 < result.facts["latency_p50_ms"] <= result.facts["latency_p95_ms"]
    folder = runs(place) / result.statement.run_id
    metrics = read_json(folder / "metrics.json")
    assert (folder / "metrics.json").stat().st_mode & 0o077 == 0
    assert sum(metrics["token_histogram"].values()) == len(TOKENIZER)
    assert {len(curve) for curve in metrics["curves"].values()} == {12}
    assert set(metrics["curves"]) == {
        "loss", "rate", "gradient_norm", "tokens", "seconds", "loading_seconds",
    }  # fmt: skip
    assert 0 < numbers["loading_share"] < 1
    assert result.facts["memory_gib"] > 0.1
    if result.facts["device"] == "cpu":
        assert result.facts["gpu_utilisation"] == result.facts["gpu_memory_gib"] == "not available"
    assert 0 < len(metrics["samples"]) <= evaluation.SAMPLES
    for sample in metrics["samples"]:
        assert {sample["hidden"], sample["predicted"]} <= {"word", "piece", "number", "punctuation"}
        assert sample["rank"] >= 1 and 0 <= sample["probability"] <= 1
    curves = evaluation.recorded_curves(folder / "metrics.json")
    assert [(c.name, c.series) for c in curves] == [
        ("training loss", "training"), ("learning rate", "training"), ("gradient norm", "training"),
        ("training loss", "validation"), ("token frequency", "training text"),
    ]  # fmt: skip
    assert curves[3].x == (4.0, 8.0, 12.0)
    assert curves[4].x[:3] == (0.0, 1.0, 2.0) and sum(curves[4].y) == len(TOKENIZER)


def test_the_histogram_counts_every_entry_once_by_powers_of_two():
    small = Tokenizer(None, 8, 4, frozenset({0}), 0, 0, 0)
    counts = np.array([0, 9, 3, 1, 2, 0, 0, 0])
    apart = evaluation.HeldOutTexts([], 0, counts, small, 16)
    assert apart.histogram() == {"0": 4, "1": 1, "2": 2, "4": 0, "8": 1}
    assert apart.coverage() == {"vocabulary_seen": 4 / 7, "vocabulary_seen_often": 0.0}


def test_ranks_and_places_are_counted_as_a_naive_loop_does(place):
    """Top 1, top 5, rare and personal accuracy beside one forward pass a window."""
    import torch

    model = small(TOKENIZER).eval()
    rng = np.random.default_rng(0)
    # the answers that the model gives are put into the text, so that there are hits to count
    texts = [rng.choice([*rng.integers(10, len(TOKENIZER), 5), 17], 24) for _ in range(30)]
    with torch.no_grad():
        model.cls.predictions.bias[17] = 5.0
        model.cls.predictions.bias[texts[0][0]] = 4.0
    rare = np.arange(len(TOKENIZER)) % 2 == 1
    personal = [rng.random(24) < 0.3 for _ in texts]
    unigram = evaluation.unigram_log_probabilities(
        np.bincount(np.concatenate(texts), minlength=len(TOKENIZER))
    )
    cpu = torch.device("cpu")
    found = evaluation.held_out(model, texts, unigram, TOKENIZER, 32, cpu, rare=rare, personal=personal)
    again = np.random.default_rng(0)
    expected = np.zeros((6, 30))
    for k, ids in enumerate(texts):
        framed = np.concatenate([[TOKENIZER.cls], ids, [TOKENIZER.sep]])
        chosen = again.permutation(np.arange(1, 25))[:4]
        shown = framed.copy()
        shown[chosen] = TOKENIZER.mask_id
        logits = model(input_ids=torch.from_numpy(shown)[None]).logits[0].detach().numpy()
        for place_ in chosen:
            order = np.argsort(-logits[place_])
            truth, seldom, named = framed[place_], rare[framed[place_]], personal[k][place_ - 1]
            hit = order[0] == truth
            expected[:, k] += [hit, truth in order[:5], hit & seldom, seldom, hit & named, named]
    got = (
        found.hits,
        found.top_5,
        found.rare_hits,
        found.rare_tokens,
        found.personal_hits,
        found.personal_tokens,
    )
    assert np.array_equal(np.stack(got), expected) and expected.min(1).max() == 0 < expected.sum(1).min()


def test_a_quiet_private_run_computes_no_number_on_private_text(place):
    loud, quiet = (trained(place, with_(PRIVATE, quiet_metrics=flag)) for flag in (False, True))
    assert loud.unprotected["heldout_loss"] > 0 and quiet.unprotected == {}
    metrics = read_json(runs(place) / quiet.statement.run_id / "metrics.json")
    assert set(metrics["curves"]) == {"loss", "rate", "gradient_norm"} and not metrics["curves"]["loss"]
    assert "samples" not in metrics and "token_histogram" not in metrics
    assert "held-out" in " ".join(loud.statement.unprotected + loud.statement.data_accesses)
    assert "held-out" not in " ".join(quiet.statement.unprotected + quiet.statement.data_accesses)


# --- what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "base, change, said",
    [
        (PLAIN, {"mask_rate": 0.0}, "--mask-rate: 0"),
        (PLAIN, {"mask_rate": 1.0}, "--mask-rate: 1"),
        (PLAIN, {"mask_rate": float("nan")}, "--mask-rate: nan"),
        (PLAIN, {"final_mask_rate": 1.0}, "--final-mask-rate"),
        (PLAIN, {"learning_rate": 0.0}, "--learning-rate: 0"),
        (PLAIN, {"learning_rate": -1.0}, "--learning-rate: -1"),
        (PLAIN, {"learning_rate": float("nan")}, "--learning-rate: nan"),
        (PLAIN, {"max_grad_norm": 0.0}, "--max-grad-norm: 0"),
        (PLAIN, {"mask_mix": "80/20"}, "--mask-mix"),
        (PLAIN, {"masking": "syllable"}, "--masking"),
        (PLAIN, {"schedule": "stepwise"}, "--schedule"),
        (PLAIN, {"static_masks": True, "final_mask_rate": 0.3}, "--final-mask-rate"),
        (PLAIN, {"stride": 31}, "--stride 31: it leaves tokens out"),
        (PLAIN, {"early_stop": -1}, "--early-stop"),
        (PRIVATE, {"objective": "mlm+nsp"}, r"--objective mlm\+nsp"),
        (PRIVATE, {"packing": True}, "--packing"),
        (PRIVATE, {"stride": 10}, "--stride"),
        (PRIVATE, {"early_stop": 2}, "--early-stop"),
        (PRIVATE, {"evaluate_every": 2}, "--evaluate-every"),
        (PRIVATE, {"compile": True}, "--compile: a private run"),
        (PRIVATE, {"precision": "fp16"}, "--precision fp16: a private run"),
        (PLAIN, {"precision": "fp8"}, "--precision: 'fp8'"),
        (PLAIN, {"init": str(TESTS)}, "no tokenizer loads from it"),
        (PRIVATE, {"tokenizer": str(TESTS)}, "no tokenizer loads from it"),
        (PRIVATE, {"delta": 0.5}, "--delta: 0.5"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(place, base, change, said):
    before = sorted(runs(place).rglob("*"))
    with pytest.raises(InputError, match=said) as refused:
        trained(place, with_(base, **change))
    assert refused.value.exit_code == 2 and sorted(runs(place).rglob("*")) == before


def test_a_refusal_that_has_told_the_noised_number_of_units_is_charged(tmp_path):
    folder = scanned(tmp_path, notes=20)
    told = set()
    for _ in range(2):
        # for a δ larger than 1/n, or, where the noise made one unit of twenty, for too few of them
        with pytest.raises(InputError, match=r"--delta|units \(counted under noise.*are too few") as refused:
            trained(folder, with_(PRIVATE, public_size=None, delta=0.5))
        told.add(str(refused.value))
    assert len(told) == 1  # not drawn anew: an average over many tries would tell the number
    (run,) = CorpusLedger(runs(folder)).read()
    assert [entry.what for entry in run.entries] == ["number of units"] and not run.finished


def test_a_refusal_leaves_an_interrupted_run_as_it_is(tmp_path, monkeypatch):
    folder = scanned(tmp_path, notes=20)
    stops = iter([False, True])
    with pytest.raises(loop.Interrupted):
        trained(folder, PRIVATE, stop=lambda: next(stops))
    before = {path: path.read_bytes() for path in runs(folder).rglob("*") if path.is_file()}

    def refuse(*arguments):
        raise InputError("something", "wrong", "right")

    monkeypatch.setattr("mlmguard.train.data.tokenised", refuse)
    with pytest.raises(InputError, match="something"):
        trained(folder, PRIVATE)
    assert {path: path.read_bytes() for path in runs(folder).rglob("*") if path.is_file()} == before


def test_an_empty_validation_split_cannot_stop_a_run(tmp_path):
    folder = scanned(tmp_path, notes=20, splits="1,0,0")
    with pytest.raises(InputError, match="an empty validation split"):
        trained(folder, with_(PLAIN, early_stop=2))


def test_findings_need_the_run_folder_of_the_scan(tmp_path):
    folder = scanned(tmp_path, notes=20)
    (next(runs(folder).glob("scan-*")) / "spans.jsonl").unlink()
    with pytest.raises(InputError, match="--pii-targets: the run folder of scan-"):
        trained(folder, with_(PLAIN, pii_targets="exclude"))


def test_a_tokenizer_of_another_model_is_refused_even_with_as_many_entries(place, tmp_path):
    trained(place, PLAIN)
    entries = sorted(TOKENIZER.entries(), key=TOKENIZER.entries().get)
    config = json.loads((place / "ckpt" / "tokenizer.json").read_text())
    swapped = dict(zip([*entries[:5], *entries[:4:-1]], range(len(entries))))
    config["model"]["vocab"] = swapped
    other = tmp_path / "other"
    TOKENIZER.save(other)
    (other / "tokenizer.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"not the tokenizer of .* of 2,048 ids mean other tokens"):
        trained(place, with_(PLAIN, init=str(place / "ckpt"), tokenizer=str(other)))


# --- shards that are not what the scan wrote ----------------------------------------------------------


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """Fifty-four training rows in seven files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["mlmguard.scan.write"], "SHARD_ROWS", 8)
        return scanned(tmp_path_factory.mktemp("sharded"))


@pytest.fixture
def shards(sharded, tmp_path):
    """A copy of them that a test may damage."""
    return shutil.copytree(sharded, tmp_path / "shards")


def lines(path):
    return path.read_text().splitlines(keepends=True)


def test_a_damaged_shard_is_left_out_and_named_wherever_the_run_is_told_of(shards):
    said = []
    damaged = shards / "clean" / "train-00001.jsonl"
    whole = damaged.read_text()
    lost = {json.loads(line)["id"] for line in lines(damaged)}
    damaged.write_text(whole.replace("write to", "wrote to", 1))
    for settings in (with_(PLAIN, max_lost=0.2), with_(PRIVATE, max_lost=0.2)):
        result = trained(shards, settings, tell=said.append)
        assert [one.shard for one in result.left_out] == ["train-00001.jsonl"]
        assert said.pop() == (
            "train-00001.jsonl is left out: changed since it was written; it held 8 train documents"
        )
        assert read_json(shards / "reports" / "train.json")["left_out"][0]["documents"] == 8
        assert result.unprotected["units"] == len(set(all_rows(shards)) - lost)
        (hazard,) = [one for one in result.statement.hazards if one.id == "damaged-input"]
        assert hazard.status == "present" and "train-00001.jsonl" in hazard.detail
    assert result.statement.covers.endswith("for the rows of clean/train that were read")
    damaged.write_text(whole)  # mended afterwards, it still was not trained on
    found = checkpoint.read(shards / "ckpt", Ours(runs=runs(shards)))
    assert {row["id"] for row in found.members} == set(all_rows(shards)) - lost


def all_rows(folder):
    return [json.loads(line)["id"] for path in (folder / "clean").glob("train-*") for line in lines(path)]


def test_a_shards_number_is_not_told_where_it_would_tell_the_size():
    hidden = claim.damaged_input(["train-00031.jsonl"], True, named=False)
    assert hidden.status == "present" and "31" not in hidden.detail
    assert claim.damaged_input([], False, named=True).status == "unknown"


def test_more_than_the_stated_share_refuses_before_anything_is_written(shards):
    (shards / "clean" / "train-00001.jsonl").unlink()
    with pytest.raises(InputError, match=r"train-00001.jsonl: missing; with it 15% of the train documents"):
        trained(shards, PLAIN)
    assert not list(runs(shards).glob("train-*")) and not (shards / "ckpt").exists()


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda rows: rows[:-1], r"7 rows, 8 by the manifest"),
        (lambda rows: [rows[0], '{"id": "n1"}\n', *rows[2:]], r"line 2: not a row of clean text"),
        (lambda rows: [rows[0], rows[1][:20] + "\n", *rows[2:]], r"line 2: not a row of clean text"),
        (lambda rows: [rows[0].replace("write", "wr\0te"), *rows[1:]], r"line 1: not a row of clean text"),
    ],
)
def test_without_the_scans_digests_a_shard_is_read_and_counted(shards, damage, said):
    shutil.rmtree(next(runs(shards).glob("scan-*")))
    path = shards / "clean" / "train-00002.jsonl"
    path.write_text("".join(damage(lines(path))))
    with pytest.raises(InputError, match=f"train-00002.jsonl: {said}"):
        trained(shards, PLAIN)
    result = trained(shards, with_(PLAIN, max_lost=0.2))
    assert [one.split for one in result.left_out] == ["train"]


def test_a_manifest_that_names_other_files_is_refused(shards):
    path = shards / "clean" / "manifest.json"
    manifest = read_json(path)
    manifest["outputs"] = manifest["outputs"][1:]
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"manifest.json: it names other files than the scan wrote"):
        trained(shards, with_(PLAIN, max_lost=1.0))


# --- the commands -------------------------------------------------------------------------------------


def test_mask_shows_every_strategy_and_underlines_findings(capsys):
    from mlmguard.cli import run

    text = "The pharmacokinetics were sent to anna.smith@example.org before the meeting on anticoagulation."
    assert run(["mask", text, "--json", "--mask-rate", "0.3"]) == 0
    shown = {one["strategy"]: one["pieces"] for one in json.loads(capsys.readouterr().out)}
    assert list(shown) == [
        "token", "word", "span", "token, findings masked more", "token, findings excluded",
    ]  # fmt: skip
    personal = [piece for piece in shown["token, findings excluded"] if piece["personal"]]
    assert len(personal) > 5 and not any(piece["fate"] for piece in personal)
    assert run(["mask", text]) == 0
    screen = capsys.readouterr().out
    assert "[MASK]" in screen and "token, findings masked more (" in screen


@pytest.mark.parametrize(
    "arguments", [["mask", ""], ["mask", "a word", "--mask-rate", "1"], ["mask", "a", "--mask-mix", "1"]]
)
def test_mask_refuses_in_one_line(arguments, capsys):
    from mlmguard.cli import run

    assert run(arguments) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
