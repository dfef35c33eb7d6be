"""``mlmguard audit``: the strongest honest attempt to get the training data back out of a checkpoint.

    ckpt/ + its run folder ──▶ what was trained, what was held out ──▶ attacks ──▶ evidence

Every attack compares what was trained on with what was not; every number has an interval; what was not run
is listed. The evidence holds no text: what a finding is worth is for a policy to say.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from mlmguard import __version__
from mlmguard.artifacts import RUNS, as_noun, read_json, weights_digest, write_json, write_text
from mlmguard.audited import Foreign, Trained, copies_of, read_checkpoint, read_foreign, scan_run_of
from mlmguard.bench import AuditSettings, Bench
from mlmguard.corpus.read.originals import originals
from mlmguard.errors import InputError
from mlmguard.leakage import attacks, exposure, formats, metrics, vocabulary
from mlmguard.leakage.canaries import Secret
from mlmguard.leakage.extraction import Target
from mlmguard.leakage.generation import PROMPT, Side, gibbs, regurgitated
from mlmguard.leakage.membership import RATE, membership
from mlmguard.leakage.results import CONTROL, Exposed, PValue, Result, Span, measured
from mlmguard.leakage.signals import Floats, Probe
from mlmguard.training import models
from mlmguard.training.evaluation import held_out, recorded_curves
from mlmguard.training.numerics import best_device
from mlmguard.training.text.tokenizer import Tokenizer
from mlmguard.types import (
    AttackRun,
    Curve,
    Evidence,
    Measurement,
    ModelFacts,
    Progress,
    silent,
)


def audit(
    ckpt: Path,
    reports: Path,
    settings: AuditSettings | None = None,
    *,
    run: Path | None = None,
    corpus: Path | None = None,
    foreign: Foreign | None = None,
    records: Path | None = None,
    runs: Path = RUNS,
    progress: Progress = silent,
) -> Evidence:
    """Attack the checkpoint in ``ckpt`` and write the evidence to ``reports/audit.json``.

    ``run`` names its run folder where it is not found beside; ``corpus`` where the raw corpus lies now;
    ``foreign`` the data of a checkpoint that another tool trained, which then needs no run folder;
    ``records`` a file for the most exposed documents by id, for their owner's eyes. An interrupted audit
    goes on with the attacks that were not finished.
    Raises :class:`InputError` for a checkpoint, run folder or corpus that does not fit.
    """
    settings = settings or AuditSettings()
    began = time.monotonic()
    progress("reading", 0, 1)
    trained = read_foreign(ckpt, foreign) if foreign else read_checkpoint(ckpt, run, runs)
    finished = _Finished(trained, ckpt, settings)
    results: dict[str, Result] = {}
    with Bench(trained, settings) as bench:
        model, measured_model = model_facts(bench, ckpt)
        progress("reading", 1, 1)
        for name, attack in _Attacks(bench, runs, corpus).steps().items():
            if settings.minutes is not None and time.monotonic() - began > 60 * settings.minutes:
                break
            if settings.queries is not None and sum(r.queries for r in results.values()) > settings.queries:
                break
            progress(name, 0, 1)
            results[name] = finished.result(name, partial(_counted, bench, attack))
            progress(name, 1, 1)
    brought = results.values()
    recorded = recorded_curves(trained.folder / "metrics.json") if trained.folder is not None else ()
    evidence = Evidence(
        run_id=trained.run_id,
        model=model,
        manifest=trained.manifest,
        statement=trained.statement,
        measurements=(
            *measured_model,
            *(m for r in brought for m in r.measurements),
            *corrected([t for r in brought for t in r.tests]),
        ),
        curves=tuple(_rounded(curve) for curve in (*recorded, *(c for r in brought for c in r.curves))),
        attacks=_coverage(trained, {name: result.queries for name, result in results.items()}),
        notes=_notes(trained, settings),
        tool_version=__version__,
    )
    if records is not None:
        _write_records(records, [exposed for r in brought for exposed in r.exposed], trained)
    write_json(reports / "audit.json", evidence)
    finished.clear()
    return evidence


def _counted(bench: Bench, attack: Callable[[], Result]) -> Result:
    """What ``attack`` brings, with the windows it had the models score."""
    before = bench.queries
    return replace(attack(), queries=bench.queries - before)


# --- does it find nothing where there is nothing? -----------------------------------------------------


@dataclass(frozen=True)
class SelfTest:
    """Null audits of one checkpoint: how many, and the alarms of each that had one, by kind of null."""

    times: int
    alarms: Mapping[str, tuple[tuple[str, ...], ...]]

    def rate(self, null: str) -> metrics.Interval:
        """The share of null audits with an alarm."""
        return metrics.rate(len(self.alarms[null]), self.times)


RANDOM_WEIGHTS, SHUFFLED_LABELS = "random weights", "shuffled labels"


def selftest(
    ckpt: Path,
    times: int,
    settings: AuditSettings | None = None,
    *,
    run: Path | None = None,
    corpus: Path | None = None,
    foreign: Foreign | None = None,
    runs: Path = RUNS,
    progress: Progress = silent,
) -> SelfTest:
    """Audit ``times`` models with random weights, and as often the checkpoint with members and others, and
    the canaries' coins, dealt anew. Nothing is there to be found: an alarm is a test below .05 after
    correction, and one audit in twenty may have one.
    """
    settings = settings or AuditSettings()
    trained = read_foreign(ckpt, foreign) if foreign else read_checkpoint(ckpt, run, runs)
    nulls = {RANDOM_WEIGHTS: _random_weights, SHUFFLED_LABELS: _shuffled_labels}
    alarms: dict[str, tuple[tuple[str, ...], ...]] = {}
    for number, (name, null) in enumerate(nulls.items()):
        found = []
        for seed in range(times):
            progress(name, seed, times)
            rng = np.random.default_rng([settings.seed, number, seed])
            with Bench(null(trained, rng), replace(settings, seed=settings.seed + 1 + seed)) as bench:
                results = [attack() for attack in _Attacks(bench, runs, corpus).steps().values()]
            tests = corrected([test for result in results for test in result.tests])
            found.append(tuple(f"{m.attack}.{m.metric}" for m in tests if (m.value or 0.0) < FAMILY_LEVEL))
        progress(name, times, times)
        alarms[name] = tuple(hits for hits in found if hits)
    return SelfTest(times, alarms)


FAMILY_LEVEL = 0.05


def _random_weights(trained: Trained, rng: np.random.Generator) -> Trained:
    """The same architecture, never trained on anything."""
    return replace(trained, model=models.untrained(trained.model, int(rng.integers(2**31))))


def _shuffled_labels(trained: Trained, rng: np.random.Generator) -> Trained:
    """The same model; who was trained on is drawn from a hat."""
    rows = [*trained.members, *trained.held_out]
    deal = rng.permutation(len(rows))
    secrets = [
        replace(secret, canary=replace(secret.canary, planted=bool(rng.integers(2))))
        for secret in trained.secrets
    ]
    size = len(trained.members)
    return replace(
        trained,
        members=[rows[k] for k in deal[:size]],
        held_out=[rows[k] for k in deal[size:]],
        secrets=secrets,
    )


# --- the attacks --------------------------------------------------------------------------------------


class _Attacks:
    """The attacks on one bench, by name, in the order they run."""

    def __init__(self, bench: Bench, runs: Path, corpus: Path | None) -> None:
        self.bench = bench
        self.trained = bench.trained
        self.settings = bench.settings
        self.runs = runs
        self.corpus = corpus

    def steps(self) -> Mapping[str, Callable[[], Result]]:
        if self.trained.causal:
            return {"membership": self.membership, "vocabulary": self.vocabulary}
        return {
            "n-grams": self.ngrams,
            "personal data": self.personal_data,
            "rare words": self.rare_words,
            "membership": self.membership,
            "generation": self.generation,
            "vocabulary": self.vocabulary,
            "canaries": self.canaries,
        }

    def ngrams(self) -> Result:
        bench = self.bench
        return attacks.ngrams(
            bench.model, bench.reference, bench.members, bench.others, bench.classes, bench.indices,
            bench.rng("ngrams"),
        )  # fmt: skip

    def membership(self) -> Result:
        bench = self.bench
        return membership(
            bench.model, bench.reference, bench.members, bench.others, bench.rng("membership"), bench.shadows,
            ALL if self.trained.causal else RATE,
        )  # fmt: skip

    def vocabulary(self) -> Result:
        """Does the tokenizer know words of the training rows that it should not?"""
        sides = (self.trained.members, self.trained.held_out)
        words = [Counter(word for row in rows for word in set(_WORD.findall(row["text"]))) for rows in sides]
        known = vocabulary.vocabulary(set(self.trained.words.get_vocab()), words[0], words[1])
        return joined(known, vocabulary.findings(self.personal_spans, ("kept", "redacted")))

    def generation(self) -> Result:
        """Texts from masks alone, and from the beginnings of training and of held-out documents."""
        bench, rng = self.bench, self.bench.rng("generation")
        rows = (self.trained.members, self.trained.held_out)
        count = min(MOST_SEARCHED, *map(len, rows))
        trained, outside = (
            self._side(name, [side[k] for k in sorted(rng.permutation(len(side))[:count])])
            for name, side in zip(("train", CONTROL), rows)
        )
        begun = self.settings.samples // 4
        beginnings = [
            side.tokens[k][:PROMPT] for side in (trained, outside) for k in rng.permutation(count)[:begun]
        ]
        nothing = np.zeros(0, dtype=np.int64)
        prompts = [*beginnings, *[nothing] * (self.settings.samples - len(beginnings))]
        texts = gibbs(
            bench.model,
            prompts,
            min(LONGEST_SAMPLE, self.trained.window - 2),
            (bench.marks.cls, bench.marks.sep),
            bench.classes != formats.SPECIAL,
            int(rng.integers(2**31)),
        )
        return regurgitated(texts, [len(prompt) for prompt in prompts], trained, outside)

    def _side(self, name: str, rows: Sequence[Mapping[str, str]]) -> Side:
        tokens = list(self.bench.encoded(rows))
        kinds = (CONTROL,) if name == CONTROL else ("kept", "redacted")
        known = frozenset(
            tuple(span.target.ids[span.target.positions[0] : span.target.positions[-1] + 1].tolist())
            for span in self.personal_spans
            if span.kind in kinds and len(span.target.positions) >= FEWEST_TOKENS_OF_A_VALUE
        )
        return Side(
            name, self.bench.index(f"searched {name}", tokens), tokens, [row["id"] for row in rows], known
        )

    def personal_data(self) -> Result:
        if self.trained.manifest is None or self.trained.folder is None:
            return Result()
        return self._attack_spans(
            "pii", self.personal_spans, ("kept", "redacted"), self.bench.rng("personal data")
        )

    def rare_words(self) -> Result:
        """What the scan missed is what was trained: the rarest word of a document, found by no detector."""
        rng = self.bench.rng("rare words")
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
        targets = self.bench.targets([(text, start, end) for _, _, text, start, end in picked])
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
        bench, restarts, early = self.bench, self.settings.restarts // 2, self.settings.stop_early
        return joined(
            attacks.probe(bench.model, attack, spans, rng),
            attacks.extract(bench.model, attack, searched, kinds, bench.alphabets, rng, restarts, early),
        )

    @cached_property
    def personal_spans(self) -> list[Span]:
        """Up to ``probed`` findings of each kind; values are read from the raw corpus."""
        if self.trained.manifest is None or self.trained.folder is None:
            return []
        scan_run = scan_run_of(self.trained, self.runs.parent.parent)
        if scan_run is None:
            raise InputError(
                self.trained.manifest.run_id,
                "its run folder is missing",
                "the .mlmguard/runs/ID that `mlmguard scan` left",
                "run the audit where the scan ran",
            )
        rng = self.bench.rng("personal spans")
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
        raw = dict(originals(scan_run, {span["id"] for _, span in picked}, self.corpus)) if picked else {}
        texts = []
        for _, span in picked:
            clean, start = sides[span["id"]][1], span["clean_start"]
            value = raw[span["id"]][span["raw_start"] : span["raw_end"]]
            texts.append((clean[:start] + value + clean[span["clean_end"] :], start, start + len(value)))
        return [
            Span(span["id"], span["rule"], target, kind)
            for (kind, span), target in zip(picked, self.bench.targets(texts))
            if target is not None
        ]

    def canaries(self) -> Result:
        """The canaries that are judged, and beside them those planted more often, by their copies."""
        if not self.trained.secrets or self.bench.reference is None:
            return Result()
        judged, *repeated = self.trained.tiers
        scores, framed = self._scored(judged)
        rng = self.bench.rng("canaries")
        parts = [self._known(scores, framed, rng)]
        if self.trained.planted_once:
            statement = self.trained.statement
            claim = statement.epsilon if statement else None
            delta = (statement.delta if statement else None) or 1e-5
            parts.append(exposure.one_run_epsilon(scores, self.trained.guesses, delta, claim))
            parts.append(exposure.epsilon_heuristics(scores, delta, rng))
        for tier in repeated:
            scores, framed = self._scored(tier)
            brought = self._known(scores, framed, rng)
            parts.append(exposure.of_copies(brought, tier[0].canary.repetitions))
        return joined(*parts)

    def _known(
        self, scores: exposure.CanaryScores, framed: Sequence[Target], rng: np.random.Generator
    ) -> Result:
        """How well canaries are known: exposure, recognition, and whole secrets got back."""
        return joined(
            exposure.exposure(scores, rng), exposure.recognised(scores), *self._extract(scores, framed)
        )

    def _scored(self, secrets: Sequence[Secret]) -> tuple[exposure.CanaryScores, list[Target]]:
        """Scores of the canaries that fit a window, and where each stands."""
        bench = self.bench
        assert bench.reference is not None
        targets = bench.targets([(s.text, s.start, s.end) for s in secrets])
        twins = bench.targets([(s.twin, s.start, s.end) for s in secrets])
        usable = [k for k in range(len(secrets)) if targets[k] is not None and twins[k] is not None]
        framed = [t for k in usable if (t := targets[k])]
        scores = exposure.score_canaries(
            bench.model, bench.reference, [secrets[k] for k in usable],
            framed, [t for k in usable if (t := twins[k])],
        )  # fmt: skip
        return scores, framed

    def _extract(self, scores: exposure.CanaryScores, targets: Sequence[Target]) -> tuple[Result, Result]:
        count, bench = self.settings.searched, self.bench
        planted, controls = (
            [t for t, coin in zip(targets, scores.planted) if coin == side][:count] for side in (True, False)
        )
        return (
            exposure.extract_canaries(
                bench.model,
                planted,
                controls,
                bench.alphabets,
                bench.rng("search"),
                self.settings.restarts,
                self.settings.stop_early,
            ),
            exposure.ranked(bench.model, planted, controls, bench.alphabets),
        )


ALL = 1.0  # every position is asked for in one pass: nothing has to be hidden from a causal model
_WORD = re.compile(r"[^\W_]{5,}")  # long enough to be a name, a place or a number, not a particle
MOST_SEARCHED = 10_000  # documents of each side that drawn texts are compared with
LONGEST_SAMPLE = 32
FEWEST_TOKENS_OF_A_VALUE = 3  # what is shorter turns up by chance


def joined(*results: Result) -> Result:
    """Several attacks' results as one."""
    return Result(
        tuple(m for result in results for m in result.measurements),
        tuple(c for result in results for c in result.curves),
        tuple(t for result in results for t in result.tests),
        tuple(e for result in results for e in result.exposed),
        sum(result.queries for result in results),
    )


def model_facts(bench: Bench, ckpt: Path) -> tuple[ModelFacts, tuple[Measurement, ...]]:
    """Is this a working model at all? Its loss on held-out documents beside the unigram baseline's."""
    trained, documents = bench.trained, len(bench.others)
    words = trained.words
    measurements: tuple[Measurement, ...] = ()
    beats = False
    if documents:
        loss, unigram, tokens = _held_out_losses(bench)
        rng = bench.rng("unigram")
        draws = rng.integers(0, documents, size=(2000, documents))
        total = tokens[draws].sum(1)

        def interval(values: np.ndarray) -> metrics.Interval:
            resampled = values[draws].sum(1) / total
            low, high = np.quantile(resampled, [0.025, 0.975])
            return metrics.Interval(float(values.sum() / tokens.sum()), float(low), float(high), 0.95)

        margin = interval(unigram - loss)
        beats = margin.low > 0
        measurements = tuple(
            measured("model", name, values, documents)
            for name, values in (
                ("heldout_loss", interval(loss)),
                ("unigram_loss", interval(unigram)),
                ("unigram_margin", margin),
            )
        )
    parameters = sum(p.numel() for p in trained.model.parameters())
    architecture = trained.model.config.model_type
    facts = ModelFacts(architecture, parameters, len(words), weights_digest(ckpt), trained.head_loaded, beats)
    return facts, measurements


def _held_out_losses(bench: Bench) -> tuple[Floats, Floats, Floats]:
    """Of each held-out passage, (N,): the model's summed loss, the unigram model's, and its tokens."""
    trained, words = bench.trained, bench.trained.words
    if trained.causal:
        said = bench.model.answer(
            [Probe(passage.ids, tuple(range(1, len(passage.ids) - 1))) for passage in bench.others]
        )
        return (
            np.array([-answer.log_probability.sum() for answer in said]),
            np.array([-bench.unigram[passage.ids[1:-1]].sum() for passage in bench.others]),
            np.array([len(passage.ids) - 2.0 for passage in bench.others]),
        )
    inner = [passage.ids[1:-1] for passage in bench.others]
    found = held_out(trained.model, inner, bench.unigram, Tokenizer.of(words), trained.window, best_device())
    return found.loss, found.unigram, found.tokens


# --- going on after an interruption -------------------------------------------------------------------


class _Finished:
    """Results of finished attacks in the run folder, until the audit is whole.

    Their name is a digest of the weights, the settings and this program: another audit finds nothing.
    """

    def __init__(self, trained: Trained, ckpt: Path, settings: AuditSettings) -> None:
        told = [weights_digest(ckpt), asdict(replace(settings, minutes=None, queries=None)), __version__]
        name = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]
        self.folder = trained.folder / f"audit-{name}" if trained.folder is not None else None

    def result(self, name: str, attack: Callable[[], Result]) -> Result:
        """The result that lies there, or the one that ``attack`` brings now."""
        if self.folder is None:
            return attack()
        path = self.folder / f"{name.replace(' ', '-')}.json"
        if path.exists():
            return _as_result(read_json(path))
        result = attack()
        self.folder.mkdir(mode=0o700, exist_ok=True)
        write_json(path, asdict(result), mode=0o600)
        return result

    def clear(self) -> None:
        if self.folder is not None and self.folder.exists():
            for path in self.folder.iterdir():
                path.unlink()
            self.folder.rmdir()


def _as_result(data: Mapping[str, Any]) -> Result:
    return Result(
        tuple(as_noun(m, Measurement, "a finished attack") for m in data["measurements"]),
        tuple(as_noun(c, Curve, "a finished attack") for c in data["curves"]),
        tuple(PValue(**test) for test in data["tests"]),
        tuple(Exposed(**exposed) for exposed in data["exposed"]),
        data["queries"],
    )


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


def _write_records(path: Path, exposed: Sequence[Exposed], trained: Trained) -> None:
    """One line for each thing found of a document, the gravest first; for the owner's eyes only."""
    copies = copies_of(trained)
    lines = [
        json.dumps({**asdict(one), "copies": copies.get(one.document_id, 1)}, sort_keys=True)
        for one in sorted(exposed, key=lambda one: (-one.score, one.document_id, one.attack, one.kind))
    ]
    write_text(path, "".join(line + "\n" for line in lines), mode=0o600)


def _coverage(trained: Trained, queries: Mapping[str, int]) -> tuple[AttackRun, ...]:
    """Each known attack, run or not, and why not. ``queries``: the windows each finished step had scored."""
    none = "no canaries were planted"
    unmasked = "this model predicts the next token: it fills no masks" if trained.causal else ""
    known: list[tuple[str, str, str, str]] = [  # attack, step, what was done, why not
        ("ngram", "n-grams", "masked probing of training n-grams against matched held-out ones", unmasked),
        (
            "pii",
            "personal data",
            "masked probing of the scan's findings and coordinate search, kept and redacted",
            unmasked or ("" if trained.manifest else "no scan of ours found what is personal in these texts"),
        ),
        (
            "rare",
            "rare words",
            "masked probing and search of rare words, chosen without a detector",
            unmasked,
        ),
        ("membership", "membership", _memberships(trained), ""),
        (
            "shadow models",
            "membership",
            f"LiRA with {len(trained.shadows)} shadow models",
            "" if len(trained.shadows) >= 2 else "LiRA needs two or more models that saw neither side",
        ),
        ("generation", "generation", "Gibbs sampling from masks and from beginnings of documents", unmasked),
        (
            "vocabulary",
            "vocabulary",
            "rare words and personal values that are entries, against those of held-out rows",
            "",
        ),
        (
            "canary",
            "canaries",
            "exposure and coordinate search against unplanted controls",
            "" if trained.secrets else none,
        ),
        (
            "epsilon",
            "canaries",
            "one-run lower bound, guesses fixed before training",
            ""
            if trained.planted_once
            else ("canaries are repeated: not one unit each" if trained.secrets else none),
        ),
    ]
    return tuple(
        AttackRun(attack, "run", f"{done}; {queries[step]:,} windows scored")
        if not why and step in queries
        else AttackRun(attack, "not run", why or "the time or the queries given were spent")
        for attack, step, done, why in known
    )


def _memberships(trained: Trained) -> str:
    if trained.reference is None:
        return "loss, min-k and neighbours only: no --reference; with a blind baseline"
    return "loss, min-k, neighbours, calibrated, mask votes and RMIA, with blind and reference baselines"


def _notes(trained: Trained, settings: AuditSettings) -> tuple[str, ...]:
    notes = [
        "This report is computed from private text and is not covered by ε.",
        f"Seed {settings.seed}; at most {settings.documents} documents a side, "
        f"{settings.restarts} restarts a search, {settings.samples} texts drawn.",
        "The attacker is given each secret's context and format (punctuation, and which positions hold "
        "digits), not its other tokens.",
        *trained.told,
        *(["A causal model: its next-token scores stand in for pseudo-log-likelihoods."] * trained.causal),
    ]
    if trained.secrets:
        for tier in trained.tiers:
            planted, copies = sum(s.canary.planted for s in tier), tier[0].canary.repetitions
            times = f"{copies} times" if copies > 1 else "once"
            notes.append(
                f"{planted} of {len(tier)} canaries were planted {times}, each by its own recorded coin."
            )
    return tuple(notes)


def _rounded(curve: Curve) -> Curve:
    """Six digits: what a figure needs, and the same bytes on machines whose last bit differs."""

    def short(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(round(value, 6) for value in values)

    return replace(curve, x=short(curve.x), y=short(curve.y), low=short(curve.low), high=short(curve.high))


__all__ = ["AuditSettings", "Foreign", "SelfTest", "audit", "corrected", "read_checkpoint", "selftest"]
