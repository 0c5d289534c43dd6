"""The sample company as a whole: one seed is one world, however often its process dies on the way."""

from __future__ import annotations

import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from demo.company import Company
from demo.company.web import Api
from demo.company.world import MEASURES
from demo.postgres import EmbeddedPostgres
from demo.sandbox import serve
from settings import ROOT, TailraceError

SEED, TENANTS, DAYS = 5, 6, 10
START = date(2026, 1, 1)
KEYS = {"stripe_key": "sk_test_company", "hubspot_token": "pat-company"}


@dataclass
class World:
    """A company with its servers, and how to look at it from outside."""

    company: Company
    postgres: EmbeddedPostgres
    arguments: dict[str, Any]

    @property
    def databases(self) -> list[str]:
        return sorted({"product_us", "product_eu", *(tenant.database for tenant in self.company.tenants)})

    def tables(self, database: str) -> list[tuple[str, str]]:
        with self.postgres.connect(database) as connection:
            return connection.execute(
                "select schemaname, tablename from pg_tables "
                "where schemaname in ('app', 'simulator') or starts_with(schemaname, 't_') order by 1, 2"
            ).fetchall()

    def ledger(self, query: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.arguments["state"]) as connection:
            return connection.execute(query).fetchall()

    def fingerprint(self) -> dict[str, str]:
        """A hash of every table of every product database, of the ledger, and of both APIs' objects."""
        found = {}
        for database in self.databases:
            with self.postgres.connect(database) as connection:
                for schema, table in self.tables(database):
                    query = sql.SQL("select t::text from {} t order by 1").format(sql.Identifier(schema, table))
                    found[f"{database}.{schema}.{table}"] = _hash(connection.execute(query).fetchall())
        for table in ("ledger_activity", "ledger_usage", "ledger_mrr", "documents", "meta"):
            found[table] = _hash(sorted(self.ledger(f"select * from {table}")))  # noqa: S608 - names above
        stripe = Api(name="Stripe", url=self.arguments["stripe_url"], token=KEYS["stripe_key"])
        for kind in ("customers", "subscriptions", "invoices", "charges", "refunds"):
            query = {"status": "all"} if kind == "subscriptions" else {}
            rows = stripe.get(f"/v1/{kind}", limit=100, **query)["data"]
            found[f"stripe {kind}"] = _hash([(row["id"], row["created"], row.get("status")) for row in rows])
        hubspot = Api(name="HubSpot", url=self.arguments["hubspot_url"], token=KEYS["hubspot_token"])
        names = ("domain", "email", "dealname", "dealstage", "hs_primary_associated_company", "associatedcompanyid")
        for kind in ("companies", "contacts", "products", "deals", "line_items", "tickets"):
            rows = []
            for archived in ("false", "true"):
                query = {"properties": ",".join(names), "archived": archived}
                for row in hubspot.get(f"/crm/v3/objects/{kind}", limit=100, **query)["results"]:
                    # Its clock adds a millisecond a write: writes repeated after a kill show there and nowhere else.
                    values = [row["properties"].get(name) for name in names]
                    rows.append((row["id"], archived, row["createdAt"][:19], values))
            found[f"hubspot {kind}"] = _hash(rows)
        stripe.close()
        hubspot.close()
        return found


def _hash(rows: list[Any]) -> str:
    return f"{len(rows)} rows {hashlib.sha256(repr(rows).encode()).hexdigest()}"


@contextmanager
def _world(directory: Path) -> Iterator[World]:
    with ExitStack() as stack:
        postgres = stack.enter_context(EmbeddedPostgres(directory / "postgres"))
        arguments: dict[str, Any] = {"state": directory / "company.sqlite", **KEYS}
        for kind in ("stripe", "hubspot"):
            running = serve(kind, 0, directory / f"{kind}.sqlite")  # type: ignore[arg-type]
            stack.callback(running.stop)
            arguments[f"{kind}_url"] = running.url
        company = Company(server=postgres, seed=SEED, tenants=TENANTS, start=START, **arguments)
        company.found()
        yield World(company, postgres, arguments)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world that lived its days in one go; tests only look at it."""
    with _world(tmp_path_factory.mktemp("company")) as world:
        world.company.live(DAYS)
        yield world


_CHILD = """
import json, sys
from datetime import date
from pathlib import Path
from demo.company import Company
from demo.postgres import EmbeddedPostgres

given = json.loads(sys.argv[1])
server = EmbeddedPostgres(Path(given.pop("directory")), port=given.pop("port"))
company = Company(server=server, start=date.fromisoformat(given.pop("start")), state=Path(given.pop("state")),
                  **{k: v for k, v in given.items() if k != "days"})
print("alive", flush=True)
company.live(given["days"] - company.days_lived)
"""


@pytest.mark.operations
def test_killed_anywhere_and_resumed_is_the_world_that_was_never_killed(world: World, tmp_path: Path) -> None:
    with _world(tmp_path) as other:
        given = {
            **{name: str(value) for name, value in other.arguments.items()},
            "directory": str(other.postgres.directory),
            "port": other.postgres.port,
            "start": START.isoformat(),
            "seed": SEED,
            "tenants": TENANTS,
            "days": DAYS,
        }
        command = [sys.executable, "-c", _CHILD, json.dumps(given)]
        killed, delay, code = 0, 0.15, -signal.SIGKILL
        while code == -signal.SIGKILL:
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
                assert child.stdout is not None
                assert child.stdout.readline() == "alive\n"
                try:
                    code = child.wait(timeout=delay)
                except subprocess.TimeoutExpired:
                    child.kill()
                    code = child.wait()
            killed += code == -signal.SIGKILL
            delay *= 2.2
            if killed == 2:  # the server loses power, too, with commits that nobody had waited for
                other.postgres.kill()
                other.postgres.start()
        assert code == 0
        assert killed > 1
        assert other.company.days_lived == DAYS
        assert other.fingerprint() == world.fingerprint()


def test_founding_again_changes_nothing(world: World) -> None:
    before = world.fingerprint()
    world.company.found()
    assert world.fingerprint() == before


def test_another_seed_is_refused_rather_than_mixed_in(world: World) -> None:
    other = Company(server=world.postgres, seed=SEED + 1, tenants=TENANTS, start=START, **world.arguments)
    with pytest.raises(TailraceError, match=f"seed {SEED}, not {SEED + 1}"):
        other.found()


_EVENTS = {
    "workflow_runs": ("started_by", "started_at"),
    "tasks": ("assignee_id", "completed_at"),
    "comments": ("author_id", "created_at"),
    "api_requests": ("user_id", "occurred_at"),
    "ai_requests": ("user_id", "occurred_at"),
}
_COUNTED = {
    "workflow_runs_failed": ("workflow_runs", "started_at", "count(*) filter (where status = 'failed')"),
    "api_errors": ("api_requests", "occurred_at", "count(*) filter (where status_code >= 500)"),
    "ai_tokens": ("ai_requests", "occurred_at", "sum(prompt_tokens + completion_tokens)"),
    "ai_cost_microusd": ("ai_requests", "occurred_at", "sum(cost_usd * 1000000)"),
}


def _day(column: str) -> sql.Composed:
    return sql.SQL("({} at time zone 'UTC')::date::text").format(sql.Identifier(column))


def test_the_ledger_counts_what_the_product_databases_hold(world: World) -> None:
    """Active users and every measure, a tenant and UTC day: deleted events never happened."""
    truth: dict[tuple[str, str], dict[str, int]] = {}
    for tenant in world.company.tenants:
        with world.postgres.connect(tenant.database) as connection:
            of_tenant = sql.SQL("where tenant_id = {}").format(str(tenant.id))
            users = sql.SQL(" union all ").join(
                sql.SQL("select {} as day, {} as person from {} {}").format(
                    _day(at), sql.Identifier(person), sql.Identifier(tenant.schema, table), of_tenant
                )
                for table, (person, at) in _EVENTS.items()
            )
            query = sql.SQL("select day, count(distinct person) from ({}) e where day is not null group by 1")
            for day, active in connection.execute(query.format(users)):
                truth[str(tenant.id), day] = dict.fromkeys(MEASURES, 0) | {"active_users": active}
            plain = {
                "tasks_completed" if table == "tasks" else table: (table, at, "count(*)")
                for table, (_, at) in _EVENTS.items()
            }
            for measure, (table, at, amount) in (plain | _COUNTED).items():
                query = sql.SQL("select {} as day, {} from {} {} group by 1").format(
                    _day(at),
                    sql.SQL(amount),  # type: ignore[arg-type]
                    sql.Identifier(tenant.schema, table),
                    of_tenant,
                )
                for day, n in connection.execute(query):
                    if day is not None:
                        truth[str(tenant.id), day][measure] = int(n or 0)
    names = ("active_users", *MEASURES)
    rows = world.ledger(f"select tenant_id, day, {', '.join(names)} from ledger_usage")  # noqa: S608 - names above
    assert {(tenant, day): dict(zip(names, values, strict=True)) for tenant, day, *values in rows} == truth
    assert len(truth) > TENANTS
    assert sum(row["workflow_runs_failed"] for row in truth.values()) > 0


def test_the_product_s_role_sees_the_set_tenant_and_nobody_without_one(world: World) -> None:
    tenant = next(tenant for tenant in world.company.tenants if tenant.tier == "pool")
    for role in ("app_rw", "app_owner"):
        for database in world.databases:
            with world.postgres.connect(database, role=role, autocommit=False) as connection:
                for schema, table in world.tables(database):
                    if table == "plans" or schema == "simulator":
                        continue
                    key = "id" if table == "tenants" else "tenant_id"
                    query = sql.SQL("select count(*), count(distinct {0}), min({0}::text) from {1}").format(
                        sql.Identifier(key), sql.Identifier(schema, table)
                    )
                    connection.execute("select set_config('app.current_tenant_id', '', false)")
                    assert connection.execute(query).fetchone() == (0, 0, None)
                    connection.execute("select set_config('app.current_tenant_id', %s, false)", [str(tenant.id)])
                    rows, tenants, seen = connection.execute(query).fetchone()
                    here = database == tenant.database and schema == tenant.schema
                    assert (rows > 0) <= here
                    assert (tenants, seen) in ((0, None), (1, str(tenant.id)))
                connection.rollback()


def test_the_product_s_role_cannot_write_for_another_tenant(world: World) -> None:
    one, two = [tenant for tenant in world.company.tenants if tenant.tier == "pool" and tenant.region == "us"][:2]
    with world.postgres.connect("product_us", role="app_rw", autocommit=False) as connection:
        connection.execute("select set_config('app.current_tenant_id', %s, true)", [str(one.id)])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(
                "insert into app.audit_log (tenant_id, id, action, target_type, occurred_at) "
                "values (%s, 999999, 'a', 'b', now())",
                [two.id],
            )


def test_the_capture_role_reads_all_tenants_but_no_credential(world: World) -> None:
    with world.postgres.connect("product_us", role="tailrace_cdc") as connection:
        own = connection.execute("select count(distinct tenant_id) from app.users").fetchone()[0]
        pooled = [t for t in world.company.tenants if t.database == "product_us" and t.schema == "app"]
        assert own == len([tenant for tenant in pooled if tenant.signup < DAYS])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select password_hash from app.users")
        published = connection.execute(
            "select schemaname, tablename, attnames from pg_publication_tables where pubname = 'tailrace'"
        ).fetchall()
    assert {schema for schema, _, _ in published} == {t.schema for t in pooled} | {
        t.schema for t in world.company.tenants if t.database == "product_us"
    }
    assert not [table for _, table, columns in published if "password_hash" in columns]


def test_the_product_lives_inserts_updates_and_deletes(world: World) -> None:
    totals = {"n_tup_ins": 0, "n_tup_upd": 0, "n_tup_del": 0}
    big = 0
    for database in world.databases:
        with world.postgres.connect(database) as connection:
            connection.execute("select pg_stat_force_next_flush()")
            for counter in totals:
                query = sql.SQL("select coalesce(sum({}), 0)::bigint from pg_stat_user_tables").format(
                    sql.Identifier(counter)
                )
                totals[counter] += connection.execute(query).fetchone()[0]
            big += connection.execute(
                "select count(*) from app.workflow_runs where pg_column_size(input) > 8000"
            ).fetchone()[0]
    assert all(totals.values())
    assert big > 0, "some inputs are stored out of line"


def test_the_directory_of_a_region_knows_every_tenant_as_its_books_do(world: World) -> None:
    books = {
        key: json.loads(body) for key, body in world.ledger("select key, body from documents where kind = 'account'")
    }
    for region in ("us", "eu"):
        with world.postgres.connect(f"product_{region}") as connection:
            rows = connection.execute("select id::text, tier, plan, stripe_customer_id from app.tenants").fetchall()
        there = {t for t in world.company.tenants if t.region == region and t.signup < DAYS}
        assert {(tenant, tier) for tenant, tier, *_ in rows} == {(str(t.id), t.tier) for t in there}
        assert all(
            (books[tenant]["plan"], books[tenant]["id"]) == (plan, customer) for tenant, _, plan, customer in rows
        )


def test_personal_values_are_those_of_the_product_databases(world: World) -> None:
    values = list(world.company.personal_values())
    assert {kind for kind, _ in values} == {"email", "full_name", "phone", "comment"}
    users = comments = 0
    for tenant in world.company.tenants:
        with world.postgres.connect(tenant.database) as connection:
            for table in ("users", "comments"):
                query = sql.SQL("select count(*) from {} where tenant_id = %s").format(
                    sql.Identifier(tenant.schema, table)
                )
                n = connection.execute(query, [tenant.id]).fetchone()[0]
                users, comments = (users + n, comments) if table == "users" else (users, comments + n)
    assert sum(kind == "email" for kind, _ in values) == users
    assert sum(kind == "comment" for kind, _ in values) == comments
    few = list(world.company.personal_values(limit=2))
    assert len(few) <= 2 * 4 * TENANTS


def test_mrr_entries_are_changes_only(world: World) -> None:
    rows = world.ledger("select customer_id, currency, day, mrr from ledger_mrr order by 1, 2, 3")
    assert rows
    last: dict[tuple[str, str], Decimal] = {}
    for customer, currency, _, mrr in rows:
        assert Decimal(mrr) != last.get((customer, currency), Decimal(0))
        last[customer, currency] = Decimal(mrr)
