"""Real samples of SenML, SensorThings, FIWARE's agents and CloudEvents become what their index and a hand check say."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED

from broker import modules, vocabulary
from broker.errors import BadMessage
from broker.model import Message, Source
from ingest.normalise import Normalised, Normaliser

FORMATS = modules.load("ingest.formats")
NAMES = {
    "senml": "senml",
    "sensorthings-mqtt": "sensorthings",
    "fiware-iota-json": "fiware_iota_json",
    "fiware-ultralight": "fiware_ultralight",
    "cloudevents-mqtt": "cloudevents",
}
RECEIVED = datetime(2026, 3, 2, 12, tzinfo=UTC)


def rows() -> list[dict[str, str]]:
    with (SHARED / "samples" / "INDEX.tsv").open(encoding="utf-8", newline="") as file:
        return [
            row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row["format"] in NAMES
        ]


ROWS = {row["file"]: row for row in rows()}


def made_of(row: dict[str, str]) -> Normalised:
    name = NAMES[row["format"]]
    topic = row["mqtt topic"] or "leiestad/device"
    redact = getattr(FORMATS[name], "redact", str)
    message = Message(redact(topic), Path(SHARED, "samples", row["file"]).read_bytes(), RECEIVED)
    source = Source("shared", topic, format=name)
    return Normaliser(vocabulary.load()).normalise(FORMATS[name].decode(message, source, {}), message, source)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_outcome(row: dict[str, str]) -> None:
    if row["outcome"] == "refused":
        with pytest.raises(BadMessage) as caught:
            made_of(row)
        assert "voorbeeldsleutel" not in str(caught.value)
        return
    found = made_of(row)
    assert bool(found.observations) == (row["outcome"] != "ignored")
    assert bool(found.skipped) == (row["outcome"] == "partial")
    assert "voorbeeldsleutel" not in repr(found)


MAC = "urn:dev:mac:02000000000"
EXPECTED: dict[str, list[tuple[Any, ...]]] = {
    "senml/1.json": [
        (f"{MAC}1", "relativeHumidity", "07:00:00", 81, "%"),
        (f"{MAC}1", "relativeHumidity", "07:01:00", 80.5, "%"),
        (f"{MAC}1", "temperature", "07:00:00", -2.5, "Cel"),
        (f"{MAC}1", "temperature", "07:01:00", -2.4, "Cel"),
        (f"{MAC}1", "batteryLevel", "06:00:00", 98, "%"),
    ],
    "senml/2.json": [
        (f"{MAC}2", "temperature", "12:00:00", 21.5, "Cel"),
        (f"{MAC}2", "open", "12:00:00", False, ""),
        (f"{MAC}2", "label", "12:00:00", "Kelder", ""),
    ],
    "senml/3.json": [
        (f"{MAC}3", "soundLevel", "07:00:00.305000", 61.2, "dB"),
        (f"{MAC}3", "soundLevel", "07:01:00.305000", 59.9, "dB"),
    ],
    "senml/4.json": [
        ("urn:dev:DVNUUID:00000000-0000-4000-8000-0000000000c4", "batteryLevel", "07:00:00", 32, "%"),
        ("urn:dev:DVNUUID:00000000-0000-4000-8000-0000000000c4", "accelerationX", "07:00:00", 0.39, "m/s2"),
    ],
    "senml/5.json": [
        ("urn:dev:DEVEUI:0200000000A00099", "port", "07:00:00", 85, ""),
        ("urn:dev:DEVEUI:0200000000A00099", "timeOrigin", "07:00:00", "NETWORK", ""),
    ],
    "senml/6.json": [
        ("urn:dev:mac:020000FFFE000005", "temperature", "07:00:00", 26, "Cel"),
        ("urn:dev:mac:020000FFFE000005", "relativeHumidity", "07:00:00", 18, "%"),
    ],
    "senml/7.json": [
        (f"{MAC}7", "temperature", "12:00:00", 21.5, "Cel"),
        (f"{MAC}7", "relativeHumidity", "11:59:30", 55, "%"),
    ],
    "senml/8.json": [
        (f"{MAC}8", "precipitation", "11:58:00", 0.2, "mm"),
        (f"{MAC}8", "rainSum", "11:58:00", 1042.4, "mm.s"),
        (f"{MAC}8", "precipitation", "11:59:00", 0.2, "mm"),
        (f"{MAC}8", "rainSum", "11:59:00", 1042.6, "mm.s"),
    ],
    "sensorthings-mqtt/1.json": [("Datastreams(17)", "result", "07:00:00", 412, "")],
    "sensorthings-mqtt/2.json": [("Datastreams(18)", "result", "06:00:00", 61.2, "")],
    "sensorthings-mqtt/3.json": [("Datastreams(19)", "result", "12:00:00", 21.5, "")],
    "sensorthings-mqtt/5.json": [("Datastreams(20)", "result", "07:05:00", 7.25, "")],
    "fiware-iota-json/1.json": [
        ("weer-grote-markt", "h", "12:00:00", 81, ""),
        ("weer-grote-markt", "t", "12:00:00", -2.5, ""),
    ],
    "fiware-iota-json/2.json": [("weer-grote-markt", "h", "12:00:00", 81, "")],
    "fiware-iota-json/3.json": [
        ("weer-grote-markt", "h", "06:00:00", 80, ""),
        ("weer-grote-markt", "h", "05:00:00", 79, ""),
    ],
    "fiware-iota-json/4.json": [
        ("lichtmast-0042", "h", "12:00:00", 64, "%"),
        ("lichtmast-0042", "t", "12:00:00", 7.5, ""),
        ("lichtmast-0042", "l", "12:00:00", 0, ""),
        ("lichtmast-0042", "h", "12:00:00.000001", 65, "%"),
        ("lichtmast-0042", "l", "12:00:00.000001", 1893, ""),
    ],
    "fiware-iota-json/5.json": [
        ("lucht-station-1", "pm25", "07:00:00", 11.4, "ug/m3"),
        ("lucht-station-1", "pm10", "07:00:00", 19, "ug/m3"),
    ],
    "fiware-iota-json/6.json": [
        ("urn:ngsi-ld:ParkingSpot:leiestad:schouwburg:017", "parkingOccupied", "07:01:12", True, "")
    ],
    "fiware-ultralight/1.txt": [
        ("weer-grote-markt", "t", "12:00:00", 18.5, ""),
        ("weer-grote-markt", "h", "12:00:00", 55, ""),
    ],
    "fiware-ultralight/2.txt": [
        ("weer-grote-markt", "t", "12:00:00", 18.4, ""),
        ("weer-grote-markt", "t", "12:00:00.000001", 18.6, ""),
    ],
    "fiware-ultralight/3.txt": [
        ("lucht-station-1", "pm25", "06:45:00", 9.8, "ug/m3"),
        ("lucht-station-1", "pm25", "06:50:00", 10.1, "ug/m3"),
    ],
    "fiware-ultralight/4.txt": [("weer-grote-markt", "h", "12:00:00", 55, "")],
    "cloudevents-mqtt/3.json": [(f"{MAC}1", "pm25", "07:00:00", 11.4, "ug/m3")],
    "cloudevents-mqtt/4.json": [("/sensors/lucht-station-1", "value", "12:00:00", 21.5, "")],
}


@pytest.mark.parametrize("file", EXPECTED)
def test_values(file: str) -> None:
    found = [
        (
            row.datastream.thing,
            row.datastream.property,
            row.start.isoformat()[11:].removesuffix("+00:00"),
            row.number if row.result is None else row.result,
            row.datastream.unit,
        )
        for row in made_of(ROWS[file]).observations
    ]
    assert found == EXPECTED[file]


def test_every_sample_with_observations_has_been_checked_by_hand() -> None:
    carrying = {file for file, row in ROWS.items() if row["outcome"] in {"observations", "partial"}}
    assert carrying == set(EXPECTED)


def test_places() -> None:
    (place,) = made_of(ROWS["senml/1.json"]).places
    assert place.geometry == {"type": "Point", "coordinates": [3.2648, 50.8278]}
    (place,) = made_of(ROWS["fiware-ultralight/2.txt"]).places
    assert place.geometry == {"type": "Point", "coordinates": [3.2675, 50.8269]}
    (place,) = made_of(ROWS["sensorthings-mqtt/5.json"]).places
    assert place.geometry == {"type": "Point", "coordinates": [3.2669, 50.83105]}


def test_the_misspelt_key_is_named() -> None:
    with pytest.raises(BadMessage, match=r"phenomenontime.*phenomenonTime"):
        made_of(ROWS["sensorthings-mqtt/4.json"])
    with pytest.raises(BadMessage, match=r"^t: expected a value"):
        made_of(ROWS["fiware-ultralight/5.txt"])
