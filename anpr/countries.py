"""Countries of number plates: what cameras call them → ISO 3166-1 alpha-2 (XK is Kosovo's usual code)."""

ALPHA3 = {
    "ALB": "AL", "AND": "AD", "ARM": "AM", "AUT": "AT", "AZE": "AZ", "BEL": "BE", "BGR": "BG", "BIH": "BA",
    "BLR": "BY", "CHE": "CH", "CYP": "CY", "CZE": "CZ", "DEU": "DE", "DNK": "DK", "ESP": "ES", "EST": "EE",
    "FIN": "FI", "FRA": "FR", "GBR": "GB", "GEO": "GE", "GRC": "GR", "HRV": "HR", "HUN": "HU", "IRL": "IE",
    "ISL": "IS", "ISR": "IL", "ITA": "IT", "KAZ": "KZ", "LIE": "LI", "LTU": "LT", "LUX": "LU", "LVA": "LV",
    "MAR": "MA", "MCO": "MC", "MDA": "MD", "MKD": "MK", "MLT": "MT", "MNE": "ME", "NLD": "NL", "NOR": "NO",
    "POL": "PL", "PRT": "PT", "ROU": "RO", "RUS": "RU", "SMR": "SM", "SRB": "RS", "SVK": "SK", "SVN": "SI",
    "SWE": "SE", "TUR": "TR", "UKR": "UA", "VAT": "VA", "XKX": "XK",
}  # fmt: skip
ALPHA2 = frozenset(ALPHA3.values())


def country(code: str | None) -> str | None:
    """The alpha-2 code of an alpha-2 or alpha-3 code in any case; None for what is not known."""
    upper = (code or "").upper()
    return upper if upper in ALPHA2 else ALPHA3.get(upper)
