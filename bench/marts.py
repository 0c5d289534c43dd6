"""``python -m bench.marts``: what the marts cost to build from nothing, and what one more day costs after that.

Two products of two years, one with a tenth of the other's events, are landed by SQL and built whole, as a run does it.
Then the same days land in both, two events in a hundred late by up to seven days, and each build takes turns with the
other's. The last line is one JSON object with every figure.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench import report
from bench.landed import DAYS, TENANTS, land_a_day, land_history
from orchestration import dbt_build
from settings import Settings, load_settings
from warehouse import DuckDBWarehouse, open_warehouse

EVENTS, ROUNDS, MEMORY = 100_000_000, 3, "9GB"
_CONFIG = """
region: us
state_dir: {home}
sources:
  postgres: {{dsn: postgresql://nobody@127.0.0.1:1/none}}
  stripe: {{url: "http://127.0.0.1:1", api_key_env: NONE}}
  hubspot: {{url: "http://127.0.0.1:1", token_env: NONE}}
serving: {{publisher_dsn: postgresql://nobody@127.0.0.1:1/none, reader_dsn: postgresql://nobody@127.0.0.1:1/none}}
residency: {{unattributed_region: us}}
"""


class Deployment:
    """A warehouse with a history of ``events``, and how long its builds took, node by node."""

    def __init__(self, folder: Path, *, events: int) -> None:
        self.events = events
        folder.mkdir(parents=True)
        config = folder / "tailrace.yml"
        config.write_text(_CONFIG.format(home=folder), encoding="utf-8")
        self.settings: Settings = load_settings(config_path=config)
        self.warehouse: DuckDBWarehouse = open_warehouse(self.settings)
        with self.warehouse.writer("bench") as con:
            land_history(con, events=events)
        dbt_build.ensure_manifest(self.settings)

    def land_day(self, number: int, *, events: int) -> None:
        with self.warehouse.writer("bench") as con:
            land_a_day(con, events=events, number=number)

    def build(self) -> tuple[float, dict[str, float]]:
        """(seconds of the whole build, node → seconds). Raises TailraceError when a model or a test fails."""
        with self.warehouse.lease("bench"):
            began = time.perf_counter()
            dbt_build.build(self.settings)
            seconds = time.perf_counter() - began
        results = json.loads((self.settings.dbt_target_dir / "run_results.json").read_text(encoding="utf-8"))["results"]
        return seconds, {each["unique_id"].partition(".")[2]: each["execution_time"] for each in results}

    def rows(self) -> dict[str, int]:
        """Model → rows; a view has none of its own."""
        with self.warehouse.reader() as con:
            found = con.execute(
                "select table_name, estimated_size from duckdb_tables() where database_name = current_database()"
            ).fetchall()
        return {str(name): int(rows) for name, rows in found}


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    say = (lambda text: None) if options.json else lambda text: print(text, flush=True)
    os.environ["TAILRACE_DUCKDB_MEMORY"] = options.memory
    conditions = report.conditions()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-", dir=options.folder) as folder:
        figures = measure(Path(folder), events=options.events, rounds=options.rounds, say=say)
    result = {
        **figures,
        **conditions,
        "events": options.events,
        "tenants": TENANTS,
        "days": DAYS,
        "rounds": options.rounds,
        "memory_limit": options.memory,
        "total_s": round(time.monotonic() - began),
    }
    say(report.plain_table(result, report.MARTS_GOALS))
    results = options.results or (report.RESULTS if options.events == EVENTS else None)
    if results:
        path = report.write(result, results, today=datetime.now(UTC).date(), kind="marts")
        say(f"written to {path}; `python -m bench.report` brings docs/performance.md up to date")
    print(json.dumps(result))


def measure(folder: Path, *, events: int, rounds: int, say: Any) -> dict[str, Any]:
    """Every figure; the smaller history has a tenth of the events, a day of either as many as one of the larger."""
    day = max(events // DAYS, 100)
    deployments: dict[str, Deployment] = {}
    full: dict[str, float] = {}
    nodes: dict[str, dict[str, float]] = {}
    for name, size in (("tenth", events // 10), ("whole", events)):
        say(f"landing {size:,} events of {TENANTS:,} tenants over {DAYS} days")
        deployments[name] = Deployment(folder / name, events=size)
        full[name], nodes[name] = deployments[name].build()
        say(f"  built whole in {full[name]:.0f} s")
    # Of all children so far the largest, which is dbt with the larger history.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    increments: dict[str, list[float]] = {name: [] for name in deployments}
    of_nodes: dict[str, list[Mapping[str, float]]] = {name: [] for name in deployments}
    for number in range(rounds):
        for name in sorted(deployments, reverse=number % 2 == 1):
            deployments[name].land_day(DAYS + number, events=day)
            seconds, each = deployments[name].build()
            increments[name].append(round(seconds, 2))
            of_nodes[name].append(each)
            say(f"  one more day of {day:,} events on {deployments[name].events:,}: {seconds:.1f} s")
    rows = deployments["whole"].rows()
    medians = {
        name: {node: median(each.get(node, 0.0) for each in of_nodes[name]) for node in of_nodes[name][0]}
        for name in deployments
    }
    return {
        "full_build_s": round(full["whole"], 1),
        "peak_rss_mb": round(peak),
        "increment_100m_over_10m": round(median(increments["whole"]) / median(increments["tenth"]), 3),
        "full_build_tenth_s": round(full["tenth"], 1),
        "increment_seconds": increments,
        # Models alone: starting dbt costs both the same, and would hide what grows.
        "nodes_100m_over_10m": round(sum(medians["whole"].values()) / sum(medians["tenth"].values()), 3),
        "nodes": {
            node: {
                "rows": rows.get(node.split(".")[-1]),
                "full_s": round(seconds, 2),
                "increment_s": round(medians["whole"].get(node, 0.0), 2),
                "increment_tenth_s": round(medians["tenth"].get(node, 0.0), 2),
            }
            for node, seconds in sorted(nodes["whole"].items())
        },
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.marts", description=str(__doc__).partition("\n\n")[0])
    parser.add_argument("--events", type=int, default=EVENTS, help="usage events of the larger history (%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="days that land, medians are shown (%(default)s)")
    parser.add_argument("--memory", default=MEMORY, help="DuckDB's memory limit (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the last line alone")
    parser.add_argument("--results", type=Path, help="write the figures to this folder, whatever was measured")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made (default: the system's)")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
