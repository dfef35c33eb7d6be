"""The verb on made text: what is new is found, what is the same is not, nothing personal is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlmguard import cli
from mlmguard.artifacts import Key, load_key, read_noun, write_json
from mlmguard.commands.drift import lines
from mlmguard.corpus.clean import open_clean
from mlmguard.drift import UNLIKE, drift, earlier, reference
from mlmguard.drift.sides import FEWEST, counts_of, drawn, opened
from mlmguard.drift.statistics import FEWEST_EARLIER
from mlmguard.errors import InputError
from mlmguard.scan import ScanSettings, scan
from mlmguard.settings import DriftSettings
from mlmguard.train import TrainSettings, train
from mlmguard.training import checkpoint
from mlmguard.training.embeddings import pooled, rows_moved
from mlmguard.training.numerics import best_device
from mlmguard.training.privacy import seals
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import Drift
from tests.fixtures.models import small

WORDS = sorted(w for w in Tokenizer.load(None).entries() if w.isalpha() and len(w) > 3)
QUICK = DriftSettings(documents=80, resamples=199)
SECRET = "zqxvkjwy"  # a word that only one document holds


def notes(path: Path, count: int, seed: int, first: int = 0, *, secret: bool = False) -> Path:
    """Notes of 24 words that each keep to one of eight topics with six words, from the ``first`` word on."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        for k in range(count):
            topic = first + 6 * int(rng.integers(8))
            text = " ".join(str(word) for word in rng.choice(WORDS[topic : topic + 6], 24))
            text += f" {SECRET}" if secret and k == 0 else ""
            stream.write(json.dumps({"id": f"{seed}-{k}", "text": text}) + "\n")
    return path


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cleaned corpus of two wards, a model that learnt from it, and one that learnt for longer."""
    root = tmp_path_factory.mktemp("drift")
    for seed, ward in enumerate(("north", "south")):
        notes(root / "corpus" / ward / "notes.jsonl", 400, seed)
    notes(root / "later" / "north" / "notes.jsonl", 120, 7)
    notes(root / "mixed" / "north" / "notes.jsonl", 60, 7)
    notes(root / "mixed" / "south" / "notes.jsonl", 60, 8, first=300)
    runs = root / ".mlmguard" / "runs"
    for corpus, clean in (("corpus", "clean"), ("later", "later-clean"), ("mixed", "mixed-clean")):
        scan(
            root / corpus, root / clean, root / f"{corpus}-reports",
            key=Key(b"a key that only tests use, 32 b."), runs=runs,
            settings=ScanSettings(workers=1, near_threshold=1.0),
        )  # fmt: skip
    for name, steps in (("ckpt", 100), ("longer", 200)):
        settings = TrainSettings(init="scratch", steps=steps, batch_units=16, canaries=0, window=32)
        train(root / "clean", root / name, root / name / "reports", settings, runs=runs)
        shutil.rmtree(root / name / "reports", ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        yield root


def numbers(found: Drift) -> dict[str, float | None]:
    """Every number by its name, the tests as ``p, NAME``."""
    return {f"{m.metric}, {m.slice}" if m.slice else m.metric: m.value for m in found.measurements}


def moved(found: Drift) -> set[str]:
    return {m.slice for m in found.measurements if m.metric == "p" and (m.value or 0) <= 0.05}


# --- texts --------------------------------------------------------------------------------------------


def test_text_like_what_was_learnt_has_not_moved(house: Path, tmp_path: Path) -> None:
    found = drift(house / "ckpt", texts=house / "later-clean", reports=tmp_path, settings=QUICK)
    assert moved(found) == set() and found.model.beats_unigram and UNLIKE not in found.notes
    assert found.documents["now"] == 80 and found.documents["known"] == 320
    assert read_noun(tmp_path / "drift.json", Drift) == found


def test_new_words_are_found_by_every_number_and_the_source_is_named(house: Path, tmp_path: Path) -> None:
    found = drift(house / "ckpt", texts=house / "mixed-clean", reports=tmp_path, settings=QUICK)
    expected = {"vocabulary_js", "unseen_change", "rare_change", "embedding_mmd", "loss_change, south"}
    assert expected <= moved(found) and "loss_change, north" not in moved(found)
    values = numbers(found)
    assert values["unseen_change"] > 0.3 and values["embedding_auc"] > 0.6
    assert values["pseudo_perplexity, now, south"] > 5 * values["pseudo_perplexity, before, south"]


def test_the_same_input_gives_the_same_file(house: Path, tmp_path: Path) -> None:
    texts = notes(tmp_path / "notes.jsonl", 60, 3, first=24)
    for name in ("a", "b"):
        found = drift(house / "ckpt", texts=texts, reports=tmp_path / name, settings=QUICK)
        assert UNLIKE in found.notes  # text as it is, and the other side was cleaned
        assert ("note", UNLIKE) in lines(found)
    assert (tmp_path / "a" / "drift.json").read_bytes() == (tmp_path / "b" / "drift.json").read_bytes()


def test_text_of_before_can_be_named_and_is_halved(house: Path, tmp_path: Path) -> None:
    old, new = notes(tmp_path / "o.jsonl", 160, 31), notes(tmp_path / "n.jsonl", 80, 32)
    clean = drift(house / "ckpt", texts=house / "later-clean", against=old, reports=tmp_path, settings=QUICK)
    assert UNLIKE in clean.notes
    found = drift(house / "ckpt", texts=new, against=old, reports=tmp_path, settings=QUICK)
    assert UNLIKE not in found.notes
    assert moved(found) == set()
    assert found.documents == {"before": 80, "now": 80, "known": 80}


def test_known_text_that_comes_again_is_no_movement(house: Path, tmp_path: Path) -> None:
    path = tmp_path / "rare.jsonl"
    rng = np.random.default_rng(5)
    chances = 1 / np.arange(1, len(WORDS) + 1) ** 0.8
    with path.open("w") as stream:
        for _ in range(600):
            words = rng.choice(WORDS, 40, p=chances / chances.sum())
            stream.write(json.dumps({"text": " ".join(map(str, words))}) + "\n")
    settings = DriftSettings(documents=300, resamples=499)
    found = drift(house / "ckpt", texts=path, against=path, reports=tmp_path, settings=settings)
    assert moved(found) == set() and numbers(found)["unseen_change"] == pytest.approx(0, abs=1e-4)
    with pytest.raises(InputError, match="19 documents"):
        again = notes(tmp_path / "n.jsonl", 38, 3)
        drift(house / "ckpt", texts=path, against=again, reports=tmp_path, settings=settings)
    held_out = drift(house / "ckpt", texts=house / "clean", reports=tmp_path, settings=QUICK)
    assert held_out.documents["now"] == held_out.documents["before"] == 80


def test_held_out_rows_of_persons_with_several_are_told(house: Path) -> None:
    corpus = open_clean(house / "clean")
    assert reference._of_units(corpus) == ()
    rows = [{"unit": "ann"}, {"unit": "ann"}, {"unit": "bob"}]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(corpus), "rows", lambda self, *splits: iter(rows))
        (note,) = reference._of_units(corpus)
    assert note.startswith("The 3 rows held out are of 2 units")


def test_a_column_source_is_one_and_few_documents_are_none(house: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in notes(tmp_path / "n.jsonl", 120, 12).read_text().splitlines()]
    for k, row in enumerate(rows):
        row["source"] = "anna.berg@example.org" if k % 2 else "Tom Reed 1957" if k < 6 else "ward 7"
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "n.jsonl").write_text(text)
    found = drift(house / "ckpt", texts=tmp_path / "n.jsonl", reports=tmp_path, settings=QUICK)
    slices = {m.slice for m in found.measurements if m.metric == "pseudo_perplexity"}
    named = {load_key().fingerprint("SOURCE", one) for one in ("ward 7", "anna.berg@example.org")}
    assert {f"now, source {one}" for one in named} <= slices
    written = (tmp_path / "drift.json").read_text()
    assert not any(one in written for one in ("anna", "Reed", "ward 7"))


def test_no_word_of_a_text_is_written(house: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    texts = notes(tmp_path / "n.jsonl", 60, 12, first=300, secret=True)
    files = ["--out", f"csv={tmp_path / 'd.csv'}", "--out", f"junit={tmp_path / 'd.xml'}"]
    assert cli.run(["drift", "ckpt", "--texts", str(texts), "--reports", str(tmp_path / "r"), *files]) == 0
    streams = capsys.readouterr()
    written = [
        path.read_text() for path in (tmp_path / "r" / "drift.json", tmp_path / "d.csv", tmp_path / "d.xml")
    ]
    for text in (streams.out, streams.err, *written):
        assert SECRET not in text and not any(f" {word} " in text for word in WORDS[300:348])


# --- checkpoints --------------------------------------------------------------------------------------


def test_a_checkpoint_has_not_moved_from_itself(house: Path, tmp_path: Path) -> None:
    found = drift(house / "ckpt", house / "ckpt", reports=tmp_path, settings=QUICK)
    values = numbers(found)
    assert values["cka"] == pytest.approx(1) and values["loss_change"] == 0 and moved(found) == set()
    rows = [value for name, value in values.items() if name.startswith("row_movement")]
    assert rows and max(rows) < 1e-6
    assert found.documents["shown to both"] > FEWEST


def test_a_worse_checkpoint_is_an_alarm_and_a_better_one_is_none(house: Path, tmp_path: Path) -> None:
    better = drift(house / "ckpt", house / "longer", reports=tmp_path, settings=QUICK)
    worse = drift(house / "longer", house / "ckpt", reports=tmp_path, settings=QUICK)
    assert numbers(better)["loss_change"] < 0 < numbers(worse)["loss_change"]
    assert "loss_change" in moved(worse) and moved(better) == set()
    told = dict(lines(worse))
    assert "✕ worse" in told["loss change"] and told["worse"].startswith("loss_change")
    assert 0 < numbers(better)["cka"] < 1
    assert better.earlier_model is not None and better.earlier_model.digest != better.model.digest


def test_rows_that_moved_are_those_of_the_oracle() -> None:
    tokenizer = Tokenizer.load(None)
    old, new = small(tokenizer), small(tokenizer, seed=1)
    first, second = (one.get_input_embeddings().weight.detach().double().numpy() for one in (old, new))
    found = rows_moved(old, new)
    kept = np.flatnonzero(first.any(1))  # the row of padding is zero and points nowhere
    lengths = [np.linalg.norm(rows[kept], axis=1) for rows in (first, second)]
    cosine = (first[kept] * second[kept]).sum(1) / lengths[0] / lengths[1]
    assert found is not None and found[kept] == pytest.approx(1 - cosine, abs=1e-5)
    assert rows_moved(old, small(tokenizer, hidden=32)) is None


def test_pooled_vectors_do_not_depend_on_neighbours_and_come_in_order(house: Path) -> None:
    one = opened(house / "ckpt")
    rng = np.random.default_rng(0)
    windows = [rng.integers(10, 500, length) for length in (9, 30, 4, 17)]
    together = pooled(one.model, windows, one.tokenizer.pad, best_device())
    alone = [pooled(one.model, [ids], one.tokenizer.pad, best_device())[0] for ids in windows]
    assert together == pytest.approx(np.array(alone), abs=1e-4)


# --- earlier results ----------------------------------------------------------------------------------


def test_earlier_results_judge_in_place_of_documents(house: Path, tmp_path: Path) -> None:
    texts = notes(tmp_path / "n.jsonl", 60, 12, first=24)
    today = drift(house / "ckpt", texts=texts, reports=tmp_path, settings=QUICK)
    rng = np.random.default_rng(0)
    history = tmp_path / "history"

    def like(found: Drift, noise: float) -> Drift:
        noisy = replace(
            found,
            measurements=tuple(
                replace(m, value=m.value + noise * float(rng.normal()), low=None, high=None)
                if m.metric in earlier.JUDGED and m.value is not None
                else m
                for m in found.measurements
            ),
        )
        return replace(noisy, seal=seals.sealed_evidence(noisy.evidence, load_key()).seal)

    for day in range(FEWEST_EARLIER):
        write_json(history / f"{day:02}.json", like(today, 0.05))
    again = drift(house / "ckpt", texts=texts, baseline=history, reports=tmp_path / "r", settings=QUICK)
    assert again.judged_by == "earlier results" and moved(again) == set()
    assert any(m.metric == "p_documents" and m.value <= 0.05 for m in again.measurements)
    strange = notes(tmp_path / "s.jsonl", 60, 12, first=600)
    found = drift(house / "ckpt", texts=strange, baseline=history, reports=tmp_path / "r", settings=QUICK)
    assert moved(found)
    (history / "00.json").unlink()
    few = drift(house / "ckpt", texts=strange, baseline=history, reports=tmp_path / "r", settings=QUICK)
    assert {m.value for m in few.measurements if m.metric == "p"} == {None}
    told = lines(few)
    assert dict(told)["moved"].startswith("not known")
    assert sum("at least 19 are needed" in value for _, value in told) == 1  # said once


def test_a_result_that_was_changed_is_no_history(house: Path, tmp_path: Path) -> None:
    texts = notes(tmp_path / "n.jsonl", 60, 12)
    today = drift(house / "ckpt", texts=texts, reports=tmp_path / "r", settings=QUICK)
    write_json(tmp_path / "h" / "0.json", replace(today, measurements=today.measurements[1:]))
    with pytest.raises(InputError, match="did not seal this"):
        drift(house / "ckpt", texts=texts, baseline=tmp_path / "h", reports=tmp_path, settings=QUICK)


def test_the_first_unknown_token_ever_is_unusual(house: Path, tmp_path: Path) -> None:
    texts = notes(tmp_path / "n.jsonl", 60, 12)
    today = drift(house / "ckpt", texts=texts, reports=tmp_path, settings=QUICK)
    assert "unknown_change" not in numbers(today)
    first = next(m for m in today.measurements if m.metric == "vocabulary_js")
    new = replace(first, metric="unknown_change", value=0.2, low=None, high=None)
    rare = replace(today, measurements=(*today.measurements, new))
    found, note = earlier.judged(rare, [today] * FEWEST_EARLIER)
    by_name = {m.slice: m.value for m in found}
    assert "cannot be compared" not in note
    assert by_name["unknown_change"] <= 0.05 and by_name["vocabulary_js"] == 1


def test_results_of_other_settings_or_another_checkpoint_are_not_compared(
    house: Path, tmp_path: Path
) -> None:
    texts = notes(tmp_path / "n.jsonl", 60, 12)
    today = drift(house / "ckpt", texts=texts, reports=tmp_path, settings=QUICK)
    other = replace(today, model=replace(today.model, digest="0" * 64))
    settings = replace(today, settings={**today.settings, "documents": "79"})
    _, note = earlier.judged(today, [other, settings, today])
    assert note.startswith("Baseline: 1 earlier result; 2 others cannot be compared")


# --- the command --------------------------------------------------------------------------------------


def test_the_exit_code_is_that_of_the_policy_and_of_gate(
    house: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    same, other = house / "later-clean", notes(tmp_path / "b.jsonl", 80, 22, first=300)
    for texts, code, name in ((same, 0, "a"), (other, 10, "b")):
        reports = tmp_path / name
        prom = reports / "drift.prom"
        asked = ["drift", "ckpt", "--texts", str(texts), "--reports", str(reports), "--policy", "drift"]
        assert cli.run([*asked, "--out", f"prometheus={prom}"]) == code
        assert cli.run(["gate", str(reports / "drift.json"), "--policy", "drift", "--require-sealed"]) == code
        run = json.loads((reports / "drift.json").read_text())["run_id"]
        labels = f'run="{run}",attack="drift",metric="p",slice="vocabulary_js"'
        assert f"mlmguard_measurement{{{labels}}}" in prom.read_text()
    forged = (tmp_path / "b" / "drift.json").read_text().replace('"slice": "vocabulary_js"', '"slice": "v"')
    (tmp_path / "forged.json").write_text(forged)
    assert cli.run(["gate", str(tmp_path / "forged.json"), "--policy", "drift"]) == 2
    assert cli.run(["gate", str(tmp_path / "a" / "drift.json")]) == 2  # by base: no audit of anything
    assert cli.run(["verify", "ckpt", "--evidence", str(tmp_path / "a" / "drift.json")]) == 2
    told = capsys.readouterr()
    assert "vocabulary js" in told.out and "moved" in told.out
    assert "a result of drift, and base has no rule on it; expected --policy drift" in told.err
    assert "may not hold of what comes now" in " ".join(told.out.split())
    assert "released" not in told.out.partition("Gates of base")[0]


def test_a_model_that_has_learnt_nothing_is_inconclusive(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    tokenizer = Tokenizer.load(None)
    checkpoint.save_weights(tmp_path / "ckpt", small(tokenizer), tokenizer)
    old, new = notes(tmp_path / "o.jsonl", 80, 1), notes(tmp_path / "n.jsonl", 80, 2)
    asked = ["drift", str(tmp_path / "ckpt"), "--against", str(old), "--texts", str(new), "--policy", "drift"]
    assert cli.run([*asked, "--reports", str(tmp_path / "r")]) == 3
    told = " ".join(capsys.readouterr().out.split())
    assert "not shown to be better than word frequencies" in told and "audit" not in told


def refused(arguments: list[str], capsys: pytest.CaptureFixture, reports: Path) -> str:
    """The one line of a command that ends with 2 and writes nothing."""
    assert cli.run(["drift", *arguments, "--reports", str(reports), "-q"]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1 and not reports.exists(), told
    return told.err


def test_bad_input_is_one_line_and_leaves_nothing(
    house: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    texts, few = notes(tmp_path / "n.jsonl", 60, 5), notes(tmp_path / "few.jsonl", FEWEST - 1, 5)
    (tmp_path / "empty.jsonl").write_text('{"text": "  "}\n')
    tokenizer = Tokenizer.load(None)
    checkpoint.save_weights(tmp_path / "outside", small(tokenizer), tokenizer)
    own = tmp_path / "words"
    shutil.copytree(house / "ckpt", own)
    made = json.loads((own / "tokenizer.json").read_text())
    vocabulary = made["model"]["vocab"]
    first, second = WORDS[:2]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (own / "tokenizer.json").write_text(json.dumps(made))
    five = tmp_path / "five"
    shutil.copytree(house / "ckpt", five)
    made["model"]["vocab"] = {
        token: k for k, token in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    }
    (five / "tokenizer.json").write_text(json.dumps(made))
    cases = {
        "nothing to compare with": ["ckpt"],
        "--against is the text of one": ["ckpt", "longer", "--against", str(texts)],
        "19 documents with a token": ["ckpt", "--texts", str(few)],
        "no readable document": ["ckpt", "--texts", str(tmp_path / "empty.jsonl")],
        "no such folder or file": ["ckpt", "--texts", str(tmp_path / "nowhere")],
        "no such folder": ["ckpt", "--texts", str(texts), "--baseline", str(tmp_path / "nowhere")],
        "no result of": ["ckpt", "--texts", str(texts), "--baseline", str(five)],
        "no such folder, nor does a hub": ["./gone/away/x", "--texts", str(texts), "--against", str(texts)],
        "elsewhere: no such folder": ["./elsewhere", "--texts", str(texts)],
        "not at hand": [str(tmp_path / "outside"), "--texts", str(texts)],
        "two tokenizers": ["ckpt", str(own), "--texts", str(texts)],
        "5 entries, all of them special": [str(five), "--texts", str(texts), "--against", str(texts)],
        "--resamples": ["ckpt", "--texts", str(texts), "--resamples", "98"],
        "a report on a release": ["ckpt", "--texts", str(texts), "--out", "html=d.html"],
        "--documents": ["ckpt", "--texts", str(texts), "--documents", "39"],
    }
    for said, arguments in cases.items():
        assert said in refused(arguments, capsys, tmp_path / "reports"), said


# --- documents ----------------------------------------------------------------------------------------


def test_every_document_is_drawn_as_often_and_no_more_are_kept() -> None:
    rng, hits = np.random.default_rng(0), np.zeros(20)
    for _ in range(2000):
        sample = drawn(((str(k), "") for k in range(20)), 5, rng)
        assert len(sample.texts) == 5 and sample.met == 20
        hits[[int(text) for text in sample.texts]] += 1
    assert hits == pytest.approx(np.full(20, 500), abs=4 * np.sqrt(2000 * 0.25 * 0.75))
    assert max(map(len, drawn([("x" * 10**6, "")], 5, rng).texts)) < 20_000


def test_counts_are_those_of_a_loop() -> None:
    rows = [np.array([3, 1, 3]), np.array([0]), np.array([2, 2, 2, 1])]
    assert counts_of(rows, 5).toarray().tolist() == [[0, 1, 0, 2, 0], [1, 0, 0, 0, 0], [0, 1, 3, 0, 0]]
    with pytest.raises(InputError, match="nothing to compare"):
        drift(Path("ckpt"))
