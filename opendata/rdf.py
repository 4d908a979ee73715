"""Small words to write RDF with."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TypeAlias

from pyoxigraph import Literal, NamedNode, Triple

Value: TypeAlias = NamedNode | Literal

PREFIXES = {
    "adms": "http://www.w3.org/ns/adms#",
    "dcat": "http://www.w3.org/ns/dcat#",
    "dcatap": "http://data.europa.eu/r5r/",
    "dct": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "geo": "http://www.opengis.net/ont/geosparql#",
    "mdcat": "https://data.vlaanderen.be/ns/metadata-dcat#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}


def name(curie: str) -> NamedNode:
    """Give the IRI of `prefix:local`."""
    prefix, _, local = curie.partition(":")
    return NamedNode(PREFIXES[prefix] + local)


def describe(node: NamedNode, kind: str, **values: Value | list[Value] | None) -> Iterator[Triple]:
    """Give the triples of a node: its class, and `prefix_local=value`; None and [] say nothing."""
    yield Triple(node, name("rdf:type"), name(kind))
    for key, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                yield Triple(node, name(key.replace("_", ":", 1)), one)


def texts(by_language: Mapping[str, str]) -> list[Value]:
    """Give a text in its languages."""
    return [Literal(text, language=language) for language, text in by_language.items()]


def moment(time: datetime) -> Literal:
    """Give an xsd:dateTime with its zone."""
    return Literal(time.isoformat(), datatype=name("xsd:dateTime"))
