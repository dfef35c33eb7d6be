"""The rows of architectures: complete, each of its own, and as the page shows them."""

from __future__ import annotations

from pathlib import Path

from transformers import CONFIG_MAPPING

from mlmguard.training.architectures import ARCHITECTURES, BY_MODEL_TYPE, architecture_of, table

ROOT = Path(__file__).resolve().parents[2]


def test_every_row_is_a_model_type_of_transformers_and_stands_once() -> None:
    assert len(BY_MODEL_TYPE) == len(ARCHITECTURES)
    assert all(row.model_type in CONFIG_MAPPING for row in ARCHITECTURES)


def test_what_claims_more_than_positions_is_compared() -> None:
    for row in ARCHITECTURES:
        claims = (row.pointwise_layer, row.shares_positions, row.unreached_head, row.adds_bias)
        assert row.trials or not (any(claims) or row.opacus_exact), row.name


def test_an_unknown_model_type_claims_nothing() -> None:
    row = architecture_of("never-heard-of")
    assert not (row.sees_padding or row.pointwise_layer or row.opacus_exact or row.trials)


def test_the_page_shows_the_rows() -> None:
    assert table() in (ROOT / "docs" / "train.md").read_text("utf-8")
