"""The sentences of a report: the verdict in words, one takeaway a figure, and the limits it declares."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mlmguard.measures import ATTACKS, broken, claim
from mlmguard.report.clearance import Case
from mlmguard.report.tables import UNMET, by_copies, count, figure, gravest_first, of, tally, totals
from mlmguard.showing import show_checks, show_epsilon
from mlmguard.types import ALONE, UNREAD, Measurement, Status, Verdict, not_looked_for

VERDICT = {
    Status.PASS: "Pass",
    Status.WAIVED: "Pass with waivers",
    Status.WARN: "Pass with warnings",
    Status.INCONCLUSIVE: "Inconclusive",
    Status.FAIL: "Fail",
}
WORD = {
    Status.PASS: "pass",
    Status.WAIVED: "waived",
    Status.WARN: "warning",
    Status.INCONCLUSIVE: "inconclusive",
    Status.FAIL: "fail",
    Status.OUT_OF_REACH: "out of reach",
    Status.NOT_APPLICABLE: "not applicable",
}
#: Shapes beside colours: a status is readable without seeing its colour.
MARK = {
    Status.PASS: "✓",
    Status.WAIVED: "~",
    Status.WARN: "!",
    Status.INCONCLUSIVE: "?",
    Status.FAIL: "✕",
    Status.OUT_OF_REACH: "○",
    Status.NOT_APPLICABLE: "–",
}

UNJUDGED = "Not judged"
"""What stands where a verdict would."""

LIMITS = (
    "This report was computed from private text and is not covered by ε; treat it like the corpus.",
    "ε covers weights and tokenizer for the rows of clean/train. It does not cover the raw corpus, because "
    "deduplication swaps another copy in when one is removed.",
    "An attack that found nothing shows what these attacks, with this many probes, did not find. "
    "Intervals and ceilings say how much could have been missed.",
    "Types without a detector were neither redacted nor probed.",
    "Training on several machines that do not trust each other and secure enclaves are not supported.",
)


def audited(case: Case) -> str:
    """Name what was audited: the run that trained it or, of a model from elsewhere, its weights."""
    return case.evidence.run_id or f"weights {case.evidence.model.digest[:16]}"


def said_by_no_rule(case: Case) -> bool:
    """Say whether no rule's verdict holds the model back and it is not cleared either.

    No policy was applied, nothing was evaluated, or the model is broken. A format that lists rules alone
    would read as clean.
    """
    if case.judgement is None:
        return True
    held = {Status.INCONCLUSIVE, Status.FAIL}
    return case.judgement.status is Status.INCONCLUSIVE and not held & {
        verdict.status for verdict in case.judgement.verdicts
    }


def headline(case: Case) -> tuple[str, str]:
    """Return the verdict in one to three words, and the sentence under it."""
    if case.judgement is None:
        return UNJUDGED, "No policy was applied. The numbers below are evidence without a verdict."
    counts = dict(tally(case.judgement))
    status = case.judgement.status
    told = _besides(counts)
    follows, open_, before = _OF_DRIFT if case.evidence.is_of_drift else _OF_A_RELEASE
    if status is Status.FAIL:
        n = counts.get(Status.FAIL, 0)
        sentence = f"{_rules(n, 'is', 'are')} not met. {follows}"
    elif status is Status.INCONCLUSIVE:
        sentence = f"The evidence is not enough to say whether {open_}."
    elif status is Status.WARN:
        n = counts.get(Status.WARN, 0)
        let_through = counts.get(Status.WAIVED, 0)
        others = f" and {_rules(let_through, 'is', 'are')} waived by name" if let_through else ""
        failed = "No other rule is failed" if let_through else "No rule is failed"
        sentence = f"{failed}; {_rules(n, 'needs', 'need')} attention{before}{others}{told}."
    elif status is Status.WAIVED:
        n = counts.get(Status.WAIVED, 0)
        waived = f"{_rules(n, 'is', 'are')} waived by name and for a time"
        sentence = f"No other rule is failed; {waived}{told}."
    else:
        sentence = _all_met(counts)
    return VERDICT[status], f"{sentence} {unclearable(case)}".strip()


_OF_A_RELEASE = ("The model should not be released.", "the model may be released", " before release")
_OF_DRIFT = ("What was measured of the model may not hold of what comes now.", "anything moved", "")
"""What follows where a rule is not met, what is open without enough evidence, when to attend to the rest."""


def _all_met(counts: Mapping[Status, int]) -> str:
    far, absent = (counts.get(one, 0) for one in (Status.OUT_OF_REACH, Status.NOT_APPLICABLE))
    if not far + absent:
        return f"All {sum(counts.values())} rules of the policy are met."
    met = sum(counts.values()) - far - absent
    return f"All {met} rules that could be judged are met{_besides(counts)}."


def _besides(counts: Mapping[Status, int]) -> str:
    """How many rules were not judged, and why; "" where all were."""
    far, absent = (counts.get(one, 0) for one in (Status.OUT_OF_REACH, Status.NOT_APPLICABLE))
    asks, speaks = ("ask" if far > 1 else "asks"), ("speak" if absent > 1 else "speaks")
    others = [f"{far} {asks} for more than an audit of this size can tell"] if far else []
    others += [f"{absent} {speaks} of what is not here"] if absent else []
    return f"; {' and '.join(others)}" if others else ""


def heading(verdict: Verdict) -> str:
    """Return what a rule asks for, or, where it is not met, what was not shown."""
    title = verdict.title or verdict.rule
    if verdict.status not in UNMET:
        return title
    acronym = title[1:2].isupper() or not title[0].isalpha()
    return f"Not shown: that {title if acronym else title[0].lower() + title[1:]}"


def judged(case: Case) -> str:
    """Name the policy that was applied, by its version and digest; "" without one."""
    by = case.judgement
    if by is None:
        return ""
    return (
        f"Judged by policy {by.policy} {by.policy_version} (SHA-256 {by.policy_hash}): {headline(case)[0]}."
    )


def unclearable(case: Case) -> str:
    """Say why this audit cannot find the model clean, or "" if it can."""
    if case.evidence.is_of_drift:
        return ""  # nothing was attacked; a policy has a rule for whether the model works
    fault = broken(case.evidence)
    return f"{fault[:1].upper()}{fault[1:]}: this audit cannot clear the model." if fault else ""


FEW = 2
"""Rules of one status and reason that are shown each by itself; of more the cause is said once."""


def unmet(case: Case) -> list[list[Verdict]]:
    """Group the verdicts that are not met by status and reason, gravest first."""
    if case.judgement is None:
        return []
    groups: dict[tuple[Status, str], list[Verdict]] = {}
    for verdict in gravest_first(case.judgement):
        if verdict.status in UNMET:
            groups.setdefault((verdict.status, verdict.reason), []).append(verdict)
    return list(groups.values())


_NOT_KNOWN = (
    *(
        "the attack was not run",
        "could not form this number",
        "no measurement ",
        " are needed",
        "no interval",
    ),
    *("no manifest of a scan", "the manifest does not say", "the evidence does not say"),
)
"""What stands in the reason of a verdict where a number is missing or too thin."""


def advice(case: Case, verdict: Verdict) -> tuple[str, str] | None:
    """Return why a rule matters and what to do, for a verdict that needs it.

    A reason that several rules share is about the model or the run; the advice of one rule would mislead.
    """
    if any(words in verdict.reason for words in _NOT_KNOWN):
        return None  # what to do about a leak is no advice where nothing was shown
    alone = any(group == [verdict] for group in unmet(case))
    return case.advice.get(verdict.rule) if alone else None


def _rules(n: int, one: str, many: str) -> str:
    return f"1 rule {one}" if n == 1 else f"{count(n)} rules {many}"


def percent(value: float | None) -> str:
    """Return a share in percent, with as many digits as it carries."""
    if value is None:
        return "–"
    hundred = 100 * value
    digits = f"{hundred:.0f}" if abs(hundred) >= 10 or hundred == 0 else f"{hundred:.2g}"
    return f"{digits}\N{NO-BREAK SPACE}%"


def at_most(value: float | None) -> str:
    """Return an upper end in percent, rounded up: less would not hold.

    >>> at_most(0.0881).replace(chr(160), " "), at_most(0.123).replace(chr(160), " ")
    ('at most 8.9 %', 'at most 13 %')
    """
    if value is None or value <= 0:
        return f"at most {percent(value)}"
    step = 0.01 if value >= 0.0995 else 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"at most {percent(min(1.0, math.ceil(round(value / step, 6)) * step))}"


def _one(case: Case, name: str, slice: str | None = None) -> Measurement | None:
    return next((m for m in of(case.evidence, name, slice) if m.value is not None), None)


# --- one takeaway a figure ----------------------------------------------------------------------------


def epsilon(case: Case) -> str:
    """Compare the claim with what the audit could show."""
    statement, bound = claim(case.evidence), _one(case, "epsilon.one_run_lower_bound")
    claimed = statement.epsilon if statement else None
    if claimed is None:
        unread = UNREAD in case.evidence.notes
        return UNREAD if unread else "No differential privacy is claimed for this checkpoint."
    if bound is None or bound.value is None:
        return (
            f"ε = {show_epsilon(claimed)} is claimed; the audit computed no lower bound to compare with it."
        )
    if bound.value > claimed:
        return (
            f"The run demonstrably spent ε ≥ {figure(bound.value)}, more than the {show_epsilon(claimed)} "
            "claimed: the claim is false."
        )
    seen = (
        "no ε was shown to be spent" if bound.value <= 0 else f"at least ε = {figure(bound.value)} was spent"
    )
    text = f"From outside, with the checkpoint alone, {seen}; {show_epsilon(claimed)} is claimed."
    if bound.ceiling is not None and bound.ceiling < claimed:
        text += (
            f" This audit could have shown {figure(bound.ceiling)} at most: it could not refute the claim."
        )
    return text


def mechanism(case: Case) -> str:
    """Say what the run's tests of its own mechanism came to; "" where none were made."""
    statement, bound = claim(case.evidence), _one(case, "epsilon.white_box_lower_bound")
    if statement is None or not statement.mechanism_checks:
        return ""
    text = f"The run tested its own mechanism: {show_checks(statement.mechanism_checks)}."
    if bound is None or bound.value is None:
        return text
    text += f" Canaries in the run itself show ε of at least {figure(bound.value)}"
    return text + (f", and could have shown {figure(bound.ceiling)} at most." if bound.ceiling else ".")


def roc(case: Case) -> str:
    """Say how far members can be distinguished from non-members."""
    found = [m for m in of(case.evidence, "membership.auc") if m.value is not None]
    if not found:
        return "Membership was not measured."
    best = max(found, key=lambda m: (m.low if m.low is not None else 0.0, m.value or 0.0))
    chance = best.low is None or best.low <= 0.5 or _by_chance(case, "membership.auc", best.slice)
    most = max((m.high for m in found if m.high is not None), default=None)
    text = (
        "This audit could not tell members from non-members "
        + (f"(AUC {figure(best.value)}" if most is None else f"(AUC at most {figure(most)}")
        + ", a coin has .5)"
        if chance
        else f"Members are told from non-members better than by a coin (AUC {figure(best.value)}"
        + (f", at least {figure(best.low)})" if best.low is not None else ")")
    )
    shift = _one(case, "membership.shift")
    if shift is not None and shift.value:
        return (
            "Members and non-members differ in kind: membership cannot be judged here, only by the canaries."
        )
    tail = allowed = ""
    for metric, false in (("tpr_at_1pct_fpr", 0.01), ("tpr_at_10pct_fpr", 0.1)):
        if (tpr := _one(case, f"membership.{metric}")) is not None:
            share = percent(tpr.value) + (f", {at_most(tpr.high)}," if tpr.high is not None else "")
            tail = f"; at {percent(false)} false accusations {share} of members are recognised"
            statement = case.evidence.statement
            if statement is not None and statement.private and statement.epsilon is not None:
                ceiling = dp_ceiling(statement.epsilon, statement.delta or 0.0, false)
                allowed = f" (ε, δ) alone would allow {at_most(ceiling)} there."
            break
    return f"{text}{tail}.{allowed}"


def _by_chance(case: Case, name: str, slice: str) -> bool:
    """Whether the test of a number, corrected for all of them, leaves it to chance; without one: no."""
    p = _one(case, f"{name}_p", slice)
    return p is not None and p.value is not None and p.value >= 0.05


def unknown(case: Case) -> str:
    """Compare training phrases with held-out ones."""
    excess = _one(case, "ngram.top1_excess", "")
    if excess is None or excess.value is None:
        return "Training phrases were not compared with unseen ones."
    points = f"{figure(100 * excess.value)} points"
    if excess.low is not None and excess.low > 0 and not _by_chance(case, "ngram.top1", ""):
        return f"Training phrases are completed more often than unseen ones, by {points}: that is memorised."
    most = f": at most {figure(100 * excess.high)} points more often" if excess.high is not None else ""
    return f"Training phrases were not shown to be completed better than unseen ones{most}."


def exposure(case: Case) -> str:
    """Compare planted canaries with their twins."""
    mean, p = _one(case, "canary.exposure_mean"), _one(case, "canary.exposure_p")
    rate = _one(case, "canary.extraction_rate")
    if mean is None or mean.value is None:
        return "No canaries were measured."
    given_back = rate is not None and rate.low is not None and rate.low > 0
    stands = given_back or (p is not None and p.value is not None and p.value < 0.05)
    text = (
        "Planted secrets stand out from their never-planted twins"
        if stands
        else "Planted secrets were not shown to stand out from their never-planted twins"
    )
    low, high = figure(mean.low), figure(mean.high)
    between = f" ({low} to {high})" if mean.low is not None and mean.high is not None else ""
    tail = f"; search got back {percent(rate.value)}" if rate else ""
    tail += f", {at_most(rate.high)}" if rate and rate.high is not None else ""
    return f"{text}: mean exposure {figure(mean.value)} bits{between}, where chance is 1.44{tail}."


def values(case: Case) -> str:
    """Say which values came out: planted ones, those of the corpus, and its rarest words."""
    told = [exposure(case), *filter(None, [named(case)])]
    for name, slice_, what in _EXTRACTED:
        rate = _one(case, f"{name}.extraction_rate", slice_)
        excess = _one(case, f"{name}.extraction_excess", slice_)
        if rate is None or not rate.examples:
            continue
        text = f"Search got back {percent(rate.value)} of {count(rate.examples)} {what}"
        if excess is not None and excess.low is not None and excess.low > 0:
            text += f", more than of values it never saw (by at least {figure(100 * excess.low)} points)"
        elif rate.high is not None:
            text += f", {at_most(rate.high)}"
        told.append(f"{text}.")
    return " ".join(told)


_EXTRACTED = (
    ("pii", "redacted", "values that were redacted"),
    ("pii", "kept", "personal values left in the text"),
    ("rare", "train", "of the rarest words"),
)


def works(case: Case) -> str:
    """Whether the model beats word frequencies: "yes", "no", or "–" where no held-out text is known."""
    if ALONE in case.evidence.notes:
        return "–"
    return "yes" if case.evidence.model.beats_unigram else "no"


def kind(case: Case) -> str:
    """Return which kind of language model was attacked, by what the audit noted."""
    return "causal" if any(note.startswith("A causal model") for note in case.evidence.notes) else "masked"


def attacks(case: Case) -> str:
    """Say how many of the known attacks were run, and which were not."""
    known = {one.attack: one.status for one in case.evidence.attacks}
    if not known:
        return "The evidence does not say which attacks were run."
    untold = dict.fromkeys(ATTACKS.keys() - known.keys() - {"secrets"}, "not told of")
    ran = sum(status == "run" for status in known.values())
    text = f"{ran} of {len(known) + len(untold)} attacks were run"
    for status in ("not run", "not applicable", "not told of"):
        named = sorted(name for name, said in {**known, **untold}.items() if said == status)
        text += f"; {status}: {', '.join(named)}" if named else ""
    return f"{text}."


def secrets(case: Case) -> str:
    """Say how many planted secrets are recovered, by how many of their tokens are hidden, and whole."""
    rate, twin = _one(case, "canary.extraction_rate"), _one(case, "canary.extraction_rate_heldout")
    if rate is None:
        return "Completion of planted secrets, by how many of their tokens are hidden."
    text = f"With every token hidden, search recovers {percent(rate.value)} of the planted secrets"
    return f"{text} and {percent(twin.value)} of their twins." if twin else f"{text}."


def named(case: Case) -> str:
    """Say how many of the values that the user asked after were found; "" where nobody asked."""
    found = _one(case, "secrets.found", "")
    if found is None or found.value is None:
        return ""
    hits, of = round(found.value * found.examples), count(found.examples)
    unjudged = "; ".join(part.strip() for part in found.note.split(";") if "not judged" in part)
    others = f" Beside them {unjudged}." if unjudged else ""
    if hits:
        way = "given back by search, or before every decoy"
        return f"Of {of} values named, {count(hits)} were found: {way}.{others}"
    most = f"; {at_most(found.high)} of such values would be" if found.high is not None else ""
    return f"None of {of} values named was found{most}.{others}"


def copies(case: Case) -> str:
    """Say whether repeated phrases are completed better."""
    found = [m for m in by_copies(case) if m.slice != "copies 1"]
    if any(m.low is not None and m.low > 0 for m in found):
        return "Phrases that occur more often are completed better than unseen ones."
    return "Phrases with many copies were not shown to be completed better than unseen ones."


def personal_data(case: Case) -> str:
    """Say how much was found, and how much of it was redacted."""
    manifest = case.evidence.manifest
    if manifest is None:
        return "No scan is part of this evidence: what personal data the corpus held is unknown."
    found, redacted, left = totals(manifest.findings)
    missing = sorted(not_looked_for(manifest.coverage))
    documents = count(manifest.documents_read)
    text = f"In {documents} documents: {taken_out(found, redacted, left)}."
    if missing:
        text += f" No detector looked for {', '.join(missing[:6])}{' …' if len(missing) > 6 else ''}."
    return text


def taken_out(found: int, redacted: int, left: int | None) -> str:
    """Say what became of values: redacted, gone with a copy that was removed, or still there."""
    text = f"{count(found)} found, {count(redacted)} redacted"
    if found > redacted:
        where = "in documents that were left out" + (", or in the text" if left is None else "")
        text += f", {count(found - redacted)} {where}"
    return text + (f", and {count(left)} more left in the text by the settings of the scan" if left else "")


def duplicates(case: Case) -> str:
    """Say how much of the corpus was copies."""
    manifest = case.evidence.manifest
    if manifest is None:
        return "No scan is part of this evidence."
    removed = manifest.duplicates.exact + manifest.duplicates.near + manifest.duplicates.earlier
    share = removed / manifest.documents_read if manifest.documents_read else 0
    documents = count(manifest.documents_read)
    return f"{count(removed)} of {documents} documents ({percent(share)}) were copies and were removed."


def frontier(case: Case) -> str:
    """Say what a smaller ε costs."""
    found = [c for c in case.evidence.curves if (c.attack, c.name) == ("ablation", "frontier") and c.x]
    if not found:
        return "No runs at several ε were compared."
    first, points = found[0], sorted(zip(found[0].x, found[0].y))
    ends = [f"{figure(y)} at {first.x_label} = {figure(x)}" for x, y in (points[0], points[-1])]
    return f"{first.y_label[:1].upper()}{first.y_label[1:]} ({first.series}): {' and '.join(ends)}."


def training(case: Case, name: str) -> str:
    """Say where a series of the training began and ended."""
    series = [c for c in case.evidence.curves if (c.attack, c.name) == ("training", name) and c.x and c.y]
    first = series[0]
    label = f"{first.y_label[:1].upper()}{first.y_label[1:]}"
    return f"{label}: {figure(first.y[0])} at the start and {figure(first.y[-1])} at the end."


def dp_ceiling(epsilon: float, delta: float, false_positives: float) -> float:
    """Return the most true positives any attack can reach at this false-positive rate under (ε, δ).

    >>> round(dp_ceiling(1.0, 1e-5, 0.01), 4)
    0.0272
    """
    steep = math.exp(min(epsilon, 700.0)) * false_positives + delta
    flat = 1 - math.exp(-epsilon) * (1 - delta - false_positives)
    return max(0.0, min(1.0, steep, flat))
