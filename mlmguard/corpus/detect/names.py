# ruff: noqa: E501 (an expression is read across)
"""Names, places and organisations: by our own network, by a local model that the user gives, or, weakly, by words
around a name.

A model of the user's is a folder: one that spaCy wrote, a Hugging Face token classifier or a GLiNER model, these two with
safetensors. Nothing is downloaded and no code of the folder is run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from presidio_analyzer import EntityRecognizer, RecognizerResult

from mlmguard.corpus.detect.recall import OUR_NETWORK
from mlmguard.corpus.detect.recogniser import Pattern, Recogniser
from mlmguard.corpus.detect.tagger import CLASSES, VERSION, names, shipped
from mlmguard.errors import InputError
from mlmguard.loading import loader

_TYPES = {
    "PERSON": "PERSON", "PER": "PERSON", "LOCATION": "LOCATION", "LOC": "LOCATION", "GPE": "LOCATION",
    "FAC": "LOCATION", "ORGANIZATION": "ORGANIZATION", "ORG": "ORGANIZATION", "NORP": "NRP", "NRP": "NRP",
}  # fmt: skip
"""Labels of the usual models -> our types; other labels are left alone."""
_SPACY_SCORE = 0.85  # spaCy gives none; Presidio's own number
_LABELS = {"person": "PERSON", "location": "LOCATION", "organization": "ORGANIZATION"}
"""What a GLiNER model, which knows no labels of its own, is given as labels -> our types."""
_GLINER_SCORE = 0.3  # the least one it reports; Presidio's own number
_PIECE = 1000  # characters a pass: fewer tokens than the 512 that most models take

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


def recognizer(folder: str) -> EntityRecognizer:
    """Read the model in ``folder`` as one of Presidio's recognisers; :class:`InputError` if it is none."""
    path = Path(folder)
    if (path / "meta.json").is_file() and (path / "config.cfg").is_file():
        return _Model(path, *_spacy(path))
    if (path / "gliner_config.json").is_file():
        return _Model(path, *_gliner(path))
    if (path / "config.json").is_file() and any(path.glob("*.safetensors")):
        return _Model(path, *_transformers(path))
    raise InputError(
        folder,
        "no model",
        "a folder that spaCy, Hugging Face or GLiNER wrote, with safetensors",
        "check --ner",
    )


@lru_cache(maxsize=4)
def digest(folder: str) -> str:
    """Return what the model is, by its files: twelve hexadecimal digits."""
    whole = hashlib.sha256()
    for path in sorted(p for p in Path(folder).rglob("*") if p.is_file()):
        whole.update(str(path.relative_to(folder)).encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:12]


_Tagger = Callable[[str], Iterable[tuple[int, int, str, float]]]
"""A piece of text -> (start, end, label, score)."""


class _Model(EntityRecognizer):
    """A model's labels as findings."""

    def __init__(self, path: Path, kind: str, labels: Iterable[str], tag: _Tagger) -> None:
        types = sorted({_TYPES[label] for label in map(_plain, labels) if label in _TYPES})
        if not types:
            raise InputError(str(path), "labels for no names", f"at least one of {', '.join(sorted(_TYPES))}")
        self._tag = tag
        super().__init__(supported_entities=types, name=f"{kind} model", version=digest(str(path)))

    def load(self) -> None:
        """Loaded already."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[Any]:
        return [
            RecognizerResult(_TYPES[_plain(label)], start + low, start + high, score)
            for start, piece in _pieces(text)
            for low, high, label, score in self._tag(piece)
            if _plain(label) in _TYPES and high > low
        ]


class Network(EntityRecognizer):
    """The detector of the package itself: see ``tagger``."""

    def __init__(self) -> None:
        self._tagger = shipped()
        super().__init__(supported_entities=sorted(CLASSES[1:]), name=OUR_NETWORK, version=VERSION)

    def load(self) -> None:
        """Loaded already."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[Any]:
        return [
            RecognizerResult(kind, start, end, score) for start, end, kind, score in names(text, self._tagger)
        ]


def _plain(label: str) -> str:
    return re.sub(r"^[BILUES]-", "", label).upper()


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """(start, text) of pieces of at most ``_PIECE`` characters, cut at white space where there is some."""
    start = 0
    while start < len(text):
        end = min(len(text), start + _PIECE)
        if end < len(text):
            space = max(text.rfind(c, start + _PIECE // 2, end) for c in "\n ")
            end = space + 1 if space > 0 else end
        yield start, text[start:end]
        start = end


def _spacy(path: Path) -> tuple[str, list[str], _Tagger]:
    try:
        import spacy
    except ImportError:
        raise InputError(str(path), "spaCy is not installed", "it", "pip install spacy") from None
    model = spacy.load(path)
    pipes: list[Any] = [model.get_pipe(name) for name in ("ner", "entity_ruler") if name in model.pipe_names]
    labels = [label for pipe in pipes for label in pipe.labels]

    def tag(piece: str) -> Iterator[tuple[int, int, str, float]]:
        return ((e.start_char, e.end_char, e.label_, _SPACY_SCORE) for e in model(piece).ents)

    return "spaCy", labels, tag


def _transformers(path: Path) -> tuple[str, list[str], _Tagger]:
    from transformers import pipeline

    model = loader.model(path, loader.TAGGER).model
    tokenizer = loader.tokenizer(path)
    run: Any = pipeline(
        "token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="simple"
    )

    def tag(piece: str) -> Iterator[tuple[int, int, str, float]]:
        return ((e["start"], e["end"], e["entity_group"], round(float(e["score"]), 4)) for e in run(piece))

    return "Hugging Face", list(model.config.label2id), tag


def _gliner(path: Path) -> tuple[str, list[str], _Tagger]:
    model = loader.gliner(path)

    def tag(piece: str) -> Iterator[tuple[int, int, str, float]]:
        found = model.predict_entities(piece, list(_LABELS), threshold=_GLINER_SCORE)
        return ((e["start"], e["end"], _LABELS[e["label"]], round(float(e["score"]), 4)) for e in found)

    return "GLiNER", list(_LABELS.values()), tag
