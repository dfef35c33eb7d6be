"""Looking at a search before its end: it may stop, and its test keeps its level."""

import numpy as np
import pytest

from mlmguard.leakage import sequential, spans
from mlmguard.leakage.answers import Answer
from mlmguard.leakage.extraction import Target
from mlmguard.leakage.results import PValue, Span, fisher

ALPHABETS = [np.arange(10, 22)]
TRUTH = np.arange(12, 19)  # seven tokens, in every document


class Remembers:
    """Says the truth of the documents it knows, whatever the attacker filled in, and 10 for all others."""

    queries = 0

    def __init__(self, known):
        self.known = known

    def answer(self, probes, top=1, moments=False):
        return [self.one(p, top) for p in probes]

    def one(self, probe, top):
        places = list(probe.positions)
        said = TRUTH[[k - 2 for k in places]] if int(probe.ids[0]) in self.known else np.full(len(places), 10)
        right = probe.ids[places] == said
        choices = np.stack([said, *[np.full(len(places), 11)] * (top - 1)], axis=1)
        scores = np.where(right, -0.1, -5.0)
        return Answer(
            scores, np.where(right, 1, 9), choices, np.tile(np.arange(top) * -1.0, (len(places), 1))
        )


def some_spans(kind, documents):
    def target(document):
        return Target(np.concatenate([[document, 1], TRUTH, [1]]), tuple(range(2, 9)), (0,) * 7)

    return [Span(str(d), "US_SSN", target(d), kind) for d in documents]


def extracted(known, early):
    drawn = some_spans("redacted", range(100, 160)) + some_spans("held-out", range(200, 260))
    rng = np.random.default_rng(0)
    result = spans.extract(Remembers(known), "pii", drawn, ("redacted",), ALPHABETS, rng, 2, early)
    return result, {(m.metric, m.slice): m for m in result.measurements}


def test_a_search_that_a_quarter_settles_ends_there_and_pays_for_having_looked():
    result, found = extracted(set(range(100, 160)), early=True)
    assert found["extraction_rate", "redacted"].examples == 15 and "30 of 120 spans" in (
        found["extraction_rate", "redacted"].note
    )
    assert result.tests[0].p == pytest.approx(2 * fisher(15, 15, 0, 15))
    assert found["extraction_rate", "redacted"].confidence == 0.975
    whole, _ = extracted(set(range(100, 160)), early=False)
    assert whole.tests[0].p == pytest.approx(fisher(60, 60, 0, 60))


def test_a_search_that_a_quarter_does_not_settle_goes_to_its_end():
    for known in (set(), set(range(100, 104))):  # nothing, and four documents: too few to be sure
        result, found = extracted(known, early=True)
        assert found["extraction_rate", "redacted"].examples == 60
        assert found["extraction_rate", "redacted"].note == ""
        assert result.tests[0].p == pytest.approx(min(1.0, 2 * fisher(len(known), 60, 0, 60)))


def test_looks_lose_nothing_and_take_a_quarter_of_each_side():
    items = [("kept", k) for k in range(9)] + [("held-out", k) for k in range(4)]
    first, rest = sequential.looks(items, lambda item: item[0], early=True)
    assert sorted(first + rest) == sorted(items)
    assert [sum(side == name for side, _ in first) for name in ("kept", "held-out")] == [3, 1]
    assert sequential.looks(items, lambda item: item[0], early=False) == [items]


def test_looking_twice_keeps_the_level_under_the_null():
    """Both sides get back what they get back at one rate; reported p-values below x are no more than x."""
    rng = np.random.default_rng(0)
    reported = []
    for _ in range(2000):
        hits = rng.random((2, 200)) < 0.5
        for seen in (50, 200):
            left, right = hits[:, :seen].sum(1)
            p = sequential.over_looks(fisher(int(left), seen, int(right), seen), 2)
            if sequential.settled([PValue("pii", p, seen)]):
                break
        reported.append(p)
    for level in (0.01, 0.05, 0.2):
        room = 3 * (level * (1 - level) / len(reported)) ** 0.5
        assert np.mean(np.array(reported) <= level) <= level + room
