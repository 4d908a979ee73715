"""Real samples of travel times that somebody else computed become what their index and a hand check say."""

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
NAMES = {"amsterdam-travel-time": "travel_time", "datex2-travel-time": "datex2_travel_time"}
RECEIVED = datetime(2026, 3, 2, 12, tzinfo=UTC)


def rows() -> dict[str, dict[str, str]]:
    with (SHARED / "samples" / "INDEX.tsv").open(encoding="utf-8", newline="") as file:
        found = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["file"]: row for row in found if row["format"] in NAMES}


ROWS = rows()


def made_of(file: str, options: dict[str, Any]) -> Normalised:
    name = NAMES[ROWS[file]["format"]]
    message = Message("leiestad/reistijden", Path(SHARED, "samples", file).read_bytes(), RECEIVED)
    source = Source("shared", message.topic, format=name, options=options)
    return Normaliser(vocabulary.load()).normalise(FORMATS[name].decode(message, source, {}), message, source)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_outcome(row: dict[str, str]) -> None:
    if row["outcome"] == "refused":
        with pytest.raises(BadMessage) as caught:
            made_of(row["file"], {})
        assert caught.value.reason == "personal"
        return
    found = made_of(row["file"], {})
    assert bool(found.observations) == (row["outcome"] != "ignored")
    assert bool(found.skipped) == (row["outcome"] == "partial")
    assert (found.ignored == "no data") == (row["outcome"] == "ignored")
    assert all(vocabulary.load()[one.datastream.property].personal for one in found.observations)


EXPECTED = {
    "amsterdam-travel-time/2.xml": [
        ("K1", "vehiclePassageCount", "lane1", 9.0, "1"),
        ("K1", "vehiclePassageCount", "lane1.Auto", 7.0, "1"),
    ],
    "amsterdam-travel-time/3.xml": [
        ("SEC_1", "travelTimeQuality", "processed", 66.0, "%"),
        ("SEC_2", "travelTimeQuality", "processed", 3.0, "%"),
    ],
    "datex2-travel-time/1.xml": [
        ("BE-VOORBEELD-TT01", "travelTime", "", 126.2, "s"),
        ("BE-VOORBEELD-TT01", "travelTimeQuality", "", 52.0, "%"),
    ],
}


@pytest.mark.parametrize("file", EXPECTED)
def test_values(file: str) -> None:
    assert [(*row.datastream[:3], row.number, row.datastream.unit) for row in made_of(file, {}).observations] == (
        EXPECTED[file]
    )


def test_every_sample_with_observations_has_been_checked_by_hand() -> None:
    carrying = {file for file, row in ROWS.items() if row["outcome"] in {"observations", "partial"}}
    assert carrying == set(EXPECTED)


def test_why_values_are_skipped() -> None:
    found = [(one.name, one.reason) for one in made_of("amsterdam-travel-time/3.xml", {}).skipped]
    few, unknown, nothing = "fewer than 10 vehicles", "unknown number of vehicles", "no data"
    assert found == [
        ("travelTime.raw", few),
        ("travelSpeed.raw", few),
        ("travelTime.processed", unknown),
        ("travelSpeed.processed", unknown),
        ("travelTime.raw", nothing),
        ("travelSpeed.raw", nothing),
        ("travelTime.representative", nothing),
        ("travelSpeed.representative", nothing),
        ("travelTime.processed", unknown),
        ("travelSpeed.processed", unknown),
    ]
    (skipped,) = made_of("amsterdam-travel-time/2.xml", {}).skipped
    assert skipped == ("vehiclePassageCount", "class without a name")


def test_a_higher_minimum() -> None:
    found = made_of("datex2-travel-time/1.xml", {"minimum": 14})
    assert found.observations == []
    assert [one.reason for one in found.skipped] == ["fewer than 14 vehicles"]
