"""Observations as CSV, streamed: https://www.rfc-editor.org/rfc/rfc4180.

Columns, always in this order: phenomenonTime, thing, observedProperty, result, unit, datastream,
phenomenonTimeEnd, quality, status. Times are ISO 8601 in UTC, units UCUM; an empty field is no value.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from broker.model import Message
from opendata import answers, query
from opendata.catalogue import Catalogue
from opendata.query import Selection

MEDIA = "text/csv; charset=utf-8; header=present"


def router(catalogue: Callable[[Request], Catalogue], submit: Callable[[Message], None]) -> APIRouter:  # noqa: ARG001 - the contract of outputs
    """Serve `/feeds/{feed}/observations.csv`."""
    routes = APIRouter(tags=["observations"])

    @routes.get(
        "/feeds/{feed}/observations.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}}
    )
    def observations_csv(
        request: Request, feed: str, selection: Annotated[Selection, Depends(query.selection)]
    ) -> Response:
        """Give all observations of a feed as CSV, ascending by phenomenon time."""
        shown = catalogue(request)
        offered = shown.feed(feed)
        with ExitStack() as stack:
            snapshot = stack.enter_context(shown.export())
            etag = answers.tag(request, "csv", snapshot.version(offered, selection))
            if (same := answers.unchanged(request, etag)) is not None:
                return same
            named = {"Content-Disposition": f'inline; filename="{offered.id}.csv"'}
            blocks = snapshot.csv(offered, selection)
            close = stack.pop_all().close
        return answers.stream(request, blocks, MEDIA, etag=etag, close=close, headers=named)

    return routes
