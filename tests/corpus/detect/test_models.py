# ruff: noqa: E501 (labels, set by set)
"""Models that users have: every label mapped or named, whole words, long texts, and folders that are none."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from mlmguard.corpus.detect import finder as pii
from mlmguard.corpus.detect.model_labels import meaningless, type_of
from mlmguard.corpus.detect.models import pieces, place, recognizer
from mlmguard.errors import InputError
from mlmguard.types import LABEL_OF_NO_TYPE, not_looked_for
from tests.fixtures.folders import edit

FAMILIES: dict[str, tuple[str, str]] = {  # those that mean a type, and those that mean none
    "CoNLL-2003": ("PER LOC ORG", "MISC"),
    "OntoNotes": (
        "PERSON NORP FAC ORG GPE LOC DATE TIME",
        "CARDINAL EVENT LANGUAGE LAW MONEY ORDINAL PERCENT PRODUCT QUANTITY WORK_OF_ART",
    ),
    "WNUT-2017": ("corporation group location person", "creative-work product"),
    "ai4privacy": (
        "ACCOUNTNAME ACCOUNTNUMBER AGE BIC BITCOINADDRESS BUILDINGNUMBER CITY COMPANYNAME COUNTY CREDITCARDCVV "
        "CREDITCARDNUMBER DATE DOB EMAIL ETHEREUMADDRESS FIRSTNAME IBAN IP IPV4 IPV6 LASTNAME LITECOINADDRESS MAC "
        "MASKEDNUMBER MIDDLENAME NEARBYGPSCOORDINATE PASSWORD PHONEIMEI PHONENUMBER PIN PREFIX SECONDARYADDRESS SSN "
        "STATE STREET TIME URL USERNAME VEHICLEVIN VEHICLEVRM ZIPCODE GIVENNAME1 GIVENNAME2 LASTNAME3 SOCIALNUMBER "
        "IDCARD DRIVERLICENSE TEL BOD GEOCOORD POSTCODE TAXNUM COUNTRY SURNAME PASSPORTNUM",
        "AMOUNT CREDITCARDISSUER CURRENCY CURRENCYCODE CURRENCYNAME CURRENCYSYMBOL EYECOLOR GENDER HEIGHT JOBAREA "
        "JOBTITLE JOBTYPE ORDINALDIRECTION SEX USERAGENT",
    ),
    "OpenMed": (
        "account_number age api_key bank_routing_number biometric_identifier certificate_license_number city "
        "company_name coordinate country county credit_debit_card customer_id cvv date date_of_birth date_time "
        "device_identifier email employee_id fax_number first_name health_plan_beneficiary_number http_cookie ipv4 "
        "ipv6 last_name license_plate mac_address medical_record_number national_id password phone_number pin "
        "political_view postcode race_ethnicity religious_belief sexuality ssn state street_address swift_bic tax_id "
        "time unique_id url user_name vehicle_identifier",
        "blood_type education_level employment_status gender language occupation",
    ),
    "privacy-filter": (
        "account_number private_address private_date private_email private_person private_phone private_url secret",
        "",
    ),
    "i2b2": (
        "AGE BIOID CITY COUNTRY DATE DEVICE DOCTOR EMAIL FAX HEALTHPLAN HOSPITAL IDNUM LOCATION-OTHER MEDICALRECORD "
        "ORGANIZATION PATIENT PHONE STATE STREET URL USERNAME ZIP STAFF HOSP PATORG OTHERPHI HCW VENDOR ID LOC",
        "PROFESSION",
    ),
    "Rampart": (
        "GIVEN_NAME SURNAME EMAIL PHONE URL TAX_ID BANK_ACCOUNT ROUTING_NUMBER GOVERNMENT_ID PASSPORT DRIVERS_LICENSE "
        "BUILDING_NUMBER STREET_NAME SECONDARY_ADDRESS CITY STATE ZIP_CODE",
        "",
    ),
}  # fmt: skip
SCHEMES = {"alone": "{}", "BIO": "B-{} I-{}", "BIOES": "B-{} I-{} E-{} S-{}", "BILOU": "B-{} I-{} L-{} U-{}"}


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=list(SCHEMES))
@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_every_label_of_a_family_is_mapped_or_named(family: tuple[str, str], scheme: str) -> None:
    known, unknown = (
        [one.replace("{}", label) for label in its.split() for one in scheme.split()] for its in family
    )
    assert [label for label in known if type_of(label) is None] == []
    assert [label for label in unknown if type_of(label)] == []
    assert meaningless(["O", *known, *unknown]) == tuple(sorted(family[1].split()))


WORDS = [
    "[UNK]",
    "[PAD]",
    "[CLS]",
    "[SEP]",
    *"abcdefghijklmnopqrstuvwxyz",
    *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
]


def classifier(folder: Path, labels: list[str], of_letters: dict[str, str], positions: int = 64) -> Path:
    """A token classifier of letters that says ``of_letters[c]`` of every piece that is the letter c."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

    plain = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    plain.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=plain, **special).save_pretrained(folder)
    size = len(labels) + 1
    names = dict(enumerate(labels))
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=size, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=positions, id2label=names, label2id={v: k for k, v in names.items()},
    )  # fmt: skip
    model = BertForTokenClassification(config)
    with torch.no_grad():
        embeddings = model.bert.embeddings
        for one in (
            embeddings.position_embeddings,
            embeddings.token_type_embeddings,
            embeddings.word_embeddings,
        ):
            one.weight.zero_()
        for layer in model.bert.encoder.layer:  # which passes on what it is given
            for part in (layer.attention.output.dense, layer.output.dense):
                part.weight.zero_()
        model.classifier.weight.copy_(torch.eye(size)[: len(labels)] * 20)
        model.classifier.bias.zero_()
        for number, word in enumerate(WORDS):
            at = labels.index(of_letters.get(word.removeprefix("##"), "O"))
            embeddings.word_embeddings.weight[number, at] = 1.0
    model.save_pretrained(folder)
    return folder


def found(model: Path, text: str) -> list[tuple[str, str]]:
    return [(text[one.start : one.end], one.entity_type) for one in recognizer(str(model)).analyze(text, [])]


def test_half_a_word_is_a_whole_finding_and_neighbours_are_one(tmp_path: Path) -> None:
    model = classifier(
        tmp_path, ["O", "B-PER", "I-PER", "B-DATE"], {"x": "B-PER", "y": "I-PER", "d": "B-DATE"}
    )
    assert found(model, "abx of axb bya, o'xb") == [
        ("abx", "PERSON"),
        ("axb bya", "PERSON"),
        ("o'xb", "PERSON"),
    ]
    assert found(model, "ad/dd/bd at ax\nxa") == [
        ("ad/dd/bd", "DATE_TIME"),
        ("ax", "PERSON"),
        ("xa", "PERSON"),
    ]


@pytest.mark.parametrize("at", [0, 30, 61, 62, 63, 64, 120, 311, 598])
def test_a_name_is_found_wherever_a_long_text_is_cut(tmp_path: Path, at: int) -> None:
    model = classifier(tmp_path, ["O", "B-PER"], {"x": "B-PER"})
    words = ["ab"] * 600
    words[at : at + 2] = ["xab", "abx"]
    assert found(model, " ".join(words)) == [("xab abx", "PERSON")]


def test_what_is_found_does_not_depend_on_what_stands_beside_it(tmp_path: Path) -> None:
    model = classifier(tmp_path, ["O", "B-PER"], {"x": "B-PER"}, positions=16)
    assert len(found(model, "abx cd ef " * 300)) == 300


def test_labels_that_mean_nothing_are_named_in_the_coverage(tmp_path: Path) -> None:
    model = classifier(tmp_path, ["O", "B-PER", "B-MISC", "I-MISC", "MONEY"], {"x": "B-PER"})
    names = pii.Names(str(model))
    coverage = pii.coverage(names=names)
    assert [one.entity for one in coverage if one.status == LABEL_OF_NO_TYPE] == ["MISC", "MONEY"]
    assert {one.entity: one.name for one in coverage}["PERSON"] == "Hugging Face model"
    assert not {"MISC", "MONEY", "PERSON"} & not_looked_for(coverage)


def test_what_a_model_finds_is_redacted_by_type(tmp_path: Path) -> None:
    model = classifier(
        tmp_path, ["O", "medical_record_number", "date_of_birth"], {"x": "medical_record_number"}
    )
    text = "the number axb is on the card"
    (span,) = pii.finder(names=pii.Names(str(model))).find(text)
    assert (span.rule, text[span.start : span.end]) == ("MEDICAL_RECORD_NUMBER", "axb")


def _labels_of_nothing(folder: Path) -> Path:
    return classifier(folder, ["LABEL_0", "LABEL_1", "O"], {})


def _above(folder: Path) -> Path:
    classifier(folder / "it", ["O", "B-PER"], {})
    return folder


def _pickle(folder: Path) -> Path:
    classifier(folder, ["O", "B-PER"], {})
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return folder


def _file(folder: Path) -> Path:
    (folder / "it").write_text("x", "utf-8")
    return folder / "it"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda folder: folder / "gone-away", "no such folder"),
        (lambda folder: folder, "an empty folder"),
        (_file, "a file"),
        (_above, r"with one in 'it'.*--ner .*/it"),
        (_pickle, r"no model;.*save_pretrained\(safe_serialization=True\)"),
        (_labels_of_nothing, "labels that mean no type of personal data: LABEL_0, LABEL_1"),
        (lambda _: Path("en_core_web_nowhere"), "neither a folder nor an installed package.*spacy download"),
        (lambda _: Path("json"), "a package, and no spaCy model"),
    ],
)
def test_what_is_no_model_has_its_own_line(tmp_path: Path, made: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as told:
        recognizer(str(made(tmp_path)))
    assert "\n" not in str(told.value)


def test_an_installed_package_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "xx_core_tiny" / "xx_core_tiny-1.0.0"
    folder.mkdir(parents=True)
    (tmp_path / "xx_core_tiny" / "__init__.py").write_text("raise SystemExit", "utf-8")
    (folder / "meta.json").write_text("{}", "utf-8")
    (folder / "config.cfg").write_text("", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert place("xx_core_tiny") == folder
    assert "xx_core_tiny" not in sys.modules


@pytest.mark.parametrize("text", ["", "x" * 2500, "word " * 900, "a\n" * 1200, " " * 3000, "é " * 1000])
def test_pieces_cover_the_text_and_overlap(text: str) -> None:
    covered = 0
    for start, piece in pieces(text):
        assert text[start : start + len(piece)] == piece and 0 < len(piece) <= 1000
        assert start <= covered and (not covered or start < covered)
        covered = start + len(piece)
    assert covered == len(text)


def test_tokens_of_a_models_own_kind_are_asked_of_no_hub(tmp_path: Path) -> None:
    model = classifier(tmp_path, ["O", "B-PER"], {"x": "B-PER"})
    settings = json.loads((model / "config.json").read_text("utf-8"))
    settings["auto_map"] = {"AutoModelForTokenClassification": "ev.Model"}
    (model / "config.json").write_text(json.dumps(settings), "utf-8")
    (model / "ev.py").write_text("raise SystemExit('ran')", "utf-8")
    assert re.findall("PERSON", str(found(model, "abx")))  # it is read as what it is, and the code is not run


def test_a_model_that_answers_no_text_is_one_line_and_costs_no_document(tmp_path: Path) -> None:
    model = classifier(tmp_path, ["O", "B-PER"], {"x": "B-PER"})
    edit(model / "config.json", lambda config: config.update(chunk_size_feed_forward=7))
    with pytest.raises(InputError, match="fails on a text") as refused:
        recognizer(str(model))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["pipe", "device", "link out"])
def test_a_model_s_folder_holds_files_of_its_own_alone(tmp_path: Path, kind: str) -> None:
    (tmp_path / "elsewhere").write_text("x")
    folder = tmp_path / "model"
    (folder / "ner").mkdir(parents=True)
    (folder / "meta.json").write_text("{}", "utf-8")
    (folder / "config.cfg").write_text("", "utf-8")
    place = folder / "ner" / "model"
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("/dev/zero" if kind == "device" else tmp_path / "elsewhere")
    with pytest.raises(InputError, match="ner/model"):
        recognizer(str(folder))
