"""Things, what they measure, and where they are."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from broker.model import Datastream
from broker.store.database import Connection


class Origin(NamedTuple):
    """Where a datastream comes from: its source, the sensor's description, and whether it is personal."""

    source: str
    sensor: str
    personal: bool


class Description(NamedTuple):
    """What an observed property is called and where it is defined."""

    name: str
    definition: str
    description: str


def number(connection: Connection, identities: Iterable[str], kind: str, source: str) -> dict[str, int]:
    """Ids of things by identity; a thing that is not there yet is made."""
    wanted = sorted(set(identities))
    connection.execute(
        """insert into thing (identity, name, kind, source)
           select i, i, %s, %s from unnest(%s::text[]) i where i not in (select identity from thing)
           on conflict do nothing""",
        [kind, source, wanted],
    )
    rows = connection.execute("select identity, id from thing where identity = any(%s)", [wanted])
    return {identity: int(key) for identity, key in rows}


def properties(connection: Connection, described: Mapping[str, Description]) -> dict[str, int]:
    """Ids of observed properties by key; those that are not there yet are made."""
    for key, text in sorted(described.items()):
        connection.execute(
            """insert into observed_property (key, name, definition, description)
               values (%s, %s, %s, %s) on conflict do nothing""",
            [key, *text],
        )
    rows = connection.execute("select key, id from observed_property where key = any(%s)", [list(described)])
    return {key: int(number) for key, number in rows}


def datastreams(
    connection: Connection, wanted: Mapping[Datastream, Origin], described: Mapping[str, Description]
) -> dict[Datastream, tuple[int, int]]:
    """(datastream id, thing id) of each; what is not there yet is made. `described` has every property's key."""
    keys = properties(connection, described)
    found: dict[Datastream, tuple[int, int]] = {}
    for origin in sorted(set(wanted.values())):
        streams = [stream for stream, its in wanted.items() if its == origin]
        owners = number(connection, (stream.thing for stream in streams), "sensor", origin.source)
        sensor = _sensor(connection, origin)
        for stream in sorted(streams):
            found[stream] = (
                _datastream(connection, stream, owners[stream.thing], keys[stream.property], sensor, origin),
                owners[stream.thing],
            )
    return found


def _sensor(connection: Connection, origin: Origin) -> int:
    connection.execute(
        "insert into sensor (name, description) values (%s, %s) on conflict do nothing",
        [origin.source, origin.sensor],
    )
    row = connection.execute("select id from sensor where name = %s", [origin.source]).fetchone()
    return int(row[0]) if row else 0


def _datastream(
    connection: Connection, stream: Datastream, thing: int, observed: int, sensor: int, origin: Origin
) -> int:
    connection.execute(
        """insert into datastream
               (thing_id, observed_property_id, sensor_id, qualifier, unit, source, personal)
           values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing""",
        [thing, observed, sensor, stream.qualifier, stream.unit, origin.source, origin.personal],
    )
    row = connection.execute(
        """select id from datastream
           where thing_id = %s and observed_property_id = %s and qualifier = %s and unit = %s""",
        [thing, observed, stream.qualifier, stream.unit],
    ).fetchone()
    return int(row[0]) if row else 0


class Sighting(NamedTuple):
    """When a thing was last heard of, by how many messages since the last sighting, and its radio signal."""

    moment: datetime
    messages: int
    signal: Mapping[str, Any]


FADE = 86_400.0
"""Seconds after which a message counts for 1/e in `recent`."""


def see(connection: Connection, sightings: Mapping[int, Sighting]) -> None:
    """Note when things were last heard of, how often, and their last radio signal."""
    ordered = sorted(sightings)
    columns = zip(*(sightings[thing] for thing in ordered), strict=True)
    moments, messages, signals = (list(column) for column in columns)
    connection.execute(
        """update thing set
               last_seen = greatest(last_seen, s.moment), first_seen = coalesce(first_seen, s.moment),
               recent = recent * exp(-extract(epoch from greatest(
                   s.moment - coalesce(last_seen, s.moment), '0'))::double precision / %s) + s.messages,
               signal = thing.signal || s.signal
           from unnest(%s::bigint[], %s::timestamptz[], %s::bigint[], %s::jsonb[])
               as s (id, moment, messages, signal)
           where thing.id = s.id""",
        [FADE, ordered, moments, messages, [Jsonb(dict(signal)) for signal in signals]],
    )


def places(connection: Connection, things: Iterable[int]) -> dict[int, Any]:
    """The current GeoJSON geometry of things that have one."""
    rows = connection.execute(
        """select thing_id, location from thing_location join location on location.id = location_id
           where thing_id = any(%s)""",
        [list(things)],
    )
    return {int(thing): geometry for thing, geometry in rows}


def place(
    connection: Connection, thing: int, geometry: Mapping[str, Any], time: datetime, name: str | None
) -> None:
    """A thing is here from `time` on: a new location, current unless a later one is known."""
    row = connection.execute(
        "insert into location (name, location) values (%s, %s) returning id", [name or "", Jsonb(dict(geometry))]
    ).fetchone()
    location = row[0] if row else 0
    later = connection.execute(
        "select from historical_location where thing_id = %s and time > %s limit 1", [thing, time]
    ).fetchone()
    connection.execute(
        """insert into historical_location (thing_id, location_id, time) values (%s, %s, %s)
           on conflict do nothing""",
        [thing, location, time],
    )
    if later is None:
        connection.execute("delete from thing_location where thing_id = %s", [thing])
        connection.execute("insert into thing_location values (%s, %s)", [thing, location])
    if name:
        connection.execute("update thing set name = %s where id = %s and name = identity", [name, thing])


def enrich(connection: Connection, thing: int, values: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    """Set name, description or kind (those given), and add to the thing's properties: a registry import."""
    connection.execute(
        """update thing set name = coalesce(%s, name), description = coalesce(%s, description),
               kind = coalesce(%s, kind), properties = properties || %s where id = %s""",
        [values.get("name"), values.get("description"), values.get("kind"), Jsonb(dict(extra)), thing],
    )


def register(connection: Connection, things: Iterable[int], now: datetime) -> None:
    """Note that these things were registered: sources that take only such ones take them from now on."""
    connection.execute(
        "update thing set registered = %s where id = any(%s) and registered is null", [now, sorted(things)]
    )


def known(connection: Connection) -> frozenset[str]:
    """The identities of the things that were registered."""
    rows = connection.execute("select identity from thing where registered is not null")
    return frozenset(str(identity) for (identity,) in rows)


def registered(connection: Connection) -> list[dict[str, Any]]:
    """All things by identity: place, datastream count, last seen, battery, last signal, messages an hour.

    The rate is that of the last day or so, each message fading; None before the second message.
    """
    cursor = connection.cursor(row_factory=dict_row)
    return cursor.execute(
        """select t.identity, t.name, t.description, t.kind, t.source, t.properties, t.signal,
                  t.last_seen, t.registered, l.location, d.datastreams, b.battery, b.battery_unit,
                  -- what is left of the counted messages, over the part of the fading time that was seen
                  case when t.recent >= 1.5 then
                      3600 / %(fade)s * t.recent
                      * exp(-greatest(0, extract(epoch from now() - t.last_seen)) / %(fade)s)
                      / greatest(1 - exp(-extract(epoch from now() - t.first_seen) / %(fade)s), 1 / %(fade)s)
                  end as messages_per_hour
           from thing t left join thing_location tl on tl.thing_id = t.id
           left join location l on l.id = tl.location_id
           left join lateral
               (select count(*) as datastreams from datastream where thing_id = t.id) d on true
           left join lateral
               (select o.number as battery, s.unit as battery_unit
                from datastream s join observed_property p on p.id = s.observed_property_id
                cross join lateral
                    (select result_number as number, phenomenon_start as start from observation
                     where datastream_id = s.id order by phenomenon_start desc limit 1) o
                where s.thing_id = t.id and p.key in ('batteryLevel', 'batteryVoltage')
                order by p.key, o.start desc limit 1) b on true
           order by t.identity""",
        {"fade": FADE},
    ).fetchall()
