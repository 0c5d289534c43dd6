"""The daily job of retention, run by Dagster: values past their days go, the receipt stands, ``status`` says so."""

from __future__ import annotations

import pytest
from dagster import DagsterInstance

from orchestration.commands.status import describe
from orchestration.defs.deployment import Deployment
from orchestration.defs.privacy import JOBS, SCHEDULES
from privacy import receipts
from tests.privacy.support import JANE, Home, receipt


def test_the_daily_job_empties_what_is_past_its_days_and_status_shows_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**home.settings.process_environment, "PYTHONWARNINGS": "ignore"}.items():
        monkeypatch.setenv(name, value)  # as the job sets them itself; undone afterwards
    with home.warehouse.writer("test") as con:
        con.execute("update raw_app.audit_log set occurred_at = '2020-01-01', _ab_cdc_updated_at = '2020-01-01'")
        con.execute("update raw_app.comments set created_at = '2020-01-01', _ab_cdc_updated_at = '2020-01-01'")
    before = describe(home.settings)["retention"]
    assert before["enforced_at"] is None
    past = {each["class"]: each["overdue_values"] for each in before["classes"]}
    assert (past["network_address"], past["free_text"]) == (1, 5)

    (job,) = (each for each in JOBS if each.name == "privacy_retention")
    assert [each.job_name for each in SCHEDULES] == [job.name]
    with DagsterInstance.ephemeral() as instance:
        done = job.execute_in_process(resources={"deployment": Deployment()}, instance=instance)
        assert done.success
        told = " ".join(record.message for record in instance.all_logs(done.run_id))
    assert JANE not in told

    (path,) = receipts.receipts_dir(home.settings).glob("*.json")
    assert path.name in told
    assert receipts.verify(path).problems == ()
    assert {(each["table"], each["column"], each["rows"]) for each in receipt(path)["emptied"]} >= {
        ("raw_app.audit_log", "ip", 1),
        ("raw_app.comments", "body", 5),
    }
    after = describe(home.settings)["retention"]
    assert [each["overdue_values"] for each in after["classes"]] == [0] * len(after["classes"])
    assert after["enforced_at"] is not None
