"""The company's own books, in SQLite: what truly happened, by its own arithmetic. The pipeline never reads them.

Tables for tests: ``ledger_activity`` (events of a user by feature and UTC day), ``ledger_usage`` (view: the measures of
a tenant's UTC day, days without any event left out), ``ledger_mrr`` (a customer's MRR at the end of each UTC day on
which it changed, in minor units of the currency, 4 decimals, as text), ``ledger_tenants``.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from demo.company.roster import Tenant
from demo.company.world import MEASURES, Batch
from settings import TailraceError

_SCHEMA = """
create table if not exists meta (key text primary key, value text not null);
create table if not exists documents (kind text, key text, body text not null, primary key (kind, key)) without rowid;
create table if not exists applied (tenant_id text primary key, day integer not null, unit integer not null);
create table if not exists ledger_tenants (
    tenant_id text primary key, region text not null, tier text not null, name text not null,
    database_name text not null, schema_name text not null
);
create table if not exists ledger_activity (
    tenant_id text, day text, user_id text, feature text, n integer not null,
    primary key (tenant_id, day, user_id, feature)
) without rowid;
create table if not exists ledger_counters (
    tenant_id text,
    day text,
    workflow_runs integer not null default 0,
    workflow_runs_failed integer not null default 0,
    tasks_completed integer not null default 0,
    comments integer not null default 0,
    api_requests integer not null default 0,
    api_errors integer not null default 0,
    ai_requests integer not null default 0,
    ai_tokens integer not null default 0,
    ai_cost_microusd integer not null default 0,
    primary key (tenant_id, day)
) without rowid;
create view if not exists ledger_usage as
select
    c.tenant_id, c.day,
    (
        select count(distinct a.user_id) from ledger_activity a
        where a.tenant_id = c.tenant_id and a.day = c.day and a.n > 0
    ) as active_users,
    workflow_runs, workflow_runs_failed, tasks_completed, comments, api_requests, api_errors, ai_requests, ai_tokens,
    ai_cost_microusd
from ledger_counters c
where workflow_runs + tasks_completed + comments + api_requests + ai_requests > 0;
create table if not exists ledger_mrr (
    customer_id text, tenant_id text not null, region text, currency text, day text, mrr text not null,
    primary key (customer_id, currency, day)
);
"""
_ACTIVITY = """
insert into ledger_activity values (?, ?, ?, ?, ?)
on conflict do update set n = n + excluded.n
"""


class Ledger:
    """``company.sqlite``. One writer; every method is one SQLite transaction."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = off")  # survives a killed process, which is all it has to
        self._connection.executescript(_SCHEMA)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *failure: Any) -> None:
        self._connection.close()

    def claim(self, identity: Mapping[str, str]) -> None:
        """Bind the file to one world. Raises TailraceError when it already is another's."""
        for key, value in identity.items():
            found = self.get(key)
            if found is not None and found != value:
                raise TailraceError(
                    f"the sample company lives with {key} {found}, not {value}; remove its state to begin another"
                )
        with self._connection:
            self._connection.executemany("insert or ignore into meta values (?, ?)", identity.items())

    def enrol(self, tenants: Iterable[Tenant]) -> None:
        """Note where each tenant's rows stand, for tests to find them."""
        rows = [(str(t.id), t.region, t.tier, t.name, t.database, t.schema) for t in tenants]
        self._write("insert or ignore into ledger_tenants values (?, ?, ?, ?, ?, ?)", rows)

    def get(self, key: str) -> str | None:
        row = self._connection.execute("select value from meta where key = ?", [key]).fetchone()
        return row[0] if row else None

    def set(self, key: str, value: str) -> None:
        self._write("insert or replace into meta values (?, ?)", [(key, value)])

    def documents(self, kind: str) -> dict[str, Any]:
        """Every remembered document of a kind, by key."""
        rows = self._connection.execute("select key, body from documents where kind = ? order by key", [kind])
        return {key: json.loads(body) for key, body in rows}

    def record(self, batch: Batch, *, day: int, unit: int) -> None:
        """Enter a unit once: called before the product's transaction commits, and again when that is repeated."""
        connection = self._connection
        connection.execute("begin immediate")
        try:
            found = connection.execute(
                "select day, unit from applied where tenant_id = ?", [batch.tenant_id]
            ).fetchone()
            if found is None or found < (day, unit):
                connection.executemany(
                    _ACTIVITY, [(batch.tenant_id, *key, n) for key, n in batch.activity.items() if n != 0]
                )
                for (date, measure), n in batch.usage.items():
                    connection.execute(_COUNT[measure], (batch.tenant_id, date, n))
                connection.execute("insert or replace into applied values (?, ?, ?)", (batch.tenant_id, day, unit))
            connection.execute("commit")
        except BaseException:
            connection.execute("rollback")
            raise

    def close_day(
        self,
        *,
        meta: Mapping[str, str],
        documents: Mapping[str, Mapping[str, Any]],
        mrr: Iterable[tuple[str, str, str | None, str, str, str]],
    ) -> None:
        """A commercial day, whole or not at all: its meta keys, documents by kind and key, and ``ledger_mrr`` rows."""
        connection = self._connection
        connection.execute("begin immediate")
        try:
            connection.executemany("insert or replace into meta values (?, ?)", meta.items())
            for kind, bodies in documents.items():
                rows = [(kind, key, json.dumps(body)) for key, body in bodies.items()]
                connection.executemany("insert or replace into documents values (?, ?, ?)", rows)
            connection.executemany("insert or replace into ledger_mrr values (?, ?, ?, ?, ?, ?)", mrr)
            connection.execute("commit")
        except BaseException:
            connection.execute("rollback")
            raise

    def latest_mrr(self) -> dict[tuple[str, str], str]:
        """(customer, currency) → the last entry."""
        rows = self._connection.execute("select customer_id, currency, mrr, max(day) from ledger_mrr group by 1, 2")
        return {(customer, currency): mrr for customer, currency, mrr, _ in rows}

    def _write(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._connection.execute("begin immediate")
        self._connection.executemany(statement, rows)
        self._connection.execute("commit")


_COUNT = {
    measure: f"insert into ledger_counters (tenant_id, day, {measure}) values (?, ?, ?) "  # noqa: S608
    f"on conflict do update set {measure} = {measure} + excluded.{measure}"
    for measure in MEASURES
}
