"""A sample of a scan held against stock: nothing differs, and where something does it is said."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlmguard import artifacts, cli
from mlmguard.corpus import redact
from mlmguard.corpus.copies.dedup import Clusters, Copies
from mlmguard.corpus.detect.finder import Finder
from mlmguard.corpus.examine import Examine
from mlmguard.corpus.synthetic import write_corpus
from mlmguard.errors import InputError
from mlmguard.scan import examining
from mlmguard.types import Manifest, Proof
from tests.scan.places import Place, files


def words(start: int, count: int = 60) -> str:
    return " ".join(f"term{number}" for number in range(start, start + count))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("filled"))
    write_corpus(place.corpus, None, notes=24)
    for copy in range(3):
        place.put(f"near{copy}.txt", f"{words(0)} {copy} ann@example.org")
        place.put(f"same{copy}.txt", f"the very same words{' ' * copy} in all of these")
    place.put("wordless.txt", "?!")
    place.put("broken.txt", b"\xff")
    return place


@pytest.fixture
def place(filled: Place, tmp_path: Path) -> Place:
    shutil.copytree(filled.corpus, tmp_path / "corpus")
    return Place(tmp_path)


def proof(place: Place) -> Proof:
    return artifacts.read_noun(place.reports / "scan.prove.json", Proof)


@pytest.mark.parametrize("merged", [False, True])
def test_nothing_differs_and_the_rest_of_the_scan_is_as_it_was(place: Place, merged: bool) -> None:
    place.scan()
    before = files(place.clean)
    if merged:
        place.shard(1, 2)
        place.shard(2, 2)
    place.scan(prove=1000, merge=merged)
    found = proof(place)
    assert files(place.clean) == before
    assert (found.sample, found.findings_differ, found.copies_differ) == (found.documents, 0, 0)
    assert found.documents == artifacts.read_json(place.clean / "manifest.json")["documents_read"]
    assert found.most == 0  # every document was looked at
    assert 0 < found.found_by_stock < found.found and found.pairs >= 3
    place.scan()
    assert not (place.reports / "scan.prove.json").exists()


def test_the_sample_is_that_of_the_scan(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    real = sys.modules["mlmguard.scan.prove"]._copies

    def noted(job: Any, place: Any, sample: list[int], watcher: Any) -> Any:
        drawn.append(sample)
        return real(job, place, sample, watcher)

    monkeypatch.setattr(sys.modules["mlmguard.scan.prove"], "_copies", noted)
    for settings in ({}, {}, {"mode": "mask"}):
        place.scan(prove=5, no_names=True, **settings)
    assert len(drawn[0]) == 5 and drawn[0] == drawn[1] != drawn[2]
    assert proof(place).most == upper_end(0, 5, proof(place).documents)


def upper_end(differ: int, sample: int, documents: int) -> float:
    """By counting samples: the most documents of which so few are drawn in more than one sample of twenty."""

    def few(bad: int) -> float:
        drawn = sum(comb(bad, k) * comb(documents - bad, sample - k) for k in range(differ + 1))
        return drawn / comb(documents, sample)

    return max(bad for bad in range(documents + 1) if few(bad) > 0.05) / documents


def test_the_upper_end_knows_how_many_documents_there_are() -> None:
    most = sys.modules["mlmguard.scan.prove"]._most
    for case in ((0, 1, 1), (0, 5, 5), (2, 5, 5), (0, 5, 40), (1, 10, 37), (3, 20, 300), (9, 20, 23)):
        assert most(*case) == pytest.approx(upper_end(*case))
    assert most(0, 299, 10**9) == pytest.approx(0.01, rel=0.01)  # the rule of three, where they are many


def lost_finding(patch: pytest.MonkeyPatch) -> None:
    real = Finder.stock
    patch.setattr(Finder, "stock", lambda self, text: real(self, text)[1:])


def left_in_the_text(patch: pytest.MonkeyPatch) -> None:
    """By whoever examined it, another machine perhaps: here all is found."""
    real, proof = Examine.redacted, sys.modules["mlmguard.scan.prove"]
    findings = proof._findings

    def here(*arguments: Any) -> Any:
        patch.setattr(Examine, "redacted", real)
        return findings(*arguments)

    patch.setattr(Examine, "redacted", lambda self, text: redact.redact(text, [], self.mode, self._named))
    patch.setattr(proof, "_findings", here)


def lost_pair(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Copies, "_alike", lambda *_: False)


def invented_pair(patch: pytest.MonkeyPatch) -> None:
    real = Copies._join_runs

    def joined(self: Copies, found: Iterator[Any], clusters: Clusters) -> None:
        real(self, found, clusters)
        if clusters.root(0) != clusters.root(1):
            self._join(clusters, 0, 1)

    patch.setattr(Copies, "_join_runs", joined)


def another_signature(patch: pytest.MonkeyPatch) -> None:
    real = Copies.signature
    patch.setattr(Copies, "signature", lambda self, document: real(self, document) ^ np.uint32(document == 2))


@pytest.mark.parametrize(
    ("broken", "in_findings", "in_copies"),
    [
        (lost_finding, True, 0),
        (left_in_the_text, True, 0),
        (lost_pair, False, 5),
        (invented_pair, False, 2),
        (another_signature, False, 1),
    ],
)
def test_what_differs_is_counted_and_the_scan_ends_with_1(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    broken: Any, in_findings: bool, in_copies: int,
) -> None:  # fmt: skip
    monkeypatch.chdir(place.root)
    broken(monkeypatch)
    assert cli.run(["scan", "corpus", "--workers", "1", "--prove", "100", "--no-names", "--quiet"]) == 1
    found = proof(place)
    assert (found.findings_differ > 0, found.copies_differ) == (in_findings, in_copies)
    assert found.most >= found.copies_differ / found.sample
    said = capsys.readouterr()
    assert (
        said.err.count("\n") == 1 and "differ from stock:" in said.err and "ann@" not in said.out + said.err
    )


def test_a_scan_that_differs_is_put_into_no_index(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place.root)
    words = ["scan", "corpus", "--workers", "1", "--prove", "100", "--no-names", "--index", "index"]
    with monkeypatch.context() as broken:
        lost_finding(broken)
        assert cli.run(words) == 1
    assert "nothing put into index" in capsys.readouterr().err
    assert not [path for path in Path("index").glob("*") if path.is_dir()]
    assert (
        cli.run([*words, "--overwrite", "--threshold", "0.5"]) == 0
    )  # another scan, and none of it is a copy
    manifest = artifacts.read_noun(Path("clean", "manifest.json"), Manifest)
    assert manifest.earlier is not None and manifest.earlier.documents == 0
    assert [path for path in Path("index").glob("*") if path.is_dir()]


def test_the_command_says_how_many_differ_and_of_what_it_is_no_proof(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place.root)
    assert cli.run(["scan", "corpus", "--workers", "1", "--prove", "10", "--no-names"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "0 differ in findings, 0 in copies" in said and "at most " in said and "% of all, at 95 %" in said
    assert json.loads((place.reports / "scan.prove.json").read_text())["not_held"]
    for wrong in ("0", "-1", "many"):
        assert cli.run(["scan", "corpus", "--prove", wrong]) == 2


def test_without_datasketch_nothing_begins(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["mlmguard.scan.prove"], "find_spec", lambda _: None)

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("something began")

    monkeypatch.setattr(examining, "examine", never)
    with pytest.raises(InputError, match=r"--prove: datasketch is not installed; pip install"):
        place.scan(prove=1)
    assert not place.runs.exists()


@pytest.mark.slow
def test_no_mail_of_a_sample_differs(tmp_path: Path, shared_data: Path) -> None:
    place = Place(tmp_path)
    for path in sorted((shared_data / "mail").rglob("*.txt"))[::4]:
        place.put(path.name, path.read_bytes())
    place.scan(prove=60)
    assert not proof(place).differ
