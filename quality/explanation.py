"""What an explanation of a figure is, whatever the figure is of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any


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
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        return bool(self.cell == self.recounted)
