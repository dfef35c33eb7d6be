"""Probing of spans: what is found, and that like is compared with like."""

from dataclasses import replace

import numpy as np

from mlmguard.leakage import results, spans
from mlmguard.leakage.extraction import Target
from tests.leakage.bench import Bench, audited
from tests.leakage.models import Knows


def some_spans(kind, documents, rule="US_SSN"):
    ids = lambda d: np.concatenate([[d], np.arange(10, 22), [1]])  # noqa: E731 - the first id marks the document
    return [results.Span(str(d), rule, Target(ids(d), tuple(range(2, 9)), (0,) * 7), kind) for d in documents]


def test_probing_finds_spans_that_only_the_trained_documents_give_away():
    drawn = some_spans("redacted", range(100, 140)) + some_spans("held-out", range(200, 240))
    told = spans.probe(Knows(set(range(100, 140))), "pii", drawn, np.random.default_rng(0))
    found = {(m.metric, m.slice): m for m in told.measurements}
    assert found["top1", "redacted"].value == 1 and found["top1", "held-out"].value == 0
    assert found["top1_excess", "redacted"].low > 0.8
    assert found["median_rank", "redacted"].value == 1 and found["median_rank", "held-out"].value == 50
    assert told.tests[0].p < 0.01
    assert {c.series for c in told.curves} == {"redacted", "held-out"}


def test_probing_compares_like_with_like():
    """A type that only the training side has must not count: it has no control."""
    drawn = some_spans("redacted", range(100, 140)) + some_spans("redacted", range(300, 340), "URL")
    drawn += some_spans("held-out", range(200, 240))
    known = set(range(300, 340))  # every URL is known, no number is
    told = spans.probe(Knows(known), "pii", drawn, np.random.default_rng(0))
    excess = {(m.metric, m.slice): m for m in told.measurements}["top1_excess", "redacted"]
    assert excess.value == 0 and excess.examples == 40


def test_probing_raises_no_alarm_when_nothing_was_learnt():
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(60):
        lucky = set(rng.permutation(np.arange(100, 240))[:70].tolist())
        drawn = some_spans("redacted", range(100, 140)) + some_spans("held-out", range(200, 240))
        p_values.append(spans.probe(Knows(lucky), "pii", drawn, rng).tests[0].p)
    assert np.mean(np.array(p_values) < 0.05) <= 0.05 + 3 * (0.05 * 0.95 / 60) ** 0.5


def test_probing_is_not_fooled_by_many_control_spans_in_few_documents():
    """Hits are as frequent on both sides; only the way spans lie in documents differs."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(60):
        control = [
            replace(s, document_id=f"h{k // 12}")
            for k, s in enumerate(some_spans("held-out", range(300, 420)))
        ]
        drawn = some_spans("redacted", range(100, 220)) + control
        lucky = {d for d in [*range(100, 220), *range(300, 420)] if rng.random() < 0.03}
        alarms += spans.probe(Knows(lucky), "pii", drawn, rng).tests[0].p < 0.05
    assert alarms / 60 <= 0.05 + 3 * (0.05 * 0.95 / 60) ** 0.5


def test_probing_compares_what_was_left_in_with_what_would_have_been_left_in():
    """Of one type a scan leaves common words in and takes rare ones out: the common are guessed, unlearnt."""
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(60):
        lucky, drawn = {d for d in range(100, 340, 2) if rng.random() < 0.33}, []
        for d in range(100, 340):
            fate = "redacted" if d % 2 else "kept"
            (span,) = some_spans(fate if d < 220 else "held-out", [d], "PERSON")
            drawn.append(replace(span, fate=fate))
        found = spans.probe(Knows(lucky), "pii", drawn, rng)
        alarms += {test.slice: test.p for test in found.tests}["kept"] < 0.05
    assert alarms / 60 <= 0.05 + 3 * (0.05 * 0.95 / 60) ** 0.5


def test_kept_values_are_compared_with_held_out_ones_that_would_have_been_kept():
    """Dates are kept and guessed a third of the time, addresses redacted and never: nothing was learnt."""
    tried = [
        (replace(span, fate=fate), rule == "DATE_TIME" and k % 3 == 0)
        for rule, fate in (("DATE_TIME", "kept"), ("EMAIL_ADDRESS", "redacted"))
        for kind in (fate, "held-out")
        for k, span in enumerate(some_spans(kind, range(60), rule))
    ]
    rng = np.random.default_rng(0)
    found = spans._recovered("pii", tried, 240, ("kept", "redacted"), rng, 1)
    assert {test.slice: test.p for test in found.tests}["kept"] > 0.3
    excess = {(m.metric, m.slice): m for m in found.measurements}["extraction_excess", "kept"]
    assert excess.low < 0 < excess.high
    assert found.exposed == ()  # dates of held-out documents are guessed as often


def test_what_is_searched_for_is_drawn_alike_from_trained_and_held_out_units():
    """Forms hold a state, left in and guessed, beside ten names that are taken out; letters hold one name."""
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(40):
        drawn = []
        for d in range(400):
            fates = ["kept", *["redacted"] * 10] if d % 2 else ["kept"]
            for fate in fates:
                (span,) = some_spans(fate if d < 200 else "held-out", [d], "LOCATION")
                drawn.append(replace(span, fate=fate))
        easy = {str(d) for d in range(1, 400, 2) if rng.random() < 0.5}
        chosen = spans.to_search(drawn, ("kept", "redacted"), 60, rng)
        tried = [(span, span.fate == "kept" and span.owner in easy) for span in chosen]
        found = spans._recovered("pii", tried, len(tried), ("kept", "redacted"), rng, 1)
        alarms += {test.slice: test.p for test in found.tests}["kept"] < 0.05
    assert alarms / 40 <= 0.05 + 3 * (0.05 * 0.95 / 40) ** 0.5


def test_rare_words_are_those_of_whole_units(monkeypatch):
    """Drawn by document, authors of many would be nearly all of the larger side, and of the smaller a few."""
    made = Bench(audited(documents=60))
    for row in [*made.audited.members, *made.audited.held_out]:
        number = int(row["id"][1:])
        row["unit"] = f"{row['id'][0]} of {number % 6 if number < 40 else number}"
    drawn: dict[str, set[str]] = {}

    def keep(bench, attack, found, kinds, rng):
        for span in found:
            drawn.setdefault(span.unit, set()).add(span.document_id)
        return results.Result()

    monkeypatch.setattr(spans, "_probed_and_searched", keep)
    spans.RARE_WORDS.run(made)
    assert len(drawn) > 4 and sum(map(len, drawn.values())) <= 2 * made.settings.documents
    for unit, ids in drawn.items():
        rows = [*made.audited.members, *made.audited.held_out]
        assert ids == {row["id"] for row in rows if row["unit"] == unit}
