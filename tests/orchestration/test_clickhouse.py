"""Where ClickHouse is configured it is published to behind the same gates, and who is forgotten is forgotten there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from orchestration import rights
from orchestration.commands import clickhouse
from serving.clickhouse.queries import MODEL
from settings import ROOT, TailraceError, load_settings
from tests.serving.clickhouse_support import World

pytest.importorskip("clickhouse_connect")
pytest.importorskip("chdb")

PARENTS = """
import json
from dagster import AssetKey
from orchestration.definitions import defs
graph = defs.resolve_asset_graph()
print(json.dumps({
    key.to_user_string(): sorted(parent.to_user_string() for parent in graph.get(key).parent_keys)
    for key in graph.get_all_asset_keys() if key.path[0] == "clickhouse"
}))
"""


@pytest.mark.operations
def test_the_asset_waits_for_its_model_and_for_every_gated_rollup(tmp_path: Path) -> None:
    from quality.rollup_gate import rollup_names

    config = tmp_path / "tailrace.yml"
    body = yaml.safe_load((ROOT / "tailrace.yml").read_text())
    body["serving"]["clickhouse"] = {"path": str(tmp_path / "clickhouse")}
    config.write_text(yaml.safe_dump(body))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TAILRACE_", "SNOWFLAKE_"))}
    done = subprocess.run(
        [sys.executable, "-c", PARENTS],
        cwd=ROOT,
        env={**kept, "TAILRACE_HOME": str(tmp_path / "home"), "TAILRACE_CONFIG": str(config)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    expected = sorted([f"marts/{MODEL}", *(f"rollups/{name}" for name in rollup_names())])
    assert json.loads(done.stdout.splitlines()[-1]) == {f"clickhouse/{MODEL}": expected}


def test_forgetting_what_was_published_of_a_tenant_reaches_clickhouse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.fill()
    world.publish()
    world.fill(1)
    world.publish("run 2")
    monkeypatch.setattr("serving.rollback.forget", lambda settings, *, tenant: {"product": 0})
    tenant, silo = world.tenants["acorn"], world.tenants["deep-vault"]
    with world.store() as store:
        relation = store.rows(f"select name from system.tables where database = '{world.database}'")  # noqa: S608
        (table,) = (name for (name,) in relation if name.startswith(MODEL) and len(name) == len(MODEL) + 9)
        kept = f"select count() from {world.database}.{table} where tenant_id = '{tenant.id}'"  # noqa: S608
        before = store.rows(kept)[0][0]
        dropped = rights.forget_published(world.settings, tenant.id)
        assert set(dropped) == {"product", f"ClickHouse {world.database}", f"ClickHouse {world.home(silo)}"}
        assert dropped[f"ClickHouse {world.database}"] == before - store.rows(kept)[0][0] > 0
        assert world.in_clickhouse(store) == world.in_warehouse()


def test_status_says_which_version_stands_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path)
    monkeypatch.setenv("TAILRACE_CONFIG", str(tmp_path / "tailrace.yml"))
    with pytest.raises(TailraceError, match="nothing is published"):
        clickhouse.status(region=None, as_json=True)
    world.fill()
    world.publish()
    clickhouse.status(region=None, as_json=True)
    stands = json.loads(capsys.readouterr().out)
    assert [(each["database"], each["version"], each["run_id"]) for each in stands] == [
        (world.database, 1, "run 1"),
        (world.home(world.tenants["deep-vault"]), 1, "run 1"),
    ]


def test_without_a_section_the_command_says_which_key_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILRACE_HOME", str(tmp_path))
    monkeypatch.delenv("TAILRACE_CONFIG", raising=False)
    assert load_settings().serving.clickhouse is None
    with pytest.raises(TailraceError, match=r"serving\.clickhouse is not set"):
        clickhouse.status(region=None, as_json=False)
