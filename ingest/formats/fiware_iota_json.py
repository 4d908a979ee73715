"""FIWARE IoT Agent JSON: measures on `/json/{apikey}/{device}/attrs[/{attribute}]`.

Specification: https://github.com/telefonicaid/iotagent-json/blob/master/docs/usermanual.md#mqtt-binding
Names are as short as a device likes (`t`, `h`); `[source.options]` says what they mean, as the agent's
provisioning would: `names = { t = "temperature" }`, `units = { t = "Cel" }`. Whole NGSI entities may stand in
place of measures.
"""

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from ingest.fiware import Address, Options, address, group_time, ignored, measures, redact
from ingest.formats import ngsi_ld
from ingest.payload import Scope, expect, parse

TOPICS = ("/json/+/+/attrs", "/json/+/+/attrs/+", "/json/#", "json/+/+/attrs", "json/+/+/attrs/+")
"""Its usual topics."""

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

__all__ = ["Options", "decode", "redact"]

_MAX_TEXT = 1024


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the measures of one or more groups, or of one attribute; commands are ignored."""
    about = address(message.topic)
    if about.kind != "attrs":
        return [*ignored(about)]
    document = _attribute(message.payload) if about.attribute else parse(message.payload)
    if not about.attribute and _entities(document):
        return ngsi_ld.decode(message, source, state)
    scope = Scope(about.device, None, source.timezone, text=True)
    if type(document) is dict and not about.attribute:
        return [*measures(document, scope, source.options)] or [Ignored("no value")]
    found: list[Item] = []
    for group, time in _groups(document, about, source.timezone):
        found += measures(group, scope._replace(time=time), source.options)
    return found or [Ignored("no value")]


def _attribute(payload: bytes) -> Any:
    """Read the value of a single attribute: JSON, or a text that is none."""
    try:
        return parse(payload)
    except BadMessage:
        text = payload.decode("utf-8", "replace").strip()
        if len(text) > _MAX_TEXT or not text.isprintable() or "\ufffd" in text or text[:1] in {"", "{", "[", '"'}:
            raise
        return text


def _groups(document: Any, about: Address, zone: tzinfo) -> list[tuple[Mapping[str, Any], datetime | None]]:
    rows = document if type(document) is list else [document]
    if about.attribute:
        timed = all(type(row) is dict and "value" in row for row in rows)
        return (
            [_timed(row, about.attribute, zone) for row in rows]
            if timed
            else [({about.attribute: document}, None)]
        )
    return [(expect(row, dict, "payload"), None) for row in rows]


def _timed(row: Mapping[str, Any], attribute: str, zone: tzinfo) -> tuple[Mapping[str, Any], datetime | None]:
    """Read `{"timestamp": …, "value": …}` of a single attribute."""
    return {attribute: row["value"]}, group_time(row, zone)


def _entities(document: Any) -> bool:
    """Tell whether the payload is NGSI-v2 or NGSI-LD: an entity, several, or a batch of them."""
    if type(document) is list:
        return bool(document) and all(_entities(item) for item in document)
    if type(document) is not dict:
        return False
    if type(document.get("entities")) is list and "actionType" in document:
        return True
    identity = document.get("id")
    if type(identity) is not str or "type" not in document:
        return False
    return identity.startswith("urn:") or any(
        type(value) is dict and ("value" in value or "object" in value) for value in document.values()
    )
