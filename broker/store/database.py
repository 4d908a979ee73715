"""Connections to PostgreSQL or TimescaleDB, and its errors in our words."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any, TypeAlias

import psycopg
import psycopg_pool
from psycopg import errors

from broker.errors import AlreadyStored, BadConfig, BrokerError, NotMigrated, StoreRefused, StoreUnavailable

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

# What the pool warns of is raised to whoever asked; said once more, for each attempt, it fills a terminal.
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)

TAKE_ROLE = """
    select set_config('role', rolname, false) from pg_roles
    where rolname = %s and pg_has_role(current_user, oid, 'member')"""


@contextmanager
def translated() -> Iterator[None]:
    """Turn psycopg's errors into ours; a class of SQLSTATE decides what a retry can help."""
    try:
        yield
    except (psycopg.Error, psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed) as error:
        raise _translate(error) from error


def _translate(error: Exception) -> BrokerError:
    text = str(error).strip().partition("\n")[0] or type(error).__name__
    match error:
        case errors.UndefinedTable() | errors.UndefinedColumn() | errors.UndefinedFunction():
            return NotMigrated(f"{text}: run `citybroker migrate` with a login that owns the database")
        case errors.InsufficientPrivilege() | errors.InvalidPassword() | errors.InvalidCatalogName():
            return BadConfig(f"database: {text}")
        case errors.UniqueViolation():
            return AlreadyStored(text)
        case psycopg.DataError() | psycopg.IntegrityError():
            return StoreRefused(f"{type(error).__name__}: {error.diag.message_primary or text}")
        case psycopg.ProgrammingError():
            return BrokerError(f"a defect of ours: {text}")
        case _:
            return StoreUnavailable(text)


def reach(url: str) -> None:
    """Connect, and no more. Raises StoreUnavailable where that fails."""
    with translated():
        psycopg.connect(url, connect_timeout=2).close()


class Database:
    """A pool of connections to one database, under one login.

    `role` is the group role (`citybroker_ingest`, …) to work under where the login may take it, so
    that even an owner's login reads and writes no more than its part needs. `timeout` is how many
    seconds a caller waits for a connection before StoreUnavailable.
    """

    def __init__(self, url: str, *, size: int = 4, role: str | None = None, timeout: float = 5) -> None:
        self.url = url
        self._role = role
        self._pool = psycopg_pool.ConnectionPool(
            url,
            min_size=0,
            max_size=size,
            open=False,
            configure=self._configure,
            check=psycopg_pool.ConnectionPool.check_connection,  # one may have died with its server
            kwargs={"connect_timeout": 10, "application_name": role or "citybroker"},
            timeout=timeout,
            reconnect_timeout=0,
            reconnect_failed=lambda _: self._failed.set(),
        )
        self._failed = Event()
        self._timeout = timeout

    def _configure(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute("set timezone to 'UTC'")
        if self._role:
            connection.execute(TAKE_ROLE, [self._role])
        connection.commit()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that commits at the end, or rolls back at an error.

        Raises StoreUnavailable (try again later), StoreRefused (these values), BadConfig, NotMigrated.
        """
        with translated():
            if self._pool.closed:
                self._pool.open()
            connection = self._take()
            try:
                with connection:
                    yield connection
            finally:
                self._pool.putconn(connection)

    def _take(self) -> Connection:
        """A connection; an error as soon as a new one could not be made, not after the whole time."""
        self._failed.clear()
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return self._pool.getconn(timeout=0.2)
            except psycopg_pool.PoolTimeout:
                if self._failed.is_set():  # the pool does not tell why; one attempt of our own does
                    reach(self.url)
                if self._failed.is_set() or time.monotonic() > deadline:
                    raise

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()
