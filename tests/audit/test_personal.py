"""The scan's findings as the audit attacks them: by what became of them, with their raw values in place."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from mlmguard.audit.personal import personal_spans
from mlmguard.corpus.clean import read_clean
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
