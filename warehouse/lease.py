"""Writers wait in turn. A lease is an exclusive lock on a small file that names its holder.

The operating system drops the lock with the process, so a killed holder never has to be cleaned up after.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from settings import TailraceError

_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05
"""Seconds between looks whether it is free: a reader is done in a moment, dbt is not."""


@contextmanager
def lease(
    path: Path,
    *,
    purpose: str,
    timeout: float = 900.0,
    on_wait: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the one writer's place for a bounded step. ``timeout`` in seconds.

    ``on_wait`` is told once, in words, for whom this writer waits. Raises TailraceError when the turn does not come.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _acquire(descriptor, purpose=purpose, timeout=timeout, on_wait=on_wait)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "purpose": purpose, "since": time.time()}).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder(path: Path) -> str | None:
    """Who holds the lease, in words; None when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _describe(descriptor)
    finally:
        os.close(descriptor)
    return None


def _acquire(descriptor: int, *, purpose: str, timeout: float, on_wait: Callable[[str], None] | None) -> None:
    deadline = time.monotonic() + timeout
    told, pause = False, _FIRST_PAUSE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            who = _describe(descriptor)
            if time.monotonic() >= deadline:
                raise TailraceError(f"{purpose}: waited {timeout:.0f} s for {who}; let it end or stop it") from None
            if on_wait is not None and not told:
                on_wait(f"{purpose} waits for {who}")
                told = True
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _describe(descriptor: int) -> str:
    try:
        held = json.loads(os.pread(descriptor, 4096, 0))
        return f"{held['purpose']} (pid {held['pid']}, for {time.time() - held['since']:.0f} s)"
    except (ValueError, KeyError):
        return "another writer"
