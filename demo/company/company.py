"""The sample company: founded once, then living day after day in Postgres, Stripe and a CRM.

A day is lived in this order: Stripe, HubSpot and Salesforce (``billing``, ``crm``, ``salesforce``), entered in the
ledger in one transaction; then the product, tenant by tenant, in units of half a day, each one transaction together
with the tenant's progress. Every plan is a pure function of the seed and of what is already recorded, so a process
killed anywhere is followed by one that does exactly what was left to do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import psycopg

from demo.company import activity, founding
from demo.company.billing import Billing
from demo.company.crm import Crm
from demo.company.ledger import Ledger
from demo.company.product import Product
from demo.company.roster import REGIONS, Tenant, product_database, roster
from demo.company.salesforce import SIMULATOR, SalesForce, sold_by_salesforce
from demo.company.web import Api, ApiError
from demo.company.world import UNITS_A_DAY, TenantState
from settings import TailraceError, postgres_problem

Progress = Callable[[int, date], None]


class Company:
    """One world: a seed and a number of tenants from a first day on.

    ``server`` runs Postgres; ``state`` is the ledger's file; the APIs are given by URL and token. Without a Salesforce
    all tenants are sold to by HubSpot.
    """

    def __init__(
        self,
        *,
        server: founding.Server,
        state: Path,
        stripe_url: str,
        stripe_key: str,
        hubspot_url: str,
        hubspot_token: str,
        salesforce_url: str | None = None,
        seed: int = 7,
        tenants: int = 40,
        start: date = date(2026, 1, 1),
    ) -> None:
        self._server, self._state = server, state
        self._stripe = (stripe_url, stripe_key)
        self._hubspot = (hubspot_url, hubspot_token)
        self._salesforce = salesforce_url
        self._seed, self._start = seed, start
        self.tenants: tuple[Tenant, ...] = roster(seed=seed, tenants=tenants)

    def found(self) -> None:
        """Make what is missing of databases, roles, schemas, publication and ledger. Safe to repeat."""
        with self._clear_errors(), self._ledger() as ledger:
            ledger.enrol(self.tenants)
            founding.found(self._server, tenants=self.tenants, start=self._start)

    @property
    def ledger_path(self) -> Path:
        """The company's own books (SQLite, see ``demo.company.ledger``): the oracle of tests."""
        return self._state

    @property
    def days_lived(self) -> int:
        """Whole days behind the company."""
        with self._ledger() as ledger:
            return int(ledger.get("days_lived") or 0)

    def live(self, days: int, progress: Progress | None = None) -> None:
        """Live the next ``days`` days; one that a killed process left unfinished is finished first and counts as one.

        To reach a day whatever went before: ``company.live(day - company.days_lived)``.

        ``progress`` is called after each with its number (from 0) and date. Raises TailraceError when Postgres or an
        API does not answer or refuses.
        """
        with self._clear_errors(), self._ledger() as ledger:
            first = int(ledger.get("days_lived") or 0)
            self._live(ledger, range(first, first + days), progress or (lambda day, date: None))

    def personal_values(self, limit: int | None = None) -> Iterator[tuple[str, str]]:
        """(kind, value) of personal values in the product databases, at most ``limit`` of a kind and tenant.

        Kinds: email, full_name, phone, comment.
        """
        with Product(self._app_dsn) as product:
            for tenant in self.tenants:
                yield from product.personal_values(tenant, limit=limit)

    def _live(self, ledger: Ledger, days: range, progress: Progress) -> None:
        stripe = Api(name="Stripe", url=self._stripe[0], token=self._stripe[1])
        hubspot = Api(name="HubSpot", url=self._hubspot[0], token=self._hubspot[1])
        sales = Api(name="Salesforce", url=self._salesforce, token=SIMULATOR) if self._salesforce else None
        world = {"tenants": self.tenants, "seed": self._seed, "start": self._start}
        try:
            billing = Billing(api=stripe, ledger=ledger, **world)  # type: ignore[arg-type]
            theirs = tuple(tenant for tenant in self.tenants if not (sales and sold_by_salesforce(tenant)))
            crm = Crm(api=hubspot, ledger=ledger, **{**world, "tenants": theirs})  # type: ignore[arg-type]
            force = SalesForce(api=sales, **world) if sales else None  # type: ignore[arg-type]
            with Product(self._app_dsn) as product:
                states: dict[int, TenantState] = {}
                for day in days:
                    self._do_business(ledger, billing, crm, force, day)
                    for tenant in self.tenants:
                        if tenant.signup <= day:
                            self._use_product(ledger, billing, product, states, tenant, day)
                    product.flush()
                    ledger.set("days_lived", str(day + 1))
                    progress(day, self._start + timedelta(days=day))
        finally:
            stripe.close()
            hubspot.close()
            if sales is not None:
                sales.close()

    def _do_business(self, ledger: Ledger, billing: Billing, crm: Crm, force: SalesForce | None, day: int) -> None:
        """The commercial day, unless it is in the books already."""
        if int(ledger.get("business_days") or 0) > day:
            return
        if ledger.get("business_begun") == str(day):
            crm.recover()
        ledger.set("business_begun", str(day))
        documents, mrr = billing.live(day)
        documents["crm"] = crm.live(day)
        meta = {"business_days": str(day + 1)}
        if force is not None:
            for missed in range(int(ledger.get("salesforce_days") or 0), day + 1):  # more than one where it came late
                force.live(missed)
            meta["salesforce_days"] = str(day + 1)
        ledger.close_day(meta=meta, documents=documents, mrr=mrr)

    def _use_product(
        self,
        ledger: Ledger,
        billing: Billing,
        product: Product,
        states: dict[int, TenantState],
        tenant: Tenant,
        day: int,
    ) -> None:
        """The tenant's units of the day that are not committed yet."""
        done = 0
        if tenant.index not in states:
            reached, units = product.progress(tenant)
            done = units if reached == day else 0
            if done == UNITS_A_DAY:
                return
            states[tenant.index] = product.load(tenant, start=self._start, day=day)
        for unit in range(done, UNITS_A_DAY):
            batch = activity.plan(
                seed=self._seed,
                tenant=tenant,
                standing=billing.standing(tenant),
                start=self._start,
                day=day,
                unit=unit,
                state=states[tenant.index],
            )
            ledger.record(batch, day=day, unit=unit)
            product.write(tenant, batch, day=day, unit=unit + 1)

    def _ledger(self) -> Ledger:
        ledger = Ledger(self._state)
        ledger.claim({"seed": str(self._seed), "tenants": str(len(self.tenants)), "start": self._start.isoformat()})
        return ledger

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        """What can fail outside this program, as one line without a personal value."""
        try:
            yield
        except ApiError as error:
            raise TailraceError(f"{error}; check the API's url and credential in tailrace.yml") from None
        except psycopg.OperationalError as error:
            raise TailraceError(postgres_problem(self._app_dsn(product_database(REGIONS[0])), error)) from None
        except sqlite3.OperationalError as error:
            raise TailraceError(f"{self._state}: {error}; free it (or the disk) and go on") from None

    def _app_dsn(self, database: str) -> str:
        return self._server.dsn(database, role="app_rw")
