"""Languages beside English: told, found by their words, counted; and nobody's numbers stay nobody's."""

from __future__ import annotations

import pytest

from mlmguard import settings
from mlmguard.corpus.detect import finder as detect
from mlmguard.corpus.detect import presidio, recall, reference
from mlmguard.corpus.detect.abroad import recognisers_abroad
from mlmguard.corpus.detect.entities import ENTITIES
from mlmguard.corpus.detect.folding import fold
from mlmguard.corpus.detect.identify import UNDETERMINED, language_of
from mlmguard.corpus.detect.installed import recognisers
from mlmguard.corpus.detect.languages import LANGUAGES
from mlmguard.corpus.detect.proving import prove
from tests.corpus.detect.variations import drawn

ALL = tuple(LANGUAGES)
SENTENCES = {
    "en": "Yesterday the whole family walked through the old park, and nobody knew when it would open.",
    "es": "Ayer toda la familia paseó por el viejo parque y nadie sabía cuándo abriría la nueva biblioteca.",
    "de": "Gestern ging die ganze Familie durch den alten Park, und niemand wusste, wann sie öffnet.",
    "fr": "Hier toute la famille a marché dans le vieux parc et personne ne savait quand ouvrirait l'école.",
    "it": "Ieri tutta la famiglia ha passeggiato nel vecchio parco e nessuno sapeva quando avrebbe aperto.",
    "pt": "Ontem toda a família passeou pelo velho parque e ninguém sabia quando abriria a nova biblioteca.",
    "nl": "Gisteren liep het hele gezin door het oude park en niemand wist wanneer de bibliotheek openging.",
    "pl": "Wczoraj cała rodzina spacerowała po starym parku i nikt nie wiedział, kiedy otworzą bibliotekę.",
    "ru": "Вчера вся семья гуляла по старому парку, и никто не знал, когда откроется новая библиотека.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_tells_its_language(language: str) -> None:
    assert language_of(SENTENCES[language]) == language


@pytest.mark.parametrize("text", ["", "MRN 4482913", "x = f(a[0], b) / 0x7f", "Kim, 12:30", "....."])
def test_too_little_text_is_undetermined(text: str) -> None:
    assert language_of(text) == UNDETERMINED


def test_a_long_document_is_told_by_samples_of_it() -> None:
    """An English head does not make a Spanish document English."""
    head = SENTENCES["en"] + "\n"
    assert language_of(head + "\n".join([SENTENCES["es"]] * 40)) == "es"


@pytest.mark.parametrize(
    "one", [r for code in ALL for r in recognisers_abroad((code,))], ids=lambda one: one.name
)
def test_each_recogniser_of_a_language_is_right_on_its_own_texts(one) -> None:
    assert prove(one) == ()
    assert one.type in ENTITIES


FOUND = {
    "es": (
        ("NHC: 368503. NASS: 26 63514095.", "MEDICAL_RECORD_NUMBER", "368503"),
        ("NHC: 368503. NASS: 26 63514095.", "HEALTH_PLAN_NUMBER", "26 63514095"),
        ("Médico: Ann Lee NºCol: 28 28 70973.", "PROFESSIONAL_NUMBER", "28 28 70973"),
        ("| NHC | Cama |\n|---|---|\n| 368503 | B2 |", "MEDICAL_RECORD_NUMBER", "368503"),
        ("vive en la calle embajadores, 12, 3 A de Madrid", "STREET_ADDRESS", "calle embajadores, 12, 3 A"),
        ("se la localiza en el 612 34 56 78", "PHONE_NUMBER", "612 34 56 78"),
        ("ingresó en mayo del 2016", "DATE_TIME", "mayo del 2016"),
        ("DNI 55555555K", "ES_NIF", "55555555K"),
        ("FECHA DE NACIMIENTO: 03/03/1946", "DATE_OF_BIRTH", "03/03/1946"),
        ("num_historia_clinica=368503", "MEDICAL_RECORD_NUMBER", "368503"),
    ),
    "de": (
        ("Versichertennummer lautet A123456789", "HEALTH_PLAN_NUMBER", "A123456789"),
        ('{"patientenId": "448291"}', "MEDICAL_RECORD_NUMBER", "448291"),
        ("wohnt Unter den Eichen 21, 10115 Berlin", "STREET_ADDRESS", "Unter den Eichen 21, 10115"),
        ("ein 93-jähriger Mann", "AGE", "93"),
        ("geb. am 4. Mai 1961", "DATE_OF_BIRTH", "4. Mai 1961"),
    ),
    "fr": (
        ("N° de sécurité sociale : 2 85 05 78 006 084 41", "FR_NIR", "2 85 05 78 006 084 41"),
        ("Née le 4 août 1961", "DATE_OF_BIRTH", "4 août 1961"),
        ("demeurant 3 bis, boulevard Gambetta, 69003 Lyon", "STREET_ADDRESS", "3 bis, boulevard Gambetta"),
    ),
    "it": (
        ("Cartella clinica n. 448291", "MEDICAL_RECORD_NUMBER", "448291"),
        ("L'indirizzo è Via Garibaldi 12", "STREET_ADDRESS", "Via Garibaldi 12"),
    ),
    "pt": (
        ("N.º de utente: 123 456 789", "HEALTH_PLAN_NUMBER", "123 456 789"),
        ("o telemóvel é 912 345 678", "PHONE_NUMBER", "912 345 678"),
    ),
    "nl": (
        ("Patiënt-ID: 448291", "MEDICAL_RECORD_NUMBER", "448291"),
        ("BSN 111222333", "NL_BSN", "111222333"),
        ("postcode 3511 AB", "POSTAL_CODE", "3511 AB"),
    ),
}


@pytest.mark.parametrize(
    ("language", "text", "rule", "value"),
    [
        pytest.param(code, *case, marks=[pytest.mark.slow] if code != "es" else [])
        for code, cases in FOUND.items()
        for case in cases
    ],
)
def test_words_of_a_language_are_looked_behind_where_it_is_asked_for(
    language: str, text: str, rule: str, value: str
) -> None:
    at = text.index(value)
    found = [s for s in detect.finder(languages=(language,)).find(text) if s.rule == rule]
    assert any(s.start <= at and s.end >= at + len(value) for s in found)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_with_all_languages_numbers_that_are_nobodys_stay(seed: int) -> None:
    finder = detect.finder(languages=ALL)
    assert [v.text for v in drawn("nobodys", seed, 80) if finder.find(v.text)] == []


@pytest.mark.slow
@pytest.mark.parametrize("language", ALL)
def test_prose_of_a_language_holds_nothing(language: str) -> None:
    assert detect.finder(languages=(language,)).find(SENTENCES[language]) == []


def test_findings_with_a_language_are_stock_presidios() -> None:
    ours = detect.finder(languages=("es",))
    engine = reference.reference(ours.recognizers())
    for text, _, _ in [case for cases in FOUND.values() for case in cases]:
        folded = fold(text).text
        found = reference.analyze_as_reference(engine, folded, detect.THRESHOLD)
        assert ours.stock(folded) == found


def test_the_coverage_says_in_which_language_a_type_was_measured() -> None:
    of = {d.entity: d for d in detect.coverage(languages=("es",))}
    assert "English" in of["MEDICAL_RECORD_NUMBER"].recall and "Spanish" in of["MEDICAL_RECORD_NUMBER"].recall
    assert "MedicalRecordNumberSpanish" in of["MEDICAL_RECORD_NUMBER"].name
    assert of["POSTAL_CODE"].recall.startswith("not measured in English")
    assert "POSTAL_CODE" not in {d.entity for d in detect.coverage()}
    assert of["ES_NIF"].recall == "not measured"
    assert all("Spanish" not in d.recall for d in detect.coverage())


@pytest.mark.slow
def test_what_was_measured_has_a_rule_made_for_it_or_presidios() -> None:
    for code in ALL:
        known = set(detect.supported_entities(languages=(code,)))
        for its in (recall.FORMS, recall.NOTES, recall.ANNOTATED):
            assert set(its.get(code, {})) <= known


def test_a_language_brings_the_identifiers_of_its_country() -> None:
    more = set(detect.supported_entities(languages=("es",))) - set(detect.supported_entities())
    assert {"ES_NIF", "ES_NIE", "ES_PASSPORT", "POSTAL_CODE"} <= more
    assert {r.type for r in recognisers()} <= set(detect.supported_entities(languages=("es",)))
    assert presidio.of_countries().keys() >= {"es", "de", "it"}


def test_what_can_be_asked_for_is_what_there_is() -> None:
    assert settings.LANGUAGES == ALL
