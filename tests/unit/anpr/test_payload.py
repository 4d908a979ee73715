"""Payloads as plain values, and errors that carry none."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.fields import describe
from anpr.payload import documents, instant, kind, lane, name, number, parse_json, parse_xml, parts, text
from broker.errors import BadMessage

BRUSSELS = ZoneInfo("Europe/Brussels")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (" a ", "a"),
        ("-", None),
        ("--", None),
        ("", None),
        (None, None),
        (3, "3"),
        (0.5, "0.5"),
        (True, None),
        ([], None),
    ],
)
def test_text(value, found):
    assert text(value) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [("38", 38.0), (0.7, 0.7), ("-", None), ("fast", None), ("nan", None), ("inf", None), ({}, None)],
)
def test_number(value, found):
    assert number(value) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [("1", "1"), (2, "2"), ("1000", None), ("1ABC000", None), ("٣", None), (None, None), (-1, None)],
)
def test_lane(value, found):
    assert lane(value) == found


def test_a_name_is_printable_and_bounded():
    assert name(" Gent\x00\n Zuid ") == "Gent Zuid"
    assert name("x" * 300) == "x" * 100
    assert name(None) == ""


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("2026-03-02T15:10:06+08:00", datetime(2026, 3, 2, 7, 10, 6, tzinfo=UTC)),
        ("2026-03-02T15:10:06+8:00", datetime(2026, 3, 2, 7, 10, 6, tzinfo=UTC)),
        ("2026-03-02T07:10:06Z", datetime(2026, 3, 2, 7, 10, 6, tzinfo=UTC)),
        ("2026-03-02 08:10:06.509", datetime(2026, 3, 2, 7, 10, 6, 509000, tzinfo=UTC)),
        ("2026-10-25 02:30:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("2026-03-29 02:30:00", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
        (1772435406, datetime(2026, 3, 2, 7, 10, 6, tzinfo=UTC)),
        ("1772435406509", datetime(2026, 3, 2, 7, 10, 6, 509000, tzinfo=UTC)),
        ("1772435406899288", datetime(2026, 3, 2, 7, 10, 6, 899288, tzinfo=UTC)),
        (1772435406.748393, datetime(2026, 3, 2, 7, 10, 6, 748393, tzinfo=UTC)),
        ("1772435406.", datetime(2026, 3, 2, 7, 10, 6, tzinfo=UTC)),
        ("1772435406509.25", datetime(2026, 3, 2, 7, 10, 6, 509250, tzinfo=UTC)),
        ("-", None),
        (None, None),
    ],
)
def test_instant(value, found):
    assert instant("time", value, BRUSSELS) == found


def test_a_local_clock_with_a_foreign_offset():
    found = instant("time", "2026-03-02T08:10:06+08:00", BRUSSELS, local_clock=True)
    assert found == datetime(2026, 3, 2, 7, 10, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    "value", ["1ABC000", "123", "0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00", "2026-02-30"]
)
def test_what_is_no_time_is_refused_without_its_value(value):
    with pytest.raises(BadMessage) as caught:
        instant("dateTime", value, BRUSSELS)
    assert (str(caught.value), caught.value.reason) == ("dateTime: a text that is no time", "time")
    assert caught.value.__context__ is None


@pytest.mark.parametrize("payload", [b"", b"{", b'{"plate": "1ABC000"', b"\xff\xfe", b"[" * 5000])
def test_broken_json(payload):
    with pytest.raises(BadMessage) as caught:
        parse_json(payload)
    assert caught.value.__context__ is None
    assert "1ABC000" not in str(caught.value)


BOMB = b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><x>&b;</x>'
EXTERNAL = b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"1ABC000",
        b"<a><1ABC000></a>",
        b"<a>&e;</a>",
        b'<?xml version="1.0" encoding="klingon"?><a/>',
        b"<a>" * 5000,
        b"<a>" + b"x" * (11 << 20) + b"</a>",
        BOMB,
        EXTERNAL,
        b"<!DOCTYPE a><a/>",
        b'<!DOCTYPE a SYSTEM "http://192.0.2.1/a.dtd"><a/>',
    ],
)
def test_broken_or_hostile_xml(payload):
    with pytest.raises(BadMessage) as caught:
        parse_xml(payload)
    assert caught.value.__context__ is None
    assert "1ABC000" not in str(caught.value)


@pytest.mark.parametrize(
    ("payload", "texts"),
    [
        (b"<a>1</a>", ["1"]),
        (b"<a>1</a><a>2</a>\r\n<a >3</a >", ["1", "2", "3"]),
        (b'<?xml version="1.0"?><a>1</a><?xml version="1.0"?><a>2</a>', ["1", "2"]),
        (b"<a>1</a><a>2", ["1"]),
    ],
)
def test_documents_one_behind_the_other(payload, texts):
    assert [root.text for root in documents(payload)] == texts


@pytest.mark.parametrize(
    "payload", [b"", b"1ABC000", b"<a>1ABC000", b"<a>1</a><a>&b;</a>", BOMB + BOMB, EXTERNAL * 2]
)
def test_no_document(payload):
    with pytest.raises(BadMessage) as caught:
        documents(payload)
    assert caught.value.__context__ is None
    assert "1ABC000" not in str(caught.value)


def test_xml_of_other_encodings():
    assert parse_xml('<?xml version="1.0" encoding="utf-16"?><a>é</a>'.encode("utf-16")).text == "é"
    assert parse_xml(b'\n <?xml version="1.0" encoding="iso-8859-1"?><a>\xe9</a>').text == "é"


def test_parts_of_both_line_ends():
    wire = b"\r\n--B\r\nContent-Type: a/b\r\n\r\none\r\n\r\nmore\r\n--B\r\n\r\ntwo\r\n--B--\r\n"
    assert list(parts(wire)) == [b"one\r\n\r\nmore\r\n", b"two\r\n"]
    assert list(parts(wire.replace(b"\r", b""))) == [b"one\n\nmore\n", b"two\n"]


def test_kinds():
    assert [kind(value) for value in ({}, [], "", True, 1, 1.5, None)] == [
        "object",
        "array",
        "text",
        "boolean",
        "number",
        "number",
        "null",
    ]


NAMES = ("plate", "time", "speed", "ANPR", "licensePlate", "Vehicle Brand")


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b'{"plate": "1ABC000", "speed": 3, "owner": "x"}', {"plate": "text", "speed": "number"}),
        (b'[{"plate": null}, {"plate": "1ABC000"}]', {"plate": "null"}),
        (b'{"plate": {"time": []}}', {"plate": "object", "time": "array"}),
        (
            b"<a xmlns='urn:x'><ANPR><licensePlate>1ABC000</licensePlate></ANPR></a>",
            {"ANPR": "text", "licensePlate": "text"},
        ),
        (b"plate_0=1ABC000\nowner_0=x\ntime=1", {"plate": "text", "time": "text"}),
        (b"--B\r\n\r\n<ANPR/>\r\n--B\r\n\r\n\xff\xd8\r\n--B--", {"ANPR": "text"}),
        (b'{"plate": "1ABC', {}),
        (b"<a><plate>", {}),
        (b"", {}),
        (b"[" * 300 + b"]" * 300, {}),
    ],
)
def test_fields_are_names_and_types(payload, found):
    assert describe(payload, NAMES) == found


@given(st.binary(max_size=200), st.sampled_from([b"", b"{", b"<a>", b"--B\n\n<", b'{"plate":', b"plate_0="]))
def test_fields_of_anything(tail, head):
    assert set(describe(head + tail, NAMES)) <= set(NAMES)


def test_pictures_in_documents_are_left_out():
    picture = b"<picture>" + b"/9j/" * (3 << 20) + b"</picture>"
    (root,) = documents(b"<a><plate>1ABC000</plate>" + picture + b"</a>")
    assert [child.text for child in root] == ["1ABC000", None]
