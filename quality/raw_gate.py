"""The gate after landing: what the data contracts promise of a row, held against the rows that changed.

Its scope follows the change: rows landed since the gate last let this table pass. Rows it refused stay in scope until
they are mended at the source, so a later, separate run is refused for them too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb

from quality.expectations import ROWS_A_FRAME, Expectation, Finding, Verdict, examine
from warehouse import positions, quote

if TYPE_CHECKING:
    import pandas as pd

_GATE = "raw_gate"


def check_table(
    connection: duckdb.DuckDBPyConnection,
    *,
    schema: str,
    table: str,
    key: Sequence[str],
    expectations: Sequence[Expectation],
) -> Verdict:
    """Check the live rows of ``schema.table`` that changed since it last passed; move the mark when it passes.

    ``connection`` is a writer's. ``key`` is the table's primary key: two live rows of one key are a finding too.
    """
    name = f"{schema}.{table}"
    mark = (positions.read(connection, _GATE, name) or {}).get("passed_until", "-infinity")
    verdict = examine(
        name, _changed_rows(connection, schema, table, expectations, mark), expectations, row_id="_airbyte_raw_id"
    )
    doubled = _doubled_keys(connection, schema, table, key, mark)
    if doubled:
        finding = Finding(
            table=name,
            expectation="expect_compound_columns_to_be_unique",
            subject=", ".join(key),
            unexpected=doubled,
            checked=verdict.checked,
        )
        verdict = replace(verdict, findings=(*verdict.findings, finding))
    verdict = replace(verdict, expectations=verdict.expectations + 1)
    if verdict.passed:
        newest = connection.execute(
            f"select max(_airbyte_extracted_at)::varchar from {quote(schema)}.{quote(table)}"  # noqa: S608
        ).fetchone()
        if newest is not None and newest[0] is not None:
            positions.write(connection, _GATE, name, {"passed_until": newest[0]})
    return verdict


def _changed_rows(
    connection: duckdb.DuckDBPyConnection, schema: str, table: str, expectations: Sequence[Expectation], mark: str
) -> Iterator[pd.DataFrame]:
    """Only the columns that expectations speak of, in bounded frames."""
    columns = {column for each in expectations for column in each.columns}
    selected = ", ".join(quote(column) for column in ["_airbyte_raw_id", *sorted(columns)])
    result = connection.execute(
        f"select {selected} from {quote(schema)}.{quote(table)} "  # noqa: S608
        "where _airbyte_extracted_at > ?::timestamptz and _ab_cdc_deleted_at is null",
        [mark],
    )
    vectors = max(1, ROWS_A_FRAME // 2048)
    while len(frame := result.fetch_df_chunk(vectors)):
        yield frame


def _doubled_keys(connection: duckdb.DuckDBPyConnection, schema: str, table: str, key: Sequence[str], mark: str) -> int:
    columns = ", ".join(map(quote, key))
    name = f"{quote(schema)}.{quote(table)}"
    row = connection.execute(
        f"select count(*) from (select {columns} from {name} where _ab_cdc_deleted_at is null "  # noqa: S608
        f"group by all having count(*) > 1 and max(_airbyte_extracted_at) > ?::timestamptz)",
        [mark],
    ).fetchone()
    return int(row[0]) if row else 0
