"""Every exit code through the real command, and one clear line for every wrong input.

A process of its own takes seconds to start. It is there for what only it can show: an exit code as the shell
sees it, what is imported, a signal, a disk; the rest runs :func:`here`.
"""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from mlmguard import cli
from mlmguard.artifacts import to_json
from mlmguard.settings import AuditSettings, ScanSettings, TrainSettings, dials
from tests.conftest import hears_ctrl_c
from tests.fixtures.evidence import clean, extractable


def mlmguard(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "mlmguard", *arguments],
        cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


@pytest.fixture
def here(monkeypatch, capsys):
    """The command in this process, which is started already: for what a process of its own cannot change."""

    def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as place:
            place.chdir(cwd)
            for name, value in environment.items():
                place.setenv(name, value)
            code = cli.run(list(arguments))
        shown = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, shown.out, shown.err)

    return run


def write_notes(folder: Path, count: int = 60) -> Path:
    folder.mkdir(parents=True)
    rows = [
        {
            "id": f"n{k}",
            "text": f"Visit {k} on ward {k % 7}: the patient of room {k * 13 % 101} slept and asked for tea.",
        }
        for k in range(count)
    ]
    (folder / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


ENOUGH = 600
"""Records of which a noised count, off by ±20 and once in a million by 280, leaves enough to train on."""
ALONE = {"MLMGUARD_SCAN_WORKERS": "1"}
SMALL = {"MLMGUARD_TRAIN_INIT": "scratch", "MLMGUARD_TRAIN_STEPS": "6", "MLMGUARD_TRAIN_CANARIES": "20"}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder in which the three commands ran as users type them."""
    folder = tmp_path_factory.mktemp("work")
    write_notes(folder / "corpus", ENOUGH)
    for command in (["scan", "corpus/"], ["train", "--dp-epsilon", "8"], ["audit", "ckpt/"]):
        done = mlmguard(*command, cwd=folder, **SMALL)
        assert done.returncode == 0, done.stderr
    return folder


# --- 0 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_completion_is_installed_where_the_shell_reads_it(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.run(["--install-completion", shell]) == 0
    (written,) = [path for path in tmp_path.rglob("*mlmguard*") if path.is_file()]
    assert "_MLMGUARD_COMPLETE" in written.read_text("utf-8") and str(written) in capsys.readouterr().err


def test_the_three_commands_leave_what_the_documentation_promises(work):
    for path in (
        "clean/manifest.json", "reports/scan.json", "reports/findings.jsonl", "ckpt/privacy.json",
        "ckpt/model.safetensors", "reports/train.json", "reports/audit.json", "reports/audit.html",
    ):  # fmt: skip
        assert (work / path).is_file(), path


def test_json_on_stdout_is_json_and_nothing_else(work):
    done = mlmguard("gate", "reports/audit.json", "--json", cwd=work)
    assert json.loads(done.stdout)["judgement"]["policy"] == "base"


def test_help_and_gate_import_neither_torch_nor_presidio(tmp_path):
    (tmp_path / "e.json").write_text(to_json(clean()))
    program = (
        "import sys; from mlmguard import cli; code = cli.run(sys.argv[1:]); "
        "bad = {'torch', 'presidio_analyzer', 'transformers', 'matplotlib'} & set(sys.modules); "
        "assert not bad, bad"
    )
    for arguments in (["--help"], ["gate", "e.json"], ["policy", "check", "base"], ["explain", "dp-epsilon"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_the_help_of_no_command_waits_for_what_the_command_does():
    """Nor does a refusal of what was typed, or the shell that completes a flag."""
    program = (
        "import sys; from mlmguard import cli; cli.leaves(); "
        "bad = {'torch', 'presidio_analyzer', 'transformers', 'matplotlib', 'scipy'} & set(sys.modules); "
        "assert not bad, bad"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_scan_does_not_replace_another_run_and_knows_its_countries(tmp_path, here):
    write_notes(tmp_path / "corpus")
    assert here("scan", "corpus", cwd=tmp_path, **ALONE).returncode == 0
    for said, told in ((["--mode", "mask"], "--overwrite"), (["--country", "de,xx"], "au, ca, de, es")):
        done = here("scan", "corpus", *said, cwd=tmp_path, **ALONE)
        assert done.returncode == 2 and told in done.stderr and len(done.stderr.splitlines()) == 1
    assert here("scan", "corpus", "--mode", "mask", "--overwrite", cwd=tmp_path, **ALONE).returncode == 0


# --- 1 ------------------------------------------------------------------------------------------------


def test_more_skipped_than_allowed_is_a_partial_run(tmp_path):
    corpus = write_notes(tmp_path / "corpus")
    (corpus / "latin.txt").write_bytes(b"caf\xe9 " * 20)
    done = mlmguard("scan", "corpus", "--max-skipped", "0", cwd=tmp_path)
    assert done.returncode == 1 and not (tmp_path / "clean").exists()


def test_a_bug_of_ours_shows_places_and_never_the_text(tmp_path, monkeypatch, capsys):
    def broken(*arguments, **options):
        raise RuntimeError("Zebulon Quaverly, card 4111 1111 1111 1111")

    monkeypatch.setattr("mlmguard.commands.explain.explain", broken)
    assert cli.run(["explain", "anything"]) == 1
    shown = capsys.readouterr()
    assert "bug" in shown.err and "Quaverly" not in shown.err + shown.out and "4111" not in shown.err


# --- 2 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["scan", "nowhere"], "nowhere"),
        (["scan", "empty"], "empty"),
        (["scan"], "CORPUS"),
        (["scan", "corpus", "--mode", "burn"], "burn"),
        (["train", "nowhere"], "mlmguard scan"),
        (["train", "--dp-epsilon", "0"], "--dp-epsilon"),
        (["train", "--dp-epsilon", "-3"], "above 0"),
        (["train", "--dp-epsilon", "nan"], "--dp-epsilon"),
        (["train", "--dp-epsilon", "8", "--delta", "0.5"], "1/n"),
        (["train", "--dp-epsilon", "0.01"], "--public-size"),
        (["train", "--dp-epsilon", "0.01", "--public-size", "60"], "too few"),
        (["train", "--mask-rate", "1"], "--mask-rate"),
        (["train", "--tokenizer", "nowhere"], "nowhere"),
        (["train", "--init", "nowhere"], "nowhere"),
        (["audit", "nowhere"], "nowhere"),
        (["audit", "ckpt", "--policy", "misspelt.yaml"], "fial"),
        (["audit", "ckpt", "--out", "pdf=x.pdf"], "pdf"),
        (["audit", "ckpt", "--selftest", "1", "--policy", "base"], "--selftest"),
        (["audit", "ckpt", "--shadow", "x"], "--members"),
        (["forget-list", "nowhere.jsonl", "--owner", "us"], "nowhere.jsonl"),
        (["scan", "corpus", "--leave-out", "nowhere.json"], "nowhere.json"),
        (["subject"], "--values"),
        (["gate", "nowhere.json"], "nowhere.json"),
        (["gate", "cut.json"], "cut.json"),
        (["gate", "reports/audit.json", "--policy", "nosuch"], "nosuch"),
        (["explain", "dp-epsilom"], "dp-epsilon"),
        (["plan", "--public-size", "0", "--dp-epsilon", "8"], "--public-size"),
    ],
)  # fmt: skip
def test_wrong_input_is_exit_2_with_one_line_that_names_it(work, here, arguments, said):
    (work / "empty").mkdir(exist_ok=True)
    (work / "cut.json").write_text((work / "reports" / "audit.json").read_text()[:500])
    rule = "{id: a, title: t, metric: privacy.epsilon, fial: '> 1', why: w, do: d}"
    (work / "misspelt.yaml").write_text(f"id: x\nversion: '1'\ntitle: t\nrules:\n  - {rule}\n")
    before = sorted(str(p) for p in work.rglob("*") if ".mlmguard" not in p.parts)
    # ckpt/ holds a private run already, and what is wrong with it is not what is asked here
    done = here(*arguments, cwd=work, **SMALL, MLMGUARD_TRAIN_OVERWRITE="1")
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.lower().startswith("error")]
    assert len(errors) == 1, done.stderr
    assert sorted(str(p) for p in work.rglob("*") if ".mlmguard" not in p.parts) == before


def test_a_project_file_gives_defaults_and_a_misspelt_key_is_named(tmp_path, here):
    write_notes(tmp_path / "corpus")
    (tmp_path / "mlmguard.toml").write_text('[scan]\nmode = "mask"\nclean = "elsewhere"\n')
    assert here("scan", "corpus", cwd=tmp_path, **ALONE).returncode == 0
    assert (tmp_path / "elsewhere" / "manifest.json").exists()
    (tmp_path / "mlmguard.toml").write_text('[scan]\nmood = "mask"\n')
    done = here("scan", "corpus", cwd=tmp_path, **ALONE)
    assert done.returncode == 2 and "mood" in done.stderr


def test_a_foreign_folder_is_never_overwritten(work, here):
    foreign = work / "thesis"
    foreign.mkdir()
    (foreign / "chapter.tex").write_text("mine")
    assert here("scan", "corpus", "--clean", "thesis", cwd=work).returncode == 2
    assert here("train", "--ckpt", "thesis", cwd=work, **SMALL).returncode == 2
    assert [p.name for p in foreign.iterdir()] == ["chapter.tex"]
    shutil.rmtree(foreign)


# --- 3, 10 --------------------------------------------------------------------------------------------


def test_gate_says_10_when_a_rule_fails_3_when_nothing_could_be_judged_and_2_for_no_evidence(tmp_path, work):
    (tmp_path / "bad.json").write_text(to_json(extractable()))
    assert mlmguard("gate", "bad.json", cwd=tmp_path).returncode == 10
    assert mlmguard("gate", "nowhere.json", cwd=tmp_path).returncode == 2
    # the model of six steps is worse than unigram frequencies: never clean
    assert mlmguard("gate", "reports/audit.json", cwd=work).returncode == 3


def test_fail_on_warn_turns_a_warning_into_10(tmp_path, here):
    (tmp_path / "ok.json").write_text(to_json(clean()))
    assert here("gate", "ok.json", cwd=tmp_path).returncode == 0
    assert here("gate", "ok.json", "--fail-on", "warn", cwd=tmp_path).returncode == 10


# --- 130 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_private_run_goes_on_and_spends_no_more(tmp_path, number):
    write_notes(tmp_path / "corpus", ENOUGH)
    assert mlmguard("scan", "corpus", cwd=tmp_path).returncode == 0
    command = [sys.executable, "-m", "mlmguard", "train", "--dp-epsilon", "8"]
    environment = {**os.environ, **SMALL, "MLMGUARD_TRAIN_STEPS": "60"}
    running = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=hears_ctrl_c
    )
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and running.poll() is None:
        ledgers = list(tmp_path.glob(".mlmguard/runs/train-*/ledger.jsonl"))
        if ledgers and len(ledgers[0].read_text().splitlines()) >= 3:
            break
        time.sleep(0.05)
    running.send_signal(number)
    _, told = running.communicate(timeout=240)
    assert running.returncode == 130, told
    assert not (tmp_path / "ckpt").exists()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob(".mlmguard/runs/train-*"))) == 1
    privacy = json.loads((tmp_path / "ckpt" / "privacy.json").read_text())
    assert sum(e["steps"] for e in privacy["ledger"]) == 60
    assert privacy["epsilon"] <= 8


@pytest.mark.parametrize(
    ("command", "then"),
    [
        (["-q", "scan", "corpus"], "goes on with the documents"),
        (["audit", "ckpt"], "goes on with the attacks"),
        (["ablate", "clean"], "goes on with the models"),
        (["gate"], "starts anew"),
    ],
)
def test_what_becomes_of_an_interrupted_command_is_said(command, then, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.cli, "main", interrupted)
    assert cli.run(command) == 130 and f"the same command {then}" in capsys.readouterr().err


# --- the command line itself --------------------------------------------------------------------------


def test_every_option_has_a_help_text():
    for name, command in cli.leaves().items():
        for option in command.params:
            assert option.param_type_name != "option" or option.help, (name, option.name)


def test_every_command_is_listed_with_one_whole_sentence(capsys):
    assert cli.run(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name in (name for names in cli.COMMANDS.values() for name in names):
        sentence = cli._summary(name)
        assert sentence[0].isupper() and sentence[-1] in ".?" and f"{name} " in shown, name
        assert sentence in shown, name
        help_text = cli.cli.get_command(None, name).help
        assert help_text.startswith(sentence), name


def test_every_dial_is_one_line_of_help_and_comes_from_its_field():
    for name, settings in (("scan", ScanSettings), ("train", TrainSettings), ("audit", AuditSettings)):
        command = cli.leaves()[name]
        shown = {option: p for p in command.params for option in p.opts}
        for dial in dials(settings):
            if dial.flag:
                assert shown[dial.flag].help.startswith(dial.help) and dial.group, (name, dial.name)
    help_text = cli.leaves()["train"].get_help(click.Context(cli.leaves()["train"]))
    first = help_text.split("Most used:")[1].split("\n\n")[0]
    assert len(re.findall(r"^  --", first, re.MULTILINE)) == 6


def just_outside(dial):
    """Values that a dial refuses by itself, as they are typed."""
    step = 1 if dial.kind is int else 1e-9
    ends = [
        None if dial.least is None else dial.least - step,
        dial.above,
        None if dial.most is None else dial.most + step,
        dial.below,
        *(["nan", "inf"] if dial.kind is float else []),
    ]
    return [str(int(end) if dial.kind is int else end) for end in ends if end is not None]


EDGES = """
import contextlib, io, json, sys
from mlmguard import cli
for line in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = cli.run(line)
    shown = said.getvalue()
    assert code == 2 and len(shown.splitlines()) == 1 and line[2].split("=")[0] in shown, (line, code, shown)
heavy = {"torch", "presidio_analyzer", "transformers", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""


def test_every_range_is_refused_with_one_line_before_anything_is_imported_or_written(tmp_path):
    write_notes(tmp_path / "corpus")
    (tmp_path / "ckpt").mkdir()
    lines = [
        [name, place, f"{dial.flag}={value}"]
        for name, place, settings in (
            ("scan", "corpus", ScanSettings),
            ("train", "clean", TrainSettings),
            ("audit", "ckpt", AuditSettings),
        )
        for dial in dials(settings)
        if dial.flag and not dial.several
        for value in just_outside(dial)
    ]
    lines += [["train", "clean", f"--mask-mix={mix}"] for mix in ("80/10", "90/10/10", "a/b/c", "nan/0/0")]
    assert len(lines) > 50
    done = subprocess.run(
        [sys.executable, "-c", EDGES], cwd=tmp_path, input=json.dumps(lines), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ckpt", "corpus"]


RENAMED = [
    (["audit", "nowhere"], "--stop-early", "--sequential", None),
    (["scan", "corpus"], "--leave-out", "--forget-list", "nowhere.json"),
    (["plan", "--dp-epsilon", "8"], "--units", "--public-size", "0"),
    (["plan", "--public-size", "100"], "--epsilon", "--dp-epsilon", "0"),
]


@pytest.mark.parametrize("arguments, old, new, value", RENAMED)
def test_old_names_work_and_name_the_new_one(arguments, old, new, value, tmp_path, monkeypatch, capsys):
    """As a flag, in the environment and in the project file: one line, and the option hears of it."""
    monkeypatch.chdir(tmp_path)
    write_notes(tmp_path / "corpus")
    command, key = arguments[0], old.strip("-").replace("-", "_")
    told = {} if value is None else {"value": value}
    hears = told.get("value", "nowhere") if command != "plan" else new

    def one_line_of(line):
        assert cli.run(line) == 2
        renamed, *_, refused = said = capsys.readouterr().err.splitlines()
        assert "goes with the next version" in renamed and hears in refused and len(said) == 2, said
        return renamed

    flag = [old] if value is None else [f"{old}={value}"]
    assert f"{old} is now {new}" in one_line_of([*arguments, *flag])
    variable = f"MLMGUARD_{command}_{key}".upper()
    monkeypatch.setenv(variable, value or "1")
    assert f"{variable} is now MLMGUARD_" in one_line_of(arguments)
    monkeypatch.delenv(variable)
    (tmp_path / "mlmguard.toml").write_text(f"[{command}]\n{key} = {json.dumps(value or True)}\n")
    assert f"[{command}] {key} is now" in one_line_of(arguments)


def test_every_option_has_its_default_in_the_environment_under_its_flag(monkeypatch):
    values = {"boolean": "1", "integer": "7", "float": "0.25", "integer range": "7", "codes": "de"}
    for path, command in cli.leaves().items():
        prefix = f"MLMGUARD_{path}".upper().replace(" ", "_").replace("-", "_")
        context = click.Context(command, auto_envvar_prefix=prefix)
        for option in command.params:
            if not isinstance(option, click.Option):
                continue
            for flag in (one for one in option.opts if one.startswith("--")):
                name = f"{prefix}_{flag.strip('-').upper().replace('-', '_')}"
                value = values.get(option.type.name, "x")
                monkeypatch.setenv(name, value)
                assert option.resolve_envvar_value(context) == value, (path, flag)
                monkeypatch.delenv(name)


def test_codes_in_a_project_file_may_be_a_list_of_texts_and_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_notes(tmp_path / "corpus")
    for written, code, said in (('["de", "xx"]', 2, "xx"), ("[1]", 2, "--country"), ("5", 2, "--country")):
        (tmp_path / "mlmguard.toml").write_text(f"[scan]\ncountry = {written}\n")
        assert cli.run(["scan", "corpus"]) == code
        shown = capsys.readouterr().err
        assert said in shown and "bug" not in shown


def test_readme_and_docs_name_only_commands_and_options_that_exist():
    root = Path(__file__).parent.parent
    options = {o for c in cli.leaves().values() for p in c.params for o in p.opts} | {"--help", "--version"}
    names = set(cli.cli.list_commands(None))
    for page in [root / "README.md", *(root / "docs").rglob("*.md")]:
        text = page.read_text("utf-8")
        for command, rest in re.findall(r"(?:^|`)\$? ?mlmguard ([a-z][a-z-]*)([^`\n]*)", text, re.MULTILINE):
            assert command in names, f"{page.name}: mlmguard {command}"
            for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", rest):
                assert option in options, f"{page.name}: {option}"


@pytest.mark.parametrize(
    ("written", "arguments", "said"),
    [
        ("", ["scna"], "No such command 'scna'. Did you mean 'scan'?"),
        ("", ["xyzzy"], "No such command 'xyzzy'; mlmguard --help"),
        ("[scan]\ntreshold = 0.5\n", ["scan", "x"], "workers. Did you mean 'threshold'?"),
        ("[scan]\nleaf_out = 'x'\n", ["scan", "x"], "json, keep, language, mail_headers,"),
        ("[scam]\nthreshold = 0.5\n", ["scan", "x"], "waive. Did you mean 'scan'?"),
    ],
)
def test_of_a_misspelt_name_the_nearest_is_said(tmp_path, monkeypatch, capsys, written, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlmguard.toml").write_text(written)
    assert cli.run(arguments) == 2
    assert said in " ".join(capsys.readouterr().err.split())


class Panic(BaseException):
    """As Rust's, which is no ``Exception``."""


@pytest.mark.parametrize("kind", [Panic, ValueError, OSError, RecursionError])
def test_our_own_traceback_has_places_and_no_text(
    kind: type[BaseException], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*given: object, **named: object) -> int:
        raise kind("Ada Example, 4 Oak Road")

    monkeypatch.setattr(cli.cli, "main", broken)
    assert cli.run(["doctor"]) == 1
    said = capsys.readouterr().err
    assert "Ada" not in said and f"{kind.__name__} inside mlmguard" in said and "in broken" in said


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ENOSPC, errno.EROFS])
def test_what_the_machine_lacks_is_one_line(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*given: object, **named: object) -> int:
        raise OSError(number, os.strerror(number), "/ada/example")

    monkeypatch.setattr(cli.cli, "main", broken)
    assert cli.run(["doctor"]) == 1
    said = capsys.readouterr().err
    assert os.strerror(number) in said and "ada" not in said and "bug of ours" not in said
