"""The ledger of committed batches, the processes at work, and what decoders remember."""

from datetime import datetime
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from broker.metrics import Outcomes
from broker.store.database import Connection


class Span(NamedTuple):
    """First and last of the receive times and of the phenomenon times of a batch."""

    received_first: datetime | None = None
    received_last: datetime | None = None
    phenomenon_first: datetime | None = None
    phenomenon_last: datetime | None = None


def number(connection: Connection) -> int:
    """The id of a batch that is about to be written."""
    row = connection.execute("select nextval(pg_get_serial_sequence('batch', 'id'))").fetchone()
    return int(row[0]) if row else 0


def add(
    connection: Connection,
    batch: int,
    process: str,
    kind: str,
    outcomes: Outcomes,
    span: Span,
    datastreams: list[int],
) -> None:
    """Write the batch's row, in its transaction. `datastreams` are those that it has observations of."""
    connection.execute(
        """insert into batch
               (id, process, kind, received_first, received_last, phenomenon_first, phenomenon_last,
                received, stored, duplicate, ignored, rejected, observations, passages, conflicts, skipped,
                datastreams)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        [
            *(batch, process, kind, *span),
            *(outcomes.messages, outcomes.stored, outcomes.duplicate),
            *(Jsonb(outcomes.ignored), Jsonb(outcomes.rejected)),
            *(outcomes.observations, outcomes.passages, outcomes.conflicts, Jsonb(outcomes.skipped)),
            datastreams,
        ],
    )


def counters(connection: Connection) -> dict[str, Any]:
    """The message counters of all deliveries that were ever committed, and what is in flight now.

    Keys: received, stored, duplicate, ignored {reason}, rejected {reason}, in_flight, observations,
    passages, conflicts. `received` counts in flight too, so that the counters add up.
    """
    row = connection.execute(COUNTERS).fetchone()
    return dict(row[0]) if row else {}


COUNTERS = """
    with delivery as (select * from batch where kind = 'delivery'),
    flying as (
        select coalesce(sum(in_flight), 0)::bigint as number from process
        where heartbeat > now() - interval '30 seconds'
    ),
    reasons as (
        select outcome, key, sum(value::bigint) as number
        from delivery, lateral (values ('ignored', ignored), ('rejected', rejected)) o (outcome, counts),
             jsonb_each_text(counts)
        group by outcome, key
    )
    select jsonb_build_object(
        'received', coalesce(sum(received), 0) + (select number from flying),
        'stored', coalesce(sum(stored), 0),
        'duplicate', coalesce(sum(duplicate), 0),
        'in_flight', (select number from flying),
        'observations', coalesce(sum(observations), 0),
        'passages', coalesce(sum(passages), 0),
        'conflicts', coalesce(sum(conflicts), 0),
        'ignored', (select coalesce(jsonb_object_agg(key, number), '{}') from reasons where outcome = 'ignored'),
        'rejected', (select coalesce(jsonb_object_agg(key, number), '{}') from reasons where outcome = 'rejected')
    ) from delivery"""


def beat(
    connection: Connection, process: str, role: str, host: str, pid: int, drained: datetime, flying: int
) -> None:
    """Say that `process` is alive and has committed everything that it received before `drained`."""
    connection.execute(
        """insert into process (name, role, host, pid, drained, in_flight) values (%s, %s, %s, %s, %s, %s)
           on conflict (name) do update set role = excluded.role, host = excluded.host, pid = excluded.pid,
               heartbeat = now(), drained = excluded.drained, in_flight = excluded.in_flight""",
        [process, role, host, pid, drained, flying],
    )


def leave(connection: Connection, process: str) -> None:
    """Say that `process` has stopped and owes nothing."""
    connection.execute("delete from process where name = %s", [process])


def remember(connection: Connection, source: str, key: str, value: Any) -> None:
    """Keep a decoder's state; None forgets it."""
    if value is None:
        connection.execute("delete from decoder_state where source = %s and key = %s", [source, key])
        return
    connection.execute(
        """insert into decoder_state values (%s, %s, %s)
           on conflict (source, key) do update set value = excluded.value""",
        [source, key, Jsonb(value)],
    )


def remembered(connection: Connection) -> dict[str, dict[str, Any]]:
    """{source: {key: value}} of all decoders."""
    found: dict[str, dict[str, Any]] = {}
    for source, key, value in connection.execute("select source, key, value from decoder_state"):
        found.setdefault(source, {})[key] = value
    return found
