"""A whole deployment, small: real servers on free ports, the real CLI in processes of its own."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest
from psycopg import sql

from demo import services
from demo.company import Company
from demo.postgres import EmbeddedPostgres, free_port
from serving.homes import Home
from serving.migrate import namespaces
from settings import ROOT, Settings, load_settings

TENANTS, DAYS, SEED = 12, 12, 11
ROLLUPS = (
    "rollup_tenant_usage_daily",
    "rollup_tenant_feature_adoption_daily",
    "rollup_tenant_entitlements_monthly",
    "rollup_tenant_ai_daily",
    "rollup_tenant_users",
    "rollup_tenant_benchmarks_monthly",
)


@dataclass(frozen=True)
class Deployment:
    """A running deployment of the us region. ``tailrace`` runs the CLI against it."""

    settings: Settings
    postgres: EmbeddedPostgres
    company: Company
    environment: dict[str, str]
    first_report: dict[str, Any] = field(default_factory=dict)

    def tailrace(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("tailrace")), *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )

    def run(self) -> dict[str, Any]:
        """The pipeline, which must succeed. Returns its report."""
        done = self.tailrace("run", "--json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def start_run(self, **environment: str) -> subprocess.Popen[str]:
        """The pipeline in a process group of its own, to be killed or waited for."""
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("tailrace")), "run", "--json"],
            cwd=ROOT,
            env={**os.environ, **self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def published(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every rollup row of every home, as it stands."""
        found = {}
        for database in self.settings.rollup_databases():
            with self.postgres.connect(database) as connection:
                for home in (Home(database), *namespaces(connection, database)):
                    for rollup in ROLLUPS:
                        query = sql.SQL("select * from {} order by 1, 2, 3").format(home.table(rollup))
                        found[f"{home.name}.{rollup}"] = connection.execute(query).fetchall()
        return found

    def ledger(self, query: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(f"file:{self.settings.demo_dir / 'company.sqlite'}?mode=ro", uri=True) as connection:
            return connection.execute(query).fetchall()

    def analytics(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.settings.analytics_path), read_only=True) as connection:
            connection.execute("set TimeZone = 'UTC'")
            return connection.execute(query).fetchall()

    def warehouse(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(str(self.settings.warehouse_path), read_only=True)
        connection.execute("set TimeZone = 'UTC'")
        return connection


def configure(directory: Path) -> tuple[Settings, dict[str, str]]:
    """The repository's configuration with a home and ports of its own."""
    text = (ROOT / "tailrace.yml").read_text()
    for port in ("54329", "12111", "12112", "12113", "8000", "3000"):
        text = text.replace(port, str(free_port()))
    config = directory / "tailrace.yml"
    config.write_text(text)
    environment = {"TAILRACE_CONFIG": str(config), "TAILRACE_HOME": str(directory / "state"), "TAILRACE_REGION": "us"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        settings = load_settings()
    size = {"tenants": TENANTS, "days": DAYS, "seed": SEED}
    return settings.model_copy(update={"demo": settings.demo.model_copy(update=size)}), environment


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Founded, lived, and run once. Whatever a test does to it, it leaves the pipeline run and in order."""
    settings, environment = configure(tmp_path_factory.mktemp("deployment"))
    with services.running(settings) as postgres:
        company = services.sample_company(settings, postgres)
        company.found()
        company.live(DAYS)
        deployment = Deployment(settings, postgres, company, environment)
        deployment.first_report.update(deployment.run())
        yield deployment
