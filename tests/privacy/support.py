"""One person in every store: what the sources hold of them, landed and built as the pipeline does it."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from ingestion import land
from pii_policies import load_contracts
from pii_policies.keys import ensure_keys_for_raw
from privacy.rights import Rights
from settings import Settings, load_settings
from warehouse import DuckDBWarehouse, open_warehouse, positions, quote, transaction

RECEIPT_KEY = "11" * 32
A, B = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
JANE, JOHN, OTHER_JANE = (f"{digit * 8}-1111-4111-8111-111111111111" for digit in "123")
EMAIL = "Jane.Canary-7f3a91@uncommon-domain-4c1d.example"
CUSTOMER, CONTACT, CONTACT_OF_B = "cus_JaneCanary7f3a91", "9081726354", "9081726399"
MERGED_CONTACT = "9081726301"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
_random = random.Random(7)
SECRETS = {
    name: "".join(_random.choice("ABCDEFGHJKMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789") for _ in range(400))
    for name in ("name", "phone", "body", "prompt", "address", "job", "card", "detail")
}
"""Personal values that no compression shortens, so that finding none in a file means something."""
Row = Mapping[str, Any]
CONFIG = """
region: us
state_dir: {home}
sources:
  postgres: {{dsn: postgresql://nobody@127.0.0.1:1/none}}
  stripe: {{url: "http://127.0.0.1:1", api_key_env: TEST_STRIPE_KEY}}
  hubspot: {{url: "http://127.0.0.1:1", token_env: TEST_HUBSPOT_TOKEN}}
serving: {{publisher_dsn: postgresql://nobody@127.0.0.1:1/none, reader_dsn: postgresql://nobody@127.0.0.1:1/none}}
"""


def sources() -> dict[tuple[str, str], list[dict[str, Any]]]:
    """What every source holds: (source, table) → rows."""

    def tenant(id_: str, slug: str, email: str) -> dict[str, Any]:
        named = {"id": id_, "name": slug, "slug": slug, "tier": "pool", "region": "us", "status": "active"}
        return {**named, "billing_email": email, "stripe_customer_id": CUSTOMER if id_ == A else None}

    def user(tenant_id: str, id_: str, email: str, name: str) -> dict[str, Any]:
        return {"tenant_id": tenant_id, "id": id_, "email": email, "full_name": name,
                "phone": SECRETS["phone"] if id_ == JANE else "+1 555 0100",
                "role": "member", "status": "active", "created_at": NOW.isoformat()}  # fmt: skip

    def comment(number: int, tenant_id: str, author: str, body: str) -> dict[str, Any]:
        return {"tenant_id": tenant_id, "id": _uuid(number), "task_id": _uuid(900), "author_id": author, "body": body,
                "created_at": (NOW - timedelta(days=number % 3)).isoformat()}  # fmt: skip

    def tied(holder: str, key: str, kind: str, other: str) -> Row:
        contact, company = (key, other) if holder == "contacts" else (other, key)
        return {"id": f"{holder}/{key}/{kind}/{other}/1", "holder": f"{holder}/{key}", "from_type": holder,
                "to_type": kind, "contact_id": contact, "linked_company_id": company, "company_id": company,
                "type_id": 1}  # fmt: skip

    event = {"object": {"id": CUSTOMER, "object": "customer", "email": EMAIL, "name": SECRETS["name"]}}
    return {
        ("app", "tenants"): [tenant(A, "alpha", EMAIL.lower()), tenant(B, "beta", "office@beta.example")],
        ("app", "users"): [
            user(A, JANE, EMAIL, SECRETS["name"]),
            user(A, JOHN, "john@alpha.example", "John"),
            user(B, OTHER_JANE, EMAIL, "Another Jane"),
        ],
        ("app", "workspace_members"): [
            {"tenant_id": A, "workspace_id": _uuid(800), "user_id": each, "role": "x"} for each in (JANE, JOHN)
        ],
        ("app", "comments"): [
            *(comment(n, A, JANE, SECRETS["body"]) for n in range(3)),
            comment(3, A, JOHN, "by John"),
            comment(4, B, OTHER_JANE, "by another Jane"),
        ],
        ("app", "ai_requests"): [
            {"tenant_id": A, "id": _uuid(20), "user_id": JANE, "model": "m", "prompt": SECRETS["prompt"],
             "prompt_tokens": 5, "completion_tokens": 7, "occurred_at": NOW.isoformat()},
        ],
        ("app", "audit_log"): [
            {"tenant_id": A, "id": 1, "actor_id": JANE, "action": "login", "target_type": "user", "target_id": JANE,
             "ip": "203.0.113.9", "detail": json.dumps({"of": SECRETS["detail"]}), "occurred_at": NOW.isoformat()},
        ],
        ("stripe", "customers"): [
            {"id": CUSTOMER, "email": EMAIL, "name": SECRETS["name"],
             "address": json.dumps({"line1": SECRETS["address"]}),
             "currency": "usd", "created": 1, "metadata": json.dumps({"tenant_id": A, "note": SECRETS["job"]})},
            {"id": "cus_Beta", "email": "office@beta.example", "name": "Beta", "currency": "usd", "created": 1,
             "metadata": json.dumps({"tenant_id": B})},
        ],
        ("stripe", "invoices"): [
            {"id": "in_1", "customer": CUSTOMER, "customer_email": EMAIL, "customer_name": SECRETS["name"],
             "amount_due": 4200, "currency": "usd", "created": 2, "status": "paid"},
        ],
        ("stripe", "charges"): [
            {"id": "ch_1", "customer": CUSTOMER, "receipt_email": EMAIL, "amount": 4200, "currency": "usd",
             "created": 2, "payment_method_details": json.dumps({"card": SECRETS["card"]})},
        ],
        ("stripe", "events"): [{"id": "evt_1", "type": "customer.created", "created": 1, "data": json.dumps(event)}],
        ("hubspot", "companies"): [
            {"id": "1", "properties_name": "alpha", "properties_tenant_id": A},
            {"id": "2", "properties_name": "beta", "properties_tenant_id": B},
        ],
        ("hubspot", "contacts"): [
            {"id": CONTACT, "properties_email": EMAIL, "properties_lastname": SECRETS["name"],
             "properties_jobtitle": SECRETS["job"], "properties_associatedcompanyid": "1"},
            {"id": CONTACT_OF_B, "properties_email": EMAIL, "properties_lastname": "Jane",
             "properties_associatedcompanyid": "2"},
        ],
        ("hubspot", "associations"): [
            tied("contacts", CONTACT, "companies", "1"),
            tied("companies", "1", "contacts", CONTACT),
            tied("contacts", CONTACT_OF_B, "companies", "2"),
        ],
        ("hubspot", "merges"): [
            {"id": MERGED_CONTACT, "survivor_id": CONTACT, "object_type": "contacts", "company_id": "1",
             "merged_contact_id": MERGED_CONTACT, "surviving_contact_id": CONTACT},
        ],
    }  # fmt: skip


def _uuid(number: int) -> str:
    return f"{number:08d}-2222-4222-8222-222222222222"


class Home:
    """One deployment's state, and what stands in for its sources and its build."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.warehouse: DuckDBWarehouse = open_warehouse(settings)
        self.built = 0
        self.source = sources()

    def rights(self) -> Rights:
        return Rights(
            settings=self.settings,
            warehouse=self.warehouse,
            rebuild=self.build,
            resync=lambda progress: self.sync(),
            actor="a test",
        )

    def seed(self) -> None:
        self.sync()
        self.build()

    def sync(self, tables: Mapping[tuple[str, str], Sequence[Row]] | None = None) -> None:
        """Land everything that the sources hold, as a sync from the beginning does."""
        contracts = load_contracts()
        with self.warehouse.writer("a test") as con:
            for source in contracts.sources:
                with transaction(con):
                    for table in contracts.raw_tables(source):
                        land.ensure_table(con, land.raw_table(table))
            for (source, name), rows in (self.source if tables is None else tables).items():
                with transaction(con):
                    raw = land.raw_table(contracts.table(source, name))
                    land.upsert(
                        con, raw, pa.Table.from_pylist([dict(row) for row in rows]), extracted_at=positions.stamp(con)
                    )
            ensure_keys_for_raw(con, contracts)

    def copy_anew(self) -> None:
        """Land the product's comments and users as a copy of the whole database does."""
        contracts = load_contracts()
        with self.warehouse.writer("a test") as con, transaction(con):
            for name in ("users", "comments"):
                raw = land.raw_table(contracts.table("app", name))
                rows = pa.Table.from_pylist(sources()["app", name])
                given = {c.name: f"n.{quote(c.name)}" if c.name in rows.column_names else "null" for c in raw.columns}
                con.execute(f"create table raw_app._copy_{name}_x as select * from {raw.sql} limit 0")  # noqa: S608
                con.register("_rows", rows)
                land.append(con, raw, "_rows as n", into=f"raw_app._copy_{name}_x", values=given,
                            meta="""'{"origin": "p.app"}'::json""", ids="x", extracted_at=NOW, lsn=1)  # fmt: skip
                con.unregister("_rows")
                land.replace(con, raw, copy=f"raw_app._copy_{name}_x", origins=["p.app"], extracted_at=NOW)
                con.execute(f"drop table raw_app._copy_{name}_x")

    def build(self, progress: object = None) -> None:
        """Stands in for dbt: incremental and whole tables, a snapshot, the analytics file."""
        self.built += 1
        hmac = "sha256(k.opad || unhex(sha256(k.ipad || encode({}))))"
        person, email = hmac.format("c.author_id::varchar"), hmac.format("lower(u.email)")
        with self.warehouse.writer("a test") as con:
            con.execute(
                f"""
                create schema if not exists staging; create schema if not exists marts;
                create schema if not exists snapshots;
                create table if not exists staging.comments (tenant_id varchar, id varchar, author_id varchar,
                    stamp timestamptz);
                create or replace temp table fresh as select c.tenant_id::varchar as tenant_id, c.id::varchar as id,
                    {person} as author_id, c._airbyte_extracted_at as stamp from raw_app.comments c
                    left join vault.tenant_keys k on k.tenant_id = c.tenant_id::varchar
                    where c._airbyte_extracted_at > coalesce((select max(stamp) from staging.comments), '1970-01-01');
                delete from staging.comments where id in (select id from fresh);
                insert into staging.comments select * from fresh;
                create or replace table marts.usage as select tenant_id, count(*) as comments,
                    count(distinct author_id) as authors from staging.comments group by all;
                create table if not exists snapshots.users (tenant_id varchar, email varchar, valid_from timestamptz);
                insert into snapshots.users select u.tenant_id::varchar, {email}, now() from raw_app.users u
                    left join vault.tenant_keys k on k.tenant_id = u.tenant_id::varchar;
                """  # noqa: S608
            )
            from serving.analytics import write_analytics_file

            write_analytics_file(con, self.settings.analytics_path)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self.warehouse.writer("a test") as con:
            return con.execute(sql, list(values)).fetchall()

    def raw(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every raw row but for the loaders' own columns."""
        found = {}
        with self.warehouse.writer("a test") as con:
            for source in load_contracts().sources:
                for table in load_contracts().raw_tables(source):
                    columns = ", ".join(f"{quote(c.name)}::varchar" for c in table.landed)
                    rows = con.execute(f"select {columns} from {quote(table.schema)}.{quote(table.name)}").fetchall()  # noqa: S608
                    found[table.label] = sorted(rows, key=str)
        return found

    def places_of(self, *values: str) -> list[str]:
        """Files whose bytes hold one of the values, and columns of either database that do when read by SQL."""
        found = [
            str(path.relative_to(self.settings.region_dir))
            for path in sorted(self.settings.region_dir.rglob("*"))
            if path.is_file() and any(value.encode() in path.read_bytes() for value in values)
        ]
        for path in (self.settings.warehouse_path, self.settings.analytics_path):
            with duckdb.connect(str(path), read_only=True) as con:
                for schema, table in con.execute(
                    "select schema_name, table_name from duckdb_tables() where estimated_size > 0 order by all"
                ).fetchall():
                    rows = con.execute(f"select * from {quote(schema)}.{quote(table)}").fetchall()  # noqa: S608
                    text = str([[str(cell) for cell in row] for row in rows]).lower()
                    found += [f"{path.name}: {schema}.{table}" for value in values if value.lower() in text]
        return found

    def copy_to(self, other: Home) -> None:
        shutil.copytree(self.settings.state_dir, other.settings.state_dir, dirs_exist_ok=True)


def home_in(folder: Path) -> Home:
    config = folder / "tailrace.yml"
    config.write_text(CONFIG.format(home=folder / "state"))
    return Home(load_settings(config_path=config, region="us"))


def receipt(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))
