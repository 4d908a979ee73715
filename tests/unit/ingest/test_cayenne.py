"""Cayenne LPP: the examples of its specification, and what it must survive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import BadMessage
from ingest import cayenne


@pytest.mark.parametrize(
    ("payload", "decoded"),
    [
        ("03670110056700FF", {"temperature_3": 27.2, "temperature_5": 25.5}),
        ("0167FFD7", {"temperature_1": -4.1}),
        ("067104D2FB2E0000", {"accelerometer_6": {"x": 1.234, "y": -1.234, "z": 0.0}}),
        ("018806765FF2960A0003E8", {"gps_1": {"latitude": 42.3519, "longitude": -87.9094, "altitude": 10.0}}),
        ("0000010202FF9C", {"digital_in_0": 1, "analog_in_2": -1.0}),
        ("05683A0273276A066501F4076601", {"relative_humidity_5": 29.0, "barometric_pressure_2": 1009.0, "luminosity_6": 500, "presence_7": 1}),
        ("01740149027500C80382000004B0", {"voltage_1": 3.29, "current_2": 0.2, "distance_3": 1.2}),
        ("", {}),
    ],
)  # fmt: skip
def test_decode(payload: str, decoded: dict[str, object]) -> None:
    assert cayenne.decode(bytes.fromhex(payload)) == decoded


@pytest.mark.parametrize("payload", ["03", "0367", "036701", "03F00000", "0188000000"])
def test_what_is_none(payload: str) -> None:
    with pytest.raises(BadMessage) as caught:
        cayenne.decode(bytes.fromhex(payload))
    assert caught.value.reason == "codec"


@given(payload=st.binary(max_size=60))
def test_any_bytes(payload: bytes) -> None:
    try:
        assert isinstance(cayenne.decode(payload), dict)
    except BadMessage as error:
        assert error.reason == "codec"  # noqa: PT017  refusing is one of two right answers
