"""Shards examined by jobs of their own, and merged: the bytes of one scan, or one line that says why not."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from mlmguard import artifacts
from mlmguard.corpus import shards as sharding
from mlmguard.corpus.synthetic import write_corpus
from mlmguard.errors import InputError, PartialRun
from mlmguard.scan import examining as scan_examining
from mlmguard.scan import shards as scan_shards
from mlmguard.types import Skipped
from tests.scan.places import Place, files, outputs

PASSAGE = " ".join(f"word{number}" for number in range(70))


def fill(place: Place) -> Place:
    """Notes in every format, copies and passages across files, and files that cannot be read."""
    write_corpus(place.corpus, None, notes=120)
    for number in range(6):
        place.put(f"z/{number}.txt", f"letter {number} about cats. {PASSAGE} and so it ends, {number}")
        place.put(
            f"{number}/copy.txt", "the very same words in every one of these files, sent by a@example.org"
        )
        place.put(f"{number}/near.txt", " ".join(f"term{n}" for n in range(60)) + f" {number}")
    place.put("a/broken.txt", b"\xff")
    place.put("m/unknown.xyz", "?")
    place.put("n.jsonl", '{"text": "one row", "id": "a-1"}\n{\n{"text": "another row", "id": "a-1"}\n')
    (place.corpus / "link.txt").symlink_to(Path(__file__).resolve())
    (place.root / "sets").mkdir(exist_ok=True)
    (place.root / "sets" / "one.txt").write_text(f"an evaluation text. {PASSAGE}")
    return place


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = fill(Place(tmp_path_factory.mktemp("straight")))
    place.scan(against=(place.root / "sets",))
    return place


@pytest.mark.parametrize(
    ("of", "order", "workers"),
    [(1, [1], 1), (3, [1, 2, 3], 1), (3, [3, 1, 2], 2), (200, range(200, 0, -1), 1)],
)
def test_merged_shards_are_the_bytes_of_a_scan_at_once(
    straight: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: int, order: Any, workers: int
) -> None:
    if workers == 1:
        monkeypatch.setattr(scan_examining, "BATCH_CHARS", 4000)  # nothing depends on where a batch ends
    place = fill(Place(tmp_path))
    monkeypatch.setattr("mlmguard.corpus.spool._OPEN", 3)
    sets = (place.root / "sets",)
    held = [len(place.shard(number, of, workers=workers, against=sets).files) for number in order]
    assert sum(held) == len(list(sharding_files(place))) and (of < 4 or 0 in held)
    assert not place.clean.exists()
    place.scan(merge=True, against=sets)
    assert outputs(place) == outputs(straight)
    assert not list(place.runs.glob("shards-*"))  # they held raw text


def sharding_files(place: Place) -> Any:
    return scan_shards.documents.files(place.corpus)


def test_settings_that_matter_afterwards_are_those_of_the_merge(tmp_path: Path) -> None:
    straight, place = (fill(Place(tmp_path / name)) for name in ("straight", "place"))
    later = {"keep": "longest", "cut_passages": "everywhere", "splits": "0.6,0.2,0.2", "near_threshold": 0.9}
    straight.scan(**later)
    for number in (1, 2):
        place.shard(number, 2)
    place.scan(merge=True, **later)
    assert outputs(place) == outputs(straight)


def test_a_shard_done_twice_gives_the_same_bytes_and_is_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = fill(Place(tmp_path))
    place.shard(2, 3)
    first = files(place.shards)
    assert sorted(first) == ["2-of-3/examined.part", "2-of-3/shard.json"]
    shutil.rmtree(place.shards)
    place.shard(2, 3, workers=2)
    assert files(place.shards) == first

    def never(*_: Any) -> Any:
        raise AssertionError("examined again")

    monkeypatch.setattr(scan_shards, "batches", never)
    place.shard(2, 3)
    assert files(place.shards) == first


def test_what_a_job_leaves_is_for_its_owner_alone(tmp_path: Path) -> None:
    place = fill(Place(tmp_path))
    place.shard(1, 2)
    for path in place.shards.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


# --- what is refused ----------------------------------------------------------------------------------


def refused(place: Place, message: str, **settings: Any) -> None:
    """The merge says ``message``, publishes nothing and leaves the shards as they are."""
    before = files(place.runs)
    with pytest.raises(InputError, match=message) as raised:
        place.scan(merge=True, **settings)
    assert raised.value.exit_code == 2 and "\n" not in str(raised.value)
    assert not place.clean.exists() and not place.reports.exists()
    assert {name: data for name, data in files(place.runs).items() if name.startswith("shards")} == before


@pytest.fixture
def two(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    for number in range(4):
        place.put(f"{number}.txt", f"text number {number} about cats and dogs {'x' * number}")
    for number in (1, 2):
        place.shard(number, 2)
    return place


def edit_record(place: Place, folder: str, **changes: Any) -> None:
    path = place.shards / folder / "shard.json"
    artifacts.write_json(path, json.loads(path.read_text()) | changes)


def test_no_shard_and_a_missing_one(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for number in range(8):
        place.put(f"{number}.txt", "text")
    with pytest.raises(InputError, match="no shard of it is here"):
        place.scan(merge=True)
    place.shard(2, 3)
    refused(place, r"2 of 3 shards are missing or not done \(1, 3\).*run --shard 1/3")
    (place.shards / "1-of-3").mkdir()  # begun, and killed
    place.shard(3, 3)
    refused(place, r"1 of 3 shards are missing or not done \(1\)")
    shutil.rmtree(place.shards / "2-of-3")
    shutil.rmtree(place.shards / "3-of-3")
    refused(place, "3 of 3|1 of 3|2 of 3|missing")


def test_shards_of_two_divisions(two: Place) -> None:
    two.shard(1, 4)
    refused(two, "shards of 2 and of 4")


@pytest.mark.parametrize("which", [1, 2])
def test_a_shard_of_other_settings(two: Place, which: int) -> None:
    with pytest.raises(InputError, match=rf"shard {which}/2: made with other settings \(mode, text key\)"):
        two.shard(which, 2, mode="mask", text_key="body")
    two.shard(which, 2, mode="mask", overwrite=True)
    refused(two, r"shard 1/2: made with other settings \(mode\)", mode="mask" if which == 2 else "replace")
    other = 3 - which
    two.shard(other, 2, mode="mask", overwrite=True)
    assert two.scan(merge=True, mode="mask").documents_written == 4


def test_a_shard_of_another_version_other_detectors_or_another_key(two: Place) -> None:
    edit_record(two, "2-of-2", detectors="0" * 64)
    refused(two, "shard 2/2: made with other detectors; expected the same packages")
    edit_record(two, "2-of-2", tool_version="0.0.1")
    refused(two, r"shard 2/2: made by mlmguard 0\.0\.1.*run --shard 2/2 --overwrite")
    two.shard(2, 2, overwrite=True)
    with pytest.raises(InputError, match=r"shard 1/2: made under the key .* MLMGUARD_KEY_FILE"):
        two.scan(merge=True, key=artifacts.Key(b"o" * 32))
    with pytest.raises(InputError, match="shard 1/2: made under the key"):
        two.shard(1, 2, key=artifacts.Key(b"o" * 32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda corpus: (corpus / "2.txt").write_text("text number 2 about cats and dags xx"), "1 changed"),
        (lambda corpus: (corpus / "2.txt").write_text("other"), "1 changed"),
        (lambda corpus: (corpus / "2.txt").unlink(), "1 gone"),
        (lambda corpus: (corpus / "9.txt").write_text("more"), "1 new"),
        (lambda corpus: (corpus / "9.txt").symlink_to("/etc/hostname"), "1 new"),
    ],
)
def test_shards_of_another_corpus(two: Place, change: Callable[[Path], Any], message: str) -> None:
    change(two.corpus)
    refused(two, f"not the files that the jobs examined: {message}; .*run the --shard jobs again")
    for number in (1, 2):
        two.shard(number, 2)  # no --overwrite is needed
    two.scan(merge=True)


def test_a_file_in_two_shards(two: Place) -> None:
    """The sizes changed between two jobs, and with them who has what."""
    record = json.loads((two.shards / "1-of-2" / "shard.json").read_text())
    other = json.loads((two.shards / "2-of-2" / "shard.json").read_text())
    edit_record(two, "1-of-2", files=record["files"] | other["files"])
    refused(two, "2 in two shards")


def test_a_corpus_that_was_only_copied_is_the_same(two: Place) -> None:
    for path in two.corpus.iterdir():
        os.utime(path, (1, 1))
    assert two.scan(merge=True).documents_written == 4


def test_other_evaluation_sets(two: Place) -> None:
    sets = two.root / "sets"
    sets.mkdir()
    (sets / "a.txt").write_text("evaluate this")
    refused(two, "--against: not what shard 2/2 was examined with", against=(sets,))
    two.shard(1, 2, against=(sets,))  # only the last shard has them
    two.shard(2, 2, against=(sets,))
    refused(two, "--against: not what shard 2/2 was examined with")
    two.scan(merge=True, against=(sets,))


@pytest.mark.parametrize("place_of_damage", ["mark", "frame", "end", "gone"])
def test_a_damaged_shard(two: Place, place_of_damage: str) -> None:
    path = two.shards / "2-of-2" / "examined.part"
    data = bytearray(path.read_bytes())
    if place_of_damage == "gone":
        path.unlink()
    elif place_of_damage == "end":
        path.write_bytes(data[:-1])
    else:
        data[3 if place_of_damage == "mark" else len(data) // 2] ^= 1
        path.write_bytes(data)
    refused(two, "shard 2/2: what it left is damaged or gone.*--overwrite")
    two.shard(2, 2, overwrite=True)
    assert two.scan(merge=True).documents_written == 4


@contextmanager
def worked_in(folder: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Another process works in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, how)
    yield
    os.close(descriptor)


def test_two_jobs_with_one_number_and_a_merge_beside_a_job(two: Place) -> None:
    with worked_in(two.shards / "1-of-2"):
        with pytest.raises(InputError, match="--shard 1/2: another job works on this shard"):
            two.shard(1, 2)
        two.shard(2, 2)
    with worked_in(two.shards), pytest.raises(InputError, match="--shard 1/2: a merge reads these shards"):
        two.shard(1, 2)
    with worked_in(two.shards, fcntl.LOCK_SH):
        two.shard(1, 2)
        refused(two, "--merge: a job of these shards, or another merge, is under way")


def test_files_that_change_while_they_are_read(two: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    real = scan_shards.batches

    def changing(*arguments: Any) -> Any:
        yield from real(*arguments)
        (two.corpus / "0.txt").write_text("by now it says something else")

    monkeypatch.setattr(scan_shards, "batches", changing)
    with pytest.raises(PartialRun, match="--shard 1/2: 1 files changed while they were read"):
        two.shard(1, 2, overwrite=True)
    refused(two, "1 of 2 shards are missing")


def test_a_corpus_without_a_document(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.put("a.txt", b"\xff")
    for number in (1, 2):
        place.shard(number, 2)
    refused(place, "no readable document")


# --- which file is whose ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_slices_are_every_file_once_in_order_and_of_about_one_size(tmp_path: Path, seed: int) -> None:
    drawn = random.Random(seed)
    found: list[tuple[str, Path | Skipped]] = []
    for number in range(drawn.randint(1, 40)):
        path = tmp_path / f"{number:02}"
        path.write_bytes(b"x" * drawn.choice([0, 1, 10, 10, 100]))
        found.append((path.name, path if drawn.random() < 0.9 else Skipped(path.name, "why")))
    sizes = {name: path.stat().st_size for name, path in found if isinstance(path, Path)}
    for of in (1, 2, 3, 7, 50):
        slices = [sharding.slice_of(found, number, of) for number in range(1, of + 1)]
        assert [one for some in slices for one in some] == found
        share = sum(sizes.values()) / of
        for some in slices:
            weight = sum(sizes.get(name, 0) for name, _ in some)
            assert not share or weight <= share + max(sizes.values(), default=0)


# --- killed -------------------------------------------------------------------------------------------

JOB = """
import sys
from pathlib import Path
from mlmguard import artifacts
from mlmguard.scan import ScanSettings, examine_shard, examining, scan
if __name__ == "__main__":
    root = Path(sys.argv[1])
    examining.BATCH_CHARS = 2000
    places = (root / "corpus", root / "clean", root / "reports")
    about = {"key": artifacts.Key(b"k" * 32), "runs": root / ".mlmguard" / "runs"}
    if sys.argv[2] == "merge":
        scan(*places, settings=ScanSettings(merge=True), **about)
    else:
        settings = ScanSettings(shard=sys.argv[2], workers=int(sys.argv[3]))
        examine_shard(*places, settings=settings, **about)
"""


def killed(place: Place, command: list[str], seen: Callable[[], bool]) -> bool:
    """Run a job of its own and kill it, with its workers, once ``seen`` says so; whether it came to that."""
    job = subprocess.Popen(command, process_group=0)
    try:
        while job.poll() is None and not seen():
            time.sleep(0.002)
        return job.poll() is None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
        job.wait()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_killed_at_random_moments_lose_nothing_and_do_nothing_twice(
    tmp_path: Path, workers: int
) -> None:
    straight, broken = (fill(Place(tmp_path / name)) for name in ("straight", "broken"))
    straight.scan()
    script = tmp_path / "job.py"
    script.write_text(JOB)
    drawn, kills = random.Random(os.urandom(8)), 0

    def command(what: str) -> list[str]:
        return [sys.executable, str(script), str(broken.root), what, str(drawn.choice((1, 2)))]

    for number in (3, 1, 2):
        part = broken.runs / scan_shards._id(broken.corpus) / f"{number}-of-3" / "examined.part"
        least = drawn.randrange(1, 80_000)

        def grown(part: Path = part, least: int = least) -> bool:
            return part.exists() and part.stat().st_size >= least

        kills += killed(broken, command(f"{number}/3"), grown)
        subprocess.run(command(f"{number}/3"), check=True, timeout=120)
    wait, begun = drawn.uniform(0, 0.3), list[float]()

    def working() -> bool:
        if not begun and list(broken.runs.glob("scan-*")):
            begun.append(time.monotonic())
        return bool(begun) and time.monotonic() > begun[0] + wait

    kills += killed(broken, command("merge"), working)
    if list(broken.runs.glob("shards-*")):  # otherwise it was done before
        subprocess.run(command("merge"), check=True, timeout=120)
    assert kills and outputs(broken) == outputs(straight)
