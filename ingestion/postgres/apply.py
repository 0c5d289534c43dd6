"""Changes in stream order wait by raw table, and land in bounded portions inside one warehouse transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa

from ingestion import land
from ingestion.land import Landed, RawTable
from ingestion.postgres.events import Events
from ingestion.postgres.fold import MissingValueError, land_events
from ingestion.postgres.pgoutput import Changes, Relation, Truncation

__all__ = ["Applier", "MissingValueError"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PORTION = 40 * 1024 * 1024
"""Bytes of changes that wait, in Arrow's form; a transaction larger than this lands portion by portion."""


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
    """Lands the changes of one warehouse transaction. Where a row came from (``database.schema``) goes with it.

    ``landing`` names the raw table of a relation (schema, table), None for one that does not land. ``lenient`` is
    by ``schema.table``, see ``Stream``.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        *,
        database: str,
        landing: Callable[[str, str], RawTable | None],
        extracted_at: datetime,
        lenient: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self.applied = Applied()
        self._con = con
        self._extracted_at = extracted_at
        self._database = database
        self._landing = landing
        self._lenient = lenient or {}
        self._waiting: dict[str, Events] = {}

    def add(self, item: Changes | Truncation) -> None:
        """Take the next item of the stream; relations that no contract lands are passed over."""
        relation = item.relation
        table = self._landing(relation.schema, relation.name)
        name = f"{relation.schema}.{relation.name}"
        if table is None:
            return
        if isinstance(item, Truncation):
            self._truncate(table, item)
        elif item.rows.num_rows:
            self._wait(table, item, self._lenient.get(name, ()))

    def finish(self) -> None:
        """Land what waits. The caller commits."""
        for name in list(self._waiting):
            self._flush(name)

    def _wait(self, table: RawTable, item: Changes, lenient: Collection[str]) -> None:
        events = self._waiting.get(table.name)
        if events is not None and not events.takes(item):
            self._flush(table.name)
        events = self._waiting.setdefault(table.name, Events(table))
        events.add(item, origin=self._origin(item.relation), lenient=lenient)
        if sum(waiting.bytes for waiting in self._waiting.values()) >= _PORTION:
            self.finish()

    def _truncate(self, table: RawTable, item: Truncation) -> None:
        self._flush(table.name)
        landed = land.truncate(
            self._con,
            table,
            origin=self._origin(item.relation),
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
        del events
        pa.default_memory_pool().release_unused()

    def _origin(self, relation: Relation) -> str:
        return f"{self._database}.{relation.schema}"
