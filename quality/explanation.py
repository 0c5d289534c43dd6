"""What an explanation of a figure is, whatever the figure is of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import duckdb

Row = dict[str, Any]
_SHOWN = ("table", "key", "occurred_at", "counts_for", "lsn", "extracted_at")


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """``cell`` as it stands, ``recounted`` from the landed rows, ``rows`` of them that made it, oldest first.

    ``steps``: the figure in each table on the way, as (table, figure). ``rows``: source table, key, time, what of it
    counts (``part``: a subscription's item, an invoice's line; None where all of it does), how much it counts for, the
    LSN it was captured at (None where it was copied before the stream began, or came from an API) and when it landed.
    """

    rollup: str
    tenant: str
    day: date
    metric: str
    cell: Any
    recounted: Any
    steps: list[tuple[str, Any]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        return bool(self.cell == self.recounted)

    @classmethod
    def of_usage(
        cls,
        *,
        table: str,
        tenant: str,
        day: date,
        metric: str,
        cell: Any,
        recounted: Any,
        steps: Sequence[tuple[str, Any]],
        rows: Sequence[Row],
    ) -> Explanation:
        """Of rows of the product, which count whole and of which nothing else is told."""
        return cls(
            rollup=table,
            tenant=tenant,
            day=day,
            metric=metric,
            cell=cell,
            recounted=recounted,
            steps=list(steps),
            rows=[{**{name: row[name] for name in _SHOWN}, "part": None} for row in rows],
        )


def the_figure(connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[object] = ()) -> Any:
    """The first value of the first row; None where there is none."""
    found = connection.execute(query, parameters).fetchone()
    return found[0] if found else None
