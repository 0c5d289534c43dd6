"""Where a tenant's rollups are, and asking there: one tenant, one version, one read-only transaction."""

from __future__ import annotations

import fnmatch
import json
import time
import uuid
from dataclasses import dataclass

from psycopg.conninfo import conninfo_to_dict

from serving.api import keys, queries
from serving.api.keys import Presented
from serving.api.postgres import Parameters, Pool
from serving.api.problems import ProblemError
from serving.homes import Home
from settings import Settings, with_database

_HOME_SECONDS = 60.0
_MOST_HOMES = 10_000
_SILO_CONNECTIONS = 2
QUEUE = 64
_HEALTH = queries.Query("health", "select $1::text", 1)


@dataclass(frozen=True)
class _Known:
    """The home of a tenant, kept for a minute."""

    home: Home
    until: float


class Store:
    """Connections to the shared database and, when they are first asked for, to silos."""

    def __init__(self, settings: Settings) -> None:
        self._dsn = settings.serving.reader_dsn
        self._silos = settings.serving.silo_databases
        self._namespaces = settings.serving.namespace_schemas
        self._shared = Home(str(conninfo_to_dict(self._dsn)["dbname"]))
        self._connections = settings.serving.connections
        self._prepare = settings.serving.prepared_statements
        self._pools: dict[str, Pool] = {}
        self._homes: dict[uuid.UUID, _Known] = {}

    def open(self) -> None:
        """Start connecting."""
        self._pool(self._shared.database).start()

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.close()

    async def healthy(self) -> bool:
        """Whether the shared database answers."""
        try:
            return await self._pool(self._shared.database).ask(_HEALTH, ["ok"]) == b"ok"
        except ProblemError:
            return False

    async def ask(self, query: queries.Query, tenant: uuid.UUID, *parameters: str | None) -> bytes | None:
        """The answer as JSON, from the tenant's home; None before the first publish.

        Raises BusyError and UnavailableError.
        """
        asked: Parameters = (str(tenant), *parameters)
        home = await self.home(tenant)
        answer = await self._pool(home.database).ask(query.within(home.schema), asked)
        if answer is None and home.is_namespace:  # it moved since we looked, and what it left was dropped
            home = await self.home(tenant, anew=True)
            answer = await self._pool(home.database).ask(query.within(home.schema), asked)
        return answer

    async def home(self, tenant: uuid.UUID, *, anew: bool = False) -> Home:
        """Where the tenant's rollups are; ``anew`` believes nothing that was found before."""
        known = self._homes.get(tenant)
        if known is not None and known.until > time.monotonic() and not anew:
            return known.home
        named = await self._pool(self._shared.database).ask(queries.DIRECTORY, [str(tenant)])
        if named is None:
            # A stranger, or a tenant not published yet, has no rows in the shared database: the same empty answer.
            return self._shared
        home = self._allowed(*json.loads(named))
        if len(self._homes) >= _MOST_HOMES:
            self._homes.clear()
        self._homes[tenant] = _Known(home, time.monotonic() + _HOME_SECONDS)
        return home

    async def stands(self, presented: Presented) -> bool:
        """Whether an API key is one that stands. It is looked up as the tenant that it claims to be of."""
        kept = await self._pool(self._shared.database).ask(keys.FIND, [str(presented.tenant), presented.key_id])
        return kept is not None and presented.is_hashed_as(kept.decode())

    def dsn(self, database: str) -> str:
        """The DSN of a database of this deployment."""
        return self._dsn if database == self._shared.database else with_database(self._dsn, database)

    @property
    def saturated(self) -> bool:
        """Whether nobody else can be served now."""
        return self._pool(self._shared.database).saturated

    def _allowed(self, database: str, schema: str) -> Home:
        """Elsewhere only by the configured patterns: no row of a table can send this process anywhere else."""
        if database == self._shared.database and fnmatch.fnmatchcase(schema, self._namespaces):
            return Home(database, schema)
        return Home(database) if self._silos and fnmatch.fnmatchcase(database, self._silos) else self._shared

    def _pool(self, database: str) -> Pool:
        if database not in self._pools:
            shared = database == self._shared.database
            self._pools[database] = Pool(
                self.dsn(database),
                size=self._connections if shared else _SILO_CONNECTIONS,
                queue=QUEUE,
                prepare=self._prepare,
            )
        return self._pools[database]
