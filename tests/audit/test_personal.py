"""The scan's findings as the audit attacks them: by what became of them, with their raw values in place."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from mlmguard.audit.personal import personal_spans
from mlmguard.corpus.clean import read_clean
from mlmguard.leakage import metrics
from mlmguard.leakage.results import of_whole_units
from mlmguard.scan import scan
from mlmguard.settings import ScanSettings
from tests.fixtures.workbench import KEY


def test_what_was_left_in_the_text_is_attacked_as_kept(tmp_path: Path) -> None:
    texts = [
        f"Case {k}: write to {name}@example.com or call 212-555-01{k:02d} before noon."
        for k, name in enumerate(
            ["ann", "ben", "carl", "dora", "eve", "finn", "gus", "hana", "ivo", "june"] * 6
        )
    ]
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "r.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    runs = tmp_path / ".mlmguard" / "runs"
    manifest = scan(
        tmp_path / "corpus", tmp_path / "clean", tmp_path / "reports",
        key=KEY, runs=runs, settings=ScanSettings(entities=("EMAIL_ADDRESS",)),
    )  # fmt: skip
    corpus = read_clean(tmp_path / "clean")
    audited = SimpleNamespace(
        manifest=manifest, run=runs, scan_run=runs / manifest.run_id, corpus=None,
        members=corpus.train, held_out=corpus.held_out,
    )  # fmt: skip
    bench = SimpleNamespace(
        audited=audited, settings=SimpleNamespace(probed=1000),
        rng=lambda what: np.random.default_rng(0), targets=lambda places: places,
    )  # fmt: skip
    found = personal_spans(bench)
    kinds = {(span.kind, span.rule) for span in found}
    assert {("kept", "PHONE_NUMBER"), ("redacted", "EMAIL_ADDRESS")} <= kinds
    assert ("redacted", "PHONE_NUMBER") not in kinds
    values = {text[start:end] for text, start, end in (s.target for s in found if s.rule == "PHONE_NUMBER")}
    assert values and all(value.startswith("212-555-01") and len(value) == 12 for value in values)


def test_findings_are_drawn_by_whole_units() -> None:
    found = [(unit, k) for unit in range(50) for k in range(1 + unit % 7)]
    drawn = of_whole_units(found, lambda one: str(one[0]), 60, np.random.default_rng(0))
    assert 50 < len(drawn) <= 60 and drawn == sorted(drawn)
    assert {one for one in found if one[0] in {unit for unit, _ in drawn}} == set(drawn)
    assert of_whole_units(found, lambda one: "all", 60, np.random.default_rng(0)) == sorted(found)[:60]
    assert of_whole_units(found, lambda one: str(one[0]), 10**6, np.random.default_rng(0)) == found
    assert of_whole_units([], str, 60, np.random.default_rng(0)) == []


def test_a_larger_side_of_which_findings_are_drawn_is_no_leak() -> None:
    """Five findings a unit, four fifths of the units held out, at most 400 of a side are looked at."""
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(100):
        sides = []
        for units in (48, 192):
            drawn = of_whole_units(
                [(unit, score) for unit in range(units) for score in rng.normal(size=5)],
                lambda one: str(one[0]), 400, rng,
            )  # fmt: skip
            best: dict[int, float] = {}
            for unit, score in drawn:
                best[unit] = max(best.get(unit, -np.inf), score)
            sides.append(list(best.values()))
        alarms += metrics.top_p(*sides) < 0.05
    assert alarms / 100 <= 0.05 + 2 * (0.05 * 0.95 / 100) ** 0.5
