"""Ctrl-C that cannot get lost.

A run passes through libraries that turn an interrupt into an error of their own, or swallow it. The signal is therefore
noted where it arrives, whatever handler is in force, and sent again until the run has ended.
"""

from __future__ import annotations

import os
import signal
import socket
from types import TracebackType
from typing import Self

_SIGNALS = {signal.SIGINT, signal.SIGTERM}


class Interrupts:
    """Notes interrupts for the length of a ``with`` block in the main thread."""

    def __init__(self) -> None:
        self._received = False
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def __enter__(self) -> Self:
        self._previous = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._previous)
        self.received()
        self._reader.close()
        self._writer.close()

    def received(self) -> bool:
        """Whether one has arrived since the block began. Any thread may ask."""
        if not self._received and self._reader.fileno() >= 0:
            try:
                self._received = any(number in _SIGNALS for number in self._reader.recv(4096))
            except BlockingIOError:
                pass
        return self._received

    def send_again(self) -> None:
        """Interrupt the main thread once more."""
        os.kill(os.getpid(), signal.SIGINT)
