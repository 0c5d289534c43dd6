"""Attempts on the catalogue: all relations and functions within reach, statistics, other sessions, settings."""

# ruff: noqa: S608 - every statement is made of constants and of names out of the catalogue
from __future__ import annotations

from tests.isolation.registry import Attack, attempt


@attempt("sql", "every column of every relation that can be reached, found in the catalogue")
def every_relation(attack: Attack) -> None:
    """What a later version adds is covered by construction."""
    for tenant in ("own", None):
        with attack.session(tenant=tenant) as session:
            attack.note(session.relations())
            for schema, name, _ in session.relations():
                columns = session.columns(schema, name)
                listed = ", ".join(f'"{column}"' for column in columns)
                session.ask(f'select {listed} from "{schema}"."{name}"')
                session.ask(f'select count("{columns[0]}") from "{schema}"."{name}"')


@attempt("sql", "every relation that cannot be read: each column by name, each count")
def every_refusal(attack: Attack) -> None:
    with attack.session() as session:
        hidden = session.quietly(
            """
            select format('%I.%I', nspname, relname), format('%I', attname)
            from pg_class join pg_namespace on pg_namespace.oid = relnamespace
            join pg_attribute on attrelid = pg_class.oid
            where nspname not in ('pg_catalog', 'information_schema') and nspname !~ '^pg_temp'
                and relkind in ('r', 'p', 'v', 'm', 'f', 't', 'S') and attnum > 0 and not attisdropped
                and not has_column_privilege(pg_class.oid, attnum, 'select') and nspname !~ '^pg_toast'
            order by 1, 2
            """
        )
        for table, column in hidden:
            session.ask(f"select {column} from {table}")
            session.ask(f"select count(*) from {table}")


@attempt("sql", "toast tables of the published schema")
def toast(attack: Attack) -> None:
    with attack.session() as session:
        for (name,) in session.quietly(
            "select reltoastrelid::regclass::text from pg_class where reltoastrelid <> 0 "
            "and relnamespace = 'tenant_analytics'::regnamespace order by relname"
        ):
            session.ask(f"select count(*) > 0 from {name}".replace(name, '"pg_toast"."' + name.split(".")[1] + '"'))


@attempt("sql", "every function outside the system's schemas, called")
def every_function(attack: Attack) -> None:
    with attack.session() as session:
        for name, arguments, source, definer in session.ask(
            """
            select pronamespace::regnamespace::text || '.' || quote_ident(proname), proargtypes::regtype[]::text[],
                prosrc, prosecdef
            from pg_proc where pronamespace::regnamespace::text not in ('pg_catalog', 'information_schema')
                and has_function_privilege(oid, 'execute') and has_schema_privilege(pronamespace, 'usage')
                and prokind in ('f', 'p') order by 1
            """
        ):
            guesses = {"uuid": f"'{attack.other}'", "text": "'1'", "date": "'1979-03-05'", "boolean": "true"}
            values = ", ".join(f"{guesses.get(kind, 'null')}::{kind}" for kind in arguments)
            session.ask(f"select * from {name}({values})")
            attack.note(name, source, definer)


@attempt("sql", "words in the catalogue: comments, policies, views, defaults, functions")
def words(attack: Attack) -> None:
    with attack.session() as session:
        for query in (
            "select description from pg_description join pg_class on objoid = pg_class.oid "
            "where relnamespace = 'tenant_analytics'::regnamespace",
            "select tablename, policyname, roles, qual, with_check from pg_policies where schemaname <> 'app'",
            "select schemaname, viewname, definition from pg_views "
            "where schemaname not in ('pg_catalog', 'information_schema')",
            "select definition from pg_matviews",
            "select pg_get_expr(adbin, adrelid) from pg_attrdef",
            "select pg_get_constraintdef(oid) from pg_constraint where connamespace = 'tenant_analytics'::regnamespace",
            "select indexdef from pg_indexes where schemaname = 'tenant_analytics'",
            "select pg_get_ruledef(oid) from pg_rewrite where ev_class > 16383",
            "select typname, enumlabel from pg_enum join pg_type on pg_type.oid = enumtypid",
            "select reloptions from pg_class where relnamespace = 'tenant_analytics'::regnamespace",
            "select attoptions, attmissingval from pg_attribute where attrelid > 16383 and attnum > 0",
            "select label from pg_seclabel",
        ):
            session.ask(query)


@attempt("sql", "partitions, whose names and bounds would name tenants")
def partitions(attack: Attack) -> None:
    with attack.session() as session:
        session.ask(
            "select relname, pg_get_expr(relpartbound, oid) from pg_class where relispartition "
            "or relnamespace = 'tenant_analytics'::regnamespace order by 1"
        )


@attempt("sql", "other sessions: the words of their queries and their names")
def other_sessions(attack: Attack) -> None:
    """The API reads another tenant's figures just before, under the same role, and its connections stay open."""
    attack.world.serve_other()
    with attack.session() as session:
        session.ask("select distinct query from pg_stat_activity where usename in ('tailrace_reader', 'app_rw')")
        session.ask(
            "select distinct application_name, client_hostname from pg_stat_activity where backend_type ~ 'client'"
        )
        session.ask("select distinct query from pg_stat_get_activity(null) where query ~ 'set_config'")


@attempt("sql", "locks of others: advisory keys, tables, rows")
def other_locks(attack: Attack) -> None:
    attack.world.serve_other()
    with attack.session() as session:
        session.ask("select locktype, mode, classid, objid from pg_locks where pid <> pg_backend_pid()")
        session.ask("select pg_try_advisory_lock(hashtext(%s))", [attack.other])


@attempt("sql", "statements kept by the server: pg_stat_statements, auto_explain, its log")
def kept_statements(attack: Attack) -> None:
    with attack.session() as session:
        for query in (
            "select query, rows, calls from pg_stat_statements",
            "select query, rows, calls from public.pg_stat_statements",
            "create extension pg_stat_statements",
            "load 'auto_explain'",
            "select pg_current_logfile() is null",
            "select pg_read_file('../log')",
            "set log_min_messages = debug5",
            "set client_min_messages = debug5; select 1; set debug_print_plan = on",
        ):
            session.ask(query)


@attempt("sql", "files of the server: read, listed, measured")
def server_files(attack: Attack) -> None:
    with attack.session() as session:
        for query in (
            "select pg_read_binary_file(pg_relation_filepath('tenant_analytics.rollup_tenant_usage_daily'))",
            "select pg_read_file('postgresql.conf')",
            "select pg_read_binary_file('PG_VERSION')",
            "select count(*) from pg_ls_dir('.')",
            "select size from pg_stat_file('PG_VERSION')",
            "select count(*) from pg_ls_waldir()",
            "select count(*) from pg_ls_logdir()",
            "select count(*) from pg_ls_tmpdir()",
            "select rolpassword from pg_authid",
            "select passwd from pg_shadow",
            "select * from pg_hba_file_rules",
            "select sourceline from pg_file_settings",
        ):
            session.ask(query)


@attempt("sql", "large objects: listed, read, imported, exported")
def large_objects(attack: Attack) -> None:
    with attack.session() as session:
        for (number,) in session.quietly("select oid from pg_largeobject_metadata order by oid"):
            session.ask("select lo_get(%s)", [number])
        session.ask("select count(*) from pg_largeobject_metadata")
        session.ask("select count(*), min(data) from pg_largeobject")
        session.ask("select lo_import('/etc/passwd') > 0")
        session.ask("select lo_export(1, '/tmp/tailrace_isolation_taken')")


@attempt("sql", "sequences: values, next values, currents")
def sequences(attack: Attack) -> None:
    with attack.session() as session:
        session.ask("select schemaname, sequencename, last_value from pg_sequences order by 1, 2")
        for (name,) in session.quietly("select oid::regclass::text from pg_class where relkind = 'S' order by 1"):
            for query in (
                f"select last_value, is_called from {name}",
                "select nextval(%s)",
                "select pg_sequence_last_value(%s)",
            ):
                session.ask(query, [name] if "%s" in query else None)


@attempt("sql", "other servers: dblink, foreign data, user mappings, subscriptions")
def other_servers(attack: Attack) -> None:
    with attack.session() as session:
        for query in (
            "create extension dblink",
            "create extension postgres_fdw",
            "create extension file_fdw",
            "create foreign data wrapper mine",
            "create server mine foreign data wrapper postgres_fdw",
            "select * from dblink('dbname=postgres', 'select 1') as t (a int)",
            "select srvname, srvoptions from pg_foreign_server",
            "select srvname, usename, umoptions from pg_user_mappings",
            "select subname, subconninfo from pg_subscription",
            "create subscription mine connection 'dbname=postgres' publication taken",
        ):
            session.ask(query)


@attempt("sql", "replication: slots, publications, the log read logically")
def replication(attack: Attack) -> None:
    with attack.session() as session:
        for query in (
            "select pg_create_logical_replication_slot('taken', 'pgoutput') is null",
            "select pg_create_physical_replication_slot('taken') is null",
            "select slot_name from pg_replication_slots",
            "select data from pg_logical_slot_peek_changes('taken', null, null)",
            "create publication taken for all tables",
            "create publication taken for table tenant_analytics.rollup_tenant_usage_daily",
            "select pubname, tablename, rowfilter from pg_publication_tables",
            "select pg_export_snapshot() is null",
        ):
            session.ask(query)


@attempt("sql", "code on the server: languages, procedures, event triggers, anonymous blocks")
def code(attack: Attack) -> None:
    with attack.session() as session:
        for query in (
            "create language plpython3u",
            "create extension plpython3u",
            "create function pg_temp.taken() returns text language c as 'libc', 'getenv'",
            "create function pg_temp.taken() returns text language internal as 'textin'",
            "create event trigger taken on ddl_command_start execute function pg_temp.taken()",
            "do $$ begin perform set_config('row_security', 'off', true); "
            "raise notice '%', (select count(*) from tenant_analytics.rollup_tenant_usage_daily); end $$",
            "do $$ begin set local role tailrace_owner; "
            "raise notice '%', (select count(*) from tenant_analytics.rollup_tenant_usage_daily); end $$",
            "select evtname from pg_event_trigger",
        ):
            session.ask(query)


@attempt("sql", "a function of one's own that runs as its definer, called by the other role")
def definer_functions(attack: Attack) -> None:
    with attack.session() as session:
        session.ask(
            "create function pg_temp.count_all() returns bigint language sql security definer "
            "set row_security = off as 'select count(*) from tenant_analytics.rollup_tenant_usage_daily'"
        )
        session.ask("select pg_temp.count_all()")
        session.be("")
        session.ask("select pg_temp.count_all()")
        for schema in ("tenant_analytics", "public", "app"):
            session.ask(f"create function {schema}.taken() returns int language sql as 'select 1'")


@attempt("sql", "settings of the server, of roles and of databases")
def settings(attack: Attack) -> None:
    with attack.session() as session:
        session.ask("select name, setting from pg_settings where name like '%.%' and name not like 'app.current%'")
        session.ask("select setconfig from pg_db_role_setting")
        session.ask("select current_setting('app.current_tenant_id', true) = %s", [attack.world.own.id])
        session.ask("show app.current_tenant_id")


@attempt("sql", "published versions: columns that count all tenants' rows")
def publications(attack: Attack) -> None:
    with attack.session() as session:
        session.ask("select * from tenant_analytics.publications")
        session.ask("select rows from tenant_analytics.publications")
        session.ask("select version, run_id, as_of from tenant_analytics.publications")
        session.ask("select p from tenant_analytics.publications as p")
        session.ask("select count(*), max(version) from tenant_analytics.publications")


@attempt("sql", "information_schema: tables, columns, privileges, routines, views")
def information_schema(attack: Attack) -> None:
    with attack.session() as session:
        for view in (
            "tables",
            "columns",
            "role_table_grants",
            "routines",
            "views",
            "triggers",
            "sequences",
            "schemata",
        ):
            session.ask(f"select t::text from information_schema.{view} as t where t::text ~ 'analytics'")


@attempt("sql", "names of roles and tablespaces, and what roles are set to")
def role_names(attack: Attack) -> None:
    with attack.session() as session:
        session.ask("select rolname, rolconfig from pg_roles")
        session.ask("select spcname from pg_tablespace")
        session.ask("select member::regrole, roleid::regrole from pg_auth_members where roleid > 16383")


@attempt("sql", "names of databases and schemas, where silos and namespaces have their own", limit="names")
def database_names(attack: Attack) -> None:
    with attack.session() as session:
        session.ask("select nspname from pg_namespace where nspname !~ '^pg_(temp|toast_temp)'")
        session.ask("select datname from pg_database")
        session.ask("select datname from pg_stat_database")


@attempt("sql", "all tenants' rows in the catalogue: pg_class and the views of activity", limit="totals")
def catalogue_totals(attack: Attack) -> None:
    with attack.session() as session:
        session.ask(
            "select relname, reltuples, relpages from pg_class where relnamespace = 'tenant_analytics'::regnamespace"
        )
        session.ask(
            "select relname, n_live_tup, n_tup_ins from pg_stat_user_tables where schemaname = 'tenant_analytics'"
        )


@attempt("sql", "all tenants' rows by the size of tables and databases", limit="totals")
def sizes(attack: Attack) -> None:
    with attack.session() as session:
        session.ask(
            "select relname, pg_relation_size(oid), pg_table_size(oid), pg_indexes_size(oid) "
            "from pg_class where relnamespace = 'tenant_analytics'::regnamespace and relkind = 'r'"
        )
