"""Hazards: one table says what each is; a statement answers every row of it and knows no other."""

from __future__ import annotations

from mlmguard.hazards import HAZARDS
from mlmguard.training.privacy import claim
from mlmguard.training.privacy.origin import Origin
from mlmguard.types import UnitKind


def answered(**change: object) -> dict[str, str]:
    """The status of each hazard of a run with these facts."""
    facts: dict[str, object] = {
        "unit": claim.UnitOfPrivacy(UnitKind.ROW, "document", "one row of clean/train"),
        "public_size": True,
        "tokenizer": "shipped",
        "origin": Origin("public"),
        "sampled_as_claimed": True,
        "others": (),
        "corpus_epsilon": None,
        "corpus_epsilon_reason": "",
        "learning_rate_given": False,
        "left_out": (),
        "sealed": True,
        "precision_margin": None,
    }
    found = claim.hazards(claim.Facts(**{**facts, **change}))  # type: ignore[arg-type]
    assert len({hazard.id for hazard in found}) == len(found)
    return {hazard.id: hazard.status for hazard in found}


def test_a_statement_answers_every_hazard_of_the_table_and_no_other() -> None:
    assert set(answered()) == set(HAZARDS)
    worse = answered(
        public_size=False,
        tokenizer="private",
        origin=Origin("unknown"),
        sampled_as_claimed=False,
        left_out=("train-00000.jsonl",),
        precision_margin=0.01,
    )
    assert set(worse) == set(HAZARDS)
    assert set(worse.values()) <= {"absent", "present", "unknown"}


def test_a_hazard_says_what_it_is_and_what_to_do() -> None:
    for what, do in HAZARDS.values():
        assert what and do and not what.endswith(".")
    assert len(set(HAZARDS.values())) == len(HAZARDS)
