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
    pointwise_layer: str = ""  # after the module that it calls ``attention`` no token looks at another
    shares_positions: str = ""  # makes something once for all records; each gets it by expand or repeat
    unreached_head: str = ""  # belongs to another task: no forward of a masked language model reaches it
    adds_bias: str = ""  # adds a parameter of its own to its output, with no layer in between
    opacus_exact: bool = False  # Opacus' hooks agree with the loop; elsewhere they raise or are wrong
    one_pass: bool = True  # False: refused by name, with the slow engine as the way
    sees_padding: bool = False  # what stands behind a text changes it: never padded
    trials: Mapping[str, Options] = field(default_factory=dict)  # small configurations that tests compare
    tried: Options | None = None  # one that is compared once, for the table


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

_DEBERTA_1: Options = {
    "relative_attention": True,
    "max_relative_positions": 16,
    "pos_att_type": ["c2p", "p2c"],
    "position_biased_input": False,
    "type_vocab_size": 0,
}
_BART: Options = {
    **_PAD_1,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
}
_GROUPS: Options = {"embedding_size": 32} | dict.fromkeys(
    ("q_groups", "k_groups", "v_groups", "post_attention_groups", "intermediate_groups", "output_groups"), 2
)
_XLM: Options = {"emb_dim": 32, "n_layers": 2, "n_heads": 2}

ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture("bert", "BERT", pointwise_layer="BertLayer", opacus_exact=True, trials={"bert": {}}),
    Architecture(
        "roberta",
        "RoBERTa",
        pointwise_layer="RobertaLayer",
        opacus_exact=True,
        trials={"roberta": _PAD_1},
    ),
    Architecture(
        "xlm-roberta",
        "XLM-R",
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
        pointwise_layer="MPNetLayer",
        shares_positions="MPNetEncoder",  # relative position biases
        trials={"mpnet": _PAD_1},
    ),
    Architecture(
        "esm",
        "ESM",
        unreached_head="EsmContactPredictionHead",
        adds_bias="EsmLMHead",
        trials={
            "esm": {**_ESM, "token_dropout": True},
            "esm-rotary": {**_ESM, "position_embedding_type": "rotary", "emb_layer_norm_before": True},
        },
    ),
    Architecture(
        "deberta-v2",
        "DeBERTa v2, v3",
        shares_positions="DisentangledSelfAttention",  # projected relative position embeddings
        trials={
            "deberta-v2": {**_DEBERTA, "conv_kernel_size": 3, "share_att_key": False},
            "deberta-v3": _DEBERTA,
        },
    ),
    Architecture("modernbert", "ModernBERT", trials={"modernbert": _MODERN}),
    # compared once, by the test that makes the table of docs/train.md, in one small configuration each
    Architecture("camembert", "CamemBERT", tried=_PAD_1),
    Architecture("xlm-roberta-xl", "XLM-R XL", tried=_PAD_1),
    Architecture("roberta-prelayernorm", "RoBERTa PreLN", tried=_PAD_1),
    Architecture("big_bird", "BigBird", tried={"block_size": 4, "num_random_blocks": 1}),
    Architecture("longformer", "Longformer", one_pass=False, tried={**_PAD_1, "attention_window": 8}),
    Architecture("deberta", "DeBERTa v1", one_pass=False, tried=_DEBERTA_1),
    Architecture("bart", "BART", one_pass=False, tried=_BART),
    Architecture("mbart", "mBART", one_pass=False, tried={**_BART, "pad_token_id": 0}),
    Architecture("roformer", "RoFormer", tried={}),
    Architecture(
        "mobilebert",
        "MobileBERT",
        one_pass=False,
        sees_padding=True,  # three neighbouring words make the input of the first layer
        tried={"embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16},
    ),
    Architecture(
        "convbert",
        "ConvBERT",
        one_pass=False,
        sees_padding=True,  # convolutions over tokens know no attention mask
        tried={"embedding_size": 16},
    ),
    Architecture("nomic_bert", "NomicBERT", tried={}),
    Architecture("eurobert", "EuroBERT", tried={**_MODERN, "num_key_value_heads": 2}),
    Architecture("fnet", "FNet", sees_padding=True, tried={}),  # a Fourier transform of all tokens
    Architecture("yoso", "YOSO", sees_padding=True, tried={}),
    Architecture("data2vec-text", "data2vec", tried=_PAD_1),
    Architecture("ernie", "ERNIE", tried={}),
    Architecture("gte", "GTE", tried={}),
    Architecture("ibert", "I-BERT", one_pass=False, tried=_PAD_1),
    Architecture("jina_embeddings_v3", "Jina v3", tried=_PAD_1),
    Architecture("layoutlm", "LayoutLM", tried={}),
    Architecture("luke", "LUKE", tried={**_PAD_1, "entity_vocab_size": 10, "entity_emb_size": 16}),
    Architecture("megatron-bert", "Megatron-BERT", tried={}),
    Architecture("rembert", "RemBERT", tried={"input_embedding_size": 16, "output_embedding_size": 16}),
    Architecture("roc_bert", "RoCBert", one_pass=False, tried={}),
    Architecture("squeezebert", "SqueezeBERT", one_pass=False, tried=_GROUPS),
    Architecture("xmod", "X-MOD", tried={**_PAD_1, "languages": ["en_XX"], "default_language": "en_XX"}),
    Architecture("xlm", "XLM", tried=_XLM),
    Architecture("flaubert", "FlauBERT", tried=_XLM),
    Architecture("esmc", "ESM C", one_pass=False, tried={}),
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
        "| architecture | `model_type` | one-pass clipping | `--dp-engine opacus` | padding |",
        "|---|---|---|---|---|",
    ]
    for row in ARCHITECTURES:
        exact = "exact" if row.one_pass else "not exact: one record at a time instead"
        slow = "exact" if row.opacus_exact else "exact, one record at a time"
        padding = "seen, so never added" if row.sees_padding else "not seen"
        lines.append(f"| {row.name} | `{row.model_type}` | {exact} | {slow} | {padding} |")
    return "\n".join(lines) + "\n"
