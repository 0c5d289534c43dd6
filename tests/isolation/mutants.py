"""Products that are broken on purpose, each in one way: a suite that calls them sound proves nothing.

A mutant is applied to both worlds, and undone after the attempts.
"""

# ruff: noqa: S608 - every statement is made of constants and of names out of the catalogue
from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import psycopg

from serving.api import limits, postgres
from tests.isolation.broken_api import BROKEN, accepting
from tests.isolation.registry import Channel
from tests.isolation.world import World

USAGE = "tenant_analytics.rollup_tenant_usage_daily"
FEATURES = "tenant_analytics.rollup_tenant_feature_adoption_daily"
_TENANT = "nullif(current_setting('app.current_tenant_id', true), '')"


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """``channels``: which attempts are run against it; ``whole``: all of them, though few would catch it.

    ``only``: what the names of those that are run begin with, where others would take for ever and could not tell.
    """

    name: str
    channels: tuple[Channel, ...]
    broken: Callable[[World], AbstractContextManager[None]]
    whole: bool = False
    only: str = ""


MUTANTS: list[Mutant] = []
_WHOLE = {
    "row-level security off",
    "writes granted, and let through",
    "reader a superuser",
    "an API that sets the tenant for the session",
    "a neighbour behind the pooler that leaves things behind",
    "an API that verifies no signatures",
    "an API that answers without a token",
    "an API that answers a row too many",
}


def mutant(name: str, *channels: Channel, only: str = "") -> Callable[[Callable[[World], Iterator[None]]], Any]:
    """Register a generator function that breaks a world, yields, and mends it."""

    def register(broken: Callable[[World], Iterator[None]]) -> Callable[[World], Iterator[None]]:
        MUTANTS.append(
            Mutant(name=name, channels=channels, broken=contextmanager(broken), whole=name in _WHOLE, only=only)
        )
        return broken

    return register


def by_sql(name: str, *statements: str, undo: tuple[str, ...]) -> None:
    """A mutant of the shared database, made and undone by a superuser's statements."""

    @mutant(name, "sql")
    def broken(world: World) -> Iterator[None]:
        run(world, *statements)
        yield
        run(world, *undo)


def run(world: World, *statements: str) -> None:
    """``{all}`` repeats a statement for each published table; ``{id}``, ``{name}`` are another tenant's."""
    first = world.others[0]
    with world.superuser() as connection:
        tables = connection.execute(
            "select oid::regclass::text from pg_class "
            "where relnamespace = 'tenant_analytics'::regnamespace and relkind = 'r' and relrowsecurity is not null"
        ).fetchall()
        for statement in statements:
            text = statement.replace("{id}", first.id).replace("{name}", first.name)
            for (table,) in tables if "{all}" in text else [("",)]:
                connection.execute(text.replace("{all}", table))


by_sql(
    "row-level security off",
    "alter table {all} disable row level security",
    undo=("alter table {all} enable row level security",),
)
by_sql(
    "row-level security off on one table",
    f"alter table {FEATURES} disable row level security",
    undo=(f"alter table {FEATURES} enable row level security",),
)
by_sql(
    "row-level security not forced",
    "alter table {all} no force row level security",
    undo=("alter table {all} force row level security",),
)


@mutant("policy that shows all while no tenant is set", "sql")
def policy_for_all(world: World) -> Iterator[None]:
    with another_policy(world, f"{_TENANT} is null or tenant_id = {_TENANT}::uuid"):
        yield


@mutant("policy by pattern", "sql")
def policy_by_pattern(world: World) -> Iterator[None]:
    with another_policy(world, "tenant_id::text like current_setting('app.current_tenant_id', true) || '%'"):
        yield


@mutant("policy by a slow function", "sql", only="time:")
def slow_policy(world: World) -> Iterator[None]:
    run(
        world,
        "create function public.is_current(uuid) returns boolean language plpgsql stable as "
        f"$$ begin perform pg_sleep(0.0001); return $1 = {_TENANT}::uuid; end $$",
    )
    with another_policy(world, "public.is_current(tenant_id)"):
        yield
    run(world, "drop function public.is_current(uuid)")


@contextmanager
def another_policy(world: World, condition: str) -> Iterator[None]:
    """The first rollup under a policy of another condition."""
    with world.superuser() as connection:
        (stood,) = connection.execute(
            "select pg_get_expr(polqual, polrelid) from pg_policy where polname = 'tenant_isolation' "
            "and polrelid = %s::regclass",
            [USAGE],
        ).fetchone()
    run(world, f"alter policy tenant_isolation on {USAGE} using ({condition})")
    yield
    run(world, f"alter policy tenant_isolation on {USAGE} using ({stood})")


by_sql(
    "reader with BYPASSRLS",
    "alter role tailrace_reader bypassrls",
    undo=("alter role tailrace_reader nobypassrls",),
)
by_sql(
    "reader a member of the publisher",
    "grant tailrace_publisher to tailrace_reader",
    undo=("revoke tailrace_publisher from tailrace_reader",),
)
by_sql(
    "view of all rows",
    f"create view tenant_analytics.every as select * from {USAGE}",
    "grant select on tenant_analytics.every to tailrace_reader",
    undo=("drop view tenant_analytics.every",),
)
by_sql(
    "view without security_barrier",
    f"create view tenant_analytics.mine as select * from {USAGE} where tenant_id = {_TENANT}::uuid",
    "grant select on tenant_analytics.mine to tailrace_reader",
    undo=("drop view tenant_analytics.mine",),
)
by_sql(
    "materialized view that readers can read",
    f"create materialized view tenant_analytics.kept as select * from {USAGE}",
    "grant select on tenant_analytics.kept to tailrace_reader",
    undo=("drop materialized view tenant_analytics.kept",),
)
by_sql(
    "window without security_barrier",
    "alter view tenant_analytics.rolling_usage reset (security_barrier)",
    undo=("alter view tenant_analytics.rolling_usage set (security_barrier)",),
)
_BEHIND_WINDOWS = (
    "do $$ declare m text; begin for m in select format('%I.%I', schemaname, matviewname) from pg_matviews "
    "loop execute format('GRANTED', m); end loop; end $$"
)
by_sql(
    "what is behind windows laid open",
    "grant usage on schema tenant_analytics_private to tailrace_reader",
    _BEHIND_WINDOWS.replace("GRANTED", "grant select on %s to tailrace_reader"),
    undo=(
        "revoke usage on schema tenant_analytics_private from tailrace_reader",
        _BEHIND_WINDOWS.replace("GRANTED", "revoke select on %s from tailrace_reader"),
    ),
)


@mutant("row-level security off in a namespace", "sql")
def open_namespace(world: World) -> Iterator[None]:
    for security in ("disable", "enable"):
        with world.superuser() as connection:
            for schema, table in connection.execute(
                "select schemaname, tablename from pg_tables where schemaname = any(%s)", [world.namespaces]
            ).fetchall():
                connection.execute(f"alter table {schema}.{table} {security} row level security")
        if security == "disable":
            yield


by_sql(
    "history table that readers can read",
    f"create table tenant_analytics.history as select md5(tenant_id::text || day), * from {USAGE}",
    "grant select on tenant_analytics.history to tailrace_reader",
    undo=("drop table tenant_analytics.history",),
)
by_sql(
    "function that runs as its definer and lists tenants",
    "create function tenant_analytics.tenants() returns setof text language sql security definer as "
    "'select tenant_name from tenant_analytics.tenant_directory'",
    undo=("drop function tenant_analytics.tenants()",),
)
_STATISTICS = (
    "do $$ declare c record; begin for c in select attrelid::regclass as t, attname from pg_attribute "
    "join pg_class on pg_class.oid = attrelid where relkind = 'r' and attnum > 0 and not attisdropped "
    "and relnamespace = 'tenant_analytics'::regnamespace "
    "loop execute format('alter table %s alter column %I set statistics TARGET', c.t, c.attname); end loop; end $$"
)
by_sql(
    "statistics of columns kept",
    _STATISTICS.replace("TARGET", "100"),
    "analyze {all}",
    undo=("delete from pg_statistic where starelid = '{all}'::regclass", _STATISTICS.replace("TARGET", "0")),
)
by_sql(
    "tables granted whole, row addresses and all",
    f"grant select on {USAGE} to tailrace_reader",
    undo=(
        f"revoke select on {USAGE} from tailrace_reader",
        f"do $$ declare c text; begin for c in select attname from pg_attribute where attrelid = '{USAGE}'::regclass "
        "and attnum > 0 and not attisdropped "
        f"loop execute format('grant select (%I) on {USAGE} to tailrace_reader', c); end loop; end $$",
    ),
)
by_sql(
    "counts of all rows in the published versions",
    "grant select on tenant_analytics.publications to tailrace_reader",
    undo=(
        "revoke select on tenant_analytics.publications from tailrace_reader",
        "grant select (version, run_id, as_of, published_at) on tenant_analytics.publications to tailrace_reader",
    ),
)
by_sql(
    "writes granted, and let through",
    f"grant insert, update, delete, references, trigger, truncate on {USAGE} to tailrace_reader",
    f"create policy anyone_writes on {USAGE} for insert with check (true)",
    f"create policy anyone_updates on {USAGE} for update using (true)",
    f"create policy anyone_deletes on {USAGE} for delete using (true)",
    undo=(
        f"drop policy anyone_writes on {USAGE}",
        f"drop policy anyone_updates on {USAGE}",
        f"drop policy anyone_deletes on {USAGE}",
        f"revoke insert, update, delete, references, trigger, truncate on {USAGE} from tailrace_reader",
    ),
)
by_sql(
    "an export kept as a large object for all",
    "select lo_from_bytea(790, '{id}')",
    "grant select on large object 790 to public",
    undo=("select lo_unlink(790)",),
)
by_sql(
    "a policy, a comment and a partition for each tenant",
    f"create policy tenant_first on {USAGE} using (tenant_id = '{{id}}')",
    f"comment on table {USAGE} is 'holds {{name}}'",
    f"comment on column {USAGE}.day is 'holds {{name}}'",
    "create table tenant_analytics.parted (t uuid) partition by list (t)",
    "create table tenant_analytics.part partition of tenant_analytics.parted for values in ('{id}')",
    undo=(
        f"drop policy tenant_first on {USAGE}",
        f"comment on table {USAGE} is null",
        f"comment on column {USAGE}.day is null",
        "drop table tenant_analytics.parted",
    ),
)
by_sql(
    "a sequence that counts all rows, open to readers",
    "create sequence tenant_analytics.counted",
    f"select setval('tenant_analytics.counted', (select count(*) from {USAGE}))",
    "grant select, usage on sequence tenant_analytics.counted to tailrace_reader",
    undo=("drop sequence tenant_analytics.counted",),
)
by_sql(
    "reader in the server's reading roles",
    "grant pg_read_all_data, pg_read_all_stats, pg_read_server_files, pg_execute_server_program to tailrace_reader",
    "grant select on pg_statistic to tailrace_reader",
    "grant execute on function pg_read_binary_file(text) to tailrace_reader",
    undo=(
        "revoke pg_read_all_data, pg_read_all_stats, pg_read_server_files, pg_execute_server_program "
        "from tailrace_reader",
        "revoke select on pg_statistic from tailrace_reader",
        "revoke execute on function pg_read_binary_file(text) from tailrace_reader",
    ),
)


@mutant("a server that says aloud whom it serves", "sql")
def aloud(world: World) -> Iterator[None]:
    other = world.others[0]
    serve = world.serve_other
    with world.product.connect("tailrace_reader") as connection:

        def serve_aloud(**options: Any) -> None:
            serve(**options)
            connection.execute(f"select set_config('application_name', '{other.name}', false)")
            connection.execute(f'create temp table if not exists "of {other.name}" (a int)')
            connection.execute(f"notify tailrace, '{other.id}'")
            connection.execute(f"select pg_try_advisory_lock(hashtext('{other.id}'))")

        world.serve_other = serve_aloud  # type: ignore[method-assign]
        yield
        world.serve_other = serve  # type: ignore[method-assign]


@mutant("an API whose tenants share one allowance", "api")
def one_allowance(_: World) -> Iterator[None]:
    take = limits.Limits.take
    with patch.object(limits.Limits, "take", lambda self, tenant: take(self, uuid.UUID(int=0))):
        yield


@mutant("an API that sets the tenant for the session", "pooler")
def session_setting(world: World) -> Iterator[None]:
    for_the_session = replace(postgres._SET_TENANT, sql=postgres._SET_TENANT.sql.replace(", true)", ", false)"))
    with patch.object(postgres, "_SET_TENANT", for_the_session):
        yield
    with world.product.server.connect() as admin:  # what was left on the pooler's connections goes with them
        admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'tailrace_reader'")


@mutant("a neighbour behind the pooler that leaves things behind", "pooler")
def careless_neighbour(world: World) -> Iterator[None]:
    other, serve = world.others[0], world.serve_other
    assert world.pooler is not None
    dsn = world.pooler.dsn(world.product.shared, "tailrace_reader")

    def serve_and_leave(**options: Any) -> str:
        answer = serve(**options)
        with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
            for statement in (
                "discard all",
                f"prepare s1 as select '{other.id}'",
                f"listen tailrace; notify tailrace, '{other.id}'",
                f'listen "{other.name}"',
                f"select pg_advisory_lock(hashtext('{world.named.id}'))",
                f"begin; set local app.current_tenant_id = '{other.id}'; create temp table left_behind as "
                f"select * from {USAGE}; declare held cursor with hold for select * from {USAGE}; commit",
            ):
                connection.execute(statement)
        return answer

    world.serve_other = serve_and_leave  # type: ignore[method-assign]
    yield
    world.serve_other = serve  # type: ignore[method-assign]


def by_api(name: str, make: Callable[[World], Any]) -> None:
    """A mutant of the API, by an application in its place."""

    @mutant(name, "api", "files", "dashboard")
    def broken(world: World) -> Iterator[None]:
        assert world.door is not None
        world.door.broken = make(world)
        yield
        world.door.broken = None


for _name, _make in BROKEN.items():
    by_api(_name, _make)


def by_verification(name: str, **options: bool) -> None:
    """A mutant of the API that leaves a part of a token's verification out."""

    @mutant(name, "api", "files")
    def broken(_: World) -> Iterator[None]:
        with accepting(**options):
            yield


by_verification("an API that verifies no signatures", verify_signature=False)
by_verification("an API that lets expired tokens in", verify_exp=False)
by_verification("an API that lets tokens in before their time", verify_nbf=False)
by_verification("an API that takes tokens for any audience", verify_aud=False)
by_verification("an API that takes tokens by any issuer", verify_iss=False)


# Last, for attempts that succeed as a superuser leave things behind.
by_sql("reader a superuser", "alter role tailrace_reader superuser", undo=("alter role tailrace_reader nosuperuser",))
