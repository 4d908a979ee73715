"""What FIWARE's IoT Agents have in common: their topics, with a secret in them, and short attribute names.

Topics: https://github.com/telefonicaid/iotagent-json/blob/master/docs/usermanual.md#mqtt-binding
"""

import re
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from broker.errors import BadMessage
from broker.model import Ignored, Reading
from broker.remembered import remembered
from ingest.payload import Item, Scope, own_time, place, role, values
from ingest.rules import read_number
from ingest.times import moment

HIDDEN = "***"
"""Stands where an apikey stood."""

_PROTOCOLS = frozenset({"json", "ul"})
_KINDS = frozenset({"attrs", "cmd", "cmdexe", "configuration"})
_SCALARS = frozenset({float, int, bool, str})
_NONE: dict[str, str] = {}
_new = tuple.__new__  # a third of what making a named tuple costs
_POSITIONS = frozenset({"pos", "position", "gps", "loc", "location", "coordinates", "geo"})
_POSITION = re.compile(r"\s*([+-]?\d{1,3}(?:\.\d{1,20})?)\s*[,;/]\s*([+-]?\d{1,3}(?:\.\d{1,20})?)\s*", re.ASCII)


class Options(BaseModel):
    """`[source.options]`: what the agent's provisioning would say of a device's short names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: dict[str, str] = {}
    """Vocabulary key or own name by the payload's: `names = { t = "temperature" }`."""
    units: dict[str, str] = {}
    """Unit by the payload's name: `units = { t = "Cel" }`."""


class Address(NamedTuple):
    """What a topic tells: `/json/{apikey}/{device}/attrs/{attribute}`; "" for what it does not."""

    device: str
    kind: str
    """attrs, cmd, cmdexe or configuration."""
    attribute: str


@remembered
def address(topic: str) -> Address:
    """Read a topic, with or without its leading slash and its protocol; of other topics nothing is known.

    Raises BadMessage (`identity`) for a topic of the protocol that names no device.
    """
    levels = _levels(topic)
    at = _kind(levels)
    if at is None and levels[0] in _PROTOCOLS:
        raise BadMessage(
            f"topic: expected {levels[0]}/apikey/device/attrs, found {len(levels)} levels", reason="identity"
        )
    if at is None or at == 0:
        return Address("", "attrs", "")
    return Address(levels[at - 1], levels[at], "/".join(levels[at + 1 :]))


@remembered
def redact(topic: str) -> str:
    """Return the topic without its apikey, which is a secret."""
    levels = _levels(topic)
    at = _kind(levels)
    if levels[0] in _PROTOCOLS and len(levels) > 1 and at != 2:
        secret = 1
    elif at is not None and at >= 2 and levels[at - 2] not in _PROTOCOLS:
        secret = at - 2
    else:
        return topic
    return "/" * topic.startswith("/") + "/".join([*levels[:secret], HIDDEN, *levels[secret + 1 :]])


def _levels(topic: str) -> list[str]:
    return topic.removeprefix("/").split("/")


def _kind(levels: list[str]) -> int | None:
    return next((index for index, level in enumerate(levels) if index and level in _KINDS), None)


def ignored(found: Address) -> list[Ignored]:
    """Return why a message on this topic carries no measures; nothing if it does."""
    if found.kind == "attrs":
        return []
    return [Ignored("configuration" if found.kind == "configuration" else "command")]


def measures(group: Mapping[str, Any], scope: Scope, options: Mapping[str, Any]) -> list[Item]:
    """Take one group of measures; `"50.8,3.2"` under the name of a position is latitude and longitude."""
    thing, time, zone, _ = scope
    if time is None:
        time = group_time(group, zone)
    names, units = options.get("names") or _NONE, options.get("units") or _NONE
    found: list[Item] = []
    rest: dict[str, Any] = {}
    for key, value in group.items():
        kind, meaning = type(value), role(key)
        if kind not in _SCALARS or meaning or (kind is str and key.lower() in _POSITIONS):
            if meaning != "time":
                rest[key] = value
            continue
        # Numbers in texts are read here: what the normaliser reads again costs it twice.
        number, unit = (kind is str and read_number(value)) or (value, None)
        item = (thing, names.get(key, key), number, time, units.get(key, unit), None, "", 0)
        found.append(_new(Reading, item))
    return found + _others(rest, scope._replace(time=time), names, units) if rest else found


def _others(rest: dict[str, Any], scope: Scope, names: Mapping[str, str], units: Mapping[str, str]) -> list[Item]:
    """Take what is no plain value: positions, radio quality, structures."""
    found: list[Item] = []
    for key in [key for key, value in rest.items() if type(value) is str and key.lower() in _POSITIONS]:
        point = position(rest[key])
        if point:
            found.append(place(scope.thing, *point, scope.time))
            del rest[key]
    found += [
        item._replace(name=names.get(item.name, item.name), unit=units.get(item.name, item.unit))
        if isinstance(item, Reading)
        else item
        for item in values(rest, scope)
    ]
    return found


def group_time(group: Mapping[str, Any], zone: tzinfo) -> datetime | None:
    """Return the TimeInstant of a group, else the time under another usual name. Raises BadMessage (`time`)."""
    for key in ("TimeInstant", "timestamp"):
        value = group.get(key)
        if value is not None:
            return moment(value, zone, key)
    for key, value in group.items():
        if role(key) == "time" and (time := own_time(value, zone)):
            return time
    return None


def position(text: str) -> tuple[str, str] | None:
    """Return latitude and longitude of `"50.8, 3.2"`; None where it is none."""
    found = _POSITION.fullmatch(text)
    return (found[1], found[2]) if found else None
