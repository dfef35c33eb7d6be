"""A model of the user's that finds names, and whatever else its labels say: spaCy, Hugging Face, GLiNER.

It is a folder, with safetensors for the latter two, or the name of an installed spaCy package. Nothing is
downloaded and no code of a folder is run.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mlmguard.artifacts import files_below, sha256_file
from mlmguard.corpus.detect.lean import EntityRecognizer, RecognizerResult
from mlmguard.corpus.detect.model_labels import meaningless, type_of
from mlmguard.corpus.detect.proving import THRESHOLD
from mlmguard.corpus.detect.spacy_settings import refuse_foreign
from mlmguard.corpus.detect.whole_words import Found, findings
from mlmguard.errors import InputError
from mlmguard.loading import folder as folders
from mlmguard.loading import loader

_KINDS = "a folder that spaCy, Hugging Face or GLiNER wrote, with safetensors, or an installed spaCy package"
_SPACY_SCORE = 0.85  # spaCy gives none; Presidio's own number
_OF_GRAMMAR = ("tagger", "morphologizer", "parser", "senter", "attribute_ruler", "lemmatizer")
_GLINER_ASKED = (
    "person", "location", "organization", "nationality", "street address", "postal code", "date of birth",
    "age", "email", "phone number", "ssn", "passport", "medical record number", "health plan number",
)  # fmt: skip
"""What a GLiNER model, which knows no labels of its own, is given as labels."""
_GLINER_SCORE = 0.3  # the least one it reports; Presidio's own number
_PIECE, _OVERLAP = 1000, 200  # characters a pass, and of the pass before
_TOKENS, _TOKENS_AGAIN = 510, 64  # the same in tokens, where we cut ourselves

_TRIED = ("a", "one two three four five six seven")
"""Texts, nobody's, that a model is shown before a corpus is."""

_Tag = Callable[[str], Iterable[Found]]
"""A text -> what the model finds in it, by our types."""


def recognizer(name: str) -> EntityRecognizer:
    """Read the model ``name``, a folder or an installed package, as one of Presidio's recognisers.

    Raises :class:`InputError` if it is none, or has labels of no type of ours.
    """
    path = place(name)
    given = Path(name).is_dir()
    if given:  # what is installed may be links to the cache of whoever installed it
        folders.refuse_leaving(path)
    if _is_spacy(path):
        if given:
            refuse_foreign(path)
        return _Model(path, "spaCy", *_spacy(path))
    if (path / "gliner_config.json").is_file():
        return _Model(path, "GLiNER", *_gliner(path))
    return _Model(path, "Hugging Face", *_transformers(path))


def place(name: str) -> Path:
    """Find the folder of the model ``name``; :class:`InputError` where there is none, by what is there."""
    path = Path(name)
    if path.is_dir():
        if _is_model(path):
            return path
        within = sorted(one.name for one in path.iterdir() if one.is_dir() and _is_model(one))
        if within:
            found = f"no model itself, but with one in {within[0]!r}"
            raise InputError(f"--ner {name}", found, "the folder of the model", f"--ner {path / within[0]}")
        if not any(path.iterdir()):
            raise InputError(f"--ner {name}", "an empty folder", _KINDS)
        raise InputError(f"--ner {name}", "no model", _KINDS, _missing(path))
    if path.exists():
        raise InputError(f"--ner {name}", "a file", _KINDS)
    if re.fullmatch(r"[a-z]\w*", name):
        return _package(name)
    raise InputError(f"--ner {name}", "no such folder", _KINDS)


def _is_spacy(path: Path) -> bool:
    return (path / "meta.json").is_file() and (path / "config.cfg").is_file()


def _is_model(path: Path) -> bool:
    weights = (path / "config.json").is_file() and any(path.glob("*.safetensors"))
    return _is_spacy(path) or (path / "gliner_config.json").is_file() or weights


def _missing(path: Path) -> str:
    """What would make a model of a folder that has half of one."""
    if (path / "config.json").is_file():
        return "save it again with save_pretrained(safe_serialization=True)"
    if any(path.glob("*.safetensors")):
        return "put its config.json beside the weights"
    return ""


def _package(name: str) -> Path:
    """The folder of a spaCy model that is installed; the package itself is not imported."""
    spec = find_spec(name)
    if spec is None:
        raise InputError(
            f"--ner {name}", "neither a folder nor an installed package", _KINDS,
            f"python -m spacy download {name}",
        )  # fmt: skip
    for folder in map(Path, spec.submodule_search_locations or ()):
        for one in sorted(folder.iterdir()):
            if one.is_dir() and _is_spacy(one):
                return one
    raise InputError(f"--ner {name}", "a package, and no spaCy model", _KINDS)


@lru_cache(maxsize=4)
def digest(name: str) -> str:
    """Return what the model is, by its files: twelve hexadecimal digits."""
    whole, folder = hashlib.sha256(), place(name)
    for path in files_below(folder):
        if "__pycache__" not in path.parts:
            whole.update(os.fsencode(path.relative_to(folder)))
            whole.update(bytes.fromhex(sha256_file(path)))
    return whole.hexdigest()[:12]


class _Model(EntityRecognizer):
    """What a model finds, by our types. ``ignored`` are those of its labels that mean none."""

    def __init__(self, path: Path, kind: str, labels: Iterable[str], tag: _Tag) -> None:
        known = list(labels)
        types = sorted({type_ for one in known if (type_ := type_of(one))})
        if not types:
            found = (
                f"labels that mean no type of personal data: {', '.join(meaningless(known)[:5]) or 'none'}"
            )
            raise InputError(
                f"--ner {path}", found[:120], "labels such as PER, LOC, EMAIL, as B-PER or alone"
            )
        self._tag, self.ignored = tag, meaningless(known)
        super().__init__(supported_entities=types, name=f"{kind} model", version=digest(str(path)))

    def load(self) -> None:
        """Loaded already."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[Any]:
        return [RecognizerResult(type_, start, end, score) for start, end, type_, score in self._tag(text)]


def _in_pieces(text: str, tag: Callable[[str], Iterable[tuple[int, int, str, float]]]) -> Iterator[Found]:
    """What ``tag`` finds in overlapping pieces of ``text``, by labels that mean something."""
    for start, piece in pieces(text):
        for low, high, label, score in tag(piece):
            type_ = type_of(label)
            if type_ and high > low:
                yield start + low, start + high, type_, score


def pieces(text: str) -> Iterator[tuple[int, str]]:
    """(start, text) of pieces of at most ``_PIECE`` characters, cut at white space where there is some.

    Each begins before the end of the one before it, so that a name over the cut stands whole in one of them.
    """
    start = 0
    while True:
        end = min(len(text), start + _PIECE)
        if end < len(text):
            end = _space(text, start + _PIECE // 2, end) or end
        if end > start:
            yield start, text[start:end]
        if end == len(text):
            return
        start = _space(text, end - _OVERLAP, end - _OVERLAP // 2) or end - _OVERLAP


def _space(text: str, low: int, high: int) -> int:
    """The place behind the last white space between two places; 0 without any."""
    return max(text.rfind(c, low, high) for c in "\n ") + 1


def _spacy(path: Path) -> tuple[list[str], _Tag]:
    try:
        import spacy
    except ImportError:
        raise InputError(f"--ner {path}", "spaCy is not installed", "it", "pip install spacy") from None
    model = loader.guarded(
        lambda: spacy.load(path), f"--ner {path}", "a spaCy model that does not load",
        "one that was made with the installed version", "`python -m spacy validate` says which versions fit",
    )  # fmt: skip
    pipes: list[Any] = [model.get_pipe(name) for name in ("ner", "entity_ruler") if name in model.pipe_names]
    labels = [label for pipe in pipes for label in pipe.labels]
    if "entity_ruler" not in model.pipe_names:  # its patterns can ask for what these write
        model.select_pipes(disable=[one for one in _OF_GRAMMAR if one in model.pipe_names])

    def tag(piece: str) -> Iterator[tuple[int, int, str, float]]:
        return ((e.start_char, e.end_char, e.label_, _SPACY_SCORE) for e in model(piece).ents)

    return labels, lambda text: _in_pieces(text, tag)


def _transformers(path: Path) -> tuple[list[str], _Tag]:
    model, tokenizer = loader.model(path, loader.TAGGER).model, loader.tokenizer(path)
    if not tokenizer.is_fast:
        raise InputError(
            f"--ner {path}",
            "a tokenizer that does not say where its tokens stand",
            "a folder with tokenizer.json",
        )
    model.eval().requires_grad_(False)
    labels = [label for _, label in sorted(model.config.id2label.items())]
    of_columns = [type_of(label) for label in labels]
    types = sorted({one for one in of_columns if one})
    into = np.array([[one == type_ for type_ in types] for one in of_columns], np.float32)
    positions = getattr(model.config, "max_position_embeddings", None) or _TOKENS + 2
    length = min(_TOKENS, positions - 2, tokenizer.model_max_length)

    def tag(text: str) -> list[Found]:
        windows = tokenizer(
            text, truncation=True, max_length=length, stride=min(_TOKENS_AGAIN, length // 4),
            return_overflowing_tokens=True, return_offsets_mapping=True, return_special_tokens_mask=True,
        )  # fmt: skip
        places: list[tuple[int, int]] = []
        shares: list[np.ndarray[Any, np.dtype[np.float32]]] = []
        for number, ids in enumerate(windows["input_ids"]):
            row = tokenizer.pad({"input_ids": [ids]}, return_tensors="pt")
            logits = model(**row).logits[0].numpy()
            share = np.exp(logits - logits.max(1, keepdims=True))
            share = (share / share.sum(1, keepdims=True)) @ into
            special = windows["special_tokens_mask"][number]
            for at, (start, end) in enumerate(windows["offset_mapping"][number]):
                if end > start and not special[at]:
                    places.append((start, end))
                    shares.append(share[at])
        if not places:
            return []
        order = sorted(range(len(places)), key=places.__getitem__)  # windows share tokens, and both count
        in_order = np.stack([shares[at] for at in order])
        return findings(text, [places[at] for at in order], in_order, types, THRESHOLD)

    # a model that can be loaded may still answer nothing: it would cost every document
    found, expected = "a model that fails on a text", "one that takes texts of any length"
    loader.guarded(lambda: [tag(text) for text in _TRIED], f"--ner {path}", found, expected)
    return labels, tag


def _gliner(path: Path) -> tuple[list[str], _Tag]:
    model = loader.gliner(path)

    def tag(piece: str) -> Iterator[tuple[int, int, str, float]]:
        found = model.predict_entities(piece, list(_GLINER_ASKED), threshold=_GLINER_SCORE)
        return ((e["start"], e["end"], e["label"], round(float(e["score"]), 4)) for e in found)

    return list(_GLINER_ASKED), lambda text: _in_pieces(text, tag)
