"""Signatures over evidence: one file, its weights and, where one is named, the policy it was judged by.

The same keys and the same door as for a checkpoint (:mod:`mlmguard.commands.signature`). What is signed is a
folder of two files, made anew to be compared: the evidence as a reader has it, and what it is bound to.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from mlmguard.artifacts import sha256_file, text_of, to_json, write_text
from mlmguard.commands import signature
from mlmguard.errors import InputError
from mlmguard.policy.rule import Policy
from mlmguard.types import Evidence, Review

_MOST = 1 << 20  # bytes of a signature: it names two files
_AS_SIGNED = "the evidence as it was signed, under the policy that its signature names"


def place(path: Path) -> Path:
    """Where the signature of the evidence in ``path`` lies: beside it."""
    return path.with_name(f"{path.name}.sig")


def write(path: Path, said: Evidence | Review, policy: Policy | None, private_key: Path) -> Path:
    """Sign what was read from ``path``; without a policy the signature holds under any."""
    with tempfile.TemporaryDirectory() as folder:
        _laid_out(Path(folder), said, policy)
        made = signature.write(Path(folder), private_key)
        write_text(place(path), made.read_text("utf-8"))
    return place(path)


def refuse_unsigned(path: Path, said: Evidence | Review, policy: Policy, public_key: Path) -> None:
    """Raise :class:`InputError` unless that key signed this evidence, for this policy or for any."""
    if not place(path).exists():
        do = f"mlmguard sign {path} --private-key KEY --policy {policy.id}, where the key lies"
        raise InputError(str(path), "no signature beside it", place(path).name, do)
    text = text_of(place(path), "a signature", _MOST)
    for bound in (policy, None):
        with tempfile.TemporaryDirectory() as folder:
            _laid_out(Path(folder), said, bound)
            (Path(folder) / signature.NAME).write_text(text, "utf-8")
            fault = signature.fault(Path(folder), Path(folder) / signature.NAME, public_key)
            if not fault and not signature.left_out(Path(folder), Path(folder) / signature.NAME):
                return
    found = f"not signed by {public_key.name} over this evidence and policy {policy.id} {policy.version}"
    raise InputError(str(place(path)), found, _AS_SIGNED, "have it signed anew, or judge by that policy")


def _laid_out(folder: Path, said: Evidence | Review, policy: Policy | None) -> None:
    evidence = folder / "evidence.json"
    write_text(evidence, to_json(said))
    named = {"id": policy.id, "version": policy.version, "digest": policy.digest} if policy else None
    bound = {
        "schema": "mlmguard/signed-evidence/v1",
        "evidence": sha256_file(evidence),
        "weights": said.model.digest if isinstance(said, Evidence) else "",
        "policy": named,
    }
    write_text(folder / "bound.json", to_json(bound))
