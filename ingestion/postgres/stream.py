"""The change stream of one slot, landed in bounded batches; each commits with the position that it reaches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from ingestion.land import RawTable
from ingestion.postgres.apply import Applier
from ingestion.postgres.pgoutput import Changes, Decoder
from ingestion.postgres.reader import changes_query, open_reader, temporary_copy
from ingestion.postgres.values import NeedsTextError
from warehouse import DuckDBWarehouse, positions, transaction
from warehouse.failpoints import failpoint

BATCH_MESSAGES = 250_000
_IDLE_WAL = 16 * 1024 * 1024
"""Bytes of WAL without a change for us that a slot may hold before the position is moved past them."""


@dataclass(kw_only=True)
class Stream:
    """What is read, where it lands, and who is told.

    ``landing`` names the raw table of a relation (schema, table), None for one that does not land. Changes of a
    relation up to its LSN in ``since`` (by ``schema.table``) are passed over. ``store`` writes the position that a
    batch reaches, in the batch's transaction; ``landed`` is called after its commit with the applier that landed it.
    """

    database: str
    dsn: str
    slot: str
    publication: str
    warehouse: DuckDBWarehouse
    landing: Callable[[str, str], RawTable | None]
    since: Mapping[str, int]
    store: Callable[[duckdb.DuckDBPyConnection, int], None]
    landed: Callable[[int, Applier], None]
    progress: Callable[[str], None]
    batch_messages: int = BATCH_MESSAGES

    def run(self, position: int, upto: int, *, binary: bool) -> None:
        """Land every transaction that committed between ``position``, where the slot stands, and ``upto``."""
        if binary:
            try:
                return self._run(position, upto, binary=True)
            except NeedsTextError:
                self.progress(f"{self.database}: a value without a binary form here; reading text")
        return self._run(position, upto, binary=False)

    def _run(self, position: int, upto: int, *, binary: bool) -> None:
        with open_reader(self.dsn) as reader:
            query = changes_query(
                temporary_copy(reader, self.slot),
                upto=upto,
                limit=self.batch_messages,
                publication=self.publication,
                binary=binary,
            )
            more = True
            while more:
                with reader.batches(query) as batches:
                    first = next(iter(batches), None)
                    if first is None and upto - position < _IDLE_WAL:
                        return
                    more = self._land(upto, itertools.chain([first] if first else [], batches))

    def _land(self, upto: int, batches: Iterable[pa.RecordBatch]) -> bool:
        """Land whole transactions and the position after them; whether the limit cut them off before ``upto``."""
        decoder = Decoder()
        with self.warehouse.writer(f"changes of {self.database}", on_wait=self.progress) as con, transaction(con):
            applier = Applier(
                con,
                database=self.database,
                landing=self.landing,
                extracted_at=positions.stamp(con),
            )
            for batch in batches:
                for item in decoder.feed(batch.column(0)):
                    since = self.since.get(f"{item.relation.schema}.{item.relation.name}", 0)
                    if isinstance(item, Changes):
                        fresh = item.since(since)
                        if fresh.rows.num_rows:
                            applier.add(fresh)
                    elif item.lsn >= since:
                        applier.add(item)
            failpoint("after_fetch")
            applier.finish()
            cut = decoder.messages >= self.batch_messages
            reached = decoder.commit_end if cut else max(upto, decoder.commit_end)
            self.store(con, reached)
            failpoint("before_commit")
        failpoint("after_commit")
        self.landed(reached, applier)
        failpoint("after_advance")
        return cut
