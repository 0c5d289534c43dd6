"""The product database as the product uses it: one transaction a unit, as app_rw, under the tenant's id."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from functools import cache
from typing import Any

import psycopg
from psycopg import sql

from demo.company.roster import Tenant, product_database
from demo.company.world import RECENT_DAYS, Batch, Comment, Row, Run, Task, TenantState, midnight

# In the order in which foreign keys let them be filled.
TABLES = (
    "tenants",
    "users",
    "workspaces",
    "workspace_members",
    "projects",
    "workflow_runs",
    "tasks",
    "comments",
    "api_requests",
    "ai_requests",
    "audit_log",
    "entitlements",
)
_KEYS = {"tenants": ("id",), "workspace_members": ("tenant_id", "workspace_id", "user_id")}
_SET_TENANT = "select set_config('app.current_tenant_id', %s, true)"
_PROGRESS = """
    insert into simulator.progress (tenant_id, day, unit) values (%s, %s, %s)
    on conflict (tenant_id) do update set day = excluded.day, unit = excluded.unit
"""
_DURABLE = (
    "begin",
    "set local synchronous_commit = on",
    "update simulator.progress set unit = unit where ctid = (select ctid from simulator.progress limit 1)",
    "commit",
)
_STATE = {
    "standing": """
        select t.plan, t.status, e.limit_value from app.tenants t
        join entitlements e on e.tenant_id = t.id and e.feature = 'seats' and e.valid_to is null
    """,
    "users": "select id::text, status from users",
    "workspaces": "select id::text from workspaces where archived_at is null",
    "members": "select workspace_id::text, user_id::text from workspace_members",
    "projects": "select id::text from projects where archived_at is null",
    "tasks": """
        select id::text, (extract(epoch from created_at) * 1000)::bigint, assignee_id::text,
            (extract(epoch from completed_at) * 1000)::bigint
        from tasks where status = 'open' or created_at >= to_timestamp(%(recent)s)
    """,
    "comments": """
        select id::text, (extract(epoch from created_at) * 1000)::bigint, task_id::text, author_id::text
        from comments where created_at >= to_timestamp(%(recent)s)
    """,
    "runs": """
        select id::text, (extract(epoch from started_at) * 1000)::bigint, started_by::text
        from workflow_runs where finished_at is null
    """,
    "entitlements": "select feature, id::text from entitlements where valid_to is null",
    "audit": "select coalesce(max(id), 0) from audit_log",
}
_PERSONAL = {
    "email": "select email from users order by id limit %s",
    "full_name": "select full_name from users order by id limit %s",
    "phone": "select phone from users where phone is not null order by id limit %s",
    "comment": "select body from comments order by id limit %s",
}


class Product:
    """Connections as app_rw to every product database of one server, kept open while the company lives.

    ``dsn`` maps a database's name to the DSN of the product's role. Statements are sent in pipeline mode and commits do
    not wait for the disk: a transaction is certain once a later ``flush`` has returned, and transactions of one
    database commit in order.
    """

    def __init__(self, dsn: Callable[[str], str]) -> None:
        self._dsn = dsn
        self._stack = ExitStack()
        self._connections: dict[str, tuple[psycopg.Connection[Any], psycopg.Pipeline]] = {}

    def __enter__(self) -> Product:
        return self

    def __exit__(self, *failure: Any) -> None:
        self._stack.__exit__(*failure)
        self._connections.clear()

    def flush(self) -> None:
        """Wait until everything sent is committed and on disk; raises what went wrong."""
        for _, pipeline in self._connections.values():
            pipeline.sync()
        for connection, pipeline in list(self._connections.values())[:1]:
            # One commit that waits puts all of the server's earlier ones on disk; it has to write to have to wait.
            for statement in _DURABLE:
                connection.execute(statement)
            pipeline.sync()

    def progress(self, tenant: Tenant) -> tuple[int, int]:
        """(day, units of it that are committed) of the tenant; (-1, 0) before its first."""
        query = "select day, unit from simulator.progress where tenant_id = %s"
        with self._reading(tenant) as connection:
            row = connection.execute(query, [tenant.id]).fetchone()
        return (row[0], row[1]) if row else (-1, 0)

    def load(self, tenant: Tenant, *, start: date, day: int) -> TenantState:
        """The tenant's state as of what is committed, as planning on this day wants it."""
        recent = {"recent": midnight(start, day - RECENT_DAYS) / 1000}
        rows: dict[str, list[Any]] = {}
        with self._reading(tenant) as connection:
            for part, query in _STATE.items():
                rows[part] = connection.execute(query, recent).fetchall()
        return TenantState(
            standing=rows["standing"][0] if rows["standing"] else None,
            users=dict(rows["users"]),
            workspaces={room for (room,) in rows["workspaces"]},
            members=set(rows["members"]),
            projects={project for (project,) in rows["projects"]},
            tasks={key: Task(created, assignee, done) for key, created, assignee, done in rows["tasks"]},
            comments={key: Comment(created, task, author) for key, created, task, author in rows["comments"]},
            runs={key: Run(started, by) for key, started, by in rows["runs"]},
            entitlements=dict(rows["entitlements"]),
            audit_id=rows["audit"][0][0],
        )

    def write(self, tenant: Tenant, batch: Batch, *, day: int, unit: int) -> None:
        """Send the batch and the tenant's progress as one transaction."""
        if tenant.tier == "silo":
            self._tell_directory(tenant, batch)
        connection = self._connection(tenant.database)
        _begin(connection, tenant)
        for table in TABLES:
            if rows := batch.inserts.get(table):
                connection.execute(_insert(tenant.schema, table), [_json(rows)])
        for (table, columns), rows in batch.updates.items():
            connection.execute(_update(tenant.schema, table, columns), [_json(rows)])
        for table in reversed(TABLES):
            if rows := batch.deletes.get(table):
                connection.execute(_delete(tenant.schema, table), [_json(rows)])
        connection.execute(_PROGRESS, [tenant.id, day, unit])
        connection.execute("commit")

    def personal_values(self, tenant: Tenant, *, limit: int | None = None) -> Iterator[tuple[str, str]]:
        """(kind, value) of the tenant's personal values, at most ``limit`` a kind: email, full_name, phone, comment."""
        with self._reading(tenant) as connection:
            found = {kind: connection.execute(query, [limit]).fetchall() for kind, query in _PERSONAL.items()}
        for kind, values in found.items():
            yield from ((kind, value) for (value,) in values)

    def _tell_directory(self, tenant: Tenant, batch: Batch) -> None:
        """A silo's line in its region's directory. Committed first and harmless to repeat: two databases, no 2PC."""
        inserts = batch.inserts.get("tenants", [])
        updates = {key: rows for key, rows in batch.updates.items() if key[0] == "tenants"}
        if not inserts and not updates:
            return
        connection = self._connection(product_database(tenant.region))
        _begin(connection, tenant)
        for row in inserts:
            connection.execute(_insert(tenant.schema, "tenants"), [_json([row])])
        for (table, columns), rows in updates.items():
            connection.execute(_update(tenant.schema, table, columns), [_json(rows)])
        connection.execute("commit")
        self._connections[product_database(tenant.region)][1].sync()

    def _connection(self, database: str) -> psycopg.Connection[Any]:
        if database not in self._connections:
            connection = psycopg.connect(self._dsn(database), autocommit=True, prepare_threshold=2)
            self._stack.enter_context(connection)
            connection.execute("set synchronous_commit = off")
            connection.prepared_max = None
            self._connections[database] = connection, self._stack.enter_context(connection.pipeline())
        return self._connections[database][0]

    @contextmanager
    def _reading(self, tenant: Tenant) -> Iterator[psycopg.Connection[Any]]:
        """A transaction under the tenant's id and schema that leaves nothing behind."""
        connection = self._connection(tenant.database)
        _begin(connection, tenant)
        connection.execute(sql.SQL("set local search_path to {}, app").format(sql.Identifier(tenant.schema)))
        try:
            yield connection
        finally:
            connection.execute("rollback")


def _begin(connection: psycopg.Connection[Any], tenant: Tenant) -> None:
    connection.execute("begin")
    connection.execute(_SET_TENANT, [str(tenant.id)])


def _json(rows: list[Row]) -> str:
    return json.dumps(rows, separators=(",", ":"))


def _columns(names: tuple[str, ...], alias: str) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(alias, name) for name in names)


def _qualified(schema: str, table: str) -> sql.Identifier:
    return sql.Identifier("app" if table == "tenants" else schema, table)


@cache
def _insert(schema: str, table: str) -> sql.Composed:
    return sql.SQL("insert into {0} select * from json_populate_recordset(null::{0}, %s) {1}").format(
        _qualified(schema, table),
        # A silo's line in the directory is told before the silo commits, so it may be there already.
        sql.SQL("on conflict (id) do nothing" if table == "tenants" else ""),
    )


@cache
def _update(schema: str, table: str, columns: tuple[str, ...]) -> sql.Composed:
    key = _KEYS.get(table, ("tenant_id", "id"))
    return sql.SQL(
        "update {table} t set {sets} from json_populate_recordset(null::{table}, %s) r where ({left}) = ({right})"
    ).format(
        table=_qualified(schema, table),
        sets=sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Identifier("r", name)) for name in columns
        ),
        left=_columns(key, "t"),
        right=_columns(key, "r"),
    )


@cache
def _delete(schema: str, table: str) -> sql.Composed:
    key = _KEYS.get(table, ("tenant_id", "id"))
    return sql.SQL(
        "delete from {table} t using json_populate_recordset(null::{table}, %s) r where ({left}) = ({right})"
    ).format(table=_qualified(schema, table), left=_columns(key, "t"), right=_columns(key, "r"))
