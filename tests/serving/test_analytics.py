"""The analytics file: marts and rollups and nothing else, swapped in whole under open readers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from serving.analytics import write_analytics_file
from settings import ROOT, TailraceError

SECRET = "ada.lovelace@analytical.example"
WRITE = """
import resource, sys
from pathlib import Path
import duckdb
from serving.analytics import write_analytics_file
from settings import TailraceError
warehouse, target, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
with duckdb.connect(warehouse, read_only=True) as connection:
    try:
        write_analytics_file(connection, Path(target))
    except TailraceError as error:
        sys.exit(str(error))
"""


def make_warehouse(path: Path, *, version: int, rows: int = 10) -> None:
    with duckdb.connect(str(path)) as connection:
        for schema in ("raw_app", "staging", "marts", "rollups"):
            connection.execute(f"create schema if not exists {schema}")
        connection.execute(f"create or replace table raw_app.users as select '{SECRET}' as email from range(1000)")  # noqa: S608
        connection.execute("create or replace table staging.stg_app__users as select * from raw_app.users")
        connection.execute(
            f"create or replace table marts.fct_usage_daily as select {version} as version, md5(i::varchar) as filler "  # noqa: S608
            f"from range({rows}) as numbers (i)"
        )
        connection.execute(
            "create or replace view marts.latest as select max(version) as version from marts.fct_usage_daily"
        )
        connection.execute(f"create or replace table rollups.rollup_x as select {version} as version")


def write(warehouse: Path, target: Path) -> None:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        write_analytics_file(connection, target)


def write_in_a_process(
    warehouse: Path, target: Path, *, failpoint: str = "", limit: int = 0
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WRITE, str(warehouse), str(target), str(limit)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TAILRACE_FAILPOINT": failpoint},
        capture_output=True,
        text=True,
        timeout=60,
    )


def version_in(path: Path) -> int:
    with duckdb.connect(str(path), read_only=True) as connection:
        versions = connection.execute(
            "select version from marts.latest union select version from rollups.rollup_x"
        ).fetchall()
    assert len(versions) == 1
    return int(versions[0][0])


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    make_warehouse(tmp_path / "warehouse.duckdb", version=1)
    return tmp_path / "warehouse.duckdb", tmp_path / "us" / "analytics.duckdb"


def test_file_holds_marts_and_rollups_as_tables_and_no_other_byte(paths: tuple[Path, Path]) -> None:
    warehouse, target = paths
    write(warehouse, target)
    with duckdb.connect(str(target), read_only=True) as connection:
        tables = connection.execute(
            "select table_schema, table_name, table_type from information_schema.tables order by all"
        )
        assert tables.fetchall() == [
            ("marts", "fct_usage_daily", "BASE TABLE"),
            ("marts", "latest", "BASE TABLE"),
            ("rollups", "rollup_x", "BASE TABLE"),
        ]
    assert SECRET.encode() in warehouse.read_bytes()
    assert SECRET.encode() not in target.read_bytes()
    assert [each.name for each in target.parent.iterdir()] == [target.name]


def test_open_reader_keeps_its_file_and_the_next_gets_the_new_one(paths: tuple[Path, Path]) -> None:
    warehouse, target = paths
    write(warehouse, target)
    with duckdb.connect(str(target), read_only=True) as reader:
        make_warehouse(warehouse, version=2)
        assert write_in_a_process(warehouse, target).returncode == 0
        assert reader.execute("select version from marts.latest").fetchone() == (1,)
    assert version_in(target) == 2


@pytest.mark.parametrize("point", ["analytics_mid_copy", "analytics_before_swap"])
def test_kill_leaves_the_old_file_and_the_next_run_replaces_it(paths: tuple[Path, Path], point: str) -> None:
    warehouse, target = paths
    write(warehouse, target)
    make_warehouse(warehouse, version=2)
    assert write_in_a_process(warehouse, target, failpoint=point).returncode == -signal.SIGKILL
    assert version_in(target) == 1
    write(warehouse, target)
    assert version_in(target) == 2
    assert [each.name for each in target.parent.iterdir()] == [target.name]


def test_full_disk_leaves_the_old_file_and_is_told_in_one_line(paths: tuple[Path, Path]) -> None:
    warehouse, target = paths
    write(warehouse, target)
    make_warehouse(warehouse, version=2, rows=400_000)
    failed = write_in_a_process(warehouse, target, limit=2 << 20)
    assert failed.returncode == 1
    assert len(failed.stderr.strip().splitlines()) == 1
    assert "disk is full" in failed.stderr
    assert version_in(target) == 1
    assert [each.name for each in target.parent.iterdir()] == [target.name]


def test_warehouse_without_marts_is_refused(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "empty.duckdb")) as connection:
        with pytest.raises(TailraceError, match="no marts"):
            write_analytics_file(connection, tmp_path / "analytics.duckdb")
