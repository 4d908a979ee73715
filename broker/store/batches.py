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


def add(connection: Connection, batch: int, process: str, kind: str, outcomes: Outcomes, span: Span) -> None:
    """Write the batch's row, in its transaction."""
    connection.execute(
        """insert into batch
               (id, process, kind, received_first, received_last, phenomenon_first, phenomenon_last,
                received, stored, duplicate, ignored, rejected, observations, passages, conflicts, skipped)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        [
            *(batch, process, kind, *span),
            *(outcomes.messages, outcomes.stored, outcomes.duplicate),
            *(Jsonb(outcomes.ignored), Jsonb(outcomes.rejected)),
            *(outcomes.observations, outcomes.passages, outcomes.conflicts, Jsonb(outcomes.skipped)),
        ],
    )


def counters(connection: Connection) -> dict[str, Any]:
    """The message counters of all deliveries that were ever committed, and what is in flight now.

    Keys: received, stored, duplicate, ignored {reason}, rejected {reason}, in_flight, observations,
    passages, conflicts. `received` counts in flight too, so that the counters add up.
    """
    row = connection.execute(
        """select coalesce(sum(received), 0)::bigint, coalesce(sum(stored), 0)::bigint,
                  coalesce(sum(duplicate), 0)::bigint, coalesce(sum(observations), 0)::bigint,
                  coalesce(sum(passages), 0)::bigint, coalesce(sum(conflicts), 0)::bigint
           from batch where kind = 'delivery'"""
    ).fetchone()
    flying = connection.execute(
        """select coalesce(sum(in_flight), 0)::bigint from process
           where heartbeat > now() - interval '30 seconds'"""
    ).fetchone()
    names = ("received", "stored", "duplicate", "observations", "passages", "conflicts")
    found: dict[str, Any] = dict(zip(names, row or [], strict=True))
    found["in_flight"] = int(flying[0]) if flying else 0
    found["received"] += found["in_flight"]
    return found | {name: _reasons(connection, name) for name in ("ignored", "rejected")}


def _reasons(connection: Connection, column: str) -> dict[str, int]:
    rows = connection.execute(
        f"""select key, sum(value::bigint)::bigint from batch, jsonb_each_text({column})
            where kind = 'delivery' group by key order by key"""
    )
    return {reason: int(count) for reason, count in rows}


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
