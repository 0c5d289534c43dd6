"""What a source offers for capture: its server, its publication, its slot and its tables, read in one round trip.

Nothing is judged here; ``checks`` says what stands in the way, and how to mend it.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import psycopg
from psycopg import Cursor

from ingestion.land import RawColumn, RawTable
from ingestion.postgres.connection import Connection, copies_prefix
from ingestion.postgres.types import TEXT, binary_decodable

# What depends on the version goes through to_jsonb: a column that an older server lacks is null, not an error.
_SERVER = """
select current_setting('server_version_num')::int as version, current_setting('wal_level') as wal_level,
    pg_is_in_recovery() as standby, current_user::text as role, current_database()::text as name,
    (select rolreplication or rolsuper from pg_roles where rolname = current_user) as may_replicate,
    (select system_identifier::text from pg_control_system()) as system,
    case when not pg_is_in_recovery() then ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int
        end as timeline,
    case when not pg_is_in_recovery() then (pg_current_wal_flush_lsn() - '0/0')::bigint end as flushed,
    current_setting('max_replication_slots')::int as slots_max,
    (select count(*) from pg_replication_slots where not starts_with(slot_name, %(copies)s)) as slots_used,
    current_setting('max_wal_senders')::int as senders_max,
    (select count(*) from pg_stat_get_wal_senders()) as senders_used,
    pg_size_bytes(current_setting('max_slot_wal_keep_size')) as keep_bytes,
    pg_size_bytes(current_setting('logical_decoding_work_mem')) as decoding_bytes,
    extract(epoch from coalesce(current_setting('idle_replication_slot_timeout', true), '0')::interval)::int
        as idle_seconds,
    (select to_jsonb(u) from pg_publication as u where u.pubname = %(publication)s) as publication,
    (select to_jsonb(s) || jsonb_build_object('restart', s.restart_lsn - '0/0')
        from pg_replication_slots as s where s.slot_name = %(slot)s) as slot
"""
_READINGS = 20
"""How often the catalog is read before giving up: from PostgreSQL 16 on ``pg_get_publication_tables`` fails with
"could not open relation" when a published table is dropped while it looks."""
_TYPES = "select oid, typtype::text, typbasetype, typtypmod from pg_type where typtype in ('d', 'e')"
# One row a table that bears a contract's name. Lists come as text, so that equal ones are read once.
_RELATIONS = """
with published as materialized (
    select t.relid, t.attrs::int2[]::text as attrs, pg_get_expr(t.qual, t.relid) as row_filter
    from pg_publication as u, lateral pg_get_publication_tables(u.pubname) as t where u.pubname = %(publication)s
),
members as materialized (
    select r.prrelid as relid, r.prattrs is not null as listed
    from pg_publication as u join pg_publication_rel as r on r.prpubid = u.oid where u.pubname = %(publication)s
),
schemas as materialized (
    select r.pnnspid as nspid
    from pg_publication as u join pg_publication_namespace as r on r.pnpubid = u.oid where u.pubname = %(publication)s
),
policies as materialized (
    select polrelid, polname, polpermissive, pg_get_expr(polqual, polrelid) = 'true' as everything from pg_policy
    where polcmd in ('r', '*')
    and (polroles = '{{0}}' or exists (select 1 from unnest(polroles) as r where pg_has_role(r, 'usage')))
)
select c.oid::bigint as oid, n.nspname::text as schema, c.relname::text as name, c.relkind::text as kind,
    c.relpersistence = 'p' as logged, c.relreplident::text as identity, c.relfilenode::bigint as file,
    p.relid is not null as published, p.attrs as published_columns, p.row_filter,
    m.relid is not null or s.nspid is not null as member, coalesce(m.listed, false) as listed,
    n.may_enter, a.columns, a.versions, i.indexes, l.leaves,
    row_security_active(c.oid) and not exists (
        select 1 from policies as y where y.polrelid = c.oid and y.polpermissive and y.everything
    ) as rows_hidden,
    row_security_active(c.oid) and exists (
        select 1 from policies as y where y.polrelid = c.oid and not y.polpermissive and not y.everything
    ) as rows_restricted,
    case when c.relrowsecurity then (select array_agg(y.polname::text) from pg_policy as y where y.polrelid = c.oid)
        end as policies
from (
    select *, has_table_privilege(oid, 'select') as may_read from pg_class
    where relkind in ('r', 'p', 'f', 'v', 'm') and relname = any(%(names)s) offset 0
) as c
join (select *, has_schema_privilege(oid, 'usage') as may_enter from pg_namespace offset 0) as n
    on n.oid = c.relnamespace
left join published as p on p.relid = c.oid
left join members as m on m.relid = c.oid
left join schemas as s on s.nspid = n.oid
cross join lateral (
    select to_json(array_agg(concat_ws(' ', a.attnum, a.atttypid, a.atttypmod, a.attnotnull,
        case a.attgenerated when '' then '-' else a.attgenerated end,
        c.may_read or (a.attacl is not null and coalesce(has_column_privilege(c.oid, a.attnum, 'select'), false)),
        a.attname)
        order by a.attnum))::text as columns,
        string_agg(a.xmin::text, ' ' order by a.attnum) as versions
    from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
) as a
cross join lateral ({indexes}) as i
left join lateral (
    select to_json(array_agg(json_build_object('schema', ln.nspname, 'name', lc.relname, 'identity', lc.relreplident,
        'oid', lc.oid::bigint, 'file', lc.relfilenode::bigint, 'filled', pg_relation_size(lc.oid) > 0,
        'indexes', li.indexes::json, 'names', (
            select json_object_agg(la.attnum, la.attname) from pg_attribute as la
            where la.attrelid = lc.oid and la.attnum > 0 and not la.attisdropped))))::text as leaves
    from pg_partition_tree(c.oid) as t
    join pg_class as lc on lc.oid = t.relid join pg_namespace as ln on ln.oid = lc.relnamespace
    cross join lateral ({leaf_indexes}) as li
    where t.isleaf
) as l on c.relkind = 'p'
-- A privilege is unknown of what was dropped since this statement began: it is gone.
where c.may_read is not null and n.may_enter is not null
order by 1, 2
"""
# Unique indexes that can name a row: not partial, not deferred, not of expressions.
_INDEXES = """
    select to_json(array_agg(concat_ws(' ', x.indisprimary, x.indisreplident,
        array_to_string((x.indkey::int2[])[0:x.indnkeyatts - 1], ','), xc.relname) order by xc.relname))::text
        as indexes
    from pg_index as x join pg_class as xc on xc.oid = x.indexrelid
    where x.indrelid = {}.oid and x.indisunique and x.indimmediate and x.indisvalid
        and x.indpred is null and x.indexprs is null
"""
_RELATIONS = _RELATIONS.format(indexes=_INDEXES.format("c"), leaf_indexes=_INDEXES.format("lc"))


@dataclass(frozen=True)
class Column:
    """A column of the source as it is now. ``generated`` is ``s`` (stored), ``v`` (virtual) or empty."""

    number: int
    name: str
    oid: int
    typmod: int
    not_null: bool
    generated: str
    readable: bool


@dataclass(frozen=True)
class Index:
    """A unique index whose columns (attribute numbers) can name a row."""

    name: str
    columns: tuple[int, ...]
    primary: bool
    identity: bool


@dataclass(frozen=True)
class Leaf:
    """A partition that holds rows: deletes and updates name their row by its identity, not by the root's."""

    schema: str
    name: str
    identity: str
    names: frozenset[str] | None
    """Columns of its identity; None for all (full)."""
    oid: int
    file: int
    """The file that its rows are in: another one means that they were rewritten, or truncated."""
    filled: bool


@dataclass(frozen=True, kw_only=True)
class Relation:
    """A table of the source that bears the name of a contract's, published or not."""

    oid: int
    schema: str
    name: str
    kind: str
    logged: bool
    identity: str
    """``d`` (primary key), ``i`` (an index), ``f`` (the whole row) or ``n`` (nothing)."""
    published: bool
    published_numbers: frozenset[int] | None
    """None for all that are not generated."""
    row_filter: str | None
    member: bool
    """Of the publication, itself or by its schema; a partitioned table may be one without being published."""
    listed: bool
    """Whether the publication lists its columns."""
    may_enter: bool
    file: int
    versions: str
    """Of each column, the transaction that changed it last; blanks between."""
    rows_hidden: bool
    rows_restricted: bool
    policies: tuple[str, ...]
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...]
    leaves: tuple[Leaf, ...]

    @cached_property
    def by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @property
    def identity_names(self) -> frozenset[str] | None:
        """The columns by which a delete names its row; None for all of them, empty for none."""
        return _identity(self.identity, self.indexes, {column.number: column.name for column in self.columns})

    def publishes(self, column: Column) -> bool:
        if self.published_numbers is None:
            return self.published and not column.generated
        return column.number in self.published_numbers


@dataclass(frozen=True)
class State:
    """Marks of a table that change with its rows, where the change stream tells nothing of it."""

    oid: int = 0
    """Another table under the same name is another table."""
    files: tuple[tuple[int, int], ...] = ()
    """What the rows are in: (OID, file) of the table, or of its partitions."""
    filled: frozenset[int] = frozenset()
    """Partitions that hold rows."""
    columns: Mapping[str, tuple[int, int, str]] = field(default_factory=dict)
    """Column → (number, type OID, the transaction that changed its definition last)."""


@dataclass(frozen=True)
class SourceTable:
    """One published table of one schema, and the raw table that it lands in."""

    schema: str
    raw: RawTable
    types: dict[str, tuple[int, int]]
    """Column → (type OID, type modifier), of the raw table's columns; a domain's base type, text for an enum."""
    row_filter: str | None
    dropped: tuple[str, ...] = ()
    """Columns of the raw table that the source has no more: they were dropped or renamed."""
    unclassified: tuple[tuple[str, int, int, bool], ...] = ()
    """Columns that no contract names: (name, type OID, type modifier, whether it is published and may be read)."""
    kind: str = "r"
    """``r`` for a table, ``p`` for the root of a partitioned one."""
    state: State = field(default_factory=State)
    """By which a later look tells what was done to it meanwhile."""

    @property
    def name(self) -> str:
        return f"{self.schema}.{self.raw.name}"

    @property
    def columns(self) -> tuple[RawColumn, ...]:
        """The raw table's columns that this table has; another schema's may have more."""
        return tuple(column for column in self.raw.columns if column.name in self.types)

    @property
    def shape(self) -> dict[str, str]:
        """What of it lands: the raw type of each column that it has. Another shape may mean values to be read again."""
        return {column.name: column.duck_type for column in self.columns}

    @property
    def binary(self) -> bool:
        """Whether all of its columns decode from their binary form."""
        return all(binary_decodable(*self.types[column.name], column.duck_type) for column in self.columns)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source database as its catalog shows it to the capturing role."""

    server: dict[str, Any]
    """One row of ``_SERVER``: bytes and seconds as integers, ``publication`` and ``slot`` None where there is none."""
    publication: str
    slot: str
    types: Mapping[int, tuple[int, int | None]]
    """Domains and enums: OID → (OID of what it decodes as, type modifier of a domain's base type)."""
    relations: tuple[Relation, ...]

    @property
    def aliases(self) -> dict[int, int]:
        """OID of a domain or an enum → OID of the type that its values decode as."""
        return {oid: base for oid, (base, _) in self.types.items()}

    def base(self, column: Column) -> tuple[int, int]:
        """(type OID, type modifier) that the column's values decode as."""
        if column.oid not in self.types:
            return column.oid, column.typmod
        base, typmod = self.types[column.oid]
        return base, column.typmod if typmod is None else typmod


def read_source(
    connection: Connection, *, publication: str, slot: str, patterns: Sequence[str], tables: Sequence[RawTable]
) -> Source:
    """The server, and the tables named as ``tables`` in schemas that match ``patterns``. One round trip."""
    values = {
        "publication": publication,
        "slot": slot,
        "copies": copies_prefix(),
        "names": [table.name for table in tables],
    }
    for left in reversed(range(_READINGS)):
        try:
            with connection.pipeline():
                server = connection.execute(_SERVER.encode(), values)
                types = connection.execute(_TYPES)
                relations = connection.execute(_RELATIONS.encode(), values)
            break
        except psycopg.errors.InternalError_:
            if not left:
                raise
    reading = _Reading(patterns)
    return Source(
        server=_rows(server)[0],
        publication=publication,
        slot=slot,
        types=_resolve_types(types.fetchall()),
        relations=tuple(reading.relation(row) for row in _rows(relations) if reading.wants(row["schema"])),
    )


def discover(source: Source, tables: Sequence[RawTable]) -> list[SourceTable]:
    """The published tables of ``source``, each with the raw table that it lands in."""
    raws = {table.name: table for table in tables}
    known: dict[tuple[Any, ...], dict[str, Any]] = {}  # namespaces repeat each other: a shape is worked out once
    found = []
    for relation in source.relations:
        if relation.published and relation.name in raws:
            raw = raws[relation.name]
            key = (raw.name, id(relation.columns), id(relation.published_numbers))
            if key not in known:
                known[key] = _columns(source, relation, raw)
            found.append(
                SourceTable(
                    relation.schema,
                    raw,
                    row_filter=relation.row_filter,
                    kind=relation.kind,
                    state=_state(relation),
                    **known[key],
                )
            )
    return found


def existing_tables(connection: Connection, names: Sequence[str]) -> set[str]:
    """Those of ``names`` (``schema.table``) that the database has, published or not."""
    rows = connection.execute(
        "select n.nspname || '.' || c.relname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace "
        "where c.relkind in ('r', 'p') and n.nspname || '.' || c.relname = any(%s)",
        [list(names)],
    ).fetchall()
    return {name for (name,) in rows}


def type_name(connection: Connection, oid: int, typmod: int) -> str:
    """The type as PostgreSQL spells it, e.g. ``numeric(12,2)``."""
    row = connection.execute("select format_type(%s, %s)", [oid, typmod]).fetchone()
    return str(row[0]) if row else str(oid)


def _columns(source: Source, relation: Relation, raw: RawTable) -> dict[str, Any]:
    contracted = {column.name for column in raw.columns}
    return {
        "types": {name: source.base(column) for name, column in relation.by_name.items() if name in contracted},
        "dropped": tuple(column.name for column in raw.columns if column.name not in relation.by_name),
        "unclassified": tuple(
            (column.name, *source.base(column), relation.publishes(column) and column.readable)
            for column in relation.columns
            if column.name not in contracted and column.name not in raw.excluded
        ),
    }


def _state(relation: Relation) -> State:
    return State(
        oid=relation.oid,
        files=tuple((leaf.oid, leaf.file) for leaf in sorted(relation.leaves, key=lambda leaf: leaf.oid))
        or ((relation.oid, relation.file),),
        filled=frozenset(leaf.oid for leaf in relation.leaves if leaf.filled),
        columns={
            column.name: (column.number, column.oid, version)
            for column, version in zip(relation.columns, relation.versions.split(), strict=True)
        },
    )


def _rows(cursor: Cursor[tuple[Any, ...]]) -> list[dict[str, Any]]:
    names = [column.name for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _resolve_types(rows: Sequence[tuple[Any, ...]]) -> dict[int, tuple[int, int | None]]:
    own = {int(oid): (kind, int(base), int(typmod)) for oid, kind, base, typmod in rows}

    def resolve(oid: int) -> tuple[int, int | None]:
        kind, base, typmod = own[oid]
        if kind == "e":
            return TEXT, -1
        return resolve(base) if base in own else (base, typmod)

    return {oid: resolve(oid) for oid in own}


def _identity(identity: str, indexes: Sequence[Index], names: Mapping[int, str]) -> frozenset[str] | None:
    if identity == "f":
        return None
    for index in indexes:
        if (identity == "d" and index.primary) or (identity == "i" and index.identity):
            return frozenset(names[number] for number in index.columns)
    return frozenset()


@dataclass
class _Reading:
    """Rows of ``_RELATIONS`` as relations; texts that recur are parsed once."""

    patterns: Sequence[str]
    _seen: dict[str, Any] = field(default_factory=dict)

    def wants(self, schema: str) -> bool:
        if schema not in self._seen:
            self._seen[schema] = any(fnmatch.fnmatchcase(schema, pattern) for pattern in self.patterns)
        return bool(self._seen[schema])

    def relation(self, row: dict[str, Any]) -> Relation:
        columns, indexes, leaves = row["columns"], row["indexes"], row.pop("leaves")
        numbers = row.pop("published_columns")
        return Relation(
            **row
            | {
                "columns": self._parsed("columns", columns, _parse_columns),
                "indexes": self._parsed("indexes", indexes, _parse_indexes),
                "leaves": self._parsed("leaves", leaves, _parse_leaves),
                "published_numbers": numbers and self._parsed("numbers", numbers, _parse_numbers),
                "policies": tuple(row["policies"] or ()),
            }
        )

    def _parsed(self, what: str, text: str | None, parse: Any) -> Any:
        if text is None:
            return ()
        key = f"{what} {text}"
        if key not in self._seen:
            self._seen[key] = parse(text)
        return self._seen[key]


def _parse_columns(text: str) -> tuple[Column, ...]:
    columns = []
    for each in json.loads(text):
        number, oid, typmod, not_null, generated, readable, name = each.split(" ", 6)
        columns.append(
            Column(int(number), name, int(oid), int(typmod), not_null == "t", generated.strip("-"), readable == "t")
        )
    return tuple(columns)


def _parse_indexes(text: str) -> tuple[Index, ...]:
    indexes = []
    for each in json.loads(text):
        primary, identity, columns, name = each.split(" ", 3)
        indexes.append(Index(name, tuple(map(int, columns.split(","))), primary == "t", identity == "t"))
    return tuple(indexes)


def _parse_leaves(text: str) -> tuple[Leaf, ...]:
    leaves = []
    for each in json.loads(text):
        indexes = _parse_indexes(json.dumps(each["indexes"] or []))
        names = {int(number): name for number, name in each["names"].items()}
        identity = each["identity"]
        found = _identity(identity, indexes, names)
        leaves.append(Leaf(each["schema"], each["name"], identity, found, each["oid"], each["file"], each["filled"]))
    return tuple(leaves)


def _parse_numbers(text: str) -> frozenset[int]:
    """``{1,2}``, or with bounds, as a vector from 0 has them: ``[0:1]={1,2}``."""
    inner = text.rpartition("=")[2].strip("{}")
    return frozenset(map(int, inner.split(","))) if inner else frozenset()
