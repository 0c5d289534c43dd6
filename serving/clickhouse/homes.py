"""Which of ClickHouse's databases is home to which tenant: the shared one, or that of a silo."""

from __future__ import annotations

from collections.abc import Iterable

from serving import tenants as everywhere
from serving.clickhouse.store import Store
from serving.tenants import Tenant
from settings import ClickHouse, Settings

_SILO = "__"


def homes(settings: Settings, section: ClickHouse, tenants: Iterable[Tenant]) -> dict[str, str]:
    """Tenant id → database. Raises TailraceError as Postgres' publish does: another region, or a silo demanded."""
    tenants = list(tenants)
    # A silo is made here when it is needed, so that each is taken to be there.
    silos = {
        everywhere.silo_database(settings, tenant.slug): silo_database(section, tenant.slug)
        for tenant in tenants
        if tenant.tier == "silo"
    }
    names = {"": section.database, **silos}
    # A namespace is Postgres' own: here its tenant is one of the shared database's.
    return {tenant: names[home.database] for tenant, home in everywhere.homes(settings, tenants, names).items()}


def silo_database(section: ClickHouse, slug: str) -> str:
    """The database of a silo tenant."""
    return f"{section.database}{_SILO}{slug.replace('-', '_')}"


def databases(store: Store, section: ClickHouse) -> list[str]:
    """Every database of this deployment that there is, the shared one first."""
    rows = store.rows(
        "select name from system.databases where name = {shared:String} or startsWith(name, {silos:String}) "
        "order by name",
        {"shared": section.database, "silos": f"{section.database}{_SILO}"},
    )
    return [str(name) for (name,) in rows]
