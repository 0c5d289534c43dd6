"""``tailrace explain``: from a figure of a rollup or a mart down to the rows and log positions that made it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date

from orchestration import console
from quality.explain import explain
from settings import TailraceError, load_settings
from warehouse import open_warehouse

ROWS_SHOWN = 50


def run(
    rollup: str,
    *,
    tenant: str,
    day: str,
    metric: str,
    row: str | None,
    currency: str | None,
    region: str | None,
    as_json: bool,
) -> None:
    try:
        parsed = date.fromisoformat(day)
    except ValueError:
        raise TailraceError(f"explain: {day} is not a day; write it as 2026-01-31") from None
    settings = load_settings(region=region)
    with open_warehouse(settings).reader("explain") as connection:
        found = explain(
            connection,
            rollup=rollup,
            tenant=tenant.lower(),
            day=parsed,
            metric=metric,
            row=row,
            currency=currency.lower() if currency else None,
        )
    if as_json:
        console.emit_json({**asdict(found), "agrees": found.agrees})
        return
    console.table(f"{metric} on {parsed}", ["table", "figure"], [(table, str(figure)) for table, figure in found.steps])
    console.table(
        "landed rows",
        ["table", "key", "part", "at", "counts for", "lsn", "landed at"],
        [
            (
                *(each["table"], each["key"], each["part"], each["occurred_at"]),
                *(str(each["counts_for"]), each["lsn"], each["extracted_at"]),
            )
            for each in found.rows[:ROWS_SHOWN]
        ],
    )
    if len(found.rows) > ROWS_SHOWN:
        console.out.print(f"the first {ROWS_SHOWN} of {len(found.rows)} rows; --json gives all of them")
    verdict = f"as in {rollup}" if found.agrees else f"which {rollup} does not say: run the pipeline, rows landed since"
    console.out.print(f"{len(found.rows)} rows make {found.recounted}, {verdict}")
