"""The one command line. Every failure a user can mend is one line on standard error and a non-zero exit."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from typing import Annotated

import typer
from typer.exceptions import TyperException

from orchestration.failures import unforeseen
from settings import TailraceError

INTERRUPTED = 130

app = typer.Typer(
    name="tailrace",
    help="The analytics platform of a multi-tenant B2B SaaS company: CDC to masked marts to per-tenant rollups.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

airbyte_app = typer.Typer(help="Airbyte as code: what it lands is declared in tailrace.yml.", no_args_is_help=True)
app.add_typer(airbyte_app, name="airbyte")
policy_app = typer.Typer(
    help="Personal data: contracts and treatments compiled, checked, proved.", no_args_is_help=True
)
app.add_typer(policy_app, name="policy")

Json = Annotated[bool, typer.Option("--json", help="One JSON document, for machines.")]
RegionOption = Annotated[str | None, typer.Option("--region", help="us or eu; the deployment this command speaks of.")]
Tenants = Annotated[int | None, typer.Option("--tenants", min=4, help="Tenants of the sample company, both regions.")]
Days = Annotated[int | None, typer.Option("--days", min=1, help="Days the company lives on its first run.")]
Follow = Annotated[bool, typer.Option("--follow", help="Land the product's changes as they commit, until Ctrl-C.")]
Seed = Annotated[int | None, typer.Option("--seed", help="The same seed makes the same company.")]
Database = Annotated[str | None, typer.Option("--database", help="One product database; all of them if left out.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


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
def run(region: RegionOption = None, follow: Follow = False, as_json: Json = False) -> None:
    """Run the pipeline once against the configured sources, or keep landing the change stream with --follow."""
    if follow:
        from orchestration.commands import follow as following

        following.run(region=region, as_json=as_json)
        return
    from orchestration.commands import run as command

    command.run(region=region, as_json=as_json)


@app.command()
def resnapshot(
    database: Annotated[
        str | None, typer.Option("--database", help="One product database; all of them if left out.")
    ] = None,
    region: RegionOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Copy the tables of product databases anew, where changes were lost."""
    from orchestration.commands import resnapshot as command

    command.run(database=database, region=region, yes=yes, as_json=as_json)


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


@airbyte_app.command("plan")
def airbyte_plan(
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 2 when there are changes.")
    ] = False,
    region: RegionOption = None,
    as_json: Json = False,
) -> None:
    """Show what differs between the declaration and the server; nothing is changed, no secret is shown."""
    from orchestration.commands import airbyte as command

    command.plan(region=region, as_json=as_json, detailed_exitcode=detailed_exitcode)


@airbyte_app.command("apply")
def airbyte_apply(
    resend_secrets: Annotated[
        bool, typer.Option("--resend-secrets", help="Send secrets again that were rotated; a plan cannot see that.")
    ] = False,
    region: RegionOption = None,
    as_json: Json = False,
) -> None:
    """Bring the server to what is declared; once is enough, twice does no harm."""
    from orchestration.commands import airbyte as command

    command.apply(region=region, as_json=as_json, resend_secrets=resend_secrets)


@airbyte_app.command("manifest")
def airbyte_manifest(
    check: Annotated[bool, typer.Option("--check", help="Only compare; exit with 1 when it is stale.")] = False,
    server: Annotated[bool, typer.Option("--server", help="With --check: hold the server to it, too.")] = False,
    region: RegionOption = None,
) -> None:
    """Write what each connection lands, as the contracts say, into the manifest kept in the repository."""
    from orchestration.commands import airbyte as command

    command.manifest(region=region, check=check, server=server)


@policy_app.command("compile")
def policy_compile() -> None:
    """Write what follows from the contracts and treatments, and the page that proves it."""
    from orchestration.commands import policy as command

    command.compile_all()


@policy_app.command("check")
def policy_check() -> None:
    """Fail on a contract at fault, a stale artefact, an untreated way out of raw; nothing is written."""
    from orchestration.commands import policy as command

    command.check()


@policy_app.command("prove")
def policy_prove(as_json: Json = False) -> None:
    """Show of every column that dbt makes which raw columns reach it, and through which treatment."""
    from orchestration.commands import policy as command

    command.prove(as_json=as_json)


@policy_app.command("rotate")
def policy_rotate(
    tenants: Annotated[list[str] | None, typer.Argument(help="Ids of tenants; all of them if left out.")] = None,
    region: RegionOption = None,
    yes: Yes = False,
) -> None:
    """Give tenants a new key for their pseudonyms; the next run re-keys, and what is published stands until then."""
    from orchestration.commands import policy as command

    command.rotate(tenants=tenants or (), region=region, yes=yes)


@policy_app.command("classify")
def policy_classify(region: RegionOption = None, as_json: Json = False) -> None:
    """Sample what landed in kept and in unclassified columns, and report what looks personal; no value is shown."""
    from orchestration.commands import policy as command

    command.classify(region=region, as_json=as_json)


@policy_app.command("publication")
def policy_publication(
    schemas: Annotated[list[str] | None, typer.Argument(help="Schemas of tenants, the directory's first.")] = None,
    alter: Annotated[bool, typer.Option("--alter", help="Change a publication in place.")] = False,
) -> None:
    """Print the SQL that publishes a product database, column by column."""
    from orchestration.commands import policy as command

    command.publication(schemas=schemas or (), alter=alter)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 a failure named in one line, 2 wrong usage, 130 interrupted."""
    if not os.environ.get("TAILRACE_TRACEBACK"):
        warnings.simplefilter("ignore")  # of dependencies; a user can mend none of them
    _end_tidily()
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:
            print("tailrace: interrupted; the next run goes on from here", file=sys.stderr)
        sys.exit(code)
    except TyperException as error:
        if error.format_message():  # there is none where the help has just been shown
            print(f"tailrace: {error.format_message()} `tailrace --help` lists what there is.", file=sys.stderr)
        sys.exit(error.exit_code)
    except TailraceError as error:
        _fail(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("TAILRACE_TRACEBACK"):
            raise
        _fail(unforeseen(error))


def _end_tidily() -> None:
    """However a person or a supervisor ends this command, it stops what it started: Ctrl-C, kill, a closed terminal."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asked to live on
        signal.signal(signal.SIGHUP, signal.default_int_handler)


def _fail(line: str) -> None:
    print(f"tailrace: {' '.join(line.split())}", file=sys.stderr)
    sys.exit(1)
