"""A small city in a database: what ingest would have written, with plain SQL."""

import tomllib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from broker.config import Config

T0 = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

AIR = """
[[feed]]
id = "air"
title = { nl = "Lucht", en = "Air" }
property = ["airTemperature", "pm25"]
"""


def config(feeds: str = AIR, extra: str = "") -> Config:
    text = f'[city]\nid = "gent"\nname = "Gent"\ncontact = "data@stad.example"\n{extra}\n{feeds}'
    return Config.model_validate(tomllib.loads(text))


class City:
    """Writes as ingest does. Every `observe` is a batch of its own."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        self.connection.execute("set timezone to 'UTC'")

    def close(self) -> None:
        self.connection.close()

    def one(self, sql: str, *values: Any) -> Any:
        row = self.connection.execute(sql, values).fetchone()
        return row[0] if row else None

    def all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, values).fetchall()

    def thing(self, identity: str, *, kind: str = "sensor", source: str = "ttn", **properties: Any) -> int:
        return self.one(
            """insert into thing (identity, name, kind, source, properties, created)
               values (%s, %s, %s, %s, %s, %s)
               on conflict (identity) do update set properties = excluded.properties returning id""",
            identity, f"Thing {identity}", kind, source, Jsonb(properties), T0 - timedelta(days=2),
        )  # fmt: skip

    def place(self, identity: str, x: float, y: float) -> None:
        location = self.one(
            "insert into location (location) values (%s) returning id",
            Jsonb({"type": "Point", "coordinates": [x, y]}),
        )
        self.connection.execute(
            "insert into thing_location select id, %s from thing where identity = %s", [location, identity]
        )

    def datastream(
        self, thing: str, key: str, unit: str = "", *, qualifier: str = "", personal: bool = False, **more: Any
    ) -> int:
        owner = self.thing(thing, **more)
        self.connection.execute("insert into sensor (name) values ('ttn') on conflict do nothing")
        self.connection.execute(
            "insert into observed_property (key, name) values (%s, %s) on conflict do nothing", [key, key]
        )
        return self.one(
            """insert into datastream (thing_id, observed_property_id, sensor_id, unit, qualifier, source, personal)
               select %s, p.id, s.id, %s, %s, 'ttn', %s from observed_property p, sensor s
               where p.key = %s and s.name = 'ttn' returning id""",
            owner, unit, qualifier, personal, key,
        )  # fmt: skip

    def observe(self, rows: Iterable[tuple[Any, ...]], *, named: bool = True) -> int:
        """Rows: (datastream, start, number or other result, quality=0, end=None, version=0). Returns the batch."""
        full = [(*row, *(0, None, 0)[len(row) - 3 :]) for row in rows]
        streams = sorted({row[0] for row in full}) if named else None
        first, last = min(row[1] for row in full), max(row[1] for row in full)
        with self.connection.transaction():
            batch = self.one(
                """insert into batch (process, observations, phenomenon_first, phenomenon_last, datastreams)
                   values ('test', %s, %s, %s, %s) returning id""",
                len(full), first, last, streams,
            )  # fmt: skip
            for moment in (first, last):
                self.connection.execute("select ensure_partition(%s)", [moment])
            for stream, start, result, quality, end, version in full:
                number = isinstance(result, int | float) and not isinstance(result, bool)
                self.connection.execute(
                    "insert into observation values (%s, %s, %s, %s, %s, %s, %s, %s)",
                    [
                        stream, start, version, end, result if number else None,
                        None if number or result is None else Jsonb(result), quality, batch,
                    ],
                )  # fmt: skip
        return batch

    def alive(
        self, now: datetime, *, drained: datetime | None = None, name: str = "ingest-0", role: str = "ingest"
    ) -> None:
        self.connection.execute(
            """insert into process (name, role, host, pid, heartbeat, drained) values (%s, %s, 'h', 1, %s, %s)
               on conflict (name) do update set heartbeat = excluded.heartbeat, drained = excluded.drained""",
            [name, role, now, drained or now],
        )
