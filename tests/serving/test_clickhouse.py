"""ClickHouse says what DuckDB says, of one version, whatever was corrected, killed or erased."""

# ruff: noqa: S608 - names are the tests' own

from __future__ import annotations

import random
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.clickhouse import publish as publishing
from serving.clickhouse.publish import forget
from serving.clickhouse.queries import MODEL, Snapshot, VersionGone
from serving.clickhouse.store import Store
from serving.clickhouse.versions import latest
from settings import TailraceError
from tests.seeds import seeds
from tests.serving.clickhouse_support import AS_OF, FIRST_DAY, World, days, from_clickhouse
from warehouse.failpoints import CLICKHOUSE_POINTS

pytest.importorskip("clickhouse_connect")
pytest.importorskip("chdb")


TELLING = ("clickhouse_mid_sweep",)
"""The points that are tried in every run of the suite; ``make test-serving`` tries the others."""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> World:
    """At version 1; to be copied, not to be changed."""
    made = World(tmp_path_factory.mktemp("first"))
    made.fill()
    made.publish()
    return made


@pytest.fixture(scope="module")
def second(first: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """At version 2, in which everything is otherwise; to be copied as well."""
    made = World(tmp_path_factory.mktemp("second"), like=first)
    made.fill(1)
    made.publish("run 2")
    return made


@pytest.fixture
def world(first: World, tmp_path: Path) -> World:
    """At version 1, the test's own."""
    return World(tmp_path, like=first)


def rows_by_table(store: Store, database: str) -> dict[str, int]:
    """Every table that holds rows, and how many."""
    names = store.rows(
        "select name from system.tables where database = {d:String} and engine like '%MergeTree'", {"d": database}
    )
    return {name: store.rows(f"select count() from {database}.{name}")[0][0] for (name,) in names}


@pytest.mark.parametrize("seed", seeds(1))
def test_every_answer_is_duckdbs_after_late_corrected_and_deleted_slices(tmp_path: Path, seed: int) -> None:
    world, dice = World(tmp_path), random.Random(seed)
    world.fill()
    with world.store() as store:
        world.publish()
        assert world.in_clickhouse(store) == world.in_warehouse()
        for step in range(3):
            for _ in range(dice.randint(1, 6)):
                tenant, day = dice.choice(list(world.tenants.values())), dice.choice(days())
                world.rewrite(tenant, day, step, requests=dice.choice([0, 10, 60]))
            world.publish(f"run {step + 2}")
            assert world.in_clickhouse(store) == world.in_warehouse()


def test_only_slices_that_changed_are_written_and_an_unchanged_publish_writes_nothing(world: World) -> None:
    pool, silo = world.tenants["acorn"], world.tenants["deep-vault"]
    with world.store() as store:
        before = {each: rows_by_table(store, each) for each in (world.database, world.home(silo))}
        again = world.publish("run 2", as_of=AS_OF + timedelta(hours=1))
        assert [each.changed for each in again.databases] == [False, False]
        after = {each: rows_by_table(store, each) for each in (world.database, world.home(silo))}
        # But for the stamp: what stands is known to hold until later.
        assert after == {each: rows | {"publications": 2} for each, rows in before.items()}
        stands = latest(store, world.database)
        assert stands is not None
        assert (stands.version, stands.as_of) == (1, AS_OF + timedelta(hours=1))
        assert Snapshot.open(store, world.database, world.tenants["acorn"].id).as_of == AS_OF + timedelta(hours=1)
        world.rewrite(pool, FIRST_DAY, 9, requests=30)
        third = {each.database: each for each in world.publish("run 3").databases}
        with world.warehouse() as con:
            ((rows,),) = con.execute(
                f"select count(*) from marts.{MODEL} where tenant_id = ? and day = ?",
                [pool.id, FIRST_DAY],
            ).fetchall()
        assert (third[world.database].slices, third[world.database].written) == (1, rows)
        assert not third[world.home(silo)].changed


def test_a_late_stamp_never_goes_back(world: World) -> None:
    with world.store() as store:
        world.publish("run 2", as_of=AS_OF - timedelta(days=1))
        assert Snapshot.open(store, world.database, world.tenants["acorn"].id).as_of == AS_OF


@pytest.mark.parametrize(
    "point",
    [pytest.param(each, marks=[] if each in TELLING else pytest.mark.operations) for each in CLICKHOUSE_POINTS],
)
def test_killed_anywhere_the_old_version_stands_and_the_next_run_finishes(
    tmp_path: Path, second: World, point: str
) -> None:
    world = World(tmp_path, like=second)
    before = world.in_warehouse()
    for tenant in world.tenants.values():
        world.rewrite(tenant, FIRST_DAY, 5)
    killed = world.publish_in_a_process(failpoint=point)
    assert killed.returncode == -9, killed.stderr
    after = world.in_warehouse()
    committed = point in ("clickhouse_after_commit", "clickhouse_mid_sweep", "clickhouse_after_sweep")
    with world.store() as store:
        seen = world.in_clickhouse(store)
        # Databases are published one after the other, the shared one first.
        shared = [slug for slug, tenant in world.tenants.items() if tenant.tier != "silo"]
        assert {each: seen[each] for each in shared} == {
            each: (after if committed else before)[each] for each in shared
        }
        assert seen["deep-vault"] == before["deep-vault"]
        world.publish("run 3")
        assert world.in_clickhouse(store) == after


def test_what_a_killed_run_left_is_swept_and_counted_nowhere(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill()
    killed = world.publish_in_a_process(failpoint="clickhouse_before_commit")
    assert killed.returncode == -9, killed.stderr
    with world.store() as store:
        left = rows_by_table(store, world.database)
        assert left["publications"] == 0
        assert left["slices"] > 0
        with pytest.raises(TailraceError, match="not published yet"):
            Snapshot.open(store, world.database, world.tenants["acorn"].id)
        world.publish()
        stands = rows_by_table(store, world.database)
        (table,) = (each for each in stands if each.startswith(MODEL) and len(each) == len(MODEL) + 9)
        assert stands[table] == left[table]
        assert stands["slices"] == left["slices"]
        assert world.in_clickhouse(store) == world.in_warehouse()


def test_a_reader_never_sees_a_mixture_and_a_snapshot_holds_until_the_second_publish_after_it(tmp_path: Path) -> None:
    """A hammering reader's every answer is one version's; whoever keeps a version too long is told, not misled."""
    world = World(tmp_path)
    pool = world.tenants["acorn"]
    for day in days():
        world.rewrite(pool, day, 0, requests=100)
    versions: list[dict[str, Any]] = [world.in_warehouse()["acorn"]]
    answers: list[dict[str, Any]] = []
    problems: list[BaseException] = []
    done = threading.Event()
    with world.store() as store, world.store() as own:
        world.publish()
        kept = Snapshot.open(store, world.database, pool.id)

        def hammer() -> None:
            while not done.is_set():
                try:
                    answers.append(from_clickhouse(Snapshot.open(own, world.database, pool.id)))
                except VersionGone:
                    continue
                except BaseException as error:
                    problems.append(error)
                    return

        reader = threading.Thread(target=hammer)
        reader.start()
        try:
            for number in range(1, 4):
                for day in days():
                    world.rewrite(pool, day, number, requests=100)
                versions.append(world.in_warehouse()["acorn"])
                world.publish(f"run {number + 1}")
                if number == 1:
                    assert from_clickhouse(kept) == versions[0]
        finally:
            done.set()
            reader.join()
        assert not problems
        assert answers
        assert all(answer in versions for answer in answers)
        with pytest.raises(VersionGone):
            kept.total(first=days()[0], last=days()[-1])


def test_a_changed_contract_fills_new_tables_beside_those_that_are_read(world: World) -> None:
    with world.store() as store:
        kept = Snapshot.open(store, world.database, world.tenants["acorn"].id)
        old = kept.publication.relations[MODEL]
        aggregates = {
            "hourly": {"every": "hour", "by": ["method", "endpoint"]},
            "users_daily": {"every": "day", "by": ["user_key"]},
        }
        world.declare(aggregates=aggregates)
        world.publish("run 2")
        assert world.in_clickhouse(store) == world.in_warehouse()
        new = Snapshot.open(store, world.database, world.tenants["acorn"].id).publication.relations[MODEL]
        assert new != old
        assert from_clickhouse(kept) == world.in_warehouse()["acorn"]
        world.rewrite(world.tenants["acorn"], FIRST_DAY, 3)
        world.publish("run 3")
        assert not [name for name in rows_by_table(store, world.database) if name.startswith(old)]
        assert world.in_clickhouse(store) == world.in_warehouse()
        with pytest.raises(VersionGone):
            kept.total(first=days()[0], last=days()[-1])


@pytest.mark.operations
def test_killed_while_it_fills_the_tables_of_a_changed_contract_the_next_run_fills_them(world: World) -> None:
    before = world.in_warehouse()
    world.declare(order=["tenant_id", "minute", "day"])
    world.fill(1)
    killed = world.publish_in_a_process(failpoint="clickhouse_after_load")
    assert killed.returncode == -9, killed.stderr
    with world.store() as store:
        assert world.in_clickhouse(store) == before
        world.publish("run 3")
        assert world.in_clickhouse(store) == world.in_warehouse()


def test_views_that_a_killed_run_left_behind_are_brought_along(world: World) -> None:
    world.declare(sums=["requests"])
    killed = world.publish_in_a_process(failpoint="clickhouse_after_commit")
    assert killed.returncode == -9, killed.stderr
    with world.store() as store:
        query = f"select count() from {world.database}.{MODEL}"
        assert not world.publish("run 3").databases[0].changed
        (now,) = store.rows(
            "select create_table_query from system.tables where database = {d:String} and name = {n:String}",
            {"d": world.database, "n": MODEL},
        )
        assert Snapshot.open(store, world.database, world.tenants["acorn"].id).publication.relations[MODEL] in now[0]
        assert store.rows(query)[0][0] > 0


def test_a_tenant_that_leaves_is_gone_from_every_table(world: World) -> None:
    leaver, stays = world.tenants["birch"], world.tenants["acorn"]
    with world.store() as store:
        expected = world.in_warehouse()
        with world.warehouse() as con:
            con.execute(f"delete from marts.{MODEL} where tenant_id = ?", [leaver.id])
            con.execute("update marts.dim_tenants set is_deleted = true where tenant_id = ?", [leaver.id])
        world.publish("run 2")
        before = Snapshot.open(store, world.database, stays.id)
        assert forget(world.settings, tenant=leaver.id)[world.database] > 0
        with pytest.raises(VersionGone):
            before.total(first=days()[0], last=days()[-1])
        for table in rows_by_table(store, world.database):
            if table != "publications":
                assert store.rows(f"select 1 from {world.database}.{table} where tenant_id = '{leaver.id}'") == []
        assert from_clickhouse(Snapshot.open(store, world.database, stays.id)) == expected["acorn"]
        assert set(forget(world.settings, tenant=leaver.id).values()) == {0}


def test_a_person_who_is_erased_leaves_with_the_next_publish_and_its_forgetting(world: World) -> None:
    tenant = world.tenants["acorn"]
    person = f"{tenant.id[:8]}{3:056x}"
    with world.store() as store:
        with world.warehouse() as con:
            con.execute(f"update marts.{MODEL} set user_key = null where user_key = ?", [person])
        world.publish("run 2")
        forget(world.settings, tenant=tenant.id)
        relation = Snapshot.open(store, world.database, world.tenants["acorn"].id).publication.relations[MODEL]
        for table in (relation, f"{relation}_users_daily"):
            assert store.rows(f"select 1 from {world.database}.{table} where user_key = '{person}'") == []
        assert world.in_clickhouse(store) == world.in_warehouse()


def test_a_silo_that_became_pool_moves_and_leaves_nothing_behind(world: World) -> None:
    silo = world.tenants["deep-vault"]
    was = world.home(silo)
    with world.store() as store:
        with world.warehouse() as con:
            con.execute("update marts.dim_tenants set tier = 'pool' where tenant_id = ?", [silo.id])
        world.tenants["deep-vault"] = replace(silo, tier="pool")
        world.publish("run 2")
        forget(world.settings, tenant=silo.id)
        assert world.in_clickhouse(store) == world.in_warehouse()
        assert {rows for table, rows in rows_by_table(store, was).items() if table != "publications"} == {0}


def test_unattributed_rows_are_held_back_and_counted(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill()
    world.rewrite("unattributed", FIRST_DAY, 0)
    with world.warehouse() as con:
        ((rows,),) = con.execute(f"select count(*) from marts.{MODEL} where tenant_id = 'unattributed'").fetchall()
    assert world.publish().unattributed == {MODEL: rows}
    with world.store() as store:
        assert world.in_clickhouse(store) == world.in_warehouse()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("update marts.dim_tenants set region = 'eu' where slug = 'acorn'", "belongs to region eu"),
        ("delete from marts.dim_tenants where slug = 'acorn'", "are not in marts.dim_tenants"),
        (f"drop table marts.{MODEL}", "build it with dbt first"),
    ],
)
def test_what_must_not_be_published_is_refused_and_what_stood_stands(world: World, change: str, problem: str) -> None:
    with world.store() as store:
        expected = world.in_warehouse()
        with world.warehouse() as con:
            con.execute(change)
        with pytest.raises(TailraceError, match=problem):
            world.publish("run 2")
        assert world.in_clickhouse(store) == expected


def test_rows_that_arrive_twice_are_refused_not_published(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when an answer is lost and a client sends an insert again."""
    with world.store() as store:
        expected = world.in_warehouse()
        world.rewrite(world.tenants["acorn"], FIRST_DAY, 7)
        insert = Store.insert

        def twice(self: Store, table: str, rows: Any) -> None:
            insert(self, table, rows)
            if MODEL in table:
                insert(self, table, rows)

        with monkeypatch.context() as patched:
            patched.setattr(publishing.Store, "insert", twice)  # type: ignore[attr-defined]
            with pytest.raises(TailraceError, match="holds other rows than were sent"):
                world.publish("run 2")
        assert world.in_clickhouse(store) == expected
        world.publish("run 3")
        assert world.in_clickhouse(store) == world.in_warehouse()


def test_views_under_names_that_stay_show_the_version_that_stands(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill()
    with world.store() as store:
        for number in (1, 2):
            world.rewrite(world.tenants["acorn"], FIRST_DAY, number, requests=25 * number)
            world.publish(f"run {number}")
            with world.warehouse() as con:
                expected = con.execute(
                    f"select sum(requests), sum(failures) from marts.{MODEL} where tenant_id <> ?",
                    [world.tenants["deep-vault"].id],
                ).fetchall()
            for query in (
                f"select sum(requests), sum(failures) from {world.database}.{MODEL}",
                f"select sum(requests_sum), sum(failures_sum) from {world.database}.{MODEL}_hourly",
                f"select sum(requests_sum), sum(failures_sum) from {world.database}.{MODEL}_users_daily",
            ):
                assert store.rows(query) == expected


def test_a_stretch_of_minutes_is_bounded_and_has_a_time_zone(world: World) -> None:
    since = datetime(2026, 1, 31, 10, 30, tzinfo=UTC)
    with world.store() as store:
        snapshot = Snapshot.open(store, world.database, world.tenants["acorn"].id)
        found = snapshot.minutes(since=since, until=since + timedelta(hours=6))
        everything = snapshot.minutes(since=since - timedelta(days=1), until=since + timedelta(days=1))
        assert found == [each for each in everything if since <= each.minute < since + timedelta(hours=6)]
        for until in (since + timedelta(days=32), (since + timedelta(hours=1)).replace(tzinfo=None)):
            with pytest.raises(TailraceError, match="31 days"):
                snapshot.minutes(since=since, until=until)


def test_nothing_is_said_of_another_tenant_or_of_days_not_asked_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.rewrite(world.tenants["birch"], FIRST_DAY, 0)
    with world.store() as store:
        world.publish()
        acorn, birch = (Snapshot.open(store, world.database, world.tenants[each].id) for each in ("acorn", "birch"))
        assert acorn.endpoints(first=FIRST_DAY, last=FIRST_DAY) == []
        assert birch.users(first=date(2026, 2, 1), last=date(2026, 2, 2)) == []
        assert birch.endpoints(first=FIRST_DAY, last=FIRST_DAY) != []
