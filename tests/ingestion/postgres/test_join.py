"""A table joins while the others go on: its copy is brought to the very point of the stream that raw shows."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ingestion.postgres.snapshot import Snapshot

TENANT = "00000000-0000-0000-0000-000000000001"
LARGE = "(select string_agg(md5('large.' || i), '') from generate_series(1, 300) i)"


def add(product: Any, schema: str, first: int, last: int) -> None:
    product.run(
        product.shared,
        f"insert into {schema}.items (tenant_id, id, title, note, n) select '{TENANT}', md5(i::text)::uuid, 'title', "
        f"{LARGE}, i from generate_series({first}, {last}) i",
        f"insert into {schema}.members select '{TENANT}', 1, i, 'r' from generate_series({first}, {last}) i",
    )


def write_on(product: Any) -> None:
    """Changes of every kind, to the table that joins and to one that was there."""
    product.run(
        product.shared,
        "update t_late.items set n = -n where n between 10 and 20",
        "update t_late.items set id = md5('moved')::uuid where n = 30",
        "delete from t_late.items where n between 40 and 45",
        "update app.items set title = 'later'",
    )
    add(product, "t_late", 1001, 1010)
    add(product, "app", 2001, 2010)


@pytest.fixture
def joining(product: Any) -> Any:
    """A product that is captured, and a schema that was filled since."""
    add(product, "app", 1, 5)
    product.sync()
    product.create_schema(product.shared, "t_late")
    product.schemas[product.shared].append("t_late")
    add(product, "t_late", 10, 60)
    return product


def between(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Let it happen when a copy has been read, before the stream of the others goes on."""
    copy = Snapshot.copy

    def copied(self: Snapshot, *arguments: Any, meanwhile: Callable[[], None], **options: Any) -> Any:
        result = copy(self, *arguments, meanwhile=lambda: None, **options)
        happens()
        meanwhile()
        return result

    monkeypatch.setattr(Snapshot, "copy", copied)


def test_a_stream_that_passes_a_copy_is_caught_up_with(joining: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def happens() -> None:
        write_on(joining)
        seen.append(1)

    between(monkeypatch, happens)
    joining.sync()
    joining.assert_equal()
    assert seen
    monkeypatch.undo()
    joining.run(joining.shared, "update t_late.items set n = 7 where n < 0", "delete from t_late.members")
    joining.sync()
    joining.assert_equal()


def test_killed_when_the_copy_was_brought_up_the_next_pass_ends_it(joining: Any) -> None:
    program = """
import pickle, sys
from ingestion.postgres import sync
from ingestion.postgres.snapshot import Snapshot
from settings import load_settings
from warehouse import open_warehouse
import psycopg
tables, dsn, statements = pickle.load(open(sys.argv[1], "rb"))
copy = Snapshot.copy
def copied(self, *arguments, meanwhile, **options):
    result = copy(self, *arguments, meanwhile=lambda: None, **options)
    with psycopg.connect(dsn) as connection:
        for statement in statements:
            connection.execute(statement)
    meanwhile()
    return result
Snapshot.copy = copied
settings = load_settings()
sync(settings, open_warehouse(settings), tables=tables)
"""
    import subprocess

    statements = [
        "update t_late.items set n = -n where n between 10 and 20",
        "update t_late.items set id = md5('moved')::uuid where n = 30",
        "delete from t_late.items where n between 40 and 45",
        "update app.items set title = 'later'",
    ]
    child = subprocess.run(
        joining.child(program, joining.tables, joining.server.superuser_dsn(joining.shared), statements),
        env=joining.child_environment() | {"TAILRACE_FAILPOINT": "before_snapshot_commit"},
        capture_output=True,
        timeout=120,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    write_on(joining)
    joining.sync()
    joining.assert_equal()


def test_a_table_without_a_key_that_is_made_anew_alone_has_each_row_once(product: Any) -> None:
    """Nothing else is captured that would bring the position to the copy: what the copy shows is not landed again."""
    product.tables = (replace(product.tables[1], key=()),)
    make = (
        "create table app.members (tenant_id uuid, space_id int, user_id int, role text)",
        "alter table app.members replica identity full",
        "grant select on app.members to cdc",
        "alter publication tailrace add table app.members",
    )
    row = f"insert into app.members values ('{TENANT}', 1, 1, 'r')"
    for schema in ("t_acme", "t_beta"):
        product.run(product.shared, f"drop table {schema}.members")
        product.schemas[product.shared].remove(schema)
    product.run(product.silo, "drop table app.members", *make)
    product.run(product.shared, "drop table app.members", *make, row)
    product.sync()
    product.assert_equal()
    product.run(product.shared, "drop table app.members", *make, row, row)
    product.run(product.shared, "delete from app.members where ctid = '(0,1)'", row)
    product.sync()
    product.assert_equal()
    product.sync()
    product.assert_equal()
