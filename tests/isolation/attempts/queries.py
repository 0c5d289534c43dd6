"""Attempts that read: every way in which a query can touch rows."""

# ruff: noqa: S608 - every statement is made of constants and of names out of the catalogue
from __future__ import annotations

from tests.isolation.registry import Attack, attempt

USAGE = "tenant_analytics.rollup_tenant_usage_daily"
FEATURES = "tenant_analytics.rollup_tenant_feature_adoption_daily"


def each_table(attack: Attack, *queries: str, tenant: str | None = "own") -> None:
    """Each query on each table, where ``{t}`` stands for it and ``{other}`` for the attacked tenant's id, quoted.

    Each is rolled back.
    """
    with attack.session(tenant=tenant) as session:
        for table in session.rollups():
            for query in queries:
                session.quietly("begin")
                session.ask(query.replace("{t}", table).replace("{other}", f"'{attack.other}'"))
                session.quietly("rollback")


@attempt("sql", "subqueries, in and not in")
def subqueries(attack: Attack) -> None:
    each_table(
        attack,
        "select (select count(*) from {t} where tenant_id = {other})",
        "select * from {t} where tenant_id in (select tenant_id from {t})",
        "select 1 where {other} not in (select tenant_id::text from {t})",
    )


@attempt("sql", "union, except and intersect")
def unions(attack: Attack) -> None:
    each_table(
        attack,
        "select tenant_id from {t} union all select tenant_id from {t} where true",
        "(select {other}::uuid) intersect (select tenant_id from {t})",
        "(select {other}::uuid) except (select tenant_id from {t})",
    )


@attempt("sql", "joins on shared days: what others' rows would multiply")
def joins(attack: Attack) -> None:
    with attack.session() as session:
        session.ask(f"select count(*) from {USAGE} one join {USAGE} two using (day)")
        session.ask(f"select count(*) from {USAGE} one left join {FEATURES} two on true")
        session.ask(f"select count(*) from {USAGE} natural full join {FEATURES}")
        session.ask(f"select count(*) from {USAGE} one, lateral (select * from {FEATURES} where day = one.day) two")


@attempt("sql", "a semi-join from another's id")
def semi_joins(attack: Attack) -> None:
    each_table(
        attack,
        "select * from (values ({other}::uuid)) as named (id) where exists (select from {t} where tenant_id = id)",
        "select count(*) from (values ({other}::uuid)) as named (id) join {t} on tenant_id = id",
        "select count(tenant_id) from (values ({other}::uuid)) as named (id) left join {t} on tenant_id = id",
    )


@attempt("sql", "recursive and materialised common table expressions")
def ctes(attack: Attack) -> None:
    each_table(
        attack,
        "with recursive up as (select min(tenant_id::text) as id from {t} union all "
        "select (select min(tenant_id::text) from {t} where tenant_id::text > up.id) from up where id is not null) "
        "select * from up",
        "with every as materialized (select * from {t}) select count(*), min(tenant_id::text) from every",
    )


@attempt("sql", "windows over everything")
def windows(attack: Attack) -> None:
    each_table(
        attack,
        "select distinct count(*) over (), first_value(tenant_id) over (order by tenant_id desc) from {t}",
        "select rank() over (order by tenant_id), ntile(4) over (order by tenant_id) from {t}",
    )


@attempt("sql", "aggregates, grouping sets and filters")
def aggregates(attack: Attack) -> None:
    each_table(
        attack,
        "select count(*), count(distinct tenant_id), min(tenant_id::text), max(tenant_id::text) from {t}",
        "select tenant_id, count(*) from {t} group by rollup (tenant_id)",
        "select count(*) filter (where tenant_id = {other}) from {t}",
        "select string_agg(tenant_id::text, ','), array_agg(tenant_id) from {t}",
    )


@attempt("sql", "sums and extremes of every figure")
def sums(attack: Attack) -> None:
    with attack.session() as session:
        for table in session.rollups():
            schema, name = (part.strip('"') for part in table.split('"."'))
            for column in session.columns(schema, name):
                session.ask(f'select min("{column}"::text), max("{column}"::text), count("{column}") from {table}')


@attempt("sql", "ends of the index: first and last key")
def index_ends(attack: Attack) -> None:
    each_table(
        attack,
        "select tenant_id from {t} order by tenant_id limit 1",
        "select tenant_id from {t} order by tenant_id desc limit 1",
        "select tenant_id from {t} where tenant_id > {other} order by tenant_id limit 1",
        "select distinct tenant_id from {t}",
    )


@attempt("sql", "sequential, index, bitmap and parallel plans")
def plans(attack: Attack) -> None:
    kinds = ("enable_seqscan", "enable_indexscan", "enable_bitmapscan", "enable_indexonlyscan")
    with attack.session() as session:
        session.ask("set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0")
        for kept in kinds:
            for kind in kinds:
                session.quietly(f"set {kind} = {'on' if kind == kept else 'off'}")
            for table in session.rollups():
                session.ask(f"select count(*), min(tenant_id::text) from {table}")
                session.ask(f"select count(*) from {table} where tenant_id = %s", [attack.other])


@attempt("sql", "tablesample of every row")
def samples(attack: Attack) -> None:
    each_table(
        attack,
        "select * from {t} tablesample system (100)",
        "select count(*) from {t} tablesample bernoulli (100) repeatable (1)",
    )


@attempt("sql", "row addresses: ctid scans and the gaps between own rows")
def addresses(attack: Attack) -> None:
    each_table(
        attack,
        "select ctid from {t}",
        "select count(*) from {t} where ctid < '(1000000,1)'",
        "select * from {t} where ctid = any(array['(0,1)', '(0,20)', '(1,1)', '(2,5)', '(3,1)']::tid[])",
    )


@attempt("sql", "system columns of rows")
def system_columns(attack: Attack) -> None:
    each_table(
        attack,
        "select count(*) from {t} where tableoid is null or xmax is null or cmin is null",
        "select count(distinct xmin::text) from {t}",
    )


@attempt("sql", "cursors: scrolled, held, left open")
def cursors(attack: Attack) -> None:
    with attack.session(tenant=None) as session:
        for number, table in enumerate(session.rollups()):
            session.ask("begin")
            session.quietly("select set_config('app.current_tenant_id', %s, true)", [attack.world.own.id])
            session.ask(f"declare held{number} scroll cursor with hold for select * from {table}")
            session.quietly("select set_config('app.current_tenant_id', '', true)")
            session.ask(f"declare lazy{number} cursor for select * from {table}")
            session.quietly("select set_config('app.current_tenant_id', %s, true)", [attack.world.own.id])
            session.ask(f"fetch all from lazy{number}")
            session.ask("commit")
            session.ask(f"fetch all from held{number}")
            session.ask(f"fetch absolute 1000 from held{number}")
            session.ask(f"move backward all in held{number}")


@attempt("sql", "statements prepared under one tenant, executed under none")
def prepared(attack: Attack) -> None:
    with attack.session() as session:
        for mode in ("force_generic_plan", "force_custom_plan", "auto"):
            session.quietly(f"set plan_cache_mode = {mode}")
            for number, table in enumerate(session.rollups()):
                name = f"p{number}_{mode}"
                session.be(attack.world.own.id)
                session.quietly(f"prepare {name} as select count(*), min(tenant_id::text) from {table}")
                session.ask(f"execute {name}")
                session.be("")
                session.ask(f"execute {name}")
                session.be("12345678-1234-4234-8234-123456789012")
                session.ask(f"execute {name}")
        session.ask("select name, statement, parameter_types from pg_prepared_statements")


@attempt("sql", "copy to stdout: tables, queries, text, csv and binary")
def copies(attack: Attack) -> None:
    with attack.session() as session:
        for table in session.rollups():
            session.copy_out(f"copy {table} to stdout")
            session.copy_out(f"copy (select * from {table}) to stdout (format csv, header)")
            session.copy_out(f"copy (table {table}) to stdout (format binary)")


@attempt("sql", "copy to and from files and programs of the server")
def copy_files(attack: Attack) -> None:
    with attack.session() as session:
        session.ask("create temp table taken (line text)")
        for command in (
            "copy taken from '/etc/passwd'",
            "copy taken from program 'id'",
            f"copy {USAGE} to '/tmp/tailrace_isolation_taken'",
            "copy (select 1) to program 'cat'",
            "copy taken from '/proc/self/environ' (encoding 'latin1')",
            "select * from taken where line ~ 'root|uid'",
        ):
            session.ask(command)


@attempt("sql", "rows as JSON, and JSON paths over them")
def json_paths(attack: Attack) -> None:
    each_table(
        attack,
        "select to_jsonb(t) from {t} as t",
        "select json_agg(t) from {t} as t",
        "select jsonb_path_query(jsonb_agg(to_jsonb(t)), '$[*] ? (@.tenant_id like_regex \"^7\")') from {t} as t",
        "select * from {t} as t where to_jsonb(t) @? ('$ ? (@.tenant_id == \"' || {other} || '\")')::jsonpath",
        "select jsonb_object_agg(t.day, t) from {t} as t",
    )


@attempt("sql", "queries inside functions: query_to_xml, table_to_xml, database_to_xml, ts_stat")
def queries_in_functions(attack: Attack) -> None:
    with attack.session() as session:
        for table in session.rollups():
            session.ask("select query_to_xml(%s, true, false, '')", [f"select * from {table}"])
            session.ask("select table_to_xml(%s::regclass, true, false, '')", [table])
            session.ask("select * from ts_stat(%s)", [f"select to_tsvector(tenant_id::text) from {table}"])
        session.ask("select schema_to_xml('tenant_analytics', true, false, '')")


@attempt("sql", "whole rows, casts to text, rows compared")
def whole_rows(attack: Attack) -> None:
    each_table(
        attack,
        "select t::text from {t} as t",
        "select count(*) from {t} as t where t::text like '%' || {other} || '%'",
        "select max(t::text) from {t} as t",
        "select count(*) from {t} as t where (tenant_id, t::text) > ({other}::uuid, '')",
    )


@attempt("sql", "locks on rows and tables")
def locks(attack: Attack) -> None:
    with attack.session() as session:
        session.quietly("set lock_timeout = '200ms'")
        for table in session.rollups():
            for command in (
                f"select count(*) from (select 1 from {table} for update) as locked",
                f"select count(*) from (select 1 from {table} for key share skip locked) as locked",
                f"lock table {table} in access share mode",
                f"lock table {table} in exclusive mode",
            ):
                session.ask(command)


@attempt("sql", "views of one's own over the tables, read with no tenant")
def own_views(attack: Attack) -> None:
    with attack.session() as session:
        for number, table in enumerate(session.rollups()):
            session.ask(f"create temp view plain{number} as select * from {table}")
            session.ask(
                f"create temp view barrier{number} with (security_barrier, security_invoker) as select * from {table}"
            )
        session.be("")
        for number in range(len(session.rollups())):
            for view in (f"plain{number}", f"barrier{number}"):
                session.ask(f"select * from pg_temp.{view}")


@attempt("sql", "tables of one's own filled from the published ones")
def own_tables(attack: Attack) -> None:
    with attack.session() as session:
        for number, table in enumerate(session.rollups()):
            session.ask(f"create temp table taken{number} as table {table}")
            session.ask(f"select * from taken{number}")
            session.ask(f"select * into temp again{number} from {table}")
            session.ask(f"create temp table like{number} (like {table} including all)")
            session.ask(f"select count(*) from like{number}")
            session.ask(f"create temp table heir{number} () inherits ({table})")


@attempt("sql", "materialized views of one's own")
def own_materialized_views(attack: Attack) -> None:
    with attack.session() as session:
        for schema in ("public", "tenant_analytics", "pg_temp", "app"):
            session.ask(f"create materialized view {schema}.taken as select * from {USAGE}")
            session.ask(f"select count(*), min(tenant_id::text) from {schema}.taken")
            session.quietly(f"drop materialized view {schema}.taken")


@attempt("sql", "the tenant changed while a query runs over the own rows")
def changed_midway(attack: Attack) -> None:
    nobody = "12345678-1234-4234-8234-123456789012"
    with attack.session() as session:
        for table in session.rollups():
            for value in ("", nobody):
                session.be(attack.world.own.id)
                session.ask(
                    f"select tenant_id, set_config('app.current_tenant_id', %s, false) from {table}",
                    [value],
                )
