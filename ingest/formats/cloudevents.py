"""CloudEvents 1.0, structured JSON: an envelope of who, what and when around data in any other format.

Specification: https://github.com/cloudevents/spec/blob/main/cloudevents/formats/json-format.md, over MQTT
https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/mqtt-protocol-binding.md. In binary mode the
attributes are MQTT 5 user properties, which MQTT 3.1.1 does not carry: such a message is refused.
`datacontenttype` says which format decodes the data; where it is too general, the configuration does:

    [source.options]
    format = "tts_v3"
    options = { units = { distance = "mm" } }
"""

import json as standard_json
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any, cast

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from ingest.formats import json, ngsi_ld, senml
from ingest.payload import expect, parse, text_or
from ingest.rules import read_number
from ingest.times import moment

Item = Reading | Place | Signal | Inventory | Ignored | Skipped
Decode = Callable[[Message, Source, Mapping[str, Any]], list[Item]]

MAX_EVENTS = 1000
_new: Any = tuple.__new__  # a third of what making a named tuple costs
_VERSIONS = ("1.", "0.3")
_BY_TYPE: dict[str, Decode] = {
    "application/json": json.decode,
    "text/json": json.decode,
    "application/senml+json": senml.decode,
    "application/sensml+json": senml.decode,
    "application/senml+cbor": senml.decode,
    "application/sensml+cbor": senml.decode,
    "application/ld+json": ngsi_ld.decode,
    "application/ngsi-ld+json": ngsi_ld.decode,
    "application/geo+json": ngsi_ld.decode,
}


def _known(name: str) -> str:
    if not name.isidentifier() or name == "cloudevents" or find_spec(f"ingest.formats.{name}") is None:
        raise ValueError('expected another format, such as "json"')
    return name


class Options(BaseModel):
    """`[source.options]` of this format."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Annotated[str, AfterValidator(_known)] | None = None
    """What decodes the data, whatever its content type."""
    options: dict[str, Any] = {}
    """Options of that format."""


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take what the inner format takes from the data; source and subject name the thing where that does not.

    The event's time is that of data without a time. Raises BadMessage for what is no event, and for data
    (`unsupported`) that nothing here can read.
    """
    document = parse(message.payload)
    events = document if type(document) is list else [document]
    if len(events) > MAX_EVENTS:
        raise BadMessage(f"payload: expected at most {MAX_EVENTS} events, found {len(events)}", reason="size")
    found: list[Item] = []
    for event in events:
        found += _event(expect(event, dict, "an event"), message, source, state)
    return found or [Ignored("no event")]


def _event(event: Mapping[str, Any], message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    if not text_or(event.get("specversion")).startswith(_VERSIONS):
        raise BadMessage(
            f"specversion: expected 1.0, found {type(event.get('specversion')).__name__}; "
            "events in binary mode lose their attributes over MQTT 3.1.1"
        )
    identity = _identity(event)
    time = None if event.get("time") is None else moment(event["time"], source.timezone)
    kind = text_or(event.get("datacontenttype"))
    if event.get("data") is None and event.get("data_base64") is None:
        return [Ignored("no data")]
    read = _decoder(kind, source)
    if read is None:
        return _text(_bytes(event, kind), identity, time)
    topic, _, received, retained, duplicate, _, known, part = message
    # What is said relative to now is said at the time of the event.
    when, content = received if time is None else time, _bytes(event, kind)
    inner = Message(topic, content, when, retained, duplicate, kind or None, known or identity, part)
    return [_of(item, time, identity) for item in read(inner, _inner(source), state)]


def _identity(event: Mapping[str, Any]) -> str:
    """Join source and subject: `/sensors/street` and `7` become `/sensors/street/7`."""
    source = expect(event.get("source"), str, "source")
    subject = text_or(event.get("subject"))
    return f"{source.rstrip('/')}/{subject.lstrip('/')}" if subject else source


def _decoder(kind: str, source: Source) -> Decode | None:
    """Return what decodes data of this content type; None for text. Raises BadMessage (`unsupported`)."""
    chosen = source.options.get("format")
    if chosen:
        return _chosen(chosen)
    return _BY_TYPE.get(kind) or _of_media(kind)


@lru_cache(maxsize=64)
def _chosen(name: str) -> Decode:
    return cast("Decode", import_module(f"ingest.formats.{name}").decode)


def _of_media(kind: str) -> Decode | None:
    media = kind.partition(";")[0].strip().lower()
    if media == "text/plain":
        return None
    read = _BY_TYPE.get(media or "application/json")
    if read is None and media.endswith("+json"):
        read = json.decode
    if read is None:
        raise BadMessage(
            f"datacontenttype: found {media[:80]}, expected JSON, SenML, NGSI-LD or text/plain, or `format` "
            "in the source's options",
            reason="unsupported",
        )
    return read


def _inner(source: Source) -> Source:
    if not source.options:
        return source
    return replace(source, format=source.options.get("format"), options=source.options.get("options") or {})


def _bytes(event: Mapping[str, Any], kind: str) -> bytes:
    """Return the data as a message of its own would carry it."""
    coded = event.get("data_base64")
    data = event.get("data")
    if coded is None and event.get("datacontentencoding") == "base64":  # CloudEvents 0.3
        coded = data
    if coded is not None:
        try:
            return b64decode(expect(coded, str, "data_base64"), validate=True)
        except (Error, ValueError):
            raise BadMessage(
                "data_base64: expected base64, found a text that is none", reason="encoding"
            ) from None
    if type(data) is str and not _quoted(data, kind):
        return data.encode("utf-8", "replace")
    try:
        return orjson.dumps(data)
    except TypeError:
        return standard_json.dumps(data).encode()


def _quoted(data: str, kind: str) -> bool:
    """Tell whether a text is a JSON string; many senders put a JSON document or a number into one."""
    return "json" in kind and data.lstrip()[:1] not in {"{", "["}


def _text(payload: bytes, identity: str, time: datetime | None) -> list[Item]:
    """Take a text that is one value."""
    try:
        text = payload.decode("utf-8").strip("\ufeff\0 \t\r\n")
    except UnicodeDecodeError:
        raise BadMessage("data: expected UTF-8, found bytes that are not", reason="encoding") from None
    if not text:
        return [Ignored("no data")]
    number = read_number(text)
    value: float | str = text if number is None else number[0]
    return [Reading(identity, "value", value, time, None if number is None else number[1])]


def _of(item: Item, time: datetime | None, identity: str) -> Item:
    """Give an item the event's time and identity where it has none of its own."""
    if type(item) is Reading:
        thing, name, value, own, unit, end, qualifier, quality = item
        if thing and own:
            return item
        fields = thing or identity, name, value, own or time, unit, end, qualifier, quality
        return cast("Reading", _new(Reading, fields))
    if isinstance(item, Place):
        return item._replace(thing=item.thing or identity, time=item.time or time)
    return item._replace(thing=item.thing or identity) if isinstance(item, Signal) else item
