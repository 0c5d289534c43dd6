"""``tailrace run``: the pipeline once, against the configured sources."""

from __future__ import annotations

from dataclasses import asdict

from orchestration import console
from orchestration.pipeline import STATIONS, RunReport, require_success, run_pipeline
from settings import Settings, load_settings

SOURCES = {"raw_app": "Postgres", "raw_stripe": "Stripe", "raw_hubspot": "HubSpot", "raw_salesforce": "Salesforce"}


def run(*, region: str | None, as_json: bool) -> None:
    settings = load_settings(region=region)
    result = watched_run(settings, quiet=as_json)
    if as_json:
        console.emit_json(asdict(result))
    else:
        summary(result)
    require_success(result)


def watched_run(settings: Settings, *, quiet: bool = False) -> RunReport:
    """The pipeline with its progress on the console."""
    if quiet:
        return run_pipeline(settings)
    with console.step("pipeline") as progress:
        return run_pipeline(settings, progress=progress)


def summary(result: RunReport) -> None:
    """The tables a person looks at after a run."""
    landed = [(name, result.rows.get(schema, 0)) for schema, name in SOURCES.items()]
    gates = f"{result.gates_passed} of {result.gates_passed + result.gates_refused}"
    tests = f"{result.tests_passed} of {result.tests_passed + result.tests_failed}"
    console.table(
        "what this run did",
        ["", ""],
        [
            *((f"rows landed from {name}", f"{rows:,}") for name, rows in landed),
            ("dbt models built", str(result.models)),
            ("dbt tests passed", tests),
            ("gates passed", gates),
            ("rollups published", f"{result.rollups} ({result.rollup_rows_changed:,} rows changed)"),
        ],
    )
    rows = [(STATIONS.get(name, name), seconds) for name, seconds in result.seconds.items()]
    console.table("seconds a station", ["station", "s"], [*rows, ("all", round(sum(s for _, s in rows), 2))])
