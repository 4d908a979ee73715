"""Migrations: plain SQL files that only add, applied in order under an advisory lock."""

from importlib.resources import files

import psycopg
from psycopg import errors

from broker.errors import BadConfig, NotMigrated, StoreUnavailable
from broker.store.database import Connection, translated

LOCK = "select pg_advisory_xact_lock(hashtext('citybroker migrate'))"
LEDGER = """
    create table if not exists schema_migration (
        name    text primary key,
        applied timestamptz not null default now()
    )"""

OF_ROLE = {"ingest": "decoder_state", "publish": "feed", "serve": "published_feed"}
"""What a role reads, and no other."""
RIGHTS = """
    select current_user, has_table_privilege(%s, 'select') or exists (
        select from pg_roles where rolname = %s and pg_has_role(oid, 'member'))"""


def names(engine: str) -> list[str]:
    """The migrations of an engine (postgres or timescale), in order."""
    found = (entry.name.removesuffix(".sql") for entry in files("broker.store").joinpath("migrations").iterdir())
    return sorted(name for name in found if "." not in name or name.endswith(f".{engine}"))


def version() -> int:
    """The number of the newest migration: the version of a data directory."""
    return int(names("postgres")[-1].partition("_")[0])


def migrate(url: str) -> list[str]:
    """Bring the database to this version; return the names of the migrations applied.

    Raises NotMigrated where the login may not, BadConfig where the database is of a newer version,
    StoreUnavailable where it is away.
    """
    try:
        with translated(), psycopg.connect(url, connect_timeout=10, prepare_threshold=None) as connection:
            connection.execute(LOCK)
            return _apply(connection)
    except BadConfig as error:
        if isinstance(error.__cause__, errors.InsufficientPrivilege):
            raise NotMigrated(
                f"the database needs migrations that this login may not make ({error}): "
                "run `citybroker migrate` with a login that owns it"
            ) from error
        raise


def ensure(url: str, role: str) -> None:
    """Migrate if something is missing and the login may; else raise NotMigrated, naming what to do.

    Raises BadConfig where the login lacks the rights of `role`: ingest, publish or serve.
    """
    if pending(url):
        migrate(url)
    _check_rights(url, role)


def _check_rights(url: str, role: str) -> None:
    with translated(), psycopg.connect(url, connect_timeout=10) as connection:
        row = connection.execute(RIGHTS, [OF_ROLE[role], f"citybroker_{role}"]).fetchone()
    if row and not row[1]:
        raise BadConfig(
            f"the database login {row[0]} may not do the work of this role: grant citybroker_{role} to it"
        )


def pending(url: str) -> list[str]:
    """The migrations that this database lacks."""
    with translated(), psycopg.connect(url, connect_timeout=10) as connection:
        return [name for name in names(_engine(connection)) if name not in _applied(connection)]


def _apply(connection: Connection) -> list[str]:
    _extend(connection)
    connection.execute(LEDGER)
    engine = _engine(connection)
    missing = [name for name in names(engine) if name not in _applied(connection)]
    for name in missing:
        connection.execute(_text(name))
        connection.execute("insert into schema_migration (name) values (%s)", [name])
    if missing:
        connection.execute("grant select on schema_migration to public")
    return missing


def _text(name: str) -> bytes:
    return files("broker.store").joinpath("migrations", f"{name}.sql").read_bytes()


def _applied(connection: Connection) -> set[str]:
    if connection.execute("select to_regclass('schema_migration')").fetchone() == (None,):
        return set()
    applied = {str(row[0]) for row in connection.execute("select name from schema_migration")}
    newer = {name for name in applied if int(name.partition("_")[0]) > version()}
    if newer:
        raise BadConfig(
            f"the database is of a newer version (it has migration {max(newer)}, this citybroker ends at "
            f"{version():04d}): upgrade citybroker, or use another database"
        )
    return applied


def _engine(connection: Connection) -> str:
    found = connection.execute("select from pg_extension where extname = 'timescaledb'").fetchone()
    return "postgres" if found is None else "timescale"


def _extend(connection: Connection) -> None:
    """Use TimescaleDB where the server has it and the login may."""
    sql = "select from pg_available_extensions where name = 'timescaledb' and installed_version is null"
    if connection.execute(sql).fetchone() is None or _applied(connection):
        return
    try:
        with connection.transaction():
            connection.execute("create extension timescaledb")
    except psycopg.Error as error:
        if connection.broken:
            raise StoreUnavailable from error
