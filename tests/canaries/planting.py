"""Plants a value of its own in every personal column that a contract names, in the sources where they take it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from psycopg import sql

from pii_policies import Column, Contracts, Table
from tests.canaries.search import MARK, NETWORK, UUID_MARK
from warehouse import quote

Place = tuple[str, str]  # table's label, column
DOCUMENTS = 8  # of each kind of the APIs; some belong to another region and do not land
_STRIPE_KINDS = {"customers": "customer", "products": "product", "prices": "price", "coupons": "coupon"} | {
    "discounts": "discount",
    "subscriptions": "subscription",
    "invoices": "invoice",
    "charges": "charge",
    "refunds": "refund",
    "events": "event",
    "balance_transactions": "balance_transaction",
    "credit_notes": "credit_note",
    "disputes": "dispute",
    "payment_intents": "payment_intent",
    "payouts": "payout",
    "promotion_codes": "promotion_code",
    "subscription_schedules": "subscription_schedule",
    "tax_rates": "tax_rate",
}


@dataclass
class Canaries:
    """What was planted where: place -> values."""

    planted: dict[Place, list[str]] = field(default_factory=dict)

    def value(self, table: Table, column: Column) -> str:
        """A new value for a column, as text, of its type and about of its kind."""
        number = sum(map(len, self.planted.values())) + 1
        word = f"{MARK}{number:05}"
        if column.type == "UUID":
            value = f"{UUID_MARK}-8000-{number:012x}"
        elif column.type == "DATE":
            value = f"18{number % 60 + 10}-03-07"
        elif column.data_class.name == "network_address":
            value = f"{NETWORK}{number // 250}.{number % 250 + 1}"
        elif column.data_class.name == "email":
            value = f"{word}@example.com"
        elif column.data_class.name in ("free_text", "label"):
            value = f"For {word}, who asked & waits"
        else:
            value = word.capitalize()
        self.planted.setdefault((table.label, column.name), []).append(value)
        return value

    @property
    def searched(self) -> list[str]:
        """What to look for: the mark, and each value that does not carry it."""
        values = [value for values in self.planted.values() for value in values]
        return [MARK, UUID_MARK, *(value for value in values if MARK not in value.lower() and UUID_MARK not in value)]


def personal(table: Table) -> list[Column]:
    return [column for column in table.columns if column.derived is None and column.data_class.treatment != "keep"]


def in_product(canaries: Canaries, contracts: Contracts, connection: psycopg.Connection[Any]) -> None:
    """A row of each table of the product, schema ``app``, with every personal column planted."""
    (tenant,) = connection.execute("select tenant_id from app.users group by 1 order by count(*) desc").fetchone() or ()
    users = contracts.table("app", "users")
    everyone = [column for table in contracts.raw_tables("app") for column in personal(table) if column.type == "UUID"]
    people = [_new_user(canaries, users, connection, tenant) for _ in everyone]
    for table in contracts.raw_tables("app"):
        columns = personal(table)
        if not columns or table.name == "users":
            continue
        values = {}
        for column in columns:
            if column.type == "UUID":
                values[column.name] = people.pop()
                canaries.planted.setdefault((table.label, column.name), []).append(values[column.name])
            elif column.type == "JSON":
                values[column.name] = json.dumps({"note": canaries.value(table, column)})
            else:
                values[column.name] = canaries.value(table, column)
        owner = "id" if table.name == "tenants" else "tenant_id"
        target = sql.Identifier("app", table.name)
        statement = sql.SQL("update {} set {} where ctid = (select max(ctid) from {} where {} = %s)").format(
            target,
            sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values),
            target,
            sql.Identifier(owner),
        )
        done = connection.execute(statement, [*values.values(), tenant])
        assert done.rowcount == 1, table.label


def _new_user(canaries: Canaries, users: Table, connection: psycopg.Connection[Any], tenant: Any) -> str:
    values = {column.name: canaries.value(users, column) for column in personal(users)}
    names = sql.SQL(", ").join(map(sql.Identifier, values))
    connection.execute(
        sql.SQL(
            "insert into app.users (tenant_id, role, status, locale, created_at, updated_at, {}) "
            "select tenant_id, role, status, locale, created_at, updated_at, {} from app.users "
            "where tenant_id = %s limit 1"
        ).format(names, sql.SQL(", ").join(sql.SQL("%s") for _ in values)),
        [*values.values(), tenant],
    )
    return values["id"]


def in_stripe(canaries: Canaries, contracts: Contracts, path: Path) -> None:
    """Documents of a sandbox that is not running."""
    with sqlite3.connect(path) as connection:
        for table in contracts.raw_tables("stripe"):
            query = "select id, body from objects where kind = ? order by seq desc limit ?"
            for key, body in connection.execute(query, [_STRIPE_KINDS.get(table.name), DOCUMENTS]).fetchall():
                document = json.loads(body)
                for column in personal(table):
                    _plant(canaries, table, column, document, column.name)
                connection.execute("update objects set body = ? where id = ?", [json.dumps(document), key])
    connection.close()


def in_hubspot(canaries: Canaries, contracts: Contracts, path: Path) -> None:
    def name_of(column: Column, document: dict[str, Any]) -> str | None:
        return column.name.removeprefix("properties_") if column.name.startswith("properties_") else None

    live = "select id, properties from records where kind = ? and archived is null order by id limit ?"
    _in_crm(canaries, contracts, "hubspot", path, live, "properties", name_of)


def in_salesforce(canaries: Canaries, contracts: Contracts, path: Path) -> None:
    def name_of(column: Column, document: dict[str, Any]) -> str | None:
        takes = column.name in document and column.data_class.name != "person_identifier"
        return column.name if takes else None

    live = "select id, body from records where object = ? and deleted = 0 order by id limit ?"
    _in_crm(canaries, contracts, "salesforce", path, live, "body", name_of)


def _in_crm(
    canaries: Canaries,
    contracts: Contracts,
    source: str,
    path: Path,
    live: str,
    body: str,
    name_of: Callable[[Column, dict[str, Any]], str | None],
) -> None:
    """Into live records of a CRM that does not run: ``name_of`` says where a column stands in one, if it does."""
    with sqlite3.connect(path) as connection:
        for table in contracts.raw_tables(source):
            for key, text in connection.execute(live, [table.name, DOCUMENTS]).fetchall():
                document = json.loads(text)
                for column in personal(table):
                    name = name_of(column, document)
                    if name is not None:
                        _plant(canaries, table, column, document, name)
                changed = [json.dumps(document), key]
                connection.execute(f"update records set {body} = ? where id = ?", changed)  # noqa: S608
    connection.close()


def _plant(canaries: Canaries, table: Table, column: Column, document: dict[str, Any], name: str) -> None:
    value = canaries.value(table, column)
    if column.type != "JSON":
        document[name] = value
    elif isinstance(document.get(name), dict):
        inner = document[name].get("object") if isinstance(document[name].get("object"), dict) else document[name]
        inner["note"] = value
    else:
        document[name] = {"note": value}


def landed(connection: duckdb.DuckDBPyConnection, table: Table, column: Column) -> bool:
    """Whether a planted value of the column stands in raw."""
    forms = [f"%{each}%" for each in (MARK, UUID_MARK, NETWORK)] + ["18__-03-07"]
    test = " or ".join("lower(cast({0} as varchar)) like ?" for _ in forms).replace("{0}", quote(column.name))
    query = f"select count(*) from {quote(table.schema)}.{quote(table.name)} where {test}"  # noqa: S608
    return bool(connection.execute(query, forms).fetchall()[0][0])


def in_raw(canaries: Canaries, contracts: Contracts, connection: duckdb.DuckDBPyConnection) -> list[Place]:
    """What no source would take: into a raw row that is there, as if it had landed. Returns where no row was."""
    missing = []
    for table in contracts.tables():
        if table.derived_from is not None:
            continue
        for column in personal(table):
            if not column.lands or landed(connection, table, column):
                continue
            value = canaries.value(table, column)
            name = f"{quote(table.schema)}.{quote(table.name)}"
            changed = connection.execute(
                f"update {name} set {quote(column.name)} = ?, _airbyte_extracted_at = now() "  # noqa: S608
                f"where rowid = (select min(rowid) from {name}) returning 1",
                [json.dumps({"note": value}) if column.type == "JSON" else value],
            ).fetchall()
            if not changed:
                missing.append((table.label, column.name))
                canaries.planted[(table.label, column.name)].remove(value)
    return missing
