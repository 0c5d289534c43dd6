"""Publishing computes in threads that give way to readers on the same machine."""

from __future__ import annotations

import os
import sys

import duckdb
import pytest

from serving import background


def niceness_of_threads() -> dict[str, int]:
    return {thread: os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in os.listdir("/proc/self/task")}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows of the niceness of a thread")
def test_workers_and_the_threads_of_their_database_give_way_and_nobody_else() -> None:
    with duckdb.connect(config={"threads": 3}) as connection:
        before = niceness_of_threads()
        with background.workers() as worker:
            worker.submit(background.let_give_way, connection).result()
            after = niceness_of_threads()
            answer = worker.submit(connection.execute, "select sum(range % 7) from range(1000000)").result().fetchone()
        threads = connection.execute("select current_setting('threads')").fetchone()
    assert (answer, threads) == ((2_999_997,), (3,))
    # The worker, and two of DuckDB's three threads, which are started anew: the third is whoever asks.
    assert [niceness for thread, niceness in after.items() if thread not in before] == [19, 19, 19]
    assert {thread: niceness for thread, niceness in after.items() if thread in before}.items() <= before.items()
