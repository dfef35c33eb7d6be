"""Attacks of one audit on several processes: whoever makes the file of an attack first runs it.

Every process reads the checkpoint and its data anew, and what it finds is a file as well (``Finished``), so
nothing but names passes between them, and a process that is lost costs time and no result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlmguard.artifacts import run_folder, scratch
from mlmguard.audit import checkpoint
from mlmguard.audit.bench import Bench
from mlmguard.audit.checkpoint import Audited, Foreign, Ours
from mlmguard.audit.resume import Budget, Finished
from mlmguard.engine import LocalEngine
from mlmguard.leakage.attack import Attack
from mlmguard.leakage.attacks import attacks
from mlmguard.leakage.results import Result
from mlmguard.settings import AuditSettings
from mlmguard.training.numerics import best_device
from mlmguard.types import Watcher

FEWEST = 1000
"""Trained documents from which on: the attacks on fewer take about as long as another process to start."""

LONGEST = "records"
"""The attack that takes longest: a process beside the first begins with it."""


@dataclass(frozen=True)
class Share:
    """The part of one process: the attacks that no other has taken, one after the other."""

    ckpt: Path
    source: Ours | Foreign
    settings: AuditSettings
    taken: Path = field(repr=False)  # a file for each attack that somebody runs

    def __call__(self, number: int) -> None:
        """Read the checkpoint in this process, and leave what the attacks find as files."""
        audited = checkpoint.read(self.ckpt, self.source, self.settings.seed)
        with Bench(audited, self.settings) as bench:
            finished = Finished(audited, self.settings, self.taken)
            for attack in reversed(
                attacks()
            ):  # the longest is among the last, and the others begin with the first
                if not attack.refused(audited) and self.takes(attack):
                    finished.result(attack, bench)

    def takes(self, attack: Attack) -> bool:
        """Whether ``attack`` is this process's to run, as nobody took it before."""
        try:
            (self.taken / attack.name).touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            return False
        return True


@dataclass(frozen=True)
class Together:
    """This process and those beside it."""

    share: Share = field(repr=False)
    finished: Finished
    wait: Callable[[], None]  # until those beside it have ended

    def results(
        self, known: Sequence[Attack], bench: Bench, budget: Budget, watcher: Watcher
    ) -> Mapping[str, Result]:
        """Run what is this process's to run of the ``known`` attacks, then gather what the others found."""
        found: dict[str, Result] = {}
        for attack in known:
            if not budget.spent(found.values()) and self.share.takes(attack):
                with watcher.stage(attack.name):
                    found[attack.name] = self.finished.result(attack, bench)
        elsewhere = [attack for attack in known if attack.name not in found]
        if elsewhere:
            with watcher.stage(", ".join(attack.name for attack in elsewhere)):
                self.wait()
        for attack in elsewhere:
            if not budget.spent(found.values()):
                found[attack.name] = self.finished.result(attack, bench)  # read, or run where it was lost
        return {attack.name: found[attack.name] for attack in known if attack.name in found}


def workers(source: Ours | Foreign, settings: AuditSettings) -> LocalEngine:
    """Give the processes of this machine, with what they import on its way into memory; one where more could
    not do the same."""
    asked_once = isinstance(source, Foreign) and source.secrets == Path("-")  # standard input is read once
    budget = settings.minutes is not None or settings.queries is not None  # what is spent decides what begins
    alone = asked_once or budget or best_device().type != "cpu"
    return LocalEngine(1 if alone else settings.workers, preload=[checkpoint.__name__])


@contextmanager
def shared(
    audited: Audited, ckpt: Path, source: Ours | Foreign, settings: AuditSettings, engine: LocalEngine
) -> Iterator[Together]:
    """Start the processes beside this one; they end with the block, whatever they have done."""
    private = audited.run or run_folder("audits")
    with ExitStack() as stack:
        share = Share(ckpt, source, settings, stack.enter_context(scratch(private, "taken")))
        others = range(1, _processes(audited, engine))
        wait = stack.enter_context(engine.beside(share, others))
        yield Together(share, Finished(audited, settings, share.taken), wait)


def _processes(audited: Audited, engine: LocalEngine) -> int:
    """How many processes attack: one where more would cost more."""
    return engine.workers if len(audited.members) >= FEWEST else 1
