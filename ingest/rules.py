"""What a payload's name and unit come to: property, qualifier, unit, conversion; worked out once for each."""

import re
from datetime import timedelta
from math import inf
from sys import float_info
from typing import NamedTuple

from broker.errors import BadMessage
from broker.remembered import remembered
from broker.vocabulary import Property, Vocabulary
from ingest import units
from ingest.payload import role

MAX_NAME = 128
MAX_RULES = 50_000
"""Names come from outside: memory does not grow with them."""

_BIG = float_info.max
_PATH = re.compile(r"[./:]+")
_CHANNEL = re.compile(r"(.+?)_(\d{1,3})")
_SUFFIX = re.compile(r"(.+)_([A-Za-z%][A-Za-z0-9%]{0,5})")
_WRAPPERS = frozenset(
    {"data", "payload", "values", "measurements", "fields", "object", "decoded", "state", "body"}
)
"""Steps of a path that say nothing."""
_SUFFIXES = {"c": "Cel", "f": "[degF]"}
_NUMBER = re.compile(
    r"\s*([+-]?(?:0|[1-9]\d{0,14})(?:[.,]\d{1,17})?(?:[eE][+-]?\d{1,2})?)\s*(\S.{0,15})?", re.ASCII
)
_LONGEST = 64
"""Characters of a text that is a number."""
_TRUE = frozenset({"true", "on", "1", "yes", "open", "opened", "occupied", "detected", "bezet"})
_FALSE = frozenset({"false", "off", "0", "no", "closed", "close", "free", "clear", "vacant", "vrij"})


class Rule(NamedTuple):
    """What readings of one name and one unit become: result = value · scale + offset, in `unit`."""

    property: str
    """Vocabulary key, else the payload's own name."""
    qualifier: str
    """What the name says beside the property: a channel, a probe, a path."""
    unit: str
    scale: float = 1.0
    offset: float = 0.0
    low: float = -_BIG
    high: float = _BIG
    kind: str = ""
    """number or boolean; "" for what the vocabulary does not know."""
    plain: bool = True
    """Numbers are taken as they are."""
    converts: bool = False
    step: float = inf
    """Greatest believable change within an hour."""
    stuck: timedelta = timedelta.max
    """After this long an unchanged value is suspicious."""

    def joined(self, qualifier: str) -> str:
        """Return the name's qualifier and the reading's own."""
        return f"{self.qualifier}.{qualifier}" if self.qualifier else qualifier


class Rules(dict[tuple[str, str | None], Rule]):
    """Rules by (name, unit); a missing one is made."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self._vocabulary = vocabulary

    def __missing__(self, key: tuple[str, str | None]) -> Rule:
        if len(self) >= MAX_RULES:
            self.clear()
        rule = _rule(self._vocabulary, *key)
        if len(key[1] or "") <= MAX_NAME:
            self[key] = rule
        return rule


class _Match(NamedTuple):
    property: Property | None
    name: str
    qualifier: str
    unit: str | None = None


def _rule(vocabulary: Vocabulary, name: str, unit: str | None) -> Rule:
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise BadMessage(
            f"a name: expected 1 to {MAX_NAME} printable characters, found {len(name)}", reason="name"
        )
    if any(role(part) == "personal" for part in _PATH.split(name)):
        raise BadMessage(f"{name}: number plates are for cameras, not for this format", reason="personal")
    match = _match(vocabulary, name)
    if match.property is None:
        return Rule(match.name, match.qualifier, units.keep(unit or ""))
    if match.property.result != "number":
        return Rule(match.property.key, match.qualifier, "", kind=match.property.result, plain=False)
    return _numeric(_meant(vocabulary, match.property, unit or match.unit), match.qualifier, unit or match.unit)


def _meant(vocabulary: Vocabulary, item: Property, unit: str | None) -> Property:
    """Return the property that a value in this unit is of: a battery in volts has a voltage, not a level."""
    other = vocabulary.get(item.otherwise)
    return other if other and unit and not _fits(item, unit) and _fits(other, unit) else item


def _fits(item: Property, unit: str) -> bool:
    code = units.code(unit)
    return code is not None and units.conversion(code, item.unit) is not None


def _numeric(item: Property, qualifier: str, unit: str | None) -> Rule:
    if unit is None and not item.assumed:
        return Rule(item.key, qualifier, "", kind="number")
    code = item.unit if unit is None else units.code(unit)
    factors = units.conversion(code, item.unit) if code else None
    if factors is None:
        return Rule(item.key, qualifier, units.keep(unit or ""), kind="number")
    converts = factors != (1.0, 0.0)
    return Rule(
        item.key,
        qualifier,
        item.unit,
        *factors,
        item.low,
        item.high,
        "number",
        plain=not converts,
        converts=converts,
        step=item.step,
        stuck=item.stuck,
    )


def _match(vocabulary: Vocabulary, name: str) -> _Match:
    """Find the longest end of a path that the vocabulary knows; what stands before it is the qualifier."""
    parts = [part for part in _PATH.split(name) if part] or [name]
    for start in range(len(parts)):
        match = _known(vocabulary, ".".join(parts[start:]))
        if match:
            before = ".".join(_telling(parts[:start]))
            return match._replace(qualifier=".".join(filter(None, (before, match.qualifier))))
    own = max((index for index, part in enumerate(parts) if not part.isdigit()), default=len(parts) - 1)
    return _Match(None, parts[own], ".".join(_telling(parts[:own] + parts[own + 1 :])))


def _telling(parts: list[str]) -> list[str]:
    return [part for part in parts if part.lower() not in _WRAPPERS]


def _known(vocabulary: Vocabulary, name: str) -> _Match | None:
    found = vocabulary.find(name)
    if found:
        return _Match(found, name, "")
    stem, _, index = name.rpartition(".")
    if index.isdigit() and (found := vocabulary.find(stem)):
        return _Match(found, stem, index)
    channel = _CHANNEL.fullmatch(name)
    if channel and (found := vocabulary.find(channel[1])):
        return _Match(found, channel[1], channel[2])
    return _with_unit(vocabulary, name)


def _with_unit(vocabulary: Vocabulary, name: str) -> _Match | None:
    """Read a unit at the end of a name: `water_level_mm`."""
    suffix = _SUFFIX.fullmatch(name)
    if not suffix:
        return None
    found = vocabulary.find(suffix[1])
    code = _SUFFIXES.get(suffix[2].lower()) or units.code(suffix[2])
    if not (found and code and found.result == "number"):
        return None
    return _Match(found, suffix[1], "", code) if _fits(_meant(vocabulary, found, code), code) else None


@remembered
def read_number(text: str) -> tuple[float, str | None] | None:
    """Read `"21.5"`, `"45%"`, `"12,5 °C"` as a number and its unit (None without one); None if it is no number."""
    if len(text) > _LONGEST:
        return None
    match = _NUMBER.fullmatch(text)
    if not match or (match[2] and units.code(match[2].strip()) is None):
        return None
    return float(match[1].replace(",", ".")), (match[2] or "").strip() or None


def read_boolean(value: object) -> bool | None:
    """Read true/false, 1/0 and words such as `on` and `free`; None if it is none of them."""
    if isinstance(value, bool):
        return value
    word = (value if isinstance(value, str) else f"{value:g}" if isinstance(value, int | float) else "").lower()
    return True if word in _TRUE else False if word in _FALSE else None
