"""A product in miniature: one shared database with a pool and two namespace schemas, one silo, one warehouse."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from demo.postgres import EmbeddedPostgres
from ingestion.land import RawColumn, RawTable
from ingestion.postgres import SyncReport, sync
from ingestion.postgres.checks import Finding, inspect
from ingestion.postgres.connection import connect
from settings import Settings, load_settings
from warehouse import DuckDBWarehouse, open_warehouse, quote

Row = tuple[Any, ...]

ITEMS = RawTable(
    "raw_app",
    "items",
    tuple(
        RawColumn(name, kind)
        for name, kind in {
            "tenant_id": "UUID",
            "id": "UUID",
            "title": "VARCHAR",
            "note": "VARCHAR",
            "amount": "DECIMAL(12,2)",
            "cost": "DECIMAL(12,6)",
            "n": "INTEGER",
            "big": "BIGINT",
            "done": "BOOLEAN",
            "due_on": "DATE",
            "at": "TIMESTAMPTZ",
            "payload": "JSON",
            "ip": "VARCHAR",
            "score": "DOUBLE",
        }.items()
    ),
    ("tenant_id", "id"),
    frozenset({"id", "title", "note", "payload", "ip"}),
)
MEMBERS = RawTable(
    "raw_app",
    "members",
    (
        RawColumn("tenant_id", "UUID"),
        RawColumn("space_id", "INTEGER"),
        RawColumn("user_id", "INTEGER"),
        RawColumn("role", "VARCHAR"),
    ),
    ("tenant_id", "space_id", "user_id"),
    frozenset({"user_id"}),
)
TABLES = (ITEMS, MEMBERS)
DDL = """
create table {0}.items (
    tenant_id uuid, id uuid, title text, secret text default 'never', note text, amount numeric(12, 2),
    cost numeric(12, 6), n int, big bigint, done boolean, due_on date, at timestamptz, payload jsonb, ip inet,
    score float8, primary key (tenant_id, id));
create table {0}.members (
    tenant_id uuid, space_id int, user_id int, role text, primary key (tenant_id, space_id, user_id));
alter table {0}.items enable row level security;
alter table {0}.items force row level security;
create policy cdc_reads on {0}.items for select to cdc using (true);
grant usage on schema {0} to cdc;
grant select on {0}.members to cdc;
grant select (tenant_id, id, title, note, amount, cost, n, big, done, due_on, at, payload, ip, score)
    on {0}.items to cdc;
"""
PUBLISH = """
alter publication tailrace add table
    {0}.items (tenant_id, id, title, note, amount, cost, n, big, done, due_on, at, payload, ip, score), {0}.members
"""
_CHILD = """
import pickle, sys
from ingestion.postgres import sync
from settings import load_settings
from warehouse import open_warehouse
settings = load_settings()
tables, batch = pickle.load(open(sys.argv[1], "rb"))
sync(settings, open_warehouse(settings), tables=tables, batch_messages=batch)
"""
# What both engines write alike for one value.
_IN_POSTGRES = {
    "TIMESTAMPTZ": "case when isfinite({0}) then (extract(epoch from {0}) * 1000000)::bigint::text else {0}::text end",
    "DATE": "case when isfinite({0}) then ({0} - date '1970-01-01')::text else {0}::text end",
    "DOUBLE": "{0}",
    "FLOAT": "{0}::float8",
}
_IN_DUCKDB = {
    "TIMESTAMPTZ": "case when isfinite({0}) then epoch_us({0})::varchar else {0}::varchar end",
    "DATE": "case when isfinite({0}) then date_diff('day', date '1970-01-01', {0})::varchar else {0}::varchar end",
    "DOUBLE": "{0}",
    "FLOAT": "{0}::float8",
}


class Product:
    """Source databases and the warehouse that they are captured into."""

    def __init__(self, server: EmbeddedPostgres, folder: Path, number: int) -> None:
        self.server = server
        self.shared, self.silo = f"product_{number}", f"silo_{number}_zeta"
        self.tables: tuple[RawTable, ...] = TABLES
        self.schemas = {self.shared: ["app", "t_acme", "t_beta"], self.silo: ["app"]}
        self.folder = folder
        self._number = number
        self._added: list[str] = []
        self._connections: dict[str, Any] = {}
        server.create_role("cdc", attributes="login replication")
        for database, schemas in self.schemas.items():
            self._create_database(database, schemas)
        self.config = folder / "tailrace.yml"
        self.config.write_text(f"""
region: us
state_dir: {folder}
sources:
  postgres:
    dsn: {server.dsn(self.shared, role="cdc")}
    silo_databases: silo_{number}_*
    slot: tr
  stripe: {{url: "http://127.0.0.1:9", api_key_env: NONE}}
  hubspot: {{url: "http://127.0.0.1:9", token_env: NONE}}
serving: {{publisher_dsn: "postgresql://127.0.0.1/none", reader_dsn: "postgresql://127.0.0.1/none"}}
""")

    @property
    def settings(self) -> Settings:
        return load_settings(config_path=self.config)

    @property
    def warehouse(self) -> DuckDBWarehouse:
        return open_warehouse(self.settings)

    def slot(self, database: str) -> str:
        return f"tr_{database}"

    def create_schema(self, database: str, schema: str, *, publish: bool = True) -> None:
        if schema != "public":
            self.run(database, f"create schema {schema}")
        self.run(database, DDL.format(schema))
        if publish:
            self.run(database, PUBLISH.format(schema))

    def create_silo(self, name: str) -> str:
        """One more database of its own; its name."""
        database = f"silo_{self._number}_{name}"
        self._create_database(database, ["app"])
        self._added.append(database)
        self.schemas[database] = ["app"]
        return database

    def _create_database(self, database: str, schemas: list[str]) -> None:
        self.server.create_database(database)
        self.run(database, "create publication tailrace")
        for schema in schemas:
            self.create_schema(database, schema)

    def run(self, database: str, *statements: str) -> list[Row]:
        """The statements in one transaction; rows of the last."""
        with self.server.connect(database, autocommit=False) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def connection(self, database: str) -> Any:
        """An autocommitting connection that lasts as long as the test."""
        if database not in self._connections or self._connections[database].broken:
            self._connections[database] = self.server.connect(database)
            self._connections[database].prepare_threshold = None  # tables change under it
        return self._connections[database]

    def sync(self, *, batch_messages: int = 250_000) -> list[SyncReport]:
        return sync(self.settings, self.warehouse, tables=self.tables, batch_messages=batch_messages)

    def sync_killed(self, failpoint: str, *, batch_messages: int = 250_000, hit: int = 1) -> int:
        """``sync`` in a process of its own that dies when it comes to the failpoint for the ``hit``-th time.

        Its exit code: -9, or 0 where it never came there that often.
        """
        child = subprocess.run(
            self.child(_CHILD, self.tables, batch_messages),
            env=self.child_environment() | {"TAILRACE_FAILPOINT": f"{failpoint}:{hit}"},
            timeout=120,
            capture_output=True,
            text=True,
        )
        assert child.returncode in (0, -signal.SIGKILL), child.stderr
        return child.returncode

    def child(self, program: str, *arguments: Any) -> list[str]:
        """The command of a process that runs ``program``, which finds its pickled arguments in a file."""
        file = self.folder / "child.pickle"
        file.write_bytes(pickle.dumps(arguments))
        return [sys.executable, "-c", program, str(file)]

    def child_environment(self) -> dict[str, str]:
        found = {"TAILRACE_CONFIG": str(self.config), "TAILRACE_HOME": str(self.folder)}
        return os.environ | found | {"PYTHONPATH": str(Path(__file__).parents[3])}

    def findings(self, tables: Sequence[RawTable] | None = None) -> list[Finding]:
        """What `tailrace doctor` finds in the shared database."""
        config = self.settings.sources.postgres
        with connect(config.dsn) as connection:
            return inspect(
                connection,
                database=self.shared,
                publication=config.publication,
                slot=self.slot(self.shared),
                patterns=config.schemas,
                tables=tables or self.tables,
            )

    @contextmanager
    def passes_going_on(self) -> Iterator[None]:
        """Pass after pass in a thread of its own while the block runs, then one more; its failure is the block's."""
        stop, errors = threading.Event(), []

        def work() -> None:
            try:
                while not stop.is_set():
                    self.sync()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if errors:
            raise errors[0]
        self.sync()

    def raw(self, query: str) -> list[Row]:
        with self.warehouse.reader() as con:
            return con.execute(query).fetchall()

    def assert_equal(self) -> None:
        """Live raw rows are the source's rows, value for value; deleted ones keep no personal value; no key doubles.

        A table that a schema lacks has no rows there.
        """
        with self.warehouse.reader() as con:
            for table in self.tables:
                expected: Counter[Row] = Counter()
                for database, schemas in self.schemas.items():
                    for schema in schemas:
                        expected.update(map(_comparable, self.source_rows(database, schema, table)))
                columns = [_IN_DUCKDB.get(c.type, "{0}::varchar").format(quote(c.name)) for c in table.columns]
                landed = con.execute(
                    f"select _airbyte_meta->>'origin', {', '.join(columns)} from {table.sql} "
                    "where _ab_cdc_deleted_at is null"
                ).fetchall()
                assert Counter(map(_comparable, landed)) == expected
                if table.key:
                    key = ", ".join(map(quote, table.key))
                    assert not con.execute(f"select {key} from {table.sql} group by all having count(*) > 1").fetchall()
                wiped = " or ".join(f"{quote(name)} is not null" for name in table.wiped) or "false"
                assert con.execute(
                    f"select count(*) from {table.sql} where _ab_cdc_deleted_at is not null and ({wiped})"
                ).fetchone() == (0,)

    def source_rows(self, database: str, schema: str, table: RawTable) -> list[Row]:
        """Its rows in the source, each with its origin first, in texts that DuckDB writes alike.

        A column that this schema's table lacks is null.
        """
        connection, name = self.connection(database), f"{quote(schema)}.{quote(table.name)}"
        if connection.execute("select to_regclass(%s)", [name]).fetchone() == (None,):
            return []
        names = "select attname::text from pg_attribute where attrelid = %s::regclass and not attisdropped"
        present = {column for (column,) in connection.execute(names, [name]).fetchall()}
        columns = [_IN_POSTGRES.get(c.type, "{0}::text").format(quote(c.name)) for c in table.columns]
        for index, column in enumerate(table.columns):
            if column.name not in present:
                columns[index] = "null"
            elif column.name == "ip":
                columns[index] = "case when ip is not null then concat(ip) end"
        origin = f"{database}.{schema}"
        return connection.execute(f"select %s, {', '.join(columns)} from {name}".encode(), [origin]).fetchall()

    def close(self) -> None:
        """Leave the databases empty for the next test: to drop and make them anew would cost more than the tests."""
        for connection in self._connections.values():
            connection.close()
        for database in self.schemas:
            with self.server.connect(database) as connection:
                slots = "select slot_name from pg_replication_slots where database = %s and not active"
                for (name,) in connection.execute(slots, [database]).fetchall():
                    connection.execute("select pg_drop_replication_slot(%s)", [name])
                connection.execute("drop publication if exists tailrace")
                schemas = "select nspname from pg_namespace where nspname in ('app', 'audit') or nspname ~ '^t_'"
                for (name,) in connection.execute(schemas).fetchall():
                    connection.execute(psycopg.sql.SQL("drop schema {} cascade").format(psycopg.sql.Identifier(name)))
        with self.server.connect() as connection:
            for database in self._added:
                connection.execute(f"drop database {database} with (force)")


def _comparable(row: Row) -> Row:
    """NaN equals NaN here, and zero is not minus zero."""
    return tuple(repr(value) if isinstance(value, float) else value for value in row)


_numbers: list[int] = []
"""Of databases that no test uses now."""
_new = itertools.count(1)


@pytest.fixture
def product_for_a_while(postgres: EmbeddedPostgres, tmp_path: Path) -> Callable[[], AbstractContextManager[Product]]:
    """Products one after the other, in the same databases."""
    folders = itertools.count(1)

    @contextmanager
    def make() -> Iterator[Product]:
        number = _numbers.pop() if _numbers else next(_new)
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        product = Product(postgres, folder, number)
        try:
            yield product
        finally:
            product.close()
            _numbers.append(number)

    return make


@pytest.fixture
def new_product(
    product_for_a_while: Callable[[], AbstractContextManager[Product]],
) -> Iterator[Callable[[], Product]]:
    with ExitStack() as stack:
        yield lambda: stack.enter_context(product_for_a_while())


@pytest.fixture
def product(new_product: Callable[[], Product]) -> Product:
    return new_product()
