"""Salesforce on bad days: faults, kills, spent budgets, expired sessions, records of which no page can be made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestion import salesforce
from ingestion.salesforce.session import PatientSession
from settings import ROOT, TailraceError
from tests.ingestion.salesforce.support import (
    CLIENT,
    SECRET,
    WAYS,
    Deployments,
    Org,
    assert_equal,
    in_both_ways,
    live_rows,
)
from tests.ingestion.salesforce.test_sync import LONG, WHOLE, position

pytestmark = pytest.mark.operations


def live_on(org: Org) -> None:
    org.pass_time(LONG)
    org.account("newcomer")
    contact = sorted(live for live in org.all(_table("Contact")))[0]
    org.delete("Contact", contact)
    org.create_all("Lead", [{"LastName": f"l{n}", "Company": "x"} for n in range(13)])


def _table(name: str) -> Any:
    from tests.ingestion.salesforce.support import TABLES

    return next(table for table in TABLES if table.name == name)


CHILD = """
import os, signal, sys
from pathlib import Path
from ingestion import salesforce
from ingestion.rest import Lander, landing
from settings import load_settings
from warehouse import open_warehouse

left = int(sys.argv[2])

def die():
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[3] == "before":
    land = Lander.land
    Lander.land = lambda *a, **k: (die(), land(*a, **k))[1]
else:
    write = landing.positions.write
    landing.positions.write = lambda con, source, *a: (source == "salesforce" and die(), write(con, source, *a))[1]
settings = load_settings(config_path=Path(sys.argv[1]))
salesforce.sync(settings, open_warehouse(settings))
"""


@in_both_ways
def test_killed_at_any_commit_the_next_sync_goes_on(org: Org, deployment: Deployments, way: str) -> None:
    """Before a landing begins, or with its rows written and its position not: again and again, until it is through."""
    org.do("behave", page=4)
    without = "[User, Campaign, Lead, Event, Task, OpportunityContactRole, OpportunityFieldHistory]"
    settings, warehouse = deployment(org.url, bulk_from=WAYS[way], without=without, **WHOLE)
    died = 0
    for life in range(30):
        arguments = [str(settings.config_path), str(1 + life % 3), "before" if life % 2 else "within"]
        done = subprocess.run([sys.executable, "-c", CHILD, *arguments], cwd=ROOT, capture_output=True, timeout=120)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr[-500:]
        died += 1
        if live_rows_or_none(warehouse.path):
            names = ("Account", "Contact", "Opportunity", "OpportunityLineItem")
            assert all(len(live_rows(warehouse, name)) <= len(org.all(_table(name))) for name in names)
        if position_of_all(warehouse):
            break
    assert died > 2
    salesforce.sync(settings, warehouse)
    assert_equal(warehouse, org, names=("Account", "Contact", "Opportunity", "OpportunityLineItem"))


def live_rows_or_none(path: Path) -> bool:
    return os.path.exists(path)


def position_of_all(warehouse: Any) -> bool:
    """Whether the last object has been read whole."""
    from warehouse import positions

    with warehouse.reader() as con:
        found = positions.read(con, "salesforce", "OpportunityLineItem")
    return found is not None and found["stamp"] is not None


def test_an_expired_session_is_answered_by_one_login(org: Org, deployment: Deployments, waits: list[str]) -> None:
    org.do("faults", faults=[{"kind": "session", "on": "describe", "skip": 3}])
    settings, warehouse = deployment(org.url)
    salesforce.sync(settings, warehouse)
    assert_equal(warehouse, org)


def test_a_session_that_is_refused_again_is_one_line(org: Org, deployment: Deployments, waits: list[str]) -> None:
    org.do("faults", faults=[{"kind": "session", "on": "describe", "times": 99}])
    settings, warehouse = deployment(org.url)
    with pytest.raises(TailraceError, match="401"):
        salesforce.sync(settings, warehouse)


def test_a_spent_budget_ends_the_sync_and_the_next_day_goes_on(org: Org, deployment: Deployments) -> None:
    org.do("behave", limit=100, used=0, page=4)
    settings, warehouse = deployment(org.url, api_budget_share=0.2)
    report = salesforce.sync(settings, warehouse)
    assert report.requests <= 20 + 1, "the login is not metered"
    assert "20 of 100" in str(report.note)
    assert "later run" in str(report.note)
    for _ in range(10):
        org.do("behave", used=0)
        if salesforce.sync(settings, warehouse).note is None:
            break
    assert_equal(warehouse, org)


def test_an_org_whose_limit_is_exceeded_ends_the_sync(org: Org, deployment: Deployments, waits: list[str]) -> None:
    org.do("faults", faults=[{"kind": "request_limit", "on": "Contact", "times": 99}])
    settings, warehouse = deployment(org.url)
    report = salesforce.sync(settings, warehouse)
    assert "limit of API requests is exceeded" in str(report.note)
    assert set(live_rows(warehouse, "Account")) == set(org.all(_table("Account")))
    org.do("faults", faults=[])
    assert salesforce.sync(settings, warehouse).note is None
    assert_equal(warehouse, org)


@in_both_ways
def test_a_record_of_which_no_page_can_be_made_is_left_out_told_and_read_when_it_can_be(
    org: Org, deployment: Deployments, waits: list[str], way: str
) -> None:
    settings, warehouse = deployment(org.url, bulk_from=WAYS[way])
    first = salesforce.sync(settings, warehouse)
    assert first.skipped.total() == 0
    org.pass_time(LONG)
    made = org.create_all("Lead", [{"LastName": f"l{n}", "Company": "x"} for n in range(11)])
    org.do("behave", page=4)
    org.do("faults", faults=[{"kind": "poison", "record": made[6]}])
    for _ in range(2):
        report = salesforce.sync(settings, warehouse)
        assert report.skipped == {"Lead": 1}
        assert set(live_rows(warehouse, "Lead")) == set(org.all(_table("Lead"))) - {made[6]}
        assert set(position(warehouse, "Lead")["skipped"]) == {made[6]}
    settings, warehouse = deployment(org.url, bulk_from=WAYS[way], **WHOLE)
    assert salesforce.sync(settings, warehouse).skipped == {"Lead": 1}
    org.do("faults", faults=[])
    assert salesforce.sync(settings, warehouse).skipped.total() == 0
    assert_equal(warehouse, org)


def test_an_object_that_cannot_be_read_does_not_keep_the_others(
    org: Org, deployment: Deployments, waits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingestion.salesforce.api import Org as Client
    from ingestion.salesforce.session import UnreadableError

    query = Client.query

    def broken(self: Client, soql: str) -> Any:
        if "FROM Lead" in soql:
            raise UnreadableError("Salesforce: query Lead: answers 500")
        return query(self, soql)

    monkeypatch.setattr(Client, "query", broken)
    settings, warehouse = deployment(org.url)
    with pytest.raises(TailraceError, match="query Lead"):
        salesforce.sync(settings, warehouse)
    assert set(live_rows(warehouse, "Task")) == set(org.all(_table("Task")))
    monkeypatch.setattr(Client, "query", query)
    salesforce.sync(settings, warehouse)
    assert_equal(warehouse, org)


def test_an_org_that_is_down_is_one_line(deployment: Deployments, waits: list[str]) -> None:
    settings, warehouse = deployment("http://127.0.0.1:1")
    with pytest.raises(TailraceError, match="not reachable") as failure:
        salesforce.sync(settings, warehouse)
    assert "\n" not in str(failure.value)


def test_a_refused_login_is_one_line_without_a_secret(
    org: Org, deployment: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = SECRET.replace("sandbox", "wrong")
    monkeypatch.setenv("TEST_SALESFORCE_SECRET", wrong)
    settings, warehouse = deployment(org.url)
    with pytest.raises(TailraceError) as failure:
        salesforce.sync(settings, warehouse)
    line = str(failure.value)
    assert "TEST_SALESFORCE_SECRET" in line
    assert "\n" not in line
    assert wrong not in line
    assert CLIENT not in line


@pytest.mark.parametrize("url", ["http://acme.my.salesforce.com", "https://acme.example.com", "acme"])
def test_an_address_that_is_no_orgs_is_refused(url: str) -> None:
    with pytest.raises(TailraceError, match="no org's domain"):
        PatientSession(url, budget_share=1.0)


@pytest.mark.parametrize("auth", ["password", "jwt_bearer"])
def test_the_other_ways_to_log_in(
    org: Org, deployment: Deployments, monkeypatch: pytest.MonkeyPatch, auth: str
) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    monkeypatch.setenv("TEST_SALESFORCE_KEY", pem.decode())
    monkeypatch.setenv("TEST_SALESFORCE_PASSWORD", "sandbox-password")
    more = {"username": "integration@example.com", "password_env": "TEST_SALESFORCE_PASSWORD"}
    settings, warehouse = deployment(org.url, auth=auth, private_key_env="TEST_SALESFORCE_KEY", **more)
    salesforce.sync(settings, warehouse)
    assert_equal(warehouse, org)


def test_a_gap_of_forty_days_is_closed(org: Org, deployment: Deployments) -> None:
    settings, warehouse = deployment(org.url)
    salesforce.sync(settings, warehouse)
    live_on(org)
    org.pass_time(timedelta(days=40))
    org.do("purge")
    live_on(org)
    settings, warehouse = deployment(org.url, **WHOLE)
    salesforce.sync(settings, warehouse)
    assert_equal(warehouse, org)
