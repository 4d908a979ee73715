"""What samples do not show of the formats of devices: places, signals, inventories, identities, options."""

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from ingest import text
from ingest.formats import csv, meshlium, people_counter, plain, sensor_community, tasmota, telraam, zigbee2mqtt

RECEIVED = datetime(2026, 3, 2, 12, tzinfo=UTC)


def message(topic: str, payload: Any, **more: Any) -> Message:
    data = payload if isinstance(payload, bytes) else payload.encode() if isinstance(payload, str) else None
    return Message(topic, json.dumps(payload).encode() if data is None else data, RECEIVED, **more)


def source(topic: str, **more: Any) -> Source:
    return Source("s", topic, timezone=ZoneInfo("Europe/Brussels"), **more)


def named(*types: str) -> dict[str, Any]:
    return {"sensordatavalues": [{"value_type": name, "value": "1.5"} for name in types]}


class TestSensorCommunity:
    def test_the_same_device_by_both_ways(self) -> None:
        body = {"esp8266id": "1000001", **named("SDS_P1")}
        told = message("in/x", body, identity="esp8266-1000001")
        assert sensor_community.decode(told, source("in/x"), {})[0][0] == "esp8266-1000001"

    def test_a_wildcard_names_the_device(self) -> None:
        found = sensor_community.decode(message("lucht/dak", named("P1")), source("lucht/+"), {})
        assert found[0][0] == ""

    def test_place_and_signal(self) -> None:
        rows = [("GPS_lat", "50.83"), ("GPS_lon", "3.26"), ("signal", "-70 dBm")]
        body = {"esp8266id": 7, "sensordatavalues": [{"value_type": kind, "value": value} for kind, value in rows]}
        found = sensor_community.decode(message("x", body), source("x"), {})
        assert found == [
            Signal("7", {"rssi": -70.0}),
            Place("7", {"type": "Point", "coordinates": [3.26, 50.83]}, None),
        ]

    def test_particles_that_were_counted_have_no_mass(self) -> None:
        body = {"esp8266id": 7, **named("durP1", "ratioP1", "P1", "temperature")}
        found = sensor_community.decode(message("x", body), source("x"), {})
        assert [item[0] for item in found if isinstance(item, Skipped)] == ["pm10"]
        assert [item.name for item in found if isinstance(item, Reading)] == ["temperature"]
        row = b"sensor_id;sensor_type;lat;lon;timestamp;P1;durP1\n1;PPD42NS;;;2026-03-01T00:00:00;62.0;3120\n"
        (item,) = sensor_community.decode(message("x", row), source("x"), {})
        assert item == Skipped("pm10", "no mass")

    def test_a_retained_age_is_no_time(self) -> None:
        body = {"esp8266id": 7, "age": "20", **named("SDS_P1")}
        (reading,) = sensor_community.decode(message("x", body, retained=True), source("x"), {})
        assert isinstance(reading, Reading)
        assert reading.time is None


class TestZigbee2mqtt:
    DEVICES = (
        {"friendly_name": "Hal/deur", "ieee_address": "0x02", "definition": {"exposes": [{"features": [None]}]}},
        {"friendly_name": "lamp", "ieee_address": "0x03", "definition": {"exposes": [{"type": "light"}]}},
        {"friendly_name": "nieuw", "ieee_address": "0x04", "definition": None},
    )

    def inventory(self) -> dict[str, Any]:
        devices = message("zigbee2mqtt/bridge/devices", list(self.DEVICES), retained=True)
        (item,) = zigbee2mqtt.decode(devices, source("zigbee2mqtt/#"), {})
        assert isinstance(item, Inventory)
        return {item.key: json.loads(json.dumps(item.value))}

    def test_a_renamed_device_stays_itself(self) -> None:
        state = self.inventory()
        found = zigbee2mqtt.decode(
            message("zigbee2mqtt/Hal/deur", {"contact": True}), source("zigbee2mqtt/#"), state
        )
        assert found == [Reading("0x02", "open", False, None)]

    def test_a_light_is_known_by_its_definition(self) -> None:
        found = zigbee2mqtt.decode(
            message("zigbee2mqtt/lamp", {"state": "ON"}), source("zigbee2mqtt/#"), self.inventory()
        )
        assert found == [Reading("0x03", "lightOn", True, None)]

    @pytest.mark.parametrize("topic", ["huis/zigbee/Hal/deur", "zigbee/Hal/deur"])
    def test_another_base_topic(self, topic: str) -> None:
        body = {"temperature": 20.5, "linkquality": 12}
        found = zigbee2mqtt.decode(message(topic, body), source(topic.removesuffix("Hal/deur") + "#"), {})
        assert found == [
            Reading("Hal/deur", "temperature", 20.5, None, "Cel"),
            Signal("Hal/deur", {"linkquality": 12}),
        ]

    def test_raw_illuminance_beside_lux(self) -> None:
        body = {"illuminance": 17482, "illuminance_lux": 56, "linkquality": 12}
        found = zigbee2mqtt.decode(message("zigbee2mqtt/a", body), source("zigbee2mqtt/#"), {})
        assert found[0] == Reading("a", "illuminance", 56, None, "lx")

    def test_a_name_that_ends_like_a_command(self) -> None:
        state = {"devices": {"hall/set": {"id": "0x05", "units": {}, "light": False}}}
        found = zigbee2mqtt.decode(
            message("zigbee2mqtt/hall/set", {"temperature": 20}), source("zigbee2mqtt/#"), state
        )
        assert found[0][0] == "0x05"

    def test_other_json_is_refused_on_other_topics(self) -> None:
        with pytest.raises(BadMessage):
            zigbee2mqtt.decode(message("a/b", {"temperature": 20}), source("a/#"), {})


class TestTasmota:
    @pytest.mark.parametrize(
        ("topic", "thing"),
        [
            ("tele/serre/SENSOR", "serre"),
            ("tele/stad/serre/SENSOR", "stad/serre"),
            ("serre/tele/SENSOR", "serre"),
            ("tasmota/serre/SENSOR", "serre"),
        ],
    )
    def test_the_device_in_the_topic(self, topic: str, thing: str) -> None:
        found = tasmota.decode(message(topic, {"BH1750": {"Illuminance": 3}}), source(topic), {})
        assert found[0][0] == thing

    def test_old_status_times_have_dots(self) -> None:
        body = {"StatusSNS": {"Time": "2026.03.02 12:55:00", "BH1750": {"Illuminance": 3}}}
        (reading,) = tasmota.decode(message("stat/a/STATUS8", body), source("stat/+/+"), {})
        assert isinstance(reading, Reading)
        assert reading.time == datetime(2026, 3, 2, 11, 55, tzinfo=UTC)

    def test_a_commands_answer_has_nothing(self) -> None:
        found = tasmota.decode(message("stat/a/RESULT", {"TelePeriod": "x"}), source("stat/+/+"), {})
        assert found == [Ignored("no value")]

    def test_analog_inputs_have_numbers(self) -> None:
        body = {"Time": "2026-03-02T12:55:00", "ANALOG": {"Temperature1": 50.0}, "TempUnit": "F"}
        (reading,) = tasmota.decode(message("tele/a/SENSOR", body), source("tele/+/+"), {})
        assert (reading[1], reading[4], reading[6]) == ("temperature", "[degF]", "ANALOG.1")

    def test_power_that_is_no_word(self) -> None:
        with pytest.raises(BadMessage, match="POWER1"):
            tasmota.decode(message("stat/a/POWER1", "misschien"), source("stat/+/+"), {})


@pytest.mark.parametrize(
    ("interval", "minutes"), [("hourly", 60), ("quarterly", 15), ("per-quarter", 15), ("daily", 1440), ("", 60)]
)
def test_intervals_of_telraam(interval: str, minutes: int) -> None:
    body = {"segment_id": 1, "date": "2026-03-02T07:00:00Z", "interval": interval, "car": 1}
    (reading,) = telraam.decode(message("t", body), source("t"), {})
    assert isinstance(reading, Reading)
    assert reading.end is not None
    assert reading.time is not None
    assert (reading.end - reading.time).total_seconds() == minutes * 60


def test_telraam_asks_for_a_known_interval() -> None:
    with pytest.raises(BadMessage, match="interval"):
        telraam.decode(
            message("t", {"segment_id": 1, "date": "2026-03-02T07:00:00Z", "interval": "weekly", "car": 1}),
            source("t"),
            {},
        )


def test_meshlium_takes_what_is_missing_from_the_topic() -> None:
    found = meshlium.decode(message("meshlium1/SCP4/HUM", {"id_wasp": "SCP4", "value": "80"}), source("+/+/+"), {})
    assert found == [Reading("SCP4", "relativeHumidity", 80.0, None, "%")]
    with pytest.raises(BadMessage, match="id_wasp"):
        meshlium.decode(
            message("meshlium1/SCP4/HUM", {"value": "80", "timestamp": 1772435700}), source("+/+/+"), {}
        )


@pytest.mark.parametrize("key", ["trackedObjects", "trajectories", "faces", "signals"])
def test_persons_are_never_looked_into(key: str) -> None:
    body = {"sensor": "a", "timestamp": "2026-03-02T11:00:00Z", "countIn": 2, key: [{"speed": 1.2, "count": 1}]}
    found = people_counter.decode(message("t", body), source("t"), {})
    assert [item.value for item in found if isinstance(item, Reading)] == [2]
    assert "1.2" not in repr(found)


class TestPlain:
    @pytest.mark.parametrize(
        ("topic", "pattern", "thing", "name"),
        [
            ("a/b/temperature", "a/+/temperature", "b", "temperature"),
            ("a/b/temperature", "a/b/temperature", "a/b", "temperature"),
            ("a/b/c/temperature", "a/#", "b/c", "temperature"),
            ("/a/b/temperature", "/a/+/+", "b", "temperature"),
            ("a/sensor/temperature/state", "+/sensor/+/state", "a", "temperature"),
            ("temperature", "temperature", "temperature", "temperature"),
            ("a/b/value", "a/+/value", "a", "b"),
        ],
    )
    def test_thing_and_property(self, topic: str, pattern: str, thing: str, name: str) -> None:
        (reading,) = plain.decode(message(topic, "1"), source(pattern), {})
        assert (reading[0], reading[1]) == (thing, name)

    @pytest.mark.parametrize("words", ["1 2", "21.5 apples", "hello", "[1]", "{}", "1;2", "Online"])
    def test_only_one_value(self, words: str) -> None:
        with pytest.raises(BadMessage):
            plain.decode(message("a/b", words), source("a/+"), {})

    @pytest.mark.parametrize(
        ("words", "value"), [("007.50", 7.5), (".5", 0.5), ("21.", 21.0), ("-0.5", -0.5), ("1e3", 1000.0)]
    )
    def test_numbers_however_they_are_printed(self, words: str, value: float) -> None:
        assert plain.decode(message("a/b", words), source("a/+"), {})[0][2] == value

    def test_a_topic_without_a_level(self) -> None:
        with pytest.raises(BadMessage):
            plain.decode(message("/", "1"), source("/"), {})

    def test_homie_attributes(self) -> None:
        assert plain.decode(message("homie/a/$state", "ready"), source("homie/#"), {}) == [Ignored("attribute")]


class TestCsv:
    def test_month_first_where_it_can_be_nothing_else(self) -> None:
        (reading,) = csv.decode(message("t", "time;temperature\n03/25/2026 12:00;8,1\n"), source("t"), {})
        assert isinstance(reading, Reading)
        assert reading.time == datetime(2026, 3, 25, 11, tzinfo=UTC)

    def test_a_time_that_none_is(self) -> None:
        with pytest.raises(BadMessage) as caught:
            csv.decode(message("t", "time;temperature\ngisteren;8,1\n"), source("t"), {})
        assert caught.value.reason == "time"

    def test_each_place_once(self) -> None:
        lines = "id,lat,lon,t\na,50.8,3.2,1\na,50.8,3.2,2\nb,50.9,3.2,3\n"
        found = csv.decode(message("t", lines), source("t"), {})
        assert [item.thing for item in found if isinstance(item, Place)] == ["a", "b"]

    @pytest.mark.parametrize("delimiter", ["", ";;", "\n"])
    def test_delimiter_is_one_character(self, delimiter: str) -> None:
        with pytest.raises(ValidationError):
            csv.Options(delimiter=delimiter)

    def test_no_column_of_plates(self) -> None:
        found = csv.decode(message("t", "id,plate,speed\na,12345,50\n"), source("t"), {})
        assert [item.name for item in found if isinstance(item, Reading)] == ["speed"]


class TestText:
    def test_wrong_utf8_is_named_by_its_byte(self) -> None:
        with pytest.raises(BadMessage, match="byte 3") as caught:
            text.text(b"21.\xff")
        assert caught.value.reason == "encoding"

    def test_too_many_cells(self) -> None:
        with pytest.raises(BadMessage) as caught:
            text.rows("1;2\n" * text.MAX_CELLS)
        assert caught.value.reason == "size"

    def test_comments_and_empty_lines(self) -> None:
        assert text.rows("# a, b\n\na;b\n1;2\n") == [["a", "b"], ["1", "2"]]
