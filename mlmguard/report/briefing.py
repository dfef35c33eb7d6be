"""What who signs asks first: of whom the corpus holds what, what ε says of a person, who must act."""

from __future__ import annotations

from mlmguard.hazards import STANDING, STATED
from mlmguard.measures import claim, refuted
from mlmguard.report import tables, words
from mlmguard.report.clearance import Case
from mlmguard.report.tables import UNMET, count, totals
from mlmguard.showing import show_epsilon
from mlmguard.types import Manifest, PrivacyStatement, Status, looked_for, not_looked_for

_PERSON = "PERSON"
_LISTED = 8
_FEW = 6
_LISTS = {
    "records.listed": "that the model may know by heart",
    "values.listed": "with a value that the model is surer of than of any held-out one",
}


def answers(case: Case) -> list[tuple[str, list[str]]]:
    """Return each question with its answer, line by line, from the evidence alone; not knowing is said."""
    manifest = case.evidence.manifest
    return [
        ("Corpus", [_corpus(manifest)]),
        ("Names of persons", [_names(manifest)]),
        ("Never looked for", [_never(manifest)]),
        ("What ε says of a person", [of_a_person(case)]),
        ("Who must act", who_acts(case)),
        ("Smallest leak it would see", [reach(case) or "The evidence does not say."]),
    ]


def reach(case: Case) -> str:
    """Return how many leaked documents this audit would have found, "" where the evidence does not say."""
    note = next((note for note in case.evidence.notes if note.startswith("Reach: ")), "")
    said = ". ".join(note.removeprefix("Reach: ").split(". ")[:2]).rstrip(".")
    return f"{said[0].upper()}{said[1:]}." if said else ""


def _corpus(manifest: Manifest | None) -> str:
    if manifest is None:
        return "No scan is part of this evidence: what the model was trained on is not known here."
    trained = manifest.splits.get("train", manifest.documents_written)
    text = f"{count(manifest.documents_read)} documents read, {count(trained)} trained on"
    if not manifest.languages:
        return f"{text}; their languages were not told."
    shown = [f"{row.language} {count(row.documents)}" for row in manifest.languages[:_FEW]]
    more = len(manifest.languages) - len(shown)
    text += f"; by language: {', '.join(shown)}{f' and {more} more' if more > 0 else ''}"
    foreign = sum(manifest.foreign.values())
    if foreign:
        text += f". In {count(foreign)} of them nobody looked for the identifiers of their language"
    untold = sum(row.documents for row in manifest.languages if row.status == "undetermined")
    if untold:
        text += f". The language of {count(untold)} could not be told"
    return f"{text}."


def _names(manifest: Manifest | None) -> str:
    if manifest is None:
        return "Not known: no scan is part of this evidence."
    if not manifest.coverage:
        return "Not known: the scan did not say what was looked for."
    if _PERSON not in looked_for(manifest.coverage):
        return "Nobody looked for them: whatever names the corpus holds were trained on."
    found, redacted, left = totals(row for row in manifest.findings if row.rule == _PERSON)
    recall = next((d.recall for d in manifest.coverage if d.entity == _PERSON and d.recall), "not measured")
    return (
        f"Looked for: {words.taken_out(found, redacted, left)}. Share found of labelled text: "
        f"{recall}. Names that were missed were trained on."
    )


def _never(manifest: Manifest | None) -> str:
    if manifest is None or not manifest.coverage:
        return "Not known."
    missing = sorted(not_looked_for(manifest.coverage))
    looked = len(looked_for(manifest.coverage))
    text = f"All {looked} types that the scan knew were looked for. Types it does not know were not."
    if missing:
        more = len(missing) - _LISTED
        text = f"{', '.join(missing[:_LISTED])}{f' and {more} more' if more > 0 else ''}."
    foreign = list(manifest.foreign)
    if foreign:
        more = len(foreign) - _FEW
        named = f"{', '.join(foreign[:_FEW])}{f' and {more} more' if more > 0 else ''}"
        text += f" In documents of another language ({named}): the identifiers of that language."
    return text


def of_a_person(case: Case) -> str:
    """Return in words what ε bounds for one unit, and for a person who has several."""
    statement = claim(case.evidence)
    if statement is None or statement.epsilon is None:
        return "Nothing: no differential privacy is claimed. Only the attacks that were tried speak."
    unit = statement.unit or "unit"
    if fault := refuted(case.evidence):
        return f"Nothing: ε = {show_epsilon(statement.epsilon)} for one {unit} is claimed, and {fault}."
    text = f"ε = {show_epsilon(statement.epsilon)} for one {unit}"
    ceiling = statement.true_positive_ceilings.get("0.01")
    if ceiling is not None:
        text += (
            f": an attacker who accuses 1 in 100 wrongly recognises {words.at_most(ceiling)} of "
            "those trained on"
        )
    hollow = [h.id for h in statement.hazards if h.status != "absent" and h.id not in STANDING | STATED]
    if hollow:
        text = f"Less than it seems, for {', '.join(hollow)} (mlmguard explain says what they are): {text}"
    return f"{text}. {_of_several(statement, unit)}".rstrip()


def _of_several(statement: PrivacyStatement, unit: str) -> str:
    smaller = next((h.status for h in statement.hazards if h.id == "unit-smaller-than-person"), "unknown")
    if smaller == "absent":
        return "All that a person has in the corpus is one unit."
    said = [
        f"{size}: {'no bound' if epsilon is None else f'ε = {show_epsilon(epsilon)}'}"
        for size, epsilon in sorted(statement.group_epsilon.items(), key=lambda item: int(item[0]))
    ]
    several = f" ({', '.join(said)})" if said else ""
    return f"For a person with several {unit}s it is weaker{several}."


def who_acts(case: Case) -> list[str]:
    """Return who has to do what before a release, by the verdicts and the statements not signed."""
    judgement = case.judgement
    if judgement is None:
        return ["Nobody has judged this evidence: mlmguard gate EVIDENCE --policy base."]
    acts = []
    statements = {one.id: one for one in judgement.attestations}
    unmet = [v for v in judgement.verdicts if v.status in UNMET and v.rule not in statements]
    for status, does in (
        (Status.FAIL, "do not release; mend"),
        (Status.INCONCLUSIVE, "measure what is not known:"),
        (Status.WARN, "decide on the warnings:"),
    ):
        rules = [verdict.rule for verdict in unmet if verdict.status is status]
        if rules:
            more = len(rules) - _FEW
            named = ", ".join(rules[:_FEW]) + (f" and {more} more" if more > 0 else "")
            acts.append(f"Who trained the model: {does} {named}.")
    roles: dict[str, int] = {}
    for verdict in judgement.verdicts:
        if verdict.rule in statements and verdict.status in UNMET:
            role = statements[verdict.rule].role
            roles[role] = roles.get(role, 0) + 1
    acts += [
        f"{role[:1].upper()}{role[1:]}: sign {'1 statement' if n == 1 else f'{n} statements'}."
        for role, n in roles.items()
    ]
    expiring = [use.rule for use in judgement.waivers if use.state == "expires soon"]
    if expiring:
        acts.append(f"Owners of waivers: {', '.join(expiring)} end within a month.")
    for name, what in _LISTS.items():
        listed = next((m.value for m in tables.of(case.evidence, name) if m.value), None)
        if listed:
            documents = "1 document" if listed == 1 else f"{count(listed)} documents"
            acts.append(f"The data owner: look at {documents} {what} (audit --records names them).")
    if not acts and judgement.status not in (Status.PASS, Status.WAIVED):
        return [words.headline(case)[1]]
    return acts or ["Nobody before the release; who answers for it signs below."]


def signatories(case: Case) -> list[str]:
    """Return the roles that a signature is wanted of: two people, and who makes a statement."""
    roles = [one.role for one in case.judgement.attestations] if case.judgement else []
    return list(dict.fromkeys(["prepared by", "released by", *roles]))
