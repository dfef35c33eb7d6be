"""The lines of `mlmguard ledger`: steps are those of training, and a key is told from a row of its name."""

from __future__ import annotations

from mlmguard.commands import ledger
from mlmguard.training.privacy.ledger import RunOnCorpus
from mlmguard.types import LedgerEntry

ENTRIES = (
    LedgerEntry("gaussian-threshold", 3.9, 1.0, 1, delta=1e-4, what="vocabulary from word counts"),
    LedgerEntry("poisson-gaussian", 2.2, 1.0, 20, what="training"),
)


def test_a_noised_tokenizer_is_no_step_and_a_key_is_no_row() -> None:
    lines = {
        kind: ledger._row(
            RunOnCorpus("train-1", "c", "", True, "document", 1e-3, ENTRIES, True, unit_kind=kind)
        ).line
        for kind in ("key", "row", "")
    }
    assert "unit: key “document”, 20 steps, finished" in lines["key"]
    assert lines["row"] == lines[""] and "unit: document, 20 steps, finished" in lines["row"]
