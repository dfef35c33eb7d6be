"""Mutants of every format that comes from outside: read or refused with one line, and never more.

``make fuzz`` (``python -m tests.fuzz``) does it at length; what once broke something is kept under
``tests/data/fuzz/FORMAT`` and is tried at every run of the tests.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from mlmguard import cli
from mlmguard.artifacts import read_noun, to_json
from mlmguard.corpus.read import child
from mlmguard.corpus.read.document import Settings
from mlmguard.errors import InputError
from mlmguard.loading import loader
from mlmguard.policy.consistency import refuse_impossible
from mlmguard.policy.reading import parse
from mlmguard.types import Manifest, PrivacyStatement, Skipped
from tests.fixtures.evidence import clean

KEPT = Path(__file__).resolve().parents[1] / "data" / "fuzz"
LONGEST = 5.0
"""Seconds of processor time that one mutant may take: a clock would count what else the machine does."""

Try = Callable[[bytes, Path], str]
"""(a mutant, a folder to work in) -> the outcome in a word; raises for what must not happen."""


@dataclass(frozen=True)
class Format:
    """Whole examples of a format, and what reads it."""

    seeds: Callable[[], list[bytes]]
    read: Try


class Broken(Exception):
    """A mutant did what none may do."""


# --- mutants ------------------------------------------------------------------------------------------

_TOKENS = (
    b"0", b"-1", b"1e308", b"NaN", b"9" * 400, b"null", b"true", b'""', b"[]", b"{}", b"[" * 2_000, b"<!--",
    b"<a ", b"&#x", b"\x00", b"\xff" * 8, b"../", b"\n", b"\r\n\r\n", b"From: ", b"boundary=x;", b"auto_map",
    b"\xe2\x80\x8b", b"(a+)+$",
)  # fmt: skip


def mutant(seed: bytes, rng: random.Random) -> bytes:
    """``seed`` after one to four changes: bits, bytes, words, pieces left out, doubled or moved."""
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at, kind = rng.randrange(len(data) + 1), rng.choice((0, 0, 0, 1, 2, 3, 4, 5, 6))
        end = min(len(data), at + rng.choice((1, 2, 8, 64, 512)))
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 2:
            data[at:at] = rng.choice(_TOKENS)
        elif kind == 3:
            del data[at:end]
        elif kind == 4:
            data[at:at] = data[at:end] * rng.choice((1, 2, 50))
        elif kind == 5:
            data[at:end] = rng.choice(_TOKENS)
        elif kind == 6:
            del data[at + 1 :]
    return bytes(data)


def tried(name: str, data: bytes, folder: Path) -> str:
    """The outcome of one mutant; :class:`Broken` where it is none that may be."""
    try:
        _warm(name)
        began = _spent()
        outcome = FORMATS[name].read(data, folder)
    except InputError as refused:
        if "\n" in str(refused):
            raise Broken("a refusal of several lines") from None
        outcome = "refused"
    except (KeyboardInterrupt, Broken):
        raise
    except BaseException as error:
        raise Broken(f"{type(error).__name__} got out") from error
    took = _spent() - began
    if took > LONGEST:
        raise Broken(f"took {took:.1f} seconds")
    return outcome


def _spent() -> float:
    """Seconds of processor time of this process and of those that read for it, dead or alive."""
    dead = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + dead.ru_utime + dead.ru_stime + sum(one.spent for one in child._IDLE)


@cache
def _warm(name: str) -> None:
    """Read a whole file of the format: no mutant's time shall hold what the first reading imports."""
    with tempfile.TemporaryDirectory() as folder:
        FORMATS[name].read(FORMATS[name].seeds()[0], Path(folder))


def run(name: str, mutants: int, seconds: float, folder: Path, seed: int = 0) -> Counter[str]:
    """Outcomes of at most so many mutants in at most so many seconds; what breaks is kept, and raised."""
    rng, seeds, outcomes = random.Random(f"{name} {seed}"), FORMATS[name].seeds(), Counter[str]()
    end = time.monotonic() + seconds
    for _ in range(mutants):
        data = mutant(rng.choice(seeds), rng)
        try:
            outcomes[tried(name, data, folder)] += 1
        except Broken:
            (KEPT / name).mkdir(parents=True, exist_ok=True)
            (KEPT / name / f"{seed}-{sum(outcomes.values())}").write_bytes(data)
            raise
        if time.monotonic() > end:
            break
    return outcomes


# --- a corpus -----------------------------------------------------------------------------------------


def _of_a_corpus(suffix: str) -> Try:
    def read(data: bytes, folder: Path) -> str:
        path = folder / f"x{suffix}"
        path.write_bytes(data)
        found = list(child.read(path, path.name, Settings(), lambda at: None))
        reasons = [one.reason for one in found if isinstance(one, Skipped)]
        if slow := [reason for reason in reasons if reason.endswith("processor time")]:
            raise Broken(slow[0])
        if any(reason.startswith(("reading it", "takes more")) for reason in reasons):
            return "contained"
        return "skipped" if reasons else "read"

    return read


_ROW = {"text": "a text of some length", "at": datetime(2026, 1, 2), "of": [{"a": 1, "b": "x"}, {"a": 2}]}


def _tables(kind: str) -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([_ROW, _ROW | {"text": "another"}])
    made = []
    for opened in (pa.ipc.new_stream, pa.ipc.new_file):
        sink = io.BytesIO()
        with opened(sink, table.schema) as writer:
            writer.write_table(table)
        made.append(sink.getvalue())
    packed = io.BytesIO()
    pq.write_table(table, packed)
    return made if kind == "arrow" else [packed.getvalue()]


_PAGE = b"""<!DOCTYPE html><html><head><title>t</title><script>if (a <!b) { x }</script></head>
<body class="a"><!-- c --><p>one <b>two</b>&amp; &#x41;</p><table><tr><td>3</td></tr></table>
<![CDATA[d]]><br/></body></html>"""
_MAIL = b"""From: Ada <ada@example.org>
To: a@example.org, "B, C" <b@example.org>
Subject: =?utf-8?q?caf=C3=A9?=
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="x"

--x
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

one =C3=A9
--x
Content-Type: text/html

<p>two</p>
--x--
"""
_ROWS = b"""{"text": "one \\u00e9", "id": "n-1", "n": 3, "of": [1, {"a": null}]}
{"text": "two", "id": "n-2"}
"""


# --- a checkpoint -------------------------------------------------------------------------------------


@cache
def _checkpoint() -> dict[str, bytes]:
    """The files of a whole tiny model, by name."""
    import tempfile

    import torch
    from transformers import BertConfig, BertForMaskedLM

    from mlmguard.training.text.tokenizer import Tokenizer

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        BertForMaskedLM(BertConfig(vocab_size=32, **sizes)).save_pretrained(folder)
        Tokenizer.load(None).save(Path(folder))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def _of_a_checkpoint(changed: str, load: Callable[[Path], object]) -> Try:
    def read(data: bytes, folder: Path) -> str:
        place = folder / changed
        place.mkdir(exist_ok=True)
        for name, whole in _checkpoint().items():
            if not (place / name).exists():
                (place / name).write_bytes(whole)
        (place / changed).write_bytes(data)
        load(place)
        return "read"

    return read


def _whole(name: str) -> Callable[[], list[bytes]]:
    return lambda: [_checkpoint()[name]]


# --- evidence and what is beside it -------------------------------------------------------------------


def _gate(data: bytes, folder: Path) -> str:
    path = folder / "audit.json"
    path.write_bytes(data)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.run(["gate", str(path), "-q"])
    if code not in (0, 2, 3, 10):
        raise Broken(f"exit {code}")
    return f"exit {code}"


def _as(noun: type) -> Try:
    def read(data: bytes, folder: Path) -> str:
        path = folder / f"{noun.__name__}.json"
        path.write_bytes(data)
        found = read_noun(path, noun)
        if isinstance(found, PrivacyStatement):
            refuse_impossible(found, path.name)
        return "read"

    return read


def _policy(data: bytes, folder: Path) -> str:
    try:
        parse(data.decode("utf-8"), "policy")
    except UnicodeDecodeError:
        return "refused"
    return "read"


def _json(value: object) -> bytes:
    return json.dumps(json.loads(to_json(value))).encode()


FORMATS: Mapping[str, Format] = {
    "arrow": Format(lambda: _tables("arrow"), _of_a_corpus(".arrow")),
    "parquet": Format(lambda: _tables("parquet"), _of_a_corpus(".parquet")),
    "html": Format(lambda: [_PAGE], _of_a_corpus(".html")),
    "mail": Format(lambda: [_MAIL], _of_a_corpus(".eml")),
    "json": Format(lambda: [_ROWS], _of_a_corpus(".jsonl")),
    "safetensors": Format(
        _whole("model.safetensors"),
        _of_a_checkpoint("model.safetensors", lambda at: loader.model(at, loader.MASKED)),
    ),
    "config": Format(
        _whole("config.json"), _of_a_checkpoint("config.json", lambda at: loader.model(at, loader.MASKED))
    ),
    "tokenizer": Format(_whole("tokenizer.json"), _of_a_checkpoint("tokenizer.json", loader.tokenizer)),
    "evidence": Format(lambda: [_json(clean())], _gate),
    "statement": Format(lambda: [_json(clean().statement)], _as(PrivacyStatement)),
    "manifest": Format(lambda: [_json(clean().manifest)], _as(Manifest)),
    "policy": Format(
        lambda: [(Path(cli.__file__).parents[1] / "policies" / "pci-pan.yaml").read_bytes()], _policy
    ),
}
