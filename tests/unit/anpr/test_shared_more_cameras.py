"""Real samples of Frigate, Tattile, LILIN and Smart Data Models become what their index and a hand check say."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from conftest import SHARED

from anpr.keys import KeyStore
from anpr.plate import Reader
from broker.errors import BadMessage
from broker.model import Ignored, Message, Passage, Skipped, Source
from broker.modules import load

NAMES = {
    "frigate": "frigate",
    "tattile": "tattile",
    "lilin-lpr": "lilin",
    "smart-data-models": "anpr_flow_observed",
}
BRUSSELS = ZoneInfo("Europe/Brussels")
RECEIVED = datetime(2026, 4, 1, 12, tzinfo=UTC)


def rows() -> dict[str, dict[str, str]]:
    with (SHARED / "samples" / "INDEX.tsv").open(encoding="utf-8", newline="") as file:
        found = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["file"]: row for row in found if row["format"] in NAMES and row["kind"] == "camera"}


ROWS = rows()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(load("anpr.cameras"), KeyStore(tmp_path_factory.mktemp("keys") / "k", "gent", BRUSSELS))


def made_of(reader: Reader, file: str, name: str, topic: str = "") -> list[Passage | Ignored | Skipped]:
    topic = topic or "leiestad/markt"
    message = Message(topic, Path(SHARED, "samples", file).read_bytes(), RECEIVED)
    return reader.read(message, Source("shared", topic, camera=name, timezone=BRUSSELS), {})


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_outcome(reader: Reader, row: dict[str, str]) -> None:
    found = made_of(reader, row["file"], NAMES[row["format"]], row["mqtt topic"])
    kinds = {
        "passage": {Passage},
        "partial": {Passage, Skipped},
        "ignored": {Ignored},
    }
    assert {type(one) for one in found} == kinds[row["outcome"]]


EXPECTED = {
    "frigate/2.json": [("parking_stadhuis", "03-02 07:10:06.748393", "read", 0.95, None, None)],
    "frigate/5.json": [("parking_stadhuis", "03-02 07:10:06.475377", "read", 0.921875, None, 22.5)],
    "lilin-lpr/1.json": [("markt", "03-02 07:10:06.899288", "read", 0.812345678901234, "BE", None)],
    "smart-data-models/1.json": [("ANPR1_Noorderlaan", "09-01 16:30:00", "read", 0.96, "BE", 50)],
    "smart-data-models/2.json": [("anprFlowObserved:LEZ-Noorderlaan", "09-01 16:30:00", "read", 0.96, "BE", 50)],
    "tattile/1.xml": [("TAT-SAMPLE-01", "03-02 07:10:06.250000", "read", 0.93, "BE", None)],
    "tattile/2.xml": [("TAT-SAMPLE-02", "03-02 07:11:10", "read", 0.905, "BE", None)],
    "tattile/3.xml": [("TAT-SAMPLE-03", "03-29 01:30:00", "read", None, None, None)],
    "tattile/4.xml": [("TAT-SAMPLE-03", "03-02 07:12:00.250000", "unread", 0.0, None, None)],
    "tattile/5.txt": [
        ("TAT-SAMPLE-03", "03-02 07:13:00", "read", None, None, None),
        ("TAT-SAMPLE-03", "03-02 07:13:01.400000", "read", None, None, None),
    ],
}


@pytest.mark.parametrize("file", EXPECTED)
def test_passages(reader: Reader, file: str) -> None:
    row = ROWS[file]
    found = made_of(reader, file, NAMES[row["format"]], row["mqtt topic"])
    assert [
        (
            one.camera,
            f"{one.time:%m-%d} {one.time.time()}",
            one.read_status,
            one.confidence,
            one.country,
            one.speed,
        )
        for one in found
        if isinstance(one, Passage)
    ] == EXPECTED[file]


def test_every_passage_has_been_checked_by_hand() -> None:
    assert {file for file, row in ROWS.items() if row["outcome"] in {"passage", "partial"}} == set(EXPECTED)


def test_directions(reader: Reader) -> None:
    found = {file: made_of(reader, file, NAMES[ROWS[file]["format"]])[0] for file in EXPECTED}
    assert {file: one.direction for file, one in found.items() if one.direction != "unknown"} == {
        "smart-data-models/1.json": "forward",
        "smart-data-models/2.json": "forward",
        "tattile/1.xml": "reverse",
        "tattile/2.xml": "forward",
    }


def test_an_update_and_the_end_of_its_event_are_one_passage(reader: Reader) -> None:
    (update,), (end,) = (made_of(reader, f"frigate/{number}.json", "frigate") for number in (2, 5))
    assert (update.identity, update.token) == (end.identity, end.token)


@pytest.mark.parametrize("name", sorted(load("anpr.cameras")))
def test_an_export_with_numbers_in_place_of_plates_is_refused(reader: Reader, name: str) -> None:
    with pytest.raises(BadMessage):
        made_of(reader, "anpr-metrics-kortrijk/1.txt", name)
