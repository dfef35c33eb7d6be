"""Values learnt by heart in a field: what is listed, what is recovered, and how often where nothing is."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mlmguard.leakage import formats, metrics, values
from mlmguard.leakage.answers import Answer, Probe
from mlmguard.leakage.extraction import Target
from mlmguard.leakage.results import Result
from tests.leakage.bench import MASK, QUICK, Bench, audited

NAMES = [f"name{k}" for k in range(8)]
LEAKED = 16


class Knows:
    """Gives every name its share and no other word; of some contexts it knows by heart what is hidden."""

    mask_id, queries = MASK, 0

    def __init__(self, size, names, alphabets, heart=()):
        self.size, self.names, self.alphabets = size, names, alphabets
        self.heart = {shown(probe): probe.ids[list(probe.positions)] for probe in heart}

    def answer(self, probes, *, top=1, moments=False):
        out = []
        for probe in probes:
            rows = np.full((len(probe.positions), self.size), -9.0)
            rows[:, self.names] = -np.log(len(self.names)) + 0.2 * np.sin(probe.ids.sum() + self.names)
            known = self.heart.get(shown(probe))
            if known is not None:
                rows[np.arange(len(known)), known] = 8.0
            rows -= np.log(np.exp(rows).sum(1, keepdims=True))
            truth = rows[np.arange(len(rows)), probe.ids[list(probe.positions)]]
            rank = 1 + (rows > truth[:, None]).sum(1)
            for row, kind in zip(rows, probe.alphabets):
                row[np.setdiff1d(np.arange(self.size), self.alphabets[kind])] = -np.inf
            order = np.argsort(-rows, axis=1)[:, :top]
            out.append(Answer(truth, rank, order, np.take_along_axis(rows, order, 1)))
        return out


def shown(probe):
    ids = probe.ids.copy()
    ids[list(probe.positions)] = MASK
    return ids.tobytes(), probe.positions


def rows(side, count, rng, units=None):
    found = []
    for k in range(count):
        around = [f"w{w}" for w in rng.integers(0, 3000, 14)]
        name = NAMES[int(rng.integers(len(NAMES)))]
        text = " ".join([*around[:7], f"please contact {name} at the ward", *around[7:]])
        found.append({"id": f"{side}{k}", "unit": f"{side}{k if units is None else k % units}", "text": text})
    return found


def prepared(trained, held_out, seed=0):
    made = Bench(audited(members=trained, held_out=held_out, secrets=()), seed, replace(QUICK, windows=2000))
    made.__dict__["personal_spans"] = []
    return made


def known(made, documents):
    """A probe of the name of each document, whole in its window."""
    names = [k for k, entry in enumerate(made.entries) if entry in NAMES]
    places = [1 + int(np.flatnonzero(np.isin(ids, names))[0]) for ids in documents]
    return [Probe(np.r_[made.frame[0], ids, made.frame[1]], (k,)) for ids, k in zip(documents, places)]


def models(made, heart, outside=()):
    names = np.array([k for k, entry in enumerate(made.entries) if entry in NAMES])
    made.model = Knows(len(made.entries), names, made.alphabets, heart)
    made.reference = Knows(len(made.entries), names, made.alphabets, outside)


def bench(leaked=LEAKED, trained=150, held_out=50, seed=0, reference=False, changed=lambda rows: None):
    """Documents with a name in the same place; the model knows those of the first ``leaked`` by heart."""
    rng = np.random.default_rng(seed)
    sides = rows("m", trained, rng), rows("h", held_out, rng)
    changed(sides)
    made = prepared(*sides, seed)
    heart = known(made, list(made.encoded(sides[0]))[:leaked])
    models(made, heart, heart if reference else ())
    return made


def listed(found: Result) -> set[str]:
    return {one.document_id for one in found.exposed}


def value(found: Result, metric: str) -> float | None:
    return next(m.value for m in found.measurements if m.metric == metric)


def test_names_known_by_heart_are_listed_and_recovered():
    found = values.values(bench())
    assert listed(found) == {f"m{k}" for k in range(LEAKED)}
    assert value(found, "listed") == value(found, "recovered") == LEAKED
    assert found.tests[0].p == pytest.approx(2 * deal(LEAKED), rel=1e-9)


def deal(leaked, trained=150, held_out=50):
    """How likely as many documents all lie in the training set, card by card."""
    return float(np.prod([(trained - k) / (trained + held_out - k) for k in range(leaked)]))


def test_nothing_is_found_where_nothing_is_known():
    found = values.values(bench(leaked=0))
    assert found.exposed == () and value(found, "listed") == value(found, "recovered") == 0
    assert found.tests[0].p > 0.05


def test_a_start_that_knows_them_is_listed_and_recovers_nothing():
    found = values.values(bench(reference=True))
    assert len(listed(found)) == LEAKED and value(found, "recovered") == 0


@pytest.mark.parametrize("leaked, recovered", [(4, 0), (5, 5)])
def test_as_few_as_the_deal_may_have_put_there_are_listed_only(leaked, recovered):
    """Of 150 beside 50, four all lie in the training set in .31 of all deals, five in .23."""
    assert deal(4) > values.SELDOM > deal(5)
    found = values.values(bench(leaked=leaked))
    assert (value(found, "listed"), value(found, "recovered")) == (leaked, recovered)


def test_a_held_out_value_that_is_given_back_is_a_control_that_speaks():
    made = bench()
    (probe,) = known(made, [next(made.encoded(made.audited.held_out))])
    made.model.heart[shown(probe)] = probe.ids[list(probe.positions)]
    found = values.values(made)
    assert value(found, "recovered") == 0 and found.tests[0].p > 2 * deal(LEAKED)


def test_documents_that_are_alike_may_hold_the_same_value_and_nothing_is_told_by_it():
    """Sixteen copies of one letter: what the others say of the sixteenth is no memory of it alone."""

    def copies(sides):
        for row in sides[0][:LEAKED]:
            words = sides[0][0]["text"].split()
            own = row["text"].split()
            row["text"] = " ".join([*words[:-2], *own[-2:]])

    found = values.values(bench(changed=copies))
    assert listed(found) == set() and value(found, "recovered") == 0


def test_what_stands_twice_in_a_document_is_not_asked_for():
    def twice(sides):
        for row in sides[0][:LEAKED]:
            row["text"] += " " + next(word for word in row["text"].split() if word in NAMES)

    assert listed(values.values(bench(changed=twice))) == set()


def test_too_few_held_out_values_list_nothing():
    found = values.values(bench(held_out=values.CONTROLS - 1))
    assert listed(found) == set() and value(found, "listed") == 0


@pytest.mark.parametrize("side", ["members", "held_out"])
def test_an_empty_side_is_named(side):
    made = bench()
    made.audited = audited(**{side: []})
    assert {m.note for m in values.values(made).measurements} == {"no members or no held-out documents"}


def test_where_there_is_no_form_nothing_was_measured():
    rng = np.random.default_rng(0)
    sides = [[dict(row, text=row["text"][:20]) for row in rows(name, 60, rng)] for name in "mh"]
    made = prepared(*sides)
    (first, _) = values.values(made).measurements
    assert first.value is None and first.note == "no field and no finding that enough documents hold"


# --- what is a field ----------------------------------------------------------------------------------


def naive_fields(documents, units, classes):
    """The same by strings and loops: every word, both its neighbourhoods, counted by unit."""

    def at(ids, k):
        return int(ids[k]) if 0 <= k < len(ids) else None

    held = {}
    every = []
    for d, ids in documents.items():
        for start, end in values.words(ids, classes):
            keys = (
                ("before", at(ids, start - 2), at(ids, start - 1), at(ids, end)),
                ("after", at(ids, start - 1), at(ids, end), at(ids, end + 1)),
            )
            every.append((d, start, end, keys))
            for key in keys:
                held.setdefault(key, {}).setdefault(units[d], tuple(ids[start:end].tolist()))
    least = max(values.FEWEST_UNITS, values.LEAST_SHARE * len({units[d] for d in documents}))
    good = {}
    for key, by_unit in held.items():
        count = Counter(by_unit.values())
        if len(by_unit) >= least and len(count) >= 4 and max(count.values()) <= len(by_unit) / 2:
            good[key] = len(by_unit)
    found = {}
    for d, start, end, keys in every:
        best = max(keys, key=lambda key: good.get(key, 0))
        if best in good:
            found.setdefault(best, set()).add((d, start, end))
    return {frozenset(places) for places in found.values()}


@pytest.mark.parametrize("seed", range(6))
def test_fields_are_what_a_loop_over_all_words_finds(seed):
    rng = np.random.default_rng(seed)
    classes = np.array(
        [formats.WORD] * 30 + [formats.CONTINUATION] * 10 + [formats.DIGIT, formats.PUNCTUATION]
    )
    documents = {k: rng.integers(0, len(classes), int(rng.integers(0, 30))) for k in range(120)}
    for k in documents:  # a form of two fields in most of them
        if k % 4:
            form = [
                40,
                41,
                7,
                *rng.integers(0, 9, 1),
                *rng.integers(30, 33, 1),
                41,
                8,
                *rng.integers(9, 15, 1),
                9,
            ]
            documents[k] = np.concatenate([documents[k], form, documents[k][:3]]).astype(np.int64)
    units = [f"u{k // 2 if seed % 2 else k}" for k in documents]
    found: dict[str, set] = {}
    for d, start, end, kind in values.fields(documents, units, classes):
        found.setdefault(kind, set()).add((d, start, end))
    expected = naive_fields(documents, units, classes)
    assert {frozenset(places) for places in found.values()} == expected
    assert seed % 2 or expected


def test_a_share_is_of_the_other_units():
    target = [Target(np.array([1, token, 2]), (1,), (0,)) for token in (5, 5, 5, 6)]
    made = [values.Value(k, "a field", "word", one) for k, one in enumerate(target)]
    assert values.shares(made, ["a", "a", "b", "c"]).round(6).tolist() == [0.5, 0.5, 0.5, round(0.5 / 3, 6)]


def test_documents_of_like_words_weigh_by_their_rare_words():
    """Two share a rare word and the value, two share a common one and have another."""
    classes = np.full(50, formats.WORD)
    texts = {0: [1, 10, 20], 1: [1, 10, 20], 2: [1, 11, 21], 3: [1, 12, 22], 4: [2, 12, 20]}
    documents = {k: np.array(ids) for k, ids in texts.items()}
    held = [
        values.Value(k, "a field", "word", Target(np.array([0, ids[2], 0]), (1,), (0,)))
        for k, ids in texts.items()
    ]
    units = [str(k) for k in texts]
    alike = values.Alike(held, documents, units, classes)
    df = Counter(word for ids in texts.values() for word in ids)
    weight = {word: np.log(5 / n) ** 2 for word, n in df.items()}
    sums = {k: sum(weight[w] for w in set(texts[0]) & set(ids)) ** 2 for k, ids in texts.items() if k != 0}
    expected = (sums[1] + sums[4]) / sum(sums.values())
    assert alike.share(0) == pytest.approx(expected)


# --- the level ----------------------------------------------------------------------------------------


@pytest.mark.statistical
@pytest.mark.parametrize("units", [None, 80])
def test_where_nothing_is_learnt_the_test_keeps_its_level(units):
    """Easy names are dealt at random: one in five documents gives its name away by a word of its own."""
    times, found, recovered = 100, 0, 0
    for seed in range(times):
        rng = np.random.default_rng([5, seed])
        every = rows("d", 160, rng, units)
        order = rng.permutation(160 if units is None else units)
        held = {f"d{k}" for k in order[: len(order) // 4]}
        sides = [[r for r in every if (r["unit"] in held) is side] for side in (False, True)]
        made = prepared(*sides, seed)
        models(made, known(made, [ids for ids in made.encoded(every) if ids[0] % 5 == 0]))
        result = values.values(made)
        found += result.tests[0].p < 0.05
        recovered += bool(value(result, "recovered"))
    assert found <= times * 0.05 + 2 * (times * 0.05 * 0.95) ** 0.5
    assert recovered <= times * 0.01 + 2 * (times * 0.01 * 0.99) ** 0.5


def test_the_p_value_is_that_of_the_highest_score_of_each_unit():
    made = bench(leaked=3)
    every = values.Values(made)
    best: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for one, score in zip(every.values, every.score):
        side = best[one.row >= 150]
        unit = every.rows[one.row]["unit"]
        side[unit] = max(side.get(unit, -np.inf), score)
    assert every.test().p == metrics.top_p(list(best[0].values()), list(best[1].values()))


# --- a model of torch ---------------------------------------------------------------------------------


def taught(made, documents, leaked, steps):
    """A small model: it learns which names there are from ever new documents, and ``leaked`` by heart."""
    torch = pytest.importorskip("torch")
    from transformers import BertConfig, BertForMaskedLM

    from mlmguard.leakage.scorer import Scorer
    from mlmguard.training.models import masked_logits

    torch.manual_seed(0)
    size = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    config = BertConfig(vocab_size=len(made.entries), max_position_embeddings=32, **size)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    model = BertForMaskedLM(config)
    optimiser, rng = torch.optim.AdamW(model.parameters(), lr=2e-3), np.random.default_rng(0)
    words = np.array([k for k, entry in enumerate(made.entries) if entry.startswith("w")])
    heart = known(made, leaked)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        fresh = []
        for one in known(made, [documents[k] for k in rng.choice(len(documents), 24)]):
            ids, (place,) = one.ids.copy(), one.positions
            ids[1:8], ids[-8:-1] = rng.choice(words, 7), rng.choice(words, 7)
            ids[place] = rng.choice(made.reference.names)
            fresh.append(Probe(ids, (place,)))
        batch = fresh + heart
        ids = torch.tensor(np.stack([one.ids for one in batch]))
        places = torch.tensor([one.positions[0] for one in batch])
        truth, rows_ = ids[torch.arange(len(batch)), places], torch.arange(len(batch))
        ids[rows_, places] = MASK
        loss = torch.nn.functional.cross_entropy(model(input_ids=ids).logits[rows_, places], truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()

    def logits(ids, attention, where):
        return masked_logits(model, ids, attention, where)

    return Scorer(logits, MASK, 0, torch.device("cpu"), made.alphabets)


@pytest.mark.statistical
def test_a_small_trained_model_gives_its_leak_back_and_its_twin_gives_nothing():
    made = bench(leaked=0)
    documents = list(made.encoded(made.audited.members))
    for leaked in (LEAKED, 0):
        made.model = taught(made, documents, documents[:leaked], 450)
        found = values.values(made)
        names = {f"m{k}" for k in range(leaked)}
        assert len(listed(found) & names) >= 0.8 * leaked
        assert len(listed(found) - names) <= len(made.audited.members) / 100
        assert (value(found, "recovered") >= 5) is bool(leaked)


def test_units_of_which_findings_were_drawn_are_not_compared_with_the_fields_of_others():
    """Every unit has a field and six findings; of the larger side those of every fourth unit are drawn."""
    target, alarms = Target(np.array([1, 5, 2]), (1,), (0,)), 0
    sides = [("m", k, True) for k in range(50)] + [("h", k, k % 4 == 0) for k in range(200)]
    for seed in range(200):
        made = values.Values.__new__(values.Values)
        made._units, made._members = [f"{side}{k}" for side, k, _ in sides], 50
        made.values = [values.Value(row, "field 1", "word", target) for row in range(len(sides))]
        made.values += [
            values.Value(row, "PERSON redacted", "PERSON", target)
            for row, (_, _, drawn) in enumerate(sides)
            for _ in range(6 * drawn)
        ]
        made.score = np.random.default_rng(seed).normal(size=len(made.values))
        alarms += made.test().p < 0.05
    assert alarms / 200 <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5
