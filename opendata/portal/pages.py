"""The front page, a page for each feed, and the files they need."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from hashlib import blake2b
from importlib.resources import files

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from opendata import answers
from opendata.catalogue import Catalogue, Chart, Datastream, Feed, Shown, Snapshot, Thing
from opendata.portal import chart, words
from opendata.portal.html import Content, Markup, element, text
from opendata.portal.words import both

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'"
)
CARD = chart.Frame(340, 165, left=34, right=8)
WIDE = chart.Frame(760, 260, left=52)
CHARTS = 6
"""Properties of a feed that get a chart."""
ROWS = 300
"""Latest values that the table of a feed shows."""
FORMS = (("csv", "CSV"), ("json", "JSON"), ("geojson", "GeoJSON"))
ASSETS = {"portal.css": "text/css", "portal.js": "text/javascript"}


def router(catalogue: Callable[[Request], Catalogue]) -> APIRouter:
    """Serve `/` and the style sheet and script of the pages."""
    routes = APIRouter(tags=["pages"], include_in_schema=False)

    @routes.get("/")
    def home(request: Request) -> Response:
        return answer(request, home_page(catalogue(request)))

    for name, media in ASSETS.items():
        routes.add_api_route(f"/assets/{name}", _asset(name, media))
    return routes


def answer(request: Request, page: str, vary: str = "") -> Response:
    """Answer with a page that may load nothing from elsewhere."""
    response = answers.whole(request, page.encode(), "text/html; charset=utf-8", vary=vary)
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def home_page(catalogue: Catalogue) -> Markup:
    """All feeds with a chart each."""
    city = catalogue.config.city.name
    with catalogue.open() as snapshot:
        cards = [_card(snapshot, feed) for feed in catalogue.feeds()]
    empty = element("p", both("Er zijn nog geen feeds.", "There are no feeds yet."), class_="empty")
    links = element(
        "p",
        _link(f"{catalogue.base}/catalog", "DCAT-catalogus"),
        _link(f"{catalogue.base}/feeds", "JSON"),
        _link(f"{catalogue.base}/openapi.json", "OpenAPI"),
        class_="links",
    )
    head = element(
        "header",
        element("p", city, class_="eyebrow"),
        element("h1", "Open sensordata"),
        element("p", "Wat de stad meet, live en voor iedereen.", class_="lead"),
        element("p", "What the city measures, live and for everybody.", lang="en", class_="lead en"),
        links,
        class_="hero",
    )
    return _page(
        catalogue, f"Open sensordata {city}", head, element("main", cards or empty, id="main", class_="cards")
    )


def feed_page(catalogue: Catalogue, feed: Feed) -> Markup:
    """One feed: what it is, charts, latest values, and how to get the data."""
    with catalogue.open() as snapshot:
        members = snapshot.datastreams(feed)
        names = _names(snapshot.things(feed))
        body = [
            _charts(snapshot, feed, members, names),
            _downloads(snapshot, feed),
            _table(feed, snapshot.latest(feed), catalogue, names),
        ]
        head = _feed_head(snapshot, feed, members)
    title = f"{feed.title('nl')} – {catalogue.config.city.name}"
    return _page(catalogue, title, head, element("main", body, id="main", class_="feed"))


def _page(catalogue: Catalogue, title: str, *body: Content) -> Markup:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("link", rel="icon", href=_ICON),
        element("link", rel="stylesheet", href=f"{catalogue.base}/assets/portal.css?{_digest('portal.css')}"),
        element("link", rel="alternate", type="text/turtle", href=f"{catalogue.base}/catalog.ttl"),
        element("script", src=f"{catalogue.base}/assets/portal.js?{_digest('portal.js')}", defer=True),
    )
    skip = element("a", "Naar de inhoud / Skip to content", href="#main", class_="skip")
    footer = element(
        "footer",
        both("Modellicentie gratis hergebruik.", "Free reuse, with attribution."),
        element("span", "citybroker"),
    )
    return Markup(f"<!doctype html>{element('html', head, element('body', skip, body, footer), lang='nl')}")


def _card(snapshot: Snapshot, feed: Feed) -> Markup:
    catalogue = snapshot.catalogue
    members = [one for one in snapshot.datastreams(feed) if one.current]
    address = f"{catalogue.base}/feeds/{feed.id}"
    things = len({one.thing for one in members})
    last = snapshot.span(feed).to
    facts = element(
        "p",
        element("span", f"{words.number(things)} ", both("meetpunten", "things")) if things else None,
        element("span", words.moment(last, catalogue.config.zone, brief=True)) if last else None,
        class_="facts",
    )
    return element(
        "article",
        element("h2", element("a", feed.title("nl"), href=address), _english(feed)),
        element("p", words.policy(feed.window, feed.statistics), class_="policy"),
        _small_chart(snapshot, feed, members),
        facts,
        element("p", [_link(f"{address}/observations.{form}", name) for form, name in FORMS], class_="links"),
        class_="card",
    )


def _english(feed: Feed) -> Markup | None:
    english = feed.titles.get("en")
    return element("span", english, lang="en", class_="en") if english and english != feed.title("nl") else None


def _small_chart(snapshot: Snapshot, feed: Feed, members: list[Datastream]) -> Markup:
    for key in _keys(feed, members):
        if (found := snapshot.chart(feed, key)) is not None:
            caption = element("figcaption", _property(found))
            drawn = chart.overview(found, snapshot.catalogue.config.zone, CARD)
            return element("figure", caption, drawn)
    return element("p", both("Nog geen metingen.", "No measurements yet."), class_="empty")


def _charts(snapshot: Snapshot, feed: Feed, members: list[Datastream], names: dict[str, str]) -> list[Markup]:
    shown = _keys(feed, [one for one in members if one.current])[:CHARTS]
    found = [snapshot.chart(feed, key) for key in shown]
    zone = snapshot.catalogue.config.zone
    drawn = [
        element(
            "figure",
            element("figcaption", _property(one)),
            chart.lines(one, zone, WIDE),
            _legend([names.get(thing, thing) for thing in one.lines]),
        )
        for one in found
        if one is not None
    ]
    heading = element("h2", both("Laatste 24 uur", "Last 24 hours"))
    return [element("section", heading, drawn, class_="charts")] if drawn else []


def _legend(things: list[str]) -> Markup:
    shown = [element("li", name, class_=f"c{place}") for place, name in enumerate(things[: chart.COLOURS])]
    rest = len(things) - len(shown)
    more = element("li", f"+ {words.number(rest)} ", both("andere", "others"), class_="rest") if rest > 0 else None
    return element("ul", shown, more, class_="legend")


def _property(one: Chart) -> Markup:
    shown = words.rate(one.unit) if one.hourly else words.unit(one.unit)
    label, english = words.label(one.property), words.label(one.property, "en")
    return text(both(label, english), element("span", shown, class_="unit") if shown else None)


def _keys(feed: Feed, members: list[Datastream]) -> list[str]:
    """The properties of a feed as it names them, then those of most datastreams, what concerns the device last."""
    counts = Counter(one.property for one in members)
    service = {"batteryLevel", "batteryVoltage", "rssi", "snr", "signalStrength"}
    place = {key: number for number, key in enumerate(feed.properties)}
    return sorted(counts, key=lambda key: (key in service, place.get(key, len(place)), -counts[key], key))


def _names(things: list[Thing]) -> dict[str, str]:
    """What people call things, by identity; a name that several have says which one it is."""
    many = Counter(one.name for one in things)
    return {
        one.identity: one.name if many[one.name] == 1 else f"{one.name} ({one.identity})"
        for one in things
        if one.name and one.name != one.identity
    }


def _feed_head(snapshot: Snapshot, feed: Feed, members: list[Datastream]) -> Markup:
    catalogue = snapshot.catalogue
    zone = catalogue.config.zone
    span = snapshot.span(feed)
    period = (
        text(words.moment(span.from_, zone), " – ", words.moment(span.to, zone)) if span.from_ and span.to else "–"
    )
    facts = (
        (both("Toont", "Shows"), words.policy(feed.window, feed.statistics)),
        (both("Meetpunten", "Things"), words.number(len({one.thing for one in members}))),
        (both("Reeksen", "Datastreams"), words.number(len(members))),
        (both("Periode", "Period"), period),
    )
    return element(
        "header",
        element("p", element("a", f"← {catalogue.config.city.name}", href=f"{catalogue.base}/"), class_="eyebrow"),
        element("h1", feed.title("nl")),
        element("p", feed.titles.get("en"), lang="en", class_="lead en") if feed.titles.get("en") else None,
        element("p", feed.description("nl"), class_="lead") if feed.descriptions else None,
        element("dl", [element("div", element("dt", name), element("dd", shown)) for name, shown in facts]),
        class_="hero",
    )


def _downloads(snapshot: Snapshot, feed: Feed) -> Markup:
    base = f"{snapshot.catalogue.base}/feeds/{feed.id}/observations"
    buttons = [element("a", name, href=f"{base}.{form}", class_="button") for form, name in FORMS]
    last = snapshot.span(feed).to
    since = (last - timedelta(hours=1)).replace(second=0, microsecond=0) if last else None
    query = f"?from={since:%Y-%m-%dT%H:%M:%SZ}" if since else ""
    return element(
        "section",
        element("h2", both("Haal de data", "Get the data")),
        element("p", buttons, class_="buttons"),
        _command(f"curl '{base}.csv{query}'"),
        _command(f"python -c \"import pandas; print(pandas.read_csv('{base}.csv{query}'))\""),
        class_="downloads",
    )


def _command(line: str) -> Markup:
    button = element("button", "Kopieer", type="button", data_copy=line, hidden=True, aria_label="Kopieer / Copy")
    return element("div", element("pre", element("code", line), tabindex="0"), button, class_="command")


def _table(feed: Feed, latest: list[Shown], catalogue: Catalogue, names: dict[str, str]) -> Markup | None:
    if not latest:
        return None
    titles = (("Meetpunt", "Thing"), ("Eigenschap", "Property"), ("Waarde", "Value"), ("Tijd", "Time"))
    head = element("tr", [element("th", both(*one), scope="col") for one in titles])
    rows = [_row(feed, one, catalogue, names.get(one.thing, one.thing)) for one in latest[:ROWS]]
    rest = len(latest) - len(rows)
    more = (
        element("p", f"+ {words.number(rest)} ", both("andere reeksen", "other datastreams"), class_="facts")
        if rest > 0
        else None
    )
    table = element("table", element("thead", head), element("tbody", rows))
    heading = element("h2", both("Laatste waarden", "Latest values"))
    return element("section", heading, element("div", table, class_="scroll", tabindex="0"), more, class_="latest")


def _row(feed: Feed, one: Shown, catalogue: Catalogue, name: str) -> Markup:
    extra = words.qualifier(one.datastream.removeprefix(f"{one.thing}/{one.property}").lstrip("/"), feed.window)
    shown: Content = words.value(one.result, one.unit)
    if one.status != "published":
        shown = (
            both("te weinig om te tonen", "too few to show")
            if one.status == "suppressed"
            else both("ingetrokken", "withdrawn")
        )
    return element(
        "tr",
        element("th", name, scope="row", title=one.thing),
        element("td", words.label(one.property), element("small", f" {extra}") if extra else None),
        element("td", shown, element("small", f" {one.quality}") if one.quality else None, class_="value"),
        element("td", words.moment(one.start, catalogue.config.zone)),
    )


def _link(address: str, name: str) -> Markup:
    return element("a", name, href=address)


def _asset(name: str, media: str) -> Callable[[Request], Response]:
    def asset(request: Request) -> Response:
        response = answers.whole(request, _read(name), f"{media}; charset=utf-8")
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response

    return asset


def _read(name: str) -> bytes:
    return files("opendata.portal").joinpath(name).read_bytes()


def _digest(name: str) -> str:
    """So that a new version has a new address."""
    return blake2b(_read(name), digest_size=4).hexdigest()


_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' "
    "r='7' fill='%230b6e5f'/%3E%3Cpath d='M3 9h2l2-4 2 6 2-2h2' fill='none' stroke='white'/%3E%3C/svg%3E"
)
