"""The formats a report can be written in, by name; plug-ins add theirs as ``mlmguard.report``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mlmguard import plugins
from mlmguard.artifacts import write_text
from mlmguard.errors import InputError
from mlmguard.report import (
    annex,
    csv,
    cyclonedx,
    dpia,
    html,
    in_toto,
    json,
    junit,
    markdown,
    model_card,
    prometheus,
    registry,
    sarif,
)
from mlmguard.report.clearance import Case

#: A format is a function from a cleared case to text. It must be pure: the same case, the same bytes.
Writer = Callable[[Case], str]

FORMATS: Mapping[str, Writer] = {
    "html": html.render,
    "json": json.render,
    "sarif": sarif.render,
    "junit": junit.render,
    "markdown": markdown.render,
    "csv": csv.render,
    "model-card": model_card.render,
    "cyclonedx": cyclonedx.render,
    "in-toto": in_toto.render,
    "prometheus": prometheus.render,
    "annex": annex.render,
    "registry": registry.render,
    "dpia": dpia.render,
}
#: What the end of a file name says about its format.
SUFFIXES: Mapping[str, str] = {
    ".html": "html",
    ".json": "json",
    ".sarif": "sarif",
    ".xml": "junit",
    ".md": "markdown",
    ".csv": "csv",
    ".prom": "prometheus",
}
#: What every file of a format holds, near its beginning or its end: what else is there is not overwritten.
MARKS: Mapping[str, str] = {
    "html": " mlmguard release report</title>",
    "json": json.SCHEMA,
    "sarif": "sarif-schema",
    "junit": "<testsuites",
    "markdown": "## mlmguard: ",
    "csv": csv.HEAD,
    "cyclonedx": '"bomFormat": "CycloneDX"',
    "in-toto": "https://in-toto.io/Statement",
    "prometheus": "# HELP mlmguard_",
    "annex": "# Annexes to the release report",
    "registry": "url_slug: ",
    "dpia": "# Excerpt for an impact assessment",
}
_LOOKED_AT = 1 << 16  # bytes at each end
#: Formats that own a part of a file: (the file as it is, the part) to the file as it shall be.
PARTS: Mapping[str, Callable[[str, str], str]] = {"model-card": model_card.merge}


def names() -> tuple[str, ...]:
    """Return the names of all formats, those of plug-ins last."""
    return plugins.names("report", FORMATS)


def render(name: str, case: Case) -> str:
    """Return ``case`` in the format called ``name``.

    Raises:
        InputError: the format is not known, or its plug-in does not load or gives no text.
    """
    writer: Writer = _writer(name)
    text = writer(case)
    if not isinstance(text, str):
        raise InputError(f"plug-in {name}", f"it gave a {type(text).__name__}", "text")
    return text


def _writer(name: str) -> Writer:
    found = plugins.find("report", name, FORMATS)
    if not callable(found):
        raise InputError(f"plug-in {name}", "not a function", "a function from a case to text")
    return found  # type: ignore[no-any-return]


_SEALED = ("privacy.json", "manifest.json")
"""Files that name what lies beside them: a report there would be one file too many."""


def refuse_taken(name: str, path: Path, inputs: Sequence[Path] = ()) -> None:
    """Refuse a folder, a place in a sealed one, one of ``inputs``, and a file that holds something else.

    A format that owns a part of a file takes any text in Markdown. Of what a plug-in wrote nothing is known.
    """
    what = f"--out {name}={path}"
    if path.is_dir():
        raise InputError(what, "a folder", "a file", f"{name}={path / 'report'}, with its ending")
    if name not in PARTS and any((path.parent / sealed).is_file() for sealed in _SEALED):
        raise InputError(
            what,
            "in the folder of a checkpoint or of a cleaned corpus",
            "a folder for reports",
            "name another",
        )
    if any(path.resolve() == one.resolve() for one in inputs):
        raise InputError(what, "the evidence itself", "a file of its own", "name another file")
    if not path.is_file() or not path.stat().st_size or (name not in MARKS and name not in PARTS):
        return
    if not (path.suffix.lower() in (".md", ".markdown") if name in PARTS else holds(name, path)):
        raise InputError(
            what, "a file that holds something else", f"a new file, or one of {name}", "name another"
        )


def holds(name: str, path: Path, mark: str = "") -> bool:
    """Return whether a file holds what the format ``name`` writes (or ``mark``)."""
    with path.open("rb") as file:
        ends = file.read(_LOOKED_AT)
        file.seek(max(0, path.stat().st_size - _LOOKED_AT))
        return (mark or MARKS[name]).encode() in ends + file.read()


def content(name: str, case: Case, path: Path) -> str:
    """Return the new content of ``path``: the whole, or what is there with this format's part renewed."""
    refuse_taken(name, path)
    text = render(name, case)
    if name not in PARTS or not path.exists():
        return text
    try:
        return PARTS[name](path.read_text("utf-8"), text)
    except UnicodeDecodeError:
        raise InputError(str(path), "not UTF-8 text", f"a file to put the {name} into") from None


def write(name: str, case: Case, path: Path) -> None:
    """Render and write, all or nothing."""
    write_text(path, content(name, case, path))


def parse_out(text: str) -> tuple[str, Path]:
    """Split ``FORMAT=PATH``, or a path whose ending names the format.

    Raises :class:`InputError` where the format does not exist or load, or something else is at the path.

    >>> parse_out("reports/audit.html")[0]
    'html'
    """
    given, equals, path = text.partition("=")
    if not equals:
        given, path = SUFFIXES.get(Path(text).suffix.lower(), ""), text
    if not given or not path:
        raise InputError(f"--out {text[:80]}", "no format", "FORMAT=PATH, e.g. html=reports/audit.html")
    _writer(given)
    refuse_taken(given, Path(path))
    return given, Path(path)
