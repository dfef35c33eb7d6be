"""What differs between architectures, one row each: add a row, and the clipping tests and the docs have it.

Classes are named, not imported: transformers moves them between releases, and a row costs nothing where its
architecture is not used. Each row is compared with a one-record loop on every row that has a trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Options = Mapping[str, object]


@dataclass(frozen=True)
class Architecture:
    """A ``model_type`` of transformers. Class names are those of its modules."""

    model_type: str
    name: str
    counts_from_padding: bool = False  # the first token's position is padding_idx + 1, not 0
    pointwise_layer: str = ""  # after the module that it calls ``attention`` no token looks at another
    shares_positions: str = ""  # makes something once for all records; each gets it by expand or repeat
    unreached_head: str = ""  # belongs to another task: no forward of a masked language model reaches it
    adds_bias: str = ""  # adds a parameter of its own to its output, with no layer in between
    opacus_exact: bool = False  # Opacus' hooks agree with the loop; elsewhere they raise or are wrong
    trials: Mapping[str, Options] = field(default_factory=dict)  # small configurations that tests compare


_DEBERTA: Options = {
    "relative_attention": True,
    "position_buckets": 8,
    "pos_att_type": ["c2p", "p2c"],
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "position_biased_input": False,
    "type_vocab_size": 0,
}
_PAD_1: Options = {"pad_token_id": 1}
_ESM: Options = {**_PAD_1, "mask_token_id": 2}
_MODERN: Options = {
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "cls_token_id": 1,
    "sep_token_id": 2,
    "local_attention": 8,
}

ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture("bert", "BERT", pointwise_layer="BertLayer", opacus_exact=True, trials={"bert": {}}),
    Architecture(
        "roberta",
        "RoBERTa",
        counts_from_padding=True,
        pointwise_layer="RobertaLayer",
        opacus_exact=True,
        trials={"roberta": _PAD_1},
    ),
    Architecture(
        "xlm-roberta",
        "XLM-R",
        counts_from_padding=True,
        pointwise_layer="XLMRobertaLayer",
        opacus_exact=True,
        trials={"xlm-roberta": _PAD_1},
    ),
    Architecture("distilbert", "DistilBERT", opacus_exact=True, trials={"distilbert": {}}),
    Architecture(
        "electra",
        "ELECTRA",
        pointwise_layer="ElectraLayer",
        opacus_exact=True,
        trials={"electra": {"embedding_size": 16}},
    ),
    Architecture("albert", "ALBERT", opacus_exact=True, trials={"albert": {"embedding_size": 16}}),
    Architecture(
        "mpnet",
        "MPNet",
        counts_from_padding=True,
        pointwise_layer="MPNetLayer",
        shares_positions="MPNetEncoder",  # relative position biases
        trials={"mpnet": _PAD_1},
    ),
    Architecture(
        "esm",
        "ESM",
        counts_from_padding=True,
        unreached_head="EsmContactPredictionHead",
        adds_bias="EsmLMHead",
        trials={
            "esm": {**_ESM, "token_dropout": True},
            "esm-rotary": {**_ESM, "position_embedding_type": "rotary", "emb_layer_norm_before": True},
        },
    ),
    Architecture(
        "deberta-v2",
        "DeBERTa-v2",
        shares_positions="DisentangledSelfAttention",  # projected relative position embeddings
        trials={
            "deberta-v2": {**_DEBERTA, "conv_kernel_size": 3, "share_att_key": False},
            "deberta-v3": _DEBERTA,
        },
    ),
    Architecture("modernbert", "ModernBERT", trials={"modernbert": _MODERN}),
    # not compared: what is known of them is where their positions begin
    Architecture("camembert", "CamemBERT", counts_from_padding=True),
    Architecture("xlm-roberta-xl", "XLM-R XL", counts_from_padding=True),
    Architecture("roberta-prelayernorm", "RoBERTa PreLN", counts_from_padding=True),
)

BY_MODEL_TYPE: Mapping[str, Architecture] = {row.model_type: row for row in ARCHITECTURES}

# By class, because a model can hold a layer of another architecture than its own.
POINTWISE_LAYERS = frozenset(row.pointwise_layer for row in ARCHITECTURES) - {""}
SHARING_POSITIONS = frozenset(row.shares_positions for row in ARCHITECTURES) - {""}
UNREACHED_HEADS = frozenset(row.unreached_head for row in ARCHITECTURES) - {""}
ADDING_BIAS = frozenset(row.adds_bias for row in ARCHITECTURES) - {""}


def architecture_of(model_type: str) -> Architecture:
    """Return the row of ``model_type``; for one that has none, a row that claims nothing."""
    return BY_MODEL_TYPE.get(model_type) or Architecture(model_type, model_type)


def table() -> str:
    """Return the rows as a Markdown table, as it stands in docs/train.md."""
    lines = [
        "| architecture | `model_type` | one-pass clipping | `--dp-engine opacus` |",
        "|---|---|---|---|",
    ]
    for row in ARCHITECTURES:
        exact = "compared with a one-record loop" if row.trials else "checked at the start of each run only"
        slow = "exact" if row.opacus_exact else "one record at a time"
        lines.append(f"| {row.name} | `{row.model_type}` | {exact} | {slow} |")
    return "\n".join(lines) + "\n"
