"""The slot's messages, read ahead by a thread while what was read before is landed."""

from __future__ import annotations

import os
import tempfile
import threading
from collections import deque
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from ingestion.postgres.reader import Reader, SlotCopy, changes_query, reading

_AHEAD = 48 * 1024 * 1024
"""Bytes of messages that may wait in memory to be landed; more wait in a file."""
_BATCH = 2 * 1024 * 1024
"""Bytes of messages that are decoded at once: what a processor's cache holds."""
_SPOOL = 512 * 1024 * 1024
"""Bytes of messages that the server may have to keep on its disk for one call of the slot function, and we on ours."""
_LEAST, _MOST = 200_000, 2_000_000
"""Messages of a call of the slot function: as many as it passes over, but these at least and at most.

The server answers a call when it has decoded all of it, and passes over five messages in the time of decoding one.
Larger calls would leave the landing without work meanwhile, smaller ones the server passing over.
"""


class _File:
    """Messages in a file without a name, first in, first out. Whoever crashes leaves nothing of them behind."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - open as long as this
        self._schema: pa.Schema | None = None
        self._waiting: deque[tuple[int, int]] = deque()  # where they begin, and how many bytes
        self._end = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def write(self, messages: pa.Array) -> bool:
        """Whether there is room for them."""
        batch = pa.record_batch([messages], names=["message"])
        self._schema = batch.schema
        content = memoryview(batch.serialize())
        if self._end + len(content) > _SPOOL:
            return False
        try:
            if os.pwrite(self._file.fileno(), content, self._end) < len(content):
                return False
        except OSError:  # a full disk is no reason to end: it is as if there were no file
            return False
        self._waiting.append((self._end, len(content)))
        self._end += len(content)
        return True

    def read(self) -> pa.Array:
        begin, size = self._waiting.popleft()
        content = os.pread(self._file.fileno(), size, begin)
        if not self._waiting:  # what the file has is written over: to give it back takes longer
            self._end = 0
        return pa.ipc.read_record_batch(pa.py_buffer(content), self._schema).column(0)

    def close(self) -> None:
        self._file.close()


class Prefetch:
    """Messages of one slot, of the transactions that committed after ``position`` up to ``upto``.

    They are read from a copy of the slot, so that the slot itself stays where it is whatever happens here. The first
    call asks the server for few, ``messages`` at most: landing begins early. Further calls ask for more, since each has
    to pass over what the calls before it read. The answer to a call is taken off the server as fast as it comes, into
    a file in ``folder`` if need be, so that the server decodes for the next call while this one's messages are landed.
    Leaving the block ends the reading at once.
    """

    def __init__(
        self, copy: SlotCopy, *, position: int, upto: int, publication: str, binary: bool, messages: int, folder: Path
    ) -> None:
        self._copy = copy
        self._position = position
        self._query = partial(changes_query, upto=upto, publication=publication, binary=binary)
        self._messages = messages
        self._ready: deque[pa.Array] = deque()
        self._bytes = 0
        self._file = _File(folder)
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
        self._file.close()

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
            while self._file and self._bytes < _AHEAD:
                self._append(self._file.read())
            self._changed.notify_all()

    def _put(self, messages: pa.Array) -> bool:
        """Hand over messages as soon as there is room; whether anybody still wants them."""
        with self._changed:
            while not self._stopped:
                if not self._file and self._bytes < _AHEAD:
                    self._append(messages)
                    self._changed.notify_all()
                    return True
                if self._file.write(messages):
                    return True
                self._changed.wait()
            return False

    def _append(self, messages: pa.Array) -> None:
        self._ready.append(messages)
        self._bytes += messages.nbytes

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
            limit = min(max(_LEAST, passed), _MOST, max(1, _SPOOL * count // size))
