"""What an error tells its reader to do can be done: every flag that a message names is one of the command's.

The texts are read from the source: of each ``InputError`` and ``PartialRun``, and of a local name that is put
into one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mlmguard import cli

ROOT = Path(__file__).resolve().parent.parent / "mlmguard"
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
#: Somebody else's command line in a message of ours.
ELSEWHERE = re.compile(r"`?(?:git|pip|python|ssh-keygen|model_signing) [^;`]*`?")
#: The command that a room's errors are read by, by the beginning of the module's path; the first that fits.
READERS = (
    ("training/downstream", "probe"),
    ("train", "train"),
    ("scan", "scan"),
    ("corpus/", "scan"),
    ("audit", "audit"),
    ("bench", "audit"),
    ("leakage/", "audit"),
)


def _flags(command: click.Command) -> set[str]:
    options = [one for one in command.params if isinstance(one, click.Option)]
    return {"--help", *(flag for one in options for flag in (*one.opts, *one.secondary_opts))}


LEAVES = cli.leaves()
FLAGS = {name: _flags(command) for name, command in LEAVES.items()}
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def commands_of(module: str) -> set[str]:
    """The commands whose users can meet an error of ``module``."""
    for beginning, command in READERS:
        if module.startswith(beginning):
            return {command}
    if module.startswith("commands/"):
        own = [name for name, command in LEAVES.items() if module == _work_of(command)]
        return set(own) or set(FLAGS)
    return set(FLAGS)


def _work_of(command: click.Command) -> str:
    """The module under commands/ that a command is written in, or "" while it stands in cli.py."""
    callback = getattr(command.callback, "__wrapped__", command.callback)
    place = getattr(callback, "__module__", "")
    return place.removeprefix("mlmguard.").replace(".", "/") + ".py" if ".commands." in place else ""


def messages(tree: ast.AST) -> Iterator[tuple[int, list[str]]]:
    """The line and the texts of each error that a module makes."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
            continue
        local: dict[str, list[ast.expr]] = {}
        for node in _own(function):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        local.setdefault(target.id, []).append(node.value)
        for node in _own(function):
            if not isinstance(node, ast.Call):
                continue
            if getattr(node.func, "id", getattr(node.func, "attr", "")) in ("InputError", "PartialRun"):
                given = [*node.args, *(one.value for one in node.keywords)]
                given += [value for one in given for value in local.get(getattr(one, "id", ""), ())]
                yield node.lineno, [text for one in given for text in _texts(one)]


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without those of the functions in it."""
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += ast.iter_child_nodes(node)


def _texts(node: ast.expr) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "\0" for part in one.values)
        elif isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.value


def wrong(text: str, readers: set[str]) -> Iterator[str]:
    """The flags in ``text`` that no reader has; after ``mlmguard NAME`` the flags are that command's."""
    first, *others = re.split(r"mlmguard ((?:policy |publish )?[a-z-]+)", ELSEWHERE.sub("", text))
    said = [(readers, first)]
    said += [({name} if name in FLAGS else readers, piece) for name, piece in zip(others[::2], others[1::2])]
    for names, piece in said:
        yield from (flag for flag in FLAG.findall(piece) if not any(flag in FLAGS[name] for name in names))


@pytest.mark.parametrize("module", MODULES)
def test_messages_name_flags_that_the_command_has(module: str) -> None:
    tree = ast.parse((ROOT / module).read_text("utf-8"))
    readers = commands_of(module)
    found = [
        f"{module}:{line}: {flag} in {text!r}"
        for line, texts in messages(tree)
        for text in dict.fromkeys(texts)
        for flag in wrong(text, readers)
    ]
    assert not found, "\n".join(found)


def test_the_walk_sees_what_it_must_see() -> None:
    source = 'def f():\n    do = "set --nowhere"\n    raise InputError("a", f"b {1}", do=do)\n'
    ((_, texts),) = messages(ast.parse(source))
    assert [flag for text in texts for flag in wrong(text, {"train"})] == ["--nowhere"]
    assert list(wrong("run `mlmguard scan --unit-key person` first, then --seed", {"train"})) == ["--seed"]
    assert list(wrong("commit it with git commit --signoff", {"train"})) == []
    assert list(wrong("--out FORMAT=PATH", {"train"})) == ["--out"]
    assert sum(1 for module in MODULES for _ in messages(ast.parse((ROOT / module).read_text("utf-8")))) > 150
