"""Answers with validators: strong ETags known before the first byte, 304, gzip and streaming.

https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

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
    request: Request, blocks: Iterator[bytes], media: str, *, etag: str, headers: dict[str, str] | None = None
) -> Response:
    """Answer block by block; for HEAD none is made."""
    kept = _headers(etag, "") | (headers or {})
    if takes_gzip(request):
        kept["Content-Encoding"] = "gzip"
    if is_head(request):
        return Response(headers=_without_length(kept), media_type=media)
    body: Iterable[bytes] = _gzipped(blocks) if takes_gzip(request) else blocks
    return StreamingResponse(body, headers=kept, media_type=media)


def is_head(request: Request) -> bool:
    """Whether only the headers are wanted (see `opendata.app.Heads`)."""
    return bool(request.scope.get("citybroker.head"))


def _headers(etag: str, vary: str) -> dict[str, str]:
    return {
        "ETag": etag,
        "Cache-Control": REVALIDATE,
        "Vary": ", ".join(filter(None, (vary, "Accept-Encoding"))),
    }


def _without_length(headers: dict[str, str]) -> dict[str, str]:
    return headers


def _gzipped(blocks: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    for block in blocks:
        if packed := packer.compress(block):
            yield packed
    yield packer.flush()
