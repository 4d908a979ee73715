"""What commands print: JSON lines for scripts, tables for people."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.table import Table


def emit(value: Any, *, error: bool = False) -> None:
    """Print a value as one line of JSON; times in UTC."""
    line = orjson.dumps(value, default=str, option=orjson.OPT_UTC_Z).decode()
    typer.echo(line, err=error)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table on a terminal, and lines with tabs into a pipe."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    console = Console()
    if not console.is_terminal:
        for row in [columns, *cells]:
            typer.echo("\t".join(row))
        return
    table = Table(*columns)
    for row in cells:
        table.add_row(*row)
    console.print(table, markup=False)


def moment(time: datetime | None) -> str:
    """Write a time in UTC to the second; a dash for none."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if time else "-"


def stamp(time: datetime) -> str:
    """Write a time in UTC as RFC 3339 with all it has."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
