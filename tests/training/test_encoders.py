"""Every architecture of the table in docs/train.md: what its row says is what happens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForMaskedLM

from mlmguard.errors import InputError
from mlmguard.training import adapt, models
from mlmguard.training.architectures import ARCHITECTURES, Architecture
from mlmguard.training.clipping.clip import clipped_gradient_sum, distance_from_loop, self_check
from mlmguard.training.examples import collate
from mlmguard.training.text.masking import mask_tokens
from mlmguard.training.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer.load(None)
ROWS = {
    (row.model_type if name is None else name): (row, options)
    for row in ARCHITECTURES
    for name, options in ([(None, row.tried)] if row.tried is not None else row.trials.items())
}
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 42,
}
DISTILBERT = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 42}


def built(name: str) -> tuple[Architecture, Any]:
    """A small model away from its initialisation, in which biases are 0 and norms are 1."""
    row, options = ROWS[name]
    sizes = DISTILBERT if name == "distilbert" else SIZES
    torch.manual_seed(1)
    auto: Any = AutoModelForMaskedLM
    config = CONFIG_MAPPING[row.model_type](vocab_size=len(TOKENIZER), **{**sizes, **options})
    model = auto.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return row, model.eval()


def examples(lengths: list[int]) -> Any:
    import numpy as np

    rng = np.random.default_rng(3)
    return [mask_tokens(models.random_window(TOKENIZER, n).numpy(), TOKENIZER, rng, 0.3) for n in lengths]


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_the_table_says_what_happens(name: str) -> None:
    row, model = built(name)
    models.refuse_unusable(model, TOKENIZER, name)
    adapt.freeze_unreached(model, TOKENIZER)
    batches = collate(examples([9, 12, 12, 16]), TOKENIZER.pad, 8192, torch.device("cpu"), row.sees_padding)
    for batch in batches:
        inputs = {
            k: v for k, v in batch.items() if k != "labels" and (k != "attention_mask" or name != "fnet")
        }
        where = batch["labels"] != -100
        ours = models.masked_logits(model, batch["input_ids"], batch["attention_mask"], where)
        torch.testing.assert_close(ours, model(**inputs).logits[where], rtol=1e-4, atol=1e-5)
        assert distance_from_loop(model, batch, "opacus") < 1e-4
        self_check(model, batch, 1.0, "opacus")
        if row.one_pass:
            assert distance_from_loop(model, batch) < 1e-4
            continue
        with pytest.raises(InputError, match=r"--dp-engine opacus") as refused:
            clipped_gradient_sum(model, batch, 1.0)
        assert "\n" not in str(refused.value)


def test_thirty_kinds_of_encoder_are_in_the_table() -> None:
    named = {"longformer", "big_bird", "deberta", "deberta-v2", "bart", "roformer", "mobilebert", "convbert",
             "nomic_bert", "eurobert", "modernbert", "fnet"}  # fmt: skip
    assert len({row.model_type for row in ARCHITECTURES}) >= 30
    assert named <= {row.model_type for row in ARCHITECTURES}


@pytest.mark.parametrize(
    "name, first",
    [("bert", 0), ("roberta", 2), ("xmod", 2), ("data2vec-text", 2), ("longformer", 2), ("ibert", 2)],
)
def test_positions_begin_where_the_table_of_positions_says(name: str, first: int) -> None:
    _, model = built(name)
    assert models.first_position(model) == first and models.window_of(model) == 42 - first


@pytest.mark.parametrize("name", ["convbert", "fnet"])
def test_what_sees_padding_is_shown_none(name: str) -> None:
    """One record's answers do not change with the length of another: the premise of clipping by record."""
    _, model = built(name)
    short, long = (models.random_window(TOKENIZER, n) for n in (9, 16))
    ids = torch.full((2, 16), TOKENIZER.pad)
    ids[0, :9], ids[1] = short, long
    attention = (torch.arange(16) < torch.tensor([[9], [16]])).long()
    where = attention.bool()
    where[0, 3] = False
    together = models.masked_logits(model, ids, attention, where)
    alone = models.masked_logits(model, short[None], torch.ones(1, 9).long(), where[:1, :9])
    torch.testing.assert_close(together[:8], alone, rtol=1e-4, atol=1e-5)
    alike = collate(examples([9, 16, 12, 16]), TOKENIZER.pad, 8192, torch.device("cpu"), True)
    assert all(bool(batch["attention_mask"].all()) for batch in alike)


@pytest.mark.parametrize(
    "model_type, options, said",
    [
        ("nystromformer", {"num_landmarks": 8, "segment_means_seq_len": 40}, "fails on windows"),
        ("mra", {}, "no token sees another"),
        ("funnel", {"block_sizes": [1, 1], "d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 64},
         "the padding behind a text changes its answers"),
    ],
)  # fmt: skip
def test_an_encoder_that_cannot_be_shown_windows_is_refused(
    model_type: str, options: dict[str, Any], said: str
) -> None:
    sizes = {} if model_type == "funnel" else SIZES
    torch.manual_seed(1)
    auto: Any = AutoModelForMaskedLM
    config = CONFIG_MAPPING[model_type](vocab_size=len(TOKENIZER), **{**sizes, **options})
    model = auto.from_config(config)
    with pytest.raises(InputError, match=said) as refused:
        models.refuse_unusable(model, TOKENIZER, "x")
    assert refused.value.exit_code == 2 and "\n" not in str(refused.value)
