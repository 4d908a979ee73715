"""Lines of CSV, with or without a header: `;`, `,`, tab or `|` between cells, decimal points or commas.

Specification: https://www.rfc-editor.org/rfc/rfc4180. A header names the columns; without one `columns` does.
Time, device and coordinates are found under their usual names, every other column with a number is a value. What
differs stands in `[source.options]`:

    columns = ["ts", "id", "t"]              # names, where the lines have no header
    delimiter = ";"                          # else the first of ; tab , | in the first line
    thing = "id"
    time = ["date", "hour"]                  # one column, or several that are joined
    fields = [{ column = "t", property = "airTemperature", unit = "Cel", qualifier = "roof" }]
    name = "parameter"                       # one measure a line: which column names it,
    value = "value"                          # which holds it,
    unit = "unit"                            # and which its unit

A day may stand before the month (`02/03/2026 08:15` is 2 March).
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, field_validator

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from broker.vocabulary import plain
from ingest import units
from ingest.payload import place, role
from ingest.rules import read_boolean, read_number
from ingest.text import rows, text
from ingest.times import moment

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

_THINGS = (
    "deveui", "eui", "deviceid", "device", "sensorid", "sensor", "thingid", "thing", "nodeid", "node", "stationid",
    "station", "serialnumber", "serial", "imei", "mac", "locationid", "meetpunt", "meetplaats", "id",
)  # fmt: skip
_DATES = frozenset({"date", "datum", "day", "dag"})
_HOURS = frozenset({"hour", "time", "tijd", "uur", "timeofday"})
_TIMES = frozenset({"tijdstip", "datumtijd", "meettijd", "tijd"})
_UNTAKEN = frozenset({"altitude", "elevation", "location", "row", "line", "nr", "index"})
_HEADING = re.compile(r"(.+?)\s*[\[(]([^\[\]()]{1,20})[\])]")
_EUROPEAN = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?:[ T]+(\d{1,2}:\d{2}(?::\d{2})?)(?:[.,]\d+)?)?\s*")


class Field(BaseModel):
    """One column that is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    property: str | None = None
    """Vocabulary key or own name; the column's if absent."""
    unit: str | None = None
    qualifier: str = ""


class Options(BaseModel):
    """`[source.options]` of this format."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: list[str] = []
    delimiter: str | None = None
    thing: str | None = None
    time: str | list[str] | None = None
    fields: list[Field] = []
    name: str | None = None
    value: str | None = None
    unit: str | None = None
    latitude: str | None = None
    longitude: str | None = None

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or value in '"\r\n'):
            raise ValueError("expected one character")
        return value


class _Value(NamedTuple):
    """A column with values."""

    column: int
    name: str
    unit: str | None
    qualifier: str


class _Layout(NamedTuple):
    """Where what stands, by column number."""

    thing: int | None
    times: tuple[int, ...]
    place: tuple[int, int] | None
    long: tuple[int, int, int | None] | None
    """Of one measure a line: name, value, unit."""
    values: tuple[_Value, ...]


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take every line. BadMessage (`fields`) names a configured column that is not there."""
    del state
    header, table = _table(message.payload, source.options)
    layout = _layout(header, table, source.options)
    found: list[Item] = []
    undated: BadMessage | None = None
    placed: set[tuple[str, str, str]] = set()
    for row in table:
        try:
            time = _time(row, layout.times, source)
        except BadMessage as error:
            undated = error
            found.append(Skipped("line", error.reason))
            continue
        thing = _cell(row, layout.thing)
        found += _measure(row, layout.long, thing, time) if layout.long else _measures(row, layout, thing, time)
        if layout.place:
            where = thing, _cell(row, layout.place[0]), _cell(row, layout.place[1])
            found += [] if where in placed or not where[1] else [place(*where, time)]
            placed.add(where)
    if undated and not any(isinstance(item, Reading) for item in found):
        raise undated
    return found or [Ignored("no value")]


def _table(payload: bytes, options: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return header and lines."""
    words = text(payload)
    if words[:1] in {"", "{", "[", "<"}:
        raise BadMessage("payload: expected lines of CSV, found none")
    table = rows(words, options.get("delimiter"))
    header = list(options.get("columns") or ())
    if table and not header:
        header, table = table[0], table[1:]
        if any(_is_value(cell) for cell in header):
            raise BadMessage("payload: expected a header, or columns in the source's options; found values")
    elif table and [plain(cell) for cell in table[0]] == [plain(name) for name in header]:
        table = table[1:]
    if not table or len(header) < 2 or len(table[0]) < 2:
        raise BadMessage("payload: expected a header and lines of at least two cells")
    return header, table


def _layout(header: list[str], table: list[list[str]], options: Mapping[str, Any]) -> _Layout:
    at = {plain(name): index for index, name in reversed(list(enumerate(header)))}
    roles = {role(name): index for index, name in reversed(list(enumerate(header)))}
    thing = _at(at, options["thing"]) if options.get("thing") else next((at[k] for k in _THINGS if k in at), None)
    times = _time_columns(at, roles, options.get("time"))
    north, east = (
        _at(at, options[key]) if options.get(key) else roles.get(key) for key in ("latitude", "longitude")
    )
    spot = (north, east) if north is not None and east is not None else None
    long = _long(at, roles, options)
    if options.get("fields"):
        values = [
            _Value(
                _at(at, one["column"]),
                one.get("property") or one["column"],
                one.get("unit"),
                one.get("qualifier", ""),
            )
            for one in options["fields"]
        ]
    else:
        others = set(range(len(header))) - {thing, *times, north, east}
        values = [_heading(index, header[index]) for index in sorted(others) if _is_measured(index, header, table)]
    if not values and not long:
        raise BadMessage("payload: expected a column with numbers, found none", reason="fields")
    return _Layout(thing, times, spot, long, tuple(values))


def _at(at: Mapping[str, int], name: str) -> int:
    index = at.get(plain(name))
    if index is None:
        raise BadMessage(f"{name}: expected a column of that name, found none", reason="fields")
    return index


def _time_columns(
    at: Mapping[str, int], roles: Mapping[str, int], told: str | list[str] | None
) -> tuple[int, ...]:
    if told:
        return tuple(_at(at, name) for name in ([told] if isinstance(told, str) else told))
    date = next((at[name] for name in at if name in _DATES), None)
    hour = next((at[name] for name in at if name in _HOURS), None)
    if date is not None and hour is not None:
        return date, hour
    named = next((at[name] for name in at if name in _TIMES), None)
    found = roles.get("time", named if named is not None else date)
    return () if found is None else (found,)


def _long(
    at: Mapping[str, int], roles: Mapping[str, int], options: Mapping[str, Any]
) -> tuple[int, int, int | None] | None:
    """Return the columns of one measure a line, as configured or by their usual names."""
    if options.get("fields"):
        return None
    name, value, unit = (
        _at(at, options[key]) if options.get(key) else roles.get(part)
        for key, part in (("name", "label"), ("value", "value"), ("unit", "unit"))
    )
    return None if name is None or value is None else (name, value, unit)


def _heading(index: int, heading: str) -> _Value:
    """Read a unit that stands in a heading: `Temperature (°C)`."""
    match = _HEADING.fullmatch(heading)
    if match and units.code(match[2]) is not None:
        return _Value(index, match[1], match[2], "")
    return _Value(index, heading, None, "")


def _is_measured(index: int, header: list[str], table: list[list[str]]) -> bool:
    name = header[index]
    if not name or role(name) not in {"", "value"} or plain(name) in _UNTAKEN:
        return False
    return any(_is_value(_cell(row, index)) for row in table)


def _is_value(cell: str) -> bool:
    return read_number(cell) is not None or cell.lower() in {"true", "false"}


def _cell(row: list[str], index: int | None) -> str:
    return row[index] if index is not None and index < len(row) else ""


def _time(row: list[str], columns: tuple[int, ...], source: Source) -> datetime | None:
    written = " ".join(filter(None, (_cell(row, index) for index in columns)))
    if not columns:
        return None
    match = _EUROPEAN.fullmatch(written)
    if match:
        day, month = (match[2], match[1]) if int(match[2]) > 12 else (match[1], match[2])
        written = f"{match[3]}-{int(month):02d}-{int(day):02d}T{(match[4] or '00:00').zfill(5)}"
    return moment(written, source.timezone)


def _measures(row: list[str], layout: _Layout, thing: str, time: datetime | None) -> list[Item]:
    return [
        _value(Reading(thing, name, 0.0, time, unit, None, qualifier), _cell(row, index))
        for index, name, unit, qualifier in layout.values
    ]


def _measure(row: list[str], long: tuple[int, int, int | None], thing: str, time: datetime | None) -> list[Item]:
    name = _cell(row, long[0])
    if not name:
        return [Skipped("line", "empty")]
    return [_value(Reading(thing, name, 0.0, time, _cell(row, long[2]) or None), _cell(row, long[1]))]


def _value(reading: Reading, cell: str) -> Item:
    found = read_number(cell)
    if found:
        return reading._replace(value=found[0], unit=reading.unit or found[1])
    on = read_boolean(cell)
    if on is None:
        return Skipped(reading.name, "unavailable" if cell else "empty")
    return reading._replace(value=on)
