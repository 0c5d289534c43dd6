"""The slot's messages, read ahead by a thread while what was read before is landed."""

from __future__ import annotations

import threading
from collections import deque
from functools import partial
from types import TracebackType
from typing import Self

import pyarrow as pa

from ingestion.postgres.reader import Reader, SlotCopy, changes_query, reading

_AHEAD = 64 * 1024 * 1024
"""Bytes of messages that may wait to be landed."""
_BATCH = 2 * 1024 * 1024
"""Bytes of messages that are decoded at once: what a processor's cache holds."""
_SPOOL = 512 * 1024 * 1024
"""Bytes of messages that the server may have to keep on its disk for one call of the slot function."""
_LEAST, _SHARE, _MOST = 200_000, 3, 1_000_000
"""Messages of a call of the slot function: these at least, one to so many that it passes over, and these at most.

The server answers a call when it has decoded all of it, and passes over eight messages in the time of decoding one.
Larger calls would leave the landing without work meanwhile, smaller ones the server passing over.
"""


class Prefetch:
    """Messages of one slot, of the transactions that committed after ``position`` up to ``upto``.

    They are read from a copy of the slot, so that the slot itself stays where it is whatever happens here. The first
    call asks the server for few, ``messages`` at most: landing begins early. Further calls ask for more, since each has
    to pass over what the calls before it read. Leaving the block ends the reading at once.
    """

    def __init__(
        self, copy: SlotCopy, *, position: int, upto: int, publication: str, binary: bool, messages: int
    ) -> None:
        self._copy = copy
        self._position = position
        self._query = partial(changes_query, upto=upto, publication=publication, binary=binary)
        self._messages = messages
        self._ready: deque[pa.Array] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._done = self._stopped = False
        self._error: BaseException | None = None
        self._reader: Reader | None = None
        self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._stopped = True
            self._ready.clear()
            self._changed.notify_all()
        while self._thread.is_alive():
            with self._changed:
                if self._reader is not None:
                    self._reader.cancel()
            self._thread.join(0.1)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for messages or the end of the stream; whether it came in time. Raises what ended the reading."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._ready or self._done, seconds):
                return False
            if not self._ready and self._error is not None:
                raise self._error
            return True

    def current(self) -> pa.Array | None:
        """The messages at hand after ``wait``, None at the end of the stream."""
        return self._ready[0] if self._ready else None

    def take(self, count: int) -> None:
        """Done with that many of the messages at hand."""
        with self._changed:
            messages = self._ready.popleft()
            self._bytes -= messages.nbytes
            if count < len(messages):
                self._ready.appendleft(messages[count:])
                self._bytes += self._ready[0].nbytes
            self._changed.notify_all()

    def _put(self, messages: pa.Array) -> bool:
        """Hand over messages as soon as there is room; whether anybody still wants them."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._bytes < _AHEAD)
            if not self._stopped:
                self._ready.append(messages)
                self._bytes += messages.nbytes
                self._changed.notify_all()
            return not self._stopped

    def _run(self) -> None:
        try:
            with reading(self._copy.dsn):
                reader, name = self._copy.open(self._position)
                with self._changed:
                    self._reader = reader
                self._read(reader, name)
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._reader = None
                self._done = True
                self._changed.notify_all()

    def _read(self, reader: Reader, copy: str) -> None:
        limit, passed = min(_LEAST, self._messages), 0
        while not self._stopped:
            count = size = 0
            with reader.batches(self._query(copy, limit=limit), batch_bytes=_BATCH) as batches:
                for batch in batches:
                    count, size = count + batch.num_rows, size + batch.nbytes
                    if not self._put(batch.column(0)):
                        return
            if count < limit:
                return
            passed += count
            limit = min(max(_LEAST, passed // _SHARE), _MOST, max(1, _SPOOL * count // size))
