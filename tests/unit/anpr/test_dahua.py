"""What Dahua sends besides its samples."""

import json
from datetime import UTC, datetime

import pytest
from vendors import BRUSSELS, CAMERAS, EVENT, MORNING, NOON, PLATE, one, read, refused, without

from anpr.keys import KeyStore
from anpr.plate import Reader, token
from broker.model import Ignored, Message


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> KeyStore:
    return KeyStore(tmp_path_factory.mktemp("keys") / "k", "gent", BRUSSELS)


@pytest.fixture(scope="module")
def reader(keys) -> Reader:
    return Reader(CAMERAS, keys)


@pytest.mark.parametrize(
    "payload",
    [
        {"Code": "TrafficJunction", "action": "Pulse", "index": 0, "data": without(EVENT, "Code")},
        {
            "method": "client.notifyEventStream",
            "params": {"SID": 513, "eventList": [{"Code": "x", "Data": EVENT}]},
        },
        {"Events": [EVENT]},
        [EVENT],
        without(EVENT, "Code"),
        {"UTC": 1772435406, "Plate": {"Text": PLATE}},
        {"UTC": 1772435406, "PlateNumber": PLATE},
        {"UTC": 1772435406, "PlateText": PLATE},
        {"UTC": 1772435406, "Object": {"Text": "Unknown"}, "TrafficCar": {"PlateNumber": PLATE}},
        {"UTC": 1772435406, "Object": {"ObjectType": "Vehicle", "Text": "2TST000"}, "PlateNumber": PLATE},
        {"TrafficCar": {"UTC": 1772435406, "PlateNumber": PLATE}, "UTCMS": "-"},
        "Code=TrafficJunction;action=Pulse;index=0;data=" + json.dumps(EVENT, indent=3) + "\r\n\r\nHeartbeat\r\n",
        f"TrafficCar.PlateNumber={PLATE}\r\nUTC=1772435406\r\n",
    ],
)
def test_dahua_wraps_an_event_in_many_ways(reader, keys, payload):
    if isinstance(payload, dict) and "params" in payload:
        payload["params"]["eventList"][0]["Code"] = "TrafficJunction"
    found = one(reader, "dahua", payload)
    assert (found.read_status, found.time) == ("read", MORNING)
    assert found.token == token(PLATE, keys.key("token", NOON))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (PLATE, "read"),
        ("1QVΧΟ00", "read"),
        ("unlicensed", "no_plate"),
        ("No Plate", "no_plate"),
        ("Unknown", "unread"),
        ("--", "unread"),
        ("", "unread"),
        (None, "unread"),
    ],
)
def test_dahua_sentinels(reader, text, found):
    both = EVENT | {"Object": {"ObjectType": "Plate", "Text": text}, "TrafficCar": {"PlateNumber": text}}
    assert one(reader, "dahua", both).read_status == found


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"Code": "CrossLineDetection"}, "not_anpr"),
        ({"Code": "TrafficFlowStat"}, "not_anpr"),
        ({"Code": "TrafficParkingSpaceNoParking"}, "not_anpr"),
        ({"Action": "Stop"}, "stop"),
        ({"IndexInGroup": 2}, "another picture"),
    ],
)
def test_dahua_events_that_are_no_passage(reader, changed, reason):
    assert read(reader, "dahua", EVENT | changed) == [Ignored(reason)]


def test_dahua_event_without_data(reader):
    assert read(reader, "dahua", "Code=TrafficJunction;action=Pulse;index=0") == [Ignored("no data")]


@pytest.mark.parametrize("head", ["", "Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n"])
def test_dahua_parts_of_a_stream_as_a_bridge_hands_them_on(reader, head):
    assert read(reader, "dahua", head.format(9) + "Heartbeat\r\n") == [Ignored("heartbeat")]
    lines = f"Events[0].UTC=1772435406\r\nEvents[0].PlateNumber={PLATE}\r\n"
    assert one(reader, "dahua", head.format(len(lines)) + lines).time == MORNING
    event = f"Code=TrafficJunction;action=Pulse;index=0;data={json.dumps(EVENT)}"
    assert one(reader, "dahua", head.format(len(event)) + event).time == MORNING


def test_dahua_events_one_behind_the_other(reader):
    block = "Code=TrafficJunction;action=Pulse;index=0;data={}\r\n"
    events = [json.dumps(EVENT | {"GroupID": group}, indent=1) for group in (1, 2)]
    found = read(reader, "dahua", "".join(block.format(event).replace("{}", event) for event in events))
    assert len({passage.identity for passage in found}) == 2


def test_dahua_data_that_is_no_object(reader):
    refused(reader, "dahua", f'Code=TrafficJunction;action=Pulse;index=0;data=[{{}},{{"a": "{PLATE}"}}]')


def test_dahua_both_forms_of_an_event_are_one_passage(reader):
    lines = f"Events[0].GroupID=9\nEvents[0].UTC=1772435406\nEvents[0].UTCMS=250\nEvents[0].Object.Text={PLATE}"
    document = {"GroupID": 9, "UTC": 1772435406, "UTCMS": 250, "Object": {"Text": PLATE}}
    assert one(reader, "dahua", lines).identity == one(reader, "dahua", document).identity


@pytest.mark.parametrize(
    ("sent", "found"), [(0, None), (-1, None), (100, 1.0), (51, 0.51), (255, 1.0), (256, None), ("x", None)]
)
def test_dahua_confidence(reader, sent, found):
    assert one(reader, "dahua", EVENT | {"Object": {"Text": PLATE, "Confidence": sent}}).confidence == found


@pytest.mark.parametrize(
    ("changed", "direction", "vehicle_class"),
    [
        ({"JunctionDirection": "Obverse", "Vehicle": {"Category": "Non-Motor"}}, "forward", "fiets"),
        ({"JunctionDirection": "Reverse", "NonMotor": {"Category": "Passerby"}}, "reverse", "voetganger"),
        ({"JunctionDirection": "Obverse", "TrafficCar": {"DrivingDirection": []}}, "forward", "unknown"),
        ({"TrafficCar": {"DrivingDirection": ["Leave", "A", "B"]}}, "reverse", "unknown"),
        ({"Vehicle": {"Category": "LargeBus"}}, "unknown", "unknown"),
        ({"TrafficCar": {"VehicleType": "Van"}}, "unknown", "auto"),
    ],
)
def test_dahua_direction_and_class(reader, changed, direction, vehicle_class):
    found = one(reader, "dahua", EVENT | changed)
    assert (found.direction, found.vehicle_class) == (direction, vehicle_class)


def test_dahua_without_time(reader):
    assert one(reader, "dahua", without(EVENT, "UTC")).time == NOON


def test_dahua_true_utc_beside_a_clock_on_local_time(reader):
    found = EVENT | {"UTC": 1772439006, "RealUTC": 1772435406}
    assert one(reader, "dahua", found, clock="local").time == MORNING
    assert one(reader, "dahua", without(found, "RealUTC"), clock="local").time == MORNING
    winter = one(reader, "dahua", EVENT | {"UTC": 1764403506, "UTCMS": 250}, clock="local").time
    assert winter == datetime(2025, 11, 29, 7, 5, 6, 250000, tzinfo=UTC)


def test_dahua_nested_too_deep_has_no_fields_and_breaks_nothing(reader, keys):
    deep = json.dumps(
        {"Code": "TrafficJunction", "Data": {"PlateNumber": PLATE, "Object": json.loads("[" * 300 + "]" * 300)}}
    )
    message = Message("dahua/a", deep.encode(), NOON)
    assert reader.accepted_by(message) == "dahua"
    assert reader.fields(message, "dahua") == {}


@pytest.mark.parametrize("kind", [{"a": 1}, [], 7])
def test_dahua_object_of_a_kind_that_is_no_text(reader, kind):
    assert one(reader, "dahua", {**EVENT, "Object": {"ObjectType": kind}}).read_status == "read"
