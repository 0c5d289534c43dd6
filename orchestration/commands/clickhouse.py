"""``tailrace clickhouse``: what stands there, and the SQL that says who may read it."""

from __future__ import annotations

import sys

from orchestration import console
from orchestration.dbt_build import ensure_manifest
from orchestration.environment import prepare
from serving.clickhouse import access, homes
from serving.clickhouse.contract import load_details
from serving.clickhouse.store import connect
from serving.clickhouse.versions import latest
from serving.tenants import read_tenants
from settings import ClickHouse, Settings, TailraceError, load_settings
from warehouse import open_warehouse


def status(*, region: str | None, as_json: bool) -> None:
    settings = load_settings(region=region)
    with connect(_section(settings)) as store:
        found = {database: latest(store, database) for database in homes.databases(store, _section(settings))}
    stands = {database: version for database, version in found.items() if version is not None}
    if not stands:
        raise TailraceError("nothing is published to ClickHouse yet; `tailrace publish` does")
    if as_json:
        console.emit_json(
            [
                {"database": database, "version": each.version, "run_id": each.run_id, "as_of": each.as_of.isoformat()}
                for database, each in stands.items()
            ]
        )
        return
    rows = [(database, each.version, f"{each.as_of:%Y-%m-%d %H:%M} UTC") for database, each in stands.items()]
    console.table("published to ClickHouse", ["database", "version", "as of"], rows)


def access_sql(*, region: str | None) -> None:
    settings = load_settings(region=region)
    section = _section(settings)
    prepare(settings)
    with open_warehouse(settings).reader("who may read ClickHouse") as connection:
        tenants = read_tenants(connection)
    home = homes.homes(settings, section, tenants.values())
    for statement in access.statements(section.database, load_details(ensure_manifest(settings)), home):
        sys.stdout.write(f"{statement};\n")


def _section(settings: Settings) -> ClickHouse:
    if settings.serving.clickhouse is None:
        raise TailraceError(f"{settings.config_path}: serving.clickhouse is not set; name a host or a path")
    return settings.serving.clickhouse
