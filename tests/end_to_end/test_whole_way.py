"""From committed transactions and created objects to each tenant's rollups: nothing lost, doubled, leaked or invented.

The oracles are independent of the pipeline: the source databases and APIs themselves, and the simulator's ledger.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from ipaddress import ip_interface
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from pii_policies import Table, load_contracts
from tests.canaries.search import Searcher, in_file
from tests.end_to_end.conftest import ROLLUPS, Deployment
from tests.end_to_end.ledger import assert_mrr_equals, assert_usage_equals
from warehouse import quote


@pytest.fixture(scope="module", params=["first run", "second run"])
def landed(request: pytest.FixtureRequest, deployment: Deployment) -> tuple[Deployment, dict[str, Any]]:
    """After the first run, and after a day more and the second: everything must hold both times."""
    if request.param == "first run":
        return deployment, deployment.first_report
    deployment.company.live(1)
    return deployment, deployment.run()


def test_a_run_reports_what_it_did(landed: tuple[Deployment, dict[str, Any]]) -> None:
    _, report = landed
    assert report["success"]
    assert set(report["rows"]) == {"raw_app", "raw_stripe", "raw_hubspot", "raw_salesforce"}
    assert report["rows"]["raw_app"] > 0
    assert report["gates_refused"] == report["tests_failed"] == 0
    assert report["rollups"] == len(ROLLUPS)


def test_every_table_of_the_product_equals_its_source(landed: tuple[Deployment, dict[str, Any]]) -> None:
    deployment, _ = landed
    for table in load_contracts().raw_tables("app"):
        expected = sorted(_source_rows(deployment, table))
        columns = ", ".join(quote(column.name) for column in table.landed)
        with deployment.warehouse() as connection:
            rows = connection.execute(
                f"select {columns} from raw_app.{quote(table.name)} where _ab_cdc_deleted_at is null"  # noqa: S608
            ).fetchall()
        assert sorted(tuple(map(_plain, row)) for row in rows) == expected, table.name
        assert expected, f"{table.name}: the sample company must have rows to compare"


def test_every_stripe_object_equals_the_account_but_for_other_regions(
    landed: tuple[Deployment, dict[str, Any]],
) -> None:
    deployment, _ = landed
    customers = {each["id"]: each for each in _list_stripe(deployment, "customers")}
    ours = {id_ for id_, each in customers.items() if each["metadata"].get("region", "us") == "us"}
    assert ours, "some customers are of this region"
    assert len(ours) < len(customers), "some customers are of the other"
    with deployment.warehouse() as connection:
        for stream, query in {"customers": "", "subscriptions": "&status=all", "invoices": "", "charges": ""}.items():
            objects = {each["id"]: each for each in _list_stripe(deployment, stream, query)}
            expected = {(id_, each["created"]) for id_, each in objects.items() if each.get("customer", id_) in ours}
            rows = connection.execute(
                f"select id, created from raw_stripe.{stream} where _ab_cdc_deleted_at is null"  # noqa: S608
            ).fetchall()
            deleted = {id_ for id_, _ in rows} - set(objects)
            assert not deleted, f"{stream}: rows that the account does not have"
            assert {row for row in rows if row[0] in objects} == expected, stream
        statuses = dict(
            connection.execute(
                "select id, status from raw_stripe.subscriptions where _ab_cdc_deleted_at is null"
            ).fetchall()
        )
    live = {each["id"]: each["status"] for each in _list_stripe(deployment, "subscriptions", "&status=all")}
    assert statuses == {id_: status for id_, status in live.items() if id_ in statuses}


def test_usage_equals_the_ledger(landed: tuple[Deployment, dict[str, Any]]) -> None:
    deployment, _ = landed
    assert_usage_equals(deployment)


def test_mrr_equals_the_ledger_to_the_last_decimal(landed: tuple[Deployment, dict[str, Any]]) -> None:
    deployment, _ = landed
    assert_mrr_equals(deployment)
    assert {"new", "churn"} & {
        row[0] for row in deployment.analytics("select distinct movement_type from marts.fct_mrr_movements")
    }


def test_deferred_revenue_is_all_that_was_billed_and_money_agrees(landed: tuple[Deployment, dict[str, Any]]) -> None:
    """What Stripe's invoices bill, net of what credit notes and voids take back, is recognised or deferred."""
    deployment, _ = landed
    found = deployment.analytics(
        "select customer_id, currency, sum(billed - credited), sum(recognised) + max_by(closing, day) "
        "from marts.fct_deferred_revenue_daily group by all"
    )
    assert found
    assert all(billed == told for _, _, billed, told in found)
    with deployment.warehouse() as connection:
        query = "select comparison, count(*) from reconciliation.rec_money group by 1"
        counts = connection.execute(query).fetchall()
        breaks = connection.execute("select * from reconciliation.rec_money where is_break").fetchall()
    assert {"invoice to charge", "charge to balance"} <= {comparison for comparison, _ in counts}
    assert breaks == []


def test_mrr_movements_chain_without_a_gap(landed: tuple[Deployment, dict[str, Any]]) -> None:
    deployment, _ = landed
    broken = deployment.analytics(
        "select count(*) from (select mrr_before, mrr_after, mrr_change, "
        "lag(mrr_after, 1, 0) over (partition by customer_id, currency order by movement_number) as expected_before "
        "from marts.fct_mrr_movements) where mrr_before <> expected_before or mrr_after - mrr_before <> mrr_change"
    )
    assert broken == [(0,)]


def test_every_tenant_reads_its_own_rollups_and_nobody_elses(landed: tuple[Deployment, dict[str, Any]]) -> None:
    deployment, _ = landed
    expected = dict(
        deployment.analytics(
            "select tenant_id, count(*) from rollups.rollup_tenant_usage_daily "
            "where tenant_id <> 'unattributed' group by 1"
        )
    )
    homes = dict(deployment.ledger("select tenant_id, database_name from ledger_tenants where region = 'us'"))
    tiers = dict(deployment.ledger("select tenant_id, tier from ledger_tenants where region = 'us'"))
    assert set(tiers.values()) == {"pool", "namespace", "silo"}
    schemas: set[str] = set()
    for tenant, rows in expected.items():
        with _reader(deployment, homes[tenant]) as connection:
            connection.execute("select set_config('app.current_tenant_id', %s, true)", [tenant])
            (schema,) = connection.execute('select "schema" from tenant_analytics.tenant_directory').fetchone()
            schemas.add(schema)
            query = sql.SQL("select tenant_id::text, count(*) from {} group by 1")
            found = connection.execute(query.format(sql.Identifier(schema, "rollup_tenant_usage_daily"))).fetchall()
            assert found == [(tenant, rows)]
    assert len(schemas) == 1 + sum(tiers[tenant] == "namespace" for tenant in expected) > 1


@pytest.mark.parametrize("role", ["tailrace_reader", "app_rw", "tailrace_owner"])
def test_without_a_tenant_nobody_sees_a_row_not_even_the_owner(deployment: Deployment, role: str) -> None:
    for database in deployment.settings.rollup_databases():
        with deployment.postgres.connect(database, autocommit=False) as connection:
            connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
            for rollup in ROLLUPS:
                name = sql.Identifier("tenant_analytics", rollup)
                for setting in (None, ""):
                    if setting is not None:
                        connection.execute("select set_config('app.current_tenant_id', %s, true)", [setting])
                    assert connection.execute(sql.SQL("select * from {}").format(name)).fetchall() == []


def test_no_personal_value_is_in_any_byte_outside_raw(landed: tuple[Deployment, dict[str, Any]]) -> None:
    deployment, _ = landed
    personal = deployment.company.personal_values(limit=40)  # of each kind, of each tenant
    values = sorted({value.strip() for _, value in personal if len(value) > 5})
    assert len(values) > 500
    searcher, searched, home = Searcher(values), set(), deployment.settings.region_dir
    for path in sorted(home.rglob("*")):
        if path.is_file() and not path.name.startswith(("warehouse.duckdb", "vault.duckdb")):
            for kind, content in in_file(path):
                place = f"{path.relative_to(home)}: {kind}"
                assert searcher.find(content) == set(), f"a personal value in {place}"
                searched.add(place)
    assert "analytics.duckdb: rollups.rollup_tenant_users" in searched
    assert any(place.startswith("dagster/") and place.endswith("sqlite") for place in searched)


def _source_rows(deployment: Deployment, table: Table) -> Iterator[tuple[str, ...]]:
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.landed)
    silos = table.name not in ("tenants", "plans")
    for database in deployment.settings.source_databases():
        with deployment.postgres.connect(database) as connection:
            schemas = connection.execute(
                "select table_schema from information_schema.tables where table_name = %s "
                "and (table_schema = 'app' or table_schema like 't\\_%%')",
                [table.name],
            ).fetchall()
            for (schema,) in schemas if silos or database.startswith("product_") else []:
                query = sql.SQL("select {} from {}").format(names, sql.Identifier(schema, table.name))
                for row in connection.execute(query):
                    yield tuple(map(_plain, row))


def _plain(value: Any) -> str:
    """One spelling for a value, whichever driver read it."""
    match value:
        case None:
            return "∅"
        case datetime():
            return value.astimezone(tz=None).isoformat() if value.tzinfo else value.isoformat()
        case dict() | list():
            return json.dumps(value, sort_keys=True)
        case Decimal() | date() | UUID() | bool() | int():
            return str(value)
        case str() if value[:1] in ("{", "["):
            return json.dumps(json.loads(value), sort_keys=True)
        case str():
            return value
    return str(ip_interface(value).ip)


def _list_stripe(deployment: Deployment, stream: str, query: str = "") -> Iterator[dict[str, Any]]:
    after = ""
    while True:
        url = f"{deployment.settings.sources.stripe.url}/v1/{stream}?limit=100{query}{after}"
        request = urllib.request.Request(url, headers={"Authorization": "Bearer sk_test_oracle"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            page = json.load(answer)
        yield from page["data"]
        if not page["has_more"]:
            return
        after = f"&starting_after={page['data'][-1]['id']}"


def _reader(deployment: Deployment, database: str) -> psycopg.Connection[Any]:
    return deployment.postgres.connect(database, role="tailrace_reader", autocommit=False)
