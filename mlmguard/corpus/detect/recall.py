"""How well each type is found, by language and kind of text: what ``benchmarks/pii_forms.py`` measured.

Labels, layouts and notes are held out from the rules. A type that is not in a table was not measured in that
language, and the coverage says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlmguard.corpus.detect.entities import Entity
from mlmguard.corpus.detect.installed import entity
from mlmguard.corpus.detect.languages import LANGUAGES

OUR_NETWORK = "NamesByNetwork"
"""Who finds names in a plain installation."""
WITH_STRONG = "NamesByNetworkAndRampart"
"""Who finds them where the extra ``names`` is installed."""
NAMES: Mapping[str, str] = {
    "PERSON": "0.86 (500/580; English sentences), 0.66 (311/470; English tweets)",
    "LOCATION": "0.80 (141/176; English sentences), 0.61 (45/74; English tweets)",
    "ORGANIZATION": "0.33 (31/93; English sentences), 0.21 (7/34; English tweets)",
}
NAMES_STRONG: Mapping[str, str] = {
    "PERSON": "0.91 (527/580; English sentences), 0.78 (366/470; English tweets)",
    "LOCATION": "0.90 (158/176; English sentences), 0.58 (43/74; English tweets)",
    "ORGANIZATION": "0.22 (20/93; English sentences), 0.21 (7/34; English tweets)",
}
"""What they find, by ``benchmarks/names.py``: in sentences whose templates it never saw, and in tweets."""
NETWORKS: Mapping[str, Mapping[str, str]] = {OUR_NETWORK: NAMES, WITH_STRONG: NAMES_STRONG}

_LABELLED = (
    "AGE", "DATE_OF_BIRTH", "EMAIL_ADDRESS", "HEALTH_PLAN_NUMBER", "MEDICAL_RECORD_NUMBER", "PHONE_NUMBER",
    "POSTAL_CODE", "PROFESSIONAL_NUMBER", "STREET_ADDRESS",
)  # fmt: skip
_IN_NOTES = tuple(one for one in _LABELLED if one not in ("AGE", "EMAIL_ADDRESS"))


def _of_300(types: tuple[str, ...], **fewer: int) -> Mapping[str, tuple[int, int]]:
    """All of 300 values of ``types`` were found, but for those with a number."""
    return {one: (fewer.get(one, 300), 300) for one in types}


Found = Mapping[str, Mapping[str, tuple[int, int]]]
"""Language -> type -> values found, and how many there were."""

# Labels and notes were written by who wrote the rules, though before them: the figures are of a text whose
# labels are the usual ones, and an upper end of what another hospital's are.
FORMS: Found = {
    "es": _of_300(_LABELLED),
    "de": _of_300(_LABELLED, PHONE_NUMBER=299, MEDICAL_RECORD_NUMBER=298),
    "fr": _of_300(
        _LABELLED, PHONE_NUMBER=298, EMAIL_ADDRESS=299, MEDICAL_RECORD_NUMBER=288, HEALTH_PLAN_NUMBER=275
    ),
    "it": _of_300(_LABELLED),
    "pt": _of_300(_LABELLED, MEDICAL_RECORD_NUMBER=289, PROFESSIONAL_NUMBER=283),
    "nl": _of_300(_LABELLED),
}
NOTES: Found = {
    "es": _of_300(_IN_NOTES, POSTAL_CODE=296),
    "de": _of_300(_IN_NOTES, MEDICAL_RECORD_NUMBER=298),
    "fr": _of_300(_IN_NOTES, HEALTH_PLAN_NUMBER=298),
    "it": _of_300(_IN_NOTES),
    "pt": _of_300(_IN_NOTES),
    "nl": _of_300(_IN_NOTES),
}
# ``benchmarks/pii_meddocan.py``: notes that others wrote and annotated.
ANNOTATED: Found = {
    "es": {
        "DATE_TIME": (576, 591),
        "HEALTH_PLAN_NUMBER": (197, 198),
        "MEDICAL_RECORD_NUMBER": (268, 270),
        "PHONE_NUMBER": (32, 33),
        "POSTAL_CODE": (378, 393),
        "PROFESSIONAL_NUMBER": (234, 234),
        "STREET_ADDRESS": (372, 413),
    }
}
_KINDS = (
    ("forms, JSON, tables, mails, logs", FORMS),
    ("clinical notes of templates", NOTES),
    ("clinical notes annotated by others", ANNOTATED),
)


def measured(language: str, type_: str) -> str:
    """Recall of ``type_`` in ``language``, with counts and kind of text; "" if it was not measured."""
    name = LANGUAGES[language].name
    found = [
        f"{hit / of:.2f} ({hit}/{of}; {name} {kind})"
        for kind, its in _KINDS
        for hit, of in [its.get(language, {}).get(type_, (0, 0))]
        if of
    ]
    return ", ".join(found)


def of_names(type_: str, looking: Iterable[str]) -> str:
    """Say how much of ``type_`` a network of ours among those ``looking`` finds; "" if not measured."""
    return "".join(table.get(type_, "") for name, table in NETWORKS.items() if name in looking)


def stated(row: Entity, languages: tuple[str, ...]) -> str:
    """What the coverage says of the type of ``row``: English first, then each language that was asked for."""
    others = [one for one in dict.fromkeys(languages) if one != "en"]
    said = [measured(one, row.name) or f"not measured in {LANGUAGES[one].name}" for one in others]
    if not any(measured(one, row.name) for one in others):
        return row.recall
    return "; ".join([row.recall if row.recall != "not measured" else "not measured in English", *said])


def measured_of(language: str, types: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``types`` whose recall was measured in ``language``."""
    if language == "en":
        return tuple(one for one in types if "English" in entity(one).recall)
    return tuple(one for one in types if measured(language, one))
