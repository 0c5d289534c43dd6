"""A small product: two pool tenants, a namespace and a silo tenant, their databases and a warehouse with rollups."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
import yaml

from demo.postgres import EmbeddedPostgres
from serving.homes import SHARED, Home
from serving.publish import PublishReport, publish
from settings import ROOT, Settings, load_settings

USAGE, FEATURES = "rollup_tenant_usage_daily", "rollup_tenant_feature_adoption_daily"
FIRST_DAY, DAYS = date(2026, 1, 1), 10
FEATURE_NAMES = ("workflows", "api")
AS_OF = datetime(2026, 1, 11, tzinfo=UTC)


@dataclass(frozen=True)
class Resident:
    id: str
    name: str
    slug: str
    tier: str


@dataclass
class Product:
    """One deployment of its own on the shared server."""

    server: EmbeddedPostgres
    settings: Settings
    directory: Path
    shared: str
    silo: str
    tenants: dict[str, Resident]

    @property
    def manifest(self) -> Path:
        return self.directory / "manifest.json"

    @property
    def warehouse(self) -> Path:
        return self.directory / "warehouse.duckdb"

    @property
    def databases(self) -> tuple[str, str]:
        return self.shared, self.silo

    @property
    def homes(self) -> list[Home]:
        """In the order in which they are published."""
        found = {self.home(each) for each in self.tenants.values()}
        return sorted(found, key=lambda home: (home.database != self.shared, not home.is_namespace, home.name))

    def home(self, tenant: Resident) -> Home:
        if tenant.tier == "namespace":
            return Home(self.shared, f"analytics_{tenant.slug.replace('-', '_')}")
        return Home(self.silo if tenant.tier == "silo" else self.shared)

    def move(self, slug: str, tier: str) -> Resident:
        """The tenant in another tier, once it is built and published."""
        self.tenants[slug] = replace(self.tenants[slug], tier=tier)
        return self.tenants[slug]

    def build(self, version: int, *, days: int = DAYS, unattributed: int = 0) -> None:
        """Every figure of the warehouse's rollups is ``version``, so that a mixture of two shows."""
        with duckdb.connect(str(self.warehouse)) as connection:
            create_rollups(connection)
            rows = [(each.id, each.name, each.slug, each.tier, "us", False) for each in self.tenants.values()]
            connection.executemany("insert into marts.dim_tenants values (?, ?, ?, ?, ?, ?)", rows)
            connection.execute(
                """
                create or replace temp table slices as
                select tenant_id, day from marts.dim_tenants, unnest(?::date[]) as days (day)
                union all select 'unattributed', day from unnest(?::date[]) as days (day)
                """,
                [days_from(FIRST_DAY, days), days_from(FIRST_DAY, unattributed)],
            )
            connection.execute(
                f"insert into rollups.{USAGE} select tenant_id, day, 1, 2, 3, v, 0, v, v, v, 0, v, v, v / 10 "  # noqa: S608
                "from slices, (select ? as v)",
                [version],
            )
            connection.execute(
                f"insert into rollups.{FEATURES} select tenant_id, day, f, 1, v, 1 "  # noqa: S608
                "from slices, (select ? as v), unnest(?) as features (f)",
                [version, list(FEATURE_NAMES)],
            )

    def publish(self, version: int, *, as_of: datetime = AS_OF, verify: bool = False) -> PublishReport:
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            return publish(
                self.settings,
                connection,
                manifest_path=self.manifest,
                run_id=f"run {version}",
                as_of=as_of,
                verify=verify,
            )

    def publish_in_a_process(self, version: int, *, failpoint: str = "") -> subprocess.Popen[str]:
        """The same publish in a process of its own, which may be killed."""
        script = Path(__file__).with_name("publish_once.py")
        arguments = [str(self.settings.config_path), str(self.warehouse), str(self.manifest), f"run {version}"]
        return subprocess.Popen(
            [sys.executable, str(script), *arguments, AS_OF.isoformat()],
            env=os.environ | {"PYTHONPATH": str(ROOT), "TAILRACE_FAILPOINT": failpoint},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def connect(self, role: str, database: str | None = None, *, autocommit: bool = True) -> Any:
        return self.server.connect(database or self.shared, role=role, autocommit=autocommit)

    def seen(self, tenant: Resident) -> set[tuple[str | None, int]]:
        """(run, figure) pairs a reader finds over both rollups, in one transaction: one pair, or versions are mixed."""
        home = self.home(tenant)
        with self.connect("tailrace_reader", home.database) as reader:
            return read_version(reader, tenant.id, schema=home.schema)

    def written_so_far(self) -> dict[tuple[Home, str], tuple[str, ...]]:
        """Row versions of every published table, by home: equal sets mean that nothing was written."""
        found = {}
        for home in self.homes:
            with self.connect("tailrace_publisher", home.database) as connection:
                for table in (
                    *map(home.table, (USAGE, FEATURES, "publications", "tenant_directory")),
                    *map(home.own, ("slices", "undo_slices")),
                ):
                    rows = connection.execute(
                        psycopg.sql.SQL("select ctid, xmin, xmax from {} order by ctid").format(table)
                    ).fetchall()
                    found[home, table._obj[1]] = tuple(map(str, rows))
        return found


def read_version(reader: Any, tenant: str, *, schema: str = SHARED) -> set[tuple[str | None, int]]:
    """What one tenant sees at one moment; retried by nobody."""
    reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with reader.transaction():
        reader.execute("select set_config('app.current_tenant_id', %s, true)", [tenant])
        return set(
            reader.execute(
                f"""
                select (select run_id from {schema}.publications order by version desc limit 1), figure
                from (
                    select workflow_runs as figure from {schema}.{USAGE}
                    union all select events from {schema}.{FEATURES}
                ) as figures
                """  # noqa: S608
            ).fetchall()
        )


def create_rollups(connection: duckdb.DuckDBPyConnection) -> None:
    """Empty marts and rollups with the columns that the dbt models declare."""
    connection.execute("create schema if not exists marts")
    connection.execute("create schema if not exists rollups")
    connection.execute(
        "create or replace table marts.dim_tenants "
        "(tenant_id varchar, tenant_name varchar, slug varchar, tier varchar, region varchar, is_deleted boolean)"
    )
    for model in rollup_models():
        columns = ", ".join(f"{column['name']} {column['data_type']}" for column in model["columns"])
        connection.execute(f"create or replace table rollups.{model['name']} ({columns})")


def rollup_models() -> list[dict[str, Any]]:
    """The rollups as the dbt project declares them."""
    files = sorted((ROOT / "dbt_project" / "models" / "rollups").glob("*.yml"))
    return [model for file in files for model in yaml.safe_load(file.read_text()).get("models", [])]


def write_manifest(path: Path, models: list[dict[str, Any]]) -> None:
    """What of dbt's manifest matters to publishing, out of the models' own declarations."""
    nodes = {
        f"model.tailrace.{model['name']}": {
            "resource_type": "model",
            "name": model["name"],
            "schema": "rollups",
            "description": model["description"],
            "config": {"contract": {"enforced": True}, "meta": model.get("config", {}).get("meta", {})},
            "constraints": model.get("constraints", []),
            "columns": {column["name"]: column for column in model["columns"]},
        }
        for model in models
    }
    path.write_text(json.dumps({"nodes": nodes}))


@pytest.fixture
def product(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Product]:
    """A product of the test's own; nothing published yet."""
    with new_product(postgres, tmp_path) as made:
        yield made


def four_tenants() -> list[Resident]:
    """One or two of each tier."""
    return [
        Resident(str(uuid.uuid4()), name, slug, tier)
        for slug, name, tier in (
            ("acorn", "Acorn Ltd", "pool"),
            ("birch", "Birch & Sons", "pool"),
            ("cedar", 'Cedar "Rapid", Inc.', "namespace"),
            ("deep-vault", "Deep Vault", "silo"),
        )
    ]


@contextmanager
def new_product(
    postgres: EmbeddedPostgres, directory: Path, *, residents: Sequence[Resident] = (), tag: str = ""
) -> Iterator[Product]:
    """Databases, roles as the product's operators make them, and a warehouse at version 1.

    ``residents`` (by default four, one of them a silo) and ``tag``, which is in the databases' names, may be given.
    """
    residents = residents or four_tenants()
    tag = tag or uuid.uuid4().hex[:8]
    shared = f"product_{tag}"
    (silo,) = (f"silo_{tag}_{each.slug.replace('-', '_')}" for each in residents if each.tier == "silo")
    for role, attributes in {
        "app_owner": "login",
        "app_rw": "login",
        "tailrace_owner": "nologin",
        "tailrace_publisher": "login",
        "tailrace_reader": "login",
    }.items():
        postgres.create_role(role, attributes=attributes)
    with postgres.connect() as connection:
        if postgres.version == "15":  # which knows no such grant
            connection.execute("alter role tailrace_publisher noinherit")
            connection.execute("grant tailrace_owner to tailrace_publisher")
        else:
            connection.execute("grant tailrace_owner to tailrace_publisher with inherit false, set true")
        connection.execute("grant tailrace_reader to app_rw")
    for database in (shared, silo):
        postgres.create_database(database, owner="app_owner")
        with postgres.connect(database) as connection:
            connection.execute("create schema app authorization app_owner")
            connection.execute("create table app.users as select 'a person' as full_name")
            connection.execute("alter table app.users owner to app_owner")
            connection.execute("create schema tenant_analytics authorization tailrace_owner")
            connection.execute("grant usage on schema tenant_analytics to tailrace_publisher, tailrace_reader")
            connection.execute("create schema tenant_analytics_private authorization tailrace_owner")
            connection.execute("grant usage on schema tenant_analytics_private to tailrace_publisher")
            connection.execute(f'grant create on database "{database}" to tailrace_owner')
    config = directory / "tailrace.yml"
    config.write_text(
        yaml.safe_dump(
            {
                "region": "us",
                "state_dir": str(directory / "state"),
                "sources": {
                    "postgres": {"dsn": "postgresql://nobody@127.0.0.1:1/none"},
                    "stripe": {"url": "http://127.0.0.1:1", "api_key_env": "NO_KEY"},
                    "hubspot": {"url": "http://127.0.0.1:1", "token_env": "NO_TOKEN"},
                },
                "serving": {
                    "publisher_dsn": postgres.dsn(shared, role="tailrace_publisher"),
                    "reader_dsn": postgres.dsn(shared, role="tailrace_reader"),
                    "silo_databases": f"silo_{tag}_*",
                    "jwks": "{state_dir}/demo/jwks.json",
                },
            }
        )
    )
    tenants = {each.slug: each for each in residents}
    made = Product(postgres, load_settings(config_path=config), directory, shared, silo, tenants)
    write_manifest(made.manifest, rollup_models())
    made.build(1)
    yield made
    with postgres.connect() as connection:
        for database in (shared, silo):
            connection.execute(f'drop database "{database}" with (force)')


def days_from(first: date, count: int) -> list[str]:
    """``count`` days as ISO text."""
    return [(first + timedelta(days=n)).isoformat() for n in range(count)]
