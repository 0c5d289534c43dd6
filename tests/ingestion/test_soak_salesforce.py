"""Ten weeks of a Salesforce org under faults, and forty days in which nobody read it: raw is the org in the end."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from demo.sandbox import serve
from ingestion import salesforce
from tests.ingestion.salesforce import support as sf
from tests.ingestion.salesforce.test_sync import WHOLE, change_something
from tests.ingestion.soak import DAYS, OUTAGE, drawn, orders
from tests.ingestion.worlds import SalesforceWorld

pytestmark = pytest.mark.soak


def live_a_day(org: sf.Org, rng: random.Random) -> None:
    """Some of the things that can happen, half of them at one stamp; now and then the recycle bin is emptied."""
    for _ in range(rng.randint(1, 6)):
        change_something(org, rng)
        if rng.random() < 0.5:
            org.pass_time(timedelta(minutes=rng.randint(1, 90)))
    if rng.random() < 0.1:
        org.do("purge")
    org.pass_time(timedelta(days=1))


@pytest.mark.parametrize("way", sf.WAYS)
def test_raw_is_the_org_after_ten_weeks_of_faults_and_an_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    rng = drawn()
    monkeypatch.setenv("TEST_SALESFORCE_ID", sf.CLIENT)
    monkeypatch.setenv("TEST_SALESFORCE_SECRET", sf.SECRET)
    struck: Counter[str] = Counter()
    with serve("salesforce", 0, tmp_path / "state.sqlite") as server:
        world = SalesforceWorld(server.url)
        world.org.do("behave", page=7)
        deployments = sf.Deployments(tmp_path / "deployment")
        for day in range(DAYS):
            live_a_day(world.org, rng)
            if day in OUTAGE:
                continue
            whole = WHOLE if day % 7 == 6 else {}  # the week is one by the clock of who reads, which stands still here
            settings, warehouse = deployments(server.url, bulk_from=sf.WAYS[way], **whole)
            world.order(orders(rng, "session", "request_limit", on="/services/data"))
            salesforce.sync(settings, warehouse)
            struck.update(world.struck())
        world.order([])
        settings, warehouse = deployments(server.url, bulk_from=sf.WAYS[way], **WHOLE)
        salesforce.sync(settings, warehouse)
        sf.assert_equal(warehouse, world.org)
        assert sf.live_rows(warehouse, "RecordMerge"), "some were merged"
        gone = [row for row in sf.all_rows(warehouse, "Lead").values() if row["_ab_cdc_deleted_at"] is not None]
        assert gone, "some were deleted"
    assert sum(struck.values()) > DAYS // 2
