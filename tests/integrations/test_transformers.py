"""Canaries in an ordinary Trainer run: planted, looked for before the first step, recorded, and audited."""

import json
import shutil
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from datasets import Dataset
from torch.utils.data import Dataset as MapStyle

from mlmguard.artifacts import read_json
from mlmguard.audit import Foreign, audit
from mlmguard.errors import InputError
from mlmguard.integrations.transformers import PlantCanaries
from mlmguard.training.text.tokenizer import Tokenizer
from tests.fixtures.elsewhere import bert, filler, plain_loop, rows
from tests.fixtures.workbench import KEY, QUICK, findings, numbers

WORDS = Tokenizer.load(None).hugging_face
TEXTS = filler(120, 0)


def tokenised(texts, **more):
    return Dataset.from_dict(dict(WORDS(texts, **more)))


def planting(folder: Path, count: int = 40, run: str = "one") -> PlantCanaries:
    return PlantCanaries(WORDS, run, count, runs=folder / ".mlmguard" / "runs", key=KEY)


def trained(folder: Path, plant: PlantCanaries, dataset, steps: int, callbacks=None):
    from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

    arguments = TrainingArguments(
        str(folder / "out"), max_steps=steps, per_device_train_batch_size=64, learning_rate=2e-3, seed=0,
        report_to=[], save_steps=steps, disable_tqdm=True, use_cpu=True, logging_strategy="no",
    )  # fmt: skip
    trainer = Trainer(
        bert(), arguments, DataCollatorForLanguageModeling(WORDS, mlm_probability=0.15), dataset,
        callbacks=[plant] if callbacks is None else callbacks,
    )  # fmt: skip
    trainer.train()
    return trainer


# --- what it plants -----------------------------------------------------------------------------------


def test_half_of_the_canaries_are_planted_and_a_second_call_draws_the_same(tmp_path):
    plant = planting(tmp_path, 200)
    assert 70 <= len(plant.texts) <= 130
    assert planting(tmp_path, 200).texts == plant.texts
    assert planting(tmp_path, 200, "two").texts != plant.texts
    private = plant.folder / "canaries.jsonl"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600 and plant.texts[0] not in repr(plant)
    with pytest.raises(InputError, match="200 canaries were drawn; expected 40"):
        planting(tmp_path, 40)


class Rows(MapStyle):
    def __init__(self, made):
        self.made = made

    def __len__(self):
        return len(self.made)

    def __getitem__(self, index):
        return self.made[index]


def test_rows_are_made_as_those_of_the_dataset_are(tmp_path):
    plant = planting(tmp_path)
    raw = plant.into(Dataset.from_dict({"text": TEXTS, "id": list(range(120))}))
    assert raw["text"][120:] == plant.texts and raw[-1]["id"] is None
    words = plant.into(tokenised(TEXTS))
    assert set(words.column_names) == set(tokenised(TEXTS).column_names)
    assert WORDS.decode(words[-1]["input_ids"]).count("[CLS]") == 1
    blocks = plant.into(tokenised(TEXTS, padding="max_length", max_length=48, truncation=True))
    assert {len(row["input_ids"]) for row in blocks} == {48}
    tensors = plant.into(Rows(list(tokenised(TEXTS).with_format("torch"))))
    assert hasattr(tensors[-1]["input_ids"], "new_tensor")
    assert list(plant.into(TEXTS))[120:] == plant.texts
    for whole in (raw, words, blocks, tensors, plant.into(TEXTS)):
        assert len(whole) == 120 + len(plant.texts) and plant._missing(whole) == 0
    assert plant._missing(tokenised(TEXTS)) == len(plant.texts)
    for refused in (iter(TEXTS), [], [{"input_ids": [1], "labels": [1]}], [{"words": "a"}]):
        with pytest.raises(InputError, match="the dataset"):
            plant.into(refused)


def test_a_training_without_the_canaries_does_not_begin(tmp_path):
    plant = planting(tmp_path)
    planted = plant.into(tokenised(TEXTS))
    for dataset in (tokenised(TEXTS), planted.select(range(len(planted) - 1))):
        with pytest.raises(InputError, match=r"planted canaries are not in it.*plant.into"):
            trained(tmp_path, plant, dataset, 1)
    assert not (plant.folder / "initial").exists()


def test_a_resumed_training_needs_the_weights_it_began_with(tmp_path):
    plant = planting(tmp_path)
    about = {"train_dataloader": SimpleNamespace(dataset=plant.into(TEXTS)), "model": None}
    resumed = SimpleNamespace(global_step=10, is_world_process_zero=True)
    with pytest.raises(InputError, match="weights that training began with are gone"):
        plant.on_train_begin(None, resumed, None, **about)


# --- the audit of what was trained --------------------------------------------------------------------


@pytest.mark.slow
def test_exposure_and_bound_of_a_trainer_run_and_nothing_where_nothing_was_planted(tmp_path):
    members = rows(tmp_path / "members.jsonl", TEXTS)
    others = rows(tmp_path / "others.jsonl", filler(60, 1))
    plant = planting(tmp_path, 100)
    trainer = trained(tmp_path, plant, plant.into(tokenised(TEXTS, truncation=True, max_length=64)), 350)
    trainer.save_model(tmp_path / "out")
    WORDS.save_pretrained(tmp_path / "out")
    assert read_json(tmp_path / "out" / "canaries.json") == read_json(
        tmp_path / "out" / "checkpoint-350" / "canaries.json"
    )
    shown = (tmp_path / "out" / "canaries.json").read_text()
    assert not any(text in shown for text in plant.texts)

    evidence = audit(tmp_path / "out", tmp_path / "reports", QUICK, source=Foreign(members, others))
    found = numbers(evidence)
    print({k: v for k, v in found.items() if k[0] in ("canary", "epsilon")})
    assert found["canary", "exposure_mean", ""] > 3
    assert found["epsilon", "one_run_lower_bound", ""] > 1
    assert {"canary.exposure_p"} <= set(findings(evidence))
    assert {a.attack: a.status for a in evidence.attacks}["epsilon"] == "run"
    written = (tmp_path / "reports" / "audit.json").read_text()
    assert not any(text in written for text in plant.texts)

    innocent = plain_loop(tmp_path / "innocent", TEXTS, 150)
    shutil.copy(tmp_path / "out" / "canaries.json", innocent)
    evidence = audit(innocent, tmp_path / "reports", QUICK, source=Foreign(members, others))
    found = numbers(evidence)
    print({k: v for k, v in found.items() if k[0] in ("canary", "epsilon")})
    assert found["epsilon", "one_run_lower_bound", ""] < 0.3
    assert [f for f in findings(evidence) if f.startswith("canary.")] == []

    record = json.loads((innocent / "canaries.json").read_text())
    for change, problem in (
        ({"canaries_digest": "0" * 64}, "not the canaries"),
        ({"guesses": 300}, "guesses"),
        ({"initial_digest": "0" * 64}, "not the weights"),
        ({"run_id": "gone"}, "name it with --run"),
    ):
        (innocent / "canaries.json").write_text(json.dumps({**record, **change}))
        with pytest.raises(InputError, match=problem):
            audit(innocent, tmp_path / "reports", QUICK, source=Foreign(members, others))
