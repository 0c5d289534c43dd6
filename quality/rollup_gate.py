"""The gate before publishing: what must hold of a whole rollup, and that it agrees with the fact it came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import yaml

from quality.expectations import ROWS_A_FRAME, Expectation, Finding, Verdict, examine
from settings import TailraceError
from warehouse import positions, quote

if TYPE_CHECKING:
    import pandas as pd

DEFINITIONS = Path(__file__).with_name("rollups.yml")
_GATE = "rollup_gate"


def rollup_names(path: Path = DEFINITIONS) -> list[str]:
    """The rollups that have a gate, in the order of the file."""
    return list(_definitions(path))


def check_rollup(connection: duckdb.DuckDBPyConnection, name: str, *, path: Path = DEFINITIONS) -> Verdict:
    """Check ``rollups.<name>`` whole; remember its size when it passes.

    A rollup that shrinks below its allowed share of the last passed size is refused: publishing it would take figures
    away from tenants. Raises TailraceError when the rollup has no gate or the definition does not fit.
    """
    definitions = _definitions(path)
    if name not in definitions:
        raise TailraceError(f"{path}: rollup {name} has no gate; add its expectations")
    definition = definitions[name]
    expectations = [
        Expectation(type=each["type"], kwargs=each.get("kwargs", {})) for each in definition["expectations"]
    ]
    verdict = examine(name, _rows(connection, name), expectations)
    findings = [*verdict.findings, *_unequal(connection, name, definition.get("reconciliations", []))]
    last = positions.read(connection, _GATE, name)
    least = int((last or {}).get("rows", 0) * float(definition.get("least_share_of_last", 0.9)))
    if verdict.checked < max(least, int(definition.get("least_rows", 1))):
        findings.append(
            Finding(
                table=name,
                expectation="expect_table_row_count_to_be_between",
                subject="the table",
                unexpected=max(least, 1) - verdict.checked,
                checked=verdict.checked,
            )
        )
    count = len(expectations) + len(definition.get("reconciliations", [])) + 1
    verdict = replace(verdict, expectations=count, findings=tuple(findings))
    if verdict.passed:
        positions.write(connection, _GATE, name, {"rows": verdict.checked})
    return verdict


def expect_fewer(connection: duckdb.DuckDBPyConnection, name: str, rows: int) -> None:
    """Rows that were taken away on purpose do not count as figures that vanish. The caller holds the transaction."""
    last = positions.read(connection, _GATE, name)
    if last is not None:
        positions.write(connection, _GATE, name, {"rows": max(0, int(last["rows"]) - rows)})


def _definitions(path: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        raise TailraceError(f"{path}: cannot be read as YAML; mend it") from None
    return dict(loaded["rollups"])


def _rows(connection: duckdb.DuckDBPyConnection, name: str) -> Iterator[pd.DataFrame]:
    result = connection.execute(f"select * from rollups.{quote(name)}")  # noqa: S608
    while len(frame := result.fetch_df_chunk(max(1, ROWS_A_FRAME // 2048))):
        yield frame


def _unequal(connection: duckdb.DuckDBPyConnection, name: str, reconciliations: list[dict[str, str]]) -> list[Finding]:
    """Each reconciliation is a query of the rows that disagree; it holds when there are none."""
    findings = []
    for each in reconciliations:
        row = connection.execute(f"select count(*) from ({each['disagreeing']})").fetchone()  # noqa: S608
        count = int(row[0]) if row else 0
        if count:
            findings.append(
                Finding(table=name, expectation=each["name"], subject="the table", unexpected=count, checked=count)
            )
    return findings
