"""Retention: each class of data stays in raw for so many days, and goes on the day after."""

# ruff: noqa: S608 - names are the contracts' and the catalog's, each quoted; values are bound

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from ingestion import forgetting
from pii_policies import Contracts, Table
from pii_policies.erasure import erasure_rule
from privacy import journal, ledger, people, receipts
from privacy.rights import Rights, conclude, head
from warehouse import positions, quote, transaction
from warehouse.failpoints import failpoint

KIND = "retention"


@dataclass(frozen=True, kw_only=True)
class Due:
    """Rows of a column whose class is past its days."""

    data_class: str
    days: int
    table: str
    column: str
    rows: int


def overdue(con: duckdb.DuckDBPyConnection, contracts: Contracts, *, now: datetime) -> list[Due]:
    """What is past its days at ``now``; tables that never landed have none."""
    present = people.landed(con)
    found = []
    for table, column, data_class, days in retained(contracts):
        label = f"{table.schema}.{table.name}"
        if label not in present:
            continue
        query = f"select count(*) from {label} as n where {_past(contracts, table, column)}"
        (rows,) = con.execute(query, {"now": now, "days": days}).fetchall()[0]
        if rows:
            found.append(Due(data_class=data_class, days=days, table=label, column=column, rows=int(rows)))
    return found


def enforce(rights: Rights, *, now: datetime | None = None) -> Path | None:
    """Empty what is past its days, and write the file anew so that its bytes go; None when nothing was.

    What is built from it follows with the next run: the rows count as changed. Returns the receipt's path. What was
    interrupted is ended first; where nothing is due besides, its receipt is the one.
    """
    now = now or datetime.now(UTC)
    with rights.warehouse.writer("retention", on_wait=rights.progress) as con:
        forgetting.prepare(con)
        due = overdue(con, rights.contracts, now=now)
        waiting = [receipt for receipt, begun in journal.under_way(con).items() if begun["kind"] == KIND]
        if due or waiting:
            receipts.signing_key(rights.settings)
        if due:
            waiting.append(receipts.new_id())
            with transaction(con):
                at = positions.stamp(con)
                for table, column, _, days in retained(rights.contracts):
                    if any((each.table, each.column) == (f"{table.schema}.{table.name}", column) for each in due):
                        _empty(con, rights.contracts, table, column, days=days, now=now, at=at)
                journal.begin(con, waiting[-1], KIND, as_of=now.isoformat(), emptied=[asdict(each) for each in due])
        elif not waiting:
            ledger.record(con, actor=rights.actor, action=KIND, outcome="done", detail=_told(0))
    failpoint("retention_after_rows")
    return [finish(rights, receipt) for receipt in waiting][-1] if waiting else None


def finish(rights: Rights, receipt: str) -> Path:
    """Write the file anew, and the receipt, once the values are out of the tables."""
    rights.warehouse.rewrite("retention: rewriting the file", on_wait=rights.progress)
    with rights.warehouse.writer("retention", on_wait=rights.progress) as con:
        begun = journal.begun(con, receipt)
    emptied = begun["emptied"]
    body = {
        **head(rights, KIND, receipt, None, None, begun["requested_at"]),
        "as_of": begun["as_of"],
        "emptied": emptied,
    }
    return conclude(rights, body, action=KIND, detail=_told(sum(each["rows"] for each in emptied)))


def _told(values: int) -> str:
    return f"{values} values emptied"


def standing(con: duckdb.DuckDBPyConnection, contracts: Contracts, *, now: datetime) -> dict[str, Any]:
    """For ``status``: days a class, rows past them, and when retention was enforced last."""
    days = {name: each.retain_days for name, each in contracts.classes.items() if each.retain_days}
    past = dict.fromkeys(days, 0)
    for each in overdue(con, contracts, now=now):
        past[each.data_class] += each.rows
    last = None
    if "tailrace.privacy_audit" in people.landed(con):
        ((last,),) = con.execute(
            "select strftime(max(done_at), '%Y-%m-%dT%H:%M:%SZ') from tailrace.privacy_audit where action = ?", [KIND]
        ).fetchall()
    classes = [{"class": name, "days": days[name], "overdue_values": past[name]} for name in days]
    return {"classes": classes, "enforced_at": last}


def retained(contracts: Contracts) -> Iterator[tuple[Table, str, str, int]]:
    """(table, column, class, days) of every column of raw whose class has an end."""
    for source in contracts.sources:
        for table in contracts.raw_tables(source):
            named = {path.value.column for path in table.tenant_paths if path.value.path is None} | set(table.key)
            for column in table.landed:
                if column.data_class.retain_days is not None and column.name not in named:
                    yield table, column.name, column.data_class.name, column.data_class.retain_days


def document_rest(contracts: Contracts, table: Table, column: str) -> str | None:
    """What of a document is about no person and read by what is built: it stays."""
    rule = erasure_rule(contracts, table)
    return next((each.rest for each in rule.emptied if each.column == column), None)


def _past(contracts: Contracts, table: Table, column: str) -> str:
    """The condition that a row of ``n`` still has what its class's days have passed for."""
    rest, name = document_rest(contracts, table, column), f"n.{quote(column)}"
    holds = f"{name} is not null" + (f" and {name}::varchar is distinct from ({rest})::varchar" if rest else "")
    return f"{holds} and n.{quote(table.retain_from)}::timestamptz < $now::timestamptz - to_days($days)"


def _empty(
    con: duckdb.DuckDBPyConnection,
    contracts: Contracts,
    table: Table,
    column: str,
    *,
    days: int,
    now: datetime,
    at: datetime,
) -> None:
    rest = document_rest(contracts, table, column)
    con.execute(
        f"update {quote(table.schema)}.{quote(table.name)} as n set {quote(column)} = {rest or 'null'}, "
        f"_airbyte_extracted_at = $at where {_past(contracts, table, column)}",
        {"at": at, "now": now, "days": days},
    )
