"""What the attacks found, put together: the family of tests corrected, every attack listed, run or not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from mlmguard import __version__
from mlmguard.artifacts import weights_digest, write_text
from mlmguard.audit import mechanism
from mlmguard.audit.bench import Bench
from mlmguard.audit.checkpoint import Audited
from mlmguard.leakage import metrics, records, values
from mlmguard.leakage.answers import Floats, Probe
from mlmguard.leakage.attack import Attack
from mlmguard.leakage.results import PValue, Result, measured
from mlmguard.measures import unlike
from mlmguard.settings import AuditSettings
from mlmguard.training.evaluation import held_out, recorded_curves
from mlmguard.training.numerics import best_device
from mlmguard.types import AttackRun, Curve, Evidence, Measurement, ModelFacts


def evidence_of(bench: Bench, attacks: Sequence[Attack], results: Mapping[str, Result]) -> Evidence:
    """Everything a judge may see of the audit on ``bench``: ``results`` by attack, of those that were run."""
    audited, found = bench.audited, results.values()
    tests = [test for result in found for test in result.tests]
    model, measured_model = _model_facts(bench)
    recorded = recorded_curves(audited.run / "metrics.json") if audited.run is not None else ()
    evidence = Evidence(
        run_id=audited.run_id,
        model=model,
        manifest=audited.manifest,
        statement=audited.statement,
        measurements=(
            *measured_model,
            *(m for result in found for m in result.measurements),
            *mechanism.white_box(audited.run, audited.statement),
            *corrected(tests),
        ),
        curves=tuple(_rounded(c) for c in (*recorded, *(c for result in found for c in result.curves))),
        attacks=(
            *coverage(audited, attacks, results),
            *mechanism.coverage(audited.run, audited.statement),
        ),
        notes=_notes(audited, bench.settings),
        tool_version=__version__,
    )
    apart = unlike(evidence)
    reach = (f"Reach: none by comparison: {apart}.",) if apart else _reach(audited, tests)
    return replace(evidence, notes=(*evidence.notes, *reach))


SPENT = "the time or the queries given were spent"


def coverage(
    audited: Audited, attacks: Sequence[Attack], results: Mapping[str, Result]
) -> tuple[AttackRun, ...]:
    """Each line of each attack, run or not, and why not."""
    lines = []
    for attack in attacks:
        result = results.get(attack.name)
        for part in attack.parts:
            why = part.cannot(audited) or attack.cannot(audited) or ("" if result else SPENT)
            if none := attack.parts[0].not_applicable(audited) or part.not_applicable(audited):
                lines.append(AttackRun(part.name, "not applicable", none))
            elif result is None or why:
                lines.append(AttackRun(part.name, "not run", why))
            else:
                detail = f"{part.done(audited)}; {result.queries:,} windows scored"
                lines.append(AttackRun(part.name, "run", detail))
    return tuple(lines)


def corrected(tests: Sequence[PValue]) -> tuple[Measurement, ...]:
    """The audit's tests as one family: Holm-adjusted, so that any of them below .05 is a finding at .05."""
    adjusted = metrics.holm([test.p for test in tests], shares(tests)) if tests else []
    return tuple(
        Measurement(
            test.attack, f"{test.metric}_p", p, None, None, 0.95, test.examples, slice=test.slice,
            note=f"Holm over {len(tests)} tests; uncorrected {test.p:.3g}",
        )
        for test, p in zip(tests, adjusted)
    )  # fmt: skip


MOST_OWN = 0.5
"""The share of the family's level that tests with one of their own have together: a plug-in that asks for .7
would leave the others less than nothing, and a p-value of 0."""


def shares(tests: Sequence[PValue]) -> list[float]:
    """The share of the family's level that each test has: its own, or an equal part of what is left."""
    others, asked = sum(not test.share for test in tests), sum(test.share for test in tests)
    scale = min(1.0, MOST_OWN / asked) if asked else 1.0
    found = [test.share * scale or (1 - asked * scale) / others for test in tests]
    return [share / sum(found) for share in found]


def write_records(path: Path, results: Iterable[Result], audited: Audited) -> None:
    """Write one line for each thing found of a document, the gravest first; for the owner's eyes only."""
    copies = audited.copies()
    lines = [
        json.dumps({**asdict(one), "copies": copies.get(one.document_id, 1)}, sort_keys=True)
        for one in sorted(
            (e for r in results for e in r.exposed),
            key=lambda one: (-one.score, one.document_id, one.attack, one.kind),
        )
    ]
    write_text(path, "".join(line + "\n" for line in lines), mode=0o600)


def _notes(audited: Audited, settings: AuditSettings) -> tuple[str, ...]:
    notes = [
        "This report is computed from private text and is not covered by ε.",
        f"Seed {settings.seed}; at most {settings.documents} members and as many non-members, "
        f"{settings.restarts} restarts a search, {settings.samples} texts drawn.",
        "The attacker is given each secret's context and format (punctuation, and which positions hold "
        "digits), not its other tokens.",
        *audited.notes,
        *(["A causal model: its next-token scores stand in for pseudo-log-likelihoods."] * audited.causal),
    ]
    if audited.secrets:
        for tier in audited.tiers:
            planted, copies = sum(s.canary.planted for s in tier), tier[0].canary.repetitions
            times = f"{copies} times" if copies > 1 else "once"
            notes.append(
                f"{planted} of {len(tier)} canaries were planted {times}, each by its own recorded coin."
            )
    return tuple(notes)


def _reach(audited: Audited, tests: Sequence[PValue]) -> tuple[str, ...]:
    """What no test of this audit can be sure of, however clearly it leaks."""
    if not tests or not audited.held_out:
        return ()
    trained, held_out = (len({row["unit"] for row in rows}) for rows in (audited.members, audited.held_out))
    scored, hidden = (any(test.attack == one.ATTACK.name for test in tests) for one in (records, values))
    level = records.SURE / len(tests)
    seen = (
        records.detectable(trained, held_out) if scored else metrics.fewest_leaked(trained, held_out, level)
    )
    beside = f"the {held_out:,} held out"
    if seen > trained:
        return (
            f"Reach: none by comparison: beside {beside} no test can reach p < {records.SURE:g}, corrected.",
        )
    do = "are not seen"
    if scored:
        do = (
            "are listed (--records) where a window is known by heart, and fail where its tokens are recovered"
        )
    some = (
        f"Values of a field, or findings of a type, fail where {values.detectable(trained, held_out):,} or "
        "more units give theirs back, hidden whole, and fewer are listed. "
    )
    return (
        f"Reach: a model that knows {seen:,} of {trained:,} trained units by heart, or scores so many "
        f"above all others, fails by comparison with {beside} in four audits of five. Fewer could all lie in "
        f"the training set by chance: they {do}. {some * hidden}A larger held-out share (scan --splits) "
        "lowers this; canaries have coins of their own and are not bound by it.",
    )


def _rounded(curve: Curve) -> Curve:
    """Six digits: what a figure needs, and the same bytes on machines whose last bit differs."""

    def short(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(round(value, 6) for value in values)

    return replace(curve, x=short(curve.x), y=short(curve.y), low=short(curve.low), high=short(curve.high))


# --- the model ----------------------------------------------------------------------------------------


def _model_facts(bench: Bench) -> tuple[ModelFacts, tuple[Measurement, ...]]:
    """Is this a working model at all? Its loss on held-out documents beside the unigram baseline's."""
    audited, documents = bench.audited, len(bench.others)
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
    parameters = sum(p.numel() for p in audited.model.parameters())
    architecture = audited.model.config.model_type
    facts = ModelFacts(
        architecture,
        parameters,
        len(audited.tokenizer),
        weights_digest(audited.ckpt),
        audited.head_loaded,
        beats,
    )
    return facts, measurements


def _held_out_losses(bench: Bench) -> tuple[Floats, Floats, Floats]:
    """Of each held-out passage, (N,): the model's summed loss, the unigram model's, and its tokens."""
    audited = bench.audited
    if audited.causal:
        answers = bench.model.answer(
            [Probe(passage.ids, tuple(range(1, len(passage.ids) - 1))) for passage in bench.others]
        )
        return (
            np.array([-answer.log_probability.sum() for answer in answers]),
            np.array([-bench.unigram[passage.ids[1:-1]].sum() for passage in bench.others]),
            np.array([len(passage.ids) - 2.0 for passage in bench.others]),
        )
    inner = [passage.ids[1:-1] for passage in bench.others]
    found = held_out(audited.model, inner, bench.unigram, audited.tokenizer, audited.window, best_device())
    return found.loss, found.unigram, found.tokens
