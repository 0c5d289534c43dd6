"""Two products that differ in nothing but the other tenants: their number, ids, names, rows and figures.

Whatever one tenant can learn in the one and not in the other, it has learnt about others. Both are real: a PostgreSQL
server, PgBouncer before it, the API over HTTP.
"""

# ruff: noqa: S608 - every statement is made of constants and of names out of the catalogue
from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pyarrow as pa
import uvicorn
from psycopg import sql

from demo.postgres import EmbeddedPostgres, free_port, unprivileged
from serving.api import create_app
from serving.tokens import ensure_demo_keys, mint_demo_token
from settings import Settings
from tests.isolation.markers import WORD, Marked, identity, plain
from tests.serving.conftest import FIRST_DAY, Product, Resident, new_product, rollup_models

READER, APP = "tailrace_reader", "app_rw"
_PGBOUNCER = ("/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer")
_OWN = Resident("fa11ce00-0000-4000-8000-000000000001", "Acorn Ltd", "acorn", "pool")
_OWN_ROWS = 12
# Unlike in every respect; the first of each is the tenant that attempts name.
_POPULATIONS = {
    "a": ((1, "birch", "pool", 613), (2, "cedar", "namespace", 17), (3, "deep", "silo", 29)),
    "b": (
        *((4, "elm", "pool", 211), (5, "fir", "pool", 47), (6, "gorse", "pool", 5)),
        *((7, "hazel", "silo", 3), (8, "ivy", "namespace", 71)),
    ),
}


@dataclass
class World:
    """A published product, and the tenant that attacks it."""

    product: Product
    own: Resident
    others: list[Resident]
    marked: Marked
    pooler: Pooler | None = None
    door: Door | None = None
    pooled_url: str = ""
    sound: bool = True
    settings: Settings = field(init=False)
    client: httpx.Client = field(init=False)
    declared: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # However quickly attempts come, they reach the API; and what an allowance tells shows where nothing refills it.
        plenty = {"request_burst": 1_000_000, "requests_per_second": 0.01}
        settings = self.product.settings
        self.settings = settings.model_copy(update={"serving": settings.serving.model_copy(update=plenty)})
        self.client = httpx.Client(timeout=20)  # of everybody's requests: making one costs more than a request

    @property
    def url(self) -> str:
        """The address of the API, if it runs."""
        return self.door.url if self.door else ""

    @property
    def named(self) -> Resident:
        """The tenant that attempts name: it lives in the first world and is unknown in the second."""
        return resident(*_POPULATIONS["a"][0][:3])

    @property
    def named_silo(self) -> Resident:
        return resident(*_POPULATIONS["a"][2][:3])

    @property
    def namespaces(self) -> list[str]:
        """Schemas of others, by names that anybody may see (docs/isolation.md, names); the product's and ours."""
        names = [each.slug.replace("-", "_") for each in self.others if each.tier == "namespace"]
        return [prefix + name for prefix in ("analytics_", "t_") for name in names]

    def serve_other(self, *, path: str = "/v1/usage", pooled: bool = False) -> str:
        """The API serves another tenant, over the server itself or over the pooler; returns what it was shown."""
        url = self.pooled_url if pooled else self.url
        if not url:
            return ""
        token = mint_demo_token(self.settings, self.others[0].id)
        answer = self.client.get(url + path, headers={"Authorization": f"Bearer {token}"})
        if not pooled:  # what an attacker leaves on a shared connection may well break the next answer; that is no leak
            answer.raise_for_status()
        return answer.text

    def ask(self, path: str, *, headers: dict[str, str]) -> Any:
        """What the API answers somebody; not the attacker's, so no evidence."""
        answer = self.client.get(self.url + path, headers=headers)
        return answer.json() if "json" in answer.headers.get("content-type", "") else answer.text

    def ask_headers(self, path: str, headers: dict[str, str]) -> Mapping[str, str]:
        """The headers of the same."""
        return self.client.get(self.url + path, headers=headers).headers

    def publish_again(self) -> None:
        """All is published anew; not where it is broken on purpose, which publishing would refuse or mend."""
        if self.sound:
            self.product.publish(1)

    def superuser(self, database: str | None = None) -> Any:
        return self.product.connect("postgres", database)


def resident(number: int, name: str, tier: str) -> Resident:
    """One of the other tenants."""
    return Resident(identity(number), f"{WORD} {name} Inc", f"{WORD}-{name}", tier)


@contextmanager
def twins(directory: Path, *, pooler: bool = True, api: bool = True) -> Iterator[tuple[World, World]]:
    """Both worlds, running."""
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(running(directory / name, name, pooler=pooler, api=api)) for name in _POPULATIONS
        )
        yield first, second


@contextmanager
def running(directory: Path, population: str, *, pooler: bool, api: bool) -> Iterator[World]:
    """One world: server, databases, rollups published, analysed."""
    others = [resident(*each[:3]) for each in _POPULATIONS[population]]
    directory.mkdir(parents=True)
    with ExitStack() as stack:
        postgres = stack.enter_context(EmbeddedPostgres(directory / "postgres"))
        with postgres.connect() as connection:
            # What the planner knows must not depend on when a background worker happened to come by.
            connection.execute("alter system set autovacuum = off")
            connection.execute("select pg_reload_conf()")
        product = stack.enter_context(new_product(postgres, directory, residents=[_OWN, *others], tag="twin"))
        world = World(product, _OWN, others, Marked())
        stack.callback(world.client.close)
        fill(world, {each[1]: each[3] for each in _POPULATIONS[population]})
        for each in others:
            if each.tier == "namespace":  # its part of the product, as the product's operators name it
                with world.superuser() as connection:
                    connection.execute(f'create schema "t_{each.slug.replace("-", "_")}" authorization app_owner')
        product.publish(1)
        for database in product.databases:
            with world.superuser(database) as connection:
                settle(connection)
        if pooler:
            world.pooler = stack.enter_context(pooled(product, directory / "pgbouncer"))
        if api:
            world.door = stack.enter_context(serving(world.settings))
        if pooler and api and world.pooler is not None:
            dsn = world.pooler.dsn(product.shared, READER)
            # PgBouncer before 1.21 loses statements that were prepared in another transaction.
            behind = world.settings.serving.model_copy(update={"reader_dsn": dsn, "prepared_statements": False})
            pooled_settings = world.settings.model_copy(update={"serving": behind})
            world.pooled_url = stack.enter_context(serving(pooled_settings)).url
            assert others[0].name in world.serve_other(pooled=True), "the API does not answer over the pooler"
        yield world


def settle(connection: Any) -> None:
    """Rows in the order of their keys, fresh statistics: which rows a scan meets first is not left to chance."""
    for table, key in connection.execute(
        "select indrelid::regclass::text, relname from pg_index join pg_class on pg_class.oid = indexrelid "
        "where indisprimary and relnamespace::regnamespace::text not in ('pg_catalog', 'pg_toast')"
    ).fetchall():
        connection.execute(sql.SQL("cluster {} using {}").format(sql.SQL(table), sql.Identifier(key)))
    connection.execute("analyze")


def fill(world: World, rows: dict[str, int]) -> None:
    """The same few rows of the attacker in every rollup; marked ones of the others, on its days and in 1979."""
    with closing(duckdb.connect(str(world.product.warehouse))) as warehouse:
        for model in rollup_models():
            columns = [(str(each["name"]), str(each["data_type"]).lower()) for each in model["columns"]]
            made = [
                [_OWN.id if name == "tenant_id" else plain(name, kind, row, first=FIRST_DAY) for name, kind in columns]
                for row in range(_OWN_ROWS)
            ]
            for other in world.others:
                for row in range(rows[other.name.split()[1]]):
                    values = {name: world.marked.value(name, kind, row) for name, kind in columns}
                    if row < _OWN_ROWS - 2:  # as many days as that are shared with the attacker
                        shared = {name: kind for name, kind in columns if name in ("day", "month")}
                        values |= {name: plain(name, kind, row, first=FIRST_DAY) for name, kind in shared.items()}
                    made.append(list((values | {"tenant_id": other.id}).values()))
            incoming = pa.table([list(column) for column in zip(*made, strict=True)], [name for name, _ in columns])
            warehouse.register("incoming", incoming)
            warehouse.execute(f"delete from rollups.{model['name']}")
            warehouse.execute(f"insert into rollups.{model['name']} select * from incoming")


@dataclass
class Pooler:
    """PgBouncer in transaction mode. One server connection for everybody: the worst neighbours there are."""

    port: int
    passfile: Path

    def dsn(self, database: str, role: str) -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}?passfile={self.passfile}"


@contextmanager
def pooled(product: Product, directory: Path) -> Iterator[Pooler]:
    """Run PgBouncer before the product's server."""
    program = next((each for each in _PGBOUNCER if Path(each).exists()), None)
    if program is None:
        raise SystemExit("PgBouncer is not on this machine; install it (Debian: `apt-get install pgbouncer`)")
    directory.mkdir()
    port = free_port()
    lines = product.server.passfile.read_text().splitlines()
    passwords = {line.split(":")[3]: line.rsplit(":", 1)[1] for line in lines}
    (directory / "users.txt").write_text("".join(f'"{role}" "{word}"\n' for role, word in passwords.items()))
    (directory / "users.txt").chmod(0o600)
    (directory / "pgpass").write_text("".join(f"127.0.0.1:*:*:{role}:{word}\n" for role, word in passwords.items()))
    (directory / "pgpass").chmod(0o600)
    options = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": directory / "users.txt",
        "pool_mode": "transaction",
        "default_pool_size": 1,
        "ignore_startup_parameters": "extra_float_digits,options",
        "query_wait_timeout": 10,
        "logfile": directory / "log",
    }
    (directory / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={product.server.port}\n[pgbouncer]\n"
        + "".join(f"{name} = {value}\n" for name, value in options.items())
    )
    process = subprocess.Popen(
        [*unprivileged(), program, "-q", str(directory / "pgbouncer.ini")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(directory / "errors").open("wb"),
        cwd="/",
    )
    try:
        _wait_for(port, process)
        yield Pooler(port, directory / "pgpass")
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError("PgBouncer did not start")


@dataclass
class Door:
    """The API as an ASGI application that can be broken on purpose while it runs: ``broken`` takes its place."""

    app: Any
    broken: Callable[[Any, Any, Any, Any], Awaitable[None]] | None = None
    url: str = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.broken is not None and scope["type"] == "http":
            await self.broken(self.app, scope, receive, send)
        else:
            await self.app(scope, receive, send)


@contextmanager
def serving(settings: Settings) -> Iterator[Door]:
    """The API under uvicorn on a free port."""
    ensure_demo_keys(settings)
    door = Door(create_app(settings))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(door, log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            door.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            yield door
        finally:
            server.should_exit = True
            thread.join()
