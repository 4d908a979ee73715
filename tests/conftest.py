"""Fixtures for all tests: real servers, one PostgreSQL per pytest process, a fresh database per test."""

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import psycopg
import pytest
import servers

from broker.store import schema
from deploy import embedded

SHARED = Path(__file__).parents[2] / "shared"
"""The material that the work started from; only beside a developer's checkout."""

collect_ignore_glob = [] if SHARED.is_dir() else ["*/test_shared_*.py"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true nothing is skipped: a skip fails with its reason."""
    report = yield
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although CI=true: {report.longreprtext or report.longrepr}"
    return report


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


@pytest.fixture
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Nats]:
    """A running NATS with an empty state, devices admitted: `.url` is ingest's login, `.host` and `.port`."""
    with embedded.nats(tmp_path_factory.mktemp("nats")) as broker:
        yield broker


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Postgres]:
    """The PostgreSQL of this pytest process. Take `database` or `empty_database` instead: they are empty."""
    with embedded.postgres(tmp_path_factory.mktemp("postgres"), migrate=False) as server:
        yield server


@pytest.fixture
def empty_database(postgres: embedded.Postgres) -> embedded.Postgres:
    """A database without any table: the URLs `.owner`, `.ingest`, `.publish`, `.serve`."""
    with psycopg.connect(postgres.owner, autocommit=True) as connection:
        connection.execute("set lock_timeout = '20s'")  # a test left a transaction open
        connection.execute("drop schema public cascade")
        connection.execute("create schema public")
        connection.execute("grant usage on schema public to public")
    return postgres


@pytest.fixture
def database(empty_database: embedded.Postgres) -> embedded.Postgres:
    """A migrated database with nothing in it: the URLs `.owner`, `.ingest`, `.publish`, `.serve`."""
    schema.migrate(empty_database.owner)
    return empty_database


@pytest.fixture(scope="session")
def debian_server() -> Iterator[str]:
    """Debian's PostgreSQL of this pytest process; take `debian`."""
    with servers.debian_postgres() as folder:
        yield folder


@pytest.fixture
def debian(debian_server: str) -> str:
    """The owner's URL of an empty database on Debian's PostgreSQL."""
    url = f"postgresql://postgres@/postgres?host={debian_server}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("drop database if exists city with (force)")
        connection.execute("create database city")
    return f"postgresql://postgres@/city?host={debian_server}"


@pytest.fixture
def timescale() -> Iterator[str]:
    """The owner's URL of an empty TimescaleDB (a start takes seconds). One connection at a time, no COPY."""
    with servers.timescale() as url:
        yield url
