"""Where a tenant's rollups are, and asking there: one tenant, one version, one read-only transaction."""

from __future__ import annotations

import fnmatch
import time
import uuid
from dataclasses import dataclass

from psycopg.conninfo import conninfo_to_dict

from serving.api import keys, queries
from serving.api.keys import Presented
from serving.api.postgres import Parameters, Pool
from serving.api.problems import ProblemError
from settings import Settings, with_database

_HOME_SECONDS = 60.0
_MOST_HOMES = 10_000
_SILO_CONNECTIONS = 2
QUEUE = 64
_HEALTH = queries.Query("health", "select $1::text", 1)


@dataclass(frozen=True)
class _Home:
    """The database of a tenant, kept for a minute."""

    database: str
    until: float


class Store:
    """Connections to the shared database and, when they are first asked for, to silos."""

    def __init__(self, settings: Settings) -> None:
        self._dsn = settings.serving.reader_dsn
        self._silos = settings.serving.silo_databases
        self._shared = str(conninfo_to_dict(self._dsn)["dbname"])
        self._connections = settings.serving.connections
        self._prepare = settings.serving.prepared_statements
        self._pools: dict[str, Pool] = {}
        self._homes: dict[uuid.UUID, _Home] = {}

    def open(self) -> None:
        """Start connecting."""
        self._pool(self._shared).start()

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.close()

    async def healthy(self) -> bool:
        """Whether the shared database answers."""
        try:
            return await self._pool(self._shared).ask(_HEALTH, ["ok"]) == b"ok"
        except ProblemError:
            return False

    async def ask(self, query: queries.Query, tenant: uuid.UUID, *parameters: str | None) -> bytes | None:
        """The answer as JSON, from the database that is the tenant's home; None before the first publish.

        Raises BusyError and UnavailableError.
        """
        asked: Parameters = (str(tenant), *parameters)
        return await self._pool(await self.home(tenant)).ask(query, asked)

    async def home(self, tenant: uuid.UUID) -> str:
        """The database that holds the tenant's rollups."""
        known = self._homes.get(tenant)
        if known is not None and known.until > time.monotonic():
            return known.database
        named = await self._pool(self._shared).ask(queries.DIRECTORY, [str(tenant)])
        if named is None:
            # A stranger, or a tenant not published yet, has no rows in the shared database: the same empty answer.
            return self._shared
        home = _Home(self._allowed(named.decode()), time.monotonic() + _HOME_SECONDS)
        if len(self._homes) >= _MOST_HOMES:
            self._homes.clear()
        self._homes[tenant] = home
        return home.database

    async def stands(self, presented: Presented) -> bool:
        """Whether an API key is one that stands. It is looked up as the tenant that it claims to be of."""
        kept = await self._pool(self._shared).ask(keys.FIND, [str(presented.tenant), presented.key_id])
        return kept is not None and presented.is_hashed_as(kept.decode())

    def database(self, home: str) -> str:
        """The DSN of a database of this deployment."""
        return self._dsn if home == self._shared else with_database(self._dsn, home)

    @property
    def saturated(self) -> bool:
        """Whether nobody else can be served now."""
        return self._pool(self._shared).saturated

    def _allowed(self, database: str) -> str:
        """A silo only by the configured pattern: no row of a table can send this process anywhere else."""
        return database if self._silos and fnmatch.fnmatchcase(database, self._silos) else self._shared

    def _pool(self, database: str) -> Pool:
        if database not in self._pools:
            shared = database == self._shared
            self._pools[database] = Pool(
                self.database(database),
                size=self._connections if shared else _SILO_CONNECTIONS,
                queue=QUEUE,
                prepare=self._prepare,
            )
        return self._pools[database]
