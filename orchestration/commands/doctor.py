"""``tailrace doctor``: what a run needs, checked one by one, each with the remedy when it is missing."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import psycopg

from orchestration import console
from orchestration.environment import prepare
from settings import Settings, TailraceError, load_settings, postgres_problem

_LEAST_FREE_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Check:
    """``problem`` is None when it is as it should be, else what is wrong and what mends it."""

    name: str
    problem: str | None


def run(*, region: str | None, as_json: bool) -> None:
    settings = load_settings(region=region)
    checks = list(examine(settings))
    wrong = [each for each in checks if each.problem]
    if as_json:
        console.emit_json({"ok": not wrong, "checks": [asdict(each) for each in checks]})
    else:
        for each in checks:
            mark = "[red]✗[/]" if each.problem else "[green]✓[/]"
            console.out.print(f"  {mark} {each.name}" + (f": {each.problem}" if each.problem else ""), soft_wrap=True)
    if wrong:
        raise TailraceError(f"{len(wrong)} of {len(checks)} checks failed")


def examine(settings: Settings) -> Iterator[Check]:
    """Every check, in the order in which a run would trip over them."""
    yield Check("configuration", None)
    yield _checked("state folder is writable", lambda: prepare(settings))
    free = shutil.disk_usage(settings.state_dir).free
    yield Check("disk", f"{free // 10**6} MB free; free some" if free < _LEAST_FREE_BYTES else None)
    yield _checked("Stripe credential", settings.sources.stripe.api_key)
    yield _answers("Stripe answers", settings.sources.stripe.url)
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
    source = settings.sources.postgres
    try:
        with psycopg.connect(dsn, connect_timeout=10) as connection:
            level = _one(connection, "show wal_level")
            yield Check(
                f"{name}: wal_level",
                None
                if level == "logical"
                else f"is {level}; run `alter system set wal_level = 'logical'` and restart Postgres",
            )
            replicates = _one(
                connection, "select rolreplication or rolsuper from pg_roles where rolname = current_user"
            )
            role = _one(connection, "select current_user")
            yield Check(
                f"{name}: replication right",
                None if replicates else f'run `alter role "{role}" replication`',
            )
            published = _one(
                connection, "select count(*) from pg_publication_tables where pubname = %s", source.publication
            )
            yield Check(
                f"{name}: publication {source.publication}",
                None
                if published
                else "is missing or empty; create it with the SQL that `python -m pii_policies publication app` prints",
            )
            lost = _one(
                connection,
                "select wal_status from pg_replication_slots where slot_name = %s and database = current_database()",
                source.slot,
            )
            yield Check(
                f"{name}: slot {source.slot}",
                "its WAL is lost; drop it and land this database anew" if lost == "lost" else None,
            )
    except psycopg.Error as error:
        yield Check(f"{name}: connection", postgres_problem(dsn, error))


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
