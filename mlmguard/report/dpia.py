"""An excerpt for a data protection impact assessment (GDPR, article 35(7)).

With the records of article 30, and the technical documentation of the AI Act (annex IV, 2(d) and (g)).

What the evidence knows is filled in. What only the controller knows is a gap, or what ``[release]`` of
mlmguard.toml declares; necessity and proportionality are never computed.
"""

from __future__ import annotations

from mlmguard.measures import claim
from mlmguard.report import briefing, words
from mlmguard.report.annex import Row, said, section
from mlmguard.report.clearance import Case
from mlmguard.report.markdown import escaped
from mlmguard.report.tables import UNMET


def render(case: Case) -> str:
    """The excerpt as Markdown."""
    lines = [f"# Excerpt for an impact assessment: audit {escaped(case.evidence.run_id)}", ""]
    lines += section("GDPR, article 35(7)", _assessment(case))
    lines += section("GDPR, article 30", _records(case))
    lines += section("AI Act, annex IV, 2(d) and (g)", _documentation(case))
    return "\n".join(lines)


def _assessment(case: Case) -> list[Row]:
    model, asked = case.evidence.model, dict(briefing.answers(case))
    return [
        (
            "(a) processing",
            f"A masked language model ({model.architecture}, {model.parameters:,} parameters) was trained on "
            f"text. {' '.join(asked['Corpus'])}",
        ),
        ("(a) purposes", said(case, "intended-use")),
        ("(b) necessity and proportionality", said(case, "necessity")),
        ("(c) risk: values come out", f"{words.exposure(case)} {words.personal_data(case)}"),
        ("(c) risk: who was in the corpus is told", words.roc(case)),
        ("(c) risk: phrases are given back", words.unknown(case)),
        ("(c) what the tests could not have seen", " ".join(asked["Smallest leak it would see"])),
        ("(d) measure: redaction", " ".join((*asked["Names of persons"], *asked["Never looked for"]))),
        ("(d) measure: duplicates", words.duplicates(case)),
        ("(d) measure: differential privacy", briefing.of_a_person(claim(case.evidence))),
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
        ("security", "run folders are private to their owner; findings are kept as keyed fingerprints"),
    ]


def _documentation(case: Case) -> list[Row]:
    manifest, statement = case.evidence.manifest, case.evidence.statement
    runs = [one.run_id for one in (manifest, statement) if one is not None]
    day = case.judgement.day if case.judgement and case.judgement.day else "no judgement is dated"
    trained = "[to be written: how the model was trained; no statement of a training is in the evidence]"
    if statement is not None:
        trained = f"{statement.covers}. {statement.sampler}"
    return [
        ("2(d) training", trained),
        ("2(d) provenance of the text", said(case, "categories")),
        ("2(d) labelling and cleaning", f"{words.personal_data(case)} {words.duplicates(case)}"),
        ("2(g) validation and testing", f"{len(case.evidence.attacks)} attacks; {words.unknown(case)}"),
        ("2(g) logs", f"runs {', '.join([*runs, case.evidence.run_id])}"),
        ("2(g) dated and signed by", f"{day}; {said(case, 'authors')}"),
    ]
