"""What can go wrong, each with the exit code it ends the process with.

Every message is one line that says which thing, what was found, what was expected and what to do.
It never holds text of the corpus: pass places (file, line), counts and types.
"""

from __future__ import annotations

import errno
import os
import re


class MlmguardError(Exception):
    """The run broke or is partial."""

    exit_code = 1


class InputError(MlmguardError):
    """Usage, input or policy file error: nothing was started, nothing half-written.

    >>> str(InputError("clean/03.jsonl: line 12", 'no "text"', do="set --text-key"))
    'clean/03.jsonl: line 12: no "text"; set --text-key.'
    """

    exit_code = 2

    def __init__(self, thing: str, found: str, expected: str = "", do: str = "") -> None:
        parts = [found]
        if expected:
            parts.append(f"expected {expected}")
        if do:
            parts.append(do)
        self.thing = thing
        super().__init__(f"{thing}: " + "; ".join(parts) + ("" if parts[-1].endswith((".", "?")) else "."))


class CannotGoOn(MlmguardError):
    """A run broke in such a way that going on from where it was would break it again."""


class PartialRun(MlmguardError):
    """Work was done, and something of it is missing (disk full, too many records skipped)."""

    exit_code = 1


def of_the_machine(problem: BaseException) -> MlmguardError | None:
    """What a path that is none, or this machine, did to a command; None for a bug of ours."""
    number = problem.errno if isinstance(problem, OSError) else None
    if number is None and re.fullmatch(
        r"\d+ requested and \d+ written", str(problem)
    ):  # numpy, of a full disk
        return PartialRun(f"a file could not be written whole; {NOTHING_HALF}")
    if number is None and isinstance(problem, RuntimeError) and str(problem).startswith("Symlink loop"):
        number = errno.ELOOP  # as pathlib has it
    if number is None and (told := re.search(r"\(os error (\d+)\)", str(problem))):  # safetensors has its own
        number = int(told[1])
    if number in _OF_A_PATH:
        return InputError("a path that was given", os.strerror(number).lower(), do="check the paths")
    return PartialRun(f"{os.strerror(number)}; {NOTHING_HALF}") if number in _OF_THE_MACHINE else None


_OF_A_PATH = (errno.ELOOP, errno.ENAMETOOLONG)
_OF_THE_MACHINE = (
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EMFILE, errno.ENFILE,
    errno.ENOMEM, errno.EIO, errno.ENOTDIR, errno.EFBIG,
)  # fmt: skip
NOTHING_HALF = "nothing half-written is left, make room or rights and run again"
