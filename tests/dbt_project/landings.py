"""A company's raw rows, random but for the seeds, and how they land: in three rounds, late, twice and out of order."""

from __future__ import annotations

import itertools
import json
import random
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from tests.dbt_project import money_oracle, mrr_oracle, usage_oracle
from tests.dbt_project.mrr_oracle import History
from tests.dbt_project.support import Deployment, Row
from tests.dbt_project.usage_oracle import START

LANDED_AT = datetime(2026, 6, 1, tzinfo=UTC)
ROUNDS = 3


class Landings:
    """What a product, Stripe and its books tell. ``events``: of usage, a round; a seed is a history of customers."""

    def __init__(self, *, seeds: Sequence[int], events: int = 1_000) -> None:
        self.events = events
        self.product = usage_oracle.Product(seed=1)
        self.histories = [mrr_oracle.random_history(seed, customers=25) for seed in seeds]
        first = self.histories[0].events
        self.books = money_oracle.random_books(3, sorted({event["object"]["customer"] for event in first}))

    def land(self, deployment: Deployment, number: int) -> None:
        """One round: late events, duplicates, updates, deletes, a day that vanishes whole."""
        if number == 0:
            self.land_directory(deployment)
        events = stripe_events(self.histories)
        again = list({row["id"]: row for row in events[3::4] + events[::5]}.values())
        # Day 0 is landed first and deleted whole for one tenant; nothing that comes later falls on it.
        days, stripe = [(range(0, 10), events[::2]), (range(3, 45), events[1::4]), (range(1, 45), again)][number]
        at = LANDED_AT + timedelta(days=number)
        self.product.live(days, events=self.events)
        if number == 1:
            self.product.delete_day(min(self.product.tenants), START.date())
        for table, rows in self.product.batches():
            deployment.land("app", table, rows, at=at)
        deployment.land("stripe", "events", stripe, at=at)
        # Payments land before the invoices that they pay, lines before or after theirs.
        for place, table in enumerate(sorted(self.books.tables)):
            deployment.land("stripe", table, self.books.tables[table][(number + place) % 3 :: 3], at=at)

    def land_in_order(self, deployment: Deployment) -> None:
        """What all rounds come to, once and in the order in which it happened."""
        self.land_directory(deployment)
        at = LANDED_AT + timedelta(days=9)
        for table, rows in self.product.rows.items():
            deployment.land("app", table, [row for row in rows.values() if not row["_deleted"]], at=at)
        events = sorted(stripe_events(self.histories), key=lambda row: str(row["created"]))
        deployment.land("stripe", "events", events, at=at)
        for table, stripe_rows in self.books.tables.items():
            deployment.land("stripe", table, stripe_rows, at=at)

    def land_directory(self, deployment: Deployment) -> None:
        """Tenants, their users and entitlements; customers, coupons, discounts."""
        events = [event for history in self.histories for event in history.events]
        customers = sorted({event["object"]["customer"] for event in events})
        tenants = sorted({*self.product.tenants, *filter(None, map(tenant_of, customers))})
        deployment.land("app", "tenants", [_tenant(tenant) for tenant in tenants], at=LANDED_AT)
        users = [(tenant, user) for tenant, users in self.product.users.items() for user in users]
        deployment.land("app", "users", [{"tenant_id": t, "id": u, "role": "member"} for t, u in users], at=LANDED_AT)
        deployment.land("app", "entitlements", list(_entitlements(self.product.tenants)), at=LANDED_AT)
        named = [{"id": each, "metadata": json.dumps({"tenant_id": tenant_of(each)})} for each in customers]
        deployment.land("stripe", "customers", named, at=LANDED_AT)
        coupons = [coupon for history in self.histories for coupon in history.coupons.values()]
        deployment.land("stripe", "coupons", coupons, at=LANDED_AT)
        discounts = [_discount(*pair) for history in self.histories for pair in sorted(history.discounts.items())]
        # Half of the discounts are known from their object, half from their event.
        deployment.land("stripe", "discounts", [_object_row(each) for each in discounts[::2]], at=LANDED_AT)
        deployment.land("stripe", "events", [_discount_event(each) for each in discounts[1::2]], at=LANDED_AT)


def tenant_of(customer: str) -> str | None:
    """Every third customer names no tenant."""
    number = int(customer.rsplit("_", 1)[1])
    return str(uuid.UUID(int=number, version=4)) if number % 3 else None


def stripe_events(histories: list[History]) -> list[Row]:
    """Events as they land, in an order that has nothing to do with when they happened."""
    rows: Iterator[Row] = (
        {**{key: event[key] for key in ("id", "type", "created")}, "data": json.dumps({"object": event["object"]})}
        for history in histories
        for event in history.events
    )
    landed = list(rows)
    random.Random(0).shuffle(landed)
    return landed


def _tenant(tenant: str) -> Row:
    who = {"id": tenant, "name": f"Tenant {tenant[:4]}", "slug": tenant[:4]}
    return who | {"tier": "pool", "region": "us", "plan": "growth"}


def _entitlements(tenants: list[str]) -> Iterator[Row]:
    """Every limit of every tenant, and of one seats that grow in the middle of a month."""
    for number, (tenant, feature) in enumerate(
        itertools.product(tenants, ("seats", "workflow_runs", "api_requests", "ai_tokens"))
    ):
        bought = {"tenant_id": tenant, "feature": feature, "unit": "units", "limit_value": 5 + number, "valid_to": None}
        yield bought | {"id": str(uuid.UUID(int=number, version=4)), "valid_from": START - timedelta(days=30)}
    more = {"id": str(uuid.UUID(int=10**6, version=4)), "limit_value": 11, "valid_from": START + timedelta(days=20)}
    yield {"tenant_id": tenants[0], "feature": "seats", "unit": "units", "valid_to": None} | more


def _discount(discount: str, coupon: str) -> dict[str, object]:
    return {"id": discount, "object": "discount", "source": {"type": "coupon", "coupon": coupon}}


def _object_row(discount: dict[str, object]) -> Row:
    return {"id": discount["id"], "source": json.dumps(discount["source"])}


def _discount_event(discount: dict[str, object]) -> Row:
    return {
        "id": f"evt_{discount['id']}",
        "type": "customer.discount.created",
        "created": int(LANDED_AT.timestamp()),
        "data": json.dumps({"object": discount}),
    }
