"""Raw equals source, whatever was written in between."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

from ingestion.land import RawColumn
from ingestion.postgres.connection import connect, flush_all

COLUMNS = "tenant_id, id, title, note, amount, cost, n, big, done, due_on, at, payload, ip, score"
PUBLISH = f"alter publication tailrace add table {{0}}.items ({COLUMNS}), {{0}}.members"
T1 = "00000000-0000-0000-0000-000000000001"
TOAST = "(select string_agg(md5(random()::text), '') from generate_series(1, 400))"


def item(schema: str, number: int, **values: str) -> str:
    """An insert; values are SQL."""
    columns = {"tenant_id": f"'{T1}'", "id": f"'{UUID(int=number)}'", **values}
    return f"insert into {schema}.items ({', '.join(columns)}) values ({', '.join(columns.values())})"


def where(number: int) -> str:
    return f"where id = '{UUID(int=number)}'"


def test_first_pass_lands_every_row_of_every_schema_and_database(product: Any) -> None:
    product.run(product.shared, item("app", 1), item("t_acme", 2), item("t_beta", 3, title="'x'"))
    product.run(product.silo, item("app", 4))
    reports = product.sync()
    product.assert_equal()
    assert {report.database: report.snapshotted for report in reports} == {product.shared: 3, product.silo: 1}


def test_second_pass_lands_the_changes_alone(product: Any) -> None:
    product.run(product.shared, item("app", 1))
    product.sync()
    product.run(product.shared, item("app", 2), item("t_acme", 3), f"delete from app.items {where(1)}")
    shared, silo = product.sync()
    product.assert_equal()
    assert (shared.snapshotted, shared.applied, shared.deleted, silo.applied) == (0, 3, 1, 0)
    assert shared.lag_bytes >= 0


def test_values_are_exact_in_snapshot_and_stream(product: Any) -> None:
    rows = [
        {},
        {"title": "''", "note": "E'tab\\there \\\\ \"quoted\" \u00fc \u4e2d'", "amount": "-0.01", "cost": "0.000001"},
        {"amount": "9999999999.99", "cost": "-999999.999999", "n": "-2147483648", "big": "-9223372036854775808"},
        {"n": "2147483647", "big": "9223372036854775807", "done": "true", "amount": "0", "cost": "10000.5"},
        {"due_on": "'infinity'", "at": "'infinity'", "done": "false", "amount": "12345678.9"},
        {"due_on": "'-infinity'", "at": "'-infinity'"},
        {"due_on": "'0044-03-15 BC'", "at": "'0044-03-15 12:34:56.789012+00 BC'"},
        {"due_on": "'9999-12-31'", "at": "'1969-12-31 23:59:59.999999+00'"},
        {"payload": '\'{"a": [1, null, "\\u00fc", 1.50], "b": {}}\'', "ip": "'10.1.2.3'"},
        {"payload": "'null'", "ip": "'10.1.2.0/24'", "score": "'nan'"},
        {"payload": "'\"text\"'", "ip": "'2001:db8::1'", "score": "'-infinity'"},
        {"ip": "'2001:db8::/32'", "score": "0.1"},
    ]
    product.run(product.shared, *(item("app", n, **row) for n, row in enumerate(rows)))
    product.sync()
    product.assert_equal()
    product.run(product.shared, *(item("t_acme", 100 + n, **row) for n, row in enumerate(rows)))
    product.sync()
    product.assert_equal()


def test_values_whose_binary_form_is_not_decoded_are_read_as_text(product: Any) -> None:
    product.sync()
    product.run(product.shared, item("app", 1, ip="'::ffff:10.0.0.1'", at="'0044-03-15 00:00:00+00 BC'", amount="1.5"))
    product.run(product.shared, item("app", 2, ip="'::5'", due_on="'0044-03-15 BC'", at="'infinity'", payload="'{}'"))
    product.run(product.shared, f"update app.items set due_on = '-infinity', done = true {where(1)}")
    product.sync()
    product.assert_equal()


def test_unchanged_toast_is_kept_through_updates_and_key_changes(product: Any) -> None:
    product.run(product.shared, *(item("app", n, note=TOAST, payload=f"to_jsonb({TOAST})") for n in range(1, 6)))
    product.sync()
    product.run(product.shared, f"update app.items set n = 1 {where(1)}")
    product.run(
        product.shared,
        f"update app.items set id = '{UUID(int=20)}' {where(2)}",
        f"update app.items set id = '{UUID(int=30)}' {where(20)}",
        f"update app.items set n = 7 {where(30)}",
    )
    product.run(
        product.shared,
        f"update app.items set note = {TOAST} {where(3)}",
        f"update app.items set id = '{UUID(int=31)}' {where(3)}",
        item("app", 3, note=TOAST),
        f"update app.items set n = 3 {where(3)}",
    )
    # A key that is left and taken again by another row, in one batch.
    product.run(product.shared, f"update app.items set id = '{UUID(int=40)}' {where(4)}")
    product.run(product.shared, f"update app.items set id = '{UUID(int=4)}' {where(5)}")
    product.run(product.shared, f"update app.items set n = 9 {where(40)}")
    product.run(product.shared, f"update app.items set n = 8, note = null {where(4)}")
    product.sync()
    product.assert_equal()


def test_many_events_on_one_key_in_one_batch(product: Any) -> None:
    product.run(product.shared, item("app", 1, title="'a'"))
    product.sync()
    product.run(
        product.shared,
        f"delete from app.items {where(1)}",
        item("app", 1, title="'b'"),
        f"update app.items set title = null {where(1)}",
        item("app", 2, title="'gone'", n="5"),
        f"delete from app.items {where(2)}",
    )
    product.sync()
    product.assert_equal()
    gone = f"select title, n, _ab_cdc_deleted_at is not null from raw_app.items {where(2)}"
    assert product.raw(gone) == [(None, 5, True)]


def test_deleted_rows_keep_their_other_values_and_no_personal_one(product: Any) -> None:
    product.run(product.shared, item("app", 1, title="'a'", note=TOAST, ip="'10.0.0.1'", n="5", amount="2.50"))
    product.sync()
    product.run(product.shared, f"delete from app.items {where(1)}")
    product.sync()
    product.assert_equal()
    kept = "select title, note, ip, n, amount::varchar, _airbyte_meta->>'origin', _ab_cdc_deleted_at is not null"
    origin = f"{product.shared}.app"
    assert product.raw(f"{kept} from raw_app.items") == [(None, None, None, 5, "2.50", origin, True)]


def test_truncate_marks_the_rows_of_its_own_schema_alone(product: Any) -> None:
    product.run(product.shared, item("app", 1), item("t_acme", 2), item("t_beta", 3))
    product.run(product.silo, item("app", 4))
    product.sync()
    product.run(product.shared, item("app", 5), "truncate app.items", item("app", 6), item("app", 1, n="1"))
    product.sync()
    product.assert_equal()
    live = "select count(*) from raw_app.items where _ab_cdc_deleted_at is null"
    assert product.raw(live) == [(5,)]


def test_composite_keys_change_part_by_part(product: Any) -> None:
    insert = (
        f"insert into app.members select '{T1}', s, u, 'reader' from generate_series(1, 3) s, generate_series(1, 3) u"
    )
    product.run(product.shared, insert)
    product.sync()
    product.run(product.shared, "update app.members set user_id = user_id + 10 where space_id = 1")
    product.run(product.shared, "update app.members set space_id = 9, role = 'owner' where user_id = 11")
    product.run(product.shared, "delete from app.members where space_id = 2 and user_id = 2")
    product.sync()
    product.assert_equal()


def test_a_tenant_that_moves_to_another_schema_or_database_is_landed_once(product: Any) -> None:
    product.run(product.shared, item("app", 1, n="1"), item("app", 2, n="2"), item("app", 3, n="3"))
    product.sync()
    product.run(product.shared, item("t_acme", 1, n="10"), f"delete from app.items {where(1)}")
    product.run(product.shared, f"delete from app.items {where(2)}", item("t_acme", 2, n="20"))
    product.run(product.silo, item("app", 3, n="30"))
    product.run(product.shared, f"delete from app.items {where(3)}")
    product.sync()
    product.assert_equal()


def test_only_contracted_columns_land(product: Any) -> None:
    product.run(product.shared, item("app", 1, secret="'hunter2'"))
    product.sync()
    product.run(product.shared, "alter table app.items add column iban text default 'DE00'", item("app", 2))
    product.sync()
    product.assert_equal()
    columns = {name for (name,) in product.raw("select column_name from (describe raw_app.items)")}
    assert not columns & {"secret", "iban"}


def test_a_schema_made_between_passes_joins(product: Any) -> None:
    product.run(product.shared, item("app", 1))
    product.sync()
    product.create_schema(product.shared, "t_late")
    product.schemas[product.shared].append("t_late")
    product.run(product.shared, item("t_late", 2), item("app", 3))
    product.sync()
    product.assert_equal()


def test_rows_older_than_their_publication_are_copied_when_it_comes(product: Any) -> None:
    product.create_schema(product.shared, "t_late", publish=False)
    product.run(product.shared, item("t_late", 2), item("t_late", 3), item("app", 1))
    product.sync()
    product.run(product.shared, f"delete from t_late.items {where(3)}", f"delete from app.items {where(1)}")
    product.run(product.shared, PUBLISH.format("t_late"))
    product.schemas[product.shared].append("t_late")
    product.run(product.shared, item("t_late", 4, note=TOAST), f"update t_late.items set n = 4 {where(2)}")
    product.run(product.shared, f"update t_late.items set n = 5 {where(4)}")
    product.sync()
    product.assert_equal()


def test_a_column_that_joins_the_contract_gets_its_values_for_the_rows_that_exist(product: Any) -> None:
    product.run(product.shared, item("app", 1), item("app", 2), item("t_acme", 3))
    product.sync()
    product.run(product.shared, f"delete from app.items {where(2)}")
    members, items = product.tables[1], product.tables[0]
    product.tables = (replace(items, columns=(*items.columns, RawColumn("plan", "VARCHAR"))), members)
    for database, schemas in product.schemas.items():
        for schema in schemas:
            product.run(
                database,
                f"alter table {schema}.items add column plan text default 'growth'",
                f"grant select (plan) on {schema}.items to cdc",
                f"alter publication tailrace drop table {schema}.items, {schema}.members",
            )
            product.run(database, PUBLISH.format(schema).replace("score)", "score, plan)"))
    product.run(product.shared, item("app", 4, plan="'starter'"))
    product.sync()
    product.assert_equal()
    deleted = f"select plan, _ab_cdc_deleted_at is not null from raw_app.items {where(2)}"
    assert product.raw(deleted) == [(None, True)]


def test_two_passes_at_once_take_turns(product: Any) -> None:
    product.run(product.shared, item("app", 1), item("app", 2))
    with ThreadPoolExecutor() as pool:
        reports = [future.result() for future in [pool.submit(product.sync) for _ in range(2)]]
    product.assert_equal()
    assert sorted(report[0].snapshotted for report in reports) == [0, 2]


def test_a_row_filter_of_the_publication_holds_for_the_snapshot_too(product: Any) -> None:
    product.run(product.shared, "alter publication tailrace drop table t_beta.members")
    product.run(product.shared, "alter publication tailrace add table t_beta.members where (space_id > 1)")
    product.run(product.shared, f"insert into t_beta.members values ('{T1}', 1, 1, 'x'), ('{T1}', 2, 1, 'x')")
    product.sync()
    assert product.raw("select space_id from raw_app.members") == [(2,)]


def test_an_idle_pass_changes_nothing(product: Any) -> None:
    product.run(product.shared, item("app", 1))
    product.sync()
    before = product.raw("select _airbyte_raw_id from raw_app.items")
    assert [(report.snapshotted, report.applied) for report in product.sync()] == [(0, 0), (0, 0)]
    assert product.raw("select _airbyte_raw_id from raw_app.items") == before


def test_batches_of_one_transaction_each_end_the_same(product: Any) -> None:
    product.sync()
    for number in range(1, 6):
        product.run(product.shared, item("app", number, note=TOAST))
        product.run(product.shared, f"update app.items set n = {number} {where(number)}")
    product.run(product.shared, f"delete from app.items {where(2)}")
    report = product.sync(batch_messages=1)[0]
    product.assert_equal()
    assert report.applied == 11


def test_the_stream_never_ends_inside_a_record_that_is_not_flushed_yet(product: Any) -> None:
    """A reader would wait for the rest of it, for as long as the server has nothing else to write."""
    product.sync()
    flushed = "select pg_current_wal_flush_lsn() >= %s::pg_lsn"  # others may write in between: up to here, that is
    with (
        connect(product.settings.sources.postgres.dsn) as ours,
        product.server.connect(product.shared) as theirs,
    ):
        theirs.execute("set synchronous_commit = off")
        for number in range(200):
            theirs.execute(item("app", number, title=f"repeat('x', {number})"))
            (written,) = theirs.execute("select pg_current_wal_insert_lsn()::text").fetchone()
            flush_all(ours)
            assert ours.execute(flushed, [written]).fetchone() == (True,)
    product.sync()
    product.assert_equal()
