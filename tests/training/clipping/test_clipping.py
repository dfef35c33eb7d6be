"""The clipped sum against one record at a time, and its sensitivity against the worst records."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CONFIG_MAPPING, AutoModelForMaskedLM

from mlmguard.errors import InputError, MlmguardError
from mlmguard.training.architectures import ARCHITECTURES
from mlmguard.training.clipping import clip, layers
from mlmguard.training.clipping.clip import ClippedSum, Engine, clipped_gradient_sum, self_check

NORM = 1.0
VOCABULARY = 120

TRIALS = {name: (row.model_type, options) for row in ARCHITECTURES for name, options in row.trials.items()}
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
}
DISTILBERT_SIZES = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 40}


def model_of(name: str, tied: bool = True, **more: object) -> Any:
    """Small, in eval mode, away from its initialisation: there biases are 0 and norms are 1, which hides."""
    model_type, options = TRIALS[name]
    sizes = DISTILBERT_SIZES if name == "distilbert" else SIZES
    torch.manual_seed(1)
    auto: Any = AutoModelForMaskedLM
    model = auto.from_config(
        CONFIG_MAPPING[model_type](
            vocab_size=VOCABULARY, tie_word_embeddings=tied, **{**sizes, **options, **more}
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def batch_of(
    model: Any, padded: bool = True, units: list[int] | None = None, rows: int = 6, tokens: int = 12
) -> dict[str, Tensor]:
    """Row 2 has no masked token; rows 0 and 3 are short where ``padded``.

    Few words, and half of the masked ones left standing, as masking does with some: a word that is both
    read and asked for is what the cross term of a tied matrix is about.
    """
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(5, 30, (rows, tokens), generator=generator)
    attention = torch.ones_like(ids)
    if padded:
        attention[0, 8:] = 0
        attention[3, 5:] = 0
    masked = (torch.rand(rows, tokens, generator=generator) < 0.3) & (attention == 1)
    masked[:, 1] = True
    masked[2] = False
    labels = torch.where(masked, ids, -100)
    ids = torch.where(masked & (torch.rand(rows, tokens, generator=generator) < 0.5), 4, ids)
    ids[attention == 0] = model.config.pad_token_id or 0
    batch = {"input_ids": ids, "attention_mask": attention, "labels": labels}
    if units is not None:
        batch["unit_ids"] = torch.tensor(units)
    return batch


def pick(batch: dict[str, Tensor], rows: list[int]) -> dict[str, Tensor]:
    return {key: value[rows] for key, value in batch.items()}


def loop(model: nn.Module, batch: dict[str, Tensor], norm: float = NORM) -> ClippedSum:
    """The oracle, on purpose apart from the package: ``model(row).logits``, autograd, clip, add."""
    rows = len(batch["labels"])
    unit_ids = batch.get("unit_ids", torch.arange(rows))
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    sums = {name: torch.zeros_like(p) for name, p in named.items()}
    norms, losses = [], []
    for unit in range(int(unit_ids.max()) + 1):
        logits, labels = [], []
        for row in (unit_ids == unit).nonzero().flatten().tolist():
            output = model(**{k: v[row][None] for k, v in batch.items() if k not in ("labels", "unit_ids")})
            logits.append(output.logits[0])
            labels.append(batch["labels"][row])
        if not logits or not bool((torch.cat(labels) != -100).any()):
            norms.append(0.0)
            losses.append(0.0)
            continue
        loss = F.cross_entropy(torch.cat(logits), torch.cat(labels))
        found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        length = math.sqrt(sum(float(g.double().square().sum()) for g in found if g is not None))
        for name, gradient in zip(named, found):
            if gradient is not None:
                sums[name] += gradient * min(1.0, norm / length)
        norms.append(length)
        losses.append(float(loss.detach()))
    return ClippedSum(sums, torch.tensor(norms), torch.tensor(losses))


def distance(left: dict[str, Tensor], right: dict[str, Tensor]) -> float:
    assert left.keys() == right.keys()
    return math.sqrt(sum(float((left[n] - right[n]).double().square().sum()) for n in left))


def length(gradients: dict[str, Tensor]) -> float:
    return math.sqrt(sum(float(g.double().square().sum()) for g in gradients.values()))


def assert_same(ours: ClippedSum, truth: ClippedSum, relative: float = 1e-4) -> None:
    whole = length(truth.gradients)
    assert distance(ours.gradients, truth.gradients) <= relative * whole
    for name, expected in truth.gradients.items():
        # A wrong gradient of a small parameter drowns in the whole vector, so each is compared too;
        # absolutely where it is zero up to rounding, as the key biases of attention are.
        apart = float((ours.gradients[name] - expected).norm())
        assert apart <= relative * float(expected.norm()) + 2e-6 * whole, name
        assert ours.gradients[name].dtype == torch.float32
    torch.testing.assert_close(ours.norms, truth.norms, rtol=relative, atol=1e-6)
    torch.testing.assert_close(ours.losses, truth.losses, rtol=1e-4, atol=1e-6)


# --- exactness ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("name", TRIALS)
def test_every_architecture_is_exact(name: str, tied: bool) -> None:
    model = model_of(name, tied)
    for padded in (True, False):
        batch = batch_of(model, padded)
        assert_same(clipped_gradient_sum(model, batch, NORM), loop(model, batch))
    several = batch_of(model, units=[0, 1, 1, 3, 0, 1])  # unit 2 has no row
    assert_same(clipped_gradient_sum(model, several, NORM), loop(model, several))


@pytest.mark.parametrize("name", TRIALS)
def test_a_saved_folder_is_exact(name: str, tmp_path: Path) -> None:
    saved = model_of(name)
    saved.save_pretrained(tmp_path)
    model = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    batch = batch_of(model)
    ours = clipped_gradient_sum(model, batch, NORM)
    assert_same(ours, loop(model, batch))
    assert ours.gradients.keys() == dict(model.named_parameters()).keys()


@pytest.mark.parametrize("name", ["bert", "mpnet", "deberta-v3", "albert"])
def test_one_row_and_one_token(name: str) -> None:
    """Where a batch of one looks like no batch, or a table of positions like a row of them."""
    model = model_of(name)
    batch = batch_of(model)
    one = pick(batch, [1])
    assert_same(clipped_gradient_sum(model, one, NORM), loop(model, one))
    square = batch_of(model, rows=6, tokens=6, padded=False)  # B = T
    assert_same(clipped_gradient_sum(model, square, NORM), loop(model, square))
    short = {key: value[:, 1:2] for key, value in batch.items()}
    assert_same(clipped_gradient_sum(model, short, NORM), loop(model, short))


def test_the_norm_factors_bite_and_spare() -> None:
    """Some units are clipped and some are not, at a norm between theirs."""
    model = model_of("bert")
    batch = batch_of(model)
    norms = loop(model, batch).norms
    between = float(norms[norms > 0].median())
    assert_same(clipped_gradient_sum(model, batch, between), loop(model, batch, between))


@pytest.mark.parametrize("name", [row.model_type for row in ARCHITECTURES if row.opacus_exact])
def test_opacus_agrees(name: str) -> None:
    for tied in (True, False):
        model = model_of(name, tied)
        batch = batch_of(model, units=[0, 1, 1, 2, 0, 1])
        theirs = clipped_gradient_sum(model, batch, NORM, engine="opacus")
        assert_same(theirs, loop(model, batch))
        assert_same(theirs, clipped_gradient_sum(model, batch, NORM))
        assert not hasattr(next(model.parameters()), "grad_sample")


def test_where_opacus_cannot_the_loop_does() -> None:
    model = model_of("deberta-v3", legacy=False)
    batch = batch_of(model)
    assert_same(clipped_gradient_sum(model, batch, NORM, engine="opacus"), loop(model, batch))


def test_dropout_is_exact_for_the_mask_that_was_drawn() -> None:
    """Unclipped, the sum is the gradient of the summed losses; the same seed draws the same dropout."""
    from mlmguard.training.clipping.unit_batch import masked_logits, read_batch

    model = model_of("bert").train()
    batch = batch_of(model)
    torch.manual_seed(3)
    ours = clipped_gradient_sum(model, batch, 1e9)
    torch.manual_seed(3)
    units = read_batch(model, batch)
    total, _ = units.unit_losses(masked_logits(model, units))
    found = torch.autograd.grad(total, list(model.parameters()))
    expected = dict(zip((n for n, _ in model.named_parameters()), found))
    assert distance(ours.gradients, expected) <= 1e-5 * length(expected)
    torch.manual_seed(4)
    assert distance(clipped_gradient_sum(model, batch, 1e9).gradients, expected) > 1e-2 * length(expected)


@pytest.mark.parametrize("name", ["bert", "modernbert", "deberta-v3"])
def test_only_what_is_trainable(name: str) -> None:
    """Frozen parameters are absent and count for nothing: biases only, and an encoder below frozen words."""
    choices: list[Callable[[str], bool]] = [
        lambda n: n.endswith("bias"),
        lambda n: "layer" in n,
        lambda n: "embeddings" in n,
    ]
    for chosen in choices:
        model = model_of(name)
        for parameter_name, parameter in model.named_parameters():
            parameter.requires_grad_(chosen(parameter_name))
        batch = batch_of(model)
        ours = clipped_gradient_sum(model, batch, NORM)
        assert set(ours.gradients) == {n for n, _ in model.named_parameters() if chosen(n)}
        assert_same(ours, loop(model, batch))


def test_gradient_checkpointing() -> None:
    model = model_of("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    batch = batch_of(model)
    expected = loop(model, batch)
    model.train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    assert_same(clipped_gradient_sum(model, batch, NORM), expected)
    model.gradient_checkpointing_enable({"use_reentrant": True})
    with pytest.raises(InputError, match="use_reentrant=False"):
        clipped_gradient_sum(model, batch, NORM)


class LowRank(nn.Module):
    """What peft's LoRA puts in the place of a linear layer."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Linear(base.in_features, 4, bias=False)
        self.lora_B = nn.Linear(4, base.out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.base(x) + 2.0 * self.lora_B(self.lora_A(x))
        return result


@pytest.mark.parametrize("name", ["bert", "deberta-v3"])
def test_low_rank_adapters(name: str) -> None:
    model = model_of(name).requires_grad_(False)
    for path, layer in list(model.named_modules()):
        if path.endswith(("attention.self.query", "attention.self.query_proj", "intermediate.dense")):
            owner, _, leaf = path.rpartition(".")
            setattr(model.get_submodule(owner), leaf, LowRank(layer))
    batch = batch_of(model)
    ours = clipped_gradient_sum(model, batch, 0.01)
    assert len(ours.gradients) == 2 * 2 * 2
    assert all("lora_" in parameter for parameter in ours.gradients)
    assert_same(ours, loop(model, batch, 0.01))


class GemmaLikeRMSNorm(nn.Module):
    """An architecture's own: times 1 + weight."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.1 * torch.randn(size))
        self.eps = 1e-6

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, eps=self.eps) * (1 + self.weight)


class NotReallyRMSNorm(GemmaLikeRMSNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).square()


def test_rms_norms() -> None:
    torch.manual_seed(0)
    for norm in (nn.RMSNorm(32), GemmaLikeRMSNorm(32)):
        model = model_of("bert")
        model.bert.encoder.layer[0].output.LayerNorm = norm
        batch = batch_of(model)
        assert_same(clipped_gradient_sum(model, batch, NORM), loop(model, batch))
    model.bert.encoder.layer[0].output.LayerNorm = NotReallyRMSNorm(32)
    with pytest.raises(InputError, match=r"layer\.0\.output\.LayerNorm: NotReallyRMSNorm is not an RMSNorm"):
        clipped_gradient_sum(model, batch, NORM)


def test_a_matrix_looked_up_twice_and_decoded() -> None:
    """Word matrix in three places at once, one of them looking the same word up for every token."""
    model = model_of("bert", type_vocab_size=VOCABULARY)
    model.bert.embeddings.token_type_embeddings = model.bert.embeddings.word_embeddings
    batch = batch_of(model)
    batch["token_type_ids"] = batch["input_ids"].roll(1, 0)
    assert_same(clipped_gradient_sum(model, batch, NORM), loop(model, batch))


def test_long_records_take_the_written_out_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 12 tokens of a 32 x 32 layer the ghost form is cheaper, at 36 the direct one, in small chunks."""
    monkeypatch.setattr(layers, "DIRECT_CHUNK", 2 * 32 * 64)
    for name in ("bert", "albert"):
        model = model_of(name)
        batch = batch_of(model, tokens=36)
        assert_same(clipped_gradient_sum(model, batch, NORM), loop(model, batch))


# --- sensitivity --------------------------------------------------------------------------------------


def outlier(model: Any, batch: dict[str, Tensor]) -> None:
    """Word 119 is 1000 times as long as the others, and only the last row holds it."""
    batch["input_ids"][batch["input_ids"] == 119] = 118
    batch["input_ids"][-1, 2:6] = 119
    with torch.no_grad():
        model.get_input_embeddings().weight[119] *= 1000


def infinite(model: Any, batch: dict[str, Tensor]) -> None:
    """Position 11 holds an infinity, and only the last row is long enough to read it."""
    batch["attention_mask"][:-1, 11] = 0
    batch["labels"][:-1, 11] = -100
    with torch.no_grad():
        model.bert.embeddings.position_embeddings.weight[20] = math.inf
    positions = torch.arange(12).repeat(6, 1)
    positions[-1, 11] = 20
    batch["position_ids"] = positions


RECORDS: dict[str, Callable[[Any, dict[str, Tensor]], None]] = {
    "ordinary": lambda model, batch: None,
    "outlier": outlier,
    "all masked": lambda model, batch: batch["labels"].__setitem__(-1, batch["input_ids"][-1]),
    "none masked": lambda model, batch: batch["labels"].__setitem__(-1, torch.full((12,), -100)),
    "shortest": lambda model, batch: batch["attention_mask"].__setitem__((-1, slice(2, None)), 0),
    "infinite": infinite,
}


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("norm", [0.1, 3.0])
def test_one_unit_moves_the_sum_by_at_most_the_norm(record: str, tied: bool, norm: float) -> None:
    model = model_of("bert", tied)
    batch = batch_of(model)
    RECORDS[record](model, batch)
    without = clipped_gradient_sum(model, pick(batch, [0, 1, 2, 3, 4]), norm)
    with_it = clipped_gradient_sum(model, batch, norm)
    moved = distance(with_it.gradients, without.gradients)
    assert moved <= norm * (1 + 1e-3)
    assert all(bool(g.isfinite().all()) for g in with_it.gradients.values())
    if record in ("infinite", "none masked"):
        assert moved <= 1e-6 * norm
    if record == "infinite":
        assert not bool(with_it.norms[-1].isfinite())
        assert bool(with_it.norms[:-1].isfinite().all())
        with torch.no_grad():  # and a step with it leaves the weights finite
            for name, parameter in model.named_parameters():
                parameter.add_(with_it.gradients[name], alpha=-0.1)
        del batch["position_ids"]
        assert bool(model(**batch).loss.isfinite())


@pytest.mark.parametrize("name", TRIALS)
def test_the_longest_unit_moves_the_sum_by_at_most_the_norm(name: str) -> None:
    """Sixteen windows of one unit beside units of one: the groups of unequal size."""
    model = model_of(name)
    batch = batch_of(model, rows=20, units=[0, 1, 2, 3, *[4] * 16])
    few = pick(batch, [0, 1, 2, 3])
    moved = distance(
        clipped_gradient_sum(model, batch, 0.5).gradients, clipped_gradient_sum(model, few, 0.5).gradients
    )
    assert 0.49 <= moved <= 0.5 * (1 + 1e-3)


@pytest.mark.parametrize("name", TRIALS)
def test_neighbours_change_nothing(name: str) -> None:
    """Row 1 has all the labels, so the sum is its contribution; the others change in length and content."""
    model = model_of(name)
    batch = batch_of(model, padded=False)
    batch["labels"][[0, 2, 3, 4, 5]] = -100
    batch["input_ids"][1, 6:] = model.config.pad_token_id or 0
    batch["attention_mask"][1, 6:] = 0
    batch["labels"][1, 6:] = -100
    alone = clipped_gradient_sum(model, {k: v[1:2, :6] for k, v in batch.items()}, NORM)
    beside = clipped_gradient_sum(model, batch, NORM)
    batch["input_ids"][0] = batch["input_ids"][3].flip(0)
    batch["attention_mask"][4, 3:] = 0
    beside_others = clipped_gradient_sum(model, batch, NORM)
    assert distance(beside.gradients, beside_others.gradients) <= 1e-6 * NORM
    assert distance(beside.gradients, alone.gradients) <= 2e-6 * NORM  # another shape, other rounding


@pytest.mark.parametrize("name", ["bert", "albert", "deberta-v3", "mpnet"])
def test_virtual_batches_give_the_same_sum(name: str) -> None:
    model = model_of(name)
    batch = batch_of(model)
    whole = clipped_gradient_sum(model, batch, NORM)
    for size in (1, 2, 4):
        parts = [
            clipped_gradient_sum(model, pick(batch, list(range(i, min(i + size, 6)))), NORM)
            for i in range(0, 6, size)
        ]
        total = {n: torch.stack([p.gradients[n] for p in parts]).sum(0) for n in whole.gradients}
        assert distance(total, whole.gradients) <= 1e-6 * length(whole.gradients)
        torch.testing.assert_close(torch.cat([p.norms for p in parts]), whole.norms, rtol=1e-5, atol=1e-6)


def test_bf16_autocast_keeps_the_bound() -> None:
    """The norm is that of what is summed, in fp32, so the bound holds though the gradients are rounded."""
    model = model_of("bert")
    batch = batch_of(model)
    exact = loop(model, batch)
    for row in (0, 1, 3):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            one = clipped_gradient_sum(model, pick(batch, [row]), 0.5)
        assert length(one.gradients) == pytest.approx(0.5, rel=1e-3)
        assert float(one.norms[0]) == pytest.approx(float(exact.norms[row]), rel=0.05)
        assert all(g.dtype == torch.float32 for g in one.gradients.values())


# --- what is left behind, empty and broken ------------------------------------------------------------


def test_nothing_to_learn_from() -> None:
    model = model_of("bert")
    batch = batch_of(model)
    empty = clipped_gradient_sum(model, pick(batch, []), NORM)
    assert empty.norms.shape == empty.losses.shape == (0,)
    assert length(empty.gradients) == 0.0
    assert empty.gradients.keys() == dict(model.named_parameters()).keys()
    unmasked = clipped_gradient_sum(model, pick(batch, [2, 2]), NORM)
    assert unmasked.norms.tolist() == [0.0, 0.0]
    absent: dict[str, Any] = {**pick(batch, [0]), "unit_ids": torch.tensor([1]), "units": 4}
    assert (clipped_gradient_sum(model, absent, NORM).norms > 0).tolist() == [False, True, False, False]


def state_of(model: nn.Module) -> dict[str, object]:
    return {
        "flags": [p.requires_grad for p in model.parameters()],
        "grads": [None if p.grad is None else p.grad.clone().tolist() for p in model.parameters()],
        "values": [p.detach().sum().item() for p in model.parameters()],
        "modes": [m.training for m in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        "buffers": [name for name, _ in model.named_buffers()],
        "attributes": [sorted(vars(m)) for m in model.modules()],
        "random": torch.get_rng_state().tolist(),
    }


@pytest.fixture
def used_model() -> Iterator[Any]:
    """In train mode but for one part, with one frozen parameter and one gradient; unchanged at the end."""
    model = model_of("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
    model.bert.encoder.layer[0].eval()
    model.bert.embeddings.LayerNorm.weight.requires_grad_(False)
    model.cls.predictions.bias.grad = torch.ones(VOCABULARY)
    before = state_of(model)
    yield model
    assert state_of(model) == before


def test_the_model_is_left_as_found(used_model: Any) -> None:
    batch = batch_of(used_model)
    engines: tuple[Engine, ...] = ("one-pass", "opacus")
    for engine in engines:
        clipped_gradient_sum(used_model, batch, NORM, engine=engine)
    self_check(used_model, batch, NORM)


def test_the_model_is_left_as_found_after_an_error(used_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of(used_model)
    batch["input_ids"][0, 0] = VOCABULARY + 7  # breaks inside of the forward
    for call in (clipped_gradient_sum, self_check):
        with pytest.raises(IndexError):
            call(used_model, batch, NORM)


def test_per_unit_data_is_in_no_repr() -> None:
    model = model_of("bert")
    assert repr(clipped_gradient_sum(model, batch_of(model), NORM)) == "ClippedSum()"


def test_the_self_check_passes_everywhere_and_catches_a_missing_cross_term(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in TRIALS:
        model = model_of(name).train()
        self_check(model, batch_of(model, units=[0, 1, 1, 2, 0, 1]), NORM)
        assert model.training
    self_check(model, pick(batch_of(model), []), NORM)  # an empty draw has nothing to compare

    tied, untied = model_of("bert"), model_of("bert", tied=False)
    batch = batch_of(tied)
    right = clipped_gradient_sum(tied, batch, NORM).norms
    monkeypatch.setattr(layers, "_tied_cross_term", lambda lookup, outer: torch.zeros(outer.rows.units))
    wrong = clipped_gradient_sum(tied, batch, NORM).norms
    assert float(((right - wrong).abs() / right.clamp(min=1e-9)).max()) > 2e-3
    with pytest.raises(MlmguardError, match="one-record loop"):
        self_check(tied, batch, NORM)
    self_check(untied, batch, NORM)


def test_the_self_check_catches_a_shared_layer_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("albert")
    real = layers.squared_norms

    def apart(shares: Any, units: int, gram: Any) -> Tensor:
        return torch.stack([real([s], units, gram) for s in shares]).sum(0)

    monkeypatch.setattr(clip, "squared_norms", apart)
    with pytest.raises(MlmguardError, match="differs by"):
        self_check(model, batch_of(model), NORM)


class MeanOfBatch(nn.Module):
    """Has no parameter and mixes the records."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x.mean(0, keepdim=True)


def test_the_self_check_catches_a_layer_that_mixes_records() -> None:
    model = model_of("bert")
    model.bert.embeddings.dropout = MeanOfBatch()
    with pytest.raises(MlmguardError, match="differs by"):
        self_check(model, batch_of(model), NORM)


# --- refusals -----------------------------------------------------------------------------------------


class Scale(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class TwiceLinear(nn.Linear):
    """Looks like a linear layer and computes something else."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * F.linear(x, self.weight, self.bias)


class OncePerBatch(nn.Module):
    """Adds one looked-up vector to all records: autograd has one gradient for all of them."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.table = nn.Embedding(3, size)

    def forward(self, x: Tensor) -> Tensor:
        looked_up: Tensor = self.table(torch.tensor([1]))
        return x + looked_up


def broken_models() -> dict[str, tuple[Callable[[Any], None], str]]:
    def replace(path: str, layer: nn.Module) -> Callable[[Any], None]:
        owner, _, leaf = path.rpartition(".")
        return lambda model: setattr(model.get_submodule(owner), leaf, layer)

    norm = "bert.encoder.layer.1.output.LayerNorm"
    return {
        "batch norm": (replace("bert.embeddings.dropout", nn.BatchNorm1d(12)), r"bert\.embeddings\.dropout"),
        "half": (lambda model: model.half(), r"word_embeddings\.weight: torch\.float16"),
        "bfloat16": (lambda model: model.bfloat16(), r"word_embeddings\.weight: torch\.bfloat16"),
        "own parameter": (replace(norm, Scale(32)), r"parameter .*layer\.1\.output\.LayerNorm\.scale: used"),
        "subclass": (
            replace("bert.encoder.layer.0.output.dense", TwiceLinear(64, 32)),
            r"layer\.0\.output\.dense\.(weight|bias): used",
        ),
        "unreached": (
            lambda model: setattr(model.bert, "pooler2", nn.Linear(32, 32)),
            r"parameter bert\.pooler2\.weight: trainable, but no forward pass reaches it",
        ),
        "once per batch": (
            replace("bert.embeddings.dropout", OncePerBatch(32)),
            r"dropout\.table: was given",
        ),
        "scaled by frequency": (
            lambda model: setattr(model.bert.embeddings.word_embeddings, "scale_grad_by_freq", True),
            r"parameter bert\.embeddings\.word_embeddings\.weight: used",
        ),
    }


@pytest.mark.parametrize("what", broken_models())
def test_refused_by_name(what: str) -> None:
    model = model_of("bert")
    batch = batch_of(model)
    breaking, message = broken_models()[what]
    breaking(model)
    before = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    with pytest.raises(InputError, match=message):
        clipped_gradient_sum(model, batch, NORM)
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == before


def test_frozen_strangers_are_no_reason_to_refuse() -> None:
    model = model_of("bert")
    model.bert.encoder.layer[1].output.LayerNorm = Scale(32).requires_grad_(False)
    batch = batch_of(model)
    assert_same(clipped_gradient_sum(model, batch, NORM), loop(model, batch))


def test_deberta_with_a_head_that_multiplies_by_the_embedding_is_refused() -> None:
    model = model_of("deberta-v3", legacy=False)
    with pytest.raises(InputError, match=r"parameter .* used in a way"):
        clipped_gradient_sum(model, batch_of(model), NORM)


def test_bad_batches_are_refused() -> None:
    model = model_of("bert")
    batch = batch_of(model)
    bad: list[tuple[dict[str, Any], float, str]] = [
        ({k: v for k, v in batch.items() if k != "attention_mask"}, NORM, "attention_mask"),
        ({**batch, "labels": batch["labels"][:2]}, NORM, "labels"),
        ({**batch, "unit_ids": torch.tensor([0, 1])}, NORM, "unit_ids"),
        ({**batch, "unit_ids": torch.tensor([0, 1, 2, 3, 4, -1])}, NORM, "unit_ids"),
        ({**batch, "unit_ids": torch.tensor([0, 1, 2, 3, 4, 5]), "units": 3}, NORM, "unit_ids"),
        ({**batch, "units": 3}, NORM, "unit_ids"),
        ({**batch, "lengths": batch["labels"]}, NORM, "lengths"),
        (batch, 0.0, "max_grad_norm"),
        (batch, math.nan, "max_grad_norm"),
    ]
    for given, norm, message in bad:
        with pytest.raises(InputError, match=message):
            clipped_gradient_sum(model, given, norm)
    with pytest.raises(InputError, match="engine"):
        clipped_gradient_sum(model, batch, NORM, engine="fast")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no encoder below its head"):
        clipped_gradient_sum(copy.deepcopy(model).bert, batch, NORM)
