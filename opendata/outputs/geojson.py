"""Observations as GeoJSON, in pages: https://www.rfc-editor.org/rfc/rfc7946.

One feature per observation, with the geometry of its thing (null where it has none) and the CSV's
columns as properties. `links` leads to the next page, as in OGC API Features.
"""

from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from broker.model import Message
from opendata import answers, paging, query
from opendata.catalogue import Catalogue, Page
from opendata.outputs.json import observation
from opendata.query import Selection

MEDIA = "application/geo+json"


def router(catalogue: Callable[[Request], Catalogue], submit: Callable[[Message], None]) -> APIRouter:  # noqa: ARG001 - the contract of outputs
    """Serve `/feeds/{feed}/observations.geojson`."""
    routes = APIRouter(tags=["observations"])

    @routes.get(
        "/feeds/{feed}/observations.geojson", response_class=Response, responses={200: {"content": {MEDIA: {}}}}
    )
    def observations_geojson(
        request: Request,
        feed: str,
        selection: Annotated[Selection, Depends(query.selection)],
        page: Annotated[paging.Request, Depends(paging.read)],
    ) -> Response:
        """Give a page of a feed's observations as features, ascending by phenomenon time."""
        shown = catalogue(request)
        offered = shown.feed(feed)
        with shown.open() as snapshot:
            places = {thing.identity: thing.location for thing in snapshot.things(offered)}
            version = snapshot.version(offered, selection)
            etag = answers.tag(request, "geojson", shown.base, page, version, places)
            if (same := answers.unchanged(request, etag)) is not None:
                return same
            found = snapshot.observations(offered, selection, page.limit, page.after)
        following = paging.following(request, shown.base, found.next)
        body = orjson.dumps(_collection(found, places, following))
        return answers.whole(request, body, MEDIA, etag=etag, link=paging.link(following))

    return routes


def _collection(page: Page, places: dict[str, Any], following: str | None) -> dict[str, Any]:
    features = [
        {"type": "Feature", "geometry": places.get(row.thing), "properties": observation(row)} for row in page.rows
    ]
    links = [{"rel": "next", "type": MEDIA, "href": following}] if following else []
    return {"type": "FeatureCollection", "features": features, "links": links}
