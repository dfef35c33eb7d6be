"""Two annexes for whoever must show them: EDPB Opinion 28/2024 and NIST SP 800-226, item by item.

Each item is answered from the evidence, or is a gap that says what a person has to write there. Nothing here
says that a requirement is met: that is for the authority, or for whoever signs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlmguard.measures import DERIVED, claim, refuted
from mlmguard.report import briefing, words
from mlmguard.report.clearance import DECLARED, Case
from mlmguard.report.markdown import escaped
from mlmguard.showing import show_checks, show_epsilon
from mlmguard.types import PrivacyStatement

Row = tuple[str, str]

GAP = "[to be written: "
"""How what a person has to write begins."""

#: Attacks of the Opinion's paragraph 55, and what of ours is one of them.
EDPB_ATTACKS: Mapping[str, tuple[str, ...]] = {
    "attribute inference": ("pii", "values"),
    "membership inference": ("membership", "shadow models", "releases"),
    "exfiltration": ("canary", "records"),
    "regurgitation of training data": ("ngram", "generation"),
    "model inversion": ("generation", "vocabulary"),
    "reconstruction": ("records", "rare"),
}


def gap(key: str) -> str:
    """Return the words that stand where somebody has to write something."""
    return f"{GAP}{DECLARED[key]}]"


def said(case: Case, key: str) -> str:
    """Return what was declared under ``key`` of ``[release]`` in mlmguard.toml, or the gap."""
    return case.declared.get(key) or gap(key)


def render(case: Case) -> str:
    """Both annexes as Markdown."""
    word, sentence = words.headline(case)
    lines = [f"# Annexes to the release report: audit of {escaped(words.audited(case))}", ""]
    lines += [f"Verdict: {escaped(word)}. {escaped(sentence)} {escaped(words.judged(case))}".rstrip(), ""]
    lines += section("EDPB Opinion 28/2024", edpb(case))
    lines += section("NIST SP 800-226", nist(case))
    return "\n".join(lines)


def section(title: str, rows: Sequence[Row]) -> list[str]:
    """Return a heading and a table of items with their answers."""
    table = [f"| {escaped(item)} | {escaped(answer)} |" for item, answer in rows]
    return [f"## {title}", "", "| item | answer |", "|---|---|", *table, ""]


# --- EDPB Opinion 28/2024 -----------------------------------------------------------------------------


def edpb(case: Case) -> list[Row]:
    """Answer the Opinion's items on what a controller documents, attack by attack."""
    rows = [("46: who has access to the model, and how", said(case, "access"))]
    rows += [(f"55: {attack}", _attempts(case, ours)) for attack, ours in EDPB_ATTACKS.items()]
    manifest, statement = case.evidence.manifest, claim(case.evidence)
    asked = dict(briefing.answers(case))
    design = (
        f"ε = {show_epsilon(statement.epsilon)} for one {statement.unit} {_standing(case)}"
        if statement and statement.epsilon is not None
        else "no differential privacy is claimed"
    )
    return [
        *rows,
        ("58: design", f"{case.evidence.model.architecture}; {design}"),
        ("58: data minimisation", f"{words.personal_data(case)} {words.duplicates(case)}"),
        ("58: sources and their selection", " ".join(asked["Corpus"])),
        ("58: what was not looked for", " ".join(asked["Never looked for"])),
        ("58: threat model", "An attacker with the weights, the tokenizer and contexts of what is sought."),
        ("58: tests and their controls", f"{words.values(case)} {words.unknown(case)}"),
        ("58: what the tests could not have seen", " ".join(asked["Smallest leak it would see"])),
        (
            "58: versions and seeds",
            f"mlmguard {case.evidence.tool_version}"
            + (f"; scan {manifest.run_id}" if manifest else "")
            + f"; audit of {words.audited(case)}; {_seed(case)}",
        ),
        ("58: limitations", " ".join(words.LIMITS)),
        ("legal basis of the training", said(case, "legal-basis")),
    ]


def _attempts(case: Case, ours: Sequence[str]) -> str:
    known = {one.attack: one for one in case.evidence.attacks}
    told = []
    for name in ours:
        one = known.get(name)
        told.append(f"{name}: {one.status}, {one.detail}" if one else f"{name}: the evidence does not say")
    tests = [
        f"{m.attack}.{m.metric} {m.slice}".rstrip() + f" = {m.value:.3g}"
        for m in case.evidence.measurements
        if m.attack in ours and m.metric.endswith("_p") and m.value is not None
    ]
    return ". ".join([*told, *([f"Corrected p-values: {', '.join(tests)}"] if tests else [])])


def _standing(case: Case) -> str:
    """Whether anything here speaks against the claim."""
    fault = refuted(case.evidence)
    return f"is claimed, and {fault}: it does not hold" if fault else "is claimed"


def _times_n(case: Case) -> str:
    """δ beside one over the number of units, as the rule ``dp-delta`` judges it."""
    found = next((value for _, value, _ in DERIVED["privacy.delta_times_n"](case.evidence)), None)
    return "" if found is None else f", which is {found:.2g} of one over the number of units"


def _seed(case: Case) -> str:
    note = next((note for note in case.evidence.notes if note.startswith("Seed ")), "")
    return note.split(";")[0].lower() or "the seed is not told"


# --- NIST SP 800-226 ----------------------------------------------------------------------------------


def nist(case: Case) -> list[Row]:
    """Answer the publication's hazards, and the parts of its pyramid that no number can answer."""
    statement, manifest = claim(case.evidence), case.evidence.manifest
    if statement is None:
        answer = "no differential privacy is claimed: the publication's hazards of ε do not apply"
        return [("ε and the unit of privacy", answer), *_beyond_epsilon(case)]
    delta = f"δ = {statement.delta:g}" if statement.delta is not None else "δ is not given"
    together = (
        f"all private runs on this corpus together: ε = {show_epsilon(statement.corpus_epsilon)}"
        if statement.corpus_epsilon is not None
        else statement.corpus_epsilon_reason or "the runs on this corpus together are not told"
    )
    return [
        ("2.2: a large ε", briefing.of_a_person(case)),
        ("2.3: δ allows a catastrophe", f"{delta}{_times_n(case)}"),
        ("2.4: a unit that does not capture the harm", _hazard(statement, "unit-smaller-than-person")),
        ("2.5: different units or δ are not compared", f"{statement.unit}; {delta}; {together}"),
        ("2.6: other releases of the same data", _hazard(statement, "non-private-releases")),
        ("3.7: the unit of unstructured data", f"{statement.unit}: {statement.unit_definition}"),
        (
            "4.3: implementation",
            "; ".join(
                f"{name}: {_hazard(statement, name)}"
                for name in ("clipping", "floating-point", "random-numbers", "sampling-mismatch", "timing")
            ),
        ),
        (
            "4.3: tests of the mechanism",
            show_checks(statement.mechanism_checks)
            if statement.mechanism_checks
            else "the run made none: it was trained by a version that had none",
        ),
        ("4.4: security of what lies beside the model", _hazard(statement, "run-folder")),
        *_beyond_epsilon(case),
        ("4.5: collection is not excused", _collected(case) if manifest else "no scan is in the evidence"),
    ]


def _beyond_epsilon(case: Case) -> list[Row]:
    better = {"yes": "better than", "no": "no better than"}.get(words.works(case))
    told = f"the model predicts held-out text {better} word frequencies"
    return [
        ("utility", told if better else "no text is known that it was not trained on: not known"),
        ("bias", f"{GAP}for whom the model works worse; mlmguard does not measure it]"),
        ("4.2: actors and trust", said(case, "actors")),
        ("4.4: who gets access", said(case, "access")),
    ]


def _collected(case: Case) -> str:
    return f"{words.personal_data(case)} Ground: {said(case, 'legal-basis')}."


def _hazard(statement: PrivacyStatement, name: str) -> str:
    one = next((hazard for hazard in statement.hazards if hazard.id == name), None)
    if one is None:
        return "the statement does not say"
    status = {"absent": "no hazard here", "present": "a hazard here"}.get(one.status, "not known")
    return f"{status}: {one.detail}"
