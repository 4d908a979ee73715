"""Every camera through the Reader: samples, hostile bytes, and no plate in anything that comes out."""

import json
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anpr.keys import KeyStore
from anpr.plate import Reader
from broker.errors import BadMessage
from broker.model import Ignored, Message, Passage, PlateRead, Skipped, Source
from broker.modules import load

CAMERAS = load("anpr.cameras")
BRUSSELS = ZoneInfo("Europe/Brussels")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PLATE = "1QVX000"
SAMPLES = Path(__file__).parents[2] / "samples"
FOLDERS = {name: folder if (folder := SAMPLES / "cameras" / name).is_dir() else SAMPLES / name for name in CAMERAS}
CASES = [
    path for name in sorted(CAMERAS) for path in sorted(FOLDERS[name].glob("*")) if ".expected." not in path.name
]
MILESIGHT = (SAMPLES / "milesight" / "full.json").read_bytes()
HIKVISION = (SAMPLES / "hikvision" / "full.xml").read_bytes()


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> KeyStore:
    return KeyStore(tmp_path_factory.mktemp("keys") / "k", "gent", BRUSSELS)


@pytest.fixture(scope="module")
def reader(keys) -> Reader:
    return Reader(CAMERAS, keys)


def source(camera: str, **more) -> Source:
    return Source("cameras", "cam/+", camera=camera, timezone=BRUSSELS, **more)


def message(payload: bytes, received: datetime = NOON, **more) -> Message:
    return Message("cam/zuid", payload, received, **more)


def milesight(**changed) -> bytes:
    return json.dumps(json.loads(MILESIGHT) | changed).encode()


def hikvision(old: str, new: str) -> bytes:
    assert old.encode() in HIKVISION
    return HIKVISION.replace(old.encode(), new.encode())


def one(reader: Reader, camera: str, payload: bytes, received: datetime = NOON, **more) -> Passage:
    (passage,) = reader.read(message(payload, received), source(camera, **more), {})
    assert isinstance(passage, Passage)
    return passage


def leaks(error: BaseException, plate: str = PLATE) -> bool:
    """Whether a plate hangs on to an error: its texts, its causes and contexts, their attributes."""
    todo: list[BaseException | None] = [error]
    while todo:
        found = todo.pop()
        if found is None:
            continue
        if plate in repr(found) + str(found) + repr(vars(found)) + repr(getattr(found, "doc", "")):
            return True
        todo += [found.__cause__, found.__context__]
    return plate in "".join(traceback.format_exception_only(error))


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_samples(reader, path):
    case = json.loads((path.parent / f"{path.stem}.expected.json").read_text())
    options = case["source"] | {"timezone": ZoneInfo(case["source"]["timezone"])}
    given_source = Source("cameras", camera=path.parent.name, **options)
    received = datetime.fromisoformat(case.get("received", "2026-03-02T12:00:00Z"))
    arrived = Message(case["topic"], path.read_bytes(), received, content_type=case.get("content_type"))
    expected = case["expected"]
    if isinstance(expected, dict) and "refused" in expected:
        with pytest.raises(BadMessage) as caught:
            reader.read(arrived, given_source, {})
        assert caught.value.reason == expected["refused"]
        return
    found = reader.read(arrived, given_source, {})
    if isinstance(expected, dict):
        assert found == [Ignored(expected["ignored"])]
        return
    passages = [shown(passage) for passage in found if isinstance(passage, Passage)]
    assert [
        {key: passage[key] for key in wanted} for passage, wanted in zip(passages, expected, strict=True)
    ] == expected
    assert {skipped.name: skipped.reason for skipped in found if isinstance(skipped, Skipped)} == case.get(
        "skipped", {}
    )


def shown(passage: Passage) -> dict:
    return {
        "thing": passage.camera,
        "phenomenonTime": passage.time.isoformat().replace("+00:00", "Z").replace(".250000", ".25"),
        "readStatus": passage.read_status,
        "confidence": passage.confidence,
        "direction": passage.direction,
        "vehicleClass": passage.vehicle_class,
        "country": passage.country,
        "lane": passage.lane,
        "speed": passage.speed,
    }


# What comes out


def test_no_plate_read_gets_past_the_reader(reader):
    for path in CASES:
        try:
            found = reader.read(message(path.read_bytes()), source(path.parent.name), {})
        except BadMessage:
            continue
        assert not any(isinstance(item, PlateRead) for item in found)


@pytest.mark.parametrize(
    ("camera", "payload"),
    [("milesight", milesight(plate=PLATE)), ("hikvision", hikvision("1EFG000", PLATE))],
)
def test_a_passage_holds_no_plate(reader, camera, payload):
    assert PLATE not in repr(one(reader, camera, payload))


@pytest.mark.parametrize(
    ("camera", "payload"),
    [
        ("milesight", milesight(plate=PLATE)[:-1]),
        ("milesight", milesight(plate=[PLATE])),
        ("milesight", milesight(plate={PLATE: PLATE})),
        ("milesight", milesight(plate=PLATE, time_msec=PLATE)),
        ("milesight", milesight(plate=PLATE, time_msec="2027-01-01 00:00:00")),
        ("milesight", json.dumps([PLATE]).encode()),
        ("milesight", json.dumps({"plates": PLATE}).encode()),
        ("milesight", f"plat_0={PLATE}".encode()),
        ("milesight", PLATE.encode("utf-16")),
        ("hikvision", hikvision("1EFG000", PLATE)[:-3]),
        ("hikvision", hikvision("2026-03-02T08:22:31+01:00", PLATE)),
        ("hikvision", hikvision("1EFG000</licensePlate>", f"{PLATE}</licencePlate>")),
        ("hikvision", hikvision("EventNotificationAlert", PLATE.replace("1", "A"))),
        ("hikvision", f"<a>&{PLATE.replace('1', 'A')};</a>".encode()),
        ("hikvision", f"--{PLATE}\r\n\r\n{PLATE}\r\n--{PLATE}--".encode()),
        ("hikvision", milesight(plate=PLATE)),
    ],
)
def test_no_plate_hangs_on_to_a_refusal(reader, camera, payload):
    with pytest.raises(BadMessage) as caught:
        reader.read(message(payload), source(camera), {})
    assert not leaks(caught.value)
    assert caught.value.__context__ is None


def test_no_plate_hangs_on_to_what_a_decoder_alone_raises():
    for payload in (milesight(plate=PLATE)[:-1], milesight(plate=[PLATE]), f"<a>&{PLATE[1:]};</a>".encode()):
        for camera in CAMERAS.values():
            with pytest.raises(BadMessage) as caught:
                camera.decode(message(payload), source("any"), {})
            assert not leaks(caught.value)
            assert caught.value.__context__ is None


def test_a_defect_of_a_decoder_is_a_refusal_without_its_text(keys):
    broken = ModuleType("broken")
    broken.MARKS = ()

    def decode(message: Message, source: Source, state) -> list:
        raise ValueError(message.payload)

    broken.decode = decode
    reader = Reader({"broken": broken}, keys)
    with pytest.raises(BadMessage) as caught:
        reader.read(message(PLATE.encode()), source("broken"), {})
    assert (str(caught.value), caught.value.reason) == ("the decoder failed: ValueError", "decoder")
    assert not leaks(caught.value)
    assert reader.accepted_by(message(PLATE.encode())) is None


HEADS = [
    b"",
    b"{",
    b'{"plate":',
    b'[{"plate":"1QVX000",',
    b"plate_0=",
    b"--B\r\n\r\n<",
    b"<EventNotificationAlert>",
]


@pytest.mark.parametrize("camera", sorted(CAMERAS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=st.sampled_from(HEADS), tail=st.binary(max_size=300))
def test_any_bytes_decode_or_are_refused(reader, camera, head, tail):
    arrived = message(head + tail)
    error, decoded = None, []
    try:
        decoded = CAMERAS[camera].decode(arrived, source(camera), {})
    except BadMessage as refusal:
        error = refusal
    assert error is None or (error.__context__ is None and not leaks(error))
    assert all(isinstance(item, (PlateRead, Ignored, Skipped)) for item in decoded)
    assert set(reader.fields(arrived, camera)) <= set(CAMERAS[camera].FIELDS)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(CAMERAS["milesight"].FIELDS), JSON))
def test_any_values_of_known_fields_decode_or_are_refused(fields):
    try:
        (read,) = CAMERAS["milesight"].decode(message(json.dumps(fields).encode()), source("milesight"), {})
    except BadMessage:
        return
    assert read.confidence is None or 0 <= read.confidence <= 1
    assert read.direction in {"forward", "reverse", "unknown"}
    assert read.vehicle_class in {"auto", "vrachtwagen", "fiets", "voetganger", "unknown"}


# Tokens and identities


def test_cameras_of_all_vendors_make_one_token_of_one_plate(reader):
    tokens = {
        one(reader, "milesight", milesight(plate=" 1-qvx-000 ", region="-")).token,
        one(reader, "milesight", milesight(plate="IQVXOOO", region="BEL")).token,
        one(reader, "hikvision", hikvision("1EFG000", PLATE)).token,
    }
    assert len(tokens) == 1
    assert {len(found) for found in tokens} == {8}


def test_the_token_changes_with_the_day(reader):
    late = milesight(plate=PLATE, time_msec="2026-03-02 12:59:00")
    before = one(reader, "milesight", late).token
    assert one(reader, "milesight", late, NOON + timedelta(hours=1)).token == before
    assert one(reader, "milesight", late, NOON + timedelta(hours=24)).token != before


def test_a_redelivery_after_three_is_the_same_passage(keys):
    night = datetime(2026, 3, 4, 2, tzinfo=UTC)
    payload = milesight(time_msec="2026-03-04 02:59:58.000")
    before = one(Reader(CAMERAS, keys), "milesight", payload, night - timedelta(seconds=1))
    after = one(Reader(CAMERAS, keys), "milesight", payload, night + timedelta(seconds=90))
    assert before.identity == after.identity
    assert before.token != after.token


def test_identity_is_16_bytes_and_differs_by_camera_lane_time_and_message(reader):
    found = [
        one(reader, "milesight", payload).identity
        for payload in (
            milesight(),
            milesight(device="other"),
            milesight(detection_region="3"),
            milesight(time_msec="2026-03-02 08:41:17.251"),
            milesight(speed="46"),
        )
    ]
    assert len(set(found)) == 5
    assert {len(identity) for identity in found} == {16}


def test_the_second_upload_of_a_uuid_is_the_same_passage(reader):
    first = one(reader, "hikvision", HIKVISION)
    second = one(
        reader,
        "hikvision",
        hikvision("<confidenceLevel>91", "<hasMoreData>false</hasMoreData><confidenceLevel>92"),
    )
    other = one(reader, "hikvision", hikvision("02:00:00:00:0A:91", "02:00:00:00:0A:92"))
    assert first.identity == second.identity
    assert first.identity != other.identity


def test_an_entry_of_a_polled_list_is_the_same_passage_in_the_next_poll(reader):
    entry = "time_{0}=2026-03-02 08:50:06\nplate_{0}=1QVX000\nroi_id_{0}=1\n"
    newer = "time_0=2026-03-02 08:51:00\nplate_0=\nroi_id_0=1\n"
    (first,) = reader.read(message(entry.format(0).encode()), source("milesight"), {})
    again, new = reader.read(message((newer + entry.format(1)).encode()), source("milesight"), {})[::-1]
    assert first.identity == again.identity
    assert new.read_status == "unread"


def test_vehicles_without_time_and_id_are_told_apart(reader):
    arrived = milesight(time="", time_msec="", plate="")
    both = [one(reader, "milesight", arrived, NOON + timedelta(seconds=n)) for n in (0, 1)]
    assert both[0].identity != both[1].identity
    listed = reader.read(message(b"plate_0=1QVX000\nplate_1=1QVX000\n"), source("milesight"), {})
    assert len({passage.identity for passage in listed}) == 2


# Times, retained, sizes


def test_a_retained_or_empty_message_is_no_passage(reader):
    assert reader.read(message(MILESIGHT, retained=True), source("milesight"), {}) == [Ignored("retained")]
    assert reader.read(message(b""), source("milesight"), {}) == [Ignored("empty")]
    assert reader.read(message(b"[]"), source("milesight"), {}) == [Ignored("empty")]


@pytest.mark.parametrize(
    ("time", "limits"),
    [("2026-03-02 14:00:01", {}), ("1989-12-31 12:00:00", {}), ("2026-03-02 12:59:00", {"max_age": 30.0})],
)
def test_implausible_times_are_refused(reader, time, limits):
    with pytest.raises(BadMessage, match="the time lies") as caught:
        one(reader, "milesight", milesight(time_msec=time), **limits)
    assert caught.value.reason == "time"


def test_a_passage_within_the_limits_is_taken(reader):
    assert one(reader, "milesight", milesight(time_msec="2026-03-02 12:59:45"), max_age=30.0)
    assert one(reader, "milesight", milesight(time_msec="2026-03-02 13:59:59"))


def test_a_picture_of_ten_megabytes(reader):
    assert one(reader, "milesight", milesight(plate_image="A" * (10 << 20))).read_status == "read"
    wire = (
        b"--B\r\n\r\n"
        + HIKVISION
        + b"\r\n--B\r\nContent-Type: image/jpeg\r\n\r\n"
        + bytes(10 << 20)
        + b"\r\n--B--"
    )
    assert one(reader, "hikvision", wire).read_status == "read"


# Vendors


@pytest.mark.parametrize(
    ("sent", "found"),
    [("-", None), ("0.70", 0.7), ("1", 1.0), ("97", 0.97), ("101", None), ("-1", None), ("high", None)],
)
def test_milesight_confidence(reader, sent, found):
    assert one(reader, "milesight", milesight(confidence=sent)).confidence == found


@pytest.mark.parametrize(("sent", "found"), [("0", 0.0), ("-5", None), ("38.5", 38.5), ("4000", None)])
def test_milesight_speed(reader, sent, found):
    assert one(reader, "milesight", milesight(speed=sent)).speed == found


def test_milesight_sends_several_in_a_json_list(reader):
    payload = b"[" + milesight() + b"," + milesight(plate=None) + b"]"
    found = reader.read(message(payload), source("milesight"), {})
    assert [passage.read_status for passage in found] == ["read", "unread"]


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ("13", "BE"),
        ("6", "NL"),
        ("2", "FR"),
        ("3", "DE"),
        ("22", "LU"),
        ("NLD", "NL"),
        ("999", None),
        ("54321", None),
    ],
)
def test_hikvision_countries(reader, sent, found):
    payload = hikvision("<country>13<", f"<country>{sent}<").replace(b"<CRIndex>13", b"<CRIndex>0")
    assert one(reader, "hikvision", payload).country == found


def test_hikvision_country_from_its_other_field(reader):
    assert one(reader, "hikvision", hikvision("<country>13<", "<country>0<")).country == "BE"


@pytest.mark.parametrize(
    ("mac", "name", "channel", "thing", "found"),
    [
        ("02:00:00:00:0A:91", "Zuid", "2", None, "02:00:00:00:0a:91"),
        ("00:00:00:00:00:00", "Zuid", "2", None, "Zuid"),
        ("", "Camera 01", "2", None, "2"),
        ("", "", "1", None, "zuid"),
        ("", "", "", None, "zuid"),
        ("", "", "1", "nvr-{device}", "nvr-1"),
    ],
)
def test_hikvision_identity(reader, mac, name, channel, thing, found):
    payload = hikvision("<channelID>1<", f"<channelName>{name}</channelName><channelID>{channel}<")
    payload = payload.replace(b"02:00:00:00:0A:91", mac.encode())
    assert one(reader, "hikvision", payload, thing=thing).camera == found


@pytest.mark.parametrize(("sent", "found"), [("101", None), ("-1", None), ("", None), ("100", 1.0)])
def test_hikvision_confidence(reader, sent, found):
    payload = hikvision("<confidenceLevel>91", f"<confidenceLevel>{sent}")
    assert one(reader, "hikvision", payload).confidence == found


def test_of_repeated_elements_the_first_counts(reader):
    payload = hikvision("<line>2</line>", "<line>2</line><line>3</line><ANPR><line>4</line></ANPR>")
    assert one(reader, "hikvision", payload).lane == "2"


def test_options_of_hikvision():
    options = CAMERAS["hikvision"].Options
    assert options().clock == "offset"
    with pytest.raises(ValueError, match="clock") as caught:
        options(clock=PLATE)
    assert PLATE not in str(caught.value)


# Which camera a message could come from


@pytest.mark.parametrize(
    ("payload", "camera"),
    [
        (MILESIGHT, "milesight"),
        (MILESIGHT[:200], "milesight"),
        (b"plate_0=1QVX000", "milesight"),
        (json.dumps({"plate": "1QVX000"}).replace("plate", "pl\\u0061te").encode(), "milesight"),
        (HIKVISION, "hikvision"),
        (HIKVISION[:-20], "hikvision"),
        (HIKVISION.decode().replace('encoding="UTF-8"', 'encoding="UTF-16"').encode("utf-16"), "hikvision"),
        (MILESIGHT[:200].decode().encode("utf-16"), "milesight"),
        (HIKVISION[:-20].decode().encode("utf-16-be"), "hikvision"),
        (b'{"temperature": 3}', None),
        (b"<html/>", None),
        (b"21.5", None),
        (b"", None),
    ],
)
def test_accepted_by(reader, payload, camera):
    assert reader.accepted_by(message(payload)) == camera
