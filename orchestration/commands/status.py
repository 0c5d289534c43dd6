"""``tailrace status``: where every stream stands, what is landed, how the last run went, who holds the warehouse."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ingestion.land import raw_table
from ingestion.postgres import Standing, standings
from ingestion.postgres.position import SOURCE, Position
from orchestration import console
from orchestration.environment import prepare
from pii_policies import load_contracts
from privacy.retention import standing
from settings import Settings, load_settings
from warehouse import open_warehouse, positions, quote
from warehouse.lease import holder


def run(*, region: str | None, as_json: bool) -> None:
    settings = load_settings(region=region)
    values = describe(settings)
    if as_json:
        console.emit_json(values)
        return
    last = values["last_run"]
    console.out.print(f"region {values['region']}, warehouse {values['warehouse_path']}", soft_wrap=True)
    console.out.print(f"last run: {last['status']} at {last['started_at']}" if last else "last run: none yet")
    _show_databases(values["databases"])
    if values["writer"]:
        console.out.print(f"the warehouse is held by {values['writer']}; positions are shown when it is done")
        return
    console.table(
        "positions", ["source", "stream", "position", "landed at"], [_row(each) for each in values["positions"]]
    )
    console.table("rows", ["table", "rows"], [(each["table"], each["rows"]) for each in values["tables"]])
    if retention := values["retention"]:
        rows = [(each["class"], each["days"], each["overdue_values"]) for each in retention["classes"]]
        title = f"retention, enforced last: {retention['enforced_at'] or 'never'}"
        console.table(title, ["class", "days", "values past them"], rows)


def describe(settings: Settings) -> dict[str, Any]:
    """Everything ``status`` reports; tables and positions are empty before the first run and while a writer works.

    ``databases`` are the source databases as their servers answer now, or why they do not.
    """
    prepare(settings)
    writer = holder(open_warehouse(settings).lease_path)
    values: dict[str, Any] = {
        "region": settings.region,
        "warehouse_path": str(settings.warehouse_path),
        "writer": writer,
        "last_run": _last_run(),
        "databases": [],
        "positions": [],
        "tables": [],
        "retention": None,
    }
    landed: dict[str, Position] = {}
    if writer is None and settings.warehouse_path.exists():
        with open_warehouse(settings).reader("status") as connection:
            values["positions"] = [
                {"source": source, "stream": stream, "position": position, "updated_at": stamp}
                for source, stream, position, stamp in positions.all_positions(connection)
            ]
            values["tables"] = _tables(connection)
            values["retention"] = standing(connection, load_contracts(), now=datetime.now(UTC))
            for each in values["positions"]:
                position = Position.read(connection, each["stream"]) if each["source"] == SOURCE else None
                if position is not None:
                    landed[each["stream"]] = position
    tables = [raw_table(table) for table in load_contracts().raw_tables("app")]
    values["databases"] = [asdict(each) for each in standings(settings, tables=tables, positions=landed)]
    return values


def _show_databases(databases: list[dict[str, Any]]) -> None:
    rows = []
    for each in (Standing(**values) for values in databases):
        lag = [None if each.lag_bytes is None else _size(each.lag_bytes), each.lag_seconds]
        slot = [None if size is None else _size(size) for size in (each.retained_bytes, each.safe_bytes)]
        rows.append([each.database, each.lsn, *lag, *slot, each.wal_status if each.reachable else "not reachable"])
    headings = ["database", "landed up to", "behind by", "seconds", "held by the slot", "until it is lost", "slot"]
    console.table("product databases", headings, rows)
    for each in (Standing(**values) for values in databases):
        for line in each.problems:
            console.out.print(f"  [red]✗[/] {console.plain(line)}", soft_wrap=True)
        for line in each.warnings:
            console.out.print(f"  [yellow]![/] {console.plain(line)}", soft_wrap=True)
        for table, columns in each.unclassified.items():
            line = f"{each.database}: {table}: no contract classifies {', '.join(columns)}"
            console.out.print(f"  [yellow]![/] {console.plain(line)}", soft_wrap=True)


def _size(size: int) -> str:
    for unit, scale in (("GB", 1024**3), ("MB", 1024**2), ("kB", 1024)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{size} B"


def _tables(connection: Any) -> list[dict[str, Any]]:
    names = connection.execute(
        "select table_schema, table_name from information_schema.tables where table_catalog = current_database() "
        "and table_type = 'BASE TABLE' and table_schema not in ('tailrace', 'main') order by 1, 2"
    ).fetchall()
    return [
        {
            "table": f"{schema}.{name}",
            "rows": connection.execute(f"select count(*) from {quote(schema)}.{quote(name)}").fetchone()[0],  # noqa: S608
        }
        for schema, name in names
    ]


def _last_run() -> dict[str, str] | None:
    from dagster import DagsterInstance

    with DagsterInstance.get() as instance:
        records = instance.get_run_records(limit=1)
    if not records:
        return None
    started = records[0].start_time
    return {
        "run_id": records[0].dagster_run.run_id,
        "status": records[0].dagster_run.status.value.lower(),
        "started_at": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds") if started else "not started",
    }


def _row(each: dict[str, Any]) -> tuple[str, str, str, str]:
    shown = ", ".join(
        f"{name}={value}" for name, value in each["position"].items() if not isinstance(value, dict | list)
    )
    return each["source"], each["stream"], shown, each["updated_at"]
