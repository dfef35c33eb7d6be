"""Forgeries of a released folder, each consistent in itself: the seal, or the files of the run, tell."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from mlmguard import accounting, cli
from mlmguard.artifacts import (
    RUNS,
    Key,
    load_key,
    read_json,
    read_noun,
    run_folder,
    sha256_file,
    weights_digest,
    write_json,
    write_text,
)
from mlmguard.audit import Ours
from mlmguard.audit.checkpoint import read
from mlmguard.commands.gate import gate, read_evidence
from mlmguard.commands.verify import Check, verify
from mlmguard.errors import InputError
from mlmguard.report.clearance import cleared
from mlmguard.settings import TrainSettings
from mlmguard.train import train
from mlmguard.training import checkpoint, models
from mlmguard.training.privacy import derived, seals
from mlmguard.training.privacy.ledger import ChainedFile, seed_of
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import Hazard, LedgerEntry, PrivacyStatement
from tests.fixtures.evidence import claiming
from tests.fixtures.evidence import clean as clean_evidence
from tests.fixtures.places import scanned

TINY = TrainSettings(
    dp_epsilon=8.0, size="nano", init="scratch", canaries=20, steps=3, batch_units=30, delta=1e-3
)


@dataclass
class Place:
    """A released folder beside its run folder, and what a forger can do to both."""

    folder: Path

    @property
    def ckpt(self) -> Path:
        return self.folder / "ckpt"

    @property
    def statement(self) -> PrivacyStatement:
        return read_noun(self.ckpt / "privacy.json", PrivacyStatement)

    @property
    def run(self) -> Path:
        return self.folder / RUNS / str(read_json(self.ckpt / "privacy.json")["run_id"])

    def state(self, **changes: Any) -> None:
        """Change the statement, its digest made anew, the seal left as it is: nobody else has the key."""
        made = replace(self.statement, **changes)
        write_json(self.ckpt / "privacy.json", replace(made, digest=accounting.statement_digest(made)))

    def restate_files(self) -> None:
        """Name the files as they lie now."""
        kept = {n: d for n, d in self.statement.digests.items() if "run:" in n}
        self.state(digests={**kept, **seals.released(self.ckpt)})

    def tell(self, **changes: Any) -> None:
        """Change training.json, and its digest in the statement."""
        path = self.ckpt / "training.json"
        write_json(path, {**read_json(path), **changes})
        self.restate_files()

    def note(self, **changes: Any) -> None:
        """Change run.json."""
        write_json(self.run / "run.json", {**read_json(self.run / "run.json"), **changes})

    def plan(self, **changes: Any) -> None:
        """Another plan everywhere: run.json, the journal's chain, ledger, ε, every reading."""
        before = self.statement
        assert before.plan is not None
        plan = replace(before.plan, **changes)
        ledger = tuple(
            replace(e, noise_multiplier=plan.noise_multiplier, sample_rate=plan.sample_rate, steps=plan.steps)
            if e.mechanism == "poisson-gaussian"
            else e
            for e in before.ledger
        )
        journal = self.run / "ledger.jsonl"
        journal.unlink()
        chain = ChainedFile(journal, seed_of(plan))
        for step in range(plan.steps):
            chain.append({"step": step, "drawn": 30})
        self.note(plan=json.loads(json.dumps(plan, default=vars)))
        self.ledger(ledger, plan=plan, steps_applied=plan.steps)

    def ledger(self, ledger: tuple[LedgerEntry, ...], **more: Any) -> None:
        """Another ledger, and every field that follows from it."""
        plan = more.get("plan", self.statement.plan)
        computed = derived.fields(ledger, plan)
        self.state(
            ledger=ledger,
            corpus_epsilon=computed["epsilon"],
            data_accesses=derived.data_accesses(ledger, False),
            **more,
            **computed,
        )


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = scanned(tmp_path_factory.mktemp("honest"), rows=400)  # of 60, noise left one unit in 25 runs
    train(folder / "clean", folder / "ckpt", folder / "reports", TINY, runs=folder / RUNS)
    return folder


@pytest.fixture
def place(
    honest: Path, state_of_the_module: Path, own_state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """A copy to forge, beside the ledger that its run was entered in; the working folder is empty."""
    shutil.copytree(state_of_the_module, own_state, dirs_exist_ok=True)
    copy = tmp_path / "work"
    shutil.copytree(honest, copy)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    yield Place(copy)


@pytest.fixture
def keyless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Take the key of the house away."""
    return lambda: monkeypatch.setenv("MLMGUARD_KEY_FILE", str(tmp_path / "no-key"))


def outcomes(checks: tuple[Check, ...]) -> dict[str, str]:
    return {check.what: check.outcome for check in checks}


def contradicted(checks: tuple[Check, ...]) -> set[str]:
    return {check.what for check in checks if check.outcome == "contradicted"}


def said_of(checks: tuple[Check, ...], what: str) -> str:
    return next(check.found for check in checks if check.what == what)


# --- the forgeries ------------------------------------------------------------------------------------


def everything(p: Place) -> None:
    p.plan(noise_multiplier=9.0)


def fewer_steps(p: Place) -> None:
    p.plan(steps=1)


def smaller_rate(p: Place) -> None:
    p.plan(sample_rate=0.01)


def unit_without_a_digest(p: Place) -> None:
    write_json(p.ckpt / "privacy.json", replace(p.statement, digest="", unit="author"))


def unit_everywhere(p: Place) -> None:
    definition = "all rows of clean/train that share one value of “author”; "
    definition += p.statement.unit_definition.partition("; ")[2] + " of one of them"
    p.state(unit="author", unit_definition=definition)


def group(p: Place) -> None:
    p.state(group_epsilon={**p.statement.group_epsilon, "2": 8.1})


def group_dropped(p: Place) -> None:
    p.state(group_epsilon={"2": p.statement.group_epsilon["2"]})


def corpus(p: Place) -> None:
    p.state(corpus_epsilon=1.0)


def ceilings(p: Place) -> None:
    p.state(true_positive_ceilings={"0.001": 0.0011, "0.01": 0.0105})


def prv(p: Place) -> None:
    pld, one, other = p.statement.accountants
    p.state(accountants=(pld, replace(one, epsilon=1.0), other))


def rdp(p: Place) -> None:
    p.state(accountants=(*p.statement.accountants[:2], replace(p.statement.accountants[2], epsilon=8.0)))


def rdp_dropped(p: Place) -> None:
    p.state(accountants=p.statement.accountants[:2])


def unamplified(p: Place) -> None:
    p.state(epsilon_without_amplification=p.statement.epsilon)


def mu(p: Place) -> None:
    p.state(gaussian_mu=0.1)


def definition(p: Place) -> None:
    p.state(unit_definition="one person; each draw contributes one random window of at most 64 tokens")


def hazards_dropped(p: Place) -> None:
    p.state(hazards=())


def hazard_denied(p: Place) -> None:
    p.state(
        hazards=tuple(
            Hazard(one.id, "absent", one.detail) if one.id == "unit-smaller-than-person" else one
            for one in p.statement.hazards
        )
    )


def hazard_reworded(p: Place) -> None:
    p.state(
        hazards=tuple(
            replace(one, detail="read by nobody") if one.id == "run-folder" else one
            for one in p.statement.hazards
        )
    )


def one_hazard_dropped(p: Place) -> None:
    p.state(hazards=tuple(one for one in p.statement.hazards if one.id != "preprocessing"))


def count_dropped(p: Place) -> None:
    p.ledger(tuple(entry for entry in p.statement.ledger if entry.mechanism != "discrete-laplace"))


def count_dropped_and_said_public(p: Place) -> None:
    count_dropped(p)
    public = Hazard("size-dependence", "present", "n is declared public by --public-size")
    p.state(hazards=tuple(public if one.id == public.id else one for one in p.statement.hazards))
    p.note(spent=[])


def not_private(p: Place) -> None:
    p.state(private=False)


def not_private_at_all(p: Place) -> None:
    p.state(
        private=False, epsilon=None, delta=None, accountants=(), adjacency="", sampler="shuffled epochs",
        plan=None, ledger=(), batch_sizes={}, hazards=(), covers="nothing: this run is not private",
    )  # fmt: skip


def random_weights(p: Place) -> None:
    tokenizer = Tokenizer.load(str(p.ckpt))
    checkpoint.save_weights(p.ckpt, models.fresh("nano", tokenizer, 64, 0.0, 7), tokenizer)


def random_weights_stated(p: Place) -> None:
    random_weights(p)
    p.restate_files()


def weights_beside(p: Place) -> None:
    shutil.copy(p.run / "initial" / "model.safetensors", p.ckpt / "adapter_model.safetensors")


def start(p: Place) -> None:
    write_json(p.ckpt / "training.json", {**read_json(p.ckpt / "training.json"), "init": "/models/private"})


def start_stated(p: Place) -> None:
    p.tell(init="warmed up on public text")


def coins(p: Place) -> None:
    path = p.run / "canaries.jsonl"
    path.write_text(path.read_text().replace('"planted": true', '"planted": false'))
    p.tell(canaries_digest=sha256_file(path))


def coins_stated(p: Place) -> None:
    coins(p)
    p.state(digests={**p.statement.digests, seals.CANARIES: sha256_file(p.run / "canaries.jsonl")})


def guesses(p: Place) -> None:
    p.note(guesses=2)


def guesses_stated(p: Place) -> None:
    guesses(p)
    p.state(guesses=2)


def reference(p: Place) -> None:
    shutil.copy(p.ckpt / "model.safetensors", p.run / "initial" / "model.safetensors")


def draws(p: Place) -> None:
    (p.run / "ledger.jsonl").unlink()
    chain = ChainedFile(p.run / "ledger.jsonl", seed_of(p.statement.plan))
    for step in range(3):
        chain.append({"step": step, "drawn": 1})


def scores(p: Place) -> None:
    """Those of a run in which nobody took part."""
    path = p.run / "mechanism.safetensors"
    found = load_file(path)
    save_file({**found, "log_ratios": 0 * found["log_ratios"]}, path)


def surer_guesses(p: Place) -> None:
    path = p.run / "canary_coins.json"
    write_json(path, {**read_json(path), "guesses": 2})


def sealed_by_nobody(p: Place) -> None:
    """Another key is named beside the seal, as if it could not be checked here."""
    seal = p.statement.seal
    assert seal is not None
    p.state(seal=replace(seal, key_id="0123456789abcdef"), mechanism_checks=())


def unsealed(p: Place) -> None:
    p.state(seal=None)


def made_to_look_older(p: Place) -> None:
    p.state(seal=None, digests={}, guesses=None)


def wider_cover(p: Place) -> None:
    p.state(covers="weights, tokenizer and every report")


FORGERIES = [
    everything, fewer_steps, smaller_rate, unit_without_a_digest, unit_everywhere, group, group_dropped,
    corpus, ceilings, prv, rdp, rdp_dropped, unamplified, mu, definition, hazards_dropped, hazard_denied,
    hazard_reworded, one_hazard_dropped, count_dropped, count_dropped_and_said_public, not_private,
    not_private_at_all, random_weights, random_weights_stated, weights_beside, start, start_stated, coins,
    coins_stated, guesses, guesses_stated, reference, draws, scores, surer_guesses, sealed_by_nobody,
    unsealed, made_to_look_older, wider_cover,
]  # fmt: skip


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_a_forgery_is_contradicted(
    place: Place, forge: Callable[[Place], None], keyless: Callable[[], None]
) -> None:
    forge(place)
    checks, code = verify(place.ckpt)
    assert code == 10 and contradicted(checks)
    assert all(check.do for check in checks if check.outcome == "contradicted")
    keyless()
    checks, code = verify(place.ckpt)
    assert code == 10 or said_of(checks, "seal").startswith("not checked: unsigned")
    assert not Path("no-key").exists()


AWAY = [everything, fewer_steps, unit_everywhere, random_weights_stated, hazard_denied, count_dropped]


@pytest.mark.parametrize(
    "forge",
    [made_to_look_older, random_weights_stated, sealed_by_nobody],
    ids=lambda forge: forge.__name__,
)
def test_the_ledger_of_all_runs_remembers_what_was_sealed_and_released(
    place: Place, forge: Callable[[Place], None], keyless: Callable[[], None]
) -> None:
    """Without key and run folder: the state folder of the house is enough."""
    forge(place)
    shutil.rmtree(place.folder / RUNS)
    keyless()
    checks, code = verify(place.ckpt)
    assert code == 10 and contradicted(checks) == {"corpus ledger"}


@pytest.mark.parametrize("forge", AWAY, ids=lambda forge: forge.__name__)
def test_the_seal_alone_tells_a_forgery_whose_run_folder_is_not_here(
    place: Place, forge: Callable[[Place], None], keyless: Callable[[], None]
) -> None:
    forge(place)
    shutil.rmtree(place.folder / RUNS)
    checks, code = verify(place.ckpt)
    assert code == 10 and "seal" in contradicted(checks)
    assert outcomes(checks)["run folder"] == "unknown"
    keyless()
    checks, code = verify(place.ckpt)
    assert said_of(checks, "seal").startswith("not checked: unsigned; sealed by key ")


def test_an_honest_folder_holds_with_the_key_without_it_and_elsewhere(
    place: Place, keyless: Callable[[], None], tmp_path: Path
) -> None:
    checks, code = verify(place.ckpt)
    assert code == 0
    assert {what for what, outcome in outcomes(checks).items() if outcome == "unknown"} == {
        "audit", "signature",
    }  # fmt: skip
    assert load_key().id in said_of(checks, "seal") and "who can read that key" in said_of(checks, "seal")
    (place.ckpt / "README.md").write_text("A model card in somebody's own words.\n")
    (place.ckpt / "model.sig").write_text("{}")
    assert verify(place.ckpt)[1] == 0
    keyless()
    checks, code = verify(place.ckpt)
    assert code == 0 and outcomes(checks)["seal"] == outcomes(checks)["ledger.jsonl"] == "unknown"
    assert outcomes(checks)["mechanism.safetensors"] == "unknown"
    shutil.copytree(place.ckpt, tmp_path / "released")
    checks, code = verify(tmp_path / "released")
    assert code == 0 and outcomes(checks)["run folder"] == "unknown"
    assert not (tmp_path / "no-key").exists()  # to verify makes no key


def test_a_seal_by_another_key_is_named_and_not_checked(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed_by = load_key().id
    write_text(tmp_path / "other", "ab" * 32 + "\n", mode=0o600)
    monkeypatch.setenv("MLMGUARD_KEY_FILE", str(tmp_path / "other"))
    checks, code = verify(place.ckpt)
    told = said_of(checks, "seal")
    assert code == 0 and outcomes(checks)["seal"] == "unknown"
    assert "another key" in told and sealed_by in told and load_key().id in told
    assert "mlmguard sign" in next(check.do for check in checks if check.what == "seal")


def test_a_seal_of_the_forger_is_another_than_the_run_left(place: Place) -> None:
    made = seals.sealed(replace(place.statement, group_epsilon={}), Key(b"the key of a forger, 32 bytes.."))
    write_json(place.ckpt / "privacy.json", made)
    checks, code = verify(place.ckpt)
    assert code == 10 and "another seal" in said_of(checks, "run folder")


@pytest.mark.parametrize("content", ["not hexadecimal", "abcd", None])
def test_a_key_that_cannot_be_read(
    place: Place, content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "bad-key"
    bad.mkdir() if content is None else bad.write_text(content)
    monkeypatch.setenv("MLMGUARD_KEY_FILE", str(bad))
    checks, code = verify(place.ckpt)
    told = said_of(checks, "seal")
    assert (
        code == 0 and told.startswith("not checked: unsigned; ") and "not a key" in told and str(bad) in told
    )
    with pytest.raises(InputError, match="not a key"):  # nothing is trained that could not be sealed
        train(place.folder / "clean", tmp_path / "new", tmp_path / "r", TINY, runs=tmp_path / "runs")
    assert not (tmp_path / "new").exists() and not (tmp_path / "runs").exists()


def test_a_statement_of_an_older_version_is_not_silently_accepted(place: Place, own_state: Path) -> None:
    older = {
        name: value
        for name, value in read_json(place.ckpt / "privacy.json").items()
        if name not in ("digests", "guesses", "seal")
    }
    kept = replace(place.statement, digests={}, guesses=None, seal=None)
    write_json(place.ckpt / "privacy.json", {**older, "digest": accounting.statement_digest(kept)})
    place.note(seal=None)
    (own_state / "ledger.jsonl").unlink()  # which an older version did not tell what was released
    checks, code = verify(place.ckpt)
    assert code == 0 and said_of(checks, "seal") == "not checked: made before seals"
    audited = read(place.ckpt, Ours())  # the evidence says it to whoever judges it
    assert audited.notes == ("The seal of the statement: not checked: made before seals.",)
    assert outcomes(checks)["files"] == outcomes(checks)["canaries and reference"] == "unknown"


def test_another_run_folder_of_the_same_id_here_is_skipped_and_named(place: Place, tmp_path: Path) -> None:
    decoy = run_folder(place.run.name, Path(RUNS))
    shutil.copytree(place.run, decoy, dirs_exist_ok=True)
    (decoy / "ledger.jsonl").write_text("")
    known = read_json(decoy / "run.json")
    write_json(decoy / "run.json", {**known, "plan": {**known["plan"], "noise_multiplier": 9.0}})
    checks, code = verify(place.ckpt)
    assert code == 0 and outcomes(checks)["run folder"] == "holds"
    assert "its plan is another" in said_of(checks, "other run folder")
    shutil.rmtree(place.folder / RUNS)  # the decoy is the only one left: still not taken
    checks, code = verify(place.ckpt)
    assert outcomes(checks)["run folder"] == "unknown" and "is of another run" in said_of(
        checks, "other run folder"
    )
    write_json(decoy / "run.json", {**known, "seal": {"key_id": "0", "value": "0"}})
    assert "another seal" in said_of(verify(place.ckpt)[0], "other run folder")


# --- who else reads a statement -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "forge", [definition, unit_everywhere, random_weights, unsealed], ids=lambda forge: forge.__name__
)
def test_audit_and_init_refuse_a_forgery(
    place: Place,
    forge: Callable[[Place], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    forge(place)
    monkeypatch.chdir(place.folder)
    before = {path for path in place.folder.rglob("*") if "runs" not in path.parts}
    for command in (["audit", "ckpt"], ["train", "clean", "--init", "ckpt", "--steps", "1", "--ckpt", "new"]):
        assert cli.run(command) == 2
        assert "ckpt" in capsys.readouterr().err
    assert {path for path in place.folder.rglob("*") if "runs" not in path.parts} == before


@pytest.mark.parametrize(
    "forge", [guesses, reference, draws, scores, surer_guesses], ids=lambda forge: forge.__name__
)
def test_an_audit_refuses_a_run_folder_that_was_changed(
    place: Place,
    forge: Callable[[Place], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    forge(place)
    monkeypatch.chdir(place.folder)
    assert cli.run(["audit", "ckpt"]) == 2
    assert "as training left it" in capsys.readouterr().err


def test_gate_refuses_evidence_whose_statement_is_forged(place: Place, tmp_path: Path) -> None:
    base = clean_evidence()
    weights = seals.weights_of(place.statement.digests)
    assert weights == weights_digest(place.ckpt)  # which an audit names: no file of the run folder is in it
    true = claiming(replace(base, model=replace(base.model, digest=weights)), place.statement)
    assert cleared(place.statement) == place.statement  # a report holds the statement as it was sealed
    path = tmp_path / "audit.json"
    write_json(path, true)
    assert read_evidence(path).statement == place.statement
    definition(place)
    write_json(path, replace(true, statement=place.statement))
    with pytest.raises(InputError, match=r"audit\.json: statement: the seal: .* did not seal this"):
        gate([path], out=[("json", tmp_path / "out.json")])
    assert not (tmp_path / "out.json").exists()
    write_json(path, replace(true, model=replace(base.model, digest="0" * 64)))
    with pytest.raises(InputError, match="other weights than its statement"):
        gate([path])


# --- what a seal is -----------------------------------------------------------------------------------


def test_no_digest_in_a_statement_can_be_tried_without_the_key(place: Place) -> None:
    """Sizes of draws are few: a plain digest of the journal would give them away."""
    digests = place.statement.digests
    journal = sha256_file(place.run / "ledger.jsonl")
    assert seals.JOURNAL not in digests and journal not in digests.values()
    assert digests[seals.KEYED + seals.JOURNAL] != journal
    started = replace(place.statement, digests={}, seal=None)
    private = seals.bound(started, place.ckpt, place.run, False, 10, load_key())
    assert seals.INITIAL not in private.digests and seals.KEYED + seals.INITIAL in private.digests


def test_a_seal_is_of_one_key_and_is_no_fingerprint() -> None:
    one, other = Key(b"1" * 32), Key(b"2" * 32)
    assert one.seal("a") == one.seal("a") != one.seal("b")
    assert one.seal("a") != other.seal("a") and len(one.seal("a")) == 64
    assert one.id not in one.seal("") and not one.seal("kind\0a").startswith(one.fingerprint("kind", "a"))


def test_weights_that_an_index_takes_from_outside_are_contradicted(place: Place) -> None:
    outside = place.ckpt.parent / "outside.safetensors"
    (place.ckpt / "model.safetensors").rename(place.ckpt / "decoy.safetensors")
    outside.write_bytes((place.ckpt / "decoy.safetensors").read_bytes())
    index = {"metadata": {}, "weight_map": dict.fromkeys(load_file(outside), "../outside.safetensors")}
    write_json(place.ckpt / "model.safetensors.index.json", index)
    checks, code = verify(place.ckpt)
    outcomes = {one.what: one.outcome for one in checks}
    assert code == 10
    assert outcomes["loaded from"] == outcomes["leaves the folder"] == "contradicted"
    with pytest.raises(InputError, match="leaves the folder"):
        seals.read_statement(place.ckpt)


def test_code_beside_the_weights_is_named_and_does_not_contradict(place: Place) -> None:
    (place.ckpt / "modeling_x.py").write_text("", "utf-8")
    checks, _ = verify(place.ckpt)
    (named,) = [one for one in checks if one.what == "could run"]
    assert named.outcome == "unknown" and "modeling_x.py (program)" in named.found
