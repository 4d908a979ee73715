"""Pages: how many rows, and where a page begins. A cursor is opaque to whoever follows it."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Annotated, NamedTuple
from urllib.parse import urlencode

from fastapi import Query
from starlette import requests

from opendata.problems import bad_parameter

LIMIT = 1_000
MOST = 10_000


class Request(NamedTuple):
    """The page that is asked for: at most `limit` rows behind `after` (time, datastream)."""

    limit: int
    after: tuple[datetime, int] | None


def read(
    limit: Annotated[int, Query(ge=1, le=MOST, description="Observations a page")] = LIMIT,
    after: Annotated[str | None, Query(description="Where the page begins: taken from the next link")] = None,
) -> Request:
    """Read the parameters of a request. Raises Problem 400 that names the parameter."""
    return Request(limit, None if after is None else _decode(after))


def following(request: requests.Request, base: str, cursor: tuple[datetime, int] | None) -> str | None:
    """Give the address of the next page: this one's, with another `after`."""
    if cursor is None:
        return None
    kept = [(key, value) for key, value in request.query_params.multi_items() if key != "after"]
    return f"{base}{request.url.path}?{urlencode([*kept, ('after', _encode(cursor))])}"


def link(address: str | None) -> str:
    """Give the Link header that leads to the next page, "" on the last."""
    return f'<{address}>; rel="next"' if address else ""


def _encode(cursor: tuple[datetime, int]) -> str:
    text = f"{cursor[0].astimezone(UTC).isoformat()} {cursor[1]}"
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(text: str) -> tuple[datetime, int]:
    try:
        moment, _, stream = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(" ")
        found = datetime.fromisoformat(moment).astimezone(UTC), int(stream)
    except (ValueError, OverflowError):
        found = None
    if found is None or not 0 <= found[1] < 2**63:
        raise bad_parameter("after", "is not from a next link")
    return found
