"""The decoder gives the same changes however the stream is cut into batches, and from either form of the values."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from ingestion.postgres.pgoutput import Changes, Decoder, Truncation

SETUP = (
    "create schema app",
    "create table app.a (id int primary key, note text, amount numeric(8, 2), at timestamptz, ip inet, ok boolean)",
    "create table app.b (x int, y int, z text, primary key (x, y))",
    "create publication p for table app.a, app.b",
)
TRANSACTIONS = (
    (
        "insert into app.a select i, repeat(md5(i::text), 300), -i / 7.0, 'epoch', '10.0.0.1', true"
        " from generate_series(1, 9) i",
    ),
    (
        "insert into app.b values (1, 1, null), (1, 2, 'z')",
        "update app.a set ok = null where id < 3",
        "delete from app.b",
    ),
    ("alter table app.b add column w int default 5", "insert into app.b values (7, 7, 'seven', 8)"),
    ("update app.a set id = id + 100 where id > 7", "truncate app.b", "insert into app.b values (3, 3, '', null)"),
    ("update app.b set z = 'changed'", "delete from app.a where id = 4"),
)


@pytest.fixture(scope="module")
def streams(postgres: Any) -> dict[str, list[bytes]]:
    """The messages of one history, in binary form (true) and text form (false)."""
    postgres.create_database("decoder")
    with postgres.connect("decoder") as connection:
        for statement in SETUP:
            connection.execute(statement)
        connection.execute("alter table app.a alter column note set storage external")
        connection.execute("select pg_create_logical_replication_slot('decoder', 'pgoutput', true)")
        for statements in TRANSACTIONS:
            with connection.transaction():
                for statement in statements:
                    connection.execute(statement)
        peek = (
            "select data from pg_logical_slot_peek_binary_changes('decoder', null, null, 'proto_version', '1',"
            " 'publication_names', 'p', 'binary', %s)"
        )
        return {form: [bytes(row[0]) for row in connection.execute(peek, [form])] for form in ("true", "false")}


def decode(messages: list[bytes], *, cut: int) -> list[tuple[Any, ...]]:
    """Every change as plain values, in stream order."""
    decoder, found = Decoder(), []
    for start in range(0, len(messages), cut):
        for item in decoder.feed(pa.array(messages, pa.binary())[start : start + cut]):
            if isinstance(item, Truncation):
                found.append((item.relation.name, "truncate", item.lsn, item.at))
                continue
            found += list(_rows(item))
    assert decoder.messages == len(messages)
    return [*sorted(row for row in found if row[1] != "truncate"), *(row for row in found if row[1] == "truncate")]


def _rows(item: Changes) -> Any:
    moved = {int(index): place for place, index in enumerate(item.moved)}
    for index, row in enumerate(item.rows.to_pylist()):
        values = {name: str(value) for name, value in row.items() if not name.startswith("_")}
        unchanged = [name for name, mask in item.unchanged.items() if mask[index]]
        key = [c.name for c in item.relation.columns if c.name in ("id", "x", "y")]
        old = {name: str(item.old[name][moved[index]]) for name in key} if index in moved else {}
        control = (row["_op"], row["_seq"], row["_ab_cdc_lsn"], str(row["_ab_cdc_updated_at"]))
        yield (item.relation.name, *control, repr(values), repr(unchanged), repr(old))


@pytest.mark.parametrize("form", ["true", "false"])
def test_batches_cut_anywhere_decode_to_the_same_changes(streams: dict[str, list[bytes]], form: str) -> None:
    whole = decode(streams[form], cut=len(streams[form]))
    operations = {row[1] for row in whole}
    assert operations == {"I", "U", "D", "truncate"}
    for cut in (1, 2, 3, 7, 11):
        assert decode(streams[form], cut=cut) == whole


def test_both_forms_tell_of_the_same_rows(streams: dict[str, list[bytes]]) -> None:
    binary, text = (decode(streams[form], cut=5) for form in ("true", "false"))
    assert [row[:5] for row in binary] == [row[:5] for row in text]


def test_values_not_sent_again_are_flagged_and_former_keys_given(streams: dict[str, list[bytes]]) -> None:
    rows = decode(streams["true"], cut=4)
    assert sum("'note'" in row[6] for row in rows if row[1] == "U") == 2 + 2  # two updates in place, two moved keys
    assert sorted(row[7] for row in rows if row[1] == "U" and row[7] != "{}") == ["{'id': '8'}", "{'id': '9'}"]
