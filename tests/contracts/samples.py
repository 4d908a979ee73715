"""Reads the samples of tests/samples as its README lays them out, and runs them through the real code."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from broker import vocabulary
from broker.errors import BadMessage
from broker.model import Ignored, Message, Observation, Quality, Source
from ingest.normalise import Normaliser

ROOT = Path(__file__).parents[1] / "samples"
SUFFIX = ".expected.json"
RECEIVED = "2026-03-02T12:00:00Z"


class Sample(NamedTuple):
    payload: bytes
    topic: str
    spec: Mapping[str, Any]

    @property
    def message(self) -> Message:
        received = datetime.fromisoformat(self.spec.get("received", RECEIVED)).astimezone(UTC)
        known = {
            key: self.spec[key]
            for key in ("retained", "duplicate", "content_type", "identity", "part")
            if key in self.spec
        }
        return Message(self.topic, self.payload, received, **known)

    @property
    def source(self) -> Source:
        given = {"name": "sample", "topic": self.topic, **self.spec.get("source", {})}
        given["timezone"] = ZoneInfo(given.get("timezone", "UTC"))
        return Source(**given)

    @property
    def state(self) -> Mapping[str, Any]:
        return self.spec.get("state", {})


def of_camera(name: str) -> str:
    """The folder of a camera's samples: one of its own where a format has the same name."""
    return f"cameras/{name}" if (ROOT / "cameras" / name).is_dir() else name


def cases(folder: str) -> list[Path]:
    return sorted((ROOT / folder).glob(f"*{SUFFIX}"))


def read(case: Path) -> Sample:
    spec = json.loads(case.read_text(encoding="utf-8"))
    stem = case.name.removesuffix(SUFFIX)
    payloads = [path for path in case.parent.glob(f"{stem}.*") if path != case]
    assert len(payloads) == 1, f"{case}: expected one payload beside it, found {len(payloads)}"
    return Sample(payloads[0].read_bytes(), spec["topic"], spec)


def is_json(case: Path) -> bool:
    try:
        json.loads(read(case).payload)
    except ValueError:
        return False
    return True


def outcome(module: ModuleType, sample: Sample) -> tuple[Any, dict[str, str]]:
    """What a format makes of a sample, in the form of `expected`; and what it skipped."""
    try:
        decoded = module.decode(sample.message, sample.source, sample.state)
        normalised = Normaliser(vocabulary.load()).normalise(decoded, sample.message, sample.source)
    except BadMessage as error:
        return {"refused": error.reason}, {}
    skipped = {item.name: item.reason for item in normalised.skipped}
    if normalised.ignored is not None:
        return {"ignored": normalised.ignored}, skipped
    return [_observation(row) for row in normalised.observations], skipped


def camera_outcome(module: ModuleType, sample: Sample, reader: Any) -> Any:
    """What a camera's message becomes behind `anpr.plate`, in the form of `expected`."""
    try:
        found = reader.read(sample.message, sample.source, sample.state)
    except BadMessage as error:
        return {"refused": error.reason}
    passages = [_passage(item) for item in found if not isinstance(item, Ignored) and hasattr(item, "read_status")]
    reasons = [item.reason for item in found if isinstance(item, Ignored)]
    return passages or {"ignored": reasons[0]}


def shown(expected: Any, found: Any) -> Any:
    """Of what was found only the keys that the expected form names, its equal times as that writes them."""
    if not (isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found)):
        return found
    return [
        {key: _as(wanted[key], item.get(key)) for key in wanted}
        for wanted, item in zip(expected, found, strict=True)
    ]


def _as(wanted: Any, value: Any) -> Any:
    try:
        return wanted if datetime.fromisoformat(wanted) == datetime.fromisoformat(value) else value
    except (TypeError, ValueError):
        return value


def _observation(row: Observation) -> dict[str, Any]:
    shown = {
        "thing": row.datastream.thing,
        "observedProperty": row.datastream.property,
        "phenomenonTime": _time(row.start),
        "result": row.number if row.result is None else row.result,
        "unit": row.datastream.unit,
    }
    if row.datastream.qualifier:
        shown["qualifier"] = row.datastream.qualifier
    if row.end:
        shown["phenomenonTimeEnd"] = _time(row.end)
    if row.quality:
        shown["quality"] = int(Quality(row.quality))
    return shown


def _passage(row: Any) -> dict[str, Any]:
    return {
        "thing": row.camera,
        "phenomenonTime": _time(row.time),
        "readStatus": row.read_status,
        "confidence": row.confidence,
        "direction": row.direction,
        "vehicleClass": row.vehicle_class,
        "country": row.country,
        "lane": row.lane,
        "speed": row.speed,
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
