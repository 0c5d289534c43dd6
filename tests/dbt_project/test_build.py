"""``dbt build`` needs nothing: no landed rows, no credentials, no file. All that it makes is described."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.dbt_project.support import DbtProject


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("built") / "warehouse.duckdb"


@pytest.fixture(scope="module")
def built(dbt: DbtProject, warehouse: Path) -> subprocess.CompletedProcess[str]:
    return dbt.run("build", environment={"TAILRACE_WAREHOUSE_PATH": str(warehouse)})


@pytest.fixture(scope="module")
def relations(dbt: DbtProject, built: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Models, seeds and snapshots, as dbt's docs show them."""
    nodes = json.loads((dbt.target / "manifest.json").read_text(encoding="utf-8"))["nodes"].values()
    return [node for node in nodes if node["resource_type"] in {"model", "seed", "snapshot"}]


def test_build_from_nothing_passes_every_model_and_test(
    dbt: DbtProject, built: subprocess.CompletedProcess[str]
) -> None:
    assert built.returncode == 0, built.stdout[-4000:]
    kinds = {node.split(".")[0] for node, status in dbt.results().items() if status in {"success", "pass"}}
    assert kinds >= {"model", "test", "unit_test"}
    assert set(dbt.results().values()) <= {"success", "pass"}


def test_every_column_that_is_built_is_described(relations: list[dict[str, Any]], warehouse: Path) -> None:
    with duckdb.connect(str(warehouse), read_only=True) as con:
        columns = con.execute(
            "select schema_name, table_name, column_name from duckdb_columns() "
            "where database_name = current_database() and not internal"
        ).fetchall()
    described = {
        (node["schema"], node["alias"], name)
        for node in relations
        for name, column in node["columns"].items()
        if column["description"].strip()
    }
    made = {(node["schema"], node["alias"]) for node in relations}
    assert made <= {(schema, table) for schema, table, _ in columns}
    undescribed = {column for column in columns if column[:2] in made} - described
    assert not undescribed, "describe them in the YAML beside the model"
    assert all(node["description"].strip() for node in relations)


def test_lineage_begins_at_sources_and_seeds_alone(relations: list[dict[str, Any]]) -> None:
    assert {
        node["name"] for node in relations if node["resource_type"] != "seed" and not node["depends_on"]["nodes"]
    } == set()
