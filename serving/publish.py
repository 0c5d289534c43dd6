"""Publish rollups into the product's Postgres: each tenant's rows to its home, whole or not at all.

One transaction a home covers every rollup and the row in its ``publications``, so a reader sees one version or the
next, whenever the publisher dies. Only slices whose content hash changed are copied, of them only rows
that differ are written, and a publish that changes nothing writes nothing.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
from psycopg import sql

from serving import background, ddl, holds, migrate, rowcopy, slices, verify, versions, windows
from serving.contract import Column, TableContract, load_rollup_contracts
from serving.homes import Home
from serving.session import session, take_turn, transaction
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
        Column(name="schema", type="text", description="The schema of that database that they are in."),
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
class HomePublished:
    """``version`` is the publication that stands now; it is a new one only when ``changed``."""

    home: Home
    version: int
    changed: bool
    tables: dict[str, TablePublished]
    migrations: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    """tenants whose rollups were rolled back and stay as they are until they are released"""
    mended: dict[str, int] = field(default_factory=dict)
    """rollup → parts that stood otherwise than published; only known when asked to verify"""


@dataclass(frozen=True, kw_only=True)
class PublishReport:
    """``unattributed`` counts, for each rollup, the rows that belong to no tenant and were held back.

    ``dropped`` are the namespaces that were no tenant's home any more.
    """

    run_id: str
    as_of: datetime
    seconds: float
    homes: tuple[HomePublished, ...]
    unattributed: dict[str, int] = field(default_factory=dict)
    dropped: tuple[Home, ...] = ()

    @property
    def rows(self) -> int:
        """Rollup rows that tenants can read now."""
        return sum(table.rows for each in self.homes for table in each.tables.values())

    @property
    def written(self) -> int:
        return sum(table.written for each in self.homes for table in each.tables.values())

    @property
    def deleted(self) -> int:
        return sum(table.deleted for each in self.homes for table in each.tables.values())


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
    """Bring every home to the warehouse's rollups. ``as_of`` (with a zone): the data is complete until then.

    With ``verify`` what stands is read back and hashed anew, and what somebody else changed is mended. Raises
    TailraceError, and publishes nothing to the home concerned and those after it, when a row belongs to a tenant of
    another region or to none the warehouse knows, a rollup breaks its contract, or Postgres cannot be written.
    """
    if as_of.tzinfo is None:
        raise TailraceError("publish: as_of has no time zone; give it in UTC")
    started = time.monotonic()
    contracts = load_rollup_contracts(manifest_path)
    databases = settings.rollup_databases()
    rollups = [
        slices.Rollup(connection=warehouse, contract=each, relation=".".join(map(quote, each.source)))
        for each in contracts
    ]
    published: list[HomePublished] = []
    dropped: list[Home] = []
    shared = Home(next(iter(databases)))
    # What the warehouse holds is found out by a thread, while Postgres is asked for what stands.
    with background.worker() as finding:
        giving_way = finding.submit(background.let_give_way, warehouse.cursor())
        tenants = read_tenants(warehouse)
        measured = finding.submit(_measure, rollups, tenants)
        giving_way.result()
        home = homes(settings, tenants.values(), databases)
        residents: dict[Home, list[str]] = defaultdict(list)
        for tenant, where in home.items():
            residents[where].append(tenant)
        entries = {tenant: (tenant, tenants[tenant].name, at.database, at.schema) for tenant, at in home.items()}
        for database, dsn in databases.items():
            pool = Home(database)
            namespaces = sorted((each for each in residents if each.database == database and each != pool), key=str)
            with session(database, dsn) as connection:
                # Who moves is in the new home before the directory says so, and in the old one until it does.
                for here in [*namespaces, pool]:
                    here_now = residents.get(here, [])
                    # The shared home knows where everyone is, so that a reader can be sent on.
                    listed = list(home) if here == shared else here_now
                    publication = _Publication(
                        home=here,
                        rollups=rollups,
                        measured=measured,
                        residents=here_now,
                        elsewhere=list(home.keys() - here_now),
                        listing=_directory(warehouse.cursor(), [entries[tenant] for tenant in listed]),
                        listed=listed,
                        run_id=run_id,
                        as_of=as_of,
                        verify=verify,
                    )
                    published.append(_publish_home(connection, publication))
                    failpoint("publish_after_commit")
                    with transaction(connection, here) as cursor:
                        windows.refresh(cursor)
                    if progress is not None:
                        progress(_describe(published[-1]))
                for left in migrate.namespaces(connection, database):
                    if left not in namespaces:
                        failpoint("publish_before_drop")
                        migrate.drop(connection, left)
                        dropped.append(left)
                        if progress is not None:
                            progress(f"{left.name}: dropped, its tenant is at home elsewhere")
    return PublishReport(
        run_id=run_id,
        as_of=as_of,
        seconds=time.monotonic() - started,
        homes=tuple(published),
        unattributed=measured.result().unattributed,
        dropped=tuple(dropped),
    )


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """``counts``: rollup → tenant → rows in the warehouse. ``unattributed``: rollup → rows of no tenant."""

    counts: dict[str, dict[str, int]]
    unattributed: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class _Publication:
    """What one home is to hold. ``measured`` may still be under way."""

    home: Home
    rollups: list[slices.Rollup]
    measured: Future[_Measured]
    residents: list[str]
    elsewhere: list[str]
    """tenants that are at home elsewhere, and may have been here"""
    listing: slices.Rollup
    listed: list[str]
    run_id: str
    as_of: datetime
    verify: bool

    @property
    def contracts(self) -> list[TableContract]:
        return [*(rollup.contract for rollup in self.rollups), DIRECTORY]

    def tables(self) -> Iterator[slices.Rollup]:
        """The directory, and the rollups once they are measured. Raises TailraceError where that failed."""
        yield self.listing
        self.measured.result()
        yield from self.rollups

    def rows(self, contract: TableContract) -> int:
        """Rows of the residents in the warehouse."""
        counts = self.measured.result().counts[contract.name]
        return sum(counts.get(tenant, 0) for tenant in self.residents)


def _measure(rollups: list[slices.Rollup], tenants: dict[str, Tenant]) -> _Measured:
    counts = {rollup.contract.name: rollup.measure() for rollup in rollups}
    return _Measured(
        counts=counts,
        unattributed={name: _count_unpublished(name, rows, tenants) for name, rows in counts.items()},
    )


def _directory(warehouse: duckdb.DuckDBPyConnection, rows: list[tuple[str, str, str, str]]) -> slices.Rollup:
    """The directory of these tenants, measured, under a connection of its own."""
    columns = zip(*rows, strict=True) if rows else ([], [], [], [])
    arrays = [pa.array(list(column), type=pa.string()) for column in columns]
    warehouse.register("published_directory", pa.table(arrays, names=list(DIRECTORY.column_names)))
    directory = slices.Rollup(connection=warehouse, contract=DIRECTORY, relation="published_directory")
    directory.measure()
    return directory


def _publish_home(connection: psycopg.Connection[Any], publication: _Publication) -> HomePublished:
    """One home's publish: changes of tables that stand first, then everything else in one transaction."""
    migrations = migrate.in_place(connection, publication.home, publication.contracts, once=publication.measured.result)
    failpoint("publish_after_migrate")
    with transaction(connection, publication.home) as cursor:
        return _next_version(cursor, publication, migrations)


def _next_version(cursor: ddl.Cursor, publication: _Publication, migrations: list[str]) -> HomePublished:
    take_turn(cursor)
    found = migrate.survey(cursor, publication.contracts)
    migrations += migrate.ensure_own_tables(cursor, [rollup.contract for rollup in publication.rollups])
    migrate.settle(cursor, publication.residents)
    if found.rebuild:
        return _rebuild(cursor, publication, found, migrations)
    held = holds.standing(cursor, residents=publication.residents)
    standing = versions.latest(cursor)
    version = standing.version + 1 if standing else 1
    changed: dict[str, list[slices.Part]] = {}
    mended: dict[str, int] = {}
    stands = [contract for contract in publication.contracts if contract not in found.missing]
    doubtful = [contract for contract in stands if publication.verify or not versions.known(cursor, contract)]
    if doubtful:
        for rollup in publication.tables():
            if rollup.contract in doubtful:
                mended[rollup.contract.name] = verify.correct_hashes(cursor, rollup)
    stored = {contract.name: versions.stored_parts(cursor, contract) for contract in stands}
    for rollup in publication.tables():
        contract = rollup.contract
        if contract in found.missing:
            continue
        tenants, keep = _concerned(publication, contract, held)
        changed[contract.name] = _load(cursor, rollup, version, stored[contract.name], tenants=tenants, keep=keep)
    failpoint("publish_after_load")
    written = {}
    for rollup in publication.tables():
        contract = rollup.contract
        if contract in found.missing:
            tenants, _ = _concerned(publication, contract, held)
            written[contract.name] = _create(cursor, rollup, cursor.home.table(contract.name), tenants)
            migrations.append(f"created {contract.name}")
            if standing is not None and contract is not DIRECTORY:
                versions.note_created(cursor, contract, version)
        elif touched := changed[contract.name]:
            with rowcopy.ahead(rollup.parts_touched()) as parts:
                written[contract.name] = versions.apply(cursor, contract)
                versions.replace_parts(cursor, contract, touched, parts)
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
    migrations += migrate.settle_windows(cursor, publication.contracts, version=version)
    # What was kept of who has moved away could only be put back where nobody looks for it.
    versions.forget_tenants(cursor, publication.elsewhere)
    failpoint("publish_before_commit")
    return HomePublished(
        home=publication.home,
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


def _load(
    cursor: ddl.Cursor,
    rollup: slices.Rollup,
    version: int,
    stored: pa.Table,
    *,
    tenants: list[str],
    keep: Collection[str],
) -> list[slices.Part]:
    """Find what differs from the parts ``stored`` and load it beside what stands; the parts, if any slice does."""
    contract = rollup.contract
    touched = rollup.touched(stored, tenants)
    if not touched:
        return []
    with background.worker() as finding:
        hashing = finding.submit(rollup.hash_touched)
        published = versions.stored_slices(cursor, contract, touched)
        hashing.result()
    if not rollup.compare(published, keep=keep):
        return []
    versions.load_changed(cursor, contract, rollup.changed())
    with rowcopy.ahead(rollup.rows_changed()) as rows:
        versions.set_aside(cursor, contract, version, keep=contract is not DIRECTORY)
        versions.load_incoming(cursor, contract, rows)
    return touched


def _concerned(
    publication: _Publication, contract: TableContract, held: Collection[str]
) -> tuple[list[str], Collection[str]]:
    """Whose rows of a table are to be as in the warehouse, and whose are to stay whatever they are."""
    if contract is DIRECTORY:
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
    rows = migrate.create_filled(cursor, rollup.contract, name, rollup.rows(tenants), freeze=freeze)
    failpoint("publish_after_load")
    with rowcopy.ahead(rollup.parts(tenants)) as parts:
        migrate.complete(cursor, rollup.contract, name)
        versions.store_parts(cursor, rollup.contract, parts)
    return versions.Written(written=rows, gained=rows)


def _rebuild(
    cursor: ddl.Cursor, publication: _Publication, found: migrate.Survey, migrations: list[str]
) -> HomePublished:
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
    for rollup in publication.tables():
        tenants, _ = _concerned(publication, rollup.contract, ())
        name = rollup.contract.name
        written[name] = _create(cursor, rollup, migrate.following(cursor, name), tenants, freeze=True)
        failpoint("publish_after_first_table")
    windows_gone = windows.every(cursor)
    windows_made = windows.make(cursor, windows.of(contracts), version=version, table=partial(_to_be, cursor))
    published = [*(contract.name for contract in contracts), ddl.PUBLICATIONS]
    migrate.change_places(cursor, published, windows_made=windows_made, windows_gone=windows_gone)
    failpoint("publish_before_commit")
    return HomePublished(
        home=publication.home,
        version=version,
        changed=True,
        tables={
            rollup.contract.name: _table_published(publication, rollup.contract, written[rollup.contract.name])
            for rollup in publication.rollups
        },
        migrations=(*migrations, *(f"replaced {contract.name}" for contract in found.rebuild)),
    )


def _to_be(cursor: ddl.Cursor, name: str) -> sql.Identifier:
    """The table that will stand under a name when all have changed places."""
    return cursor.home.table(name) if name == ddl.HOLDS else migrate.following(cursor, name)


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


def _describe(published: HomePublished) -> str:
    written = sum(table.written for table in published.tables.values())
    deleted = sum(table.deleted for table in published.tables.values())
    what = f"{written:,} rows written, {deleted:,} deleted" if published.changed else "unchanged"
    held = f", {len(published.held)} tenant(s) held where they were rolled back to" if published.held else ""
    return f"{published.home.name}: version {published.version}, {what}{held}"
