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


def lacking(problem: BaseException) -> str:
    """What this machine lacks, where ``problem`` says so; "" for a bug of ours."""
    if isinstance(problem, OSError) and problem.errno is not None:
        number = problem.errno
    elif re.fullmatch(r"\d+ requested and \d+ written", str(problem)):  # numpy, of a full disk
        return "a file could not be written whole"
    else:  # safetensors has an error of its own
        told = re.search(r"\(os error (\d+)\)", str(problem))
        number = int(told[1]) if told else 0
    return os.strerror(number) if number in _OF_THE_MACHINE else ""


_OF_THE_MACHINE = (
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EMFILE, errno.ENFILE,
    errno.ENOMEM, errno.EIO, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EFBIG,
)  # fmt: skip
