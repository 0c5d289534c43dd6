"""Attempts through PgBouncer in transaction mode: everybody shares one server connection, turn by turn.

The read API serves another tenant through the same pooler just before each of the attacker's turns.
"""

# ruff: noqa: S608 - every statement is made of constants and of names out of the catalogue
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.isolation.attempts.identity import read_all
from tests.isolation.registry import Attack, Session, attempt


@contextmanager
def turn(attack: Attack) -> Iterator[Session]:
    """The attacker's turn on the server connection that has just served another tenant; it sets no tenant."""
    with attack.session(tenant=None, pooled=True) as session:
        attack.world.serve_other(pooled=True)
        yield session


@attempt("pooler", "no tenant set, right after another tenant's transaction")
def after_another(attack: Attack) -> None:
    with turn(attack) as session:
        read_all(session)


@attempt("pooler", "the setting that another tenant's transaction left")
def left_setting(attack: Attack) -> None:
    with turn(attack) as session:
        session.ask("select coalesce(current_setting('app.current_tenant_id', true), '')")
        session.ask("select name, setting from pg_settings where name like 'app.%'")
        session.ask("reset app.current_tenant_id")
        read_all(session)
        session.ask("reset all")
        read_all(session)


@attempt("pooler", "between the transactions of another tenant's session")
def between(attack: Attack) -> None:
    with turn(attack) as session:
        for _ in range(4):
            attack.world.serve_other(pooled=True)
            read_all(session)


@attempt("pooler", "own tenant by set local, then another tenant's turn, then none")
def own_then_none(attack: Attack) -> None:
    with turn(attack) as session:
        session.quietly("begin")
        session.quietly("select set_config('app.current_tenant_id', %s, true)", [attack.world.own.id])
        read_all(session)
        session.quietly("commit")
        attack.world.serve_other(pooled=True)
        read_all(session)


@attempt("pooler", "own tenant set for the session: what another tenant then gets")
def own_session_setting(attack: Attack) -> None:
    """A careless client's setting stays on the connection. Whoever comes next sets its own for its transaction."""
    with turn(attack) as session:
        session.be(attack.world.own.id)
        answer = attack.world.serve_other(pooled=True)
        if answer and attack.world.own.name in answer:
            attack.accuse("another tenant was shown the attacker's figures")
        read_all(session)
        session.quietly("reset app.current_tenant_id")


@attempt("pooler", "prepared statements of others, and under names that drivers use")
def prepared_statements(attack: Attack) -> None:
    with turn(attack) as session:
        session.ask("select name, statement, parameter_types from pg_prepared_statements")
        for name in ("s1", "_pg3_0", "_pg3_1", "sqlalchemy_1", "S_1"):
            session.ask(f'execute "{name}"')
            session.ask(f"execute \"{name}\" ('{attack.world.own.id}')")


@attempt("pooler", "a statement prepared under one tenant, run on a connection that served another")
def own_prepared_statement(attack: Attack) -> None:
    with turn(attack) as session:
        for number, table in enumerate(session.rollups()):
            session.quietly(f"prepare taken{number} as select * from {table}")
            attack.world.serve_other(pooled=True)
            session.ask(f"execute taken{number}")
            session.quietly(f"deallocate taken{number}")


@attempt("pooler", "cursors that others left open, with hold")
def held_cursors(attack: Attack) -> None:
    with turn(attack) as session:
        for (name,) in session.ask("select name from pg_cursors"):
            session.ask(f'fetch all from "{name}"')
        session.ask("fetch all from held")


@attempt("pooler", "temporary tables that others left")
def temporary_tables(attack: Attack) -> None:
    with turn(attack) as session:
        for (name,) in session.ask(
            "select relname from pg_class where relnamespace = pg_my_temp_schema() and relkind = 'r'"
        ):
            session.ask(f'select * from pg_temp."{name}"')


@attempt("pooler", "advisory locks that others left")
def advisory_locks(attack: Attack) -> None:
    with turn(attack) as session:
        session.ask("select classid, objid from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()")
        session.ask("select pg_advisory_unlock(hashtext(%s))", [attack.other])


@attempt("pooler", "channels that others listen on, and what they are told")
def channels(attack: Attack) -> None:
    with turn(attack) as session:
        session.ask("select pg_listening_channels()")
        attack.world.serve_other(pooled=True)
        for notification in session.connection.notifies(timeout=0.05):
            attack.note("heard", notification.channel, notification.payload)


@attempt("pooler", "the last sequence value and the statistics of the shared session")
def session_state(attack: Attack) -> None:
    with turn(attack) as session:
        session.ask("select lastval()")
        session.ask(
            "select name, setting from pg_settings where source = 'session' and name not in ('client_encoding')"
        )
        session.ask("select query from pg_stat_activity where pid = pg_backend_pid() and query !~ 'pg_stat_activity'")


@attempt("pooler", "discard all and reset all in the middle of another tenant's stay")
def discards(attack: Attack) -> None:
    with turn(attack) as session:
        for command in ("discard all", "discard plans", "discard temp", "reset all", "reset role"):
            session.ask(command)
            attack.world.serve_other(pooled=True)
            read_all(session)


@attempt("pooler", "tables and paths of one's own laid out for the next tenant's queries")
def traps(attack: Attack) -> None:
    """What the attacker leaves on the connection must not catch what another tenant is served there."""
    with turn(attack) as session:
        session.quietly("create temp table caught (what text)")
        for name in ("rollup_tenant_usage_daily", "publications", "tenant_directory"):
            session.quietly(
                f"create temp table {name} as select current_setting('app.current_tenant_id', true) as caught"
            )
        session.quietly("create domain pg_temp.date as pg_catalog.date check (value is not null)")
        session.quietly("set search_path = pg_temp, pg_catalog, tenant_analytics")
        attack.world.serve_other(pooled=True)
        session.quietly("set search_path = tenant_analytics, pg_temp, public")
        attack.world.serve_other(pooled=True)
        session.quietly("reset search_path")
        for name in ("rollup_tenant_usage_daily", "publications", "tenant_directory"):
            session.ask(f"select * from pg_temp.{name}")
        session.ask("select * from pg_temp.caught")
        session.quietly("discard all")


@attempt("pooler", "set role and session authorization left for the next")
def roles(attack: Attack) -> None:
    with turn(attack) as session:
        session.ask("select session_user, current_user")
        session.ask("set session authorization tailrace_publisher")
        session.ask("set role tailrace_owner")
        read_all(session)


@attempt("pooler", "the pooler's own console: clients, databases, queries")
def console(attack: Attack) -> None:
    assert attack.world.pooler is not None
    for command in ("show clients", "show databases", "show users", "show config"):
        try:
            with psycopg.connect(attack.world.pooler.dsn("pgbouncer", attack.role), autocommit=True) as connection:
                attack.note(connection.execute(command).fetchall())
        except psycopg.Error as error:
            attack.note(type(error).__name__)


@attempt("pooler", "a transaction left open and broken, then another tenant's turn")
def broken_transactions(attack: Attack) -> None:
    with attack.session(tenant=None, pooled=True) as session:
        session.quietly("begin")
        session.quietly("select set_config('app.current_tenant_id', %s, true)", [attack.world.own.id])
        session.quietly("select 1 / 0")
        read_all(session)
    attack.world.serve_other(pooled=True)
    with attack.session(tenant=None, pooled=True) as session:
        read_all(session)
