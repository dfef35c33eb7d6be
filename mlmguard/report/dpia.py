"""An excerpt for a data protection impact assessment (GDPR, article 35(7)).

With the records of article 30, and the technical documentation of the AI Act (annex IV, 2(d) and (g)).

What the evidence knows is filled in. What only the controller knows is a gap, or what ``[release]`` of
mlmguard.toml declares; necessity and proportionality are never computed.
"""

from __future__ import annotations

from mlmguard.measures import charged_steps
from mlmguard.report import briefing, words
from mlmguard.report.annex import GAP, Row, said, section
from mlmguard.report.clearance import Case
from mlmguard.report.markdown import escaped
from mlmguard.report.tables import UNMET, count
from mlmguard.types import PrivacyStatement


def render(case: Case) -> str:
    """The excerpt as Markdown."""
    lines = [f"# Excerpt for an impact assessment: audit of {escaped(words.audited(case))}", ""]
    lines += section("GDPR, article 35(7)", _assessment(case))
    lines += section("GDPR, article 30", _records(case))
    lines += section("AI Act, annex IV, 2(d) and (g)", _documentation(case))
    return "\n".join(lines)


def _assessment(case: Case) -> list[Row]:
    model, asked = case.evidence.model, dict(briefing.answers(case))
    return [
        (
            "(a) processing",
            f"A {words.kind(case)} language model ({model.architecture}, {model.parameters:,} parameters) "
            f"was trained on text. {' '.join(asked['Corpus'])}",
        ),
        ("(a) purposes", said(case, "intended-use")),
        ("(b) necessity and proportionality", said(case, "necessity")),
        ("(c) risk: values come out", words.values(case)),
        ("(c) risk: who was in the corpus is told", words.roc(case)),
        ("(c) risk: phrases are given back", words.unknown(case)),
        ("(c) what the tests could not have seen", " ".join(asked["Smallest leak it would see"])),
        ("(d) measure: redaction", " ".join((*asked["Names of persons"], *asked["Never looked for"]))),
        ("(d) measure: duplicates", words.duplicates(case)),
        ("(d) measure: differential privacy", briefing.of_a_person(case)),
        ("(d) how it is demonstrated", _demonstrated(case)),
    ]


def _demonstrated(case: Case) -> str:
    judged = case.judgement
    if judged is None:
        return "No policy was applied."
    _, sentence = words.headline(case)
    unmet = [verdict.rule for verdict in judged.verdicts if verdict.status in UNMET]
    text = f"{words.judged(case)} {sentence}"
    return f"{text} Not shown: {', '.join(unmet)}." if unmet else text


def _records(case: Case) -> list[Row]:
    return [
        ("controller", said(case, "curators")),
        ("purposes", said(case, "intended-use")),
        ("categories of people and data", said(case, "categories")),
        ("recipients", said(case, "recipients")),
        ("retention", said(case, "retention")),
        ("ground", said(case, "legal-basis")),
        ("security", f"findings are kept as keyed fingerprints; {said(case, 'security')}"),
    ]


def _documentation(case: Case) -> list[Row]:
    parts = (case.evidence.manifest, case.evidence.statement, case.evidence)
    runs = dict.fromkeys(one.run_id for one in parts if one is not None and one.run_id)
    day = case.judgement.day if case.judgement and case.judgement.day else "no judgement is dated"
    return [
        ("2(d) training", _trained(case.evidence.statement)),
        ("2(d) provenance of the text", said(case, "categories")),
        ("2(d) labelling and cleaning", f"{words.personal_data(case)} {words.duplicates(case)}"),
        ("2(g) validation and testing", f"{words.attacks(case)} {words.unknown(case)}"),
        ("2(g) logs", f"runs {', '.join(runs)}" if runs else f"{GAP}the logs of the training elsewhere]"),
        ("2(g) dated and signed by", f"{day}; {said(case, 'authors')}"),
    ]


def _trained(statement: PrivacyStatement | None) -> str:
    if statement is None:
        return f"{GAP}how the model was trained; no statement of a training is in the evidence]"
    plan = statement.plan
    if plan is None:
        return f"Trained without privacy, in {statement.sampler}."
    return (
        f"{count(charged_steps(statement.ledger))} steps with DP-SGD: each {statement.unit} drawn with "
        f"probability {plan.sample_rate:.3g} a step ({statement.sampler}), its gradient clipped to a norm of "
        f"{plan.max_grad_norm:g}, noise of {plan.noise_multiplier:.4g} times that norm."
    )
