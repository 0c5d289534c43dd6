"""A process that is killed loses nothing and doubles nothing, wherever it dies."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

import signal
from typing import Any

import pytest

from warehouse.failpoints import CAPTURE_POINTS

TENANT = "00000000-0000-0000-0000-000000000001"
SNAPSHOT = (
    "after_slot_creation",
    "mid_chunk",
    "after_chunk",
    "mid_snapshot",
    "before_snapshot_commit",
    "after_snapshot_commit",
)
STREAM = tuple(point for point in CAPTURE_POINTS if point not in SNAPSHOT)


def add(product: Any, schema: str, first: int, last: int, *, database: str | None = None) -> None:
    product.run(
        database or product.shared,
        f"insert into {schema}.items (tenant_id, id, title, n) "
        f"select '{TENANT}', md5(i::text)::uuid, 'title', i from generate_series({first}, {last}) i",
        f"insert into {schema}.members select '{TENANT}', 1, i, 'r' from generate_series({first}, {last}) i",
    )


@pytest.mark.parametrize("point", SNAPSHOT)
def test_killed_in_the_first_snapshot_loses_and_doubles_nothing(product: Any, point: str) -> None:
    add(product, "app", 1, 300)
    add(product, "t_acme", 301, 310)
    assert product.sync_killed(point) == -signal.SIGKILL
    add(product, "app", 400, 410)
    product.run(product.shared, "delete from app.items where n < 10")
    product.sync()
    product.assert_equal()


@pytest.mark.parametrize("point", STREAM)
def test_killed_in_the_stream_loses_and_doubles_nothing(product: Any, point: str) -> None:
    add(product, "app", 1, 50)
    product.sync()
    for number in range(5):
        add(product, "app", 100 * number + 100, 100 * number + 140)
        product.run(
            product.shared, f"update app.items set n = -{number} where n < 20", "delete from app.items where n = 5"
        )
    add(product, "app", 900, 905, database=product.silo)
    assert product.sync_killed(point, batch_messages=100) == -signal.SIGKILL
    product.run(product.shared, "delete from app.items where n > 500", "truncate app.members")
    product.sync()
    product.assert_equal()


def test_killed_while_a_new_schema_joins_loses_and_doubles_nothing(product: Any) -> None:
    add(product, "app", 1, 50)
    product.sync()
    product.create_schema(product.shared, "t_late")
    product.schemas[product.shared].append("t_late")
    add(product, "t_late", 51, 90)
    add(product, "app", 91, 95)
    assert product.sync_killed("mid_snapshot") == -signal.SIGKILL
    product.run(product.shared, "delete from t_late.items where n < 60", "update t_late.items set n = -n")
    product.sync()
    product.assert_equal()


def test_a_crash_of_the_source_in_between_loses_and_doubles_nothing(product: Any) -> None:
    add(product, "app", 1, 50)
    product.sync()
    add(product, "app", 51, 60)
    assert product.sync_killed("after_commit") == -signal.SIGKILL
    product.server.kill()
    product.server.start()
    add(product, "t_beta", 61, 70)
    product.sync()
    product.assert_equal()
