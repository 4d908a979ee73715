"""What the push door tells of a message beside its payload: content type, identity, part.

MQTT 3.1.1 has no headers, so these travel in front of the payload. Version 1 is, in bytes:

    00 "citybroker/1" 0A  {"content_type": "…", "identity": "…", "part": "…"} 0A  payload

The middle is one line of JSON in UTF-8; each of its members may be absent, others are passed over. No payload
begins so: text has no NUL, and 00 is no tag of a protobuf message and no array or map of CBOR. The door seals
every message, so that a payload which looks like an envelope is never opened twice.
"""

from typing import Any

import orjson

from broker.errors import BadMessage
from broker.model import Message

NAME = b"\0citybroker/"
MARK = NAME + b"1\n"
MEMBERS = ("content_type", "identity", "part")


def seal(
    payload: bytes, *, content_type: str | None = None, identity: str | None = None, part: str | None = None
) -> bytes:
    """Put a payload in an envelope; what is None is left out."""
    told = {"content_type": content_type, "identity": identity, "part": part}
    return MARK + orjson.dumps({key: value for key, value in told.items() if value}) + b"\n" + payload


def opened(message: Message) -> Message:
    """Give the message that is in the envelope; one without an envelope as it is.

    Raises BadMessage (`envelope`) for an envelope of another version or one that is broken.
    """
    if not message.payload.startswith(NAME):
        return message
    head, _, payload = message.payload[len(MARK) :].partition(b"\n")
    told = _told(head) if message.payload.startswith(MARK) else None
    if told is None:
        raise BadMessage("envelope: expected one of version 1 and its line of JSON", reason="envelope")
    return message._replace(payload=payload, **told)


def _told(head: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(head)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict):
        return None
    return {key: found[key] for key in MEMBERS if isinstance(found.get(key), str)}
