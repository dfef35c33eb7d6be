"""What a corpus of any size takes, predicted from a short run on this machine; ``mlmguard plan scale``.

Every cost is measured at three sizes, on invented notes and numbers. What is predicted lies far behind the
last of them, so each line says how far, and where a straight line says little.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import click

from mlmguard import artifacts, console
from mlmguard.commands.options import Page, shared, show
from mlmguard.commands.watching import interruptible
from mlmguard.engine import default_workers, peak_memory
from mlmguard.errors import InputError
from mlmguard.settings import ScanSettings, TrainSettings
from mlmguard.settings.choices import Size
from mlmguard.types import SILENT, Watcher

NOTES = (50, 200, 800)
"""Notes of the scans that are measured."""
NAMES = (20_000, 60_000, 180_000)
"""Documents whose digests, signatures and keys are sorted."""
_BOOKS = 32  # bytes a document that the merge keeps beside: owner, form, length, findings, place
_WARM = 16  # notes of a scan before the clock runs: it loads the detectors
_BATCH, _STEPS = 64, (2, 6)  # units and steps of the two short trainings
_ROUGH = 1.1  # an exponent from which on a straight line says too little
_T = TypeVar("_T")


@dataclass(frozen=True)
class Point:
    """A measured cost: of so many documents."""

    documents: int
    cost: float


@dataclass(frozen=True)
class Cost:
    """One cost, measured and predicted; ``unit`` of all its numbers."""

    what: str
    unit: str
    points: tuple[Point, ...]
    each: float  # of one more document, between the first point and the last
    once: float  # of none
    exponent: float | None  # between the last two points, without what is there once; None: not measurable
    predicted: float
    times: float  # how far the prediction lies behind the last point

    @classmethod
    def of(cls, what: str, unit: str, points: list[Point], documents: int) -> Cost:
        """Lay a line through the first point and the last."""
        first, before, last = points[0], points[-2], points[-1]
        each = max(0.0, last.cost - first.cost) / (last.documents - first.documents)
        once = max(0.0, first.cost - each * first.documents)
        grown = [one.cost - once for one in (before, last)]
        exponent = None
        if min(grown) > 0:
            exponent = math.log(grown[1] / grown[0]) / math.log(last.documents / before.documents)
        predicted = once + each * documents
        return cls(what, unit, tuple(points), each, once, exponent, predicted, documents / last.documents)

    @property
    def line(self) -> str:
        """Say what was predicted, from what, and how far that is."""
        told = f"{_amount(self.predicted, self.unit)}; measured at {self.points[0].documents:,} to "
        told += f"{self.points[-1].documents:,} documents, {self.times:,.0f} times beyond"
        if self.exponent is None or not 1 / _ROUGH <= self.exponent <= _ROUGH:
            shown = "not measurable" if self.exponent is None else f"{self.exponent:.2f}"
            told += f"; exponent {shown}: no straight line: so far beyond it says little"
        return told


@dataclass(frozen=True)
class Training:
    """A private training of the default recipe: it takes as long for any number of documents."""

    device: str
    gpus: int
    steps: int
    units: int  # of a step
    seconds_a_unit: float
    seconds: float  # on one device as the measured one
    seconds_together: float | None  # on all of them; None where the measured one is no GPU
    bytes_a_step: int  # that each process sends


@dataclass(frozen=True)
class Scale:
    """What was predicted for so many documents."""

    documents: int
    chars: float  # of a document
    cores: int
    costs: tuple[Cost, ...]
    hours: float  # of the clock: examining on all cores, then the merge on one
    training: Training | None
    schema: str = "mlmguard/scale/v1"


# --- what is measured -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scanned:
    documents: int
    chars: float
    read: int  # bytes of the corpus
    examining: float  # seconds of the processor
    merging: float
    spool: int  # bytes
    written: int
    memory: int  # bytes, the most so far


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _scanned(root: Path, notes: int) -> _Scanned:
    """Scan so many invented notes as a job of one shard and its merge."""
    from mlmguard.corpus.synthetic import write_corpus
    from mlmguard.scan import examine_shard, scan

    corpus, runs = root / "corpus", root / artifacts.RUNS
    write_corpus(corpus, None, notes=notes)
    places, key = (corpus, root / "clean", root / "reports"), artifacts.Key(secrets.token_bytes(32))
    began = time.process_time()
    examine_shard(*places, key=key, settings=ScanSettings(shard="1/1"), runs=runs)
    examined, spool = time.process_time(), _size(runs)
    manifest = scan(*places, key=key, settings=ScanSettings(merge=True), runs=runs)
    merged = time.process_time()
    chars = artifacts.read_json(root / "reports" / "scan.run.json")["million_characters"] * 1e6
    return _Scanned(
        manifest.documents_read, chars, _size(corpus), examined - began, merged - examined, spool,
        _size(root / "clean") + _size(root / "reports"), peak_memory(),
    )  # fmt: skip


def _scans(root: Path, sizes: tuple[int, ...]) -> list[_Scanned]:
    """Scans of these sizes in one process; the detectors are in memory before the first that counts."""
    _scanned(root / "warm", _WARM)
    return [_scanned(root / str(notes), notes) for notes in sizes]


def _names(root: Path, sizes: tuple[int, ...]) -> list[tuple[Point, Point]]:
    """Seconds and memory of the pass over digests and keys, of documents none of which is like another."""
    import numpy as np

    from mlmguard.corpus.copies.dedup import Copies, Sketches

    chance, permutations, found = np.random.default_rng(1), ScanSettings.permutations, []
    for documents in sizes:
        began = time.process_time()
        with Copies(str, folder=root) as copies:
            for start in range(0, documents, 1000):
                count = min(1000, documents - start)
                signatures = chance.integers(0, 1 << 32, (permutations, count), dtype=np.uint32)
                copies.add(Sketches(chance.bytes(16 * count), signatures, np.zeros(count, bool)))
            copies.found()
        seconds = time.process_time() - began
        found.append((Point(documents, seconds), Point(documents, peak_memory())))
    return found


def _trained(root: Path, clean: Path, size: str) -> tuple[str, float, int]:
    """Train privately on ``clean``: the device, seconds of the clock for a unit of a step, and parameters."""
    from mlmguard.train import train
    from mlmguard.training import models, numerics

    os.environ["MLMGUARD_STATE"] = str(root / "state")  # nobody's notes: no entry in the user's ledger
    spent = list[float]()
    for steps in (1, *_STEPS):
        settings = TrainSettings(dp_epsilon=8.0, steps=steps, batch_units=_BATCH, size=size)
        began = time.perf_counter()
        train(
            clean, root / f"ckpt-{steps}", root / f"reports-{steps}", settings,
            runs=clean.parent / artifacts.RUNS,
        )  # fmt: skip
        spent.append(time.perf_counter() - began)
    model = models.load(root / f"ckpt-{_STEPS[-1]}").model
    a_unit = max(0.0, spent[-1] - spent[-2]) / (_BATCH * (_STEPS[1] - _STEPS[0]))
    return numerics.device_name(), a_unit, sum(one.numel() for one in model.parameters())


def _apart(work: Callable[..., _T], *arguments: object) -> _T:
    """The work in a process of its own: its memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


# --- what is predicted ----------------------------------------------------------------------------------


def scale(
    documents: int, chars: int | None = None, cores: int = 1, gpus: int | None = None, size: str = Size.NANO,
    watcher: Watcher = SILENT,
) -> Scale:  # fmt: skip
    """Predict what a scan of ``documents`` takes, and with ``gpus`` what a private training does.

    ``chars`` is the length of a document, that of the invented notes where it is None; ``cores`` examine.
    """
    with tempfile.TemporaryDirectory(prefix="mlmguard-scale-") as folder:
        root = Path(folder)
        watcher.progress("measure scans", 0, None)
        scans = _apart(_scans, root, NOTES)
        watcher.progress("measure the pass over copies", 0, None)
        names = _apart(_names, root, NAMES)
        training = None
        if gpus:
            watcher.progress("measure a training", 0, None)
            training = _training(gpus, *_apart(_trained, root, root / str(NOTES[-1]) / "clean", size))
    mean = sum(one.chars for one in scans) / sum(one.documents for one in scans)
    longer = chars / mean if chars else 1.0  # a document of the corpus beside one that was measured
    costs = tuple(_costs(scans, names, documents, longer))
    predicted = {one.what: one.predicted for one in costs}
    hours = (predicted["examining"] / cores + predicted["merge"] + predicted["copies"]) / 3600
    return Scale(documents, mean * longer, cores, costs, hours, training)


def _costs(
    scans: list[_Scanned], names: list[tuple[Point, Point]], documents: int, longer: float
) -> Iterator[Cost]:
    def of(what: str, unit: str, cost: Callable[[_Scanned], float], by_length: bool = True) -> Cost:
        """A cost of scans; of longer documents, what each of them adds is as much more."""
        found = Cost.of(what, unit, [Point(one.documents, cost(one)) for one in scans], documents)
        if not by_length:
            return found
        each = found.each * longer
        return replace(found, each=each, predicted=found.once + each * documents)

    yield of("examining", "core-seconds", lambda one: one.examining)
    yield of("merge", "core-seconds", lambda one: one.merging)
    yield Cost.of("copies", "core-seconds", [seconds for seconds, _ in names], documents)
    memory = Cost.of("memory of the merge", "bytes", [most for _, most in names], documents)
    base = float(max(one.memory for one in scans))  # the detectors are loaded there, too
    each = memory.each + _BOOKS
    yield replace(memory, each=each, once=base, predicted=base + each * documents)
    yield of("disk of the shards", "bytes", lambda one: one.spool)
    yield of("written at the end", "bytes", lambda one: one.written)
    # the corpus once, the spool once written and three times read: books, cuts and rows
    yield of("moved", "bytes", lambda one: one.read + 4 * one.spool + one.written)


def _training(gpus: int, device: str, seconds_a_unit: float, parameters: int) -> Training:
    from mlmguard.train.planning import PRIVATE_BATCH, PRIVATE_STEPS

    seconds = seconds_a_unit * PRIVATE_BATCH * PRIVATE_STEPS
    together = None if device == "processor" else seconds / gpus
    sent = round(2 * 4 * parameters * (gpus - 1) / gpus)  # a ring: each sum once gathered, once spread
    return Training(device, gpus, PRIVATE_STEPS, PRIVATE_BATCH, seconds_a_unit, seconds, together, sent)


# --- the command ----------------------------------------------------------------------------------------

_UNITS = {
    "bytes": ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")),
    "core-seconds": ((3.6e6, "thousand core-hours"), (3600, "core-hours"), (60, "core-minutes")),
    "seconds": ((3600, "hours"), (60, "minutes")),
}


def _amount(number: float, unit: str) -> str:
    for least, name in _UNITS[unit]:
        if number >= least:
            return f"{number / least:,.3g} {name}"
    return f"{number:,.3g} {unit}"


def _whole(context: click.Context, parameter: click.Parameter, value: float) -> int:
    if not (math.isfinite(value) and value >= 1 and value == int(value) and value <= 1e15):
        raise InputError("--documents", f"{value:g}", "a whole number from 1 to 1e15, as in 1e9")
    return int(value)


@click.command("scale", cls=Page)
@click.option(
    "--documents", type=float, required=True, callback=_whole, metavar="NUMBER",
    help="How many documents the corpus has, as in 1e9.",
)  # fmt: skip
@click.option(
    "--chars",
    type=click.IntRange(1, 10_000_000),
    help="Characters of a document.  [default: invented notes']",
)
@click.option(
    "--cores", type=click.IntRange(1, 1_000_000), help="Cores that examine.  [default: those of this machine]"
)
@click.option(
    "--gpus", type=click.IntRange(1, 100_000),
    help="Also measure a private training here, and divide it by so many GPUs.",
)  # fmt: skip
@click.option(
    "--size", type=click.Choice([str(one) for one in Size]), default=str(Size.NANO), show_default=True,
    help="The model of that training.",
)  # fmt: skip
@shared
def command(
    documents: int, chars: int | None, cores: int | None, gpus: int | None, size: str,
    quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Predict what a scan of any size takes from a short run here.

    The run takes a minute or two: scans of 50, 200 and 800 invented notes, and the pass over copies of up
    to 180,000 documents. Each line says what was measured, and how far beyond it the prediction lies.
    """
    with interruptible(quiet or as_json) as watcher:
        found = scale(documents, chars, cores or default_workers(), gpus, size, watcher)
    show(found, as_json, lambda: console.explanation(f"{documents:,} documents", list(_lines(found))))


def _lines(found: Scale) -> Iterator[tuple[str, str]]:
    yield (
        "corpus",
        f"{_amount(found.documents * found.chars, 'bytes')} of text, {found.chars:,.0f} a document",
    )
    for cost in found.costs:
        yield cost.what, cost.line
    yield "scan", f"{found.hours:,.3g} hours with {found.cores:,} cores as these; the merge is one process"
    if (run := found.training) is not None:
        alone = _amount(run.seconds, "seconds")
        yield (
            "training",
            f"{alone} on one {run.device}: {run.steps} steps of {run.units} units, for any corpus",
        )
        if run.seconds_together is None:
            yield "on GPUs", "not predicted: there is none here, and a processor says nothing of one"
        else:
            together = _amount(run.seconds_together, "seconds")
            yield "on GPUs", f"at least {together} on {run.gpus}: no waiting, no network"
        yield "sent", f"{_amount(run.bytes_a_step, 'bytes')} a step and process"
    yield (
        "not known",
        "how many copies there are, other readers of the disk, lost machines",
    )
