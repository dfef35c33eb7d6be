"""What goes to an authority or a registry: filled from evidence, gaps named, valid by the schema."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from mlmguard.commands import project
from mlmguard.errors import InputError
from mlmguard.policy.judging import exit_code, judge
from mlmguard.policy.reading import load
from mlmguard.report import annex
from mlmguard.report.clearance import DECLARED, Case, case
from mlmguard.report.formats import render
from mlmguard.types import Evidence
from tests.fixtures.evidence import TODAY, clean, extractable, not_private

SCHEMA = Path(__file__).parents[1] / "data" / "opendp-deployments-schema.yaml"
FACTS = {
    "name": "Ward notes", "curators": "A clinic", "intended-use": "spelling", "region": "EU",
    "sector": "Healthcare", "publication-date": "2026-11-30", "authors": "The data steward",
    "access": "interface, by contract",
    "actors": "two engineers of the clinic", "legal-basis": "consent",
    "necessity": "no smaller corpus will do",
    "security": "the privacy officer", "categories": "patients; notes",
    "recipients": "nobody", "retention": "two years",
    "description": "a model of ward notes",
}  # fmt: skip


def judged(evidence: Evidence, **declared: str) -> Case:
    policy = load("base")
    judgement = judge(policy, evidence, TODAY)
    return case(evidence, judgement, policy.advice, exit_code(judgement), declared)


def entry(shown: Case) -> dict[str, object]:
    data = YAML(typ="safe").load(render("registry", shown))
    jsonschema.validate(data, YAML(typ="safe").load(SCHEMA.read_text("utf-8")))
    return data  # type: ignore[no-any-return]


def test_an_entry_of_the_registry_is_valid_by_its_schema_and_names_its_gaps() -> None:
    data = entry(judged(clean()))
    text = render("registry", judged(clean()))
    for key in (
        "name",
        "curators",
        "intended-use",
        "region",
        "publication-date",
        "authors",
        "actors",
        "access",
    ):
        assert f"[to be written: {DECLARED[key]}]" in " ".join(text.split()), key
    parameters = data["deployment"]["privacy_loss"]["privacy_parameters"]  # type: ignore[index]
    claimed = clean().statement
    assert list(data) == [
        "url_slug",
        "status",
        "tier",
        "deployment",
    ]  # as the schema and its reader order them
    assert claimed is not None and parameters == {"epsilon": claimed.epsilon, "delta": claimed.delta}


def test_what_is_declared_fills_the_gaps() -> None:
    shown = judged(clean(), **FACTS)
    data = entry(shown)
    basic = data["deployment"]["basic"]  # type: ignore[index]
    assert basic["data_product_sector"] == "Healthcare" and basic["publication_date"] == "2026-11-30"
    for name in ("registry", "annex", "dpia"):
        text = render(name, shown)
        assert text.count("to be written: ") == (1 if name == "annex" else 0), name  # bias: nobody's key


@pytest.mark.parametrize("key, value", [("sector", "Space"), ("publication-date", "soon")])
def test_what_the_schema_does_not_know_is_refused(key: str, value: str) -> None:
    with pytest.raises(InputError, match=key):
        render("registry", judged(clean(), **{key: value}))


def test_a_model_without_a_claim_has_no_entry_and_an_annex_that_says_so() -> None:
    with pytest.raises(InputError, match="no differential privacy is claimed"):
        render("registry", judged(not_private()))
    assert "no differential privacy is claimed" in render("annex", judged(not_private()))
    assert "no differential privacy is claimed" in render("dpia", judged(not_private()))


@pytest.mark.parametrize("form", ["annex", "dpia"])
def test_a_model_from_elsewhere_is_known_by_its_weights(form: str) -> None:
    outside = replace(clean(), run_id="", statement=None, manifest=None)
    text = render(form, judged(outside))
    assert f"audit of weights {outside.model.digest[:16]}" in text and "runs ," not in text


def test_every_attack_of_the_opinion_and_every_item_is_answered() -> None:
    rows = dict(annex.edpb(judged(clean())))
    assert {item.removeprefix("55: ") for item in rows if item.startswith("55")} == set(annex.EDPB_ATTACKS)
    assert all(answer.strip() for _, answer in (*rows.items(), *annex.nist(judged(clean()))))
    numbered = {item.split(":")[0] for item, _ in annex.nist(judged(clean()))}
    assert {"2.2", "2.3", "2.4", "2.5", "2.6", "3.7", "4.2", "4.3", "4.4", "4.5"} <= numbered
    silent = replace(clean(), attacks=())
    assert "the evidence does not say" in dict(annex.edpb(judged(silent)))["55: membership inference"]


def test_a_leak_is_in_the_annex_and_in_the_excerpt() -> None:
    shown = judged(extractable())
    assert "Verdict: Fail" in render("annex", shown)
    assert "canary-extracted" in render("dpia", shown) and "stand out" in render("dpia", shown)


@pytest.mark.parametrize("name", ["annex", "dpia", "registry"])
def test_no_word_claims_compliance(name: str) -> None:
    text = render(name, judged(clean(), **FACTS)).lower()
    assert "compliant" not in text and "anonymous" not in text


def test_facts_are_read_from_the_project_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert project.declared() == {}
    file = tmp_path / "mlmguard.toml"
    file.write_text('[release]\nname = "N"\ncurators = ["A", "B"]\npublication-date = 2026-01-02\n')
    assert project.declared() == {"name": "N", "curators": "A, B", "publication-date": "2026-01-02"}
    for text, found in (
        ('curator = "A"', "Did you mean 'curators'"), ("name = 3", "name"), ("name = []", "name"),
        ('name = " "', "name"),
    ):  # fmt: skip
        file.write_text(f"[release]\n{text}\n")
        with pytest.raises(InputError, match=found):
            project.declared()
    file.write_text("release = 3\n")
    with pytest.raises(InputError, match="a table"):
        project.declared()


def test_a_declared_address_reaches_no_format() -> None:
    shown = judged(clean(), name="ask zaphira.quux@private.example")
    assert all("zaphira" not in render(name, shown) for name in ("annex", "dpia", "registry"))
