"""Restriction of processing: a person's rows are kept aside, in the vault, and nothing is computed from them."""

# ruff: noqa: S608 - names are the contracts' and the catalog's, each quoted; values are bound

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb

from ingestion import forgetting, land
from pii_policies import Contracts
from privacy import aside, ledger, receipts
from privacy import erase as erasing
from privacy.rights import Rights, head
from settings import TailraceError
from warehouse import positions, quote, transaction


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
    body = receipts.read(restricted)
    with rights.warehouse.writer("lifting a restriction", on_wait=rights.progress) as con:
        forgetting.prepare(con)
        con.execute(aside.TABLE)
        if not con.execute("select 1 from vault.restricted where receipt = ?", [receipt]).fetchall():
            raise TailraceError(f"restriction {receipt}: was lifted before; nothing is kept aside under it")
        with transaction(con):
            con.execute(f"delete from {forgetting.TOMBSTONES} where receipt = ?", [receipt])
            counts = _put_back(con, rights.contracts, receipt)
        con.execute("delete from vault.restricted where receipt = ?", [receipt])
    rights.rebuild(rights.progress)
    rights.warehouse.rewrite("lifting a restriction", on_wait=rights.progress)
    lifted, now = receipts.new_id(), datetime.now(UTC).isoformat(timespec="seconds")
    with rights.warehouse.writer("lifting a restriction", on_wait=rights.progress) as con:
        path = receipts.issue(
            rights.settings,
            {
                **head(rights, "restriction lifted", lifted, body["tenant"], body["subject"], now),
                "outcome": "done",
                "restriction": receipt,
                "rows": counts,
            },
        )
        ledger.record(
            con,
            actor=rights.actor,
            action="lift restriction",
            outcome="done",
            tenant=body["tenant"],
            subject=body["subject"],
            receipt=lifted,
        )
    return path


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
