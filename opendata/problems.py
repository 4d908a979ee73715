"""HTTP errors as RFC 9457 problem details: https://www.rfc-editor.org/rfc/rfc9457."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

MEDIA = "application/problem+json"


class Problem(Exception):
    """What the caller can mend, or has to wait for. `extra` members tell more, such as `parameter`."""

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra

    def response(self) -> Response:
        """Give the answer that says it."""
        return problem(self.status, self.detail, headers=self.headers, **self.extra)


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None, **extra: Any) -> Response:
    """Give a problem document; its title is the status' phrase."""
    content = {"type": "about:blank", "title": _phrase(status), "status": status, "detail": detail, **extra}
    kept = {"Cache-Control": "no-store", **(headers or {})}
    return Response(orjson.dumps(content), status, headers=kept, media_type=MEDIA)


def bad_parameter(name: str, detail: str, **extra: Any) -> Problem:
    """Give the 400 that names a query parameter."""
    return Problem(400, f"parameter {name}: {detail}", parameter=name, **extra)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
