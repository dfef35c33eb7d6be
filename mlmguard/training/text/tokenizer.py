"""The tokenizer of a run, and whether the claim may rest on it.

A vocabulary learnt from private text is a release of its own: an ε that covers only the weights would be a
false claim. A private run therefore takes a tokenizer that is public by path or by name, or the small one
that ships with this package, learnt from CPython's own documentation by :func:`learn_public` and pinned here
by digest.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlmguard.artifacts import text_of, write_json
from mlmguard.errors import InputError
from mlmguard.loading import loader

PUBLIC = Path(__file__).parent / "public_tokenizer"
PUBLIC_SHA256 = "52d1fda1915bbbfbf3491778eb41a4472a9a8720a64c5f1fd70aac6a7c2581c0"
PUBLIC_VOCABULARY = 2048

_SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


NO_WORD = -1
"""The word number of a token that belongs to none."""


class Encoded(NamedTuple):
    """One text of T tokens, without special tokens.

    A word is what the tokenizer takes for one where there are spaces; in a script without them every token is
    a word of its own, or the word would be the whole text.
    """

    ids: list[int]
    offsets: NDArray[np.int64]  # (T, 2) where each token stands in the text, in characters, end exclusive
    words: NDArray[np.int64]  # (T,) number of the word each token belongs to, NO_WORD for none


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """A Hugging Face tokenizer, and what training and audits need of it, read once."""

    hugging_face: Any
    size: int  # one more than the largest id
    mask_id: int  # -1 for a causal model's tokenizer that has no [MASK]
    special_ids: frozenset[int]  # ids that no ordinary token has: special ones, and gaps
    cls: int  # begins a window: [CLS], or a causal model's token for the begin of a text
    sep: int  # ends one: [SEP], or the token for the end of a text
    pad: int
    gaps: frozenset[int] = frozenset()  # ids below the largest that no token has
    added: Mapping[int, tuple[int, ...]] = field(default_factory=dict)  # new id -> ids of its pieces before

    @classmethod
    def of(cls, hugging_face: Any, *, causal: bool = False) -> Tokenizer:
        """Read ``hugging_face``; ``causal``: the tokenizer of a model that predicts the next token.

        Raises :class:`InputError` for one without the tokens that mask, frame and pad a window.
        """
        mask = hugging_face.mask_token_id
        if causal:
            first, last = hugging_face.bos_token_id, hugging_face.eos_token_id
            known = [token for token in (first, last) if token is not None]
            if not known:
                raise InputError(
                    "the tokenizer",
                    "no token begins or ends a text",
                    "the tokenizer of a causal language model",
                )
            pad = hugging_face.pad_token_id if hugging_face.pad_token_id is not None else known[-1]
            frame = (known[0], known[-1], pad)
        else:
            frame = (hugging_face.cls_token_id, hugging_face.sep_token_id, hugging_face.pad_token_id)
            if mask is None or None in frame:
                raise InputError(
                    "the tokenizer",
                    "no [MASK] token" if mask is None else "no [CLS], [SEP] or [PAD] token",
                    "the tokenizer of a masked language model",
                )
        entries = frozenset(hugging_face.get_vocab().values())
        size = 1 + max(entries, default=-1)
        gaps = frozenset(range(size)) - entries
        special = frozenset(hugging_face.all_special_ids)
        if entries <= special:
            raise InputError(
                "the tokenizer",
                f"{len(entries)} entries, all of them special",
                "a vocabulary",
                "get the file that holds it: tokenizer.json, vocab.txt, vocab.json or spiece.model",
            )
        return cls(hugging_face, size, -1 if mask is None else int(mask), special | gaps, *frame, gaps)

    @classmethod
    def load(cls, name: str | None, *, causal: bool = False) -> Tokenizer:
        """Load the tokenizer in a folder, by hub name, or (None) the public one of this package.

        Raises :class:`InputError` when it is missing, damaged, or lacks the tokens that :meth:`of` needs.
        """
        return cls.of(_hugging_face(name, masked=not causal), causal=causal)

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"Tokenizer({self.size} entries)"

    @property
    def knows_words(self) -> bool:
        """It says which token belongs to which word, and where in the text it stands (tokenizer.json)."""
        return bool(getattr(self.hugging_face, "is_fast", False))

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """Every id that a token has, ascending."""
        return np.setdiff1d(np.arange(self.size), sorted(self.gaps))

    def entries(self) -> dict[str, int]:
        """Return every token of the vocabulary with its id."""
        return dict(self.hugging_face.get_vocab())

    def is_shipped(self) -> bool:
        """Whether it is the one of the package, entry by entry: whatever it holds comes from public text."""
        return self.entries() == Tokenizer.load(None).entries()

    def tokens(self, ids: Sequence[int] | None = None) -> list[str]:
        """Return the tokens with these ids, in order, "" for a gap; by default all of them."""
        wanted = list(range(self.size)) if ids is None else list(ids)
        return [token or "" for token in self.hugging_face.convert_ids_to_tokens(wanted)]

    def encode(self, texts: Iterable[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens and without truncation."""
        listed = list(texts)
        if not listed:  # which the tokenizers of transformers do not take
            return []
        batch = self._batch(listed)
        return [list(ids) for ids in batch["input_ids"]]

    def encode_with_places(self, texts: Sequence[str]) -> list[Encoded]:
        """Return the same with the place and the word of each token; only of a tokenizer that knows words."""
        if not texts:
            return []
        batch = self._batch(list(texts), return_offsets_mapping=True)
        found = []
        for row, text in enumerate(texts):
            places = np.array(batch["offset_mapping"][row], dtype=np.int64).reshape(-1, 2)
            words = [NO_WORD if word is None else word for word in batch.word_ids(row)]
            apart = _without_spaces(text, places)
            found.append(Encoded(list(batch["input_ids"][row]), places, _apart(np.array(words), apart)))
        return found

    def _batch(self, texts: list[str], **more: bool) -> Any:
        """``texts`` encoded. A stranger's tokenizer may panic over one: its words are never shown."""
        try:
            return self.hugging_face(
                texts, add_special_tokens=False, return_attention_mask=False, verbose=False, **more
            )
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as error:  # a panic of Rust is no Exception
            found = f"it breaks on a text ({type(error).__name__})"
            raise InputError("the tokenizer", found, "one that reads any text", "name another") from None

    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of how texts become tokens."""
        own = self.hugging_face
        how = own.backend_tokenizer.to_str() if own.is_fast else repr(sorted(own.get_vocab().items()))
        return hashlib.sha256(how.encode("utf-8", "surrogatepass")).hexdigest()

    def save(self, folder: Path) -> None:
        """Write it to ``folder`` as Hugging Face does."""
        self.hugging_face.save_pretrained(folder)

    def differs_from(self, model: str) -> str:
        """Say how ids mean something else here than to ``model``, a folder or name; "" if none does.

        Two vocabularies of one size load without complaint, and train a model on other words than it knows.
        However a tokenizer is stored, it is compared id by id, and so are the tokens that frame and mask. One
        of them may have more entries than the other. Text is read alike where a few words are that differ in
        what tokenizers do before they look anything up: case, accents, digits, other scripts.
        """
        own = Tokenizer.load(model, causal=self.mask_id < 0)
        here, there = self.tokens(), own.tokens()
        apart = [k for k, (one, other) in enumerate(zip(here, there)) if one and other and one != other]
        if apart:
            of = f"{len(apart):,} of {min(self.size, own.size):,} ids"
            return f"{of} mean other tokens (the first is {apart[0]})"
        for name in ("mask_id", "cls", "sep", "pad"):
            if getattr(self, name) != getattr(own, name):
                return f"another token is its {name.removesuffix('_id')} token"
        for text in _READ_ALIKE:
            if self.encode([text]) != own.encode([text]):
                return f"the same entries, but it reads {text!r} as other ones"
        return ""

    def with_words(self, path: str) -> Tokenizer:
        """The same with the words in the file ``path``, one a line, as entries of their own; known ones stay.

        Raises :class:`InputError` for a file that holds none, more than one word on a line, or a tokenizer
        that words cannot be added to.
        """
        from tokenizers import AddedToken

        lines = text_of(Path(path), "a word a line").splitlines()
        words = list(dict.fromkeys(word for line in lines if (word := line.strip())))
        for number, line in enumerate(lines, 1):
            if len(line.split()) > 1:
                raise InputError(f"--add-tokens {path}: line {number}", "more than one word", "a word a line")
        pieces = dict(zip(words, self.encode(words)))
        new = [word for word in words if len(pieces[word]) > 1 or set(pieces[word]) & self.special_ids]
        if not new:
            raise InputError(f"--add-tokens {path}", "no word that the tokenizer does not know", "new words")
        other = copy.deepcopy(self.hugging_face)
        other.add_tokens([AddedToken(word, single_word=True, lstrip=True) for word in new])
        vocabulary = other.get_vocab()
        ids = {word: vocabulary.get(word, -1) for word in new}
        if sorted(ids.values()) != list(range(self.size, self.size + len(new))):
            raise InputError(
                "--add-tokens", "the tokenizer gives new words ids that are not free", "ids without gaps"
            )
        return replace(Tokenizer.of(other), added={ids[word]: tuple(pieces[word]) for word in new})


def _hugging_face(name: str | None, *, masked: bool = True) -> Any:
    if name is None:
        found = digest(PUBLIC / "tokenizer.json")
        if found != PUBLIC_SHA256:
            raise InputError(
                "the shipped tokenizer",
                f"digest {found[:12]}…",
                f"{PUBLIC_SHA256[:12]}…",
                "install mlmguard again",
            )
        name = str(PUBLIC)
    tokenizer = loader.tokenizer(name)
    if masked and tokenizer.mask_token_id is None:
        raise InputError(
            f"tokenizer {name}", "it has no mask token", "the tokenizer of a masked language model"
        )
    return tokenizer


_READ_ALIKE = ("The Patient", "naïve Café", "10/1994", "头痛 患者", "don't re-read it")


#: Letters of scripts that are written without spaces between words: Thai, Lao, Tibetan, Burmese, Khmer,
#: Tai Le and Tai Tham, kana, and the ideographs of Chinese and Japanese.
_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf"
    "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff]+"
)


def _without_spaces(text: str, places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(T,) which tokens hold letters of a script without spaces.

    By tokens and not by a segmenter: none of the libraries that know Chinese, Japanese and Thai words ships
    one rule for all of them, and what is hidden has to be the same on every machine.
    """
    inside = np.zeros(len(places), dtype=bool)
    for found in _SPACELESS.finditer(text):
        inside |= (places[:, 0] < found.end()) & (places[:, 1] > found.start())
    return inside


def _apart(words: NDArray[np.int64], apart: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The numbers of ``words``, with a new one for each token that is ``apart``."""
    words = words.astype(np.int64)
    words[apart] = words.max(initial=NO_WORD) + 1 + np.arange(int(apart.sum()))
    return words


def digest(file: Path) -> str:
    """Hexadecimal SHA-256 of a tokenizer file; "" when it is not there."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def learn(texts: Iterable[str], vocabulary: int, letters: Iterable[str] = ()) -> Tokenizer:
    """Return a lower-casing WordPiece tokenizer learnt from ``texts``, every digit a token of its own.

    Single digits keep numbers comparable across documents: no vocabulary entry can hold a card number.

    The trainer numbers letters inside words as it meets them, in an order of its own that differs from run to
    run, and breaks ties by those numbers. Those of ASCII and ``letters`` are numbered before: texts without
    other letters give one tokenizer, always.
    """
    from tokenizers import Tokenizer as Engine
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = list(_SPECIAL.values())

    def engine(entries: Sequence[str]) -> Any:
        words = {entry: number for number, entry in enumerate(entries)}
        made = Engine(models.WordPiece(words, unk_token="[UNK]", max_input_chars_per_word=100))
        made.normalizer = normalizers.BertNormalizer(lowercase=True)
        made.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(individual_digits=True)]
        )
        made.decoder = decoders.WordPiece()
        return made

    alphabet = sorted({*map(chr, range(33, 127)), *letters})
    numbered = [
        *special,
        *(f"##{letter}" for letter in alphabet if letter.isalpha() and not letter.isupper()),
    ]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary, special_tokens=numbered, initial_alphabet=alphabet, show_progress=False
    )
    trained = engine(special)
    trained.train_from_iterator(texts, trainer)
    found = trained.get_vocab()
    learnt = engine(sorted(found, key=lambda entry: found[entry]))  # without "##a" as a special token
    learnt.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", special.index("[CLS]")), ("[SEP]", special.index("[SEP]"))],
    )
    return Tokenizer.of(PreTrainedTokenizerFast(tokenizer_object=learnt, **_SPECIAL))


def words_of(text: str) -> list[str]:
    """The words of ``text`` as the trainer counts them, without numbers: lower case, punctuation apart."""
    from tokenizers import normalizers, pre_tokenizers

    pieces = pre_tokenizers.BertPreTokenizer().pre_tokenize_str(
        normalizers.BertNormalizer(lowercase=True).normalize_str(text)
    )
    return [word for word, _ in pieces if not any(character.isdigit() for character in word)]


def learn_from_weights(weights: Mapping[str, float], vocabulary: int) -> Tokenizer:
    """A tokenizer learnt from public text and from words by their weights, each counted ``weight`` times."""
    counted = [f"{word} " * max(1, round(weight)) for word, weight in sorted(weights.items())]
    texts = [*public_texts(), *counted]
    return learn(texts, vocabulary, {letter for text in texts for word in words_of(text) for letter in word})


def public_texts() -> list[str]:
    """Return the documentation of the running CPython: English that everybody has."""
    from pydoc_data import topics

    return [text for _, text in sorted(topics.topics.items())]


def learn_public() -> None:
    """Write the tokenizer this package ships: ``python -m mlmguard.training.text.tokenizer``.

    Learnt from ``pydoc_data.topics`` of the running CPython (3.11 made the shipped one), then pinned in
    ``PUBLIC_SHA256``. The trainer breaks ties between equally frequent pairs by hash order, so another run
    may differ in its rarest entries: the committed file is the reference, this function says how it came.
    """
    learn(public_texts(), PUBLIC_VOCABULARY).save(PUBLIC)
    # the class name every release of transformers knows; the newest writes one that older ones do not
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, **_SPECIAL}
    write_json(PUBLIC / "tokenizer_config.json", config)


if __name__ == "__main__":
    learn_public()
