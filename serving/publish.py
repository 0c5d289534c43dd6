"""Publish rollups into the product's Postgres: each tenant's rows to its home, whole or not at all.

One transaction a database covers every rollup and the row in ``tenant_analytics.publications``, so a reader sees one
version or the next, whenever the publisher dies. Only slices whose content hash changed are copied, of them only rows
that differ are written, and a publish that changes nothing writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from psycopg import sql

from serving import ddl, holds, migrate, slices, verify, versions
from serving.contract import Column, TableContract, load_rollup_contracts
from serving.session import session, take_turn
from serving.tenants import UNATTRIBUTED, Tenant, homes, read_tenants
from settings import Settings, TailraceError
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
    held: tuple[str, ...] = ()
    """tenants whose rollups were rolled back and stay as they are until they are released"""
    mended: dict[str, int] = field(default_factory=dict)
    """rollup → months of a tenant that stood otherwise than published; only known when asked to verify"""


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
    verify: bool = False,
    progress: Progress | None = None,
) -> PublishReport:
    """Bring every rollup database to the warehouse's rollups. ``as_of`` (with a zone): the data is complete until then.

    With ``verify`` what stands is read back and hashed anew, and what somebody else changed is mended. Raises
    TailraceError, and publishes nothing to the database concerned, when a row belongs to a tenant of another region or
    to none the warehouse knows, a rollup breaks its contract, or Postgres cannot be written.
    """
    if as_of.tzinfo is None:
        raise TailraceError("publish: as_of has no time zone; give it in UTC")
    started = time.monotonic()
    contracts = load_rollup_contracts(manifest_path)
    tenants = read_tenants(warehouse)
    databases = settings.rollup_databases()
    home = homes(settings, tenants.values(), databases)
    rollups = [
        slices.Rollup(connection=warehouse, contract=each, relation=".".join(map(quote, each.source)))
        for each in contracts
    ]
    counts = {rollup.contract.name: rollup.measure() for rollup in rollups}
    unattributed = {name: _count_unpublished(name, rows, tenants) for name, rows in counts.items()}
    published: list[DatabasePublished] = []
    shared = next(iter(databases))
    for database, dsn in databases.items():
        residents = [tenant for tenant, where in home.items() if where == database]
        # The shared database knows where everyone is, so that a reader can be sent on to a silo.
        listed = list(home) if database == shared else residents
        publication = _Publication(
            rollups=rollups,
            counts=counts,
            residents=residents,
            directory=_directory(warehouse, [(tenant, tenants[tenant].name, home[tenant]) for tenant in listed]),
            listed=listed,
            run_id=run_id,
            as_of=as_of,
            verify=verify,
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
    """What one database is to hold. ``counts``: rollup → tenant → rows in the warehouse."""

    rollups: list[slices.Rollup]
    counts: dict[str, dict[str, int]]
    residents: list[str]
    directory: slices.Rollup
    listed: list[str]
    run_id: str
    as_of: datetime
    verify: bool

    @property
    def contracts(self) -> list[TableContract]:
        return [*(rollup.contract for rollup in self.rollups), DIRECTORY]

    def rows(self, contract: TableContract) -> int:
        """Rows of the residents in the warehouse."""
        return sum(self.counts[contract.name].get(tenant, 0) for tenant in self.residents)


def _directory(warehouse: duckdb.DuckDBPyConnection, rows: list[tuple[str, str, str]]) -> slices.Rollup:
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    arrays = [pa.array(list(column), type=pa.string()) for column in columns]
    warehouse.register("published_directory", pa.table(arrays, names=list(DIRECTORY.column_names)))
    directory = slices.Rollup(connection=warehouse, contract=DIRECTORY, relation="published_directory")
    directory.measure()
    return directory


def _publish_database(database: str, dsn: str, publication: _Publication) -> DatabasePublished:
    """One database's publish: changes of tables that stand first, then everything else in one transaction."""
    with session(database, dsn) as connection:
        migrations = migrate.in_place(connection, publication.contracts)
        failpoint("publish_after_migrate")
        with connection.transaction(), connection.cursor() as cursor:
            return _next_version(cursor, database, publication, migrations)


def _next_version(
    cursor: ddl.Cursor, database: str, publication: _Publication, migrations: list[str]
) -> DatabasePublished:
    take_turn(cursor)
    found = migrate.survey(cursor, publication.contracts)
    migrations += migrate.ensure_own_tables(cursor, [rollup.contract for rollup in publication.rollups])
    if found.rebuild:
        return _rebuild(cursor, database, publication, found, migrations)
    held = holds.standing(cursor, residents=publication.residents)
    standing = versions.latest(cursor)
    version = standing.version + 1 if standing else 1
    changed: dict[str, int] = {}
    mended: dict[str, int] = {}
    for rollup in [*publication.rollups, publication.directory]:
        contract = rollup.contract
        if contract in found.missing:
            continue
        if publication.verify or not versions.known(cursor, contract):
            mended[contract.name] = verify.correct_hashes(cursor, rollup)
        tenants, without = _concerned(publication, rollup, held)
        touched = rollup.touched(versions.stored_parts(cursor, contract, without=without), tenants)
        if not touched.num_rows:
            continue
        changed[contract.name] = rollup.compare(versions.stored_slices(cursor, contract, touched))
        versions.load_changes(cursor, contract, rollup.changed(), rollup.rows_changed())
    failpoint("publish_after_load")
    written = {}
    for rollup in [*publication.rollups, publication.directory]:
        contract = rollup.contract
        if contract in found.missing:
            tenants, _ = _concerned(publication, rollup, held)
            written[contract.name] = _create(cursor, rollup, ddl.table(contract.name), tenants)
            migrations.append(f"created {contract.name}")
            if standing is not None and rollup is not publication.directory:
                versions.note_created(cursor, contract, version)
        elif changed.get(contract.name):
            written[contract.name] = versions.apply(cursor, contract, version, keep=contract is not DIRECTORY)
        failpoint("publish_after_first_table")
    gained = sum(each.gained for name, each in written.items() if name != DIRECTORY.name)
    if written:
        versions.record(
            cursor,
            version=version,
            run_id=publication.run_id,
            as_of=publication.as_of,
            rows=(standing.rows if standing else 0) + gained,
            kept=standing is not None,
        )
        versions.forget_old(
            cursor, [rollup.contract for rollup in publication.rollups], version=version, keep=versions.KEPT
        )
    elif standing is not None:
        version = standing.version
        # A version stands for content: the same, known to hold until later, moves its stamp on. That of one that was
        # put back stays, as what came in since is not in it.
        if not (held and standing.restores):
            versions.move_on(cursor, run_id=publication.run_id, as_of=publication.as_of)
    failpoint("publish_before_commit")
    return DatabasePublished(
        database=database,
        version=version,
        changed=bool(written),
        tables={
            rollup.contract.name: _table_published(publication, rollup.contract, written.get(rollup.contract.name))
            for rollup in publication.rollups
        },
        migrations=tuple(migrations),
        held=tuple(sorted(held)),
        mended={name: parts for name, parts in mended.items() if parts},
    )


def _concerned(
    publication: _Publication, rollup: slices.Rollup, held: Collection[str]
) -> tuple[list[str], Collection[str]]:
    """Whose rows of a table are to be as in the warehouse, and whose are to stay whatever they are."""
    if rollup is publication.directory:
        return publication.listed, ()
    return [tenant for tenant in publication.residents if tenant not in held], held


def _create(
    cursor: ddl.Cursor,
    rollup: slices.Rollup,
    name: sql.Identifier,
    tenants: list[str],
    *,
    freeze: bool = False,
) -> versions.Written:
    """A table filled whole, and its hashes."""
    rows = migrate.create_filled(
        cursor,
        rollup.contract,
        name,
        rollup.rows(tenants),
        freeze=freeze,
        on_loaded=lambda: failpoint("publish_after_load"),
    )
    versions.store_slices(cursor, rollup.contract, rollup.slice_arrays(tenants))
    return versions.Written(written=rows, gained=rows)


def _rebuild(
    cursor: ddl.Cursor,
    database: str,
    publication: _Publication,
    found: migrate.Survey,
    migrations: list[str],
) -> DatabasePublished:
    """Every table anew beside what stands, and then in its place."""
    if held := holds.standing(cursor, residents=publication.residents):
        raise TailraceError(
            f"{found.rebuild[0].name} changed its type or key while {len(held)} tenant(s) are held at an earlier "
            "version, which the new table could not hold; `tailrace publish --release` first"
        )
    contracts = publication.contracts
    rows = sum(publication.rows(rollup.contract) for rollup in publication.rollups)
    version = migrate.create_next_publications(cursor, run_id=publication.run_id, as_of=publication.as_of, rows=rows)
    migrate.forget_everything(cursor, [rollup.contract for rollup in publication.rollups])
    written = {}
    for rollup in [*publication.rollups, publication.directory]:
        tenants, _ = _concerned(publication, rollup, ())
        name = rollup.contract.name
        written[name] = _create(cursor, rollup, migrate.following(name), tenants, freeze=True)
        failpoint("publish_after_first_table")
    migrate.change_places(cursor, [*(contract.name for contract in contracts), ddl.PUBLICATIONS])
    failpoint("publish_before_commit")
    return DatabasePublished(
        database=database,
        version=version,
        changed=True,
        tables={
            rollup.contract.name: _table_published(publication, rollup.contract, written[rollup.contract.name])
            for rollup in publication.rollups
        },
        migrations=(*migrations, *(f"replaced {contract.name}" for contract in found.rebuild)),
    )


def _table_published(
    publication: _Publication, contract: TableContract, written: versions.Written | None
) -> TablePublished:
    found = written or versions.Written()
    return TablePublished(rows=publication.rows(contract), written=found.written, deleted=found.deleted)


def _count_unpublished(name: str, rows: dict[str, int], tenants: dict[str, Tenant]) -> int:
    """How many rows are unattributed. Rows of a tenant that the warehouse does not know are refused."""
    unknown = [tenant for tenant in rows if tenant not in tenants and tenant != UNATTRIBUTED]
    if unknown:
        raise TailraceError(
            f"{name}: {len(unknown)} tenant(s) with {sum(rows[each] for each in unknown)} rows "
            f"are not in marts.dim_tenants; their rows belong to the tenant '{UNATTRIBUTED}'"
        )
    return rows.get(UNATTRIBUTED, 0)


def _describe(published: DatabasePublished) -> str:
    written = sum(table.written for table in published.tables.values())
    deleted = sum(table.deleted for table in published.tables.values())
    what = f"{written:,} rows written, {deleted:,} deleted" if published.changed else "unchanged"
    held = f", {len(published.held)} tenant(s) held where they were rolled back to" if published.held else ""
    return f"{published.database}: version {published.version}, {what}{held}"
