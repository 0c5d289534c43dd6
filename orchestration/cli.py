"""The one command line. Every failure a user can mend is one line on standard error and a non-zero exit."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from orchestration.failures import unforeseen
from settings import TailraceError

app = typer.Typer(
    name="tailrace",
    help="The analytics platform of a multi-tenant B2B SaaS company: CDC to masked marts to per-tenant rollups.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document, for machines.")]
RegionOption = Annotated[str | None, typer.Option("--region", help="us or eu; the deployment this command speaks of.")]
Tenants = Annotated[int | None, typer.Option("--tenants", min=4, help="Tenants of the sample company, both regions.")]
Days = Annotated[int | None, typer.Option("--days", min=1, help="Days the company lives on its first run.")]
Seed = Annotated[int | None, typer.Option("--seed", help="The same seed makes the same company.")]


@app.command()
def demo(
    tenants: Tenants = None, days: Days = None, seed: Seed = None, region: RegionOption = None, as_json: Json = False
) -> None:
    """Let the sample company live, run the pipeline once, show what happened, stop everything."""
    from orchestration.commands import demo as command

    command.run(region=region, tenants=tenants, days=days, seed=seed, as_json=as_json)


@app.command()
def up(tenants: Tenants = None, days: Days = None, seed: Seed = None, region: RegionOption = None) -> None:
    """Keep it all running until Ctrl-C: Postgres, sandboxes, sample traffic, Dagster, the tenant dashboard."""
    from orchestration.commands import up as command

    command.run(region=region, tenants=tenants, days=days, seed=seed)


@app.command()
def run(region: RegionOption = None, as_json: Json = False) -> None:
    """Run the pipeline once against the configured sources."""
    from orchestration.commands import run as command

    command.run(region=region, as_json=as_json)


@app.command()
def status(region: RegionOption = None, as_json: Json = False) -> None:
    """Show positions, rows, the last run and who holds the warehouse."""
    from orchestration.commands import status as command

    command.run(region=region, as_json=as_json)


@app.command()
def sql(query: str, region: RegionOption = None, as_json: Json = False) -> None:
    """Query the analytics file: marts and rollups, read-only."""
    from orchestration.commands import sql as command

    command.run(query, region=region, as_json=as_json)


@app.command()
def env(region: RegionOption = None, as_json: Json = False) -> None:
    """Name every DSN, path and address in use; no secret is printed."""
    from orchestration.commands import env as command

    command.run(region=region, as_json=as_json)


@app.command()
def doctor(region: RegionOption = None, as_json: Json = False) -> None:
    """Check what a run needs, and say what mends each thing that is missing."""
    from orchestration.commands import doctor as command

    command.run(region=region, as_json=as_json)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 a failure named in one line, 2 wrong usage, 130 interrupted."""
    try:
        app()
    except TailraceError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("tailrace: interrupted; the next run goes on from here", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _fail(
            f"{error.filename or 'the system'}: {(error.strerror or type(error).__name__).lower()}; mend that and retry"
        )
    except Exception as error:
        if os.environ.get("TAILRACE_TRACEBACK"):
            raise
        _fail(f"{unforeseen(error)}; TAILRACE_TRACEBACK=1 shows it")


def _fail(line: str) -> None:
    print(f"tailrace: {' '.join(line.split())}", file=sys.stderr)
    sys.exit(1)
