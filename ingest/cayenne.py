"""Cayenne Low Power Payload: values on numbered channels, in the names of The Things Stack's own decoder.

Specification: https://github.com/myDevicesIoT/cayenne-docs/blob/master/docs/LORA.md, types beyond it as in
https://github.com/ElectronicCats/CayenneLPP; names: https://www.thethingsindustries.com/docs/integrations/payload-formatters/cayenne/
"""

from typing import Any, NamedTuple

from broker.errors import BadMessage


class Kind(NamedTuple):
    """A data type: its name, bytes of each of its values, what one unit is, and the values' names."""

    name: str
    size: int
    step: float
    signed: bool = False
    parts: tuple[str, ...] = ()


_XYZ = ("x", "y", "z")
_KINDS = {
    0: Kind("digital_in", 1, 1),
    1: Kind("digital_out", 1, 1),
    2: Kind("analog_in", 2, 0.01, signed=True),
    3: Kind("analog_out", 2, 0.01, signed=True),
    100: Kind("generic", 4, 1),
    101: Kind("luminosity", 2, 1),
    102: Kind("presence", 1, 1),
    103: Kind("temperature", 2, 0.1, signed=True),
    104: Kind("relative_humidity", 1, 0.5),
    113: Kind("accelerometer", 2, 0.001, signed=True, parts=_XYZ),
    115: Kind("barometric_pressure", 2, 0.1),
    116: Kind("voltage", 2, 0.01),
    117: Kind("current", 2, 0.001),
    118: Kind("frequency", 4, 1),
    120: Kind("percentage", 1, 1),
    121: Kind("altitude", 2, 1, signed=True),
    125: Kind("concentration", 2, 1),
    128: Kind("power", 2, 1),
    130: Kind("distance", 4, 0.001),
    131: Kind("energy", 4, 0.001),
    132: Kind("direction", 2, 1),
    133: Kind("unix_time", 4, 1),
    134: Kind("gyrometer", 2, 0.01, signed=True, parts=_XYZ),
    135: Kind("colour", 1, 1, parts=("r", "g", "b")),
    142: Kind("switch", 1, 1),
}
_GPS = 136


def decode(payload: bytes) -> dict[str, Any]:
    """Return {name_channel: value}: °C, %, hPa, lx, V, A, m, kW·h, degrees.

    Raises BadMessage (`codec`) for an unknown type, since nothing after it can be read, or a value cut short.
    """
    found: dict[str, Any] = {}
    at = 0
    while at < len(payload):
        kind = payload[at + 1] if at + 1 < len(payload) else -1
        name, value, at = _value(payload, at + 2, kind)
        found[f"{name}_{payload[at - _width(kind) - 2]}"] = value
    return found


def _width(kind: int) -> int:
    known = _KINDS.get(kind)
    return 9 if kind == _GPS else known.size * max(1, len(known.parts)) if known else 0


def _value(payload: bytes, at: int, kind: int) -> tuple[str, Any, int]:
    width = _width(kind)
    if not width or at + width > len(payload):
        raise BadMessage("codec: expected Cayenne LPP, found an unknown type or a value cut short", reason="codec")
    end = at + width
    if kind == _GPS:
        return "gps", _position(payload[at:end]), end
    known = _KINDS[kind]
    numbers = [_number(payload[start : start + known.size], known) for start in range(at, end, known.size)]
    return known.name, dict(zip(known.parts, numbers, strict=True)) if known.parts else numbers[0], end


def _number(raw: bytes, kind: Kind) -> float:
    return round(int.from_bytes(raw, "big", signed=kind.signed) * kind.step, 3)


def _position(raw: bytes) -> dict[str, float]:
    north, east, height = (int.from_bytes(raw[start : start + 3], "big", signed=True) for start in (0, 3, 6))
    return {"latitude": north / 10_000, "longitude": east / 10_000, "altitude": height / 100}
