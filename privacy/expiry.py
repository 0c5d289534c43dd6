"""When Snowflake is rid of what was deleted: Time Travel, then Fail-safe, of each table as the server keeps it.

A deleted row can be read for as many days as its table retains (Time Travel). Of a permanent table Snowflake itself can
restore it for seven days more (Fail-safe), which nothing shortens; transient tables have none. A table that was dropped
or replaced keeps its rows as long, counted from then: dbt replaces tables, so each may have earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from privacy import receipts
from settings import Settings, TailraceError
from warehouse.lease import lease

FAIL_SAFE = timedelta(days=7)
KIND = "expiry"
_MOST = 10_000  # rows that a `show` gives
RULES = (
    "rows deleted from a table that stands count from the deletion, those of a dropped one from when it was dropped",
    "a table that was dropped so long ago that Time Travel lists it no more leaves Fail-safe within seven days of now; "
    "the last date of all allows for such",
)
NOT_REACHED = (
    "the deleting itself: rows are deleted by whoever deletes, at the time that this receipt counts from",
    "clones, shares, replicas, and files in stages, which keep what they have",
    "tables that the role does not see",
    "results of queries, which Snowflake keeps for a day after they were last used, up to 31 days",
)


class Cursor(Protocol):
    """What of a cursor of Snowflake's driver is used."""

    description: Any

    def execute(self, command: str) -> Any: ...

    def fetchall(self) -> list[Any]: ...


@dataclass(frozen=True, kw_only=True)
class Expiry:
    """One table, or an earlier one of its name that was dropped. Times in UTC, as ISO 8601."""

    table: str
    kind: str
    """permanent, transient or temporary"""
    dropped_at: str | None
    retention_days: int
    deleted_at: str
    """from when on it counts: when rows were deleted; of a dropped table, when that was dropped, with all it had"""
    time_travel_ends: str
    fail_safe_ends: str


def read_tables(cursor: Cursor, databases: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
    """Every table of the databases, dropped ones that can still be read too, and the account's least retention."""
    tables = []
    for database in databases:
        cursor.execute(f"show tables history in database {_quoted(database)}")
        found = _rows(cursor)
        if len(found) >= _MOST:
            raise TailraceError(f"Snowflake {database}: shows {_MOST:,} tables and no more; split it, or ask by schema")
        tables += found
    cursor.execute("show parameters like 'MIN_DATA_RETENTION_TIME_IN_DAYS' in account")
    least = [int(row["value"]) for row in _rows(cursor)]
    return tables, max(least, default=0)


def expiries(tables: Iterable[Mapping[str, Any]], *, least_days: int, deleted_at: datetime) -> list[Expiry]:
    """When what was deleted at ``deleted_at`` is gone from each table; the last to be rid of it first.

    ``tables`` are rows of ``show tables history``. ``least_days`` is ``MIN_DATA_RETENTION_TIME_IN_DAYS``, which holds
    for permanent tables. A table that was made after ``deleted_at`` never had it, and is left out. Raises TailraceError
    for a table whose retention the server does not tell.
    """
    found = []
    for row in tables:
        name = f"{row['database_name']}.{row['schema_name']}.{row['name']}"
        if row["schema_name"] == "INFORMATION_SCHEMA" or _moment(row["created_on"]) > deleted_at:
            continue
        kind = {"TABLE": "permanent"}.get(str(row["kind"]).upper(), str(row["kind"]).lower())
        days = _days(name, row.get("retention_time"))
        if kind == "permanent":
            days = max(days, least_days)
        dropped = _moment(row["dropped_on"]) if row.get("dropped_on") else None
        since = dropped or deleted_at
        readable = since + timedelta(days=days)
        gone = readable + (FAIL_SAFE if kind == "permanent" else timedelta())
        found.append(
            Expiry(
                table=name,
                kind=kind,
                dropped_at=_text(dropped) if dropped else None,
                retention_days=days,
                deleted_at=_text(since),
                time_travel_ends=_text(readable),
                fail_safe_ends=_text(gone),
            )
        )
    return sorted(found, key=lambda each: (each.fail_safe_ends, each.table), reverse=True)


def state(
    settings: Settings,
    cursor: Cursor,
    *,
    databases: Sequence[str],
    deleted_at: datetime,
    actor: str,
    now: datetime | None = None,
) -> Path:
    """Read the tables, and leave a signed receipt of when each is rid of what was deleted at ``deleted_at``.

    Returns the receipt's path. Raises TailraceError where no table is shown: then there is nothing to state.
    """
    receipts.signing_key(settings)
    tables, least = read_tables(cursor, databases)
    found = expiries(tables, least_days=least, deleted_at=deleted_at)
    if not found:
        raise TailraceError(
            f"Snowflake {', '.join(databases)}: shows no table that was there at {_text(deleted_at)}; grant the role "
            "usage on the schemas, or give the time of the deletion"
        )
    now = now or datetime.now(UTC)
    body = {
        "kind": KIND,
        "outcome": "done",
        "receipt": receipts.new_id(),
        "region": settings.region,
        "tenant": None,
        "subject": None,
        "requested_at": _text(now),
        "completed_at": _text(now),
        "actor": actor,
        "databases": list(databases),
        "deleted_at": _text(deleted_at),
        "time_travel_ends": max(each.time_travel_ends for each in found),
        "fail_safe_ends": max(_text(now + FAIL_SAFE), *(each.fail_safe_ends for each in found)),
        "rules": list(RULES),
        "tables": [asdict(each) for each in found],
        "not_reached": list(NOT_REACHED),
    }
    with lease(settings.warehouse_path.with_name("warehouse.lease"), purpose="expiry: receipt"):
        return receipts.issue(settings, body)


def _rows(cursor: Cursor) -> list[dict[str, Any]]:
    names = [str(each[0]).lower() for each in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _days(table: str, given: Any) -> int:
    try:
        return int(given)
    except (TypeError, ValueError):
        raise TailraceError(
            f"Snowflake {table}: `show tables` does not tell its retention; ask with the role that owns it"
        ) from None


def _moment(given: Any) -> datetime:
    moment = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
