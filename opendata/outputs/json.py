"""Observations as JSON, in pages: https://www.rfc-editor.org/rfc/rfc8259, linked as in RFC 8288.

Members have the names of the CSV's columns. `next` is the address of the next page, null on the last.
"""

from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from broker.model import Message
from opendata import answers, paging, query
from opendata.catalogue import Catalogue, Shown
from opendata.query import Selection

MEDIA = "application/json"


def router(catalogue: Callable[[Request], Catalogue], submit: Callable[[Message], None]) -> APIRouter:  # noqa: ARG001 - the contract of outputs
    """Serve `/feeds/{feed}/observations.json`."""
    routes = APIRouter(tags=["observations"])

    @routes.get("/feeds/{feed}/observations.json")
    def observations_json(
        request: Request,
        feed: str,
        selection: Annotated[Selection, Depends(query.selection)],
        page: Annotated[paging.Request, Depends(paging.read)],
    ) -> Response:
        """Give a page of a feed's observations, ascending by phenomenon time."""
        shown = catalogue(request)
        offered = shown.feed(feed)
        with shown.open() as snapshot:
            etag = answers.tag(request, "json", shown.base, page, snapshot.version(offered, selection))
            if (same := answers.unchanged(request, etag)) is not None:
                return same
            found = snapshot.observations(offered, selection, page.limit, page.after)
        following = paging.following(request, shown.base, found.next)
        body = {"feed": offered.id, "observations": [observation(row) for row in found.rows], "next": following}
        return answers.whole(request, orjson.dumps(body), MEDIA, etag=etag, link=paging.link(following))

    return routes


def observation(row: Shown) -> dict[str, Any]:
    """One observation with the names of the CSV's columns."""
    return {
        "phenomenonTime": row.start,
        "phenomenonTimeEnd": row.end,
        "thing": row.thing,
        "observedProperty": row.property,
        "result": row.result,
        "unit": row.unit,
        "datastream": row.datastream,
        "quality": row.quality,
        "status": row.status,
    }
