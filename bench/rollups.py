"""A product database and a warehouse of any size for the benches of publishing and of the API."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import yaml

from demo.postgres import EmbeddedPostgres
from serving.publish import PublishReport, publish
from settings import ROOT, Settings, load_settings

USAGE, FEATURES = "rollup_tenant_usage_daily", "rollup_tenant_feature_adoption_daily"
TENANTS = 2_000
LAST_DAY = "2026-06-30"
_START = datetime(2026, 7, 1, tzinfo=UTC)


@dataclass
class Product:
    """A warehouse with ``rows`` of usage, a day of each tenant a row, and a database to publish it to.

    ``windows``: with the rolling windows that the rollups declare, which raw COPY has nothing to compare with.
    """

    server: EmbeddedPostgres
    folder: Path
    database: str
    rollups: tuple[str, ...] = (USAGE,)
    windows: bool = False
    published: int = 0

    @property
    def settings(self) -> Settings:
        config = self.folder / f"{self.database}.yml"
        serving = {
            "publisher_dsn": self.server.dsn(self.database, role="tailrace_publisher"),
            "reader_dsn": self.server.dsn(self.database, role="tailrace_reader"),
            "jwks": "{state_dir}/demo/jwks.json",
        }
        sources = {
            "postgres": {"dsn": "postgresql://nobody@127.0.0.1:1/none"},
            "stripe": {"url": "http://127.0.0.1:1", "api_key_env": "NO_KEY"},
            "hubspot": {"url": "http://127.0.0.1:1", "token_env": "NO_TOKEN"},
        }
        config.write_text(
            yaml.safe_dump(
                {"region": "us", "state_dir": str(self.folder / "state"), "sources": sources, "serving": serving}
            )
        )
        return load_settings(config_path=config)

    @property
    def manifest(self) -> Path:
        path = self.folder / f"{self.database}.json"
        files = sorted((ROOT / "dbt_project" / "models" / "rollups").glob("*.yml"))
        models = [model for file in files for model in yaml.safe_load(file.read_text()).get("models", [])]
        nodes = {
            f"model.tailrace.{model['name']}": {
                "resource_type": "model",
                "name": model["name"],
                "schema": "rollups",
                "description": model["description"],
                "config": {"contract": {"enforced": True}, "meta": model["config"]["meta"] if self.windows else {}},
                "constraints": model["constraints"],
                "columns": {column["name"]: column for column in model["columns"]},
            }
            for model in models
            if model["name"] in self.rollups
        }
        path.write_text(json.dumps({"nodes": nodes}))
        return path

    def publish(self, warehouse: duckdb.DuckDBPyConnection) -> tuple[PublishReport, float]:
        """Publish as the next run, named by its number; the report and the seconds it took."""
        settings, manifest = self.settings, self.manifest
        self.published += 1
        began = time.perf_counter()
        report = publish(
            settings,
            warehouse,
            manifest_path=manifest,
            run_id=str(self.published),
            as_of=_START + timedelta(hours=self.published),
        )
        return report, time.perf_counter() - began

    def connect(self, role: str) -> Any:
        return self.server.connect(self.database, role=role)


@contextmanager
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server of its own, with the product's roles."""
    with EmbeddedPostgres(folder / "server") as postgres:
        for role, attributes in {
            "tailrace_owner": "nologin",
            "tailrace_publisher": "login",
            "tailrace_reader": "login",
            "unfiltered": "login bypassrls",
        }.items():
            postgres.create_role(role, attributes=attributes)
        with postgres.connect() as admin:
            admin.execute("grant tailrace_owner to tailrace_publisher with inherit false, set true")
        yield postgres


def new_product(
    postgres: EmbeddedPostgres, folder: Path, name: str, *, rollups: tuple[str, ...] = (USAGE,), windows: bool = False
) -> Product:
    postgres.create_database(name)
    with postgres.connect(name) as admin:
        for schema, roles in (
            ("tenant_analytics", "tailrace_publisher, tailrace_reader, unfiltered"),
            ("tenant_analytics_private", "tailrace_publisher"),
        ):
            admin.execute(f"create schema {schema} authorization tailrace_owner")
            admin.execute(f"grant usage on schema {schema} to {roles}")
    return Product(postgres, folder, name, rollups, windows)


def fill(warehouse: duckdb.DuckDBPyConnection, rows: int) -> None:
    """``rows`` of usage over ``TENANTS`` tenants, and two features for each of the last days."""
    days = max(1, rows // TENANTS)
    for schema in ("marts", "rollups"):
        warehouse.execute(f"create schema if not exists {schema}")
    warehouse.execute(
        "create or replace table marts.dim_tenants as select md5(number::varchar)::uuid::varchar as tenant_id, "
        "'Tenant ' || number as tenant_name, 't' || number as slug, 'pool' as tier, 'us' as region, "
        "false as is_deleted from range($tenants) as tenants (number)",
        {"tenants": TENANTS},
    )
    figures = ", ".join(f"(hash(tenant_id, day, {n}) % 1000)::bigint as {name}" for n, name in enumerate(_FIGURES))
    warehouse.execute(
        f"create or replace table rollups.{USAGE} as select tenant_id, day, {figures}, "  # noqa: S608
        "((hash(tenant_id, day, 99) % 10000000) / 1000000)::decimal(18, 6) as ai_cost_usd from "
        f"(select tenant_id, (date '{LAST_DAY}' - number::int) as day from marts.dim_tenants, "
        "range($days) as days (number)) order by tenant_id, day",
        {"days": days},
    )
    warehouse.execute(
        f"create or replace table rollups.{FEATURES} as select tenant_id, day, feature, "  # noqa: S608
        "active_users, workflow_runs as events, 0.5::decimal(9, 6) as adoption_share "
        f"from rollups.{USAGE}, (values ('api'), ('ai')) as features (feature) where day > date '{LAST_DAY}' - 30"
    )


_FIGURES = (
    "active_users",
    "active_users_7d",
    "active_users_28d",
    "workflow_runs",
    "workflow_runs_failed",
    "tasks_completed",
    "comments",
    "api_requests",
    "api_errors",
    "ai_requests",
    "ai_tokens",
)
