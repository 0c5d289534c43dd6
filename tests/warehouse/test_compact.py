"""Landing leaves holes where rows were replaced; compacting closes them and changes nothing else."""

from __future__ import annotations

from pathlib import Path

from warehouse import DuckDBWarehouse

ROW_GROUP = 122_880


def _row_groups(warehouse: DuckDBWarehouse) -> int:
    with warehouse.reader() as con:
        query = "select count(distinct row_group_id) from pragma_storage_info('numbers')"
        return int(con.execute(query).fetchall()[0][0])


def _total(warehouse: DuckDBWarehouse) -> tuple[int, int]:
    with warehouse.reader() as con:
        rows, total = con.execute("select count(*), sum(number) from numbers").fetchall()[0]
    return int(rows), int(total)


def test_row_groups_that_are_mostly_holes_are_merged(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "raw.duckdb", vault_path=tmp_path / "vault.duckdb")
    with warehouse.writer("test") as con:
        con.execute("create table numbers as select * from range(?) as r (number)", [3 * ROW_GROUP])
    with warehouse.writer("test") as con:
        con.execute("set max_vacuum_tasks = 0")
        con.execute("delete from numbers where number % 3 <> 0")
    before = _total(warehouse)
    assert before == (ROW_GROUP, sum(range(0, 3 * ROW_GROUP, 3)))
    assert _row_groups(warehouse) == 3
    warehouse.compact()
    assert _total(warehouse) == before
    assert _row_groups(warehouse) == 1
