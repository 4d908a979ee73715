"""What is mutated: every sample of every format and camera, and those of `../shared` where that is present."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import NamedTuple
from zoneinfo import ZoneInfo

import samples

from anpr.plate import judge
from broker.model import Message, PlateRead, Source

SHARED = Path(__file__).parents[3] / "shared" / "samples"
OWN = {"airrohr": "sensor_community", "sensor-community-archive": "csv", "smart-data-models": "ngsi_ld"}
"""Folders of `../shared` that are not named like the format that they are of."""
RECEIVED = datetime(2026, 11, 2, 12, tzinfo=UTC)
"""Of samples that do not say when they came: later than any of them."""


Decoders = Mapping[tuple[str, str], ModuleType]
"""{(format or camera, its name): module}."""


class Seed(NamedTuple):
    """A message, the sources that take it, and the plates in it, as they are written there."""

    name: str
    message: Message
    sources: tuple[Source, ...]
    plates: frozenset[str]


def load(formats: Mapping[str, ModuleType], cameras: Mapping[str, ModuleType]) -> list[Seed]:
    """Read the corpus; the same order every time."""
    decoders = {("format", name): module for name, module in formats.items()}
    decoders |= {("camera", name): module for name, module in cameras.items()}
    own = [
        _seed(f"{folder}/{case.name}", sample.message, (_named(sample.source, kind, name),), decoders)
        for kind, name in decoders
        for folder in (samples.of_camera(name) if kind == "camera" else name,)
        for case in samples.cases(folder)
        for sample in (samples.read(case),)
    ]
    return own + [
        _seed(name, message, _takers(message, name.split("/")[1], decoders), decoders)
        for name, message in _shared()
    ]


def _named(source: Source, kind: str, name: str) -> Source:
    options = {slot: getattr(source, slot) for slot in Source.__slots__}
    return Source(**{**options, "name": name, kind: name})


def _decoder(source: Source, decoders: Decoders) -> Callable[..., list[object]]:
    found: Callable[..., list[object]] = decoders["camera" if source.camera else "format", source.name].decode
    return found


def _shared() -> Iterator[tuple[str, Message]]:
    index = SHARED / "INDEX.tsv"
    for line in index.read_text(encoding="utf-8").splitlines()[1:] if index.is_file() else ():
        file, _, _, topic, *_ = line.split("\t")
        yield f"shared/{file}", Message(topic or "city/device-7/up", (SHARED / file).read_bytes(), RECEIVED)


def _takers(message: Message, folder: str, decoders: Decoders) -> tuple[Source, ...]:
    """Sources of the formats and cameras that decode a message, its own first; of `json` where there is none."""
    every = [
        Source(name=name, topic="#", timezone=ZoneInfo("Europe/Brussels"), **{kind: name})
        for kind, name in decoders
    ]
    found = [source for source in every if _decoded(_decoder(source, decoders), message, source)]
    found.sort(key=lambda source: not is_own(source.name, folder))
    return tuple(found) or tuple(source for source in every if source.format == "json")


def is_own(name: str, folder: str) -> bool:
    """Tell whether a folder of `../shared` holds what the format or camera of this name is for."""
    return OWN.get(folder) == name or name.replace("_", "-") in folder or folder.endswith(name)


def _decoded(decode: Callable[..., list[object]], message: Message, source: Source) -> list[object]:
    try:
        return decode(message, source, {})
    except Exception:  # noqa: BLE001 - the run itself tells what is wrong with it
        return []


def _seed(name: str, message: Message, sources: tuple[Source, ...], decoders: Decoders) -> Seed:
    reads = [
        item.plate
        for source in sources
        for item in _decoded(_decoder(source, decoders), message, source)
        if isinstance(item, PlateRead) and item.plate
    ]
    return Seed(name, message, sources, frozenset(plate for plate in reads if judge(plate, None)[0] == "read"))
