"""What a tenant's connection can reach in the product's Postgres: its own rows, whatever it tries."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from demo.postgres import EmbeddedPostgres
from tests.serving.conftest import FEATURES, USAGE, Product, new_product, rollup_models

TABLES = (*(model["name"] for model in rollup_models()), "publications", "holds", "tenant_directory")
READERS = ("tailrace_reader", "app_rw")


@pytest.fixture(scope="module")
def product(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Published; nothing that these tests try changes it."""
    with new_product(postgres, tmp_path_factory.mktemp("product")) as made:
        made.publish(1)
        yield made


def count(connection: Any, table: str) -> int:
    return int(connection.execute(f"select count(tenant_id) from tenant_analytics.{table}").fetchone()[0])  # noqa: S608


def set_tenant(connection: Any, value: str) -> None:
    connection.execute("select set_config('app.current_tenant_id', %s, false)", [value])


@pytest.mark.parametrize("role", READERS)
def test_tenant_set_shows_its_rows_only(product: Product, role: str) -> None:
    tenant = product.tenants["birch"]
    with product.connect(role) as connection:
        set_tenant(connection, tenant.id)
        for table in (USAGE, FEATURES, "tenant_directory"):
            ids = connection.execute(f"select distinct tenant_id from tenant_analytics.{table}").fetchall()  # noqa: S608
            assert ids == [(uuid.UUID(tenant.id),)]


@pytest.mark.parametrize("role", READERS)
@pytest.mark.parametrize("setting", [None, ""])
def test_no_tenant_shows_no_row_of_any_table(product: Product, role: str, setting: str | None) -> None:
    with product.connect(role) as connection:
        if setting is not None:
            set_tenant(connection, setting)
        for table in TABLES:
            column = "version" if table == "publications" else "tenant_id"
            assert connection.execute(f"select {column} from tenant_analytics.{table}").fetchall() == []  # noqa: S608


@pytest.mark.parametrize("setting", ["all", "' or true --", "00000000", "*"])
def test_malformed_tenant_is_an_error_and_shows_nothing(product: Product, setting: str) -> None:
    with product.connect("tailrace_reader") as connection:
        set_tenant(connection, setting)
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            connection.execute(f"select * from tenant_analytics.{USAGE}")  # noqa: S608


def test_tenant_set_for_a_transaction_is_gone_after_it(product: Product) -> None:
    with product.connect("tailrace_reader") as connection:
        with connection.transaction():
            connection.execute("select set_config('app.current_tenant_id', %s, true)", [product.tenants["acorn"].id])
            assert count(connection, USAGE) > 0
        assert count(connection, USAGE) == 0


def test_owner_is_bound_by_the_policies_too(product: Product) -> None:
    with product.connect("tailrace_publisher") as connection:
        connection.execute("set role tailrace_owner")
        assert [count(connection, table) for table in (USAGE, FEATURES, "tenant_directory")] == [0, 0, 0]
        set_tenant(connection, product.tenants["acorn"].id)
        ids = connection.execute(f"select distinct tenant_id from tenant_analytics.{USAGE}").fetchall()  # noqa: S608
        assert ids == [(uuid.UUID(product.tenants["acorn"].id),)]


def test_every_table_is_isolated_by_force_and_leads_its_key_with_the_tenant(product: Product) -> None:
    for database in product.databases:
        with product.connect("postgres", database) as admin:
            rows = admin.execute(
                """
                select relname, pg_get_userbyid(relowner), relrowsecurity, relforcerowsecurity,
                    (select attname from pg_index join pg_attribute on attrelid = indrelid and attnum = indkey[0]
                     where indrelid = pg_class.oid and indisprimary)
                from pg_class where relnamespace = 'tenant_analytics'::regnamespace and relkind = 'r' order by relname
                """
            ).fetchall()
        lead = {"publications": "version"}
        assert rows == [(table, "tailrace_owner", True, True, lead.get(table, "tenant_id")) for table in sorted(TABLES)]


@pytest.mark.parametrize(
    "attempt",
    [
        f"update tenant_analytics.{USAGE} set workflow_runs = 0",  # noqa: S608
        f"delete from tenant_analytics.{USAGE}",  # noqa: S608
        f"insert into tenant_analytics.{USAGE} (tenant_id, day) values (gen_random_uuid(), now())",  # noqa: S608
        f"truncate tenant_analytics.{USAGE}",
        f"create policy mine on tenant_analytics.{USAGE} using (true)",
        f"alter table tenant_analytics.{USAGE} disable row level security",
        f"set row_security = off; select * from tenant_analytics.{USAGE}",  # noqa: S608
        "select rows from tenant_analytics.publications",
        "set role tailrace_owner",
        "set role tailrace_publisher",
        "set session authorization postgres",
        "create table tenant_analytics.mine (a int)",
    ],
)
def test_reader_can_only_read(product: Product, attempt: str) -> None:
    with product.connect("tailrace_reader") as connection:
        set_tenant(connection, product.tenants["acorn"].id)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(attempt)


def test_function_in_a_query_is_not_shown_other_tenants_rows(product: Product) -> None:
    with product.connect("tailrace_reader") as connection:
        told: list[str] = []
        connection.add_notice_handler(lambda notice: told.append(notice.message_primary))
        connection.execute(
            "create function pg_temp.tell(uuid) returns boolean language plpgsql cost 0.0001 as "
            "$$ begin raise notice '%', $1; return true; end $$"
        )
        set_tenant(connection, product.tenants["acorn"].id)
        connection.execute(f"select 1 from tenant_analytics.{USAGE} where pg_temp.tell(tenant_id)")  # noqa: S608
        assert set(told) == {product.tenants["acorn"].id}
