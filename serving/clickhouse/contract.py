"""What a model looks like in ClickHouse, derived from its dbt contract and what it declares as ``meta.clickhouse``."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from serving.contract import TENANT, TableContract, typed_columns
from settings import TailraceError

DAY = "day"
"""What slices are of; every model published has it."""
GENERATION = "_generation"
"""Which attempt at publishing wrote a row; which of them stand is said by ``slices`` and ``publications``."""
LEVELS = (0.5, 0.95, 0.99)
Every = Literal["hour", "day"]
_TYPES = {
    "uuid": "UUID",
    "text": "String",
    "jsonb": "String",
    "date": "Date32",
    "boolean": "Bool",
    "smallint": "Int16",
    "integer": "Int32",
    "bigint": "Int64",
    "double precision": "Float64",
    "timestamp with time zone": "DateTime64(6, 'UTC')",
}
_DECIMAL = re.compile(r"numeric\((\d+),(\d+)\)")


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """Figures that are kept added up: a row a tenant, ``every`` hour or day, and value of the columns ``by``."""

    name: str
    every: Every
    by: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Detail:
    """One published model: ``contract`` has PostgreSQL's types, and as its key the order in which rows are stored.

    Of an aggregate, ``sums`` are added up, of ``uniques`` distinct values are counted, and ``quantiles`` maps a column
    to the one that says how often each of its values is meant.
    """

    contract: TableContract
    nullable: frozenset[str]
    time: str
    sums: tuple[str, ...]
    uniques: tuple[str, ...]
    quantiles: dict[str, str]
    aggregates: tuple[Aggregate, ...]

    @property
    def name(self) -> str:
        return self.contract.name

    @property
    def table(self) -> str:
        """The table's name, another one as soon as anything about its shape changes."""
        shape = [
            [(column.name, column.type, column.name in self.nullable) for column in self.contract.columns],
            [self.contract.key, self.time, self.sums, self.uniques, sorted(self.quantiles.items())],
            [(each.name, each.every, each.by) for each in self.aggregates],
        ]
        return f"{self.name}_{hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:8]}"

    @property
    def tables(self) -> tuple[str, ...]:
        """All tables that hold rows of it."""
        return (self.table, *(aggregate_table(self.table, each.name) for each in self.aggregates))

    @property
    def views(self) -> tuple[str, ...]:
        """Views of those, under names that stay."""
        return (self.name, *(aggregate_table(self.name, each.name) for each in self.aggregates))

    def type(self, column: str) -> str:
        """ClickHouse's type of a column."""
        (declared,) = (each.type for each in self.contract.columns if each.name == column)
        decimal = _DECIMAL.fullmatch(declared)
        bare = f"Decimal({decimal[1]}, {decimal[2]})" if decimal else _TYPES[declared]
        return f"Nullable({bare})" if column in self.nullable else bare

    def type_of_sum(self, column: str) -> str:
        """The type that sums of a column fit in."""
        (declared,) = (each.type for each in self.contract.columns if each.name == column)
        if decimal := _DECIMAL.fullmatch(declared):
            return f"Decimal(38, {decimal[2]})"
        return "Float64" if declared == "double precision" else "Int64"


def aggregate_table(table: str, aggregate: str) -> str:
    """The table of an aggregate of what ``table`` holds."""
    return f"{table}_{aggregate}"


def load_details(manifest_path: Path) -> list[Detail]:
    """Every model of a dbt manifest that declares ``meta.clickhouse``, by name; none is no fault.

    Raises TailraceError when the manifest cannot be read, the contract is not enforced, or what is declared does not
    fit the columns.
    """
    try:
        nodes = json.loads(manifest_path.read_text(encoding="utf-8"))["nodes"].values()
    except (OSError, ValueError, KeyError):
        raise TailraceError(f"{manifest_path}: no readable dbt manifest; run `dbt parse` in dbt_project") from None
    declared = [
        (node, (node["config"].get("meta") or {}).get("clickhouse"))
        for node in sorted(nodes, key=lambda node: str(node["name"]))
        if node["resource_type"] == "model"
    ]
    return [_detail(node, meta) for node, meta in declared if meta]


def _detail(node: dict[str, Any], meta: dict[str, Any]) -> Detail:
    name = str(node["name"])
    if not (node["config"].get("contract") or {}).get("enforced"):
        raise TailraceError(f"dbt model {name}: its contract is not enforced; set contract: {{enforced: true}}")
    columns = tuple(column for column in typed_columns(node) if not column.name.startswith("_"))
    required = {
        column
        for column, body in node["columns"].items()
        if any(each["type"] in ("not_null", "primary_key") for each in body.get("constraints") or [])
    }
    types = {column.name: column.type for column in columns}
    try:
        detail = Detail(
            contract=TableContract(
                name=name,
                source=(str(node["schema"]), str(node.get("alias") or name)),
                columns=columns,
                key=tuple(meta["order"]),
                description=" ".join(str(node.get("description") or "").split()),
            ),
            nullable=frozenset(types) - required,
            time=meta["time"],
            sums=tuple(meta.get("sums", ())),
            uniques=tuple(meta.get("uniques", ())),
            quantiles=dict(meta.get("quantiles", {})),
            aggregates=tuple(
                Aggregate(name=key, every=each["every"], by=tuple(each["by"]))
                for key, each in (meta.get("aggregates") or {}).items()
            ),
        )
    except (KeyError, TypeError, AttributeError):
        raise TailraceError(
            f"dbt model {name}: meta.clickhouse does not fit; it has order, time, and may have sums, uniques, "
            "quantiles and aggregates, each with every and by"
        ) from None
    used = {detail.time, *detail.contract.key, *detail.sums, *detail.uniques, *detail.quantiles}
    used |= {*detail.quantiles.values(), *(column for each in detail.aggregates for column in each.by)}
    if unknown := used - set(types):
        raise TailraceError(f"dbt model {name}: meta.clickhouse names {min(unknown)}, which is no column of it")
    if detail.contract.key[:1] != (TENANT,) or detail.contract.day != DAY:
        raise TailraceError(f"dbt model {name}: meta.clickhouse.order leads with {TENANT} and has the date {DAY}")
    if loose := detail.nullable & {*detail.contract.key, detail.time, *detail.sums, *detail.quantiles.values()}:
        raise TailraceError(f"dbt model {name}: {min(loose)} is sorted by or added up; give it a not_null constraint")
    if types[detail.time] != "timestamp with time zone":
        raise TailraceError(f"dbt model {name}: meta.clickhouse.time is no timestamp with time zone")
    if wrong := [each.name for each in detail.aggregates if each.every not in get_args(Every)]:
        raise TailraceError(f"dbt model {name}: aggregate {wrong[0]} is every hour or every day")
    return detail
