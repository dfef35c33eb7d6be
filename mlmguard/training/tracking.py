"""Step by step numbers to whatever tracker accelerate knows (TensorBoard, MLflow, W&B, Trackio, …).

No tracker code of ours: accelerate's own classes are looked up by name. In a private run numbers that are
computed on private text go under ``unprotected/``, so that nobody takes them for covered by ε.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlmguard.errors import InputError
from mlmguard.training.journal import PRIVATE_NUMBERS


class Trackers:
    """The trackers of one run, by name; none of them for an empty list."""

    def __init__(
        self, names: Sequence[str], folder: Path, run_id: str, settings: Mapping[str, object], private: bool
    ) -> None:
        self._private = private
        self._trackers = []
        for name in names:
            tracker = known(name)
            place = {"logging_dir": str(folder)} if tracker.requires_logging_directory else {}
            self._trackers.append(tracker(run_id, **place))
            self._trackers[-1].start()
            self._trackers[-1].store_init_configuration(
                {key: value for key, value in settings.items() if isinstance(value, str | int | float | bool)}
            )

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log the numbers of one step."""
        named = {
            f"unprotected/{name}" if self._private and name in PRIVATE_NUMBERS else name: value
            for name, value in numbers.items()
        }
        for tracker in self._trackers:
            tracker.log(named, step=step)

    def close(self) -> None:
        """Let every tracker write what it holds."""
        for tracker in self._trackers:
            tracker.finish()


def refuse_unknown(names: Sequence[str]) -> None:
    """Raise :class:`InputError` for a tracker that is not installed."""
    for name in names:
        known(name)


def known(name: str) -> Any:
    """Return the tracker's class in accelerate; :class:`InputError` for one that is not installed."""
    try:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
    except ImportError:
        raise InputError(
            f"--track {name}", "accelerate is not installed", do="pip install 'mlmguard[tracking]'"
        ) from None
    available = sorted(str(one) for one in get_available_trackers())
    if name not in available:
        raise InputError(
            f"--track {name}", "not installed", "one of: " + (", ".join(available) or "none here")
        )
    return LOGGER_TYPE_TO_CLASS[name]
