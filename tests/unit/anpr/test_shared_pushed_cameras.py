"""Real samples of Dahua, Axis, OpenALPR and Plate Recognizer become what their index and a hand check say."""

import csv
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from conftest import SHARED

from anpr.keys import KeyStore
from anpr.plate import Reader
from anpr.strip import strip
from broker.model import Ignored, Message, Passage, Skipped, Source
from broker.modules import load

CAMERAS = load("anpr.cameras")
NAMES = {
    "dahua": "dahua",
    "axis-lpv": "axis",
    "openalpr-rekor": "openalpr",
    "plate-recognizer": "plate_recognizer",
}
KINDS = {"passage": {Passage}, "partial": {Passage, Skipped}, "ignored": {Ignored}}
BRUSSELS = ZoneInfo("Europe/Brussels")
RECEIVED = datetime(2026, 11, 1, 12, tzinfo=UTC)


def rows() -> dict[str, dict[str, str]]:
    with (SHARED / "samples" / "INDEX.tsv").open(encoding="utf-8", newline="") as file:
        found = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["file"]: row for row in found if row["format"] in NAMES}


ROWS = rows()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(CAMERAS, KeyStore(tmp_path_factory.mktemp("keys") / "k", "gent", BRUSSELS))


def made_of(
    reader: Reader, file: str, options: Mapping[str, Any] | None = None
) -> list[Passage | Ignored | Skipped]:
    name = NAMES[ROWS[file]["format"]]
    topic = ROWS[file]["mqtt topic"] or "leiestad/markt"
    message = Message(topic, Path(SHARED, "samples", file).read_bytes(), RECEIVED)
    source = Source("shared", topic, camera=name, timezone=BRUSSELS, options=options or {})
    found = reader.read(message, source, {})
    stripped = message._replace(payload=strip(message.payload, CAMERAS[name]))
    again = reader.read(stripped, source, {})
    assert [one._replace(identity=b"") if isinstance(one, Passage) else one for one in again] == [
        one._replace(identity=b"") if isinstance(one, Passage) else one for one in found
    ]
    return found


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_outcome(reader: Reader, row: dict[str, str]) -> None:
    found = made_of(reader, row["file"])
    assert {type(one) for one in found} == KINDS[row["outcome"]]


EXPECTED = {
    "dahua/1.txt": [("CAM-SAMPLE-01", "2026-03-02 07:10:06.503", "read", None, "forward", 47.0)],
    "dahua/2.txt": [("markt", "2026-03-02 07:11:04.102", "read", 231 / 255, "reverse", None)],
    "dahua/3.txt": [
        ("markt", "2026-03-02 07:11:40", "read", None, "unknown", None),
        ("markt", "2026-03-02 07:11:40", "read", None, "unknown", None),
        ("markt", "2026-03-02 07:11:43", "unread", None, "unknown", None),
    ],
    "dahua/4.json": [("markt", "2026-03-02 07:13:20", "read", None, "unknown", None)],
    "dahua/5.txt": [("markt", "2026-03-02 07:15:00.005", "read", None, "forward", None)],
    "dahua/6.txt": [("markt", "2026-03-02 08:15:06", "no_plate", None, "reverse", None)],
    "axis-lpv/3.json": [("020000000091", "2026-03-02 07:10:02.252", "read", 0.96122, "forward", None)],
    "axis-lpv/5.xml": [("markt", "2026-03-02 07:20:12.509", "read", 0.9123, "unknown", None)],
    "axis-lpv/6.json": [("020000000094", "2026-03-02 07:21:34.057", "read", None, "unknown", None)],
    "axis-lpv/7.xml": [("markt", "2026-03-02 07:30:00", "read", 0.91, "unknown", None)],
    "openalpr-rekor/1.json": [
        ("leiestad-1", "2026-03-02 07:10:06", "read", 0.882015, "unknown", None),
        ("leiestad-1", "2026-03-02 07:10:03", "read", 0.783001, "unknown", None),
    ],
    "openalpr-rekor/2.json": [
        ("leiestad-gentsestraat-1414799001", "2026-03-02 07:11:04.789", "read", 0.914203, "unknown", None)
    ],
    "openalpr-rekor/4.json": [("2", "2026-03-02 07:11:44", "read", 0.6175, "unknown", None)],
    "plate-recognizer/1.json": [("camera-1", "2025-08-11 16:42:58.740143", "read", 0.902, "unknown", None)],
    "plate-recognizer/2.json": [
        ("cam-kuurne", "2026-03-02 07:10:06.748393", "read", 0.918, "unknown", None),
        ("cam-kuurne", "2026-03-02 07:10:06.748393", "read", 0.88, "unknown", None),
    ],
    "plate-recognizer/3.json": [
        ("cam-kuurne", "2026-03-02 07:11:06", "read", 0.93, "unknown", None),
        ("cam-kuurne", "2026-03-02 07:11:06", "no_plate", None, "unknown", None),
    ],
}


def test_every_passage_is_checked_by_hand() -> None:
    assert set(EXPECTED) == {file for file, row in ROWS.items() if row["outcome"] != "ignored"}


@pytest.mark.parametrize("file", EXPECTED)
def test_values(reader: Reader, file: str) -> None:
    found = [one for one in made_of(reader, file) if isinstance(one, Passage)]
    assert [
        (one.camera, one.time, one.read_status, pytest.approx(one.confidence), one.direction, one.speed)
        for one in found
    ] == [
        (camera, datetime.fromisoformat(time).replace(tzinfo=UTC), *rest) for camera, time, *rest in EXPECTED[file]
    ]
    assert len({one.identity for one in found}) == len(found)


def test_three_reports_of_a_car_are_one_passage(reader: Reader) -> None:
    found = [made_of(reader, f"axis-lpv/{number}.json")[0] for number in (1, 2, 3)]
    assert [type(one) for one in found] == [Ignored, Ignored, Passage]


def test_a_first_report_can_be_the_passage(reader: Reader) -> None:
    (found,) = made_of(reader, "axis-lpv/4.json", {"count": "new"})
    assert isinstance(found, Passage)
    assert (found.camera, found.time) == ("020000000092", datetime(2026, 10, 25, 0, 30, tzinfo=UTC))


def test_a_clock_on_local_time(reader: Reader) -> None:
    (found,) = made_of(reader, "dahua/6.txt", {"clock": "local"})
    assert isinstance(found, Passage)
    assert found.time == datetime(2026, 3, 2, 7, 15, 6, tzinfo=UTC)


def test_a_plate_of_several_vendors_is_one_token(reader: Reader) -> None:
    found = [
        made_of(reader, file)[0]
        for file in ("dahua/1.txt", "axis-lpv/3.json", "openalpr-rekor/1.json", "plate-recognizer/2.json")
    ]
    assert len({one.token for one in found if isinstance(one, Passage)}) == 1
