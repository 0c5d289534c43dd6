"""The quick part of `make test-isolation`: every attempt in SQL, and that the judge would see what leaks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.isolation.attempts import load_all
from tests.isolation.judge import judge
from tests.isolation.markers import Finder, Marked, identity
from tests.isolation.mutants import MUTANTS
from tests.isolation.registry import ATTEMPTS, Attack, Attempt
from tests.isolation.table import BEGIN, END, replaced
from tests.isolation.world import World, twins

load_all()
SQL = [attempt for attempt in ATTEMPTS if attempt.channel == "sql"]
Worlds = tuple[World, World]
Finders = tuple[Finder, Finder]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    """Both worlds, without what only the other channels need."""
    with twins(tmp_path_factory.mktemp("isolation"), pooler=False, api=False) as made:
        yield made


@pytest.fixture(scope="module")
def finders(worlds: Worlds) -> Finders:
    return Finder(worlds[0].marked), Finder(worlds[1].marked)


@pytest.mark.parametrize("attempt", SQL, ids=lambda each: each.name)
def test_attempt_learns_nothing_of_another_tenant_but_what_the_page_admits(
    worlds: Worlds, finders: Finders, attempt: Attempt
) -> None:
    verdict = judge(attempt, worlds, finders)
    assert verdict.outcome in (("limit", "held") if attempt.limit else ("held",)), verdict.learnt


@pytest.mark.parametrize(
    ("broken", "caught_by"),
    [
        ("row-level security off on one table", "own tenant set, everything read without a filter"),
        ("view without security_barrier", "a cheap function in where, told every row it is given"),
        ("window without security_barrier", "a cheap function in where, told every row it is given"),
        ("what is behind windows laid open", "refresh of materialized views"),
        ("row-level security off in a namespace", "own tenant set, everything read without a filter"),
        ("history table that readers can read", "every column of every relation that can be reached"),
        ("statistics of columns kept", "another's id found by halving on the planner's estimates"),
        ("tables granted whole, row addresses and all", "row addresses: ctid scans and the gaps between own rows"),
        ("policy that shows all while no tenant is set", "no tenant set: every table"),
    ],
)
def test_product_broken_on_purpose_is_not_called_sound(
    worlds: Worlds, finders: Finders, broken: str, caught_by: str
) -> None:
    (mutant,) = (each for each in MUTANTS if each.name == broken)
    (attempt,) = (each for each in SQL if each.name.startswith(caught_by))
    for world in worlds:
        world.sound = False
    with mutant.broken(worlds[0]), mutant.broken(worlds[1]):
        assert judge(attempt, worlds, finders).outcome == "LEAK"
    for world in worlds:
        world.sound = True
    assert judge(attempt, worlds, finders).outcome == "held"


def test_tenants_see_their_own_marks_so_that_the_search_is_not_for_nothing(worlds: Worlds) -> None:
    for world in worlds:
        other = next(each for each in world.others if each.tier == "pool")
        attack = Attack(world)
        with attack.session(tenant=other.id) as session:
            for table in session.rollups():
                session.ask(f"select * from {table}")  # noqa: S608
        found = Finder(world.marked).find("\n".join(attack.evidence).encode())
        assert {"figure", "day", "word or id (plain)"} <= found


def test_marks_are_found_in_every_kind_of_value_and_not_in_others() -> None:
    marked = Marked()
    for kind in ("varchar", "date", "timestamptz", "bigint", "double", "decimal(18, 6)"):
        value = marked.value("any", kind, 3)
        assert Finder(marked).find(f"(1, {value})".encode()), kind
    assert Finder(marked).find(identity(5).encode())
    assert not Finder(marked).find(b"2026-11-22 1795357000 0.25 acorn fa11ce00-0000-4000-8000-000000000001")


def test_table_of_the_page_is_replaced_between_its_marks() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter"
    assert replaced(page, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter"
