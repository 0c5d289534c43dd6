"""Continuous capture lands what commits as it commits, whatever happens to it or to the source."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ingestion.postgres import Follower, follow
from ingestion.postgres.connection import copies_prefix
from ingestion.postgres.position import Position
from settings import TailraceError
from warehouse import open_warehouse, transaction

TENANT = "00000000-0000-0000-0000-000000000001"
_CHILD = """
import pickle, sys
from ingestion.postgres import Follower
from settings import load_settings
from warehouse import open_warehouse
settings = load_settings()
(tables,) = pickle.load(open(sys.argv[1], "rb"))
with Follower(settings, open_warehouse(settings), tables=tables) as follower:
    follower.run(report=lambda report: print(report.lsn, flush=True))
"""


def add(product: Any, schema: str, first: int, last: int, *, database: str | None = None) -> None:
    product.run(
        database or product.shared,
        f"insert into {schema}.items (tenant_id, id, title, n) "
        f"select '{TENANT}', md5(i::text)::uuid, 'title', i from generate_series({first}, {last}) i",
    )


def live(product: Any, condition: str = "true") -> int:
    return product.raw(f"select count(*) from raw_app.items where _ab_cdc_deleted_at is null and {condition}")[0][0]


def eventually(holds: Callable[[], bool]) -> None:
    """Wait for it, far longer than it should take; a wait that ends in vain is a failure."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def following(product: Any) -> Iterator[list[str]]:
    """A follower at work in a thread of its own, while the block runs; the list is what it said."""
    stop, said, failures = threading.Event(), [], []

    def work() -> None:
        try:
            with Follower(product.settings, product.warehouse, tables=product.tables, progress=said.append) as follower:
                follower.run(stop=stop.is_set)
        except TailraceError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield said
    finally:
        stop.set()
        thread.join(60)
        assert failures == []
    assert not thread.is_alive()


def test_what_commits_while_following_becomes_visible(product: Any) -> None:
    add(product, "app", 1, 20)
    with following(product):
        eventually(lambda: product.settings.warehouse_path.exists() and live(product) == 20)
        for number in range(30, 35):
            add(product, "t_acme", number, number)
            eventually(lambda number=number: live(product, f"n = {number}") == 1)
        product.run(product.shared, "delete from app.items where n < 5")
        add(product, "app", 900, 905, database=product.silo)
        eventually(lambda: live(product) == 16 + 5 + 6)
    product.assert_equal()


def test_a_look_without_news_makes_no_pass(product: Any) -> None:
    with Follower(product.settings, product.warehouse, tables=product.tables) as follower:
        while follower.step():  # the first pass, and what the server writes after it
            pass
        assert follower.step() == []


def test_what_landing_leaves_of_replaced_rows_is_compacted_now_and_then(
    product: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    compacted = "select count(*) from duckdb_tables() where schema_name = 'tailrace' and table_name = 'compacted'"
    with Follower(product.settings, product.warehouse, tables=product.tables) as follower:
        add(product, "app", 1, 5)
        while follower.step():
            pass
        add(product, "app", 6, 9)
        follower.step()
        assert product.raw(compacted) == [(0,)]
        monkeypatch.setattr(follow, "COMPACT_SECONDS", 0.0)
        add(product, "app", 10, 12)
        follower.step()
        assert product.raw(compacted) == [(1,)]
    product.assert_equal()


def test_a_killed_follower_loses_and_doubles_nothing(product: Any) -> None:
    add(product, "app", 1, 50)
    for round_number in range(3):
        child = subprocess.Popen(
            product.child(_CHILD, product.tables), env=product.child_environment(), stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        for number in range(5):
            first = 1000 * round_number + 100 * number + 100
            add(product, "app", first, first + 20)
            product.run(product.shared, f"update app.items set note = 'x', n = -n where n = {first + 3}")
            if number == 2:
                child.stdout.readline()  # it is at work
        child.send_signal(signal.SIGKILL)
        child.wait(30)
        product.run(product.shared, f"delete from app.items where n = {1000 * round_number + 105}")
    product.sync()
    product.assert_equal()


def test_a_source_that_goes_away_is_waited_for(product: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "RETRY_SECONDS", (0.05, 0.1))
    add(product, "app", 1, 5)
    with following(product) as said:
        eventually(lambda: product.settings.warehouse_path.exists() and live(product) == 5)
        product.server.kill()
        eventually(lambda: any("trying again" in line for line in said))
        product.server.start()
        add(product, "t_beta", 10, 14)
        eventually(lambda: live(product) == 10)
    product.assert_equal()


def test_a_source_that_was_away_for_a_moment_is_followed_on(product: Any) -> None:
    add(product, "app", 1, 5)
    with following(product):
        eventually(lambda: product.settings.warehouse_path.exists() and live(product) == 5)
        for first in (10, 20):
            product.run("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'cdc'")
            add(product, "app", first, first + 4)
            eventually(lambda first=first: live(product) == first // 2 + 5)
    product.assert_equal()


def test_passes_of_others_take_turns_with_a_follower(product: Any) -> None:
    with following(product):
        for number in range(0, 100, 10):
            add(product, "app", number, number + 9)
            product.sync()
            assert live(product) == number + 10
    product.assert_equal()


def test_one_copy_of_a_slot_lasts_from_pass_to_pass_and_goes_with_the_follower(product: Any) -> None:
    query = (
        "select slot_name::text from pg_replication_slots "
        f"where database = current_database() and starts_with(slot_name, '{copies_prefix()}')"
    )

    def copies() -> list[Any]:
        return product.run(product.shared, query)

    with Follower(product.settings, product.warehouse, tables=product.tables) as follower:
        seen = []
        for number in range(5):
            add(product, "app", number, number)
            follower.step()
            seen.append(copies())
        assert len(seen[1]) == 1
        assert seen[1:] == [seen[1]] * 4
    eventually(lambda: copies() == [])
    product.assert_equal()


def test_what_another_writer_did_to_the_warehouse_between_two_passes_counts(product: Any) -> None:
    add(product, "app", 1, 5)
    other = open_warehouse(product.settings)
    with Follower(product.settings, product.warehouse, tables=product.tables) as follower:
        while follower.step():
            pass
        with other.writer("a test") as con, transaction(con):
            Position.forget(con, product.shared)
            con.execute("drop table raw_app.items")
        add(product, "app", 6, 6)
        (report,) = [each for each in follower.step() if each.database == product.shared]
        assert report.snapshotted == 6
    assert live(product) == 6


def test_schemas_and_databases_that_appear_are_picked_up(product: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "LOOK_ANEW_SECONDS", 0.2)
    add(product, "app", 1, 5)
    with following(product):
        product.create_schema(product.shared, "t_late")
        product.schemas[product.shared].append("t_late")
        add(product, "t_late", 10, 14)
        eventually(lambda: product.settings.warehouse_path.exists() and live(product) == 10)
        silo = product.create_silo("late")
        add(product, "app", 20, 24, database=silo)
        eventually(lambda: live(product) == 15)
    product.assert_equal()


def test_a_stream_that_cannot_go_on_ends_the_follower_in_one_line(product: Any) -> None:
    product.sync()
    product.run(product.shared, f"select pg_drop_replication_slot('{product.slot(product.shared)}')")
    deadline = time.monotonic() + 60
    with (
        pytest.raises(TailraceError, match="gone"),
        Follower(product.settings, product.warehouse, tables=product.tables) as follower,
    ):
        follower.run(stop=lambda: time.monotonic() > deadline)
