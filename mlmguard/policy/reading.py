"""Policy files: read, checked, laid over the policy they extend; every fault is one line with its place.

A policy may extend another one: it tightens freely, and whatever it loosens has an owner and a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, SequenceNode

from mlmguard.artifacts import text_of
from mlmguard.errors import InputError
from mlmguard.policy.rule import (
    Attestation,
    Dropped,
    Extends,
    Place,
    Policy,
    Rule,
    Signature,
    looser,
    nearest,
)
from mlmguard.policy.waiver import Strict, Waiver

_MAX_BYTES = 250_000  # some hundred waivers; four times as many words take ten seconds to read
_DEEPEST = 5


def shipped() -> dict[str, Path]:
    """Return the policies that come with the package, by name."""
    here = Path(__file__).resolve().parent.parent
    # an installed wheel carries policies/ inside the package; a checkout has them beside it
    for folder in (here / "policies", here.parent / "policies"):
        found = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
        if found:
            return found
    return {}


def load(name_or_path: str | Path, near: Path | None = None, depth: int = 0) -> Policy:
    """Return the shipped policy of that name, or the one in that file.

    ``near`` is the folder in which a path is looked for: that of the policy which extends this one.

    Raises:
        InputError: there is none, or something in it is wrong: one line with its place.
    """
    given = str(name_or_path)
    known = shipped()
    path = known.get(given) or (near or Path()) / given
    if path.is_dir() or not path.exists():
        found = ("a folder" if path.is_dir() else "no such file") + nearest(given, known)
        names = ", ".join(known) or "none shipped"
        raise InputError(f"policy {given}", found, f"a YAML file, or one of: {names}")
    return parse(text_of(path, "a YAML policy", _MAX_BYTES), given, path, depth)


def parse(text: str, thing: str, path: Path | None = None, depth: int = 0) -> Policy:
    """Return the policy in YAML text; ``thing`` names it in errors, what it extends lies beside ``path``."""
    root, data = _plain(text, thing)
    source = _Source(thing, _shown(path) if path else thing, root)
    merged = _Merged(data, source)
    try:
        if data.get("extends") is not None:
            pinned = Extends.model_validate(data["extends"])
            parent = _parent(pinned, source, path.parent if path else None, depth)
            merged.under(parent)
        policy = Policy.model_validate(merged.data)
    except ValidationError as error:
        raise _one_line(error, merged) from None
    policy.places.update(merged.places)
    return policy


def _plain(text: str, thing: str) -> tuple[Node | None, dict[str, Any]]:
    """YAML as nodes, which know their lines, and as plain data.

    YAML itself would keep the last of two equal keys in silence, and a second ``fail:`` would loosen a rule
    unseen: here it is an error, as is every tag.
    """
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
        data = None if root is None else yaml.constructor.construct_document(root)
    except (YAMLError, ValueError, RecursionError) as error:
        raise _not_yaml(error, text, thing) from None
    if data is None or (isinstance(data, dict) and not data.get("rules") and not data.get("extends")):
        why = "one that requires nothing would pass everything"
        raise InputError(thing, "an empty policy", "at least one rule", why)
    if not isinstance(data, dict):
        found = "a list" if isinstance(data, list) else "one value"
        raise InputError(thing, found, "a mapping with id, version, title and rules")
    return root, data


def _not_yaml(error: Exception, text: str, thing: str) -> InputError:
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    place = f"{thing}: line {mark.line + 1}" if mark else thing
    if isinstance(error, DuplicateKeyError) and mark:
        key = text.splitlines()[mark.line][mark.column :].partition(":")[0]
        return InputError(place, f"key {key[:60]!r} is given twice", do="leave one out")
    problem = str(getattr(error, "problem", None) or type(error).__name__)
    return InputError(place, f"not valid YAML ({problem[:100]})", "a YAML policy")


def _shown(path: Path) -> str:
    """A path as reports may show it: relative to here, and the bare name of a file from elsewhere."""
    if path in shipped().values():
        return f"policies/{path.name}"  # wherever it was installed
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.name


@dataclass(frozen=True)
class _Source:
    """A file being read: its name in errors, its name in reports, and its nodes."""

    thing: str
    file: str
    root: Node | None

    def line(self, *where: int | str) -> int:
        return _lines(self.root, where)[0]

    def place(self, *where: int | str) -> Place:
        first, last = _lines(self.root, where)
        return Place(file=self.file, line=first, last=last)


#: Lists of which a child's entries come first and the parent's follow.
_INHERITED = ("attestations", "signatures", "waivers")


class _Merged:
    """A child's plain data, laid over its parent's, and the place of each piece."""

    def __init__(self, data: dict[str, Any], source: _Source) -> None:
        self.data = data
        self.source = source
        #: position in the merged rules to position in the file; missing: the rule is the parent's alone
        self.own: dict[int, int] = {i: i for i in range(len(self._list("rules")))}
        self.places = {
            (kind, i): source.place(kind, i)
            for kind in ("rules", "waivers", "signatures")
            for i in range(len(self._list(kind)))
        }

    def _list(self, key: str) -> list[Any]:
        found = self.data.get(key)
        return list(found) if isinstance(found, list | tuple) else []

    def under(self, parent: Policy) -> None:
        """Lay the child over ``parent``."""
        given = self._list("rules")
        dropped = {Dropped.model_validate(one).rule for one in self._list("drop")}
        known = {rule.id for rule in parent.rules}
        for missing in dropped - known:
            place = f"{self.source.thing}: line {self.source.line('drop')}"
            raise InputError(place, f"{parent.id} has no rule {missing!r}{nearest(missing, known)}")
        changes: dict[str, int] = {}
        added = []
        for i, one in enumerate(given):
            name = one.get("id") if isinstance(one, dict) else None
            if isinstance(name, str) and name in known - dropped and name not in changes:
                changes[name] = i
            else:
                added.append(i)
        rules: list[Any] = []
        places: dict[tuple[str, int], Place] = {}
        self.own = {}
        for position, old in enumerate(parent.rules):
            if old.id in dropped:
                continue
            changed = changes.get(old.id)
            if changed is None:
                where = parent.places.get(("rules", position))
                rules.append(old.model_dump(exclude_defaults=True))
            else:
                self.own[len(rules)] = changed
                where = self.source.place("rules", changed)
                rules.append(self._changed(old, given[changed], where, parent))
            if where is not None:
                places["rules", len(rules) - 1] = where
        for i in added:
            self.own[len(rules)] = i
            places["rules", len(rules)] = self.source.place("rules", i)
            rules.append(given[i])
        for key in _INHERITED:
            old_ones = [one.model_dump(exclude_defaults=True) for one in getattr(parent, key)]
            new_ones = self._list(key)
            for i in range(len(new_ones)):
                places[key, i] = self.source.place(key, i)
            for i in range(len(old_ones)):
                if (key, i) in parent.places:
                    places[key, len(new_ones) + i] = parent.places[key, i]
            self.data = {**self.data, key: [*new_ones, *old_ones]}
        self.data = {**self.data, "rules": rules}
        self.places = places

    def _changed(self, old: Rule, change: Mapping[str, Any], where: Place, parent: Policy) -> dict[str, Any]:
        before = old.model_dump(exclude_defaults=True)
        agreed = before.pop("loosened", None)
        after = {**before, **change}
        try:
            less = looser(old, Rule.model_validate(after))
        except ValidationError:
            return after  # the whole policy is validated next, and says so with its line
        if less and not change.get("loosened"):
            found = f"rule {old.id!r} is looser than {parent.id} {parent.version}: {less}"
            raise InputError(
                f"{self.source.thing}: line {where.line}",
                found,
                do="add loosened: {owner: …, reason: …}, or require as much",
            )
        return after if less or agreed is None else {"loosened": agreed, **after}


def _parent(pinned: Extends, source: _Source, near: Path | None, depth: int) -> Policy:
    place = f"{source.thing}: line {source.line('extends')}"
    if depth >= _DEEPEST:
        raise InputError(
            place, f"policies extend each other more than {_DEEPEST} deep", "fewer, and no circle"
        )
    parent = load(pinned.policy, near, depth + 1)
    compare = f"read mlmguard policy resolve {pinned.policy}, then pin what you accept"
    if parent.version != pinned.version:
        raise InputError(
            place, f"{parent.id} is version {parent.version}", f"{pinned.version} as pinned", compare
        )
    if not parent.digest.startswith(pinned.digest):
        raise InputError(
            place, f"{parent.id} has digest {parent.digest[:16]}", "the digest that is pinned", compare
        )
    return parent


_NOUNS: Mapping[str, type[Strict]] = {
    "rules": Rule,
    "waivers": Waiver,
    "attestations": Attestation,
    "signatures": Signature,
    "drop": Dropped,
    "extends": Extends,
}


def _one_line(error: ValidationError, merged: _Merged) -> InputError:
    """The first problem with its line and, for an unknown key, the nearest known one."""
    # a misspelt key is also a missing one: name the misspelling first
    problems = sorted(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    problem = problems[0]
    where = problem["loc"]
    if error.title in ("Extends", "Dropped"):  # validated before the rest, so its places are its own
        where = (("extends" if error.title == "Extends" else "drop"), *where)
    if where[:1] == ("rules",) and len(where) > 1 and isinstance(where[1], int):
        where = ("rules", merged.own.get(where[1], where[1]), *where[2:])
    place = f"{merged.source.thing}: line {merged.source.line(*where)}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    key = str(where[-1])[:60] if where else ""
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        part = str(where[0]) if len(where) > 1 else ""
        fields = _NOUNS.get(part, Policy).model_fields
        return InputError(place, f"unknown key {key!r}{nearest(key, fields)}{more}")
    if problem["type"] == "missing":
        return InputError(place, f"no {key!r}{more}", do="add it")
    if problem["type"] == "value_error" and (not where or isinstance(where[-1], int)):
        return InputError(place, f"{message}{more}")
    given = problem["input"]
    shown = f" {str(given)[:60]!r}" if isinstance(given, str | int | float) else ""
    hint = "put it in quotes" if problem["type"] == "string_type" and shown else ""
    return InputError(place, f"{key}{shown}: {message[:1].lower()}{message[1:]}{more}", do=hint)


def _lines(node: Node | None, where: tuple[int | str, ...]) -> tuple[int, int]:
    """1-based first and last line of the deepest part of ``where`` that the file has."""
    first = node.start_mark.line if node is not None else 0
    for part in where:
        if isinstance(node, MappingNode):
            entry = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if entry is None:
                break
            first, node = entry[0].start_mark.line, entry[1]
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            first = node.start_mark.line
        else:
            break
    # a block's own end mark is where the next thing begins: go to the last scalar in it
    while isinstance(node, CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    end = 0 if node is None else node.end_mark.line + (1 if node.end_mark.column else 0)
    return first + 1, max(first + 1, end)


def policy_schema() -> dict[str, Any]:
    """Return the JSON Schema of a policy file."""
    return Policy.model_json_schema()
