"""A sandbox Salesforce over HTTP, and what reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.sandbox import serve
from ingestion.salesforce.session import PatientSession
from tests.ingestion.salesforce.support import CLIENT, SECRET, Deployments, Org


@pytest.fixture
def org(tmp_path: Path) -> Iterator[Org]:
    """Three accounts with what belongs to them, a lead, a campaign and a user."""
    with serve("salesforce", 0, tmp_path / "salesforce.sqlite") as server:
        org = Org(server.url)
        for name in ("one", "two", "three"):
            org.account(name)
        org.create("Lead", LastName="Lead", Company="Nobody")
        org.create("Campaign", Name="Fair")
        org.create("User", LastName="Seller", Username="seller@example.com")
        yield org


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployments:
    """``deployment(url, region=…, bulk_from=…)``: its settings and warehouse, with credentials exported."""
    for name in ("TAILRACE_HOME", "TAILRACE_REGION", "TAILRACE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TEST_SALESFORCE_ID", CLIENT)
    monkeypatch.setenv("TEST_SALESFORCE_SECRET", SECRET)
    return Deployments(tmp_path / "deployment")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No waiting between attempts; what ``Retry-After`` asked for is noted here."""
    asked: list[str] = []
    monkeypatch.setattr(PatientSession, "_pause", lambda self, attempt, wait: asked.append(wait))
    return asked
