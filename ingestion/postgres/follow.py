"""Continuous capture: one pass after the other, as soon as a source has something new.

Each pass is the bounded step that a scheduled run makes too, under the same locks: a run, an erasure or another
follower may come in between. Between passes a follower holds two sessions, and in one of them a copy of the slot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import psycopg

from ingestion.land import RawTable
from ingestion.postgres.capture import Capture, capture_of, one_line
from ingestion.postgres.connection import Connection, connect, flush_lsn
from ingestion.postgres.report import SyncReport
from settings import Settings, TailraceError
from warehouse import DuckDBWarehouse

POLL_SECONDS = 0.05
LOOK_ANEW_SECONDS = 30.0
"""How often the list of databases is read again, and a quiet database is passed over as if it had changed."""
COMPACT_SECONDS = 600.0
"""How often the holes that landing leaves in the warehouse's file are closed, if anything was landed."""
PASSES_IN_DOUBT = 3
"""After so many passes that fail in a row although the source is there, following ends."""
RETRY_SECONDS = (1.0, 30.0)
"""First and longest wait before a source that cannot be reached is tried again."""


@dataclass
class _Followed:
    """One database: its capture, a connection while it can be reached, and how far it has been looked at."""

    capture: Capture
    stack: ExitStack = field(default_factory=ExitStack)
    connection: Connection | None = None
    seen: int = -1
    passed: float = 0.0
    failures: int = 0
    retry: float = 0.0
    doubts: int = 0
    """How many passes in a row failed although the source could be reached after them."""


class Follower:
    """Passes over every source database whenever it has written something.

    ``step`` looks once; ``run`` looks until told to stop. A source that cannot be reached is tried again, ever more
    slowly; what a retry cannot mend (a lost slot, a value that does not fit) is raised.
    """

    def __init__(
        self,
        settings: Settings,
        warehouse: DuckDBWarehouse,
        *,
        tables: Sequence[RawTable] | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self._settings = settings
        self._warehouse = warehouse
        self._tables = tables
        self._progress = progress or (lambda message: None)
        self._followed: dict[str, _Followed] = {}
        self._listed = 0.0
        self._compacted = time.monotonic()
        self._landed = False

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        for followed in self._followed.values():
            followed.stack.close()

    def run(
        self, *, stop: Callable[[], bool] = lambda: False, report: Callable[[SyncReport], None] | None = None
    ) -> None:
        """Look, pass, wait a moment, until ``stop`` says so; ``report`` is told of every pass that landed something."""
        while not stop():
            reports = self.step()
            for each in reports:
                if report is not None and (each.applied or each.snapshotted):
                    report(each)
            if not reports:
                time.sleep(POLL_SECONDS)

    def step(self) -> list[SyncReport]:
        """One look at every database; the reports of the passes that it led to."""
        self._list_databases()
        reports = []
        for name, followed in self._followed.items():
            if time.monotonic() < followed.retry:
                continue
            try:
                report = self._look(followed)
            except (psycopg.Error, TailraceError) as error:
                self._give_up_or_wait(name, followed, error)
                continue
            followed.failures, followed.doubts = 0, 0
            if report is not None:
                reports.append(report)
        self._landed |= any(report.applied for report in reports)
        if self._landed and time.monotonic() - self._compacted >= COMPACT_SECONDS:
            self._warehouse.compact(on_wait=self._progress)
            self._landed, self._compacted = False, time.monotonic()
        return reports

    def _look(self, followed: _Followed) -> SyncReport | None:
        if followed.connection is None:
            followed.connection = followed.stack.enter_context(connect(followed.capture.dsn))
            followed.stack.callback(followed.capture.close)
        now = flush_lsn(followed.connection)
        if now == followed.seen and time.monotonic() - followed.passed < LOOK_ANEW_SECONDS:
            return None
        report = followed.capture.step(followed.connection)
        followed.seen, followed.passed = now, time.monotonic()
        return report

    def _give_up_or_wait(self, name: str, followed: _Followed, failure: Exception) -> None:
        """Raise the failure again, in one line, unless it is that the source cannot be reached now.

        One that can be reached may have been away for a moment: its pass is made again before giving up.
        """
        capture = followed.capture
        followed.stack.close()
        followed.stack, followed.connection, followed.seen = ExitStack(), None, -1
        try:
            with connect(capture.dsn):
                pass
        except TailraceError as error:
            wait = min(RETRY_SECONDS[0] * 2**followed.failures, RETRY_SECONDS[1])
            if followed.failures == 0:
                self._progress(f"{name}: {error}; trying again until it is back")
            followed.failures += 1
            followed.retry = time.monotonic() + wait
            return
        followed.doubts += 1
        if followed.doubts == PASSES_IN_DOUBT:
            with one_line(capture.dsn, self._warehouse):
                raise failure

    def _list_databases(self) -> None:
        """Silo databases come and go; those of the last list stay while the server does not answer."""
        if self._followed and time.monotonic() - self._listed < LOOK_ANEW_SECONDS:
            return
        self._listed = time.monotonic()
        try:
            databases = self._settings.source_databases()
        except TailraceError:
            if not self._followed:
                raise
            return
        for name in set(self._followed) - set(databases):
            self._followed.pop(name).stack.close()
        for name, dsn in databases.items():
            if name not in self._followed:
                capture = capture_of(
                    self._settings, self._warehouse, name, dsn, tables=self._tables, progress=self._progress
                )
                self._followed[name] = _Followed(capture)
