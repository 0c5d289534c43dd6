"""The marts against the simulator's own books, which the pipeline never reads."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal

from tests.end_to_end.conftest import Deployment

MEASURES = (
    "active_users, workflow_runs, workflow_runs_failed, tasks_completed, comments, api_requests, api_errors, "
    "ai_requests, ai_tokens"
)


def assert_usage_equals(deployment: Deployment) -> None:
    """Every measure of every tenant and day, in the mart and in the rollup that is made of it."""
    expected = deployment.ledger(
        f"select tenant_id, day, {MEASURES}, ai_cost_microusd from ledger_usage "  # noqa: S608
        "join ledger_tenants using (tenant_id) where region = 'us' order by 1, 2"
    )
    for table in ("marts.fct_usage_daily", "rollups.rollup_tenant_usage_daily"):
        found = deployment.analytics(
            f"select tenant_id, day::varchar, {MEASURES}, (ai_cost_usd * 1000000)::bigint from {table} "  # noqa: S608
            "order by 1, 2"
        )
        assert found == expected, table
    assert expected, "the sample company was used"
    _assert_users_equal(deployment)


def _assert_users_equal(deployment: Deployment) -> None:
    """Active users by feature and day, and of the 7 and 28 days that end with each."""
    by_feature: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    by_day: dict[tuple[str, date], set[str]] = defaultdict(set)
    for tenant, day, user, feature in deployment.ledger(
        "select tenant_id, day, user_id, feature from ledger_activity join ledger_tenants using (tenant_id) "
        "where region = 'us' and n > 0"
    ):
        by_feature[tenant, day, feature].add(user)
        by_day[tenant, date.fromisoformat(day)].add(user)
    adoption = deployment.analytics(
        "select tenant_id, day::varchar, feature, active_users from rollups.rollup_tenant_feature_adoption_daily "
        "where active_users > 0"
    )
    assert {tuple(key): users for *key, users in adoption} == {key: len(users) for key, users in by_feature.items()}
    for tenant, day, week, month in deployment.analytics(
        "select tenant_id, day, active_users_7d, active_users_28d from rollups.rollup_tenant_usage_daily"
    ):
        for found, days in ((week, 7), (month, 28)):
            window = (by_day.get((tenant, day - timedelta(days=back)), set()) for back in range(days))
            assert found == len(set().union(*window)), (tenant, day, days)


def assert_mrr_equals(deployment: Deployment) -> None:
    """MRR of every customer, with its tenant, currency and day on which it changed, to the last decimal."""
    expected = [
        (customer, currency, day, tenant, Decimal(mrr))
        for customer, currency, day, tenant, mrr in deployment.ledger(
            "select customer_id, currency, day, tenant_id, mrr from ledger_mrr "
            "where region = 'us' or region is null order by 1, 2, 3"
        )
    ]
    found = deployment.analytics(
        "select customer_id, currency, day::varchar, tenant_id, arg_max(mrr_after, movement_number) "
        "from marts.fct_mrr_movements group by all having sum(mrr_change) <> 0 order by 1, 2, 3"
    )
    assert found == expected
    assert found, "the sample company earned"
