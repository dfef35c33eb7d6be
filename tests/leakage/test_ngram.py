"""N-gram probing and membership with scorers whose knowledge is known: what is found, and what is not."""

import numpy as np
import pytest

from mlmguard.leakage import formats, membership, metrics, ngram, ngram_index, results
from mlmguard.leakage.answers import Answer
from mlmguard.leakage.results import CONTROL, Passage

KEY = b"a key that only tests use, 32 b."
V = 400
CLASSES = np.full(V, formats.WORD)


class Scripted:
    """Ranks a hidden token first where ``right(document's ids, position)`` says so."""

    queries, mask_id = 0, 3

    def __init__(self, right):
        self.right = right

    def answer(self, probes, top=1, moments=False):
        out = []
        for p in probes:
            hits = np.array([bool(self.right(p.ids, q)) for q in p.positions])
            scores = np.where(hits, -0.3, -4.0)
            n = len(hits)
            out.append(
                Answer(
                    scores, np.where(hits, 1, 30), np.zeros((n, top), dtype=np.int64), np.zeros((n, top)),
                    np.tile([-3.0, 1.0], (n, 1)),
                )
            )  # fmt: skip
        return out


def passages(texts, prefix, **more):
    return [
        Passage(f"{prefix}{k}", np.concatenate([[1], ids, [2]]), length=len(ids), **more)
        for k, ids in enumerate(texts)
    ]


def indices(folder, trained, held_out):
    return tuple(
        ngram_index.build(folder / name, [p.ids[1:-1] for p in side], ngram.NGRAM, KEY)
        for name, side in (("a", trained), ("b", held_out))
    )


def random_texts(rng, count, length=40):
    return [rng.integers(10, V, length) for _ in range(count)]


def probed(folder, model, reference, trained, held_out, seed=0):
    found = ngram.ngrams(
        model, reference, trained, held_out, CLASSES, indices(folder, trained, held_out),
        np.random.default_rng(seed),
    )  # fmt: skip
    return {(m.metric, m.slice): m for m in found.measurements}, found


def predictable(share, salt=0):
    """70 % of the words can be guessed from the language, whoever wrote them."""
    return Scripted(lambda ids, q: (int(ids[q]) * 7919 + salt) % 100 < 100 * share)


def test_template_text_without_repeats_shows_no_excess(tmp_path):
    rng = np.random.default_rng(0)
    template = rng.integers(10, V, 12)
    texts = [np.concatenate([template, body]) for body in random_texts(rng, 300, 28)]
    trained, held_out = passages(texts[:150], "t"), passages(texts[150:], "h")
    numbers, found = probed(tmp_path, predictable(0.7), predictable(0.5, 1), trained, held_out)
    excess = numbers["top1_excess", ""]
    assert numbers["top1_train", ""].value > 0.5
    assert excess.low <= 0 <= excess.high and found.tests[0].p > 0.05
    beyond = numbers["counterfactual_excess", ""]
    assert beyond.low <= 0 <= beyond.high


def test_what_stands_on_both_sides_is_not_compared(tmp_path):
    """A sentence of every document is known by heart: nobody learnt it from the training documents."""
    rng = np.random.default_rng(0)
    shared = np.arange(10, 40)
    texts = [np.concatenate([shared, body]) for body in random_texts(rng, 120, 10)]
    knows = Scripted(lambda ids, q: ids[q] < 40)
    trained, held_out = passages(texts[:60], "t"), passages(texts[60:], "h")
    numbers, _ = probed(tmp_path, knows, None, trained, held_out)
    assert numbers["top1_train", ""].value < 0.4  # two tokens of three are of that sentence
    assert not [slice for _, slice in numbers if slice == "copies 10+"]  # in sixty documents, of either side
    assert numbers["top1_excess", ""].low <= 0


def test_memorised_documents_show_and_copies_and_exposures_are_told_apart(tmp_path):
    rng = np.random.default_rng(0)
    once, copied = random_texts(rng, 120), random_texts(rng, 10)
    outside = random_texts(rng, 120)
    seen = passages(once[:60], "few", draws=0.4) + passages(once[60:], "often", draws=40.0)
    repeated = [
        Passage(f"c{k}-{n}", p.ids, length=40) for n in range(5) for k, p in enumerate(passages(copied, "c"))
    ]
    known = {p.ids.tobytes() for p in [*seen[60:], *repeated]}
    numbers, found = probed(
        tmp_path, Scripted(lambda ids, q: ids.tobytes() in known), predictable(0.2),
        [*seen, *repeated], passages(outside, "h"),
    )  # fmt: skip
    assert found.tests[0].p < 1e-6 and numbers["top1_heldout", ""].value == 0
    assert numbers["top1_excess", "copies 1"].value == pytest.approx(0.5, abs=0.1)
    assert numbers["top1_excess", "copies 5-9"].value == 1
    assert numbers["top1_excess", "seen < 1 time"].value == 0
    assert numbers["top1_excess", "seen > 10 times"].value == 1
    assert {c.series for c in found.curves} == {"train", CONTROL}


def test_a_model_that_has_lost_what_its_reference_knew_has_a_counterfactual_below_zero(tmp_path):
    """The reference completes every training n-gram, the model none, and nobody any of the others."""
    rng = np.random.default_rng(0)
    trained, held_out = passages(random_texts(rng, 60), "t"), passages(random_texts(rng, 60), "h")
    known = {p.ids.tobytes() for p in trained}
    reference = Scripted(lambda ids, q: ids.tobytes() in known)
    # matched by what the reference finds likely, no pair is left; so let it find all alike
    reference_alike = Scripted(lambda ids, q: True)
    numbers, _ = probed(tmp_path / "a", Scripted(lambda ids, q: False), reference_alike, trained, held_out)
    found = numbers["counterfactual_excess", ""]
    assert found.low <= found.value == 0 <= found.high and "p = 1" in found.note
    numbers, _ = probed(tmp_path / "b", Scripted(lambda ids, q: False), reference, trained, held_out)
    assert numbers["top1_excess", ""].value is None or numbers["top1_excess", ""].value == 0


@pytest.mark.statistical
def test_the_probe_raises_no_alarm_when_documents_are_dealt_at_random(tmp_path):
    alarms = 0
    for seed in range(80):
        rng = np.random.default_rng(seed)
        texts = random_texts(rng, 80)
        lucky = {t.tobytes() for t in texts if rng.random() < 0.3}  # documents that any model finds easy
        easy = Scripted(lambda ids, q, lucky=lucky: ids[1:-1].tobytes() in lucky)
        trained, held_out = passages(texts[:40], "t"), passages(texts[40:], "h")
        _, found = probed(tmp_path / str(seed), easy, None, trained, held_out, seed)
        alarms += found.tests[0].p < 0.05
    assert alarms / 80 <= 0.05 + 3 * (0.05 * 0.95 / 80) ** 0.5


@pytest.mark.parametrize(("length", "start"), [(10, 1), (40, 1), (40, 12), (40, 14), (21, 3)])
def test_expected_exposures_are_those_of_drawing_windows(length, start):
    room, count = 20, 6
    passage = Passage("x", np.zeros(min(length, room) + 2, dtype=np.int64), length=length, draws=8.0)
    starts = range(max(1, length - room + 1))
    first = start - 1
    covering = sum(s <= first and first + count <= s + room for s in starts)
    assert passage.exposures(start, count) == pytest.approx(8.0 * covering / len(starts))
    assert Passage("x", passage.ids, length=length).exposures(start, count) is None


def test_documents_of_one_unit_are_one_answer():
    """Ten letters of one person are one member, not ten."""
    rng = np.random.default_rng(0)

    def letters(side, people):
        return [
            Passage(f"{side}{p}-{k}", np.concatenate([[1], rng.integers(10, V, 30), [2]]), unit=f"{side}{p}")
            for p in range(people)
            for k in range(10)
        ]

    members, others = letters("m", 30), letters("o", 30)
    guess = Scripted(lambda ids, q: rng.random() < 0.3)
    found = membership.membership(guess, guess, members, others, rng)
    assert {m.examples for m in found.measurements if m.metric == "auc"} == {60}


@pytest.mark.statistical
def test_shuffled_labels_give_an_auc_of_one_half():
    """Members and others drawn alike, a model that finds some documents easy: none may be told apart."""
    areas: dict[str, list[float]] = {}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        ease = rng.random(500)
        model = Scripted(lambda ids, q, ease=ease: ease[ids[1]] > 0.5 or ids[q] % 3 == 0)
        other = Scripted(lambda ids, q, ease=ease: ease[ids[1]] > 0.6)
        drawn = [np.concatenate([[1], rng.integers(10, V, 24), [2]]) for _ in range(80)]
        deal = rng.permutation(80)
        sides = [[Passage(str(k), drawn[k]) for k in part] for part in (deal[:40], deal[40:])]
        found = membership.membership(model, other, *sides, rng, [other, predictable(0.4)])
        for m in found.measurements:
            if m.metric == "auc":
                areas.setdefault(m.slice, []).append(m.value)
    for name, values in areas.items():
        deviation = np.std(values, ddof=1) / len(values) ** 0.5
        assert abs(np.mean(values) - 0.5) <= 3 * deviation, name


@pytest.mark.statistical
def test_random_splits_raise_no_banner_and_split_by_date_does():
    """Words drift with time: a split by date is distinguished from a random one by the blind baseline."""
    banners = {"date": 0, "random": 0}
    guess = Scripted(lambda ids, q: ids[q] % 4 == 0)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        texts = [np.concatenate([[1], rng.integers(10 + day, 60 + day, 30), [2]]) for day in range(200)]
        for name, order in (("date", np.arange(200)), ("random", rng.permutation(200))):
            sides = [[Passage(str(k), texts[k]) for k in part] for part in (order[:100], order[100:])]
            found = membership.membership(guess, guess, *sides, rng)
            banners[name] += {m.metric: m.value for m in found.measurements}["shift"] == 1
            assert (found.tests == ()) == ({m.metric: m.value for m in found.measurements}["shift"] == 1)
    assert banners["date"] == 40
    assert banners["random"] <= 2  # none in at least 95 %


def test_rmia_with_one_reference_orders_documents_as_the_ratio_does():
    rng = np.random.default_rng(0)
    loss, outside = -rng.random(60) * 4, -rng.random(60) * 4
    scores = membership.rmia(loss, [outside], 30, rng.permutation(60) % 2)
    ratio = loss - np.log((1.3 * np.exp(outside) + 0.7) / 2)
    fold = np.random.default_rng(0)
    fold.random(60), fold.random(60)
    side = fold.permutation(60) % 2
    for k in range(60):  # by the definition: the share of the other fold's non-members that k beats
        beaten = [ratio[k] > ratio[z] for z in range(30, 60) if side[z] != side[k]]
        assert scores[k] == pytest.approx(np.mean(beaten))


def test_lira_counts_deviations_from_models_that_never_saw_it():
    shadows = [np.log(np.full(4, p)) for p in (0.4, 0.5, 0.6)]
    loss = np.log(np.array([0.5, 0.9, 0.1, 0.5]))
    scores = membership.lira(loss, shadows)
    logits = np.log(np.array([0.4, 0.5, 0.6]) / np.array([0.6, 0.5, 0.4]))
    assert scores[0] == pytest.approx(0) and scores[1] == pytest.approx(np.log(9) / logits.std(ddof=1))
    assert scores[2] == pytest.approx(-scores[1])


def test_gaussian_bounds_recover_what_they_were_made_from():
    for mu in (0.5, 1.0, 2.0):
        rng = np.random.default_rng(0)
        n = 200_000
        threshold = 1.0
        tp, fp = (int((rng.normal(shift, 1, n) >= threshold).sum()) for shift in (mu, 0.0))
        assert mu * 0.95 <= metrics.gaussian_mu_lower_bound(tp, n, fp, n) <= mu
    # published: σ = 1, one step, δ = 1e-5 is ε = 4.377
    assert metrics.gaussian_epsilon(1.0, 1e-5) == pytest.approx(4.3772, abs=1e-3)
    assert metrics.gaussian_mu_lower_bound(0, 50, 0, 50) == 0.0
    assert metrics.gaussian_epsilon(1e-3, 0.5) == 0.0


def test_difference_covers_the_truth():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        a, b = rng.binomial(60, 0.1), rng.binomial(80, 0.25)
        interval = metrics.difference(a, 60, b, 80)
        covered += interval.low <= -0.15 <= interval.high
    assert covered / 400 >= 0.95 - 3 * (0.05 * 0.95 / 400) ** 0.5
    assert np.isnan(metrics.difference(0, 0, 1, 2).value)
    assert results.fisher(5, 5, 0, 0) == 1.0


def test_an_area_near_one_has_an_interval_near_one():
    """One pair of 10,000 out of order: the logit scale would put the lower end at 0."""
    members = np.r_[np.arange(100, 199), 1.5]
    others = np.r_[np.arange(0, 1, 0.0101)[:98], 2.0, 3.0]
    area = metrics.auc(members, others)
    assert 0.999 < area.value < 1 and area.low > 0.95
