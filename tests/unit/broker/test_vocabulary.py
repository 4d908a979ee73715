from collections import Counter

import pytest

from broker import vocabulary
from broker.vocabulary import Property

WORDS = vocabulary.load()


@pytest.mark.parametrize("item", WORDS.values(), ids=WORDS)
def test_is_complete(item: Property) -> None:
    assert set(item.labels) == {"nl", "en", "fr"}
    assert all(item.labels.values())
    assert item.definition.startswith(("http://", "https://"))
    assert item.averaging in {"arithmetic", "energetic", "vectorial", "sum", "last"}
    assert item.low < item.high
    assert (item.unit != "") == (item.result == "number") == (item.quantity_kind != "")
    assert item.otherwise in {"", *WORDS}


def test_no_name_means_two_things() -> None:
    names = Counter(vocabulary.plain(name) for item in WORDS.values() for name in (item.key, *item.aliases))
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("temp", "temperature"), ("hum", "relativeHumidity"), ("batt", "batteryLevel"), ("NO2", "no2"),
        ("LAeq", "LAeq"), ("pm2_5", "pm25"), ("PM10", "pm10"), ("pm1_0", "pm1"), ("Relative Humidity", "relativeHumidity"),
    ],
)  # fmt: skip
def test_find(name: str, key: str) -> None:
    found = WORDS.find(name)
    assert found is not None
    assert found.key == key


@pytest.mark.parametrize("name", ["no", "light", "level", "status", "count", "value", "speed", ""])
def test_what_can_mean_several_things_means_nothing(name: str) -> None:
    assert WORDS.find(name) is None


def test_what_comes_from_number_plates_is_personal() -> None:
    personal = ["travelTime", "travelSpeed", "travelTimeQuality", "vehiclePassageCount"]
    assert [item.key for item in WORDS.values() if item.personal] == personal
    passages = WORDS["vehiclePassageCount"]
    assert passages.definition == "https://w3id.org/cityofthings#passedByVehiclesCount"
    assert (passages.unit, passages.averaging) == ("1", "sum")


def test_models() -> None:
    assert WORDS.model("TrafficFlowObserved", "intensity") is WORDS["vehicleCount"]
    assert WORDS.model("OffStreetParking", "occupancy") is WORDS["parkingOccupancy"]
    assert WORDS.model("TrafficFlowObserved", "blub") is None
