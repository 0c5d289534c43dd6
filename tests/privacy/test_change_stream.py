"""The product's change stream, real PostgreSQL's, goes on after an erasure: nothing comes back, nothing gets stuck."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from demo.postgres import EmbeddedPostgres
from ingestion import forgetting, land
from ingestion.postgres.apply import Applier, Target
from ingestion.postgres.pgoutput import Decoder
from pii_policies import load_contracts
from pii_policies.erasure import erasure_map
from privacy import stores
from tests.privacy.support import EMAIL, JANE, JOHN, NOW, SECRETS, A

TABLES = {name: land.raw_table(load_contracts().table("app", name)) for name in ("users", "comments")}
BODY = SECRETS["body"] * 10
"""Longer than a page keeps in line, so that an update that leaves it alone does not repeat it."""


class Product:
    """A product database with users and comments, landed change by change."""

    def __init__(self, postgres: EmbeddedPostgres, name: str) -> None:
        postgres.create_database(name)
        self.source, self.slot = postgres.connect(name), name
        self.run(
            "create schema app",
            "create table app.users (tenant_id uuid, id uuid, email text, full_name text, role text, "
            "primary key (tenant_id, id))",
            "create table app.comments (tenant_id uuid, id uuid, task_id uuid, author_id uuid, body text, "
            "primary key (tenant_id, id))",
            "alter table app.comments alter body set storage external",
            "create publication p for all tables",
        )
        self.run(f"select pg_create_logical_replication_slot('{name}', 'pgoutput')")
        self.con = duckdb.connect()
        self.con.execute("attach ':memory:' as vault")
        for table in TABLES.values():
            land.ensure_table(self.con, table)

    def run(self, *statements: str) -> None:
        with self.source.transaction():
            for statement in statements:
                self.source.execute(statement)

    def land(self) -> None:
        rows = self.source.execute(
            "select data from pg_logical_slot_get_binary_changes(%s, null, null, 'proto_version', '1', "
            "'publication_names', 'p', 'binary', 'true')",
            [self.slot],
        ).fetchall()
        applier = Applier(
            self.con,
            database="db",
            landing=lambda relation: Target(TABLES[relation.name], "db.app"),
            extracted_at=NOW,
        )
        for item in Decoder().feed(pa.array([bytes(row[0]) for row in rows], pa.large_binary())):
            applier.add(item)
        applier.finish()

    def erase(self) -> None:
        forgetting.prepare(self.con)
        for kind, value in (("app", JANE), ("email", EMAIL.lower())):
            tombstone = f"insert into {forgetting.TOMBSTONES} values ({forgetting.hashed(kind, '?')}, ?, 'r')"
            self.con.execute(tombstone, [value, A])
        for name in TABLES:
            stores.scrub(self.con, erasure_map(load_contracts())[f"raw_app.{name}"], name, receipt="r", at=NOW)

    def state(self) -> dict[str, list[tuple[object, ...]]]:
        query = "select id::varchar, author_id::varchar, task_id::varchar, body from raw_app.comments order by 1"
        users = "select id::varchar, email, role from raw_app.users order by 1"
        return {"users": self.con.execute(users).fetchall(), "comments": self.con.execute(query).fetchall()}


def _uuid(number: int) -> str:
    return f"{number:08d}-3333-4333-8333-333333333333"


@pytest.fixture
def product(postgres: EmbeddedPostgres, request: pytest.FixtureRequest) -> Product:
    made = Product(postgres, f"erased_{abs(hash(request.node.name)) % 10**8}")
    made.run(
        f"insert into app.users values ('{A}', '{JANE}', '{EMAIL}', 'Jane', 'member'), "
        f"('{A}', '{JOHN}', 'john@alpha.example', 'John', 'member')",
        f"insert into app.comments values ('{A}', '{_uuid(1)}', null, '{JANE}', '{BODY}'), "
        f"('{A}', '{_uuid(2)}', null, '{JOHN}', '{BODY}')",
    )
    made.land()
    made.erase()
    return made


def test_changes_of_an_erased_persons_rows_land_without_the_person(product: Product) -> None:
    task = _uuid(9)
    product.run(
        f"update app.users set role = 'admin' where id in ('{JANE}', '{JOHN}')",
        f"update app.comments set task_id = '{task}'",  # the bodies are not repeated in the stream
        f"insert into app.comments values ('{A}', '{_uuid(3)}', null, '{JANE}', '{BODY}')",
    )
    product.land()
    assert product.state() == {
        "users": [(JOHN, "john@alpha.example", "admin")],
        "comments": [(_uuid(1), None, task, None), (_uuid(2), JOHN, task, BODY), (_uuid(3), None, None, None)],
    }


def test_a_row_whose_author_the_product_clears_stays_empty(product: Product) -> None:
    product.run(f"update app.comments set author_id = null, body = body || 'x' where id = '{_uuid(1)}'")
    product.run(f"delete from app.users where id = '{JANE}'")
    product.land()
    assert product.state()["comments"][0] == (_uuid(1), None, None, None)
    assert [row[0] for row in product.state()["users"]] == [JOHN]


def test_a_column_that_is_filled_later_is_not_filled_for_an_erased_person(product: Product) -> None:
    product.con.execute("create temp table filling (tenant_id uuid, id uuid, body varchar)")
    rows = [(A, _uuid(number), "filled") for number in (1, 2)]
    product.con.executemany("insert into filling values (?, ?, ?)", rows)
    land.fill(product.con, TABLES["comments"], "filling", ["body"], origin="db.app", extracted_at=NOW)
    assert [row[3] for row in product.state()["comments"]] == [None, "filled"]
