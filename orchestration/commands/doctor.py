"""``tailrace doctor``: what a run needs, checked one by one, each with the remedy when it is missing."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial

import psycopg

from ingestion.land import raw_table
from ingestion.postgres.checks import AREAS, Severity, inspect
from ingestion.postgres.connection import connect
from ingestion.postgres.slots import slot_name
from orchestration import console
from orchestration.environment import prepare
from pii_policies import deeper, load_contracts
from settings import Settings, TailraceError, load_settings, postgres_problem

_LEAST_FREE_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Check:
    """``problem`` is None when it is as it should be. A warning does not stop a run.

    ``remedy`` is what mends the problem where the problem's own text does not say so.
    """

    name: str
    problem: str | None
    remedy: str | None = None
    severity: Severity = "error"


def run(*, region: str | None, as_json: bool) -> None:
    settings = load_settings(region=region)
    checks = list(examine(settings))
    wrong = [each for each in checks if each.problem and each.severity == "error"]
    if as_json:
        console.emit_json({"ok": not wrong, "checks": [asdict(each) for each in checks]})
    else:
        for each in checks:
            mark = "[green]✓[/]" if not each.problem else "[red]✗[/]" if each.severity == "error" else "[yellow]![/]"
            line = ": ".join(filter(None, [each.name, each.problem])) + (f"; {each.remedy}" if each.remedy else "")
            console.out.print(f"  {mark} {console.plain(line)}", soft_wrap=True)
    if wrong:
        raise TailraceError(f"{len(wrong)} of {len(checks)} checks failed")


def examine(settings: Settings) -> Iterator[Check]:
    """Every check, in the order in which a run would trip over them."""
    yield Check("configuration", None)
    yield _checked("state folder is writable", lambda: prepare(settings))
    free = shutil.disk_usage(settings.state_dir).free
    yield Check("disk", f"{free // 10**6} MB free; free some" if free < _LEAST_FREE_BYTES else None)
    if (redaction := settings.privacy.redaction) is not None:
        yield _checked("redaction before landing", lambda: deeper.redactor(redaction))
    source = settings.sources.stripe
    for name, account in source.each().items():
        yield _checked(f"Stripe credential {name}".strip(), partial(source.api_key, name))
        yield _answers(f"Stripe answers {name}".strip(), account.url or source.url)
    yield _checked("HubSpot credential", settings.sources.hubspot.token)
    yield _answers("HubSpot answers", settings.sources.hubspot.url)
    if (salesforce := settings.sources.salesforce) is not None:
        yield _checked("Salesforce credential", lambda: salesforce.secret("client_id"))
        yield _answers("Salesforce answers", salesforce.url)
    try:
        databases = settings.source_databases()
    except TailraceError as error:
        yield Check("source Postgres", str(error))
        return
    for name, dsn in databases.items():
        yield from _source(settings, name, dsn)
    for name, dsn in settings.rollup_databases().items():
        yield _publisher(name, dsn)


def _source(settings: Settings, name: str, dsn: str) -> Iterator[Check]:
    """All that stands in the way of capturing one database, and what of it is as it should be."""
    config = settings.sources.postgres
    tables = [raw_table(table) for table in load_contracts().raw_tables("app")]
    try:
        with connect(dsn) as connection:
            found = inspect(
                connection,
                database=name,
                publication=config.publication,
                slot=slot_name(config.slot, name),
                patterns=config.schemas,
                tables=tables,
            )
    except TailraceError as error:
        yield Check(f"{name}: connection", str(error))
        return
    except psycopg.Error as error:
        yield Check(f"{name}: connection", postgres_problem(dsn, error))
        return
    for area in AREAS:
        of_area = [each for each in found if each.about == area]
        if not of_area:
            yield Check(f"{name}: {area}", None)
        for each in of_area:
            yield Check(each.where, each.problem, each.remedy, each.severity)


def _publisher(name: str, dsn: str) -> Check:
    try:
        with psycopg.connect(dsn, connect_timeout=10) as connection:
            member = _one(connection, "select pg_has_role(current_user, 'tailrace_owner', 'set')")
    except psycopg.errors.UndefinedObject:
        return Check(f"{name}: publisher", "role tailrace_owner is missing; create it (docs/architecture.md, roles)")
    except psycopg.Error as error:
        return Check(f"{name}: publisher", postgres_problem(dsn, error))
    return Check(f"{name}: publisher", None if member else "grant tailrace_owner to it `with inherit false, set true`")


def _one(connection: psycopg.Connection, query: str, *parameters: str) -> object:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None


def _checked(name: str, attempt: Callable[[], object]) -> Check:
    try:
        attempt()
    except TailraceError as error:
        return Check(name, str(error))
    return Check(name, None)


def _answers(name: str, url: str) -> Check:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        pass  # it answers, if only to say that it wants a key
    except (OSError, ValueError):
        return Check(name, f"{url} is not reachable; start it (`make up` for the demo) or mend the url in tailrace.yml")
    return Check(name, None)
