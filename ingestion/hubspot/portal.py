"""One portal's way from its stored position to the present: what was modified, what is gone, what became one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import duckdb

from ingestion.hubspot.lists import SEARCHED, HubSpotLists, Read, milliseconds
from ingestion.hubspot.report import HubSpotReport
from ingestion.rest import ApiError, Change, Connector, Json, Lander, Reading, RestClient, landing, seen
from warehouse import quote

ASSOCIATIONS, HISTORY, MERGES = "associations", "property_history", "merges"
# Where an association names its records, by kind.
COLUMNS = {
    "companies": "linked_company_id",
    "contacts": "contact_id",
    "deals": "deal_id",
    "tickets": "ticket_id",
    "line_items": "line_item_id",
}
_MERGED = "hs_merged_object_ids"
# Kinds whose merges name both records in columns of their own.
_ONE = {"companies": "company", "contacts": "contact"}


class HubSpotReading(Reading):
    """One portal. Its position has beside the engine's ``since``: stream → stamp (ms) up to which it is landed.

    ``skipped`` are ids here: of records of which HubSpot can make no answer.
    """

    lists: HubSpotLists

    def __init__(
        self, connector: Connector, *, client: RestClient, lander: Lander, report: HubSpotReport, lists: HubSpotLists
    ) -> None:
        super().__init__(connector, client=client, lander=lander, report=report)
        self.lists = lists
        self._searched = [name for name, spec in connector.streams.items() if spec.cursor.kind == "search"]
        self._merged: dict[str, set[str]] = {}
        self._through = {name: str(through) for name, through in _stated(connector, "through")}
        self._shorts = [name for name, spec in connector.streams.items() if spec.cursor.kind == "whole"]

    # the whole

    def anchor(self) -> dict[str, Any]:
        """What is modified after the newest stamps of now, searches will find."""
        newest = {name: self.lists.find(name, [], **self._newest_first(name)) for name in self._searched}
        return {"since": {name: found[0][1] if found else 0 for name, found in newest.items()}}

    def sweep(self, con: duckdb.DuckDBPyConnection, stream: str, began: str) -> None:
        skipped = [str(key) for key in self.position["skipped"].get(stream, [])]
        seen.add(con, *self._seen_as(stream), skipped)
        super().sweep(con, stream, began)

    def retry_skipped(self) -> None:
        """Ask again for records of which no answer could be made."""
        for stream, keys in self.position["skipped"].items():
            read = self.lists.read(stream, [str(key) for key in keys])
            self._take_all(stream, read)
            left = sorted(int(key) for key in read.broken)
            self.land({"skipped": self.position["skipped"] | {stream: left}})

    # what changed since

    def follow(self) -> None:
        for stream in self._searched:
            self._search(stream)
            self._sweep_archive(stream)
        self._read_shorts()

    def _search(self, stream: str) -> None:
        """Read what the index shows as modified, and lags behind with, in the order of the stamps."""
        since: int = self.position["since"][stream]
        overlap = timedelta(minutes=self.connector.streams[stream].cursor.overlap_minutes)
        changed: list[str] = []
        for found in self._walk(stream, max(0, since - overlap // timedelta(milliseconds=1))):
            changed += self._unknown(stream, found)
            since = max([since, *(stamp for _, stamp in found)])
            if len(changed) >= landing.BATCH:
                self._land_read(stream, changed, since)
                changed = []
        if changed or since != self.position["since"][stream]:
            self._land_read(stream, changed, since)

    def _walk(self, stream: str, since: int) -> Iterator[list[tuple[str, int]]]:
        """What was modified at ``since`` (ms) or later, each once, in the order of the stamps.

        Never by offset: what is modified meanwhile can push nothing out of sight, and no search shows more than 10,000.
        """
        modified = self.lists.modified(stream)
        known: set[str] = set()
        while True:
            page = self.lists.find(stream, [_is(modified, "GTE", since)], sort=modified)
            yield [each for each in page if each[0] not in known]
            if len(page) < SEARCHED:
                return
            last = page[-1][1]
            if last > since:
                known = {key for key, stamp in page if stamp == last}
                since = last
            else:  # a page full of one stamp, as a bulk edit leaves it: go through it by id, then past it
                yield from self._walk_stamp(stream, modified, since)
                known = set()
                since += 1

    def _walk_stamp(self, stream: str, modified: str, stamp: int) -> Iterator[list[tuple[str, int]]]:
        window = [_is(modified, "GTE", stamp), _is(modified, "LTE", stamp)]
        last = "0"
        while page := self.lists.find(stream, [*window, _is("hs_object_id", "GT", last)], sort="hs_object_id"):
            yield page
            last = page[-1][0]

    def _newest_first(self, stream: str) -> dict[str, Any]:
        return {"sort": self.lists.modified(stream), "descending": True, "limit": 1}

    def _unknown(self, stream: str, found: Sequence[tuple[str, int]]) -> list[str]:
        """Of what the index shows, that which raw does not hold of the same stamp."""
        if not found:
            return []
        with self.lander.reader() as con:
            value = f"properties_{self.lists.modified(stream)}"
            held = self.lander.held(con, stream, [key for key, _ in found], value=value)
        return [key for key, stamp in found if key not in held or milliseconds(held[key]) != stamp]

    def _land_read(self, stream: str, keys: Sequence[str], since: int) -> None:
        """Land records as they are now, and the stamp up to which the index was walked."""
        keys = list(dict.fromkeys(keys))  # a stamp that fills a page shows that page twice
        chunks = [keys[start : start + SEARCHED] for start in range(0, len(keys), SEARCHED)]
        gone: list[str] = []
        skipped = set(self.position["skipped"].get(stream, []))
        for start in range(0, len(chunks), self.connector.parallelism):  # no more of them are held at once
            for read in self.pool.map(partial(self.lists.read, stream), chunks[start:][: self.connector.parallelism]):
                self._take_all(stream, read)
                gone += read.gone
                skipped |= {int(key) for key in read.broken}
            if self.batch.size >= landing.BATCH:
                self.land({})  # what is landed before its stamp is found to be known when it is found again
        progress: dict[str, Any] = {"since": self.position["since"] | {stream: since}}
        if skipped:
            progress["skipped"] = self.position["skipped"] | {stream: sorted(skipped)}
        self.land(progress, then=lambda con: self._remove(con, stream, gone))

    def _take_all(self, stream: str, read: Read) -> None:
        """Put records into the batch, and those whose place or ties changed with them."""
        taken = {stream: read.records}
        for item in read.records:
            self.take_safely(stream, item)
        for kind, keys in self._holders(stream, sorted(self._merged.get(stream, ()))).items():
            taken.setdefault(kind, []).extend(self._retake(kind, keys))
        for kind, through in self._through.items():  # they are placed by a record whose change does not touch them
            ties = [to for item in taken.get(through, ()) for to in (item.get("ties") or {}).get(kind, ())]
            self._retake(kind, sorted({str(to["toObjectId"]) for to in ties}))

    def _retake(self, stream: str, keys: Sequence[str]) -> list[Json]:
        """Read records again that nothing tells to be modified, and put them into the batch."""
        records = self.lists.read(stream, keys).records if keys else []
        for item in records:
            self.take_safely(stream, item)
        return records

    def _holders(self, stream: str, gone: list[str]) -> dict[str, list[str]]:
        """Kind → ids of records that were associated with some that became part of others."""
        if not gone or stream not in COLUMNS:
            return {}
        table, column = self.lander.tables[ASSOCIATIONS].sql, quote(COLUMNS[stream])
        with self.lander.reader() as con:
            rows = con.execute(
                f"select distinct holder from {table} where _ab_cdc_deleted_at is null "  # noqa: S608
                f"and from_type <> ? and {column} in (select unnest(?::varchar[]))",
                [stream, gone],
            ).fetchall()
        holders: dict[str, list[str]] = {}
        for (holder,) in sorted(rows):
            kind, _, key = str(holder).partition("/")
            holders.setdefault(kind, []).append(key)
        return holders

    # what is gone

    def _sweep_archive(self, stream: str) -> None:
        after: str | None = None
        while True:
            keys, after = self.lists.archived(stream, after)
            held: list[str] = []
            if keys:
                with self.lander.reader() as con:
                    held = list(self.lander.held(con, stream, keys))
            if held:
                self.land({}, then=partial(self._remove, stream=stream, keys=held))
                for kind, through in self._through.items():
                    if through == stream:
                        self._retake(kind, self._placed_by(kind, COLUMNS[stream], held))
                        self.land({})
            if after is None:
                return

    def _placed_by(self, stream: str, column: str, keys: list[str]) -> list[str]:
        """Ids of records that name others in a column."""
        table = self.lander.tables[stream].sql
        named = f"{quote(column)} in (select unnest(?::varchar[]))"
        with self.lander.reader() as con:
            rows = con.execute(f"select id from {table} where _ab_cdc_deleted_at is null and {named}", [keys])  # noqa: S608
            return sorted(str(key) for (key,) in rows.fetchall())

    def _remove(self, con: duckdb.DuckDBPyConnection, stream: str, keys: Iterable[str]) -> None:
        """Mark records as deleted, with the associations that they have."""
        held = list(self.lander.held(con, stream, keys))
        if not held:
            return
        generation = self.position["generation"]
        self.lander.tombstone(con, stream, held, generation=generation)
        if stream in COLUMNS:
            tied = f"{quote(COLUMNS[stream])} in (select unnest(?::varchar[]))"
            self.lander.tombstone_where(con, ASSOCIATIONS, tied, [held], generation=generation)

    def _read_shorts(self) -> None:
        """Short lists, whole: what is not in one is gone."""
        keys: dict[str, list[str]] = {}
        for stream in self._shorts:
            records = [item for page in self.lists.walk(stream) for item in page.records]
            keys[stream] = [str(item["id"]) for item in records]
            for item in records:
                self.take_safely(stream, item)

        def gone(con: duckdb.DuckDBPyConnection) -> None:
            for stream, known in keys.items():
                self.lander.tombstone_where(con, stream, "id not in (select unnest(?::varchar[]))", [known])

        self.land({}, then=gone)

    # records

    def take(self, stream: str, item: Json, *, deleted: bool = False) -> None:
        if stream not in self._searched:
            super().take(stream, item, deleted=deleted)
            return
        apart = {name: item.get(name) for name in ("properties", "propertiesWithHistory", "ties")}
        flat = {name: value for name, value in item.items() if name not in apart}
        flat |= {f"properties_{name}": value for name, value in (apart["properties"] or {}).items()}
        super().take(stream, flat, deleted=deleted)
        key, owner = str(item["id"]), self.subject_of(stream, flat)
        if apart["ties"] is not None:
            self._take_ties(stream, key, owner, apart["ties"])
        for name, versions in (apart["propertiesWithHistory"] or {}).items():
            for version in versions:
                self._take_version(stream, key, owner, name, version)
        for other in str(flat.get(f"properties_{_MERGED}") or "").split(";"):
            if other and other != key:
                self._take_merge(stream, other, key, owner)

    def _take_ties(self, stream: str, key: str, owner: str | None, ties: dict[str, list[Json]]) -> None:
        holder, keys = f"{stream}/{key}", []
        for kind, others in ties.items():
            for other in others:
                for type_ in other["associationTypes"]:
                    row = {
                        "id": f"{holder}/{kind}/{other['toObjectId']}/{type_['typeId']}",
                        "holder": holder,
                        "from_type": stream,
                        "to_type": kind,
                        "company_id": owner,
                        COLUMNS[stream]: key,
                        COLUMNS[kind]: str(other["toObjectId"]),
                        "category": type_["category"],
                        "type_id": type_["typeId"],
                        "label": type_.get("label"),
                    }
                    keys.append(row["id"])
                    self._put(ASSOCIATIONS, row, owner)
        whole = self.position["whole"]
        if whole is None or whole["why"] != "first":  # what was never landed has nothing to lose
            self.batch.adopt(ASSOCIATIONS, "holder", holder, keys)

    def _take_version(self, stream: str, key: str, owner: str | None, name: str, version: Json) -> None:
        row = {
            "id": f"{stream}/{key}/{name}/{version['timestamp']}",
            "object_type": stream,
            "object_id": key,
            "company_id": owner,
            "property": name,
            "value": version.get("value"),
            "timestamp": version["timestamp"],
            "sourceType": version.get("sourceType"),
            "sourceId": version.get("sourceId"),
        }
        self._put(HISTORY, row, owner)

    def _take_merge(self, stream: str, other: str, key: str, owner: str | None) -> None:
        row = {"id": other, "survivor_id": key, "object_type": stream, "company_id": owner}
        if stream in _ONE:  # an id is a record's among its kind only
            row |= {f"merged_{_ONE[stream]}_id": other, f"surviving_{_ONE[stream]}_id": key}
        self._put(MERGES, row, owner)
        self._merged.setdefault(stream, set()).add(other)

    def _put(self, stream: str, row: Json, owner: str | None) -> None:
        self.batch.put(stream, str(row["id"]), Change(row=self.lander.row(stream, row), subject=owner))

    def region_of(self, subject: str) -> object:
        """The region of a company that no page has shown, archived or not; None when it is gone for good."""
        path = f"{self.connector.streams['companies'].path}/{subject}"
        for archived in ("false", "true"):
            try:
                found = self.client.get(path, [("properties", "region"), ("archived", archived)])
            except ApiError as error:
                if not error.is_missing:
                    raise
            else:
                return found["properties"].get("region")
        return None

    # landing

    def land(self, progress: Any, *, then: Any = None) -> None:
        """As every source lands; records that became part of others go in the same transaction."""
        merged, self._merged = self._merged, {}

        def also(con: duckdb.DuckDBPyConnection) -> None:
            for stream, keys in merged.items():
                self._remove(con, stream, sorted(keys))
            if then is not None:
                then(con)

        super().land(progress, then=also if merged else then)


def _stated(connector: Connector, name: str) -> list[tuple[str, Any]]:
    """Stream and what it states under ``properties``, of the streams that have it."""
    return [(stream, spec.properties[name]) for stream, spec in connector.streams.items() if name in spec.properties]


def _is(name: str, operator: str, value: object) -> Json:
    return {"propertyName": name, "operator": operator, "value": str(value)}
