"""The sales life in Salesforce of the tenants that HubSpot does not have: the same life, told in its objects.

The plan of a day is a pure function of the seed. Records are made and changed by an external id, so that a day which a
killed process left unfinished is simply lived again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, Literal
from urllib.parse import quote

from demo.company import words
from demo.company.book import MONTHLY_PRICES
from demo.company.roster import Tenant
from demo.company.web import Api, ApiError
from demo.company.world import midnight

SIMULATOR = "00Dsandbox!simulator"  # the sandbox's session for those who live in it
STAGES = ("Prospecting", "Qualification", "Needs Analysis", "Proposal/Price Quote", "Negotiation/Review")
_DATA = "/services/data/v62.0"
_KEY = "External_Key__c"
_LEAD_DAYS = 12  # sales knows a company this long before it signs up
_EXPANSION_EVERY = 40


def sold_by_salesforce(tenant: Tenant) -> bool:
    """Every third tenant came with a sales team of its own, which works in Salesforce."""
    return tenant.index % 3 == 2


@dataclass(frozen=True)
class Step:
    """One change on one day; ``links`` name records by their keys: (field, object, key)."""

    day: int
    action: Literal["put", "delete"]
    object: str
    key: str
    fields: tuple[tuple[str, Any], ...] = ()
    links: tuple[tuple[str, str, str], ...] = ()


class SalesForce:
    """Salesforce. Call ``live`` for one day after the other."""

    def __init__(self, *, api: Api, tenants: tuple[Tenant, ...], seed: int, start: date) -> None:
        self._api, self._seed, self._start = api, seed, start
        self._tenants = tuple(tenant for tenant in tenants if sold_by_salesforce(tenant))
        self._ids: dict[str, str] = {}

    def live(self, day: int) -> None:
        """One day of sales, at noon of Salesforce's clock."""
        noon = datetime.fromtimestamp(midnight(self._start, day) // 1000, UTC) + timedelta(hours=12)
        self._api.send_json("POST", "/sandbox/clock", {"now": noon.isoformat()}, safe=True)
        for step in self._todays(day):
            self._take(step)

    def _todays(self, day: int) -> Iterator[Step]:
        own = (Step(0, "put", "User", "seller", _seller()), *_campaigns())
        for step in (*own, *(s for t in self._tenants for s in _life(self._seed, t, _cycle(t, day), self._start))):
            if step.day == day:
                yield step

    def _take(self, step: Step) -> None:
        path = f"{_DATA}/sobjects/{step.object}/{_KEY}/{quote(step.key)}"
        if step.action == "delete":
            try:
                self._api.delete(path)
            except ApiError as error:
                if error.status != 404:  # deleted already, by a process that was killed later that day
                    raise
            return
        links = {field: self._id(kind, key) for field, kind, key in step.links}
        fields = {**dict(step.fields), **links}
        made = self._api.send_json("PATCH", path, fields, safe=True)
        if made:
            self._ids[f"{step.object}/{step.key}"] = made["id"]

    def _id(self, kind: str, key: str) -> str:
        name = f"{kind}/{key}"
        if name not in self._ids:
            self._ids[name] = self._api.get(f"{_DATA}/sobjects/{kind}/{_KEY}/{quote(key)}")["Id"]
        return self._ids[name]


def _seller() -> tuple[tuple[str, Any], ...]:
    name = (("FirstName", "Leocadia"), ("LastName", "Fairweather"), ("Username", "leocadia@sales.example.com"))
    return (*name, ("Email", "leocadia@sales.example.com"), ("IsActive", True), ("UserType", "Standard"))


def _campaigns() -> tuple[Step, ...]:
    """A fair, at which two people were met who were one."""
    fair = (("Name", "Spring fair"), ("Type", "Conference"), ("Status", "Completed"), ("IsActive", False))
    person = (("FirstName", "Xanthe"), ("LastName", "Quackenbush"), ("Company", "Walk-in Wholesale"))
    return (
        Step(1, "put", "Campaign", "fair", (*fair, ("BudgetedCost", 4000))),
        Step(2, "put", "Lead", "fair:1", (*person, ("Email", "xanthe@walk-in-wholesale.example.org"))),
        Step(3, "put", "Lead", "fair:2", (*person, ("Phone", words.phone_number("us", 42)))),
        Step(6, "put", "Lead", "fair:1", (("Status", "Working - Contacted"), ("Rating", "Warm"))),
        Step(8, "delete", "Lead", "fair:2"),
    )


def _cycle(tenant: Tenant, day: int) -> int:
    """How many expansions of the tenant can have begun by a day."""
    return max(0, day - tenant.signup) // _EXPANSION_EVERY + 1


@cache
def _life(seed: int, tenant: Tenant, expansions: int, start: date) -> tuple[Step, ...]:
    """Everything sales does about a tenant, up to so many expansions."""
    rng = random.Random(f"salesforce/{seed}/{tenant.index}")
    known = max(0, tenant.signup - _LEAD_DAYS)
    account = (("Account", "Account", tenant.slug),)
    owner = ("OwnerId", "User", "seller")
    about = (
        ("Name", tenant.name),
        ("Tenant_Id__c", str(tenant.id)),
        ("Region__c", tenant.region),
        ("Industry", rng.choice(words.INDUSTRIES)),
        ("NumberOfEmployees", tenant.users * rng.randrange(1, 4)),
        ("Website", f"https://{tenant.slug}.example.com"),
        ("Type", "Prospect"),
    )
    to_account = ("AccountId", *account[0][1:])
    steps = [Step(known, "put", "Account", tenant.slug, about, (owner,))]
    steps.append(Step(tenant.signup + 1, "put", "Account", tenant.slug, (("Type", "Customer"),)))
    for n in range(3):
        person = tenant.founder(n)
        first, last = person.full_name.split(" ", 1)
        name = (("FirstName", first), ("LastName", last), ("Title", rng.choice(words.JOB_TITLES)))
        fields = (*name, ("Email", person.email), ("Phone", person.phone))
        steps.append(Step(known, "put", "Contact", f"{tenant.slug}:{n}", fields, (to_account, owner)))
    met = f"Met {tenant.founder(0).full_name}, call back at {tenant.founder(0).phone}"
    links = (("WhoId", "Contact", f"{tenant.slug}:0"), ("WhatId", *account[0][1:]), owner)
    call = (("Subject", f"Call {tenant.founder(0).full_name}"), ("Description", met), ("Status", "Not Started"))
    steps.append(Step(known + 1, "put", "Task", f"{tenant.slug}:call", call, links))
    steps.append(Step(known + 2, "put", "Task", f"{tenant.slug}:call", (("Status", "Completed"),)))
    noon = datetime(start.year, start.month, start.day, 12, tzinfo=UTC) + timedelta(days=known + 3)
    time = (("StartDateTime", _iso(noon)), ("EndDateTime", _iso(noon + timedelta(hours=1))), ("DurationInMinutes", 60))
    meeting = (("Subject", f"Workshop with {tenant.name}"), *time)
    steps.append(Step(known + 2, "put", "Event", f"{tenant.slug}:workshop", meeting, links))
    if rng.random() < 0.5:
        steps.append(Step(tenant.signup + 20 + rng.randrange(15), "delete", "Contact", f"{tenant.slug}:2"))
    steps += _opportunity(rng, tenant, "new", known, start, won=True, until=tenant.signup + 1)
    for n in range(expansions):
        # A stream of its own for each opportunity: one more of them leaves the earlier ones as they were.
        rng = random.Random(f"salesforce/{seed}/{tenant.index}/{n}")
        begin = tenant.signup + 10 + n * _EXPANSION_EVERY + rng.randrange(10)
        steps += _opportunity(rng, tenant, f"expansion {n + 1}", begin, start, won=rng.random() < 0.6)
    return tuple(steps)


def _opportunity(
    rng: random.Random, tenant: Tenant, kind: str, begin: int, start: date, *, won: bool, until: int | None = None
) -> list[Step]:
    """An opportunity with an item, from its first stage to its close; a lost one is deleted ten days later."""
    key = f"{tenant.slug}:{kind}"
    price = MONTHLY_PRICES[tenant.plan][tenant.currency] * 12 / 100
    seats = max(1, round(tenant.users * rng.uniform(0.1, 1.0)))
    day, last = begin, until if until is not None else begin + 25
    fields = (
        ("Name", f"{kind.capitalize()} - {tenant.name}"),
        ("Amount", round(price * seats, 2)),
        ("CurrencyIsoCode", tenant.currency.upper()),
        ("StageName", STAGES[0]),
        ("CloseDate", (start + timedelta(days=last)).isoformat()),
    )
    links = (("AccountId", "Account", tenant.slug), ("OwnerId", "User", "seller"))
    item = (("ProductCode", tenant.plan), ("Name", tenant.plan), ("Quantity", seats), ("UnitPrice", price))
    here = ("OpportunityId", "Opportunity", key)
    person = ("ContactId", "Contact", f"{tenant.slug}:0")
    role = (("Role", "Decision Maker"), ("IsPrimary", True))
    steps = [
        Step(begin, "put", "Opportunity", key, fields, links),
        Step(begin, "put", "OpportunityLineItem", key, item, (here,)),
        Step(begin, "put", "OpportunityContactRole", key, role, (here, person)),
    ]
    for stage in STAGES[1:]:
        day += rng.randrange(2, 6)
        if day < last:
            steps.append(Step(day, "put", "Opportunity", key, (("StageName", stage),)))
    steps.append(Step(last, "put", "Opportunity", key, (("StageName", "Closed Won" if won else "Closed Lost"),)))
    if not won:
        steps.append(Step(last + 10, "delete", "Opportunity", key))
    return steps


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
