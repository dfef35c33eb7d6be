"""Of a file that lost many records a few are named and all are counted."""

from __future__ import annotations

import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mlmguard.corpus.read import documents as readers
from mlmguard.corpus.read.left_out import LISTED, OTHER, LeftOut
from mlmguard.types import Skipped

ITEMS = st.builds(
    Skipped, st.sampled_from("ab"), st.sampled_from([f"r{k}" for k in range(30)]), st.integers(0, 9),
    st.integers(1, 3),
)  # fmt: skip


@given(st.lists(ITEMS, max_size=400))
def test_every_record_is_counted_and_the_list_has_an_end(items: list[Skipped]) -> None:
    left_out, alone = LeftOut(), 0
    for item in items:
        alone += left_out.add(item)
    assert left_out.records == sum(item.records for item in items) == sum(left_out.by_reason().values())
    assert alone <= 2 * LISTED and len(list(left_out)) <= 2 * (2 * LISTED + 1)
    again = LeftOut()  # as a child says it, and the books count it
    for item in left_out:
        again.add(item)
    assert again.by_reason() == left_out.by_reason()


def test_the_first_are_named_and_the_rest_has_its_reasons() -> None:
    left_out = LeftOut()
    for line in range(1, 1001):
        left_out.add(Skipped("a", f"{line // 10} columns", line))
    listed, counted = list(left_out)[:LISTED], left_out.counted()
    assert [one.line for one in listed] == list(range(1, LISTED + 1))
    assert counted[0] == Skipped("a", "2 columns", 21, 9)
    assert counted[-1].reason == OTHER and len(counted) == LISTED + 1
    assert left_out.records == 1000


def test_a_file_of_broken_lines_is_a_few_entries_and_takes_no_time(tmp_path: Path) -> None:
    """Of a third of a million each was told and written down."""
    lines = 60_000
    (tmp_path / "bad.jsonl").write_text("{\n" * lines + '{"text": "a text of some words"}\n')
    began = time.process_time()
    read = list(readers.read(tmp_path))
    assert time.process_time() - began < 1 and len(read) == LISTED + 2
    assert read[-1] == Skipped("bad.jsonl", "malformed JSON", LISTED + 1, lines - LISTED)
