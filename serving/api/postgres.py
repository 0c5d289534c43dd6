"""PostgreSQL spoken to directly: one round trip a request, prepared statements, no reader's call blocks the loop.

A request is one pipeline of libpq: the tenant is set and the question asked, then a sync. Until the sync PostgreSQL
holds one transaction open, so what ``set_config(…, true)`` sets is gone with it; the session's defaults make that
transaction read-only and repeatable read. That holds behind a pooler too, which keeps a server for a transaction.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

import psycopg
from psycopg import pq

from serving.api.problems import BusyError, UnavailableError
from serving.api.queries import Query

_SET_TENANT = Query("set_tenant", "select set_config('app.current_tenant_id', $1, true)", 1)
_SESSION = (
    "-c default_transaction_isolation=repeatable\\ read -c default_transaction_read_only=on "
    "-c statement_timeout=5000 -c timezone=UTC -c jit=off"
)
_CONNECT_SECONDS = 5
_WAIT_SECONDS = 1.0
_LEAST_SECONDS_BETWEEN_ATTEMPTS = 0.5
# A published table that was replaced makes a plan unusable once; a table that is not there, nothing was published.
_STALE_PLAN = {"0A000", "26000"}
_NOT_THERE = {"42P01", "3F000"}

_FINE = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)

Parameters = Sequence[str | None]


class LostError(Exception):
    """The connection went away under the request; it may be asked again on another."""


class StalePlanError(Exception):
    """The statement has to be prepared anew."""


class Connection:
    """One connection in pipeline mode; one request at a time. ``on_idle`` is told when the next may come."""

    def __init__(
        self, connection: psycopg.AsyncConnection[object], *, prepare: bool, on_idle: Callable[[Connection], None]
    ) -> None:
        self._owner = connection  # the session lives as long as it does
        self._pg = connection.pgconn
        self._pg.nonblocking = 1
        self._pg.enter_pipeline_mode()
        self._prepare = prepare
        self._on_idle = on_idle
        self._prepared: set[str] = set()
        self._sent: list[str] = []  # of each result to come, the statement that it prepares, or nothing
        self._results: list[pq.abc.PGresult] = []
        self._answer: asyncio.Future[list[pq.abc.PGresult]] | None = None
        self._loop = asyncio.get_running_loop()
        self._socket = self._pg.socket
        self._loop.add_reader(self._socket, self._readable)
        self.lost = False

    async def ask(self, query: Query, parameters: Parameters) -> bytes | None:
        """The one field of the one row; ``parameters`` begins with the tenant. None where nothing is published.

        Raises LostError and StalePlanError, after which another connection may be asked, and UnavailableError.
        """
        encoded = [None if each is None else each.encode() for each in parameters]
        try:
            self._send(_SET_TENANT, encoded[:1])
            self._send(query, encoded)
            self._pg.pipeline_sync()
            self._answer = answer = self._loop.create_future()
            if self._pg.flush():
                self._loop.add_writer(self._socket, self._writable)
        except psycopg.OperationalError:
            self.close()
            raise LostError from None
        # Shielded: whoever stops waiting leaves an answer that is still on its way, and has to be read off.
        results = await asyncio.shield(answer)
        for result in results:
            if result.status not in _FINE:
                _raise_refusal(result)
                return None
        last = results[-1]
        return last.get_value(0, 0) if last.ntuples else None

    def close(self) -> None:
        """End the session; who waits for its answer is told that it is lost."""
        if self.lost:
            return
        self.lost = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._pg.finish()
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(LostError())
            answer.exception()  # nobody may be waiting any more
        self._on_idle(self)

    def _send(self, query: Query, values: list[bytes | None]) -> None:
        if not (self._prepare and query.name):
            self._pg.send_query_params(query.sql.encode(), values)
            self._sent.append("")
            return
        name = query.name.encode()
        if query.name not in self._prepared:
            self._pg.send_prepare(name, query.sql.encode())
            self._sent.append(query.name)
        self._pg.send_query_prepared(name, values)
        self._sent.append("")

    def _writable(self) -> None:
        try:
            if not self._pg.flush():
                self._loop.remove_writer(self._socket)
        except psycopg.OperationalError:
            self.close()

    def _readable(self) -> None:
        try:
            self._pg.consume_input()
            while self._answer is not None and not self._pg.is_busy():
                result = self._pg.get_result()
                if result is None:
                    continue  # one statement's end: the next one's result follows, or the sync
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    self._finish()
                else:
                    self._results.append(result)
        except psycopg.OperationalError:
            self.close()

    def _finish(self) -> None:
        answer, results = self._answer, self._results
        prepared = zip(self._sent, results, strict=False)
        self._prepared.update(name for name, result in prepared if name and result.status in _FINE)
        self._answer, self._results, self._sent = None, [], []
        if answer is not None and not answer.done():
            answer.set_result(results)
        self._on_idle(self)


def _raise_refusal(result: pq.abc.PGresult) -> None:
    """Everything but that nothing is published yet."""
    state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    if state in _STALE_PLAN:
        raise StalePlanError
    if state not in _NOT_THERE:
        raise UnavailableError


class Pool:
    """At most ``size`` connections to one database and ``queue`` requests that wait for one.

    Who comes when the queue is full is refused at once, and so is everyone while the database cannot be reached: a
    refusal now is worth more than an answer too late.
    """

    def __init__(self, dsn: str, *, size: int, queue: int, prepare: bool = True) -> None:
        self._dsn = dsn
        self._size = size
        self._queue = queue
        self._prepare = prepare
        self._connections: set[Connection] = set()
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection]] = deque()
        self._connecting: set[asyncio.Task[None]] = set()
        self._failed_at = float("-inf")
        self._closed = False

    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def saturated(self) -> bool:
        return len(self._waiting) >= self._queue

    async def ask(self, query: Query, parameters: Parameters) -> bytes | None:
        """See ``Connection.ask``. Raises BusyError and UnavailableError."""
        for _ in range(self._size + 1):
            connection = await self._take()
            try:
                return await connection.ask(query, parameters)
            except StalePlanError:
                connection.close()
            except LostError:
                continue
        raise UnavailableError

    def start(self) -> None:
        """Begin to connect; a database that is down is found out by the first request."""
        if not self._closed and len(self._connections) + len(self._connecting) < self._size:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def close(self) -> None:
        self._closed = True
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for connection in list(self._connections):
            connection.close()
        self._refuse_waiting()

    async def _take(self) -> Connection:
        if self._idle:
            return self._idle.pop()
        if self.saturated:
            raise BusyError
        if not self._connections and time.monotonic() - self._failed_at < _LEAST_SECONDS_BETWEEN_ATTEMPTS:
            raise UnavailableError
        self.start()
        turn: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                return await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._back(turn.result())  # it came as we gave up
            else:
                with suppress(ValueError):
                    self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise BusyError from None
            raise

    async def _connect(self) -> None:
        try:
            made = await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, connect_timeout=_CONNECT_SECONDS, options=_SESSION
            )
        except (psycopg.Error, OSError):
            self._failed_at = time.monotonic()
            if not self._connections:
                self._refuse_waiting()
            return
        connection = Connection(made, prepare=self._prepare, on_idle=self._back)
        self._connections.add(connection)
        self._back(connection)

    def _back(self, connection: Connection) -> None:
        """A connection has nothing to do, or is lost."""
        if connection.lost:
            self._connections.discard(connection)
            with suppress(ValueError):
                self._idle.remove(connection)
            if self._waiting:
                self.start()
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        self._idle.append(connection)

    def _refuse_waiting(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(UnavailableError())
