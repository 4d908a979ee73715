import pytest

from broker import vocabulary
from broker.errors import BadMessage
from ingest import rules
from ingest.rules import Rules, read_boolean, read_number

KNOWN = Rules(vocabulary.load())


@pytest.mark.parametrize(
    ("name", "unit", "property_", "qualifier", "code"),
    [
        ("temp", None, "temperature", "", "Cel"),
        ("PM2_5", None, "pm25", "", "ug/m3"),
        ("pm1.0", None, "pm1", "", "ug/m3"),
        ("air.temperature", None, "airTemperature", "", "Cel"),
        ("probe1.soil.temperature", None, "soilTemperature", "probe1", "Cel"),
        ("DS18B20/Temperature", None, "temperature", "DS18B20", "Cel"),
        ("temperature_3", None, "temperature", "3", "Cel"),
        ("temperature.0", None, "temperature", "0", "Cel"),
        ("data.humidity", None, "relativeHumidity", "", "%"),
        ("water_level_mm", None, "waterLevel", "", "m"),
        ("battery_mv", None, "batteryVoltage", "", "V"),
        ("battery", "V", "batteryVoltage", "", "V"),
        ("waterLevel", None, "waterLevel", "", ""),
        ("waterLevel", "blub", "waterLevel", "", "blub"),
        ("no2", "ppb", "no2", "", "[ppb]"),
        ("blub", "°C", "blub", "", "Cel"),
        ("a.0.blub", None, "blub", "a.0", ""),
        ("no", None, "no", "", ""),
    ],
)
def test_rule(name: str, unit: str | None, property_: str, qualifier: str, code: str) -> None:
    rule = KNOWN[name, unit]
    assert (rule.property, rule.qualifier, rule.unit) == (property_, qualifier, code)


@pytest.mark.parametrize("name", ["", "x" * 200, "a\nb", "\x00"])
def test_refuses_what_is_no_name(name: str) -> None:
    with pytest.raises(BadMessage) as caught:
        KNOWN[name, None]
    assert caught.value.reason == "name"


@pytest.mark.parametrize("name", ["plate", "licensePlate", "vehicle.plate_text", "Kenteken", "cam/lpr/0"])
def test_refuses_what_is_a_number_plate(name: str) -> None:
    with pytest.raises(BadMessage) as caught:
        KNOWN[name, None]
    assert caught.value.reason == "personal"


def test_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MAX_RULES", 10)
    some = Rules(vocabulary.load())
    for number in range(25):
        assert some[f"blub{number}", None].property == f"blub{number}"
    assert len(some) <= 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("21.5", (21.5, None)), ("45%", (45, "%")), ("12,5 °C", (12.5, "°C")), ("-1e3", (-1000, None)),
        ("0042", None), ("12 appels", None), ("1.2.3", None), ("-", None), ("", None), ("٣", None),
    ],
)  # fmt: skip
def test_read_number(text: str, expected: tuple[float, str | None] | None) -> None:
    assert read_number(text) == expected


def test_read_boolean() -> None:
    assert [read_boolean(value) for value in (True, 1, 1.0, "ON", "free", 0, "bezet", 7, "x", None)] == [
        True, True, True, True, False, False, True, None, None, None,
    ]  # fmt: skip
