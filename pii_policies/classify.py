"""Looks for personal data where the contracts say there is none: columns that are kept, and columns nobody classified.

A second opinion, not a proof: it samples what landed and knows forms, not meanings. What it reports is for a person to
decide on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from pii_policies.compile import RAW_META
from pii_policies.contracts import Contracts
from pii_policies.redaction import redact

SAMPLE = 500  # distinct values of a column
_KIND = re.compile(r"\[(email|iban|card|national-id|ip|phone)\]")
# An id or a number may look like a card or a telephone number by chance; an address of e-mail never does.
_SHARES = {"email": 0.01, "iban": 0.01, "ip": 0.2, "card": 0.5, "national-id": 0.5, "phone": 0.5}
# Names that columns about persons have. Matched on whole words.
_NAMES = re.compile(
    r"(^|_)(e?mail|(first|last|full|given|family|middle|maiden)_?name|surname|phone|mobile|fax|birth\w*|dob|ssn|gender"
    r"|address|street|postal_?code|zip|iban|passport|salary|password|token|secret|ip)(_|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A column that looks personal: where, its class (None: nobody's), why, and the share of sampled values."""

    column: str
    data_class: str | None
    why: str
    share: float | None

    def __str__(self) -> str:
        share = "" if self.share is None else f", {self.share:.0%} of the values sampled"
        return f"{self.column} ({self.data_class or 'no class'}): {self.why}{share}"


def suspects(con: duckdb.DuckDBPyConnection, contracts: Contracts, *, sample: int = SAMPLE) -> list[Suspect]:
    """What looks personal among the raw columns that are kept or that no contract has. Values are not told."""
    classes = {
        (table.schema.lower(), table.name.lower(), column.name.lower()): column.data_class
        for table in contracts.tables()
        if table.derived_from is None
        for column in table.columns
    }
    schemas = {contract.schema.lower() for contract in contracts.sources.values()}
    found = []
    for schema, table, column, kind in con.execute(
        "select schema_name, table_name, column_name, data_type from duckdb_columns() "
        "where database_name = current_database() order by 1, 2, column_index"
    ).fetchall():
        if schema.lower() not in schemas or column in RAW_META:
            continue
        data_class = classes.get((schema.lower(), table.lower(), column.lower()))
        if data_class is not None and data_class.treatment != "keep":
            continue
        name = data_class.name if data_class else None
        for why, share in _reasons(con, schema, table, column, kind, sample):
            found.append(Suspect(column=f"{schema}.{table}.{column}", data_class=name, why=why, share=share))
    return found


def _reasons(
    con: duckdb.DuckDBPyConnection, schema: str, table: str, column: str, kind: str, sample: int
) -> Iterator[tuple[str, float | None]]:
    if _NAMES.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column)):
        yield "its name", None
    if kind not in ("VARCHAR", "JSON") and not kind.endswith("[]"):
        return
    values = con.table(f'"{schema}"."{table}"').select(duckdb.ColumnExpression(column).cast("VARCHAR"))
    rows = values.distinct().limit(sample).fetchall()
    texts = [str(row[0]) for row in rows if row[0] is not None]
    counted: Counter[str] = Counter()
    for text in texts:
        counted.update(set(_KIND.findall(redact(text) or "")) - set(_KIND.findall(text)))
    for what, number in sorted(counted.items()):
        if number / len(texts) >= _SHARES[what]:
            yield f"{what} in its values", round(number / len(texts), 4)
