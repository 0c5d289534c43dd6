"""Where a restricted person's rows are kept: in the vault, which no model and no analyst reads."""

# ruff: noqa: S608 - names are the contracts' and the catalog's, each quoted; values are bound

from __future__ import annotations

import duckdb

from ingestion import forgetting
from privacy import people, stores
from privacy.journal import Journal
from privacy.rights import Rights
from warehouse import quote, transaction

TABLE = """
create table if not exists vault.restricted (
    receipt varchar not null, schema_name varchar not null, table_name varchar not null, row_json json not null
)
"""


def keep_aside(con: duckdb.DuckDBPyConnection, rights: Rights, begun: Journal) -> None:
    """Copy what raw holds of the person into the vault, before it is taken out; again after a kill, to the same end."""
    con.execute(TABLE)
    present = people.landed(con)
    with transaction(con):
        con.execute("delete from vault.restricted where receipt = ?", [begun.receipt])
        for label, rule in rights.rules.items():
            if label not in present:
                continue
            found = forgetting.verdicts(rule, stores.columns_of(con, rule.schema, rule.table))
            documents = stores.columns_of(con, rule.schema, rule.table, of_type="JSON")
            as_text = ", ".join(f"n.{quote(c)}::varchar as {quote(c)}" for c in documents)  # as it is, blanks and all
            columns = f"n.* exclude ({', '.join(found.tests)})" + (f" replace ({as_text})" if as_text else "")
            relation = found.tested(f"{quote(rule.schema)}.{quote(rule.table)}")
            con.execute(
                f"insert into vault.restricted select ?, ?, ?, to_json(o) from "
                f"(select {columns} from {relation} as n where {found.touched}) as o",
                [begun.receipt, rule.schema, rule.table],
            )


def is_restricted(con: duckdb.DuckDBPyConnection, subject_hash: str) -> str | None:
    """The receipt under which this subject is restricted, if they are."""
    known = con.execute(
        "select 1 from duckdb_tables() where database_name = 'vault' and table_name = 'restricted'"
    ).fetchall()
    rows = (
        known
        and con.execute(
            "select distinct r.receipt from vault.restricted as r join tailrace.privacy_audit as a using (receipt) "
            "where a.subject_hash = ?",
            [subject_hash],
        ).fetchall()
    )
    return str(rows[0][0]) if rows else None
