# ruff: noqa: E501 (an expression is read across)
"""Names, places and organisations: by our own network, and, weakly, by words around a name."""

from __future__ import annotations

import re
from typing import Any

from mlmguard.corpus.detect.foreign import listed
from mlmguard.corpus.detect.lean import EntityRecognizer, RecognizerResult
from mlmguard.corpus.detect.recall import OUR_NETWORK, WITH_STRONG
from mlmguard.corpus.detect.recogniser import Pattern, Recogniser
from mlmguard.corpus.detect.strong import FOUND, Strong, agreed
from mlmguard.corpus.detect.strong import VERSION as STRONG_VERSION
from mlmguard.corpus.detect.tagger import CLASSES, VERSION, read, shipped

# Capitals and letters of Latin script with all their marks, one character or two: a name ends where its word does.
_CAPITAL = r"[A-ZÀ-ÖØ-ÞĀĂĄĆĈĊČĎĐĒĔĖĘĚĜĞĠĢĤĦĨĪĬĮİĴĶĹĻĽĿŁŃŅŇŊŌŎŐŒŔŖŘŚŜŞŠŢŤŦŨŪŬŮŰŲŴŶŸŹŻŽƠƯȘȚẠẢẤẦẨẪẬẮẰẲẴẶẸẺẼẾỀỂỄỆỈỊỌỎỐỒỔỖỘỚỜỞỠỢỤỦỨỪỬỮỰỲỴỶỸ]"
_LETTER = r"(?:[^\W\d_]|[\u0300-\u036f]|['’-](?=[^\W\d_]))"
_WORD = rf"{_CAPITAL}{_LETTER}+(?!\w)"
_NAME = rf"{_WORD}(?:[ ]+(?:{_CAPITAL}\.|{_WORD}|de|van|von|der|den|la|di|da|bin|al|el)){{0,3}}(?<![ ](?:de|der|den|la|van|von|di|da|bin|al|el))"
_VERBS = (  # in a line of capitals every word looks like a name
    r"(?:CAME|COME|WAS|IS|ARE|WERE|HAS|HAD|HAVE|DID|WILL|WOULD|CAN|COULD|MAY|MUST|SAID|SAYS|SAW|SEES|WENT|GOES|CALLED|CALLS|WROTE|"
    r"ASKED|REPORTS|REPORTED|STATES|STATED|PRESENTS|PRESENTED|DENIES|DENIED|AND|OR|OF|AT|IN|ON|TO|FOR|FROM|WITH|BY|WHO)\b"
)
_FIRST_NAMES = (  # the most frequent of the US census of 1990, and none that is a word of another kind
    "James|John|Robert|Michael|William|David|Richard|Joseph|Thomas|Charles|Christopher|Daniel|Matthew|Anthony|"
    "Donald|Steven|Paul|Andrew|Joshua|Kenneth|Kevin|Brian|George|Edward|Ronald|Timothy|Jason|Jeffrey|Ryan|"
    "Mary|Patricia|Jennifer|Linda|Elizabeth|Barbara|Susan|Jessica|Sarah|Karen|Nancy|Lisa|Margaret|Betty|Sandra|"
    "Ashley|Kimberly|Emily|Donna|Michelle|Carol|Amanda|Dorothy|Melissa|Deborah|Stephanie|Rebecca|Laura|Helen"
)

CUED_NAME = Recogniser(
    entity="PERSON",
    name="NameByCue",
    patterns=(
        Pattern("after a title", rf"\b(?:Mrs?|Ms|Miss|Mx|Dr|Prof|Nurse|Sir|Madam)\b\.?[ ]+\K{_NAME}", 0.6),
        Pattern(
            "after a title in capitals",
            rf"\b(?:MRS?|MS|MISS|DR|PROF|NURSE)\b\.?[ ]+\K{_WORD}(?:[ ]+(?!{_VERBS}){_WORD}){{0,2}}",
            0.6,
        ),
        Pattern(
            "after a greeting",
            rf"\b(?:Dear|Hi|Hello)[ ]+\K(?!Sirs?\b|Madam\b|All\b|Team\b){_NAME}(?=[,:!\n])",
            0.5,
        ),
        Pattern("after the word", rf"\b(?:[Nn]ame|[Pp]atient|[Ss]igned|[Bb]y):[ \t]+\K{_NAME}", 0.5),
        Pattern("first name and surname", rf"\b(?:{_FIRST_NAMES})[ ]+(?:[A-Z]\.[ ]+)?{_WORD}", 0.5),
    ),
    finds=(
        "Seen by Dr. «Quillfeather» today",
        "Dear «Ann Lee»,\nthank you",
        "Patient: «Omar van Dyke»",
        "then «Mary Q. Poppins» flew",
        "Ms «Nguyễn Thị Lan» came",
        "Dr «Müller-Marsh» came",
        "MR «BROOK», LATER",
        "MS «ANN BROOK» CAME",
        "Mr «O'Neill» came",
    ),
    leaves=("Dear Sir, thank you", "the patient was well", "Mary had a lamb", "Dr. no"),
)


class Network(EntityRecognizer):
    """The detector of the package itself (see ``tagger``), with the ``strong`` one where that is installed."""

    def __init__(self, strong: Strong | None = None) -> None:
        self._tagger, self._strong = shipped(), strong
        types, name, version = {*CLASSES[1:], _STREET}, OUR_NETWORK, VERSION
        if strong is not None:
            types, name, version = {*types, *FOUND}, WITH_STRONG, f"{VERSION} + {STRONG_VERSION}"
        super().__init__(supported_entities=sorted(types), name=name, version=version)

    def load(self) -> None:
        """Loaded already."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[Any]:
        reading = read(text, self._tagger)
        found = reading.names()
        if not found and self._strong is None:
            return []
        if not reading.is_english():
            found = [name for one in found if (name := listed(one, text))]
        elif self._strong is not None:
            found = agreed(self._strong.names(reading), found)
        return [
            RecognizerResult(_street_or(kind, text[start:end]), start, end, score)
            for start, end, kind, score in found
        ]


_STREET = "STREET_ADDRESS"
_HOUSE = re.compile(r"\s\d{1,4}[a-zA-Z]?$|^\d{1,4}[a-zA-Z]?\s")


def _street_or(kind: str, name: str) -> str:
    """What ``kind`` of name it is: a place that begins or ends with the number of a house is an address."""
    return _STREET if kind == "LOCATION" and _HOUSE.search(name) else kind
