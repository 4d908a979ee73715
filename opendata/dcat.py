"""The catalogue as a graph: what DCAT-AP, DCAT-AP VL 2.0 and 3.0 ask for, all three at once."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from pyoxigraph import Literal, NamedNode, Triple

from broker import vocabulary
from opendata import rdf
from opendata.catalogue import Datastream, Feed, Position, Snapshot, Thing
from opendata.rdf import Value, describe, name, texts

EU = "http://publications.europa.eu/resource/authority"
FLANDERS = "https://metadata.vlaanderen.be/id/GDI-Vlaanderen-Trefwoorden"
MEDIA_TYPES = "https://www.iana.org/assignments/media-types"
CATALOGUE_LICENCE = "https://data.vlaanderen.be/id/licentie/creative-commons-zero-verklaring/v1.0"
DATA_LICENCE = "https://data.vlaanderen.be/id/licentie/modellicentie-gratis-hergebruik/v1.0"
PUBLIC = NamedNode(f"{EU}/access-right/PUBLIC")

FORMS = {
    "csv": ("CSV", "text/csv"),
    "json": ("JSON", "application/json"),
    "geojson": ("GEOJSON", "application/geo+json"),
}
TRAFFIC = ("Traffic", "Parking", "OffStreet", "OnStreet", "Crowd", "ItemFlow")
FREQUENCIES = {None: "UPDATE_CONT", "PT1H": "HOURLY", "P1D": "DAILY"}
LANGUAGES = {"nl": "NLD", "en": "ENG", "fr": "FRA", "de": "DEU"}


def catalogue_graph(snapshot: Snapshot) -> list[Triple]:
    """All triples of the catalogue of one moment."""
    catalogue = snapshot.catalogue
    positions = snapshot.positions()
    offered = catalogue.feeds()
    graph = [*_catalogue(snapshot, offered, positions), *_agents(snapshot), *_service(snapshot, offered)]
    for feed in offered:
        position = positions.get(feed.id, Position())
        graph += [*_record(snapshot, feed, position), *_dataset(snapshot, feed, position), *_forms(snapshot, feed)]
    return graph


def _catalogue(snapshot: Snapshot, offered: list[Feed], positions: dict[str, Position]) -> Iterable[Triple]:
    base, city = snapshot.catalogue.base, snapshot.catalogue.config.city
    changed = max((one.published for one in positions.values() if one.published), default=None)
    return describe(
        NamedNode(f"{base}/catalog"),
        "dcat:Catalog",
        dct_identifier=Literal(f"{base}/catalog"),
        dct_title=texts({"nl": f"Sensordata van {city.name}", "en": f"Sensor data of {city.name}"}),
        dct_description=texts(
            {
                "nl": f"De open sensordata van {city.name}, actueel en met hun geschiedenis.",
                "en": f"The open sensor data of {city.name}, live and with their history.",
            }
        ),
        dct_publisher=NamedNode(f"{base}/catalog#publisher"),
        dct_license=NamedNode(CATALOGUE_LICENCE),
        dct_language=[NamedNode(f"{EU}/language/{code}") for code in ("NLD", "ENG")],
        dct_modified=rdf.moment(changed) if changed else None,
        dcat_contactPoint=NamedNode(f"{base}/catalog#contact"),
        dcat_dataset=[_dataset_iri(base, feed) for feed in offered],
        dcat_service=NamedNode(f"{base}/catalog#api") if offered else None,
        dcat_record=[NamedNode(f"{base}/catalog#record-{feed.id}") for feed in offered],
        foaf_homepage=NamedNode(f"{base}/"),
    )


def _agents(snapshot: Snapshot) -> Iterable[Triple]:
    base, city = snapshot.catalogue.base, snapshot.catalogue.config.city
    publisher, contact = NamedNode(f"{base}/catalog#publisher"), NamedNode(f"{base}/catalog#contact")
    named = Literal(city.publisher or city.name, language="nl")
    yield from describe(publisher, "foaf:Organization", foaf_name=named)
    for kind in ("foaf:Agent", "dct:Agent"):
        yield Triple(publisher, name("rdf:type"), name(kind))
    reach = city.contact or f"{base}/"
    mail = "@" in reach and not reach.startswith("http")
    yield from describe(
        contact,
        "vcard:Organization",
        vcard_fn=named,
        vcard_hasEmail=NamedNode(f"mailto:{quote(reach.removeprefix('mailto:'), safe='@+')}") if mail else None,
        vcard_hasURL=None if mail else NamedNode(quote(reach, safe=":/?#[]@!$&'()*+,;=%")),
    )


def _service(snapshot: Snapshot, offered: list[Feed]) -> Iterable[Triple]:
    base, city = snapshot.catalogue.base, snapshot.catalogue.config.city
    if not offered:
        return []
    return describe(
        NamedNode(f"{base}/catalog#api"),
        "dcat:DataService",
        dct_identifier=Literal(f"{base}/catalog#api"),
        dct_title=texts({"nl": f"API van {city.name}", "en": f"API of {city.name}"}),
        dct_description=texts(
            {
                "nl": "Waarnemingen per feed, gefilterd op tijd, ding en eigenschap.",
                "en": "Observations per feed, filtered by time, thing and property.",
            }
        ),
        dct_publisher=NamedNode(f"{base}/catalog#publisher"),
        dct_license=NamedNode(DATA_LICENCE),
        dct_accessRights=PUBLIC,
        dcat_contactPoint=NamedNode(f"{base}/catalog#contact"),
        dcat_endpointURL=NamedNode(f"{base}/feeds"),
        dcat_endpointDescription=NamedNode(f"{base}/openapi.json"),
        dcat_servesDataset=[_dataset_iri(base, feed) for feed in offered],
        dcat_keyword=texts({"nl": "Vlaamse open data service"}),
        mdcat_statuut=NamedNode(f"{FLANDERS}/VLOPENDATASERVICE"),
        mdcat_levensfase=NamedNode("https://data.vlaanderen.be/id/concept/levensfase/live"),
        mdcat_ontwikkelingstoestand=NamedNode("https://data.vlaanderen.be/id/concept/ontwikkelingstoestand/PROD"),
    )


def _record(snapshot: Snapshot, feed: Feed, position: Position) -> Iterable[Triple]:
    base = snapshot.catalogue.base
    iri = f"{base}/catalog#record-{feed.id}"
    return describe(
        NamedNode(iri),
        "dcat:CatalogRecord",
        dct_identifier=Literal(iri),
        dct_modified=rdf.moment(position.published) if position.published else None,
        foaf_primaryTopic=_dataset_iri(base, feed),
    )


def _dataset(snapshot: Snapshot, feed: Feed, position: Position) -> Iterable[Triple]:
    base = snapshot.catalogue.base
    members = snapshot.datastreams(feed)
    span, place = (NamedNode(f"{base}/feeds/{feed.id}#{part}") for part in ("period", "area"))
    interval, box = snapshot.span(feed), _box(snapshot.things(feed))
    keys = sorted({one.property for one in members})
    yield from describe(
        _dataset_iri(base, feed),
        "dcat:Dataset",
        dct_identifier=Literal(f"{base}/feeds/{feed.id}#dataset"),
        dct_title=texts(feed.titles),
        dct_description=texts(_description(feed, members)),
        dct_publisher=NamedNode(f"{base}/catalog#publisher"),
        dct_modified=rdf.moment(position.published) if position.published else None,
        dct_accessRights=PUBLIC,
        dct_accrualPeriodicity=NamedNode(f"{EU}/frequency/{FREQUENCIES.get(feed.window, 'UPDATE_CONT')}"),
        dct_language=[NamedNode(f"{EU}/language/{LANGUAGES[one]}") for one in feed.titles if one in LANGUAGES],
        dct_temporal=span if interval.from_ else None,
        dct_spatial=place if box else None,
        dcat_theme=_themes(keys),
        dcat_keyword=[*texts({"nl": "Vlaamse open data"}), *(word for key in keys for word in _labels(key))],
        dcat_contactPoint=NamedNode(f"{base}/catalog#contact"),
        dcat_landingPage=_page(base, feed),
        dcat_distribution=[_form_iri(base, feed, form) for form in FORMS],
        mdcat_statuut=NamedNode(f"{FLANDERS}/VLOPENDATA"),
    )
    yield Triple(_page(base, feed), name("rdf:type"), name("foaf:Document"))
    if interval.from_ and interval.to:
        dates = {"dcat_startDate": rdf.moment(interval.from_), "dcat_endDate": rdf.moment(interval.to)}
        yield from describe(span, "dct:PeriodOfTime", **dates)
    if box:
        yield from describe(place, "dct:Location", dcat_bbox=Literal(box, datatype=name("geo:wktLiteral")))


def _forms(snapshot: Snapshot, feed: Feed) -> Iterable[Triple]:
    base = snapshot.catalogue.base
    for form, (kind, media) in FORMS.items():
        iri = _form_iri(base, feed, form)
        address = NamedNode(f"{base}/feeds/{feed.id}/observations.{form}")
        yield from describe(
            iri,
            "dcat:Distribution",
            dct_identifier=Literal(iri.value),
            dct_title=texts({language: f"{title} ({kind})" for language, title in feed.titles.items()}),
            dct_description=texts(
                {"nl": f"Alle waarnemingen van deze feed, als {kind}.", "en": f"All observations, as {kind}."}
            ),
            dct_license=NamedNode(DATA_LICENCE),
            dcatap_availability=NamedNode(f"{EU}/planned-availability/STABLE"),
            dct_format=NamedNode(f"{EU}/file-type/{kind}"),
            dcat_mediaType=NamedNode(f"{MEDIA_TYPES}/{media}"),
            dcat_accessURL=_page(base, feed),
            dcat_downloadURL=address,
            dcat_accessService=NamedNode(f"{base}/catalog#api"),
        )


def _dataset_iri(base: str, feed: Feed) -> NamedNode:
    return NamedNode(f"{base}/feeds/{feed.id}#dataset")


def _page(base: str, feed: Feed) -> NamedNode:
    return NamedNode(f"{base}/feeds/{feed.id}")


def _form_iri(base: str, feed: Feed, form: str) -> NamedNode:
    return NamedNode(f"{base}/feeds/{feed.id}#{form}")


def _description(feed: Feed, members: list[Datastream]) -> dict[str, str]:
    if feed.descriptions:
        return feed.descriptions
    things = len({one.thing for one in members})
    return {
        "nl": f"{feed.title('nl')}: waarnemingen van {things} meetpunten.",
        "en": f"{feed.title('en')}: observations of {things} things.",
    }


def _labels(key: str) -> list[Value]:
    known = vocabulary.load().find(key)
    return texts({one: text for one, text in known.labels.items() if one in {"nl", "en"}}) if known else []


def _themes(keys: list[str]) -> list[Value]:
    models = [model for key in keys if (known := vocabulary.load().find(key)) for model, _ in known.models[:1]]
    traffic = {model.startswith(TRAFFIC) for model in models}
    codes = [code for code, moving in (("TRAN", True), ("ENVI", False)) if moving in traffic] or ["ENVI"]
    lists = (f"{EU}/data-theme", "http://vocab.belgif.be/auth/datatheme")
    return [NamedNode(f"{list_}/{code}") for code in codes for list_ in lists]


def _box(things: list[Thing]) -> str | None:
    """The smallest box around the things, as WKT, longitude first."""
    points = [point for thing in things for point in _points((thing.location or {}).get("coordinates"))]
    if not points:
        return None
    west, east = min(x for x, _ in points), max(x for x, _ in points)
    south, north = min(y for _, y in points), max(y for _, y in points)
    corners = ((west, south), (east, south), (east, north), (west, north), (west, south))
    return f"POLYGON(({', '.join(f'{x} {y}' for x, y in corners)}))"


def _points(coordinates: Any) -> list[tuple[float, float]]:
    match coordinates:
        case [int() | float() as x, int() | float() as y, *_]:
            return [(x, y)]
        case list():
            return [point for part in coordinates for point in _points(part)]
        case _:
            return []
