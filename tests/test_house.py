"""The house is as docs/architecture.md says: short pages, no file that nobody can hold in the head."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import mlmguard

HOUSE = Path(mlmguard.__file__).parent


def _length(file: str, function: str) -> int:
    """Lines of a function, its docstring included."""
    tree = ast.parse((HOUSE / file).read_text("utf-8"))
    (node,) = [one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == function]
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("verb", ["scan", "train", "audit"])
def test_a_verb_is_a_page(verb: str) -> None:
    assert _length(f"{verb}/__init__.py", verb) <= 60


def test_the_training_loop_is_a_page() -> None:
    assert _length("training/loop.py", "run_steps") <= 60


def test_no_file_of_code_is_longer_than_500_lines() -> None:
    lengths = {
        str(path.relative_to(HOUSE)): len(path.read_text("utf-8").splitlines())
        for path in HOUSE.rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > 500} == {}
    assert lengths["cli.py"] <= 270


def test_no_package_imports_itself_through_its_own_door() -> None:
    for package in (path.parent for path in HOUSE.rglob("__init__.py") if path.parent != HOUSE):
        name = ".".join(["mlmguard", *package.relative_to(HOUSE).parts])
        for path in package.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not isinstance(node, ast.ImportFrom) or node.module != name:
                    continue
                siblings = {one.stem for one in package.glob("*.py")} | {
                    one.name for one in package.iterdir()
                }
                assert {alias.name for alias in node.names} <= siblings, path
