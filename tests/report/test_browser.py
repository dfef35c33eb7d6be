"""The pages in a real browser: nothing is asked for, nothing is cut off, anyone can read them, they print.

Skipped where there is no chromium; the accessibility checks also where npm cannot give axe-core.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlmguard.artifacts import write_json
from mlmguard.commands.gate import gate
from mlmguard.commands.index import index
from mlmguard.policy.judging import exit_code, judge
from mlmguard.policy.reading import load
from mlmguard.policy.rule import Policy
from mlmguard.report.clearance import case
from mlmguard.report.formats import render
from mlmguard.types import Curve, Evidence
from tests.fixtures.evidence import TODAY, clean, extractable, untrained

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
AXE = "axe-core@4"
pytestmark = [pytest.mark.skipif(not CHROMIUM, reason="no browser"), pytest.mark.slow]


def browser(tmp_path: Path, page: Path, *arguments: str) -> str:
    """What a browser of its own, without network, prints for ``page``."""
    off = ("quic", "background-networking", "component-update", "sync", "gpu")
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--no-first-run",
        *(f"--disable-{what}" for what in off),
    ]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND"]
    ran = subprocess.run(
        [*command, *arguments, page.as_uri()], capture_output=True, text=True, timeout=90, check=True
    )
    return ran.stdout


def _full() -> Evidence:
    """Evidence with every figure there is, waivers and all."""
    steps = tuple(float(i) for i in range(0, 600, 5))
    loss, norms = tuple(9 - s / 150 for s in steps), tuple(1.0 for _ in steps)
    return Evidence(
        **{
            **vars(extractable()),
            "curves": (
                *extractable().curves,
                Curve("ablation", "frontier", "ε", "held-out loss", "tiny", (1.0, 3.0, 8.0), (5.6, 5.1, 4.9)),
                Curve("training", "loss", "step", "loss", "train", steps, loss),
                Curve("training", "norms", "step", "gradient norm", "median", steps, norms),
            ),
        }
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    waiver = {
        "rule": "not-chance",
        "reason": "the corpus is public",
        "owner": "model owner",
        "approver": "privacy officer",
        "ticket": "PRIV-7",
        "created": "2026-01-10",
        "expires": "2026-06-01",
    }
    policy = Policy.model_validate({**load("pci-pan").model_dump(exclude_defaults=True), "waivers": [waiver]})
    made = {}
    for which, evidence in (("clean", clean()), ("full", _full()), ("untrained", untrained())):
        judgement = judge(policy, evidence, TODAY)
        made[which] = folder / f"{which}.html"
        shown = case(evidence, judgement, policy.advice, exit_code(judgement))
        made[which].write_text(render("html", shown), "utf-8")
    reports = folder / "reports"
    for which, evidence in (("a", clean()), ("b", extractable())):
        write_json(reports / f"{which}-evidence.json", evidence)
        out = [("json", reports / f"{which}.json"), ("html", reports / f"{which}.html")]
        gate([reports / f"{which}-evidence.json"], "base", out=out, today=TODAY)
    made["index"] = index(reports)
    return made


EVERY = ("clean", "full", "untrained", "index")


@pytest.mark.parametrize("which", EVERY)
def test_no_request_leaves_the_page(tmp_path: Path, pages: dict[str, Path], which: str) -> None:
    log = tmp_path / "net.json"
    assert "</html>" in browser(tmp_path, pages[which], f"--log-net-log={log}", "--dump-dom")
    # the browser itself asks for things; what a page asks for names the page as its initiator
    asked = re.findall(r'"initiator":"([^"]*)"', log.read_text("utf-8", errors="replace"))
    assert set(asked) <= {"not an origin"}


@pytest.mark.parametrize("which", EVERY)
def test_it_prints(tmp_path: Path, pages: dict[str, Path], which: str) -> None:
    pdf = tmp_path / "page.pdf"
    browser(tmp_path, pages[which], f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
    data = pdf.read_bytes()
    assert data.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", data)) <= 25
    # A4 is 595.28 by 841.89 points; chromium rounds to whole device pixels
    boxes = re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)", data)
    if which != "index":
        assert boxes and all(abs(float(w) - 595) < 2 and abs(float(h) - 842) < 2 for w, h in boxes)


# --- measured from inside -----------------------------------------------------------------------------
# The pages hold no script and forbid any. What is measured is a copy without that, with a script of ours.


def _instrumented(page: Path, script: str, to: Path) -> Path:
    text = page.read_text("utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    to.write_text(text.replace("</body>", f"<script>{script}</script></body>"), "utf-8")
    return to


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("which", EVERY)
def test_nothing_is_wider_than_the_screen(
    tmp_path: Path, pages: dict[str, Path], which: str, width: int
) -> None:
    # a frame, because a headless window is never narrower than 500 pixels
    inner = _instrumented(
        pages[which],
        "parent.postMessage([document.documentElement.scrollWidth, document.body.innerText.length], '*')",
        tmp_path / "inner.html",
    )
    outer = tmp_path / "outer.html"
    outer.write_text(
        f"<body><iframe src='{inner.name}' style='width:{width}px;height:2000px;border:0'></iframe><script>"
        "addEventListener('message', e => document.title = JSON.stringify(e.data))</script></body>"
    )
    text = browser(tmp_path, outer, "--window-size=1400,2000", "--virtual-time-budget=4000", "--dump-dom")
    found = re.search(r"<title>\[(\d+),(\d+)\]</title>", text)
    assert found, text[:300]
    assert int(found[1]) <= width
    assert int(found[2]) > 300


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The source of axe-core: from node_modules/ if somebody installed it, else by npm elsewhere."""
    here = Path(__file__).resolve().parent.parent.parent / "node_modules" / "axe-core" / "axe.min.js"
    if not here.exists():
        npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("npm")
        if npm is None:
            pytest.skip("no npm")
        command = [
            npm,
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
            str(folder),
            AXE,
        ]
        if subprocess.run(command, capture_output=True, timeout=120).returncode:
            pytest.skip("npm gave no axe-core")
        here = folder / "node_modules" / "axe-core" / "axe.min.js"
    yield here.read_text("utf-8")


_RUN_AXE = """
axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}).then(r => {
  const told = r.violations.map(v => [v.id, v.nodes.slice(0, 3).map(n => n.html.slice(0, 160))]);
  document.title = 'axe ' + encodeURIComponent(JSON.stringify({told, passes: r.passes.map(p => p.id)}));
});
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", EVERY)
def test_axe_finds_nothing(tmp_path: Path, pages: dict[str, Path], axe: str, which: str, scheme: str) -> None:
    opened = "document.querySelectorAll('details').forEach(d => d.open = true);"
    copy = _instrumented(pages[which], f"{axe};{opened}{_RUN_AXE}", tmp_path / "copy.html")
    setting = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    text = browser(
        tmp_path, copy, setting, "--window-size=1280,2000", "--virtual-time-budget=30000", "--dump-dom"
    )
    found = re.search(r"<title>axe ([^<]+)</title>", text)
    assert found, "axe did not finish"
    said = json.loads(urllib.parse.unquote(found[1]))
    assert said["told"] == []
    assert {"color-contrast", "heading-order", "document-title"} <= set(said["passes"])
