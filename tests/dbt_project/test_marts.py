"""The marts say what happened, whatever order it landed in, and an incremental build says what a full one does."""

from __future__ import annotations

import csv
import itertools
import json
import random
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from quality.explain import explain
from quality.explain_company import COMPANY
from quality.explain_company import METRICS as OF_COMPANY
from quality.explain_money import MARTS as MONEY
from quality.explain_periods import PERIODS
from quality.explain_usage import TABLES as DAYS
from quality.explanation import Explanation
from settings import TailraceError
from tests.dbt_project import money_oracle, mrr_oracle, usage_oracle
from tests.dbt_project.landings import LANDED_AT, ROUNDS, Landings, stripe_events, tenant_of
from tests.dbt_project.money_oracle import Books
from tests.dbt_project.mrr_oracle import History, Movement
from tests.dbt_project.support import PROJECT, DbtProject, Deployment
from tests.dbt_project.usage_oracle import FEATURES, START
from tests.seeds import seeds

SEEDS = seeds(8)
TABLES = (
    "intermediate.int_user_activity_daily where events > 0",
    "intermediate.int_feature_activity_daily where events > 0",
    "intermediate.int_user_activity_monthly where first_day is not null",
    "intermediate.int_active_users_daily where features_28d > 0",
    "intermediate.int_subscription_states",
    "intermediate.int_subscription_item_periods",
    "marts.dim_tenants",
    "marts.dim_users",
    "marts.fct_usage_daily",
    "marts.fct_engagement_daily",
    "marts.fct_latency_daily",
    "marts.fct_api_activity_minutely",
    "marts.fct_ai_usage_daily",
    "marts.fct_mrr_movements",
    "marts.fct_mrr_daily",
    "marts.fct_mrr_monthly",
    "marts.fct_saas_metrics_monthly",
    "marts.fct_deferred_revenue_daily",
    "marts.fct_deferred_revenue_monthly",
    "marts.fct_usage_mrr_monthly",
    "marts.fct_invoices",
    "marts.fct_payments",
    "marts.fct_disputes",
    "marts.fct_credit_notes",
    "marts.fct_ar_ageing",
    "marts.fct_entitlement_usage_monthly",
    "marts.fct_peer_benchmarks_monthly",
    "rollups.rollup_tenant_usage_daily",
    "rollups.rollup_tenant_entitlements_monthly",
    "rollups.rollup_tenant_benchmarks_monthly",
    "rollups.rollup_tenant_feature_adoption_daily",
    "rollups.rollup_tenant_ai_daily",
    "rollups.rollup_tenant_users",
)


@pytest.fixture(scope="module")
def landings() -> Landings:
    return Landings(seeds=SEEDS)


@pytest.fixture(scope="module")
def product(landings: Landings) -> usage_oracle.Product:
    return landings.product


@pytest.fixture(scope="module")
def histories(landings: Landings) -> list[History]:
    return landings.histories


@pytest.fixture(scope="module")
def books(landings: Landings) -> Books:
    return landings.books


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, dbt: DbtProject, landings: Landings) -> Deployment:
    """A build after each round of landing; data tests look once, at the end of the incremental builds."""
    deployment = Deployment(tmp_path_factory.mktemp("deployment"), dbt)
    for number in range(ROUNDS):
        landings.land(deployment, number)
        last = number == ROUNDS - 1
        deployment.build("--fail-fast", *([] if last else ["--exclude-resource-type", "test"]))
    return deployment


@pytest.mark.parametrize("seed", SEEDS)
def test_mrr_movements_equal_an_independent_computation(
    deployment: Deployment, histories: list[History], seed: int
) -> None:
    found = deployment.query(
        "select customer_id, currency, day, movement_type, mrr_before, mrr_after from marts.fct_mrr_movements "
        "where starts_with(customer_id, ?) and movement_type <> 'fx'",
        f"cus_{seed}_",
    )
    assert {Movement(*row) for row in found} == mrr_oracle.movements(histories[seed])


@pytest.mark.skipif(len(SEEDS) < 8, reason="a few histories need not hold all")
def test_the_histories_hold_every_kind_of_movement(deployment: Deployment) -> None:
    kinds = {kind for (kind,) in deployment.query("select distinct movement_type from marts.fct_mrr_movements")}
    assert kinds == {"new", "reactivation", "resumed", "expansion", "contraction", "paused", "churn", "fx"}


def test_what_is_held_in_another_currency_is_revalued_each_month(
    deployment: Deployment, histories: list[History]
) -> None:
    """Euro at the rate of the month: a row where the rate moves under what is held, and all changes add up."""
    with (PROJECT / "seeds" / "fx_rates.csv").open() as file:
        rates = {row["month"]: Decimal(row["rate"]) for row in csv.DictReader(file) if row["currency"] == "eur"}
    ((until,),) = deployment.query("select reporting_day from intermediate.int_reporting_day")
    months = [month for month in (date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1)) if month <= until]
    expected = set()
    for history in histories:
        moved = [movement for movement in mrr_oracle.movements(history) if movement.currency == "eur"]
        for customer, month in itertools.product({movement.customer for movement in moved}, months):
            earlier = [each for each in moved if each.customer == customer and each.day < month]
            held = sum((each.after - each.before for each in earlier), Decimal(0))
            now, before = rates[month.isoformat()], rates[(month - timedelta(days=1)).replace(day=1).isoformat()]
            if held:
                expected.add((customer, month, held, _cents(held * now) - _cents(held * before)))
    found = deployment.query(
        "select customer_id, day, mrr_after, reporting_change from marts.fct_mrr_movements where movement_type = 'fx'"
    )
    assert set(found) == expected
    assert expected


def test_usage_equals_an_independent_count(deployment: Deployment, product: usage_oracle.Product) -> None:
    used = product.used()
    found = deployment.query("select * from rollups.rollup_tenant_usage_daily")
    assert len(found) == len(used)
    assert set(found) == usage_oracle.usage_daily(used)
    adoption = deployment.query("select * from rollups.rollup_tenant_feature_adoption_daily")
    assert set(adoption) == usage_oracle.feature_adoption(used)
    ((until,),) = deployment.query("select reporting_day from intermediate.int_reporting_day")
    users = deployment.query("select tenant_id, * exclude (tenant_id, user_key) from rollups.rollup_tenant_users")
    assert sorted(users, key=repr) == sorted(usage_oracle.users(used, until=until), key=repr)


def test_a_day_whose_events_were_all_deleted_disappears(deployment: Deployment, product: usage_oracle.Product) -> None:
    first_days = deployment.query("select tenant_id from marts.fct_usage_daily where day = ?", START.date())
    assert {tenant for (tenant,) in first_days} == set(product.tenants) - {min(product.tenants)}


def test_customers_without_a_tenant_are_shown_as_unattributed(deployment: Deployment, histories: list[History]) -> None:
    attributed = dict(
        deployment.query("select distinct customer_id, tenant_id = 'unattributed' from marts.fct_mrr_movements")
    )
    assert set(attributed.values()) == {True, False}
    assert attributed == {customer: tenant_of(customer) is None for customer in attributed}


@pytest.mark.parametrize("mart", sorted(MONEY))
def test_every_figure_of_money_explains_itself_down_to_the_landed_records(deployment: Deployment, mart: str) -> None:
    rng = random.Random(4)
    time = MONEY[mart].time
    cells = deployment.query(f"select distinct tenant_id, {time}, currency from marts.{mart} order by all")  # noqa: S608
    with deployment.connect() as connection:
        tables = set()
        for metric, (tenant, day, currency) in itertools.product(
            MONEY[mart].metrics, rng.sample(cells, min(12, len(cells)))
        ):
            found = explain(connection, rollup=mart, tenant=tenant, day=day, metric=metric, currency=currency)
            assert found.agrees, (metric, tenant, day, currency, found.cell, found.recounted)
            assert sum(row["counts_for"] for row in found.rows) == found.cell
            assert_landed(connection, found)
            tables |= {row["table"] for row in found.rows}
        assert tables, "some figures are made of something"


@pytest.mark.parametrize("table", sorted(DAYS))
def test_every_figure_of_a_day_explains_itself_down_to_the_landed_rows(
    deployment: Deployment, product: usage_oracle.Product, table: str
) -> None:
    used = product.used()
    key = DAYS[table].row
    where = f"{DAYS[table].schema}.{table}"
    cells = deployment.query(f"select distinct tenant_id, day, {key or 'null'} from {where} order by all")  # noqa: S608
    with deployment.connect() as connection:
        for metric in DAYS[table].measures:
            for tenant, day, row in random.Random(5).sample(cells, 4):
                found = explain(connection, rollup=table, tenant=tenant, day=day, metric=metric, row=row)
                assert found.agrees, (metric, tenant, day, row, found.cell, found.recounted)
                assert {figure for _, figure in found.steps} == {found.cell}, (metric, found.steps)
                assert_landed(connection, found)
                if metric == "api_requests":
                    assert len(found.rows) == sum(each.feature == "api" for each in used[tenant, day])


def test_a_day_of_all_models_is_the_sum_of_its_models(deployment: Deployment) -> None:
    tenant, day, requests = deployment.query(
        "select tenant_id, day, sum(requests) from rollups.rollup_tenant_ai_daily "
        "group by all having count(*) = 2 order by all limit 1"
    )[0]
    with deployment.connect() as connection:
        found = explain(connection, rollup="rollup_tenant_ai_daily", tenant=tenant, day=day, metric="requests")
    assert (found.cell, found.recounted, len(found.rows)) == (requests, requests, requests)


@pytest.mark.parametrize("table", sorted(PERIODS))
def test_every_figure_of_a_month_or_a_user_explains_itself_down_to_the_landed_rows(
    deployment: Deployment, table: str
) -> None:
    asked, rng = PERIODS[table], random.Random(6)
    time = "month" if asked.monthly else "(select reporting_day from intermediate.int_reporting_day)"
    with deployment.connect() as connection:
        for metric in asked.metrics:
            cells = connection.execute(
                f"select tenant_id, {time}, {asked.key} from {asked.schema}.{table} "  # noqa: S608
                f"where {metric} is not null order by all"
            ).fetchall()
            assert not asked.of or {row for _, _, row in cells} == (
                {"ai_tokens"} if metric == "used_usd" else {*asked.of}
            )
            for tenant, day, row in rng.sample(cells, min(25, len(cells))):
                found = explain(connection, rollup=table, tenant=tenant, day=day, metric=metric, row=row)
                assert found.agrees, (metric, tenant, day, row, found.cell, found.recounted)
                assert {figure for _, figure in found.steps} == {found.cell}, (metric, found.steps)
                assert_landed(connection, found)


@pytest.mark.parametrize("metric", OF_COMPANY)
def test_every_headline_figure_of_the_company_explains_itself_down_to_events(
    deployment: Deployment, metric: str
) -> None:
    months = deployment.query(f"select month from marts.{COMPANY} order by 1")  # noqa: S608
    cells = []
    with deployment.connect() as connection:
        for (month,) in months:
            found = explain(connection, rollup=COMPANY, tenant="all", day=month, metric=metric)
            assert found.agrees, (metric, month, found.cell, found.recounted)
            assert sum(row["counts_for"] for row in found.rows) == found.cell
            assert {figure for _, figure in found.steps} == {found.cell}, (metric, found.steps)
            assert_landed(connection, found)
            cells.append(found.cell)
    assert any(cells), "in some month it is not zero"


def test_every_rollup_can_be_explained(deployment: Deployment) -> None:
    rollups = deployment.query("select table_name from information_schema.tables where table_schema = 'rollups'")
    assert {name for (name,) in rollups} <= {*DAYS, *PERIODS}


def test_money_in_two_currencies_is_explained_in_one(deployment: Deployment) -> None:
    tenant, day = deployment.query(
        "select tenant_id, day from marts.fct_mrr_daily group by all having count(distinct currency) = 2 limit 1"
    )[0]
    with deployment.connect() as connection:
        with pytest.raises(TailraceError, match="in eur and usd; give --currency"):
            explain(connection, rollup="fct_mrr_daily", tenant=tenant, day=day, metric="mrr")
        with pytest.raises(TailraceError, match="no metric arr"):
            explain(connection, rollup="fct_mrr_daily", tenant=tenant, day=day, metric="arr")
        with pytest.raises(TailraceError, match="no row of this tenant"):
            explain(connection, rollup="fct_mrr_daily", tenant=tenant, day=day, metric="mrr", currency="gbp")


def test_a_figure_that_cannot_be_explained_is_refused_by_name(deployment: Deployment) -> None:
    day = START.date()
    with deployment.connect() as connection:
        with pytest.raises(TailraceError, match="rollup_x is not a rollup or mart"):
            explain(connection, rollup="rollup_x", tenant="t", day=day, metric="events")
        with pytest.raises(TailraceError, match="no metric users"):
            explain(connection, rollup="rollup_tenant_usage_daily", tenant="t", day=day, metric="users")
        with pytest.raises(TailraceError, match="give --row, one of workflows"):
            explain(connection, rollup="rollup_tenant_feature_adoption_daily", tenant="t", day=day, metric="events")
        with pytest.raises(TailraceError, match="give --row, one of seats"):
            explain(connection, rollup="rollup_tenant_entitlements_monthly", tenant="t", day=day, metric="used")
        with pytest.raises(TailraceError, match="stand at"):
            explain(connection, rollup="rollup_tenant_users", tenant="t", day=day, metric="events_28d", row="u")
        with pytest.raises(TailraceError, match="give --tenant all"):
            explain(connection, rollup=COMPANY, tenant="t", day=day, metric="mrr_end")
        with pytest.raises(TailraceError, match="no metric quick_ratio"):
            explain(connection, rollup=COMPANY, tenant="all", day=day, metric="quick_ratio")
        with pytest.raises(TailraceError, match="no row of this tenant"):
            explain(connection, rollup="rollup_tenant_usage_daily", tenant="t", day=day, metric="comments")


def test_a_break_between_layers_is_a_row_with_both_sides_and_stops_the_build(deployment: Deployment) -> None:
    tenant, day, counted = deployment.query("select tenant_id, day, comments from marts.fct_usage_daily limit 1")[0]
    total = deployment.query("select sum(comments) from marts.fct_usage_daily where tenant_id = ?", tenant)[0][0]
    change = "update marts.fct_usage_daily set comments = ? where tenant_id = ? and day = ?"
    deployment.query(change, counted + 1, tenant, day)
    done = deployment.dbt.run(
        "build", "--select", "rec_totals", "--exclude-resource-type", "unit_test", environment=deployment.paths
    )
    deployment.query(change, counted, tenant, day)
    assert done.returncode == 1
    assert "assert_layers_agree" in done.stdout
    breaks = deployment.query(
        "select comparison, tenant_id, subject, one_side, other_side from reconciliation.rec_totals where is_break"
    )
    assert sorted(breaks) == [
        ("usage: mart to rollup", tenant, "comments", total + 1, total),
        ("usage: staging to mart", tenant, "comments", total, total + 1),
    ]


def test_what_an_increment_wrote_wrongly_is_found(deployment: Deployment) -> None:
    """An older row left standing in a slice that was counted anew, and a minute that its day does not add up to."""
    latest = "from {} order by _extracted_at desc, tenant_id, day limit 1"
    days, minutes = "marts.fct_ai_usage_daily", "marts.fct_api_activity_minutely"
    long_ago = "replace (_extracted_at - interval '1000 days' as _extracted_at)"
    deployment.query(f"insert into {days} select * {long_ago} {latest.format(days)}")
    wrong = f"where rowid = (select rowid {latest.format(minutes)})"
    deployment.query(f"update {minutes} set failures = failures + 1 {wrong}")  # noqa: S608
    done = deployment.dbt.run(
        "test", "--select", "fct_ai_usage_daily", "assert_api_minutes_add_up", environment=deployment.paths
    )
    deployment.query(f"update {minutes} set failures = failures - 1 {wrong}")  # noqa: S608
    deployment.query(f"delete from {days} where _extracted_at < timestamptz '2025-01-01'")  # noqa: S608
    failed = {name for name, status in deployment.dbt.results().items() if status == "fail"}
    assert done.returncode == 1
    assert {name.split(".")[2].split("_fct_")[0] for name in failed} == {
        "unique_within_slices",
        "assert_api_minutes_add_up",
    }


def test_what_was_wrong_long_ago_is_found_when_all_of_history_is_tested(deployment: Deployment) -> None:
    days, of_slice = "marts.fct_ai_usage_daily", "where tenant_id = ? and day = ?"
    [key] = deployment.query(f"select tenant_id, day from {days} order by all limit 1")  # noqa: S608
    shift = f"update {days} set _extracted_at = _extracted_at + to_days(?) {of_slice}"  # noqa: S608
    deployment.query(shift, -1000, *key)
    deployment.query(f"insert into {days} select * from {days} {of_slice} limit 1", *key)  # noqa: S608
    found = []
    for all_of_it in (False, True):
        given = json.dumps({"reconcile_all_usage": all_of_it})
        deployment.dbt.run("test", "--select", "fct_ai_usage_daily", "--vars", given, environment=deployment.paths)
        failed = [name for name, status in deployment.dbt.results().items() if status == "fail"]
        found.append(any("unique_within_slices" in name for name in failed))
    deployment.query(f"delete from {days} where rowid = (select max(rowid) from {days} {of_slice})", *key)  # noqa: S608
    deployment.query(shift, 1000, *key)
    assert found == [False, True]


@pytest.mark.operations
def test_a_break_of_long_ago_is_found_when_all_of_history_is_compared(deployment: Deployment) -> None:
    """The daily comparison looks at one month of long ago at most; the whole one at every month, however asked."""
    measures = {date(2026, 1, 1): ("comments", "comments"), date(2026, 2, 1): ("workflow_runs", "workflows")}
    first = "select min(tenant_id), day from marts.fct_usage_daily where day >= ? group by day order by day limit 1"
    broken = [(measure, subject, *deployment.query(first, month)[0]) for month, (measure, subject) in measures.items()]
    add = "update marts.fct_usage_daily set {0} = {0} + ? where tenant_id = ? and day = ?"
    for measure, _, *key in broken:
        deployment.query(add.format(measure), 1, *key)
    found, scopes = [], []
    for all_of_it, option in ((False, ()), (True, ()), (False, ("--full-refresh",))):
        given = json.dumps({"reporting_day": "2026-06-15", "reconcile_all_usage": all_of_it})
        _run(deployment, "int_reporting_day", "rec_totals", "--vars", given, *option)
        usage = "from reconciliation.rec_totals where starts_with(comparison, 'usage: ')"
        breaks = f"select comparison, tenant_id, subject, difference {usage} and is_break"
        found.append(set(deployment.query(breaks)))
        scopes.append(deployment.query(f"select distinct is_of_all_history {usage}"))
    for measure, _, *key in broken:
        deployment.query(add.format(measure), -1, *key)
    _run(deployment, "int_reporting_day", "rec_totals")
    expected = {
        (comparison, tenant, subject, difference)
        for _, subject, tenant, _ in broken
        for comparison, difference in (("usage: staging to mart", 1), ("usage: mart to rollup", -1))
    }
    daily, *all_of_history = found
    assert daily < expected
    assert len({subject for _, _, subject, _ in daily}) <= 1
    assert all_of_history == [expected, expected]
    assert scopes == [[(False,)], [(True,)], [(True,)]]


def test_every_change_of_a_closed_month_is_a_restatement(deployment: Deployment) -> None:
    """Each says what was shown until then, the next goes on from there, and the last ends at what is shown now."""
    keys = "tenant_id, figure, subject, month"
    restated = deployment.query(f"select * from marts.fct_restatements order by {keys}, restated_at")  # noqa: S608
    shown = {
        tuple(key): value
        for *key, value in deployment.query(f"select {keys}, value from intermediate.int_published_figures")  # noqa: S608
    }
    chains = {key: list(rows) for key, rows in itertools.groupby(restated, key=lambda row: row[:4])}
    assert {key[1] for key in chains} == {"mrr_end", "usage_events", "ai_cost_usd"}
    for key, rows in chains.items():
        assert all(before[6] == after[5] for before, after in itertools.pairwise(rows)), key
        assert rows[-1][6] == shown.get(key), key
        assert all(row[5] != row[6] and row[7] in {"data", "deleted"} for row in rows), key


def test_incremental_builds_equal_a_full_refresh(deployment: Deployment) -> None:
    """In every row and digit, but for what only an increment can know: that an empty slice once was not,
    and when a figure last changed."""
    incremental = {table: _content(deployment, table) for table in TABLES}
    assert [table for table, rows in incremental.items() if not rows] == []
    deployment.build("--full-refresh", "--exclude-resource-type", "test")
    for table in TABLES:
        assert _content(deployment, table) == incremental[table], table


@pytest.mark.operations
def test_input_in_order_and_once_gives_the_same_marts(
    tmp_path: Path, dbt: DbtProject, deployment: Deployment, landings: Landings
) -> None:
    """The other deployment had it late, twice and out of order. When a row was extracted may differ, and is told."""
    ordered = Deployment(tmp_path, dbt)
    landings.land_in_order(ordered)
    ordered.build("--exclude-resource-type", "test")
    for table in TABLES:
        if not table.startswith("intermediate.") and table != "marts.dim_users":
            assert _figures(ordered, table) == _figures(deployment, table), table


def test_deferred_revenue_equals_an_independent_computation(deployment: Deployment, books: Books) -> None:
    ((until,),) = deployment.query("select reporting_day from intermediate.int_reporting_day")
    found = {
        (customer, currency, day): tuple(figures)
        for customer, currency, day, *figures in deployment.query(
            "select customer_id, currency, day, opening, billed, credited, recognised, closing "
            "from marts.fct_deferred_revenue_daily"
        )
    }
    assert found == money_oracle.balances(books, until)
    assert min(figures[3] for figures in found.values()) < 0 < max(figures[4] for figures in found.values())


def test_metered_use_is_worth_its_price_to_a_fraction_of_a_cent(deployment: Deployment) -> None:
    found = deployment.query("select month, price_id, quantity, usage_mrr from marts.fct_usage_mrr_monthly order by 1")
    assert found == [
        (date(2026, 1, 1), "price_calls", 1017, Decimal("12.7125")),  # (1000 + 17) x 0.0125
        (date(2026, 2, 1), "price_calls", 3, Decimal("0.0375")),
    ]


def test_money_that_agrees_is_no_break(deployment: Deployment) -> None:
    counts = dict(deployment.query("select comparison, count(*) from reconciliation.rec_money group by 1"))
    assert set(counts) == {
        *("invoice to charge", "charge to balance", "refund to balance", "charge to refunds", "dispute to balance")
    }
    assert deployment.query("select * from reconciliation.rec_money where is_break") == []


def test_mf_query_answers_what_the_marts_say(deployment: Deployment, tmp_path: Path) -> None:
    """Every metric of the semantic layer that a mart has a column for, at the mart's grain."""
    monthly = {
        "mrr": "mrr_end", "mrr_start": "mrr_start", "arr": "arr", "contracted_arr": "contracted_arr",
        "mrr_new": "mrr_new", "mrr_reactivation": "mrr_reactivation", "mrr_resumed": "mrr_resumed",
        "mrr_expansion": "mrr_expansion", "mrr_contraction": "mrr_contraction", "mrr_paused": "mrr_paused",
        "mrr_churn": "mrr_churn", "mrr_fx": "mrr_fx", "customers": "customers_end",
        "customers_start": "customers_start", "customers_paying": "customers_paying",
        "customers_lost": "customers_lost", "customers_won": "customers_won",
        "gross_mrr_churn_rate": "gross_mrr_churn_rate", "net_mrr_churn_rate": "net_mrr_churn_rate",
        "logo_churn_rate": "logo_churn_rate", "quick_ratio": "quick_ratio", "nrr": "net_revenue_retention",
        "grr": "gross_revenue_retention", "arpa": "arpa",
    }  # fmt: skip
    company = f"select month, {', '.join(monthly.values())} from marts.fct_saas_metrics_monthly"  # noqa: S608
    _same(deployment.metrics(tmp_path, "metric_time__month", *monthly), deployment.query(company))
    _same(
        deployment.metrics(tmp_path, "metric_time__month", "deferred_revenue", "recognised_revenue"),
        deployment.query(
            "select month, sum(reporting_closing), sum(reporting_recognised) "
            "from marts.fct_deferred_revenue_monthly group by 1"
        ),
    )
    _same(
        deployment.metrics(tmp_path, "metric_time__month", "usage_mrr"),
        deployment.query("select month, sum(reporting_usage_mrr) from marts.fct_usage_mrr_monthly group by 1"),
    )
    _same(
        deployment.metrics(tmp_path, "metric_time__day,tenant", "accounts_receivable"),
        deployment.query("select day, tenant_id, sum(reporting_amount) from marts.fct_ar_ageing group by all"),
    )
    usage = deployment.query(
        "select day, tenant_id, active_users, active_users_7d, active_users_28d from marts.fct_engagement_daily"
    )
    found = deployment.metrics(tmp_path, "metric_time__day,tenant", "dau", "wau", "mau")
    days = {row[:2] for row in usage}
    _same([row for row in found if (row[0], row[1]) in days], usage)
    _same(
        deployment.metrics(tmp_path, "metric_time__day,tenant", "ai_cost_usd", "ai_requests", "ai_tokens"),
        deployment.query(
            "select day, tenant_id, sum(cost_usd), sum(requests), sum(prompt_tokens + completion_tokens) "
            "from marts.fct_ai_usage_daily group by all"
        ),
    )


@pytest.mark.operations
def test_an_unknown_billing_interval_fails_the_build(tmp_path: Path, dbt: DbtProject) -> None:
    deployment = Deployment(tmp_path, dbt)
    history = History()
    subscription = mrr_oracle.Subscription(
        id="sub_1",
        customer="cus_1",
        currency="usd",
        status="active",
        items=[{"unit_amount": 100, "quantity": 1, "interval": "fortnight", "interval_count": 1}],
    )
    event = {"id": "evt_1", "type": "customer.subscription.created", "created": 0}
    history.events.append({**event, "object": subscription.as_stripe_shows_it()})
    deployment.land("stripe", "events", stripe_events([history]), at=LANDED_AT)
    done = dbt.run("run", "--select", "+int_subscription_states", environment=deployment.paths)
    assert done.returncode == 1
    assert "unknown billing interval: fortnight" in done.stdout


def _run(deployment: Deployment, *arguments: str) -> None:
    done = deployment.dbt.run("run", "--select", *arguments, environment=deployment.paths)
    assert done.returncode == 0, done.stdout[-4000:]


def assert_landed(connection: duckdb.DuckDBPyConnection, found: Explanation) -> None:
    """Each row is one that landed, and nothing is told of it but where it is, when it was, and what it counts for."""
    told = {"table", "key", "occurred_at", "part", "counts_for", "lsn", "extracted_at"}
    for row in found.rows:
        assert set(row) == told
        assert row["extracted_at"] >= LANDED_AT
        schema = "raw_app" if row["table"] in {*FEATURES, "entitlements"} else "raw_stripe"
        query = f"select count(*) from {schema}.{row['table']} where cast(id as varchar) = ?"  # noqa: S608
        assert connection.execute(query, [row["key"].removesuffix("/won")]).fetchall() == [(1,)], row


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.0001"), ROUND_HALF_UP)


def _content(deployment: Deployment, table: str) -> list[str]:
    """Every row as text, in an order of its own: equal lists are equal tables, to the last digit."""
    without = "(columns(lambda name: name <> '_extracted_at'))"
    return sorted(repr(row) for row in deployment.query(f"select {without} from {table}"))  # noqa: S608


def _figures(deployment: Deployment, table: str) -> list[str]:
    """Its rows as ``_content`` gives them, but for the time of extraction and pseudonyms, whose keys are its own."""
    schema, name = table.split(".")
    columns = deployment.query(
        "select column_name from information_schema.columns where table_schema = ? and table_name = ? "
        "and column_name not in ('_extracted_at', 'user_key') order by ordinal_position",
        schema,
        name,
    )
    rows = deployment.query(f"select {', '.join(column for (column,) in columns)} from {table}")  # noqa: S608
    return sorted(repr(row) for row in rows)


def _same(found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> None:
    """Rows equal to the last place that a mart keeps: what comes before the figures is their key."""

    def close_to(figure: Decimal | int | None) -> Any:
        if figure is None:
            return None
        place = figure.as_tuple().exponent if isinstance(figure, Decimal) else 0
        return pytest.approx(float(figure), rel=1e-12, abs=10.0 ** int(place) if place else 0)

    key = 2 if expected and isinstance(expected[0][1], str) else 1
    answers = {row[:key]: list(row[key:]) for row in found}
    assert len(answers) == len(found) == len(expected) > 0
    for row in expected:
        assert answers[row[:key]] == [close_to(figure) for figure in row[key:]], row[:key]
