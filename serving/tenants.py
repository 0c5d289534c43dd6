"""Which home is which tenant's: the pool, a namespace in the same database, or a silo."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import duckdb

from serving.homes import SHARED, Home
from settings import Settings, TailraceError

_LONGEST_NAME = 63 - len("$private")
"""PostgreSQL cuts longer ones off."""
UNATTRIBUTED = "unattributed"


class Tenant(NamedTuple):
    """A row of the warehouse's tenant dimension."""

    id: str
    name: str
    slug: str
    tier: str
    region: str
    deleted: bool = False


def read_tenants(warehouse: duckdb.DuckDBPyConnection) -> dict[str, Tenant]:
    """Tenant id → tenant, out of ``marts.dim_tenants``; the tenant 'unattributed' is not one of them."""
    try:
        rows = warehouse.execute(
            "select tenant_id, tenant_name, slug, tier, region, is_deleted from marts.dim_tenants where tenant_id <> ?",
            [UNATTRIBUTED],
        ).fetchall()
    except duckdb.BinderException:
        raise TailraceError(
            "marts.dim_tenants lacks a column that publishing needs; build the dbt models anew"
        ) from None
    except duckdb.CatalogException:
        raise TailraceError("marts.dim_tenants is not in the warehouse; build the dbt models first") from None
    return {
        row[0]: Tenant(id=row[0], name=row[1] or "", slug=row[2], tier=row[3], region=row[4], deleted=bool(row[5]))
        for row in rows
    }


def silo_database(settings: Settings, slug: str) -> str:
    """The database of a silo tenant: the configured pattern with its slug for the ``*``."""
    if settings.serving.silo_databases is None:
        raise TailraceError(f"tenant {slug} is a silo but serving.silo_databases is not set; set it in tailrace.yml")
    return settings.serving.silo_databases.replace("*", slug.replace("-", "_"))


def namespace_schema(settings: Settings, slug: str) -> str:
    """The schema of a namespace tenant: the configured pattern with its slug for the ``*``."""
    schema = settings.serving.namespace_schemas.replace("*", slug.replace("-", "_"))
    if not re.fullmatch(r"[a-z0-9_]+", schema) or len(schema) > _LONGEST_NAME:
        raise TailraceError(
            f"tenant {slug}: {schema} cannot be the name of its schema; it takes lower-case letters, digits and _, "
            f"{_LONGEST_NAME} at most: change its slug, or serving.namespace_schemas"
        )
    return schema


def homes(settings: Settings, tenants: Iterable[Tenant], databases: Mapping[str, str]) -> dict[str, Home]:
    """Tenant id → home. ``databases`` is ``settings.rollup_databases()``, the shared database first.

    A tenant that was deleted has no home: what was published for it goes with the next publish. Raises TailraceError
    when a tenant belongs to another region, its own database does not exist, or two would share a namespace.
    """
    shared = next(iter(databases))
    pool, silo_only = Home(shared), set(settings.residency.silo_only)
    found: dict[str, Home] = {}
    namespaces: dict[str, str] = {}
    for tenant in tenants:
        if tenant.deleted:
            continue
        if tenant.region != settings.region:
            raise TailraceError(
                f"tenant {tenant.id} belongs to region {tenant.region or '(none)'}, this deployment serves "
                f"{settings.region}; nothing is published until its rows are out of this warehouse"
            )
        if tenant.tier not in ("pool", "namespace", "silo"):
            raise TailraceError(f"tenant {tenant.id}: its tier is none of pool, namespace, silo; mend app.tenants")
        if tenant.tier != "silo" and (tenant.id in silo_only or tenant.slug in silo_only):
            raise TailraceError(
                f"tenant {tenant.id}: residency.silo_only demands a silo of its own and it lies in a {tenant.tier}; "
                "move it in the product; nothing is published until then"
            )
        home = Home(silo_database(settings, tenant.slug)) if tenant.tier == "silo" else pool
        if home.database not in databases:
            raise TailraceError(
                f"tenant {tenant.id}: its database {home.database} does not exist; create it, or change the tier"
            )
        if tenant.tier == "namespace":
            home = Home(shared, namespace_schema(settings, tenant.slug))
            other = namespaces.setdefault(home.schema, tenant.id)
            if other != tenant.id or home.schema.startswith(SHARED):
                whose = "everybody's" if other == tenant.id else f"that of tenant {other}"
                raise TailraceError(
                    f"tenant {tenant.id}: schema {home.schema} is {whose}; change its slug, or "
                    "serving.namespace_schemas"
                )
        found[tenant.id] = home
    return found
