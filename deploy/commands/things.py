"""`citybroker things`: what is known of the things, and a register that says more."""

# ruff: noqa: PLC0415 - a command imports what it runs, so that --help is there at once

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.commands import options
from deploy.commands.options import DatabaseUrlOption, DataOption, JsonOption, option

COLUMNS = (
    *("thing", "name", "kind", "source", "place", "datastreams"),
    *("last seen", "per hour", "battery", "signal"),
)


def show_list(
    silent: Annotated[
        str | None, option("--silent", "Only those not heard of for this long: 1h, 30m, 2d.")
    ] = None,
    data: DataOption = options.DATA,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List all things: what they are, where, when last heard of, how often, battery and radio signal.

    The rate is in messages an hour over the last day, later ones count more. Things that were
    registered and never heard of are silent too.

    Try:
      citybroker things list
      citybroker things list --silent 1h
      citybroker things list --json | jq 'select(.location == null) | .identity'
    """
    from broker.store import things
    from deploy.commands import output, running

    bound = None if silent is None else datetime.now(UTC) - _length(silent)
    with running.connected(database_url, data) as connection:
        rows = [row for row in things.registered(connection) if _is_silent(row["last_seen"], bound)]
    if as_json:
        for row in rows:
            output.emit(row)
        return
    output.show_table(COLUMNS, [_row(row) for row in rows])


def _length(text: str) -> timedelta:
    """Read 90s, 30m, 1h, 2d, or an ISO 8601 duration. BadConfig."""
    from broker import periods
    from broker.errors import BadConfig

    number, unit = text[:-1].strip(), text[-1:].lower()
    length = periods.parse(text)
    if length is None and number.isdecimal() and len(number) <= 6 and unit in {"s", "m", "h", "d"}:
        length = periods.parse(f"P{number}D" if unit == "d" else f"PT{number}{unit.upper()}")
    if length is None:
        raise BadConfig(f'--silent: found "{text}", expected a length of time such as 30m, 1h, 2d or PT90M')
    return length


def _is_silent(last_seen: datetime | None, bound: datetime | None) -> bool:
    return bound is None or last_seen is None or last_seen < bound


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    from deploy.commands.output import moment

    known = (row["identity"], row["name"], row["kind"], row["source"])
    seen = (row["datastreams"], moment(row["last_seen"]), _rate(row["messages_per_hour"]))
    return (*known, _place(row["location"]), *seen, _battery(row), _signal(row["signal"]))


def _rate(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.3g}" if rate < 100 else f"{rate:.0f}"


def _battery(row: dict[str, Any]) -> str:
    if row["battery"] is not None:
        return f"{row['battery']:.4g} {row['battery_unit']}"
    own = row["signal"].get("battery")
    return "-" if own is None else str(own)


def _signal(signal: dict[str, Any]) -> str:
    """The radio's quality first; the rest is in the JSON."""
    names = {name.lower(): name for name in signal}
    wanted = [name for name in ("rssi", "snr", "linkquality", "lqi") if name in names]
    found = [f"{name} {signal[names[name]]}" for name in wanted] or [f"{k} {v}" for k, v in [*signal.items()][:2]]
    return ", ".join(found) or "-"


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
    before they have sent anything. They are registered from then on: sources with
    allow = "registry" take them.

    Try:
      citybroker things import sensors.csv
      citybroker things import sensors.geojson --data /srv/citybroker
    """
    from deploy import registry
    from deploy.commands import output, running

    entries = registry.read(file)
    with running.connected(database_url, data) as connection:
        registry.enter(connection, entries, datetime.now(UTC))
    placed = sum(entry.geometry is not None for entry in entries)
    if as_json:
        output.emit({"things": len(entries), "placed": placed})
        return
    typer.echo(f"{file}: things: {len(entries)}, with a place: {placed}")
