"""The query parameters of observations: which times, things and properties."""

import re
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

from fastapi import Query

from opendata.problems import bad_parameter

EXAMPLE = "2026-11-24T08:00:00+01:00 or 2026-11-24T07:00:00Z"

_BLANK_FOR_PLUS = re.compile(r"(?<=T)(.*) (\d\d:?(?:\d\d)?)$")


class Selection(NamedTuple):
    """Phenomenon times [from_, to), and things and properties; nothing named is all."""

    from_: datetime | None = None
    to: datetime | None = None
    things: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()


def selection(
    from_: Annotated[
        str | None,
        Query(alias="from", description=f"First phenomenon time, inclusive, with a zone: {EXAMPLE}"),
    ] = None,
    to: Annotated[str | None, Query(description="Last phenomenon time, exclusive, with a zone")] = None,
    thing: Annotated[list[str] | None, Query(description="Identity of a thing; repeat for more")] = None,
    property: Annotated[  # noqa: A002 - the address is fixed
        list[str] | None, Query(description="Key of an observed property; repeat for more")
    ] = None,
) -> Selection:
    """Read the parameters of a request. Raises Problem 400 that names the parameter."""
    first, last = moment("from", from_), moment("to", to)
    if first and last and first > last:
        raise bad_parameter("to", "lies before from")
    return Selection(first, last, tuple(thing or ()), tuple(property or ()))


def moment(name: str, text: str | None) -> datetime | None:
    """Read an ISO 8601 time with a zone; a blank stands for the `+` that a query string swallowed."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(_BLANK_FOR_PLUS.sub(r"\1+\2", text.strip()))
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise bad_parameter(name, f"expected an ISO 8601 time with a zone, such as {EXAMPLE}") from None
    raise bad_parameter(name, f"the time has no zone, expected one such as {EXAMPLE}")
