"""Restriction of processing: a person's rows are kept aside, in the vault, and nothing is computed from them."""

# ruff: noqa: S608 - names are the contracts' and the catalog's, each quoted; values are bound

from __future__ import annotations

from pathlib import Path

import duckdb

from ingestion import forgetting, land
from pii_policies import Contracts
from privacy import aside, journal, receipts
from privacy import erase as erasing
from privacy.rights import Rights, conclude, head
from settings import TailraceError
from warehouse import positions, quote, transaction
from warehouse.failpoints import failpoint


def restrict(rights: Rights, *, tenant: str, subject: str) -> Path:
    """Keep a person's rows aside until ``lift``; the receipt's path, whose id ``lift`` takes."""
    receipts.signing_key(rights.settings)
    begun = erasing.begin(rights, kind="restriction", tenant=tenant, subject=subject)
    return erasing.finish(rights, begun)


def lift(rights: Rights, *, receipt: str) -> Path:
    """End a restriction: rows come back as they were kept; values that were emptied are filled in again.

    What the source changed meanwhile is not in them: `tailrace resnapshot`, or the next full listing, brings it.
    """
    receipts.signing_key(rights.settings)
    restricted = receipts.receipts_dir(rights.settings) / f"{receipt}.json"
    if not restricted.exists() or receipts.read(restricted)["kind"] != "restriction":
        raise TailraceError(f"restriction {receipt}: {restricted.parent} has no receipt of it; give the name of one")
    with rights.warehouse.writer("lifting a restriction", on_wait=rights.progress) as con:
        forgetting.prepare(con)
        con.execute(aside.TABLE)
        lifting = [id for id, begun in journal.under_way(con).items() if begun.get("restriction") == receipt]
        if not lifting:
            if not con.execute("select 1 from vault.restricted where receipt = ?", [receipt]).fetchall():
                raise TailraceError(f"restriction {receipt}: was lifted before; nothing is kept aside under it")
            lifting = [receipts.new_id()]
            with transaction(con):
                con.execute(f"delete from {forgetting.TOMBSTONES} where receipt = ?", [receipt])
                counts = _put_back(con, rights.contracts, receipt)
                journal.begin(con, lifting[0], "restriction lifted", restriction=receipt, rows=counts)
    failpoint("lift_after_rows")
    return finish_lifting(rights, lifting[0])


def finish_lifting(rights: Rights, lifted: str) -> Path:
    """What follows once the rows are back: only then is what was kept aside let go of."""
    rights.rebuild(rights.progress)
    failpoint("lift_after_rebuild")
    with rights.warehouse.writer("lifting a restriction", on_wait=rights.progress) as con:
        begun = journal.begun(con, lifted)
        con.execute("delete from vault.restricted where receipt = ?", [begun["restriction"]])
    failpoint("lift_after_aside")
    rights.warehouse.rewrite("lifting a restriction", on_wait=rights.progress)
    of = receipts.read(receipts.receipts_dir(rights.settings) / f"{begun['restriction']}.json")
    body = {
        **head(rights, begun["kind"], lifted, of["tenant"], of["subject"], begun["requested_at"]),
        "restriction": begun["restriction"],
        "rows": begun["rows"],
    }
    return conclude(rights, body, action="lift restriction")


def _put_back(con: duckdb.DuckDBPyConnection, contracts: Contracts, receipt: str) -> dict[str, int]:
    at, counts = positions.stamp(con), {}
    kept = con.execute(
        "select schema_name, table_name, count(*) from vault.restricted where receipt = ? group by all order by all",
        [receipt],
    ).fetchall()
    by_schema = {contract.schema: contract for contract in contracts.sources.values()}
    for schema, name, count in kept:
        table = land.raw_table(by_schema[schema].tables[name])
        read = ", ".join(
            f"(row_json ->> '$.\"{c}\"')::{kind} as {quote(c)}" for c, kind in land.present_columns(con, table).items()
        )
        con.execute(
            f"create or replace temp table _kept as select {read} from vault.restricted "
            "where receipt = ? and schema_name = ? and table_name = ?",
            [receipt, schema, name],
        )
        same = " and ".join(f"o.{quote(key)} = k.{quote(key)}" for key in table.key)
        fills = ", ".join(_fills(table))
        if fills:
            con.execute(
                f"update {table.sql} as o set {fills}, _airbyte_extracted_at = $at from _kept as k where {same}",
                {"at": at},
            )
        con.execute(
            f"insert into {table.sql} by name select k.* replace ($at as _airbyte_extracted_at) from _kept as k "
            f"where not exists (select 1 from {table.sql} as o where {same})",
            {"at": at},
        )
        con.execute("drop table _kept")
        counts[f"{schema}.{name}"] = int(count)
    return counts


def _fills(table: land.RawTable) -> list[str]:
    """What was emptied is filled in where it is still empty; of a document, what was kept aside is the whole."""
    assert table.erasure is not None
    documents = {each.column for each in table.erasure.emptied if each.rest is not None}
    lost = {each.column for each in table.erasure.identifiers if each.whole}
    lost |= {each.column for each in table.erasure.emptied}
    return [
        f"{quote(c)} = k.{quote(c)}" if c in documents else f"{quote(c)} = coalesce(o.{quote(c)}, k.{quote(c)})"
        for c in sorted(lost)
    ]
