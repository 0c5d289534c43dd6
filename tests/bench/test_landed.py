"""The product that the marts are measured on: the same at every making, in order of landing, late as it says."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bench.landed import DAYS, FIRST_DAY, LATE_DAYS, SHARES, land_a_day, land_history
from warehouse import DuckDBWarehouse

EVENTS, DAY, TENANTS = 20_000, 1_000, 15
TIMES = {"workflow_runs": "started_at", "comments": "created_at", "api_requests": "occurred_at"}


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> DuckDBWarehouse:
    return _made(tmp_path_factory.mktemp("landed"))


def _made(folder: Path) -> DuckDBWarehouse:
    warehouse = DuckDBWarehouse(folder / "warehouse.duckdb", vault_path=folder / "vault.duckdb")
    with warehouse.writer("a test") as con:
        land_history(con, events=EVENTS, tenants=TENANTS)
        land_a_day(con, events=DAY, number=DAYS)
    return warehouse


def _query(warehouse: DuckDBWarehouse, sql: str) -> list[tuple[Any, ...]]:
    with warehouse.reader() as con:
        return con.execute(sql).fetchall()


def test_every_table_has_its_share_of_events_under_keys_of_their_own(landed: DuckDBWarehouse) -> None:
    for table, share in SHARES.items():
        found = _query(landed, f"select count(*), count(distinct id), count(distinct tenant_id) from raw_app.{table}")  # noqa: S608
        rows = (EVENTS + DAY) * share // 100
        assert found == [(rows, rows, TENANTS)]


def test_events_land_the_night_after_their_day_or_up_to_seven_days_late(landed: DuckDBWarehouse) -> None:
    nights = timedelta(days=1, hours=2)
    for table, time in TIMES.items():
        lag = f"_airbyte_extracted_at - date_trunc('day', {time})"
        lags = _query(landed, f"select {lag} from raw_app.{table} where _ab_cdc_deleted_at is null")  # noqa: S608
        late = [lag - nights for (lag,) in lags]
        assert min(late) == timedelta(0)
        assert max(late) == timedelta(days=LATE_DAYS)
        assert 0.005 < sum(each > timedelta(0) for each in late) / len(late) < 0.05


def test_a_day_lands_after_all_before_it_and_at_the_end_of_the_table(landed: DuckDBWarehouse) -> None:
    last: datetime = FIRST_DAY + timedelta(days=DAYS + 1, hours=2)
    for table, share in SHARES.items():
        stamps = [at for (at,) in _query(landed, f"select _airbyte_extracted_at from raw_app.{table} order by rowid")]  # noqa: S608
        assert stamps == sorted(stamps)
        assert stamps.count(last) >= DAY * share // 100


def test_it_is_the_same_at_every_making(landed: DuckDBWarehouse, tmp_path: Path) -> None:
    again = _made(tmp_path)
    for table in (*SHARES, "tenants", "users"):
        query = f"select * from raw_app.{table} order by id"  # noqa: S608
        assert _query(landed, query) == _query(again, query)
