"""A database that holds a tenant of another region, or a silo's tenant in the pool, is not read at all."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

from typing import Any

import pytest

from ingestion.land import RawColumn, RawTable
from settings import TailraceError
from tests.ingestion.postgres.conftest import TABLES

HERE, CLINIC = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
DIRECTORY = RawTable(
    "raw_app",
    "tenants",
    (RawColumn("id", "UUID"), *(RawColumn(name, "VARCHAR") for name in ("slug", "tier", "region"))),
    ("id",),
    frozenset(),
)
DDL = """
create table app.tenants (id uuid primary key, slug text, tier text, region text);
grant select on app.tenants to cdc;
alter publication tailrace add table app.tenants
"""


@pytest.fixture
def product(product: Any) -> Any:
    product.tables = (*TABLES, DIRECTORY)
    product.run(product.shared, *DDL.split(";"), add(HERE, "here"), item(HERE))
    text = product.config.read_text().replace("serving: {", f"serving: {{silo_databases: '{product.silo}', ")
    product.config.write_text(
        f"{text}residency: {{silo_only: [clinic, '{HERE[:-1]}9'], silo_only_in_shared_sources: lands}}\n"
    )
    return product


def add(tenant: str, slug: str, *, tier: str = "pool", region: str = "us") -> str:
    return f"insert into app.tenants values ('{tenant}', '{slug}', '{tier}', '{region}')"


def item(tenant: str) -> str:
    return f"insert into app.items (tenant_id, id, title) values ('{tenant}', gen_random_uuid(), 'jane@example.com')"


def refusal(product: Any) -> str:
    with pytest.raises(TailraceError) as caught:
        product.sync()
    assert "jane@example.com" not in str(caught.value)
    return str(caught.value)


def landed(product: Any) -> int:
    present = product.raw("select 1 from duckdb_tables() where schema_name = 'raw_app' and table_name = 'items'")
    return product.raw("select count(*) from raw_app.items")[0][0] if present else 0


def test_a_tenant_of_another_region_keeps_its_whole_database_from_being_read(product: Any) -> None:
    product.run(product.shared, add(CLINIC, "other", region="eu"))
    assert f"tenant {CLINIC} belongs to region eu, this deployment serves us" in refusal(product)
    assert not product.warehouse.path.exists() or landed(product) == 0
    product.run(product.shared, f"delete from app.tenants where id = '{CLINIC}'")
    product.sync()
    assert landed(product) == 1


def test_a_tenant_that_moves_in_from_another_region_stops_the_stream_before_its_rows(product: Any) -> None:
    product.sync()
    product.run(product.shared, add(CLINIC, "other", region="eu"), item(CLINIC))
    assert "belongs to region eu" in refusal(product)
    assert landed(product) == 1


@pytest.mark.parametrize("tier", ["pool", "namespace"])
def test_a_tenant_that_demands_a_silo_and_is_registered_elsewhere_is_refused(product: Any, tier: str) -> None:
    product.sync()
    product.run(product.shared, add(CLINIC, "clinic", tier=tier), item(CLINIC))
    assert f"residency.silo_only names tenant {CLINIC}" in refusal(product)
    assert f"its tier is {tier}" in refusal(product)
    assert landed(product) == 1


def test_rows_left_in_the_pool_are_refused_even_when_the_directory_calls_it_a_silo(product: Any) -> None:
    product.run(product.shared, add(CLINIC, "clinic", tier="silo"))
    product.sync()
    product.run(product.shared, item(CLINIC))
    assert "app.items has rows of it" in refusal(product)
    assert landed(product) == 1


def test_by_its_id_alone_a_tenant_is_found_that_no_directory_has(product: Any) -> None:
    product.run(product.shared, item(f"{HERE[:-1]}9"))
    assert "app.items has rows of it" in refusal(product)


def test_in_its_silo_such_a_tenant_lands(product: Any) -> None:
    product.run(product.shared, add(CLINIC, "clinic", tier="silo"))
    product.run(product.silo, item(CLINIC))
    product.sync()
    assert product.raw(f"select count(*) from raw_app.items where tenant_id = '{CLINIC}'") == [(1,)]
