"""Registry and trackers: a real SQLite store behind MLflow's own server, TensorBoard logs read back."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mlmguard import cli
from mlmguard.artifacts import weights_digest, write_json
from mlmguard.errors import InputError
from mlmguard.report.clearance import case
from mlmguard.report.formats import render
from mlmguard.types import Evidence
from tests.commands.test_verify import said
from tests.fixtures.evidence import changed, claiming, clean, extractable, not_private, number


@pytest.fixture
def ckpt(tmp_path: Path) -> Path:
    """A folder that holds what it claims, as far as anybody can check without loading the weights."""
    folder = tmp_path / "ckpt"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    write_json(folder / "training.json", {"run_id": said().run_id})
    write_json(folder / "privacy.json", said())
    return folder


def audited(folder: Path, evidence: Evidence, name: str = "audit") -> Path:
    """Evidence of the weights in ``folder``, beside it."""
    model = replace(evidence.model, digest=weights_digest(folder))
    # of a run that claims 2 and not 8
    evidence = changed(evidence, number("epsilon.white_box_lower_bound", 0.9, 0.9, n=20_000, ceiling=5.89))
    path = folder.parent / f"{name}.json"
    write_json(path, claiming(replace(evidence, model=model), said()))
    return path


def published(evidence: Path, store: str) -> int:
    folder = str(evidence.parent / "ckpt")
    return cli.run(
        ["publish", "mlflow", folder, "--evidence", str(evidence), "--store", store, "--name", "notes"]
    )


class Server:
    """MLflow's own server over a store, on loopback."""

    def __init__(self, store: str, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        arguments = ["server", "--backend-store-uri", store, "--host", "127.0.0.1", "--port", str(self.port)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *arguments, "--workers", "1"],
            cwd=folder,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def ask(self, path: str) -> dict[str, object]:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
                    return json.loads(answer.read() or b"{}")
            except (urllib.error.URLError, ConnectionError, TimeoutError) as problem:
                if isinstance(problem, urllib.error.HTTPError) or time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)


def test_a_version_is_approved_only_when_its_gate_passed(
    ckpt: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("mlflow.server")
    monkeypatch.undo()  # loopback is looked up by name somewhere below
    from mlflow.tracking import MlflowClient

    store = f"sqlite:///{tmp_path}/mlflow.db"
    passing, failing = audited(ckpt, clean(), "passes"), audited(ckpt, extractable(), "fails")
    assert published(failing, store) == 10
    client = MlflowClient(store, store)
    assert not dict(client.get_registered_model("notes").aliases)
    assert published(passing, store) == 0
    assert published(failing, store) == 10
    version = client.get_model_version_by_alias("notes", "privacy-approved")
    assert version.version in ("2", 2)  # a later failure does not move it
    assert version.tags["mlmguard.gate"] in ("pass", "warn")
    assert float(version.tags["mlmguard.epsilon"]) == pytest.approx(said().epsilon, rel=1e-4)
    assert version.tags["mlmguard.weights_digest"] == weights_digest(ckpt)
    kept = Path(client.download_artifacts(version.run_id, "checkpoint", str(tmp_path)))
    assert weights_digest(kept) == weights_digest(ckpt)

    server = Server(store, tmp_path)
    try:
        said_by_it = server.ask("/api/2.0/mlflow/registered-models/get?name=notes")["registered_model"]
        assert said_by_it["aliases"] == [{"alias": "privacy-approved", "version": "2"}]
        other = server.ask("/api/2.0/mlflow/model-versions/get?name=notes&version=3")["model_version"]
        tags = {tag["key"]: tag["value"] for tag in other["tags"]}
        assert tags["mlmguard.gate"] == "fail" and tags["mlmguard.unit"] == said().unit
    finally:
        server.close()


@pytest.mark.parametrize("store", ["./mlruns", "file:///tmp/mlruns", "mlruns"])
def test_a_file_store_is_refused_in_one_line(store: str, ckpt: Path, capsys: pytest.CaptureFixture) -> None:
    assert published(audited(ckpt, clean()), store) == 2
    err = capsys.readouterr().err
    assert "no database" in err and len(err.strip().splitlines()) == 1


def test_a_checkpoint_that_contradicts_its_audit_is_not_registered(
    ckpt: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    pytest.importorskip("mlflow")
    evidence = audited(ckpt, clean())
    (ckpt / "model.safetensors").write_bytes(b"other weights")
    assert published(evidence, f"sqlite:///{tmp_path}/mlflow.db") == 2
    assert not (tmp_path / "mlflow.db").exists()


# --- Prometheus ---------------------------------------------------------------------------------------


def test_every_number_is_a_gauge_that_a_parser_reads() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    evidence = clean()
    families = {
        f.name: f for f in parser.text_string_to_metric_families(render("prometheus", case(evidence)))
    }
    read = {
        (s.labels["attack"], s.labels["metric"], s.labels["slice"]): s.value
        for s in families["mlmguard_measurement"].samples
    }
    wanted = {(m.attack, m.metric, m.slice): m.value for m in evidence.measurements if m.value is not None}
    assert read == wanted
    assert families["mlmguard_epsilon"].samples[0].value == evidence.statement.epsilon
    none = {f.name for f in parser.text_string_to_metric_families(render("prometheus", case(not_private())))}
    assert "mlmguard_epsilon" not in none


# --- trackers -----------------------------------------------------------------------------------------


def test_tensorboard_holds_the_curves_of_the_run(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from mlmguard.training import loop
    from mlmguard.training.journal import Journal
    from mlmguard.training.tracking import Trackers
    from mlmguard.types import DpPlan
    from tests.training.test_failures import TOKENIZER, recipe, small_model, some_units

    plan = DpPlan(1.0, 1.0, 0.5, 4, 1e-5, "document", 6.0, 8.0)
    for name, private in (("a", None), ("b", plan)):
        (tmp_path / name).mkdir()
        trackers = Trackers(["tensorboard"], tmp_path / "log", name, {"size": "nano"}, private is not None)
        journal = Journal(tmp_path / name, private, track=trackers.log)
        how = recipe(steps=4)
        loop.train(small_model(), some_units(), TOKENIZER, how, journal, private, device=torch.device("cpu"))
        trackers.close()
        log = EventAccumulator(str(tmp_path / "log" / name))
        log.Reload()
        loss = "unprotected/loss" if private else "loss"
        curve = [event.value for event in log.Scalars(loss)]
        assert curve == pytest.approx([value for value in journal.losses if value is not None])
        assert [e.value for e in log.Scalars("rate")] == pytest.approx(journal.curves["rate"])


def test_a_tracker_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    from mlmguard.training.tracking import Trackers

    with pytest.raises(InputError, match="--track nobody"):
        Trackers(["nobody"], tmp_path, "x", {}, False)
