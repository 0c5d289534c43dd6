"""Runs a connector against one account: the whole read once, from then on what changed, and now and then compared.

Guarantees: a position commits with the rows that it covers, so whatever dies, the next run goes on at its page and
neither loses nor doubles a record. What a comparison finds to differ, or to be gone, is mended and reported.

A source that needs more than its file says subclasses ``Reading``: every method without an underscore is a hook.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import duckdb

from ingestion.rest import landing, seen
from ingestion.rest.client import ApiError, Json, RestClient, UnreadableError, patience
from ingestion.rest.connector import Connector, Nested, reach, reference
from ingestion.rest.landing import Batch, Change, Lander, Progress, SyncReport
from ingestion.rest.pages import Lists, Page
from ingestion.rest.residency import Residency
from pii_policies import Contracts
from settings import Settings
from warehouse import DuckDBWarehouse, positions, quote

_NEW: Mapping[str, Any] = {
    "generation": 0,
    "whole": None,
    "again": None,
    "compared_at": None,
    "created": {},
    "read_at": {},
    "skipped": {},
}


def open_client(
    connector: Connector, *, url: str, token: str, token_env: str, headers: Mapping[str, str] | None = None
) -> RestClient:
    """The client of a connector: its pace, patience and headers; ``headers`` are those that settings decide.

    The pace is the API's own; a server on this machine is asked as fast as it answers.
    """
    retry = connector.retry
    local = urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    return RestClient(
        name=connector.title,
        url=url,
        token=token,
        token_env=token_env,
        headers={**connector.headers, **(headers or {})},
        retry=patience(
            attempts=retry.attempts,
            connects=retry.connects,
            backoff=retry.backoff_seconds,
            longest_wait=retry.longest_wait_seconds,
        ),
        timeout=retry.timeout_seconds,
        per_second=None if local else connector.requests_per_second,
        connections=connector.parallelism,
    )


def open_lander(
    connector: Connector,
    *,
    settings: Settings,
    contracts: Contracts,
    warehouse: DuckDBWarehouse,
    report: SyncReport,
    account: str = "",
    progress: Progress | None = None,
) -> Lander:
    """The lander of a connector's contract."""
    return Lander(
        source=connector.name,
        contracts=contracts,
        residency=Residency(source=connector.name, settings=settings),
        warehouse=warehouse,
        report=report,
        progress=progress,
        account=account,
        omit={name: frozenset({*connector.omit, *stream.omit}) for name, stream in connector.streams.items()},
        redaction=settings.privacy.redaction,
    )


class Reading:
    """One account's way from its stored position to the present.

    Position (source, ``account``, or ``account:<name>`` where there are several): ``whole``, while everything is read:
    ``why``, ``began``, ``generation`` and ``after`` (stream → the record it goes on after; a stream that is through is
    not among them); ``again`` (why the whole is due), ``generation`` (of the last whole but comparisons),
    ``compared_at``, ``created`` (stream → second up to which new records are landed), ``read_at`` (stream → when it
    was read last, where not each run does), ``skipped`` (stream → seconds of records that break their page), and
    whatever a subclass adds.
    """

    def __init__(
        self, connector: Connector, *, client: RestClient, lander: Lander, report: SyncReport, account: str = ""
    ) -> None:
        self.connector, self.client, self.lander, self.report = connector, client, lander, report
        self.lists = Lists(client, connector)
        self.batch = Batch()
        self.position: dict[str, Any] = {}
        self.stream = f"account:{account}" if account else "account"
        self._owners: dict[tuple[str, str], str | None] = {}
        self.pool = ThreadPoolExecutor(connector.parallelism, thread_name_prefix=connector.name)

    def run(self) -> None:
        """Read what is due. Raises TailraceError when the source cannot be reached or refuses; what landed stays."""
        try:
            stored = self.lander.prepare([self.stream])[self.stream]
            self.position = {**_NEW, **(stored or {})}
            is_first = stored is None
            for _ in range(3):  # what happens during a pass is left to the next one; no need to chase a busy account
                why = "first" if is_first else self.position["again"] or self.due()
                if why == "comparison" and not self.position["whole"]:  # what is known to have changed is no drift
                    self.follow()
                    why = self.position["again"] or why
                if why and not self.position["whole"]:
                    self._begin_whole(why)
                is_first = False
                if self.position["whole"]:
                    self._read_whole()
                self.retry_skipped()
                self.follow()
                self._read_created()
                if not self.position["again"]:
                    break
        finally:
            self.pool.shutdown(wait=False, cancel_futures=True)
            for stream, seconds in self.position.get("skipped", {}).items():
                self.report.skipped[stream] += len(seconds)

    # what a source may add

    def anchor(self) -> dict[str, Any]:
        """What the position needs before everything is read, so that ``follow`` finds what happens meanwhile."""
        return {}

    def begun(self, con: duckdb.DuckDBPyConnection) -> None:
        """Anything to be stored with that, in its transaction."""

    def due(self) -> str | None:
        """Why the whole is to be read and compared now; None when it is not."""
        return "comparison" if self._has_passed(self.position["compared_at"], self.connector.reconcile_hours) else None

    def clocks(self) -> dict[str, datetime]:
        """The present by each clock that what is due is measured on; a source may have one of its own."""
        return {"ours": datetime.now(UTC)}

    def follow(self) -> None:
        """Land what changed since the position, after the whole was read."""

    def listed(self) -> tuple[str, ...]:
        """The streams that are read whole, in their order; those whose records state regions come first."""
        return self.connector.listed

    def before_whole(self) -> None:
        """Anything to be put into the batch before the first page of a whole."""

    def sweep(self, con: duckdb.DuckDBPyConnection, stream: str, began: str) -> None:
        """Mark as deleted what the whole did not show. What was landed while it was read, it may have passed."""
        table = self.lander.tables[stream]
        key = self.connector.streams[stream].key
        gone = f"not {seen.met(quote(key))} and _airbyte_extracted_at < ?::timestamptz"
        values: list[Any] = [*self._seen_as(stream), began]
        window = self.connector.pages_of(stream).window
        if window is not None and any(column.name == window.field for column in table.columns):
            gone += f" and coalesce({quote(window.field)} not in (select unnest(?::bigint[])), true)"
            values.append(self.position["skipped"].get(stream, []))
        self.lander.tombstone_where(con, stream, gone, values, generation=self.position["generation"])

    def swept(self, con: duckdb.DuckDBPyConnection) -> None:
        """Anything else at the end of a whole that was not the first, in its transaction."""

    def take(self, stream: str, item: Json, *, deleted: bool = False) -> None:
        """Put a record, and what is nested in it, into the batch."""
        spec = self.connector.streams[stream]
        change_of = self.place(stream, item)
        flat = dict(item)
        for nested in spec.nested:
            self._take_nested(stream, flat, nested, deleted=deleted)
        for path in spec.expand:
            if isinstance(flat.get(path), Mapping):
                flat[path] = reference(flat[path])
        self.batch.put(stream, str(item[spec.key]), change_of(self.lander.row(stream, flat), deleted))
        for path in spec.residency.via:
            self._remember(spec.residency.via[path], reach(item, path))
        self._remember(stream, item)

    def place(self, stream: str, item: Json) -> Callable[[Mapping[str, str | None], bool], Change]:
        """How a record's row becomes a change: by the subject that decides its region."""
        how = self.connector.streams[stream].residency
        if how.states is not None:
            key = str(item[self.connector.streams[stream].key])
            self.batch.stated[key] = self.lander.residency.ours(reach(item, how.states))
            return lambda row, deleted: Change(row=row, deleted=deleted, subject=key)
        subject = self.subject_of(stream, item)
        everywhere = how.everywhere and subject is None
        return lambda row, deleted: Change(row=row, deleted=deleted, subject=subject, everywhere=everywhere)

    def subject_of(self, stream: str, item: Mapping[str, Any]) -> str | None:
        """The subject that a record belongs to, if any: named by itself, or by the record it refers to."""
        how = self.connector.streams[stream].residency
        if how.states is not None:
            return reference(item.get(self.connector.streams[stream].key))
        for path in how.subject:
            if (found := reference(reach(item, path))) is not None:
                return found
        for path, other in how.via.items():
            value = reach(item, path)
            if isinstance(value, Mapping):
                other = self.connector.stream_of(str(value.get("object", ""))) or other
                return self.subject_of(other, value)
            if isinstance(value, str):
                return self._owner(other, value)
        return None

    def region_of(self, subject: str) -> object:
        """The region of a subject that no page has shown: asked for, None when it is gone."""
        stream = self.connector.stating()
        if stream is None:
            return None
        found = self.lists.one(stream, subject)
        states = self.connector.streams[stream].residency.states
        return None if found is None or states is None else reach(found, states)

    # the whole

    def _begin_whole(self, why: str) -> None:
        """From here on whatever happens is found by ``follow``."""
        first = why == "first"
        generation = self.position["generation"] + (0 if first or why == "comparison" else 1)
        whole: dict[str, Any] = {"why": why, "after": dict.fromkeys(self.listed()), "began": None}
        anchored = self.anchor()

        def forget(con: duckdb.DuckDBPyConnection) -> None:
            for stream in self.connector.streams:
                seen.forget(con, *self._seen_as(stream))
            whole["began"] = positions.stamp(con).isoformat()
            self.begun(con)

        self.land({**anchored, "whole": whole, "generation": generation, "again": None, "skipped": {}}, then=forget)

    def _read_whole(self) -> None:
        """Every list from where it stands, several at once; then mark as deleted what was not there."""
        whole = self.position["whole"]
        first = whole["why"] == "first"
        if whole["why"] != "comparison":
            self.report.mode = "full"
            if not first:
                self.report.note = "; ".join(filter(None, [self.report.note, self.lander.account, whole["why"]]))
        else:
            self.report.mode = "comparison"
        before = self.report.landed + self.report.deleted
        self.before_whole()
        stating = self.connector.stating()
        for streams in ([stating], [name for name in self.listed() if name != stating]):
            self._read_lists([name for name in streams if name is not None and name in whole["after"]])

        def swept(con: duckdb.DuckDBPyConnection) -> None:
            self._see(con)
            for stream, spec in self.connector.streams.items():
                if not first and not spec.keeps and spec.cursor.kind != "own":
                    self.sweep(con, stream, whole["began"])
                seen.forget(con, *self._seen_as(stream))
            if not first:
                self.swept(con)

        done = {"whole": None, "compared_at": self._moment(), "created": self._newest_created()}
        self.land(done, then=swept)
        if whole["why"] == "comparison":
            changed = self.report.landed + self.report.deleted
            changed.subtract(before)
            self.report.repaired += changed

    def _read_lists(self, streams: Sequence[str]) -> None:
        """Land the pages of lists as they come: the next page of each is asked for while this one is landed."""
        pending: dict[Future[Page], str] = {
            self.pool.submit(self.lists.page, name, after=self.position["whole"]["after"][name]): name
            for name in streams
        }
        after: dict[str, str | None] = dict(self.position["whole"]["after"])
        skipped: dict[str, list[int]] = dict(self.position["skipped"])
        while pending:
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                name = pending.pop(future)
                page = future.result()
                if page.after is not None:
                    pending[self.pool.submit(self.lists.page, name, after=page.after)] = name
                    after[name] = page.after
                else:
                    del after[name]
                for item in page.records:
                    self.take_safely(name, item)
                if page.passed:
                    skipped[name] = sorted({*skipped.get(name, []), *page.passed})
                progress = {"whole": self.position["whole"] | {"after": dict(after)}, "skipped": dict(skipped)}
                self.position = self.position | progress
                if self.batch.size >= landing.BATCH or not pending:
                    self.land({}, then=self._see)

    def take_safely(self, stream: str, item: Any) -> None:
        """``take``, unless the record is none: it is counted as skipped, and the others of its page land."""
        if not isinstance(item, dict) or not isinstance(item.get(self.connector.streams[stream].key), str):
            self.report.skipped[stream] += 1
            return
        self.take(stream, item)

    def _see(self, con: duckdb.DuckDBPyConnection) -> None:
        """Remember what a whole has shown, so that its end knows what it has not; the first needs not to."""
        if self.position["whole"]["why"] == "first":
            return
        for stream, changes in self.batch.changes.items():
            seen.add(con, *self._seen_as(stream), changes)

    def _seen_as(self, stream: str) -> tuple[str, str]:
        return self.connector.name, f"{self.stream}/{stream}"

    # new records, and those that could not be read

    def _read_created(self) -> None:
        """The new records of streams whose changes nothing tells, and again those that are not settled yet."""
        for name, spec in self.connector.streams.items():
            window = self.connector.pages_of(name).window
            if spec.cursor.kind != "created" or window is None or not self.is_time_for(name):
                continue
            since = self._created_since(name)
            newest = known = self.position["created"].get(name, -1)
            for page in self.lists.walk(name, query=[(window.at_or_after, str(since))] if since else ()):
                for item in page.records:
                    self.take_safely(name, item)
                    newest = max(newest, int(item.get(window.field) or 0))
                self._skip(name, page.passed)
                if self.batch.size >= landing.BATCH:
                    self.land({})
            if self.batch.size or newest > known or spec.cursor.every_hours:
                self.land({"created": self.position["created"] | {name: newest}, **self.was_read(name)})

    def _created_since(self, name: str) -> int:
        cursor = self.connector.streams[name].cursor
        since = max(0, self.position["created"].get(name, 0) - 60 * cursor.overlap_minutes)
        for column, value in cursor.unsettled.items():
            oldest = self.lander.value(name, f"min({quote(str(cursor.field))})", f"{quote(column)} = ?", [value])
            since = min(since, int(oldest)) if oldest is not None else since
        return since

    def _newest_created(self) -> dict[str, int]:
        """Up to when a whole has landed the streams that are read on by their time."""
        newest = {}
        for name, spec in self.connector.streams.items():
            if spec.cursor.kind == "created":
                newest[name] = int(self.lander.value(name, f"max({quote(str(spec.cursor.field))})", "true", []) or 0)
        return newest

    def is_time_for(self, stream: str) -> bool:
        """Whether a stream that is read every so many hours is due."""
        hours = self.connector.streams[stream].cursor.every_hours
        return not hours or self._has_passed(self.position["read_at"].get(stream), hours)

    def was_read(self, stream: str) -> dict[str, Any]:
        """The part of the position that says that a stream was read just now."""
        return {"read_at": self.position["read_at"] | {stream: self._moment()}}

    def _moment(self) -> dict[str, str]:
        return {name: now.isoformat(timespec="seconds") for name, now in self.clocks().items()}

    def _has_passed(self, last: Mapping[str, str] | None, hours: int) -> bool:
        """Whether by any clock so many hours went by since ``last``."""
        return last is None or any(
            now >= datetime.fromisoformat(last[name]) + timedelta(hours=hours)
            for name, now in self.clocks().items()
            if name in last
        )

    def retry_skipped(self) -> None:
        """Ask again for records that broke their page: by the second in which they were made."""
        for name, seconds in self.position["skipped"].items():
            window = self.connector.pages_of(name).window
            for second in seconds:
                assert window is not None  # a record is passed by it
                query = [(window.at_or_after, str(second)), (window.at_or_before, str(second))]
                try:
                    records = self.lists.try_once(name, query)
                except UnreadableError:
                    continue
                for item in records:
                    self.take_safely(name, item)
                left = [each for each in self.position["skipped"][name] if each != second]
                self.land({"skipped": self.position["skipped"] | {name: left}})

    def _skip(self, name: str, seconds: Iterable[int]) -> None:
        known = self.position["skipped"].get(name, [])
        skipped = {name: sorted({*known, *seconds})}
        if seconds:
            self.position = self.position | {"skipped": self.position["skipped"] | skipped}

    # records

    def one(self, stream: str, keys: Collection[str]) -> dict[str, Json | None]:
        """Records by their keys, asked for several at a time; None for those that are gone."""
        futures = {key: self.pool.submit(self.lists.one, stream, key) for key in keys}
        return {key: future.result() for key, future in futures.items()}

    def _take_nested(self, stream: str, item: dict[str, Any], nested: Nested, *, deleted: bool) -> None:
        value = item.get(nested.at)
        if nested.references:
            references = value if isinstance(value, list) else [value]
            for each in references:
                if isinstance(each, Mapping):
                    self.take(nested.stream, dict(each), deleted=deleted)
            ids = [found for each in references if (found := reference(each)) is not None]
            item[nested.at] = ids if isinstance(value, list) else (ids[0] if ids else None)
            return
        parent = str(item[self.connector.streams[stream].key])
        members = [] if deleted else self._complete(item, nested, parent)
        owner = self.subject_of(stream, item)
        added = {} if nested.parent is None else {nested.parent: parent}
        flat = [self._take_member(nested.stream, member, added, owner) for member in members]
        how = self.connector.paginator
        if isinstance(item.get(nested.at), Mapping):
            item[nested.at] = {**item[nested.at], how.records: flat, **({how.more: False} if how.more else {})}
        if nested.parent is not None:
            key = self.connector.streams[nested.stream].key
            self.batch.adopt(nested.stream, nested.parent, parent, [str(member[key]) for member in members])

    def _take_member(self, stream: str, item: Json, added: Mapping[str, str], owner: str | None) -> Json:
        """Put a member of a nested list into the batch, where its parent belongs; the member with ids for objects."""
        spec = self.connector.streams[stream]
        flat = dict(item)
        for nested in spec.nested:
            self._take_nested(stream, flat, nested, deleted=False)
        row = self.lander.row(stream, {**flat, **added})
        self.batch.put(stream, str(item[spec.key]), Change(row=row, subject=owner))
        return flat

    def _complete(self, item: dict[str, Any], nested: Nested, parent: str) -> list[Json]:
        """The members of a nested list, all of them."""
        value = item.get(nested.at)
        if not isinstance(value, Mapping):
            return list(value or [])
        how = self.connector.paginator
        members = list(reach(value, how.records) or [])
        if how.more and reach(value, how.more) and nested.path is not None:
            after = str(members[-1]["id"]) if members else None
            try:
                for more in self.lists.rest_of(nested.path.format(key=parent), after, nested.expand):
                    members += more
            except ApiError as error:
                if not error.is_missing:  # the parent is gone, or the list is another one now: an event will tell
                    raise
        return members

    def _remember(self, stream: str, value: Any) -> None:
        """Whose a record is that others refer to."""
        if stream in self.connector.referred and isinstance(value, Mapping):
            key = reference(value)
            if key is not None:
                self._owners[stream, key] = self.subject_of(stream, value)

    def _owner(self, stream: str, key: str) -> str | None:
        """The subject of a record that is named only: as landed, else asked for."""
        if (stream, key) not in self._owners:
            found = self.lists.one(stream, key) if self.connector.streams[stream].path else None
            self._owners[stream, key] = None if found is None else self.subject_of(stream, found)
        return self._owners[stream, key]

    # landing

    def land(
        self, progress: Mapping[str, Any], *, then: Callable[[duckdb.DuckDBPyConnection], None] | None = None
    ) -> None:
        """Commit the batch with the position, moved on by ``progress``."""
        whole: dict[str, Any] | None = self.position["whole"]
        stored = self.position | dict(progress)
        first = whole is not None and whole["why"] == "first"

        def final(moved: set[str]) -> dict[str, Any]:
            if not moved or whole is not None:
                return stored
            return stored | {"again": f"{len(moved)} {self.connector.stating()} moved to another region"}

        self.position = self.lander.land(
            self.batch,
            stream=self.stream,
            position=final,
            region_of=self.region_of,
            generation=stored["generation"],
            changed_only=not first,
            then=then,
        )
        self.batch = Batch()
        if len(self._owners) > 4 * landing.BATCH:
            self._owners = {}
