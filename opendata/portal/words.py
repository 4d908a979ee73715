"""How values read to people: units, numbers, times, names."""

from datetime import datetime, tzinfo
from typing import Any

from broker import vocabulary
from opendata.portal.html import Markup, element, text

UNITS = {
    "1": "", "Cel": "°C", "ug/m3": "µg/m³", "mg/m3": "mg/m³", "deg": "°", "dB[SPL]": "dB", "dB(A)": "dB(A)",
    "[ppm]": "ppm", "[ppb]": "ppb", "m3": "m³", "m3/s": "m³/s", "W/m2": "W/m²", "J/m2": "J/m²", "Ohm": "Ω",
    "[pH]": "pH", "uS/cm": "µS/cm", "[lx]": "lx", "/h": "/u", "L": "l", "mm/h": "mm/u", "km/h": "km/u",
}  # fmt: skip
"""UCUM codes that read better otherwise."""

STATISTICS = {
    "mean": ("gemiddelde", "mean"),
    "min": ("minimum", "minimum"),
    "max": ("maximum", "maximum"),
    "sum": ("som", "sum"),
    "count": ("aantal", "count"),
    "median": ("mediaan", "median"),
    "p85": ("85e percentiel", "85th percentile"),
    "last": ("laatste waarde", "last value"),
}
WINDOWS = {
    "PT15M": ("per kwartier", "quarter-hourly"),
    "PT1H": ("per uur", "hourly"),
    "P1D": ("per dag", "daily"),
}


def both(dutch: str, english: str, tag: str = "span") -> Markup:
    """Dutch, and English beside it."""
    return element(tag, dutch, " ", element("span", english, lang="en", class_="en"))


def unit(ucum: str) -> str:
    """A unit as people write it."""
    return UNITS.get(ucum, ucum)


def rate(ucum: str) -> str:
    """The unit of a total an hour."""
    return f"{unit(ucum)}/u" if unit(ucum) else "per uur"


def number(value: float) -> str:
    """A number with a comma and about four digits."""
    if abs(value) >= 999.95:
        shown = f"{value:,.0f}".replace(",", "\u202f")
    else:
        shown = f"{value:.4g}" if abs(value) >= 0.0001 else f"{value:.7f}".rstrip("0").rstrip(".")
    return shown.replace(".", ",").replace("-", "\u2212")


def value(result: Any, ucum: str) -> str:
    """A result with its unit."""
    if isinstance(result, bool):
        return "ja / yes" if result else "nee / no"
    if isinstance(result, int | float):
        return f"{number(result)}\u00a0{unit(ucum)}".rstrip("\u00a0")
    return "–" if result is None else str(result)[:80]


def label(key: str, language: str = "nl") -> str:
    """The name of an observed property."""
    known = vocabulary.load().find(key)
    return known.labels.get(language, key) if known else key


def moment(time: datetime, zone: tzinfo, *, brief: bool = False) -> Markup:
    """A time as the city's clock shows it; brief is without the year."""
    shown = time.astimezone(zone).strftime("%d/%m %H:%M" if brief else "%d/%m/%Y %H:%M")
    return element("time", shown, datetime=time.isoformat())


def qualifier(given: str, window: str | None) -> str:
    """A datastream's qualifier as people read it: of cells without their length, which the whole feed has."""
    before, found, after = given.partition(f"{window} ") if window else (given, "", "")
    if not found:
        return given
    statistic = after.partition(" ")[0]
    return f"{before}{STATISTICS.get(statistic, (statistic,))[0]}"


def policy(window: str | None, statistics: list[str]) -> Markup:
    """What a feed shows: every measurement, or statistics per bucket."""
    if window is None:
        return both("elke meting", "every measurement")
    names = [STATISTICS.get(one, (one, one)) for one in statistics]
    dutch, english = WINDOWS.get(window, (f"per {window}", f"every {window}"))
    return text(
        both(f"{', '.join(nl for nl, _ in names)} {dutch}", f"{english} {', '.join(en for _, en in names)}")
    )
