"""What cannot be captured whole is refused in one line with its remedy, before anything is lost."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ingestion.land import RawColumn
from ingestion.postgres.slots import slot_name
from settings import TailraceError

TENANT = "00000000-0000-0000-0000-000000000001"
INSERT = f"insert into app.items (tenant_id, id, title) values ('{TENANT}', gen_random_uuid(), 'jane@example.com')"


def refusal(product: Any) -> str:
    with pytest.raises(TailraceError) as caught:
        product.sync()
    text = str(caught.value)
    assert "\n" not in text
    assert ";" in text
    assert "jane@example.com" not in text
    return text


def test_a_slot_that_is_gone_is_not_silently_copied_anew(product: Any) -> None:
    product.run(product.shared, INSERT)
    product.sync()
    product.run(product.shared, f"select pg_drop_replication_slot('{product.slot(product.shared)}')")
    assert "is gone" in refusal(product)
    assert product.raw("select count(*) from raw_app.items") == [(1,)]


def test_a_slot_that_someone_else_advanced_is_refused(product: Any) -> None:
    product.sync()
    product.run(product.shared, INSERT)
    slot = product.slot(product.shared)
    product.run(product.shared, f"select pg_replication_slot_advance('{slot}', pg_current_wal_flush_lsn())")
    assert "by someone else" in refusal(product)


def test_a_source_behind_what_was_landed_is_refused(product: Any) -> None:
    product.sync()
    with product.warehouse.writer("test") as con:
        con.execute('update tailrace.positions set position = json_merge_patch(position, \'{"lsn": "FFFF/0"}\')')
    assert "is behind" in refusal(product)


def test_another_cluster_under_the_same_name_is_refused(product: Any) -> None:
    product.sync()
    with product.warehouse.writer("test") as con:
        con.execute('update tailrace.positions set position = json_merge_patch(position, \'{"system": "1"}\')')
    assert "another PostgreSQL cluster" in refusal(product)


def test_a_deleted_position_copies_the_database_anew(product: Any) -> None:
    product.run(product.shared, INSERT, INSERT)
    product.sync()
    product.run(product.shared, f"select pg_drop_replication_slot('{product.slot(product.shared)}')")
    product.run(product.shared, "delete from app.items where ctid = '(0,1)'", INSERT)
    with product.warehouse.writer("test") as con:
        con.execute("delete from tailrace.positions where stream = ?", [product.shared])
    product.sync()
    product.assert_equal()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("drop publication tailrace", "publication tailrace does not exist"),
        ("revoke usage on schema t_acme from cdc", 'grant usage on schema "t_acme"'),
        ("revoke select on app.members from cdc", 'grant select ("tenant_id"'),
        ("drop policy cdc_reads on app.items", "create policy"),
        ("alter policy cdc_reads on app.items using (n > 1)", "create policy"),
        ("create policy less on app.items as restrictive for select using (n > 1)", "row-level security"),
        ("alter table app.members replica identity nothing", "replica identity"),
        ("alter table app.members drop constraint members_pkey", "replica identity"),
        ("alter publication tailrace set table app.items (tenant_id, id), app.members", "has no column title"),
        (
            "alter publication tailrace drop table app.items, app.members, t_acme.items, t_acme.members, "
            "t_beta.items, t_beta.members",
            "has no contracted table",
        ),
        (
            "alter table app.members alter column role type varchar(9), alter column space_id type bigint",
            "does not fit",
        ),
    ],
)
def test_what_hides_rows_or_values_is_named_before_the_snapshot(product: Any, damage: str, says: str) -> None:
    product.run(product.shared, INSERT)
    product.run(product.shared, damage)
    assert says in refusal(product)
    assert (
        product.raw("select count(*) from raw_app.items") == [(0,)]
        if product.settings.warehouse_path.exists()
        else True
    )
    slots = product.run(product.shared, f"select 1 from pg_replication_slots where database = '{product.shared}'")
    assert slots == []


def test_a_role_without_replication_is_named(product: Any) -> None:
    product.run("postgres", "alter role cdc noreplication")
    try:
        assert "alter role" in refusal(product)
    finally:
        product.run("postgres", "alter role cdc replication")


def test_an_unreachable_server_is_one_line(product: Any) -> None:
    config = product.config.read_text()
    product.config.write_text(config.replace(f":{product.server.port}/", ":9/"))
    assert "not reachable" in refusal(product)
    product.config.write_text(config)


def test_a_value_that_the_raw_type_cannot_hold_is_refused_without_showing_it(product: Any) -> None:
    product.sync()
    product.run(
        product.shared, f"insert into app.items (tenant_id, id, amount) values ('{TENANT}', gen_random_uuid(), 'nan')"
    )
    assert "raw_app.items.amount" in refusal(product)
    product.run(product.shared, "update app.items set amount = 1")
    text = RawColumn("amount", "VARCHAR")
    items = product.tables[0]
    product.tables = (
        replace(items, name="items", columns=tuple(text if c.name == "amount" else c for c in items.columns)),
    )
    product.sync()
    product.assert_equal()


def test_slot_names_are_legal_and_distinct_for_any_database() -> None:
    names = ["product_us", "Product_us", "product-us", "p" * 63, "p" * 62 + "q", "\u00fcber"]
    slots = [slot_name("tailrace", name) for name in names]
    assert slots[0] == "tailrace_product_us"
    assert len(set(slots)) == len(names)
    for slot in slots:
        assert len(slot) <= 63
        assert set(slot) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
