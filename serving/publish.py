"""Publish rollups into the product's Postgres: each tenant's rows to its home, whole or not at all.

One transaction a home covers every rollup and the row in its ``publications``, so a reader sees one version or the
next, whenever the publisher dies. Only slices whose content hash changed are copied, of them only rows
that differ are written, and a publish that changes nothing writes nothing.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

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
T = TypeVar("T")

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
        slices.Rollup(connection=warehouse.cursor(), contract=each, relation=".".join(map(quote, each.source)))
        for each in contracts
    ]
    published: list[HomePublished] = []
    dropped: list[Home] = []
    shared = Home(next(iter(databases)))
    # Others ask DuckDB, while this thread asks Postgres: it does not give way, and so does little itself.
    with background.workers(2) as workers:
        workers.submit(background.let_give_way, warehouse.cursor()).result()
        measuring = workers.submit(_measure, rollups)
        tenants = workers.submit(read_tenants, warehouse.cursor()).result()
        measured = workers.submit(_check, measuring, tenants)
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
                        listed={each: entries[each] for each in listed},
                        warehouse=warehouse,
                        workers=workers,
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
    listed: dict[str, tuple[str, ...]]
    """tenant → its row in the directory"""
    run_id: str
    as_of: datetime
    verify: bool
    warehouse: duckdb.DuckDBPyConnection
    workers: ThreadPoolExecutor

    @property
    def contracts(self) -> list[TableContract]:
        return [*(rollup.contract for rollup in self.rollups), DIRECTORY]

    def tables(self) -> Iterator[slices.Rollup]:
        """The rollups, and the directory, each once it is measured."""
        return map(self.table, self.contracts)

    def table(self, contract: TableContract) -> slices.Rollup:
        """One of them. Raises TailraceError where measuring failed."""
        if contract is DIRECTORY:
            return self._directory
        self.measured.result()
        return next(each for each in self.rollups if each.contract is contract)

    def ask(self, contract: TableContract, question: Callable[[slices.Rollup], T]) -> Future[T]:
        """Have a worker find something out about one of them; one at a time about each."""
        return self.workers.submit(lambda: question(self.table(contract)))

    @cached_property
    def _directory(self) -> slices.Rollup:
        columns = zip(*self.listed.values(), strict=True) if self.listed else ([], [], [], [])
        arrays = [pa.array(list(column), type=pa.string()) for column in columns]
        connection = self.warehouse.cursor()
        connection.register("published_directory", pa.table(arrays, names=list(DIRECTORY.column_names)))
        directory = slices.Rollup(connection=connection, contract=DIRECTORY, relation="published_directory")
        directory.measure()
        return directory

    def rows(self, contract: TableContract) -> int:
        """Rows of the residents in the warehouse."""
        counts = self.measured.result().counts[contract.name]
        return sum(counts.get(tenant, 0) for tenant in self.residents)


def _measure(rollups: list[slices.Rollup]) -> dict[str, dict[str, int]]:
    return {rollup.contract.name: rollup.measure() for rollup in rollups}


def _check(measuring: Future[dict[str, dict[str, int]]], tenants: dict[str, Tenant]) -> _Measured:
    counts = measuring.result()
    return _Measured(
        counts=counts,
        unattributed={name: _count_unpublished(name, rows, tenants) for name, rows in counts.items()},
    )


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
    loaded: dict[str, _Loaded] = {}
    mended: dict[str, int] = {}
    stands = [contract for contract in publication.contracts if contract not in found.missing]
    doubtful = [contract for contract in stands if publication.verify or not versions.known(cursor, contract)]
    if doubtful:
        for rollup in publication.tables():
            if rollup.contract in doubtful:
                mended[rollup.contract.name] = verify.correct_hashes(cursor, rollup)
    touched = _find_touched(cursor, publication, stands[0], held) if stands else None
    for contract, following in zip_longest(stands, stands[1:]):
        assert touched is not None
        changed = _find_changed(cursor, publication, contract, held, touched=touched.result())
        # What PostgreSQL now does with this one leaves time to look at the next.
        touched = _find_touched(cursor, publication, following, held) if following else None
        if changed:
            loaded[contract.name] = _load(cursor, publication.table(contract), version, changed)
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
        elif contract.name in loaded:
            parts, standing_rows, incoming_rows = loaded[contract.name]
            with rowcopy.ahead(rollup.parts_touched(), slices.PART_ARRAYS) as hashes:
                written[contract.name] = versions.apply(
                    cursor, contract, standing=standing_rows, incoming=incoming_rows
                )
                versions.replace_parts(cursor, contract, parts, hashes)
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


def _find_touched(
    cursor: ddl.Cursor, publication: _Publication, contract: TableContract, held: Collection[str]
) -> Future[list[slices.Part]]:
    stored = versions.stored_parts(cursor, contract)
    tenants, _ = _concerned(publication, contract, held)
    return publication.ask(contract, lambda rollup: rollup.touched(stored, tenants))


def _find_changed(
    cursor: ddl.Cursor,
    publication: _Publication,
    contract: TableContract,
    held: Collection[str],
    *,
    touched: list[slices.Part],
) -> list[slices.Part]:
    """Compare the slices of the parts ``touched``; these parts, if any slice is to change."""
    if not touched:
        return []
    _, keep = _concerned(publication, contract, held)
    hashing = publication.ask(contract, lambda rollup: rollup.hash_touched(touched))
    published = versions.stored_slices(cursor, contract, touched)
    hashing.result()
    comparing = publication.ask(contract, lambda rollup: rollup.compare(published, keep=keep))
    versions.make_room(cursor, contract)
    return touched if comparing.result() else []


class _Loaded(NamedTuple):
    """The parts that change, and how many rows stand in the slices that do and come in."""

    parts: list[slices.Part]
    standing: int
    incoming: int


def _load(cursor: ddl.Cursor, rollup: slices.Rollup, version: int, parts: list[slices.Part]) -> _Loaded:
    """Load what was found to change in these parts beside what stands."""
    contract = rollup.contract
    with rowcopy.ahead(rollup.changed(), slices.CHANGED) as changed:
        versions.load_changed(cursor, contract, changed)
    with rowcopy.ahead(rollup.rows_changed(), contract.columns) as rows:
        standing = versions.set_aside(cursor, contract, version, keep=contract is not DIRECTORY)
        incoming = versions.load_incoming(cursor, contract, rows)
    return _Loaded(parts, standing, incoming)


def _concerned(
    publication: _Publication, contract: TableContract, held: Collection[str]
) -> tuple[list[str], Collection[str]]:
    """Whose rows of a table are to be as in the warehouse, and whose are to stay whatever they are."""
    if contract is DIRECTORY:
        return list(publication.listed), ()
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
    with rowcopy.ahead(rollup.rows(tenants), rollup.contract.columns) as lines:
        rows = migrate.create_filled(cursor, rollup.contract, name, lines, freeze=freeze)
    failpoint("publish_after_load")
    with rowcopy.ahead(rollup.parts(tenants), slices.PART_ARRAYS) as parts:
        migrate.complete(cursor, rollup.contract, name)
        versions.make_room(cursor, rollup.contract)
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
