"""Old places of modules and names work for one version, say where the new ones are and cost no start-up."""

from __future__ import annotations

import subprocess
import sys
import warnings
from importlib import import_module

import pytest

from mlmguard.moved import MODULES, NAMES

#: What docs, examples and tests of the last version imported: old place, new place.
IMPORTED = [
    ("mlmguard.audited.Foreign", "mlmguard.audit.checkpoint.Foreign"),
    ("mlmguard.audited.read_checkpoint", "mlmguard.audit.checkpoint.read"),
    ("mlmguard.audit.read_checkpoint", "mlmguard.audit.checkpoint.read"),
    ("mlmguard.bench.AuditSettings", "mlmguard.settings.AuditSettings"),
    ("mlmguard.bench.Bench", "mlmguard.audit.bench.Bench"),
    ("mlmguard.corpus.pii.coverage", "mlmguard.corpus.detect.finder.coverage"),
    ("mlmguard.corpus.readers.read", "mlmguard.corpus.read.documents.read"),
    ("mlmguard.corpus.recognizers.RULES", "mlmguard.corpus.detect.builtin.RECOGNISERS"),
    ("mlmguard.corpus.recognizers.Rule", "mlmguard.corpus.detect.recogniser.Recogniser"),
    ("mlmguard.leakage.signals.Scorer", "mlmguard.leakage.scorer.Scorer"),
    ("mlmguard.policy.judge", "mlmguard.policy.judging.judge"),
    ("mlmguard.policy.load", "mlmguard.policy.reading.load"),
    ("mlmguard.rules.Threshold", "mlmguard.policy.rule.Threshold"),
    ("mlmguard.training.clipping.self_check", "mlmguard.training.clipping.clip.self_check"),
    ("mlmguard.training.ledger.CorpusLedger", "mlmguard.training.privacy.ledger.CorpusLedger"),
    ("mlmguard.training.masking.Masking", "mlmguard.training.text.masking.Masking"),
    ("mlmguard.waivers.LONGEST", "mlmguard.policy.waiver.LONGEST"),
    ("mlmguard.workflows.gate.judge_evidence", "mlmguard.commands.gate.judge_evidence"),
    ("mlmguard.workflows.review.review", "mlmguard.commands.review.review"),
    ("mlmguard.workflows.waive.signed", "mlmguard.commands.approval.signed"),
]  # fmt: skip
#: Names that stand where they stood.
STAYED = ["mlmguard.scan.ScanSettings", "mlmguard.train.TrainSettings", "mlmguard.audit.Foreign"]


def at(place: str) -> object:
    module, _, name = place.rpartition(".")
    return getattr(import_module(module), name)


@pytest.mark.parametrize("old, new", IMPORTED)
def test_an_old_name_works_and_names_the_new_place(old: str, new: str) -> None:
    module, _, name = old.rpartition(".")
    with pytest.warns(DeprecationWarning) as told:
        exec(f"from {module} import {name}", found := {})
    assert [str(one.message) for one in told] == [f"{old} is now {new}"] * len(told)
    assert told[0].filename == "<string>"  # whoever imports is named, and not we
    assert found[name] is at(new)


@pytest.mark.parametrize("place", STAYED)
def test_what_stayed_says_nothing(place: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        at(place)


def test_every_row_of_the_table_leads_somewhere_and_hides_nothing_that_is_there() -> None:
    for old, new in NAMES.items():
        assert at(new) is not None, old
    for old, new in MODULES.items():
        assert import_module(new).__name__ == new
        with pytest.raises(AttributeError):
            import_module(old).no_such_name  # noqa: B018
    from mlmguard.corpus import readers  # a submodule of a package that is still there

    assert readers.__name__ == "mlmguard.corpus.readers"
    with pytest.raises(ModuleNotFoundError):
        import_module("mlmguard.nowhere")


def test_nobody_pays_for_it_who_does_not_ask() -> None:
    program = (
        "import sys; from mlmguard import cli; "
        "assert cli.run(['--help']) == 0 and 'mlmguard.moved' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
