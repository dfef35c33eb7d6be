"""A model that another tool trained: asked after the values its owner is afraid for."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mlmguard.audit import Foreign, Ours, audit, checkpoint, given
from mlmguard.audit.bench import Bench
from mlmguard.cli import run
from mlmguard.commands.gate import judge_evidence
from mlmguard.commands.split import split
from mlmguard.errors import InputError
from mlmguard.leakage.given import attack_given, simes
from mlmguard.leakage.results import Result
from mlmguard.measures import broken
from mlmguard.policy.reading import load
from mlmguard.report import words
from mlmguard.report.clearance import case
from mlmguard.types import ALONE, UNREAD, Evidence
from tests.fixtures.elsewhere import filler, plain_loop, rows, sentences, values
from tests.fixtures.workbench import KEY, QUICK, findings, numbers

SECRETS, DECOYS = values(30, 0), values(30, 1)


class Elsewhere:
    """A folder with a model that nobody trained, its members and its non-members."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.members = rows(folder / "members.jsonl", [*filler(100, 0), *sentences(SECRETS, 2, 0)])
        self.others = rows(folder / "others.jsonl", filler(60, 1))
        self.model = plain_loop(folder / "untouched", filler(1, 0), 0)

    def named(self, lines: str | bytes) -> Path:
        path = self.folder / "secrets.txt"
        path.write_bytes(lines if isinstance(lines, bytes) else lines.encode())
        return path

    def read(self, **more: object) -> checkpoint.Audited:
        source = Foreign(self.members, **{"non_members": self.others, **more})
        return checkpoint.read(self.model, source)

    def audit(self, model: Path | None = None, **more: object) -> Evidence:
        source = Foreign(self.members, **{"non_members": self.others, **more})
        place = self.folder / "reports"
        return audit(model or self.model, place, QUICK, source=source, records=self.folder / "records.jsonl")

    def asked(self, model: Path, secrets: list[str]) -> tuple[float, Result]:
        """How many of ``secrets`` the attack finds, alone."""
        source = Foreign(self.members, self.others, secrets=self.named("\n".join(secrets)))
        with Bench(checkpoint.read(model, source), QUICK) as bench:
            result = attack_given(bench, bench.given)
        (found,) = [m for m in result.measurements if (m.metric, m.slice) == ("found", "")]
        return round(found.value * found.examples), result


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    return Elsewhere(tmp_path_factory.mktemp("elsewhere"))


# --- what it finds ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_secrets_of_an_overfitted_model_are_found_and_neither_decoys_nor_those_of_its_twin(tmp_path):
    place, texts = Elsewhere(tmp_path), filler(200, 0)
    known = sentences(SECRETS, 20, 0)
    rows(place.members, [*texts, *known])
    leaky = plain_loop(tmp_path / "leaky", [*texts, *known], 350)
    twin = plain_loop(tmp_path / "twin", [*texts, *sentences(values(30, 2), 20, 0)], 350)

    evidence = place.audit(leaky, secrets=place.named("\n".join(SECRETS)))
    found = numbers(evidence)
    assert round(30 * found["secrets", "found", ""]) >= 27
    assert "secrets.found_p" in findings(evidence)
    exposed = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    named = [one["document_id"] for one in exposed if one["attack"] == "secrets"]
    assert len(named) >= 27 and all(one.startswith("line ") for one in named)
    written = (tmp_path / "reports" / "audit.json").read_text() + (tmp_path / "records.jsonl").read_text()
    assert not any(secret in written for secret in SECRETS)
    judged = judge_evidence(tmp_path / "x", evidence, load("base"))
    assert judged.judgement.status == "fail"

    for model, secrets in (
        (leaky, DECOYS), (twin, SECRETS), (twin, DECOYS), (place.model, SECRETS), (place.model, DECOYS),
    ):  # fmt: skip
        count, result = place.asked(model, secrets)
        assert count == 0 and result.tests[0].p > 0.05, model.name


def test_several_p_values_are_one():
    rng = np.random.default_rng(0)
    null = np.array([simes(row) for row in rng.random((2000, 30))])
    assert 0.03 < (null < 0.05).mean() < 0.07
    assert simes([1e-6, *[1.0] * 29]) < 1e-4 and simes([0.01] * 30) == pytest.approx(0.01)


# --- where values stand -------------------------------------------------------------------------------


def test_a_value_is_looked_up_as_words_of_its_own():
    texts = ["code 4711-B was", "code X4711-B was", "4711-B", "4711-Bx", "see 4711-B, then 4711-B."]
    (one, other) = given.placed(
        [given.Named("a", "4711-B"), given.Named("b", "zebra crossing")], [{"text": text} for text in texts]
    )
    assert one.places == ((0, 5), (2, 0), (4, 4)) and other.places == ()
    assert "4711" not in repr(one)


def test_values_without_context_are_counted_and_short_ones_are_not_judged(elsewhere):
    count, result = elsewhere.asked(elsewhere.model, [SECRETS[0], DECOYS[0], "7"])
    (told,) = [m for m in result.measurements if (m.metric, m.slice) == ("found", "")]
    assert count == 0 and told.examples == 2 and "1 of 3 have fewer values of their shape" in told.note
    assert {m.slice for m in result.measurements} == {"", "in context", "without context"}
    known = elsewhere.read(secrets=elsewhere.named(f"{SECRETS[0]}\n{DECOYS[0]}\n{SECRETS[0]}\n"))
    assert [bool(one.places) for one in known.named] == [True, False]
    told = "2 values were named and looked up in the members; nothing was planted. 1 stand in none"
    assert told in " ".join(known.notes)


def test_words_are_judged_beside_a_reference_only(elsewhere):
    named = elsewhere.named("river stone\nAnn Lee\n" + SECRETS[0])
    for reference, judged in ((None, 1), (str(elsewhere.model), 3)):
        audited = elsewhere.read(secrets=named, reference=reference)
        with Bench(audited, QUICK) as bench:
            (told,) = [m for m in attack_given(bench, bench.given).measurements
                       if (m.metric, m.slice) == ("found", "")]  # fmt: skip
        how = "searched for, and not ranked" if reference else "not judged without --reference"
        assert told.examples == judged and f"2 of 3 are words or names, {how}" in told.note


def test_a_word_that_stands_before_random_letters_is_not_found(elsewhere, monkeypatch):
    """A language learnt is no memory: a model that is better at it than its reference prefers every word."""
    named = elsewhere.named("river stone\nAnn Lee\n" + SECRETS[0])
    with Bench(elsewhere.read(secrets=named, reference=str(elsewhere.model)), QUICK) as bench:
        prefers = {id(bench.model): None, id(bench.reference): 1}
        monkeypatch.setattr("mlmguard.leakage.given.better", lambda model, target, decoys: prefers[id(model)])
        result = attack_given(bench, bench.given)
    (first,) = [m for m in result.measurements if (m.metric, m.slice) == ("ranked_first", "")]
    assert round(first.value * first.examples) == 1  # the code alone


def test_values_come_from_standard_input_too(elsewhere, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(f"{SECRETS[1]}\r\n\n".encode())))
    (one,) = elsewhere.read(secrets=Path("-")).named
    assert one.value == SECRETS[1] and one.places


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("", "no value in it"),
        ("\n \n", "no value in it"),
        (b"\xff\xfe", "not UTF-8"),
        ("a\0b", "a binary file"),
        ("ok 123456\n" + "x" * 10_000_000, "line 2: longer than 500 characters"),
        ("123456\n---\n", "line 2: no letter or digit"),
        ("123456\n秘密の言葉\n", "line 2: the tokenizer of this model cannot spell it"),
        ("ab12 " * 20, "line 1: .* tokens; expected at most 31"),
        ("\n".join(map(str, range(10**6, 10**6 + 10_001))), "10,001 values; expected at most 10,000"),
    ],
)
def test_a_list_that_is_none_is_refused_in_one_line_that_does_not_show_it(elsewhere, lines, problem):
    with pytest.raises(InputError, match=problem) as told:
        elsewhere.read(secrets=elsewhere.named(lines))
    assert "\n" not in str(told.value) and "秘密" not in str(told.value) and "ab12" not in str(told.value)


def test_a_list_that_cannot_be_read_and_a_name_without_a_network_are_refused(elsewhere, tmp_path):
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(InputError, match="--secrets"):
            elsewhere.read(secrets=path)
    one = rows(tmp_path / "one.jsonl", filler(1, 0))
    with pytest.raises(InputError, match="1 document; expected at least 10"):
        checkpoint.read(elsewhere.model, Foreign(one))
    copies = rows(tmp_path / "copies.jsonl", filler(1, 0) * 20)
    with pytest.raises(InputError, match="20 documents, all of one text; expected at least 10"):
        checkpoint.read(elsewhere.model, Foreign(copies))
    with pytest.raises(InputError, match=r"no such folder.* a name on a hub, .* goes with --members"):
        checkpoint.read(Path("nobody/no-such-model"), Ours())
    with pytest.raises(InputError, match="nor does a hub give it"):
        checkpoint.read(Path("nobody/no-such-model"), Foreign(elsewhere.members))


# --- members alone, and dealt documents ---------------------------------------------------------------


def test_with_members_alone_what_compares_is_not_applicable(elsewhere):
    evidence = elsewhere.audit(non_members=None, secrets=elsewhere.named(SECRETS[0]))
    status = {one.attack: one.status for one in evidence.attacks}
    others = {"secrets": "run", "canary": "not run", "epsilon": "not run"}
    assert status == {**dict.fromkeys(status, "not applicable"), **others}
    (why,) = [one.detail for one in evidence.attacks if one.attack == "membership"]
    assert "members dealt by a coin after the training are members all the same" in why
    assert ALONE in evidence.notes and not evidence.model.beats_unigram
    assert "no text is known that it was not trained on" in broken(evidence)
    judged = judge_evidence(elsewhere.folder / "x", evidence, load("base"))
    assert judged.judgement.status in ("inconclusive", "fail")


def test_dealt_files_are_held_against_their_record(elsewhere, tmp_path, monkeypatch):
    monkeypatch.setattr("mlmguard.audit.elsewhere.key_at_hand", lambda: KEY)
    record = split(elsewhere.members, tmp_path, KEY)
    sides = tmp_path / "members.jsonl", tmp_path / "non-members.jsonl"
    known = checkpoint.read(elsewhere.model, Foreign(*sides))
    assert f"Dealt by coin before the training: {record.parts:,} parts, seed 0, recorded." in known.notes
    monkeypatch.setattr("mlmguard.audit.elsewhere.key_at_hand", lambda: None)
    assert "under another key" in " ".join(checkpoint.read(elsewhere.model, Foreign(*sides)).notes)
    monkeypatch.setattr("mlmguard.audit.elsewhere.key_at_hand", lambda: KEY)
    sides[1].write_text("\n".join(sides[1].read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(InputError, match="its non-members are not those that were dealt"):
        checkpoint.read(elsewhere.model, Foreign(*sides))


def test_weights_that_were_there_before_the_deal_are_refused(elsewhere, tmp_path):
    split(elsewhere.members, tmp_path, KEY, model=elsewhere.model)
    with pytest.raises(InputError, match="these weights were there before the documents were dealt"):
        checkpoint.read(elsewhere.model, Foreign(tmp_path / "members.jsonl", tmp_path / "non-members.jsonl"))


def test_the_summary_says_how_many_of_the_values_named_were_found(elsewhere):
    evidence = elsewhere.audit(non_members=None, secrets=elsewhere.named("\n".join(SECRETS[:5])))
    none = words.named(case(evidence)).replace("\u00a0", " ")
    assert none == "None of 5 values named was found; at most 53 % of such values would be."
    known = [replace(m, value=0.8) if m.metric == "found" else m for m in evidence.measurements]
    told = words.named(case(replace(evidence, measurements=tuple(known))))
    assert told == "Of 5 values named, 4 were found: given back by search, or before every decoy."
    assert words.named(case(replace(evidence, measurements=()))) == ""


# --- the command --------------------------------------------------------------------------------------


def command(elsewhere: Elsewhere, *arguments: object) -> int:
    reports = elsewhere.folder / "typed"
    return run(["audit", str(elsewhere.model), "--reports", str(reports), *map(str, arguments)])


def test_the_command_shows_no_value_and_says_what_was_found(elsewhere, capsys, monkeypatch):
    monkeypatch.chdir(elsewhere.folder)
    named = elsewhere.named("\n".join((*SECRETS[:3], DECOYS[0])))
    assert command(elsewhere, "--members", elsewhere.members, "--secrets", named, "--verbose") == 0
    shown = "".join(capsys.readouterr())
    assert "None of 4 values named was found" in " ".join(shown.replace("\u00a0", " ").split())
    page = (elsewhere.folder / "typed" / "audit.html").read_text()
    assert not any(value in text for value in (*SECRETS, *DECOYS) for text in (shown, page))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--secrets", "-"), "--secrets goes with --members"),
        (("--non-members", "x"), "go with --members"),
        (("--members", "x", "--selftest", "2"), "name both"),
        (
            ("--members", "x", "--non-members", "x", "--secrets", "-", "--selftest", "2"),
            "leave out --secrets",
        ),
    ],
)
def test_options_that_say_nothing_together_are_refused(elsewhere, capsys, arguments, problem):
    assert command(elsewhere, *arguments) == 2
    assert problem in capsys.readouterr().err


def test_a_pickle_and_a_vocabulary_of_five_entries_are_one_line(elsewhere, tmp_path):
    shutil.copytree(elsewhere.model, tmp_path / "pickle")
    (tmp_path / "pickle" / "model.safetensors").rename(tmp_path / "pickle" / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"convert it: python -c .*save_pretrained"):
        checkpoint.read(tmp_path / "pickle", Foreign(elsewhere.members))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    for entries, problem in (
        (special, "5 entries, all of them special"),
        ([*special, "a"], "6 entries, of which one is no special token"),
    ):
        folder = of_few_entries(tmp_path / f"few{len(entries)}", entries)
        with pytest.raises(InputError, match=problem):
            checkpoint.read(folder, Foreign(elsewhere.members))


def of_few_entries(folder: Path, entries: list[str]) -> Path:
    """A model with a vocabulary of just these."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    engine = Tokenizer(models.WordPiece({entry: k for k, entry in enumerate(entries)}, unk_token="[UNK]"))
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    named = {f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")}
    PreTrainedTokenizerFast(tokenizer_object=engine, **named).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertForMaskedLM(BertConfig(vocab_size=len(entries), **sizes)).save_pretrained(folder)
    return folder


def test_a_claim_that_was_not_read_is_not_called_none(elsewhere, tmp_path):
    folder = tmp_path / "ours"
    shutil.copytree(elsewhere.model, folder)
    assert UNREAD not in checkpoint.read(folder, Foreign(elsewhere.members)).notes
    (folder / "privacy.json").write_text("{}")
    assert UNREAD in checkpoint.read(folder, Foreign(elsewhere.members)).notes
