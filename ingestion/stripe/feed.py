"""Stripe's events feed: what changed since, in an order that can be relied on.

An event holds its object as it was then. That copy is landed when nothing speaks against it: it is the object's only
event of its newest second, newer than all that was applied before, and written in the API version that is pinned.
Otherwise the object itself is asked for. Each run looks back for events that came late, and knows those it has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import duckdb

from ingestion.rest import landing, seen
from ingestion.rest.client import ApiError, Json, RestClient
from ingestion.rest.connector import Connector, reference
from ingestion.rest.engine import Reading
from ingestion.rest.landing import Change, Lander
from ingestion.rest.residency import abroad
from ingestion.stripe import meters
from ingestion.stripe.report import StripeReport

EVENTS = "events"
METERED = "meter_event_summaries"
# Events of customers who live in another region now; a refund names its charge only.
_OF = (
    abroad("stripe", "data->>'$.object.customer'"),
    abroad("stripe", "data->>'$.object.id'"),
    abroad("stripe", "customer"),
)
_ABROAD = (
    f"(select id from raw_stripe.events where {_OF[0]} or {_OF[1]} "  # noqa: S608
    f"or data->>'$.object.charge' in (select id from raw_stripe.charges where {_OF[2]}))"
)


class StripeReading(Reading):
    """One Stripe account. Its position has beside the engine's:

    ``last_event`` (the newest that is applied), ``upto`` (when it was made, Unix seconds) and ``back`` (one older by
    the overlap, from which the next run reads on; None: from the feed's beginning).
    """

    def __init__(
        self,
        connector: Connector,
        *,
        client: RestClient,
        lander: Lander,
        report: StripeReport,
        version: str,
        account: str = "",
    ) -> None:
        """``version`` is the API version that is asked for."""
        super().__init__(connector, client=client, lander=lander, report=report, account=account)
        self._report = report
        self._version = version
        self._anchored: list[str] = []
        self._recent: dict[str, int] = {}
        self._unread: list[int] = []

    # the whole

    def anchor(self) -> dict[str, Any]:
        newest = self.lists.page(EVENTS, query=[("limit", "1")]).records
        self._anchored = []
        if not newest:
            return {"last_event": None, "upto": 0, "back": None}
        upto = int(newest[0]["created"])
        back = self._older(upto)
        for events in self._since(back):
            self._anchored += [event["id"] for event in events if event["created"] <= upto]
        return {"last_event": newest[0]["id"], "upto": upto, "back": back}

    def begun(self, con: duckdb.DuckDBPyConnection) -> None:
        """What the feed has told until now, the whole will show."""
        seen.forget(con, *self._told)
        seen.add(con, *self._told, self._anchored)

    def before_whole(self) -> None:
        """Customers that are gone still have invoices; where they belonged, only their last event tells."""
        for page in self.lists.walk(EVENTS, query=[("type", "customer.deleted")]):
            for event in page.records:
                customer = event["data"]["object"]
                self.batch.stated[customer["id"]] = self.lander.residency.ours(
                    (customer.get("metadata") or {}).get("region")
                )

    def swept(self, con: duckdb.DuckDBPyConnection) -> None:
        """An event's copy of the object also says whose it is, so that a deleted row keeps it; not one from abroad."""
        self.lander.tombstone_where(con, EVENTS, f"id in {_ABROAD}", [], generation=self.position["generation"])
        con.execute(f"update raw_stripe.events set data = null where id in {_ABROAD}")  # noqa: S608

    def clocks(self) -> dict[str, datetime]:
        """Stripe's clock is that of its events: a sandbox lives in another time."""
        return {**super().clocks(), "feed": datetime.fromtimestamp(self.position.get("upto") or 0, UTC)}

    # records

    def place(self, stream: str, item: Json) -> Callable[[Mapping[str, str | None], bool], Change]:
        if stream != EVENTS:
            return super().place(stream, item)
        told = item["data"]["object"]
        kind = self.connector.stream_of(str(told.get("object", "")))
        subject = self.subject_of(kind, told) if kind else reference(told.get("customer"))
        everywhere = kind is not None and self.connector.streams[kind].residency.everywhere and subject is None
        return lambda row, deleted: Change(row=row, deleted=deleted, subject=subject, everywhere=everywhere)

    # the feed

    def follow(self) -> None:
        last, back = self.position["last_event"], self.position["back"]
        if last is None:
            if self.lists.page(EVENTS, query=[("limit", "1")]).records:
                self.position = self.position | {"again": "the events feed has begun"}
            return
        if not self._holds(last):
            again = "the events feed no longer holds the last event that was read"
            self.position = self.position | {"again": again}
            return
        waiting: list[Json] = []
        self._recent, self._unread = {}, []
        for events in self._since(back if back is not None and self._holds(back) else None):
            waiting += events
            if len(waiting) >= landing.BATCH:
                self._apply(waiting)
                waiting = []
        self._apply(waiting)
        if set(self._unread) - set(self.position["skipped"].get(EVENTS, [])):
            self.position = self.position | {"again": "an event of the feed cannot be read"}
            return
        if self.is_time_for(METERED):
            self._read_meters()

    def _read_meters(self) -> None:
        """The use of days that are new, and of those for which more may have come."""
        look_back = int(self.connector.streams[METERED].properties["look_back_days"])
        oldest = int(self.lander.value("meters", "min(created)", "true", []) or self.position["upto"])
        now = max(int(self.clocks()["ours"].timestamp()), self.position["upto"])
        since, until = meters.window(self.position, now=now, look_back_days=look_back, oldest=oldest)
        wanted = meters.pairs(self.lander, since=since)
        for one in meters.summaries(self.client, self.pool, wanted, since=since, until=until):
            self.take(METERED, one)
            if self.batch.size >= landing.BATCH:
                self.land({})
        # by the feed's clock: a later reading must not miss what a sandbox does in its own time
        self.land({"metered": self.position["upto"], **self.was_read(METERED)})

    def _apply(self, events: list[Json]) -> None:
        """Land events that were not seen yet, oldest first, and what they tell."""
        upto = self.position["upto"]
        self._recent |= {event["id"]: int(event["created"]) for event in events}
        with self.lander.reader() as con:
            known = seen.among(con, *self._told, [event["id"] for event in events])
        fresh = {event["id"]: event for event in events if event["id"] not in known}
        if not fresh:
            return
        ordered = sorted(fresh.values(), key=lambda event: int(event["created"]))
        latest: dict[tuple[str, str], list[Json]] = {}
        for event in ordered:
            self.take(EVENTS, event)
            told = event["data"]["object"]
            stream = self.connector.stream_of(str(told.get("object", "")))
            if stream is not None and reference(told) is not None:
                latest.setdefault((stream, told["id"]), []).append(event)
        doubtful: dict[str, dict[str, Json]] = {}
        for (stream, key), its in latest.items():
            last = its[-1]
            alone = len(its) == 1 or its[-2]["created"] < last["created"]
            if alone and last["created"] > upto and last.get("api_version") == self._version:
                gone = last["type"] in self.connector.streams[stream].deletes
                self.take(stream, last["data"]["object"], deleted=gone)
            else:
                doubtful.setdefault(stream, {})[key] = last
        self._ask(doubtful)
        self._report.late += sum(event["created"] < upto for event in ordered)
        newest = ordered[-1]
        progress: dict[str, Any] = {}
        if newest["created"] >= upto:
            progress = {"last_event": newest["id"], "upto": newest["created"]}
        old = [event for event in events if event["created"] <= progress.get("upto", upto) - self._overlap]
        if old:
            back = max(old, key=lambda event: int(event["created"]))
            progress["back"] = back["id"]
            self._recent = {key: created for key, created in self._recent.items() if created >= back["created"]}

        def then(con: duckdb.DuckDBPyConnection) -> None:
            if old and newest["created"] >= upto:
                # What is older than the next run looks back need not be known any more.
                seen.forget(con, *self._told)
                seen.add(con, *self._told, self._recent)
            else:
                seen.add(con, *self._told, fresh)

        self.land(progress, then=then)

    def _ask(self, doubtful: Mapping[str, Mapping[str, Json]]) -> None:
        """The present state of objects, several at a time; one that is not there any more is deleted."""
        for stream, events in doubtful.items():
            if not self.connector.streams[stream].retrieve:
                for key, event in events.items():
                    self._ask_above(stream, key, event)
                continue
            self._report.asked += len(events)
            for key, found in self.one(stream, events).items():
                self.take(stream, found or events[key]["data"]["object"], deleted=found is None)

    def _ask_above(self, stream: str, key: str, event: Json) -> None:
        """An object that cannot be asked for itself: what it hangs on shows it, or it is gone."""
        told = event["data"]["object"]
        for name, above in (("subscription", "subscriptions"), ("customer", "customers")):
            owner = reference(told.get(name))
            if owner is not None:
                self._report.asked += 1
                found = self.lists.one(above, owner)
                if found is not None:
                    self.take(above, found)
                break
        if key not in self.batch.changes.get(stream, {}) or event["type"] in self.connector.streams[stream].deletes:
            self.take(stream, told, deleted=True)

    def _since(self, back: str | None) -> Iterator[list[Json]]:
        """The events after ``back``, or all that there are, a page at a time, oldest first."""
        if back is None:
            for page in self.lists.walk(EVENTS):
                if page.records:
                    back = page.records[-1]["id"]
                    first = page.records[-1]
            if back is None:
                return
            yield [first]
        while back is not None:
            page = self.lists.newer(EVENTS, back)
            self._unread += page.passed
            if page.records:
                yield page.records[::-1]
            back = page.after

    def _older(self, upto: int) -> str | None:
        """An event that is older than ``upto`` by the overlap; None if the feed holds none."""
        found = self.lists.page(EVENTS, query=[("created[lte]", str(upto - self._overlap)), ("limit", "1")]).records
        return found[0]["id"] if found else None

    def _holds(self, event: str) -> bool:
        try:
            self.client.get(f"/v1/events/{event}")
        except ApiError as error:
            if error.is_missing:
                return False
            raise
        return True

    @property
    def _overlap(self) -> int:
        assert self.connector.feed is not None
        return 60 * self.connector.feed.overlap_minutes

    @property
    def _told(self) -> tuple[str, str]:
        return self.connector.name, f"{self.stream}/feed"
