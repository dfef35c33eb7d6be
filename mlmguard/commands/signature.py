"""Signatures over a checkpoint by OpenSSF model signing: every file of the folder, under one key.

The one door to ``model_signing``, which is an extra. Keys are elliptic-curve PEM files at hand: a signature
by an identity (sigstore), a certificate or a hardware token is the business of the ``model_signing`` command.
"""

from __future__ import annotations

import base64
import json
import re
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mlmguard.artifacts import files_below, write_text
from mlmguard.errors import InputError

NAME = "model.sig"
"""What :func:`write` leaves in the checkpoint."""

#: Names under which model signing and sigstore leave a signature.
NAMES = (NAME, "model.sigstore", "model.sigstore.json", "signature.sig")
#: The library leaves these out by itself: they are no part of a model.
_OF_GIT = {".git", ".gitattributes", ".github", ".gitignore"}
_KEY = "an elliptic-curve key (P-256, P-384, P-521) in a PEM file"


def find(ckpt: Path) -> Path | None:
    """Return the signature that lies in the folder."""
    return next((ckpt / name for name in NAMES if (ckpt / name).is_file()), None)


def write(ckpt: Path, private_key: Path, leave_out: Sequence[str] = ()) -> Path:
    """Sign every file of ``ckpt`` but those whose names match a pattern of ``leave_out``; it records them.

    Raises :class:`InputError` if the key cannot be used, or for a pattern that matches nothing, or a file
    that a model is read from.
    """
    passed_over = _matching(ckpt, leave_out)
    from_library = _library()
    hashing = from_library.hashing.Config().set_ignored_paths(paths=[NAME, *passed_over])
    try:
        signer = from_library.signing.Config().use_elliptic_key_signer(private_key=private_key)
    except (
        OSError,
        ValueError,
        TypeError,
        AttributeError,
    ):  # TypeError: it is encrypted; Attribute: it is RSA
        do = "model_signing signs with encrypted keys, certificates and identities"
        raise InputError(str(private_key), "not a private key that can be used", _KEY, do) from None
    with tempfile.TemporaryDirectory() as folder:  # the library does not write all or nothing
        try:
            signer.set_hashing_config(hashing).sign(ckpt, Path(folder) / NAME)
        except ValueError as problem:  # a link out of the folder, or nothing in it
            raise InputError(str(ckpt), str(problem), "plain files") from None
        write_text(ckpt / NAME, (Path(folder) / NAME).read_text("utf-8"))
    return ckpt / NAME


def _matching(ckpt: Path, patterns: Sequence[str]) -> list[str]:
    names = [path.relative_to(ckpt).as_posix() for path in files_below(ckpt)]
    found = set()
    for pattern in patterns:
        own = [name for name in names if fnmatchcase(name, pattern)]
        if not own:
            raise InputError(f"--leave-out {pattern}", "no file of that name", f"a file in {ckpt}")
        of_the_model = [name for name in own if is_of_the_model(name)]
        if of_the_model:
            found_there = f"{of_the_model[0]}, which a model is read from"
            raise InputError(f"--leave-out {pattern}", found_there, "notes, figures and the like")
        found |= set(own)
    return sorted(found)


def is_of_the_model(name: str) -> bool:
    """Could loading the model, or whoever trusts its statement, read the file of this name?"""
    return Path(name).suffix.lower() not in (
        ".md",
        ".txt",
        ".pdf",
        ".png",
        ".svg",
        ".html",
        ".csv",
        ".log",
    ) or (Path(name).name in ("vocab.txt", "merges.txt"))


def fault(ckpt: Path, signature: Path, public_key: Path) -> str:
    """Say what is wrong with a signature, or "" if it is this key's, over these bytes of every file.

    :class:`InputError` if the key cannot be read or the library is not there.
    """
    try:
        verifier = _library().verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    except (OSError, ValueError, AttributeError):
        raise InputError(str(public_key), "not a public key that can be used", _KEY) from None
    try:
        verifier.verify(ckpt, signature)
        unsigned = [name for name in left_out(ckpt, signature) if is_of_the_model(name)]
    except Exception as problem:  # the bytes are a stranger's, and the library says what it says
        return _said(str(problem)) or "was not made by this key over these bytes"
    return f"leaves out {', '.join(unsigned)}" if unsigned else ""


def _said(problem: str) -> str:
    """The first thing that the library found, without the digests it prints as bytes."""
    found = re.search(r"(Extra files|Missing files|Hash mismatch)[^\]\"]*", problem.replace("\\", ""))
    return found[0].split(": Expected")[0] if found else problem


def left_out(ckpt: Path, signature: Path) -> list[str]:
    """Files that whoever signed told the library to pass over, as the signature records it."""
    payload = json.loads(
        base64.b64decode(json.loads(signature.read_text("utf-8"))["dsseEnvelope"]["payload"])
    )
    passed_over = payload["predicate"]["serialization"].get("ignore_paths", [])
    return sorted(
        name
        for name in passed_over
        if name not in _OF_GIT and (ckpt / name).exists() and (ckpt / name).resolve() != signature.resolve()
    )


def _library() -> Any:
    try:
        import model_signing
    except ImportError:
        raise InputError(
            "signature", "model-signing is not installed", do="pip install 'mlmguard[signing]'"
        ) from None
    return model_signing
