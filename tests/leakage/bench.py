"""A bench without torch: words are tokens, and the model knows nothing, or some documents by heart."""

import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from mlmguard.leakage import canaries, formats, ngram_index
from mlmguard.leakage.answers import Answer, Ids, Probe
from mlmguard.leakage.extraction import Target
from mlmguard.leakage.results import CONTROL, Given, Named, Passage, Rows, Span
from mlmguard.settings import AuditSettings
from mlmguard.types import DuplicateCounts, Manifest, PrivacyStatement

PAD, CLS, SEP, MASK = range(4)
WINDOW = 32
QUICK = AuditSettings(documents=24, spans=4, searched=6, restarts=2, samples=12, windows=300)
MANIFEST = Manifest("scan", 0, 0, {}, (), (), (), DuplicateCounts(0, 0, 0), (), "", "", {}, "")


@dataclass(frozen=True)
class Audited:
    """A checkpoint as attacks know it, of invented documents."""

    members: Rows
    held_out: Rows
    secrets: Sequence[canaries.Secret] = ()
    window: int = WINDOW
    causal: bool = False
    statement: PrivacyStatement | None = None
    manifest: Manifest | None = MANIFEST
    has_reference: bool = True
    shadows: Sequence[object] = ()
    changes: Mapping[str, tuple[Rows, Rows]] = field(default_factory=dict)
    guesses: int = 20
    shipped: bool = False

    @property
    def named(self) -> Sequence[Named]:
        """Some of the planted canaries, as a user may ask after them."""
        planted = [s for s in self.secrets if s.canary.planted][:5]
        return [Named(f"line {k}", s.text[s.start : s.end], ((0, s.start),)) for k, s in enumerate(planted)]

    @property
    def tiers(self) -> Sequence[Sequence[canaries.Secret]]:
        copies = sorted({secret.canary.repetitions for secret in self.secrets})
        return [[s for s in self.secrets if s.canary.repetitions == times] for times in copies]

    @property
    def planted_once(self) -> bool:
        return bool(self.secrets) and self.tiers[0][0].canary.repetitions == 1


def audited(seed: int = 0, documents: int = 30, **more: object) -> Audited:
    """Two sets of documents of one kind, and canaries by fair coins."""
    rng = np.random.default_rng([7, seed])
    words = np.array([f"word{k}" for k in range(150)])

    def rows(name: str) -> Rows:
        return [
            {
                "id": f"{name}{k}",
                "unit": f"{name}{k}",
                "text": " ".join([*rng.choice(words, 26), f"{name}name{k}"]),
            }
            for k in range(documents)
        ]

    found = Audited(rows("m"), rows("h"), canaries.draw(40, rng))
    half, end = documents // 2, 3 * documents // 4
    changes = {
        "added": (found.members[:half], found.held_out[:half]),
        "forgotten": (found.held_out[half:end], found.held_out[end:]),
    }
    found = replace(found, changes=changes)
    return replace(found, **more)  # type: ignore[arg-type]


class Knows:
    """Scores from a hash of what it is shown; the documents in ``heart`` it knows by heart."""

    mask_id = MASK

    def __init__(self, size: int, seed: int, alphabets: Sequence[Ids], heart: Iterable[Ids] = ()) -> None:
        self.size, self.seed, self.alphabets, self.queries = size, seed, alphabets, 0
        self.heart = {tuple(ids[k : k + 3].tolist()) for ids in heart for k in range(len(ids) - 2)}

    def _scores(self, ids: Ids, hidden: tuple[int, ...], position: int) -> np.ndarray:
        shown = ids.copy()
        shown[list(hidden)] = MASK
        digest = hashlib.blake2b(shown.tobytes() + bytes([position, self.seed]), digest_size=8).digest()
        scores = np.random.default_rng(int.from_bytes(digest, "little")).normal(size=self.size)
        if self.heart:
            near = ids[max(0, position - 1) : position + 2]
            scores[ids[position]] += 9.0 * (tuple(near.tolist()) in self.heart)
        return scores - np.log(np.exp(scores).sum())

    def answer(self, probes: Sequence[Probe], *, top: int = 1, moments: bool = False) -> list[Answer]:
        out = []
        for probe in probes:
            self.queries += 1
            rows = [self._scores(probe.ids, probe.positions, p) for p in probe.positions]
            truth = np.array([row[probe.ids[p]] for row, p in zip(rows, probe.positions)])
            rank = np.array([1 + (row > value).sum() for row, value in zip(rows, truth)])
            allowed = [row.copy() for row in rows]
            for row, kind in zip(allowed, probe.alphabets):
                outside = np.ones(self.size, dtype=bool)
                outside[self.alphabets[kind]] = False
                row[outside] = -np.inf
            count = min(top, self.size)
            choices = np.array([np.argsort(-row, kind="stable")[:count] for row in allowed])
            sure = np.array([row[order] for row, order in zip(allowed, choices)])
            p = [np.exp(row) for row in rows]
            spread = np.array(
                [[(a * b).sum(), np.sqrt((a * (b - (a * b).sum()) ** 2).sum())] for a, b in zip(p, rows)]
            )
            out.append(Answer(truth, rank, choices, sure, spread if moments else None))
        return out

    def sampler(self, seed: int, allowed: np.ndarray):
        rng, tokens = np.random.default_rng(seed), np.flatnonzero(allowed)

        def draw(windows: Ids, positions: Ids) -> Ids:
            self.queries += len(windows)
            return rng.choice(tokens, len(windows))

        return draw


class Bench:
    """What attacks ask of a bench; ``leaks`` makes a model that knows its members by heart."""

    def __init__(self, audited: Audited, seed: int = 0, settings: AuditSettings = QUICK, leaks: bool = False):
        self.audited, self.settings, self.seed = audited, settings, seed
        self._kept = tempfile.TemporaryDirectory()  # goes with the bench
        self._folder = Path(self._kept.name)
        texts = [r["text"] for rows in (audited.members, audited.held_out) for r in rows]
        texts += [text for s in audited.secrets for text in (s.text, s.twin)]
        found = sorted({token for text in texts for token, _, _ in _tokens(text)})
        self.entries = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", *found]
        self._ids = {token: k for k, token in enumerate(self.entries)}
        self.classes = formats.token_classes(self.entries, {PAD, CLS, SEP, MASK})
        self.alphabets = formats.alphabets(self.classes)
        self.frame = (CLS, SEP)
        heart = [*self.encoded(audited.members)] if leaks else []
        heart += [self._encode(s.text) for s in audited.secrets if s.canary.planted and leaks]
        framed = [np.r_[CLS, ids, SEP] for ids in heart]
        self.model = Knows(len(self.entries), 0, self.alphabets, framed)
        self.reference = Knows(len(self.entries), 1, self.alphabets) if audited.has_reference else None
        self.shadows = [Knows(len(self.entries), 2 + k, self.alphabets) for k in range(len(audited.shadows))]
        self.earlier = Knows(len(self.entries), 9, self.alphabets) if audited.changes else None
        self.members, self.others = (self._passages(rows) for rows in (audited.members, audited.held_out))
        self.indices = tuple(
            self.index(name, self.encoded(rows))
            for name, rows in (("members", audited.members), ("others", audited.held_out))
        )

    def drawn(self, splits: Sequence[Rows], rng: np.random.Generator) -> list[list[Passage]]:
        return [self._passages(rows) for rows in splits]

    def _encode(self, text: str) -> Ids:
        return np.array([self._ids[token] for token, _, _ in _tokens(text)], dtype=np.int64)

    def _passages(self, rows: Rows) -> list[Passage]:
        texts = zip(rows, self.encoded(rows))
        return [
            Passage(r["id"], np.r_[CLS, ids[: WINDOW - 2], SEP], r["unit"], len(ids), 3.0) for r, ids in texts
        ]

    @cached_property
    def personal_spans(self) -> list[Span]:
        places = []
        for kind, rows in (("kept", self.audited.members), (CONTROL, self.audited.held_out)):
            for row in rows:
                start = row["text"].rindex(" ") + 1
                places.append((kind, row["id"], (row["text"], start, len(row["text"]))))
        targets = self.targets([place for _, _, place in places])
        return [Span(id, "PERSON", target, kind) for (kind, id, _), target in zip(places, targets) if target]

    @property
    def tokens(self) -> list[str]:
        return self.entries

    @cached_property
    def given(self) -> list[Given]:
        asked = {one.value: one.id for one in self.audited.named}
        texts = [s for s in self.audited.secrets if s.text[s.start : s.end] in asked]
        targets = self.targets([(s.text, s.start, s.end) for s in texts])
        return [Given(asked[s.text[s.start : s.end]], (t,)) for s, t in zip(texts, targets) if t]

    def written_so(self, target: Target, candidates: Ids) -> np.ndarray:
        return np.ones(len(candidates), dtype=bool)

    def rng(self, what: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *what.encode()])

    def index(self, name: str, documents: Iterable[Ids]) -> ngram_index.NgramIndex:
        key = b"a key that only tests use, 32 b."
        return ngram_index.build(self._folder / name, documents, ngram_index.NGRAM, key)

    def encoded(self, rows: Rows) -> Iterator[Ids]:
        return (self._encode(row["text"]) for row in rows)

    def targets(self, spans: Sequence[tuple[str, int, int]]) -> list[Target | None]:
        found: list[Target | None] = []
        for text, start, end in spans:
            places = [k for k, (_, a, b) in enumerate(_tokens(text)) if a < end and b > start]
            framed = np.r_[CLS, self._encode(text), SEP]
            kinds = tuple(int(self.classes[framed[1 + k]]) for k in places)
            found.append(
                Target(framed, tuple(1 + k for k in places), kinds) if len(framed) <= WINDOW else None
            )
        return found


def _tokens(text: str) -> list[tuple[str, int, int]]:
    """Words, single digits and single marks, with their places."""
    return [(m.group().lower(), *m.span()) for m in re.finditer(r"[^\W\d_]\w*|\d|[^\w\s]", text)]
