"""Number series of BE, NL, LU, DE and FR, and the one correction that they allow.

A camera mixes up O/0, I/1, B/8, S/5 and Z/2. Where the country is known and one of its series fits the read with
fewer such changes than any other, each position says whether a letter or a digit belongs there. Otherwise the
read stays as it is: a wrong correction would join two vehicles.

Series: `A` is a letter, `9` a digit. BE https://nl.wikipedia.org/wiki/Belgisch_kenteken, NL
https://nl.wikipedia.org/wiki/Nederlands_kenteken (sidecodes; 12–14 are there so that they are not corrected away).
"""

LETTERS = {"0": "O", "1": "I", "8": "B", "5": "S", "2": "Z"}
DIGITS = {letter: digit for digit, letter in LETTERS.items()}
SHAPE = str.maketrans("BCDEFGHIJKLMNOPQRSTUVWXYZ012345678", "A" * 25 + "9" * 9)

SERIES = {
    "BE": ("9AAA999", "AAA999", "999AAA"),
    "NL": (
        "AA9999", "9999AA", "99AA99", "AA99AA", "AAAA99", "99AAAA", "99AAA9",
        "9AAA99", "AA999A", "A999AA", "AAA99A", "A99AAA", "9AA999", "999AA9",
    ),
    "LU": ("AA9999", "99999", "9999"),
    "DE": tuple("A" * letters + "9" * digits for letters in range(2, 6) for digits in range(1, 5)),
    "FR": ("AA999AA", "999AA99", "9999AA99", "999AAA99"),
}  # fmt: skip


def correct(plate: str, country: str | None) -> str:
    """Put letters and digits where the country's series has them; `plate` is of A–Z0–9 only."""
    series = SERIES.get(country or "")
    if not series or plate.translate(SHAPE) in series:
        return plate
    fits = [fit for pattern in series if (fit := _fit(plate, pattern)) is not None]
    changes = [sum(a != b for a, b in zip(plate, fit, strict=True)) for fit in fits]
    return fits[changes.index(min(changes))] if changes and changes.count(min(changes)) == 1 else plate


def _fit(plate: str, pattern: str) -> str | None:
    """The plate as this series would have it, None where it cannot be one of it."""
    if len(plate) != len(pattern):
        return None
    fit = "".join((DIGITS if p == "9" else LETTERS).get(c, c) for c, p in zip(plate, pattern, strict=True))
    return fit if fit.translate(SHAPE) == pattern else None
