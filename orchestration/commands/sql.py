"""``tailrace sql``: a query on the analytics file, read-only and shut off from every other file."""

from __future__ import annotations

import duckdb

from orchestration import console
from settings import TailraceError, load_settings

ROWS_SHOWN = 200


def run(query: str, *, region: str | None, as_json: bool) -> None:
    path = load_settings(region=region).analytics_path
    if not path.exists():
        raise TailraceError(f"{path}: no analytics file yet; run the pipeline first (`make demo`)")
    # Read-only and without external access: a query can neither change a mart nor read another file.
    with duckdb.connect(str(path), read_only=True, config={"enable_external_access": "false"}) as connection:
        try:
            connection.execute("set TimeZone = 'UTC'")
            result = connection.execute(query)
            columns = [column[0] for column in result.description or []]
            rows = result.fetchall() if as_json else result.fetchmany(ROWS_SHOWN + 1)
        except duckdb.Error as error:
            raise TailraceError(f"sql: {str(error).splitlines()[0]}") from None
    if as_json:
        console.emit_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    console.table("", columns, rows[:ROWS_SHOWN])
    if len(rows) > ROWS_SHOWN:
        console.out.print(f"the first {ROWS_SHOWN} rows; --json gives all of them")
