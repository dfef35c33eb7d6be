"""Units of privacy: what one is, that one draw bounds it, and that n decides nothing."""

import json
from dataclasses import asdict, replace
from hashlib import sha256

import numpy as np
import pytest
import torch
from safetensors import safe_open

from mlmguard import accounting
from mlmguard.artifacts import as_noun, read_json, read_noun
from mlmguard.commands.verify import verify
from mlmguard.errors import InputError
from mlmguard.leakage import canaries
from mlmguard.scan import ScanSettings, scan
from mlmguard.showing import show_epsilon
from mlmguard.train import TrainSettings, train
from mlmguard.training import gradients, mechanism, models
from mlmguard.training.examples import example
from mlmguard.training.privacy import claim
from mlmguard.training.privacy.ledger import CorpusLedger, epsilon_together
from mlmguard.training.recipes import Recipe
from mlmguard.training.text import units
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.training.text.tokens import Text, tokenised
from mlmguard.types import SILENT, DpPlan, LedgerEntry, PrivacyStatement, Watcher
from tests.fixtures.models import small
from tests.fixtures.workbench import KEY

TOKENIZER = Tokenizer.load(None)
QUICK = TrainSettings(
    init="scratch", dp_epsilon=8, steps=3, canaries=0, public_size=600, batch_units=300, window=32
)


def notes(folder, authors=6, each=8, key="author"):
    """A corpus of short notes with a column that says who wrote them."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    words = [word for word in TOKENIZER.entries() if word.isalpha() and len(word) > 3]
    rows = [
        {"id": f"a{a}-{k}", key: f"author {a}", "text": " ".join(rng.choice(words, 60))}
        for a in range(authors)
        for k in range(each)
    ]
    (folder / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def scanned(folder, unit_key=None, **corpus):
    notes(folder / "corpus", **corpus)
    settings = ScanSettings(unit_key=unit_key, workers=1)
    scan(
        folder / "corpus", folder / "clean", folder / "reports", key=KEY, settings=settings, runs=runs(folder)
    )
    return folder


def train_rows(folder):
    return [json.loads(line) for path in folder.glob("clean/train-*") for line in path.open()]


def runs(folder):
    return folder / ".mlmguard" / "runs"


def trained(folder, settings, watcher=SILENT):
    places = folder / "clean", folder / "ckpt", folder / "reports"
    return train(*places, settings, runs=runs(folder), overwrite=True, watcher=watcher)


# --- what the unit is ---------------------------------------------------------------------------------


CHEAP = {**vars(QUICK), "dp_epsilon": 0.5, "steps": 1}  # to account for: few losses, narrowly spread


@pytest.mark.parametrize("name", ["document", "sequence"])
def test_a_key_may_have_any_name_and_is_one_all_the_same(tmp_path, name):
    folder = scanned(tmp_path, unit_key=name, key=name)
    found = trained(folder, TrainSettings(**{**CHEAP, "unit_key": name}))
    assert found.unprotected["units"] == len({row["unit"] for row in train_rows(folder)}) < 40
    assert found.unprotected["rows_of_the_largest_unit"] > 1  # they are drawn together or not at all
    statement = found.statement
    assert (statement.unit, statement.unit_kind) == (name, "key")
    assert statement.unit_definition.startswith(f"all rows of clean/train that share one value of “{name}”")
    assert {h.id: h.status for h in statement.hazards}["unit-smaller-than-person"] == "unknown"
    apart = trained(folder, TrainSettings(**{**CHEAP, "unit": "document"})).statement
    assert (apart.unit, apart.unit_kind) == ("document", "row")
    assert apart.corpus_epsilon is None and "different units" in apart.corpus_epsilon_reason
    assert [(r.unit, r.unit_kind) for r in apart.corpus_releases] == [(name, "key")]
    assert apart.corpus_epsilon_reason in {h.id: h.detail for h in apart.hazards}["tuning"]
    (check,) = [check for check in verify(folder / "ckpt")[0] if check.what == "unit"]
    assert check.found == "“document”, a row" and check.outcome == "holds"


def test_pieces_compose_only_where_the_same_window_cut_them(tmp_path):
    folder = scanned(tmp_path)
    pieces = {**CHEAP, "unit": "sequence"}
    first = trained(folder, TrainSettings(**pieces)).statement
    heard = []
    second = trained(folder, TrainSettings(**pieces), Watcher(tell=heard.append)).statement
    cost = show_epsilon(second.corpus_epsilon)  # said before the first step is charged
    assert any(
        f"1 earlier private run on this corpus in the ledger: with them this run costs ε = {cost}" in line
        for line in heard
    )
    assert second.corpus_epsilon > first.corpus_epsilon == first.epsilon
    wider = trained(folder, TrainSettings(**{**pieces, "window": 40})).statement
    assert wider.corpus_epsilon is None and "different units" in wider.corpus_epsilon_reason


def test_units_that_an_older_ledger_does_not_tell_apart_are_not_composed(tmp_path):
    ledger = CorpusLedger(tmp_path)
    steps = LedgerEntry("poisson-gaussian", 2.0, 0.1, 50)
    common = {
        "corpus": "c",
        "raw": "",
        "private": True,
        "unit": "document",
        "delta": 1e-5,
        "planned": [steps],
    }
    ledger.start("train-a", **common)
    assert epsilon_together(ledger.read(), 1e-5)[0] == accounting.compose([steps], 1e-5)  # alone it has one
    ledger.start("train-b", **common)
    assert epsilon_together(ledger.read(), 1e-5) == (
        None, "what the units of earlier private runs on this corpus are made of is not known",
    )  # fmt: skip


def test_a_statement_older_than_the_kind_keeps_its_digest_and_is_not_known(by_author):
    new = trained(by_author, TrainSettings(**CHEAP)).statement
    data = asdict(new)
    later = ("unit_kind", "corpus_epsilon_reason", "digests", "guesses", "warnings")
    for name in (*later, "seal", "digest"):
        del data[name]
    for release in data["corpus_releases"]:
        del release["unit_kind"]
    written = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    old = as_noun({**data, "digest": sha256(written.encode()).hexdigest()}, PrivacyStatement, "old")
    accounting.refuse_edited(old, "old")
    assert old.unit_kind == "" and all(release.unit_kind == "" for release in old.corpus_releases)
    with pytest.raises(InputError, match="digest"):
        accounting.refuse_edited(replace(old, unit_kind="row"), "old")


@pytest.fixture(scope="module")
def by_author(tmp_path_factory):
    return scanned(tmp_path_factory.mktemp("author"), unit_key="author")


def test_an_authors_rows_are_one_unit_and_the_statement_says_so(by_author):
    result = trained(by_author, QUICK)
    rows = train_rows(by_author)
    assert result.unprotected["units"] == len({row["unit"] for row in rows}) < len(rows)
    statement = read_noun(by_author / "ckpt" / "privacy.json", PrivacyStatement)
    assert statement.unit == "author" and statement.plan.unit == "author"
    assert "“author”" in statement.unit_definition
    assert statement.contribution == {"windows_a_draw": 1.0, "gradient_norm": 1.0}
    assert {h.id: h.status for h in statement.hazards}["unit-smaller-than-person"] == "unknown"


def test_documents_of_a_keyed_corpus_can_still_be_the_unit_if_asked_for(by_author):
    result = trained(by_author, TrainSettings(**{**vars(QUICK), "unit": "document"}))
    assert result.statement.unit == "document"
    assert result.unprotected["rows_of_the_largest_unit"] == 1


def test_sequences_are_pieces_of_one_window_and_the_statement_says_so(by_author):
    result = trained(by_author, TrainSettings(**{**vars(QUICK), "unit": "sequence"}))
    documents = train_rows(by_author)
    pieces = [-(-len(ids) // 30) for ids in TOKENIZER.encode(row["text"] for row in documents)]
    assert result.unprotected["units"] == sum(pieces) > len(documents)
    assert result.statement.unit == "sequence" and "guarantee of a group" in result.statement.unit_definition
    assert result.statement.group_epsilon["5"] is None or (
        result.statement.group_epsilon["5"] > result.statement.epsilon
    )


@pytest.mark.parametrize("window", [16, 24])
def test_a_canary_is_one_piece_around_its_secret(window):
    """In 14 tokens no canary fits whole; cut like a row it would be two units, and the bound no theorem."""
    planted = [s for s in canaries.draw(40, np.random.default_rng(0)) if s.canary.planted]
    texts = [Text(name, text, keep=(s.start, s.end)) for s in planted for name, text in canaries.units(s)]
    room = window - 2
    assert any(len(ids) > room for ids in TOKENIZER.encode(s.text for s in planted))
    found = units.group(units.cut(tokenised(TOKENIZER, texts, False, room), window))
    assert len(found) == len(planted)
    for unit, secret in zip(found, planted):
        written = "".join(TOKENIZER.tokens(unit.sequences[0].tolist())).replace("##", "")
        assert secret.text[secret.start : secret.end] in written and len(unit.sequences[0]) <= room


def test_a_window_that_no_secret_fits_is_refused():
    secret = canaries.draw(1, np.random.default_rng(0))[0]
    text = Text("a", secret.text, keep=(secret.start, secret.end))
    with pytest.raises(InputError, match="--window"):
        list(tokenised(TOKENIZER, [text], False, 4))


def test_pieces_never_share_a_name():
    rows = [("a", np.arange(70)), ("a#1", np.arange(70)), ("a#1#0", np.arange(10))]
    names = [name for name, *_ in units.cut(rows, 32)]
    assert len(names) == len(set(names)) == 7
    assert sum(len(ids) for _, ids, _ in units.cut(rows, 32)) == 150


def test_a_unit_key_that_the_scan_did_not_have_is_refused_by_name(tmp_path):
    folder = scanned(tmp_path, authors=2)
    with pytest.raises(InputError, match=r"--unit-key author: .*mlmguard scan --unit-key author") as refused:
        trained(folder, TrainSettings(**{**vars(QUICK), "unit_key": "author"}))
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("asked", [("author", None, None), ("document", "author", "author")])
def test_units_that_contradict_each_other_are_refused(asked):
    with pytest.raises(InputError, match="--unit"):
        claim.UnitOfPrivacy.of(*asked, 64)


# --- what one unit can do -----------------------------------------------------------------------------


def noiseless_sum(model, members, rng):
    recipe = Recipe(1, 4, 1e-3, 1, 32)
    plan = DpPlan(0.0, 1.0, 0.5, 1, 1e-5, "author", 1.0, 8.0)
    examples = [example(unit, TOKENIZER, recipe, rng) for unit in members]
    noise, cpu = mechanism.noise_source(), torch.device("cpu")
    gradients.private_gradient(model, examples, TOKENIZER.pad, plan, noise, "one-pass", 8192, cpu)
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def test_a_hoarder_moves_the_sum_no_more_than_anybody():
    """Five hundred rows of one rare token, the longest a thousand times the window, in one unit."""
    model = small(TOKENIZER)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight[777] *= 1000
    rng = np.random.default_rng(0)
    others = [units.Unit(f"u{k}", (rng.integers(10, len(TOKENIZER), 20),)) for k in range(4)]
    hoarder = units.Unit("hoarder", tuple(np.full(n, 777) for n in [32_000, *range(1, 500)]))
    for seed in range(5):
        draws = [np.random.default_rng(seed) for _ in range(2)]  # the same windows and masks for the others
        without = noiseless_sum(model, others, draws[0])
        moved = (noiseless_sum(model, [*others, hoarder], draws[1]) - without).norm()
        assert float(moved) <= 1.0 + 1e-3


# --- n decides nothing --------------------------------------------------------------------------------


def test_one_unit_more_gives_the_same_configuration(tmp_path):
    plans = []
    for extra in (0, 1):
        folder = scanned(tmp_path / str(extra), authors=3 + extra, each=20)
        result = trained(folder, QUICK)
        run = read_json(runs(folder) / result.statement.run_id / "run.json")
        plans.append((run["plan"], run["recipe"], result.unprotected["units"]))
    assert plans[0][:2] == plans[1][:2] and plans[0][2] != plans[1][2]
    assert plans[0][0]["normaliser"] == 300 and plans[0][0]["sample_rate"] == 0.5


@pytest.mark.parametrize(
    "change, named",
    [
        ({"dp_epsilon": 0.0}, "--dp-epsilon"),
        ({"dp_epsilon": -1.0}, "--dp-epsilon"),
        ({"delta": 0.01}, "--delta"),
        ({"delta": 1 / 600}, "--delta"),
    ],
)
def test_claims_that_protect_nobody_are_refused(by_author, change, named):
    with pytest.raises(InputError, match=named):
        trained(by_author, TrainSettings(**{**vars(QUICK), **change}))


def test_more_windows_of_a_unit_cost_no_epsilon_and_are_said(by_author):
    """One plan, one ledger and one ε, whatever a drawn unit gives; ``verify`` knows the words of either."""
    once = trained(by_author, QUICK)
    often = trained(by_author, TrainSettings(**{**vars(QUICK), "augmentation_multiplicity": 3}))
    assert (often.statement.plan, often.statement.ledger) == (once.statement.plan, once.statement.ledger)
    assert often.statement.epsilon == once.statement.epsilon
    assert "the mean of 3 random windows" in often.statement.unit_definition
    assert "one random window" in once.statement.unit_definition
    assert often.facts["augmentation_multiplicity"] == 3
    assert "augmentation_multiplicity" not in once.facts
    said = {check.what: check.outcome for check in verify(by_author / "ckpt")[0]}
    assert said["words"] == said["hazards"] == "holds"
    assert {check.outcome for check in often.statement.mechanism_checks} == {"passed"}


# --- what is said of the rest -------------------------------------------------------------------------


def test_every_hazard_has_one_answer_and_the_numbers_agree_with_the_ledger(by_author):
    statement = trained(by_author, QUICK).statement
    names = [hazard.id for hazard in statement.hazards]
    assert len(names) == len(set(names)) >= 18
    assert {hazard.status for hazard in statement.hazards} == {"absent", "present", "unknown"}
    said = {hazard.id: hazard for hazard in statement.hazards}
    assert said["size-dependence"].status == "present"  # --public-size was given
    assert said["sampling-mismatch"].status == "absent"
    assert {check.id: check.outcome for check in statement.mechanism_checks} == {
        "sampler": "passed", "noise": "passed", "clipping": "passed", "canaries": "passed",
    }  # fmt: skip
    assert not statement.batch_sizes  # the number of units can be computed from them
    assert "not possible" in statement.raw_corpus and said["preprocessing"].status == "present"
    assert statement.epsilon == pytest.approx(accounting.compose(statement.ledger, statement.delta), abs=1e-9)
    assert statement.epsilon < statement.epsilon_without_amplification
    ceilings = statement.true_positive_ceilings
    assert 0.001 < ceilings["0.001"] < ceilings["0.01"] < 1
    assert statement.group_epsilon["2"] is None or statement.group_epsilon["2"] > statement.epsilon
    assert statement.digest == accounting.statement_digest(statement)


def test_a_sampler_that_is_not_poisson_is_said_in_the_statement(by_author, monkeypatch):
    def shuffled(count, rate, rng):
        return rng.permutation(count)[: round(count * rate)]

    monkeypatch.setattr(mechanism, "poisson_draw", shuffled)
    steps = TrainSettings(**{**vars(QUICK), "steps": 12, "unit": "document"})
    said = {hazard.id: hazard for hazard in trained(by_author, steps).statement.hazards}
    assert said["sampling-mismatch"].status == "present"
    assert "does not hold" in said["sampling-mismatch"].detail


# --- what leaves the house ----------------------------------------------------------------------------


def test_a_run_in_16_bits_says_by_how_much_its_noise_is_wider(by_author, monkeypatch):
    monkeypatch.setattr("mlmguard.training.clipping.precision.precision_margin", lambda *args: 0.0625)
    statement = trained(by_author, TrainSettings(**{**vars(QUICK), "precision": "bf16"})).statement
    assert statement.plan.precision_margin == 0.0625
    (hazard,) = [h for h in statement.hazards if h.id == "precision"]
    assert hazard.status == "present" and "6.25%" in hazard.detail
    kept = read_json(runs(by_author) / statement.run_id / "run.json")
    assert kept["plan"]["precision_margin"] == 0.0625  # a resumed run adds the same noise


def test_the_checkpoint_holds_the_model_and_nothing_of_a_run(by_author):
    trained(by_author, QUICK)
    ckpt = by_author / "ckpt"
    assert {path.name for path in ckpt.iterdir()} <= {
        "README.md", "config.json", "generation_config.json", "model.safetensors", "privacy.json",
        "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "training.json",
    }  # fmt: skip
    names = {name for name, _ in models.load(ckpt)[0].named_parameters()}
    with safe_open(ckpt / "model.safetensors", "pt") as weights:
        assert set(weights.keys()) <= names
    told = (ckpt / "privacy.json").read_text() + (ckpt / "training.json").read_text()
    assert "a0-" not in told and "author 0" not in told and str(by_author) not in told
