"""What an erasure does inside the warehouse: raw tables by their rules, everything built from them by pseudonym."""

# ruff: noqa: S608 - names are the contracts' and the catalog's, each quoted; values are bound

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import duckdb

from ingestion import forgetting
from pii_policies.erasure import ErasureRule
from pii_policies.keys import UNATTRIBUTED
from warehouse import quote

_OURS = ("tailrace",)


@dataclass(frozen=True, kw_only=True)
class Scrubbed:
    """One table: rows that went, and rows that lost personal values."""

    table: str
    deleted: int
    emptied: int


def columns_of(con: duckdb.DuckDBPyConnection, schema: str, table: str, *, of_type: str | None = None) -> list[str]:
    """A table's columns in order; with ``of_type`` those of that type."""
    rows = con.execute(
        "select column_name from information_schema.columns where table_catalog = current_database() "
        "and table_schema = ? and table_name = ? and data_type = coalesce(?, data_type) order by ordinal_position",
        [schema, table, of_type],
    ).fetchall()
    return [str(name) for (name,) in rows]


def forms(con: duckdb.DuckDBPyConnection, rule: ErasureRule) -> list[str]:
    """The tables that hold rows of a raw table's shape: itself, and copies of it that are still growing."""
    rows = con.execute(
        "select table_name from duckdb_tables() where database_name = current_database() and schema_name = ? "
        "and (table_name = ? or starts_with(table_name, ?)) order by 1",
        [rule.schema, rule.table, f"_copy_{rule.table}_"],
    ).fetchall()
    return [str(name) for (name,) in rows]


def touched_ids(con: duckdb.DuckDBPyConnection, rules: Mapping[str, ErasureRule], ids: Sequence[str]) -> set[str]:
    """Of some ``_airbyte_raw_id`` those of rows that a tombstone touches. Reads raw as it is before ``scrub``."""
    found: set[str] = set()
    for rule in rules.values():
        for name in forms(con, rule):
            found_by = _verdicts(con, rule, name)
            relation = found_by.tested(f"{quote(rule.schema)}.{quote(name)}")
            rows = con.execute(
                f"select _airbyte_raw_id from {relation} as n "
                f"where _airbyte_raw_id in (select unnest(?::varchar[])) and {found_by.touched}",
                [list(ids)],
            ).fetchall()
            found |= {str(raw_id) for (raw_id,) in rows}
    return found


def _verdicts(con: duckdb.DuckDBPyConnection, rule: ErasureRule, name: str) -> forgetting.Verdicts:
    given = columns_of(con, rule.schema, name)
    strange = [c for c in given if c not in rule.classified and not c.startswith(("_airbyte_", "_ab_cdc_"))]
    return forgetting.verdicts(rule, given, unclassified=strange)


def scrub(con: duckdb.DuckDBPyConnection, rule: ErasureRule, name: str, *, receipt: str, at: datetime) -> Scrubbed:
    """Do to the rows of a raw table what landing would do to them: one text decides on both.

    Every row that loses values gets a tombstone by its key, so that it stays so when its source no longer says whose
    it is. Its stamp is new: whatever is built from it is built anew. The caller holds the transaction.
    """
    found = _verdicts(con, rule, name)
    relation = f"{quote(rule.schema)}.{quote(name)}"
    hits = {column: f"_hit_{index}" for index, column in enumerate(found.emptied)}
    flags = [f"{condition} as {hits[column]}" for column, (condition, _) in found.emptied.items()]
    flags += [f"{found.dropped} as _dropped", f"{found.about} as _about"]
    tested = found.tested(relation, "rowid as _row", f"{forgetting.row_hash(rule)} as _hash")
    con.execute(
        f"create or replace temp table _hits as select _row, _hash, {', '.join(flags)} from {tested} as n "
        f"where {found.touched}"
    )
    con.execute(
        f"insert into {forgetting.TOMBSTONES} select _hash, null, ? from _hits where _about and not _dropped "
        f"and _hash not in (select hash from {forgetting.TOMBSTONES})",
        [receipt],
    )
    changes, emptied = [], 0
    for column, (_, rest) in found.emptied.items():
        kept = "null" if rest is None else f"case when n.{quote(column)} is null then null else ({rest}) end"
        changes.append(f"{quote(column)} = case when h.{hits[column]} then {kept} else n.{quote(column)} end")
    if changes:
        holds = " or ".join(f"(h.{hits[c]} and n.{quote(c)} is not null)" for c, (_, r) in found.emptied.items())
        rows = con.execute(
            f"update {relation} as n set {', '.join(changes)}, _airbyte_extracted_at = $at from _hits as h "
            f"where n.rowid = h._row and not h._dropped and ({holds})",
            {"at": at},
        ).fetchall()
        emptied = int(rows[0][0])
    rows = con.execute(f"delete from {relation} where rowid in (select _row from _hits where _dropped)").fetchall()
    con.execute("drop table _hits")
    return Scrubbed(table=f"{rule.schema}.{name}", deleted=int(rows[0][0]), emptied=emptied)


def scrub_notes(con: duckdb.DuckDBPyConnection, identifiers: Iterable[tuple[str, str]]) -> int:
    """Delete what landing noted for itself of the person's records; how many notes."""
    known = con.execute(
        "select 1 from duckdb_tables() where database_name = current_database() "
        "and schema_name = 'tailrace' and table_name = 'met'"
    ).fetchall()
    if not known:
        return 0
    return sum(
        int(con.execute("delete from tailrace.met where source = ? and hash = md5(?)", [kind, value]).fetchall()[0][0])
        for kind, value in identifiers
    )


def pseudonyms(con: duckdb.DuckDBPyConnection, tenant: str, values: Iterable[str]) -> list[str]:
    """What the values became outside of raw: under every version of the tenant's key, and under that of nobody's."""
    known = con.execute(
        "select 1 from duckdb_tables() where database_name = 'vault' and table_name = 'tenant_keys'"
    ).fetchall()
    if not known:
        return []
    rows = con.execute(
        "select distinct sha256(k.opad || unhex(sha256(k.ipad || encode(v.value)))) from vault.tenant_keys as k "
        "cross join (select unnest(?::varchar[]) as value) as v where k.tenant_id in (?, ?) and k.ipad is not null",
        [sorted(set(values)), tenant, UNATTRIBUTED],
    ).fetchall()
    return sorted(str(value) for (value,) in rows)


def built_tables(con: duckdb.DuckDBPyConnection, raw_schemas: Iterable[str]) -> list[tuple[str, str, list[str]]]:
    """Every table that is not landed, with its columns of text and JSON: marts, snapshots, whatever there is."""
    rows = con.execute(
        "select t.schema_name, t.table_name, list(c.column_name order by c.column_index) from duckdb_tables() as t "
        "join duckdb_columns() as c using (database_name, schema_name, table_name) "
        "where t.database_name = current_database() and c.data_type in ('VARCHAR', 'JSON', 'VARCHAR[]') "
        "and t.schema_name not in (select unnest(?::varchar[])) group by all order by all",
        [[*raw_schemas, *_OURS]],
    ).fetchall()
    return [(str(schema), str(table), list(columns)) for schema, table, columns in rows]


def scrub_built(con: duckdb.DuckDBPyConnection, raw_schemas: Iterable[str], values: Sequence[str]) -> list[Scrubbed]:
    """Delete every row outside of raw that holds one of ``values``. The caller holds the transaction.

    The build that follows puts those rows back whose raw rows stand, now nobody's, and counts again what they counted
    in. Where nothing would, they stay away.
    """
    done = []
    with _gone(con, values):
        for schema, table, columns in built_tables(con, raw_schemas):
            holds = " or ".join(_holds(con, schema, table, column) for column in columns)
            rows = con.execute(f"delete from {quote(schema)}.{quote(table)} as n where {holds}").fetchall()
            if rows[0][0]:
                done.append(Scrubbed(table=f"{schema}.{table}", deleted=int(rows[0][0]), emptied=0))
    return done


def count_built(con: duckdb.DuckDBPyConnection, raw_schemas: Iterable[str], values: Sequence[str]) -> dict[str, int]:
    """``schema.table`` → rows outside of raw that hold one of ``values``."""
    found: dict[str, int] = {}
    with _gone(con, values):
        for schema, table, columns in built_tables(con, raw_schemas):
            holds = " or ".join(_holds(con, schema, table, column) for column in columns)
            counted = con.execute(f"select count(*) from {quote(schema)}.{quote(table)} as n where {holds}").fetchall()
            if counted[0][0]:
                found[f"{schema}.{table}"] = int(counted[0][0])
    return found


def _holds(con: duckdb.DuckDBPyConnection, schema: str, table: str, column: str) -> str:
    (kind,) = con.execute(
        "select data_type from information_schema.columns where table_catalog = current_database() "
        "and table_schema = ? and table_name = ? and column_name = ?",
        [schema, table, column],
    ).fetchall()[0]
    name = f"n.{quote(column)}"
    if kind == "VARCHAR":
        return f"list_contains(getvariable('gone'), {name})"
    return f"regexp_matches({name}::varchar, getvariable('gone_pattern'))"


def _named(values: Sequence[str]) -> str:
    """What finds any of ``values`` within a text, as RE2 writes it.

    A number counts only where it stands alone: a record's id of three digits is in every other pseudonym.
    """
    edges = ("(?:^|[^0-9A-Za-z])", "(?:[^0-9A-Za-z]|$)")
    return "|".join(re.escape(v).join(edges) if v.isdecimal() else re.escape(v) for v in values) or "[^\\s\\S]"


@contextmanager
def _gone(con: duckdb.DuckDBPyConnection, values: Sequence[str]) -> Iterator[None]:
    """``values`` at hand for the conditions of ``_holds``."""
    con.execute("set variable gone = ?", [list(values)])
    con.execute("set variable gone_pattern = ?", [_named(values)])
    try:
        yield
    finally:
        con.execute("reset variable gone")
        con.execute("reset variable gone_pattern")


def mentions(con: duckdb.DuckDBPyConnection, values: Sequence[str]) -> dict[str, int]:
    """``schema.table.column`` → rows of the warehouse whose text still holds one of ``values``, anywhere in it.

    After an erasure these are what other people wrote, or ids that a business record goes by.
    """
    listed = con.execute(
        "select schema_name, table_name, list(column_name order by column_index) from duckdb_columns() "
        "join duckdb_tables() using (database_name, schema_name, table_name) where database_name = current_database() "
        "and data_type in ('VARCHAR', 'JSON', 'UUID', 'VARCHAR[]', 'UUID[]') group by all order by all"
    ).fetchall()
    pattern = _named([value.lower() for value in values])
    found: dict[str, int] = {}
    for schema, table, columns in listed:
        counts = ", ".join(f"count(*) filter (regexp_matches(lower({quote(c)}::varchar), $pattern))" for c in columns)
        query = f"select {counts} from {quote(schema)}.{quote(table)}"
        rows = con.execute(query, {"pattern": pattern}).fetchall()
        found |= {f"{schema}.{table}.{c}": int(n) for c, n in zip(columns, rows[0], strict=True) if n}
    return found
