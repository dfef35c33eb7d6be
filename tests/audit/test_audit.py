"""The audit kept honest: it finds what is there, nothing where nothing is, and names what does not fit."""

import json
import re
import shutil
import stat
from dataclasses import replace

import numpy as np
import pytest

from mlmguard import measures
from mlmguard.artifacts import read_json
from mlmguard.audit import Foreign, Ours, audit, checkpoint, selftest
from mlmguard.audit.evidence import corrected, write_records
from mlmguard.audit.selftest import NULLS
from mlmguard.commands.gate import judge_evidence
from mlmguard.corpus.synthetic import private_documents
from mlmguard.errors import InputError
from mlmguard.leakage import canaries, metrics
from mlmguard.leakage.records import SURE
from mlmguard.leakage.results import Exposed, PValue, Result
from mlmguard.policy.reading import load
from mlmguard.policy.rule import Threshold
from mlmguard.train import TrainSettings, train
from mlmguard.types import Watcher
from tests.fixtures.workbench import QUICK, Bench, damaged, findings, numbers, overfitted
from tests.leakage.test_attacks import PLUGIN, install

ATTACKS = {"loss", "calibrated", "min-k", "min-k++", "votes", "neighbours", "rmia", "learned"}


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


def test_every_number_that_has_to_has_an_interval_around_it(evidence):
    for m in evidence.measurements:
        if m.value is not None and measures.METRICS[f"{m.attack}.{m.metric}"].interval:
            assert m.low is not None and m.high is not None, (m.attack, m.metric)
            assert m.low <= m.value <= m.high, (m.attack, m.metric, m.slice)


def test_personal_spans_and_rare_words_are_probed_on_both_sides(evidence):
    slices = {(m.attack, m.metric, m.slice): m.examples for m in evidence.measurements}
    assert slices["pii", "top1", "redacted"] > 500 and slices["pii", "top1", "held-out"] > 50
    assert slices["rare", "top1", "train"] > 5
    assert slices["pii", "extraction_rate", "kept"] == 0  # said, not left out


def test_what_ran_and_what_did_not_is_listed_with_a_line_of_detail(evidence):
    assert [(a.attack, a.status) for a in evidence.attacks] == [
        ("ngram", "run"), ("pii", "run"), ("rare", "run"),
        ("membership", "run"), ("shadow models", "not applicable"),
        ("records", "run"), ("values", "run"), ("releases", "not applicable"), ("generation", "run"),
        ("vocabulary", "not applicable"),  # the tokenizer is ours
        ("canary", "run"), ("epsilon", "run"), ("secrets", "not applicable"),
    ]  # fmt: skip
    assert all(a.detail for a in evidence.attacks)
    assert all(
        re.search(r"; [\d,]+ windows scored$", a.detail) for a in evidence.attacks if a.status == "run"
    )


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
    folder, members, others = as_another_tool_would_leave_it(bench, plain, "foreign")
    evidence = audit(folder, bench.folder / "reports", QUICK, source=Foreign(members, others))
    assert evidence.statement is None and evidence.manifest is None
    assert "3 non-members are members too and were removed." in evidence.notes
    coverage = {a.attack: a for a in evidence.attacks}
    assert coverage["ngram"].status == "run"
    assert coverage["pii"].status == "run"  # both sides were looked through
    assert coverage["canary"].status == coverage["epsilon"].status == "not run"
    assert coverage["secrets"].status == "not applicable"
    aucs = {m.slice for m in evidence.measurements if m.metric == "auc"}
    assert aucs == {"loss", "min-k", "min-k++", "neighbours", "learned"}
    assert coverage["shadow models"].status == "not applicable"
    initial = str(bench.run_of(plain) / "initial")
    with_reference = audit(
        folder,
        bench.folder / "reports",
        QUICK,
        source=Foreign(members, others, initial, (initial, initial)),
    )
    aucs = {m.slice for m in with_reference.measurements if m.metric == "auc"}
    assert aucs == ATTACKS | {"lira"}
    assert {a.attack: a.status for a in with_reference.attacks}["shadow models"] == "run"


def a_causal_model(bench, name, steps):
    """A tiny GPT-2 that was trained on the members (or, without steps, on nothing), and its two files."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from mlmguard.training.text.tokenizer import Tokenizer

    folder, members, others = as_another_tool_would_leave_it(bench, bench.folder / "plain", name)
    words = Tokenizer.load(None).hugging_face
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
    folder, members, others = a_causal_model(bench, "causal", 150)
    random_weights, *_ = a_causal_model(bench, "causal-random", 0)
    evidence = audit(folder, bench.folder / "reports", QUICK, source=Foreign(members, others))
    found = {(m.metric, m.slice): m for m in evidence.measurements}
    assert found["auc", "loss"].low > 0.6 and "membership.auc_p" in findings(evidence)
    assert evidence.model.beats_unigram
    status = {a.attack: a.status for a in evidence.attacks}
    assert {name for name, told in status.items() if told == "run"} == {"membership"}
    against = Foreign(members, others, str(random_weights))
    calibrated = audit(folder, bench.folder / "reports", QUICK, source=against)
    assert {m.slice for m in calibrated.measurements if m.metric == "auc"} == ATTACKS
    null = audit(random_weights, bench.folder / "reports", QUICK, source=Foreign(members, others))
    assert findings(null) == [] and not null.model.beats_unigram
    masked = Foreign(members, others, str(bench.run_of(plain) / "initial"))
    with pytest.raises(InputError, match="a masked language model"):
        audit(folder, bench.folder / "reports", QUICK, source=masked)


def test_next_token_scores_are_those_of_a_plain_loop(bench, plain):
    import torch
    from transformers import GPT2LMHeadModel

    from mlmguard.audit.bench import Bench as AuditBench
    from mlmguard.leakage.answers import Probe

    folder, members, others = a_causal_model(bench, "causal-loop", 5)
    model = GPT2LMHeadModel.from_pretrained(folder).eval()
    with AuditBench(checkpoint.read(folder, Foreign(members, others)), QUICK) as tools:
        passages = tools.members[:5]
        said = tools.model.answer([Probe(p.ids, tuple(range(1, len(p.ids) - 1))) for p in passages])
    for passage, answer in zip(passages, said):
        with torch.no_grad():
            scores = model(torch.from_numpy(passage.ids)[None]).logits[0].log_softmax(-1)
        loop = [float(scores[k - 1, passage.ids[k]]) for k in range(1, len(passage.ids) - 1)]
        assert answer.log_probability == pytest.approx(loop, abs=1e-4)


def test_members_that_are_all_non_members_too_are_refused(bench, plain):
    folder, members, _ = as_another_tool_would_leave_it(bench, plain, "overlap")
    with pytest.raises(InputError, match="are members too"):
        audit(folder, bench.folder / "reports", QUICK, source=Foreign(members, members))


# --- does it find nothing where there is nothing? -----------------------------------------------------


@pytest.mark.slow
def test_the_self_test_audits_nulls_and_a_leak_in_the_labels_would_be_an_alarm(bench):
    """A model that knows its secrets by heart, coins dealt anew: nothing. With the true ones: an alarm."""
    ckpt = overfitted(bench)
    ours = Ours(runs=bench.runs)
    tested = selftest(ckpt, 2, QUICK, source=ours)
    assert tested.times == 2 and set(tested.alarms) == {"random weights", "shuffled labels"}
    assert sum(map(len, tested.alarms.values())) <= 1
    assert tested.rate("random weights").high < 1
    broken = {**NULLS, "shuffled labels": lambda audited, rng: audited}  # what if it did not shuffle?
    leaky = selftest(ckpt, 1, QUICK, source=ours, nulls=broken)
    assert "canary.exposure_p" in leaky.alarms["shuffled labels"][0]


# --- time and interruption ----------------------------------------------------------------------------


class Stops:
    """Whoever watches an audit: hears which attacks begin, and interrupts one."""

    def __init__(self, at=""):
        self.at = at
        self.begun = []

    def __call__(self, stage, done, total):
        if not done:
            self.begun.append(stage)
            if stage == self.at:
                raise KeyboardInterrupt


def test_an_interrupted_audit_goes_on_and_ends_with_the_same_bytes(bench, plain, evidence):
    ours, reports = Ours(runs=bench.runs), bench.folder / "reports"
    audit(plain, reports, QUICK, source=ours)
    whole = (reports / "audit.json").read_bytes()
    detail = next(a.detail for a in evidence.attacks if a.attack == "ngram")
    said = detail[detail.index("; ") :].removesuffix(" scored")
    with pytest.raises(KeyboardInterrupt):
        audit(plain, reports, QUICK, source=ours, watcher=Watcher(Stops("canary")))
    kept = next(path for path in bench.run_of(plain).glob("audit-*"))
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    names = {path.stem for path in kept.iterdir()}
    assert names == {"ngram", "pii", "rare", "membership", "records", "values", "generation"}
    damaged(kept / "ngram.json", queries=7)  # what lies there is taken and not measured again
    resumed = audit(plain, reports, QUICK, source=ours)
    assert next(a.detail for a in resumed.attacks if a.attack == "ngram").endswith("; 7 windows scored")
    seal = re.compile(r'"value": "[0-9a-f]{64}"')  # of what was read, the 7 included
    now = (reports / "audit.json").read_text().replace("; 7 windows", said)
    assert seal.sub("", now) == seal.sub("", whole.decode()) != whole.decode()
    assert not list(bench.run_of(plain).glob("audit-*"))


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


def test_the_most_exposed_documents_are_listed_by_id_for_the_owner_only(bench, plain, tmp_path):
    """What attacks found of documents, as their owner gets it."""
    audited = checkpoint.read(plain, Ours(runs=bench.runs))
    known = [row["id"] for row in audited.members]
    found = Result(
        exposed=(Exposed(known[0], "rare", "word", 1.0), Exposed(known[1], "records", "document", 3.5))
    )
    path = tmp_path / "records.jsonl"
    write_records(path, [found], audited)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["document_id"] for row in rows] == [known[1], known[0]]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {"attack", "copies", "document_id", "kind", "score"} == set(rows[0])


@pytest.fixture(scope="module")
def later(bench, plain):
    """The next release of a corpus from which sixty documents went and to which seventy came."""
    folder = bench.folder / "later"
    shutil.copytree(bench.folder / "corpus", folder / "corpus")
    notes = folder / "corpus" / "notes" / "notes-0.jsonl"
    notes.write_text("".join(notes.read_text().splitlines(keepends=True)[60:]))
    came = private_documents(470, seed=5)[0][400:]
    (folder / "corpus" / "later.jsonl").write_text(
        "".join(json.dumps({"id": f"later-{k}", "text": one.text}) + "\n" for k, one in enumerate(came))
    )
    bench.scan(folder)
    settings = TrainSettings(init=str(plain), steps=5, canaries=0)
    train(folder / "clean", folder / "ckpt", folder / "reports", settings, runs=bench.runs)
    return folder / "ckpt"


def test_what_came_and_went_since_an_earlier_release_is_attacked(bench, plain, later, tmp_path):
    evidence = audit(later, tmp_path, QUICK, source=Ours(runs=bench.runs, earlier=plain))
    (line,) = [one for one in evidence.attacks if one.attack == "releases"]
    assert line.status == "run" and " added, " in line.detail and " forgotten)" in line.detail
    found = {m.slice: m for m in evidence.measurements if (m.attack, m.metric) == ("releases", "auc_p")}
    assert {"forgotten: difference", "forgotten: votes"} <= set(found)
    audited = checkpoint.read(later, Ours(runs=bench.runs, earlier=plain))
    (added, _), (forgotten, others) = audited.changes["added"], audited.changes["forgotten"]
    now, before = checkpoint.read(later, Ours(runs=bench.runs)), checkpoint.read(plain, Ours(runs=bench.runs))
    texts = [{row["text"] for row in one.members} for one in (now, before)]
    assert {row["text"] for row in added} == texts[0] - texts[1]
    assert {row["text"] for row in forgotten} == texts[1] - texts[0]
    assert not {row["text"] for row in others} & (texts[0] | texts[1])


def test_an_earlier_release_or_a_reference_with_another_tokenizer_is_refused(bench, plain, tmp_path):
    other = bench.clone(plain, "other-words")
    tokens = json.loads((other / "tokenizer.json").read_text())
    vocab = list(tokens["model"]["vocab"].items())
    (one, first), (two, second) = vocab[-2:]
    tokens["model"]["vocab"].update({one: second, two: first})
    (other / "tokenizer.json").write_text(json.dumps(tokens))
    bench.restate(other)
    with pytest.raises(InputError, match="the audited checkpoint itself"):
        audit(plain, tmp_path, QUICK, source=Ours(runs=bench.runs, earlier=plain))
    with pytest.raises(InputError, match="another tokenizer"):
        audit(plain, tmp_path, QUICK, source=Ours(runs=bench.runs, earlier=other))
    folder, members, others = as_another_tool_would_leave_it(bench, plain, "foreign-beside-other")
    with pytest.raises(InputError, match="its tokens are not the checkpoint's"):
        audit(folder, tmp_path, QUICK, source=Foreign(members, others, str(other)))


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
    with pytest.raises(InputError, match="canaries are others"):
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
    with pytest.raises(InputError, match="changed since the scan"):
        audit(plain, bench.folder / "reports", QUICK, source=Ours(corpus=moved, runs=bench.runs))


def test_a_head_that_is_not_in_the_checkpoint_is_told(bench, plain):
    from safetensors.torch import load_file, save_file

    copy = bench.clone(plain, "no-head")
    weights = load_file(copy / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if not k.startswith("cls.")},
        copy / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(InputError, match=r"other bytes than trained: model\.safetensors"):
        bench.audit(copy)
    bench.restate(copy)
    evidence = bench.audit(copy)
    assert not evidence.model.head_loaded
    judged = judge_evidence(bench.folder / "x", evidence, load("base"))
    assert judged.judgement.status in ("inconclusive", "fail")


# --- what may be released -----------------------------------------------------------------------------


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


# --- the family of tests ------------------------------------------------------------------------------


def test_correction_is_over_the_whole_family():
    tests = [
        PValue("a", 0.02, 10, metric="x"),
        PValue("b", 0.5, 10, metric="y"),
        PValue("c", 0.9, 10, metric="z"),
    ]
    assert [m.value for m in corrected(tests)] == pytest.approx(metrics.holm([0.02, 0.5, 0.9]))
    assert corrected(tests)[0].value > 0.05


@pytest.mark.parametrize("asked", [0.3, 0.65, 0.7, 5.0])
def test_a_plug_in_that_asks_for_all_of_the_level_leaves_some_to_other_tests(asked):
    """Asked for .7 beside the .35 of our own, the others had less than nothing of it, and p-values of 0."""
    own = [PValue("records", 0.9, 10, share=0.25), PValue("values", 0.9, 10, share=0.1)]
    tests = [*own, PValue("theirs", 0.9, 10, share=asked), *(PValue("a", 0.9, 10, str(k)) for k in range(4))]
    assert [m.value for m in corrected(tests)] == [1.0] * 7
    found = corrected([*tests[:-1], replace(tests[-1], p=1e-6)])
    assert found[-1].value == pytest.approx(1e-6 * 4 / max(0.5, 1 - 0.35 - asked))


# --- an attack of a plug-in ---------------------------------------------------------------------------


def test_an_attack_of_a_plug_in_joins_the_coverage_and_the_family_of_tests(
    bench, plain, evidence, tmp_path, monkeypatch
):
    install(tmp_path, monkeypatch, "audited_attack", PLUGIN)
    joined = audit(plain, tmp_path, QUICK, source=Ours(runs=bench.runs))
    assert joined.attacks[:-1] == evidence.attacks
    assert (joined.attacks[-1].attack, joined.attacks[-1].status) == ("even", "run")
    tests = [m for m in joined.measurements if m.metric.endswith("_p")]
    before = [m for m in evidence.measurements if m.metric.endswith("_p")]
    assert f"Holm over {len(before) + 1} tests" in tests[0].note and len(tests) == len(before) + 1
    spent = audit(plain, tmp_path, replace(QUICK, minutes=1e-9), source=Ours(runs=bench.runs))
    assert (spent.attacks[-1].attack, spent.attacks[-1].status) == ("even", "not run")
    assert not [m for m in spent.measurements if m.attack == "even"]


def test_the_reach_speaks_of_the_limit_that_the_base_policy_fails_at():
    (rule,) = (rule for rule in load("base").rules if rule.id == "not-chance")
    assert rule.fail is not None and Threshold.parse(rule.fail).limit == SURE
