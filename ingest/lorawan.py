"""What LoRaWAN network servers have in common: one uplink through several gateways, values without units."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from broker.model import Reading, Signal

Item = TypeVar("Item")


class Options(BaseModel):
    """`[source.options]`: the units of what a device's codec gives without one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    units: dict[str, str] = {}
    """By the payload's own name: `units = { distance = "mm" }`."""


def with_units(found: list[Item], units: Mapping[str, str] | None) -> list[Item]:
    """Return the readings with the units that the configuration gives."""
    if not units:
        return found
    return [
        item._replace(unit=units[item.name]) if isinstance(item, Reading) and item.name in units else item
        for item in found
    ]


def signal(thing: str, count: Any, gateways: Any) -> Signal:
    """Return frame count, and rssi (dBm) and snr (dB) at the gateway that heard the device best."""
    values: dict[str, float | str] = {"f_cnt": count} if type(count) in {int, float} else {}
    heard = [gateway for gateway in gateways if _heard(gateway)] if type(gateways) is list else []
    if heard:
        best = max(heard, key=lambda gateway: gateway["rssi"]) if len(heard) > 1 else heard[0]
        values["rssi"] = best["rssi"]
        values["snr"] = best["snr"] if type(best.get("snr")) in {int, float} else 0
    return Signal(thing, values)


def _heard(gateway: Any) -> bool:
    return type(gateway) is dict and type(gateway.get("rssi")) in {int, float}
