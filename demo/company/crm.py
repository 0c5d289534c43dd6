"""The sales life in HubSpot: accounts, contacts and opportunities that move through stages, some archived.

The plan of a day is a pure function of the seed. HubSpot takes no idempotency keys, so an object is recognised by its
natural key (domain, e-mail, deal name): what a killed process had already made is found by listing, and reused.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, Literal

from demo.company import words
from demo.company.book import MONTHLY_PRICES
from demo.company.ledger import Ledger
from demo.company.roster import Tenant
from demo.company.web import Api, ApiError
from demo.company.world import midnight

Kind = Literal["companies", "contacts", "products", "deals", "line_items", "tickets"]
_NATURAL_KEY: dict[Kind, str] = {
    "companies": "domain",
    "contacts": "email",
    "products": "name",
    "deals": "dealname",
    "line_items": "name",
    "tickets": "subject",
}
# What a new record hangs on is named by a property, or by an association of a type.
_LINK: dict[Kind, str] = {"contacts": "associatedcompanyid", "deals": "hs_primary_associated_company"}
_TYPE: dict[Kind, int] = {"line_items": 20, "tickets": 26}
_PRODUCT = "Workflows, a seat and year"
STAGES = (
    "appointmentscheduled",
    "qualifiedtobuy",
    "presentationscheduled",
    "decisionmakerboughtin",
    "contractsent",
)
_LEAD_DAYS = 12  # sales knows a company this long before it signs up
_EXPANSION_EVERY = 40
_PRIORITIES = ("LOW", "MEDIUM", "HIGH")
_PROSPECT = "walk-in-wholesale.example.org"  # a company that nobody tied to a tenant or a region


@dataclass(frozen=True)
class Step:
    """One change on one day; ``on`` is the kind and natural key of the object that a new one hangs on."""

    day: int
    action: Literal["create", "update", "archive"]
    kind: Kind
    key: str
    properties: tuple[tuple[str, str], ...] = ()
    on: str | None = None


class Crm:
    """HubSpot. Call ``live`` for one day after the other."""

    def __init__(self, *, api: Api, ledger: Ledger, tenants: tuple[Tenant, ...], seed: int, start: date) -> None:
        self._api, self._tenants, self._seed, self._start = api, tenants, seed, start
        self._ids: dict[str, str] = {key: body["id"] for key, body in ledger.documents("crm").items()}

    def recover(self) -> None:
        """Learn the ids of objects that an unfinished day made, by listing all there are."""
        for kind, name in _NATURAL_KEY.items():
            for archived in ("false", "true"):
                for found in self._list(kind, properties=name, archived=archived):
                    self._ids[f"{kind}/{found['properties'].get(name)}"] = found["id"]

    def live(self, day: int) -> dict[str, dict[str, Any]]:
        """One day of sales, at noon of HubSpot's clock. Returns the ids to remember, by kind and natural key."""
        steps = [step for tenant in self._tenants for step in _life(self._seed, tenant, _cycle(tenant, day))]
        todays = [step for step in (*steps, *_prospect()) if step.day == day]
        noon = datetime.fromtimestamp(midnight(self._start, day) // 1000, UTC) + timedelta(hours=12)
        self._api.send_json("POST", "/sandbox/clock", {"now": _iso(noon)}, safe=True)
        for step in todays:
            self._take(step, noon)
        return {key: {"id": value} for key, value in self._ids.items()}

    def _take(self, step: Step, now: datetime) -> None:
        name, path = f"{step.kind}/{step.key}", f"/crm/v3/objects/{step.kind}"
        properties = dict(step.properties)
        if step.action == "archive":
            if name in self._ids:
                try:
                    self._api.delete(f"{path}/{self._ids[name]}")
                except ApiError as error:
                    if error.status != 404:  # archived already, by a process that was killed later that day
                        raise
            return
        if properties.get("dealstage", "").startswith("closed"):
            properties["closedate"] = _iso(now)
        if name in self._ids:
            self._api.send_json("PATCH", f"{path}/{self._ids[name]}", {"properties": properties}, safe=True)
            return
        body: dict[str, Any] = {"properties": properties | {_NATURAL_KEY[step.kind]: step.key}}
        if step.on is not None and step.kind in _LINK:
            body["properties"][_LINK[step.kind]] = self._ids[step.on]
        elif step.on is not None:
            spec = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": _TYPE[step.kind]}
            body["associations"] = [{"to": {"id": self._ids[step.on]}, "types": [spec]}]
        self._ids[name] = self._api.send_json("POST", path, body, safe=False)["id"]

    def _list(self, kind: Kind, **query: str) -> Iterator[dict[str, Any]]:
        after: dict[str, str] = {}
        while True:
            page = self._api.get(f"/crm/v3/objects/{kind}", limit=100, **query, **after)
            yield from page["results"]
            following = page.get("paging", {}).get("next")
            if not following:
                return
            after = {"after": following["after"]}


def _cycle(tenant: Tenant, day: int) -> int:
    """How many expansion deals of the tenant can have begun by a day."""
    return max(0, day - tenant.signup) // _EXPANSION_EVERY + 1


@cache
def _life(seed: int, tenant: Tenant, expansions: int) -> tuple[Step, ...]:
    """Everything sales does about a tenant, up to so many expansion deals."""
    domain = f"{tenant.slug}.example.com"
    rng = random.Random(f"crm/{seed}/{tenant.index}")
    known = max(0, tenant.signup - _LEAD_DAYS)
    steps = [
        Step(
            known,
            "create",
            "companies",
            domain,
            (
                ("name", tenant.name),
                ("tenant_id", str(tenant.id)),
                ("region", tenant.region),
                ("industry", rng.choice(words.INDUSTRIES)),
                ("numberofemployees", str(tenant.users * rng.randrange(1, 4))),
                ("lifecyclestage", "opportunity"),
            ),
        ),
        Step(tenant.signup + 1, "update", "companies", domain, (("lifecyclestage", "customer"),)),
    ]
    for n in range(3):
        person = tenant.founder(n)
        first, last = person.full_name.split(" ", 1)
        properties = (
            ("firstname", first),
            ("lastname", last),
            ("phone", person.phone),
            ("jobtitle", rng.choice(words.JOB_TITLES)),
        )
        steps.append(Step(known, "create", "contacts", person.email, properties, f"companies/{domain}"))
    steps.append(Step(tenant.signup + 18, "update", "contacts", tenant.founder(1).email, (("jobtitle", "Director"),)))
    if rng.random() < 0.5:
        steps.append(Step(tenant.signup + 20 + rng.randrange(15), "archive", "contacts", tenant.founder(2).email))
    steps += _deal(rng, tenant, f"New business - {tenant.name}", domain, known, won=True, until=tenant.signup + 1)
    for n in range(expansions):
        # A stream of its own for each deal: one more of them leaves the earlier ones as they were.
        rng = random.Random(f"crm/{seed}/{tenant.index}/{n}")
        begin = tenant.signup + 10 + n * _EXPANSION_EVERY + rng.randrange(10)
        steps += _deal(rng, tenant, f"Expansion {n + 1} - {tenant.name}", domain, begin, won=rng.random() < 0.6)
    steps += _tickets(tenant, domain)
    return tuple(steps)


def _tickets(tenant: Tenant, domain: str) -> list[Step]:
    """What support is asked for: every 30 days or so a question, closed a few days later."""
    rng = random.Random(f"support/{tenant.index}/{tenant.slug}")
    steps: list[Step] = []
    for n in range(3):
        day, subject = tenant.signup + 3 + 30 * n + rng.randrange(10), f"Question {n + 1} - {tenant.name}"
        asked = (("hs_pipeline", "0"), ("hs_pipeline_stage", "1"), ("hs_ticket_priority", rng.choice(_PRIORITIES)))
        steps.append(Step(day, "create", "tickets", subject, asked, f"companies/{domain}"))
        for stage, later in (("3", 1), ("4", 2 + rng.randrange(5))):
            steps.append(Step(day + later, "update", "tickets", subject, (("hs_pipeline_stage", stage),)))
    return steps


def _deal(
    rng: random.Random, tenant: Tenant, name: str, domain: str, begin: int, *, won: bool, until: int | None = None
) -> list[Step]:
    """An opportunity from its first stage to its close; a lost one is archived ten days later."""
    amount = MONTHLY_PRICES[tenant.plan][tenant.currency] * tenant.users * 12 // 100
    properties = (
        ("amount", str(round(amount * rng.uniform(0.1, 1.0)))),
        ("deal_currency_code", tenant.currency.upper()),
        ("dealstage", STAGES[0]),
        ("pipeline", "default"),
    )
    steps = [Step(begin, "create", "deals", name, properties, f"companies/{domain}")]
    price = MONTHLY_PRICES[tenant.plan][tenant.currency] * 12 // 100
    seats = (("quantity", str(tenant.users)), ("price", str(price)), ("amount", str(price * tenant.users)))
    steps.append(Step(begin, "create", "line_items", f"Seats - {name}", seats, f"deals/{name}"))
    day, last = begin, until if until is not None else begin + 25
    for stage in STAGES[1:]:
        day += rng.randrange(2, 6)
        if day < last:
            steps.append(Step(day, "update", "deals", name, (("dealstage", stage),)))
    steps.append(Step(last, "update", "deals", name, (("dealstage", "closedwon" if won else "closedlost"),)))
    if not won:
        steps.append(Step(last + 10, "archive", "deals", name))
    return steps


def _prospect() -> tuple[Step, ...]:
    name = "New business - Walk-in Wholesale"
    return (
        Step(0, "create", "products", _PRODUCT, (("price", "228"), ("recurringbillingfrequency", "annually"))),
        Step(2, "create", "companies", _PROSPECT, (("name", "Walk-in Wholesale"), ("lifecyclestage", "lead"))),
        Step(
            2,
            "create",
            "contacts",
            f"accounts@{_PROSPECT}",
            (("firstname", "Ottilie"), ("lastname", "Quackenbush"), ("phone", words.phone_number("us", 77))),
            f"companies/{_PROSPECT}",
        ),
        Step(
            3,
            "create",
            "deals",
            name,
            (("amount", "1800"), ("deal_currency_code", "USD"), ("dealstage", STAGES[0]), ("pipeline", "default")),
            f"companies/{_PROSPECT}",
        ),
        Step(9, "update", "deals", name, (("dealstage", "closedwon"),)),
    )


def _iso(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
