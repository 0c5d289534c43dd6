"""The contender that is this product, in a process of its own: ``python -m bench.engine ACTION CONFIG DATASET``.

The one place that calls the engine. The clock starts when the pass does: interpreter and imports are not in it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from bench.tables import DATASETS
from ingestion.land import RawTable
from ingestion.postgres import sync
from settings import Settings, load_settings
from warehouse import DuckDBWarehouse, open_warehouse

_PAUSE = 0.02
"""Seconds between steps of continuous mode."""
_POLLS = 60


def follower(settings: Settings, warehouse: DuckDBWarehouse, tables: Sequence[RawTable]) -> Callable[[], object]:
    """One step of continuous mode, to be called again and again. Without a continuous mode, one whole pass."""
    if find_spec("ingestion.postgres.follow") is None:
        return lambda: sync(settings, warehouse, tables=tables)
    step: Callable[[], object] = (
        import_module("ingestion.postgres.follow").Follower(settings, warehouse, tables=tables).step
    )
    return step


def capture(settings: Settings, warehouse: DuckDBWarehouse, tables: Sequence[RawTable]) -> float:
    """Seconds of one pass until its rows are in the warehouse's own file, which is closed."""
    began = time.perf_counter()
    sync(settings, warehouse, tables=tables)
    log = warehouse.path.with_name(warehouse.path.name + ".wal")
    if log.exists() and log.stat().st_size:
        with warehouse.writer("writing the log into the file") as con:
            con.execute("checkpoint")
    return time.perf_counter() - began


def poll(step: Callable[[], object]) -> list[float]:
    """Milliseconds of each of many steps that find nothing to do."""
    for _ in range(5):
        step()
    polls = []
    for _ in range(_POLLS):
        began = time.perf_counter()
        step()
        polls.append((time.perf_counter() - began) * 1000)
    return polls


def follow(step: Callable[[], object]) -> None:
    """Step until standard input ends; says ``ready`` after the first step."""
    ended = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    step()
    print("ready", flush=True)
    while not ended.wait(_PAUSE):
        step()


def peak_rss_mb() -> float:
    """The most memory this process has held so far, in MB of 10^6 bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("the kernel does not tell VmHWM")


def main(action: str, config: str, dataset: str) -> None:
    settings, tables = load_settings(config_path=Path(config)), DATASETS[dataset]
    warehouse = open_warehouse(settings)
    answer: dict[str, object] = {}
    if action == "sync":
        answer["seconds"] = capture(settings, warehouse, tables)
    elif action == "poll":
        answer["polls_ms"] = poll(follower(settings, warehouse, tables))
    elif action == "follow":
        follow(follower(settings, warehouse, tables))
    else:
        raise SystemExit(f"no such action: {action}")
    print(json.dumps(answer | {"peak_rss_mb": peak_rss_mb()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
