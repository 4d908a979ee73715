"""A city's register of things, as CSV or GeoJSON: names, kinds, places and whatever else it knows of them.

CSV: RFC 4180, https://www.rfc-editor.org/rfc/rfc4180, with a comma or a semicolon.
GeoJSON: RFC 7946, https://www.rfc-editor.org/rfc/rfc7946; WGS 84, longitude first.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from broker.errors import BadConfig
from broker.store import things
from broker.store.database import Connection

IDENTITY = ("identity", "thing")
LONGITUDE = ("longitude", "lon", "lng")
LATITUDE = ("latitude", "lat")
TEXTS = ("name", "description", "kind")
GEOMETRIES = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}
"""How deep the positions of a geometry lie."""


class Entry(NamedTuple):
    """What a register says of one thing. `texts` has name, description, kind: those that are given."""

    identity: str
    texts: dict[str, str]
    geometry: dict[str, Any] | None
    properties: dict[str, Any]


class _Fault(Exception):
    """A row that cannot be used; the text says why."""


def read(path: Path) -> list[Entry]:
    """Read a register; the ending of its name says which form. BadConfig names every line that is wrong."""
    readers = {".csv": read_csv, ".geojson": read_geojson, ".json": read_geojson}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise BadConfig(f"{path}: expected a file named .csv or .geojson")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadConfig(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadConfig(f"{path}: byte {error.start} is not UTF-8") from None
    return reader(text, str(path))


def enter(connection: Connection, entries: Sequence[Entry], now: datetime) -> None:
    """Write what a register says; from `now` on its things are registered."""
    things.register(connection, [_enter(connection, entry, now) for entry in entries], now)


def _enter(connection: Connection, entry: Entry, now: datetime) -> int:
    """Write one entry, a place only where it is another one than before; return the thing's number."""
    kind = entry.texts.get("kind", "sensor")
    number = things.number(connection, [entry.identity], kind, "register")[entry.identity]
    things.enrich(connection, number, entry.texts, entry.properties)
    if entry.geometry and things.places(connection, [number]).get(number) != entry.geometry:
        things.place(connection, number, entry.geometry, now, None)
    return number


def read_csv(text: str, name: str) -> list[Entry]:
    """Read a table with a header line. BadConfig names line and column of everything that is wrong."""
    head = text.partition("\n")[0]
    semicolon = head.count(";") > head.count(",")
    rows = csv.DictReader(text.splitlines(keepends=True), delimiter=";" if semicolon else ",", strict=True)
    entries, faults = [], []
    try:
        columns = _columns(rows.fieldnames or [])
        for row in rows:
            try:
                entries.append(_row(row, columns, decimal_comma=semicolon))
            except _Fault as fault:
                faults.append(f"{name}:{rows.line_num}: {fault}")
    except (csv.Error, _Fault) as error:
        faults.append(f"{name}:{max(rows.line_num, 1)}: {error}")
    return _sound(entries, faults, name)


def _columns(header: Any) -> dict[str, str]:
    """Map what we know to the column that has it. Raises _Fault."""
    by_name = {str(column).strip().lower(): column for column in header}
    wanted = {"identity": IDENTITY, "longitude": LONGITUDE, "latitude": LATITUDE} | {t: (t,) for t in TEXTS}
    found = {key: by_name[name] for key, names in wanted.items() for name in reversed(names) if name in by_name}
    if "identity" not in found:
        raise _Fault(f"found the columns {', '.join(by_name) or 'none'}, expected one named identity or thing")
    if ("longitude" in found) != ("latitude" in found):
        raise _Fault("found one of longitude and latitude, expected both or neither")
    return found


def _row(row: dict[Any, Any], columns: Mapping[str, str], *, decimal_comma: bool) -> Entry:
    if None in row or None in row.values():
        wanted = len([column for column in row if column is not None])
        raise _Fault(f"found another number of columns than the {wanted} of the header")
    row = {column: value.strip() for column, value in row.items()}
    identity = row[columns["identity"]]
    if not identity:
        raise _Fault(f'column "{columns["identity"]}": found nothing, expected an identity')
    texts = {key: row[columns[key]] for key in TEXTS if key in columns and row[columns[key]]}
    others = {str(c).strip(): v for c, v in row.items() if c not in columns.values() and v}
    return Entry(identity, texts, _point(row, columns, decimal_comma=decimal_comma), others)


def _point(row: Mapping[str, str], columns: Mapping[str, str], *, decimal_comma: bool) -> dict[str, Any] | None:
    if "longitude" not in columns or not (row[columns["longitude"]] or row[columns["latitude"]]):
        return None
    position = [
        _degrees(row[columns[key]], f'column "{columns[key]}"', limit, decimal_comma=decimal_comma)
        for key, limit in (("longitude", 180), ("latitude", 90))
    ]
    return {"type": "Point", "coordinates": position}


def _degrees(text: str, where: str, limit: int, *, decimal_comma: bool) -> float:
    try:
        value = float(text.replace(",", ".") if decimal_comma else text)
    except ValueError:
        value = float("nan")
    if not abs(value) <= limit:
        raise _Fault(f'{where}: found "{text}", expected degrees from -{limit} to {limit}')
    return value


def read_geojson(text: str, name: str) -> list[Entry]:
    """Read a FeatureCollection or Feature. BadConfig names the feature and member of everything that is wrong."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadConfig(f"{name}:{error.lineno}: not valid JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise BadConfig(f"{name}:1: not usable JSON: nested too deeply") from None
    features = document.get("features") if isinstance(document, dict) else None
    if isinstance(document, dict) and document.get("type") == "Feature":
        features = [document]
    if not isinstance(features, list):
        raise BadConfig(f"{name}:1: expected a FeatureCollection or a Feature")
    entries, faults = [], []
    for number, feature in enumerate(features):
        try:
            entries.append(_feature(feature))
        except _Fault as fault:
            faults.append(f"{name}: features[{number}]: {fault}")
    return _sound(entries, faults, name)


def _feature(feature: Any) -> Entry:
    if not isinstance(feature, dict):
        raise _Fault("expected an object")
    properties = feature.get("properties") or {}
    if not isinstance(properties, dict):
        raise _Fault("properties: expected an object")
    named = [properties.get(key) for key in IDENTITY] + [feature.get("id")]
    identity = next((str(one).strip() for one in named if isinstance(one, str | int) and str(one).strip()), "")
    if not identity:
        raise _Fault("found no id, no properties.identity and no properties.thing, expected one of them")
    for key in TEXTS:
        if not isinstance(properties.get(key), str | None):
            raise _Fault(f"properties.{key}: expected a text")
    texts = {key: properties[key] for key in TEXTS if properties.get(key)}
    others = {k: v for k, v in properties.items() if k not in (*IDENTITY, *TEXTS) and v is not None}
    return Entry(identity, texts, _geometry(feature.get("geometry")), others)


def _geometry(geometry: Any) -> dict[str, Any] | None:
    if geometry is None:
        return None
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in GEOMETRIES:
        raise _Fault(f"geometry: expected one of {', '.join(GEOMETRIES)}")
    _positions(geometry.get("coordinates"), GEOMETRIES[kind])
    return {"type": kind, "coordinates": geometry["coordinates"]}


def _positions(coordinates: Any, depth: int) -> None:
    """Check every position, `depth` lists down. Raises _Fault."""
    if not isinstance(coordinates, list) or not coordinates:
        raise _Fault("geometry.coordinates: expected lists of longitude and latitude")
    if depth:
        for inner in coordinates:
            _positions(inner, depth - 1)
        return
    numbers = len(coordinates) >= 2 and all(type(n) in {int, float} for n in coordinates)
    if not numbers or not (abs(coordinates[0]) <= 180 and abs(coordinates[1]) <= 90):
        raise _Fault(f"geometry.coordinates: found {coordinates}, expected [longitude, latitude] in degrees")


def _sound(entries: list[Entry], faults: list[str], name: str) -> list[Entry]:
    seen: set[str] = set()
    for entry in entries:
        if entry.identity in seen:
            faults.append(f"{name}: found {entry.identity} twice, expected each thing once")
        seen.add(entry.identity)
    if faults:
        raise BadConfig("\n".join(faults))
    return entries
