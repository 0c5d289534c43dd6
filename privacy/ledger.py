"""Audit rows of every exercised right, and legal holds. Persons stand in both by keyed hash only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import duckdb

from ingestion import forgetting
from pii_policies.treatments import normalise_email

_TABLES = """
create schema if not exists tailrace;
create table if not exists tailrace.privacy_audit (
    done_at timestamptz not null, actor varchar not null, action varchar not null, tenant_id varchar,
    subject_hash varchar, outcome varchar not null, receipt varchar, detail varchar
);
create table if not exists tailrace.legal_holds (
    id varchar primary key, tenant_id varchar not null, hash varchar, reason varchar not null,
    held_at timestamptz not null
)
"""


@dataclass(frozen=True, kw_only=True)
class Hold:
    id: str
    reason: str


def prepare(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(_TABLES)


def subject_hash(con: duckdb.DuckDBPyConnection, tenant: str, subject: str) -> str:
    """How receipts and audit rows name a subject. ``forgetting.read_key`` has been called on ``con``."""
    expression = forgetting.hashed("subject", "$tenant || chr(31) || $subject")
    given = {"tenant": tenant, "subject": normalise_email(subject)}
    return str(con.execute(f"select {expression}", given).fetchall()[0][0])


def record(
    con: duckdb.DuckDBPyConnection,
    *,
    actor: str,
    action: str,
    outcome: str,
    tenant: str | None = None,
    subject: str | None = None,
    receipt: str | None = None,
    detail: str | None = None,
) -> None:
    """One audit row. ``subject`` is a keyed hash, ``detail`` holds no personal value."""
    prepare(con)
    con.execute(
        "insert into tailrace.privacy_audit values (now(), ?, ?, ?, ?, ?, ?, ?)",
        [actor, action, tenant, subject, outcome, receipt, detail],
    )


def hold(
    con: duckdb.DuckDBPyConnection, *, id: str, tenant: str, identifiers: Iterable[tuple[str, str]] | None, reason: str
) -> None:
    """Forbid erasure of a person by every identifier, or with None of the whole tenant."""
    prepare(con)
    if identifiers is None:
        con.execute("insert into tailrace.legal_holds values (?, ?, null, ?, now())", [id, tenant, reason])
        return
    for number, (kind, value) in enumerate(identifiers):
        con.execute(
            f"insert into tailrace.legal_holds values (?, ?, {forgetting.hashed(kind, '?')}, ?, now())",  # noqa: S608
            [f"{id}.{number}", tenant, value, reason],
        )


def release(con: duckdb.DuckDBPyConnection, id: str) -> int:
    """Lift a hold; how many lines it had."""
    prepare(con)
    rows = con.execute(
        "delete from tailrace.legal_holds where id = ? or starts_with(id, ? || '.')", [id, id]
    ).fetchall()
    return int(rows[0][0])


def held(con: duckdb.DuckDBPyConnection, *, tenant: str, identifiers: Iterable[tuple[str, str]]) -> Hold | None:
    """The hold that forbids erasing this person, or None."""
    prepare(con)
    rows = con.execute(
        "select id, reason from tailrace.legal_holds where tenant_id = ? and hash is null order by held_at", [tenant]
    ).fetchall()
    for kind, value in identifiers:
        rows += con.execute(
            "select id, reason from tailrace.legal_holds where tenant_id = ? "  # noqa: S608 - an expression of ours
            f"and hash = {forgetting.hashed(kind, '?')} order by held_at",
            [tenant, value],
        ).fetchall()
    return Hold(id=str(rows[0][0]).partition(".")[0], reason=str(rows[0][1])) if rows else None
