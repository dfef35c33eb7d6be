"""The verbs refuse settings of a library caller before they open anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlmguard.artifacts import Key
from mlmguard.audit import audit, selftest
from mlmguard.errors import InputError
from mlmguard.scan import scan
from mlmguard.settings import AuditSettings, ScanSettings, TrainSettings
from mlmguard.train import train

NAN = float("nan")


def test_settings_are_refused_before_anything_is_opened(tmp_path: Path) -> None:
    nowhere, reports = tmp_path / "nowhere", tmp_path / "reports"
    with pytest.raises(InputError, match="--documents"):
        audit(nowhere, reports, AuditSettings(documents=1))
    with pytest.raises(InputError, match="--minutes"):
        selftest(nowhere, 1, AuditSettings(minutes=NAN))
    with pytest.raises(InputError, match="--workers"):
        scan(nowhere, tmp_path / "clean", reports, key=Key(b"k" * 32), settings=ScanSettings(workers=0))
    with pytest.raises(InputError, match="--learning-rate"):
        train(nowhere, tmp_path / "ckpt", reports, TrainSettings(learning_rate=NAN))
    assert not any(tmp_path.iterdir())


def test_a_precision_that_this_device_has_not_is_refused_before_anything_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr("mlmguard.training.numerics.best_device", lambda: torch.device("cpu"))
    with pytest.raises(InputError, match="no GPU"):
        train(tmp_path / "nowhere", tmp_path / "ckpt", tmp_path / "r", TrainSettings(precision="fp16"))
