"""The embedded PostgreSQL: its logins, its restarts, its leftovers, and the folders it leaves alone."""

import os
import signal
import stat
from pathlib import Path
from urllib.parse import unquote

import psycopg
import pytest

from deploy import children, embedded
from deploy import postgres as database


def ask(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def test_each_role_has_its_own_login_and_rights(tmp_path: Path) -> None:
    with embedded.postgres(tmp_path) as server:
        for url, name in ((server.owner, "citybroker"), (server.ingest, "citybroker_ingest")):
            assert ask(url, "select current_user::text") == [(name,)]
        assert ask(server.publish, "select count(*) from observation") == [(0,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(server.serve, "select count(*) from observation")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            ask(server.serve.replace("citybroker_serve:", "citybroker:"), "select 1")
        with pytest.raises(psycopg.OperationalError, match="no pg_hba"):
            ask(server.serve.replace("citybroker_serve:", "postgres:"), "select 1")
        assert ask(server.owner, "show listen_addresses") == [("",)]


def test_committed_rows_survive_a_kill_and_a_second_start(tmp_path: Path) -> None:
    with embedded.postgres(tmp_path) as server:
        ask(server.ingest, "insert into thing (identity, name) values ('a', 'a') returning id")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with embedded.postgres(tmp_path) as server:
        assert ask(server.owner, "select identity from thing") == [("a",)]


def test_a_server_that_was_left_over_is_ended(tmp_path: Path) -> None:
    prepared = database.prepare(tmp_path)
    left = children.start(database.program(prepared, tmp_path / "postgres.log"))
    embedded._wait(left, lambda: database.is_ready(prepared, left.pid))
    with embedded.postgres(tmp_path) as server:
        assert left.wait() == 0
        assert ask(server.owner, "select 1") == [(1,)]


def test_a_stale_lock_whose_number_has_another_process_is_no_obstacle(tmp_path: Path) -> None:
    with embedded.postgres(tmp_path, migrate=False):
        lock = (tmp_path / "postgres" / "cluster" / "postmaster.pid").read_text()
    pid, rest = lock.split("\n", 1)
    assert pid != str(os.getpid())
    (tmp_path / "postgres" / "cluster" / "postmaster.pid").write_text(f"{os.getpid()}\n{rest}")
    with embedded.postgres(tmp_path) as server:
        assert ask(server.owner, "select 1") == [(1,)]


def test_lost_passwords_are_made_anew(tmp_path: Path) -> None:
    with embedded.postgres(tmp_path) as server:
        before = server.ingest
    (tmp_path / "passwords.json").unlink()
    with embedded.postgres(tmp_path) as server:
        assert server.ingest != before
        assert ask(server.ingest, "select 1") == [(1,)]


def test_an_unfinished_first_start_is_begun_again(tmp_path: Path) -> None:
    unfinished = tmp_path / "postgres" / "unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with embedded.postgres(tmp_path) as server:
        assert ask(server.owner, "select 1") == [(1,)]
    assert not unfinished.exists()


def test_deep_folders_get_a_private_socket_elsewhere_and_lose_it_at_the_end(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 25)
    with embedded.postgres(deep) as server:
        socket = Path(unquote(server.owner.partition("?host=")[2]))
        assert ask(server.owner, "select 1") == [(1,)]
        assert len(str(socket)) < 90
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    assert not socket.exists()


def test_closed_parent_folders_stay_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    data = closed / "data"
    data.mkdir(mode=0o700, parents=True)
    closed.chmod(0o700)
    with embedded.postgres(data) as server:
        running = Path(f"/proc/{server.process.pid}").stat().st_uid
        assert ask(server.owner, "select 1") == [(1,)]
    assert (os.geteuid() == 0) == (running != os.geteuid())
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert (data.stat().st_uid, closed.stat().st_uid) == (os.geteuid(), os.geteuid())
    assert stat.S_IMODE((data / "passwords.json").stat().st_mode) == 0o600


def test_the_log_holds_no_values_of_statements(tmp_path: Path) -> None:
    with embedded.postgres(tmp_path) as server:
        ask(server.ingest, "insert into thing (identity, name) values ('x', 'x') returning id")
        with pytest.raises(psycopg.errors.UniqueViolation):
            ask(server.ingest, "insert into thing (identity, name) values ('x', 'seen-by-nobody')")
        with pytest.raises(psycopg.errors.SyntaxError):
            ask(server.ingest, "insert seen-by-nobody")
    log = (tmp_path / "postgres.log").read_text()
    assert "duplicate key" in log
    assert "seen-by-nobody" not in log
    assert "(identity)=(x)" not in log
