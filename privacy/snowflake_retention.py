"""Retention on Snowflake: what is past its class's days is emptied there, and the receipt says when it is gone.

The SQL is what DuckDB and Snowflake have in common, over a DB-API cursor. A run is a row of ``privacy.runs``,
which commits with the values that it emptied: killed in between, the next run writes its receipt. Documents of which
members stay are left to be named: what stays of them is said in DuckDB's words only.
"""

# ruff: noqa: S608 - identifiers are the contracts', each quoted, and times our own

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pii_policies import Contracts, Table, load_contracts
from pii_policies.snowflake import TRANSFORMER
from privacy import expiry, receipts
from privacy.expiry import Cursor
from privacy.retention import KIND, Due, document_rest, retained
from settings import Settings, TailraceError
from warehouse.lease import lease

_SCHEMA = "privacy"
_TABLE = f"{_SCHEMA}.runs"
NOT_EMPTIED = "documents of which some members stay, past their days: empty them by hand"


def enforce(
    settings: Settings,
    cursor: Cursor,
    *,
    databases: Sequence[str],
    actor: str,
    contracts: Contracts | None = None,
    now: datetime | None = None,
) -> list[Path]:
    """Empty what is past its days; the receipts, of runs that were interrupted too. None where nothing is due.

    ``cursor`` is in the database that holds raw, and sees it unmasked (``require_sight``). Raises TailraceError without
    the key that receipts are signed with.
    """
    now = now or datetime.now(UTC)
    receipts.signing_key(settings)
    cursor.execute(f"create schema if not exists {_SCHEMA}")
    cursor.execute(f"create table if not exists {_TABLE} (receipt varchar, begun varchar, ended varchar)")
    due, left = _overdue(cursor, contracts or load_contracts(), now=now)
    if due:
        begun = {
            "at": _text(now),
            "emptied": [asdict(each) for _, each in due],
            "left": [asdict(each) for each in left],
        }
        cursor.execute("begin")
        for table, each in due:
            sets = f"{_named(each.column)} = null, _airbyte_extracted_at = current_timestamp"
            past = _past(table, each.column, days=each.days, now=now)
            cursor.execute(f"update {_relation(table)} set {sets} where {past}")
        cursor.execute(f"insert into {_TABLE} values ('{receipts.new_id()}', '{json.dumps(begun)}', null)")
        cursor.execute("commit")
    cursor.execute(f"select receipt, begun from {_TABLE} where ended is null order by receipt")
    return [
        _conclude(settings, cursor, str(receipt), json.loads(begun), databases=databases, actor=actor)
        for receipt, begun in cursor.fetchall()
    ]


def require_sight(cursor: Cursor) -> None:
    """Raises TailraceError for a session that sees raw masked: it would find every value empty, and nothing due."""
    cursor.execute(f"select is_role_in_session('{TRANSFORMER}')")
    ((sees,),) = cursor.fetchall()
    if not sees:
        raise TailraceError(
            f"Snowflake: the role in use has not the role {TRANSFORMER} and sees raw masked; grant it that, and update "
            "on the raw schemas"
        )


def _conclude(
    settings: Settings, cursor: Cursor, receipt: str, begun: dict[str, Any], *, databases: Sequence[str], actor: str
) -> Path:
    emptied = {each["table"].upper() for each in begun["emptied"]}
    shown, least = expiry.read_tables(cursor, databases)
    found = expiry.expiries(shown, least_days=least, deleted_at=datetime.fromisoformat(begun["at"]))
    ends = [each for each in found if each.table.partition(".")[2].upper() in emptied]
    body = {
        "kind": KIND,
        "outcome": "done",
        "receipt": receipt,
        "region": settings.region,
        "tenant": None,
        "subject": None,
        "requested_at": begun["at"],
        "completed_at": _text(datetime.now(UTC)),
        "actor": actor,
        "as_of": begun["at"],
        "emptied": begun["emptied"],
        "left": {NOT_EMPTIED: begun["left"]} if begun["left"] else {},
        "expiry": [asdict(each) for each in ends],
        "not_reached": list(expiry.NOT_REACHED[1:]),
    }
    with lease(settings.warehouse_path.with_name("warehouse.lease"), purpose="retention: receipt"):
        path = receipts.issue(settings, body)
    cursor.execute(f"update {_TABLE} set ended = '{_text(datetime.now(UTC))}' where receipt = '{receipt}'")
    return path


def _overdue(cursor: Cursor, contracts: Contracts, *, now: datetime) -> tuple[list[tuple[Table, Due]], list[Due]]:
    """Columns with values past their days, by whether they can be emptied; tables that never landed have none."""
    cursor.execute(
        "select lower(table_schema), lower(table_name) from information_schema.tables "
        "where lower(table_catalog) = lower(current_database())"
    )
    present = {(str(schema), str(name)) for schema, name in cursor.fetchall()}
    due, left = [], []
    for table, column, data_class, days in retained(contracts):
        if (table.schema.lower(), table.name.lower()) not in present:
            continue
        past = _past(table, column, days=days, now=now)
        cursor.execute(f"select count(*) from {_relation(table)} where {past}")
        ((rows,),) = cursor.fetchall()
        if rows:
            each = Due(
                data_class=data_class, days=days, table=f"{table.schema}.{table.name}", column=column, rows=int(rows)
            )
            if document_rest(contracts, table, column) is None:
                due.append((table, each))
            else:
                left.append(each)
    return due, left


def _past(table: Table, column: str, *, days: int, now: datetime) -> str:
    """The condition that a row still has what its days have passed for. Airbyte may not tell when a row changed."""
    since = _named(table.retain_from)
    if table.retain_from.startswith("_ab_cdc_"):
        since = f"coalesce({_moment(since)}, {_moment('_airbyte_extracted_at')})"
    return f"{_named(column)} is not null and {_moment(since)} < {_moment(repr(_text(now - timedelta(days=days))))}"


def _moment(expression: str) -> str:
    return f"cast({expression} as timestamp with time zone)"


def _relation(table: Table) -> str:
    return f"{table.schema}.{_named(table.name)}"


def _named(name: str) -> str:
    """As Airbyte writes it on Snowflake; quoted, since a column may be called like a word of SQL."""
    return f'"{name.upper()}"'


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
