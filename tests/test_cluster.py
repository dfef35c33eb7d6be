"""The examples for clusters: what they start is what `scan` takes, and comes out as one scan does."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mlmguard import cli
from mlmguard.corpus.synthetic import write_corpus
from mlmguard.settings import ScanSettings
from tests.fixtures.programs import MLMGUARD, programs
from tests.scan.places import files

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SCAN = cli.leaves()["scan"]

#: Slurm on one machine: an array runs task by task, a job after what it depends on.
SBATCH = """#!/usr/bin/env python3
import os, re, subprocess, sys
given = dict(one.lstrip("-").partition("=")[::2] for one in sys.argv[1:-2])
assert sys.argv[-2] == "--wrap" and "parsable" in given
log = open("sbatch.log", "a+"); log.seek(0); number = len(log.readlines()) + 1
log.write(f"{number} {sorted(given)} {given.get('dependency', '')}\\n"); log.flush()
if "dependency" in given:
    assert given["dependency"] == f"afterok:{number - 1}", given
first, last = map(int, re.fullmatch(r"(\\d+)-(\\d+)", given.get("array", "0-0")).groups())
for task in range(first, last + 1):
    about = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": "1"} if task else {}
    with open(f"slurm-{number}.out", "a") as out:
        subprocess.run(["sh", "-c", sys.argv[-1]], check=True, env={**os.environ, **about}, stdout=out)
print(f"{number};cluster")
"""
#: mlmguard, which only notes how it was called.
NOTED = f"""#!{sys.executable}
import json, os, sys
with open("calls.jsonl", "a") as calls:
    calls.write(json.dumps([sys.argv[1:], os.environ.get("MLMGUARD_KEY_FILE")]) + "\\n")
"""


def calls(folder: Path) -> list[tuple[list[str], str]]:
    return [tuple(json.loads(line)) for line in (folder / "calls.jsonl").read_text().splitlines()]


def taken(arguments: list[str]) -> dict[str, Any]:
    """What `mlmguard scan` makes of the arguments; it refuses what it does not know."""
    assert arguments[0] == "scan"
    return SCAN.make_context("scan", arguments[1:]).params


def array(folder: Path, environment: dict[str, str], *arguments: str) -> None:
    subprocess.run(
        ["bash", str(EXAMPLES / "slurm.sh"), *arguments], cwd=folder, env=environment, check=True, timeout=300
    )


def test_the_slurm_example_starts_every_part_once_and_the_merge_after_them(tmp_path: Path) -> None:
    key = tmp_path / "key"
    environment = programs(tmp_path / "bin", sbatch=SBATCH, mlmguard=NOTED) | {"MLMGUARD_KEY_FILE": str(key)}
    array(tmp_path, environment, "a corpus", "3", "--unit-key", "author", "--mode", "mask")
    assert re.fullmatch("[0-9a-f]{64}", key.read_text()) and stat.S_IMODE(key.stat().st_mode) == 0o600
    found = [taken(arguments) for arguments, _ in calls(tmp_path)]
    assert [(one["shard"], one["merge"]) for one in found] == [
        ("1/3", False), ("2/3", False), ("3/3", False), (None, True),
    ]  # fmt: skip
    assert all(
        (one["corpus"], one["unit_key"], one["mode"]) == ("a corpus", "author", "mask") for one in found
    )
    assert {named for _, named in calls(tmp_path)} == {str(key)}


def test_the_slurm_example_wants_one_key(tmp_path: Path) -> None:
    environment = programs(tmp_path / "bin", sbatch=SBATCH, mlmguard=NOTED)
    environment.pop("MLMGUARD_KEY_FILE", None)
    with pytest.raises(subprocess.CalledProcessError):
        array(tmp_path, environment, "corpus", "3")
    assert not (tmp_path / "calls.jsonl").exists()


@pytest.mark.slow
def test_the_slurm_example_makes_the_files_of_one_scan(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", None, notes=60)
    environment = programs(tmp_path / "bin", sbatch=SBATCH, mlmguard=MLMGUARD)
    environment["MLMGUARD_KEY_FILE"] = str(tmp_path / "key")
    array(tmp_path, environment, "corpus", "2", "--mode", "mask")
    made = {where: files(tmp_path / where) for where in ("clean", "reports")}
    subprocess.run(
        ["mlmguard", "scan", "corpus", "--mode", "mask", "--quiet"],
        cwd=tmp_path, env=environment, check=True, timeout=120,
    )  # fmt: skip
    for where, before in made.items():
        now = files(tmp_path / where)
        assert {n: b for n, b in now.items() if "run" not in n} == {
            n: b for n, b in before.items() if "run" not in n
        }


# --- Kubernetes ---------------------------------------------------------------------------------------

JOBS = list(YAML(typ="safe", pure=True).load_all((EXAMPLES / "kubernetes.yaml").read_text("utf-8")))


def test_the_kubernetes_example_starts_every_part_once(tmp_path: Path) -> None:
    shards, merge = JOBS
    assert shards["spec"]["completionMode"] == "Indexed" and merge["spec"]["suspend"] is True
    environment = programs(tmp_path / "bin", mlmguard=NOTED)
    of = shards["spec"]["completions"]
    for index in range(of):
        for container in shards["spec"]["template"]["spec"]["containers"]:
            subprocess.run(
                container["command"],
                cwd=tmp_path,
                env=environment | {"JOB_COMPLETION_INDEX": str(index)},
                check=True,
            )
    subprocess.run(
        merge["spec"]["template"]["spec"]["containers"][0]["command"],
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    found = [taken(arguments) for arguments, _ in calls(tmp_path)]
    parts = [ScanSettings(shard=one["shard"]).part for one in found[:-1]]
    assert parts == [(number, of) for number in range(1, of + 1)] and found[-1]["merge"]
    assert len({one["corpus"] for one in found}) == 1


@pytest.mark.parametrize("job", JOBS, ids=[job["metadata"]["name"] for job in JOBS])
def test_the_jobs_of_the_kubernetes_example_have_one_key_one_corpus_and_one_place(job: Any) -> None:
    pod = job["spec"]["template"]["spec"]
    first = JOBS[0]["spec"]["template"]["spec"]
    (container,), (other,) = pod["containers"], first["containers"]
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    for same in ("image", "env", "volumeMounts", "workingDir"):
        assert container[same] == other[same]
    assert pod["volumes"] == first["volumes"] and pod["securityContext"] == first["securityContext"]
    places = {one["mountPath"]: one for one in container["volumeMounts"]}
    assert places["/corpus"]["readOnly"] and container["workingDir"] in places
    assert container["env"][0]["value"].rpartition("/")[0] in places


def test_the_key_of_the_kubernetes_example_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlmguard import artifacts

    (line,) = re.findall(r"^#   (head .*)$", (EXAMPLES / "kubernetes.yaml").read_text(), re.MULTILINE)
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)
    monkeypatch.setenv("MLMGUARD_KEY_FILE", str(tmp_path / "key"))
    assert artifacts.load_key().id


def test_what_the_page_and_the_example_say_is_one() -> None:
    page = (EXAMPLES.parent / "docs" / "cluster.md").read_text("utf-8")
    example = (EXAMPLES / "kubernetes.yaml").read_text("utf-8")
    for line in re.findall(r"kubectl (wait|patch) (.*)", page):
        assert " ".join(line) in example
    for job in JOBS:
        assert f"job/{job['metadata']['name']}" in page or f"job {job['metadata']['name']}" in page


# --- the command --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-", "--shard", "1/2"], "--shard: standard input, which is copied first"),
        (["memory://x", "--merge"], "--merge: an address, which is copied first"),
        (["corpus", "--shard", "1/2", "--merge"], "--merge: beside --shard"),
        (["corpus", "--shard", "0/2"], "--shard: '0/2'"),
        (["corpus", "--shard", "3/2"], "--shard: '3/2'"),
        (["corpus", "--shard", "2"], "--shard: '2'"),
        (["corpus", "--merge"], "corpus: no shard of it is here"),
    ],
)
def test_what_the_command_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.txt").write_text("text")
    assert cli.run(["scan", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said and len(said.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus"]


def test_a_part_says_how_much_it_held_and_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "ann.miller@example.org.txt").write_text("text")
    assert cli.run(["scan", "corpus", "--shard", "1/1", "--json", "--workers", "1"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == {"shard": 1, "of": 1, "files": 1, "bytes": 4}
    assert cli.run(["scan", "corpus", "--shard", "1/1", "--workers", "1"]) == 0
    again = capsys.readouterr()
    assert "shard 1/1" in again.out and "ann" not in said.out + said.err + again.out + again.err
