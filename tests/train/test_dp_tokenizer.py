"""A vocabulary is a release: learnt under noise and charged, or refused, or named as a hazard."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from mlmguard import accounting
from mlmguard.errors import InputError
from mlmguard.scan import ScanSettings, scan
from mlmguard.train import TrainSettings, train
from mlmguard.training.privacy import releases
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import LedgerEntry, Watcher
from tests.fixtures.workbench import KEY

SECRET = "zyzzogeton"
COMMON = "haematocrit"


# --- the mechanism ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [["a"], ["a"] * 50, [f"w{k}" for k in range(37)], [f"w{k}" for k in range(900)]]
)
def test_a_unit_moves_the_weights_by_one_however_much_it_says(words):
    weights = releases.word_weights([words], np.random.default_rng(0))
    assert math.sqrt(sum(weight**2 for weight in weights.values())) == pytest.approx(1)
    assert len(weights) <= releases.WORDS_A_UNIT


@pytest.mark.parametrize("count", [1, 10, 200])
def test_words_of_one_unit_alone_pass_the_threshold_with_probability_delta_at_most(count):
    """A large δ, so that it can be seen: some word of one unit, 2000 times."""
    unit = [[f"w{k}" for k in range(count)]]
    passed = sum(bool(releases.noisy_words(unit, 3.0, 0.1)[0]) for _ in range(2000))
    assert passed / 2000 <= 0.1 + 3 * math.sqrt(0.09 / 2000)


def test_words_of_many_units_are_released_with_about_their_weight():
    units = [["common", f"rare{k}"] for k in range(2000)]
    found, entry = releases.noisy_words(units, 5.0, 1e-6)
    assert set(found) == {"common"}
    assert found["common"] == pytest.approx(2000 / math.sqrt(2), abs=5 * 5.0)
    assert (entry.mechanism, entry.delta, entry.noise_multiplier) == ("gaussian-threshold", 1e-6, 5.0)


def test_the_threshold_costs_delta_and_the_noise_epsilon():
    entry = LedgerEntry("gaussian-threshold", 4.0, steps=1, delta=4e-6)
    alone = accounting.epsilon(4.0, 1.0, 1, 6e-6)
    for accountant in ("pld", "prv", "rdp"):
        assert accounting.compose([entry], 1e-5, accountant) >= alone - 1e-3
    assert accounting.compose([entry], 1e-5) == pytest.approx(alone)
    assert accounting.compose([entry], 4e-6) == math.inf
    assert accounting.group_epsilon([entry], 2, 1e-5) is None
    assert accounting.true_positive_ceiling([entry], 0.01) > 0.01 + 4e-6


# --- in a run -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """900 notes, each with a word that all share; one says another word a hundred times."""
    folder = tmp_path_factory.mktemp("words")
    (folder / "corpus").mkdir()
    rng = np.random.default_rng(0)
    plain = [word for word in Tokenizer.load(None).entries() if word.isalpha() and len(word) > 3]
    texts = [f"{COMMON} {' '.join(rng.choice(plain, 12))}" for _ in range(900)]
    texts[7] += f" {SECRET}" * 100
    rows = "".join(json.dumps({"id": f"n{k}", "text": text}) + "\n" for k, text in enumerate(texts))
    (folder / "corpus" / "notes.jsonl").write_text(rows)
    runs = folder / ".mlmguard" / "runs"
    scan(
        folder / "corpus",
        folder / "clean",
        folder / "reports",
        key=KEY,
        settings=ScanSettings(workers=1, no_names=True),  # the secret stays in
        runs=runs,
    )
    return folder


QUICK = TrainSettings(
    init="scratch", dp_epsilon=8, steps=3, canaries=0, public_size=2000, batch_units=400, window=32
)


def trained(folder, **changes):
    runs = folder / ".mlmguard" / "runs"
    places = folder / "clean", folder / "ckpt", folder / "reports"
    return train(*places, replace(QUICK, **changes), runs=runs, overwrite=True)


def entries(folder):
    return "\n".join(json.loads((folder / "ckpt" / "tokenizer.json").read_text())["model"]["vocab"])


def test_a_private_vocabulary_has_common_words_no_single_ones_and_its_price_in_the_ledger(folder):
    statement = trained(folder, tokenizer="dp", tokenizer_epsilon=2.0).statement
    assert COMMON in entries(folder).split("\n") and SECRET[:6] not in entries(folder)
    kinds = [entry.mechanism for entry in statement.ledger]
    assert kinds == ["gaussian-threshold", "poisson-gaussian"]
    assert statement.epsilon <= 8
    training = accounting.compose(statement.ledger[1:], statement.delta)
    assert training < statement.epsilon  # the vocabulary took its share
    assert {h.id: h.status for h in statement.hazards}["tokenizer"] == "absent"
    assert statement.covers.startswith("weights and tokenizer")


def test_a_resumed_run_keeps_its_vocabulary_and_pays_once(folder):
    from mlmguard.training.loop import Interrupted

    runs = folder / ".mlmguard" / "runs"
    places = folder / "clean", folder / "ckpt", folder / "reports"
    settings = replace(QUICK, tokenizer="dp", steps=4)
    with pytest.raises(Interrupted):
        train(*places, settings, runs=runs, overwrite=True, watcher=Watcher(stop=lambda: True))
    statement = train(*places, settings, runs=runs, overwrite=True).statement
    assert [entry.mechanism for entry in statement.ledger].count("gaussian-threshold") == 1
    assert statement.epsilon <= 8


def test_a_vocabulary_learnt_from_the_text_is_refused_under_dp(folder):
    with pytest.raises(InputError, match="--tokenizer learn") as refused:
        trained(folder, tokenizer="learn")
    assert refused.value.exit_code == 2


def test_allowed_it_is_a_hazard_outside_the_claim(folder):
    statement = trained(folder, tokenizer="learn", allow_private_tokenizer=True).statement
    assert SECRET in entries(folder)  # what such a vocabulary gives away
    assert {h.id: h.status for h in statement.hazards}["tokenizer"] == "present"
    assert "not the tokenizer" in statement.covers


@pytest.mark.parametrize(
    "changes",
    [
        {"dp_epsilon": None, "tokenizer": "dp"},
        {"tokenizer": "dp", "unit": "sequence"},
        {"tokenizer": "dp", "tokenizer_epsilon": 9.0},
        {"tokenizer": "dp", "init": "somewhere"},
    ],
)
def test_settings_that_contradict_each_other_are_refused(folder, changes):
    with pytest.raises(InputError, match="--tokenizer"):
        trained(folder, **changes)
