"""`citybroker things`: what is known of the things, and a register that says more."""

# ruff: noqa: PLC0415 - a command imports what it runs, so that --help is there at once

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.commands import options
from deploy.commands.options import DatabaseUrlOption, DataOption, JsonOption

if TYPE_CHECKING:
    from broker.store.database import Connection
    from deploy.registry import Entry


def show_list(
    data: DataOption = options.DATA,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List all things: identity, name, kind, where they are, and when they were last heard of.

    Try:
      citybroker things list
      citybroker things list --json | jq 'select(.location == null) | .identity'
    """
    from broker.store import things
    from deploy.commands import output, running

    with running.connected(database_url, data) as connection:
        rows = things.registered(connection)
    if as_json:
        for row in rows:
            output.emit(row)
        return
    columns = ("thing", "name", "kind", "source", "place", "datastreams", "last seen")
    output.show_table(columns, [_row(row) for row in rows])


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    from deploy.commands.output import moment

    known = (row["identity"], row["name"], row["kind"], row["source"])
    return (*known, _place(row["location"]), row["datastreams"], moment(row["last_seen"]))


def _place(geometry: Any) -> str:
    if not geometry:
        return "-"
    if geometry.get("type") != "Point":
        return str(geometry.get("type"))
    longitude, latitude = geometry["coordinates"][:2]
    return f"{longitude:.5f} {latitude:.5f}"


def import_(
    file: Annotated[Path, typer.Argument(help="FILE.csv or FILE.geojson", dir_okay=False)],
    data: DataOption = options.DATA,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take names, kinds, places and properties of things from a register: all of it, or nothing.

    CSV: a header line with identity (or thing), and what there is of name, description, kind,
    longitude and latitude (or lon, lat); other columns become properties. GeoJSON: the feature's
    id or properties.identity. Repeat it whenever the register changes; things may be announced
    before they have sent anything.

    Try:
      citybroker things import sensors.csv
      citybroker things import sensors.geojson --data /srv/citybroker
    """
    from deploy import registry
    from deploy.commands import output, running

    entries = registry.read(file)
    with running.connected(database_url, data) as connection:
        for entry in entries:
            _take(connection, entry, datetime.now(UTC))
    placed = sum(entry.geometry is not None for entry in entries)
    if as_json:
        output.emit({"things": len(entries), "placed": placed})
        return
    typer.echo(f"{file}: things: {len(entries)}, with a place: {placed}")


def _take(connection: "Connection", entry: "Entry", now: datetime) -> None:
    """Write one entry; a place only where it is another one than before."""
    from broker.store import things

    kind = entry.texts.get("kind", "sensor")
    number = things.number(connection, [entry.identity], kind, "register")[entry.identity]
    things.enrich(connection, number, entry.texts, entry.properties)
    if entry.geometry and things.places(connection, [number]).get(number) != entry.geometry:
        things.place(connection, number, entry.geometry, now, None)
