"""What a stream of changes makes of the raw tables, however it is cut into portions."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from ingestion import land
from ingestion.land import RawColumn, RawTable
from ingestion.postgres import apply
from ingestion.postgres.apply import Applied, Applier, MissingValueError, Target
from ingestion.postgres.pgoutput import Decoder, Relation
from settings import TailraceError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOTES = RawTable(
    "raw_app",
    "notes",
    (RawColumn("id", "INTEGER"), RawColumn("n", "INTEGER"), RawColumn("body", "VARCHAR"), RawColumn("raw", "BLOB")),
    ("id",),
    frozenset({"body"}),
)
LOG = RawTable(
    "raw_app",
    "log",
    (RawColumn("who", "VARCHAR"), RawColumn("score", "DOUBLE"), RawColumn("n", "INTEGER")),
    (),
    frozenset({"who"}),
)
TABLES = {"notes": NOTES, "log": LOG}
_numbers = itertools.count(1)


class Source:
    """Two schemas with the tables, and what has happened to them since the last look."""

    def __init__(self, postgres: Any) -> None:
        self.name = f"applied_{next(_numbers)}"
        postgres.create_database(self.name)
        self.connection = postgres.connect(self.name)
        for schema in ("a", "b"):
            self.run(
                f"create schema {schema}",
                f"create table {schema}.notes (id int primary key, n int, body text, raw bytea)",
                f"alter table {schema}.notes alter body set storage external, alter raw set storage external",
                f"create table {schema}.log (who text, score float8, n int)",
                f"alter table {schema}.log replica identity full",
            )
        self.run("create publication p for all tables")
        self.run(f"select pg_create_logical_replication_slot('{self.name}', 'pgoutput')")

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """The statements in one transaction; rows of the last."""
        with self.connection.transaction():
            for statement in statements:
                cursor = self.connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def changes(self, *, binary: bool = True) -> pa.Array:
        query = (
            "select data from pg_logical_slot_get_binary_changes(%s, null, null, 'proto_version', '1',"
            " 'publication_names', 'p', 'binary', %s)"
        )
        rows = self.connection.execute(query, [self.name, str(binary).lower()]).fetchall()
        return pa.array([bytes(row[0]) for row in rows], pa.large_binary())


class Raw:
    """The raw tables in a warehouse of their own."""

    def __init__(self, tables: Mapping[str, RawTable] = TABLES) -> None:
        self.tables = tables
        self.con = duckdb.connect()
        self.con.execute("set TimeZone = 'UTC'")
        for table in tables.values():
            land.ensure_table(self.con, table)

    def apply(self, changes: pa.Array, *, lenient: Collection[str] = ()) -> Applied:
        decoder = Decoder()

        def landing(relation: Relation) -> Target | None:
            table = self.tables.get(relation.name)
            return None if table is None else Target(table, f"db.{relation.schema}", lenient)

        applier = Applier(
            self.con,
            database="db",
            landing=landing,
            extracted_at=NOW,
        )
        for item in decoder.feed(changes):
            applier.add(item)
        applier.finish()
        return applier.applied

    def live(self, table: str, schema: str) -> list[tuple[Any, ...]]:
        columns = ", ".join(column.name for column in self.tables[table].columns)
        query = (
            f"select {columns} from raw_app.{table} where _ab_cdc_deleted_at is null and _airbyte_meta->>'origin' = ?"
        )
        return sorted(self.con.execute(query, [f"db.{schema}"]).fetchall(), key=repr)

    def assert_equal(self, source: Source, *schemas: str) -> None:
        for schema, (name, table) in itertools.product(schemas, self.tables.items()):
            columns = ", ".join(column.name for column in table.columns)
            expected = source.run(f"select {columns} from {schema}.{name}")
            assert list(map(repr, self.live(name, schema))) == sorted(map(repr, expected))
            count = f"select count(*), count(distinct _airbyte_raw_id) from {table.sql}"
            ((rows, ids),) = self.con.execute(count).fetchall()
            assert rows == ids


@pytest.fixture
def source(postgres: Any) -> Iterator[Source]:
    made = Source(postgres)
    yield made
    made.connection.execute("select pg_drop_replication_slot(%s)", [made.name])
    made.connection.close()


def long(letter: str) -> str:
    return f"repeat('{letter}', 5000)"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("portion", [1, apply._PORTION])
@pytest.mark.parametrize("binary", [True, False])
def test_rows_without_a_key_are_counted(
    source: Source, monkeypatch: pytest.MonkeyPatch, seed: int, portion: int, binary: bool
) -> None:
    monkeypatch.setattr(apply, "_PORTION", portion)
    chance, raw = random.Random(seed), Raw()
    value = lambda *values: chance.choice(values)  # noqa: E731
    for _ in range(3):
        for _ in range(20):
            schema = value("a", "a", "b")
            who, score, n = (
                value("'x'", "'y'", "null"),
                value("'nan'::float8", "0.5", "null::float8"),
                value("1", "2", "null"),
            )
            row = value(f"who is not distinct from {who}", f"score is not distinct from {score}", "n is null", "n > 1")
            source.run(
                *value(
                    [f"insert into {schema}.log select {who}, {score}, {n} from generate_series(1, {value(1, 3)})"],
                    [f"update {schema}.log set n = {n}, score = {score} where {row}"],
                    [
                        f"delete from {schema}.log where ctid in "
                        f"(select ctid from {schema}.log where {row} limit {value(1, 2)})"
                    ],
                    [f"insert into {schema}.log values ({who}, {score}, {n})", f"delete from {schema}.log where {row}"],
                    [f"update {schema}.log set who = who"],
                    [f"truncate {schema}.log"] if chance.random() < 0.2 else [f"delete from {schema}.log where n = 1"],
                )
            )
        raw.apply(source.changes(binary=binary))
        raw.assert_equal(source, "a", "b")
    wiped = "select count(*) from raw_app.log where _ab_cdc_deleted_at is not null and who is not null"
    assert raw.con.execute(wiped).fetchone() == (0,)


def test_a_change_of_a_keyless_table_that_does_not_tell_its_row_is_refused(source: Source) -> None:
    source.run("alter table a.log add primary key (who)", "alter table a.log replica identity default")
    source.run("insert into a.log values ('x', 1, 1)")
    for change in ("update a.log set n = 2", "delete from a.log"):
        source.run(change)
        with pytest.raises(TailraceError, match=r'alter table "a"\."log" replica identity full') as refused:
            Raw().apply(source.changes())
        assert "raw_app.log" in str(refused.value)
        source.changes()


def test_a_keyless_row_that_was_never_landed_cannot_go(source: Source) -> None:
    source.run("insert into a.log values ('secret', 1, 1)")
    source.changes()
    source.run("delete from a.log")
    with pytest.raises(MissingValueError, match="tailrace resnapshot --database db") as refused:
        Raw().apply(source.changes())
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("change", ["update a.notes set n = 2", "update a.notes set id = 2"])
@pytest.mark.parametrize("held", ["nothing", "deleted", "elsewhere"])
def test_a_value_that_nothing_has_is_an_error_and_never_null(source: Source, change: str, held: str) -> None:
    raw = Raw()
    source.run(f"insert into a.notes values (1, 1, {long('secret')}, null)")
    if held == "deleted":
        raw.apply(source.changes())
        source.run("delete from a.notes", f"insert into a.notes values (1, 1, {long('secret')}, null)")
        raw.con.execute("update raw_app.notes set _ab_cdc_deleted_at = now(), body = null")
    if held == "elsewhere":
        source.changes()
        source.run("insert into b.notes values (1, 7, 'other', null)")
        raw.apply(source.changes())
    source.changes()
    source.run(change)
    changes = source.changes()
    with pytest.raises(MissingValueError, match=r"raw_app\.notes\.body.*tailrace resnapshot --database db") as refused:
        raw.apply(changes)
    assert "secret" not in str(refused.value)
    raw = Raw()
    raw.apply(changes, lenient={"body"})
    assert [row[2] for row in raw.live("notes", "a")] == [None]


@pytest.mark.parametrize("portion", [1, apply._PORTION])
def test_values_that_are_not_repeated_come_from_earlier_portions_or_from_raw(
    source: Source, monkeypatch: pytest.MonkeyPatch, portion: int
) -> None:
    monkeypatch.setattr(apply, "_PORTION", portion)
    raw = Raw()
    for first in (1, 11):
        for number in range(first, first + 4):
            source.run(f"insert into a.notes values ({number}, 1, {long('x')}, decode({long('ab')}, 'hex'))")
        if first == 1:
            raw.apply(source.changes())
    source.run("update a.notes set n = 2 where id in (1, 11)")
    source.run("update a.notes set id = id + 100 where id in (2, 12)", "update a.notes set n = 3 where id > 100")
    source.run("update a.notes set id = id + 100 where id > 100", f"update a.notes set body = {long('y')} where id = 3")
    source.run("update a.notes set id = 203 where id = 3", "update a.notes set n = 4 where id = 203")
    source.run("delete from a.notes where id in (4, 14)")
    source.run("insert into a.notes values (4, 5, null, null)")
    raw.apply(source.changes())
    raw.assert_equal(source, "a")


def test_a_column_that_is_gone_or_not_wanted_leaves_what_was_landed(source: Source) -> None:
    raw = Raw()
    source.run("insert into a.notes select i, i, 'old', 'x' from generate_series(1, 3) i")
    raw.apply(source.changes())
    source.run("insert into a.notes values (4, 4, 'in between', 'x')")
    source.run("alter table a.notes drop column body, add column extra text default 'ignored'")
    source.run("update a.notes set n = 10 where id < 3", "update a.notes set id = 30 where id = 3")
    source.run("update a.notes set n = 40 where id = 4", "insert into a.notes values (5, 5, 'x', 'x')")
    raw.apply(source.changes())
    rows = [row[:3] for row in raw.live("notes", "a")]
    expected = [(1, 10, "old"), (2, 10, "old"), (30, 3, "old"), (4, 40, "in between"), (5, 5, None)]
    assert sorted(rows) == sorted(expected)


@pytest.mark.parametrize("binary", [True, False])
def test_what_does_not_fit_is_an_error_unless_it_is_copied_again(source: Source, binary: bool) -> None:
    narrow = {
        "notes": RawTable(
            "raw_app", "notes", (RawColumn("id", "INTEGER"), RawColumn("body", "DATE")), ("id",), frozenset()
        )
    }
    source.run("insert into a.notes values (1, 1, 'secret', null), (2, 2, '2026-01-02', null)")
    changes = source.changes(binary=binary)
    with pytest.raises(TailraceError, match=r"raw_app\.notes\.body") as refused:
        Raw(narrow).apply(changes)
    assert "secret" not in str(refused.value)
    raw = Raw(narrow)
    raw.apply(changes, lenient=["body"])
    assert [(number, str(day)) for number, day in raw.live("notes", "a")] == [(1, "None"), (2, "2026-01-02")]


def test_a_key_in_two_schemas_is_the_row_that_came_last(source: Source) -> None:
    raw = Raw()
    source.run("insert into a.notes values (1, 1, 'a', null), (2, 1, 'a', null)")
    raw.apply(source.changes())
    source.run("insert into b.notes values (1, 2, 'b', null)", "delete from a.notes where id = 1")
    source.run("delete from a.notes where id = 2", "insert into b.notes values (2, 2, 'b', null)")
    source.run("insert into b.notes values (3, 2, 'b', null)", "delete from b.notes where id = 3")
    source.run("insert into a.notes values (3, 1, 'a', null)", "delete from a.notes where id = 3")
    raw.apply(source.changes())
    raw.assert_equal(source, "a", "b")
    assert raw.con.execute("select count(*), count(distinct id) from raw_app.notes").fetchone() == (3, 3)


def test_a_value_of_thirty_megabytes_is_landed_whole(source: Source) -> None:
    raw = Raw()
    size = 30 * 1024 * 1024
    source.run(f"insert into a.notes values (1, 1, repeat('x', {size}), decode(repeat('ab', {size}), 'hex'))")
    source.run("update a.notes set n = 2", "insert into a.notes values (2, 1, '', '')")
    raw.apply(source.changes())
    query = "select n, length(body), octet_length(raw), md5(body), md5(raw) from raw_app.notes where id = 1"
    expected = source.run("select n, length(body), octet_length(raw), md5(body), md5(raw) from a.notes where id = 1")
    assert raw.con.execute(query).fetchall() == expected
