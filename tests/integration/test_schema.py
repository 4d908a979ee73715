"""Migrations on the embedded PostgreSQL."""

import psycopg
import pytest

from broker.errors import BadConfig, NotMigrated
from broker.store import schema


def test_a_second_migration_does_nothing(empty_database):
    assert schema.migrate(empty_database.owner) == schema.names("postgres")
    assert schema.migrate(empty_database.owner) == []
    assert schema.pending(empty_database.ingest) == []


def test_a_role_without_the_right_names_the_command(empty_database):
    with pytest.raises(NotMigrated, match="citybroker migrate"):
        schema.ensure(empty_database.serve, "serve")


def test_a_login_of_another_role_is_told_what_to_grant(database):
    for role in ("ingest", "publish", "serve"):
        schema.ensure(getattr(database, role), role)
        schema.ensure(database.owner, role)
    with pytest.raises(BadConfig, match="grant citybroker_serve"):
        schema.ensure(database.publish, "serve")
    with pytest.raises(BadConfig, match=r"citybroker_serve may .* grant citybroker_ingest"):
        schema.ensure(database.serve, "ingest")


def test_a_newer_database_is_refused(database):
    with psycopg.connect(database.owner) as connection:
        connection.execute("insert into schema_migration (name) values ('9999_later')")
    with pytest.raises(BadConfig, match=r"newer version.*9999_later"):
        schema.migrate(database.owner)


def test_the_role_of_the_api_reads_nothing_that_is_not_published(database):
    tables = "observation", "passage", "reject", "batch", "decoder_state"
    with psycopg.connect(database.serve, autocommit=True) as connection:
        for table in tables:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select from {table}")
