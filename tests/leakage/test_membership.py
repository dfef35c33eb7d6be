"""Membership: what separates members from others, and when nothing may be said of it."""

import numpy as np
import pytest

from mlmguard.leakage import membership, metrics, results
from tests.leakage.models import Knows, KnowsByHeart, answer_of

ATTACKS = {"loss", "calibrated", "min-k", "min-k++", "votes", "neighbours", "rmia", "learned"}


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
    assert {t.slice for t in same.tests} == {*ATTACKS, "reference"}


def test_a_reference_that_knows_the_members_is_a_finding_and_no_shift():
    """What training started from had seen them: the model need add nothing, and the texts are of one kind."""
    rng = np.random.default_rng(0)
    sides = [
        [results.Passage(str(k), np.concatenate([[k], rng.integers(500, 900, 30), [1]])) for k in side]
        for side in (range(100, 160), range(200, 260))
    ]
    knows = KnowsByHeart({int(p.ids[0]): p.ids for p in sides[0]})
    found = membership.membership(knows, knows, *sides, rng)
    numbers = {(m.metric, m.slice): m.value for m in found.measurements}
    assert numbers["shift", ""] == 0 and numbers["reference_auc", ""] == 1
    tests = {t.slice: t.p for t in found.tests}
    assert tests["reference"] < 1e-6 and tests["loss"] < 1e-6 and tests["calibrated"] > 0.05


@pytest.mark.statistical
@pytest.mark.parametrize("units, size, held_out", [(100, 12, 10), (50, 25, 5)])
@pytest.mark.parametrize("deviation", [1.0, 2.0])
def test_effects_of_units_raise_no_alarm(units, size, held_out, deviation):
    """One effect a unit, in logits, and none of training: the dealt units decide, not their documents."""
    alarms, times = 0, 200
    for seed in range(times):
        rng = np.random.default_rng(seed)
        effect = rng.normal(0, deviation, units)
        rows = [
            {"id": f"{u}-{k}", "text": "", "unit": str(u)}
            for u in rng.permutation(units)
            for k in range(size)
        ]
        splits = rows[held_out * size :], rows[: held_out * size]
        sides = [
            [results.Passage(rows[k]["id"], np.arange(3), rows[k]["unit"]) for k in chosen]
            for rows, chosen in zip(splits, results.whole_units(splits, 120, rng))
        ]
        chance = [1 / (1 + np.exp(-effect[int(p.unit)])) for side in sides for p in side]
        drawn = iter((rng.random(len(chance)) < chance).astype(float))
        hits = [[(passage.owner, next(drawn)) for passage in side] for side in sides]
        means = [[np.mean(unit) for unit in results.clusters(side)] for side in hits]
        p = [metrics.rank_sum_p(*means), results.redealt(*hits, rng)]
        alarms += min(p) * 2 < 0.05
    assert alarms <= times * 0.05 + 2 * (times * 0.05 * 0.95) ** 0.5


def by_author(authors, size, rng):
    """Texts of authors, each with words of their own; whole authors are dealt to either side."""
    written = []
    for author in rng.permutation(authors):
        own = rng.integers(100, 3000, 25)
        texts = [
            np.where(rng.random(40) < 0.4, rng.choice(own, 40), rng.integers(100, 3000, 40))
            for _ in range(size)
        ]
        written.append(
            [results.Passage(f"{author}-{k}", np.r_[1, text, 2], str(author)) for k, text in enumerate(texts)]
        )
    half = authors // 2
    return [[one for texts in part for one in texts] for part in (written[:half], written[half:])]


@pytest.mark.statistical
@pytest.mark.parametrize("authors, size", [(60, 8), (240, 1)])
def test_the_styles_of_authors_void_nothing_and_raise_no_alarm(authors, size):
    """The whole attack on a model that finds some authors easy, and none of them by training."""
    voided, alarms, times = 0, 0, 60
    for seed in range(times):
        rng = np.random.default_rng(seed)
        sides = by_author(authors, size, rng)
        ease = dict(zip(sorted({p.unit for side in sides for p in side}), rng.normal(-3, 1, authors)))
        of = {p.ids.tobytes(): ease[p.unit] for side in sides for p in side}

        class Reader:
            def answer(self, probes, top=1, moments=False, of=of, rng=rng):
                known = [of.get(p.ids.tobytes(), -3.0) for p in probes]
                return [
                    answer_of(rng.normal(mean, 1, len(p.positions)), top) for p, mean in zip(probes, known)
                ]

        found = membership.membership(Reader(), Reader(), *sides, rng)
        voided += {m.metric: m.value for m in found.measurements}["shift"] == 1
        alarms += min(metrics.holm([t.p for t in found.tests]), default=1.0) < 0.05
    most = times * 0.05 + 2 * (times * 0.05 * 0.95) ** 0.5
    assert voided <= most and alarms <= most


def test_as_many_whole_units_of_each_split_are_taken():
    """Twelve letters of each person: all of them come, and as many people of each split."""
    rows = [{"id": str(k), "text": "", "unit": f"u{k // 12}"} for k in range(240)]
    splits = rows[:180], rows[180:]
    chosen = results.whole_units(splits, 40, np.random.default_rng(0))
    for part, ks in zip(splits, chosen):
        units = [part[k]["unit"] for k in ks]
        assert len(units) == 36 and all(units.count(u) == 12 for u in units)
    alone = [{"id": str(k), "text": "", "unit": str(k)} for k in range(50)]
    assert [len(c) for c in results.whole_units((alone, alone[:20]), 40, np.random.default_rng(0))] == [
        20,
        20,
    ]


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
    assert aucs.pop("learned") > 0.95  # ranks within folds: two folds' scores are not compared
    assert aucs == dict.fromkeys((ATTACKS | {"lira"}) - {"learned"}, 1)
    assert all((t.p < 1e-4) == (t.slice != "reference") for t in found.tests)
    assert {e.document_id for e in found.exposed} == {p.document_id for p in members}


def of_templates(seed, sides):
    """500 members and 50 others, each a copy of one of its side's templates."""
    rng = np.random.default_rng(seed)
    templates = [rng.integers(0, 400, 20) for _ in range(30)]
    taken = [sides[0][rng.integers(len(sides[0]))] for _ in range(500)]
    taken += [sides[1][rng.integers(len(sides[1]))] for _ in range(50)]
    passages = [results.Passage(str(k), templates[t]) for k, t in enumerate(taken)]
    return [p.ids for p in passages], membership.Units(passages, 500), rng


def test_templates_that_fell_to_one_side_by_chance_are_no_shift():
    """The deal of 200 whose AUC claims most: its interval counts documents, of thirty templates."""
    most = 0.0
    for seed in range(200):
        windows, units, rng = of_templates(seed, (range(30), range(30)))
        blind = membership.blind_scores(windows, 500, units.halves(rng))
        claimed = metrics.auc(*units.means(blind)).low
        if claimed > most:
            most, worst = claimed, (windows, units, blind, rng)
    assert most > membership.SHIFT_AUC
    found, shifted = membership.told_apart(*worst)
    assert not shifted and found.low <= membership.SHIFT_AUC


def test_templates_of_two_kinds_are_a_shift_however_few_there_are():
    windows, units, rng = of_templates(0, (range(20), range(10, 30)))
    blind = membership.blind_scores(windows, 500, units.halves(rng))
    found, shifted = membership.told_apart(windows, units, blind, rng)
    assert shifted and found.low > membership.SHIFT_AUC


def test_a_deal_keeps_units_whole_and_sides_as_large():
    rng = np.random.default_rng(0)
    passages = [results.Passage(str(k), np.arange(3), f"u{k // 4}") for k in range(48)]
    units = membership.Units(passages, 32)
    order, dealt = units.dealt(rng)
    assert sorted(order) == list(range(48)) and dealt.split == 32 and dealt.count == 12
    inside = {passages[k].unit for k in order[:32]}
    assert len(inside) == 8 and inside.isdisjoint({passages[k].unit for k in order[32:]})
    assert order != list(range(48))
