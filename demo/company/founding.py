"""Founding the product: databases, roles, schemas, rights and the publication, each made once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg import sql

from demo.company.roster import REGIONS, Tenant, product_database
from pii_policies.compile import grants_sql, publication_sql
from pii_policies.contracts import load_contracts

PUBLICATION = "tailrace"
PLANS = (("starter", "Starter", 1200, 5), ("growth", "Growth", 2900, 20), ("enterprise", "Enterprise", 5900, 100))
_HERE = Path(__file__).parent
# In order: the owner of tables, the product, CDC, then owner, writer and reader of the published rollups.
_ROLES = {
    "app_owner": "login nosuperuser nobypassrls",
    "app_rw": "login nosuperuser nobypassrls",
    "tailrace_cdc": "login replication nosuperuser nobypassrls",
    "tailrace_owner": "nologin nosuperuser nobypassrls",
    "tailrace_publisher": "login nosuperuser nobypassrls",
    "tailrace_reader": "login nosuperuser nobypassrls",
}


class Server(Protocol):
    """What founding needs of a Postgres server; ``demo.postgres.EmbeddedPostgres`` is one."""

    def dsn(self, database: str, *, role: str) -> str: ...
    def superuser_dsn(self, database: str = ...) -> str: ...
    def create_role(self, name: str, *, attributes: str = ...) -> None: ...
    def create_database(self, name: str, *, owner: str | None = ...) -> None: ...


def found(server: Server, *, tenants: Iterable[Tenant], start: date) -> None:
    """Make what is missing: safe to call again, and after a kill at any point."""
    tenants = tuple(tenants)
    for role, attributes in _ROLES.items():
        server.create_role(role, attributes=attributes)
    with psycopg.connect(server.superuser_dsn(), autocommit=True) as connection:
        # The publisher writes as the owner only after an explicit SET ROLE; the product may read rollups.
        connection.execute("grant tailrace_owner to tailrace_publisher with inherit false, set true")
        connection.execute("grant tailrace_reader to app_rw")
    databases = [*map(product_database, REGIONS), *(tenant.database for tenant in tenants if tenant.tier == "silo")]
    for database in databases:
        server.create_database(database, owner="app_owner")
        schemas = sorted({"app", *(tenant.schema for tenant in tenants if tenant.database == database)})
        with psycopg.connect(server.superuser_dsn(database)) as connection:
            _make_schemas(connection, schemas, start)
            _publish(connection, schemas, directory=database in map(product_database, REGIONS))


def _make_schemas(connection: psycopg.Connection[Any], schemas: list[str], start: date) -> None:
    """Tables of each schema that has none yet, owned by app_owner; one transaction a database."""
    connection.execute("set local role app_owner")
    if not _has_table(connection, "app", "plans"):
        connection.execute(_script("directory.sql"))
        opened = datetime(start.year, start.month, start.day, tzinfo=UTC)
        connection.cursor().executemany(
            "insert into app.plans values (%s, %s, %s, %s, %s)", [(*plan, opened) for plan in PLANS]
        )
    for schema in schemas:
        name = sql.Identifier(schema)
        connection.execute(sql.SQL("create schema if not exists {}").format(name))
        if not _has_table(connection, schema, "users"):
            connection.execute(sql.SQL("set local search_path to {}, app").format(name))
            connection.execute(_script("schema.sql"))
            connection.execute("set local search_path to default")
    for schema in [*schemas, "simulator"]:
        name = sql.Identifier(schema)
        connection.execute(sql.SQL("grant usage on schema {} to app_rw").format(name))
        connection.execute(
            sql.SQL("grant select, insert, update, delete on all tables in schema {} to app_rw").format(name)
        )
    connection.execute("reset role")
    connection.execute("create schema if not exists tenant_analytics authorization tailrace_owner")
    connection.execute("grant usage on schema tenant_analytics to tailrace_publisher, tailrace_reader")
    connection.execute("create schema if not exists tenant_analytics_private authorization tailrace_owner")
    connection.execute("grant usage on schema tenant_analytics_private to tailrace_publisher")
    # A namespace tenant's rollups are in schemas that publishing makes.
    database = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("grant create on database {} to tailrace_owner").format(database))
    connection.commit()


def _publish(connection: psycopg.Connection[Any], schemas: list[str], *, directory: bool) -> None:
    """Publish what the contracts let land, column by column, and let the capture role read that and no more.

    A publication that exists is altered in place, so that a replication slot goes on reading from it.
    """
    contracts = load_contracts()
    exists = connection.execute("select 1 from pg_publication where pubname = %s", [PUBLICATION]).fetchone() is not None
    for schema in schemas:
        connection.execute(
            sql.SQL("revoke all on all tables in schema {} from tailrace_cdc").format(sql.Identifier(schema))
        )
    statements = [
        publication_sql(contracts, schemas=schemas, directory=directory, publication=PUBLICATION, exists=exists),
        *grants_sql(contracts, role="tailrace_cdc", schemas=schemas, directory=directory),
    ]
    for statement in statements:
        connection.execute(statement)
    connection.commit()


def _has_table(connection: psycopg.Connection[Any], schema: str, table: str) -> bool:
    query = "select 1 from pg_tables where schemaname = %s and tablename = %s"
    return connection.execute(query, [schema, table]).fetchone() is not None


def _script(name: str) -> sql.SQL:
    return sql.SQL((_HERE / name).read_text(encoding="utf-8"))
