"""Observed properties: their unit, plausible range, averaging, names in three languages and IRIs.

The values stand in `vocabulary.toml`. Units are UCUM codes (https://ucum.org/ucum), quantity kinds those of QUDT
(https://www.qudt.org), models those of Smart Data Models (https://smartdatamodels.org).
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from importlib.resources import files
from math import inf
from typing import Any, Literal

from broker import periods
from broker.remembered import remembered

Averaging = Literal["arithmetic", "energetic", "vectorial", "sum", "last"]
Result = Literal["number", "boolean", "text"]

_BETWEEN_DIGITS = re.compile(r"(?<=\d)[_\-,](?=\d)")
_SEPARATORS = re.compile(r"[_\-\s]")


@dataclass(frozen=True, slots=True)
class Property:
    """One observed property; `vocabulary.toml` says what each field means."""

    key: str
    unit: str
    """UCUM; "" for text and booleans."""
    low: float
    high: float
    averaging: Averaging
    labels: Mapping[str, str]
    """By language: nl, en, fr."""
    definition: str
    """IRI of the concept."""
    quantity_kind: str
    """IRI of the QUDT quantity kind, "" where there is none."""
    models: tuple[tuple[str, str], ...]
    """Smart Data Models (type, attribute); the first is the one to publish as."""
    personal: bool
    aliases: tuple[str, ...]
    result: Result
    assumed: bool
    """A value without a unit is in `unit`."""
    otherwise: str
    """Key of the property that a value in a unit of another kind is of; "" if there is none."""
    step: float
    """Greatest believable change within an hour; inf where any change is."""
    stuck: timedelta
    """After this long a value that does not change is suspicious; timedelta.max where it may stay."""


class Vocabulary(Mapping[str, Property]):
    """All properties by key; `find` also knows their aliases."""

    def __init__(self, properties: list[Property]) -> None:
        self._by_key = {item.key: item for item in properties}
        self._by_name = {plain(alias): item for item in properties for alias in item.aliases}
        self._by_name.update({plain(item.key): item for item in properties})
        self._by_model = {model: item for item in reversed(properties) for model in item.models}

    def __getitem__(self, key: str) -> Property:
        return self._by_key[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_key)

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, name: str) -> Property | None:
        """Return the property with this key or alias; case, `_`, `-` and blanks do not count."""
        return self._by_name.get(plain(name))

    def model(self, type_: str, attribute: str) -> Property | None:
        """Return the property that is this attribute of this Smart Data Models type."""
        return self._by_model.get((type_, attribute))


@remembered
def plain(name: str) -> str:
    """Return the name as it is compared: `PM2_5` → `pm2.5`, `Relative Humidity` → `relativehumidity`."""
    return _SEPARATORS.sub("", _BETWEEN_DIGITS.sub(".", name.casefold()))


@lru_cache(maxsize=1)
def load() -> Vocabulary:
    """Read the vocabulary; the same one every time."""
    text = files("broker").joinpath("vocabulary.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    prefixes = tables["prefixes"]
    return Vocabulary([_property(key, table, prefixes) for key, table in tables["property"].items()])


def _property(key: str, table: dict[str, Any], prefixes: dict[str, str]) -> Property:
    low, high = table.get("range", (-inf, inf))
    return Property(
        key=key,
        unit=table["unit"],
        low=low,
        high=high,
        averaging=table["averaging"],
        labels=table["labels"],
        definition=_expand(table["definition"], prefixes),
        quantity_kind=_expand(table["quantity"], prefixes),
        models=tuple(tuple(model.split(".", 1)) for model in table["models"]),
        personal=table.get("personal", False),
        aliases=tuple(table["aliases"]),
        result=table.get("result", "number"),
        assumed=table.get("assumed", True),
        otherwise=table.get("otherwise", ""),
        step=table.get("step", inf),
        stuck=_length(table.get("stuck")),
    )


def _length(written: str | None) -> timedelta:
    length = timedelta.max if written is None else periods.parse(written)
    if not length:
        raise ValueError(f"stuck: expected an ISO 8601 duration, found {written}")
    return length


def _expand(curie: str, prefixes: dict[str, str]) -> str:
    prefix, _, name = curie.partition(":")
    return prefixes[prefix] + name if curie else ""
