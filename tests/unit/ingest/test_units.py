import pytest

from broker import vocabulary
from ingest import units


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("Cel", "Cel"), ("CEL", "Cel"), ("°C", "Cel"), ("celsius", "Cel"), ("Celsius", "Cel"),
        ("GP", "mg/m3"), ("GQ", "ug/m3"), ("µg/m³", "ug/m3"), ("μg/m3", "ug/m3"),
        ("P1", "%"), ("%RH", "%"), ("%EL", "%"), ("2N", "dB"), ("dB(A)", "dB"), ("KMH", "km/h"), ("C62", "1"),
        ("mbar", "hPa"), ("A97", "hPa"), ("KWH", "kW.h"), ("lux", "lx"), ("mWh", None), ("blub", None),
    ],
)  # fmt: skip
def test_code(spelling: str, expected: str | None) -> None:
    assert units.code(spelling) == expected


@pytest.mark.parametrize(
    ("value", "unit", "target", "expected"),
    [
        (32, "[degF]", "Cel", 0), (212, "[degF]", "Cel", 100), (281.35, "K", "Cel", 8.2), (0.54, "1", "%", 54),
        (101325, "Pa", "hPa", 1013.25), (1250, "mm", "m", 1.25), (18, "km/h", "m/s", 5), (0.041, "mg/m3", "ug/m3", 41),
        (400, "[ppb]", "[ppm]", 0.4), (1, "dS/m", "uS/cm", 1000), (60, "L/min", "L/s", 1),
    ],
)  # fmt: skip
def test_conversion(value: float, unit: str, target: str, expected: float) -> None:
    factors = units.conversion(unit, target)
    assert factors is not None
    assert value * factors[0] + factors[1] == pytest.approx(expected, abs=1e-9)


def test_what_cannot_be_converted() -> None:
    assert units.conversion("[ppb]", "ug/m3") is None
    assert units.conversion("V", "%") is None
    assert units.conversion("dB", "m") is None


def test_every_unit_of_the_vocabulary_is_known() -> None:
    assert all(units.code(item.unit) == item.unit for item in vocabulary.load().values() if item.unit)


def test_every_expression_is_known_to_pint() -> None:
    for code in set(units._EXACT.values()):
        if units._UNITS[code][0]:
            assert units._registry().Unit(units._UNITS[code][0])


def test_an_unknown_unit_is_kept_in_bounds() -> None:
    assert units.keep("blub\x00") == "blub"
    assert len(units.keep("x" * 500)) == 40
