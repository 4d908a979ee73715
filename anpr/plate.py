"""From a number plate to a token. A plate, and a PlateRead, end here: what leaves are Passages.

The token is HMAC-SHA-256 under the day's key over the normalised plate alone, cut to 64 bits. The country is
no part of it: a camera that does not read it must still link. https://www.rfc-editor.org/rfc/rfc2104
"""

import hmac
import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import MappingProxyType, ModuleType
from typing import Any

from anpr.fields import describe, whitelist
from anpr.keys import KeyStore
from anpr.payload import unwrapped
from anpr.series import correct
from broker.errors import BadMessage
from broker.identity import identify, named
from broker.model import Ignored, Message, Passage, PlateRead, Skipped, Source

HOMOGLYPHS = str.maketrans(
    "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹ" "АВЕЅІЈКМНОРСТУХҮԚԜ" "ØĐŁ",
    "ABEZHIKMNOPTYXC" "ABESIJKMHOPCTYXYQW" "ODL",
)  # fmt: skip
"""Greek, Cyrillic and stroked capitals that look like Latin ones."""
OTHER = re.compile(r"[^A-Z0-9]+")
PARTIAL = re.compile(r"[?*_#□�]")
"""What recognisers write for a character they could not read."""
SHORTEST, LONGEST = 2, 12
UNREAD = {"UNKNOWN", "UNREAD", "NOTREAD", "UNRECOGNIZED", "UNRECOGNISED", "NULL", "NONE", "NOREAD", "NA", "NAN"}
NO_PLATE = {"NOPLATE", "NOLICENSEPLATE", "NOLICENCEPLATE", "UNLICENSED", "WITHOUTPLATE"}
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)


def clean(text: str) -> str:
    """The characters A–Z and 0–9 of a plate, look-alikes of other scripts and accented letters included."""
    upper = text.upper()
    if not upper.isascii():
        upper = unicodedata.normalize("NFKC", text).upper().translate(HOMOGLYPHS)
        upper = unicodedata.normalize("NFKD", upper)
    return OTHER.sub("", upper)


def normalise(text: str, country: str | None = None) -> str:
    """The plate that a token is made of: clean, and corrected where the country's series allow one reading."""
    return correct(clean(text), country)


def judge(text: str | None, country: str | None = None) -> tuple[str, str]:
    """The read status (read, unread, no_plate) and, where read, the normalised plate, else "".

    None, a sentinel of the vendor, a partial plate and one of an absurd length are unread.
    """
    if text is None or PARTIAL.search(text):
        return "unread", ""
    plate = clean(text)
    if plate in NO_PLATE:
        return "no_plate", ""
    if not SHORTEST <= len(plate) <= LONGEST or plate in UNREAD:
        return "unread", ""
    return "read", correct(plate, country)


def token(plate: str, key: bytes) -> bytes:
    """8 bytes that stand for a normalised plate as long as `key` exists."""
    return hmac.digest(key, plate.encode(), "sha256")[:8]


class Reader:
    """Reads camera messages: wraps each decoder, so that no PlateRead gets past it."""

    def __init__(self, cameras: Mapping[str, ModuleType], keys: KeyStore) -> None:
        self._cameras = dict(cameras)
        self._keys = keys

    def read(
        self, message: Message, source: Source, state: Mapping[str, Any]
    ) -> list[Passage | Ignored | Skipped]:
        """The passages of a message of the camera `source.camera`; a missing time is the receive time.

        A retained message is Ignored: it comes again at every subscription, whatever day that is. Raises
        BadMessage, whose text and context hold no value; StoreUnavailable where the keys are away.
        """
        if message.retained or not message.payload:
            return [Ignored("retained" if message.payload else "empty")]
        decoded = self._decode(message, source, state)
        return [
            self._passage(found, message, source, index) if isinstance(found, PlateRead) else found
            for index, found in enumerate(decoded)
        ]

    def accepted_by(self, message: Message) -> str | None:
        """The camera that this message could come from, whatever topic brought it; None if there is none.

        The name of a vendor's plate field is enough: a broken message may hold a plate as well.
        """
        # UTF-16 and UTF-32, which parsers of JSON and of lines refuse, put NULs between the characters.
        payload = message.payload.replace(b"\0", b"")
        for name, module in self._cameras.items():
            if any(mark in payload for mark in module.MARKS) or self._decodes(message, name):
                return name
        return None

    def fields(
        self, message: Message, camera: str, options: Mapping[str, Any] = MappingProxyType({})
    ) -> dict[str, str]:
        """The camera's whitelisted fields in this message, and their types; never a value."""
        module = self._cameras[camera]
        with suppress(BadMessage):
            return describe(unwrapped(message.payload, module), whitelist(module, options))
        return {}

    def _decodes(self, message: Message, camera: str) -> bool:
        source = Source(name="", topic=message.topic, camera=camera)
        with suppress(BadMessage):
            return bool(self._decode(message, source, {}))
        return False

    def _decode(
        self, message: Message, source: Source, state: Mapping[str, Any]
    ) -> list[PlateRead | Ignored | Skipped]:
        """What the decoder says; its errors anew, outside of `except`, so that nothing hangs on to them."""
        try:
            decoded: list[PlateRead | Ignored | Skipped] = self._cameras[str(source.camera)].decode(
                message, source, state
            )
        except BadMessage as error:
            failure = BadMessage(str(error), reason=error.reason)
        except Exception as error:  # noqa: BLE001 the text of any other could hold a plate
            failure = BadMessage(f"the decoder failed: {type(error).__name__}", reason="decoder")
        else:
            return decoded
        raise failure from None

    def _passage(self, read: PlateRead, message: Message, source: Source, index: int) -> Passage:
        received = message.received
        time = received if read.time is None else _plausible(read.time, message, source)
        camera = identify(source, named(read.camera) or message.identity or "", message.topic)
        read_status, plate = ("no_plate", "") if read.no_plate else judge(read.plate, read.country)
        return Passage(
            camera,
            time,
            received,
            self._identity(read, camera, time, message, index),
            read_status,
            token(plate, self._keys.key("token", received)) if plate else None,
            *read[4:10],
        )

    def _identity(self, read: PlateRead, camera: str, time: datetime, message: Message, index: int) -> bytes:
        """The vendor's id of the passage, else all that tells it apart; the same for each delivery of it.

        Without an id and without a time the receive time has to do: two vehicles are then two, and a
        redelivery of what was stored but not acknowledged is one more.
        """
        key = self._keys.identity_key(time, message.received)
        if read.event is not None:
            parts = [b"event", camera.encode(), read.event.encode(errors="replace")]
        else:
            moment = str(time.timestamp()).encode()
            parts = [
                b"message",
                camera.encode(),
                (read.lane or "").encode(),
                moment,
                b"%d" % index,
                message.payload,
            ]
        return hmac.digest(key, b"\0".join(parts), "sha256")[:16]


def _plausible(time: datetime, message: Message, source: Source) -> datetime:
    """The same rules as for observations."""
    age = (message.received - time).total_seconds()
    if -age > source.max_future:
        raise BadMessage(f"the time lies more than {source.max_future:g} s after the receive time", reason="time")
    if source.max_age is not None and age > source.max_age:
        raise BadMessage(f"the time lies more than {source.max_age:g} s before the receive time", reason="time")
    if time < EARLIEST:
        raise BadMessage("the time lies before 1990", reason="time")
    return time
