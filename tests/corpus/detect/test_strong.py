"""The strong detector of the extra ``names``: on what our network doubts, from files that were measured."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from mlmguard.corpus.detect import finder as pii
from mlmguard.corpus.detect import strong
from mlmguard.corpus.detect.strong import agreed, of_the_extra, sentences
from mlmguard.corpus.detect.tagger import read, shipped
from mlmguard.corpus.detect.whole_words import findings
from mlmguard.errors import InputError

needs_it = pytest.mark.skipif(not strong.installed(), reason="the extra `names` is not installed")
LETTER = (
    "We met at noon. Thank you for the report that Quillfeather Obadele sent.\nThe rest is prose as usual.\n"
)


@needs_it
def test_it_finds_at_least_what_our_network_finds() -> None:
    reading = read(LETTER, shipped())
    (name,) = of_the_extra().names(reading)
    assert LETTER[name[0] : name[1]] == "Quillfeather Obadele" and name[2] == "PERSON"
    coverage = {one.entity: one for one in pii.coverage(names=pii.STRONG)}
    assert coverage["PERSON"].name == "NamesByNetworkAndRampart" and "1.4.0" in coverage["PERSON"].version


@needs_it
def test_what_is_found_is_the_same_alone_and_in_a_long_text() -> None:
    filler = "nothing of interest was said about the weather and the crops. " * 40
    alone = {LETTER[a:b] for a, b, _, _ in of_the_extra().names(read(LETTER, shipped()))}
    text = f"{filler}\n{LETTER}\n{filler}"
    assert {text[a:b] for a, b, _, _ in of_the_extra().names(read(text, shipped()))} == alone


@needs_it
@pytest.mark.parametrize(
    "text", ["", "\ud800 Ann Lee \udfff", "Ann " * 3000, "ﷺ Ann\n" * 400, "A" * 5000, "\n" * 5000]
)
def test_odd_texts_end(text: str) -> None:
    for start, end, _, _ in of_the_extra().names(read(text, shipped())):
        assert 0 <= start < end <= len(text)


@needs_it
@pytest.mark.parametrize(
    "before, behind", [("Met  ", " at the harbour"), ("Thank ", ""), ("", " signed it today")]
)
def test_ordinary_words_beside_a_name_are_no_part_of_it(before: str, behind: str) -> None:
    for name in ("Wilhelmina Ostrander", "WILHELMINA OSTRANDER"):
        text = f"{before}{name}{behind}, who asked for the old map."
        found = [text[one.start : one.end] for one in pii.finder(names=pii.STRONG).find(text)]
        assert found == [name]


@needs_it
def test_sentences_in_letters_it_was_not_taught_are_not_its_business() -> None:
    text = "слово143 слово265 сказал он. " * 20 + "\n" + LETTER
    assert [text[a:b] for a, b, _, _ in of_the_extra().names(read(text, shipped()))] == [
        "Quillfeather Obadele"
    ]


@needs_it
def test_nothing_of_the_package_is_imported() -> None:
    program = (
        "import sys; from mlmguard.corpus.detect import finder as f;"
        "f.finder(names=f.STRONG).find('Dr. Ann Quillfeather came.');"
        "print(sorted(m for m in sys.modules if m.split('.')[0].startswith('arcjet')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@needs_it
def test_a_file_that_is_not_what_was_measured_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(strong.FILES, strong.MODEL, "0" * 64)
    of_the_extra.cache_clear()
    try:
        with pytest.raises(InputError, match=r"model_q4\.onnx: not the file that was measured.*pip install"):
            of_the_extra()
    finally:
        of_the_extra.cache_clear()


def test_a_scan_takes_it_where_it_is_and_the_run_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlmguard.scan import job
    from mlmguard.settings import ScanSettings

    for there in (True, False):
        monkeypatch.setattr(strong, "installed", lambda there=there: there)
        assert job.names(ScanSettings()) == (pii.STRONG if there else pii.OURS)
    assert pii.names_digest(pii.STRONG) != pii.names_digest(pii.OURS)
    assert job.names(ScanSettings(no_names=True)) == pii.NOBODY


def test_the_type_is_the_strong_ones_unless_ours_is_surer() -> None:
    theirs = [(0, 8, "PERSON", 0.6), (20, 25, "LOCATION", 0.9)]
    ours = [(4, 8, "LOCATION", 0.7), (20, 30, "ORGANIZATION", 1.0), (40, 45, "NRP", 0.9)]
    assert agreed(theirs, ours) == [
        (0, 8, "PERSON", 0.6), (20, 25, "LOCATION", 0.9),
        (4, 8, "PERSON", 0.7), (20, 30, "LOCATION", 1.0), (40, 45, "NRP", 0.9),
    ]  # fmt: skip
    assert agreed([(0, 8, "PERSON", 0.3)], [(0, 8, "ORGANIZATION", 1.0)]) == [
        (0, 8, "ORGANIZATION", 0.3), (0, 8, "ORGANIZATION", 1.0),
    ]  # fmt: skip


def _joined(text: str) -> Iterator[str]:
    return (text[start:end] for start, end in sentences(text))


@pytest.mark.parametrize(
    "text", ["", "a", "\n\n", "One is. Two was! Dr. Lee came.\nThree", "x" * 1700, "ab " * 900]
)
def test_sentences_are_the_text(text: str) -> None:
    assert "".join(_joined(text)) == text
    assert all(0 < len(one) <= 400 + len(re.findall(r"\s*\Z", one)[0]) for one in _joined(text))


def test_sentences_end_where_they_end() -> None:
    assert list(_joined("Dr. Lee came. She left.\nHello")) == ["Dr. Lee came. ", "She left.\n", "Hello"]


def test_a_word_of_which_no_piece_was_seen_is_no_finding() -> None:
    import numpy as np

    shares = np.array([[0.9, 0.0], [0.1, 0.3]], np.float32)
    assert findings("ab cd ef", [(0, 1), (3, 5)], shares, ["A", "B"], 0.5) == [(0, 2, "A", 0.9)]
    assert findings("ab cd ef", [(0, 1), (3, 5)], shares, ["A", "B"], 0.3, 3) == [(3, 5, "B", 0.4)]


def test_ideographs_are_words_by_themselves() -> None:
    import numpy as np

    text = "我叫张伟东。"
    places = [(at, at + 1) for at in range(len(text))]
    shares = np.array([[0.0], [0.1], [0.9], [0.9], [0.9], [0.0]], np.float32)
    assert findings(text, places, shares, ["PERSON"], 0.5) == [(2, 5, "PERSON", 0.9)]


def test_a_place_with_the_number_of_a_house_is_an_address() -> None:
    names = pii.finder(names=pii.OURS)
    for text in ("He lives at Lindenhofgasse 12 in Graz.", "The parcel went to 44 Rue Montmartre in Paris."):
        kinds = {text[one.start : one.end]: one.rule for one in names.find(text)}
        assert any(kind == "STREET_ADDRESS" for value, kind in kinds.items() if re.search(r"\d", value)), (
            kinds
        )
