"""Changes in stream order wait by raw table, and land in bounded portions inside one warehouse transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import duckdb

from ingestion import land
from ingestion.land import Landed, RawTable
from ingestion.postgres.events import Events
from ingestion.postgres.fold import MissingValueError, land_events
from ingestion.postgres.pgoutput import Changes, Relation, Truncation

__all__ = ["Applied", "Applier", "MissingValueError", "Target"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PORTION = 40 * 1024 * 1024
"""Bytes of changes that wait, in Arrow's form; a transaction larger than this lands portion by portion."""


@dataclass(frozen=True)
class Target:
    """Where the changes of one relation land: the raw table, and where its rows come from (``database.schema``).

    Columns in ``lenient`` are copied again afterwards, since their type or their very presence changed: until then a
    value that does not fit, or that was never landed, is NULL instead of an error.
    """

    table: RawTable
    origin: str
    lenient: Collection[str] = ()


@dataclass
class Applied:
    """What was landed, and how many changes it took, by raw table."""

    landed: dict[str, Landed] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)

    def count(self, name: str, landed: Landed, *, changes: int) -> None:
        self.landed.setdefault(name, Landed())
        self.landed[name] += landed
        self.changes[name] = self.changes.get(name, 0) + changes

    def __iadd__(self, other: Applied) -> Applied:
        for name, landed in other.landed.items():
            self.count(name, landed, changes=other.changes[name])
        return self


class Applier:
    """Lands the changes of one warehouse transaction. ``landing`` is None for a relation that does not land."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        *,
        database: str,
        landing: Callable[[Relation], Target | None],
        extracted_at: datetime,
    ) -> None:
        self.applied = Applied()
        self._con = con
        self._extracted_at = extracted_at
        self._database = database
        self._landing = landing
        self._waiting: dict[str, Events] = {}

    def add(self, item: Changes | Truncation) -> None:
        """Take the next item of the stream; relations that no contract lands are passed over."""
        target = self._landing(item.relation)
        if target is None:
            return
        if isinstance(item, Truncation):
            self._truncate(target, item)
        elif item.rows.num_rows:
            self._wait(target, item)

    def finish(self) -> None:
        """Land what waits. The caller commits."""
        for name in list(self._waiting):
            self._flush(name)

    def _wait(self, target: Target, item: Changes) -> None:
        table = target.table
        events = self._waiting.get(table.name)
        if events is not None and not events.takes(item):
            self._flush(table.name)
        events = self._waiting.setdefault(table.name, Events(table))
        events.add(item, origin=target.origin, lenient=target.lenient)
        if sum(waiting.bytes for waiting in self._waiting.values()) >= _PORTION:
            self.finish()

    def _truncate(self, target: Target, item: Truncation) -> None:
        table = target.table
        self._flush(table.name)
        landed = land.truncate(
            self._con,
            table,
            origin=target.origin,
            at=_EPOCH + timedelta(microseconds=item.at),
            extracted_at=self._extracted_at,
            lsn=item.lsn,
        )
        self.applied.count(table.name, landed, changes=1)

    def _flush(self, name: str) -> None:
        events = self._waiting.pop(name, None)
        if events is None:
            return
        landed = land_events(self._con, events, database=self._database, extracted_at=self._extracted_at)
        landed.bytes = events.bytes
        self.applied.count(name, landed, changes=events.changes)
