"""The one command line. Every failure a user can mend is one line on standard error and a non-zero exit."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path
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

privacy_app = typer.Typer(help="Rights of persons and of tenants; each leaves a signed receipt.", no_args_is_help=True)
app.add_typer(privacy_app, name="privacy")

key_app = typer.Typer(help="Keys with which a tenant's machines ask the read API.", no_args_is_help=True)
app.add_typer(key_app, name="api-key")

clickhouse_app = typer.Typer(help="ClickHouse, the second target; `tailrace publish` writes it.", no_args_is_help=True)
app.add_typer(clickhouse_app, name="clickhouse")

Json = Annotated[bool, typer.Option("--json", help="One JSON document, for machines.")]
RegionOption = Annotated[str | None, typer.Option("--region", help="us or eu; the deployment this command speaks of.")]
Tenants = Annotated[int | None, typer.Option("--tenants", min=4, help="Tenants of the sample company, both regions.")]
Days = Annotated[int | None, typer.Option("--days", min=1, help="Days the company lives on its first run.")]
Follow = Annotated[bool, typer.Option("--follow", help="Land the product's changes as they commit, until Ctrl-C.")]
Seed = Annotated[int | None, typer.Option("--seed", help="The same seed makes the same company.")]
Database = Annotated[str | None, typer.Option("--database", help="One product database; all of them if left out.")]
TenantOption = Annotated[str, typer.Option("--tenant", help="Id or slug of the tenant.")]
SubjectOption = Annotated[
    str, typer.Option("--subject", help="Any identifier of the person: user id, e-mail, Stripe customer, CRM contact.")
]
IntoOption = Annotated[str, typer.Option("--into", help="Id or slug of the tenant that has the rows now.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command()
def demo(
    tenants: Tenants = None, days: Days = None, seed: Seed = None, region: RegionOption = None, as_json: Json = False
) -> None:
    """Let the sample company live, run the pipeline once, show what happened, stop everything."""
    from orchestration.commands import demo as command

    command.run(region=region, tenants=tenants, days=days, seed=seed, as_json=as_json)


@key_app.command("create")
def api_key_create(
    tenant: Annotated[str, typer.Option("--tenant", help="Id of the tenant.")],
    label: Annotated[str, typer.Option("--label", help="What it is for, in words of yours.")] = "",
    days: Annotated[int, typer.Option("--days", help="Days until it expires.")] = 90,
    region: RegionOption = None,
    as_json: Json = False,
) -> None:
    """Make a key and show it, this once."""
    from orchestration.commands import api_key as command

    command.create(tenant=tenant, label=label, days=days, region=region, as_json=as_json)


@key_app.command("list")
def api_key_list(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Id of the tenant; all of them if left out.")] = None,
    region: RegionOption = None,
    as_json: Json = False,
) -> None:
    """Show which keys there are; not the keys."""
    from orchestration.commands import api_key as command

    command.show(tenant=tenant, region=region, as_json=as_json)


@key_app.command("revoke")
def api_key_revoke(key_id: str, region: RegionOption = None) -> None:
    """Refuse a key from now on."""
    from orchestration.commands import api_key as command

    command.revoke(key_id, region=region)


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
def explain(
    rollup: str,
    tenant: Annotated[str, typer.Option("--tenant", help="Id of the tenant.")],
    day: Annotated[str, typer.Option("--day", help="UTC day, as 2026-01-31.")],
    metric: Annotated[str, typer.Option("--metric", help="Column of the rollup or mart.")],
    row: Annotated[
        str | None,
        typer.Option(
            "--row", "--feature", help="Which one, of several: a feature, a model, a limit, a benchmark, a user_key."
        ),
    ] = None,
    currency: Annotated[
        str | None, typer.Option("--currency", help="Currency, where the tenant has the figure in several.")
    ] = None,
    region: RegionOption = None,
    as_json: Json = False,
) -> None:
    """Show what a figure of a rollup or a mart is made of, down to the landed rows and their log positions."""
    from orchestration.commands import explain as command

    command.run(
        rollup,
        tenant=tenant,
        day=day,
        metric=metric,
        row=row,
        currency=currency,
        region=region,
        as_json=as_json,
    )


@app.command()
def publish(
    verify: Annotated[bool, typer.Option("--verify", help="Read back what stands, and mend what differs.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Put the version before back, and hold it.")] = False,
    release: Annotated[bool, typer.Option("--release", help="Let what was rolled back follow again.")] = False,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Id of the only tenant to roll back.")] = None,
    region: RegionOption = None,
    as_json: Json = False,
) -> None:
    """Publish the rollups as they are built, if their gates hold; or go back to the version before."""
    from orchestration.commands import publish as command

    command.run(region=region, verify=verify, undo=rollback, let_go=release, tenant=tenant, as_json=as_json)


@clickhouse_app.command("status")
def clickhouse_status(region: RegionOption = None, as_json: Json = False) -> None:
    """Show which version stands in each database, and until when its data is complete."""
    from orchestration.commands import clickhouse as command

    command.status(region=region, as_json=as_json)


@clickhouse_app.command("access")
def clickhouse_access(region: RegionOption = None) -> None:
    """Print the SQL of roles, row policies, users and quotas for a server's operator; nothing is run."""
    from orchestration.commands import clickhouse as command

    command.access_sql(region=region)


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


@privacy_app.command("erase")
def privacy_erase(
    tenant: TenantOption, subject: SubjectOption, region: RegionOption = None, as_json: Json = False
) -> None:
    """Erase a person from raw, marts, files and every byte; nothing that lands later brings them back."""
    from orchestration.commands import privacy as command
    from privacy.erase import erase

    command.exercise(
        lambda rights: erase(rights, tenant=tenant, subject=subject), title="erasure", region=region, as_json=as_json
    )


@privacy_app.command("export")
def privacy_export(
    tenant: TenantOption, subject: SubjectOption, region: RegionOption = None, as_json: Json = False
) -> None:
    """Write all that raw holds of a person, and of nobody else, to a JSON file."""
    from orchestration.commands import privacy as command

    command.export(tenant=tenant, subject=subject, region=region, as_json=as_json)


@privacy_app.command("rectify")
def privacy_rectify(
    tenant: TenantOption, subject: SubjectOption, region: RegionOption = None, as_json: Json = False
) -> None:
    """Land what was corrected at the source, build on it, and name every copy that is stale."""
    from orchestration.commands import privacy as command
    from privacy.rectify import rectify

    command.exercise(
        lambda rights: rectify(rights, tenant=tenant, subject=subject), title="correct", region=region, as_json=as_json
    )


@privacy_app.command("restrict")
def privacy_restrict(
    tenant: TenantOption, subject: SubjectOption, region: RegionOption = None, as_json: Json = False
) -> None:
    """Keep a person's rows aside: nothing is computed from them until `lift`."""
    from orchestration.commands import privacy as command
    from privacy.restrict import restrict

    command.exercise(
        lambda rights: restrict(rights, tenant=tenant, subject=subject),
        title="restrict",
        region=region,
        as_json=as_json,
    )


@privacy_app.command("lift")
def privacy_lift(receipt: str, region: RegionOption = None, as_json: Json = False) -> None:
    """End the restriction of this receipt id; the rows come back as they were."""
    from orchestration.commands import privacy as command
    from privacy.restrict import lift

    command.exercise(lambda rights: lift(rights, receipt=receipt), title="lift", region=region, as_json=as_json)


@privacy_app.command("hold")
def privacy_hold(
    tenant: TenantOption,
    reason: Annotated[str, typer.Option("--reason", help="Stands on the receipt of every refusal; name nobody in it.")],
    subject: Annotated[str | None, typer.Option("--subject", help="A person; the whole tenant if left out.")] = None,
    region: RegionOption = None,
    as_json: Json = False,
) -> None:
    """Forbid erasure, of a person by whatever identifier, or of a whole tenant."""
    from orchestration.commands import privacy as command

    command.hold(tenant=tenant, subject=subject, reason=reason, region=region, as_json=as_json)


@privacy_app.command("release")
def privacy_release(hold: str, region: RegionOption = None, as_json: Json = False) -> None:
    """Lift a legal hold."""
    from orchestration.commands import privacy as command

    command.release(hold, region=region, as_json=as_json)


@privacy_app.command("offboard")
def privacy_offboard(tenant: TenantOption, region: RegionOption = None, as_json: Json = False) -> None:
    """Destroy a tenant's key and erase every row of it."""
    from orchestration.commands import privacy as command
    from privacy.tenants import offboard

    command.exercise(lambda rights: offboard(rights, tenant=tenant), title="offboard", region=region, as_json=as_json)


@privacy_app.command("merge")
def privacy_merge(tenant: TenantOption, into: IntoOption, region: RegionOption = None, as_json: Json = False) -> None:
    """After the product gave a tenant's rows to another: take away what is left of it."""
    from orchestration.commands import privacy as command
    from privacy.tenants import merge

    command.exercise(
        lambda rights: merge(rights, tenant=tenant, into=into), title="merge", region=region, as_json=as_json
    )


@privacy_app.command("split")
def privacy_split(tenant: TenantOption, into: IntoOption, region: RegionOption = None, as_json: Json = False) -> None:
    """After the product gave some of a tenant's rows to a new one: take away what they left behind."""
    from orchestration.commands import privacy as command
    from privacy.tenants import split

    command.exercise(
        lambda rights: split(rights, tenant=tenant, into=into), title="split", region=region, as_json=as_json
    )


@privacy_app.command("move-region")
def privacy_move_region(
    tenant: TenantOption,
    to: Annotated[str, typer.Option("--to", help="The region that the tenant moves to.")],
    region: RegionOption = None,
    as_json: Json = False,
) -> None:
    """After the product moved a tenant to another region: take away what is left of it in this one."""
    from orchestration.commands import privacy as command

    command.move(tenant=tenant, to=to, region=region, as_json=as_json)


@privacy_app.command("retain")
def privacy_retain(region: RegionOption = None, as_json: Json = False) -> None:
    """Empty what is past the days of its class; the daily job does the same."""
    from orchestration.commands import privacy as command

    command.retain(region=region, as_json=as_json)


@privacy_app.command("expiry")
def privacy_expiry(
    deleted_at: Annotated[
        str | None, typer.Option("--deleted-at", help="When rows were deleted (2026-03-01T12:00:00Z); else now.")
    ] = None,
    region: RegionOption = None,
    as_json: Json = False,
) -> None:
    """On Snowflake: when Time Travel and Fail-safe of each table let go of what was deleted, on a receipt."""
    from orchestration.commands import privacy as command

    command.expire(deleted_at=deleted_at, region=region, as_json=as_json)


@privacy_app.command("readmit")
def privacy_readmit(tenant: TenantOption, region: RegionOption = None, as_json: Json = False) -> None:
    """Let a tenant that left land again, under a new key."""
    from orchestration.commands import privacy as command

    command.readmit(tenant, region=region, as_json=as_json)


@privacy_app.command("request")
def privacy_request(
    kind: Annotated[str, typer.Argument(help="erase, export, rectify, restrict or offboard.")],
    tenant: TenantOption,
    subject: Annotated[str, typer.Option("--subject", help="Any identifier of the person; none for offboard.")] = "",
    region: RegionOption = None,
    as_json: Json = False,
) -> None:
    """Leave it to the Dagster job privacy_<kind>, whose configuration and log name nobody."""
    from orchestration.commands import privacy as command

    command.request(kind, tenant=tenant, subject=subject, region=region, as_json=as_json)


@privacy_app.command("resume")
def privacy_resume(region: RegionOption = None, as_json: Json = False) -> None:
    """End what was interrupted."""
    from orchestration.commands import privacy as command

    command.resume(region=region, as_json=as_json)


@privacy_app.command("verify")
def privacy_verify(receipt: Path, region: RegionOption = None, as_json: Json = False) -> None:
    """Check a receipt's hash, its signature, and the chain of those before it."""
    from orchestration.commands import privacy as command

    command.verify(receipt, region=region, as_json=as_json)


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
