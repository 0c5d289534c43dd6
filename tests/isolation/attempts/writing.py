"""Attempts that write, define or shadow: what a write refuses, returns or leaves behind."""

# ruff: noqa: S608 - every statement is made of constants and of names out of the catalogue
from __future__ import annotations

from tests.isolation.attempts.identity import read_all
from tests.isolation.attempts.queries import FEATURES, USAGE, each_table
from tests.isolation.registry import Attack, attempt


def try_each(attack: Attack, *commands: str) -> None:
    """Each command in a transaction of its own that is rolled back; ``{other}`` is the attacked tenant's id, quoted."""
    with attack.session() as session:
        for command in commands:
            session.quietly("begin")
            session.ask(command.replace("{other}", f"'{attack.other}'"))
            session.quietly("rollback")


@attempt("sql", "insert, and what a conflict with another's row would tell")
def inserts(attack: Attack) -> None:
    """A unique violation names a key that exists."""
    each_table(
        attack,
        "insert into {t} select * from {t}",
        "insert into {t} (tenant_id) values ({other}) on conflict do nothing returning *",
    )
    day = "2026-01-02"
    try_each(
        attack,
        f"insert into {USAGE} (tenant_id, day, active_users, active_users_7d, active_users_28d) "
        f"values ({{other}}, '{day}', 1, 1, 1)",
        f"insert into {USAGE} (tenant_id, day) values ({{other}}, '{day}') on conflict (tenant_id, day) "
        "do update set workflow_runs = 0 returning *",
    )


@attempt("sql", "update, and what it returns and counts")
def updates(attack: Attack) -> None:
    each_table(
        attack,
        "update {t} set tenant_id = tenant_id returning *",
        "update {t} set tenant_id = 'fa11ce00-0000-4000-8000-000000000001' where tenant_id = {other} returning *",
    )


@attempt("sql", "delete and truncate, and what they return and count")
def deletes(attack: Attack) -> None:
    each_table(
        attack,
        "delete from {t} where tenant_id = {other} returning *",
        "delete from {t} where false",
        "truncate {t}",
    )


@attempt("sql", "merge with another's rows as target")
def merges(attack: Attack) -> None:
    each_table(
        attack,
        "merge into {t} using (values ({other}::uuid)) as named (id) on tenant_id = id "
        "when matched then delete when not matched then do nothing",
    )


@attempt("sql", "copy into the tables")
def copies_in(attack: Attack) -> None:
    with attack.session() as session:
        for table in session.rollups():
            session.quietly("begin")
            session.copy_in(f"copy {table} from stdin", f"{attack.other}\t2026-01-02\n".encode())
            session.quietly("rollback")


@attempt("sql", "foreign keys to the tables: a check that runs as their owner")
def foreign_keys(attack: Attack) -> None:
    try_each(
        attack,
        f"create temp table taken (t uuid, d date, foreign key (t, d) references {USAGE}); "
        "insert into taken values ({other}, '2026-01-02')",
        f"create table public.taken (t uuid, d date, foreign key (t, d) references {USAGE})",
        f"create table tenant_analytics.taken (t uuid, d date references {USAGE} (day))",
    )


@attempt("sql", "triggers and rules on the tables")
def triggers(attack: Attack) -> None:
    try_each(
        attack,
        "create function pg_temp.taken() returns trigger language plpgsql as $$ begin raise notice '%', new; "
        f"return new; end $$; create trigger taken before insert on {USAGE} for each row "
        "execute function pg_temp.taken()",
        f"create rule taken as on select to {USAGE} do instead select * from {FEATURES}",
        f"create rule taken as on insert to {USAGE} do also notify taken",
        f"alter table {USAGE} disable trigger all",
        "set session_replication_role = replica",
    )


@attempt("sql", "policies and row security altered")
def policies(attack: Attack) -> None:
    try_each(
        attack,
        f"create policy mine on {USAGE} using (true); select count(*) from {USAGE}",
        f"drop policy tenant_isolation on {USAGE}; select count(*) from {USAGE}",
        f"alter policy tenant_isolation on {USAGE} using (true); select count(*) from {USAGE}",
        f"alter table {USAGE} disable row level security; select count(*) from {USAGE}",
        f"alter table {USAGE} no force row level security; select count(*) from {USAGE}",
        f"alter table {USAGE} owner to current_user; select count(*) from {USAGE}",
        f"grant all on {USAGE} to public",
    )


@attempt("sql", "definitions altered: columns, constraints, defaults, partitions, statistics")
def definitions(attack: Attack) -> None:
    try_each(
        attack,
        f"alter table {USAGE} add column mine text default 'x'; select * from {USAGE}",
        f"alter table {USAGE} add constraint taken check (tenant_id <> {{other}})",
        f"alter table {USAGE} alter column tenant_id set statistics 100",
        f"create unique index taken on {USAGE} (day)",
        f"cluster {USAGE}",
        f"reindex table {USAGE}",
        f"comment on table {USAGE} is 'mine'",
        "create table tenant_analytics.mine (a int)",
        "create view tenant_analytics.mine as select 1",
        "drop schema tenant_analytics cascade",
        "alter default privileges grant select on tables to public",
    )


@attempt("sql", "tables of one's own that shadow the published ones by the search path")
def shadow_tables(attack: Attack) -> None:
    with attack.session() as session:
        session.ask("create temp table rollup_tenant_usage_daily (tenant_id uuid, mine text)")
        session.ask("create temp table publications (version bigint, mine text)")
        for path in ("pg_temp, tenant_analytics", "tenant_analytics, pg_temp", "pg_temp", "tenant_analytics", '""'):
            session.quietly("select set_config('search_path', %s, false)", [path])
            session.ask("select * from rollup_tenant_usage_daily")
            session.ask("select count(*) from publications")


@attempt("sql", "functions, operators and types of one's own that shadow those of the policy")
def shadow_functions(attack: Attack) -> None:
    with attack.session() as session:
        for command in (
            "create function pg_temp.current_setting(text, boolean) returns text language sql as "
            f"$$ select '{attack.other}' $$",
            "create function pg_temp.nullif(text, text) returns text language sql as $$ select null $$",
            "create function pg_temp.always(uuid, uuid) returns boolean language sql as 'select true'",
            "create operator pg_temp.= (function = pg_temp.always, leftarg = uuid, rightarg = uuid)",
            "create domain pg_temp.uuid as text",
            "create function pg_catalog.current_setting(text, int) returns text language sql as $$ select '' $$",
        ):
            session.ask(command)
        for path in ("pg_temp, pg_catalog, tenant_analytics", "tenant_analytics, pg_temp, pg_catalog"):
            session.quietly("select set_config('search_path', %s, false)", [path])
            read_all(session)


@attempt("sql", "casts of one's own between text and id")
def shadow_casts(attack: Attack) -> None:
    with attack.session() as session:
        session.ask(
            "create function pg_temp.as_id(text) returns uuid language sql as "
            f"$$ select '{attack.other}'::pg_catalog.uuid $$"
        )
        session.ask("create cast (text as uuid) with function pg_temp.as_id(text) as implicit")
        read_all(session)


@attempt("sql", "channels: listen and notify while another tenant is served and all is published anew")
def channels(attack: Attack) -> None:
    with attack.session() as session:
        for channel in ("tailrace", "publications", "tenant_analytics", f'"{attack.other}"', '"*"'):
            session.ask(f"listen {channel}")
        attack.world.serve_other()
        attack.world.publish_again()
        session.quietly("select 1")
        for notification in session.connection.notifies(timeout=0.05):
            attack.note("heard", notification.channel, notification.payload)
        session.ask("select pg_notification_queue_usage()")


@attempt("sql", "a snapshot from before: another's rows by an old or exported view of the data")
def snapshots(attack: Attack) -> None:
    with attack.session() as session:
        session.ask("begin isolation level repeatable read")
        session.ask("set transaction snapshot '00000003-00000001-1'")
        session.quietly("rollback")
        session.ask("begin isolation level serializable read only deferrable")
        read_all(session)
        session.be("")
        read_all(session)
        session.quietly("rollback")


@attempt("sql", "windows: what they are over, as their owner, with no tenant, another's, by a function, made anew")
def rolling_windows(attack: Attack) -> None:
    with attack.session() as session:
        session.ask(
            "create function pg_temp.tell(anyelement) returns boolean language plpgsql cost 0.0000001 as "
            "$$ begin raise notice '%', $1; return true; end $$"
        )
        windows = [table for table in session.rollups() if '"rolling_' in table]
        behind = session.quietly("select format('%I.%I', schemaname, matviewname) from pg_matviews order by 1")
        attack.note(windows)
        for tenant in (attack.world.own.id, "", attack.world.own.id.replace("f", "e")):
            session.be(tenant)
            for table in windows:
                for query in (
                    f"select * from {table}",
                    f"select count(*), max(version) from {table} where tenant_id = '{attack.other}'",
                    f"select 1 from {table} as t where pg_temp.tell(t)",
                    f"select * from {table} as t where pg_temp.tell(t.tenant_id) or tenant_id = '{attack.other}'",
                    f"explain (costs off) select * from {table} where tenant_id = '{attack.other}'",
                    f"alter view {table} set (security_barrier = false)",
                    f"create or replace view {table} as select 1",
                    f"drop view {table}",
                ):
                    session.ask(query)
        for (name,) in behind:
            for query in (
                f"select * from {name}",
                f"select count(*) from {name} tablesample system (100)",
                f"copy {name} to stdout",
                f"alter materialized view {name} owner to {attack.role}",
                f"create temporary view over as select * from {name}",
                f"create temporary table taken (like {name} including all)",
            ):
                session.ask(query)
        session.ask("select * from tenant_analytics_private.refreshed")
        session.ask("select cron.schedule('taken', '* * * * *', 'select 1')")


@attempt("sql", "refresh of materialized views")
def refreshes(attack: Attack) -> None:
    with attack.session() as session:
        for (name,) in session.quietly("select oid::regclass::text from pg_class where relkind = 'm' order by 1"):
            session.ask(f"refresh materialized view {name}")
            session.ask(f"refresh materialized view concurrently {name}")
            session.ask(f"select count(*) from {name}")
        session.ask("select jobid, command, database from cron.job")
        session.ask("select return_message from cron.job_run_details")


@attempt("sql", "temporary objects of other sessions")
def others_temporary(attack: Attack) -> None:
    attack.world.serve_other()
    with attack.session() as session:
        session.ask("select relname from pg_class where relpersistence = 't' and relnamespace <> pg_my_temp_schema()")
        for (name,) in session.quietly("select nspname from pg_namespace where nspname ~ '^pg_temp_' order by 1"):
            session.ask(f"set search_path = {name}")
            session.ask("select count(*) from incoming_rollup_tenant_usage_daily")
