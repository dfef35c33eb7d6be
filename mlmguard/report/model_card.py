"""The part of a model card that mlmguard writes; the rest of the card is somebody else's and stays."""

from __future__ import annotations

from mlmguard.errors import InputError
from mlmguard.measures import refuted
from mlmguard.report import words
from mlmguard.report.clearance import Case
from mlmguard.report.markdown import escaped
from mlmguard.showing import show_epsilon
from mlmguard.tiers import disclosure

BEGIN, END = "<!-- mlmguard: begin -->", "<!-- mlmguard: end -->"


def render(case: Case) -> str:
    """The section with its fences."""
    statement, model = case.evidence.statement, case.evidence.model
    word, sentence = words.headline(case)
    rows = [("Verdict", f"{word}. {sentence}")]
    if case.judgement is not None:
        judged = case.judgement
        rows.append(("Policy", f"{judged.policy} {judged.policy_version}, SHA-256 {judged.policy_hash}"))
    if statement is not None and statement.private and statement.epsilon is not None:
        delta = f"{statement.delta:g}" if statement.delta is not None else "not given"
        fault = refuted(case.evidence)
        claimed = f"ε = {show_epsilon(statement.epsilon)}, δ = {delta}"
        claimed += f" is claimed, and does not hold: {fault}" if fault else ""
        rows += [
            ("Differential privacy", claimed),
            ("Unit of privacy", f"{statement.unit}: {statement.unit_definition}"),
            ("Neighbours", statement.adjacency),
            ("Covers", statement.covers),
            ("Disclosure", disclosure(statement)),
        ]
    else:
        rows.append(("Differential privacy", "none is claimed"))
    rows.append(("Audit", words.epsilon(case)))
    if tested := words.mechanism(case):
        rows.append(("Mechanism", tested))
    rows.append(("Weights, SHA-256", model.digest))
    lines = [BEGIN, "## Privacy", "", "| | |", "|---|---|"]
    lines += [f"| {escaped(name)} | {escaped(value)} |" for name, value in rows]
    lines += ["", "### What was measured", ""]
    takeaways = (words.values, words.roc, words.unknown, words.personal_data)
    lines += [f"- {escaped(say(case))}" for say in takeaways]
    lines += ["", "### Limits", "", *(f"- {escaped(limit)}" for limit in words.LIMITS), END]
    return "\n".join(lines) + "\n"


def merge(card: str, section: str) -> str:
    """``card`` with the section in place of the old one, or after everything else if it had none."""
    begins, ends = card.count(BEGIN), card.count(END)
    if begins == ends == 0:
        return f"{card.rstrip()}\n\n{section}" if card.strip() else section
    if begins != 1 or ends != 1 or card.index(END) < card.index(BEGIN):
        found = f"{begins} beginnings and {ends} ends of the mlmguard section"
        raise InputError("the model card", found, "one of each, in this order", "remove what is left over")
    before, rest = card.split(BEGIN)
    return before + section.rstrip("\n") + rest.split(END)[1]
