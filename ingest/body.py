"""The body of a pushed message: read up to the source's limit, unpacked, and forms made into JSON."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import parse_qsl

import orjson
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request

READ_WITHIN = 60.0
"""Seconds that a device has to send its message."""
MOST_BYTES = 256 << 20
"""Bytes of all messages that are being read."""
FORM = "application/x-www-form-urlencoded"
PACKED = {"gzip", "x-gzip", "deflate"}
OURS = ("token",)
"""Query parameters that are the door's own, never the message's."""


class Refused(Exception):
    """A request that is not taken: its HTTP status, and a detail without any value of the message."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


class Body(NamedTuple):
    """A message's bytes, and the content type that came with them."""

    payload: bytes
    type: str | None


_reading = [0]
"""Bytes that are in memory now."""


async def read(request: Request, limit: int) -> bytes:
    """Read the body, never more than `limit` bytes of it. Raises Refused (400, 408, 413, 415, 503)."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise _large(limit)
    packing = request.headers.get("content-encoding", "identity").strip().lower()
    if packing not in {"identity", "", *PACKED}:
        raise Refused(415, f"content encoding {packing[:40]}: expected gzip, deflate or none")
    try:
        async with asyncio.timeout(READ_WITHIN), _counted(int(length) if length.isdecimal() else limit):
            body = await _collect(request, limit)
    except TimeoutError:
        raise Refused(408, f"the body took longer than {READ_WITHIN:g} s") from None
    except ClientDisconnect:
        raise Refused(400, "the request ended before its body did") from None
    return _unpack(body, limit) if packing in PACKED else body


async def _collect(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > limit:
            raise _large(limit)
        body += chunk
    return bytes(body)


@asynccontextmanager
async def _counted(size: int) -> AsyncIterator[None]:
    """Let no more be read at once than there is room for."""
    if _reading[0] + size > MOST_BYTES and _reading[0]:
        raise Refused(503, "too many messages are coming in at once", {"Retry-After": "2"})
    _reading[0] += size
    try:
        yield
    finally:
        _reading[0] -= size


def _unpack(body: bytes, limit: int) -> bytes:
    """Undo gzip or zlib, https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1, also no further than `limit`."""
    unpacker = zlib.decompressobj(wbits=47)
    try:
        found = unpacker.decompress(body, limit + 1)
    except zlib.error:
        raise Refused(400, "the body is not packed as its content encoding says") from None
    if len(found) > limit:
        raise _large(limit)
    if not unpacker.eof:
        raise Refused(400, "the packed body ends too early")
    return found


def content(request: Request, body: bytes) -> Body:
    """The message in a request: its body, or its query or form as a JSON object. Raises Refused (400, 415)."""
    kind = request.headers.get("content-type", "")[:200]
    main = kind.partition(";")[0].strip().lower()
    if not body:
        fields = [pair for pair in _query(request.query_params) if pair[0] not in OURS]
        if not fields:
            raise Refused(400, "there is no message: neither a body nor a query")
        return Body(_object(fields), "application/json")
    if main == FORM and body.lstrip()[:1] not in {b"{", b"[", b"<"}:  # what curl and some devices call anything
        return Body(_object(_form(body)), "application/json")
    return Body(body, kind if kind.isprintable() and kind else None)


def _query(parameters: QueryParams) -> list[tuple[str, str]]:
    return parameters.multi_items()


def _form(body: bytes) -> list[tuple[str, str]]:
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        fields = []
    if not fields:
        raise Refused(415, "the body is not the form that its content type says")
    return fields


def _object(fields: list[tuple[str, str]]) -> bytes:
    """Texts by name; a name that comes again has a list of them."""
    found: dict[str, list[str]] = {}
    for name, value in fields:
        found.setdefault(name, []).append(value)
    return orjson.dumps({name: values[0] if len(values) == 1 else values for name, values in found.items()})


def _large(limit: int) -> Refused:
    return Refused(413, f"the source takes {limit} bytes")
