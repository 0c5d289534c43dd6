"""Reading ahead: what goes wrong on either side ends both, and leaves nothing behind."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

import errno
import itertools
import os
import threading
from typing import Any

import pytest

from ingestion.postgres import apply, prefetch, stream
from settings import TailraceError

T1 = "00000000-0000-0000-0000-000000000001"


def add(product: Any, first: int, last: int, *, width: int = 0) -> None:
    """Rows in one transaction, their titles as wide as told."""
    product.run(
        product.shared,
        "insert into app.items (tenant_id, id, title, n) "
        f"select '{T1}', md5(i::text)::uuid, repeat('x', {width}), i from generate_series({first}, {last}) i",
    )


def assert_nothing_left(product: Any) -> None:
    """No thread reads, and no temporary slot or session of ours stands at the server."""
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]
    with product.server.connect() as connection:
        for _ in range(200):  # the server ends a session a moment after its client
            left = connection.execute(
                "select count(*) from pg_replication_slots where temporary "
                "union all select count(*) from pg_stat_activity where usename = 'cdc'"
            ).fetchall()
            if left == [(0,), (0,)]:
                return
            connection.execute("select pg_sleep(0.02)")
    raise AssertionError(left)


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many portions, calls and waits, as a stream a thousand times larger has."""
    monkeypatch.setattr(apply, "_PORTION", 200_000)
    monkeypatch.setattr(prefetch, "_AHEAD", 100_000)
    monkeypatch.setattr(prefetch, "_SPOOL", 3_000_000)
    monkeypatch.setattr(prefetch, "_LEAST", 100)


@pytest.mark.usefixtures("small_portions")
@pytest.mark.parametrize("batch_messages", [50, pytest.param(100_000, marks=pytest.mark.operations)])
def test_one_transaction_larger_than_everything_lands_whole(product: Any, batch_messages: int) -> None:
    product.sync()
    add(product, 1, 40_000, width=1_000)
    add(product, 50_000, 50_100)
    product.run(
        product.shared,
        "update app.items set n = -n where n % 3 = 0",
        "delete from app.items where n % 5 = 0",
        "update app.items set id = md5('x' || n)::uuid where n % 7 = 0",
    )
    product.sync(batch_messages=batch_messages)
    product.assert_equal()
    assert_nothing_left(product)


@pytest.mark.usefixtures("small_portions")
def test_a_disk_without_room_for_what_waits_loses_nothing(product: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    product.sync()
    add(product, 1, 20_000, width=1_000)
    write, outcomes = os.pwrite, itertools.cycle(["whole", "half", "none"])
    seen = set()

    def writing(descriptor: int, content: memoryview, offset: int) -> int:
        reading = threading.current_thread().name == "prefetch"
        seen.add(outcome := next(outcomes) if reading else "whole")
        if outcome == "none":
            raise OSError(errno.ENOSPC, "no space left on device")
        return write(descriptor, content if outcome == "whole" else content[: len(content) // 2], offset)

    monkeypatch.setattr(os, "pwrite", writing)
    product.sync()
    assert seen == {"whole", "half", "none"}
    product.assert_equal()


@pytest.mark.usefixtures("small_portions")
@pytest.mark.parametrize(
    "failure",
    [TailraceError, *(pytest.param(each, marks=pytest.mark.operations) for each in (KeyboardInterrupt, MemoryError))],
)
def test_a_failure_in_landing_ends_the_reading(
    product: Any, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    product.sync()
    add(product, 1, 20_000, width=2_000)
    fails = iter([False, False, True])
    land_events = apply.land_events  # type: ignore[attr-defined]

    def failing(*arguments: Any, **options: Any) -> Any:
        if next(fails, False):
            raise failure("landing")
        return land_events(*arguments, **options)

    monkeypatch.setattr(apply, "land_events", failing)
    with pytest.raises(failure, match="landing"):
        product.sync()
    assert_nothing_left(product)
    product.sync()
    product.assert_equal()


def test_an_interrupt_while_the_server_decodes_ends_it(product: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    product.sync()
    add(product, 1, 100_000)
    wait = prefetch.Prefetch.wait

    def interrupted(self: prefetch.Prefetch, seconds: float | None = None) -> bool:
        wait(self, 0.05)
        raise KeyboardInterrupt

    monkeypatch.setattr(prefetch.Prefetch, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        product.sync()
    assert_nothing_left(product)
    monkeypatch.undo()
    product.sync()
    product.assert_equal()


@pytest.mark.usefixtures("small_portions")
def test_a_session_that_the_server_ends_is_an_error_of_one_line(product: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    product.sync()
    add(product, 1, 20_000, width=2_000)
    ended: list[bool] = []
    land_events = apply.land_events  # type: ignore[attr-defined]

    def ending(*arguments: Any, **options: Any) -> Any:
        if not ended:
            with product.server.connect() as connection:
                connection.execute("select pg_terminate_backend(active_pid) from pg_replication_slots where temporary")
            ended.append(True)
        return land_events(*arguments, **options)

    monkeypatch.setattr(apply, "land_events", ending)
    with pytest.raises(TailraceError) as failure:
        product.sync()
    assert "\n" not in str(failure.value)
    assert_nothing_left(product)
    product.sync()
    product.assert_equal()


def test_a_fallback_to_text_goes_on_where_the_commits_are(product: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slot itself lags behind what was committed: changes must not come twice."""
    product.sync()
    for number in range(6):
        add(product, 10 * number, 10 * number + 9)
    add(product, 100, 100)
    product.run(product.shared, "update app.items set ip = '::ffff:10.0.0.1' where n = 100")
    reports = product.sync(batch_messages=10)
    product.assert_equal()
    assert reports[0].applied == 62


def test_the_lease_goes_round_when_a_turn_is_over(product: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_TURN", 0.0)
    product.sync()
    for number in range(5):
        add(product, 10 * number, 10 * number + 9)
    opened: list[str] = []
    writer = type(product.warehouse).writer
    monkeypatch.setattr(
        type(product.warehouse),
        "writer",
        lambda self, purpose, **options: (opened.append(purpose), writer(self, purpose, **options))[1],
    )
    product.sync(batch_messages=10)
    product.assert_equal()
    assert opened.count(f"changes of {product.shared}") == 5
