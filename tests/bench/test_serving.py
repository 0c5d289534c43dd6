"""The bench of publishing measures what it says: whole publishes, what changed, and mixtures where there are any."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import rollups, serving
from bench.rollups import FEATURES, USAGE

TENANTS, ROWS = 20, 600


@pytest.fixture(autouse=True)
def few_tenants(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (rollups, serving):
        monkeypatch.setattr(module, "TENANTS", TENANTS)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[serving.Bench]:
    with rollups.server(tmp_path) as postgres:
        yield serving.Bench(folder=tmp_path, postgres=postgres, rows=ROWS, rounds=1, publishes=3, say=lambda _: None)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    serving.main(["--rows", str(ROWS), "--rounds", "1", "--publishes", "3", *arguments])
    return json.loads(capsys.readouterr().out.splitlines()[-1])  # type: ignore[no-any-return]


@pytest.mark.operations
def test_one_run_gives_every_figure_and_writes_them_where_it_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    result = run(capsys, "--seconds", "0.5", "--results", str(tmp_path))
    assert all(result[key] > 0 for key in serving.GOALS if key != "mixed_versions")
    assert result["mixed_versions"] == 0
    assert {"copy", "full", "one percent", "one percent, windows"} <= result["seconds"]["publish"].keys()
    [written] = tmp_path.glob("serving-*.json")
    assert json.loads(written.read_text()) == result


def test_figures_not_asked_for_are_left_open(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, "--only", "rls_overhead")
    assert result["rls_overhead"] > 0
    assert [key for key in serving.GOALS if result[key] is not None] == ["rls_overhead"]


def test_unknown_figure_is_refused_by_name() -> None:
    with pytest.raises(SystemExit, match="no figure speed"):
        serving.main(["--only", "speed"])


def test_answer_that_mixes_versions_is_counted(bench: serving.Bench) -> None:
    product = rollups.new_product(bench.postgres, bench.folder, "mixed", rollups=(FEATURES, USAGE))
    with bench.warehouse(ROWS) as warehouse:
        serving._stamp_features(warehouse, 1)
        serving._change(warehouse, ROWS, 1)
        product.publish(warehouse)
        tenants = [row[0] for row in warehouse.execute("select tenant_id from marts.dim_tenants").fetchall()]

    def spoil() -> None:
        with bench.postgres.connect(product.database) as admin:
            admin.execute(f"update tenant_analytics.{FEATURES} set events = 2 where feature = 'ai'")  # noqa: S608
            admin.execute("select pg_sleep(0.5)")

    assert serving._read(product, tenants, lambda: None, rest=0).mixed == 0
    found = serving._read(product, tenants, spoil, rest=0)
    assert 0 < found.mixed <= len(found.seconds)
