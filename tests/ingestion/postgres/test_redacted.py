"""Capture lands texts redacted by every way: the first copy, changes, what they do not repeat, rows without a key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ingestion import redacting
from ingestion.postgres import sync
from settings import Redaction

TENANT = "00000000-0000-0000-0000-000000000001"
KEYS = [f"00000000-0000-0000-0000-0000000000a{number}" for number in range(3)]
SAID, LANDS = "ask bob@example.com", "ask [email]"


def test_captured_texts_land_redacted_and_changes_find_their_rows(product: Any) -> None:
    items, members = product.tables
    tables = (
        replace(items, redacted=frozenset({"note"})),
        replace(members, key=(), redacted=frozenset({"role"})),  # whose rows are known by all that they hold
    )
    warehouse = product.warehouse
    redacting.prepare(warehouse, Redaction(at_landing="presidio"))
    database = product.shared
    for each, schemas in product.schemas.items():
        product.run(each, *(f"alter table {schema}.members replica identity full" for schema in schemas))
    product.run(
        database,
        "alter table app.items alter note set storage external",
        f"insert into app.items (tenant_id, id, title, note) values ('{TENANT}', '{KEYS[0]}', '{SAID}', '{SAID}')",  # noqa: S608
        f"insert into app.members values ('{TENANT}', 1, 1, '{SAID}'), ('{TENANT}', 1, 2, '{SAID}')",  # noqa: S608
    )
    sync(product.settings, warehouse, tables=tables)
    long = f"{SAID}, " * 400
    product.run(
        database,
        f"insert into app.items (tenant_id, id, note) values ('{TENANT}', '{KEYS[1]}', '{long}')",  # noqa: S608
    )
    sync(product.settings, warehouse, tables=tables)
    product.run(
        database,
        f"update app.items set n = 1 where id = '{KEYS[1]}'",  # noqa: S608  a text out of line is not repeated
        f"update app.items set id = '{KEYS[2]}' where id = '{KEYS[1]}'",  # noqa: S608
        f"update app.items set note = null where id = '{KEYS[0]}'",  # noqa: S608
        "update app.members set role = 'bob@example.com' where user_id = 1",
        "delete from app.members where user_id = 2",
    )
    sync(product.settings, warehouse, tables=tables)
    live = "_ab_cdc_deleted_at is null"
    assert product.raw(f"select id::varchar, title, note, n from raw_app.items where {live} order by id") == [  # noqa: S608
        (KEYS[0], SAID, None, None),
        (KEYS[2], None, f"{LANDS}, " * 400, 1),
    ]
    assert product.raw(f"select user_id, role from raw_app.members where {live}") == [(1, "[email]")]  # noqa: S608
