"""Who approved each waiver and signature of a policy: the signer of the commits that hold its lines."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlmguard.errors import InputError
from mlmguard.policy.rule import Policy
from mlmguard.policy.waiver import same_person


@dataclass(frozen=True)
class Approval:
    """One waiver or signature of a policy and the key that signed the commit which holds it."""

    what: str
    commit: str
    signer: str


def signed(policy: Policy, folder: Path | None = None) -> tuple[Approval, ...]:
    """Return who approved each waiver and signature; :class:`InputError` for the first that nobody signed.

    Every line of it must come from commits whose signature git calls good, made by the approver's key (for an
    attestation: the signer's), which the schema already holds apart from the owner. Whose key it is git knows
    from ``gpg.ssh.allowedSignersFile`` or a keyring; the name there must be the name in the policy.
    """
    people = [(f"waiver of {w.rule!r}", w.approver, w.owner) for w in policy.waivers]
    signers = [(f"signature under {s.attestation!r}", s.by, "") for s in policy.signatures]
    approvals: list[Approval] = []
    for kind, entries in (("waivers", people), ("signatures", signers)):
        for position, (what, wanted, owner) in enumerate(entries):
            place = policy.places.get((kind, position))
            if place is None:
                raise InputError(what, "not from a file", "a policy file in a git repository")
            file = (folder or Path()) / place.file
            approvals += _approved(what, wanted, owner, file, place.line, place.last)
    return tuple(approvals)


def _approved(what: str, wanted: str, owner: str, file: Path, first: int, last: int) -> list[Approval]:
    if not file.is_file():
        raise InputError(what, f"{file.name} does not lie below this folder", "run where the policy lies")
    blamed = _git(file, "blame", "--porcelain", "-L", f"{first},{last}", "--", file.name)
    if blamed is None:
        raise InputError(what, f"{file.name} is in no commit", "a policy file in a git repository")
    commits = sorted({line.split()[0] for line in blamed.splitlines() if _begins_a_line(line)})
    if any(set(commit) == {"0"} for commit in commits):
        raise InputError(what, "not committed yet", "a commit signed by the approver")
    approvals = []
    for commit in commits:
        shown = _git(file, "log", "-1", "--format=%G?%x00%GS", commit) or "N\0"
        state, _, signer = shown.strip("\n").partition("\0")
        if state != "G":
            found = {"N": "is not signed", "B": "has a bad signature"}.get(
                state, "has a signature of an unknown key"
            )
            do = "have the approver commit it with git commit -S"
            raise InputError(f"{what}, commit {commit[:12]}", found, "a good signature", do)
        if owner and same_person(signer, owner):
            raise InputError(f"{what}, commit {commit[:12]}", "signed by its owner", "another person")
        if not same_person(signer, wanted):
            raise InputError(f"{what}, commit {commit[:12]}", f"signed by {signer!r}", f"{wanted!r}")
        approvals.append(Approval(what, commit, signer))
    return approvals


def _begins_a_line(line: str) -> bool:
    """Whether a line of ``git blame --porcelain`` is a commit's, and not its details or the text."""
    word = line.split(" ", 1)[0]
    return len(word) in (40, 64) and set(word) <= set("0123456789abcdef")


def _git(file: Path, *arguments: str) -> str | None:
    """What git says in the folder of ``file``, or None if it refuses."""
    command: Sequence[str] = ("git", "-C", str(file.resolve().parent), *arguments)
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InputError(
            "--require-signed", "git is not installed", do="install git, which reads the signatures"
        ) from None
    return ran.stdout if ran.returncode == 0 else None
