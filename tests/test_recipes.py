"""The recipes of CONTRIBUTING.md, followed to the letter by somebody who has only that page.

A recipe of a plug-in is followed in a package of its own (:func:`installed`); a recipe that changes a file of
ours, in a copy of ours (:class:`Checkout`).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mlmguard import cli, plugins
from mlmguard.artifacts import write_json
from mlmguard.audit.evidence import coverage
from mlmguard.commands.doctor import doctor
from mlmguard.corpus.detect import finder
from mlmguard.corpus.detect.installed import entities, outside
from mlmguard.errors import InputError
from mlmguard.leakage.attacks import ATTACKS, attacks
from mlmguard.leakage.results import Result
from mlmguard.report.clearance import case
from mlmguard.report.formats import FORMATS, names, render
from tests.fixtures.evidence import clean, extractable
from tests.leakage.bench import Bench, audited

ROOT = Path(__file__).resolve().parent.parent

#: Installs a package of one module: (its name, its text, kind to (name to what stands there)).
Install = Callable[[str, str, Mapping[str, Mapping[str, str]]], None]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Lay a package and its entry points on the path, as ``pip install`` does."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def install(module: str, text: str, points: Mapping[str, Mapping[str, str]]) -> None:
        (site / f"{module}.py").write_text(text, "utf-8")
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines: list[str] = []
        for kind, named in points.items():
            lines += [f"[mlmguard.{kind}]", *(f"{name} = {target}" for name, target in named.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


class Checkout:
    """A copy of the package, its policies, pages and tests, to be changed as a recipe says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in ("mlmguard", "policies", "docs", "tests"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)

    def after(self, file: str, line: str, added: str) -> None:
        """Add text to a file after the one line that begins with ``line``."""
        path = self.folder / file
        lines = path.read_text("utf-8").splitlines()
        (at,) = [number for number, one in enumerate(lines) if one.startswith(line)]
        path.write_text("\n".join([*lines[: at + 1], *added.splitlines(), *lines[at + 1 :]]) + "\n", "utf-8")

    def without(self, file: str, line: str) -> None:
        """Take the one line out of a file that begins with ``line``."""
        path = self.folder / file
        lines = path.read_text("utf-8").splitlines()
        (at,) = [number for number, one in enumerate(lines) if one.startswith(line)]
        path.write_text("\n".join([*lines[:at], *lines[at + 1 :]]) + "\n", "utf-8")

    def run(self, *arguments: str, module: str = "mlmguard") -> subprocess.CompletedProcess[str]:
        """Run the changed ``mlmguard``, or another module, in the folder of the checkout."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "COLUMNS": "200"}
        environment = {key: value for key, value in environment.items() if not key.startswith("PYTEST_")}
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )

    def passes(self, *tests: str, which: str, least: int) -> None:
        """Run the tests of these files whose names hold ``which``: they pass, and are ``least`` at least."""
        chosen = (*tests, "-k", which, "-m", "not slow and not statistical")
        done = self.run("-v", "-p", "no:cacheprovider", *chosen, module="pytest")
        assert done.returncode == 0, done.stdout + done.stderr
        passed = re.search(r"(\d+) passed", done.stdout)
        assert passed and int(passed[1]) >= least, done.stdout

    def pages(self) -> None:
        """Write the pages that are made from code."""
        done = self.run(module="tests.doc_pages")
        assert done.returncode == 0, done.stderr

    def page(self, name: str) -> str:
        return (self.folder / "docs" / name).read_text("utf-8")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


# --- a recogniser -------------------------------------------------------------------------------------

RECOGNISER = r"""
LIBRARY_CARD = Recogniser(
    entity={entity},
    name="LibraryCard",
    patterns=(Pattern("after the words", r"\b(?i:library card)(?: is|:)? \K[23]\d{{13}}\b", 0.85),),
    finds=("her library card is «21234000123456»", "Library card: «31234000123456»"),
    leaves=("a library card costs nothing", "library card 2123400012345"),
)
"""
CARD = 'Entity("LIBRARY_CARD", "the number of a library card", "who read what", "low"),'


def test_a_recogniser(checkout: Checkout) -> None:
    builtin = "mlmguard/corpus/detect/builtin.py"
    checkout.after(builtin, "# --- the recognisers", RECOGNISER.format(entity='"LIBRARY_CARD"'))
    checkout.after(builtin, "        WRITTEN_PHONE,", "        LIBRARY_CARD,")
    checkout.after("mlmguard/corpus/detect/entities.py", "_ROWS = (", f"    {CARD}")
    checkout.passes("tests/corpus/detect/test_recognisers.py", which="LibraryCard or row_of_its_own", least=6)


def test_a_recogniser_of_a_plug_in(
    installed: Install, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    imports = (
        "from mlmguard.corpus.detect.entities import Entity\n"
        "from mlmguard.corpus.detect.recogniser import Pattern, Recogniser\n"
    )
    text = imports + RECOGNISER.format(entity=CARD.rstrip(","))
    with remembering_nothing():
        installed("card_rule", text, {"recognizers": {"library-card": "card_rule:LIBRARY_CARD"}})
        assert cli.run(["rules", "prove", "library-card"]) == 0
        assert "library-card: LIBRARY_CARD, right on 4 texts" in capsys.readouterr().out
        assert cli.run(["explain", "LIBRARY_CARD"]) == 0
        assert "the number of a library card" in capsys.readouterr().out
        (found,) = finder.finder().find("Her library card is 21234000123456.")
        assert (found.rule, found.start, found.end) == ("LIBRARY_CARD", 20, 34)
        assert [d.status for d in finder.coverage() if d.entity == "LIBRARY_CARD"] == ["available"]


@contextmanager
def remembering_nothing() -> Iterator[None]:
    """Look for installed recognisers anew, and once more afterwards."""
    remembered = (outside, entities, finder.finder, finder._engine, finder._recognizers)
    for one in remembered:
        one.cache_clear()
    try:
        yield
    finally:
        for one in remembered:
            one.cache_clear()


# --- an attack ----------------------------------------------------------------------------------------

ATTACK = '''
"""Is the first token of a text ranked first more often where the text was trained on?"""

from mlmguard.leakage import clustered
from mlmguard.leakage.answers import Probe
from mlmguard.leakage.attack import Attack, fills_no_masks
from mlmguard.leakage.results import PValue, Result, clusters, excess, fisher, measured
{imports}

def run(bench):
    rng = bench.rng("opening")
    sides = []
    for passages in (bench.members, bench.others):
        answers = bench.model.answer([Probe(one.ids, (1,)) for one in passages])
        sides.append([(p.document_id, float(a.rank[0] == 1)) for p, a in zip(passages, answers)])
    own, others = sides
    hits, of = (int(sum(hit for _, hit in own)), int(sum(hit for _, hit in others)))
    return Result(
        (
            measured("opening", "top1", clustered.mean(clusters(own), rng), len(own)),
            measured("opening", "top1_excess", excess(own, others, rng), len(own)),
        ),
        tests=(PValue("opening", fisher(hits, len(own), of, len(others)), len(own), metric="top1"),),
    )


ATTACK = Attack(
    "opening",
    "first tokens of training texts against those of held-out ones",
    {metrics},
    run,
    fills_no_masks,
    how="hides the first token of each text",
    control="the first tokens of held-out texts",
)
'''
OPENINGS = """\
    Metric("opening.top1", "share of first tokens of training texts ranked first", interval=True),
    Metric("opening.top1_excess", "how much more often than those of held-out texts", interval=True),
    Metric("opening.top1_p", "probability of so many first tokens by chance, corrected for all tests"),
"""
HEART = """

def test_openings_known_by_heart_are_found() -> None:
    (attack,) = [one for one in ATTACKS if one.name == "opening"]
    assert attack.run(Bench(audited(), leaks=True)).tests[0].p < 0.001
"""


def test_an_attack(checkout: Checkout) -> None:
    ours = ATTACK.format(imports="from mlmguard.measures import family\n", metrics='family("opening")')
    (checkout.folder / "mlmguard/leakage/opening.py").write_text(ours, "utf-8")
    checkout.after("mlmguard/measures.py", "_METRICS", OPENINGS)
    checkout.after("mlmguard/measures.py", "ATTACKS:", '    "opening": "mlmguard.leakage.opening:ATTACK",')
    tests = checkout.folder / "tests/leakage/test_attacks.py"
    tests.write_text(tests.read_text("utf-8") + HEART, "utf-8")
    checkout.passes("tests/leakage/test_attacks.py", which="opening or one_row", least=7)
    checkout.pages()
    assert "| `opening` | hides the first token of each text |" in checkout.page("audit.md")


def test_an_attack_of_a_plug_in(installed: Install, capsys: pytest.CaptureFixture[str]) -> None:
    text = ATTACK.format(imports="from mlmguard.types import Metric\n", metrics=f"({OPENINGS.strip()})")
    installed("opening_attack", text, {"attacks": {"opening": "opening_attack:ATTACK"}})
    found = attacks()
    assert [one.name for one in found] == [*(one.name for one in ATTACKS), "opening"]
    assert found[-1].run(Bench(audited(), leaks=True)).tests[0].p < 0.001
    (line,) = [one for one in coverage(audited(), found, {"opening": Result()}) if one.attack == "opening"]
    assert (line.status, line.detail.split(";")[0]) == ("run", found[-1].does)
    assert cli.run(["explain", "opening.top1_excess"]) == 0
    assert "how much more often than those" in capsys.readouterr().out


# --- a masking strategy -------------------------------------------------------------------------------

STRATEGY = """

def choose_run(free: Ids, notes: Notes | None, rate: float, rng: np.random.Generator) -> Ids:
    \"\"\"One run of neighbours that begins anywhere, the first following the last.\"\"\"
    places = (rng.integers(max(1, len(free))) + np.arange(round(rate * len(free)))) % max(1, len(free))
    return np.sort(free[places])

"""
NEIGHBOURS = """

def test_a_run_is_of_neighbours():
    ids, notes = invented([1] * 100)
    chosen = np.flatnonzero(chosen_of(ids, notes, Masking("run", 0.3))) - 1
    assert len(chosen) == 30 and sum(np.diff(np.r_[chosen, chosen[0] + 100]) > 1) == 1
"""


def test_a_masking_strategy(checkout: Checkout) -> None:
    checkout.after("mlmguard/settings/choices.py", '    SPAN = "span"', '    RUN = "run"')
    masking = "mlmguard/training/text/masking.py"
    checkout.after(masking, "SPAN_LONGEST", STRATEGY)
    checkout.after(masking, "    Choice.SPAN:", "    Choice.RUN: choose_run,")
    tests = checkout.folder / "tests/training/text/test_masking.py"
    tests.write_text(tests.read_text("utf-8") + NEIGHBOURS, "utf-8")
    checkout.passes("tests/training/text/test_masking.py", which="run", least=8)
    shown = checkout.run("mask", "The mill stood by the river.")
    assert "\nrun (" in shown.stdout, shown.stderr
    assert "[token|word|span|run]" in checkout.run("train", "--help").stdout


# --- an architecture ----------------------------------------------------------------------------------

ARCHITECTURE = """\
    Architecture("ernie", "ERNIE", pointwise_layer="ErnieLayer", trials={"ernie": {}}),
"""


def test_an_architecture(checkout: Checkout) -> None:
    """One that the table has, taken out of it first."""
    rows = "mlmguard/training/architectures.py"
    checkout.without(rows, '    Architecture("ernie",')
    checkout.pages()
    assert "`ernie`" not in checkout.page("train.md")
    checkout.after(rows, "ARCHITECTURES:", ARCHITECTURE)
    checkout.pages()
    assert "| ERNIE | `ernie` | exact | exact, one record at a time |" in checkout.page("train.md")
    tests = ("tests/training/test_architectures.py", "tests/training/clipping/test_clipping.py")
    checkout.passes(*tests, which="row or (exact and ernie)", least=6)


# --- a report format ----------------------------------------------------------------------------------

FORMAT = """
from mlmguard.report import tables, words
from mlmguard.report.clearance import Case


def render(case: Case) -> str:
    word, sentence = words.headline(case)
    rows = tables.gravest_first(case.judgement) if case.judgement else []
    lines = [f"{verdict.status.value}\\t{verdict.rule}\\t{verdict.reason}" for verdict in rows]
    return "\\n".join([f"{word}: {sentence}", *lines]) + "\\n"
"""


def test_a_report_format(
    installed: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed("tab_report", FORMAT, {"report": {"tabs": "tab_report:render"}})
    monkeypatch.chdir(tmp_path)
    assert names() == (*FORMATS, "tabs")
    write_json(tmp_path / "e.json", extractable())
    assert cli.run(["gate", "e.json", "--out", "tabs=gate.tsv"]) == 10
    assert (tmp_path / "gate.tsv").read_text("utf-8").startswith("Fail: ")
    assert "fail\tcanary-extracted\t" in (tmp_path / "gate.tsv").read_text("utf-8")
    capsys.readouterr()
    assert cli.run(["gate", "--help"]) == 0
    assert "tabs" in capsys.readouterr().out
    assert "tabs" in {row.what: row.found for row in doctor()}["report formats"]


def test_a_format_of_a_plug_in_is_given_nothing_that_is_not_cleared(installed: Install) -> None:
    installed(
        "bare_report",
        "def render(case):\n    return repr(case)\n",
        {"report": {"bare": "bare_report:render"}},
    )
    planted = "zaphira.quux@private.example"
    soiled = replace(clean(), notes=(f"written by {planted}",), run_id=planted)
    assert planted not in render("bare", case(soiled))


@pytest.mark.parametrize(
    ("text", "target", "line"),
    [
        ("import nowhere_to_be_found", "broken_report:render", "does not load (ModuleNotFoundError)"),
        ("", "broken_report:render", "does not load (AttributeError)"),
        ("render = 3", "broken_report:render", "expected a function from a case to text"),
        ("def render(case):\n    return b''", "broken_report:render", "it gave a bytes; expected text"),
    ],
)
def test_a_format_that_does_not_load_is_an_error(
    installed: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    text: str, target: str, line: str,
) -> None:  # fmt: skip
    installed("broken_report", text, {"report": {"broken": target}})
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "e.json", clean())
    assert cli.run(["gate", "e.json", "--out", "csv=e.csv", "--out", "broken=e.txt"]) == 2
    assert line in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "e.csv").exists() and not (tmp_path / "e.txt").exists()
    assert ("does not load" in line) == any(row.what == "plug-in broken" for row in doctor())


def test_a_plug_in_takes_no_name_that_is_taken(installed: Install) -> None:
    installed("html_report", FORMAT, {"report": {"html": "html_report:render"}})
    with pytest.raises(InputError, match="another report of that name"):
        plugins.every("report", FORMATS)
    assert any(row.health == "missing" for row in doctor() if row.what == "report formats")


# --- a metric with its rule ---------------------------------------------------------------------------

RULE = """\
id: house
version: "1"
title: House rules
extends: { policy: base, version: "2.1" }
rules:
  - id: few-files
    title: Not too many files of text were skipped
    stage: scan
    metric: scan.skipped
    fail: "> 0"
    severity: low
    why: What was skipped was never looked at.
    do: Look at the reasons in the manifest.
"""


def test_a_metric_with_its_rule(checkout: Checkout) -> None:
    measures = "mlmguard/measures.py"
    checkout.after(measures, "_METRICS", '    Metric("scan.skipped", "how many records could not be read"),')
    number = '    "scan.skipped": lambda e: [("", float(len(e.manifest.skipped)), "")] if e.manifest else [],'
    checkout.after(measures, "DERIVED:", number)
    (checkout.folder / "house.yaml").write_text(RULE, "utf-8")
    write_json(checkout.folder / "e.json", clean())
    explained = checkout.run("explain", "scan.skipped", "--policy", "house.yaml")
    assert "how many records could not be read" in explained.stdout, explained.stderr
    assert "few-files" in explained.stdout
    judged = checkout.run("gate", "e.json", "--policy", "house.yaml", "--out", "csv=e.csv")
    (verdict,) = [
        row for row in (checkout.folder / "e.csv").read_text("utf-8").splitlines() if "few-files" in row
    ]
    skipped = len(clean().manifest.skipped) if clean().manifest else 0
    assert verdict.startswith(f"verdict,few-files,low,{'fail' if skipped else 'pass'}"), judged.stderr
