"""``tailrace up``: everything running until Ctrl-C, with the sample company living on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from demo.postgres import port_taken
from orchestration import console
from orchestration.commands.demo import start
from orchestration.commands.run import watched_run
from orchestration.environment import prepare
from orchestration.pipeline import require_success
from serving.tokens import mint_demo_token
from settings import ROOT, Settings, TailraceError, load_settings

SECONDS_A_DAY = 120
"""How long a day of the sample company takes while everything runs."""


def run(*, region: str | None, tenants: int | None, days: int | None, seed: int | None) -> None:
    settings = load_settings(region=region)
    prepare(settings)
    for name, port in (("dagster", settings.dagster.port), ("serving", settings.serving.port)):
        if port_taken(port):
            raise TailraceError(f"port {port} is taken by another program; stop it or set {name}.port in tailrace.yml")
    with ExitStack() as stack:
        company = start(settings, stack, tenants=tenants, days=days, seed=seed)
        if not settings.analytics_path.exists():
            require_success(watched_run(settings))
        with console.step("Dagster and the tenant dashboard"):
            _close_dead_runs()
            stack.enter_context(_child("dagster", _dagster(settings), settings))
            stack.enter_context(_child("dashboard", _dashboard(settings), settings))
            _wait(settings)
        _where(settings)
        while True:
            time.sleep(SECONDS_A_DAY)
            company.live(1)
            console.out.print(f"  the sample company has lived {company.days_lived} days", style="dim")


def _close_dead_runs() -> None:
    """What an `up` that was killed left behind in Dagster's books."""
    from dagster import DagsterInstance

    from orchestration.runs import close_dead_runs

    with DagsterInstance.get() as instance:
        close_dead_runs(instance, alone=True)


def _dagster(settings: Settings) -> list[str]:
    address = ["--host", settings.dagster.host, "--port", str(settings.dagster.port)]
    return [_executable("dagster"), "dev", "-m", "orchestration.definitions", *address]


def _dashboard(settings: Settings) -> list[str]:
    address = ["--host", settings.serving.host, "--port", str(settings.serving.port)]
    return [_executable("uvicorn"), "--factory", "serving.api:app", "--no-access-log", *address]


def _executable(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@contextmanager
def _child(name: str, command: list[str], settings: Settings) -> Iterator[None]:
    """A child process in a group of its own, ended with all of its children."""
    log_path = settings.logs_dir / f"{name}.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        for sign, patience in ((signal.SIGINT, 15.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            try:
                os.killpg(process.pid, sign)
                process.wait(timeout=patience)
                break
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue


def _wait(settings: Settings) -> None:
    deadline = time.monotonic() + 90
    wanted = {"dagster": settings.dagster.port, "dashboard": settings.serving.port}
    for name, port in wanted.items():
        while not port_taken(port):
            if time.monotonic() > deadline:
                raise TailraceError(f"{name} does not start; its log is {settings.logs_dir / f'{name}.log'}")
            time.sleep(0.2)


def _where(settings: Settings) -> None:
    tenant, name = _largest_tenant(settings)
    token = mint_demo_token(settings, tenant)
    dashboard = f"http://{settings.serving.host}:{settings.serving.port}"
    console.out.print(f"\n  Dagster            http://{settings.dagster.host}:{settings.dagster.port}")
    console.out.print(f"  dashboard of {name}, as one of its administrators:", soft_wrap=True)
    console.out.print(f"    {dashboard}/#token={token}", soft_wrap=True)
    console.out.print(f"  API                {dashboard}/openapi.json")
    console.out.print(f"\n  A day of the company takes {SECONDS_A_DAY} s. Ctrl-C stops everything.\n")


def _largest_tenant(settings: Settings) -> tuple[str, str]:
    import duckdb

    with duckdb.connect(str(settings.analytics_path), read_only=True) as connection:
        row = connection.execute(
            "select tenant_id, tenant_name from marts.dim_tenants "
            "join rollups.rollup_tenant_usage_daily using (tenant_id) "
            "where tenant_id <> 'unattributed' group by all order by sum(workflow_runs) desc, tenant_id limit 1"
        ).fetchone()
    if row is None:
        raise TailraceError("no tenant has any usage yet; run the pipeline first (`make demo`)")
    return str(row[0]), str(row[1])
