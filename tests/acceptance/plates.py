"""Looking for a number plate in whatever a city leaves behind, however it may be written there."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path

import psycopg
from psycopg import sql


def forms(plate: str) -> set[bytes]:
    """All ways of writing a plate `1-QXZ-000` that are looked for; in lower case, as `holds` wants them."""
    texts = {plate.lower(), plate.replace("-", "").lower()}
    found: set[bytes] = set()
    for text in texts:
        plain = [text.encode(), text.encode("utf-16-le")[:-1], text.encode("utf-16-be")[1:]]
        found.update(plain)
    for text in texts | {text.upper() for text in texts}:
        for body in (text.encode(), text.encode("utf-16-le"), text.encode("utf-16-be")):
            found.add(body.hex().encode())
            found.update(within_base64(body))
    return found


def token_forms(token: bytes) -> set[bytes]:
    """All ways of writing a token."""
    number = (
        int.from_bytes(token, "big"),
        int.from_bytes(token, "big", signed=True),
        int.from_bytes(token, "little"),
    )
    return {token.hex().encode(), *(str(abs(one)).encode() for one in number), *within_base64(token)}


def within_base64(body: bytes) -> Iterator[bytes]:
    """What base64 makes of these bytes wherever they stand, without the characters that hold others too."""
    for before in range(3):
        text = b64encode(b"\0" * before + body + b"\0" * 3)
        yield text[-(-8 * before // 6) : 8 * (before + len(body)) // 6].lower()


def holds(content: bytes, wanted: Iterable[bytes]) -> bool:
    """Whether one of these forms stands in the content, in whatever case."""
    lower = content.lower()
    return any(form in lower for form in wanted)


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file below a folder; one that goes meanwhile is gone."""
    for path in sorted(folder.rglob("*")):
        try:
            if path.is_file():
                yield str(path.relative_to(folder)), path.read_bytes()
        except FileNotFoundError:
            continue


def tables(url: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of every table, as COPY writes it: what lies compressed in the files is plain here."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        found = cursor.execute(
            """select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')"""
        ).fetchall()
        for name in found:
            with cursor.copy(sql.SQL("copy (select * from {}) to stdout").format(sql.Identifier(*name))) as rows:
                yield ".".join(name), b"".join(bytes(block) for block in rows)
