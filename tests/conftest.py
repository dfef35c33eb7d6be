"""What every test shares: an own key, an own working folder, no network."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def own_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test touches the user's key, nor a fixture that trains before the first test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLMGUARD_KEY_FILE", str(tmp_path_factory.getbasetemp() / "key"))
        yield


@pytest.fixture(scope="module", autouse=True)
def state_of_the_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a fixture of a module trains is entered in a ledger of the module's, never in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("state")
        patch.setenv("MLMGUARD_STATE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def own_state(
    state_of_the_module: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Every test has a ledger of its own; child processes inherit its place."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("MLMGUARD_STATE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs with the network cut: name resolution raises."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "gethostbyname", refuse)


def hears_ctrl_c() -> None:
    """Let a child process hear SIGINT, also where the tests run under nohup or in the background.

    For ``preexec_fn`` of :class:`subprocess.Popen`: what is ignored stays ignored over ``exec``.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def shared_data() -> Path:
    """Real text beside the checkout; the test is skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip("no ../shared/data beside this checkout")
    return DATA
