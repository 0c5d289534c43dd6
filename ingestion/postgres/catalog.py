"""What a source database offers for capture, and what stands in the way, said in one line with its remedy."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

from ingestion.land import RawTable
from ingestion.postgres.connection import Connection
from ingestion.postgres.types import binary_decodable, fits
from settings import TailraceError
from warehouse import quote

# Rows of published tables: what may be read (grants, row-level security) and how deletes name their row.
_PUBLISHED = """
with own_policies as (
    select polrelid, polpermissive, pg_get_expr(polqual, polrelid) = 'true' as everything from pg_policy
    where polcmd in ('r', '*')
    and (polroles = '{0}' or exists (select 1 from unnest(polroles) as r where pg_has_role(r, 'usage')))
)
select p.schemaname, p.tablename, p.rowfilter, p.attnames::text[], c.relreplident::text,
    has_schema_privilege(n.oid, 'usage') as may_enter,
    (select array_agg(a.attname::text || ' ' || a.atttypid || ' ' || a.atttypmod order by a.attnum)
        from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
    (select coalesce(array_agg(a.attname::text), '{}') from pg_attribute as a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        and not has_column_privilege(c.oid, a.attnum, 'select')) as hidden,
    (select array_agg(a.attname::text) from pg_index as i join pg_attribute as a
        on a.attrelid = c.oid and a.attnum = any(i.indkey)
        where i.indrelid = c.oid
        and case c.relreplident when 'i' then i.indisreplident else i.indisprimary end) as identity,
    row_security_active(c.oid) and (
        not exists (select 1 from own_policies as y where y.polrelid = c.oid and y.polpermissive and y.everything)
        or exists (select 1 from own_policies as y
            where y.polrelid = c.oid and not y.polpermissive and not y.everything)
    ) as rows_hidden
from pg_publication_tables as p
join pg_namespace as n on n.nspname = p.schemaname
join pg_class as c on c.relnamespace = n.oid and c.relname = p.tablename
where p.pubname = %s order by p.schemaname, p.tablename
"""


@dataclass(frozen=True)
class SourceTable:
    """One published table of one schema, and the raw table that it lands in."""

    schema: str
    raw: RawTable
    types: dict[str, tuple[int, int]]
    """Column → (type OID, type modifier), of the raw table's columns."""
    row_filter: str | None

    @property
    def name(self) -> str:
        return f"{self.schema}.{self.raw.name}"

    @property
    def shape(self) -> dict[str, str]:
        """What of it lands: the raw type of each column. Another shape means that values have to be read again."""
        return {column.name: column.duck_type for column in self.raw.columns}

    @property
    def binary(self) -> bool:
        """Whether all of its columns decode from their binary form."""
        return all(binary_decodable(*self.types[column.name], column.duck_type) for column in self.raw.columns)


def check_server(connection: Connection, *, database: str, publication: str) -> str:
    """The cluster's system identifier. Raises TailraceError when the server cannot be captured by this role."""
    row = connection.execute(
        "select current_setting('server_version_num')::int, current_setting('wal_level'), current_user::text,"
        " (select rolreplication or rolsuper from pg_roles where rolname = current_user),"
        " exists (select 1 from pg_publication where pubname = %s),"
        " (select system_identifier::text from pg_control_system()), pg_is_in_recovery()",
        [publication],
    ).fetchone()
    assert row is not None
    version, wal_level, role, may_replicate, published, system, standby = row
    if version < 150000:
        raise TailraceError(f"{database}: PostgreSQL {version // 10000} has no column lists; upgrade it to 15 or later")
    if wal_level != "logical":
        raise TailraceError(
            f"{database}: wal_level is {wal_level}; `alter system set wal_level = logical`, then restart"
        )
    if standby:
        raise TailraceError(f"{database}: the server is a standby; point the dsn at the primary")
    if not may_replicate:
        raise TailraceError(f"{database}: role {role} may not replicate; `alter role {quote(role)} replication`")
    if not published:
        raise TailraceError(
            f"{database}: publication {publication} does not exist; create it from the contracts' tables"
        )
    return str(system)


def discover(
    connection: Connection, *, database: str, publication: str, patterns: Sequence[str], tables: Sequence[RawTable]
) -> list[SourceTable]:
    """The published tables in schemas that match ``patterns`` and that a contract lands, each checked.

    Raises TailraceError for a table that could not be captured whole: before it loses rows, not after.
    """
    by_name = {table.name: table for table in tables}
    role = connection.info.user
    found = []
    for row in connection.execute(_PUBLISHED, [publication]).fetchall():
        schema, name, row_filter, published, ident, may_enter, columns, hidden, identity, rows_hidden = row
        raw = by_name.get(name)
        if raw is None or not any(fnmatch.fnmatchcase(schema, pattern) for pattern in patterns):
            continue
        where, sql_name = f"{database}: {schema}.{name}", f"{quote(schema)}.{quote(name)}"
        wanted = [column.name for column in raw.columns]
        if lacking := [column for column in wanted if column not in published]:
            raise TailraceError(
                f"{where}: publication {publication} has no column {lacking[0]}, which the contract lands; "
                "publish it or take it out of the contract"
            )
        if not may_enter:
            raise TailraceError(f"{where}: no right; `grant usage on schema {quote(schema)} to {quote(role)}`")
        if secret := [column for column in wanted if column in hidden]:
            grant = f"grant select ({', '.join(map(quote, secret))}) on {sql_name} to {quote(role)}"
            raise TailraceError(f"{where}: no right to read {secret[0]}; `{grant}`")
        if rows_hidden:
            policy = f"create policy {quote(role + '_reads')} on {sql_name} for select to {quote(role)} using (true)"
            raise TailraceError(f"{where}: row-level security hides rows from {role}; `{policy}`")
        if ident == "n" or (ident != "f" and set(identity or ()) != set(raw.key)):
            raise TailraceError(
                f"{where}: its replica identity does not name the key {', '.join(raw.key)} of the contract; "
                "make that the primary key, or mend the contract"
            )
        every = {text.rsplit(" ", 2)[0]: text.rsplit(" ", 2)[1:] for text in columns}
        kinds = {column: (int(every[column][0]), int(every[column][1])) for column in wanted}
        for column in raw.columns:
            if not fits(*kinds[column.name], column.duck_type):
                raise TailraceError(
                    f"{where}.{column.name}: {_type_name(connection, *kinds[column.name])} does not fit "
                    f"{column.duck_type} exactly; widen the type in the contract (VARCHAR holds every value)"
                )
        found.append(SourceTable(schema, raw, kinds, row_filter))
    if not found:
        raise TailraceError(
            f"{database}: publication {publication} has no contracted table in a schema like {', '.join(patterns)}; "
            "add the tables to the publication, or mend sources.postgres.schemas in tailrace.yml"
        )
    return found


def _type_name(connection: Connection, oid: int, typmod: int) -> str:
    row = connection.execute("select format_type(%s, %s)", [oid, typmod]).fetchone()
    return str(row[0]) if row else str(oid)
