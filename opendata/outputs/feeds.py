"""The index of feeds, and each feed by itself, as JSON: https://www.rfc-editor.org/rfc/rfc8259.

`/feeds/{feed}` is a page for people where a browser asks, JSON for everybody else.
"""

from collections.abc import Callable
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.model import Message
from opendata import answers, negotiation
from opendata.catalogue import Catalogue, Datastream, Feed, Position, Snapshot
from opendata.outputs.json import observation
from opendata.portal import pages

JSON = "application/json"
HTML = "text/html"
FORMS = ("csv", "json", "geojson")


def router(catalogue: Callable[[Request], Catalogue], submit: Callable[[Message], None]) -> APIRouter:  # noqa: ARG001 - the contract of outputs
    """Serve `/feeds` and `/feeds/{feed}`."""
    routes = APIRouter(tags=["feeds"])

    @routes.get("/feeds")
    def feeds(request: Request) -> Response:
        """Give what is offered."""
        shown = catalogue(request)
        with shown.open() as snapshot:
            positions = snapshot.positions()
            offered = [_index(snapshot, feed, positions.get(feed.id, Position())) for feed in shown.feeds()]
        return answers.whole(request, orjson.dumps({"feeds": offered}), JSON)

    @routes.get("/feeds/{feed}", responses={200: {"content": {JSON: {}, HTML: {}}}})
    def one_feed(request: Request, feed: str) -> Response:
        """Give one feed: what it is, its things, its datastreams and their latest values."""
        shown = catalogue(request)
        offered = shown.feed(feed)
        if negotiation.choose(request, (JSON, HTML)) == HTML:
            return pages.answer(request, pages.feed_page(shown, offered), vary="Accept")
        with shown.open() as snapshot:
            body = orjson.dumps(_whole(snapshot, offered))
        return answers.whole(request, body, JSON, vary="Accept")

    return routes


def _index(snapshot: Snapshot, feed: Feed, position: Position) -> dict[str, Any]:
    language, base = snapshot.catalogue.config.city.language, snapshot.catalogue.base
    members = snapshot.datastreams(feed)
    span = snapshot.span(feed)
    return {
        "id": feed.id,
        "title": feed.title(language),
        "titles": feed.titles,
        "description": feed.description(language),
        "descriptions": feed.descriptions,
        "policy": feed.policy,
        "tier": feed.tier,
        "properties": sorted({one.property for one in members}),
        "window": feed.window,
        "statistics": feed.statistics,
        "thingCount": len({one.thing for one in members}),
        "datastreamCount": len(members),
        "from": span.from_,
        "to": span.to,
        "sequence": position.sequence,
        "updated": position.published,
        "url": f"{base}/feeds/{feed.id}",
        "observations": {form: f"{base}/feeds/{feed.id}/observations.{form}" for form in FORMS},
    }


def _whole(snapshot: Snapshot, feed: Feed) -> dict[str, Any]:
    return _index(snapshot, feed, snapshot.position(feed)) | {
        "things": [thing._asdict() for thing in snapshot.things(feed)],
        "datastreams": [_datastream(one) for one in snapshot.datastreams(feed)],
        "latest": [observation(one) for one in snapshot.latest(feed)],
    }


def _datastream(one: Datastream) -> dict[str, Any]:
    return {
        "id": one.id,
        "datastream": one.name(),
        "thing": one.thing,
        "observedProperty": one.property,
        "name": one.property_name,
        "definition": one.definition or None,
        "qualifier": one.qualifier,
        "unit": one.unit,
        "statistic": one.statistic,
        "minimum": one.minimum,
    }
