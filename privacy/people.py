"""Who a subject is: from one identifier to all by which the sources know that person, within one tenant."""

# ruff: noqa: S608 - names are the contracts' and the catalog's, each quoted; values are bound

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from pii_policies.erasure import EMAIL, ErasureRule
from pii_policies.keys import UNATTRIBUTED
from pii_policies.treatments import normalise_email
from settings import TailraceError


@dataclass(frozen=True, kw_only=True)
class Person:
    """A person of one tenant: identifiers as (kind, normalised value), and how many records each table has."""

    tenant: str
    identifiers: tuple[tuple[str, str], ...]
    records: Mapping[str, int]


def landed(con: duckdb.DuckDBPyConnection) -> set[str]:
    """``schema.table`` of every base table of the warehouse."""
    rows = con.execute(
        "select schema_name || '.' || table_name from duckdb_tables() where database_name = current_database()"
    ).fetchall()
    return {str(name) for (name,) in rows}


def find(con: duckdb.DuckDBPyConnection, rules: Mapping[str, ErasureRule], *, tenant: str, subject: str) -> Person:
    """The person whom ``subject``, any identifier, names in ``tenant``; no records when nothing landed knows them.

    Goes from record to record for as long as one leads to another: a user's address to the customer that is billed at
    it, to the CRM's contact. A record whose tenant is not resolved is the tenant's when an identifier fits.
    """
    present = landed(con)
    subjects = [rule for rule in rules.values() if rule.is_subject and rule.label in present]
    kinds = {each.kind for rule in subjects for each in rule.identifiers if each.subject} | {EMAIL}
    con.execute("create or replace temp table _person (kind varchar, value varchar, found boolean)")
    con.executemany(
        "insert into _person values (?, ?, false)",
        [[kind, normalise_email(subject) if kind == EMAIL else _as_id(kind, subject)] for kind in sorted(kinds)],
    )
    while _grow(con, subjects, tenant):
        pass
    identifiers = con.execute("select distinct kind, value from _person where found order by all").fetchall()
    if "@" in subject and (EMAIL, normalise_email(subject)) not in identifiers:
        identifiers.append((EMAIL, normalise_email(subject)))  # rows may bear an address that no record has
    records = {}
    for rule in subjects:
        (count,) = con.execute(f"select count(*) from {_matching(rule)}", {"tenant": tenant}).fetchall()[0]
        if count:
            records[rule.label] = int(count)
    con.execute("drop table _person")
    return Person(tenant=tenant, identifiers=tuple((str(k), str(v)) for k, v in identifiers), records=records)


def unknown(what: str) -> TailraceError:
    """The error of a request whose subject no record names."""
    return TailraceError(
        f"{what}: nobody is known by that identifier in this tenant; check it, or give another one of theirs"
    )


def _as_id(kind: str, subject: str) -> str:
    return subject.strip().lower() if kind == "app" else subject.strip()


def _matching(rule: ErasureRule) -> str:
    known = " or ".join(
        f"({each.sql}) in (select value from _person where kind = '{each.kind}')"
        for each in rule.identifiers
        if each.subject
    )
    return f'"{rule.schema}"."{rule.table}" as n where ({known}) and {whose(rule)}'


def whose(rule: ErasureRule) -> str:
    """The condition that a row of ``n`` is the tenant ``$tenant``'s, or nobody's so far."""
    return f"coalesce({rule.tenant}, $tenant) = $tenant" if rule.tenant else "$tenant is not null"


def _grow(con: duckdb.DuckDBPyConnection, subjects: list[ErasureRule], tenant: str) -> bool:
    """Add the identifiers of every record that one of the known ones names; whether that were any."""
    before = con.execute("select count(*) from (select distinct kind, value from _person where found)").fetchall()
    for rule in subjects:
        for each in rule.identifiers:
            if each.subject:
                con.execute(
                    f"insert into _person select distinct '{each.kind}', {each.sql}, true from {_matching(rule)} "
                    f"and ({each.sql}) <> ''",
                    {"tenant": tenant},
                )
    after = con.execute("select count(*) from (select distinct kind, value from _person where found)").fetchall()
    return before != after


def check_tenant(con: duckdb.DuckDBPyConnection, tenant: str) -> str:
    """The tenant's id as raw spells it. Raises TailraceError when the directory does not have it."""
    if tenant == UNATTRIBUTED:
        return tenant
    known = (
        "raw_app.tenants" in landed(con)
        and con.execute(
            "select 1 from raw_app.tenants where lower(id::varchar) = lower(?) or slug = ?", [tenant, tenant]
        ).fetchall()
    )
    if not known:
        raise TailraceError(f"tenant {tenant}: not in raw_app.tenants; give its id or slug as the product has it")
    return str(
        con.execute(
            "select lower(id::varchar) from raw_app.tenants where lower(id::varchar) = lower(?) or slug = ?",
            [tenant, tenant],
        ).fetchall()[0][0]
    )
