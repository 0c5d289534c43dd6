"""Stripe: every stream listed once, from then on the events feed, applied in its order.

Guarantees: a position commits with the rows it covers, so whatever dies, the next sync goes on from there and neither
loses nor doubles an object. The first sync notes the newest event, lists, and then reads what happened meanwhile from
the feed. When the feed no longer holds the noted event (it keeps 30 days), everything is listed again, and what is
not there any more is marked as deleted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import duckdb

from ingestion.rest import (
    BATCH,
    ApiError,
    Batch,
    Change,
    Json,
    Lander,
    Progress,
    Residency,
    RestClient,
    SyncReport,
)
from pii_policies import load_contracts
from settings import Settings
from warehouse import DuckDBWarehouse

PAGE = 100
# Listed in this order: a refund is placed by its charge, everything else by its customer.
STREAMS = ("products", "prices", "coupons", "customers", "subscriptions", "invoices", "charges", "refunds", "events")
QUERIES: dict[str, tuple[tuple[str, str], ...]] = {
    "subscriptions": (("status", "all"), ("expand[]", "data.discounts")),
    "refunds": (("expand[]", "data.charge"),),
}
STREAM_OF = {
    "product": "products",
    "price": "prices",
    "coupon": "coupons",
    "customer": "customers",
    "subscription": "subscriptions",
    "discount": "discounts",
    "invoice": "invoices",
    "charge": "charges",
    "refund": "refunds",
}
CATALOGUE = frozenset({"product", "price", "coupon", "promotion_code", "plan", "tax_rate"})
# `customer.subscription.deleted` is not among them: a canceled subscription still exists.
DELETIONS = frozenset(
    {"product.deleted", "price.deleted", "coupon.deleted", "customer.deleted", "customer.discount.deleted"}
    | {"invoice.deleted"}
)
# Events of customers who live in another region now; a refund names its charge only.
_ABROAD = """(
    with abroad as (select subject from tailrace.residency where source = 'stripe' and not ours)
    select id from raw_stripe.events
    where data->>'$.object.customer' in (from abroad) or data->>'$.object.id' in (from abroad)
        or data->>'$.object.charge' in (select id from raw_stripe.charges where customer in (from abroad))
)"""


class StripeReport(SyncReport):
    """The report of one Stripe sync; streams are Stripe's object types in the plural."""


def sync(settings: Settings, warehouse: DuckDBWarehouse, *, progress: Progress | None = None) -> StripeReport:
    """Bring ``raw_stripe`` up to the account's present state and return what was done.

    ``progress`` is told in words what has landed. Raises TailraceError, one line, when Stripe cannot be reached or
    refuses the key; what was landed until then stays, and the next sync goes on from there.
    """
    started = time.monotonic()
    source = settings.sources.stripe
    report = StripeReport(source="stripe")
    client = RestClient(
        name="Stripe",
        url=source.url,
        token=source.api_key(),
        token_env=source.api_key_env,
        headers={"Stripe-Version": source.api_version},
    )
    lander = Lander(
        source="stripe",
        contracts=load_contracts(),
        residency=Residency(source="stripe", settings=settings),
        warehouse=warehouse,
        report=report,
        progress=progress,
    )
    try:
        _Account(client=client, lander=lander, report=report).sync()
    finally:
        client.close()
        report.requests, report.retries = client.requests, client.retries
        report.seconds = time.monotonic() - started
    return report


class _Account:
    """One account's way from its stored position to the present.

    Position of the stream ``account``: ``last_event`` (the newest that is applied), ``generation`` (of the last full
    listing), ``listing`` (``stream`` and ``after``, while one is under way) and ``again`` (why one is due).
    """

    def __init__(self, *, client: RestClient, lander: Lander, report: SyncReport) -> None:
        self._client = client
        self._lander = lander
        self._report = report
        self._batch = Batch()
        self._charges: dict[str, str | None] = {}

    def sync(self) -> None:
        position = self._lander.prepare(["account"])["account"]
        for _ in range(3):  # what happens during a pass is left to the next one; no need to chase a busy account
            if position is None:
                position = self._anchor(generation=0)
            elif position["again"] or (position["last_event"] is None and not position["listing"]):
                self._report.note = position["again"]
                position = self._anchor(generation=position["generation"] + 1)
            if position["listing"]:
                self._report.mode = "full"
                position = self._list(position)
            position = self._follow(position)
            if not position["again"]:
                return

    def _anchor(self, *, generation: int) -> dict[str, Any]:
        """The start of a full listing: whatever happens after the newest event of now, the feed will tell."""
        newest = self._page("events", limit=1)[0]
        return {
            "last_event": newest[0]["id"] if newest else None,
            "generation": generation,
            "listing": {"stream": STREAMS[0], "after": None},
            "again": None,
        }

    def _feed_holds(self, event: str) -> bool:
        try:
            self._client.get(f"/v1/events/{event}")
        except ApiError as error:
            if error.is_missing:
                return False
            raise
        return True

    # the full listing

    def _list(self, position: dict[str, Any]) -> dict[str, Any]:
        """List every stream from where ``position`` says, then mark as deleted what was not there."""
        self._state_the_deleted()
        at = STREAMS.index(position["listing"]["stream"])
        after: str | None = position["listing"]["after"]
        for index, stream in enumerate(STREAMS[at:], start=at):
            for objects, more in self._pages(stream, after):
                for item in objects:
                    self._take(stream, item)
                if self._batch.size >= BATCH:
                    here = {"stream": stream, "after": objects[-1]["id"]}
                    there = {"stream": STREAMS[index + 1], "after": None} if index + 1 < len(STREAMS) else here
                    position = self._land(position | {"listing": here if more else there})
            after = None
        generation = position["generation"]
        return self._land(position | {"listing": None}, sweep=generation > 0)

    def _state_the_deleted(self) -> None:
        """Customers that are gone still have invoices; where they belonged, only their last event tells."""
        after = None
        more = True
        while more:
            events, more = self._page("events", after=after, query=(("type", "customer.deleted"),))
            for event in events:
                customer = event["data"]["object"]
                self._batch.stated[customer["id"]] = self._lander.residency.ours(_region(customer))
                after = event["id"]

    def _pages(self, stream: str, after: str | None) -> Iterator[tuple[list[Json], bool]]:
        more = True
        while more:
            try:
                objects, more = self._page(stream, after=after, query=QUERIES.get(stream, ()))
            except ApiError as error:
                if after is None or not error.is_missing:
                    raise
                after = None  # the object that the page was to start after is gone: landing twice does no harm
                continue
            if objects:
                after = objects[-1]["id"]
                yield objects, more

    # the events feed

    def _follow(self, position: dict[str, Any]) -> dict[str, Any]:
        """Apply the events after the last one, oldest first."""
        if position["last_event"] is None:  # an account in which nothing ever happened
            return position
        if not self._feed_holds(position["last_event"]):
            return position | {"again": "the events feed no longer holds the last event that was read"}
        before, more = position["last_event"], True
        while more:
            events, more = self._page("events", before=before)
            for event in reversed(events):
                self._take("events", event)
                self._apply(event)
            before = events[0]["id"] if events else before
            if self._batch.size >= BATCH or (self._batch.size and not more):
                position = self._land(position | {"last_event": before})
        return position

    def _apply(self, event: Json) -> None:
        item = event["data"]["object"]
        stream = STREAM_OF.get(item.get("object", ""))
        if stream is not None:
            self._take(stream, item, deleted=event["type"] in DELETIONS)

    # objects

    def _take(self, stream: str, item: Json, *, deleted: bool = False) -> None:
        """Put an object into the batch, in the shape that a listing and an event share: references are ids."""
        if stream == "events":
            change = self._placed("events", item, item["data"]["object"])
        elif stream == "customers":
            self._batch.stated[item["id"]] = self._lander.residency.ours(_region(item))
            change = Change(row=self._lander.row("customers", item), subject=item["id"], deleted=deleted)
            if isinstance(item.get("discount"), dict):
                self._take("discounts", item["discount"], deleted=deleted)
        elif stream == "subscriptions":
            for discount in item.get("discounts") or []:
                if isinstance(discount, dict):
                    self._take("discounts", discount)
            flat = item | {"discounts": [_id(discount) for discount in item.get("discounts") or []]}
            change = self._placed("subscriptions", flat, item)
        elif stream == "refunds":
            if isinstance(item.get("charge"), dict):
                self._charges[item["charge"]["id"]] = _id(item["charge"].get("customer"))
            change = self._placed("refunds", item | {"charge": _id(item.get("charge"))}, item)
        else:
            if stream == "charges":
                self._charges[item["id"]] = _id(item.get("customer"))
            change = self._placed(stream, item, item, deleted=deleted)
        self._batch.put(stream, item["id"], change)

    def _placed(self, stream: str, item: Json, owned: Json, *, deleted: bool = False) -> Change:
        """A change that belongs where the customer of ``owned`` belongs."""
        row = self._lander.row(stream, item)
        kind = owned.get("object", "")
        if kind in CATALOGUE:
            return Change(row=row, deleted=deleted, everywhere=True)
        customer = owned["id"] if kind == "customer" else _id(owned.get("customer"))
        charge = _id(owned.get("charge"))
        if customer is None and charge is not None:
            customer = self._customer_of(charge)
        return Change(row=row, deleted=deleted, subject=customer)

    def _customer_of(self, charge: str) -> str | None:
        """The customer of a refund's charge: Stripe leaves it out of the refund."""
        if charge not in self._charges:
            try:
                self._charges[charge] = _id(self._client.get(f"/v1/charges/{charge}").get("customer"))
            except ApiError as error:
                if not error.is_missing:
                    raise
                self._charges[charge] = None
        return self._charges[charge]

    def _region_of(self, customer: str) -> object:
        """The region of a customer that no page has shown: asked for, None when it is gone."""
        try:
            return _region(self._client.get(f"/v1/customers/{customer}"))
        except ApiError as error:
            if error.is_missing:
                return None
            raise

    # requests and landing

    def _page(
        self,
        stream: str,
        *,
        limit: int = PAGE,
        after: str | None = None,
        before: str | None = None,
        query: tuple[tuple[str, str], ...] = (),
    ) -> tuple[list[Json], bool]:
        """One page, newest first, and whether there are more in the direction that was asked for."""
        asked = [("limit", str(limit)), *query]
        if after is not None:
            asked.append(("starting_after", after))
        if before is not None:
            asked.append(("ending_before", before))
        answer = self._client.get(f"/v1/{stream}", asked)
        return list(answer["data"]), bool(answer["has_more"])

    def _land(self, position: dict[str, Any], *, sweep: bool = False) -> dict[str, Any]:
        generation = position["generation"]

        def final(moved: set[str]) -> dict[str, Any]:
            if position["listing"] or sweep or not moved:
                return position
            return position | {"again": f"{len(moved)} customers moved to another region"}

        def swept(con: duckdb.DuckDBPyConnection) -> None:
            for stream in self._lander.tables:
                if stream != "events":  # the feed forgets, what it told stays true
                    gone = "_airbyte_generation_id < ?"
                    self._lander.tombstone_where(con, stream, gone, [generation], generation=generation)
            self._lander.tombstone_where(con, "events", f"id in {_ABROAD}", [], generation=generation)
            # an event's copy of the object also says whose it is, so that a deleted row keeps it; not one from abroad
            wiped = f"update raw_stripe.events set data = null, request = null where id in {_ABROAD}"  # noqa: S608
            con.execute(wiped)

        stored = self._lander.land(
            self._batch,
            stream="account",
            position=final,
            region_of=self._region_of,
            generation=generation,
            then=swept if sweep else None,
        )
        self._batch = Batch()
        self._charges = {}
        return stored


def _id(reference: Any) -> str | None:
    """A reference as its id, whether or not Stripe expanded it."""
    found = reference.get("id") if isinstance(reference, dict) else reference
    return found if isinstance(found, str) else None


def _region(customer: Json) -> object:
    return (customer.get("metadata") or {}).get("region")
