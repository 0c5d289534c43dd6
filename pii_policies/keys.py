"""Tenant keys: one random key a tenant, kept in the vault, away from all that analysts read.

The vault holds a key as HMAC's two pads, so that the warehouse can pseudonymise with its own SHA-256 and no key is
ever part of a query's text. A tenant without a key gets none made on the way: its pseudonyms are null until
``ensure_keys`` ran.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping

import duckdb

from pii_policies.contracts import Contracts
from pii_policies.treatments import pads
from settings import TailraceError

UNATTRIBUTED = "unattributed"
KEY_BYTES = 32  # as many as SHA-256 gives: RFC 2104 advises no less
_LANDED = "select schema_name, table_name from duckdb_tables() where database_name = current_database()"
# The newest version of each tenant's key, where that is not a destroyed one.
_LIVE = (
    "select tenant_id, key_version from vault.tenant_keys "
    "qualify row_number() over (partition by tenant_id order by key_version desc) = 1 and ipad is not null"
)
TABLE = (
    "create table if not exists vault.tenant_keys ("
    "tenant_id varchar not null, key_version integer not null, ipad blob, opad blob, "
    "created_at timestamptz not null, primary key (tenant_id, key_version))"
)


def ensure_keys(con: duckdb.DuckDBPyConnection, tenant_ids: Iterable[str]) -> int:
    """Make a key for every tenant that has none, and for ``unattributed``. Returns how many were made.

    ``con`` has the vault attached as ``vault`` and no open transaction in which another database was written: DuckDB
    writes one database a transaction. A tenant that has any key, a destroyed one too, keeps what it has.
    """
    con.execute(TABLE)
    present = {str(row[0]) for row in con.execute("select tenant_id from vault.tenant_keys").fetchall()}
    missing = sorted({UNATTRIBUTED, *tenant_ids} - present)
    if missing:
        rows = [(tenant, *pads(secrets.token_bytes(KEY_BYTES))) for tenant in missing]
        con.executemany("insert into vault.tenant_keys values (?, 1, ?, ?, now())", rows)
    return len(missing)


def rotate(con: duckdb.DuckDBPyConnection, tenant_ids: Iterable[str] | None = None) -> list[str]:
    """Give tenants (all, if none is named) a key of a new version beside the one they have. Returns whom.

    What is published stays as it is until the next build, which finds them ``rotating``, makes everything anew under
    the new keys and lets go of the old ones. A destroyed key is not followed by another. Raises TailraceError for a
    tenant without a key.
    """
    con.execute(TABLE)
    newest = dict(con.execute(_LIVE).fetchall())
    chosen = sorted(newest if tenant_ids is None else set(tenant_ids))
    unknown = [tenant for tenant in chosen if tenant not in newest]
    if unknown:
        raise TailraceError(f"{unknown[0]}: no such tenant has a key; `tailrace sql` on dim_tenants lists them")
    rows = [(tenant, newest[tenant] + 1, *pads(secrets.token_bytes(KEY_BYTES))) for tenant in chosen]
    if rows:
        con.executemany("insert into vault.tenant_keys values (?, ?, ?, ?, now())", rows)
    return chosen


def rotating(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Tenants whose older key is still there, with their newest version: a build must make everything anew."""
    con.execute(TABLE)
    rows = con.execute(
        "select tenant_id, max(key_version) from vault.tenant_keys where ipad is not null "
        "group by 1 having count(*) > 1"
    ).fetchall()
    return {str(tenant): int(version) for tenant, version in rows}


def retire(con: duckdb.DuckDBPyConnection, rotated: Mapping[str, int]) -> None:
    """Let go of the keys before those versions: nothing is under them any more."""
    for tenant, version in rotated.items():
        con.execute(
            "update vault.tenant_keys set ipad = null, opad = null where tenant_id = ? and key_version < ?",
            [tenant, version],
        )


def ensure_keys_for_raw(con: duckdb.DuckDBPyConnection, contracts: Contracts) -> int:
    """``ensure_keys`` for every tenant that a landed row names. Run it after landing and before dbt."""
    return ensure_keys(con, tenants_in_raw(con, contracts))


def tenants_in_raw(con: duckdb.DuckDBPyConnection, contracts: Contracts) -> set[str]:
    """Every tenant id that a landed row carries in a column of its own; tables that never landed have none.

    Rows whose tenant is found through another table end at one of these, or at ``unattributed``.
    """
    landed = {(str(schema), str(name)) for schema, name in con.execute(_LANDED).fetchall()}
    found: set[str] = set()
    for table in contracts.tables():
        if table.derived_from is not None or (table.schema, table.name) not in landed:
            continue
        for path in table.tenant_paths:
            if path.target is None and path.value.path is None:
                # Names come from the contracts, whose loader lets identifiers through only.
                relation = con.table(f"{table.schema}.{table.name}")
                column = duckdb.ColumnExpression(path.value.column)
                rows = relation.select(column.cast("VARCHAR")).distinct().fetchall()
                found.update(str(row[0]) for row in rows if row[0] is not None)
    return found
