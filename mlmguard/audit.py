"""``mlmguard audit``: the strongest honest attempt to get the training data back out of a checkpoint.

    ckpt/ + its run folder ──▶ what was trained, what was held out ──▶ attacks ──▶ evidence

Every attack compares what was trained on with what was not; every number has an interval; what was not run
is listed. The evidence holds no text: what a finding is worth is for a policy to say.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mlmguard import __version__
from mlmguard.artifacts import (
    RUNS,
    weights_digest,
    write_json,
)
from mlmguard.audited import Foreign, Trained, copies_of, read_checkpoint, read_foreign, scan_run_of
from mlmguard.corpus.originals import originals
from mlmguard.errors import InputError
from mlmguard.leakage import attacks, formats, metrics
from mlmguard.leakage.attacks import CONTROL, CanaryScores, Passage, PValue, Result, Span
from mlmguard.leakage.extraction import Target
from mlmguard.leakage.membership import membership
from mlmguard.leakage.signals import Ids, Scorer
from mlmguard.training import models, tokenizer
from mlmguard.training.evaluation import held_out, unigram_log_probabilities
from mlmguard.training.loop import autocast, best_device
from mlmguard.training.masking import Vocabulary
from mlmguard.training.units import windows
from mlmguard.types import (
    AttackRun,
    Curve,
    Evidence,
    Measurement,
    ModelFacts,
    Progress,
    silent,
)


@dataclass(frozen=True)
class AuditSettings:
    """How much to spend. The defaults take about a minute for a small model on two cores."""

    documents: int = 400  # of each side, for membership and n-grams
    probed: int = 4000  # spans of each kind with one token hidden
    spans: int = 60  # spans of each kind that the search tries to get back whole
    searched: int = 40  # canaries of each side that the search tries to get back whole
    restarts: int = 24
    seed: int = 0


def audit(
    ckpt: Path,
    reports: Path,
    settings: AuditSettings | None = None,
    *,
    run: Path | None = None,
    corpus: Path | None = None,
    foreign: Foreign | None = None,
    runs: Path = RUNS,
    progress: Progress = silent,
) -> Evidence:
    """Attack the checkpoint in ``ckpt`` and write the evidence to ``reports/audit.json``.

    ``run`` names its run folder where it is not found beside; ``corpus`` where the raw corpus lies now;
    ``foreign`` the data of a checkpoint that another tool trained, which then needs no run folder.
    Raises :class:`InputError` for a checkpoint, run folder or corpus that does not fit.
    """
    settings = settings or AuditSettings()
    progress("reading", 0, 1)
    trained = read_foreign(ckpt, foreign) if foreign else read_checkpoint(ckpt, run, runs)
    bench = _Bench(trained, settings)
    model, measured = model_facts(bench, ckpt)
    progress("reading", 1, 1)
    results: list[Result] = []
    steps: tuple[tuple[str, Callable[[], Result]], ...] = (
        ("n-grams", bench.ngrams),
        ("personal data", lambda: bench.personal_data(runs, corpus)),
        ("rare words", bench.rare_words),
        ("membership", bench.membership),
        ("vocabulary", bench.vocabulary),
        ("canaries", bench.canaries),
    )
    for name, attack in steps:
        progress(name, 0, 1)
        results.append(attack())
        progress(name, 1, 1)
    evidence = Evidence(
        run_id=trained.run_id,
        model=model,
        manifest=trained.manifest,
        statement=trained.statement,
        measurements=(
            *measured,
            *(m for r in results for m in r.measurements),
            *corrected([t for r in results for t in r.tests]),
        ),
        curves=tuple(_rounded(curve) for r in results for curve in r.curves),
        attacks=_coverage(trained),
        notes=_notes(trained, settings),
        tool_version=__version__,
    )
    write_json(reports / "audit.json", evidence)
    return evidence


# --- the attacks' bench -------------------------------------------------------------------------------


class _Bench:
    """Model, reference and samples, set up once and handed to each attack."""

    def __init__(self, trained: Trained, settings: AuditSettings) -> None:
        self.trained = trained
        self.settings = settings
        words = trained.words
        self.marks: tokenizer.SpecialTokens = tokenizer.special_tokens(words)
        tokens = words.convert_ids_to_tokens(range(len(words)))
        self.classes = formats.token_classes(tokens, set(words.all_special_ids))
        self.alphabets = formats.alphabets(self.classes)
        self.model = self._scorer(trained.model)
        self.reference = self._scorer(trained.reference) if trained.reference is not None else None
        rng = self.rng("sample")
        # as many of each: a side with more documents would bring other cluster sizes into the tests
        sides = (trained.members, trained.held_out)
        count = min(settings.documents, *(len(rows) for rows in sides))
        self.members, self.others = (self._passages(rows, count, rng) for rows in sides)

    def rng(self, what: str) -> np.random.Generator:
        """A generator for one attack: adding or leaving out another attack changes nothing here."""
        return np.random.default_rng([self.settings.seed, *what.encode()])

    def _scorer(self, model: Any) -> Scorer:
        device = best_device()
        model.to(device).eval()

        def logits_at(input_ids: Any, attention: Any, where: Any) -> Any:
            with autocast(device):
                return models.masked_logits(model, input_ids, attention, where)

        return Scorer(logits_at, self.trained.words.mask_token_id, self.marks.pad, device, self.alphabets)

    def _passages(
        self, rows: Sequence[Mapping[str, str]], count: int, rng: np.random.Generator
    ) -> list[Passage]:
        """The first window of ``count`` documents, drawn without replacement."""
        picked = sorted(rng.permutation(len(rows))[:count])
        encoded = tokenizer.encode(self.trained.words, (rows[k]["text"] for k in picked))
        copies = copies_of(self.trained)
        return [
            Passage(rows[k]["id"], self._frame(ids), copies.get(rows[k]["id"], 1))
            for k, ids in zip(picked, encoded)
            if len(ids) >= 3
        ]

    def _frame(self, ids: Sequence[int]) -> Ids:
        return windows(np.array(ids, dtype=np.int64), self.trained.window, self.marks.cls, self.marks.sep)[0]

    def targets(self, spans: Sequence[tuple[str, int, int]]) -> list[Target | None]:
        """Each span (text, start, end) in a window around it; None when it does not fit.

        Only the neighbourhood of a span is tokenised.
        """
        if not spans:
            return []
        reach = 16 * self.trained.window  # characters: no ordinary token is longer
        cut = []
        for text, start, end in spans:
            left = max(0, start - reach)
            if left:
                left += len(text[left:start]) - len(text[left:start].split(None, 1)[-1])  # not inside a word
            cut.append((text[left : end + reach], start - left, end - left))
        encoded = self.trained.words(
            [text for text, _, _ in cut],
            add_special_tokens=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        return [
            self._target(ids, offsets, start, end)
            for ids, offsets, (_, start, end) in zip(encoded["input_ids"], encoded["offset_mapping"], cut)
        ]

    def _target(
        self, tokens: Sequence[int], offsets: Sequence[tuple[int, int]], start: int, end: int
    ) -> Target | None:
        places = [k for k, (a, b) in enumerate(offsets) if a < end and b > start]
        room = self.trained.window - 2
        if not places or len(places) > room // 2:
            return None
        ids = np.array(tokens, dtype=np.int64)
        left = max(0, min(places[0] - (room - len(places)) // 2, len(ids) - room))
        framed = np.concatenate([[self.marks.cls], ids[left : left + room], [self.marks.sep]])
        if any(self.classes[ids[place]] == formats.SPECIAL for place in places):
            return None  # an unknown token cannot be told from another
        # punctuation is format, which the attacker has: it would take "it ends in a dot" for a secret
        secret = [place for place in places if self.classes[ids[place]] != formats.PUNCTUATION]
        kinds = tuple(int(self.classes[ids[place]]) for place in secret)
        return Target(framed, tuple(place - left + 1 for place in secret), kinds) if secret else None

    def ngrams(self) -> Result:
        return attacks.ngrams(self.model, self.members, self.others, self.classes, self.rng("ngrams"))

    def membership(self) -> Result:
        return membership(self.model, self.reference, self.members, self.others, self.rng("membership"))

    def vocabulary(self) -> Result:
        """Does the tokenizer know words of the training rows that it should not?"""
        sides = (self.trained.members, self.trained.held_out)
        words = [Counter(word for row in rows for word in set(_WORD.findall(row["text"]))) for rows in sides]
        return attacks.vocabulary(set(self.trained.words.get_vocab()), words[0], words[1])

    def personal_data(self, runs: Path, corpus: Path | None) -> Result:
        if self.trained.manifest is None or self.trained.folder is None:
            return Result()
        rng = self.rng("personal data")
        scan_run = scan_run_of(self.trained, runs.parent.parent)
        if scan_run is None:
            raise InputError(
                self.trained.manifest.run_id,
                "its run folder is missing",
                "the .mlmguard/runs/ID that `mlmguard scan` left",
                "run the audit where the scan ran",
            )
        spans = self._personal_spans(scan_run, corpus, rng)
        return self._attack_spans("pii", spans, ("kept", "redacted"), rng)

    def rare_words(self) -> Result:
        """What the scan missed is what was trained: the rarest word of a document, found by no detector."""
        rng = self.rng("rare words")
        sides = (("train", self.trained.members), (CONTROL, self.trained.held_out))
        seen = Counter(word for _, rows in sides for row in rows for word in set(_WORD.findall(row["text"])))
        picked: list[tuple[str, str, str, int, int]] = []
        for kind, rows in sides:
            for k in sorted(rng.permutation(len(rows))[: self.settings.documents]):
                text = rows[k]["text"]
                rare = [m for m in _WORD.finditer(text) if seen[m.group()] == 1]
                if rare:
                    match = rare[int(rng.integers(len(rare)))]
                    picked.append((kind, rows[k]["id"], text, match.start(), match.end()))
        targets = self.targets([(text, start, end) for _, _, text, start, end in picked])
        spans = [
            Span(identity, "word", target, kind)
            for (kind, identity, *_), target in zip(picked, targets)
            if target is not None
        ]
        return self._attack_spans("rare", spans, ("train",), rng)

    def _attack_spans(
        self, attack: str, spans: Sequence[Span], kinds: Sequence[str], rng: np.random.Generator
    ) -> Result:
        """Probe all spans; search for one of each of some documents, so that those are independent."""
        searched = []
        for kind in (*kinds, CONTROL):
            by_document: dict[str, list[Span]] = {}
            for span in spans:
                if span.kind == kind:
                    by_document.setdefault(span.document_id, []).append(span)
            documents = sorted(by_document)
            for k in sorted(rng.permutation(len(documents))[: self.settings.spans]):
                choices = by_document[documents[k]]
                searched.append(choices[int(rng.integers(len(choices)))])
        restarts = self.settings.restarts // 2
        return joined(
            attacks.probe(self.model, attack, spans, rng),
            attacks.extract(self.model, attack, searched, kinds, self.alphabets, rng, restarts),
        )

    def _personal_spans(self, scan_run: Path, corpus: Path | None, rng: np.random.Generator) -> list[Span]:
        """Up to ``probed`` findings of each kind; values are read from the raw corpus."""
        sides = {row["id"]: ("train", row["text"]) for row in self.trained.members}
        sides |= {row["id"]: (CONTROL, row["text"]) for row in self.trained.held_out}
        by_kind: dict[str, list[Mapping[str, Any]]] = {}
        with (scan_run / "spans.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                span = json.loads(line)
                if span["id"] in sides:
                    side = sides[span["id"]][0]
                    kind = side if side == CONTROL else ("redacted" if span["redacted"] else "kept")
                    by_kind.setdefault(kind, []).append(span)
        picked = [
            (kind, group[k])
            for kind, group in sorted(by_kind.items())
            for k in sorted(rng.permutation(len(group))[: self.settings.probed])
        ]
        raw = dict(originals(scan_run, {span["id"] for _, span in picked}, corpus)) if picked else {}
        texts = []
        for _, span in picked:
            clean, start = sides[span["id"]][1], span["clean_start"]
            value = raw[span["id"]][span["raw_start"] : span["raw_end"]]
            texts.append((clean[:start] + value + clean[span["clean_end"] :], start, start + len(value)))
        return [
            Span(span["id"], span["rule"], target, kind)
            for (kind, span), target in zip(picked, self.targets(texts))
            if target is not None
        ]

    def canaries(self) -> Result:
        secrets = self.trained.secrets
        if not secrets or self.reference is None:
            return Result()
        targets = self.targets([(s.text, s.start, s.end) for s in secrets])
        twins = self.targets([(s.twin, s.start, s.end) for s in secrets])
        usable = [k for k in range(len(secrets)) if targets[k] is not None and twins[k] is not None]
        scores = attacks.score_canaries(
            self.model, self.reference, [secrets[k] for k in usable],
            [t for k in usable if (t := targets[k])], [t for k in usable if (t := twins[k])],
        )  # fmt: skip
        rng = self.rng("canaries")
        parts = [
            attacks.exposure(scores, rng),
            self._extract(scores, [t for k in usable if (t := targets[k])], rng),
        ]
        if self.trained.planted_once:
            statement = self.trained.statement
            claim = statement.epsilon if statement else None
            delta = (statement.delta if statement else None) or 1e-5
            parts.append(attacks.one_run_epsilon(scores, self.trained.guesses, delta, claim))
        return joined(*parts)

    def _extract(self, scores: CanaryScores, targets: Sequence[Target], rng: np.random.Generator) -> Result:
        count = self.settings.searched
        planted = [t for t, coin in zip(targets, scores.planted) if coin][:count]
        controls = [t for t, coin in zip(targets, scores.planted) if not coin][:count]
        return attacks.extract_canaries(
            self.model, planted, controls, self.alphabets, rng, self.settings.restarts
        )


_WORD = re.compile(r"[^\W_]{5,}")  # long enough to be a name, a place or a number, not a particle


def joined(*results: Result) -> Result:
    """Several attacks' results as one."""
    return Result(
        tuple(m for result in results for m in result.measurements),
        tuple(c for result in results for c in result.curves),
        tuple(t for result in results for t in result.tests),
    )


def model_facts(bench: _Bench, ckpt: Path) -> tuple[ModelFacts, tuple[Measurement, ...]]:
    """Is this a working model at all? Held-out masked loss beside the unigram baseline."""
    trained = bench.trained
    words, marks = trained.words, bench.marks
    train_ids = [
        np.array(ids, dtype=np.int64) for ids in tokenizer.encode(words, (r["text"] for r in trained.members))
    ]
    unigram = unigram_log_probabilities([ids for ids in train_ids if len(ids)], len(words))
    vocabulary = Vocabulary(len(words), words.mask_token_id, frozenset(words.all_special_ids))
    inner = [passage.ids[1:-1] for passage in bench.others]
    measurements: tuple[Measurement, ...] = ()
    beats = False
    if inner:
        found = held_out(trained.model, inner, unigram, vocabulary, marks, trained.window, best_device())
        rng = bench.rng("unigram")
        draws = rng.integers(0, len(inner), size=(2000, len(inner)))
        total = found.tokens[draws].sum(1)

        def interval(values: np.ndarray) -> metrics.Interval:
            resampled = values[draws].sum(1) / total
            low, high = np.quantile(resampled, [0.025, 0.975])
            return metrics.Interval(float(values.sum() / found.tokens.sum()), float(low), float(high), 0.95)

        margin = interval(found.unigram - found.loss)
        beats = margin.low > 0
        measurements = tuple(
            attacks.measured("model", name, values, len(inner))
            for name, values in (
                ("heldout_loss", interval(found.loss)),
                ("unigram_loss", interval(found.unigram)),
                ("unigram_margin", margin),
            )
        )
    parameters = sum(p.numel() for p in trained.model.parameters())
    architecture = trained.model.config.model_type
    facts = ModelFacts(architecture, parameters, len(words), weights_digest(ckpt), trained.head_loaded, beats)
    return facts, measurements


# --- the evidence -------------------------------------------------------------------------------------


def corrected(tests: Sequence[PValue]) -> tuple[Measurement, ...]:
    """The audit's tests as one family: Holm-adjusted, so that any of them below .05 is a finding at .05."""
    adjusted = metrics.holm([test.p for test in tests])
    return tuple(
        Measurement(
            test.attack, f"{test.metric}_p", p, None, None, 0.95, test.examples, slice=test.slice,
            note=f"Holm over {len(tests)} tests; uncorrected {test.p:.3g}",
        )
        for test, p in zip(tests, adjusted)
    )  # fmt: skip


_NOT_RUN = {
    "generation": "Gibbs sampling is not in this version",
    "shadow models": "LiRA and RMIA need shadow checkpoints",
    "neighbourhood": "not in this version",
}


def _coverage(trained: Trained) -> tuple[AttackRun, ...]:
    ran = {
        "ngram": "masked probing of training n-grams against matched held-out ones",
        "rare": "masked probing and coordinate search of rare words, chosen without any detector",
        "membership": "loss, reference-calibrated, min-k and mask votes, with blind and reference baselines",
        "vocabulary": "words of training rows only against words of held-out rows only, as whole entries",
    }
    if trained.reference is None:
        ran["membership"] = "loss and min-k only: no --reference; with a blind baseline"
    runs = [AttackRun(name, "run", detail) for name, detail in ran.items()]
    if trained.manifest is not None:
        detail = "masked probing of the scan's findings and coordinate search, kept and redacted"
        runs.append(AttackRun("pii", "run", detail))
    else:
        runs.append(AttackRun("pii", "not run", "no scan of ours found what is personal in these texts"))
    none = "no canaries were planted"
    found = "exposure and coordinate search against unplanted controls"
    runs.append(
        AttackRun("canary", "run", found) if trained.secrets else AttackRun("canary", "not run", none)
    )
    if trained.planted_once:
        runs.append(AttackRun("epsilon", "run", "one-run lower bound, guesses fixed before training"))
    else:
        why = "canaries are repeated: not one unit each" if trained.secrets else none
        runs.append(AttackRun("epsilon", "not run", why))
    return (*runs, *(AttackRun(name, "not run", reason) for name, reason in _NOT_RUN.items()))


def _notes(trained: Trained, settings: AuditSettings) -> tuple[str, ...]:
    notes = [
        "This report is computed from private text and is not covered by ε.",
        f"Seed {settings.seed}; at most {settings.documents} documents a side, "
        f"{settings.restarts} restarts a search.",
        "The attacker is given each secret's context and format (punctuation, and which positions hold "
        "digits), not its other tokens.",
        *trained.told,
    ]
    if trained.secrets:
        planted = sum(s.canary.planted for s in trained.secrets)
        notes.append(
            f"{planted} of {len(trained.secrets)} canaries were planted, each by its own recorded coin."
        )
    return tuple(notes)


def _rounded(curve: Curve) -> Curve:
    """Six digits: what a figure needs, and the same bytes on machines whose last bit differs."""

    def short(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(round(value, 6) for value in values)

    return replace(curve, x=short(curve.x), y=short(curve.y), low=short(curve.low), high=short(curve.high))


__all__ = ["AuditSettings", "Foreign", "audit", "corrected", "read_checkpoint"]
