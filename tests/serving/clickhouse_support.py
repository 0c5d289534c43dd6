"""A warehouse of random API activity, a ClickHouse that it is published to, and DuckDB's answers to compare with."""

# ruff: noqa: S608 - names are the tests' own

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import yaml

from serving.clickhouse.publish import Report, publish
from serving.clickhouse.queries import MODEL, Figures, Snapshot
from serving.clickhouse.store import Store, connect
from settings import ROOT, ClickHouse, Settings, load_settings
from tests.serving.conftest import Resident, four_tenants, write_manifest

FIRST_DAY = date(2026, 1, 30)
DAYS = 4
"""Over the end of a month, so that slices are of two parts."""
AS_OF = datetime(2026, 2, 3, tzinfo=UTC)
ENDPOINTS = ("/v1/usage", "/v1/users", "/v1/it's \\ odd")


class World:
    """One deployment with nothing but a warehouse and a ClickHouse, which is embedded."""

    def __init__(self, directory: Path, *, like: World | None = None) -> None:
        """A deployment at version 0, or a copy of another that nobody has open."""
        if like is None:
            self.tenants = {each.slug: each for each in four_tenants()}
            self.database = f"tailrace_{uuid.uuid4().hex[:8]}"
        else:
            self.tenants, self.database = dict(like.tenants), like.database
            shutil.copytree(like.directory, directory, dirs_exist_ok=True, symlinks=True)
        self.directory = directory
        self.path = directory / "clickhouse"
        config = directory / "tailrace.yml"
        nowhere = "postgresql://nobody@127.0.0.1:1/none"
        sources = {
            "postgres": {"dsn": nowhere},
            "stripe": {"url": "http://127.0.0.1:1", "api_key_env": "NO_KEY"},
            "hubspot": {"url": "http://127.0.0.1:1", "token_env": "NO_TOKEN"},
        }
        serving = {
            "publisher_dsn": nowhere,
            "reader_dsn": nowhere,
            "silo_databases": "silo_us_*",
            "clickhouse": {"path": str(self.path), "database": self.database},
        }
        body = {"region": "us", "state_dir": str(directory / "state"), "sources": sources, "serving": serving}
        config.write_text(yaml.safe_dump(body))
        self.settings: Settings = load_settings(config_path=config)
        if like is None:
            self.declare()
            self._create()

    def _create(self) -> None:
        with self.warehouse() as con:
            con.execute("create schema marts")
            con.execute(
                "create table marts.dim_tenants (tenant_id varchar, tenant_name varchar, slug varchar, tier varchar, "
                "region varchar, is_deleted boolean)"
            )
            rows = [(each.id, each.name, each.slug, each.tier, "us", False) for each in self.tenants.values()]
            con.executemany("insert into marts.dim_tenants values (?, ?, ?, ?, ?, ?)", rows)
            columns = ", ".join(f"{column['name']} {column['data_type']}" for column in model()["columns"])
            con.execute(f"create table marts.{MODEL} ({columns})")

    @property
    def section(self) -> ClickHouse:
        assert self.settings.serving.clickhouse is not None
        return self.settings.serving.clickhouse

    @property
    def manifest(self) -> Path:
        return self.directory / "manifest.json"

    def declare(self, **changes: Any) -> None:
        """Write the manifest, with some of what ``meta.clickhouse`` says changed."""
        declared = model()
        declared["config"]["meta"]["clickhouse"] |= changes
        write_manifest(self.manifest, [declared])
        manifest = json.loads(self.manifest.read_text())
        for node in manifest["nodes"].values():
            node |= {"schema": "marts", "config": {"contract": {"enforced": True}} | declared["config"]}
        self.manifest.write_text(json.dumps(manifest))

    def warehouse(self) -> duckdb.DuckDBPyConnection:
        con = duckdb.connect(str(self.directory / "warehouse.duckdb"))
        con.execute("set time zone 'America/St_Johns'")  # nothing may depend on it
        return con

    def rewrite(self, tenant: Resident | str, day: date, seed: int, *, requests: int = 40) -> None:
        """Put a slice there, or another in its place; none of it where ``requests`` is 0."""
        self._rewrite([(tenant if isinstance(tenant, str) else tenant.id, day)], seed, requests)

    def fill(self, seed: int = 0) -> None:
        """Every tenant has something on every day."""
        self._rewrite([(tenant.id, day) for tenant in self.tenants.values() for day in days()], seed, 40)

    def _rewrite(self, slices: list[tuple[str, date]], seed: int, requests: int) -> None:
        calls = []
        for owner, day in slices:
            dice = random.Random(f"{owner} {day} {seed}")
            calls += [
                {
                    "tenant_id": owner,
                    "day": day,
                    "minute": _midnight(day) + timedelta(minutes=dice.randrange(1440)),
                    "endpoint": dice.choice([*ENDPOINTS, None]),
                    "method": dice.choice(["GET", "POST"]),
                    "user_key": dice.choice([None, *(f"{owner[:8]}{n:056x}" for n in range(5))]),
                    "latency_ms": dice.choice([None, *range(1, 20), 400]),
                    "failed": dice.random() < 0.2,
                }
                for _ in range(requests)
            ]
        with self.warehouse() as con:
            con.register("slices", pa.table({"tenant_id": [each for each, _ in slices], "day": [d for _, d in slices]}))
            con.execute(
                f"delete from marts.{MODEL} as m using slices as s where (m.tenant_id, m.day) = (s.tenant_id, s.day)"
            )
            if calls:
                con.register("calls", pa.Table.from_pylist(calls))
                con.execute(
                    f"insert into marts.{MODEL} select tenant_id, day, minute, endpoint, method, user_key, latency_ms, "
                    "count(*), count(*) filter (failed), now() from calls group by all"
                )

    def publish(self, run: str = "run 1", *, as_of: datetime = AS_OF) -> Report:
        with self.warehouse() as con:
            report = publish(self.settings, con, manifest_path=self.manifest, run_id=run, as_of=as_of)
        assert report is not None
        return report

    def publish_in_a_process(self, *, failpoint: str = "") -> subprocess.CompletedProcess[str]:
        """A publish that dies at a point."""
        code = (
            "import sys; from pathlib import Path; import duckdb; from datetime import datetime, UTC\n"
            "from serving.clickhouse.publish import publish; from settings import load_settings\n"
            "with duckdb.connect(sys.argv[2]) as con:\n"
            "    publish(load_settings(config_path=Path(sys.argv[1])), con, manifest_path=Path(sys.argv[3]),\n"
            "            run_id='killed', as_of=datetime(2026, 2, 3, tzinfo=UTC))\n"
        )
        paths = [self.directory / "tailrace.yml", self.directory / "warehouse.duckdb", self.manifest]
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, paths)],
            env=os.environ | {"PYTHONPATH": str(ROOT), "TAILRACE_FAILPOINT": failpoint},
            capture_output=True,
            text=True,
        )

    def home(self, tenant: Resident) -> str:
        silo = f"{self.database}__{tenant.slug.replace('-', '_')}"
        return silo if tenant.tier == "silo" else self.database

    @contextmanager
    def store(self) -> Iterator[Store]:
        with connect(self.section) as store:
            yield store

    def in_warehouse(self) -> dict[str, Any]:
        """Every answer, as DuckDB has it."""
        with self.warehouse() as con:
            return {slug: from_duckdb(con, tenant.id) for slug, tenant in self.tenants.items()}

    def in_clickhouse(self, store: Store) -> dict[str, Any]:
        """Every answer, as ClickHouse has it."""
        return {
            slug: from_clickhouse(Snapshot.open(store, self.home(tenant), tenant.id))
            for slug, tenant in self.tenants.items()
        }


def model() -> dict[str, Any]:
    """The model as the dbt project declares it."""
    path = ROOT / "dbt_project" / "models" / "marts" / "_api_activity__models.yml"
    (declared,) = yaml.safe_load(path.read_text())["models"]
    return declared


def days() -> list[date]:
    return [FIRST_DAY + timedelta(days=n) for n in range(DAYS)]


def from_clickhouse(snapshot: Snapshot) -> dict[str, Any]:
    first, last = days()[0], days()[-1]
    since, until = _midnight(first), _midnight(last + timedelta(days=1))
    total = snapshot.total(first=first, last=last)
    return {
        "minutes": [tuple(asdict(each).values()) for each in snapshot.minutes(since=since, until=until)],
        "hours": [tuple(asdict(each).values()) for each in snapshot.hours(first=first, last=last)],
        "hours of one": [
            tuple(asdict(each).values()) for each in snapshot.hours(first=first, last=last, endpoint=ENDPOINTS[2])
        ],
        "endpoints": {tuple(asdict(each).values()) for each in snapshot.endpoints(first=first, last=last)},
        "users": {tuple(asdict(each).values()) for each in snapshot.users(first=first, last=last)},
        "total": None if total == NOTHING else tuple(asdict(total).values()),
    }


NOTHING = Figures(requests=0, failures=0, users=0, latency_ms_p50=None, latency_ms_p95=None, latency_ms_p99=None)


def from_duckdb(con: duckdb.DuckDBPyConnection, tenant: str) -> dict[str, Any]:
    """The same questions put to single requests."""
    con.execute("set time zone 'UTC'")
    con.execute(
        "create or replace temp table requests as select * exclude (requests, failures), n <= failures as failed "
        f"from marts.{MODEL}, unnest(range(1, requests + 1)) as each (n) where tenant_id = ?",
        [tenant],
    )
    latencies = ", ".join(f"percentile_disc({q}) within group (order by latency_ms)" for q in (0.5, 0.95, 0.99))
    figures = f"count(*), count(*) filter (failed), count(distinct user_key), {latencies}"
    users = f"count(*), count(*) filter (failed), count(distinct day), {latencies}"

    def ask(query: str, *values: Any) -> list[tuple[Any, ...]]:
        return con.execute(query, values).fetchall()

    by_hour = f"select {figures}, date_trunc('hour', minute) as hour from requests"
    total = ask(f"select {figures} from requests")[0]
    return {
        "minutes": ask(f"select {figures}, minute from requests group by minute order by minute"),
        "hours": ask(f"{by_hour} group by hour order by hour"),
        "hours of one": ask(f"{by_hour} where endpoint = ? group by hour order by hour", ENDPOINTS[2]),
        "endpoints": set(ask(f"select {figures}, endpoint, method from requests group by endpoint, method")),
        "users": set(ask(f"select user_key, {users} from requests group by user_key")),
        "total": None if total[0] == 0 else total,
    }


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
