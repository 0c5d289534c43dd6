"""The marts against the simulator's own books, which the pipeline never reads."""

from __future__ import annotations

from decimal import Decimal

from tests.end_to_end.conftest import Deployment

MEASURES = "active_users, workflow_runs, tasks_completed, comments, api_requests, ai_requests"


def assert_usage_equals(deployment: Deployment) -> None:
    """Every measure of every tenant and day."""
    expected = deployment.ledger(
        f"select tenant_id, day, {MEASURES} from ledger_usage join ledger_tenants using (tenant_id) "  # noqa: S608
        "where region = 'us' order by 1, 2"
    )
    found = deployment.analytics(
        f"select tenant_id, day::varchar, {MEASURES} from marts.fct_usage_daily order by 1, 2"  # noqa: S608
    )
    assert found == expected
    assert found, "the sample company was used"


def assert_mrr_equals(deployment: Deployment) -> None:
    """MRR of every customer, currency and day on which it changed, to the last decimal."""
    expected = [
        (customer, currency, day, Decimal(mrr))
        for customer, currency, day, mrr in deployment.ledger(
            "select customer_id, currency, day, mrr from ledger_mrr "
            "where region = 'us' or region is null order by 1, 2, 3"
        )
    ]
    found = deployment.analytics(
        "select customer_id, currency, day::varchar, arg_max(mrr_after, movement_number) from marts.fct_mrr_movements "
        "group by all having sum(mrr_change) <> 0 order by 1, 2, 3"
    )
    assert found == expected
    assert found, "the sample company earned"
