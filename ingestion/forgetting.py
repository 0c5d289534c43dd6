"""Persons who were erased do not come back: every way into raw passes rows through here.

A tombstone is a keyed hash (HMAC-SHA-256 under a random key of the deployment, in the vault) of an identifier, or of
the key of a row that lost its personal values. It names nobody: without the key it cannot even be tried with a list of
names. Where there are no tombstones, landing pays one look at the catalog.

What a rule does to a row called ``n``: it is dropped when it is the person's record, or its key names the person; its
personal values are emptied when they are about the person; an identifier that names the person is emptied. A row once
emptied stays so, whatever its source makes of it later.
"""

# ruff: noqa: S608 - names are the contracts' and the catalog's, each quoted; values are bound

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import duckdb

from pii_policies.erasure import EMAIL, ErasureRule, Identifier
from pii_policies.treatments import pads
from warehouse import quote

TOMBSTONES = "tailrace.tombstones"
GONE_TENANTS = "tailrace.gone_tenants"
_TABLE = f"""
create schema if not exists tailrace;
create table if not exists {TOMBSTONES} (hash varchar not null, tenant_id varchar, receipt varchar not null);
create table if not exists {GONE_TENANTS} (tenant_id varchar primary key, receipt varchar not null)
"""
_KEY_TABLE = "create table if not exists vault.tombstone_key (ipad blob not null, opad blob not null)"
_KEY_BYTES = 32


def prepare(con: duckdb.DuckDBPyConnection) -> None:
    """Make the key, once, and the table. ``con`` has no open transaction: DuckDB writes one database a transaction."""
    con.execute(_KEY_TABLE)
    if not con.execute("select 1 from vault.tombstone_key").fetchall():
        con.execute("insert into vault.tombstone_key values (?, ?)", [*pads(secrets.token_bytes(_KEY_BYTES))])
    con.execute(_TABLE)
    read_key(con)


def read_key(con: duckdb.DuckDBPyConnection) -> None:
    """Let ``hashed`` work on this connection. The key is a variable of it, never text of a query."""
    for pad in ("ipad", "opad"):
        con.execute(f"set variable tombstone_{pad} = (select {pad} from vault.tombstone_key)")


def active(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether anybody is to be forgotten at all; if so the key is read for this connection."""
    known = con.execute(
        "select 1 from information_schema.tables where table_catalog = current_database() "
        "and table_schema = 'tailrace' and table_name = 'tombstones'"
    ).fetchall()
    if not known:
        return False
    some = f"select 1 from {TOMBSTONES} union all select 1 from {GONE_TENANTS} limit 1"
    if not con.execute(some).fetchall():
        return False
    read_key(con)
    return True


def hashed(kind: str, expression: str) -> str:
    """The tombstone of an identifier, as an expression: 64 hex digits, null of null."""
    message = f"encode('{kind}:' || {expression})"
    return f"sha256(getvariable('tombstone_opad') || unhex(sha256(getvariable('tombstone_ipad') || {message})))"


def row_hash(rule: ErasureRule) -> str:
    """The tombstone of a row of ``n``, by its key."""
    return hashed(f"row:{rule.label}", f"concat_ws(chr(31), {', '.join(rule.key_sql)})")


@dataclass(frozen=True)
class Verdicts:
    """What becomes of a row. ``tests`` has name → condition over ``n``; all else is said in these names.

    ``emptied`` has column → (condition, what stays of it or None).
    """

    tests: dict[str, str]
    dropped: str
    about: str
    emptied: dict[str, tuple[str, str | None]]

    @property
    def touched(self) -> str:
        return _any(list(self.tests))

    def tested(self, relation: str, *more: str) -> str:
        """The rows of ``relation`` with the tests as columns, and ``more``, as a relation."""
        tests = [f"{condition} as {name}" for name, condition in self.tests.items()]
        return f"(select {', '.join(['n.*', *more, *tests])} from {relation} as n)"


def verdicts(
    rule: ErasureRule, given: Collection[str], *, unclassified: Collection[str] = (), among: str = TOMBSTONES
) -> Verdicts:
    """What a rule makes of rows that have the columns ``given``.

    ``unclassified`` are columns of the raw table that no contract knows; they count as personal. ``among`` are the
    tombstones to look for; those of a single person show what is theirs.
    """
    tests: dict[str, str] = {}
    dropped, about = [], []
    named: dict[str, str] = {}
    if among == TOMBSTONES:
        tests |= _of_a_gone_tenant(rule, given)
        dropped += list(tests)
    if set(rule.key) <= set(given):
        tests["_emptied_before"] = f"{row_hash(rule)} in (select hash from {among})"
        about.append("_emptied_before")
    for number, each in enumerate(rule.identifiers):
        if each.column not in given:
            continue
        test = f"_names_{number}"
        tests[test] = _matches(rule, each, given, among)
        if each.keyed or (each.subject and rule.erased_whole):
            dropped.append(test)
            continue
        if each.about:
            about.append(test)
        if each.whole:
            named[each.column] = test
    emptied = {each.column: (_any(about), each.rest) for each in rule.emptied if each.column in given}
    emptied |= {column: (_any(about), None) for column in unclassified if column in given}
    for column, test in named.items():
        emptied[column] = (_any([test, *about] if column in emptied else [test]), None)
    return Verdicts(tests=tests, dropped=_any(dropped), about=_any(about), emptied=emptied)


def _any(tests: Sequence[str]) -> str:
    return f"coalesce({' or '.join(tests)}, false)" if tests else "false"


def gone_hash(label: str, key: str) -> str:
    """The tombstone of a row that went with its tenant: what refers to it has no other way to tell whose it was."""
    return hashed(f"gone:{label}", key)


def _of_a_gone_tenant(rule: ErasureRule, given: Collection[str]) -> dict[str, str]:
    tests = {}
    if rule.tenant is not None and set(rule.tenant_columns) <= set(given):
        tests["_tenant_gone"] = f"{rule.tenant} in (select tenant_id from {GONE_TENANTS})"
    for number, (column, label, key) in enumerate(rule.owners):
        if column in given:
            tests[f"_owner_gone_{number}"] = f"{gone_hash(label, key)} in (select hash from {TOMBSTONES})"
    return tests


def _matches(rule: ErasureRule, identifier: Identifier, given: Collection[str], among: str) -> str:
    """The identifier is a tombstone's. Unresolved, a row's tenant could be the tombstone's: then it counts."""
    found = hashed(identifier.kind, identifier.sql)
    anywhere = f"{found} in (select hash from {among})"
    if rule.tenant is None or not (rule.own_tenant or identifier.kind == EMAIL):
        return anywhere
    if not set(rule.tenant_columns) <= set(given):
        return anywhere
    scoped = f"({found}, {rule.tenant}) in (select (hash, tenant_id) from {among} where tenant_id is not null)"
    return f"(coalesce({scoped}, false) or ({rule.tenant} is null and {anywhere}))"


def screened(
    rule: ErasureRule, relation: str, given: Collection[str], *, unclassified: Collection[str] = (), flags: str = ""
) -> str:
    """The relation without rows and values of persons who are forgotten, as a subquery; all other columns stand.

    ``flags`` begins the names of columns that say that another is not given: an emptied value is given, as empty.
    """
    found = verdicts(rule, given, unclassified=unclassified)
    if not found.tests:
        return relation
    replaced = []
    for column, (condition, rest) in found.emptied.items():
        name = quote(column)
        if rest is None:
            replaced.append(f"case when {condition} then null else n.{name} end as {name}")
        else:
            value = f"case when n.{name} is null then null else ({rest})::varchar end"
            replaced.append(f"case when {condition} then {value} else n.{name}::varchar end as {name}")
        if flags and flags + column in given:
            flag = quote(flags + column)
            replaced.append(f"case when {condition} then false else n.{flag} end as {flag}")
    names = ", ".join(found.tests)
    stars = f"n.* exclude ({names}) replace ({', '.join(replaced)})" if replaced else f"n.* exclude ({names})"
    return f"(select {stars} from {found.tested(relation)} as n where not {found.dropped})"
