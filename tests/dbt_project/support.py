"""A deployment made of raw rows: land them as the pipeline does, run dbt on them as anyone would."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from ingestion.land import ensure_table, raw_table, upsert
from pii_policies import load_contracts
from pii_policies.keys import ensure_keys_for_raw
from warehouse import DuckDBWarehouse, transaction

PROJECT = Path(__file__).parents[2] / "dbt_project"
Row = Mapping[str, Any]


class DbtProject:
    """dbt as a person runs it in ``dbt_project/``, its target folder and log elsewhere."""

    def __init__(self, state: Path) -> None:
        self.state = state

    @property
    def target(self) -> Path:
        return self.state / "target"

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TAILRACE_", "DBT_"))}
        return subprocess.run(
            [
                str(Path(sys.executable).with_name("dbt")),
                *("--no-version-check", "--no-use-colors"),
                *arguments,
                *("--target", "ci", "--target-path", str(self.target), "--log-path", str(self.state / "logs")),
            ],
            cwd=PROJECT,
            env={**inherited, "DO_NOT_TRACK": "1", **(environment or {})},
            capture_output=True,
            text=True,
        )

    def results(self) -> dict[str, str]:
        """Node → status of the last invocation."""
        results = json.loads((self.target / "run_results.json").read_text(encoding="utf-8"))["results"]
        return {str(result["unique_id"]): str(result["status"]) for result in results}


class Deployment:
    """One warehouse with its vault, empty raw tables at first."""

    def __init__(self, directory: Path, dbt: DbtProject) -> None:
        self.dbt = dbt
        self.paths = {
            "TAILRACE_WAREHOUSE_PATH": str(directory / "warehouse.duckdb"),
            "TAILRACE_VAULT_PATH": str(directory / "vault.duckdb"),
        }

    @cached_property
    def warehouse(self) -> DuckDBWarehouse:
        return DuckDBWarehouse(
            Path(self.paths["TAILRACE_WAREHOUSE_PATH"]), vault_path=Path(self.paths["TAILRACE_VAULT_PATH"])
        )

    def connect(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return self.warehouse.writer("a test")

    def land(self, source: str, table: str, rows: Sequence[Row], *, at: datetime) -> None:
        """Land rows, all of the same columns; ``_deleted`` marks a row that the source deleted."""
        contract = load_contracts().table(source, table)
        raw = raw_table(contract)
        with self.connect() as con, transaction(con):
            ensure_table(con, raw)
            if rows:
                upsert(con, raw, pa.Table.from_pylist([dict(row) for row in rows]), extracted_at=at)

    def build(self, *arguments: str) -> dict[str, str]:
        """Make the keys of new tenants, then build the marts and what they are made of, with their data tests.

        Fails the test with dbt's own words when a node fails.
        """
        with self.connect() as con:
            ensure_keys_for_raw(con, load_contracts())
        layers = ("marts", "rollups", "reconciliation")
        marts = (
            "--select",
            *(f"+path:models/{layer}" for layer in layers),
            "stg_stripe__subscriptions",
            "int_time_spine",
        )
        done = self.dbt.run("build", *marts, "--exclude-resource-type", "unit_test", *arguments, environment=self.paths)
        assert done.returncode == 0, done.stdout[-4000:]
        return self.dbt.results()

    def metrics(self, directory: Path, group_by: str, *metrics: str) -> list[tuple[Any, ...]]:
        """What ``mf query`` answers, as anyone would ask: days as dates, figures as floats, null where it has none."""
        answer, project = directory / "answer.csv", directory / "dbt_project"
        if not project.exists():  # mf reads the manifest in target/, under the project and nowhere else
            project.mkdir()
            for each in (*(path for path in PROJECT.iterdir() if path.name not in {"target", "logs"}), self.dbt.target):
                (project / each.name).symlink_to(each)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TAILRACE_", "DBT_"))}
        environment = {"TAILRACE_DBT_TARGET": "ci", "DBT_LOG_PATH": str(self.dbt.state / "logs"), "DO_NOT_TRACK": "1"}
        query = ["query", "--metrics", ",".join(metrics), "--group-by", group_by, "--csv", str(answer)]
        done = subprocess.run(
            [str(Path(sys.executable).with_name("mf")), *query],
            cwd=project,
            env={**inherited, **environment, **self.paths},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        with answer.open(newline="") as file:
            rows = list(csv.DictReader(file))
        keys = [name for name in rows[0] if name not in metrics]
        return [
            (
                *(date.fromisoformat(row[key][:10]) if "metric_time" in key else row[key] for key in keys),
                *(float(row[metric]) if row[metric] else None for metric in metrics),
            )
            for row in rows
        ]

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self.connect() as con:
            return con.execute(sql, parameters).fetchall()
