"""Membership: what separates members from others, and when nothing may be said of it."""

import numpy as np

from mlmguard.leakage import membership, results
from tests.leakage.models import Knows, KnowsByHeart, answer_of

ATTACKS = {"loss", "calibrated", "min-k", "min-k++", "votes", "neighbours", "rmia"}


def test_a_blind_baseline_that_separates_the_sets_raises_the_banner():
    """Members speak of one thing, held-out documents of another: the verdict is withheld."""
    rng = np.random.default_rng(0)

    class Guess:
        def answer(self, probes, top=1, moments=False):
            return [answer_of(rng.normal(-3, 1, len(p.positions)), top) for p in probes]

    def passages(low, high):
        return [
            results.Passage(str(k), np.concatenate([[0], rng.integers(low, high, 30), [1]]))
            for k in range(150)
        ]

    shifted = membership.membership(Guess(), Guess(), passages(10, 60), passages(40, 90), rng)
    same = membership.membership(Guess(), Guess(), passages(10, 60), passages(10, 60), rng)
    assert {m.metric: m.value for m in shifted.measurements}["shift"] == 1 and shifted.tests == ()
    assert {m.metric: m.value for m in same.measurements}["shift"] == 0
    assert {t.slice for t in same.tests} == ATTACKS


def test_every_membership_attack_separates_what_a_model_knows_from_what_it_does_not():
    rng = np.random.default_rng(0)
    members, others = (
        [results.Passage(str(k), np.concatenate([[k], rng.integers(500, 900, 30), [1]])) for k in side]
        for side in (range(100, 160), range(200, 260))
    )
    ignorant = Knows(set())
    knows = KnowsByHeart({int(p.ids[0]): p.ids for p in members})
    found = membership.membership(knows, ignorant, members, others, rng, [ignorant, ignorant])
    aucs = {m.slice: m.value for m in found.measurements if m.metric == "auc"}
    assert aucs == dict.fromkeys(ATTACKS | {"lira"}, 1)
    assert all(t.p < 1e-6 for t in found.tests)
    assert {e.document_id for e in found.exposed} == {p.document_id for p in members}
