"""Answers with validators: strong ETags known before the first byte, 304, gzip and streaming.

https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3
"""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from opendata.negotiation import takes_gzip

REVALIDATE = "public, no-cache"
"""May be kept, and must be asked for again: a 304 is cheap."""
SMALL = 512
"""Bytes below which compressing is not worth it."""


def tag(request: Request, *parts: Any) -> str:
    """Give a strong ETag of what decides on the bytes of an answer; the encoding always does."""
    seen = repr((parts, takes_gzip(request))).encode()
    return f'"{blake2b(seen, digest_size=12).hexdigest()}"'


def unchanged(request: Request, etag: str, *, vary: str = "") -> Response | None:
    """Give the 304 if the caller has this already, else None."""
    known = request.headers.get("if-none-match")
    if known is None:
        return None
    tags = {one.strip().removeprefix("W/") for one in known.split(",")}
    if etag not in tags and "*" not in tags:
        return None
    return Response(status_code=304, headers=_headers(etag, vary))


def whole(
    request: Request, content: bytes, media: str, *, etag: str | None = None, vary: str = "", link: str = ""
) -> Response:
    """Answer with all of the content; without an `etag` its own digest is one."""
    etag = etag or tag(request, content)
    if (same := unchanged(request, etag, vary=vary)) is not None:
        return same
    headers = _headers(etag, vary) | ({"Link": link} if link else {})
    if takes_gzip(request) and len(content) > SMALL:
        headers["Content-Encoding"] = "gzip"
        content = gzip.compress(content, 5, mtime=0)
    return Response(content, headers=headers, media_type=media)


def stream(
    request: Request,
    blocks: Iterator[bytes],
    media: str,
    *,
    etag: str,
    close: Callable[[], None],
    headers: dict[str, str],
) -> Response:
    """Answer block by block; `close` is called once the last is sent or the reader is gone.

    For HEAD no block is made.
    """
    kept = _headers(etag, "") | headers
    body: Iterable[bytes] = blocks
    if takes_gzip(request):
        kept["Content-Encoding"] = "gzip"
        body = _gzipped(blocks)
    return Blocks([] if is_head(request) else body, close, headers=kept, media_type=media)


class Blocks(StreamingResponse):
    """A streamed answer that lets go of what it streams from, however it ends."""

    def __init__(self, body: Iterable[bytes], close: Callable[[], None], **more: Any) -> None:
        super().__init__(body, **more)
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the blocks."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await run_in_threadpool(self._close)


def is_head(request: Request) -> bool:
    """Whether only the headers are wanted (see `opendata.app.Methods`)."""
    return bool(request.scope.get("citybroker.head"))


def _headers(etag: str, vary: str) -> dict[str, str]:
    return {
        "ETag": etag,
        "Cache-Control": REVALIDATE,
        "Vary": ", ".join(filter(None, (vary, "Accept-Encoding"))),
    }


def _gzipped(blocks: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    for block in blocks:
        if packed := packer.compress(block):
            yield packed
    yield packer.flush()
