"""Headers of safetensors files: what each tensor is, compared with the length of the file that holds it."""

from __future__ import annotations

import json
import math
import os
import struct
from pathlib import Path
from typing import Any, NamedTuple

from mlmguard.errors import InputError

_MOST_HEADER = 100_000_000  # bytes: the limit of the format itself
_MOST_TENSORS = 50_000
BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I16": 16, "U16": 16,
         "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64}  # fmt: skip
"""Of a number, by the name of its type."""


class Entry(NamedTuple):
    """One tensor of a weight file; ``dtype`` as safetensors writes it, as in ``BF16``."""

    shape: tuple[int, ...]
    dtype: str


def header(path: Path) -> dict[str, Entry]:
    """Each tensor of a safetensors file, after its header was compared with its length."""
    expected = "a safetensors file as it was saved"
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
        if start == b"version " or not 2 <= length <= min(size - 8, _MOST_HEADER):
            found = "a pointer of Git LFS and no weights" if start == b"version " else "no safetensors header"
            raise InputError(
                str(path),
                found,
                expected,
                "get the file itself: git lfs pull" if start == b"version " else "get the file again",
            )
        raw = stream.read(length)
    try:
        read = json.loads(raw)
        tensors = {name: one for name, one in read.items() if name != "__metadata__"}
        if len(tensors) > _MOST_TENSORS:
            raise InputError(str(path), f"more than {_MOST_TENSORS:,} tensors", "the weights of a model")
        ends = sorted((*_extent(one), one["dtype"], tuple(one["shape"])) for one in tensors.values())
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        raise InputError(str(path), "a damaged safetensors header", expected, "get the file again") from None
    at = 0
    for begin, end, dtype, shape in ends:
        bits = BITS.get(dtype, 0) * math.prod(shape)
        if (not bits and 0 not in shape) or begin != at or bits != 8 * (end - begin):
            raise InputError(str(path), "a header that contradicts itself", expected, "get the file again")
        at = end
    if at != size - 8 - length or not ends:
        raise InputError(str(path), "weights cut short, or none", expected, "get the file again")
    return {name: Entry(tuple(one["shape"]), one["dtype"]) for name, one in tensors.items()}


def _extent(tensor: Any) -> tuple[int, int]:
    begin, end = tensor["data_offsets"]
    if not isinstance(tensor["dtype"], str):
        raise ValueError
    numbers = (begin, end, *tensor["shape"])
    if not all(type(one) is int and 0 <= one < 1 << 62 for one in numbers) or len(numbers) > 18:
        raise ValueError
    return begin, end
