"""Who may read what on a ClickHouse server: roles, row policies, users, quotas, as SQL for its operator.

A tenant is a role, and each has one row policy over every table that holds rows; who has no tenant's role reads none.
The product connects as one user that has all of these roles and none by default, and takes one a query (``role=``).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from serving.clickhouse.contract import Detail
from serving.clickhouse.store import Store
from serving.clickhouse.tables import PUBLICATIONS, SLICES, qualified
from serving.contract import TENANT
from warehouse import quote

_PUBLISHER_MAY = "select, insert, alter delete, create table, create view, drop table, drop view, create database, show"
_LIMITS = (
    "readonly = 1, max_execution_time = 10, max_memory_usage = 2000000000, max_result_rows = 100000, "
    "result_overflow_mode = 'throw', max_threads = 4"
)
_QUOTA = "for interval 1 minute max queries = 600, execution_time = 60"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Of the rows of ``tables`` (quoted), who has ``role`` sees those for which ``using`` holds."""

    name: str
    tables: tuple[str, ...]
    using: str
    role: str


def tenant_role(database: str, tenant: str) -> str:
    """The role that sees a tenant's rows."""
    return f"{database}_tenant_{uuid.UUID(tenant).hex}"


def as_tenant(store: Store, database: str, tenant: str) -> dict[str, str]:
    """What a query says on a server so that the tenant's policy holds, and its quota counts."""
    return {"role": tenant_role(database, tenant), "quota_key": str(uuid.UUID(tenant))} if store.server else {}


def policies(database: str, details: Iterable[Detail], tenants: Iterable[str]) -> list[Policy]:
    """The row policy of each tenant that is at home in a database."""
    tables = _holding_rows(database, details)
    return [
        Policy(
            name=tenant_role(database, tenant),
            tables=tables,
            using=f"{quote(TENANT)} = toUUID('{uuid.UUID(tenant)}')",
            role=tenant_role(database, tenant),
        )
        for tenant in sorted(tenants)
    ]


def granted(database: str, details: Iterable[Detail]) -> list[str]:
    """What a tenant's role may read; which rows is the policies' to say."""
    tables = [table for detail in details for table in (*detail.tables, *detail.views)]
    return [
        f"select(version, generation, readable_from, as_of, published_at, relations, run_id) "
        f"on {qualified(database, PUBLICATIONS)}",
        *(f"select on {qualified(database, table)}" for table in (SLICES, *tables)),
    ]


def statements(shared: str, details: Iterable[Detail], homes: Mapping[str, str]) -> list[str]:
    """Everything for a server, to be run again whenever tenants or contracts change. ``homes``: tenant → database.

    The first ones make users, whose passwords are parameters: ``clickhouse-client --param_publisher_password=…``.
    """
    details = list(details)
    publisher, reader = (f"{shared}_{each}" for each in ("publisher", "reader"))
    made = [
        f"create role if not exists {quote(publisher)}",
        f"create user if not exists {quote(publisher)} identified with sha256_password "
        f"by {{publisher_password:String}} default role {quote(publisher)}",
        f"grant {quote(publisher)} to {quote(publisher)}",
        f"create user if not exists {quote(reader)} identified with sha256_password "
        "by {reader_password:String} default role none",
    ]
    for database in dict.fromkeys([shared, *sorted(homes.values())]):
        at_home = sorted(tenant for tenant, home in homes.items() if home == database)
        made += _of_database(database, details, at_home, publisher=publisher, reader=reader)
    return made


def _of_database(database: str, details: list[Detail], tenants: list[str], *, publisher: str, reader: str) -> list[str]:
    # A role of each database's own: that there is a silo is nobody else's to know.
    reads = f"{database}_tenants"
    tables = _holding_rows(database, details)
    made = [
        f"grant {_PUBLISHER_MAY} on {quote(database)}.* to {quote(publisher)}",
        f"create role if not exists {quote(reads)}",
        f"create settings profile or replace {quote(reads)} settings {_LIMITS} to {quote(reads)}",
        f"create quota or replace {quote(reads)} keyed by client_key, user_name {_QUOTA} to {quote(reads)}",
        *(f"grant {each} to {quote(reads)}" for each in granted(database, details)),
        # Where a table has policies, who is named by none reads nothing, whatever the server's own default is.
        f"create row policy or replace {quote(f'{database}_nobody')} on {', '.join(tables)} for select using 0 to all",
        _policy(Policy(name=f"{database}_publisher", tables=tables, using="1", role=publisher)),
    ]
    for policy in policies(database, details, tenants):
        role = quote(policy.role)
        made += [
            f"create role if not exists {role}",
            f"grant {quote(reads)} to {role}",
            f"grant {role} to {quote(reader)}",
            _policy(policy),
        ]
    return made


def _holding_rows(database: str, details: Iterable[Detail]) -> tuple[str, ...]:
    return (
        qualified(database, SLICES),
        *(qualified(database, table) for detail in details for table in detail.tables),
    )


def _policy(policy: Policy) -> str:
    return (
        f"create row policy or replace {quote(policy.name)} on {', '.join(policy.tables)} for select "
        f"using {policy.using} to {quote(policy.role)}"
    )
