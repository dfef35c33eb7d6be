"""Accept the findings of a scan, so that later scans fail on new ones only.

\f
An entry names a value by its keyed fingerprint, never by its text, and says why it may be there, who says so
and until when. It holds for a value wherever it stands; a value that comes back after the entry's last day is
new. Without the key that made the fingerprints nothing can be compared, and that is an error, not a pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import click

from mlmguard import artifacts, console
from mlmguard.artifacts import Key, as_noun, read_json, write_json
from mlmguard.commands.options import FILE, Page, shared, show
from mlmguard.errors import InputError
from mlmguard.types import noun

_SHOWN = 20
MOST_DAYS = 365
"""An entry is looked at again after a year at the latest."""


@noun
class Entry:
    """One value, by rule and fingerprint; ``keep``: it is nobody's and stays in ``clean/`` as it is."""

    rule: str
    fingerprint: str
    reason: str
    owner: str
    expires: str  # ISO date, the last day it holds
    keep: bool = False


@noun
class Baseline:
    """Entries under one key."""

    key_id: str
    entries: tuple[Entry, ...]
    schema: str = "mlmguard/baseline/v1"


@dataclass(frozen=True)
class Comparison:
    """Values of a scan against a baseline. Each is (rule, fingerprint)."""

    new: tuple[tuple[str, str], ...]
    known: int
    expired: tuple[Entry, ...]  # their values are among the new ones where they still turn up
    stale: tuple[Entry, ...]  # their values turned up nowhere

    def lines(self) -> list[tuple[str, str]]:
        """For people: counts, and what is new, expired or stale by rule and fingerprint."""
        rows = [("known", str(self.known)), ("new", str(len(self.new)))]
        rows += [("new", f"{rule} {fingerprint}") for rule, fingerprint in self.new[:_SHOWN]]
        rows += [
            ("expired", f"{e.rule} {e.fingerprint}, {e.owner}, {e.expires}") for e in self.expired[:_SHOWN]
        ]
        rows += [("stale", f"{e.rule} {e.fingerprint}, {e.owner}") for e in self.stale[:_SHOWN]]
        return rows


def read(path: Path, key: Key) -> Baseline:
    """The baseline in ``path``; :class:`InputError` if it has another key or an entry lacks a word."""
    found = as_noun(read_json(path), Baseline, str(path))
    if found.key_id != key.id:
        raise InputError(
            str(path),
            f"fingerprints of key {found.key_id}",
            f"those of key {key.id}",
            "name its key with MLMGUARD_KEY_FILE, or write a new baseline",
        )
    for number, entry in enumerate(found.entries, 1):
        for field in ("reason", "owner"):
            if not str(getattr(entry, field)).strip():
                raise InputError(f"{path}: entry {number}", f"no {field}", "a few words")
        _day(entry.expires, f"{path}: entry {number}")
    return found


def live(baseline: Baseline, today: date) -> tuple[Entry, ...]:
    """The entries that hold today."""
    return tuple(e for e in baseline.entries if date.fromisoformat(e.expires) >= today)


def kept(baseline: Baseline, today: date) -> tuple[tuple[str, str], ...]:
    """(rule, fingerprint) of the values that somebody says are nobody's, in order."""
    return tuple(sorted((e.rule, e.fingerprint) for e in live(baseline, today) if e.keep))


def compare(findings: Path, baseline: Baseline, today: date) -> Comparison:
    """The findings that a scan wrote, against a baseline."""
    holding = {(e.rule, e.fingerprint) for e in live(baseline, today)}
    staying = set(kept(baseline, today))
    found = set(values(findings))
    return Comparison(
        new=tuple(sorted(found - holding)),
        known=len(found & holding),
        expired=tuple(e for e in baseline.entries if date.fromisoformat(e.expires) < today),
        # what is kept is no finding any more, so it cannot be told from what is gone
        stale=tuple(e for e in baseline.entries if (e.rule, e.fingerprint) not in found | staying),
    )


def values(findings: Path) -> Iterator[tuple[str, str]]:
    """(rule, fingerprint) of each line of a ``findings.jsonl``."""
    try:
        with findings.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                yield str(row["rule"]), str(row["fingerprint"])
    except FileNotFoundError:
        raise InputError(
            str(findings), "no such file", "findings.jsonl of a scan", "run `mlmguard scan` first"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise InputError(
            str(findings), "not findings of a scan", '"rule" and "fingerprint" in each line'
        ) from None


def write(
    path: Path, found: Iterable[tuple[str, str]], key: Key, reason: str, owner: str, expires: str, today: date
) -> Baseline:
    """Add every value that is not in ``path`` yet; entries that are there stay as they are."""
    last = _day(expires, "--expires")
    if last < today or last > today + timedelta(days=MOST_DAYS):
        raise InputError("--expires", expires, f"a day from {today} to {today + timedelta(days=MOST_DAYS)}")
    for option, words in (("--reason", reason), ("--owner", owner)):
        if not words.strip():
            raise InputError(option, "nothing", "a few words")
    old = read(path, key).entries if path.exists() else ()
    there = {(e.rule, e.fingerprint) for e in old}
    added = [Entry(*value, reason, owner, expires) for value in sorted(set(found) - there)]
    baseline = Baseline(key.id, (*old, *added))
    write_json(path, asdict(baseline))
    return baseline


def _day(text: str, thing: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(thing, f"expires {text!r}", "a date like 2026-12-31") from None


# --- the command ----------------------------------------------------------------------------------------


@click.command("baseline", cls=Page)
@click.option("--findings", type=FILE, default="reports/findings.jsonl", show_default=True, help="Of a scan.")
@click.option("--out", type=FILE, default="baseline.json", show_default=True, help="Added to if it is there.")
@click.option("--reason", required=True, help="Why these values may be there.")
@click.option("--owner", required=True, help="Who answers for it.")
@click.option("--expires", required=True, metavar="DATE", help="The last day it holds, a year off at most.")
@shared
def command(
    findings: Path, out: Path, reason: str, owner: str, expires: str, quiet: bool, as_json: bool
) -> None:
    from mlmguard.commands import baseline as known

    today = date.fromisoformat(artifacts.source_date())
    found = known.write(out, known.values(findings), artifacts.load_key(), reason, owner, expires, today)
    show(found, as_json, lambda: console.tell(f"{len(found.entries)} values in {out}"))
    console.written([out], quiet)
