"""What the gates hold: of raw tables what the contracts promise, of staging the shape that each treatment leaves.

Expectations go by Great Expectations' names. Staging is the one place where treated values are made, and everything
downstream is made of it, so a treatment that did nothing is seen there, whatever the SQL says.
"""

from __future__ import annotations

from typing import Any

from pii_policies.compile import staging_columns, staging_name, yaml_text
from pii_policies.contracts import Contracts, Table

Expectations = list[dict[str, Any]]

SHAPES = {
    "pseudonymise": "[0-9a-f]{64}",
    "mask": ".?[*]{3}(@[^@]*)?",
    "generalise to network": "([0-9]{1,3}[.]){3}0/24|([0-9a-f]{1,4}:){3}:/48",
    "generalise to month": "[0-9]{4,}-[0-9]{2}-01",
    "generalise to band": "-?[(]?(0|10*)-(10*)?[)]?",
}
"""Treatment → the whole of a treated value, as text. Redacted text has no shape; what is dropped has no column."""


def gates_yml(contracts: Contracts) -> str:
    """The file that ``quality`` loads: tables and models by name, each with its expectations."""
    raw = {
        f"{table.schema}.{table.name}": raw_expectations(table)
        for source in contracts.sources
        for table in contracts.raw_tables(source)
    }
    staging = {staging_name(table): staging_expectations(table) for table in contracts.tables()}
    return yaml_text({"raw": raw, "staging": staging})


def raw_expectations(table: Table) -> Expectations:
    """What the contract of a table promises of each live row: required columns, allowed values, keys."""
    found: Expectations = []
    for column in table.landed:
        if column.required or column.key_position is not None:
            found.append({"type": "expect_column_values_to_not_be_null", "kwargs": {"column": column.name}})
        if column.allowed:
            kwargs = {"column": column.name, "value_set": list(column.allowed)}
            found.append({"type": "expect_column_values_to_be_in_set", "kwargs": kwargs})
    return found


def staging_expectations(table: Table) -> Expectations:
    """The columns that the model has, which what is dropped is not among, and the shape of each treated one."""
    names = [name for name, _, _ in staging_columns(table)]
    found: Expectations = [{"type": "expect_table_columns_to_match_ordered_list", "kwargs": {"column_list": names}}]
    for column in table.staged:
        shape = SHAPES.get(column.data_class.label)
        if shape is not None:
            kwargs = {"column": column.staged_as, "regex": f"^({shape})$"}
            found.append({"type": "expect_column_values_to_match_regex", "kwargs": kwargs})
    return found
