from datetime import UTC, datetime
from typing import Any

import orjson

from broker.model import Message, Reading, Source
from ingest.formats.weewx import decode

RECEIVED = datetime(2026, 3, 2, 12, tzinfo=UTC)


def readings(packet: dict[str, Any], options: dict[str, Any] | None = None) -> dict[str, tuple[Any, str | None]]:
    source = Source("weewx", "weer/+/loop", options=options or {})
    found = decode(Message("weer/dak/loop", orjson.dumps(packet), RECEIVED), source, {})
    return {item.name + item.qualifier: (item.value, item.unit) for item in found if type(item) is Reading}


def test_a_long_packet_means_what_a_short_one_does() -> None:
    packet = {"dateTime": "1772451000.0", "outTemp_C": "6.5", "rain_cm": "0.02"}
    long = packet | {"forecastText": "x" * 20_000}
    assert readings(long) == readings(packet) == {"airTemperature": (6.5, "Cel"), "precipitation": (0.02, "cm")}


def test_the_same_keys_in_another_system_of_units() -> None:
    packet = {"dateTime": "1772451000.0", "outTemp": "50.0"}
    assert readings(packet | {"usUnits": "1.0"}) == {"airTemperature": (50.0, "[degF]")}
    assert readings(packet | {"usUnits": "16.0"}) == {"airTemperature": (50.0, "Cel")}
    assert readings(packet | {"usUnits": "16.0"}, {"unit_system": "US"}) == {"airTemperature": (50.0, "[degF]")}
    assert readings(packet) == {"airTemperature": (50.0, None)}


def test_a_name_without_unit_is_nearer_one_temperature_or_the_other() -> None:
    packet = {"dateTime": "1772451000.0", "outTemp_C": "6.5"}
    assert readings(packet | {"highOutTemp": "44.6"})["airTemperaturehigh"] == (44.6, "[degF]")
    assert readings(packet | {"highOutTemp": "7.0"})["airTemperaturehigh"] == (7.0, "Cel")
