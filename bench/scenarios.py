"""What is measured: each scenario makes its data, runs its contenders in turn, and gives its figures.

A figure named ``<what>_vs_<peer>`` is the median of this product's seconds over the median of the peer's.
"""

# ruff: noqa: S608 - the identifiers are this folder's own

from __future__ import annotations

import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench import contenders
from bench.contenders import Deployment, Run
from bench.source import Source
from bench.tables import DATASETS, EVENTS, EVENTS_DDL, insert_events, update_events
from settings import TailraceError, load_settings
from warehouse import open_warehouse

Figures = dict[str, float | None]
_LOOK = 0.005
"""Seconds between a reader's looks at the warehouse's time stamp."""


@dataclass
class Bench:
    """The size of a run, who is told of its progress, and the seconds that every contender took."""

    folder: Path
    rows: int
    rounds: int
    history: bool
    debezium_python: str | None
    changes: int
    say: Callable[[str], None]
    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    @contextmanager
    def source(self) -> Iterator[Source]:
        """A server in a folder of its own; both gone after the block."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name, Source(Path(name)) as source:
            yield source

    @contextmanager
    def events(self) -> Iterator[Source]:
        """A server with the table of events, empty and published."""
        with self.source() as source:
            source.run(EVENTS_DDL)
            source.publish((EVENTS,))
            yield source

    def interleave(self, scenario: str, runs: dict[str, Callable[[], Run]]) -> dict[str, list[Run]]:
        """Every contender once a round; who begins changes from round to round."""
        results: dict[str, list[Run]] = {name: [] for name in runs}
        names = list(runs)
        for number in range(self.rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                run = runs[name]()
                results[name].append(run)
                memory = "" if run.peak_rss_mb is None else f"{run.peak_rss_mb:8,.0f} MB"
                self.say(f"    round {number + 1} of {self.rounds}   {name:<20}{run.seconds:9.2f} s{memory}")
        taken = {name: [round(run.seconds, 3) for run in each] for name, each in results.items()}
        self.seconds.setdefault(scenario, {}).update(taken)
        return results


def _seconds(runs: list[Run]) -> float:
    return statistics.median(run.seconds for run in runs)


def _peak(runs: list[Run]) -> float:
    return max(run.peak_rss_mb or math.nan for run in runs)


def inserts(bench: Bench) -> Figures:
    with bench.events() as source:
        contenders.first_capture(source, "events")
        source.write(insert_events, bench.rows)
        results = bench.interleave(
            "inserts",
            {
                "tailrace": lambda: contenders.engine(source, "events"),
                "pg_recvlogical": lambda: contenders.recvlogical(source),
                "per_message": lambda: contenders.per_message(source),
            },
        )
    own = _seconds(results["tailrace"])
    return {
        "inserts_vs_recvlogical": own / _seconds(results["pg_recvlogical"]),
        "inserts_vs_per_message": own / _seconds(results["per_message"]),
    }


def updates(bench: Bench) -> Figures:
    with bench.events() as source:
        source.write(insert_events, bench.rows)
        contenders.first_capture(source, "events")
        source.write(update_events, bench.rows, rows_a_commit=2000)
        results = bench.interleave(
            "updates",
            {
                "tailrace": lambda: contenders.engine(source, "events"),
                "pg_recvlogical": lambda: contenders.recvlogical(source),
            },
        )
    return {"updates_vs_recvlogical": _seconds(results["tailrace"]) / _seconds(results["pg_recvlogical"])}


def pgbench(bench: Bench) -> Figures:
    """TPC-B-like: a transaction updates three tables and adds to a fourth, which has no key."""
    dataset = "pgbench" if bench.history else "pgbench_without_history"
    clients, scale = 4, 10
    with bench.source() as source:
        options = {"PGOPTIONS": "-c search_path=app -c synchronous_commit=off"}
        dsn = source.server.superuser_dsn("bench")
        source.call("pgbench", "--initialize", f"--scale={scale}", "--quiet", dsn, **options)
        source.run("alter table app.pgbench_history replica identity full")
        source.publish(DATASETS[dataset])
        contenders.first_capture(source, dataset)
        each = max(1, bench.rows // 10 // clients)
        load = ["--client=4", "--jobs=2", f"--transactions={each}", "--protocol=prepared", "--no-vacuum"]
        source.call("pgbench", *load, "--random-seed=7", dsn, **options)
        source.settle()
        results = bench.interleave(
            dataset,
            {
                "tailrace": lambda: contenders.engine(source, dataset),
                "pg_recvlogical": lambda: contenders.recvlogical(source),
            },
        )
    return {"pgbench_vs_recvlogical": _seconds(results["tailrace"]) / _seconds(results["pg_recvlogical"])}


def debezium(bench: Bench) -> Figures:
    """A tenth of the rows for both sides: Debezium takes minutes for all of them."""
    python = bench.debezium_python
    missing = contenders.debezium_missing(python)
    if python is None or missing is not None:
        bench.say(f"    {missing}")
        return {"inserts_vs_debezium": None}
    with bench.events() as source:
        contenders.first_capture(source, "events")
        source.write(insert_events, bench.rows // 10)
        results = bench.interleave(
            "inserts_a_tenth",
            {
                "tailrace": lambda: contenders.engine(source, "events"),
                "debezium": lambda: contenders.debezium_engine(source, python),
            },
        )
    return {"inserts_vs_debezium": _seconds(results["tailrace"]) / _seconds(results["debezium"])}


def growth(bench: Bench) -> Figures:
    with bench.events() as once, bench.events() as five_times:
        for source, rows in ((once, bench.rows), (five_times, 5 * bench.rows)):
            contenders.first_capture(source, "events")
            source.write(insert_events, rows)
        results = bench.interleave(
            "growth",
            {
                "tailrace": lambda: contenders.engine(once, "events"),
                "tailrace_5x": lambda: contenders.engine(five_times, "events"),
            },
        )
    return {
        "growth_5m_over_1m": _seconds(results["tailrace_5x"]) / _seconds(results["tailrace"]),
        "peak_rss_mb_5m": _peak(results["tailrace_5x"]),
    }


def big_transaction(bench: Bench) -> Figures:
    with bench.events() as source:
        contenders.first_capture(source, "events")
        source.write(insert_events, 5 * bench.rows, rows_a_commit=5 * bench.rows)
        results = bench.interleave("big_transaction", {"tailrace": lambda: contenders.engine(source, "events")})
    return {"big_txn_peak_rss_mb": _peak(results["tailrace"])}


def snapshot(bench: Bench) -> Figures:
    with bench.events() as source:
        source.write(insert_events, bench.rows)
        source.run("vacuum app.events")  # else whoever reads first writes every row's hint bits, for all the others
        results = bench.interleave(
            "snapshot",
            {
                "tailrace": lambda: contenders.engine_snapshot(source, "events"),
                "copy_binary": lambda: contenders.copy_binary(source),
            },
        )
    return {"snapshot_vs_copy_binary": _seconds(results["tailrace"]) / _seconds(results["copy_binary"])}


def follow(bench: Bench) -> Figures:
    """Continuous mode on a table that is large already: polls that find nothing, then small changes, one by one."""
    polls, delays = [], []
    with bench.events() as source:
        source.write(insert_events, bench.rows)
        contenders.first_capture(source, "events")
        for number in range(bench.rounds):
            with contenders.continued(source) as deployment:
                answer = contenders.child("-m", "bench.engine", "poll", str(deployment.config), "events")
                polls.append(statistics.median(answer["polls_ms"]))
                bench.say(f"    round {number + 1} of {bench.rounds}   idle poll           {polls[-1]:9.1f} ms")
                first = bench.rows + 1 + number * bench.changes
                delays.append(_percentile(_follow(source, deployment, first, bench.changes), 0.95))
                bench.say(f"    round {number + 1} of {bench.rounds}   visible, p95        {delays[-1]:9.1f} ms")
    bench.seconds["follow"] = {
        "idle_poll": [round(each / 1000, 4) for each in polls],
        "visible_p95": [round(each / 1000, 4) for each in delays],
    }
    return {"idle_poll_ms": statistics.median(polls), "visible_p95_ms": statistics.median(delays)}


def _follow(source: Source, deployment: Deployment, first: int, changes: int) -> list[float]:
    """Milliseconds from each change's commit, by the source's clock, until a fresh reader finds its row in raw."""
    command = [sys.executable, "-m", "bench.engine", "follow", str(deployment.config), "events"]
    process = subprocess.Popen(
        command,
        env=contenders.child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if process.stdout.readline().strip() != "ready":
            raise TailraceError("continuous mode did not start")
        writer = threading.Thread(target=_write, args=(source, first, changes), daemon=True)
        writer.start()
        return _read(deployment, process, first, changes)
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _write(source: Source, first: int, changes: int) -> None:
    """One row a transaction, at moments that no loop can fall in step with."""
    moments = random.Random(7)
    with source.server.connect("bench") as connection:
        for number in range(first, first + changes):
            time.sleep(moments.uniform(0.1, 0.3))
            connection.execute(insert_events(str(number), str(number)))


def _read(deployment: Deployment, process: subprocess.Popen[str], first: int, changes: int) -> list[float]:
    """Opens the warehouse anew, as any reader would, whenever its file has changed since the last look.

    A reader that opened it all the time would hold the lease that the writer waits for, and measure itself.
    """
    warehouse = open_warehouse(load_settings(config_path=deployment.config))
    seen: dict[int, float] = {}
    looked: list[tuple[int, int]] = []
    deadline = time.monotonic() + 60 + changes
    while len(seen) < changes:
        if time.monotonic() > deadline or process.poll() is not None:
            raise TailraceError(f"{changes - len(seen)} of {changes} changes were never seen in raw")
        stamps = _stamps(warehouse.path)
        if stamps == looked:
            time.sleep(_LOOK)
            continue
        with warehouse.reader("bench") as con:
            rows = con.execute(
                f"select id, epoch_us(_ab_cdc_updated_at) from {EVENTS.sql} where id >= ? and id < ?",
                [first, first + changes],
            ).fetchall()
        now = datetime.now(UTC).timestamp()
        looked = stamps
        for number, committed in rows:
            seen.setdefault(int(number), (now - committed / 1e6) * 1000)
    return list(seen.values())


def _stamps(path: Path) -> list[tuple[int, int]]:
    """Time and size of the warehouse's file and its log."""
    stamps = []
    for each in (path, path.with_name(path.name + ".wal")):
        try:
            status = os.stat(each)
        except FileNotFoundError:
            continue
        stamps.append((status.st_mtime_ns, status.st_size))
    return stamps


def _percentile(values: list[float], share: float) -> float:
    """The smallest value that at least ``share`` of the values do not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


@dataclass(frozen=True)
class Scenario:
    """A scenario, the figures it gives, and about how many seconds it takes at a million rows: to make, a round."""

    name: str
    keys: tuple[str, ...]
    what: str
    makes: int
    a_round: int
    measure: Callable[[Bench], Figures]


SCENARIOS = (
    Scenario(
        "inserts",
        ("inserts_vs_recvlogical", "inserts_vs_per_message"),
        "inserts, landed and durable",
        20,
        70,
        inserts,
    ),
    Scenario("updates", ("updates_vs_recvlogical",), "updates of every second row of a table", 50, 25, updates),
    Scenario("pgbench", ("pgbench_vs_recvlogical",), "a TPC-B stream of 4 clients", 40, 20, pgbench),
    Scenario("debezium", ("inserts_vs_debezium",), "a tenth of the inserts, beside Debezium", 10, 30, debezium),
    Scenario(
        "growth", ("growth_5m_over_1m", "peak_rss_mb_5m"), "five times the inserts, over the inserts", 90, 110, growth
    ),
    Scenario(
        "big_transaction",
        ("big_txn_peak_rss_mb",),
        "five times the inserts in one transaction",
        80,
        120,
        big_transaction,
    ),
    Scenario("snapshot", ("snapshot_vs_copy_binary",), "the first copy of a table", 15, 15, snapshot),
    Scenario("follow", ("idle_poll_ms", "visible_p95_ms"), "continuous mode", 25, 50, follow),
)
