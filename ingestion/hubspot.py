"""HubSpot: every object listed once, from then on searched by its modification stamp, with a sweep of the archive.

Guarantees: a position commits with the rows it covers. The search index lags and stamps collide, so each sync looks
back ``OVERLAP`` and walks by (stamp, id), never by offset: an object that is modified during the walk cannot push
another one out of sight, and the search's cap of 10,000 results is never reached.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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

LISTED = 100
SEARCHED = 200
OVERLAP = timedelta(minutes=5)


@dataclass(frozen=True)
class _Stream:
    """An object type: the property that dates its last modification, and the one that names its company."""

    name: str
    modified: str
    company: str | None


# Companies first: they state the region that contacts and deals follow.
STREAMS = (
    _Stream("companies", modified="hs_lastmodifieddate", company=None),
    _Stream("contacts", modified="lastmodifieddate", company="associatedcompanyid"),
    _Stream("deals", modified="hs_lastmodifieddate", company="hs_primary_associated_company"),
)


class HubSpotReport(SyncReport):
    """The report of one HubSpot sync; streams are ``companies``, ``contacts`` and ``deals``."""


def sync(settings: Settings, warehouse: DuckDBWarehouse, *, progress: Progress | None = None) -> HubSpotReport:
    """Bring ``raw_hubspot`` up to the portal's present state and return what was done.

    ``progress`` is told in words what has landed. Raises TailraceError, one line, when HubSpot cannot be reached or
    refuses the token; what was landed until then stays, and the next sync goes on from there.
    """
    started = time.monotonic()
    source = settings.sources.hubspot
    report = HubSpotReport(source="hubspot")
    client = RestClient(name="HubSpot", url=source.url, token=source.token(), token_env=source.token_env)
    lander = Lander(
        source="hubspot",
        contracts=load_contracts(),
        residency=Residency(source="hubspot", settings=settings),
        warehouse=warehouse,
        report=report,
        progress=progress,
    )
    try:
        _Portal(client=client, lander=lander, report=report).sync()
    finally:
        client.close()
        report.requests, report.retries = client.requests, client.retries
        report.seconds = time.monotonic() - started
    return report


class _Portal:
    """One portal's way from its stored position to the present.

    Position of the stream ``portal``: ``generation`` (of the last full listing), ``again`` (why contacts and deals are
    due to be listed again) and, for each of ``streams``, ``since`` (stamp in ms up to which it is landed), ``listing``
    (whether a full listing is under way) and ``after`` (the page that it goes on with).
    """

    def __init__(self, *, client: RestClient, lander: Lander, report: SyncReport) -> None:
        self._client = client
        self._lander = lander
        self._report = report
        self._position: dict[str, Any] = {}
        self._properties = {stream.name: _properties(stream, lander) for stream in STREAMS}

    def sync(self) -> None:
        stored = self._lander.prepare(["portal"])["portal"]
        self._position = stored or {"generation": 0, "again": None, "streams": {}}
        for stream in STREAMS:
            if self._position["again"] and stream.company:
                self._list_again()
            if stream.name not in self._position["streams"]:
                self._anchor(stream)
            overlap = OVERLAP
            if self._position["streams"][stream.name]["listing"]:
                self._report.mode = "full"
                self._list(stream)
                overlap = timedelta()  # the listing does not lag: it showed all that was modified before it began
            self._search(stream, overlap)
            self._sweep_archive(stream)

    def _anchor(self, stream: _Stream) -> None:
        """The start of a full listing: what is modified after the newest stamp of now, the search will find."""
        newest = self._find(stream, [], sort=stream.modified, descending=True, limit=1)
        since = _stamp(stream, newest[0]) if newest else 0
        self._position["streams"][stream.name] = {"since": since, "listing": True, "after": None}

    def _list_again(self) -> None:
        self._report.note = self._position["again"]
        self._position |= {"generation": self._position["generation"] + 1, "again": None}
        for stream in STREAMS:
            if stream.company:
                self._anchor(stream)

    # listing, searching, the archive

    def _list(self, stream: _Stream) -> None:
        after: str | None = self._position["streams"][stream.name]["after"]
        batch = Batch()
        more = True
        while more:
            objects, after = self._page(stream, after=after, archived=False)
            for item in objects:
                self._take(stream, batch, item)
            more = after is not None
            if more and batch.size >= BATCH:
                self._land(stream, batch, {"after": after})
                batch = Batch()
        self._land(stream, batch, {"listing": False, "after": None}, sweep=self._position["generation"] > 0)

    def _search(self, stream: _Stream, overlap: timedelta) -> None:
        batch = Batch()
        since: int = self._position["streams"][stream.name]["since"]
        for objects in self._walk(stream, max(0, since - overlap // timedelta(milliseconds=1))):
            for item in objects:
                self._take(stream, batch, item)
                since = max(since, _stamp(stream, item))
            if batch.size >= BATCH:
                self._land(stream, batch, {"since": since}, changed_only=True)
                batch = Batch()
        if batch.size:
            self._land(stream, batch, {"since": since}, changed_only=True)

    def _walk(self, stream: _Stream, since: int) -> Iterator[list[Json]]:
        """Objects modified at ``since`` (ms) or later, each once, in the order of their stamps."""
        seen: set[str] = set()
        while True:
            page = self._find(stream, [_is(stream.modified, "GTE", since)], sort=stream.modified)
            yield [item for item in page if item["id"] not in seen]
            if len(page) < SEARCHED:
                return
            last = _stamp(stream, page[-1])
            if last > since:
                seen = {item["id"] for item in page if _stamp(stream, item) == last}
                since = last
            else:  # a page full of one stamp, as a bulk edit leaves it: go through it by id, then past it
                yield from self._walk_stamp(stream, since)
                seen = set()
                since += 1

    def _walk_stamp(self, stream: _Stream, stamp: int) -> Iterator[list[Json]]:
        window = [_is(stream.modified, "GTE", stamp), _is(stream.modified, "LTE", stamp)]
        last = "0"
        while page := self._find(stream, [*window, _is("hs_object_id", "GT", last)], sort="hs_object_id"):
            yield page
            last = page[-1]["id"]

    def _sweep_archive(self, stream: _Stream) -> None:
        """Deleted objects go to the archive; no search shows them and no filter narrows the archive."""
        gone: list[str] = []
        after, more = None, True
        while more:
            objects, after = self._page(stream, after=after, archived=True)
            gone += [item["id"] for item in objects]
            more = after is not None
            if gone and (len(gone) >= BATCH or not more):
                self._lander.remove(stream.name, gone, generation=self._position["generation"])
                gone = []

    # objects

    def _take(self, stream: _Stream, batch: Batch, item: Json) -> None:
        properties = item["properties"]
        if stream.company is None:
            batch.stated[item["id"]] = self._lander.residency.ours(properties.get("region"))
            subject = item["id"]
        else:
            subject = properties.get(stream.company) or None
        fields = {name: value for name, value in item.items() if name != "properties"}
        fields |= {f"properties_{name}": value for name, value in properties.items()}
        batch.put(stream.name, item["id"], Change(row=self._lander.row(stream.name, fields), subject=subject))

    def _region_of(self, company: str) -> object:
        """The region of a company that no page has shown, archived or not; None when it is gone for good."""
        for archived in ("false", "true"):
            try:
                query = [("properties", "region"), ("archived", archived)]
                return self._client.get(f"/crm/v3/objects/companies/{company}", query)["properties"].get("region")
            except ApiError as error:
                if not error.is_missing:
                    raise
        return None

    # requests and landing

    def _page(self, stream: _Stream, *, after: str | None, archived: bool) -> tuple[list[Json], str | None]:
        """One page of the listing and the cursor of the next."""
        query = [("limit", str(LISTED)), ("archived", "true" if archived else "false")]
        if not archived:
            query.append(("properties", ",".join(self._properties[stream.name])))
        if after is not None:
            query.append(("after", after))
        answer = self._client.get(f"/crm/v3/objects/{stream.name}", query)
        return list(answer["results"]), ((answer.get("paging") or {}).get("next") or {}).get("after")

    def _find(
        self, stream: _Stream, filters: list[Json], *, sort: str, descending: bool = False, limit: int = SEARCHED
    ) -> list[Json]:
        """The first ``limit`` objects that meet all filters."""
        body: Json = {
            "limit": limit,
            "sorts": [{"propertyName": sort, "direction": "DESCENDING" if descending else "ASCENDING"}],
            "properties": self._properties[stream.name],
            "filterGroups": [{"filters": filters}] if filters else [],
        }
        return list(self._client.post(f"/crm/v3/objects/{stream.name}/search", body)["results"])

    def _land(
        self,
        stream: _Stream,
        batch: Batch,
        progress: dict[str, Any],
        *,
        changed_only: bool = False,
        sweep: bool = False,
    ) -> None:
        generation = self._position["generation"]
        streams = self._position["streams"]
        landed = self._position | {"streams": streams | {stream.name: streams[stream.name] | progress}}

        def final(moved: set[str]) -> dict[str, Any]:
            if stream.company or not moved:
                return landed
            return landed | {"again": f"{len(moved)} companies moved to another region"}

        def swept(con: duckdb.DuckDBPyConnection) -> None:
            gone = "_airbyte_generation_id < ?"
            self._lander.tombstone_where(con, stream.name, gone, [generation], generation=generation)

        self._position = self._lander.land(
            batch,
            stream="portal",
            position=final,
            region_of=self._region_of,
            generation=generation,
            changed_only=changed_only,
            then=swept if sweep else None,
        )


def _properties(stream: _Stream, lander: Lander) -> list[str]:
    """What to ask for: the properties that land, and those that place and date an object."""
    landing = {
        column.name.removeprefix("properties_")
        for column in lander.tables[stream.name].columns
        if column.name.startswith("properties_")
    }
    return sorted(landing | {stream.modified, stream.company or "region"})


def _is(name: str, operator: str, value: object) -> Json:
    return {"propertyName": name, "operator": operator, "value": str(value)}


def _stamp(stream: _Stream, item: Json) -> int:
    """When the object was last modified, in ms since 1970."""
    moment = datetime.fromisoformat(item["properties"].get(stream.modified) or item["updatedAt"])
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
