"""Each thing that stands in the way of capture is found, and the SQL that is named with it mends it."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

import re
import time
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from ingestion.land import RawColumn
from ingestion.postgres.checks import Finding
from settings import TailraceError

pytestmark = pytest.mark.operations
TENANT = "00000000-0000-0000-0000-000000000001"
ROWS = f"""
insert into app.items (tenant_id, id, title) select '{TENANT}', md5(i::text)::uuid, 'jane@example.com'
from generate_series(1, 5) i;
insert into app.members select '{TENANT}', 1, i, 'reader' from generate_series(1, 5) i
"""
CHANGES = """
update app.items set n = 7 where id = md5('1')::uuid; delete from app.items where id = md5('2')::uuid;
update app.members set role = 'owner' where user_id = 1; delete from app.members where user_id = 2
"""


def mend(product: Any, problem: str, *, severity: str = "error", choice: int = 0) -> Finding:
    """Run the SQL of what is found that speaks of ``problem``; it is not found again. ``choice``: of several."""
    matching = [each for each in product.findings() if problem in each.problem]
    assert len({each.remedy for each in matching}) == 1, product.findings()
    assert matching[0].severity == severity
    assert "jane@example.com" not in str(matching[0])
    statement = re.findall(r"`([^`]+)`", matching[0].remedy)[choice]
    product.run(product.shared, statement)
    assert not [each for each in product.findings() if problem in each.problem], statement
    return matching[0]


def assert_captured(product: Any) -> None:
    """The first copy and the changes after it land whole."""
    assert product.findings() == []
    product.sync()
    product.assert_equal()
    product.run(product.shared, CHANGES)
    product.sync()
    product.assert_equal()


def test_nothing_is_found_where_nothing_is_wrong(product: Any) -> None:
    product.run(product.shared, ROWS)
    assert_captured(product)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("revoke usage on schema app from cdc", "may not enter its schema"),
        ("revoke select on app.members from cdc", "may not read"),
        ("drop policy cdc_reads on app.items", "row-level security hides rows"),
        ("alter policy cdc_reads on app.items using (n > 1)", "row-level security hides rows"),
        ("alter table app.members drop constraint members_pkey", "replica identity names no row"),
        ("alter table app.members replica identity nothing", "replica identity names no row"),
        (
            "alter table app.members drop constraint members_pkey, alter column space_id drop not null, "
            "add primary key (tenant_id, user_id, role)",
            "replica identity is role, tenant_id, user_id",
        ),
        (
            "alter table app.members drop constraint members_pkey; alter table app.members add primary key (user_id), "
            "add constraint other unique (space_id, tenant_id, user_id)",
            "replica identity is user_id",
        ),
        (
            "alter table app.items replica identity full",
            "replica identity full and a column list",
        ),
        ("drop publication tailrace", "publication tailrace does not exist"),
        ("alter publication tailrace set (publish = 'insert, update')", "does not publish delete, truncate"),
        ("alter publication tailrace set table app.items (tenant_id, id), t_acme.items, t_acme.members, t_beta.items, "
         "t_beta.members, app.members", "has no column title"),
    ],
)  # fmt: skip
def test_the_sql_that_is_named_with_a_problem_mends_it(product: Any, damage: str, problem: str) -> None:
    product.run(product.shared, ROWS)
    product.run(product.shared, damage)
    with pytest.raises(TailraceError):
        product.sync()
    mend(product, problem)
    assert_captured(product)


def test_full_identity_under_a_column_list_is_mended_by_the_key_as_well(product: Any) -> None:
    product.run(product.shared, ROWS)
    product.run(product.shared, "alter table app.items replica identity full")
    finding = mend(product, "replica identity full and a column list", choice=1)
    assert "secret" not in finding.remedy
    assert_captured(product)


def test_a_restrictive_policy_is_got_round_by_bypassrls(product: Any) -> None:
    product.run(product.shared, ROWS)
    product.run(product.shared, "create policy less on app.items as restrictive for select using (n > 1)")
    try:
        mend(product, "by a restrictive policy")
        assert_captured(product)
    finally:
        product.run("postgres", "alter role cdc nobypassrls")


def test_a_role_that_may_not_replicate(product: Any) -> None:
    product.run("postgres", "alter role cdc noreplication")
    try:
        mend(product, "may not replicate")
    finally:
        product.run("postgres", "alter role cdc replication")


def test_too_little_memory_for_decoding(product: Any) -> None:
    product.run("postgres", "alter role cdc set logical_decoding_work_mem = '1MB'")
    try:
        mend(product, "logical_decoding_work_mem is 1024 kB", severity="warning")
    finally:
        product.run("postgres", "alter role cdc reset logical_decoding_work_mem")


def test_a_table_that_is_not_published_is_a_warning_and_joins_when_it_is(product: Any) -> None:
    product.run(product.shared, ROWS)
    product.run(product.shared, "alter publication tailrace drop table app.items")
    assert any("app.items" in warning for warning in product.sync()[0].warnings)
    mend(product, "is not in publication tailrace", severity="warning")
    assert_captured(product)


def test_an_unlogged_table_is_a_warning(product: Any) -> None:
    product.run(product.shared, ROWS)
    product.run(product.shared, "alter publication tailrace drop table app.members")
    product.run(product.shared, "alter table app.members set unlogged")
    mend(product, "is unlogged", severity="warning")
    mend(product, "is not in publication tailrace", severity="warning")
    assert_captured(product)


def test_a_view_under_the_name_of_a_table_is_a_warning(product: Any) -> None:
    product.run(product.shared, "create schema t_view; create view t_view.items as select * from app.items")
    assert [each.severity for each in product.findings() if "is a view" in each.problem] == ["warning"]


def test_a_key_that_nothing_keeps_unique_is_refused(product: Any) -> None:
    product.run(product.shared, ROWS)
    product.run(
        product.shared,
        "alter table app.members drop constraint members_pkey; alter table app.members replica identity full",
    )
    mend(product, "nothing in the source keeps the key tenant_id, space_id, user_id unique")
    assert_captured(product)


def test_a_table_without_a_key_needs_its_whole_rows(product: Any) -> None:
    items, members = product.tables
    product.tables = (items, replace(members, key=()))
    product.run(
        product.shared,
        "alter table app.members drop constraint members_pkey",
        "alter publication tailrace drop table app.members",
        "alter publication tailrace add table app.members (tenant_id, space_id, user_id, role)",
    )
    where = f"{product.shared}: app.members"
    (finding,) = [each for each in product.findings() if each.where == where]
    assert "the contract has no key" in finding.problem
    product.run(product.shared, re.findall(r"`([^`]+)`", finding.remedy)[0])
    assert not [each for each in product.findings() if each.where == where]


def test_a_partitioned_table_is_captured_through_its_root(product: Any) -> None:
    product.run(
        product.shared,
        "drop table app.members",
        "create table app.members (tenant_id uuid, space_id int, user_id int, role text, "
        "primary key (tenant_id, space_id, user_id)) partition by hash (space_id)",
        "create table app.members_even partition of app.members for values with (modulus 2, remainder 0)",
        "create table app.members_odd partition of app.members for values with (modulus 2, remainder 1)",
        "grant select on app.members to cdc",
    )
    mend(product, "is not in publication tailrace", severity="warning")
    product.run(product.shared, "alter publication tailrace drop table app.members")
    product.run(product.shared, "alter publication tailrace set (publish_via_partition_root = false)")
    product.run(product.shared, "alter publication tailrace add table app.members")
    mend(product, "is published partition by partition")
    product.run(product.shared, ROWS, "alter table app.members_odd replica identity nothing")
    mend(product, "partition members_odd's replica identity names no row")
    assert_captured(product)


def test_a_type_that_no_longer_fits_is_named_old_and_new(product: Any) -> None:
    product.run(product.shared, "alter table app.members alter column space_id type bigint")
    (finding,) = [each for each in product.findings() if each.severity == "error"]
    assert finding.where == f"{product.shared}: app.members.space_id"
    assert "bigint" in finding.problem
    assert "INTEGER" in finding.problem


def test_a_slot_that_is_not_ours(product: Any) -> None:
    slot = product.slot(product.shared)
    product.run(product.silo, f"select pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    (finding,) = [each for each in product.findings() if each.about == "slot"]
    assert f"belongs to database {product.silo}" in finding.problem
    product.run(product.silo, re.findall(r"`([^`]+)`", finding.remedy)[0])
    product.run(product.shared, f"select pg_create_physical_replication_slot('{slot}')")
    mend(product, "is a physical one")
    product.run(product.shared, ROWS)
    assert_captured(product)


def test_a_slot_that_another_program_reads(product: Any) -> None:
    product.run(product.shared, ROWS)
    product.sync()
    slot = product.slot(product.shared)
    dsn = f"{product.settings.sources.postgres.dsn}&replication=database"
    command = f"START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '1', publication_names 'tailrace')"
    with closing(psycopg.connect(dsn, autocommit=True)) as reader:
        reader.pgconn.send_query(command.encode())
        reader.pgconn.flush()
        active = f"select 1 from pg_replication_slots where slot_name = '{slot}' and active"
        deadline = time.monotonic() + 30
        while not product.run(product.shared, active) and time.monotonic() < deadline:
            time.sleep(0.05)
        (finding,) = [each for each in product.findings() if "is being read by process" in each.problem]
        assert finding.severity == "warning"
        product.run(product.shared, re.findall(r"`([^`]+)`", finding.remedy)[0])
        while product.run(product.shared, active) and time.monotonic() < deadline:
            time.sleep(0.05)
    assert_captured(product)


def test_generated_columns_are_published_from_18_on(product: Any) -> None:
    items, members = product.tables
    product.tables = (items, replace(members, columns=(*members.columns, RawColumn("twice", "INTEGER"))))
    tables = [f"{schema}.members" for schema in product.schemas[product.shared]]
    for table in tables:
        product.run(
            product.shared, f"alter table {table} add column twice int generated always as (2 * user_id) stored"
        )
    product.run(product.silo, "drop table app.members")
    errors = [each for each in product.findings() if each.severity == "error"]
    assert {each.where.partition(".")[2] for each in errors} <= {"members", "members.twice"}
    if int(product.server.version) < 18:
        assert all("is a generated column" in each.problem for each in errors)
        return
    for table in tables:
        product.run(product.shared, f"alter publication tailrace drop table {table}")
        product.run(product.shared, f"alter publication tailrace add table {table}")
    (remedy,) = {re.findall(r"`([^`]+)`", each.remedy)[0] for each in errors}
    product.run(product.shared, remedy)
    assert not [each for each in product.findings() if each.severity == "error"]


def test_all_problems_are_found_at_once(product: Any) -> None:
    product.run(product.shared, "drop policy cdc_reads on app.items", "revoke select on app.members from cdc")
    product.run(product.shared, "alter publication tailrace set (publish = 'insert')")
    problems = " ".join(each.problem for each in product.findings())
    for part in ("row-level security", "may not read", "does not publish"):
        assert part in problems
