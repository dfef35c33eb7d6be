"""The pages under docs/: made ones say what the code says, and all of them build into one small site."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from mlmguard import cli
from mlmguard.policy.reading import load, shipped
from tests.doc_pages import DOCS, pages
from tests.test_messages import FLAG, FLAGS

SITE = YAML(typ="safe", pure=True).load((DOCS.parent / "mkdocs.yml").read_text("utf-8"))


@pytest.mark.parametrize("which", list(pages()))
def test_a_made_page_is_what_the_code_says(which: str) -> None:
    assert (DOCS / which).read_text("utf-8") == pages()[which], "python -m tests.doc_pages"


def test_every_command_is_on_the_page_of_commands() -> None:
    text = pages()["commands.md"]
    for name in cli.cli.list_commands(None):
        assert re.search(rf"^## mlmguard {name}\b", text, re.MULTILINE), name


def _listed(items: list[object]) -> list[str]:
    found = []
    for item in items:
        value = next(iter(item.values())) if isinstance(item, dict) else item
        found += _listed(value) if isinstance(value, list) else [str(value)]
    return found


def test_the_site_lists_every_page_once() -> None:
    listed = _listed(SITE["nav"])
    assert sorted(listed) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_the_site_builds_without_a_warning_and_asks_nothing_of_the_network(tmp_path: Path) -> None:
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    ran = subprocess.run(command, cwd=DOCS.parent, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    made = sorted((tmp_path / "site").rglob("*.html"))
    assert len(made) >= len(_listed(SITE["nav"]))
    for page in made:
        text = page.read_text("utf-8")
        loaded = re.findall(r'<(?:script|img|iframe)[^>]*\bsrc="([^"]*)"|<link[^>]*\bhref="([^"]*)"', text)
        for source, style in loaded:
            assert not re.match(r"(https?:)?//", source or style), (page.name, source or style)


# --- options ------------------------------------------------------------------------------------------

#: Commands that a page under docs/ speaks of beside the one it is named after.
BESIDE = {
    "audit": ("plan", "train"),
    "report": ("index",),
}
#: Code between backticks, and code in a block.
CODE = re.compile(r"```.*?\n(.*?)```|`([^`]+)`", re.DOTALL)


def _named(text: str, own: set[str]) -> list[tuple[str, set[str]]]:
    """Each flag in a piece of code with the commands that it can belong to."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        line = re.sub(r"^torchrun .*? -m (?=mlmguard)", "", line)
        command = re.search(r"(?:^|\s)(?:mlmguard )?((?:policy |publish )?[a-z-]+)(?=\s|$)", line)
        names = {command[1]} if command and command[1] in FLAGS else own
        found += [(flag, names) for flag in FLAG.findall(line.split(" # ")[0])]
    return found


@pytest.mark.parametrize("page", sorted(path.stem for path in DOCS.glob("*.md") if path.stem in FLAGS))
def test_a_page_names_options_of_its_own_command_only(page: str) -> None:
    own = {page, *BESIDE.get(page, ())}
    text = (DOCS / f"{page}.md").read_text("utf-8")
    wrong = [
        f"{flag} of {', '.join(sorted(names))}"
        for block, inline in CODE.findall(text)
        for flag, names in _named(block or inline, own)
        if not any(flag in FLAGS[name] for name in names)
    ]
    assert wrong == []


def test_the_advice_of_policies_names_options_that_there_are() -> None:
    known = {flag for flags in FLAGS.values() for flag in flags}
    wrong = [
        f"{name}: {rule}: {flag}"
        for name in shipped()
        for rule, (_, do) in load(name).advice.items()
        for flag in FLAG.findall(do)
        if flag not in known
    ]
    assert wrong == []
