"""Publish rollups into the product's Postgres: each tenant's rows to its home, whole or not at all.

One transaction a database covers every rollup and the row in ``tenant_analytics.publications``, so a reader sees one
version or the next, whenever the publisher dies. Rows are copied into temporary tables; only differences reach the
published ones, and a publish that changes nothing writes nothing.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.csv
from psycopg import sql

from serving import ddl
from serving.contract import TENANT, Column, TableContract, load_rollup_contracts
from serving.tenants import UNATTRIBUTED, Tenant, homes, read_tenants
from settings import Settings, TailraceError, postgres_problem
from warehouse import quote
from warehouse.failpoints import failpoint

Progress = Callable[[str], None]

DIRECTORY = TableContract(
    name="tenant_directory",
    source=("marts", "dim_tenants"),
    columns=(
        Column(name="tenant_id", type="uuid", description="The tenant."),
        Column(name="tenant_name", type="text", description="The company's name, for headings."),
        Column(name="database", type="text", description="The database that its rollups are published to."),
    ),
    key=("tenant_id",),
    description="Where each tenant's rollups are; a tenant sees its own row.",
)
_BATCH_ROWS = 100_000
_LOCK_TIMEOUT_MS = 15_000
# The server ends a query within a second of its client's death, and an idle transaction after five minutes.
_SESSION = (
    f"-c lock_timeout={_LOCK_TIMEOUT_MS} -c client_connection_check_interval=1000 "
    "-c idle_in_transaction_session_timeout=300000 -c timezone=UTC -c synchronous_commit=on"
)
_ADVISORY_LOCK = 0x7A11_9ACE


@dataclass(frozen=True, kw_only=True)
class TablePublished:
    """``written`` rows were new or different, ``deleted`` rows are gone from the warehouse; ``rows`` stand now."""

    rows: int
    written: int
    deleted: int


@dataclass(frozen=True, kw_only=True)
class DatabasePublished:
    """``version`` is the publication that stands now; it is a new one only when ``changed``."""

    database: str
    version: int
    changed: bool
    tables: dict[str, TablePublished]
    migrations: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PublishReport:
    """``unattributed`` counts, for each rollup, the rows that belong to no tenant and were held back."""

    run_id: str
    as_of: datetime
    seconds: float
    databases: tuple[DatabasePublished, ...]
    unattributed: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rollup rows that tenants can read now."""
        return sum(table.rows for each in self.databases for table in each.tables.values())

    @property
    def written(self) -> int:
        return sum(table.written for each in self.databases for table in each.tables.values())

    @property
    def deleted(self) -> int:
        return sum(table.deleted for each in self.databases for table in each.tables.values())


def publish(
    settings: Settings,
    warehouse: duckdb.DuckDBPyConnection,
    *,
    manifest_path: Path,
    run_id: str,
    as_of: datetime,
    progress: Progress | None = None,
) -> PublishReport:
    """Bring every rollup database to the warehouse's rollups. ``as_of`` (with a zone): the data is complete until then.

    Raises TailraceError, and publishes nothing to the database concerned, when a row belongs to a tenant of another
    region or to none the warehouse knows, a rollup breaks its contract, or Postgres cannot be written.
    """
    if as_of.tzinfo is None:
        raise TailraceError("publish: as_of has no time zone; give it in UTC")
    started = time.monotonic()
    contracts = load_rollup_contracts(manifest_path)
    tenants = read_tenants(warehouse)
    databases = settings.rollup_databases()
    home = homes(settings, tenants.values(), databases)
    unattributed = {contract.name: _count_unpublished(warehouse, contract, tenants) for contract in contracts}
    published: list[DatabasePublished] = []
    shared = next(iter(databases))
    for database, dsn in databases.items():
        residents = [tenant for tenant, where in home.items() if where == database]
        # The shared database knows where everyone is, so that a reader can be sent on to a silo.
        listed = list(home) if database == shared else residents
        publication = _Publication(
            warehouse=warehouse,
            contracts=contracts,
            residents=residents,
            directory=[(tenant, tenants[tenant].name, home[tenant]) for tenant in listed],
            run_id=run_id,
            as_of=as_of,
        )
        published.append(_publish_database(database, dsn, publication))
        failpoint("publish_after_commit")
        if progress is not None:
            progress(_describe(published[-1]))
    return PublishReport(
        run_id=run_id,
        as_of=as_of,
        seconds=time.monotonic() - started,
        databases=tuple(published),
        unattributed=unattributed,
    )


@dataclass(frozen=True, kw_only=True)
class _Publication:
    """What one database is to hold."""

    warehouse: duckdb.DuckDBPyConnection
    contracts: list[TableContract]
    residents: list[str]
    directory: list[tuple[str, str, str]]
    run_id: str
    as_of: datetime

    def batches(self, contract: TableContract) -> Iterator[pa.RecordBatch]:
        """The rows of a table, in the contract's column order."""
        if contract is DIRECTORY:
            columns = zip(*self.directory, strict=True) if self.directory else ([], [], [])
            arrays = [pa.array(list(column), type=pa.string()) for column in columns]
            yield pa.record_batch(arrays, names=list(contract.column_names))
            return
        columns_sql = ", ".join(map(quote, contract.column_names))
        query = (
            f"select {columns_sql} from {_source(contract)} "  # noqa: S608 - quoted names of the contract
            f"where {quote(TENANT)} in (select unnest(?::varchar[]))"
        )
        try:
            relation = self.warehouse.sql(query, params=[self.residents])
            yield from relation.to_arrow_reader(_BATCH_ROWS)
        except (duckdb.BinderException, duckdb.CatalogException):
            raise TailraceError(
                f"{'.'.join(contract.source)}: the warehouse's table does not fit its contract; build it with dbt first"
            ) from None


def _publish_database(database: str, dsn: str, publication: _Publication) -> DatabasePublished:
    """One database's publish, in one transaction."""
    try:
        connection = psycopg.connect(dsn, connect_timeout=10, options=_SESSION)
    except psycopg.Error as error:
        raise TailraceError(postgres_problem(dsn, error)) from None
    try:
        with connection, connection.cursor() as cursor:
            return _replace_version(cursor, database, publication)
    except psycopg.Error as error:
        raise TailraceError(_problem(database, error)) from None


def _replace_version(cursor: ddl.Cursor, database: str, publication: _Publication) -> DatabasePublished:
    """Load everything first, so that the locks of a migration and of the writes are held for moments only."""
    cursor.execute("select pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])
    contracts = [*publication.contracts, DIRECTORY]
    for contract in contracts:
        _load(cursor, contract, publication)
    failpoint("publish_after_load")
    migrations = ddl.migrate(cursor, contracts)
    failpoint("publish_after_migrate")
    tables = {}
    for contract in contracts:
        tables[contract.name] = _write_differences(cursor, contract)
        failpoint("publish_after_first_table")
    directory = tables.pop(DIRECTORY.name)
    wrote = any(table.written or table.deleted for table in [*tables.values(), directory])
    version, changed = _record(cursor, publication, tables, changed=wrote or bool(migrations))
    failpoint("publish_before_commit")
    return DatabasePublished(
        database=database, version=version, changed=changed, tables=tables, migrations=tuple(migrations)
    )


def _load(cursor: ddl.Cursor, contract: TableContract, publication: _Publication) -> None:
    """Copy the rows into a temporary table that the commit or the death of this session removes."""
    incoming = _incoming(contract)
    cursor.execute(
        sql.SQL("create temporary table {} ({}) on commit drop").format(incoming, ddl.column_definitions(contract))
    )
    into = sql.SQL("copy {} ({}) from stdin (format csv)").format(incoming, ddl.names(contract.column_names))
    # Arrow's writer leaves a null unquoted and quotes every string, as PostgreSQL's CSV wants it.
    options = pa.csv.WriteOptions(include_header=False)
    with cursor.copy(into) as copy:
        for batch in publication.batches(contract):
            buffer = io.BytesIO()
            pa.csv.write_csv(batch, buffer, options)
            copy.write(buffer.getbuffer())
    cursor.execute(sql.SQL("analyze {}").format(incoming))


def _write_differences(cursor: ddl.Cursor, contract: TableContract) -> TablePublished:
    """Delete what is gone and write what is new or differs; a row that stays the same is not touched."""
    target, incoming = ddl.table(contract.name), _incoming(contract)
    key_equal = sql.SQL("({}) = ({})").format(
        ddl.names(contract.key, of="published"), ddl.names(contract.key, of="incoming")
    )
    deleted = cursor.execute(
        sql.SQL(
            "delete from {target} as published where not exists (select from {incoming} as incoming where {key_equal})"
        ).format(target=target, incoming=incoming, key_equal=key_equal)
    ).rowcount
    all_equal = sql.SQL("row({}) is not distinct from row({})").format(
        ddl.names(contract.column_names, of="published"), ddl.names(contract.column_names, of="incoming")
    )
    update = sql.SQL("nothing")
    if contract.values:
        update = sql.SQL("update set {}").format(  # type: ignore[assignment]
            sql.SQL(", ").join(
                sql.SQL("{} = excluded.{}").format(sql.Identifier(each), sql.Identifier(each))
                for each in contract.values
            )
        )
    written = cursor.execute(
        sql.SQL(
            "insert into {target} ({columns}) select {columns} from {incoming} as incoming "
            "where not exists (select from {target} as published where {key_equal} and {all_equal}) "
            "on conflict ({key}) do {update}"
        ).format(
            target=target,
            incoming=incoming,
            columns=ddl.names(contract.column_names),
            key_equal=key_equal,
            all_equal=all_equal,
            key=ddl.names(contract.key),
            update=update,
        )
    ).rowcount
    counted = cursor.execute(sql.SQL("select count(*) from {}").format(incoming)).fetchone()
    return TablePublished(rows=counted[0] if counted else 0, written=written, deleted=deleted)


def _record(
    cursor: ddl.Cursor, publication: _Publication, tables: dict[str, TablePublished], *, changed: bool
) -> tuple[int, bool]:
    """The version that stands after this publish.

    A version stands for content. The same content, known to hold until later, moves the version's ``as_of`` on.
    """
    publications = ddl.table(ddl.PUBLICATIONS)
    last = cursor.execute(
        sql.SQL("select version, as_of from {} order by version desc limit 1").format(publications)
    ).fetchone()
    if last is not None and not changed:
        if publication.as_of > last[1]:
            cursor.execute(
                sql.SQL("update {} set run_id = %s, as_of = %s where version = %s").format(publications),
                [publication.run_id, publication.as_of, last[0]],
            )
        return last[0], False
    new = cursor.execute(
        sql.SQL(
            "insert into {} (run_id, as_of, published_at, rows) "
            "values (%s, %s, clock_timestamp(), %s) returning version"
        ).format(publications),
        [publication.run_id, publication.as_of, sum(table.rows for table in tables.values())],
    ).fetchone()
    assert new is not None
    return new[0], True


def _count_unpublished(
    warehouse: duckdb.DuckDBPyConnection, contract: TableContract, tenants: dict[str, Tenant]
) -> int:
    """How many rows are unattributed. Rows of a tenant that the warehouse does not know are refused."""
    query = f"select {quote(TENANT)}, count(*) from {_source(contract)} group by all"  # noqa: S608
    try:
        counts = dict(warehouse.execute(query).fetchall())
    except (duckdb.BinderException, duckdb.CatalogException):
        raise TailraceError(f"{'.'.join(contract.source)}: not in the warehouse; build it with dbt first") from None
    unattributed = counts.pop(UNATTRIBUTED, 0)
    unknown = [tenant for tenant in counts if tenant not in tenants]
    if unknown:
        raise TailraceError(
            f"{'.'.join(contract.source)}: {len(unknown)} tenant(s) with {sum(counts[each] for each in unknown)} rows "
            f"are not in marts.dim_tenants; their rows belong to the tenant '{UNATTRIBUTED}'"
        )
    return unattributed


def _source(contract: TableContract) -> str:
    return ".".join(map(quote, contract.source))


def _incoming(contract: TableContract) -> sql.Identifier:
    return sql.Identifier("pg_temp", f"incoming_{contract.name}")


def _describe(published: DatabasePublished) -> str:
    written = sum(table.written for table in published.tables.values())
    deleted = sum(table.deleted for table in published.tables.values())
    what = f"{written:,} rows written, {deleted:,} deleted" if published.changed else "unchanged"
    return f"{published.database}: version {published.version}, {what}"


def _problem(database: str, error: psycopg.Error) -> str:
    """One line for a publish that Postgres refused; the version that stood before still stands."""
    if isinstance(error, psycopg.errors.LockNotAvailable):
        reason = "another publish or a migration holds it; run again when that has ended"
    elif isinstance(error, psycopg.errors.InsufficientPrivilege):
        reason = (
            f"{error.diag.message_primary}; {ddl.PUBLISHER} must be a member of {ddl.OWNER}, "
            f"and {ddl.OWNER} must own or be able to create schema {ddl.SCHEMA}"
        )
    elif isinstance(error, psycopg.errors.DiskFull):
        reason = "its disk is full; free space and run again"
    elif isinstance(error, psycopg.errors.DependentObjectsStillExist):
        reason = f"{error.diag.message_primary}; drop what depends on it, then publish again"
    elif isinstance(error, psycopg.IntegrityError | psycopg.DataError | psycopg.errors.CardinalityViolation):
        where = (error.diag.table_name or "a rollup").removeprefix("incoming_")
        reason = f"{where} breaks its contract ({type(error).__name__}); mend the dbt model"
    else:
        lines = str(error).strip().splitlines()
        reason = f"{lines[0] if lines else type(error).__name__}; run again"
    return f"publishing to {database} failed, its last version stands: {reason}"
