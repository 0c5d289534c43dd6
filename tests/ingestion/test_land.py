"""Landing is idempotent, keeps what a delete does not touch, and never shows a value in an error."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from ingestion import land
from ingestion.land import RawColumn, RawTable, ensure_table, upsert
from settings import TailraceError

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PEOPLE = RawTable(
    "raw_x",
    "people",
    (
        RawColumn("id", "VARCHAR"),
        RawColumn("email", "VARCHAR"),
        RawColumn("seats", "BIGINT"),
        RawColumn("extra", "JSON"),
    ),
    ("id",),
    frozenset({"id", "email"}),
)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        ensure_table(connection, PEOPLE)
        yield connection


def rows(*people: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(people))


def state(con: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return con.execute(
        "select id, email, seats, extra, _ab_cdc_deleted_at is not null from raw_x.people order by id"
    ).fetchall()


JANE = {"id": "a", "email": "jane@example.com", "seats": 3, "extra": '{"k": 1}'}
JOHN = {"id": "b", "email": None, "seats": None, "extra": None}


def test_landing_the_same_rows_again_changes_nothing(con: duckdb.DuckDBPyConnection) -> None:
    landed = upsert(con, PEOPLE, rows(JANE, JOHN), extracted_at=NOW)
    once = state(con)
    upsert(con, PEOPLE, rows(JANE, JOHN), extracted_at=NOW + timedelta(hours=1))
    assert state(con) == once == [("a", "jane@example.com", 3, '{"k": 1}', False), ("b", None, None, None, False)]
    assert (landed.upserted, landed.deleted) == (2, 0)
    assert landed.bytes > 0


def test_a_null_overwrites_and_a_column_left_out_is_kept(con: duckdb.DuckDBPyConnection) -> None:
    upsert(con, PEOPLE, rows(JANE), extracted_at=NOW)
    upsert(con, PEOPLE, pa.table({"id": ["a"], "seats": pa.nulls(1, pa.int64())}), extracted_at=NOW)
    assert state(con) == [("a", "jane@example.com", None, '{"k": 1}', False)]


def test_a_deleted_row_keeps_its_key_and_plain_values_and_no_personal_one(con: duckdb.DuckDBPyConnection) -> None:
    upsert(con, PEOPLE, rows(JANE), extracted_at=NOW)
    gone = rows(JANE | {"email": "jane@example.com", "seats": None, "extra": None, "_deleted": True})
    landed = upsert(con, PEOPLE, gone, extracted_at=NOW)
    assert state(con) == [("a", None, 3, '{"k": 1}', True)]
    assert (landed.upserted, landed.deleted) == (0, 1)
    upsert(con, PEOPLE, rows(JANE | {"_deleted": False}), extracted_at=NOW)
    assert state(con) == [("a", "jane@example.com", 3, '{"k": 1}', False)]


def test_a_delete_from_another_origin_is_void(con: duckdb.DuckDBPyConnection) -> None:
    upsert(con, PEOPLE, rows(JANE | {"_origin": "db.app"}), extracted_at=NOW)
    upsert(con, PEOPLE, rows(JANE | {"_origin": "db.other", "_deleted": True}), extracted_at=NOW)
    assert [row[4] for row in state(con)] == [False]
    upsert(con, PEOPLE, rows(JANE | {"_origin": "db.app", "_deleted": True}), extracted_at=NOW)
    assert [row[4] for row in state(con)] == [True]


def test_values_flagged_as_unchanged_are_kept(con: duckdb.DuckDBPyConnection) -> None:
    upsert(con, PEOPLE, rows(JANE, JOHN | {"email": "john@example.com"}), extracted_at=NOW)
    changed = rows(
        {"id": "a", "email": None, "_unchanged_email": True, "seats": 4, "extra": None},
        {"id": "b", "email": None, "_unchanged_email": False, "seats": 5, "extra": None},
    )
    upsert(con, PEOPLE, changed, extracted_at=NOW)
    assert [row[:3] for row in state(con)] == [("a", "jane@example.com", 4), ("b", None, 5)]


def test_truncate_reaches_the_rows_of_its_origin_alone(con: duckdb.DuckDBPyConnection) -> None:
    upsert(con, PEOPLE, rows(JANE | {"_origin": "db.app"}, JOHN | {"_origin": "db.t_x"}), extracted_at=NOW)
    landed = land.truncate(con, PEOPLE, origin="db.app", at=NOW, extracted_at=NOW)
    assert [(row[0], row[1], row[4]) for row in state(con)] == [("a", None, True), ("b", None, False)]
    assert (landed.deleted, landed.truncated) == (1, True)


def test_a_contract_may_grow_but_not_change_a_type(con: duckdb.DuckDBPyConnection) -> None:
    upsert(con, PEOPLE, rows(JANE), extracted_at=NOW)
    grown = replace(PEOPLE, columns=(*PEOPLE.columns, RawColumn("city", "text")))
    ensure_table(con, grown)
    upsert(con, grown, rows(JOHN | {"city": "Bern"}), extracted_at=NOW)
    assert con.execute("select id, city from raw_x.people order by id").fetchall() == [("a", None), ("b", "Bern")]
    with pytest.raises(TailraceError, match=r"raw_x\.people\.seats is BIGINT"):
        ensure_table(con, replace(PEOPLE, columns=(RawColumn("id", "VARCHAR"), RawColumn("seats", "INTEGER"))))


@pytest.mark.parametrize("spelled", ["timestamptz", "numeric(12, 2)", "int", "text", "TIMESTAMP WITH TIME ZONE"])
def test_types_in_any_usual_spelling_are_the_same_table_again(con: duckdb.DuckDBPyConnection, spelled: str) -> None:
    table = RawTable("raw_x", "spelled", (RawColumn("id", "VARCHAR"), RawColumn("v", spelled)), ("id",), frozenset())
    ensure_table(con, table)
    ensure_table(con, table)


def test_a_value_that_does_not_fit_names_its_column_and_not_itself(con: duckdb.DuckDBPyConnection) -> None:
    con.begin()
    with pytest.raises(TailraceError) as caught:
        upsert(
            con, PEOPLE, rows({"id": "a", "email": "x", "seats": "jane@example.com", "extra": None}), extracted_at=NOW
        )
    con.rollback()
    assert "raw_x.people.seats" in str(caught.value)
    assert "jane" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert state(con) == []


def test_rows_without_their_key_are_refused(con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(TailraceError, match="without their key id"):
        upsert(con, PEOPLE, pa.table({"email": ["x"]}), extracted_at=NOW)


def copied(con: duckdb.DuckDBPyConnection, *batches: tuple[str, int, list[dict[str, Any]]]) -> str:
    """A copy of (origin, LSN, rows), landed in that order; its name."""
    con.execute("create or replace table raw_x._copy as from raw_x.people limit 0")
    values = {column.name: f"n.{column.name}::{column.duck_type}" for column in PEOPLE.columns}
    for number, (origin, lsn, people) in enumerate(batches):
        con.register("incoming", rows(*people))
        target: dict[str, Any] = {"into": "raw_x._copy", "values": values, "meta": f"json_object('origin', '{origin}')"}
        land.append(con, PEOPLE, "incoming as n", **target, ids=f"{number}-", extracted_at=NOW, lsn=lsn)
    return "raw_x._copy"


def test_of_doubled_keys_in_a_copy_the_one_that_was_seen_last_is_kept(con: duckdb.DuckDBPyConnection) -> None:
    copy = copied(con, ("db.app", 2, [JANE | {"seats": 2}]), ("db.app", 1, [JANE | {"seats": 1}, JOHN]))
    land.drop_superseded(con, PEOPLE, copy=copy)
    assert con.execute(f"select id, seats from {copy} order by id").fetchall() == [("a", 2), ("b", None)]
    assert con.execute(f"select count(distinct _airbyte_raw_id) from {copy}").fetchone() == (2,)


def test_a_copy_takes_the_place_of_its_origin_alone(con: duckdb.DuckDBPyConnection) -> None:
    origins = pa.array(["db.app", "db.app", "db.acme"])
    known = rows(JANE, JOHN, JANE | {"id": "c"}).append_column("_origin", origins)
    upsert(con, PEOPLE, known, extracted_at=NOW)
    copy = copied(con, ("db.app", 1, [JANE | {"seats": 9}]), ("db.other", 1, [JANE | {"id": "d"}]))
    landed = land.replace(con, PEOPLE, copy=copy, origins=["db.app"], extracted_at=NOW)
    assert (landed.upserted, landed.deleted) == (1, 1)
    assert state(con) == [
        ("a", "jane@example.com", 9, '{"k": 1}', False),
        ("b", None, None, None, True),
        ("c", "jane@example.com", 3, '{"k": 1}', False),
    ]


def test_filling_a_column_leaves_deleted_rows_and_other_columns_alone(con: duckdb.DuckDBPyConnection) -> None:
    known = rows(JANE, JOHN, JANE | {"id": "c"}).append_column("_origin", pa.array(["db.app", "db.app", "db.acme"]))
    upsert(con, PEOPLE, known, extracted_at=NOW)
    gone = pa.table({"id": ["b"], "_deleted": [True], "_origin": ["db.app"]})
    upsert(con, PEOPLE, gone, extracted_at=NOW)
    con.register("values_of", pa.table({"id": ["a", "b", "c"], "seats": [7, 7, 7]}))
    assert land.fill(con, PEOPLE, "values_of", ["seats"], origin="db.app", extracted_at=NOW) == 1
    assert [(row[0], row[1], row[2]) for row in state(con)] == [
        ("a", "jane@example.com", 7),
        ("b", None, None),
        ("c", "jane@example.com", 3),
    ]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("INTEGER", "1.5", None),
        ("INTEGER", "15e-1", None),
        ("BIGINT", "12", 12),
        ("DECIMAL(5,2)", "1.239", None),
        ("DECIMAL(5,2)", "1.2300", Decimal("1.23")),
        ("DECIMAL(5,2)", "-1", Decimal("-1")),
        ("DATE", "2026-01-01 10:00:00", None),
        ("DATE", "2026-01-01", date(2026, 1, 1)),
        ("BLOB", r"\x00ff", b"\x00\xff"),
        ("BLOB", r"\xzz", None),
        ("INTERVAL", "1 mon -1 days +02:00:00", timedelta(days=29, hours=2)),
        ("INTERVAL", "infinity", None),
        ("INTEGER[]", "{1,NULL,3}", [1, None, 3]),
        ("INTEGER[]", "{}", []),
        ("INTEGER[]", "{1.5}", None),
        ("INTEGER[]", "{{1},{2}}", None),
        ("INTEGER[]", "[2:3]={1,2}", None),
        ("VARCHAR[]", '{a,"NULL",NULL,"q\\"\\\\,{}"}', ["a", "NULL", None, 'q"\\,{}']),
    ],
)
def test_a_text_lands_as_exactly_what_it_names_or_not_at_all(
    con: duckdb.DuckDBPyConnection, kind: str, text: str, value: object
) -> None:
    texts = pa.table({"value": pa.array([text, None])})
    con.register("texts", texts)
    column = RawColumn("value", kind)
    if value is None:
        with pytest.raises((duckdb.ConversionException, duckdb.InvalidInputException)):
            con.execute(f"select {land.cast('value', column)} from texts").fetchall()
    else:
        assert con.execute(f"select {land.cast('value', column)} from texts").fetchall() == [(value,), (None,)]
    lenient = con.execute(f"select {land.cast('value', column, lenient=True)} from texts").fetchall()
    assert lenient[1] == (None,)
    assert lenient[0][0] == value or (value is None and lenient[0][0] == [None])
