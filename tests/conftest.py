"""Fixtures for all tests: real servers, one PostgreSQL per pytest process, a fresh database per test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import servers

SHARED = Path(__file__).parents[2] / "shared"
"""The material that the work started from; only beside a developer's checkout."""

collect_ignore_glob = [] if SHARED.is_dir() else ["*/test_shared_*.py"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """`../shared`: only files named test_shared_*.py may use it; they are not collected without it."""
    return SHARED


@pytest.fixture
def require() -> Callable[[object, str], None]:
    """`require(found, "what")`: skip without it, but fail with CI=true."""
    return servers.require


@pytest.fixture
def free_port() -> Callable[[], int]:
    """`free_port()`: a TCP port of 127.0.0.1 that nothing listens on."""
    return servers.free_port


@pytest.fixture
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Mosquitto]:
    """A running Mosquitto with an empty state: `.url`, `.port`, `.restart()`, `.stop(signal)`, `.start()`."""
    broker = servers.Mosquitto(tmp_path_factory.mktemp("mosquitto"))
    broker.start()
    yield broker
    broker.stop()
