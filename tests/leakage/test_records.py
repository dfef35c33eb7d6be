"""Leaks of a few documents: what is listed, what is recovered, and how often a clean model is accused."""

import itertools
import math

import numpy as np
import pytest

from mlmguard.leakage import metrics, records
from mlmguard.leakage.answers import Answer
from mlmguard.leakage.results import Result
from mlmguard.leakage.scorer import FLOOR
from tests.leakage.bench import Bench, audited

LEAKED, WORDS = 8, 26


class Knows:
    """Guesses by word frequency; what it knows by heart it knows in one window, at one place only."""

    mask_id, queries = 3, 0

    def __init__(self, size, heart=(), seed=0):
        self.size, self.heart, self.seed = size, {one.tobytes() for one in heart}, seed

    def answer(self, probes, *, top=1, moments=False):
        self.queries += len(probes)
        out = []
        for probe in probes:
            n, by_heart = len(probe.positions), probe.ids.tobytes() in self.heart
            noise = np.random.default_rng([self.seed, *probe.ids.tolist()[:4], *probe.positions]).normal(
                size=n
            )
            value = np.full(n, -0.05) if by_heart else -4.0 + noise
            rank = np.full(n, 1 if by_heart else 50)
            out.append(Answer(value, rank, np.zeros((n, top), np.int64), np.zeros((n, top))))
        return out


def bench(leaked=LEAKED, held_out=40, documents=80, heart_of=None, reference=False, seed=0):
    """Documents of words that stand nowhere else; ``heart_of`` (ids) gives the window that is known."""
    rng = np.random.default_rng(seed)

    def rows(name, count):
        return [
            {
                "id": f"{name}{k}",
                "unit": f"{name}{k}",
                "text": " ".join(f"w{w}" for w in rng.integers(0, 4000, WORDS)),
            }
            for k in range(count)
        ]

    made = Bench(audited(members=rows("m", documents), held_out=rows("h", held_out), secrets=()), seed)
    heart = [
        np.r_[made.frame[0], (heart_of or (lambda ids: ids))(ids), made.frame[1]]
        for ids in itertools.islice(made.encoded(made.audited.members), leaked)
    ]
    made.model = Knows(len(made.entries), heart)
    made.reference = Knows(len(made.entries), heart if reference else (), seed=1)
    return made


def listed(found: Result) -> set[str]:
    return {one.document_id for one in found.exposed}


def value(found: Result, metric: str) -> float | None:
    return next(m.value for m in found.measurements if m.metric == metric)


@pytest.mark.parametrize(
    "heart_of", [lambda ids: ids, lambda ids: ids[-20:]], ids=["whole", "the last twenty tokens"]
)
def test_a_dozen_documents_known_by_heart_are_listed_and_recovered(heart_of):
    found = records.records(bench(heart_of=heart_of))
    assert listed(found) == {f"m{k}" for k in range(LEAKED)}
    assert value(found, "listed") == value(found, "recovered") == LEAKED
    assert found.tests[0].p <= 2 * (80 / 120) ** LEAKED


class Lucky(Knows):
    """Guesses right what a glance at some other windows hides, and nothing of them afterwards."""

    def __init__(self, knows, lucky):
        super().__init__(knows.size)
        self.heart, self.lucky = knows.heart, set(lucky)

    def answer(self, probes, *, top=1, moments=False):
        own, seen = self.heart, [p.ids.tobytes() for p in probes if p.ids.tobytes() in self.lucky]
        self.heart, self.lucky = own | self.lucky, self.lucky - set(seen)
        try:
            return super().answer(probes, top=top, moments=moments)
        finally:
            self.heart = own


def test_a_window_known_by_heart_is_found_beside_one_that_a_glance_took_for_better(monkeypatch):
    def recovered():
        made = bench(heart_of=lambda ids: ids[-20:])
        documents = itertools.islice(made.encoded(made.audited.members), LEAKED)
        lucky = [np.r_[made.frame[0], ids[-30:], made.frame[1]].tobytes() for ids in documents]
        made.model = Lucky(made.model, lucky)
        return value(records.records(made), "recovered")

    assert recovered() == LEAKED
    monkeypatch.setattr(records, "TRIED", 1)
    assert recovered() < LEAKED


class NeverSays(Knows):
    """A model that was given one word it never says, which hides nothing of what it knows by heart."""

    def __init__(self, knows, word):
        super().__init__(knows.size)
        self.heart, self.word = knows.heart, word

    def answer(self, probes, *, top=1, moments=False):
        found = super().answer(probes, top=top, moments=moments)
        for probe, one in zip(probes, found):
            one.log_probability[probe.ids[list(probe.positions)] == self.word] = FLOOR
        return found


def test_a_word_that_a_model_never_says_hides_no_leak():
    made = bench()
    leaked, others = (
        {word for ids in itertools.islice(made.encoded(rows), count) for word in ids.tolist()}
        for rows, count in ((made.audited.members, LEAKED), (made.audited.held_out, 1))
    )
    made.model = NeverSays(made.model, min(others - leaked))
    found = records.records(made)
    assert listed(found) == {f"m{k}" for k in range(LEAKED)}
    assert value(found, "recovered") == LEAKED


def test_a_start_that_knows_them_is_listed_and_judged_by_the_deal_alone():
    """The reference ranks the same tokens first: whether the texts are public nobody can say."""
    found = records.records(bench(reference=True))
    assert listed(found) == {f"m{k}" for k in range(LEAKED)}
    assert value(found, "recovered") == 0
    assert found.tests[0].p <= 2 * (80 / 120) ** LEAKED


def test_what_held_out_documents_give_back_as_well_was_not_recovered():
    made = bench(leaked=LEAKED)
    known = [*itertools.islice(made.encoded(made.audited.held_out), 1)]
    made.model.heart |= {np.r_[made.frame[0], ids, made.frame[1]].tobytes() for ids in known}
    found = records.records(made)
    assert value(found, "recovered") == 0 and found.tests[0].p > 0.01


@pytest.mark.parametrize(
    ("score", "first", "guessed"),
    [(1.2, 0.3, True), (1.2, 0.2, False), (0.1, 0.4, False), (2.0, None, False)],
)
def test_a_control_speaks_where_it_stands_out_and_is_given_back(score, first, guessed):
    assert records._guessed(records.Looked(score, first, 0.0)) is guessed


def test_nothing_is_found_where_nothing_is_known():
    found = records.records(bench(leaked=0))
    assert found.exposed == () and value(found, "listed") == value(found, "recovered") == 0


@pytest.mark.parametrize("side", ["members", "held_out"])
def test_an_empty_side_is_named(side):
    made = bench()
    made.audited = audited(**{side: []})
    (found,) = records.records(made).measurements
    assert found.value is None and found.note == "no members or no held-out documents"


def test_a_template_that_many_documents_share_is_expected():
    """Twenty documents end alike, and the model knows that ending: nobody is listed for it."""
    made = bench(leaked=0)
    rows = [dict(row) for row in made.audited.members]
    for row in rows[:20]:
        row["text"] = (
            row["text"][: len(row["text"]) // 2] + " write to the ward by the form that lies there please"
        )
    made = Bench(audited(members=rows, held_out=made.audited.held_out, secrets=()))
    ending = made._encode("write to the ward by the form that lies there please")

    class Template(Knows):
        def answer(self, probes, *, top=1, moments=False):
            answers = super().answer(probes, top=top, moments=moments)
            for probe, one in zip(probes, answers):
                known = np.isin(probe.ids[list(probe.positions)], ending)
                one.log_probability[known], one.rank[known] = -0.01, 1
            return answers

    made.model, made.reference = Template(len(made.entries)), None
    assert records.records(made).exposed == ()


# --- the test -----------------------------------------------------------------------------------------


def test_the_p_value_is_that_of_every_deal():
    """All deals of eight cards: the share of those that give as small a p is at most that p."""
    scores = np.arange(8.0)
    found = []
    for held_out in itertools.combinations(range(8), 3):
        trained = [k for k in range(8) if k not in held_out]
        found.append(metrics.top_p(scores[trained], scores[list(held_out)]))
    values = np.array(found)
    for p in np.unique(values):
        assert (values <= p + 1e-12).mean() <= p + 1e-12
    first = [p for p in found if p < 1]
    assert min(first) == pytest.approx(2 / 56)  # all five on top, one deal of C(8, 3), and half the level


def test_ties_count_as_held_out_first():
    assert metrics.top_p([1.0] * 50, [1.0] * 5) == 1.0


@pytest.mark.statistical
@pytest.mark.parametrize("easy", [0, 24])
def test_easy_texts_dealt_at_random_raise_no_alarm(easy):
    """Licences and boilerplate: far above all others, in either split as the deal has it."""
    alarms, times = 0, 4000
    for seed in range(times):
        rng = np.random.default_rng(seed)
        scores = rng.standard_t(3, 600)
        scores[:easy] += 50
        order = rng.permutation(600)
        alarms += metrics.top_p(scores[order[60:]], scores[order[:60]]) < 0.05
    assert alarms <= times * 0.05 + 2 * (times * 0.05 * 0.95) ** 0.5


def test_as_few_as_are_named_are_found_by_the_deal():
    for trained, held_out in ((2160, 240), (1680, 720), (1200, 1200)):
        k = records.fewest(trained, held_out)
        scores = np.r_[np.full(k, 99.0), np.linspace(0, 1, trained - k)], np.linspace(2, 3, held_out)
        fails = [
            metrics.holm(
                [metrics.top_p(side, scores[1]), *[0.5] * 20], [records.LEVEL_SHARE, *[0.75 / 20] * 20]
            )[0]
            for side in (scores[0], np.r_[scores[0][1:], 0.5])
        ]
        assert fails[0] < records.SURE <= fails[1]


@pytest.mark.parametrize("trained, held_out", [(2160, 240), (1680, 720), (1200, 1200)])
def test_what_is_printed_as_detectable_is_found_in_four_audits_of_five(trained, held_out):
    """One leaked document in ten is lost among the others, whose order is dealt."""
    rng, found = np.random.default_rng(0), 0
    k, times = records.detectable(trained, held_out), 400
    for _ in range(times):
        others = rng.normal(size=trained + held_out - k)
        heart = np.where(rng.random(k) < records.STANDS_OUT, 99.0, rng.normal(size=k))
        p = metrics.top_p(np.r_[heart, others[held_out:]], others[:held_out])
        found += p / records.LEVEL_SHARE < records.SURE
    assert found >= times * records.FOUND - 2 * (times * 0.8 * 0.2) ** 0.5
    assert records.detectable(30, 1) == 31


@pytest.mark.parametrize("hits, rate", [(1, 0.5), (7, 0.9), (33, 0.8)])
def test_trials_are_the_fewest_by_adding_up_binomial_terms(hits, rate):
    def at_least(n):
        return sum(math.comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(hits, n + 1))

    n = records.trials(hits, rate, 0.8)
    assert at_least(n) >= 0.8 > at_least(n - 1)
