# ruff: noqa: E501 (sentences of other languages)
"""The network that finds names: its sums against a plain loop, its weights by digest, and what it sees."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from mlmguard.corpus.detect import finder as pii
from mlmguard.corpus.detect import tagger
from mlmguard.corpus.detect.tagger import CLASSES, WEIGHTS, WEIGHTS_SHA256, WORD, names, read, shipped


def found(text: str) -> list[tuple[str, str]]:
    return [(text[start:end], kind) for start, end, kind, _ in names(text, shipped())]


def test_the_weights_are_those_of_the_package() -> None:
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() == WEIGHTS_SHA256
    assert WEIGHTS.stat().st_size < 8_000_000


def test_other_weights_than_those_of_the_package_are_refused(tmp_path, monkeypatch) -> None:
    changed = bytearray(WEIGHTS.read_bytes())
    changed[len(changed) // 2] ^= 1
    (tmp_path / "names.npz").write_bytes(changed)
    monkeypatch.setattr(tagger, "WEIGHTS", tmp_path / "names.npz")
    with pytest.raises(pii.InputError, match=r"names\.npz"):
        shipped.__wrapped__()


def by_a_loop(words: list[str]) -> list[list[float]]:
    """The probabilities one word and one product at a time."""
    one = shipped()

    def even(row: list[float]) -> list[float]:
        size = math.sqrt(sum(x * x for x in row) / len(row) + 1e-6)
        return [x / size for x in row]

    def alone(word: str, line: int) -> list[float]:
        pieces = [one._table[row].tolist() for row in tagger.pieces(word)]
        true = [
            row.tolist()
            for row, is_so in zip(one._facts, tagger.facts([(word, line)], one.lists)[0])
            if is_so
        ]
        return even(
            [math.fsum(p) / math.sqrt(len(pieces)) + math.fsum(f) for p, f in zip(zip(*pieces), zip(*true))]
        )

    rows = [alone(word, line) for word, line in zip(words, tagger.regimes(words))]
    for number, (weight, bias) in enumerate(one._layers):
        there = [even(row) for row in rows] if number else rows
        nothing = [0.0] * len(there[0])
        grown = []
        for at in range(len(rows)):
            around = [
                *(there[at - 1] if at else nothing),
                *there[at],
                *(there[at + 1] if at + 1 < len(rows) else nothing),
            ]
            grown.append(
                [
                    max(0.0, math.fsum(a * w for a, w in zip(around, column)) + b)
                    for column, b in zip(weight.T.tolist(), bias.tolist())
                ]
            )
        rows = [[a + b for a, b in zip(old, new)] for old, new in zip(rows, grown)] if number else grown
    out = []
    for row in rows:
        logits = [
            math.fsum(a * w for a, w in zip(row, column)) + b
            for column, b in zip(one._out[0].T.tolist(), one._out[1].tolist())
        ]
        weights = [math.exp(x - max(logits)) for x in logits]
        out.append([x / sum(weights) for x in weights])
    return out


def test_the_sums_are_those_of_a_plain_loop() -> None:
    words = WORD.findall("Dear Ann Lee,\nMr. Okonkwo of Uppsala called.")
    np.testing.assert_allclose(shipped().probabilities(words), by_a_loop(words), atol=1e-3)


def test_a_word_depends_on_no_word_further_away_than_the_reach() -> None:
    words = [
        "the",
        "letter",
        "from",
        "Ann",
        "Lee",
        "came",
        "to",
        "Boston",
        "last",
        "week",
        "with",
        "all",
        "the",
        "others",
    ]
    other = [*words[:-1], "Quillfeather"]
    same = len(words) - 1 - tagger.REACH
    np.testing.assert_allclose(
        shipped().probabilities(words)[:same], shipped().probabilities(other)[:same], atol=1e-6
    )


def test_a_long_text_is_read_in_pieces_and_gives_the_same_names(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(f"Ann Lee met Björn Svensson in Boston on day {day}." for day in range(60))
    whole = names(text, shipped())
    assert len(whole) >= 120
    monkeypatch.setattr(tagger, "_AT_ONCE", 37)
    pieces = names(text, shipped())
    # a name that lies across the end of a piece is two
    assert {(a, b) for a, b, _, _ in whole if all(a != c and b != d for c, d, _, _ in pieces)} == set()


def test_what_was_read_before_changes_nothing() -> None:
    text = "Ann Lee of Uppsala wrote to Mercy Hospital."
    before = names(text, shipped())
    names("Quite another text about Peter Brook and Jane Rivers in Lyon.", shipped())
    assert names(text, shipped()) == before


@pytest.mark.parametrize(
    ("text", "name", "kind"),
    [
        ("Dear Ann Lee,\nthank you.", "Ann Lee", "PERSON"),
        ("Patient: Björn Svensson, 44", "Björn Svensson", "PERSON"),
        ("From: Martínez, José <j@example.org>", "José", "PERSON"),
        ("the nurse, Oluwaseun Adeyemi, called", "Oluwaseun Adeyemi", "PERSON"),
        ("my name is maria gonzalez and i am late", "maria gonzalez", "PERSON"),
        ("SIGNED BY JOHN HARRIS", "JOHN HARRIS", "PERSON"),
        ("Herr Müller wohnt in München.", "München", "LOCATION"),
        ("She was born in Boston.", "Boston", "LOCATION"),
        ("He works for Siemens.", "Siemens", "ORGANIZATION"),
        ("She is a German citizen.", "German", "NRP"),
    ],
)  # fmt: skip
def test_names_are_found(text: str, name: str, kind: str) -> None:
    assert (name, kind) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "Dear Sir or Madam,\nplease find the invoice attached.\nKind regards",
        "HISTORY OF PRESENT ILLNESS: The patient denies chest pain.",
        "write to ann.lee@example.org or see https://example.org/Ann/Lee",
        "import numpy as np\ndef main() -> None:",
        "<PERSON> lives in <LOCATION>.",
        "skype: kim.brook77",
        "see host.ann.example",
        "",
        "\n\n 12 + 13 = 25 ;;; --- \u200b",
    ],
)
def test_what_is_nobodys_is_left(text: str) -> None:
    assert found(text) == []


def test_a_name_within_what_a_pattern_finds_is_what_the_pattern_says() -> None:
    text = "611 N MOUNTAIN CREEK RD STE 777"
    (span,) = pii.finder(names=pii.OURS).find(text)
    assert (span.rule, span.start, span.end) == ("STREET_ADDRESS", 0, len(text))


def test_classes_and_findings_have_the_same_names() -> None:
    assert set(CLASSES[1:]) <= set(pii.supported_entities(pii.OURS))
    assert set(CLASSES[1:]).isdisjoint(pii.supported_entities())
    coverage = {one.entity: one for one in pii.coverage(names=pii.OURS)}
    for kind in CLASSES[1:]:
        assert coverage[kind].status == "available" and coverage[kind].version.startswith("mlmguard names ")
    assert all(coverage[kind].recall != "not measured" for kind in ("PERSON", "LOCATION", "ORGANIZATION"))


def test_the_gate_loses_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network at every word, beside the words that may be a name's and their neighbours."""
    text = "\n".join(
        f"Dear {first} {last},\nthe letter of {first} van der {last} came to Boston. "
        f"my name is {first.lower()} {last.lower()}\n"
        f"SIGNED: {first.upper()} {last.upper()}, University of Lyon"
        for first in ("Ann", "Björn", "Oluwaseun", "Mark")
        for last in ("Lee", "Quillfeather", "Hope", "García")
    )
    behind = names(text, shipped())
    whole = tagger.Tagger.probabilities
    monkeypatch.setattr(tagger.Tagger, "probabilities", lambda self, words, everywhere: whole(self, words))
    assert names(text, shipped()) == behind and len(behind) > 60


@pytest.mark.parametrize(
    "text", ["слово143 слово265 слово9 " * 30, "今日は良い天気です。" * 20, "كتاب قلم مدرسة " * 20]
)
def test_words_of_letters_without_lists_are_no_names_unless_they_have_capitals(text: str) -> None:
    assert names(text, shipped()) == []


FOREIGN = {
    "es": "El paciente ingresó ayer con dolor abdominal intenso y fiebre. Se realizó una ecografía y se pautó tratamiento.",
    "de": "Der Patient klagt über Kopfschmerzen und Fieber. Die Untersuchung der Lunge war unauffällig, sagt man.",
    "fr": "Le patient a été admis hier soir. La douleur est vive et le traitement continue chez lui avec repos.",
}
NAMED = {
    "es": ("Atendida por la doctora {} ayer tarde, quien pautó un tratamiento y pidió una analítica.", "Carmen Ruiz"),
    "de": ("Der Befund wurde gestern mit Herrn {} besprochen und auf der Station abgelegt.", "Hans Müller"),
    "fr": ("Le compte rendu a été relu par {} hier soir et sera envoyé au médecin.", "Jean Dupont"),
}  # fmt: skip


@pytest.mark.parametrize("language", FOREIGN)
def test_words_of_another_language_are_no_names_and_names_in_it_are_found(language: str) -> None:
    find = pii.finder(names=pii.OURS).find
    assert [one.rule for one in find(FOREIGN[language])] == []
    text, name = NAMED[language]
    found = [(one.rule, text.format(name)[one.start : one.end]) for one in find(text.format(name))]
    assert ("PERSON", name) in found and len(found) == 1


def test_a_short_line_and_english_prose_are_read_as_english() -> None:
    for text in ("Fiebre y dolor", "It was said by Quillfeather that the patient came home and slept well."):
        assert read(text, shipped()).is_english()
    assert not read(FOREIGN["de"], shipped()).is_english()
