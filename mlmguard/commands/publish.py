"""Register a checkpoint where others find it.

\f
MLflow's registry wants a database behind it (its own file store is refused there, and here in one line). The
alias ``privacy-approved`` moves to a version only when its gate passed: who loads by it never loads a model
that failed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import click

from mlmguard import console
from mlmguard.artifacts import read_noun, sha256_file, weights_digest
from mlmguard.commands.gate import gate
from mlmguard.commands.options import FILE, FOLDER
from mlmguard.commands.verify import refuse_contradicted, verify
from mlmguard.errors import InputError
from mlmguard.types import PrivacyStatement

APPROVED = "privacy-approved"
EXPERIMENT = "mlmguard"
STORES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https")


@dataclass(frozen=True)
class Published:
    """Where a checkpoint went, and whether it may be used. ``exit_code`` is that of its gate."""

    name: str
    version: str
    status: str
    approved: bool
    exit_code: int


def publish_mlflow(ckpt: Path, evidence: Path, policy: str, store: str, name: str) -> Published:
    """Register ``ckpt`` as a new version of ``name`` in ``store``, judged by ``policy`` on ``evidence``.

    Raises :class:`InputError` where the store is no database, MLflow is not installed, or the checkpoint
    contradicts its statement, its ledger or the evidence: such a thing is not registered at all.
    """
    if store.split(":", 1)[0].split("+", 1)[0] not in STORES:
        raise InputError(
            f"--store {store}",
            "no database",
            "a registry as in sqlite:///mlflow.db, or a server's http address",
        )
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise InputError(
            "publish mlflow",
            "mlflow is not installed",
            do="pip install 'mlmguard[tracking]'",
        ) from None
    checks, _ = verify(ckpt, evidence)
    refuse_contradicted(ckpt, checks)
    (judged,), code = gate([evidence], policy)
    statement = read_noun(ckpt / "privacy.json", PrivacyStatement)
    tags = _tags(ckpt, evidence, statement)
    tags |= {
        "mlmguard.policy": f"{judged.judgement.policy} {judged.judgement.policy_version}",
        "mlmguard.policy_digest": judged.judgement.policy_hash,
        "mlmguard.gate": judged.judgement.status.value,
    }
    try:
        client = MlflowClient(tracking_uri=store, registry_uri=store)
        run = client.create_run(_experiment(client, store), run_name=statement.run_id, tags=tags)
        client.log_artifacts(run.info.run_id, str(ckpt), "checkpoint")
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        version = client.create_model_version(
            name, f"{run.info.artifact_uri}/checkpoint", run.info.run_id, tags=tags
        )
        if code == 0:
            client.set_registered_model_alias(name, APPROVED, version.version)
        client.set_terminated(run.info.run_id)
    except MlflowException as error:
        raise InputError(
            f"--store {store}", f"MLflow refused ({error.error_code})", "a registry that answers"
        ) from None
    return Published(name, str(version.version), judged.judgement.status.value, code == 0, code)


def _experiment(client: object, store: str) -> str:
    """The experiment that holds the runs; of a SQLite store its artifacts lie beside the file."""
    known = client.get_experiment_by_name(EXPERIMENT)  # type: ignore[attr-defined]
    if known is not None:
        return str(known.experiment_id)
    place = None
    if store.startswith("sqlite:///"):
        place = (Path(store.removeprefix("sqlite:///")).resolve().parent / "artifacts").as_uri()
    return str(client.create_experiment(EXPERIMENT, artifact_location=place))  # type: ignore[attr-defined]


def _tags(ckpt: Path, evidence: Path, statement: PrivacyStatement) -> dict[str, str]:
    """Return the tags of a version: claim, unit, and the digests of its statement, weights and evidence."""
    claimed = statement.private and statement.epsilon is not None
    return {
        "mlmguard.epsilon": f"{statement.epsilon:.6g}" if claimed else "none",
        "mlmguard.delta": f"{statement.delta:g}" if claimed else "none",
        "mlmguard.unit": statement.unit,
        "mlmguard.run": statement.run_id,
        "mlmguard.statement_digest": sha256_file(ckpt / "privacy.json"),
        "mlmguard.weights_digest": weights_digest(ckpt),
        "mlmguard.evidence_digest": sha256_file(evidence),
    }


# --- the command ----------------------------------------------------------------------------------------


@click.group("publish")
def command() -> None: ...


@command.command("mlflow")
@click.argument("ckpt", type=FOLDER)
@click.option("--evidence", type=FILE, required=True, help="The audit of these weights.")
@click.option("--policy", metavar="NAME|FILE", default="base", show_default=True, help="Judges the evidence.")
@click.option("--store", required=True, help="A database, as in sqlite:///mlflow.db, or a server's address.")
@click.option("--name", required=True, help="The registered model that gets a new version.")
def publish_mlflow_command(ckpt: Path, evidence: Path, policy: str, store: str, name: str) -> int:
    """Register CKPT in MLflow; the alias privacy-approved moves to it only when its gate passed."""

    done = publish_mlflow(ckpt, evidence, policy, store, name)
    alias = f"alias {APPROVED} set" if done.approved else f"alias {APPROVED} not set"
    console.tell(f"{done.name} version {done.version}: {done.status}, {alias}")
    return done.exit_code
