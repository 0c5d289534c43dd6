"""Texts lose personal data before they land: every way into raw passes rows through here, as through ``forgetting``.

What lands is what every reader of raw finds: a later comparison with the source redacts first, and then compares.
"""

# ruff: noqa: S608 - names are the contracts', each quoted

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from pii_policies import Table, deeper
from pii_policies.contracts import Contracts
from pii_policies.erasure import erasure_rule
from settings import Redaction, TailraceError
from warehouse import DuckDBWarehouse, quote

_FUNCTION = "tailrace_redact"


def texts(contracts: Contracts, table: Table) -> frozenset[str]:
    """The columns of a table whose class is redacted. Raises TailraceError for one that says whose a row is."""
    found = frozenset(column.name for column in table.landed if column.data_class.treatment == "redact")
    rule = erasure_rule(contracts, table)
    naming = {*table.key, *rule.tenant_columns, *(each.column for each in rule.identifiers)}
    if clash := sorted(found & naming):
        raise TailraceError(
            f"{table.label}.{clash[0]}: is to be redacted before it lands, and rows are known by it; give it another "
            "class, or leave privacy.redaction out"
        )
    return found


def prepare(warehouse: DuckDBWarehouse, redaction: Redaction) -> None:
    """Let the warehouse redact. Raises TailraceError when Presidio, a recogniser or the model is not there."""
    change = deeper.redactor(redaction)

    def redact(given: pa.Array) -> pa.Array:
        return pa.array([change(text) for text in given.to_pylist()], pa.string())

    warehouse.define(_FUNCTION, redact)


def redacted(relation: str, columns: Collection[str]) -> str:
    """The relation with these columns redacted, as a subquery; itself where there are none."""
    if not columns:
        return relation
    replaced = [f"{_FUNCTION}(n.{quote(name)}::varchar) as {quote(name)}" for name in sorted(columns)]
    return f"(select n.* replace ({', '.join(replaced)}) from {relation} as n)"
