"""Tables by column: Parquet and Arrow."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from mlmguard.corpus.read.document import Refused, Settings
from mlmguard.corpus.read.packed import BOMB_BYTES, BOMB_RATIO, Unpacked
from mlmguard.corpus.read.rows import Rows, has_text, no_column, refuse_wide
from mlmguard.types import Document, Skipped

_TABLE_ROWS = 32  # of a Parquet file that are in memory at a time


def parquet(stream: IO[bytes], name: str, settings: Settings) -> Iterator[Document | Skipped]:
    """Read a Parquet file."""
    from pyarrow.parquet import ParquetFile

    def open_table(file: IO[bytes]) -> tuple[Any, Iterable[Any]]:
        table = ParquetFile(file)
        return table.schema_arrow, table.iter_batches(batch_size=_TABLE_ROWS)

    yield from _table(open_table, "Parquet", stream, name, settings)


def arrow(stream: IO[bytes], name: str, settings: Settings) -> Iterator[Document | Skipped]:
    """Read an Arrow file in either form: the file, and the stream that Hugging Face datasets are saved as."""
    from pyarrow import ipc

    def open_table(file: IO[bytes]) -> tuple[Any, Iterable[Any]]:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        if not is_file:
            table = ipc.open_stream(file)
            return table.schema, table
        table = ipc.open_file(file)
        return table.schema, map(table.get_batch, range(table.num_record_batches))

    yield from _table(open_table, "Arrow", stream, name, settings)


def _table(
    open_table: Callable[[IO[bytes]], tuple[Any, Iterable[Any]]],
    kind: str,
    stream: IO[bytes],
    name: str,
    settings: Settings,
) -> Iterator[Document | Skipped]:
    from pyarrow import ArrowException

    rows, number = Rows(name, settings), 0
    with tempfile.TemporaryFile() as copy:
        if isinstance(stream, io.BufferedReader) and isinstance(stream.raw, Unpacked):
            shutil.copyfileobj(stream, copy)  # these formats are read from their end
            stream = copy
        left = max(BOMB_BYTES, BOMB_RATIO * stream.seek(0, os.SEEK_END))
        stream.seek(0)
        try:
            schema, batches = open_table(stream)
            refuse_wide(len(schema.names))
            if not has_text(schema.names, settings.text_key):
                lost = sum(batch.num_rows for batch in batches)
                raise Refused(no_column(settings.text_key, schema.names), records=lost)
            for batch in batches:
                batch.validate(full=True)  # offsets and lengths of a stranger's: read unchecked, they crash
                left -= batch.nbytes
                if left < 0:
                    raise Refused(f"expands more than {BOMB_RATIO}-fold", number)
                for index in range(batch.num_rows):
                    number += 1
                    try:
                        yield rows.document(batch.slice(index, 1).to_pylist()[0], number)
                    except UnicodeDecodeError:
                        yield Skipped(name, "not UTF-8", number)
                    except Refused as refused:
                        yield Skipped(name, str(refused), number)
        except (ArrowException, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise Refused(f"broken {kind}", number) from None
