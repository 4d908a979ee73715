"""Every real sample of devices in the shared material becomes what its index says, by hand-checked values."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from conftest import SHARED

from broker import modules, vocabulary
from broker.errors import BadMessage
from broker.model import Message, Quality, Source
from ingest.normalise import Normalised, Normaliser

FORMATS = modules.load("ingest.formats")
NAMES = {
    "airrohr": "sensor_community",
    "sensor-community-archive": "sensor_community",
    "zigbee2mqtt": "zigbee2mqtt",
    "tasmota": "tasmota",
    "telraam": "telraam",
    "netatmo": "netatmo",
    "weewx-davis": "weewx",
    "libelium-meshlium": "meshlium",
    "amsterdam-telcamera": "people_counter",
}
RECEIVED = datetime(2026, 11, 24, 12, tzinfo=UTC)
REASONS = {"tasmota": "syntax", "airrohr": "identity"}


def rows() -> list[dict[str, str]]:
    with (SHARED / "samples" / "INDEX.tsv").open(encoding="utf-8", newline="") as file:
        index = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row for row in index if row["format"] in NAMES]


def made_of(file: str, *, identity: str | None = None, part: str | None = None) -> Normalised:
    (row,) = [row for row in rows() if row["file"] == file]
    topic, name = row["mqtt topic"] or "leiestad/device", NAMES[row["format"]]
    payload = Path(SHARED, "samples", file).read_bytes()
    message = Message(topic, payload, RECEIVED, identity=identity, part=part)
    source = Source("shared", topic, format=name, timezone=ZoneInfo("Europe/Brussels"))
    return Normaliser(vocabulary.load()).normalise(FORMATS[name].decode(message, source, {}), message, source)


def values(found: Normalised) -> dict[tuple[str, str, str], Any]:
    """Result by thing, property and qualifier."""
    return {
        (row.datastream.thing, row.datastream.property, row.datastream.qualifier): (
            row.number if row.result is None else row.result
        )
        for row in found.observations
    }


@pytest.mark.parametrize("row", [pytest.param(row, id=row["file"]) for row in rows()])
def test_outcome(row: dict[str, str]) -> None:
    if row["outcome"] == "refused":
        with pytest.raises(BadMessage) as caught:
            made_of(row["file"])
        assert caught.value.reason == REASONS[row["format"]]
        return
    found = made_of(row["file"])
    assert bool(found.skipped) == (row["outcome"] == "partial")
    assert bool(found.observations) == (row["outcome"] != "ignored")


def test_push_with_its_header_and_pin() -> None:
    found = made_of("airrohr/7.json", identity="esp8266-1000001", part="1")
    assert values(found) == {
        ("esp8266-1000001", "pm10", "1"): 1999.9,
        ("esp8266-1000001", "pm25", "1"): 999.9,
    }
    assert all(row.quality & Quality.RANGE for row in found.observations)


def test_age_of_a_polled_reading() -> None:
    found = made_of("airrohr/5.json", identity="zolder")
    assert {row.start for row in found.observations} == {datetime(2026, 11, 24, 11, 58, 25, tzinfo=UTC)}
    assert values(found)["zolder", "pm10", "SDS"] == 2.1


def test_pressure_in_pascal() -> None:
    assert values(made_of("airrohr/4.json"))["1000001", "atmosphericPressure", "BME280"] == 1004.025


def test_the_bare_day_of_the_archive_is_utc() -> None:
    found = made_of("sensor-community-archive/1.txt")
    assert found.observations[-1].start == datetime(2026, 3, 1, 23, 59, 58, tzinfo=UTC)
    assert [place.geometry["coordinates"] for place in found.places] == [[3.266, 50.828]]


def test_clocks_go_back_and_fahrenheit() -> None:
    found = made_of("tasmota/2.json")
    assert {row.start for row in found.observations} == {datetime(2026, 10, 25, 0, 30, tzinfo=UTC)}
    assert values(found)["weer-kelder", "temperature", "SHT3X"] == 9.0


def test_epoch_settles_the_zone() -> None:
    (start,) = {row.start for row in made_of("tasmota/4.json").observations}
    assert start == datetime(2026, 3, 2, 7, 15, tzinfo=UTC)
    assert values(made_of("tasmota/4.json"))["lucht-school", "pm25", "PMS5003"] == 13


def test_a_clock_that_was_not_set() -> None:
    (row,) = made_of("tasmota/7.json").observations
    assert (row.start, row.number, row.quality) == (RECEIVED, 0, Quality.RECEIVED)


def test_network_details_are_dropped() -> None:
    found = made_of("tasmota/6.json")
    assert {item.name for item in found.skipped} == {"SSId", "BSSId"}
    assert found.signals[0].values["rssi"] == -64
    assert "leiestad-iot" not in repr(found)


def test_hours_of_telraam() -> None:
    found = made_of("telraam/1.json")
    first = found.observations[2]
    assert (first.start, first.end) == (
        datetime(2026, 3, 2, 7, tzinfo=UTC),
        datetime(2026, 3, 2, 8, tzinfo=UTC),
    )
    assert (first.datastream.property, first.number) == ("carCount", 313.3333333333)
    assert first.quality == Quality.PARTIAL
    assert datetime(2026, 3, 2, 9, tzinfo=UTC) not in {row.start for row in found.observations}
    assert values(made_of("telraam/2.json"))["9000990002", "truckCount", "rgt"] == 9.6


@pytest.mark.parametrize("file", ["netatmo/1.json", "netatmo/2.json"])
def test_the_place_is_in_belgium_whatever_its_order(file: str) -> None:
    found = made_of(file)
    assert all(place.geometry["coordinates"] == [3.2648, 50.8278] for place in found.places)
    assert "example.org" not in repr(found)


def test_wind_of_netatmo() -> None:
    found = values(made_of("netatmo/1.json"))
    assert found["02:00:00:00:01:03", "windSpeed", ""] == pytest.approx(11 / 3.6)
    assert ("02:00:00:00:01:02", "batteryLevel", "") not in found


def test_left_over_fahrenheit() -> None:
    found = values(made_of("weewx-davis/1.json"))
    assert found["weather", "airTemperature", "high"] == pytest.approx(4.2778, abs=1e-3)
    assert found["weather", "dewPoint", "indoor"] == pytest.approx(8.5)
    assert found["weather", "windSpeed", ""] == pytest.approx(1.78816, abs=1e-5)


def test_no_secret_of_a_meshlium() -> None:
    found = made_of("libelium-meshlium/1.json")
    assert values(found) == {("SCP4", "temperature", ""): 9.4}
    assert "0000000000000000" not in repr(found)


def test_a_contact_that_is_not_made_is_open() -> None:
    found = made_of("zigbee2mqtt/2.json")
    assert values(found) == {("sporthal/nooduitgang", "open", ""): True}
    assert found.observations[0].start == datetime(2026, 3, 2, 7, 15, tzinfo=UTC)


def test_counts_and_no_person() -> None:
    found = made_of("amsterdam-telcamera/1.json")
    assert values(found) == {
        ("GAVM-01-Vondelstraat", "peopleCount", "Line 0.in"): 15,
        ("GAVM-01-Vondelstraat", "peopleCount", "Line 0.out"): 12,
        ("GAVM-01-Vondelstraat", "peopleCount", "Zone 0"): 5,
    }
    assert {item.reason for item in found.skipped} == {"personal"}
    assert "3560f51a" not in repr(found)
