"""Where a command finds the database and the MQTT broker: its options, else the instance that runs on --data."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from broker import settings
from broker.errors import BadConfig
from broker.store.database import Connection, Database
from deploy import data as directory


def instance(data: Path) -> dict[str, Any]:
    """What `up` or `demo` wrote about the run on `data`; BadConfig if none runs there."""
    found = directory.read_run(data)
    if not found:
        raise BadConfig(
            f"nothing runs on {data}: start `citybroker up` or `demo`, or say where by --data or --database-url"
        )
    return found


def database_url(given: str | None, data: Path, role: str) -> str:
    """The address of the database, under the login of `role` where an instance has one. BadConfig."""
    url = settings.database_url(given)
    return url or str(instance(data)["database"][role])


def mqtt_url(given: str | None, data: Path) -> str:
    """The address that devices publish to. BadConfig."""
    url = settings.mqtt_url(given)
    return url or str(instance(data)["device_url"])


@contextmanager
def connected(given: str | None, data: Path, role: str = "ingest") -> Iterator[Connection]:
    """Yield a connection in a transaction, with the rights of one role."""
    database = Database(database_url(given, data, role), size=1, role=f"citybroker_{role}")
    try:
        with database.transaction() as connection:
            yield connection
    finally:
        database.close()
