"""Landing: Arrow batches become the current rows of raw tables, the same way for every source.

A raw table holds the source's columns plus Airbyte's: whoever landed it, dbt reads the same shape. A row that the
source deleted stays, marked in ``_ab_cdc_deleted_at``, without its personal values. The caller holds the transaction,
so that the rows commit together with the position that covers them.
"""

# ruff: noqa: S608 - identifiers are the contracts' and the catalog's, each quoted; values are bound or escaped

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace as replaced
from datetime import datetime

import duckdb
import pyarrow as pa

from ingestion import forgetting, redacting
from pii_policies import Contracts, Table, deeper, load_contracts
from pii_policies.erasure import ErasureRule, erasure_rule
from settings import Redaction, TailraceError
from warehouse import DuckDBWarehouse, quote

META: tuple[tuple[str, str], ...] = (
    ("_airbyte_raw_id", "VARCHAR"),
    ("_airbyte_extracted_at", "TIMESTAMP WITH TIME ZONE"),
    ("_airbyte_meta", "JSON"),
    ("_airbyte_generation_id", "BIGINT"),
    ("_ab_cdc_lsn", "BIGINT"),
    ("_ab_cdc_updated_at", "TIMESTAMP WITH TIME ZONE"),
    ("_ab_cdc_deleted_at", "TIMESTAMP WITH TIME ZONE"),
)
UNCHANGED = "_unchanged_"
_INTEGERS = frozenset({"SMALLINT", "INTEGER", "BIGINT"})
MISFITS = (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException)
"""What DuckDB raises for a value that does not fit its column."""
_ALIASES = {
    "TEXT": "VARCHAR",
    "STRING": "VARCHAR",
    "INT": "INTEGER",
    "INT2": "SMALLINT",
    "DOUBLE PRECISION": "DOUBLE",
    "INT4": "INTEGER",
    "INT8": "BIGINT",
    "LONG": "BIGINT",
    "BOOL": "BOOLEAN",
    "REAL": "FLOAT",
    "NUMERIC": "DECIMAL",
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
}


@dataclass(frozen=True)
class RawColumn:
    """One source column and the DuckDB type it lands in."""

    name: str
    type: str

    @property
    def duck_type(self) -> str:
        """The type as DuckDB itself spells it, e.g. ``DECIMAL(12,2)``."""
        kind = self.type.strip().upper()
        element, brackets, _ = kind.partition("[]")
        head, paren, tail = element.partition("(")
        return _ALIASES.get(head.strip(), head.strip()) + (paren + tail).replace(" ", "") + brackets


@dataclass(frozen=True)
class RawTable:
    """A raw table as its contract tells: what lands, by which key, and which columns hold personal data."""

    schema: str
    name: str
    columns: tuple[RawColumn, ...]
    key: tuple[str, ...]
    personal: frozenset[str]
    excluded: frozenset[str] = frozenset()
    """Columns of the contract that never land."""
    erasure: ErasureRule | None = None
    """Whose its rows are, so that persons who were erased do not come back."""
    redacted: frozenset[str] = frozenset()
    """Texts that pass the deeper redaction before they land, in a warehouse that was prepared for it."""

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        return f"{quote(self.schema)}.{quote(self.name)}"

    @property
    def values(self) -> tuple[RawColumn, ...]:
        """The columns beside the key."""
        return tuple(column for column in self.columns if column.name not in self.key)

    @property
    def wiped(self) -> frozenset[str]:
        """The columns that a deleted row loses: all personal ones but the key, by which the row is known."""
        return self.personal - frozenset(self.key)


def raw_table(contract: Table) -> RawTable:
    """The raw table of a contract: the columns that land, and those of them that a deleted row loses."""
    return RawTable(
        schema=contract.schema,
        name=contract.name,
        columns=tuple(RawColumn(column.name, column.type) for column in contract.landed),
        key=contract.key,
        personal=contract.personal,
        excluded=frozenset(c.name for c in contract.columns if c.derived is None and not c.data_class.lands),
        erasure=erasure_rule(load_contracts(), contract),
    )


def landed_tables(
    contracts: Contracts, source: str, *, warehouse: DuckDBWarehouse, redaction: Redaction | None
) -> list[RawTable]:
    """The raw tables of a source, as this deployment lands them.

    Raises TailraceError where texts are to be redacted and cannot be.
    """
    tables = [raw_table(table) for table in contracts.raw_tables(source)]
    if redaction is None:
        return tables
    deeper.require(redaction)
    texts = [redacting.texts(contracts, table) for table in contracts.raw_tables(source)]
    if any(texts):
        redacting.prepare(warehouse, redaction)
    return [replaced(table, redacted=columns) for table, columns in zip(tables, texts, strict=True)]


@dataclass
class Landed:
    """What one call landed: rows written, rows marked as deleted, bytes of Arrow data read."""

    upserted: int = 0
    deleted: int = 0
    truncated: bool = False
    bytes: int = 0

    def __iadd__(self, other: Landed) -> Landed:
        self.upserted += other.upserted
        self.deleted += other.deleted
        self.truncated |= other.truncated
        self.bytes += other.bytes
        return self


def present_columns(con: duckdb.DuckDBPyConnection, table: RawTable) -> dict[str, str]:
    """Column → type of the raw table as it stands; empty when there is none."""
    rows = con.execute(
        "select column_name, data_type from information_schema.columns "
        "where table_catalog = current_database() and table_schema = ? and table_name = ? order by ordinal_position",
        [table.schema, table.name],
    ).fetchall()
    return {str(name): str(kind) for name, kind in rows}


def ensure_table(con: duckdb.DuckDBPyConnection, table: RawTable, *, retype: bool = False) -> None:
    """Create the raw table if it is missing, and add the columns it lacks.

    A column of another type than the contract's raises TailraceError, unless the caller copies its values again
    (``retype``): then it is altered, and values that do not convert are empty until they are copied.
    """
    wanted = [(column.name, column.duck_type) for column in table.columns] + list(META)
    con.execute(f"create schema if not exists {quote(table.schema)}")
    con.execute(f"create table if not exists {table.sql} ({', '.join(f'{quote(n)} {t}' for n, t in wanted)})")
    present = present_columns(con, table)
    for name, kind in wanted:
        if name not in present:
            con.execute(f"alter table {table.sql} add column {quote(name)} {kind}")
        elif present[name] != kind:
            if not retype:
                raise TailraceError(
                    f"{table.label}.{name} is {present[name]} in the warehouse and {kind} in its contract; "
                    "restore the contract's type, or drop the raw table and its position to land it anew"
                )
            value = f"try_cast({quote(name)} as {kind})"
            con.execute(f"alter table {table.sql} alter column {quote(name)} type {kind} using {value}")


def upsert(
    con: duckdb.DuckDBPyConnection,
    table: RawTable,
    rows: pa.Table,
    *,
    extracted_at: datetime,
    generation: int = 0,
) -> Landed:
    """Write ``rows``, at most one a key, over what the table holds. Idempotent; the caller holds the transaction.

    Beside the table's own columns (all of the key; a column left out keeps its value) ``rows`` may hold
    ``_deleted`` bool, the source deleted this row: values it does not give are kept, personal ones are wiped;
    ``_origin`` string, where the row lives in the source: a delete from elsewhere than the row's origin is void;
    ``_ab_cdc_lsn`` int64 and ``_ab_cdc_updated_at`` timestamp; ``_unchanged_<column>`` bool, keep what the table has.
    Raises TailraceError, without the value, when a value does not fit its column.
    """
    if rows.num_rows == 0:
        return Landed()
    with registered(con, table, {"_incoming": rows}):
        incoming = screen(con, table, "_incoming", rows.column_names)
        landed = _merge(con, table, incoming, rows.column_names, extracted_at=extracted_at, generation=generation)
    landed.bytes = rows.nbytes
    return landed


def screen(con: duckdb.DuckDBPyConnection, table: RawTable, relation: str, given: Collection[str]) -> str:
    """The relation as it may land: texts redacted that are to be, and without what ``forgetting`` keeps out of raw.

    Itself where no text is to be redacted and nobody to be forgotten.
    """
    relation = redacting.redacted(relation, table.redacted & frozenset(given))
    rule = table.erasure
    if rule is None or not (rule.concerns_people or rule.tenant) or not forgetting.active(con):
        return relation
    strange = [column.name for column in table.columns if column.name not in rule.classified]
    return forgetting.screened(rule, relation, given, unclassified=strange, flags=UNCHANGED)


def _merge(
    con: duckdb.DuckDBPyConnection,
    table: RawTable,
    relation: str,
    given: Collection[str],
    *,
    extracted_at: datetime,
    generation: int,
) -> Landed:
    names = {column.name for column in table.columns}
    missing = [name for name in table.key if name not in given]
    if missing or not table.key:
        raise TailraceError(
            f"{table.label}: rows without their key {', '.join(missing)}; declare a key in the contract"
        )
    keeps = "_deleted" in given or bool(names - set(given)) or any(name.startswith(UNCHANGED) for name in given)
    deleted = 'n."_deleted"' if "_deleted" in given else "false"
    at = 'n."_ab_cdc_updated_at"' if "_ab_cdc_updated_at" in given else "$extracted_at"
    selected = [f"{_value(table, column, given, deleted)} as {quote(column.name)}" for column in table.columns]
    selected += [
        'uuid()::varchar as "_airbyte_raw_id"',
        '$extracted_at::timestamptz as "_airbyte_extracted_at"',
        f'{_origin(given)} as "_airbyte_meta"',
        f'{int(generation)}::bigint as "_airbyte_generation_id"',
        f'{"n._ab_cdc_lsn" if "_ab_cdc_lsn" in given else "null"}::bigint as "_ab_cdc_lsn"',
        f'{at}::timestamptz as "_ab_cdc_updated_at"',
        f'case when {deleted} then {at}::timestamptz end as "_ab_cdc_deleted_at"',
    ]
    join = f"left join {table.sql} as o on {_same_key(table, 'o', 'n')}" if keeps else ""
    void = (
        f"where not ({deleted} and o.rowid is not null "
        "and coalesce(o._airbyte_meta->>'origin', '') <> coalesce(n._origin, ''))"
        if keeps and "_origin" in given
        else ""
    )
    con.execute(
        f"create or replace temp table _merged as select {', '.join(selected)} from {relation} as n {join} {void}",
        {"extracted_at": extracted_at},
    )
    con.execute(f"delete from {table.sql} as o using _merged as n where {_same_key(table, 'o', 'n')}")
    con.execute(f"insert into {table.sql} by name select * from _merged")
    counted = con.execute(
        "select count(*) - count(_ab_cdc_deleted_at), count(_ab_cdc_deleted_at) from _merged"
    ).fetchall()
    con.execute("drop table _merged")
    return Landed(upserted=int(counted[0][0]), deleted=int(counted[0][1]))


def append(
    con: duckdb.DuckDBPyConnection,
    table: RawTable,
    source: str,
    *,
    into: str,
    values: Mapping[str, str],
    meta: str,
    ids: str,
    extracted_at: datetime,
    lsn: int,
) -> int:
    """Add the rows of the relation ``source`` to ``into``, a table with a raw table's columns; how many they are.

    Nobody looks for their keys. ``values`` has a DuckDB expression for every column, ``meta`` one that tells where the
    row lives in the source, best a constant. ``ids`` begins the rows' ids and is used once: a random id a row would
    cost as much as a column.
    """
    columns = [column.name for column in table.columns]
    names = [quote(name) for name in columns] + [name for name, _ in META]
    read = ", ".join(f"({values[c.name]})::{c.duck_type} as {quote(c.name)}" for c in table.columns)
    typed = f"(select {read}, {meta} as _meta from {source})"
    screened = screen(con, table, typed, columns)
    if screened == typed:  # nobody is to be forgotten: the insert casts, which costs less than a subquery
        selected = [values[name] for name in columns]
    else:
        source, selected, meta = screened, [quote(name) for name in columns], "_meta"
    selected += [
        "$ids || row_number() over ()",
        "$at::timestamptz",
        meta,
        "0",
        "$lsn::bigint",
        "$at::timestamptz",
        "null",
    ]
    row = con.execute(
        f"insert into {into} ({', '.join(names)}) select {', '.join(selected)} from {source}",
        {"ids": ids, "at": extracted_at, "lsn": lsn},
    ).fetchall()
    return int(row[0][0])


def drop_superseded(
    con: duckdb.DuckDBPyConnection, table: RawTable, *, copy: str, origins: Collection[str] | None = None
) -> None:
    """Of several rows of one key in a copy, or in what it has of ``origins``, keep the one that was seen last."""
    key = ", ".join(quote(name) for name in table.key)
    if not key or not con.execute(f"select 1 from {copy} group by {key} having count(*) > 1 limit 1").fetchall():
        return
    own = "" if origins is None else "where _airbyte_meta->>'origin' in (select unnest($origins::varchar[])) "
    con.execute(
        f"delete from {copy} where rowid in (select rowid from {copy} {own}qualify row_number() over "
        f"(partition by {key} order by _ab_cdc_lsn desc, _airbyte_meta->>'origin' desc, rowid desc) > 1)",
        {} if origins is None else {"origins": list(origins)},
    )


def replace(
    con: duckdb.DuckDBPyConnection,
    table: RawTable,
    *,
    copy: str,
    origins: Collection[str],
    extracted_at: datetime,
) -> Landed:
    """Let the rows of ``origins`` in a copy, one a key, take the place of those that the raw table has of them.

    A live row of these origins that the copy does not have is gone from the source: it is marked as deleted, without
    its personal values. A row of another origin whose key the copy has was superseded: it goes. Of a table without a
    key every row that it had is gone.
    """
    values = {"origins": sorted(origins), "at": extracted_at}
    listed = "(select unnest($origins::varchar[]))"
    copied = f"(select * from {copy} where _airbyte_meta->>'origin' in {listed})"
    marks = [f"{name} = $at" for name in ("_ab_cdc_deleted_at", "_ab_cdc_updated_at", "_airbyte_extracted_at")]
    marks.append("_ab_cdc_lsn = null")
    wipes = [f"{quote(name)} = null" for name in sorted(table.wiped)]
    absent = f"and not exists (select 1 from {copied} as n where {_same_key(table, 'o', 'n')})" if table.key else ""
    gone = con.execute(
        f"update {table.sql} as o set {', '.join(marks + wipes)} where o._ab_cdc_deleted_at is null "
        f"and o._airbyte_meta->>'origin' in {listed} {absent}",
        values,
    ).fetchall()
    if table.key:
        con.execute(
            f"delete from {table.sql} as o using {copied} as n where {_same_key(table, 'o', 'n')}",
            {"origins": values["origins"]},
        )
    given = [quote(column.name) for column in table.columns] + [name for name, _ in META]
    selected = ["$at" if name == "_airbyte_extracted_at" else name for name in given]
    added = con.execute(
        f"insert into {table.sql} ({', '.join(given)}) select {', '.join(selected)} from {copied}", values
    ).fetchall()
    return Landed(upserted=int(added[0][0]), deleted=int(gone[0][0]))


def fill(
    con: duckdb.DuckDBPyConnection,
    table: RawTable,
    source: str,
    columns: Collection[str],
    *,
    origin: str,
    extracted_at: datetime,
) -> int:
    """Give live rows of ``origin`` the values that the relation ``source`` (key, ``columns``) has; how many they are.

    A row that it does not have gets NULL. Nothing else of them changes but the stamp by which readers see a change.
    """
    lives = "_ab_cdc_deleted_at is null and _airbyte_meta->>'origin' = $origin"
    source = screen(con, table, source, [*table.key, *columns])
    empty = ", ".join(f"{quote(name)} = null" for name in columns)
    some = " or ".join(f"{quote(name)} is not null" for name in columns)
    con.execute(f"update {table.sql} set {empty} where ({some}) and {lives}", {"origin": origin})
    sets = [f"{quote(name)} = n.{quote(name)}" for name in columns] + ["_airbyte_extracted_at = $at"]
    row = con.execute(
        f"update {table.sql} as o set {', '.join(sets)} from {source} as n where {_same_key(table, 'o', 'n')} "
        "and o._ab_cdc_deleted_at is null and o._airbyte_meta->>'origin' = $origin",
        {"at": extracted_at, "origin": origin},
    ).fetchall()
    return int(row[0][0])


def truncate(
    con: duckdb.DuckDBPyConnection,
    table: RawTable,
    *,
    origin: str,
    at: datetime,
    extracted_at: datetime,
    lsn: int | None = None,
) -> Landed:
    """Mark every live row that came from ``origin`` as deleted; rows of other origins stand as they are."""
    wipes = [f"{quote(name)} = null" for name in sorted(table.wiped)]
    marks = ["_ab_cdc_deleted_at = $at", "_ab_cdc_updated_at = $at", "_airbyte_extracted_at = $extracted_at"]
    marks.append("_ab_cdc_lsn = $lsn")
    row = con.execute(
        f"update {table.sql} set {', '.join(marks + wipes)} "
        "where _ab_cdc_deleted_at is null and _airbyte_meta->>'origin' = $origin",
        {"at": at, "extracted_at": extracted_at, "lsn": lsn, "origin": origin},
    ).fetchall()
    return Landed(deleted=int(row[0][0]), truncated=True)


def _value(table: RawTable, column: RawColumn, given: Collection[str], deleted: str) -> str:
    """What a column holds after the merge, from the new row ``n`` and the row ``o`` that the table had."""
    name = quote(column.name)
    new = cast(f"n.{name}", column)
    if column.name in table.key:
        return new
    flag = UNCHANGED + column.name
    if column.name not in given:
        value = f"o.{name}"
    elif flag in given:
        value = f"case when n.{quote(flag)} then o.{name} else {new} end"
    elif deleted != "false":
        value = f"case when {deleted} then coalesce({new}, o.{name}) else {new} end"
    else:
        value = new
    if column.name in table.wiped and deleted != "false":
        return f"case when {deleted} then null else {value} end"
    return value


def cast(expression: str, column: RawColumn, *, lenient: bool = False) -> str:
    """The expression in the column's type, exactly: text that DuckDB would round, cut or misread is an error.

    Where ``lenient``, what does not fit is NULL.
    """
    parsed = _parsed(f"({expression}::varchar)", column.duck_type, lenient)
    other = _cast(expression, column.duck_type, lenient)
    return f"case when typeof({expression}) = 'VARCHAR' then {parsed} else {other} end" if parsed else other


def _cast(expression: str, kind: str, lenient: bool) -> str:
    return f"{'try_cast' if lenient else 'cast'}({expression} as {kind})"


def _parsed(text: str, kind: str, lenient: bool) -> str | None:
    """The value that a text names, in PostgreSQL's form or in DuckDB's; None where DuckDB's own cast tells it."""
    if kind.endswith("[]"):
        return _parsed_array(text, kind, lenient)
    scale = re.fullmatch(r"DECIMAL\(\d+,(\d+)\)", kind)
    if scale is not None:  # 1.239 would become 1.24; no number is written for it
        longer = f"instr({text}, '.') > 0 and length({text}) - instr({text}, '.') > {scale[1]}"
        rounded = f"{longer} and not regexp_full_match({text}, '.*\\.\\d{{{scale[1]}}}0*')"
        text = f"(case when {rounded} then '' else {text} end)"
    elif kind in _INTEGERS:  # 1.5 would become 2
        text = f"(case when contains({text}, '.') or contains({text}, 'e-') then '' else {text} end)"
    elif kind == "DATE":  # a time of the day would be dropped; 0044-03-15 BC
        day = f"regexp_replace({text}, ' BC$', ' (BC)')"
        text = f"(case when regexp_matches({text}, ' \\d') then '' else {day} end)"
    elif kind.startswith("TIMESTAMP"):  # 0044-03-15 10:00:00 BC
        text = f"regexp_replace({text}, '^(\\S+)( .*)? BC$', '\\1 (BC)\\2')"
    elif kind == "INTERVAL":  # 2 mons -1 days +02:00:00
        text = f"replace(replace({text}, 'mons', 'months'), '+', '')"
    elif kind == "BLOB":  # \x00ff is hexadecimal from its first digit to its last
        given = f"from_hex({text}[3:])"
        given = f"try({given})" if lenient else given
        return f"case when starts_with({text}, '\\x') then {given} else {_cast(text, kind, lenient)} end"
    else:
        return None
    return _cast(text, kind, lenient)


def _parsed_array(text: str, kind: str, lenient: bool) -> str:
    """``{1,NULL,"a, b"}`` as a list. Arrays of more dimensions or with bounds of their own are no list."""
    parts = f"regexp_extract_all({text}[2:-2], '\"(?:[^\"\\\\]|\\\\.)*\"|[^,]+', 0, 's')"
    quoted = "regexp_replace(e[2:-2], '\\\\(.)', '\\1', 'gs')"
    element = f"(case when e[1] = '\"' then {quoted} when upper(e) <> 'NULL' then e end)"
    value = _parsed(element, kind[:-2], lenient) or _cast(element, kind[:-2], lenient)
    plain = f"{text}[1] = '{{' and {text}[2] <> '{{'"
    return f"case when {plain} then list_transform({parts}, lambda e: {value}) else {_cast(text, kind, lenient)} end"


def _origin(given: Collection[str]) -> str:
    return "json_object('origin', n._origin)" if "_origin" in given else "'{}'::json"


def _same_key(table: RawTable, left: str, right: str) -> str:
    return " and ".join(f"{left}.{quote(name)} = {right}.{quote(name)}" for name in table.key)


@contextmanager
def registered(
    con: duckdb.DuckDBPyConnection,
    table: RawTable,
    relations: Mapping[str, pa.Table],
    *,
    lenient: Collection[str] = (),
) -> Iterator[None]:
    """``relations`` by their names; raises TailraceError, without the value, when one does not fit its column."""
    lent = {name: _Lent(rows) for name, rows in relations.items()}
    for name, rows in lent.items():
        con.register(name, rows)
    try:
        yield
    except MISFITS as error:
        values = {
            column.name: cast(f"n.{quote(column.name)}", column, lenient=column.name in lenient)
            for column in table.columns
        }
        raise TailraceError(misfit(table, relations.values(), values, error)) from None
    finally:
        for rows in lent.values():
            rows.rows = None
    for name in lent:
        con.unregister(name)


@dataclass
class _Lent:
    """Rows for DuckDB to read. It holds on to what was registered until the transaction ends; rows are taken back."""

    rows: pa.Table | None

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        assert self.rows is not None
        return self.rows.__arrow_c_stream__(requested_schema)


def misfit(table: RawTable, relations: Iterable[pa.Table], values: Mapping[str, str], error: duckdb.Error) -> str:
    """One line that names the column. DuckDB's own message would quote the value, which may be personal.

    ``values`` has the expressions, over the relation ``n`` of each of ``relations``, that failed to land.
    """
    with duckdb.connect() as probe:  # the failed transaction answers no more questions
        probe.execute("set TimeZone = 'UTC'")
        for rows in relations:
            probe.register("_incoming", rows)
            for column in table.columns:
                if column.name not in rows.column_names:
                    continue
                try:
                    probe.execute(f"select {values[column.name]} from _incoming as n").fetchall()
                except duckdb.Error:
                    return (
                        f"{table.label}.{column.name}: a value does not fit {column.duck_type}; "
                        "mend it in the source, or widen the type in the contract (VARCHAR holds every value)"
                    )
    return f"{table.label}: rows could not be landed ({type(error).__name__}); check the table's contract"
