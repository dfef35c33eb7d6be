"""Whose weights a run started from: known by its files or by its weights, and judged."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mlmguard.policy.judging import exit_code, judge
from mlmguard.policy.reading import load
from mlmguard.policy.rule import Signature
from mlmguard.scan import ScanSettings, scan
from mlmguard.settings import TrainSettings
from mlmguard.train import train
from mlmguard.training import checkpoint, models
from mlmguard.training.privacy.ledger import CorpusLedger, RunOnCorpus
from mlmguard.training.privacy.origin import UNKNOWN, origin_of
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import Evidence, Hazard, PrivacyStatement, Status, Verdict
from tests.fixtures.evidence import TODAY, clean
from tests.fixtures.places import KEY, scanned

PLAIN = TrainSettings(init="scratch", size="nano", steps=1, canaries=0, batch_units=4, window=32)
PRIVATE = replace(
    PLAIN, dp_epsilon=8, learning_rate=1e-6, public_size=600, batch_units=300, max_grad_norm=1.0
)
CHEAP = replace(PRIVATE, dp_epsilon=0.5)  # to account for


class Places:
    """A corpus, a plain model of it, and private runs that start from anywhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = scanned(folder)
        self.plain = self.train("plain", PLAIN)

    def train(self, name: str, settings: TrainSettings) -> PrivacyStatement:
        places = (self.folder / "clean", self.folder / name, self.folder / "reports")
        return train(*places, settings, runs=self.folder / "runs", overwrite=True).statement

    def start_at(self, start: Path, settings: TrainSettings = PRIVATE) -> PrivacyStatement:
        return self.train("ckpt", replace(settings, init=str(start)))

    def without_files(self, name: str) -> Path:
        copy = shutil.copytree(self.folder / name, self.folder / f"{name}-copy")
        for file in ("privacy.json", "training.json", "README.md"):
            (copy / file).unlink()
        return copy


def hazard(statement: PrivacyStatement) -> Hazard:
    return next(one for one in statement.hazards if one.id == "initial-weights")


def verdict(policy: str, evidence: Evidence, *signatures: Signature) -> tuple[Verdict, int]:
    judged = judge(load(policy).model_copy(update={"signatures": signatures}), evidence, TODAY)
    return next(one for one in judged.verdicts if one.rule == "dp-initial-weights"), exit_code(judged)


def judged_of(statement: PrivacyStatement, policy: str) -> Status:
    found, code = verdict(policy, replace(clean(), statement=statement))
    if found.status is Status.FAIL:
        assert code == 10
    return found.status


def test_a_plain_model_of_the_corpus_is_known_with_its_files_and_without(tmp_path: Path) -> None:
    places = Places(tmp_path)
    for start in (places.folder / "plain", places.without_files("plain")):
        statement = places.start_at(start)
        found = hazard(statement)
        assert found.status == "present" and places.plain.run_id in found.detail
        assert judged_of(statement, "base") is judged_of(statement, "dp-release") is Status.FAIL
    # a private run in between changes nothing, also where its files are gone
    again = hazard(places.start_at(shutil.move(places.folder / "ckpt", places.folder / "between")))
    assert again.status == "present" and places.plain.run_id in again.detail


def test_a_private_start_on_the_corpus_is_composed_and_another_is_unknown(tmp_path: Path) -> None:
    places = Places(tmp_path)
    first = places.train("first", CHEAP)
    assert hazard(first).status == "absent"
    second = places.start_at(places.folder / "first", CHEAP)
    found = hazard(second)
    assert found.status == "absent" and first.run_id in found.detail and "in its ledger" in found.detail
    assert second.corpus_epsilon is not None and second.corpus_epsilon > second.epsilon  # type: ignore[operator]
    assert judged_of(second, "dp-release") is Status.PASS
    # other weights under the name of the private run
    renamed = shutil.copytree(places.folder / "first", places.folder / "renamed")
    (renamed / "privacy.json").unlink()  # it is bound to its weights, and would be refused
    tokenizer = Tokenizer.load(None)
    checkpoint.save_weights(renamed, models.fresh("nano", tokenizer, 32, 0.0, 9), tokenizer)
    other = places.start_at(renamed, CHEAP)
    assert hazard(other).status == "unknown"
    assert judged_of(other, "dp-release") is Status.INCONCLUSIVE and judged_of(other, "base") is Status.WARN


def run(name: str, private: bool, **more: str) -> RunOnCorpus:
    return RunOnCorpus(name, more.pop("corpus", "c"), "", private, "document", None, (), True, **more)


@pytest.mark.parametrize(
    "before, plain, composed",
    [
        ([run("a", True, started_from="public")], "", ("a",)),
        ([run("a", True, started_from="b"), run("b", True, started_from="public")], "", ("a", "b")),
        ([run("a", True, started_from="b"), run("b", False, started_from="public")], "b", ()),
        ([run("a", True, started_from="unknown")], "", ()),
        ([run("a", True)], "", ()),  # a ledger of the last version
        ([run("a", True, corpus="other", started_from="public")], "", ()),
        ([run("a", False, corpus="other", started_from="b"), run("b", False)], "b", ()),
        ([run("a", True, started_from="b"), run("b", True, started_from="a")], "", ()),
    ],
)
def test_weights_are_followed_to_where_they_come_from(
    tmp_path: Path, before: list[RunOnCorpus], plain: str, composed: tuple[str, ...]
) -> None:
    (tmp_path / "privacy.json").write_text('{"run_id": "a"}')
    found = origin_of(str(tmp_path), run("own", True), before)
    assert (found.started_from, found.plain, found.composed) == ("a", plain, composed)


def test_a_name_of_a_hub_or_a_folder_that_names_nobody_is_unknown(tmp_path: Path) -> None:
    for start in ("somebody/model", str(tmp_path)):
        assert origin_of(start, run("own", True), [run("a", False)]).started_from == UNKNOWN


# --- the statement that decides ----------------------------------------------------------------------


def with_initial(status: str) -> Evidence:
    evidence = clean()
    assert evidence.statement is not None
    others = tuple(one for one in evidence.statement.hazards if one.id != "initial-weights")
    hazards = (*others, Hazard("initial-weights", status, "as the run found it"))
    return replace(evidence, statement=replace(evidence.statement, hazards=hazards))


def signed(evidence: Evidence, attestation: str) -> Signature:
    return Signature(
        attestation=attestation,
        role="data steward",
        by="R. Moreau",
        date=TODAY,
        model=evidence.model.digest[:16],
    )


def test_an_unknown_start_passes_dp_release_with_the_stewards_signature_alone() -> None:
    unknown = with_initial("unknown")
    assert verdict("dp-release", unknown)[0].status is Status.INCONCLUSIVE
    attested, _ = verdict("dp-release", unknown, signed(unknown, "initial-weights-public"))
    assert attested.status is Status.PASS and "signed by R. Moreau" in attested.reason
    present = with_initial("present")
    accused, code = verdict("dp-release", present, signed(present, "initial-weights-public"))
    assert accused.status is Status.FAIL and code == 10
    absent = judge(load("dp-release"), with_initial("absent"), TODAY)
    (idle,) = [one for one in absent.verdicts if one.rule == "initial-weights-public"]
    assert idle.status is Status.PASS and idle.reason.startswith("not needed")


def test_a_scan_of_the_same_folder_is_the_same_corpus(tmp_path: Path) -> None:
    scanned(tmp_path)
    hidden = tmp_path / ".mlmguard" / "runs"
    for name, threshold in (("one", 0.5), ("two", 0.6)):
        scan(
            tmp_path / "corpus", tmp_path / name, tmp_path / "reports", key=KEY,
            settings=ScanSettings(keep="all", threshold=threshold), runs=hidden, overwrite=True,
        )  # fmt: skip
    places = (tmp_path / "plain", tmp_path / "reports")
    first = train(tmp_path / "one", *places, PLAIN, runs=hidden).statement
    asked = replace(PRIVATE, init=str(tmp_path / "plain"), dp_epsilon=None, public_size=None, batch_units=4)
    second = train(tmp_path / "two", tmp_path / "next", tmp_path / "reports", asked, runs=hidden).statement
    known = {run.run_id: run for run in CorpusLedger(hidden).read()}
    assert known[second.run_id].started_from == first.run_id and known[first.run_id].weights
