"""``tailrace demo``: the sample company lives, the pipeline runs once, a summary is shown, everything stops."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict

from demo import services
from demo.company import Company
from orchestration import console
from orchestration.commands.run import summary, watched_run
from orchestration.environment import prepare
from orchestration.pipeline import require_success
from settings import ROOT, Settings, load_settings


def run(*, region: str | None, tenants: int | None, days: int | None, seed: int | None, as_json: bool) -> None:
    began = time.monotonic()
    settings = load_settings(region=region)
    prepare(settings)
    with ExitStack() as stack:
        company = start(settings, stack, tenants=tenants, days=days, seed=seed, quiet=as_json)
        result = watched_run(settings, quiet=as_json)
    seconds = time.monotonic() - began
    if as_json:
        console.emit_json(asdict(result) | {"days_lived": company.days_lived, "total_seconds": round(seconds, 1)})
    else:
        summary(result)
    require_success(result)
    if not as_json:
        _next_steps(seconds)


def start(
    settings: Settings,
    stack: ExitStack,
    *,
    tenants: int | None,
    days: int | None,
    seed: int | None,
    quiet: bool = False,
) -> Company:
    """Start what the sample company needs, and let it live its first days, or one more. ``stack`` stops it all."""
    with console.step("embedded Postgres, sandbox Stripe, HubSpot and Salesforce", quiet=quiet):
        postgres = stack.enter_context(services.running(settings))
        settings = services.settle_size(settings, tenants=tenants, days=days, seed=seed)
    with console.step("the sample company", quiet=quiet) as progress, _warm_up():
        company = services.sample_company(settings, postgres)
        company.found()
        company.live(
            max(settings.demo.days - company.days_lived, 1),
            progress=lambda day, today: progress(f"day {day + 1}, {today:%d %B %Y}"),
        )
    return company


@contextmanager
def _warm_up() -> Iterator[None]:
    """Parse the dbt project meanwhile: the company's life waits for Postgres and HTTP most of the time."""
    command = "from orchestration.dbt_build import ensure_manifest; from settings import load_settings; "
    parser = subprocess.Popen(
        [sys.executable, "-c", command + "ensure_manifest(load_settings())"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # if it fails, the pipeline parses again and says why
    )
    try:
        yield
    finally:
        parser.wait()


def _next_steps(seconds: float) -> None:
    console.out.print(f"\ndone in {seconds:.0f} s; nothing is left running. Three things to try next:\n")
    console.out.print("  make demo     [dim]the company lives one more day, and only that is landed[/]")
    console.out.print("  make up       [dim]Dagster on 127.0.0.1:3000, a tenant's dashboard on 127.0.0.1:8000[/]")
    query = "select * from rollups.rollup_tenant_usage_daily order by day desc limit 10"
    console.out.print(f'  .venv/bin/tailrace sql "{query}"', soft_wrap=True)
