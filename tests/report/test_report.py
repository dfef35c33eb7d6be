"""Reports: one cleared case, every format from it, the same bytes each time, nothing withheld in any."""

from __future__ import annotations

import base64
import html
import json
import math
import re
import shutil
import subprocess
import urllib.parse
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

import jsonschema
import matplotlib
import pytest

from mlmguard.artifacts import json_schema
from mlmguard.errors import InputError
from mlmguard.policy.judging import exit_code, judge
from mlmguard.policy.reading import load
from mlmguard.report import figures, tables, words
from mlmguard.report.clearance import CLEARANCE, WITHHELD, Case, case, cleared, digest, line, name, prose
from mlmguard.report.formats import FORMATS, parse_out, render, write
from mlmguard.types import (
    UNREAD,
    AttackRun,
    Curve,
    Detector,
    DuplicateCounts,
    Evidence,
    FindingCount,
    Hazard,
    Judgement,
    Skipped,
)
from tests.fixtures.evidence import (
    REPORTS,
    SCHEMAS,
    TODAY,
    changed,
    clean,
    extractable,
    not_private,
    number,
    samples,
    schemas,
    untrained,
)


def judged(evidence: Evidence) -> Case:
    policy = load("base")
    judgement = judge(policy, evidence, TODAY)
    return case(evidence, judgement, policy.advice, exit_code(judgement))


# --- clearance ----------------------------------------------------------------------------------------


def _reachable(noun: type) -> set[type]:
    found, waiting = set(), [noun]
    while waiting:
        here = waiting.pop()
        if is_dataclass(here) and here not in found:
            found.add(here)
            for hint in get_type_hints(here).values():
                waiting += [hint, *get_args(hint)]
    return found


@pytest.mark.parametrize(
    "noun", sorted(_reachable(Evidence) | _reachable(Judgement), key=lambda t: t.__name__)
)
def test_every_text_field_of_every_noun_is_listed(noun: type) -> None:
    hints = get_type_hints(noun)  # by the names of its own module
    texts = {f.name for f in fields(noun) if "str" in str(hints[f.name])}
    assert texts == set(CLEARANCE.get(noun, {}))


def test_a_field_that_is_not_listed_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLEARANCE, AttackRun, {"attack": name})  # type: ignore[index]
    assert cleared(AttackRun("pii", "run", "fine")) == AttackRun("pii", WITHHELD, WITHHELD)


@pytest.mark.parametrize(
    "value",
    [
        "maria.lopez@example.org",
        "maria.lopez%40example.org",
        "4556 7375 8689 9855",
        "+1 (555) 123-4567",
        "078-05-1120",
        "DE89370400440532013000 0532013000",
    ],
)
def test_what_looks_personal_is_withheld_from_prose(value: str) -> None:
    assert value not in prose(f"seen {value} twice")
    assert WITHHELD in prose(f"seen {value} twice")


@pytest.mark.parametrize(
    "text",
    [
        "lower end 0.0001234567891 is above 0.01",
        "1,100 phrases, δ = 1e-05",
        "waived until 2026-03-02 (PRIV-7)",
        "0.21 [0.1, 0.3]",
    ],
)
def test_our_own_sentences_pass(text: str) -> None:
    assert prose(text) == text


def test_control_and_direction_characters_do_not_pass() -> None:
    assert line("a\x1b[31mb\u202ec\nd\x00e") == "a [31mb c d e"


def test_names_and_digests_are_all_or_nothing() -> None:
    assert name("EMAIL_ADDRESS") == "EMAIL_ADDRESS"
    assert name("x" * 81) == name("<script>!") == name("a\\b") == WITHHELD
    assert digest("00ff") == "00ff"
    assert digest("not hex") == WITHHELD


def test_numbers_that_json_cannot_say_become_nothing() -> None:
    odd = changed(clean(), number("membership.blind_auc", math.nan, math.inf, -math.inf))
    odd = replace(
        odd, curves=(Curve("ngram", "k-unknown", "x", "y", "s", (1.0, 2.0, math.nan), (0.1, math.inf, 0.3)),)
    )
    for fmt in FORMATS:
        render(fmt, judged(odd))
    assert cleared(odd).curves[0].x == (1.0,)


#: Formats whose text nobody reads as markup.
PLAIN = ("json", "sarif", "csv", "cyclonedx", "in-toto", "prometheus", "registry")
PLANTED = ("zaphira.quux@private.example", "4111 1111 1111 1111", "<img src=x onerror=alert(1)>")


def test_planted_values_are_in_no_format() -> None:
    def soiled(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{f.name: soiled(getattr(value, f.name)) for f in fields(value)})
        if isinstance(value, tuple):
            return tuple(soiled(v) for v in value)
        if type(value) is str:
            return f"{value} {' '.join(PLANTED)}"
        return value

    evidence = soiled(clean())
    policy = load("base")
    judgement = soiled(judge(policy, clean(), TODAY))
    shown = case(evidence, judgement, dict.fromkeys(policy.advice, (PLANTED[0], PLANTED[1])), 0)
    for fmt in FORMATS:
        text = render(fmt, shown)
        for planted in PLANTED:
            raw = planted.encode()
            forms = (
                planted,
                urllib.parse.quote(planted),
                base64.b64encode(raw).decode(),
                html.escape(planted),
            )
            if planted.startswith("<"):  # markup may stand as text, never as markup
                assert fmt in PLAIN or not re.search(rf"(?<!\\){re.escape(planted)}", text)
            else:
                assert not any(form in text for form in forms), (fmt, planted)


# --- the page -----------------------------------------------------------------------------------------


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "img", "br", "path", "use"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"path", "use"}:
            assert self.open.pop() == tag


CASES = {"clean": clean, "extractable": extractable, "untrained": untrained, "not_private": not_private}


def _bare() -> Evidence:
    return replace(clean(), manifest=None, statement=None, measurements=(), curves=(), attacks=(), notes=())


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    made = {key: render("html", judged(make())) for key, make in CASES.items()}
    return {**made, "bare": render("html", case(_bare())), "judged-bare": render("html", judged(_bare()))}


@pytest.mark.parametrize("which", [*CASES, "bare", "judged-bare"])
def test_the_page_is_one_closed_document(pages: dict[str, str], which: str) -> None:
    page = pages[which]
    assert len(page.encode()) < 400_000
    reader = _Reader()
    reader.feed(page)
    assert reader.open == []
    tags = [tag for tag, _ in reader.tags]
    assert not {"script", "iframe", "object", "embed", "form", "base", "img"} & set(tags)
    for tag, attributes in reader.tags:
        assert not any(key.startswith("on") for key in attributes)
        for key in ("href", "src", "xlink:href", "action", "data"):
            target = attributes.get(key)
            assert target is None or target.startswith(("#", "data:,")), (tag, target)
    assert "url(" not in re.sub(r"url\(#\w+\)", "", page)
    assert "@import" not in page
    assert "default-src 'none'" in page
    ids = [a["id"] for _, a in reader.tags if "id" in a]
    assert len(ids) == len(set(ids))
    anchors = {a["href"][1:] for _, a in reader.tags if (a.get("href") or "").startswith("#")}
    assert anchors <= set(ids)


@pytest.mark.parametrize("which", [*CASES, "bare"])
def test_headings_are_in_order_and_figures_have_a_sentence_and_a_table(
    pages: dict[str, str], which: str
) -> None:
    page = pages[which]
    levels = [int(level) for level in re.findall(r"<h([1-6])\b", page)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for drawing in re.findall(r"<figure.*?</figure>", page, flags=re.DOTALL):
        caption = re.search(r"<figcaption[^>]*>(.+?)</figcaption>", drawing)
        assert caption and caption[1].endswith(".")
        assert "<details><summary>Numbers" in drawing and "<td" in drawing


def test_the_order_is_the_order_of_the_brief(pages: dict[str, str]) -> None:
    wanted = "gates claim attacks membership memorisation personal duplicates ledger hazards limits reproduce"
    places = [pages["clean"].index(f'<h2 id="{section}"') for section in wanted.split()]
    assert places == sorted(places)


def test_the_verdict_and_the_limits_are_on_the_page(pages: dict[str, str]) -> None:
    assert "Pass with warnings" in pages["clean"]
    assert "should not be released" in pages["extractable"]
    assert "Inconclusive" in pages["untrained"]
    assert "Not judged" in pages["bare"]
    for page in pages.values():
        assert "not covered by ε" in page and "rows of clean/train" in page


def test_colours_of_figures_come_from_the_page(pages: dict[str, str]) -> None:
    drawings = re.findall(r"<svg.*?</svg>", pages["clean"], flags=re.DOTALL)
    assert len(drawings) == 7
    for drawing in drawings:
        assert not re.search(r"#[0-9a-f]{6}", drawing), "a colour that neither dark mode nor print can change"
        assert "font-family" not in drawing


def test_the_same_evidence_gives_the_same_bytes() -> None:
    for fmt in FORMATS:
        assert render(fmt, judged(clean())) == render(fmt, judged(clean()))


def test_a_hundred_thousand_findings_are_added_up_on_the_page_and_listed_in_the_csv() -> None:
    rows = tuple(FindingCount(f"TYPE_{i % 70}", f"source-{i}", 3, 2, 1) for i in range(100_000))
    skipped = tuple(Skipped(f"source-{i}/a.txt", f"reason {i % 40}") for i in range(40_000))
    copies = DuplicateCounts(9, 9, 0, tuple(range(30_000, 2, -1)))
    big = replace(clean().manifest, findings=rows, skipped=skipped, duplicates=copies)
    shown = judged(replace(clean(), manifest=big))
    page = render("html", shown)
    assert len(page.encode()) < 400_000
    for fmt in ("markdown", "sarif", "junit", "model-card"):
        assert len(render(fmt, shown).encode()) < 400_000
    table = tables.personal_data(big)
    assert table is not None
    assert len(table.columns) <= tables.SOURCES + 2
    assert "other types" in {row[0] for row in table.rows}
    assert sum(int(row[-1].split(" / ")[0].replace(",", "")) for row in table.rows) == 300_000
    assert render("csv", shown).count("\nfinding,") == 100_000


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    x = tuple(i / 50_000 for i in range(50_001))
    dense = replace(clean(), curves=(Curve("membership", "roc", "f", "t", "loss", x, x),))
    page = render("html", judged(dense))
    assert len(page.encode()) < 400_000
    rows = tables.points("", dense.curves).rows
    assert (rows[0][1], rows[-1][1]) == ("0", "1")
    assert len(rows) <= 24


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser")
def test_a_browser_opens_the_page_and_asks_for_nothing(tmp_path: Path, pages: dict[str, str]) -> None:
    page, log = tmp_path / "report.html", tmp_path / "net.json"
    page.write_text(pages["clean"], "utf-8")
    quiet = ("quic", "background-networking", "component-update", "sync", "gpu")
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--no-first-run",
        *(f"--disable-{what}" for what in quiet),
    ]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += [f"--log-net-log={log}", "--dump-dom", page.as_uri()]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert "Pass with warnings" in ran.stdout
    # the browser itself asks for things; what a page asks for names the page as its initiator
    asked = re.findall(r'"initiator":"([^"]*)"', log.read_text("utf-8", errors="replace"))
    assert set(asked) <= {"not an origin"}


# --- sentences and figures ----------------------------------------------------------------------------


def test_the_takeaways_follow_the_numbers() -> None:
    assert "is claimed" in words.epsilon(case(clean()))
    assert "could not refute" in words.epsilon(case(clean()))
    refuted = changed(clean(), number("epsilon.one_run_lower_bound", 9.0, n=13_000, ceiling=10.0))
    assert "the claim is false" in words.epsilon(case(refuted))
    assert "No differential privacy" in words.epsilon(case(not_private()))
    unread = replace(not_private(), notes=(UNREAD,))  # its claim is not known here, which is not "none"
    assert words.epsilon(case(unread)) == UNREAD
    assert "could not tell members from non-members (AUC at most" in words.roc(case(clean()))
    assert "are told from non-members better than by a coin" in words.roc(case(extractable()))
    assert "stand out" in words.exposure(case(extractable()))
    assert "not shown to stand out" in words.exposure(case(clean()))
    assert "No detector looked for LOCATION, ORGANIZATION" in words.personal_data(case(clean()))


def test_the_ceiling_of_a_claim() -> None:
    assert words.dp_ceiling(0.0, 0.0, 0.3) == pytest.approx(0.3)
    assert words.dp_ceiling(1.0, 0.0, 0.01) == pytest.approx(math.e * 0.01)
    assert words.dp_ceiling(800.0, 1e-5, 1e-9) == 1.0
    assert words.dp_ceiling(1.0, 0.0, 1.0) == 1.0


def test_a_ceiling_given_by_the_audit_is_drawn_instead() -> None:
    given = Curve("membership", "roc", "f", "t", figures.CEILING, (0.001, 1.0), (0.02, 1.0))
    plain, with_ceiling = case(clean()), case(replace(clean(), curves=(*clean().curves, given)))
    assert figures.roc(plain) != figures.roc(with_ceiling)


def test_numbers_without_a_figure_draw_nothing() -> None:
    empty = case(_bare())
    drawers = (
        figures.epsilon_axis,
        figures.roc,
        figures.unknown,
        figures.exposure,
        figures.copies,
        figures.clusters,
    )
    assert [draw(empty) for draw in drawers] == [""] * 6
    assert figures.clusters(empty) == ""


# --- JSON, Markdown, formats --------------------------------------------------------------------------


def test_json_holds_evidence_judgement_and_exit_code() -> None:
    data = json.loads(render("json", judged(extractable())))
    assert data["schema"] == "mlmguard/report/v1"
    assert data["exit_code"] == 10
    assert data["judgement"]["status"] == "fail"
    assert data["evidence"]["schema"] == "mlmguard/evidence/v1"


def test_markdown_is_capped_and_cannot_be_steered() -> None:
    attacks = tuple(
        AttackRun(f"attack-{i}", "run", "| [x](http://e.example) `y` @everyone") for i in range(3000)
    )
    text = render("markdown", judged(replace(clean(), attacks=attacks)))
    assert len(text) < 65_536
    assert "more lines" in text
    assert "[x](http" not in text
    assert "@everyone" not in text


def test_advice_is_not_given_for_a_reason_that_many_rules_share() -> None:
    shown = judged(untrained())
    groups = words.unmet(shown)
    shared = next(group for group in groups if len(group) > 1)
    assert words.advice(shown, shared[0]) is None
    alone = next(group for group in groups if len(group) == 1)
    assert words.advice(shown, alone[0]) is not None


@pytest.mark.parametrize(
    ("given", "expected"),
    [("html=a.txt", ("html", "a.txt")), ("r/a.html", ("html", "r/a.html")), ("a.md", ("markdown", "a.md"))],
)
def test_out(given: str, expected: tuple[str, str]) -> None:
    found, path = parse_out(given)
    assert (found, str(path)) == expected


@pytest.mark.parametrize("given", ["a.docx", "docx=a", "html=", "=a.html", ""])
def test_out_that_is_refused(given: str) -> None:
    with pytest.raises(InputError):
        parse_out(given)


def test_write(tmp_path: Path) -> None:
    write("json", judged(clean()), tmp_path / "deep" / "a.json")
    assert json.loads((tmp_path / "deep" / "a.json").read_text("utf-8"))["exit_code"] == 0


# --- committed files ----------------------------------------------------------------------------------


def test_the_samples_are_what_the_code_writes() -> None:
    made = samples()
    for which in ("sample.json", "sample.sarif"):
        assert (REPORTS / which).read_text("utf-8") == made[which], which
    committed = (REPORTS / "sample.html").read_text("utf-8")
    if matplotlib.__version__ != "3.11.2":  # another version may place a label a hair elsewhere
        drawing = re.compile(r"<svg.*?</svg>", flags=re.DOTALL)
        assert drawing.sub("", committed) == drawing.sub("", made["sample.html"])
    else:
        assert committed == made["sample.html"]


def test_the_schemas_are_what_the_nouns_say() -> None:
    made = schemas()
    assert {path.name for path in SCHEMAS.iterdir()} >= set(made)
    for which, text in made.items():
        assert (SCHEMAS / which).read_text("utf-8") == text, f"{which}: python -m tests.fixtures.evidence"


def test_evidence_is_valid_under_its_schema() -> None:
    data = json.loads(render("json", judged(clean())))
    jsonschema.validate(data["evidence"], json_schema(Evidence))
    jsonschema.validate(data["judgement"], json_schema(Judgement))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**data["evidence"], "surprise": 1}, json_schema(Evidence))


def test_unknown_detectors_come_first() -> None:
    table = tables.coverage(
        replace(
            clean().manifest,
            coverage=(Detector("A", "a", "1", "available"), Detector("Z", "", "", "no detector")),
        )
    )
    assert table is not None and [row[0] for row in table.rows] == ["Z", "A"]


def test_the_tests_of_the_mechanism_are_where_an_officer_reads() -> None:
    shown = case(clean())
    told = words.mechanism(shown)
    assert "sampler, noise, clipping, canaries passed" in told and "at least 2.81" in told and "5.89" in told
    for one in ("html", "markdown", "model-card"):
        assert told in html.unescape(render(one, shown))
    assert "white box if: noise / 4" in render("html", shown)
    assert words.mechanism(case(not_private())) == "" and tables.mechanism(case(not_private())) is None
    statement = clean().statement
    assert statement is not None
    broken = (replace(statement.mechanism_checks[0], outcome="failed"), *statement.mechanism_checks[1:])
    failed = case(replace(clean(), statement=replace(statement, mechanism_checks=broken)))
    assert "sampler failed; noise, clipping, canaries passed" in words.mechanism(failed)


def test_present_hazards_come_first() -> None:
    said = replace(clean().statement, hazards=(Hazard("a", "absent", ""), Hazard("p", "present", "")))
    table = tables.hazards(case(replace(clean(), statement=said)))
    assert table is not None and [row[0] for row in table.rows] == ["p", "a"]
