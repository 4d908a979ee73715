"""Payloads that are text: a bare value or lines of CSV."""

import csv
from io import StringIO

from broker.errors import BadMessage

MAX_CELLS = 20_000
"""Cells that one message may hold."""
_DELIMITERS = (";", "\t", ",", "|")


def text(payload: bytes) -> str:
    """Return the payload as text without byte order mark, NULs and blanks around it.

    Raises BadMessage (`encoding`) that names the first byte which is not UTF-8.
    """
    try:
        return payload.removeprefix(b"\xef\xbb\xbf").decode("utf-8").strip("\0 \t\r\n")
    except UnicodeDecodeError as error:
        raise BadMessage(
            f"payload: expected UTF-8, found byte {error.start} that is not", reason="encoding"
        ) from None


def rows(lines: str, delimiter: str | None = None) -> list[list[str]]:
    """Split CSV (https://www.rfc-editor.org/rfc/rfc4180) into rows of cells, without empty lines and `#` comments.

    The delimiter, if not given, is the first of `;`, tab, `,` and `|` that the first line has. Raises BadMessage.
    """
    first = next((line for line in lines.splitlines() if line.strip() and not line.startswith("#")), "")
    chosen = delimiter or next((one for one in _DELIMITERS if one in first), ",")
    found: list[list[str]] = []
    cells = 0
    try:
        for row in csv.reader(StringIO(lines), delimiter=chosen, skipinitialspace=True):
            if not any(row) or row[0].startswith("#"):
                continue
            cells += len(row)
            if cells > MAX_CELLS:
                raise BadMessage(f"payload: expected at most {MAX_CELLS} cells, found more", reason="size")
            found.append([cell.strip() for cell in row])
    except csv.Error as error:
        raise BadMessage(f"payload: expected CSV, found text that is none: {error}") from None
    return found
