"""The command line: read flags, call one verb, show, choose the exit code.

Exit codes, the same for every format: 0 done · 1 broke or partial · 2 usage, input or policy ·
3 inconclusive · 10 a gate failed · 130 interrupted. Verbs are imported inside their commands: ``--help`` and
``gate`` must not wait for torch or presidio.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import tomllib
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any

import click

from mlmguard import __version__, artifacts, console, logs
from mlmguard.errors import InputError, MlmguardError
from mlmguard.measures import show_epsilon

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
PLACE = click.Path(path_type=Path)


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of one command line."""
    # no command resolves a hub name unless the user gave one; telemetry and update checks never run
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # transformers logs through a handler of its own, with whatever text it was given
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logs.hear_libraries()
    code = _run(arguments)
    logs.end(code)
    return code


def _run(arguments: list[str]) -> int:
    try:
        result = cli.main(arguments, prog_name="mlmguard", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except MlmguardError as problem:
        console.error(str(problem))
        return problem.exit_code
    except (KeyboardInterrupt, click.Abort):
        console.error("interrupted; what was finished is kept, and the same command goes on or starts anew")
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left; nothing more to say to anyone
        return 0
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            return _our_bug(problem)
        console.error(f"{os.strerror(problem.errno)}; {_NOTHING_HALF}")
        return 1
    except Exception as problem:
        if "(os error 28)" in str(problem):  # safetensors has an error of its own for a full disk
            console.error(f"{os.strerror(errno.ENOSPC)}; {_NOTHING_HALF}")
            return 1
        return _our_bug(problem)


_NOTHING_HALF = "nothing half-written is left, make room or rights and run again"


def _our_bug(problem: BaseException) -> int:
    """A traceback of places only: an exception's own text may hold text of the corpus."""
    frames = traceback.extract_tb(problem.__traceback__)
    for frame in frames:
        click.echo(f"  {Path(frame.filename).name}:{frame.lineno} in {frame.name}", err=True)
    console.error(
        f"{type(problem).__name__} inside mlmguard: this is a bug of ours, please report the lines above"
    )
    return 1


# --- shared flags -------------------------------------------------------------------------------------


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--quiet`` and ``--json``."""
    command = click.option(
        "--json", "as_json", is_flag=True, help="Print the result as JSON instead of tables."
    )(command)
    return click.option(
        "-q", "--quiet", is_flag=True, help="No progress and no talk; results and errors only."
    )(command)


class _Out(click.Option):
    """``--out``, whose help names every format there is, those of plug-ins too."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from mlmguard.report.formats import names

        self.help = f"Write a report; FORMAT is {', '.join(names())}. Repeatable."
        return super().get_help_record(ctx)


def outputs(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--out FORMAT=PATH``, repeatable."""
    return click.option("--out", cls=_Out, metavar="FORMAT=PATH", multiple=True)(command)


def policies(default: str | None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--policy`` and ``--fail-on``."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        command = click.option(
            "--fail-on",
            type=click.Choice(["fail", "warn"]),
            default="fail",
            show_default=True,
            help="What makes the exit code 10.",
        )(command)
        text = "Judge the evidence by a shipped policy or a YAML file."
        return click.option(
            "--policy", metavar="NAME|FILE", default=default, show_default=default is not None, help=text
        )(command)

    return decorate


STEPPED = ("train", "warm up on public text")
"""Stages in which a first Ctrl-C waits for the step to end, so that the run can go on from there."""


model_size = click.option(
    "--size",
    type=click.Choice(["nano", "tiny", "mini", "small", "base"]),
    default="nano",
    show_default=True,
    help="Model size.",
)
"""``--size``."""


overwriting = click.option(
    "--overwrite", is_flag=True, help="Replace what another scan has left in these folders."
)
"""``--overwrite``."""


@contextmanager
def watched(quiet: bool) -> Iterator[tuple[Any, Callable[[], bool]]]:
    """Progress, and a ``stop()`` that turns true at the first Ctrl-C or SIGTERM of a stepped stage.

    The second one, and any in a stage without steps, interrupts at once.
    """
    asked, running = False, ""

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked or running not in STEPPED:
            raise KeyboardInterrupt
        asked = True
        console.say("stopping after this step; again to stop at once", quiet)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with console.progress_bar(quiet) as progress:

            def noticed(stage: str, done: int, total: int | None) -> None:
                nonlocal running
                running = stage
                progress(stage, done, total)

            yield logs.followed(noticed), lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interruptible(quiet: bool) -> Iterator[Any]:
    """Progress for work that starts anew: SIGTERM is a Ctrl-C."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        with console.progress_bar(quiet) as progress:
            yield logs.followed(progress)
    finally:
        signal.signal(signal.SIGTERM, before)


def _project_file(context: click.Context) -> None:
    """Defaults from ``mlmguard.toml`` or ``[tool.mlmguard]``: a table a command, keys as the flags."""
    for path, table in ((Path("mlmguard.toml"), ()), (Path("pyproject.toml"), ("tool", "mlmguard"))):
        if not path.is_file():
            continue
        try:
            found: Any = tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
            if not table:
                raise InputError(str(path), f"not TOML ({problem})") from None
            continue  # somebody else's pyproject.toml is not ours to judge
        for key in table:
            found = found.get(key, {})
        if found:
            context.default_map = {
                name: _command_defaults(path, name, values) for name, values in found.items()
            }
            return


def _command_defaults(path: Path, name: str, values: Any) -> dict[str, Any]:
    command = cli.commands.get(name)
    if command is None or not isinstance(values, dict):
        raise InputError(
            str(path), f"[{name}]", "a table named after a command: " + ", ".join(sorted(cli.commands))
        )
    known = {option.lstrip("-").replace("-", "_"): p.name for p in command.params for option in p.opts}
    for key in values:
        if key.replace("-", "_") not in known:
            raise InputError(
                f"{path}: [{name}]", f"unknown key {key!r}", "one of: " + ", ".join(sorted(known))
            )
    return {str(known[key.replace("-", "_")]): value for key, value in values.items()}


@click.group(
    context_settings={
        "auto_envvar_prefix": "MLMGUARD",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    }
)
@click.version_option(__version__, prog_name="mlmguard")
@click.pass_context
def cli(context: click.Context) -> None:
    """Decide whether a masked language model trained on people's text may be released.

    \b
      mlmguard scan corpus/           find and remove personal data and duplicates
      mlmguard train --dp-epsilon 8   train with differential privacy
      mlmguard audit ckpt/            try to get the text back out
    """
    _project_file(context)


# --- the three verbs ----------------------------------------------------------------------------------


@cli.command("scan")
@click.argument("corpus")
@click.option(
    "--clean", type=FOLDER, default="clean", show_default=True, help="Where the cleaned, split corpus goes."
)
@click.option(
    "--reports", type=FOLDER, default="reports", show_default=True, help="Where counts and findings go."
)
@click.option("--text-key", default="text", show_default=True, help="Column or key that holds the text.")
@click.option("--id-key", default="id", show_default=True, help="Column or key that names a row.")
@click.option("--unit-key", help="Column or key of the person a row belongs to; splits never cross it.")
@click.option("--mail-headers", is_flag=True, help="Subject, From and To are part of a mail's text.")
@click.option(
    "--keep",
    type=click.Choice(["first", "longest", "fewest-findings", "all"]),
    default="first",
    show_default=True,
    help="Which of several copies stays.",
)
@click.option(
    "--cut-passages",
    type=click.Choice(["between-splits", "everywhere", "nowhere"]),
    default="between-splits",
    show_default=True,
    help="Where passages of 50 words and more that another document holds are cut out.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Evaluation texts: copies and passages of theirs are taken out.",
)
@click.option("--threshold", type=click.FloatRange(0, 1), help="Least score of a finding.  [default: 0.4]")
@click.option(
    "--mode",
    type=click.Choice(["replace", "mask", "pseudonym", "surrogate", "drop-document"]),
    default="replace",
    show_default=True,
    help="What happens to a finding.",
)
@click.option("--country", "countries", help="Also look for the identifiers of these: codes, de,es,in …")
@click.option(
    "--ner", type=FOLDER, help="A folder with a model that finds names: spaCy, GLiNER or token classifier."
)
@click.option("--names-by-cue", is_flag=True, help="Look for names by the words before them; misses most.")
@click.option("--leave-out", type=FILE, help="A list that `forget-list` wrote: these documents stay out.")
@click.option(
    "--baseline", type=FILE, help="Known findings: end with 10 only when there is one that is not in it."
)
@click.option(
    "--max-skipped", type=float, help="End with 1 when more records are left out (share below 1, else count)."
)
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a core]")
@overwriting
@shared
def scan_command(
    corpus: str,
    clean: Path,
    reports: Path,
    threshold: float | None,
    countries: str | None,
    ner: Path | None,
    names_by_cue: bool,
    leave_out: Path | None,
    baseline: Path | None,
    workers: int | None,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> int:
    """Find personal data and duplicates in CORPUS; write a cleaned, split copy with a manifest.

    CORPUS is a folder, a file, a pattern ("notes/**/*.txt"), "-" for standard input, or an address that
    fsspec knows ("s3://...").
    """
    from mlmguard.commands import baseline as known
    from mlmguard.commands import forget
    from mlmguard.corpus.read.sources import local
    from mlmguard.engine import default_workers
    from mlmguard.scan import ScanSettings, scan
    from mlmguard.types import Watcher

    settings["countries"] = tuple(sorted({c.strip().lower() for c in (countries or "").split(",")} - {""}))
    settings["ner"], settings["names_by_cue"] = ner, names_by_cue
    if threshold is not None:
        settings["threshold"] = threshold
    key = artifacts.load_key()
    today = date.fromisoformat(artifacts.source_date())
    accepted = known.read(baseline, key) if baseline else None
    if accepted:
        settings["kept"] = known.kept(accepted, today)
    if leave_out:
        settings["left_out"] = frozenset(one.id for one in forget.read(leave_out).documents)
    chosen = ScanSettings(workers=workers or default_workers(), **settings)
    with interruptible(quiet or as_json) as progress:
        place = local(corpus, key, sys.stdin.buffer)
        watcher = Watcher(progress)
        manifest = scan(place, clean, reports, key=key, settings=chosen, overwrite=overwrite, watcher=watcher)
    _show(manifest, as_json, lambda: console.scan_summary(manifest))
    console.written([clean, reports / "scan.json", reports / "findings.jsonl"], quiet)
    if accepted is None:
        return 0
    compared = known.compare(reports / "findings.jsonl", accepted, today)
    if not as_json:
        console.explanation("Against the baseline", compared.lines())
    return 10 if compared.new else 0


@cli.command("baseline")
@click.option("--findings", type=FILE, default="reports/findings.jsonl", show_default=True, help="Of a scan.")
@click.option("--out", type=FILE, default="baseline.json", show_default=True, help="Added to if it is there.")
@click.option("--reason", required=True, help="Why these values may be there.")
@click.option("--owner", required=True, help="Who answers for it.")
@click.option("--expires", required=True, metavar="DATE", help="The last day it holds, a year off at most.")
@shared
def baseline_command(
    findings: Path, out: Path, reason: str, owner: str, expires: str, quiet: bool, as_json: bool
) -> None:
    """Accept the findings of a scan, so that `scan --baseline` fails on new ones only."""
    from mlmguard.commands import baseline as known

    today = date.fromisoformat(artifacts.source_date())
    found = known.write(out, known.values(findings), artifacts.load_key(), reason, owner, expires, today)
    _show(found, as_json, lambda: console.tell(f"{len(found.entries)} values in {out}"))
    console.written([out], quiet)


@cli.command("forget-list")
@click.argument("records", type=FILE)
@click.option("--out", type=FILE, default="forget.json", show_default=True, help="Added to if it is there.")
@click.option("--owner", required=True, help="The role that decided it.")
@click.option("--above", type=float, default=0.0, show_default=True, help="Least score of what is listed.")
@shared
def forget_list_command(
    records: Path, out: Path, owner: str, above: float, quiet: bool, as_json: bool
) -> None:
    """List the documents in RECORDS, from `audit --records`, for `scan --leave-out`."""
    from mlmguard.commands.forget import forget_list

    written = forget_list(records, out, owner, above)
    _show(
        written, as_json, lambda: console.tell(f"{written.documents} documents in {out}, {written.new} new")
    )
    console.written([out], quiet)


@cli.command("subject")
@click.option(
    "--values",
    "listed",
    type=click.File("r", encoding="utf-8"),
    help="Values, one a line; - is standard input.",
)
@click.option(
    "--key", "person", metavar="KEY=VALUE", help="The person, by the key the corpus was scanned by."
)
@click.option("--clean", type=FOLDER, default="clean", show_default=True, help="The scanned corpus.")
@click.option("--records", type=FILE, help="From `audit --records`: how exposed these documents are.")
@shared
def subject_command(
    listed: Any, person: str | None, clean: Path, records: Path | None, quiet: bool, as_json: bool
) -> None:
    """What is held about one person: documents, checkpoints, exposure. No value is printed."""
    from mlmguard.commands.subject import subject, values_of

    if listed is None and person is None:
        raise click.UsageError("name the person: --values FILE, or --key KEY=VALUE")
    values = values_of(listed) if listed is not None else []
    found = subject(clean, artifacts.RUNS, artifacts.load_key(), values, person or "", records)
    rows = [
        (f"value {one.value}" if one.value else "by key", f"{one.document_id} ({one.split or 'not kept'}): "
         f"{f'{one.found_as}, ' if one.found_as else ''}{one.status}")
        for one in found.held
    ]  # fmt: skip
    rows += [("trained on", f"{one.run_id}: {one.claim}") for one in found.checkpoints]
    rows += [("exposed", f"{row.document_id}: {row.attack}, {row.kind}") for row in found.exposed]
    _show(found, as_json, lambda: console.explanation("Held", rows or [("nothing", "no document holds it")]))


@cli.command("sample-review")
@click.argument("clean", type=FOLDER, default="clean")
@click.option("--passages", type=int, default=299, show_default=True, help="How many to label.")
@click.option("--out", type=FILE, default="reports/review.json", show_default=True, help="The numbers.")
@shared
def sample_review_command(clean: Path, passages: int, out: Path, quiet: bool, as_json: bool) -> None:
    """Label a random, blinded sample of cleaned passages: what did the scan miss?

    \b
    After each passage type what is still in it, for example: PERSON 2, US_SSN
    Enter alone: nothing is left.   Ctrl-D: stop; the next call goes on there.
    """
    from mlmguard.commands import sample_review as review

    def ask(number: int, of: int, text: str) -> str:
        click.echo(f"\n--- {number} of {of} ---\n{text}\n", err=True)
        click.echo("still in it: ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line

    try:
        found = review.sample_review(clean, artifacts.load_key(), ask, console.warn, passages)
    except EOFError:
        console.say("Stopped; the answers are kept, and the next call goes on from here.", quiet)
        raise KeyboardInterrupt from None
    review.write(found, out)
    _show(found, as_json, lambda: console.explanation("Sample review", review.lines(found)))
    console.written([out], quiet)


@cli.command("train")
@click.argument("clean", type=FOLDER, default="clean")
@click.option(
    "--dp-epsilon", type=float, help="Train with differential privacy up to this ε. Without it: not private."
)
@click.option("--delta", type=float, help="δ of the claim.  [default: a power of ten at most 1/(10 n)]")
@click.option(
    "--unit",
    type=click.Choice(["document", "sequence"]),
    help="What is protected as one.  [default: the key the corpus was scanned by, else document]",
)
@click.option(
    "--unit-key", help="The key the corpus must have been scanned by, so that a person is one unit."
)
@click.option(
    "--public-size",
    type=int,
    help="Number of units, if it may be known; otherwise a noised count is used and charged.",
)
@model_size
@click.option(
    "--init",
    help="A Hugging Face folder or name to start from, or `scratch`.  [default: warmed up on public text]",
)
@click.option(
    "--tokenizer",
    help="A public one by folder or name, `dp` to learn from noised word counts, or `learn`.  "
    "[default: the model's, or the one shipped]",
)
@click.option("--tokenizer-epsilon", type=float, help="Share of ε for --tokenizer dp.  [default: a tenth]")
@click.option(
    "--allow-private-tokenizer",
    is_flag=True,
    help="Let --tokenizer learn stand in a private run: outside the claim, named as a hazard.",
)
@click.option(
    "--adapt",
    type=click.Choice(["full", "lora", "bitfit", "head"]),
    default="full",
    show_default=True,
    help="Which parameters are trained.",
)
@click.option("--steps", type=int, help="Optimiser steps, fixed in advance.")
@click.option("--batch-units", type=int, help="Expected units a step.")
@click.option("--learning-rate", type=float, help="Peak learning rate.")
@click.option(
    "--max-grad-norm",
    type=float,
    default=1.0,
    show_default=True,
    help="C: no unit moves the sum by more; plain: the most a step's gradient has.",
)
@click.option(
    "--window", type=int, default=64, show_default=True, help="Tokens of one window, special tokens included."
)
@click.option("--stride", type=int, help="Plain: cut documents into windows this many tokens apart.")
@click.option(
    "--masking",
    type=click.Choice(["token", "word", "span"]),
    default="token",
    show_default=True,
    help="What is hidden together: single tokens, whole words, spans of words.",
)
@click.option("--mask-rate", type=float, help="Share of tokens masked.  [default: 0.3 private, 0.15 plain]")
@click.option(
    "--final-mask-rate", type=float, help="Let the share go to this one, in a line, by the last step."
)
@click.option(
    "--mask-mix",
    default="80/10/10",
    show_default=True,
    help="Of the chosen tokens: hidden by [MASK], swapped for a random one, kept.",
)
@click.option(
    "--pii-targets",
    type=click.Choice(["mask-more", "exclude"]),
    help="Hide half of the scan's findings, each whole, or never predict one.",
)
@click.option("--static-masks", is_flag=True, help="The same window and masks each time a unit is drawn.")
@click.option(
    "--objective",
    type=click.Choice(["mlm", "mlm+sop", "mlm+nsp"]),
    default="mlm",
    show_default=True,
    help="Beside hidden tokens: order of two passages (sop), or do they belong together (nsp, plain only).",
)
@click.option(
    "--schedule",
    type=click.Choice(["linear", "cosine", "constant"]),
    default="linear",
    show_default=True,
    help="The learning rate after warm-up.",
)
@click.option("--warmup-steps", type=int, help="Steps of linear warm-up.  [default: a tenth, private 1/20]")
@click.option(
    "--micro-tokens",
    type=int,
    default=8192,
    show_default=True,
    help="Padded tokens a pass; a larger batch is accumulated, and nothing but memory changes.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="Of forward and backward passes; auto is fp32 on a CPU, bf16 on a GPU. fp16 is plain only.",
)
@click.option("--compile", is_flag=True, help="Plain: compile the layers into single kernels first.")
@click.option("--packing", is_flag=True, help="Plain: several examples in a row, blind to each other.")
@click.option("--gradient-checkpointing", is_flag=True, help="Less memory, more time, the same gradient.")
@click.option("--evaluate-every", type=int, default=0, help="Plain: steps between validation losses.")
@click.option(
    "--early-stop",
    type=int,
    default=0,
    help="Plain: stop after so many evaluations without a gain while the gap grows; keep the best.",
)
@click.option("--quiet-metrics", is_flag=True, help="Private: compute and keep no number on private text.")
@click.option(
    "--canaries",
    type=int,
    default=500,
    show_default=True,
    help="Secrets planted by coin so that the audit can measure; 0 for none.",
)
@click.option(
    "--canary-repetitions",
    type=int,
    default=1,
    show_default=True,
    help="Copies of each planted secret: above 1 a positive control, without an ε bound.",
)
@click.option(
    "--canary-tier",
    "canary_tiers",
    type=int,
    multiple=True,
    metavar="COPIES",
    help="40 further secrets planted so many times, to see what repetition does; may be given again.",
)
@click.option(
    "--dp-engine",
    "engine",
    type=click.Choice(["one-pass", "opacus"]),
    default="one-pass",
    show_default=True,
    help="How per-unit gradients are clipped; both are exact.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of a plain run; private draws never use it."
)
@click.option("--leave-out", metavar="SOURCE", help="A top-level folder or file that is not trained on.")
@click.option(
    "--max-lost",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Share of a split that may lie in damaged files of CLEAN; these are left out and named.",
)
@click.option(
    "--track",
    metavar="NAME",
    multiple=True,
    help="Log every step to a tracker of accelerate: tensorboard, mlflow, wandb, trackio … Repeatable.",
)
@click.option("--ckpt", type=FOLDER, default="ckpt", show_default=True, help="Where the checkpoint goes.")
@click.option("--reports", type=FOLDER, default="reports", show_default=True, help="Where train.json goes.")
@shared
def train_command(
    clean: Path,
    ckpt: Path,
    reports: Path,
    track: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a masked language model on CLEAN (default clean/), private or honestly not."""
    from mlmguard.train import TrainSettings, train
    from mlmguard.types import Watcher

    chosen = TrainSettings(**settings)
    if chosen.dp_epsilon is None:
        console.warn("no --dp-epsilon: this model is NOT private; treat its weights like the corpus")
    with watched(quiet or as_json) as (progress, stop):
        result = train(
            clean, ckpt, reports, chosen,
            track=track, watcher=Watcher(progress, lambda line: console.say(line, quiet), stop),
        )  # fmt: skip
    if int(os.environ.get("RANK", "0")) > 0:  # under torchrun the first process talks for all
        return
    _show(result, as_json, lambda: _train_tables(result))
    console.written([ckpt, reports / "train.json"], quiet)


@cli.command("audit")
@click.argument("ckpt", type=FOLDER)
@click.option(
    "--run", "run_folder", type=FOLDER, help="The checkpoint's run folder, where it is not found beside."
)
@click.option("--corpus", type=FOLDER, help="Where the raw corpus lies now, if it was moved.")
@click.option(
    "--reports", type=FOLDER, default="reports", show_default=True, help="Where audit.json and audit.html go."
)
@click.option(
    "--documents",
    type=click.IntRange(2),
    default=400,
    show_default=True,
    help="Documents a side for membership and n-grams.",
)
@click.option(
    "--spans",
    type=click.IntRange(1),
    default=60,
    show_default=True,
    help="Personal spans of each kind to search for.",
)
@click.option(
    "--restarts", type=click.IntRange(1), default=24, show_default=True, help="Random starts of a search."
)
@click.option(
    "--samples", type=click.IntRange(4), default=400, show_default=True, help="Texts drawn from the model."
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    help="Begin no attack after this many minutes; what was not run is listed.",
)
@click.option(
    "--queries",
    type=click.IntRange(1),
    metavar="N",
    help="Begin no attack once the models were shown this many windows; what was not run is listed.",
)
@click.option(
    "--stop-early",
    is_flag=True,
    help="End a search that a quarter of its spans settles; both looks share the level.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of samples and searches.")
@click.option(
    "--records", type=FILE, help="Write the most exposed documents, by id, here: for their owner's eyes."
)
@click.option(
    "--selftest",
    type=click.IntRange(1),
    metavar="N",
    help="Instead: audit N random models and N shuffled deals, where there is nothing to be found.",
)
@click.option("--members", type=PLACE, help="Texts it was trained on, for a checkpoint of another tool.")
@click.option("--non-members", type=PLACE, help="Texts of the same kind that it was not trained on.")
@click.option("--reference", help="A model that saw neither, by folder or name, to calibrate membership by.")
@click.option(
    "--shadow",
    "shadows",
    multiple=True,
    help="A model trained alike on other texts, by folder or name; two or more allow LiRA.",
)
@policies(None)
@outputs
@shared
def audit_command(
    ckpt: Path,
    run_folder: Path | None,
    corpus: Path | None,
    reports: Path,
    members: Path | None,
    non_members: Path | None,
    reference: str | None,
    shadows: tuple[str, ...],
    records: Path | None,
    selftest: int | None,
    policy: str | None,
    fail_on: Any,
    out: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> int:
    """Attack the checkpoint in CKPT: what can be got out of it, with intervals, controls and ceilings."""
    from mlmguard.policy.reading import load
    from mlmguard.report.formats import parse_out, write

    if selftest is not None and (policy or out or records):
        raise click.UsageError("--selftest brings no evidence: leave out --policy, --out and --records")
    rules = load(policy) if policy else None
    wanted = [parse_out(text) for text in out] or [("html", reports / "audit.html")]

    if (members is None) != (non_members is None) or ((reference or shadows) and members is None):
        raise click.UsageError(
            "--members and --non-members go together, and --reference and --shadow go with them"
        )

    from mlmguard import audit as verb
    from mlmguard.commands.gate import judge_evidence
    from mlmguard.report.clearance import case

    spend = verb.AuditSettings(**settings)
    where: dict[str, Any] = {
        "run": run_folder,
        "corpus": corpus,
        "foreign": verb.Foreign(members, non_members, reference, shadows)
        if members and non_members
        else None,
    }
    with interruptible(quiet or as_json) as progress:
        if selftest is not None:
            tested = verb.selftest(ckpt, selftest, spend, **where, progress=progress)
            rows = [(null, _alarms(tested.times, tested.rate(null))) for null in tested.alarms]
            _show(tested, as_json, lambda: console.explanation("Self-test", rows))
            return 0
        evidence = verb.audit(ckpt, reports, spend, **where, records=records, progress=progress)
    shown = judge_evidence(reports / "audit.json", evidence, rules, fail_on).case if rules else case(evidence)
    for name, path in wanted:
        write(name, shown, path)

    def tables() -> None:
        console.audit_summary(evidence)
        console.verdicts(shown)

    _show(evidence, as_json, tables)
    console.written([reports / "audit.json", *(path for _, path in wanted)], quiet)
    return shown.exit_code or 0


@cli.command("mask")
@click.argument("text")
@click.option("--tokenizer", "name", help="A tokenizer by folder or name.  [default: the one shipped]")
@click.option(
    "--mask-rate", "rate", type=float, default=0.15, show_default=True, help="Share of tokens masked."
)
@click.option("--mask-mix", "mix", default="80/10/10", show_default=True, help="Hidden, swapped, kept.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other masks.")
@shared
def mask_command(text: str, quiet: bool, as_json: bool, **given: Any) -> None:
    """Show what each masking strategy of train does to TEXT."""
    from mlmguard.commands.mask import mask

    found = mask(text, **given)
    rows = [
        (
            f"{one.strategy} ({one.predicted} of {one.tokens})",
            [(p.text, p.fate, p.personal) for p in one.pieces],
        )
        for one in found
    ]
    _show(found, as_json, lambda: console.masks(rows))


@cli.command("probe")
@click.argument("ckpt", type=FOLDER)
@click.option(
    "--task",
    type=click.Choice(["classification", "token-classification"]),
    required=True,
    help="What to learn.",
)
@click.option(
    "--data",
    type=FILE,
    required=True,
    help='JSON lines: {"text", "label"}, or {"tokens", "labels"} for token classification.',
)
@click.option("--before", help="A model to compare with.  [default: the weights that training started from]")
@shared
def probe_command(ckpt: Path, task: str, data: Path, before: str | None, quiet: bool, as_json: bool) -> None:
    """Measure CKPT on a labelled file, before and after training: a linear probe and a short fine-tuning."""
    from mlmguard.commands.probe import probe

    with interruptible(quiet or as_json) as progress:
        found = probe(ckpt, data, task, before, progress=progress)
    rows = [
        (
            f"{one.method}, {one.model}",
            f"{one.metric} {one.value:.3f} [{one.low:.3f}, {one.high:.3f}], n = {one.examples}",
        )
        for one in found
    ]
    _show(found, as_json, lambda: console.explanation("Probe", rows))


@cli.command("ablate")
@click.argument("plan", type=FILE)
@click.option(
    "--into", type=FOLDER, default="ablation", show_default=True, help="Folder for all that it makes."
)
@click.option("--workers", type=click.IntRange(1), help="Cells at a time.  [default: one a core]")
@shared
def ablate_command(plan: Path, into: Path, workers: int | None, quiet: bool, as_json: bool) -> None:
    """Train, probe and audit every cell of the grid in PLAN, and say what each choice does."""
    from mlmguard.commands.ablate import ablate
    from mlmguard.engine import default_workers

    with interruptible(quiet or as_json) as progress:
        done = ablate(plan, into, workers or default_workers(), progress=progress)
    rows = [
        (f"{one.axis}: {one.change}", f"{one.number} {one.mean:+.3f} over {one.pairs} pairs")
        for one in done.effects
    ]
    _show(done, as_json, lambda: console.explanation("Ablation", [*rows, ("cost", done.together)]))
    console.written([done.page], quiet)


@cli.command("compare")
@click.argument("old", type=FOLDER)
@click.argument("new", type=FOLDER)
@click.option("--evidence", nargs=2, type=FILE, help="The audits of both, to set side by side.")
@click.option(
    "--suspects",
    is_flag=True,
    help="Train small models, each without one source that brought rows: reads private text again.",
)
@click.option(
    "--steps", type=click.IntRange(1), default=200, show_default=True, help="Steps of each of them."
)
@shared
def compare_command(
    old: Path,
    new: Path,
    evidence: tuple[Path, Path] | None,
    suspects: bool,
    steps: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """What came, went and moved between the checkpoints OLD and NEW, and which source is to blame."""
    from mlmguard.commands.compare import compare

    with watched(quiet or as_json) as (progress, stop):
        found = compare(old, new, evidence, suspects=suspects, steps=steps, progress=progress, stop=stop)
    _show(found, as_json, lambda: console.explanation(f"From {old.name} to {new.name}", found.lines()))


@cli.group("publish")
def publish_group() -> None:
    """Put a checkpoint where others find it."""


@publish_group.command("mlflow")
@click.argument("ckpt", type=FOLDER)
@click.option("--evidence", type=FILE, required=True, help="The audit of these weights.")
@click.option("--policy", metavar="NAME|FILE", default="base", show_default=True, help="Judges the evidence.")
@click.option("--store", required=True, help="A database, as in sqlite:///mlflow.db, or a server's address.")
@click.option("--name", required=True, help="The registered model that gets a new version.")
def publish_mlflow_command(ckpt: Path, evidence: Path, policy: str, store: str, name: str) -> int:
    """Register CKPT in MLflow; the alias privacy-approved moves to it only when its gate passed."""
    from mlmguard.commands.publish import APPROVED, publish_mlflow

    done = publish_mlflow(ckpt, evidence, policy, store, name)
    alias = f"alias {APPROVED} set" if done.approved else f"alias {APPROVED} not set"
    console.tell(f"{done.name} version {done.version}: {done.status}, {alias}")
    return done.exit_code


# --- judging and showing ------------------------------------------------------------------------------


@cli.command("gate")
@click.argument("evidence", type=FILE, nargs=-1, required=True)
@policies("base")
@click.option(
    "--require-signed", is_flag=True, help="Refuse waivers whose commit the approver has not signed."
)
@outputs
@shared
def gate_command(
    evidence: tuple[Path, ...],
    policy: str,
    fail_on: Any,
    require_signed: bool,
    out: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> int:
    """Judge saved EVIDENCE by a policy: no model, no corpus, no GPU."""
    from mlmguard.commands.gate import gate
    from mlmguard.report.formats import parse_out, render

    targets = [parse_out(text) for text in out]
    judged, code = gate(evidence, policy, fail_on, targets, require_signed=require_signed)
    for one in judged:
        if as_json:
            click.echo(render("json", one.case), nl=False)
        else:
            console.verdicts(one.case)
    console.written([path for _, path in targets], quiet)
    return code


@cli.command("report")
@click.argument("evidence", type=FILE)
@click.option("--policy", metavar="NAME|FILE", help="Judge anew; otherwise the saved judgement is shown.")
@outputs
@click.option("-q", "--quiet", is_flag=True, help="No talk.")
def report_command(evidence: Path, policy: str | None, out: tuple[str, ...], quiet: bool) -> None:
    """Render saved EVIDENCE in other formats."""
    from mlmguard.commands.rerender import rerender
    from mlmguard.report.formats import parse_out

    _, paths = rerender(evidence, [parse_out(text) for text in out], policy)
    console.written(paths, quiet)


@cli.command("check")
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option(
    "--least",
    type=click.Choice(["low", "medium", "high"]),
    default="medium",
    show_default=True,
    help="Least severity that counts.",
)
@click.option("-q", "--quiet", is_flag=True, help="No talk.")
def check_command(files: tuple[Path, ...], least: str, quiet: bool) -> int:
    """Look for personal data in single FILES, as a pre-commit hook does; exit 10 if there is any."""
    from mlmguard.commands.check import check

    places, skipped = check(files, least)
    for place in places:
        console.tell(f"{place.path}:{place.line}: {place.entity} ({place.severity})")
    if skipped:
        console.say(f"{len(skipped)} files are no UTF-8 text and were not looked at", quiet)
    return 10 if places else 0


@cli.command("verify")
@click.argument("ckpt", type=FOLDER)
@click.option("--evidence", type=FILE, help="An audit that must be of these weights.")
@click.option("--public-key", type=FILE, help="The key (PEM) that must have signed every file of the folder.")
@click.option("--out", type=FILE, help="Write an in-toto statement of every file and check to this path.")
def verify_command(ckpt: Path, evidence: Path | None, public_key: Path | None, out: Path | None) -> int:
    """Hold the checkpoint in CKPT against its statement: digests, ledger, ε computed anew, signature."""
    from mlmguard.commands.verify import verify

    checks, code = verify(ckpt, evidence, out, public_key)
    health = {"holds": "ok", "unknown": "warn", "contradicted": "missing"}
    console.checks([(one.what, one.found, health[one.outcome], one.do) for one in checks], "Verify")
    console.written([out] if out else [])
    return code


@cli.command("sign")
@click.argument("ckpt", type=FOLDER)
@click.option("--private-key", type=FILE, required=True, help="An elliptic-curve key in a PEM file.")
@click.option("--evidence", type=FILE, help="An audit that must be of these weights.")
@click.option("-q", "--quiet", is_flag=True, help="No talk.")
def sign_command(ckpt: Path, private_key: Path, evidence: Path | None, quiet: bool) -> None:
    """Sign every file of the checkpoint in CKPT, after it was verified: OpenSSF model signing."""
    from mlmguard.commands.verify import sign

    console.written([sign(ckpt, private_key, evidence)], quiet)


@cli.command("index")
@click.argument("folder", type=FOLDER, default="reports")
@click.option(
    "--compare", nargs=2, metavar="OLD NEW", help="Two runs to set side by side.  [default: the last two]"
)
@click.option("-q", "--quiet", is_flag=True, help="No talk.")
def index_command(folder: Path, compare: tuple[str, str] | None, quiet: bool) -> None:
    """Write index.html into FOLDER (default reports/): its runs, and what changed between two of them."""
    from mlmguard.commands.index import index

    console.written([index(folder, compare or ())], quiet)


@cli.command("review")
@click.argument("corpus", type=FOLDER)
@policies("base")
@click.option("--dp-epsilon", type=float, help="Train with differential privacy up to this ε.")
@click.option("--unit-key", help="Column or key of the person a row belongs to.")
@model_size
@click.option(
    "--into",
    "folder",
    type=FOLDER,
    default=".",
    show_default=True,
    help="Folder for clean/, ckpt/ and reports/.",
)
@overwriting
@outputs
@click.option("-q", "--quiet", is_flag=True, help="No progress and no talk.")
def review_command(
    corpus: Path,
    policy: str,
    fail_on: Any,
    dp_epsilon: float | None,
    unit_key: str | None,
    size: str,
    folder: Path,
    overwrite: bool,
    out: tuple[str, ...],
    quiet: bool,
) -> int:
    """Scan, train, audit and gate CORPUS in one."""
    from mlmguard.policy.reading import load
    from mlmguard.report.formats import parse_out

    load(policy)
    targets = [parse_out(text) for text in out]

    from mlmguard.commands.review import review
    from mlmguard.engine import default_workers
    from mlmguard.scan import ScanSettings
    from mlmguard.train import TrainSettings

    with watched(quiet) as (progress, stop):
        done = review(
            corpus, folder, policy,
            scanning=ScanSettings(unit_key=unit_key, workers=default_workers()),
            training=TrainSettings(dp_epsilon=dp_epsilon, size=size),
            overwrite=overwrite, fail_on=fail_on, out=targets, tell=_tell, progress=progress, stop=stop,
        )  # fmt: skip
    return _reviewed(done, quiet)


@cli.command("demo")
@click.option(
    "--into",
    "folder",
    type=FOLDER,
    default="demo",
    show_default=True,
    help="Folder for everything the demo writes.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress and no talk.")
def demo_command(folder: Path, quiet: bool) -> int:
    """The whole job on an embedded corpus of invented notes, at ε = 8: some minutes on two cores."""
    from mlmguard.commands.demo import demo

    with watched(quiet) as (progress, stop):
        done = demo(folder, tell=_tell, progress=progress, stop=stop)
    return _reviewed(done, quiet)


@cli.command("explain")
@click.argument("name")
@click.option("--policy", metavar="NAME|FILE", help="Look in this policy only.")
def explain_command(name: str, policy: str | None) -> None:
    """Say what a rule, metric, entity type or hazard NAME means, why it matters and what to do."""
    from mlmguard.commands.explain import explain

    found = explain(name, policy)
    console.explanation(found.title, found.lines)


@cli.group("policy")
def policy_group() -> None:
    """Policy files."""


@policy_group.command("check")
@click.argument("files", metavar="NAME|FILE...", nargs=-1, required=True)
def policy_check(files: tuple[str, ...]) -> None:
    """Check policy FILES and say their rules and digests."""
    from mlmguard.policy.reading import load

    for policy in [load(file) for file in files]:
        console.explanation(
            f"{policy.id} {policy.version}",
            [
                ("title", policy.title),
                ("rules", str(len(policy.rules))),
                *[("loosened", text) for text in policy.loosened],
                ("digest", policy.digest),
            ],
        )


@policy_group.command("resolve")
@click.argument("file", metavar="NAME|FILE")
def policy_resolve(file: str) -> None:
    """Print a policy FILE in full, with everything it inherits."""
    from mlmguard.commands.policies import resolved
    from mlmguard.policy.reading import load

    click.echo(resolved(load(file)), nl=False)


@policy_group.command("diff")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
def policy_diff(old: str, new: str) -> None:
    """Say what the policy NEW asks more, less or otherwise than OLD."""
    from mlmguard.commands.policies import differences
    from mlmguard.policy.reading import load

    before, after = load(old), load(new)
    rows = differences(before, after) or [("same", "both ask the same")]
    console.explanation(f"{before.id} {before.version} → {after.id} {after.version}", rows)


@cli.command("waive")
@click.argument("file", type=FILE)
@click.argument("rule")
@click.option("--reason", required=True, help="Why the rule may go unmet.")
@click.option("--owner", required=True, help="The role that answers for it.")
@click.option("--approver", required=True, help="The other role that approved it.")
@click.option("--ticket", required=True, help="Where it was decided.")
@click.option("--days", type=int, default=90, show_default=True, help="How long it lasts, 365 at most.")
@click.option("--slice", default="", help="Only this slice of the rule.")
@click.option("--fingerprint", default="", help="Only this rule on these weights, by its fingerprint.")
def waive_command(file: Path, rule: str, **given: Any) -> None:
    """Write a waiver of RULE into the policy FILE; to be approved, commit it signed."""
    from mlmguard.commands.waive import waive

    waiver = waive(file, rule, **given)
    console.say(f"waived {waiver.rule} until {waiver.expires}; it stands at the end of waivers: in {file}")


@cli.command("plan")
@click.option("--public-size", "units", type=int, required=True, help="Number of units, roughly.")
@click.option("--dp-epsilon", "epsilon", type=float, required=True, help="Target ε.")
@click.option("--delta", type=float, help="δ.  [default: a power of ten at most 1/(10 n)]")
@click.option("--steps", type=click.IntRange(1), help="Optimiser steps.  [default: those of train]")
@click.option(
    "--batch-units", type=click.IntRange(1), help="Expected units a step.  [default: those of train]"
)
@click.option(
    "--canaries", type=click.IntRange(0), default=500, show_default=True, help="Canaries of the audit."
)
@click.option(
    "--policy", metavar="NAME|FILE", default="base", show_default=True, help="Whose thresholds need how much."
)
@shared
def plan_command(quiet: bool, as_json: bool, policy: str, **numbers: Any) -> None:
    """Noise, ε, and how much an audit needs and can refute, before any training."""
    from mlmguard.commands.plan import plan
    from mlmguard.policy.reading import load

    found = plan(**numbers, policy=load(policy))
    rows = [
        ("noise", f"σ = {found.noise_multiplier:.3f}; {found.noise_per_unit:.2g} C in a step's mean"),
        (
            "claim",
            f"ε = {show_epsilon(found.epsilon)} at δ = {found.delta:g}, "
            f"sample rate {found.sample_rate:.3g}, {found.steps} steps",
        ),
        (
            "no amplification",
            f"ε = {show_epsilon(found.epsilon_without_amplification)} if the draws were known",
        ),
        (
            "membership",
            f"at most {found.true_positives_at_1_percent:.1%} true positives at 1 % false positives",
        ),
        ("audit ceiling", f"{found.canaries} canaries can show at most ε = {found.ceiling:.2f}"),
        ("to refute", _canaries(found.canaries_to_refute)),
        *((size.rule, f"{size.examples:,} examples of {size.metric}, at least") for size in found.sizes),
    ]
    _show(found, as_json, lambda: console.explanation("Plan", rows))


def _alarms(times: int, rate: Any) -> str:
    """False alarms of null audits; one in twenty is what correction at .05 allows."""
    found = round(rate.value * times)
    return f"{found} of {times} audits with an alarm, [{rate.low:.0%}, {rate.high:.0%}]; 5 % is allowed"


def _canaries(needed: int | None) -> str:
    return f"{needed:,} canaries, every guess right" if needed else "no audit of practical size"


@cli.command("doctor")
@click.option(
    "--private-step", is_flag=True, help="Audit the private step itself: a lower bound on ε beside its claim."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def doctor_command(private_step: bool, quiet: bool) -> int:
    """What is installed, which device there is, who may read the key, what can be detected."""
    if private_step:
        return _private_step(quiet)
    from mlmguard.commands.doctor import doctor
    from mlmguard.corpus.detect.finder import coverage

    console.checks([(row.what, row.found, row.health, row.do) for row in doctor(coverage())])
    return 0


def _private_step(quiet: bool) -> int:
    from mlmguard.commands.private_step import audit_private_step

    with interruptible(quiet) as progress:
        found = audit_private_step(progress=progress)
    plan, sizes = found.plan, found.sampler
    sampled = "as claimed" if sizes.agrees else "NOT those of Poisson sampling"
    rows = [
        ("plan", f"σ = {plan.noise_multiplier:.3f}, sample rate {plan.sample_rate:g}, {plan.steps} steps"),
        ("claim", f"ε = {found.claimed:.3f} at δ = {plan.delta:g}, from the ledger"),
        ("lower bound", f"ε = {found.lower_bound:.3f} at 95 %; it could show at most {found.ceiling:.2f}"),
        ("guesses", f"{found.right} of {found.guesses} right, over {found.canaries:,} canaries"),
        ("batch sizes", f"{sampled}: {sizes.variance_ratio:.2f} × binomial variance, p {sizes.p_value:.2g}"),
        ("verdict", "REFUTED: do not train with this installation" if found.refuted else "not refuted"),
    ]
    console.explanation("The private step", rows)
    return 1 if found.refuted or not sizes.agrees else 0


@cli.command("ledger")
@click.option(
    "--runs", type=FOLDER, default=artifacts.RUNS, show_default=True, help="Where the run folders are."
)
@shared
def ledger_command(runs: Path, quiet: bool, as_json: bool) -> None:
    """Every run on every corpus: what it cost, what all of them cost together, what voids a claim."""
    from mlmguard.commands.ledger import ledger

    found = ledger(runs)

    def tables() -> None:
        for corpus in found:
            rows = [(run.run_id, run.said) for run in corpus.runs]
            console.explanation(f"Corpus {corpus.name}", [*rows, ("together", corpus.together)])

    _show(found, as_json, tables)


@cli.command("schema")
@click.argument(
    "name", type=click.Choice(["evidence", "privacy", "manifest", "judgement", "policy", "review"])
)
def schema_command(name: str) -> None:
    """Print the JSON Schema of a file NAME that other programs read."""
    from mlmguard import types
    from mlmguard.policy.reading import policy_schema

    nouns = {
        "evidence": types.Evidence,
        "privacy": types.PrivacyStatement,
        "manifest": types.Manifest,
        "judgement": types.Judgement,
        "review": types.Review,
    }
    schema = policy_schema() if name == "policy" else artifacts.json_schema(nouns[name])
    click.echo(artifacts.to_json(schema), nl=False)


def _leaves(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from _leaves(command)
        else:
            yield command


def _log(context: click.Context, parameter: click.Parameter, asked: bool) -> None:
    if asked:
        logs.begin(context.command_path, __version__)


for _command in _leaves(cli):
    _command.params.append(
        click.Option(
            ["-v", "--verbose"],
            is_flag=True,
            expose_value=False,
            callback=_log,
            help="Log stages, times and what libraries warn of to stderr; no text of the corpus.",
        )
    )


# --- showing ------------------------------------------------------------------------------------------


def _show(result: object, as_json: bool, tables: Callable[[], None]) -> None:
    if as_json:
        click.echo(artifacts.to_json(result), nl=False)
    else:
        tables()


def _tell(verb: str, result: Any) -> None:
    """Each verb's summary as it finishes."""
    shows: dict[str, Callable[[Any], None]] = {
        "scan": console.scan_summary,
        "train": _train_tables,
        "audit": console.audit_summary,
    }
    shows[verb](result)


def _train_tables(result: Any) -> None:
    facts = {
        "model": f"{result.facts['parameters']:,} parameters, {result.facts['init']}",
        "plan": f"{result.facts['steps']} steps of {result.facts['batch_units']} units, "
        f"window {result.facts['window']}, masks {result.facts['mask_rate']:.0%}, "
        f"rate {result.facts['learning_rate']:g}",
        "took": f"{result.facts['seconds']:.0f} s on {result.facts['device']}, {result.facts['precision']}, "
        f"{result.facts['memory_gib']:.1f} GiB, {result.facts['saves']} saves",
        "latency": f"{result.facts['latency_p50_ms']:.1f} ms a window, "
        f"{result.facts['latency_p95_ms']:.1f} ms at the 95th percentile",
    }
    if "heldout_loss" in result.unprotected:
        numbers = result.unprotected
        facts["held out"] = (
            f"loss {numbers['heldout_loss']:.3f} against {numbers['unigram_loss']:.3f} of a unigram model, "
            f"accuracy {numbers['heldout_accuracy']:.1%} (not covered by ε)"
        )
        parts = [
            f"{name} {numbers[f'heldout_{key}_accuracy']:.1%}"
            for key, name in (
                ("top5", "among the first five"),
                ("rare", "rare tokens"),
                ("personal", "findings"),
            )
            if f"heldout_{key}_accuracy" in numbers
        ]
        facts["accuracy at"] = ", ".join(parts)
        facts["vocabulary"] = (
            f"{numbers['vocabulary_seen']:.0%} of its entries in the training text, "
            f"{numbers['vocabulary_seen_often']:.0%} ten times and more"
        )
    if result.statement.plan is not None:
        plan = result.statement.plan
        facts["noise"] = (
            f"σ = {plan.noise_multiplier:.3f}, C = {plan.max_grad_norm:g}, sample rate {plan.sample_rate:.3g}"
        )
    if result.left_out:
        facts["left out"] = ", ".join(f"{one.shard} ({one.reason})" for one in result.left_out)
    console.train_summary(result.statement, facts)


def _reviewed(done: Any, quiet: bool) -> int:
    console.verdicts(done.judged.case)
    console.written(done.reports, quiet)
    return done.judged.case.exit_code or 0


__all__ = ["cli", "main", "run"]
