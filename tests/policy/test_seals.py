"""A seal outlives the version it was made with: a field that came later says nothing in files of before."""

import dataclasses
import typing
from pathlib import Path

from mlmguard.artifacts import read_json, write_json
from mlmguard.types import Evidence, FindingCount, sealable
from mlmguard.types.noun import later, noun

SEALED = Path(__file__).parent.parent / "fixtures" / "sealed.json"
"""Of each noun in evidence its fields that every seal is over. Nothing is ever added to it, or taken away."""


def always_sealed() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}

    def visit(kind: object) -> None:
        for part in typing.get_args(kind):
            visit(part)
        if not dataclasses.is_dataclass(kind) or kind.__name__ in found:
            return
        fields = [one for one in dataclasses.fields(kind) if "later" not in one.metadata]
        found[kind.__name__] = sorted(one.name for one in fields)
        hints = typing.get_type_hints(kind)
        for one in dataclasses.fields(kind):
            visit(hints[one.name])

    visit(Evidence)
    return found


def test_a_field_that_is_added_to_sealed_evidence_is_declared_with_later() -> None:
    known, now = read_json(SEALED), always_sealed()
    assert {name: fields for name, fields in now.items() if name in known} == known


def test_a_later_field_is_sealed_only_where_it_says_something() -> None:
    @noun
    class Inner:
        old: int
        new: str = later(default="")

    @noun
    class Outer:
        one: tuple[Inner, ...]
        many: dict[str, Inner]

    said = sealable(Outer((Inner(1), Inner(2, "x")), {"a": Inner(3)}))
    assert said == {"one": [{"old": 1}, {"old": 2, "new": "x"}], "many": {"a": {"old": 3}}}
    count = FindingCount("r", "pattern", 1, 1, 1)
    assert "left" not in sealable(count) and sealable(dataclasses.replace(count, left=0))["left"] == 0


if __name__ == "__main__":
    write_json(SEALED, always_sealed())
