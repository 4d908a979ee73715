from datetime import UTC, datetime

import pytest

from broker.errors import BadMessage
from broker.model import Place, Reading, Signal, Skipped
from ingest.payload import MAX_VALUES, Scope, geometry, names_plate, parse, place, values

SCOPE = Scope("a", None, UTC, text=True)


def test_parse() -> None:
    assert parse(b'{"a": 1}') == {"a": 1}
    assert parse(b'\xef\xbb\xbf{"a": 1}\x00\n') == {"a": 1}
    assert parse(b'{"a": Infinity, "b": 99999999999999999999}') == {"a": float("inf"), "b": 1e20}


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b'{"a": 1', "at line 1 column"),
        (b"", "expected JSON"),
        (b'"caf\xe9"', "expected UTF-8, found byte 4"),
        (b"[" * 3000, "depth limit"),
        (b'{"a": NaN' + b"[" * 100_000, "expected JSON"),
        (b'{"a": 1e999}', "expected JSON"),
    ],
)
def test_parse_refuses(payload: bytes, text: str) -> None:
    with pytest.raises(BadMessage, match=text):
        parse(payload)


def test_values() -> None:
    document = {
        "temperature": 21, "on": True, "mode": "eco", "absent": None, "device_id": 7, "rssi": -71,
        "air": {"co2": 600, "time": 1772434800}, "probes": [{"t": 1}, {"t": 2}],
        "rain": {"value": 3, "unit": "mm"}, "list": [{"parameter": "P1", "value": "4"}],
        "lat": 50.8, "lon": 3.2,
    }  # fmt: skip
    at = datetime(2026, 3, 2, 7, tzinfo=UTC)
    assert values(document, SCOPE) == [
        Reading("a", "temperature", 21, None), Reading("a", "on", True, None), Reading("a", "mode", "eco", None),
        Skipped("absent", "null"), Reading("a", "air.co2", 600, at),
        Reading("a", "probes.0.t", 1, None), Reading("a", "probes.1.t", 2, None),
        Reading("a", "rain", 3, None, "mm"), Reading("a", "P1", "4", None),
        Signal("a", {"rssi": -71}), Place("a", {"type": "Point", "coordinates": [3.2, 50.8]}),
    ]  # fmt: skip


def test_too_many_values() -> None:
    with pytest.raises(BadMessage) as caught:
        values({"a": list(range(MAX_VALUES + 2))}, SCOPE)
    assert caught.value.reason == "size"


@pytest.mark.parametrize("key", ["plate", "licensePlate", "recognized_license_plate", "kenteken", "NumberPlate"])
def test_number_plates_are_refused(key: str) -> None:
    with pytest.raises(BadMessage) as caught:
        values({"a": {key: "1-ABC-000"}}, SCOPE)
    assert caught.value.reason == "personal"
    assert "000" not in str(caught.value)


@pytest.mark.parametrize(
    ("latitude", "longitude"), [(0, 0), (91, 3), (50, 181), ("x", 3), (None, 3), (float("nan"), 3)]
)
def test_no_place_on_earth(latitude: object, longitude: object) -> None:
    assert place("a", latitude, longitude) == Skipped("location", "implausible")


def test_geometry() -> None:
    line = {"type": "LineString", "coordinates": [[3.2, 50.8], [3.3, 50.9]]}
    assert geometry("a", line) == Place("a", line)
    assert geometry("a", {"type": "Point", "coordinates": [-56.6, 168.4]}) == Skipped("location", "implausible")
    assert geometry("a", {"type": "Circle", "coordinates": [3, 50]}) == Skipped("location", "implausible")


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (b"{'plate': '1QXZ000', ", True),
        (b"<numberPlate>1QXZ000", True),
        ('{"kenteken": "1QXZ000"'.encode("utf-16"), True),
        (b"plate_7=1QXZ000", True),
        (b"{'template': 3, 'plateau': 4", False),
        (b"\xff\xfe", False),
    ],
)
def test_names_plate(payload: bytes, named: bool) -> None:
    assert names_plate(payload) is named
