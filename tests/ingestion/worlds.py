"""A small business in each sandbox: what lives there, what of it is to be in raw, and who reads it.

A world writes under a credential that faults spare; its deployment reads under one that they strike.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from demo.sandbox import Running, serve
from demo.sandbox.exchange import Kind
from ingestion import hubspot, salesforce, stripe
from ingestion.hubspot import lists as hubspot_lists
from ingestion.hubspot import portal as hubspot_portal
from ingestion.rest import SyncReport
from settings import Settings
from tests.ingestion.rest import support as rest
from tests.ingestion.rest.portal import Portal
from tests.ingestion.rest.portal import assert_equal as assert_portal_equal
from tests.ingestion.rest.portal import live_on as live_on_in_the_portal
from tests.ingestion.rest.test_stripe import Account
from tests.ingestion.rest.test_stripe import live_on as live_on_in_the_account
from tests.ingestion.salesforce import support as sf
from warehouse import DuckDBWarehouse


class World:
    """What every world has. ``live`` lets things come, change and go; ``assert_equal`` holds raw to what is here."""

    kind: ClassVar[Kind]
    poisonable: ClassVar[tuple[str, str]]
    """a table of which one record can be at fault, and the part of the path where it then is"""
    sync: Callable[[Settings, DuckDBWarehouse], SyncReport]

    def __init__(self, url: str) -> None:
        self.url = url
        self._control = rest.SandboxClient(url, "simulator")

    def order(self, faults: list[dict[str, Any]]) -> None:
        self._control.json("/sandbox/faults", {"faults": faults})

    def victim(self) -> str:
        """The id of a record that can be at fault."""
        raise NotImplementedError

    def struck(self) -> dict[str, int]:
        """How often which fault did, since they were ordered."""
        return dict(self._control.get("/sandbox/faults")["struck"])


class _Account(Account):
    """An account to which its owner comes back."""

    def pass_days(self, days: int) -> None:
        clock = self.api.get("/v1/test_helpers/test_clocks/clock_sandbox")["frozen_time"]
        founded = bool(self.api.get("/v1/products")["data"])
        self.now = max(self.now, clock) if founded else self.now
        super().pass_days(days)


class StripeWorld(World):
    kind: ClassVar[Kind] = "stripe"
    poisonable = ("raw_stripe.invoices", "/v1/invoices")
    sync = staticmethod(stripe.sync)

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.account = _Account(rest.SandboxClient(url, "sk_test_simulator"))

    def found(self) -> None:
        for number in range(105):
            customer = self.account.customer(f"tenant{number}")
            if number % 15 == 0:
                self.account.subscribe(customer, coupon=True)
        self.account.pass_days(35)

    def victim(self) -> str:
        return str(self.account.all("invoices")[3]["id"])

    def live(self) -> None:
        live_on_in_the_account(self.account)
        for number in range(105):
            self.account.customer(f"late{self.account.now}-{number}")

    def deployment(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Settings, DuckDBWarehouse]:
        monkeypatch.setenv("TEST_STRIPE_KEY", rest.STRIPE_KEY)
        return rest.Deployments(home)(stripe=self.url)

    def assert_equal(self, warehouse: DuckDBWarehouse) -> None:
        for stream, objects in self.account.streams().items():
            rest.assert_equal_rows(warehouse, "stripe", stream, objects)


class HubSpotWorld(World):
    kind: ClassVar[Kind] = "hubspot"
    poisonable = ("raw_hubspot.contacts", "objects/contacts")
    sync = staticmethod(hubspot.sync)

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.portal = Portal(rest.SandboxClient(url, "pat-simulator"))

    def found(self) -> None:
        self.portal.account("company")
        for batch in range(2):
            self.portal.create("contacts", [{"firstname": f"n{batch}-{n}"} for n in range(60)])

    def victim(self) -> str:
        return str(self.portal.objects("contacts")[70]["id"])

    def live(self) -> None:
        live_on_in_the_portal(self.portal)
        self.portal.create("contacts", [{"firstname": f"m{n}"} for n in range(60)])

    def deployment(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Settings, DuckDBWarehouse]:
        monkeypatch.setenv("TEST_HUBSPOT_TOKEN", rest.HUBSPOT_TOKEN)
        for module in (hubspot_lists, hubspot_portal):
            monkeypatch.setattr(module, "SEARCHED", 25)
        return rest.Deployments(home)(hubspot=self.url)

    def assert_equal(self, warehouse: DuckDBWarehouse) -> None:
        assert_portal_equal(warehouse, self.portal)


class SalesforceWorld(World):
    kind: ClassVar[Kind] = "salesforce"
    poisonable = ("raw_salesforce.Lead", "")
    sync = staticmethod(salesforce.sync)
    bulk_from = 1_000_000
    names = ("Account", "Contact", "Lead")

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.org = sf.Org(url)
        self._lives = 0

    def found(self) -> None:
        for name in ("one", "two", "three"):
            self.org.account(name)
        self.org.create_all("Lead", [{"LastName": f"l{n}", "Company": "x"} for n in range(13)])

    def victim(self) -> str:
        return sorted(self.org.all(next(table for table in sf.TABLES if table.name == "Lead")))[6]

    def live(self) -> None:
        self._lives += 1
        self.org.pass_time(timedelta(hours=1))
        self.org.account(f"newcomer{self._lives}")
        table = next(table for table in sf.TABLES if table.name == "Contact")
        self.org.delete("Contact", sorted(self.org.all(table))[0])
        self.org.create_all("Lead", [{"LastName": f"l{n}", "Company": "x"} for n in range(13)])

    def deployment(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Settings, DuckDBWarehouse]:
        monkeypatch.setenv("TEST_SALESFORCE_ID", sf.CLIENT)
        monkeypatch.setenv("TEST_SALESFORCE_SECRET", sf.SECRET)
        self.org.do("behave", page=5)
        left = f"[{', '.join(name for name in sf.NAMES if name not in self.names)}]"
        return sf.Deployments(home)(self.url, bulk_from=self.bulk_from, without=left)

    def assert_equal(self, warehouse: DuckDBWarehouse) -> None:
        sf.assert_equal(warehouse, self.org, names=self.names, calculated=False)


class BulkSalesforceWorld(SalesforceWorld):
    bulk_from = 1


WORLDS: dict[str, type[Any]] = {
    "stripe": StripeWorld,
    "hubspot": HubSpotWorld,
    "salesforce": SalesforceWorld,
    "salesforce-bulk": BulkSalesforceWorld,
}


def open_world(name: str, state: Path) -> tuple[Running, Any]:
    """The sandbox over a state file, and who lives in it."""
    running = serve(WORLDS[name].kind, 0, state)
    return running, WORLDS[name](running.url)
