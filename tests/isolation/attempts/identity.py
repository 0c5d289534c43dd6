"""Attempts on who the session is: the tenant's setting, roles and everything that resets them."""

# ruff: noqa: S608 - every statement is made of constants and of names out of the catalogue
from __future__ import annotations

from tests.isolation.registry import Attack, Session, attempt


def read_all(session: Session) -> None:
    """Rows and counts of everything with a tenant that this role can read, and the published versions."""
    for table in session.rollups():
        session.ask(f"select * from {table}")
        session.ask(f"select count(*) from {table}")
    session.ask("select count(version) from tenant_analytics.publications")


@attempt("sql", "no tenant set: every table")
def no_tenant(attack: Attack) -> None:
    with attack.session(tenant=None) as session:
        read_all(session)


@attempt("sql", "tenant set to the empty string")
def empty_tenant(attack: Attack) -> None:
    with attack.session(tenant="") as session:
        read_all(session)


@attempt("sql", "tenant set to null")
def null_tenant(attack: Attack) -> None:
    with attack.session(tenant=None) as session:
        session.ask("select set_config('app.current_tenant_id', null, false)")
        read_all(session)


@attempt("sql", "tenant set to malformed text: wildcards, lists, SQL, the nil UUID")
def malformed_tenant(attack: Attack) -> None:
    own, other = attack.world.own.id, attack.other
    with attack.session() as session:
        for value in (
            "*",
            "%",
            "all",
            "null",
            "' or true --",
            f"{own},{other}",
            f"{own} {other}",
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            own[:-1],
            own + "0",
        ):
            session.be(value)
            read_all(session)


@attempt("sql", "tenant set to an id that nobody has")
def unknown_tenant(attack: Attack) -> None:
    with attack.session(tenant="12345678-1234-4234-8234-123456789012") as session:
        read_all(session)


@attempt("sql", "own tenant set, everything read without a filter")
def no_filter(attack: Attack) -> None:
    with attack.session() as session:
        read_all(session)


@attempt("sql", "own tenant set, another's id in the filter")
def others_id(attack: Attack) -> None:
    with attack.session() as session:
        for table in session.rollups():
            session.ask(f"select * from {table} where tenant_id = %s", [attack.other])
            session.ask(f"select count(*) from {table} where tenant_id = any(%s::uuid[])", [[attack.other]])
            session.ask(f"select exists (select from {table} where tenant_id = %s)", [attack.other])


@attempt("sql", "own tenant set, a filter that is always true")
def always_true(attack: Attack) -> None:
    with attack.session() as session:
        for table in session.rollups():
            session.ask(f"select * from {table} where tenant_id = %s or true", [attack.other])
            session.ask(f"select * from {table} where tenant_id is distinct from %s", [attack.world.own.id])


@attempt("sql", "settings with names that resemble the tenant's")
def similar_settings(attack: Attack) -> None:
    with attack.session(tenant=None) as session:
        for name in ("app.tenant_id", "app.current_tenant", "app.current_tenant_id_", "tenant.id", "app.bypass_rls"):
            session.ask("select set_config(%s, %s, false)", [name, attack.other])
        read_all(session)


@attempt("sql", "set role to every other role")
def set_role(attack: Attack) -> None:
    with attack.session() as session:
        for (role,) in session.quietly("select rolname from pg_roles order by 1"):
            session.ask(f'set role "{role}"')
            read_all(session)
            session.quietly("reset role")


@attempt("sql", "set session authorization to every other role")
def set_session_authorization(attack: Attack) -> None:
    with attack.session() as session:
        for (role,) in session.quietly("select rolname from pg_roles order by 1"):
            session.ask(f'set session authorization "{role}"')
            read_all(session)
            session.quietly("reset session authorization")


@attempt("sql", "reset, reset all and discard all")
def resets(attack: Attack) -> None:
    with attack.session() as session:
        for command in ("reset app.current_tenant_id", "reset all", "discard all", "reset role"):
            session.ask(command)
            read_all(session)
            session.be(attack.world.own.id)


@attempt("sql", "row_security = off")
def row_security_off(attack: Attack) -> None:
    with attack.session() as session:
        session.ask("set row_security = off")
        read_all(session)


@attempt("sql", "set local outside and after its transaction")
def set_local(attack: Attack) -> None:
    own = attack.world.own.id
    with attack.session(tenant=None) as session:
        session.ask(f"set local app.current_tenant_id = '{own}'")
        read_all(session)
        with session.connection.transaction():
            session.ask(f"set local app.current_tenant_id = '{own}'")
        read_all(session)


@attempt("sql", "a setting rolled back by a savepoint and by a transaction")
def rolled_back(attack: Attack) -> None:
    with attack.session(tenant=None) as session:
        session.ask("begin")
        session.ask("savepoint s")
        session.be(attack.world.own.id)
        session.ask("rollback to savepoint s")
        read_all(session)
        session.ask("rollback")
        read_all(session)


@attempt("sql", "a default tenant for the role or the database")
def defaults(attack: Attack) -> None:
    database = attack.world.product.shared
    with attack.session() as session:
        session.ask(f"alter role {attack.role} set app.current_tenant_id = '{attack.other}'")
        session.ask(f"""alter database "{database}" set app.current_tenant_id = '{attack.other}'""")
        session.ask(f"alter role {attack.role} set row_security = off")
        session.ask("select setconfig from pg_db_role_setting")
    with attack.session(tenant=None) as session:
        read_all(session)
        session.quietly(f"alter role {attack.role} reset all")
        session.quietly(f'alter database "{database}" reset all')


@attempt("sql", "roles created, granted and altered")
def grants(attack: Attack) -> None:
    with attack.session() as session:
        session.ask("begin")
        for command in (
            f"alter role {attack.role} bypassrls",
            f"alter role {attack.role} superuser",
            f"grant tailrace_owner to {attack.role}",
            f"grant tailrace_publisher to {attack.role}",
            f"grant pg_read_all_data to {attack.role}",
            f"grant pg_read_all_stats to {attack.role}",
            f"grant select on all tables in schema tenant_analytics to {attack.role}",
            "create role intruder login superuser",
        ):
            session.ask("savepoint s")
            session.ask(command)
            session.quietly("rollback to savepoint s")
        session.ask("rollback")
        read_all(session)


@attempt("sql", "another's silo: its database under the own tenant")
def silo_database(attack: Attack) -> None:
    silo = next(each for each in attack.world.product.databases if each != attack.world.product.shared)
    with attack.session(database=silo) as session:
        read_all(session)
    with attack.session(database=silo, tenant=None) as session:
        read_all(session)


@attempt("sql", "the tables' owner, which the policies bind too")
def owner(attack: Attack) -> None:
    """At run time nobody is the owner; a view or function of its would read as it does.

    But for the published versions, whose counts of all rows are no reader's column.
    """
    with attack.session(role="tailrace_publisher") as session:
        session.ask("set role tailrace_owner")
        for tenant in (attack.world.own.id, ""):
            session.be(tenant)
            for table in session.rollups():
                if "publications" not in table:
                    session.ask(f"select * from {table}")
                    session.ask(f"select count(*) from {table}")
