"""The change stream of one slot, landed in bounded batches; each commits with the position that it reaches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import duckdb

from ingestion.postgres.apply import Applied, Applier, Target
from ingestion.postgres.pgoutput import Decoder
from ingestion.postgres.prefetch import Prefetch
from ingestion.postgres.reader import SlotCopy
from ingestion.postgres.slots import IDLE_WAL
from ingestion.postgres.values import NeedsTextError
from warehouse import DuckDBWarehouse, positions, transaction
from warehouse.duckdb_engine import DEFER_COMPACTION
from warehouse.failpoints import failpoint

BATCH_MESSAGES = 1_000_000
_TURN = 5.0
"""Seconds after which the writer's lease is given to whoever waits for it, at the end of a transaction."""
_MEMORY = "160MB"
"""What DuckDB may use here; the rest waits in its temporary files."""
_SETTINGS = (
    # Several threads leave unfilled row groups each, which are written twice; the server decodes with one, too.
    "set threads = 1",
    DEFER_COMPACTION,
    # It compresses strings that hardly repeat, and takes as long as all the rest of the landing does.
    "set disabled_compression_methods = 'dict_fsst'",
    "set checkpoint_threshold = '256MB'",  # the end of the turn is a checkpoint
)


@dataclass(kw_only=True)
class Stream:
    """What is read, where it lands, and who is told.

    ``copy`` is of the slot that stands at the position. ``targets`` are by the OID of the relation, whatever it is
    called when a row is written; a relation that is not among them is passed over. ``binary`` tells whether all that
    lands decodes from its binary form; ``aliases``: see ``Decoder``. ``store`` writes the position that a batch
    reaches, in the batch's transaction; ``landed`` is called aside, after the commits of one turn and while the next
    one lands, with the position and with what they landed together.
    """

    database: str
    copy: SlotCopy
    publication: str
    warehouse: DuckDBWarehouse
    targets: Mapping[int, Target]
    store: Callable[[duckdb.DuckDBPyConnection, int], None]
    landed: Callable[[int, Applied], None]
    progress: Callable[[str], None]
    binary: bool
    aliases: Mapping[int, int]
    batch_messages: int = BATCH_MESSAGES
    _position: int = field(init=False, default=0)
    _telling: Future[None] | None = field(init=False, default=None)

    def run(self, position: int, upto: int) -> None:
        """Land every transaction that committed between ``position``, where the slot stands, and ``upto``."""
        self._position = position
        if self.binary:
            try:
                return self._run(upto, binary=True)
            except NeedsTextError:
                self.progress(f"{self.database}: a value without a binary form here; reading text")
        return self._run(upto, binary=False)

    def _run(self, upto: int, *, binary: bool) -> None:
        with (
            ThreadPoolExecutor(1) as aside,
            Prefetch(
                self.copy,
                position=self._position,
                upto=upto,
                publication=self.publication,
                binary=binary,
                messages=self.batch_messages,
                folder=self.warehouse.path.parent,
            ) as source,
        ):
            decoder = Decoder(aliases=self.aliases, raw_types=self._raw_types)
            source.wait()
            while source.current() is not None:
                self._turn(decoder, source, upto, aside)
                source.wait()
            if upto - self._position >= IDLE_WAL:
                self._turn(decoder, source, upto, aside)
            self._await_telling()
        self.copy.left_at(self._position)

    def _raw_types(self, relation: int) -> Mapping[str, str]:
        target = self.targets.get(relation)
        return {column.name: column.duck_type for column in target.table.columns} if target else {}

    def _turn(self, decoder: Decoder, source: Prefetch, upto: int, aside: ThreadPoolExecutor) -> None:
        """Land batches for a bounded time under the writer's lease."""
        applied, reached, end = Applied(), 0, time.monotonic() + _TURN
        with self.warehouse.writer(f"changes of {self.database}", on_wait=self.progress, memory_limit=_MEMORY) as con:
            for setting in _SETTINGS:
                con.execute(setting)
            try:
                while True:
                    reached = self._land(con, decoder, source, upto, applied)
                    failpoint("after_commit")
                    left = end - time.monotonic()
                    if left <= 0 or not source.wait(left) or source.current() is None:
                        break
            finally:
                if reached:  # while the file is written out and closed, and the next turn lands
                    self._position = reached
                    self._await_telling()
                    self._telling = aside.submit(self.landed, reached, applied)

    def _await_telling(self) -> None:
        """The server reads all of the turn's WAL once more before it lets go of it. Raises what that raised."""
        if self._telling is not None:
            telling, self._telling = self._telling, None
            telling.result()
            failpoint("after_advance")

    def _land(
        self, con: duckdb.DuckDBPyConnection, decoder: Decoder, source: Prefetch, upto: int, applied: Applied
    ) -> int:
        """Land whole transactions until there are messages enough, and the position after them, which is returned."""
        wanted, full = decoder.messages + self.batch_messages, False
        with transaction(con):
            applier = Applier(
                con,
                database=self.database,
                landing=lambda relation: self.targets.get(relation.oid),
                extracted_at=positions.stamp(con),
            )
            while not full and (messages := source.current()) is not None:
                count = decoder.whole(messages, wanted)
                for item in decoder.feed(messages[:count]):
                    applier.add(item)
                source.take(count)
                full = decoder.messages >= wanted and not decoder.open
                if not full:
                    source.wait()
            failpoint("after_fetch")
            applier.finish()
            reached = decoder.commit_end if full else max(upto, decoder.commit_end)
            self.store(con, reached)
            failpoint("before_commit")
        applied += applier.applied
        return reached
