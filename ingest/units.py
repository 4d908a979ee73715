"""Units: from what payloads write to UCUM, and how to convert one to another.

Payloads write UCUM (https://ucum.org/ucum), SenML units (RFC 8428, https://www.rfc-editor.org/rfc/rfc8428#section-12.1,
and RFC 8798, https://www.rfc-editor.org/rfc/rfc8798), UN/CEFACT codes (Recommendation 20,
https://unece.org/trade/uncefact/cl-recommendations) in NGSI `unitCode`, or just what people write. Pint
(https://pint.readthedocs.io) knows the factors; it is asked once for each pair of units.
"""

import logging
from functools import lru_cache
from typing import Any

from broker.remembered import remembered

# UCUM code: (Pint's expression, other spellings). Spellings are compared as they stand, then in lower case.
_UNITS: dict[str, tuple[str, str]] = {
    "1": ("dimensionless", "/ C62 C61 H87 IE NIU EA count counts # fraction ratio unit units items beats"),
    "%": ("percent", "P1 %RH %EL /100 percent pct procent %rh %vol %vwc % perc"),
    "[ppth]": ("permille", "‰ NX /1000 promille"),
    "[ppm]": ("ppm", "59 ppm PPM ppmv mg/kg umol/mol µmol/mol"),
    "[ppb]": ("ppb", "61 ppb PPB ppbv nmol/mol"),
    "[pptr]": ("pptr", "pptv"),
    "Cel": ("degC", "CEL °C ºC ℃ C degC deg_C celsius oC degrees_celsius °c"),
    "[degF]": ("degF", "FAH °F ºF ℉ F degF fahrenheit"),
    "K": ("kelvin", "KEL kelvin"),
    "deg": ("degree", "DD ° degree degrees graden"),
    "rad": ("radian", "C81 radian"),
    "m": ("meter", "MTR meter metre meters"),
    "cm": ("centimeter", "CMT centimeter"),
    "mm": ("millimeter", "MMT millimeter l/m2 L/m2 l/m² L/m² kg/m2 mm/m2"),
    "um": ("micrometer", "4H µm μm"),
    "km": ("kilometer", "KMT kilometer"),
    "[in_i]": ("inch", "INH in inch inches"),
    "[ft_i]": ("foot", "FOT ft feet"),
    "[mi_i]": ("mile", "SMI mile miles mi"),
    "m2": ("meter ** 2", "MTK m² m^2"),
    "m3": ("meter ** 3", "MTQ m³ m^3"),
    "L": ("liter", "LTR l liter litre"),
    "mL": ("milliliter", "MLT ml"),
    "m/s": ("meter / second", "MTS m/s m.s-1 ms-1 m·s-1 mps"),
    "km/h": ("kilometer / hour", "KMH kmh kph km/u kmph km.h-1 km/hr"),
    "[mi_i]/h": ("mile / hour", "HM mph mi/h"),
    "[kn_i]": ("knot", "KNT kn kt knot knots kts"),
    "mm/h": ("millimeter / hour", "H67 mm/u mm/hr mm.h-1 l/m2/h"),
    "m/h": ("meter / hour", "M60"),
    "[in_i]/h": ("inch / hour", "in/h in/hr inph"),
    "m/s2": ("meter / second ** 2", "MSK m/s² m/s^2"),
    "Pa": ("pascal", "PAL pascal"),
    "hPa": ("hectopascal", "A97 hpa mbar MBR millibar"),
    "kPa": ("kilopascal", "KPA kpa"),
    "bar": ("bar", "BAR"),
    "mm[Hg]": ("millimeter_Hg", "HN mmHg"),
    "[in_i'Hg]": ("inch_Hg", "F79 inHg"),
    "[psi]": ("psi", "PS psi"),
    "ug/m3": (
        "microgram / meter ** 3",
        "GQ µg/m3 μg/m3 µg/m³ μg/m³ ug/m³ ug/m^3 µg/m^3 ugm3 µg.m-3 ug.m-3 mcg/m3",
    ),
    "mg/m3": ("milligram / meter ** 3", "GP mg/m³ mg/m^3 mg.m-3 ug/l µg/l"),
    "g/m3": ("gram / meter ** 3", "A93 g/m³"),
    "/cm3": ("1 / centimeter ** 3", "1/cm3 #/cm3 /cm³ 1/cm³ p/cm3 pt/cm3"),
    "ng/m3": ("nanogram / meter ** 3", "ng/m³"),
    "mg/L": ("milligram / liter", "M1 mg/l"),
    "g": ("gram", "GRM gram"),
    "kg": ("kilogram", "KGM kilogram"),
    "t": ("metric_ton", "TNE"),
    "dB": ("", "2N DBA dba dB(A) dBA db(a) dB[A] dB[SPL] decibel dBSPL dbspl dB(SPL) dBspl B[SPL] dB(C) dBC"),
    "dB[mW]": ("", "dBm dBM"),
    "dB[W]": ("", "dBW"),
    "s": ("second", "SEC EL sec secs second seconds"),
    "ms": ("millisecond", "C26 msec milliseconds"),
    "min": ("minute", "MIN minute minutes"),
    "h": ("hour", "HUR hr hour hours"),
    "d": ("day", "DAY day days"),
    "Hz": ("hertz", "HTZ hertz"),
    "kHz": ("kilohertz", "KHZ"),
    "MHz": ("megahertz", "MHZ"),
    "/s": ("1 / second", "1/s C97"),
    "/h": ("1 / hour", "1/h count/h veh/h /uur 1/hour"),
    "/min": ("1 / minute", "1/min count/min beat/min bpm"),
    "lx": ("lux", "LUX lux"),
    "klx": ("kilolux", "KLX klux"),
    "lm": ("lumen", "LUM lumen"),
    "cd": ("candela", "CDL"),
    "W/m2": ("watt / meter ** 2", "D54 W/m² W/m^2 w/m2 W.m-2"),
    "W": ("watt", "WTT watt"),
    "kW": ("kilowatt", "KWT kw"),
    "MW": ("megawatt", "MAW"),
    "W.h": ("watt * hour", "WHR Wh wh"),
    "kW.h": ("kilowatt * hour", "KWH kWh kwh"),
    "MW.h": ("megawatt * hour", "MWH MWh"),
    "J": ("joule", "JOU"),
    "kJ": ("kilojoule", "KJO"),
    "MJ": ("megajoule", "3B"),
    "VA": ("apparent", "D46 V.A"),
    "kVA": ("kiloapparent", "KVA kV.A"),
    "VA.s": ("apparent * second", "VAs"),
    "kVA.h": ("kiloapparent * hour", "C79 kVAh"),
    "var": ("reactive", "D44"),
    "kvar": ("kiloreactive", "KVR"),
    "var.s": ("reactive * second", "vars"),
    "var.h": ("reactive * hour", "varh"),
    "kvar.h": ("kiloreactive * hour", "K3 kvarh"),
    "W.h/km": ("watt * hour / kilometer", "Wh/km"),
    "J/m": ("joule / meter", ""),
    "V": ("volt", "VLT volt volts v"),
    "mV": ("millivolt", "2Z mv millivolt"),
    "kV": ("kilovolt", "KVT kv"),
    "A": ("ampere", "AMP amp ampere"),
    "mA": ("milliampere", "4K ma"),
    "A.h": ("ampere * hour", "AMH Ah"),
    "mA.h": ("milliampere * hour", "E09 mAh"),
    "Ohm": ("ohm", "OHM Ω ohm"),
    "S/m": ("siemens / meter", "D10"),
    "mS/cm": ("millisiemens / centimeter", "H61"),
    "uS/cm": ("microsiemens / centimeter", "G42 µS/cm μS/cm us/cm uS/cm"),
    "dS/m": ("decisiemens / meter", "ds/m"),
    "m3/s": ("meter ** 3 / second", "MQS m³/s m^3/s"),
    "m3/h": ("meter ** 3 / hour", "MQH m³/h"),
    "L/s": ("liter / second", "G51 l/s"),
    "L/min": ("liter / minute", "L2 l/min"),
    "L/h": ("liter / hour", "E32 l/h"),
    "[pH]": ("", "pH ph PH Q30"),
    "{NTU}": ("", "NTU ntu FNU fnu"),
    "B": ("", "bel"),
    "Bq/m3": ("becquerel / meter ** 3", "A19 Bq/m³"),
    "uSv/h": ("microsievert / hour", "P72 µSv/h"),
    "T": ("tesla", "D33"),
    "mol": ("mole", "C34"),
    "By": ("byte", "byte bytes AD"),
    "KiBy": ("kibibyte", "KiB"),
    "GBy": ("gigabyte", "GB E34"),
    "By/s": ("byte / second", "B/s P93"),
    "MBy/s": ("megabyte / second", "MB/s P95"),
    "bit": ("bit", "A99"),
    "bit/s": ("bit / second", "B10 bps"),
    "Mbit/s": ("megabit / second", "Mbps E20"),
    "kg/m3": ("kilogram / meter ** 3", "KMQ kg/m³"),
    "cd/m2": ("candela / meter ** 2", "A24 cd/m²"),
}

_EXACT = {spelling: code for code, (_, others) in _UNITS.items() for spelling in (code, *others.split())}
# Not where case tells mega from milli.
_LOWER = {
    spelling.lower(): code
    for spelling, code in reversed(_EXACT.items())
    if len(spelling) > 2 and not code.startswith(("M", "m"))
}
_AT_MOST = 40
"""Characters of a unit that is kept as it is."""


@remembered
def code(spelling: str) -> str | None:
    """Return the UCUM code of a unit as payloads spell it; None if it is unknown."""
    text = " ".join(spelling.split())
    return _EXACT.get(text) or _LOWER.get(text.lower())


def keep(spelling: str) -> str:
    """Return the UCUM code, or an unknown unit as it is, at most 40 printable characters of it."""
    known = code(spelling)
    return known if known is not None else "".join(filter(str.isprintable, spelling))[:_AT_MOST].strip()


@lru_cache(maxsize=4096)
def conversion(unit: str, target: str) -> tuple[float, float] | None:
    """Return (scale, offset) so that value · scale + offset is in `target`; None if that cannot be.

    Both are UCUM codes. A gas in ppb is not converted to ug/m3: that needs its temperature and pressure.
    """
    if unit == target:
        return 1.0, 0.0
    ours, theirs = (_UNITS.get(item, ("", ""))[0] for item in (unit, target))
    if not ours or not theirs:
        return None
    registry = _registry()
    if not registry.Unit(ours).is_compatible_with(theirs):
        return None
    zero, million = (float(registry.Quantity(number, ours).to(theirs).magnitude) for number in (0.0, 1e6))
    return _tidy((million - zero) / 1e6), _tidy(zero)


def _tidy(number: float) -> float:
    return float(f"{number:.14g}")


@lru_cache(maxsize=1)
def _registry() -> Any:
    # Importing Pint takes a third of a second: not before a unit needs it.
    from pint import UnitRegistry  # noqa: PLC0415

    logging.getLogger("pint").setLevel(logging.ERROR)  # it warns of permille, which it knows too
    registry: Any = UnitRegistry(autoconvert_offset_to_baseunit=True, cache_folder=None)
    registry.define("ppb = 1e-9")
    registry.define("permille = 1e-3")
    registry.define("pptr = 1e-12")
    # Watts, volt-amperes and vars are different quantities: one is not the other, though each is V·A.
    registry.define("apparent = [apparent_power]")
    registry.define("reactive = [reactive_power]")
    return registry
