"""Which database is home to which tenant: the shared one of the region, or a silo of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import duckdb

from settings import Settings, TailraceError

UNATTRIBUTED = "unattributed"


@dataclass(frozen=True, kw_only=True)
class Tenant:
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


def homes(settings: Settings, tenants: Iterable[Tenant], databases: Mapping[str, str]) -> dict[str, str]:
    """Tenant id → database name. ``databases`` is ``settings.rollup_databases()``, the shared database first.

    A tenant that was deleted has no home: what was published for it goes with the next publish. Raises TailraceError
    when a tenant belongs to another region or its own database does not exist.
    """
    shared = next(iter(databases))
    found = {}
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
        if tenant.tier != "silo" and {tenant.id, tenant.slug} & set(settings.residency.silo_only):
            raise TailraceError(
                f"tenant {tenant.id}: residency.silo_only demands a silo of its own and it lies in a {tenant.tier}; "
                "move it in the product; nothing is published until then"
            )
        found[tenant.id] = silo_database(settings, tenant.slug) if tenant.tier == "silo" else shared
        if found[tenant.id] not in databases:
            raise TailraceError(
                f"tenant {tenant.id}: its database {found[tenant.id]} does not exist; create it, or change the tier"
            )
    return found
