"""Reading rollups as ``tailrace_reader``: one tenant, one version, one read-only transaction.

Every query filters by the tenant; row-level security stands below as the net, fed by ``app.current_tenant_id``, which
is set for the transaction only, so that it holds behind a transaction pooler too.
"""

from __future__ import annotations

import fnmatch
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from serving.api.problems import UnavailableError
from settings import Settings, with_database

Row = dict[str, Any]
Connection = psycopg.AsyncConnection[Row]
_WAIT_SECONDS = 2.0
_HOME_SECONDS = 60.0
_MOST_HOMES = 10_000
_SHARED_CONNECTIONS, _SILO_CONNECTIONS = 8, 2

_USAGE = """
select day, active_users, active_users_7d, active_users_28d, workflow_runs, workflow_runs_failed, tasks_completed,
    comments, api_requests, api_errors, ai_requests, ai_tokens, ai_cost_usd
from tenant_analytics.rollup_tenant_usage_daily
where tenant_id = %(tenant)s and day between %(first)s and %(last)s order by day
"""
_FEATURES = """
select feature, day, active_users, events, adoption_share
from tenant_analytics.rollup_tenant_feature_adoption_daily
where tenant_id = %(tenant)s and day between %(first)s and %(last)s order by feature, day
"""
_DAYS = """
select min(day) as first_day, max(day) as last_day
from tenant_analytics.rollup_tenant_usage_daily where tenant_id = %(tenant)s
"""
_PUBLICATION = """
select version, as_of, published_at from tenant_analytics.publications order by version desc limit 1
"""
_DIRECTORY = """
select tenant_name, database from tenant_analytics.tenant_directory where tenant_id = %(tenant)s
"""


@dataclass(frozen=True, kw_only=True)
class Freshness:
    """What is published, and which UTC days of the tenant it holds; all None before the first publish."""

    version: int | None = None
    as_of: datetime | None = None
    published_at: datetime | None = None
    first_day: date | None = None
    last_day: date | None = None


@dataclass(frozen=True, kw_only=True)
class _Home:
    """Where a tenant's rollups are, kept for a minute."""

    name: str | None
    database: str
    until: float


class Snapshot:
    """One tenant's rollups at one version, for as long as its transaction is open; empty before the first publish."""

    def __init__(self, connection: Connection, tenant: uuid.UUID) -> None:
        self._connection = connection
        self._tenant = tenant
        self._published = True

    async def freshness(self) -> Freshness:
        publication = await self._rows(_PUBLICATION)
        days = await self._rows(_DAYS)
        return Freshness(**{name: value for row in (*publication, *days) for name, value in row.items()})

    async def usage(self, first: date, last: date) -> list[Row]:
        """Rows by day, both ends included."""
        return await self._rows(_USAGE, first=first, last=last)

    async def features(self, first: date, last: date) -> list[Row]:
        """Rows by feature and day, both ends included."""
        return await self._rows(_FEATURES, first=first, last=last)

    async def home(self) -> Row | None:
        rows = await self._rows(_DIRECTORY)
        return rows[0] if rows else None

    async def _rows(self, query: str, **parameters: object) -> list[Row]:
        if not self._published:
            return []
        try:
            cursor = await self._connection.execute(query, {"tenant": self._tenant, **parameters})
            return await cursor.fetchall()
        except psycopg.errors.UndefinedTable:
            self._published = False  # nothing has been published here yet; the transaction is over
            return []


class Store:
    """Connections to the shared database and, when they are first asked for, to silos."""

    def __init__(self, settings: Settings) -> None:
        self._dsn = settings.serving.reader_dsn
        self._silos = settings.serving.silo_databases
        self._shared = str(conninfo_to_dict(self._dsn)["dbname"])
        self._pools: dict[str, AsyncConnectionPool[Connection]] = {}
        self._homes: dict[uuid.UUID, _Home] = {}

    async def open(self) -> None:
        """Start connecting; a database that is down is found out by the first request, not by the start."""
        await self._pool(self._shared)

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.close()

    async def healthy(self) -> bool:
        """Whether the shared database answers."""
        try:
            async with (await self._pool(self._shared)).connection(timeout=_WAIT_SECONDS) as connection:
                await connection.execute("select 1")
        except (psycopg.Error, PoolTimeout):
            return False
        return True

    async def name(self, tenant: uuid.UUID) -> str | None:
        """The company's name, for a heading."""
        return (await self._home(tenant)).name

    @asynccontextmanager
    async def snapshot(self, tenant: uuid.UUID) -> AsyncIterator[Snapshot]:
        """The tenant's rollups, in the database that is its home."""
        home = await self._home(tenant)
        async with self._snapshot(home.database, tenant) as snapshot:
            yield snapshot

    async def _home(self, tenant: uuid.UUID) -> _Home:
        known = self._homes.get(tenant)
        if known is not None and known.until > time.monotonic():
            return known
        async with self._snapshot(self._shared, tenant) as snapshot:
            row = await snapshot.home()
        if row is None:
            # A stranger, or a tenant not published yet, has no rows in the shared database: the same empty answer.
            return _Home(name=None, database=self._shared, until=0.0)
        home = _Home(
            name=row["tenant_name"], database=self._allowed(row["database"]), until=time.monotonic() + _HOME_SECONDS
        )
        if len(self._homes) >= _MOST_HOMES:
            self._homes.clear()
        self._homes[tenant] = home
        return home

    def _allowed(self, database: str) -> str:
        """A silo only by the configured pattern: no row of a table can send this process anywhere else."""
        return database if self._silos and fnmatch.fnmatchcase(database, self._silos) else self._shared

    @asynccontextmanager
    async def _snapshot(self, database: str, tenant: uuid.UUID) -> AsyncIterator[Snapshot]:
        try:
            async with (await self._pool(database)).connection(timeout=_WAIT_SECONDS) as connection:
                async with connection.transaction():
                    await connection.execute("select set_config('app.current_tenant_id', %s, true)", [str(tenant)])
                    yield Snapshot(connection, tenant)
        except (psycopg.OperationalError, psycopg.errors.InsufficientPrivilege, PoolTimeout):
            raise UnavailableError from None

    async def _pool(self, database: str) -> AsyncConnectionPool[Connection]:
        if database not in self._pools:
            shared = database == self._shared
            pool = AsyncConnectionPool(
                self._dsn if shared else with_database(self._dsn, database),
                min_size=1 if shared else 0,
                max_size=_SHARED_CONNECTIONS if shared else _SILO_CONNECTIONS,
                kwargs={"row_factory": dict_row, "connect_timeout": 5, "options": "-c statement_timeout=5000"},
                configure=_configure,
                check=AsyncConnectionPool.check_connection,
                open=False,
            )
            self._pools[database] = pool
            await pool.open(wait=False)
        return self._pools[database]


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    """Repeatable read: all queries of a request see one version, even while the next one is published."""
    await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
    await connection.set_read_only(True)
