"""Gates refuse what breaks a promise, say where and how often, keep no value, and forget nothing they refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from quality import quarantine
from quality.expectations import Expectation, examine
from quality.raw_gate import check_table
from quality.rollup_gate import check_rollup
from settings import TailraceError

NOT_NULL = Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": "id"})
KNOWN = Expectation(
    type="expect_column_values_to_be_in_set", kwargs={"column": "status", "value_set": ["open", "done"]}
)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("create schema raw")
        connection.execute(
            "create table raw.tasks (id integer, status varchar, email varchar, _airbyte_raw_id varchar, "
            "_airbyte_extracted_at timestamptz, _ab_cdc_deleted_at timestamptz)"
        )
        yield connection


def _land(con: duckdb.DuckDBPyConnection, minute: int, *rows: tuple[int | None, str]) -> None:
    for id_, status in rows:
        con.execute(
            "insert into raw.tasks values (?, ?, 'secret@example.com', ?, ?::timestamptz, null)",
            [id_, status, f"raw-{minute}-{id_}", f"2026-01-01 00:{minute:02}:00+00"],
        )


def _check(con: duckdb.DuckDBPyConnection):  # type: ignore[no-untyped-def]
    return check_table(con, schema="raw", table="tasks", key=["id"], expectations=[NOT_NULL, KNOWN])


def test_good_rows_pass_and_are_not_checked_again(con: duckdb.DuckDBPyConnection) -> None:
    _land(con, 1, (1, "open"), (2, "done"))
    assert (_check(con).passed, _check(con).checked) == (True, 0)
    _land(con, 2, (3, "open"))
    assert _check(con).checked == 1


def test_a_refused_row_is_counted_named_by_its_raw_id_and_refused_again_by_a_later_run(
    con: duckdb.DuckDBPyConnection,
) -> None:
    _land(con, 1, (1, "open"), (2, "burnt"))
    first = _check(con)
    assert [(f.subject, f.unexpected, f.checked, f.raw_ids) for f in first.findings] == [("status", 1, 2, ("raw-1-2",))]
    _land(con, 2, (3, "open"))
    assert not _check(con).passed
    con.execute("update raw.tasks set status = 'done' where id = 2")
    assert _check(con).passed


def test_two_live_rows_of_one_key_are_refused(con: duckdb.DuckDBPyConnection) -> None:
    _land(con, 1, (1, "open"), (1, "done"))
    assert [f.expectation for f in _check(con).findings] == ["expect_compound_columns_to_be_unique"]


def test_an_empty_table_passes_and_a_deleted_row_is_out_of_scope(con: duckdb.DuckDBPyConnection) -> None:
    assert _check(con).passed
    _land(con, 1, (1, "burnt"))
    con.execute("update raw.tasks set _ab_cdc_deleted_at = now()")
    assert _check(con).passed


def test_the_quarantine_holds_no_value_of_a_row(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    _land(con, 1, (1, "secret-status"))
    path = quarantine.write(tmp_path, gate="raw", findings=_check(con).findings)
    text = path.read_text()
    assert "secret" not in text
    assert json.loads(text)["findings"][0]["_airbyte_raw_id"] == ["raw-1-1"]


@pytest.mark.parametrize(
    "wrong",
    [
        Expectation(type="expect_the_best", kwargs={"column": "id"}),
        Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": "no_such_column"}),
        Expectation(type="expect_column_values_to_be_between", kwargs={"colum": "id"}),
    ],
)
def test_an_expectation_that_cannot_be_evaluated_is_an_error_never_a_pass(wrong: Expectation) -> None:
    import pandas as pd

    with pytest.raises(TailraceError, match="gate of tasks"):
        examine("tasks", [pd.DataFrame({"id": [1, 2]})], [wrong])


def test_findings_add_up_over_frames() -> None:
    import pandas as pd

    frames = [pd.DataFrame({"id": [1, None]}), pd.DataFrame({"id": [None, None]})]
    verdict = examine("tasks", frames, [NOT_NULL])
    assert (verdict.checked, verdict.findings[0].unexpected) == (4, 3)


@pytest.fixture
def rollups(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> tuple[duckdb.DuckDBPyConnection, Path]:
    con.execute("create schema rollups; create table rollups.r (tenant_id varchar, n integer)")
    definition = tmp_path / "rollups.yml"
    definition.write_text(
        "rollups:\n  r:\n    least_share_of_last: 0.9\n    expectations:\n"
        "      - {type: expect_column_values_to_be_between, kwargs: {column: n, min_value: 0}}\n"
        "    reconciliations:\n      - {name: is_even, disagreeing: select * from rollups.r where n % 2 = 1}\n"
    )
    return con, definition


def test_an_empty_or_shrunken_rollup_is_refused(rollups: tuple[duckdb.DuckDBPyConnection, Path]) -> None:
    con, path = rollups
    assert not check_rollup(con, "r", path=path).passed
    con.execute("insert into rollups.r select 't', 2 * n from range(100) t(n)")
    assert check_rollup(con, "r", path=path).passed
    con.execute("delete from rollups.r where n < 30")  # 15 of 100 rows; one in ten may go
    (finding,) = check_rollup(con, "r", path=path).findings
    assert finding.expectation == "expect_table_row_count_to_be_between"


def test_a_rollup_that_disagrees_or_breaks_an_expectation_is_refused(
    rollups: tuple[duckdb.DuckDBPyConnection, Path],
) -> None:
    con, path = rollups
    con.execute("insert into rollups.r values ('t', -2), ('t', 3), ('t', 4)")
    found = {f.expectation: f.unexpected for f in check_rollup(con, "r", path=path).findings}
    assert found == {"expect_column_values_to_be_between": 1, "is_even": 1}


def test_a_rollup_without_a_gate_is_an_error(rollups: tuple[duckdb.DuckDBPyConnection, Path]) -> None:
    con, path = rollups
    with pytest.raises(TailraceError, match="no gate"):
        check_rollup(con, "other", path=path)
