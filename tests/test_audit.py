"""The audit kept honest: it finds what is there, nothing where nothing is, and names what does not fit."""

import json
import shutil
import stat
import sys
from dataclasses import replace

import numpy as np
import pytest

import mlmguard.audit  # noqa: F401
from mlmguard import measures
from mlmguard.artifacts import read_json
from mlmguard.commands.gate import judge_evidence
from mlmguard.corpus.clean import read_clean
from mlmguard.errors import InputError
from mlmguard.leakage import attacks, canaries, exposure, formats, membership, metrics, results, vocabulary
from mlmguard.leakage.exposure import CanaryScores
from mlmguard.leakage.signals import Answer
from mlmguard.policy.reading import load
from mlmguard.train import TrainSettings
from tests.workbench import QUICK, Bench, damaged, findings, numbers, overfitted

audit_verb = sys.modules["mlmguard.audit"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("audit"))


@pytest.fixture(scope="module")
def plain(bench):
    """A model that was trained, briefly, with 60 canaries."""
    return bench.train("plain", TrainSettings(init="scratch", steps=60, canaries=60))


@pytest.fixture(scope="module")
def evidence(bench, plain):
    return bench.audit(plain)


# --- the two fixtures that keep it honest -------------------------------------------------------------


@pytest.mark.slow
def test_a_model_overfitted_on_repeated_secrets_is_reported_as_extractable(bench):
    evidence = bench.audit(overfitted(bench))
    found = numbers(evidence)
    assert found["canary", "extraction_rate", ""] >= 0.9
    assert found["canary", "extraction_rate_heldout", ""] == 0
    assert {"canary.extraction_p", "canary.exposure_p"} <= set(findings(evidence))
    judged = judge_evidence(bench.folder / "x", evidence, load("base"))
    assert judged.judgement.status == "fail"
    # repeated canaries are not one unit each: no bound on ε may be computed from them
    assert not [m for m in evidence.measurements if m.attack == "epsilon"]


@pytest.mark.slow
def test_canaries_in_tiers_show_what_repetition_does_and_leave_the_bound_to_the_others(bench):
    trained = bench.train(
        "tiers",
        TrainSettings(
            size="tiny", init="scratch", canaries=64, canary_tiers=(8, 30), steps=700, learning_rate=2e-3
        ),
    )
    evidence = bench.audit(trained)
    found = numbers(evidence)
    rates = [found["canary", "extraction_rate", label] for label in ("", "copies 8", "copies 30")]
    assert rates == sorted(rates) and rates[0] <= 0.2 and rates[2] >= 0.8
    assert found["canary", "extraction_rate_heldout", "copies 30"] == 0
    examples = {(m.metric, m.slice): m.examples for m in evidence.measurements}
    assert examples["one_run_lower_bound", ""] == 64  # the repeated ones are not one unit each
    assert not [m for m in evidence.measurements if m.metric.endswith("_p") and m.slice.startswith("copies")]


def test_a_tier_has_more_copies_than_the_canaries_that_are_judged(bench):
    secrets = canaries.draw(10, np.random.default_rng(0), tiers=(4,))
    copies = [s.canary.repetitions for s in secrets]
    assert copies == [1] * 10 + [4] * canaries.TIER and len({s.text for s in secrets}) == len(secrets)
    assert {len(canaries.units(s)) for s in secrets if s.canary.planted} == {1, 4}
    for settings in (TrainSettings(canary_tiers=(1,)), TrainSettings(canaries=0, canary_tiers=(4,))):
        with pytest.raises(InputError, match="--canary-tier"):
            bench.train("refused", settings)


@pytest.mark.slow
def test_a_trained_model_that_never_saw_the_secrets_shows_nothing(bench):
    trained = bench.train("innocent", TrainSettings(size="tiny", init="scratch", steps=400, canaries=0))
    evidence = bench.audit(bench.never_saw_its_canaries(trained))
    assert numbers(evidence)["model", "unigram_margin", ""] > 0
    # ninety passes over three hundred notes: that those were members is true and found. What it never saw,
    # canaries and redacted values, must show nothing
    assert [f for f in findings(evidence) if f.startswith(("canary.", "pii."))] == []
    assert numbers(evidence)["canary", "extraction_rate", ""] == 0
    assert numbers(evidence)["epsilon", "one_run_lower_bound", ""] == 0


def test_a_randomly_initialised_model_shows_nothing_and_is_never_clean(bench, plain):
    evidence = bench.audit(bench.randomly_initialised(plain))
    assert findings(evidence) == []
    assert not evidence.model.beats_unigram
    judged = judge_evidence(bench.folder / "x", evidence, load("base"))
    assert judged.judgement.status in ("inconclusive", "fail")


# --- evidence -----------------------------------------------------------------------------------------


def test_every_rate_has_an_interval_around_it(evidence):
    for m in evidence.measurements:
        if m.value is not None and m.metric.endswith(("_rate", "_train", "_heldout", "_excess", "auc")):
            assert m.low is not None and m.high is not None, (m.attack, m.metric)
            assert m.low <= m.value <= m.high, (m.attack, m.metric, m.slice)


def test_every_number_of_an_audit_can_be_named_in_a_policy(evidence):
    known = set(measures.METRICS)
    assert {f"{m.attack}.{m.metric}" for m in evidence.measurements} <= known


def test_personal_spans_and_rare_words_are_probed_on_both_sides(evidence):
    slices = {(m.attack, m.metric, m.slice): m.examples for m in evidence.measurements}
    assert slices["pii", "top1", "redacted"] > 500 and slices["pii", "top1", "held-out"] > 50
    assert slices["rare", "top1", "train"] > 5
    assert slices["pii", "extraction_rate", "kept"] == 0  # said, not left out


def test_attacks_not_run_are_listed_with_a_reason(evidence):
    missing = [a for a in evidence.attacks if a.status == "not run"]
    assert missing and all(a.detail for a in missing)


def test_the_same_seed_gives_the_same_bytes(bench, plain, evidence):
    path = bench.folder / "reports" / "audit.json"
    bench.audit(plain)
    first = path.read_bytes()
    bench.audit(plain)
    assert path.read_bytes() == first


def test_a_claim_below_its_ledger_is_refused(bench, plain):
    private = bench.train(
        "private", TrainSettings(dp_epsilon=8.0, init="scratch", steps=4, batch_units=200, canaries=0)
    )
    damaged(private / "privacy.json", epsilon=0.5)
    with pytest.raises(InputError, match="its ledger costs"):
        bench.audit(private)


def as_another_tool_would_leave_it(bench, ckpt, name):
    """Weights and tokenizer alone, and its data as two plain files."""
    folder = bench.folder / name
    folder.mkdir()
    for file in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(ckpt / file, folder)
    members, others = folder.with_suffix(".members.jsonl"), folder.with_suffix(".others.jsonl")
    rows = [p.read_text().splitlines() for p in sorted((bench.folder / "clean").glob("*.jsonl"))]
    train = max(rows, key=len)
    members.write_text("\n".join(train[:80]) + "\n")
    others.write_text(
        "\n".join([line for side in rows if side is not train for line in side] + train[:3]) + "\n"
    )
    return folder, members, others


def test_a_checkpoint_of_another_tool_is_audited_from_two_files(bench, plain):
    from mlmguard.audit import Foreign, audit

    folder, members, others = as_another_tool_would_leave_it(bench, plain, "foreign")
    evidence = audit(folder, bench.folder / "reports", QUICK, foreign=Foreign(members, others))
    assert evidence.statement is None and evidence.manifest is None
    assert "3 non-members are members too and were removed." in evidence.notes
    coverage = {a.attack: a for a in evidence.attacks}
    assert coverage["ngram"].status == "run"
    assert coverage["pii"].status == coverage["canary"].status == coverage["epsilon"].status == "not run"
    aucs = {m.slice for m in evidence.measurements if m.metric == "auc"}
    assert aucs == {"loss", "min-k", "min-k++", "neighbours"}
    assert coverage["shadow models"].status == "not run"
    initial = str(bench.run_of(plain) / "initial")
    with_reference = audit(
        folder,
        bench.folder / "reports",
        QUICK,
        foreign=Foreign(members, others, initial, (initial, initial)),
    )
    aucs = {m.slice for m in with_reference.measurements if m.metric == "auc"}
    assert aucs == ATTACKS | {"lira"}
    assert {a.attack: a.status for a in with_reference.attacks}["shadow models"] == "run"


def a_causal_model(bench, name, steps):
    """A tiny GPT-2 that was trained on the members (or, without steps, on nothing), and its two files."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from mlmguard.training.text import tokenizer

    folder, members, others = as_another_tool_would_leave_it(bench, bench.folder / "plain", name)
    words = tokenizer.load(None)
    words.add_special_tokens({"bos_token": "[CLS]", "eos_token": "[SEP]"})
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=len(words), n_positions=128, n_embd=64, n_layer=2, n_head=2)
    )
    texts = [json.loads(line)["text"] for line in members.read_text().splitlines()]
    batch = words(texts, padding=True, truncation=True, max_length=64, return_tensors="pt")
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(steps):
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        optimiser.zero_grad()
        model(batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss.backward()
        optimiser.step()
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder, members, others


def test_a_causal_checkpoint_is_audited_by_its_next_token_scores(bench, plain):
    from mlmguard.audit import Foreign, audit

    folder, members, others = a_causal_model(bench, "causal", 150)
    random_weights, *_ = a_causal_model(bench, "causal-random", 0)
    evidence = audit(folder, bench.folder / "reports", QUICK, foreign=Foreign(members, others))
    found = {(m.metric, m.slice): m for m in evidence.measurements}
    assert found["auc", "loss"].low > 0.6 and "membership.auc_p" in findings(evidence)
    assert evidence.model.beats_unigram
    status = {a.attack: a.status for a in evidence.attacks}
    assert {name for name, told in status.items() if told == "run"} == {"membership", "vocabulary"}
    against = Foreign(members, others, str(random_weights))
    calibrated = audit(folder, bench.folder / "reports", QUICK, foreign=against)
    assert {m.slice for m in calibrated.measurements if m.metric == "auc"} == ATTACKS
    null = audit(random_weights, bench.folder / "reports", QUICK, foreign=Foreign(members, others))
    assert findings(null) == [] and not null.model.beats_unigram
    masked = Foreign(members, others, str(bench.run_of(plain) / "initial"))
    with pytest.raises(InputError, match="a masked language model"):
        audit(folder, bench.folder / "reports", QUICK, foreign=masked)


def test_next_token_scores_are_those_of_a_plain_loop(bench, plain):
    import torch
    from transformers import GPT2LMHeadModel

    from mlmguard.audited import Foreign, read_foreign
    from mlmguard.bench import Bench as AuditBench
    from mlmguard.leakage.signals import Probe

    folder, members, others = a_causal_model(bench, "causal-loop", 5)
    model = GPT2LMHeadModel.from_pretrained(folder).eval()
    with AuditBench(read_foreign(folder, Foreign(members, others)), QUICK) as tools:
        passages = tools.members[:5]
        said = tools.model.answer([Probe(p.ids, tuple(range(1, len(p.ids) - 1))) for p in passages])
    for passage, answer in zip(passages, said):
        with torch.no_grad():
            scores = model(torch.from_numpy(passage.ids)[None]).logits[0].log_softmax(-1)
        loop = [float(scores[k - 1, passage.ids[k]]) for k in range(1, len(passage.ids) - 1)]
        assert answer.log_probability == pytest.approx(loop, abs=1e-4)


def test_members_that_are_all_non_members_too_are_refused(bench, plain):
    from mlmguard.audit import Foreign, audit

    folder, members, _ = as_another_tool_would_leave_it(bench, plain, "overlap")
    with pytest.raises(InputError, match="are members too"):
        audit(folder, bench.folder / "reports", QUICK, foreign=Foreign(members, members))


# --- does it find nothing where there is nothing? -----------------------------------------------------


@pytest.mark.slow
def test_the_self_test_audits_nulls_and_a_leak_in_the_labels_would_be_an_alarm(bench, monkeypatch):
    """A model that knows its secrets by heart, coins dealt anew: nothing. With the true ones: an alarm."""
    ckpt = overfitted(bench)
    tested = audit_verb.selftest(ckpt, 2, QUICK, runs=bench.runs)
    assert tested.times == 2 and set(tested.alarms) == {"random weights", "shuffled labels"}
    assert sum(map(len, tested.alarms.values())) <= 1
    assert tested.rate("random weights").high < 1
    monkeypatch.setattr(audit_verb, "_shuffled_labels", lambda trained, rng: trained)  # what if it did not?
    leaky = audit_verb.selftest(ckpt, 1, QUICK, runs=bench.runs)
    assert "canary.exposure_p" in leaky.alarms["shuffled labels"][0]


# --- time and interruption ----------------------------------------------------------------------------


def test_an_interrupted_audit_goes_on_and_ends_with_the_same_bytes(bench, plain, evidence, monkeypatch):
    whole = (bench.folder / "reports" / "audit.json").read_bytes() if bench.audit(plain) else b""
    ran = []
    for name in ("membership", "regurgitated"):
        attack = getattr(audit_verb, name)
        monkeypatch.setattr(
            audit_verb, name, lambda *a, name=name, attack=attack: ran.append(name) or attack(*a)
        )
    vocabulary_attack = audit_verb.vocabulary.vocabulary
    monkeypatch.setattr(audit_verb.vocabulary, "vocabulary", stopped)
    with pytest.raises(KeyboardInterrupt):
        bench.audit(plain)
    assert ran == ["membership", "regurgitated"]
    kept = next(path for path in bench.run_of(plain).glob("audit-*"))
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    monkeypatch.setattr(audit_verb.vocabulary, "vocabulary", vocabulary_attack)
    bench.audit(plain)
    assert ran == ["membership", "regurgitated"]  # not a second time
    assert (bench.folder / "reports" / "audit.json").read_bytes() == whole
    assert not list(bench.run_of(plain).glob("audit-*"))


def stopped(*_):
    raise KeyboardInterrupt


def test_what_the_time_did_not_allow_is_listed_and_the_audit_is_no_pass(bench, plain):
    evidence = bench.audit(plain, replace(QUICK, minutes=1e-9))
    told = {a.attack: (a.status, a.detail) for a in evidence.attacks}
    assert told["ngram"] == ("not run", "the time or the queries given were spent")
    judged = judge_evidence(bench.folder / "x", evidence, load("base"))
    assert judged.judgement.status in ("inconclusive", "fail")


def test_a_budget_of_queries_ends_an_audit_between_two_attacks(bench, plain, evidence):
    spent = [
        int(a.detail.split("; ")[-1].split()[0].replace(",", ""))
        for a in evidence.attacks
        if a.status == "run"
    ]
    assert len(spent) > 5 and spent[0] > 100
    short = bench.audit(plain, replace(QUICK, queries=spent[0]))
    status = {a.attack: a.status for a in short.attacks}
    assert status["ngram"] == "run" and status["pii"] == "run"  # begun with exactly the budget spent
    assert status["membership"] == "not run"


@pytest.mark.slow
def test_the_most_exposed_documents_are_listed_by_id_for_the_owner_only(bench, tmp_path):
    copies = bench.train("repeated", TrainSettings(size="tiny", init="scratch", steps=2000, canaries=0))
    path = tmp_path / "records.jsonl"
    settings = replace(QUICK, documents=400, samples=400)
    audit_verb.audit(copies, bench.folder / "reports", settings, runs=bench.runs, records=path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows and stat.S_IMODE(path.stat().st_mode) == 0o600
    known = {row["id"] for row in read_clean(bench.folder / "clean").train}
    assert {row["document_id"] for row in rows} <= known
    assert {"attack", "copies", "document_id", "kind", "score"} == set(rows[0])
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)


# --- bad input ----------------------------------------------------------------------------------------


def test_a_checkpoint_without_its_tokenizer(bench, plain):
    copy = bench.clone(plain, "no-tokenizer")
    (copy / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="no tokenizer"):
        bench.audit(copy)


def test_a_checkpoint_without_its_run_folder(bench, plain):
    copy = bench.clone(plain, "no-run")
    shutil.rmtree(bench.run_of(copy))
    with pytest.raises(InputError, match="--run"):
        bench.audit(copy)


def test_canaries_that_were_exchanged(bench, plain):
    copy = bench.clone(plain, "other-canaries")
    canaries.save(canaries.draw(60, np.random.default_rng(5)), bench.run_of(copy) / "canaries.jsonl")
    with pytest.raises(InputError, match="not the canaries"):
        bench.audit(copy)


def test_another_corpus_than_the_one_trained_on(bench, plain):
    copy = bench.clone(plain, "other-corpus")
    damaged(bench.run_of(copy) / "run.json", commitment="0" * 64)
    with pytest.raises(InputError, match="another corpus"):
        bench.audit(copy)


def test_the_raw_corpus_changed_since_the_scan(bench, plain, tmp_path):
    moved = tmp_path / "corpus"
    shutil.copytree(bench.folder / "corpus", moved)
    victim = next(moved.rglob("*.jsonl"))
    victim.write_text(victim.read_text() + '{"id": "new", "text": "one more note"}\n')
    from mlmguard.audit import audit

    with pytest.raises(InputError, match="changed since the scan"):
        audit(plain, bench.folder / "reports", QUICK, runs=bench.runs, corpus=moved)


def test_a_head_that_is_not_in_the_checkpoint_is_told(bench, plain):
    from safetensors.torch import load_file, save_file

    copy = bench.clone(plain, "no-head")
    weights = load_file(copy / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if not k.startswith("cls.")},
        copy / "model.safetensors",
        {"format": "pt"},
    )
    evidence = bench.audit(copy)
    assert not evidence.model.head_loaded
    judged = judge_evidence(bench.folder / "x", evidence, load("base"))
    assert judged.judgement.status in ("inconclusive", "fail")


# --- what may leave the house -------------------------------------------------------------------------


def test_the_checkpoint_loads_in_plain_transformers_and_holds_nothing_else(plain):
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model = AutoModelForMaskedLM.from_pretrained(plain)
    assert len(AutoTokenizer.from_pretrained(plain)) == model.config.vocab_size
    allowed = {
        "README.md", "config.json", "model.safetensors", "privacy.json", "training.json", "tokenizer.json",
        "tokenizer_config.json", "special_tokens_map.json", "generation_config.json",
    }  # fmt: skip
    assert {p.name for p in plain.iterdir()} <= allowed
    assert "heldout_loss" not in (plain / "training.json").read_text()


def test_run_folder_is_private_and_canaries_are_told_by_digest_only(bench, plain):
    run = bench.run_of(plain)
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    texts = [s.text for s in canaries.load(run / "canaries.jsonl")]
    released = "".join(p.read_text() for p in plain.iterdir() if p.suffix in (".json", ".md"))
    assert not any(text in released for text in texts)
    assert read_json(plain / "training.json")["canaries_digest"]


# --- attacks on their own -----------------------------------------------------------------------------


def test_one_run_bound_finds_a_model_that_gives_every_coin_away():
    rng = np.random.default_rng(0)
    coins = rng.integers(0, 2, 1000).astype(bool)
    scores = CanaryScores(coins, coins + rng.normal(0, 0.01, 1000), np.zeros(1000))
    found = {m.metric: m for m in exposure.one_run_epsilon(scores, 500, 1e-5, 2.0).measurements}
    assert found["one_run_lower_bound"].value == pytest.approx(found["one_run_lower_bound"].ceiling)
    assert found["one_run_lower_bound"].value > 2 and found["refutable"].value == 1


def test_one_run_bound_says_when_it_could_never_refute_the_claim():
    scores = CanaryScores(np.ones(100, bool), np.zeros(100), np.zeros(100))
    found = {m.metric: m for m in exposure.one_run_epsilon(scores, 50, 1e-5, 8.0).measurements}
    assert found["refutable"].value == 0 and "12,977" in found["refutable"].note


def test_exposure_of_exchangeable_canaries_is_near_the_null_mean():
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(200):
        scores = CanaryScores(
            rng.integers(0, 2, 200).astype(bool), rng.normal(size=200), rng.normal(size=200)
        )
        found = exposure.exposure(scores, rng)
        p_values.append(found.tests[0].p)
    assert found.measurements[0].value == pytest.approx(1.443, abs=0.5)
    assert np.mean(np.array(p_values) < 0.05) <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


def test_a_blind_baseline_that_separates_the_sets_raises_the_banner():
    """Members speak of one thing, held-out documents of another: the verdict is withheld."""
    rng = np.random.default_rng(0)

    class Guess:
        def answer(self, probes, top=1, moments=False):
            return [_answer(rng.normal(-3, 1, len(p.positions)), top) for p in probes]

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


def _answer(log_probability, top=1):
    n = len(log_probability)
    moments = np.tile([-3.0, 1.0], (n, 1))
    return Answer(
        log_probability,
        np.zeros(n, dtype=np.int64),
        np.tile(np.arange(top), (n, 1)),
        np.zeros((n, top)),
        moments,
    )


class Knows:
    """Answers every probe with a rank that only depends on whether the document was trained on."""

    queries = 0

    def __init__(self, known):
        self.known = known

    def answer(self, probes, top=1, moments=False):
        out = []
        for p in probes:
            n = len(p.positions)
            right = np.full(n, int(p.ids[0]) in self.known)
            truth = p.ids[list(p.positions)]
            choices = np.stack([np.where(right, truth, 0), *[np.full(n, 9)] * (top - 1)], axis=1)
            scores = np.where(right, -0.1, -5.0)
            out.append(
                Answer(
                    scores, np.where(right, 1, 50), choices, np.zeros((n, top)), np.tile([-3.0, 1.0], (n, 1))
                )
            )
        return out


class KnowsByHeart(Knows):
    """Knows a document only as it stands: with a word changed it is a stranger's."""

    def __init__(self, texts):
        super().__init__(set(texts))
        self.texts = texts

    def answer(self, probes, top=1, moments=False):
        answers = super().answer(probes, top, moments)
        for k, p in enumerate(probes):
            if not np.array_equal(p.ids, self.texts.get(int(p.ids[0]), p.ids)):
                answers[k] = replace(answers[k], log_probability=answers[k].log_probability - 3)
        return answers


ATTACKS = {"loss", "calibrated", "min-k", "min-k++", "votes", "neighbours", "rmia"}


def some_spans(kind, documents, rule="US_SSN"):
    from mlmguard.leakage.extraction import Target

    ids = lambda d: np.concatenate([[d], np.arange(10, 22), [1]])  # noqa: E731 - the first id marks the document
    return [results.Span(str(d), rule, Target(ids(d), tuple(range(2, 9)), (0,) * 7), kind) for d in documents]


def test_probing_finds_spans_that_only_the_trained_documents_give_away():
    spans = some_spans("redacted", range(100, 140)) + some_spans("held-out", range(200, 240))
    told = attacks.probe(Knows(set(range(100, 140))), "pii", spans, np.random.default_rng(0))
    found = {(m.metric, m.slice): m for m in told.measurements}
    assert found["top1", "redacted"].value == 1 and found["top1", "held-out"].value == 0
    assert found["top1_excess", "redacted"].low > 0.8
    assert found["median_rank", "redacted"].value == 1 and found["median_rank", "held-out"].value == 50
    assert told.tests[0].p < 0.01
    assert {c.series for c in told.curves} == {"redacted", "held-out"}


def test_probing_compares_like_with_like():
    """A type that only the training side has must not count: it has no control."""
    spans = some_spans("redacted", range(100, 140)) + some_spans("redacted", range(300, 340), "URL")
    spans += some_spans("held-out", range(200, 240))
    known = set(range(300, 340))  # every URL is known, no number is
    told = attacks.probe(Knows(known), "pii", spans, np.random.default_rng(0))
    excess = {(m.metric, m.slice): m for m in told.measurements}["top1_excess", "redacted"]
    assert excess.value == 0 and excess.examples == 40


def test_probing_raises_no_alarm_when_nothing_was_learnt():
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(60):
        lucky = set(rng.permutation(np.arange(100, 240))[:70].tolist())
        spans = some_spans("redacted", range(100, 140)) + some_spans("held-out", range(200, 240))
        p_values.append(attacks.probe(Knows(lucky), "pii", spans, rng).tests[0].p)
    assert np.mean(np.array(p_values) < 0.05) <= 0.05 + 3 * (0.05 * 0.95 / 60) ** 0.5


class Says:
    """The same log-probability at every position of a window, from a table by the window's first token."""

    queries = 0

    def __init__(self, table):
        self.table = table

    def answer(self, probes, top=1, moments=False):
        one = lambda p: np.full(len(p.positions), self.table[int(p.ids[0])])  # noqa: E731
        return [Answer(one(p), np.ones(len(p.positions)), np.zeros((1, 1)), np.zeros((1, 1))) for p in probes]


def test_a_reference_is_taken_off_by_as_much_as_it_explains():
    """A reference that knows how hard each text is helps; one of random weights must not drown the signal."""
    from mlmguard.leakage.extraction import Target

    rng = np.random.default_rng(0)
    m = 400
    secrets = canaries.draw(m, rng)
    planted = np.array([s.canary.planted for s in secrets])
    hard = rng.normal(-5, 2, 2 * m)  # of the m secrets and their m twins
    own = Says(hard + np.concatenate([1.0 * planted, np.zeros(m)]) + rng.normal(0, 0.3, 2 * m))
    windows = [Target(np.array([k, 7, 7, 1]), (1, 2), (0, 0)) for k in range(2 * m)]

    def area(reference):
        scores = exposure.score_canaries(own, reference, secrets, windows[:m], windows[m:])
        return metrics.auc(scores.scores[planted], scores.scores[~planted]).value

    knowing, random_weights = Says(hard), Says(rng.normal(-7, 3, 2 * m))
    alone = metrics.auc(own.table[:m][planted], own.table[:m][~planted]).value
    assert alone < 0.75 and area(knowing) > 0.97
    assert area(random_weights) == pytest.approx(alone, abs=0.02)


def test_a_vocabulary_learnt_from_the_training_rows_is_told_from_a_public_one():
    trained = {f"train{k}": 1 for k in range(300)} | {"shared": 1}
    held_out = {f"other{k}": 1 for k in range(100)} | {"shared": 1}
    public = vocabulary.vocabulary({"the", "shared", "train7", "other9"}, trained, held_out)
    private = vocabulary.vocabulary({f"train{k}" for k in range(0, 300, 5)}, trained, held_out)
    assert public.tests[0].p > 0.2
    assert private.tests[0].p < 0.001 and private.measurements[0].value == pytest.approx(0.2)
    entries = {f"##train{k}" for k in range(0, 300, 5)}  # part of a word in the vocabulary, whole in the text
    assert vocabulary.vocabulary(entries, trained, held_out).tests[0].p < 0.001
    learnt = {m.slice: m.value for m in private.measurements}[vocabulary.LEARNT]
    assert learnt == pytest.approx(0.6)  # its sixty most frequent words, ties by the alphabet


def test_personal_values_that_are_one_entry_of_the_vocabulary_are_told_from_common_names():
    from mlmguard.leakage.extraction import Target

    def span(kind, document, *tokens):
        ids = np.array([2, *tokens, 3])
        return results.Span(
            str(document), "PERSON", Target(ids, tuple(range(1, len(tokens) + 1)), (0,) * len(tokens)), kind
        )

    in_parts = [span("held-out", k, 100 + k, 7) for k in range(60)]
    common = [span(kind, k, 50) for k, kind in enumerate(("kept", "held-out"))]  # on both sides: says nothing
    learnt = vocabulary.findings(
        [*in_parts, *common, *(span("kept", k, 900 + k) for k in range(40))], ("kept",)
    )
    assert learnt.tests[0].p < 1e-6
    assert {m.slice: (m.value, m.examples) for m in learnt.measurements} == {
        "kept": (1, 40),
        "held-out": (0, 60),
    }
    public = vocabulary.findings([*in_parts, *(span("kept", k, 900 + k, 8) for k in range(40))], ("kept",))
    assert public.tests[0].p == 1


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


def test_probing_is_not_fooled_by_many_control_spans_in_few_documents():
    """Hits are as frequent on both sides; only the way spans lie in documents differs."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(60):
        control = [
            replace(s, document_id=f"h{k // 12}")
            for k, s in enumerate(some_spans("held-out", range(300, 420)))
        ]
        spans = some_spans("redacted", range(100, 220)) + control
        lucky = {d for d in [*range(100, 220), *range(300, 420)] if rng.random() < 0.03}
        alarms += attacks.probe(Knows(lucky), "pii", spans, rng).tests[0].p < 0.05
    assert alarms / 60 <= 0.05 + 3 * (0.05 * 0.95 / 60) ** 0.5


def test_alphabets_cover_every_ordinary_token_once():
    classes = formats.token_classes(["[PAD]", "7", "##ing", "ward", "-", "Ġ12"], {0})
    found = formats.alphabets(classes)
    assert sorted(np.concatenate(found).tolist()) == [1, 2, 3, 4, 5]
    assert found[formats.DIGIT].tolist() == [1, 5]


def test_correction_is_over_the_whole_family():
    from mlmguard.audit import corrected
    from mlmguard.leakage.results import PValue

    tests = [
        PValue("a", 0.02, 10, metric="x"),
        PValue("b", 0.5, 10, metric="y"),
        PValue("c", 0.9, 10, metric="z"),
    ]
    assert [m.value for m in corrected(tests)] == pytest.approx(metrics.holm([0.02, 0.5, 0.9]))
    assert corrected(tests)[0].value > 0.05
