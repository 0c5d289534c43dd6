"""At any seed, the marts say what the simulated company's books say. Run by ``make test-ledger``."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo import services
from tests.end_to_end.conftest import Deployment, configure
from tests.end_to_end.ledger import assert_mrr_equals, assert_usage_equals
from tests.seeds import seeds

TENANTS, DAYS = 5, 14


@pytest.mark.ledger
@pytest.mark.parametrize("seed", seeds(20))
def test_the_marts_equal_the_ledger_at_any_seed(tmp_path: Path, seed: int) -> None:
    """Half of the life lands in a first run, the rest in an incremental one."""
    settings, environment = configure(tmp_path)
    demo = settings.demo.model_copy(update={"tenants": TENANTS, "days": DAYS, "seed": seed})
    settings = settings.model_copy(update={"demo": demo})
    with services.running(settings) as postgres:
        company = services.sample_company(settings, postgres)
        company.found()
        deployment = Deployment(settings, postgres, company, environment)
        for _ in range(2):
            company.live(DAYS // 2)
            deployment.run()
            assert_usage_equals(deployment)
            assert_mrr_equals(deployment)
            breaks = "select comparison, tenant_id, subject from reconciliation.rec_totals where is_break"
            with deployment.warehouse() as connection:
                assert connection.execute(breaks).fetchall() == []
                assert connection.execute("select * from reconciliation.rec_money where is_break").fetchall() == []
