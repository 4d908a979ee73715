"""What Axis, OpenALPR and Plate Recognizer send besides their samples, and what holds for Dahua as well."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vendors import BRUSSELS, CAMERAS, EVENT, MORNING, NOON, PLATE, bytes_of, one, read, refused, without

from anpr.keys import KeyStore
from anpr.payload import heading
from anpr.plate import Reader
from anpr.strip import strip
from broker.model import Ignored, Message

VENDORS = ("axis", "dahua", "openalpr", "plate_recognizer")
SAMPLES = Path(__file__).parents[2] / "samples"


def sample(path: str) -> Any:
    return json.loads((SAMPLES / path).read_bytes())


LOST = sample("axis/lost.json")
GROUP = sample("openalpr/group.json")
FRAME = sample("openalpr/alprd.json")
STREAM = sample("plate_recognizer/stream.json")
BY_VEHICLE = sample("plate_recognizer/by-vehicle.json")


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> KeyStore:
    return KeyStore(tmp_path_factory.mktemp("keys") / "k", "gent", BRUSSELS)


@pytest.fixture(scope="module")
def reader(keys) -> Reader:
    return Reader(CAMERAS, keys)


# All of them


@pytest.mark.parametrize("camera", VENDORS)
def test_what_stays_of_a_message_has_no_pictures_makes_or_other_readings(camera):
    for path in (SAMPLES / camera).glob("*"):
        if ".expected." in path.name or path.stem == "cut-off":
            continue
        kept = strip(path.read_bytes(), CAMERAS[camera])
        for forbidden in (b"merk", b".jpg", b"/9j/", b"\xff\xd8", b"gezocht", b"lijst", b"rtsp"):
            assert forbidden not in kept
        assert b"candidates" not in kept


@pytest.mark.parametrize(
    ("camera", "payload"),
    [
        ("axis", LOST | {"plateUTF8": [PLATE]}),
        ("axis", LOST | {"carState": PLATE}),
        ("axis", LOST | {"capture_timestamp": "0", "datetime": PLATE}),
        ("axis", [PLATE]),
        ("axis", {"plate": PLATE}),
        ("axis", f"<a><b>{PLATE}</b></a>"),
        ("axis", f"<a>{PLATE}"),
        ("dahua", EVENT | {"UTC": PLATE}),
        ("dahua", EVENT | {"TrafficCar": {"PlateNumber": [{"a": PLATE}]}}),
        ("dahua", [PLATE]),
        ("dahua", {"Text": PLATE}),
        ("dahua", f"Text={PLATE}"),
        ("dahua", f"Plate={PLATE}\nPlate.Text={PLATE}\nPlate.Text.Code={PLATE}\nUTC=1"),
        ("dahua", f"Code={PLATE};index=0"),
        ("dahua", f"Code=TrafficJunction;action=Pulse;index=0;data={{{PLATE}}}"),
        ("dahua", PLATE),
        ("dahua", f"--b\r\n\r\n({PLATE})\r\n--b--"),
        ("openalpr", GROUP | {"best_plate_number": [PLATE]}),
        ("openalpr", GROUP | {"data_type": PLATE}),
        ("openalpr", GROUP | {"data_type": [PLATE]}),
        ("openalpr", GROUP | {"epoch_start": PLATE}),
        ("openalpr", FRAME | {"results": {"plate": PLATE}}),
        ("openalpr", FRAME | {"results": [PLATE]}),
        ("openalpr", FRAME | {"results": [{"plates": PLATE}]}),
        ("openalpr", FRAME | {"epoch_time": PLATE}),
        ("openalpr", {"results": [{"plate": PLATE}]}),
        ("openalpr", [PLATE]),
        ("plate_recognizer", [PLATE]),
        ("plate_recognizer", {"data": PLATE}),
        ("plate_recognizer", {"results": [PLATE]}),
        ("plate_recognizer", {"results": [{"plate": [PLATE]}]}),
        ("plate_recognizer", {"results": [{"plate": PLATE}], "timestamp": PLATE}),
        ("plate_recognizer", {"json": PLATE}),
        ("plate_recognizer", f"--b\r\n\r\n{PLATE}\r\n--b--"),
    ],
)
def test_no_plate_hangs_on_to_a_refusal(reader, camera, payload):
    refused(reader, camera, payload)


@pytest.mark.parametrize(
    ("camera", "payload"),
    [
        ("axis", LOST),
        ("dahua", EVENT),
        ("dahua", f"Events[0].TrafficCar.PlateNumber={PLATE}"),
    ],
)
def test_accepted_by(reader, camera, payload):
    body = bytes_of(payload)
    assert reader.accepted_by(Message("cam/zuid", body, NOON)) == camera
    assert reader.accepted_by(Message("cam/zuid", body[:-3], NOON)) == camera


@pytest.mark.parametrize("payload", [GROUP, FRAME, STREAM, BY_VEHICLE, urlencode({"json": json.dumps(STREAM)})])
def test_some_camera_accepts_what_names_a_plate(reader, payload):
    body = bytes_of(payload)
    assert reader.accepted_by(Message("cam/zuid", body, NOON))
    assert reader.accepted_by(Message("cam/zuid", body[:-3], NOON))


def test_fields_of_a_vendors_own_form(reader):
    lines = Message("cam/zuid", f"Events[0].TrafficCar.PlateNumber={PLATE}\nEvents[0].UTC=1".encode(), NOON)
    assert reader.fields(lines, "dahua") == {"TrafficCar": "object", "PlateNumber": "text", "UTC": "text"}
    assert reader.fields(lines._replace(payload=PLATE.encode()), "dahua") == {}


@pytest.mark.parametrize("camera", ["axis", "dahua", "openalpr", "plate_recognizer"])
def test_options_do_not_tell_what_they_were_given(camera):
    options = CAMERAS[camera].Options
    field = next(iter(options.model_fields))
    with pytest.raises(ValueError, match=field) as caught:
        options(**{field: PLATE})
    assert PLATE not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "forward", "found"),
    [
        (210, None, "unknown"),
        ("", 180, "unknown"),
        (None, 180, "unknown"),
        (350, 10, "forward"),
        ("100", 10, "forward"),
        (101, 10, "reverse"),
        (190.5, 10, "reverse"),
        (281, 10, "forward"),
    ],
)
def test_heading(value, forward, found):
    assert heading(value, forward) == found


@given(st.floats(0, 360), st.floats(0, 360))
def test_who_comes_back_has_the_other_direction(value, forward):
    off = abs((value - forward + 180) % 360 - 180)
    if abs(off - 90) > 1e-6:
        assert {heading(value, forward), heading((value + 180) % 360, forward)} == {"forward", "reverse"}


# Axis


def test_axis_reports_of_one_car_and_of_others(reader):
    first, again = one(reader, "axis", LOST), one(reader, "axis", LOST | {"imageType": "vehicle"})
    other = one(reader, "axis", LOST | {"carID": "7002"})
    rebooted = one(reader, "axis", LOST | {"capture_timestamp": "1772439999000"})
    assert first.identity == again.identity
    assert len({first.identity, other.identity, rebooted.identity}) == 3


def test_axis_counts_the_first_report_if_told_so(reader):
    assert one(reader, "axis", LOST | {"carState": "NEW"}, count="new").read_status == "read"
    assert read(reader, "axis", LOST, count="new") == [Ignored("lost")]
    assert read(reader, "axis", LOST | {"carState": "updated"}) == [Ignored("update")]


@pytest.mark.parametrize(
    ("time", "found"),
    [
        ("20260302 081006000", MORNING),
        ("20260302 081006000+0100", MORNING),
        ("20260302 091006000 +0200", MORNING),
        ("20260302 071006Z", MORNING),
        ("2026-03-02T07:10:06Z", MORNING),
        ("2026-03-02 08:10:06", MORNING),
        ("", NOON),
    ],
)
def test_axis_times_without_an_epoch(reader, time, found):
    assert one(reader, "axis", without(LOST, "capture_timestamp") | {"datetime": time}).time == found


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"camera_info": None, "cameraId": "c-7"}, "c-7"),
        ({"camera_info": {"MACAddress": "02:00:00:00:0a:91"}}, "020000000A91"),
        ({"camera_info": {}, "sensorProviderID": "Leiebrug"}, "Leiebrug"),
        ({"camera_info": {}, "sensorProviderID": "defaultID_2"}, "zuid"),
        ({"camera_info": {}, "sensorProviderID": "Terminal_1"}, "zuid"),
        ({"camera_info": {}, "sensorProviderID": ""}, "zuid"),
    ],
)
def test_axis_identity(reader, changed, found):
    assert one(reader, "axis", LOST | changed).camera == found


@pytest.mark.parametrize(
    ("sent", "found"), [("0.5", 0.5), ("95.5", 0.955), ("-1", None), ("101", None), ("", None)]
)
def test_axis_confidence(reader, sent, found):
    assert one(reader, "axis", LOST | {"plateConfidence": sent}).confidence == found


def test_axis_escapes_characters_twice(reader):
    plain = one(reader, "axis", LOST | {"plateUTF8": PLATE})
    escaped = without(LOST, "plateUTF8", "plateUnicode", "plateASCII")
    written = "".join(f"\\u{ord(character):04X}" for character in PLATE)
    assert one(reader, "axis", escaped | {"plateText": written}).token == plain.token


def test_axis_takes_the_plate_of_a_list_again_and_again_as_one(reader):
    event = "<event><TS>1772436600000</TS><LPR>1QVX000</LPR><CAR_ID>{}</CAR_ID></event>"
    first = read(reader, "axis", f"<events>{event.format('')}</events>")
    second = read(reader, "axis", f"<events>{event.format('')}{event.format('5')}</events>")
    assert [passage.identity for passage in second][:1] == [passage.identity for passage in first]
    assert len({passage.identity for passage in second}) == 2


def test_axis_other_events_beside_a_passage(reader):
    other = {"topic": "axis:x", "timestamp": 1772436012600, "serial": "0200", "message": {"data": {"active": "1"}}}
    assert read(reader, "axis", other) == [Ignored("not_anpr")]
    assert len(read(reader, "axis", [other, LOST])) == 1


# OpenALPR


def test_openalpr_a_group_sent_again_is_one_passage(reader):
    again = GROUP | {"epoch_end": 1772435466999}
    assert one(reader, "openalpr", GROUP).identity == one(reader, "openalpr", again).identity


def test_openalpr_frames_without_uuid_are_told_apart(reader):
    found = read(reader, "openalpr", without(FRAME, "uuid"))
    assert len({passage.identity for passage in found}) == 2


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"vehicle": None}, "unknown"),
        ({"vehicle": {"body_type": []}}, "unknown"),
        ({"vehicle": {"body_type": ["van"]}}, "unknown"),
        ({"vehicle": {"body_type": [{"name": "motorcycle"}]}}, "fiets"),
        ({"vehicle": {"body_type": [{"name": "suv-crossover"}, {"name": "motorcycle"}]}}, "auto"),
    ],
)
def test_openalpr_class(reader, changed, found):
    assert one(reader, "openalpr", GROUP | changed).vehicle_class == found


@pytest.mark.parametrize(
    ("sent", "found"), [("be", "BE"), ("eu-nl", "NL"), ("us-mo", None), ("", None), (None, None)]
)
def test_openalpr_country(reader, sent, found):
    assert one(reader, "openalpr", GROUP | {"best_region": sent}).country == found


def test_openalpr_group_with_the_plate_as_text_or_without_any(reader):
    bare = {"data_type": "alpr_group", "epoch_start": 1772435406000}
    assert one(reader, "openalpr", bare | {"best_plate": PLATE}).read_status == "read"
    assert one(reader, "openalpr", bare).read_status == "unread"
    untyped = one(reader, "openalpr", without(GROUP, "data_type", "camera_id"))
    assert (untyped.camera, untyped.time.second) == ("zuid", 4)


# Plate Recognizer


@pytest.mark.parametrize(
    "payload",
    [
        STREAM["data"],
        {"json": json.dumps(STREAM)},
        urlencode({"json": json.dumps(STREAM)}),
        urlencode({"json": json.dumps(STREAM), "upload": "x"}),
        "--b\r\nContent-Type: image/jpeg\r\n\r\nx\r\n--b\r\nContent-Disposition: form-data; name=json\r\n\r\n"
        + json.dumps(STREAM)
        + "\r\n--b--",
    ],
)
def test_plate_recognizer_wraps_its_json_in_many_ways(reader, payload):
    found = read(reader, "plate_recognizer", payload)
    assert [passage.read_status for passage in found] == ["read", "no_plate"]


def test_plate_recognizer_field_named_json_that_is_something_else(reader):
    assert len(read(reader, "plate_recognizer", STREAM | {"json": 3})) == 2


def test_plate_recognizer_heartbeat(reader):
    assert read(reader, "plate_recognizer", {"hook": {"event": "heartbeat"}, "data": {}}) == [Ignored("heartbeat")]
    refused(reader, "plate_recognizer", {"hook": "heartbeat", "data": {}})


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"timestamp": "2026-03-02 07:10:06"}, MORNING),
        ({"timestamp": "2026-03-02T08:10:06+01:00"}, MORNING),
        ({"timestamp": None, "timestamp_local": "2026-03-02 08:10:06"}, MORNING),
        ({"timestamp": "", "timestamp_local": ""}, NOON),
    ],
)
def test_plate_recognizer_times(reader, changed, found):
    passages = read(reader, "plate_recognizer", STREAM["data"] | changed)
    assert {passage.time for passage in passages} == {found}


@pytest.mark.parametrize(
    "changed",
    [
        {"props": None},
        {"props": {"plate": None}},
        {"props": {"plate": [], "region": []}},
        {"props": {"plate": [1]}},
    ],
)
def test_plate_recognizer_saw_a_plate_and_could_not_read_it(reader, changed):
    result = BY_VEHICLE["data"]["results"][0]
    found = one(reader, "plate_recognizer", {"results": [result | {"plate": {"type": "Plate", **changed}}]})
    assert (found.read_status, found.confidence, found.country) == ("unread", None, None)


@pytest.mark.parametrize(
    ("changed", "confidence", "country"),
    [
        ({"score": 1.5, "region": None}, None, None),
        ({"score": None, "region": {"code": "gb-nir"}}, None, "GB"),
        ({"score": 0, "vehicle": None}, 0.0, "BE"),
    ],
)
def test_plate_recognizer_values(reader, changed, confidence, country):
    result = STREAM["data"]["results"][0] | changed
    found = one(reader, "plate_recognizer", STREAM["data"] | {"results": [result]})
    assert (found.confidence, found.country) == (confidence, country)
