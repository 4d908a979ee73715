"""The catalogue in DCAT-AP 3, also valid as DCAT-AP VL 2.0 and 3.0.

https://semiceu.github.io/DCAT-AP/releases/3.0.1/ and
https://data.vlaanderen.be/doc/applicatieprofiel/DCAT-AP-VL; a dataset per feed, a distribution per
form, one service. Coverage in time and space and all dates of change are computed from the data.
"""

from collections.abc import Callable
from functools import partial

from fastapi import APIRouter
from pyoxigraph import RdfFormat, Triple, serialize
from starlette.requests import Request
from starlette.responses import Response

from broker.model import Message
from opendata import answers, negotiation
from opendata.catalogue import Catalogue
from opendata.dcat import catalogue_graph
from opendata.rdf import PREFIXES

FORMS = {
    "ttl": ("text/turtle", RdfFormat.TURTLE),
    "rdf": ("application/rdf+xml", RdfFormat.RDF_XML),
    "jsonld": ("application/ld+json", RdfFormat.JSON_LD),
    "nt": ("application/n-triples", RdfFormat.N_TRIPLES),
}


def router(catalogue: Callable[[Request], Catalogue], submit: Callable[[Message], None]) -> APIRouter:  # noqa: ARG001 - the contract of outputs
    """Serve `/catalog` by content negotiation, and `/catalog.ttl`, `.rdf`, `.jsonld` and `.nt`."""
    routes = APIRouter(tags=["catalogue"])
    kinds: dict[str, dict[str, str]] = {media: {} for media, _ in FORMS.values()}

    @routes.get("/catalog", response_class=Response, responses={200: {"content": kinds}})
    def catalog(request: Request) -> Response:
        """Give the catalogue in the RDF form that the caller likes best; Turtle if it has no preference."""
        chosen = negotiation.choose(request, [media for media, _ in FORMS.values()])
        form = next(form for media, form in FORMS.values() if media == chosen)
        return _answer(request, catalogue(request), chosen, form, vary="Accept")

    def in_form(request: Request, media: str, form: RdfFormat) -> Response:
        return _answer(request, catalogue(request), media, form)

    for extension, (media, form) in FORMS.items():
        routes.add_api_route(
            f"/catalog.{extension}",
            _endpoint(partial(in_form, media=media, form=form), extension),
            response_class=Response,
            responses={200: {"content": {media: {}}}},
        )
    return routes


def _endpoint(answer: Callable[[Request], Response], extension: str) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        return answer(request)

    endpoint.__name__ = f"catalog_{extension}"
    endpoint.__doc__ = f"Give the catalogue as .{extension}."
    return endpoint


def _answer(request: Request, catalogue: Catalogue, media: str, form: RdfFormat, vary: str = "") -> Response:
    with catalogue.open() as snapshot:
        graph = catalogue_graph(snapshot)
    return answers.whole(request, render(graph, form), media, vary=vary)


def render(graph: list[Triple], form: RdfFormat) -> bytes:
    """Write triples in one RDF form."""
    return serialize(graph, format=form, prefixes=PREFIXES) or b""
