"""From the stored position of each object to the present: changes by their stamps, and the whole when that is due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb

from ingestion.rest import Batch, Change, Lander, seen
from ingestion.salesforce.api import MissingError, Org, Page
from ingestion.salesforce.objects import ACCOUNT, MERGEABLE, MERGES, REGION, SOURCE, Stream, stream, streams
from ingestion.salesforce.session import UnreadableError
from pii_policies import Contracts
from settings import SalesforceSource, TailraceError
from warehouse import positions, quote

if TYPE_CHECKING:
    from ingestion.salesforce import SalesforceReport

PAGE = 2_000  # records that Salesforce gives at once, at most
_NAMED = 100  # skipped records that a query can name without growing too long for an address
_EPOCH = "1970-01-01T00:00:00.000Z"
_NEW: Mapping[str, Any] = {
    "stamp": None,
    "compared_at": None,
    "moves": 0,
    "changes": None,
    "whole": None,
    "skipped": {},
}


def read(org: Org, *, source: SalesforceSource, contracts: Contracts, lander: Lander, report: SalesforceReport) -> None:
    """Every object, accounts first. One that cannot be read does not keep the others from being read.

    Raises TailraceError for the first that could not be, when all others are done.
    """
    org.check_budget()
    tables = streams(contracts, source)
    stored = lander.prepare([table.name for table in tables])
    regional, moves, problem = False, 0, None
    # What an earlier run did not get to comes before what it did, lest a small budget never reach the last object.
    for table in sorted(tables, key=lambda table: (table.name != ACCOUNT, _is_through(stored[table.name]))):
        try:
            described = org.describe(table.name)
        except MissingError:
            raise TailraceError(
                f"Salesforce has no object {table.name}, or the integration user may not see it; grant access, or name "
                "it under sources.salesforce.without"
            ) from None
        if table.name == ACCOUNT:
            regional = any(each["name"] == REGION for each in described)
            if not regional and (stored[ACCOUNT] or {}).get("regional"):
                raise TailraceError(
                    f"Salesforce: accounts no longer show {REGION}, by which it is decided what lands in this region; "
                    "grant the integration user access to that field"
                )
        found = stream(contracts, table, described, regional=regional)
        reading = _Object(
            org, stream=found, position=stored[table.name], moves=moves, source=source, lander=lander, report=report
        )
        try:
            reading.position["regional"] = regional
            reading.sync()
        except UnreadableError as error:
            problem = problem or error
        if table.name == ACCOUNT:
            moves = reading.position["moves"]
    if problem is not None:
        raise problem


class _Object:
    """One object's way to the present.

    Its position: ``stamp`` (up to which changes are landed, None before the first reading of the whole), ``changes``
    and ``whole`` (walks that are under way), ``compared_at`` (when the whole was last read), ``moves`` (accounts: how
    often some moved to another region; other objects: up to which of these they were read whole), ``skipped`` (id →
    stamp of records that no page can be made of) and ``regional`` (whether accounts named their regions).
    A walk: ``since`` and ``upto`` (stamps, both included), ``after`` (the last record landed), ``bulk`` (whether by a
    job), ``job`` and ``locator``; of the whole also ``began`` and ``moves``, as they were then.
    """

    def __init__(
        self,
        org: Org,
        *,
        stream: Stream,
        position: dict[str, Any] | None,
        moves: int,
        source: SalesforceSource,
        lander: Lander,
        report: SalesforceReport,
    ) -> None:
        self.position: dict[str, Any] = dict(_NEW) | (position or {})
        self._org, self._source, self._lander, self._report = org, source, lander, report
        self._stream, self._moves = stream, moves
        self._regions: dict[str, str | None] = {}

    def sync(self) -> None:
        if self._stream.strange:
            self._report.unclassified[self._stream.name] = Counter(self._stream.strange)
        if self._stream.missing:
            self._report.missing[self._stream.name] = self._stream.missing
        try:
            if self.position["stamp"] is None:
                self._report.mode = "full"
            else:
                self._follow()
                self._retry_skipped()
            if self.position["whole"] is not None:
                self._walk("whole")
            elif self.position["stamp"] is None or self._is_due():
                self._read_whole()
        finally:
            if self.position["skipped"]:
                self._report.skipped[self._stream.name] = len(self.position["skipped"])

    # what is to be read

    def _follow(self) -> None:
        """What changed since, and a little before: one request, unless there is much."""
        since = _earlier(self.position["stamp"], timedelta(minutes=self._source.overlap_minutes))
        if self.position["changes"] is None:
            try:
                page = self._org.query(self._soql([f"{self._stream.cursor} >= {since}"], order="changes"))
            except UnreadableError:
                page = None
            if page is not None and not page.more:
                if page.records:
                    stamp = max(self.position["stamp"], self._key(page.records[-1])[0])
                    self._land(page.records, {"stamp": stamp})
                return
            bulk = page is not None and page.total >= self._source.bulk_from
            page = None  # it would be held through the whole walk
            self._keep({"changes": _walk(since=since, upto=self._newest(), bulk=bulk)})
        self._walk("changes")

    def _is_due(self) -> bool:
        """Whether the whole is to be read: for what moves no stamp, and for what is gone without a trace."""
        if self._stream.account is not None and self._stream.name != ACCOUNT and self.position["moves"] < self._moves:
            return True
        hours = self._source.compare_hours if self._stream.calculated else self._source.reconcile_hours
        return datetime.now(UTC) >= datetime.fromisoformat(self.position["compared_at"]) + timedelta(hours=hours)

    def _read_whole(self) -> None:
        """One request and one transaction where a page holds all, else a walk."""
        try:
            page = self._org.query(self._soql([], order="whole"))
        except UnreadableError:
            page = None
        if page is not None and not page.more:
            newest = max((self._key(each)[0] for each in page.records), default=_EPOCH)
            walk = _walk(since=_EPOCH, upto=newest, bulk=False) | {"moves": self._moves, "began": None}
            self.position = self.position | {"whole": walk}
            self._land_page("whole", page, {}, done=True)
            return
        bulk = page is not None and page.total >= self._source.bulk_from
        page = None
        walk = _walk(since=_EPOCH, upto=self._newest(), bulk=bulk) | {"moves": self._moves}

        def forget(con: duckdb.DuckDBPyConnection) -> None:
            seen.forget(con, SOURCE, self._stream.name)
            walk["began"] = positions.stamp(con).isoformat()

        self._keep({"whole": walk}, then=forget)
        self._walk("whole")

    def _newest(self) -> str:
        """The newest stamp of all."""
        cursor = self._stream.cursor
        soql = f"SELECT Id, {cursor} FROM {self._stream.name} ORDER BY {cursor} DESC LIMIT 1"  # noqa: S608
        page = self._org.query(soql)
        return self._key(page.records[0])[0] if page.records else _EPOCH

    # walks

    def _walk(self, kind: str) -> None:
        """Go through ``changes`` or the ``whole``, from where the walk stands to its end."""
        if self.position[kind]["bulk"]:
            try:
                self._walk_job(kind)
                return
            except UnreadableError:  # page by page then, which tells the record that is at fault
                self._move(kind, {"bulk": False, "job": None, "locator": ""})
        self._walk_query(kind)

    def _walk_job(self, kind: str) -> None:
        for last in (False, True):
            try:
                if self.position[kind]["job"] is None:
                    walk = self.position[kind]
                    bounds = [] if kind == "whole" else self._bounds(walk)
                    self._move(kind, {"job": self._org.start_job(self._soql(bounds)), "locator": ""})
                job = self.position[kind]["job"]
                self._org.await_job(job)
                while True:
                    page = self._org.job_page(job, self.position[kind]["locator"])
                    self._land_page(kind, page, {"locator": page.more}, done=not page.more)
                    if not page.more:
                        return
            except MissingError:  # results are kept for a week only
                if last:
                    raise
                self._move(kind, {"job": None, "locator": ""})

    def _walk_query(self, kind: str) -> None:
        """By pages in the order of the walk; one that cannot be had is narrowed down to the record at fault."""
        locator, limit = "", 0
        while True:
            try:
                page = self._page(kind, locator, limit)
            except MissingError:
                if not locator:
                    raise
                locator = ""  # locators live for minutes: on by key
                continue
            except UnreadableError:
                if locator:
                    locator = ""
                    continue
                self._org.check_budget()  # whether it answers at all; if not, this is what is told
                limit = (limit or PAGE) // 2
                if not limit and not self._skip(kind):
                    return
                continue
            done = not page.more and (not limit or len(page.records) < limit)
            self._land_page(kind, page, {"after": self._last(kind, page)}, done=done)
            if done:
                return
            locator = page.more
            limit = 0 if limit * 2 >= PAGE else limit * 2

    def _page(self, kind: str, locator: str, limit: int) -> Page:
        if locator:
            return self._org.query_more(locator)
        soql = self._soql(self._place(kind), order=kind, limit=limit)
        if not limit:
            return self._org.query(soql)
        with self._org.hasty():
            return self._org.query(soql)

    def _skip(self, kind: str) -> bool:
        """Pass the record that comes next, and remember it; False when there is none, and the walk is done."""
        where = " AND ".join([*self._place(kind), *self._spare()])
        soql = f"SELECT Id, {self._stream.cursor} FROM {self._stream.name}{f' WHERE {where}' if where else ''}"  # noqa: S608
        page = self._org.query(f"{soql} ORDER BY {self._order(kind)} LIMIT 1")
        if not page.records:
            self._land_page(kind, page, {}, done=True)
            return False
        stamp, key = self._key(page.records[0])
        after = key if kind == "whole" else [stamp, key]
        walk = self.position[kind] | {"after": after}
        self._keep({kind: walk, "skipped": self.position["skipped"] | {key: stamp}})
        return True

    def _retry_skipped(self) -> None:
        for key in list(self.position["skipped"]):
            try:
                with self._org.hasty():
                    page = self._org.query(self._select([f"Id = '{key}'"]))
            except UnreadableError:
                continue
            skipped = {name: stamp for name, stamp in self.position["skipped"].items() if name != key}
            self._land(page.records, {"skipped": skipped})

    # queries

    def _soql(self, conditions: list[str], *, order: str = "", limit: int = 0) -> str:
        """The query for a part of a walk. What is skipped already need not break its page again."""
        return self._select([*conditions, *self._spare()], order=order, limit=limit)

    def _spare(self) -> list[str]:
        return [f"Id != '{key}'" for key in list(self.position["skipped"])[:_NAMED]]

    def _select(self, conditions: list[str], *, order: str = "", limit: int = 0) -> str:
        text = f"SELECT {self._stream.selected} FROM {self._stream.name}"  # noqa: S608 - names are describe's
        text += f" WHERE {' AND '.join(conditions)}" if conditions else ""
        text += f" ORDER BY {self._order(order)}" if order else ""
        return text + (f" LIMIT {limit}" if limit else "")

    def _order(self, kind: str) -> str:
        return "Id" if kind == "whole" else f"{self._stream.cursor}, Id"

    def _bounds(self, walk: Mapping[str, Any]) -> list[str]:
        cursor = self._stream.cursor
        return [f"{cursor} >= {walk['since']}", f"{cursor} <= {walk['upto']}"]

    def _place(self, kind: str) -> list[str]:
        """The conditions for what the walk has not landed yet."""
        walk, cursor = self.position[kind], self._stream.cursor
        if kind == "whole":
            return [f"Id > '{walk['after']}'"] if walk["after"] else []
        if not walk["after"]:
            return self._bounds(walk)
        stamp, key = walk["after"]
        return [f"({cursor} > {stamp} OR ({cursor} = {stamp} AND Id > '{key}'))", f"{cursor} <= {walk['upto']}"]

    def _last(self, kind: str, page: Page) -> Any:
        """Where the walk stands after a page. A record that changed since the walk began says nothing about that."""
        walk = self.position[kind]
        if kind == "whole":
            return max([walk["after"] or "", *(self._key(each)[1] for each in page.records)]) or None
        known = [list(self._key(each)) for each in page.records]
        return max([walk["after"] or ["", ""], *(each for each in known if each[0] <= walk["upto"])], default=None)

    def _key(self, record: Mapping[str, Any]) -> tuple[str, str]:
        stamp, key = self._stream.read(record, self._stream.cursor), self._stream.read(record, "Id")
        return stamp or _EPOCH, key or ""

    # landing

    def _land_page(self, kind: str, page: Page, progress: dict[str, Any], *, done: bool) -> None:
        walk = self.position[kind]
        if not done:
            self._land(page.records, {kind: walk | progress}, whole=kind == "whole")
            return
        ended: dict[str, Any] = {kind: None}
        if kind == "changes" or self.position["stamp"] is None:
            ended["stamp"] = max(walk["upto"], self.position["stamp"] or _EPOCH)
        if kind == "whole":
            ended["compared_at"] = datetime.now(UTC).isoformat(timespec="seconds")
            if self._stream.name != ACCOUNT:
                ended["moves"] = walk["moves"]
        self._land(page.records, ended, whole=kind == "whole", sweep=kind == "whole")

    def _move(self, kind: str, progress: dict[str, Any]) -> None:
        self._keep({kind: self.position[kind] | progress})

    def _keep(self, progress: dict[str, Any], *, then: Any = None) -> None:
        """Store a position without rows."""
        landed = self.position | progress
        self.position = self._lander.land(
            Batch(), stream=self._stream.name, position=lambda _: landed, region_of=lambda _: None, then=then
        )

    def _land(
        self, records: list[dict[str, Any]], progress: dict[str, Any], *, whole: bool = False, sweep: bool = False
    ) -> None:
        """Commit records with the position that covers them; ``sweep`` ends a whole."""
        name, batch = self._stream.name, Batch()
        began = (self.position["whole"] or {}).get("began")
        self._regions = {}
        records.reverse()
        while records:  # each is let go of once its row is made
            self._take(batch, records.pop())
        changes = batch.changes.get(name, {})
        living = [key for key, change in changes.items() if not change.deleted]

        def then(con: duckdb.DuckDBPyConnection) -> None:
            if name in MERGEABLE and living:  # one that was taken out of the recycle bin again
                self._lander.tombstone_where(con, MERGES, '"Id" in (select unnest(?::varchar[]))', [living])
            if whole:
                self._see(con, list(changes))
            if sweep:
                self._sweep(con, began)
            if self._stream.appends and self._stream.parent is not None:
                field, above = self._stream.parent
                gone = f'select "Id" from {self._lander.tables[above].sql} where _ab_cdc_deleted_at is not null'  # noqa: S608
                self._lander.tombstone_where(con, name, f"{quote(field)} in ({gone})", [])

        def position(moved: set[str]) -> dict[str, Any]:
            more = {"moves": self.position["moves"] + 1} if moved and name == ACCOUNT else {}
            return self.position | progress | more

        self.position = self._lander.land(
            batch,
            stream=name,
            position=position,
            region_of=self._regions.get,
            changed_only=True,
            then=then,
        )

    def _take(self, batch: Batch, record: Mapping[str, Any]) -> None:
        read, name = self._stream.read, self._stream.name
        key = read(record, "Id")
        if key is None:
            return
        fields = {field: read(record, field) for field in self._stream.fields}
        deleted = fields.get("IsDeleted") == "true"
        subject = read(record, self._stream.account) if self._stream.account else None
        region = read(record, self._stream.region) if self._stream.region else None
        if name == ACCOUNT:
            batch.stated[key] = self._lander.residency.ours(region)
        elif subject is not None:
            self._regions[subject] = region
        batch.put(name, key, Change(row=self._lander.row(name, fields), subject=subject, deleted=deleted))
        survivor = fields.get("MasterRecordId") if name in MERGEABLE else None
        if deleted and survivor is not None:
            account = survivor if name == ACCOUNT else subject
            merge = {"Id": key, "MasterRecordId": survivor, "Object": name, "AccountId": account}
            merge["MergedAt"] = self._key(record)[0]
            batch.put(MERGES, key, Change(row=self._lander.row(MERGES, merge), subject=subject))

    def _see(self, con: duckdb.DuckDBPyConnection, keys: list[str]) -> None:
        seen.add(con, SOURCE, self._stream.name, keys)

    def _sweep(self, con: duckdb.DuckDBPyConnection, began: str | None) -> None:
        """Mark as deleted what was not in the whole. What was landed while a walk went on, it may have passed."""
        self._see(con, list(self.position["skipped"]))
        if not self._stream.appends:
            met = seen.met('"Id"')
            gone = f"not {met} and (_airbyte_extracted_at < ?::timestamptz or ?::timestamptz is null)"
            self._lander.tombstone_where(con, self._stream.name, gone, [SOURCE, self._stream.name, began, began])
        seen.forget(con, SOURCE, self._stream.name)


def _is_through(position: Mapping[str, Any] | None) -> bool:
    """Whether an object was read to the end when it was read last."""
    return position is not None and position["stamp"] is not None and not (position["whole"] or position["changes"])


def _walk(*, since: str, upto: str, bulk: bool) -> dict[str, Any]:
    return {"since": since, "upto": upto, "after": None, "bulk": bulk, "job": None, "locator": ""}


def _earlier(stamp: str, time: timedelta) -> str:
    moment = max(datetime.fromisoformat(stamp) - time, datetime.fromisoformat(_EPOCH))
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
