"""Connections that outlive a server, and servers that are not there."""

import psycopg
import pytest

from broker.errors import StoreUnavailable
from broker.store.database import Database


def test_a_restart_of_the_server_costs_no_transaction(database):
    store = Database(database.serve)
    with store.transaction() as connection:
        pid = connection.info.backend_pid
    with psycopg.connect(database.serve) as other:
        other.execute("select pg_terminate_backend(%s)", [pid])
    with store.transaction() as connection:
        assert connection.execute("select 1").fetchone() == (1,)
        assert connection.info.backend_pid != pid
    store.close()


def test_a_server_that_is_away_is_told_with_its_reason(tmp_path):
    store = Database(f"host={tmp_path} dbname=none")
    with pytest.raises(StoreUnavailable, match="No such file or directory"), store.transaction():
        pass
    store.close()
