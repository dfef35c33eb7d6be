"""A corpus in two halves with an index, against the whole at once; and what an index refuses."""

from __future__ import annotations

import shutil
import stat
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlmguard import artifacts, cli
from mlmguard.corpus.synthetic import write_corpus
from mlmguard.errors import InputError, PartialRun
from mlmguard.scan import earlier as scan_earlier
from tests.scan.places import KEY, Place, files, jsonl, outputs


def words(start: int, count: int = 60) -> str:
    return " ".join(f"term{number}" for number in range(start, start + count))


def kept(*places: Place) -> Counter[str]:
    """The documents in ``clean/``, by what is in them."""
    return Counter(row["text"] for place in places for row in place.rows())


def published(place: Place) -> dict[str, bytes]:
    return {n: b for n, b in outputs(place).items() if n.startswith(("clean/", "reports/"))}


def statuses(place: Place) -> dict[str, str]:
    return {row["id"]: row["status"] for row in jsonl(place.run / "documents.jsonl")}


class Halves:
    """The same texts as one corpus and as two."""

    def __init__(self, root: Path) -> None:
        self.index = root / "index"
        self.whole, self.first, self.second = (Place(root / name) for name in ("whole", "first", "second"))

    def put(self, name: str, text: str | bytes, half: int) -> None:
        self.whole.put(f"{half}/{name}", text)
        (self.first, self.second)[half - 1].put(f"{half}/{name}", text)

    def scan(self, **settings: Any) -> None:
        """Passages are compared within a scan: what is cut for one is another matter."""
        settings = {"cut_passages": "nowhere", **settings}
        self.whole.scan(**settings)
        for place in (self.first, self.second):
            place.scan(index=self.index, **settings)


@pytest.fixture
def halves(tmp_path: Path) -> Halves:
    return Halves(tmp_path)


def dealt(halves: Halves, folder: Path, number: Callable[[int], int]) -> None:
    for place, path in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        halves.put(path.relative_to(folder).as_posix(), path.read_bytes(), number(place))


def test_two_halves_keep_what_the_whole_keeps(halves: Halves, tmp_path: Path) -> None:
    write_corpus(tmp_path / "notes", None, notes=200)
    dealt(halves, tmp_path / "notes", lambda place: 1 + place % 2)
    for half in (1, 2):
        for copy in range(3):
            halves.put(f"exact{copy}.txt", "the very same words in every one of these files", half)
            halves.put(f"near{copy}.txt", f"{words(0)} {half}{copy}", half)
    halves.scan()
    assert kept(halves.first, halves.second) == kept(halves.whole)
    assert set(statuses(halves.second).values()) >= {"kept", "earlier-copy"}
    manifest = artifacts.read_json(halves.second.clean / "manifest.json")
    assert manifest["duplicates"]["earlier"] >= 6
    assert manifest["earlier"]["scans"] == 1 and manifest["earlier"]["joined"] == 0
    before = artifacts.read_json(halves.first.clean / "manifest.json")["earlier"]
    assert (before["scans"], before["documents"]) == (0, 0)


@pytest.mark.slow
def test_two_halves_of_real_mail_keep_what_the_whole_keeps(halves: Halves, shared_data: Path) -> None:
    """But for those that were published before a mail came that makes them copies of one another."""
    dealt(halves, shared_data / "mail", lambda place: 1 + place % 2)
    halves.scan(no_names=True)
    joined = artifacts.read_json(halves.second.clean / "manifest.json")["earlier"]["joined"]
    more = kept(halves.first, halves.second) - kept(halves.whole)
    assert not kept(halves.whole) - kept(halves.first, halves.second)
    assert more.total() == joined <= 2 and more <= kept(halves.first)


# --- what is a copy of what was seen ------------------------------------------------------------------


def test_a_copy_of_what_was_removed_is_one_of_what_was_kept(halves: Halves) -> None:
    """A chain over both halves: c is like b only, b was removed for a."""
    chain = [f"{words(shift)} end" for shift in (0, 4, 8)]
    for place, text in enumerate(chain):
        halves.put(f"{place}.txt", text, 1 + place // 2)
    halves.put("other.txt", words(500), 2)
    halves.scan()
    assert kept(halves.first, halves.second) == kept(halves.whole)
    assert statuses(halves.second) == {"2/2.txt": "earlier-copy", "2/other.txt": "kept"}


def test_the_whole_of_a_cluster_goes_with_one_that_was_seen(halves: Halves) -> None:
    """Of three in a chain only the first is like what was seen, by its digest."""
    halves.put("a.txt", words(0), 1)
    for place, text in enumerate((words(0), words(4), words(8))):
        halves.put(f"{place}.txt", text, 2)
    halves.put("other.txt", words(500), 2)
    halves.scan()
    assert kept(halves.first, halves.second) == kept(halves.whole)
    assert Counter(statuses(halves.second).values()) == {"earlier-copy": 3, "kept": 1}


def test_what_joins_two_that_stay_is_counted(halves: Halves) -> None:
    """What was published stays: the whole at once would have left one of the two out."""
    for place, (shift, half) in enumerate(((0, 1), (12, 1), (6, 2))):
        halves.put(f"{place}.txt", words(shift), half)
    halves.put("other.txt", words(500), 2)
    halves.scan()
    assert (kept(halves.first, halves.second) - kept(halves.whole)).total() == 1
    assert not kept(halves.whole) - kept(halves.first, halves.second)
    assert artifacts.read_json(halves.second.clean / "manifest.json")["earlier"]["joined"] == 1


def test_three_scans_in_any_order_keep_one_of_each(tmp_path: Path) -> None:
    """Copies over three corpora: which of them stays is the order's, how many is not."""
    texts = [[words(0), words(100), words(200)], [words(0) + " x", words(300)], [words(1), words(100), "?!"]]
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        root = tmp_path / "".join(map(str, order))
        places = [Place(root / str(number)) for number in range(3)]
        for place, own in zip(places, texts):
            for number, text in enumerate([*own, f"{words(1000 + 100 * places.index(place))}"]):
                place.put(f"{number}.txt", text)
        for number in order:
            places[number].scan(index=root / "index")
        assert kept(*places).total() == 8, order
        assert artifacts.read_json(places[order[-1]].clean / "manifest.json")["earlier"]["scans"] == 2


def test_texts_without_words_are_copies_by_digest_alone(halves: Halves) -> None:
    for name, text, half in (("a", "?!", 1), ("b", "?!", 2), ("c", "!!!", 2), ("d", words(0), 2)):
        halves.put(f"{name}.txt", text, half)
    halves.scan()
    assert kept(halves.first, halves.second) == kept(halves.whole)
    assert statuses(halves.second)["2/c.txt"] == "kept"


# --- the index ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Halves:
    halves = Halves(tmp_path_factory.mktemp("made"))
    for half in (1, 2):
        for number in range(4):
            halves.put(f"{number}.txt", f"{words(100 * number)} {half}", half)
        halves.put("own.txt", f"{words(5000 * half)} mail a@example.org", half)
    for place in (halves.first, halves.second):
        place.scan(index=halves.index)
    return halves


@pytest.fixture
def again(made: Halves, tmp_path: Path) -> Halves:
    """The same, to be changed."""
    shutil.copytree(made.index.parent, tmp_path, dirs_exist_ok=True, symlinks=True)
    return Halves(tmp_path)


def test_no_text_and_no_name_is_in_it_and_it_is_for_its_owner_alone(made: Halves) -> None:
    held = files(made.index)
    for data in held.values():
        assert b"term" not in data and b"example" not in data and b".txt" not in data
    assert len(held) == 9
    for path in [made.index, *made.index.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    other = Place(made.index.parent / "other")
    shutil.copytree(made.first.corpus, other.corpus)
    other.scan(key=artifacts.Key(b"o" * 32), index=made.index.parent / "of-another-key")
    numbers = []
    for root in (made.index, made.index.parent / "of-another-key"):
        held = b"".join(path.read_bytes() for path in root.glob("scan-*/digests"))
        numbers.append({held[at : at + 8] for at in range(0, len(held), 20)})
    assert not numbers[0] & numbers[1]


@pytest.mark.parametrize("number", [1, 2])
def test_a_scan_done_again_gives_the_same_bytes_and_leaves_the_index(again: Halves, number: int) -> None:
    place = (again.first, again.second)[number - 1]
    before, held = published(place), files(again.index)
    shutil.rmtree(place.clean)
    place.scan(index=again.index)
    assert published(place) == before and files(again.index) == held


def test_a_scan_killed_before_it_is_published_is_mended_by_the_same_line(
    made: Halves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "again"
    shutil.copytree(made.second.root, root / "second")
    place, index = Place(root / "second"), root / "index"
    shutil.copytree(made.first.root, root / "first")
    Place(root / "first").scan(index=index)
    expected = files(place.clean)
    shutil.rmtree(place.clean)
    held = files(index)

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["mlmguard.scan.publish"], "_write_run", killed)
        with pytest.raises(KeyboardInterrupt):
            place.scan(index=index)
    assert len(files(index)) > len(held) and not place.clean.exists()
    place.scan(index=index)
    assert files(place.clean) == expected


def test_a_scan_killed_while_it_writes_the_index_leaves_it_as_it_was(
    again: Halves, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = Place(again.index.parent / "third")
    third.put("a.txt", words(9000))
    held = files(again.index)

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mlmguard.corpus.copies.earlier.packed", killed)
        with pytest.raises(KeyboardInterrupt):
            third.scan(index=again.index)
    assert files(again.index) == held and not third.clean.exists()
    (again.index / ".mlmguard-left" / "scan").mkdir(parents=True)  # as a killed process leaves it
    (again.index / "scan-0123abcd").mkdir()
    third.scan(index=again.index)
    assert files(again.index).items() > {n: b for n, b in held.items() if n != "index.json"}.items()
    assert len(list(again.index.iterdir())) == 4


def test_the_last_scan_can_be_done_anew_with_other_settings(again: Halves) -> None:
    with pytest.raises(InputError, match=r"these files are in it, as scan-.* \(2 of 2\).*--overwrite"):
        cli_scan(again.second, index=again.index, mode="mask")
    again.second.scan(index=again.index, mode="mask")
    assert Counter(statuses_of(again.second).values()) == {"earlier-copy": 4, "kept": 1}
    assert len(artifacts.read_json(again.index / "index.json")["scans"]) == 2
    assert len(list(again.index.iterdir())) == 3
    with pytest.raises(InputError, match=r"\(1 of 2\).*name a new folder"):
        again.first.scan(index=again.index, mode="mask")


def statuses_of(place: Place) -> dict[str, str]:
    last = artifacts.read_json(place.clean / "manifest.json")["run_id"]
    return {row["id"]: row["status"] for row in jsonl(place.runs / last / "documents.jsonl")}


def cli_scan(place: Place, **settings: Any) -> None:
    """As :meth:`Place.scan`, and nothing is overwritten."""
    from mlmguard.scan import ScanSettings, scan

    chosen = ScanSettings(**settings)
    scan(
        place.corpus,
        place.root / "new",
        place.root / "new-reports",
        key=KEY,
        settings=chosen,
        runs=place.runs,
    )


def test_a_corpus_that_was_all_seen_says_so(again: Halves) -> None:
    third = Place(again.index.parent / "third")
    shutil.copytree(again.first.corpus / "1", third.corpus / "moved")
    with pytest.raises(PartialRun, match=r"of 5: 5 copied from what earlier scans have read\.$"):
        third.scan(index=again.index)
    assert len(artifacts.read_json(again.index / "index.json")["scans"]) == 2


def test_the_merge_of_shards_has_the_index_and_the_shards_need_none(made: Halves, tmp_path: Path) -> None:
    root = tmp_path / "again"
    shutil.copytree(made.first.root, root / "first")
    shutil.copytree(made.second.corpus, root / "second" / "corpus")
    Place(root / "first").scan(index=root / "index")
    place = Place(root / "second")
    for number in (1, 2):
        place.shard(number, 2)
    place.scan(merge=True, index=root / "index")
    assert files(place.clean) == files(made.second.clean)


@pytest.mark.parametrize("folder", ["scan-photos", "scan-2024", "scan-0abc"])
def test_nothing_is_removed_but_what_a_scan_wrote(again: Halves, folder: str) -> None:
    mine = again.index / folder / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    third = Place(again.index.parent / "third")
    third.put("other.txt", words(9000))
    third.scan(index=again.index)
    assert mine.read_text() == "mine"


# --- what is refused ----------------------------------------------------------------------------------


def torn(name: str) -> Callable[[Halves], dict[str, Any]]:
    def change(halves: Halves) -> dict[str, Any]:
        path = next(halves.index.glob(f"scan-*/{name}"))
        path.write_bytes(path.read_bytes()[:-1])
        return {}

    return change


def damaged(name: str, at: int) -> Callable[[Halves], dict[str, Any]]:
    def change(halves: Halves) -> dict[str, Any]:
        for path in halves.index.glob(f"scan-*/{name}"):
            data = bytearray(path.read_bytes())
            data[at] ^= 1
            path.write_bytes(data)
        return {}

    return change


def gone(halves: Halves) -> dict[str, Any]:
    next(halves.index.glob("scan-*/bands")).unlink()
    return {}


def foreign(halves: Halves) -> dict[str, Any]:
    (halves.index / "index.json").unlink()
    (halves.index / "notes.txt").write_text("mine")
    return {}


def lost(halves: Halves) -> dict[str, Any]:
    """What scans wrote is there, and not what says what it is."""
    (halves.index / "index.json").unlink()
    return {}


def a_file(halves: Halves) -> dict[str, Any]:
    (halves.index.parent / "file").write_text("mine")
    return {"index": halves.index.parent / "file"}


def record(old: str, new: str) -> Callable[[Halves], dict[str, Any]]:
    def change(halves: Halves) -> dict[str, Any]:
        path = halves.index / "index.json"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        return {}

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: {"key": artifacts.Key(b"o" * 32)}, "an index under the key .*MLMGUARD_KEY_FILE"),
        (lambda _: {"near_threshold": 0.9}, r"other settings \(near threshold 0.8, not 0.9\)"),
        (lambda _: {"mail_headers": True}, r"other settings \(mail headers false, not true\)"),
        (lambda _: {"permutations": 64}, r"other settings \(permutations 128, not 64\)"),
        (lambda _: {"keep": "all"}, "--index: beside --keep all"),
        (lambda halves: {"index": halves.index.parent / "third" / "corpus" / "i"}, "it lies in .*corpus"),
        (lambda halves: {"index": halves.index.parent / "third" / "clean"}, "it lies in .*clean"),
        (record("mlmguard/index/v1", "mlmguard/index/v2"), "schema 'mlmguard/index/v2'.*another version"),
        (record("{", "{]"), "not valid JSON"),
        (record('"corpus"', '"body"'), "scans.0.corpus: field required"),
        (record('"run_id": "scan-', '"run_id": "../scan-'), "name of a scan or a file that is none"),
        (record('"bands": {', '"../bands": {'), "name of a scan or a file that is none"),
        (torn("digests"), "digests: torn or damaged"),
        (torn("bands"), "bands: torn or damaged"),
        (torn("shingles"), "shingles: torn or damaged"),
        (torn("documents"), "documents: torn or damaged"),
        (damaged("digests", 5), "digests: torn or damaged"),
        (damaged("bands", -9), "bands: torn or damaged"),
        (damaged("shingles", 9), "shingles: torn or damaged"),
        (gone, "bands: torn or damaged"),
        (foreign, "it holds files and no index.json"),
        (lost, "it holds files and no index.json.*bring its index.json back"),
        (lambda halves: {"index": halves.index.parent}, "it lies around .*third"),
        (damaged("documents", -3), "documents: torn or damaged"),
        (a_file, "file: not a folder"),
    ],
)
def test_what_an_index_refuses(
    again: Halves, change: Callable[[Halves], dict[str, Any]], message: str
) -> None:
    third = Place(again.index.parent / "third")
    third.put("near.txt", f"{words(0)} 3")
    third.put("other.txt", words(9000))
    settings = {"index": again.index, **change(again)}
    held = files(again.index)
    with pytest.raises(InputError, match=message) as refused:
        third.scan(**settings)
    assert len(str(refused.value).splitlines()) == 1
    assert files(again.index) == held
    assert not third.clean.exists() and not third.reports.exists()
    assert not (third.corpus / "i").exists()


def test_a_second_scan_beside_the_first_is_refused(again: Halves) -> None:
    third = Place(again.index.parent / "third")
    third.put("a.txt", words(9000))
    settings = scan_earlier.ScanSettings(index=again.index)
    with (
        scan_earlier.indexed(settings, KEY, third.corpus),
        pytest.raises(InputError, match="another scan writes to this index; expected one at a time"),
    ):
        third.scan(index=again.index)
    assert not third.clean.exists()


def test_a_new_folder_that_came_to_nothing_is_gone(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.put("broken.txt", b"\xff")
    with pytest.raises(InputError):
        place.scan(index=tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_the_command_says_what_it_was_held_against(
    again: Halves, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(again.index.parent)
    first, second = (f"{name}/corpus" for name in ("first", "second"))
    for corpus in (first, second):
        to = ["--clean", f"{corpus}-clean", "--reports", f"{corpus}-reports"]
        assert cli.run(["scan", corpus, "--index", "seen", "--workers", "1", "--quiet", *to]) == 0
    assert "1 with 5 texts; 4 copies left out" in " ".join(capsys.readouterr().out.split())
    assert cli.run(["scan", first, "--index", "seen", "--keep", "all"]) == 2
    assert "--index: beside --keep all" in capsys.readouterr().err
    assert stat.S_IMODE((again.index.parent / "seen").stat().st_mode) == 0o700
