"""Threads that give way: what publishing computes waits for whoever reads at the same time on the same machine."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import duckdb

_NICENESS = 19


def workers(count: int = 1) -> ThreadPoolExecutor:
    """Threads that give way."""
    return ThreadPoolExecutor(count, initializer=_give_way)


def let_give_way(connection: duckdb.DuckDBPyConnection) -> None:
    """Have DuckDB's own threads give way too, for as long as the database is open. To be called by a worker.

    A thread begins with the niceness of the one that started it, so they are started anew.
    """
    found = connection.execute("select current_setting('threads')").fetchone()
    if found and (threads := int(found[0])) > 1:
        connection.execute("set threads = 1")
        connection.execute(f"set threads = {threads}")


def _give_way() -> None:
    with suppress(OSError, AttributeError):  # only Linux knows of the niceness of a thread
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
