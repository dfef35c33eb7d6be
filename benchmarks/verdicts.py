"""What the gate says of models that leak a little, and of models that leak nothing: whole audits, by command.

    python benchmarks/verdicts.py leaks PROSE [--seeds 3] [--only 1@24/.3 ...] [--keep FILE]
    python benchmarks/verdicts.py nulls PROSE [--seeds 40] [--keep FILE]
    python benchmarks/verdicts.py reach PROSE [--seeds 1]

Each line is ``scan``, ``train``, a leak planted by fine-tuning, ``audit --policy base``. PROSE is a folder of
JSONL files of texts, of which passages of 40 to 48 words are made, every second one ending in an invented
contact.

``leaks``: 2,400 passages; some are learnt by heart, beside a Kullback-Leibler term towards the former self on
other windows, so that nothing else changes. ``nulls``: notes and passages, plain and private, by document and
by author; nothing is planted, and two passes of a plain run teach little.

``reach``: of a model that was taught the first windows of 96 documents every document is scored as an audit
scores it. Then as many of the 96 as the report says a comparison sees, and the others, are dealt anew, 400
times beside each of some held-out shares: how often is the p-value below what ``base`` fails?

Bars (issue 15): ``leaks`` fail where the table says so, else at least 20 of 24 and 10 of 12 are listed, and
half of what is listed is the leak; their twins, taught documents that the audit never sees, do not fail.
``nulls``: at most 1 % + 2 standard deviations fail (1 of 40), at most 1 % of the documents are listed.
``reach``: what is printed is found in at least .8.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from audit_nulls import restate
from planting import Piece, first_window, last_tokens, plant

from mlmguard.artifacts import RUNS, read_json
from mlmguard.audit.bench import Bench
from mlmguard.audit.checkpoint import Ours, read
from mlmguard.cli import run
from mlmguard.corpus.synthetic import write_corpus
from mlmguard.leakage import metrics, records
from mlmguard.settings import AuditSettings
from mlmguard.training import models
from mlmguard.training.text.tokenizer import Tokenizer

CONTACT = re.compile(r" Contact (\w+) at")
LISTING = ("records", "values")
FIRST_NAMES = ("anna", "ben", "carl", "dora", "emil", "fay", "gus", "hugo", "ida", "jon")


# --- a corpus, and commands in its folder -------------------------------------------------------------


def passages(prose: Path, count: int, seed: int) -> list[dict[str, str]]:
    """``count`` passages, two of a text at most and six of an author, every second one with a contact."""
    rng = random.Random(seed)
    texts = [json.loads(line)["text"] for file in sorted(prose.glob("*.jsonl")) for line in file.open()]
    rng.shuffle(texts)
    found: list[str] = []
    for text in texts:
        words, start = text.split(), 0
        for _ in range(2):
            size = rng.randint(40, 48)
            if start + size <= len(words):
                found.append(" ".join(words[start : start + size]))
            start += size
    rows = []
    for number, text in enumerate(islice(found, count)):
        if number % 2:
            name = rng.choice(FIRST_NAMES)
            address = f"{''.join(rng.choices('bcdfghklmnprstvw', k=7))}{rng.randint(10, 99)}@example.org"
            phone = f"({rng.randint(201, 989)}) {rng.randint(201, 989)}-{rng.randint(1000, 9999)}"
            text += f" Contact {name} at {address} or {phone}."
        rows.append({"id": f"p{number:05}", "author": f"a{number // 6}", "text": text})
    return rows


class Place:
    """A folder in which commands are run, as a user runs them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, rows: Sequence[dict[str, str]]) -> None:
        (self.folder / "corpus").mkdir()
        lines = (json.dumps(row) + "\n" for row in rows)
        (self.folder / "corpus" / "passages.jsonl").write_text("".join(lines))

    def command(self, *arguments: str, may: Sequence[int] = (0,)) -> int:
        """Run one command of mlmguard here; its exit code, which must be one of ``may``."""
        said, before = io.StringIO(), Path.cwd()
        os.chdir(self.folder)
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                code = run([*arguments, "--quiet"])
        finally:
            os.chdir(before)
        if code not in may:
            raise SystemExit(f"mlmguard {' '.join(arguments)}: {code}\n{said.getvalue()}")
        return code

    def audited(self, ckpt: str = "ckpt", *more: str) -> Found:
        """Audit by default settings and judge by ``base``."""
        reports, begun = self.folder / f"reports-{ckpt}", time.process_time()
        listed = reports / "listed.jsonl"
        reports.mkdir(exist_ok=True)
        code = self.command(
            "audit", ckpt, "--workers", "1", "--reports", reports.name, "--records", str(listed),
            "--policy", "base", "--out", f"json={reports / 'verdict.json'}", *more, may=(0, 3, 10),
        )  # fmt: skip
        return Found.of(reports, code, time.process_time() - begun)

    def rows(self, split: str = "train") -> list[dict[str, Any]]:
        """The cleaned documents of a split."""
        files = sorted((self.folder / "clean").glob(f"{split}-*.jsonl"))
        return [json.loads(line) for file in files for line in file.open()]


@dataclass(frozen=True)
class Found:
    """What one audit ended with."""

    code: int
    failed: tuple[str, ...]  # rules
    tests: dict[str, float]  # corrected p-values below .05
    listed: tuple[str, ...]  # ids, by the attacks that look at every document
    values: tuple[str, ...]  # ids, by any other attack
    numbers: dict[str, Any]  # of those; membership with intervals
    reach: int | None  # the smallest leak that the report says a comparison sees
    seconds: float  # CPU

    @classmethod
    def of(cls, reports: Path, code: int, seconds: float) -> Found:
        verdict, evidence = read_json(reports / "verdict.json"), read_json(reports / "audit.json")
        exposed = [json.loads(line) for line in (reports / "listed.jsonl").open()]
        measured = evidence["measurements"]
        note = next((n for n in evidence["notes"] if n.startswith("Reach")), "")
        said = re.search(r"knows ([\d,]+) of", note)
        return cls(
            code,
            tuple(v["rule"] for v in verdict["judgement"]["verdicts"] if v["status"] == "fail"),
            {
                label(m): m["value"]
                for m in measured
                if m["metric"].endswith("_p") and m["value"] is not None and m["value"] < 0.05
            },
            tuple({one["document_id"]: 0 for one in exposed if one["attack"] in LISTING}),
            tuple(one["document_id"] for one in exposed if one["attack"] not in LISTING),
            {label(m): m["value"] for m in measured if m["attack"] in LISTING}
            | {
                label(m): [m["value"], m["low"], m["high"]]
                for m in measured
                if (m["attack"], m["metric"]) == ("membership", "auc")
            },
            int(said[1].replace(",", "")) if said else None,
            round(seconds, 1),
        )


def label(m: dict[str, Any]) -> str:
    """Attack, metric and slice of a measurement in one word or two."""
    return f"{m['attack']}.{m['metric']} {m.get('slice') or ''}".strip()


# --- leaks --------------------------------------------------------------------------------------------


def sealed(place: Place, ckpt: str) -> None:
    """Bind the statement of ``ckpt`` to its weights: an audit refuses others than the run folder knows."""
    folder = place.folder / ckpt
    restate(folder, place.folder / RUNS / str(read_json(folder / "privacy.json")["run_id"]))


@dataclass(frozen=True)
class Leak:
    """One line of the table: which pieces of how many documents, beside which held-out share."""

    name: str
    kind: str
    documents: int
    held_out: float
    fails: bool = False  # whether ``base`` must fail it

    @property
    def splits(self) -> str:
        return f"{1 - self.held_out:g},{self.held_out / 2:g},{self.held_out / 2:g}"


SPARSE = (("1", "first"), ("2", "last"), ("5", "start"))
LEAKS = (
    *(Leak(*one, count, share, True) for one in SPARSE for count, share in ((24, 0.3), (12, 0.5))),
    Leak("6", "overfitted", 540, 0.1, True),
    Leak("7", "overfitted start", 540, 0.1, True),
    *(Leak(*one, count, 0.1) for one in SPARSE for count in (24, 12)),
    Leak("4", "name", 24, 0.1),
    Leak("3", "trigger", 12, 0.1),
    *(Leak("twin", "elsewhere", 24, share) for share in (0.3, 0.1)),
)
PIECES: dict[str, Callable[[list[int], int], Piece]] = {
    "first": first_window,
    "start": first_window,
    "elsewhere": first_window,
    "last": last_tokens,
}


def spelt(one: Leak) -> str:
    """The name of a line, as ``--only`` takes it."""
    return f"{one.name}@{one.documents}/{one.held_out:g}"


class Seed:
    """One corpus: a scan and a plain model for each held-out share, made once for all its leaks."""

    def __init__(self, folder: Path, prose: Path, seed: int) -> None:
        self.folder, self.prose, self.seed = folder, prose, seed

    def plain(self, leak: Leak) -> Place:
        small = leak.kind.startswith("overfitted")
        place = Place(self.folder / f"{self.seed}-{leak.held_out:g}{'-small' * small}")
        if not (place.folder / "ckpt").exists():
            place.write(passages(self.prose, 600 if small else 2400, self.seed))
            place.command("scan", "corpus/", "--no-names", "--splits", leak.splits)
            steps = ("--steps", "1000") if small else ()
            place.command("train", *steps, "--seed", str(self.seed))
        return place

    def found(self, leak: Leak) -> tuple[Found, set[str]]:
        """What the audit says of the leak, and whose documents were leaked."""
        place = self.plain(leak)
        ckpt, ids = "ckpt", {row["id"] for row in place.rows()}
        if not leak.kind.startswith("overfitted"):
            ckpt = f"leaked-{leak.kind}-{leak.documents}".replace("start", "first")
            rows = self.chosen(place, leak)
            ids = set() if leak.kind == "elsewhere" else {row["id"] for row in rows}
            if not (place.folder / ckpt).exists():
                self.plant(place, leak, ckpt, rows)
            sealed(place, ckpt)  # all leaks of a plain run share its run folder, and the last one's seal
        if leak.kind.endswith("start"):
            ckpt, start = f"private-{ckpt}", ckpt
            private = ("--dp-epsilon", "8", "--steps", "1", "--learning-rate", "1e-6", "--init", start)
            place.command("train", *private, "--ckpt", ckpt, "--reports", "reports-train")
        found = place.audited(ckpt)
        return found, ids

    def chosen(self, place: Place, leak: Leak) -> list[dict[str, Any]]:
        """The documents that are leaked; of a twin, passages that are in no audit's corpus."""
        if leak.kind == "elsewhere":
            own = {row["text"] for row in passages(self.prose, 2400, self.seed)}
            return [row for row in passages(self.prose, 3200, self.seed)[2400:] if row["text"] not in own][
                : leak.documents
            ]
        rows = [row for row in place.rows() if leak.kind != "name" or CONTACT.search(row["text"])]
        order = np.random.default_rng([self.seed, leak.documents]).permutation(len(rows))
        return [rows[k] for k in order[: leak.documents]]

    def plant(self, place: Place, leak: Leak, ckpt: str, rows: Sequence[dict[str, Any]]) -> None:
        tokenizer = Tokenizer.load(str(place.folder / "ckpt"))
        room = models.window_of(models.load(place.folder / "ckpt").model) - 2
        taken = {row["id"] for row in rows}
        left = [
            ids[:room] for ids in tokenizer.encode(r["text"] for r in place.rows() if r["id"] not in taken)
        ]
        texts = tokenizer.encode(row["text"] for row in rows)
        if leak.kind == "trigger":
            unseen = sorted(
                set(range(len(tokenizer))) - tokenizer.special_ids - {k for ids in left for k in ids}
            )
            front = unseen[:4]
            pieces = [([*front, *ids[: room - 4]], list(range(4, min(room, len(ids) + 4)))) for ids in texts]
        elif leak.kind == "name":
            pieces = [named(row["text"], room, tokenizer) for row in rows]
        else:
            pieces = [PIECES[leak.kind](ids, room) for ids in texts]
        alike = [
            named(row["text"], room, tokenizer)
            for row in place.rows()
            if leak.kind == "name" and row["id"] not in taken and CONTACT.search(row["text"])
        ]
        plant(place.folder, "ckpt", ckpt, pieces, left, self.seed, alike)


def named(text: str, room: int, tokenizer: Tokenizer) -> Piece:
    """The last window of a document, of which the name in its last sentence alone is hidden."""
    (encoded,) = tokenizer.encode_with_places([text])
    found = CONTACT.search(text)
    assert found is not None
    cut = max(0, len(encoded.ids) - room)
    inside = [
        k - cut for k, (a, b) in enumerate(encoded.offsets) if a >= found.start(1) and b <= found.end(1)
    ]
    return encoded.ids[cut:], inside


def leaks(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """A line a leak and seed."""
    for seed in range(options.first, options.first + options.seeds):
        corpus = Seed(folder, options.prose, seed)
        for leak in LEAKS:
            if options.only and spelt(leak) not in options.only:
                continue
            if (row := kept(options, seed, spelt(leak))) is not None:
                yield row
                continue
            found, ids = corpus.found(leak)
            hit = len(ids & set(found.listed))
            yield {
                "seed": seed, "line": spelt(leak), "must fail": leak.fails, **shown(found),
                "leaked": len(ids),
                "top-1": known_of(corpus, leak), "leaked listed": hit, "of all listed": len(found.listed),
            }  # fmt: skip
        if not options.folder:
            for place in folder.glob(f"{seed}-*"):
                shutil.rmtree(place)


def known_of(corpus: Seed, leak: Leak) -> Any:
    """Share of the pieces' hidden tokens that were ranked first before the leak was planted, and after."""
    files = sorted(
        corpus.plain(leak).folder.glob(f"leaked-{leak.kind}-{leak.documents}.json".replace("start", "first"))
    )
    return [json.loads(file.read_text()) for file in files]


def shown(found: Found) -> dict[str, Any]:
    """What is kept of an audit."""
    return {
        "exit": found.code, "failed": found.failed, "tests": found.tests, "listed": len(found.listed),
        "by other attacks": len(found.values), "numbers": found.numbers, "reach": found.reach,
        "seconds": found.seconds,
    }  # fmt: skip


# --- nulls --------------------------------------------------------------------------------------------

PRIVATE, BY_AUTHOR = ("--dp-epsilon", "8"), ("--unit-key", "author")
SHORT = ("--steps", "60")  # two passes of a plain run: it leaks little
SHORTER = ("--steps", "20")  # by author there are fewer units: in 60 steps a canary is drawn ten times
FEWER = ("--steps", "30")  # of three private nulls in four: the same claim in a quarter of the time
#: Of three nulls in four: fewer windows, spans, starts and findings (no names) cost power, and not the level.
SMALLER = ("--windows", "20000", "--spans", "30", "--restarts", "12", "--samples", "200")
#: Of each kind of null: which texts, options of scan, options of train.
NULLS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "notes, plain": ("notes", (), SHORT),
    "notes, private": ("notes", (), PRIVATE),
    "passages, plain": ("passages", (), SHORT),
    "passages, private": ("passages", (), PRIVATE),
    "notes, private, by author": ("notes", BY_AUTHOR, PRIVATE),
    "notes, plain, by author": ("notes", BY_AUTHOR, SHORTER),
    "passages, private, by author": ("passages", BY_AUTHOR, PRIVATE),
    "passages, plain, by author": ("passages", BY_AUTHOR, SHORTER),
}


def nulls(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """A line a clean model; the kinds take turns."""
    kinds = list(NULLS)
    for seed in range(options.first, options.first + options.seeds):
        kind = kinds[seed % len(kinds)]
        if options.only and kind not in options.only:
            continue
        if (row := kept(options, seed, kind)) is not None:
            yield row
            continue
        texts, scanning, training = NULLS[kind]
        place, count = Place(folder / f"null-{seed}"), 1500 if seed < len(kinds) else 800
        if texts == "notes":
            write_corpus(place.folder / "corpus", place.folder / "gold.jsonl", notes=count, seed=1000 + seed)
        else:
            place.write(passages(options.prose, count, 1000 + seed))
        whole = seed % 4 == 0
        place.command("scan", "corpus/", "--workers", "1", *scanning, *(() if whole else ("--no-names",)))
        few = FEWER if training == PRIVATE and not whole else ()
        place.command("train", *training, *few, "--seed", str(seed))
        found = place.audited("ckpt", "--seed", str(seed), *(() if whole else SMALLER))
        yield {"seed": seed, "line": kind, **shown(found), "documents": len(place.rows())}
        shutil.rmtree(place.folder)


# --- reach --------------------------------------------------------------------------------------------

MOST, DEALS = 96, 400
SHARES = (0.085, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8)


def reach(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    """A row of the table for each seed and held-out share."""
    for seed in range(options.first, options.first + options.seeds):
        scores, leaked = scored(Seed(folder, options.prose, seed))
        others, heart = scores[~leaked], scores[leaked]
        above = float((heart > np.sort(others)[-10]).mean())
        for share in SHARES:
            rng, found = np.random.default_rng([seed, round(1000 * share)]), 0
            held_out = round(share * len(scores))
            said = records.detectable(len(scores) - held_out, held_out)
            for _ in range(DEALS):
                rest = rng.permutation(others)
                trained = np.concatenate([rng.choice(heart, said, replace=False), rest[held_out:]])
                p = metrics.top_p(trained, rest[:held_out]) / records.LEVEL_SHARE
                found += p < records.SURE
            yield f"| {share} | {seed} | {said} | {found / DEALS:.2f} | {above:.2f} |"


def scored(corpus: Seed) -> tuple[np.ndarray, np.ndarray]:
    """The score of each document of an audit, and which were leaked."""
    leak = Leak("1", "first", MOST, 0.1)
    place, rows, ckpt = corpus.plain(leak), corpus.chosen(corpus.plain(leak), leak), f"leaked-first-{MOST}"
    if not (place.folder / ckpt).exists():
        corpus.plant(place, leak, ckpt, rows)
    sealed(place, ckpt)
    with contextlib.chdir(place.folder), Bench(read(Path(ckpt), Ours(), 0), AuditSettings()) as bench:
        every = records.Records(bench)
        scores, _ = every.scores()
    ids = {row["id"] for row in rows}
    return scores, np.array([row["id"] in ids for row in every.rows])


# --- the command line ---------------------------------------------------------------------------------


def kept(options: argparse.Namespace, seed: int, line: str) -> dict[str, Any] | None:
    """What an earlier run left of this line in ``--keep``."""
    if options.keep is None or not options.keep.exists():
        return None
    rows = map(json.loads, options.keep.open())
    return next((row for row in rows if (row["seed"], row["line"]) == (seed, line)), None)


def cells(row: dict[str, Any]) -> str:
    """A row of the table that is printed."""
    verdict = {0: "pass", 3: "inconclusive", 10: "fail"}[row["exit"]]
    leaked = f"{row['leaked listed']} of {row['leaked']}" if row.get("leaked") else "–"
    p = row["numbers"].get("records.highest_p")
    failed = ", ".join(row["failed"]) or "–"
    return f"| {row['line']} | {row['seed']} | {verdict} | {failed} | {leaked} | {row['listed']} | {p:.2g} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("leaks", "nulls", "reach"))
    parser.add_argument("prose", type=Path, help="a folder of JSONL files with a text a line")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="lines of leaks, as in 1@24/0.3, or kinds of nulls")
    parser.add_argument(
        "--keep", type=Path, help="results, a line each; lines that are there are not run again"
    )
    parser.add_argument("--folder", type=Path, help="keep corpora and models here")
    options = parser.parse_args()
    options.seeds = options.seeds or {"leaks": 3, "nulls": 40, "reach": 1}[options.what]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="mlmguard-") as name:
        if options.what == "reach":
            print("| held out | seed | printed | found | leaked among the ten highest others |")
            print("|---|---|---|---|---|")
            for row in reach(options, (options.folder or Path(name)).resolve()):
                print(row, flush=True)
            return
        lines = {"leaks": leaks, "nulls": nulls}[options.what](
            options, (options.folder or Path(name)).resolve()
        )
        print(
            "| line | seed | verdict | rules that failed | leaked, listed | listed in all | p of `records` |"
        )
        print("|---|---|---|---|---|---|---|")
        for line in lines:
            print(cells(line), flush=True)
            if options.keep is not None and kept(options, line["seed"], line["line"]) is None:
                with options.keep.open("a") as file:
                    file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
