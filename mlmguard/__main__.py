"""``python -m mlmguard`` and the ``mlmguard`` script."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    _keep_the_terminal()
    os.umask(os.umask(0) | 0o022)  # no file of ours is anybody's to change, whatever library writes it
    from mlmguard import cli  # rich looks at the streams when it is imported

    cli.main()


def _keep_the_terminal() -> None:
    """Let nobody but Python write to standard output and error.

    A panic of Rust, or a library in C, prints what it met past Python: the text of a document, a line of a
    stranger's tokenizer. What they print goes nowhere, here and in every process that is started.
    """
    os.environ["RUST_BACKTRACE"] = "0"  # it would take seconds to make, and nobody would read it
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            continue
        own = os.fdopen(os.dup(number), "w", encoding=stream.encoding, errors=stream.errors, buffering=1)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
        setattr(sys, name, own)
        setattr(sys, f"__{name}__", own)  # by which libraries find out how wide the terminal is


if __name__ == "__main__":
    main()
