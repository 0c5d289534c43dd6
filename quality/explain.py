"""From a figure of a rollup or a mart down to the rows that made it, with the position at which each was captured.

Nothing of a row is told but its key, its time and where it came from: whoever asks may read figures, not content.
"""

from __future__ import annotations

from datetime import date

import duckdb

from quality.explain_company import COMPANY, explain_company
from quality.explain_money import MARTS, explain_money
from quality.explain_periods import PERIODS, explain_period
from quality.explain_usage import TABLES, explain_usage
from quality.explanation import Explanation
from settings import TailraceError


def explain(
    connection: duckdb.DuckDBPyConnection,
    *,
    rollup: str,
    tenant: str,
    day: date,
    metric: str,
    row: str | None = None,
    currency: str | None = None,
) -> Explanation:
    """Explain one figure of a rollup or a headline mart. ``connection`` reads the warehouse, raw and vault included.

    ``row`` says which one is meant where a tenant has several of a day: a feature, a model of AI, what is limited, a
    benchmark, a user's pseudonym. Raises TailraceError for a table, metric or row that is not known, for a cell that is
    not there, and for a figure in several currencies of which none is named.
    """
    if rollup in TABLES:
        return explain_usage(connection, table=rollup, tenant=tenant, day=day, metric=metric, row=row)
    if rollup in PERIODS:
        return explain_period(connection, table=rollup, tenant=tenant, day=day, metric=metric, row=row)
    if rollup in MARTS:
        return explain_money(connection, mart=rollup, tenant=tenant, day=day, metric=metric, currency=currency)
    if rollup == COMPANY:
        return explain_company(connection, tenant=tenant, day=day, metric=metric)
    known = ", ".join(sorted({*TABLES, *PERIODS, *MARTS, COMPANY}))
    raise TailraceError(f"explain: {rollup} is not a rollup or mart that can be explained; known are {known}")
