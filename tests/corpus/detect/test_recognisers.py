"""Every recogniser proves itself: it finds the texts it says it must find, and leaves the others."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pytest

from mlmguard.cli import run
from mlmguard.commands.explain import explain
from mlmguard.commands.rules import prove_rules
from mlmguard.corpus.detect import finder as detect
from mlmguard.corpus.detect import installed, prefilter
from mlmguard.corpus.detect.abroad import recognisers_abroad
from mlmguard.corpus.detect.builtin import RECOGNISERS
from mlmguard.corpus.detect.entities import ENTITIES, SEVERITIES, Entity
from mlmguard.corpus.detect.languages import LANGUAGES
from mlmguard.corpus.detect.names import CUED_NAME
from mlmguard.corpus.detect.proving import prove
from mlmguard.corpus.detect.recogniser import Pattern, Recogniser
from mlmguard.corpus.surrogate import surrogate
from mlmguard.errors import InputError

FINDS = [(one, text) for one in RECOGNISERS.values() for text in one.finds]
LEAVES = [(one, text) for one in RECOGNISERS.values() for text in one.leaves]
BADGE = Recogniser(
    entity=Entity("BADGE", "the number of a badge", "it opens doors", "high", surrogate=lambda *_: "B-0"),
    name="BadgeAfterWord",
    patterns=(Pattern("after the word", r"\bbadge \K\d{4}\b", 0.8),),
    finds=("badge «1234» works",),
    leaves=("badge of honour", "1234 badges"),
)


@pytest.mark.parametrize(("one", "marked"), FINDS, ids=[f"{r.name}-{i}" for i, (r, _) in enumerate(FINDS)])
def test_finds(one: Recogniser, marked: str) -> None:
    start, end = marked.index("«"), marked.index("»") - 1
    text = marked.replace("«", "").replace("»", "")
    found = {(s.start, s.end) for s in detect.finder().find_all(text) if s.rule == one.type}
    assert (start, end) in found


@pytest.mark.parametrize(("one", "text"), LEAVES, ids=[f"{r.name}-{i}" for i, (r, _) in enumerate(LEAVES)])
def test_leaves(one: Recogniser, text: str) -> None:
    assert [s for s in detect.finder().find_all(text) if s.rule == one.type] == []


@pytest.mark.parametrize("one", [*RECOGNISERS.values(), CUED_NAME], ids=lambda one: one.name)
def test_every_recogniser_proves_itself_alone(one: Recogniser) -> None:
    assert prove(one) == ()
    assert len(one.leaves) >= 2 and one.type in ENTITIES


# What may stand between a label and its value, over and over, and no value behind it.
ENDLESS = (
    "..",
    "<API_KEY>",
    "<API_KEY>\n",
    "<abcdefghijklmn>",
    "<a b=>",
    "is ",
    "(a) ",
    "[a] ",
    "\n",
    "- ",
    "1 ",
    "aA",
    "A-",
    "= ",
)


def test_no_label_holds_up_a_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefilter, "_TIMEOUT", 5.0)  # a match that backtracks without end raises
    find = detect.finder(languages=("en", *LANGUAGES)).find
    ours = (*RECOGNISERS.values(), *recognisers_abroad(tuple(LANGUAGES)))
    for before in sorted({text.partition("«")[0] for one in ours for text in one.finds}):
        for unit in ENDLESS:
            find(f"{before}{(unit * 200)[:400]} $")


def test_every_type_has_a_row_of_its_own() -> None:
    assert set(detect.supported_entities()) <= set(ENTITIES)
    assert all(row.severity in SEVERITIES and row.what and row.why for row in ENTITIES.values())
    assert installed.entity("SOMETHING_ELSE") == Entity("SOMETHING_ELSE")
    with pytest.raises(ValueError, match="severity"):
        Entity("X", severity="terrible")


# --- a recogniser of an installed package -------------------------------------------------------------


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Install ``thing`` under the entry point, as a package would."""
    remembered = (installed.outside, installed.entities, detect.finder, detect._engine, detect._recognizers)

    def forget() -> None:
        for one in remembered:
            one.cache_clear()

    def install(thing: object) -> None:
        class Point(EntryPoint):
            def load(self) -> object:
                return thing

        point = Point("badge", "nowhere:BADGE", "mlmguard.recognizers")

        def points(*, group: str) -> Any:
            return [point] if group == "mlmguard.recognizers" else entry_points(group=group)

        monkeypatch.setattr("mlmguard.corpus.detect.installed.entry_points", points)
        monkeypatch.setattr("mlmguard.plugins.entry_points", points)
        forget()

    forget()
    yield install
    forget()


def test_a_plug_in_brings_its_row(plug_in: Any) -> None:
    """Severity, page, surrogate and coverage know its type."""
    plug_in(BADGE)
    (found,) = detect.finder().find("my badge 4321 is lost")
    assert (found.rule, found.start, found.end) == ("BADGE", 9, 13)
    assert installed.entity("BADGE").severity == "high"
    assert dict(explain("BADGE").lines)["what"] == "the number of a badge"
    assert surrogate("BADGE", "4321", "ab") == "B-0"
    assert [d.status for d in detect.coverage() if d.entity == "BADGE"] == ["available"]


def test_a_plug_in_cannot_soften_a_row_of_ours(plug_in: Any) -> None:
    plug_in(replace(BADGE, entity=Entity("US_SSN", "harmless", "no reason", "low")))
    assert installed.entity("US_SSN") == ENTITIES["US_SSN"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"finds": ("badge «1234»", "token «99»")}, "does not find text 2 of `finds`"),
        ({"leaves": ("badge 1234",)}, "does not leave text 1 of `leaves`"),
        ({"finds": ("badge 1234",)}, "text 1 of `finds` marks not exactly one value"),
        ({"finds": ()}, "no text to find"),
        ({"patterns": (Pattern("broken", "(", 0.8),)}, "pattern 1 cannot be compiled"),
    ],
)
def test_one_that_fails_on_its_own_texts_is_refused(plug_in: Any, change: Any, said: str) -> None:
    plug_in(replace(BADGE, **change))
    with pytest.raises(InputError, match="BadgeAfterWord") as refused:
        detect.finder().find("a text")
    assert said in str(refused.value) and "1234" not in str(refused.value)


def test_what_is_no_recogniser_is_refused(plug_in: Any) -> None:
    plug_in("a text")
    with pytest.raises(InputError, match="'badge' of a plug-in: a str"):
        detect.finder()


def test_rules_prove(plug_in: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Ours and installed ones, by name or all; an unknown name gets the nearest."""
    plug_in(replace(BADGE, leaves=("badge 1234",)))
    proved = {one.name: one for one in prove_rules(["badge", "StreetAddress"])}
    assert proved["badge"].failures == ("it does not leave text 1 of `leaves`",)
    assert proved["StreetAddress"].failures == () and proved["StreetAddress"].texts > 10
    assert {one.name for one in prove_rules([])} == {*RECOGNISERS, CUED_NAME.name, "badge"}
    with pytest.raises(InputError, match="did you mean 'StreetAddress'"):
        prove_rules(["StreetAdress"])
    assert run(["rules", "prove", "StreetAddress"]) == 0
    assert run(["rules", "prove"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert "badge: it does not leave text 1 of `leaves`" in lines and len(lines) == len(RECOGNISERS) + 3


def test_the_old_import_says_where_the_new_one_is() -> None:
    from mlmguard.corpus import recognizers

    with pytest.warns(DeprecationWarning, match=r"mlmguard\.corpus\.detect\.recogniser\.Recogniser"):
        assert recognizers.Rule is Recogniser
    with pytest.raises(AttributeError):
        recognizers.nothing  # noqa: B018


def test_rows_are_plain_data() -> None:
    assert pickle.loads(pickle.dumps(ENTITIES["EMAIL_ADDRESS"])) == ENTITIES["EMAIL_ADDRESS"]  # noqa: S301
