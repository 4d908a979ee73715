import pytest
from starlette.requests import Request

from opendata.negotiation import choose, takes_gzip
from opendata.problems import Problem

OFFERS = ["text/turtle", "application/rdf+xml", "application/ld+json"]


def asking(**headers):
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw})


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "text/turtle"),
        ("*/*", "text/turtle"),
        ("application/ld+json", "application/ld+json"),
        ("application/*", "application/rdf+xml"),
        ("text/html, application/rdf+xml;q=0.5, */*;q=0.1", "application/rdf+xml"),
        ("text/turtle;q=0.2, application/ld+json;q=0.9", "application/ld+json"),
        ("TEXT/TURTLE ; q=1", "text/turtle"),
        ("*/*, text/turtle;q=0", "application/rdf+xml"),
        ("text/turtle;q=nonsense, application/*;q=0.1", "application/rdf+xml"),
    ],
)
def test_the_best_form_is_chosen(accept, chosen):
    assert choose(asking(accept=accept), OFFERS) == chosen


def test_a_form_that_is_not_there_is_a_406_with_those_that_are():
    with pytest.raises(Problem) as caught:
        choose(asking(accept="image/png"), OFFERS)
    assert (caught.value.status, caught.value.extra["allowed"]) == (406, OFFERS)


@pytest.mark.parametrize(
    ("header", "taken"),
    [("gzip, br", True), ("br", False), ("gzip;q=0", False), ("*", True), ("*;q=0", False), ("identity", False)],
)
def test_gzip_is_used_where_it_is_taken(header, taken):
    assert takes_gzip(asking(accept_encoding=header)) is taken


def test_without_a_header_nothing_is_compressed():
    assert not takes_gzip(asking())
