"""Entity types, one row each: what it is, why it matters, how bad a leak is, how well it is found.

A recogniser of an installed package brings the row of a type that is new (``Recogniser.entity``). Which types
a policy requires stands in the policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlmguard.corpus.detect import invent

SEVERITIES = ("low", "medium", "high")


@dataclass(frozen=True)
class Entity:
    """A kind of personal value: all facts about the kind, and nothing of how it is found."""

    name: str  # "EMAIL_ADDRESS"
    what: str = "a value of a type that its recogniser does not describe"
    why: str = "whoever added its recogniser looks for it"
    severity: str = "medium"  # of one leaked value by itself: one of SEVERITIES
    recall: str = "not measured"  # share found, counts, language and kind of the texts
    surrogate: invent.Invent = field(default=invent.same_shape, repr=False)
    by_shape: bool = False  # a bare number can look like it: the words around decide where two types overlap
    looked_for: bool = True  # False: reviewers look for it and nothing here finds it; the coverage says so
    harmless_in_a_name: bool = False  # it may stay in the path of a document ("notes.md" looks like a host)

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity {self.severity!r} is none of {', '.join(SEVERITIES)}")


def _on_forms(found: int) -> str:
    """What ``benchmarks/pii_forms.py`` finds of 300 values, labels and layouts held out from the rules."""
    return f"{found / 300:.2f} ({found}/300; English forms, JSON, tables, mails, logs)"


# Recall of street addresses is that on the labelled sentences of presidio-research, where every part of an
# address is looked for.
_ROWS = (
    Entity(
        "AGE",
        "a person's age",
        "ages over 89 single people out; with a place and a date lower ones do",
        recall=_on_forms(300),
        surrogate=invent.age,
    ),
    Entity(
        "API_KEY",
        "a key of a service",
        "whoever reads it acts as its owner until it is revoked",
        severity="high",
        recall=_on_forms(300),
    ),
    Entity(
        "CREDIT_CARD",
        "a payment card number with a valid check digit",
        "it can be charged",
        severity="high",
        recall=_on_forms(294),
        surrogate=invent.with_luhn,
        by_shape=True,
    ),
    Entity("CRYPTO", "the address of a wallet", "every payment to and from it is public", severity="high"),
    Entity(
        "DATE_OF_BIRTH",
        "a date of birth",
        "with sex and ZIP code it singles out most people",
        severity="high",
        recall=_on_forms(300),
        surrogate=invent.date,
    ),
    Entity(
        "DATE_TIME",
        "a date or time",
        "dates of admission, discharge and death lead to a person",
        severity="low",
        surrogate=invent.date,
        harmless_in_a_name=True,
    ),
    Entity(
        "DEVICE_ID",
        "the serial number of a device",
        "that of an implant names its patient",
        recall=_on_forms(300),
    ),
    Entity(
        "EMAIL_ADDRESS",
        "an e-mail address",
        "it reaches one person and often holds the name",
        recall=_on_forms(300),
        surrogate=invent.email,
    ),
    Entity(
        "HEALTH_PLAN_NUMBER",
        "the number of an insured person",
        "it leads to claims and diagnoses",
        severity="high",
        recall=_on_forms(300),
    ),
    Entity(
        "HIGH_ENTROPY_ID",
        "a long run of random letters and digits",
        "a token, a session or a record's key: whoever has it stands for somebody",
    ),
    Entity(
        "IBAN_CODE",
        "an international account number with a valid check",
        "it names its holder and can be debited",
        severity="high",
        recall=_on_forms(300),
        surrogate=invent.iban,
    ),
    Entity(
        "IP_ADDRESS",
        "a network address",
        "it names a household or a device at a time",
        recall=_on_forms(300),
        surrogate=invent.ip,
    ),
    Entity(
        "LOCATION",
        "a town, county or other place",
        "whatever is smaller than a state identifies, says HIPAA",
        surrogate=invent.city,
        looked_for=False,
    ),
    Entity(
        "MAC_ADDRESS", "a hardware address", "it follows one device wherever it goes", recall=_on_forms(300)
    ),
    Entity(
        "MEDICAL_LICENSE",
        "the licence of a physician",
        "it names the physician",
        severity="high",
        by_shape=True,
    ),
    Entity(
        "MEDICAL_RECORD_NUMBER",
        "the number of a chart",
        "it leads back into the chart",
        severity="high",
        recall=_on_forms(300),
    ),
    Entity(
        "NRP",
        "nationality, religion or politics",
        "a special category under GDPR article 9",
        looked_for=False,
    ),
    Entity(
        "ORGANIZATION",
        "an employer, hospital or firm",
        "a small one names its people",
        surrogate=invent.company,
        looked_for=False,
    ),
    Entity(
        "PASSPORT",
        "the number of a passport",
        "it names its holder at every border",
        severity="high",
        recall=_on_forms(300),
    ),
    Entity(
        "PERSON",
        "a person's name",
        "the first identifier anyone looks for; no pattern finds names",
        surrogate=invent.person,
        looked_for=False,
    ),
    Entity(
        "PHONE_NUMBER",
        "a telephone or fax number",
        "it reaches one person",
        recall=_on_forms(289),
        surrogate=invent.phone,
        by_shape=True,
    ),
    Entity(
        "POSTAL_CODE",
        "a postal code, but for American ones",
        "with a date of birth and sex it singles out most people",
    ),
    Entity(
        "PRIVATE_KEY",
        "a private key in PEM form",
        "whoever reads it can sign and decrypt as its owner",
        severity="high",
        surrogate=invent.private_key,
    ),
    Entity(
        "STREET_ADDRESS",
        "a street with a house number",
        "it names a household",
        recall="0.29 (309/1051; English sentences, each part of an address)",
        surrogate=invent.street,
    ),
    Entity(
        "PROFESSIONAL_NUMBER",
        "the number under which a professional is registered",
        "public registers give the name for it",
        severity="medium",
        recall=_on_forms(292),
    ),
    Entity(
        "REFERENCE_NUMBER",
        "the number of an order, a booking, a meeting or a case",
        "whoever serves it sees the person behind it",
        severity="low",
        recall=_on_forms(300),
    ),
    Entity(
        "UK_NHS",
        "a number of the British health service with a valid check",
        "it leads to a patient's record",
        severity="high",
    ),
    Entity(
        "URL",
        "a web address",
        "it can lead to a person's page, portal or session",
        severity="low",
        recall=_on_forms(300),
        surrogate=invent.url,
        harmless_in_a_name=True,
    ),
    Entity(
        "URL_CREDENTIALS",
        "an address with a password in it",
        "whoever reads it can log in",
        severity="high",
        surrogate=invent.url,
    ),
    Entity(
        "US_BANK_NUMBER", "an American account number", "it names its holder", severity="high", by_shape=True
    ),
    Entity("US_DRIVER_LICENSE", "an American driving licence", "it names its holder", severity="high"),
    Entity("US_ITIN", "an American taxpayer number", "it names one person", severity="high"),
    Entity("US_PASSPORT", "an American passport number", "it names one person", severity="high"),
    Entity(
        "US_SSN",
        "an American social security number",
        "it names one person for life",
        severity="high",
        recall=_on_forms(300),
    ),
    Entity(
        "US_ZIP_CODE", "an American postal code", "five digits with a date of birth single out most people"
    ),
    Entity(
        "UUID",
        "a random identifier",
        "it links records of one person across systems",
        severity="low",
        harmless_in_a_name=True,
    ),
    Entity("VEHICLE_ID", "a plate or chassis number", "it names the owner", recall=_on_forms(294)),
)

# What a person has one of for life or for years; Presidio has recognisers for them (``--country``).
_OF_COUNTRIES = {
    "AU_MEDICARE": "an Australian Medicare number",
    "AU_TFN": "an Australian tax file number",
    "CA_SIN": "a Canadian social insurance number",
    "DE_FUEHRERSCHEIN": "a German driving licence",
    "DE_HEALTH_INSURANCE": "a German health insurance number",
    "DE_ID_CARD": "a German identity card",
    "DE_PASSPORT": "a German passport number",
    "DE_SOCIAL_SECURITY": "a German social insurance number",
    "DE_TAX_ID": "a German tax number",
    "ES_NIE": "a Spanish number of a foreign resident",
    "ES_NIF": "a Spanish tax number",
    "ES_PASSPORT": "a Spanish passport number",
    "FR_NIR": "a French social security number",
    "FI_PERSONAL_IDENTITY_CODE": "a Finnish personal identity code",
    "IN_AADHAAR": "an Indian Aadhaar number",
    "IN_PAN": "an Indian permanent account number",
    "IN_PASSPORT": "an Indian passport number",
    "IN_VOTER": "an Indian voter's number",
    "IT_DRIVER_LICENSE": "an Italian driving licence",
    "IT_FISCAL_CODE": "an Italian tax code",
    "IT_IDENTITY_CARD": "an Italian identity card",
    "IT_PASSPORT": "an Italian passport number",
    "KR_DRIVER_LICENSE": "a Korean driving licence",
    "KR_FRN": "a Korean number of a foreign resident",
    "KR_PASSPORT": "a Korean passport number",
    "KR_RRN": "a Korean resident registration number",
    "NG_NIN": "a Nigerian national identification number",
    "NL_BSN": "a Dutch citizen service number",
    "PH_PASSPORT": "a Philippine passport number",
    "PH_TIN": "a Philippine taxpayer number",
    "PH_UMID": "a Philippine multi-purpose identity number",
    "PL_PESEL": "a Polish PESEL number",
    "PT_NIF": "a Portuguese tax number",
    "SE_PERSONNUMMER": "a Swedish personal number",
    "SG_NRIC_FIN": "a Singaporean identity number",
    "TH_TNIN": "a Thai national identification number",
    "TR_NATIONAL_ID": "a Turkish identity number",
    "UK_DRIVING_LICENCE": "a British driving licence",
    "UK_NINO": "a British national insurance number",
    "UK_PASSPORT": "a British passport number",
    "US_HEALTH_INSURANCE_MEMBER_ID": "the number of a member of an American health plan",
    "US_MBI": "an American Medicare beneficiary number",
    "ZA_DRIVER_LICENSE": "a South African driving licence",
    "ZA_ID_NUMBER": "a South African identity number",
    "ZA_INCOME_TAX_NUMBER": "a South African tax number",
    "ZA_PASSPORT": "a South African passport number",
}

ENTITIES: Mapping[str, Entity] = {
    row.name: row
    for row in (
        *_ROWS,
        *(
            Entity(name, what, "it names one person, for years or for life", "high")
            for name, what in _OF_COUNTRIES.items()
        ),
    )
}
"""Entity type -> its row, for every type that mlmguard itself describes."""
