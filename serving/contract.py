"""What a rollup looks like in the product's Postgres, derived from the enforced contract of its dbt model."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from settings import TailraceError

PREFIX = "rollup_"
TENANT = "tenant_id"
RESERVED = (TENANT, "first_day", "last_day", "days", "rank", "version", "as_of")
"""Columns that every window has, or may have."""
# Warehouse type -> PostgreSQL's own spelling, as format_type() gives it back, so that the two can be compared.
_TYPES = {
    "varchar": "text",
    "text": "text",
    "string": "text",
    "uuid": "uuid",
    "date": "date",
    "boolean": "boolean",
    "smallint": "smallint",
    "integer": "integer",
    "int": "integer",
    "bigint": "bigint",
    "hugeint": "numeric(38,0)",
    "double": "double precision",
    "float": "double precision",
    "timestamptz": "timestamp with time zone",
    "timestamp with time zone": "timestamp with time zone",
    "timestamp_tz": "timestamp with time zone",
    "json": "jsonb",
}
_DECIMAL = re.compile(r"(?:decimal|numeric|number)\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)")


@dataclass(frozen=True, kw_only=True)
class Column:
    """``type`` is PostgreSQL's."""

    name: str
    type: str
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A figure of a window: ``function`` (sum, mean, max, last, or p95 for a percentile) of a column of the rollup."""

    name: str
    function: str
    column: str

    @property
    def description(self) -> str:
        day = "day" if self.function != "last" else "the last day"
        return f"{self.function} of {self.column}, by {day} of the window that has a row."


@dataclass(frozen=True, kw_only=True)
class Window:
    """The last ``days`` whole days of each tenant, one row for each value of ``by``; ranked by the measure ``rank``."""

    name: str
    description: str
    days: int
    by: tuple[str, ...]
    measures: tuple[Measure, ...]
    rank: str | None


@dataclass(frozen=True, kw_only=True)
class TableContract:
    """One published table: ``key`` leads with the tenant; ``source`` is (schema, table) in the warehouse."""

    name: str
    source: tuple[str, str]
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    description: str = ""
    windows: tuple[Window, ...] = ()

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def values(self) -> tuple[str, ...]:
        """The columns outside the key."""
        return tuple(name for name in self.column_names if name not in self.key)

    @property
    def day(self) -> str | None:
        """The key's first date: a tenant's rows of one such day are a slice. None: all rows of a tenant are one."""
        types = {column.name: column.type for column in self.columns}
        return next((name for name in self.key if types[name] == "date"), None)


def load_rollup_contracts(manifest_path: Path) -> list[TableContract]:
    """Every ``rollup_*`` model of a dbt manifest, by name.

    Raises TailraceError when the manifest cannot be read, or a rollup has no enforced contract, a type unknown here, or
    no primary key that leads with ``tenant_id``.
    """
    try:
        nodes = json.loads(manifest_path.read_text(encoding="utf-8"))["nodes"].values()
    except (OSError, ValueError, KeyError):
        raise TailraceError(f"{manifest_path}: no readable dbt manifest; run `dbt parse` in dbt_project") from None
    models = [node for node in nodes if node["resource_type"] == "model" and node["name"].startswith(PREFIX)]
    if not models:
        raise TailraceError(f"{manifest_path}: no {PREFIX}* model in it; nothing could be published")
    contracts = [_contract(node) for node in sorted(models, key=lambda node: str(node["name"]))]
    windows = [window.name for contract in contracts for window in contract.windows]
    if twice := {name for name in windows if windows.count(name) > 1}:
        raise TailraceError(f"{manifest_path}: two rollups declare the window {min(twice)}; give one another name")
    return contracts


def _contract(node: dict[str, Any]) -> TableContract:
    name = str(node["name"])
    if not (node["config"].get("contract") or {}).get("enforced"):
        raise TailraceError(f"dbt model {name}: its contract is not enforced; set contract: {{enforced: true}}")
    columns = typed_columns(node)
    key = _primary_key(node)
    if not key or key[0] != TENANT or not set(key) <= {column.name for column in columns}:
        raise TailraceError(
            f"dbt model {name}: no primary key that leads with {TENANT}; declare a primary_key constraint on the model"
        )
    contract = TableContract(
        name=name,
        source=(str(node["schema"]), str(node.get("alias") or name)),
        columns=columns,
        key=key,
        description=_one_line(node.get("description")),
    )
    declared = (node["config"].get("meta") or {}).get("windows") or []
    return replace(contract, windows=tuple(_window(contract, each) for each in declared))


def _window(contract: TableContract, declared: Any) -> Window:
    """A window as ``config.meta.windows`` of a rollup declares it. Raises TailraceError for what cannot be computed."""
    try:
        given = _Declared.model_validate(declared)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("windows", *first["loc"])))
        raise TailraceError(f"dbt model {contract.name}: meta.{where}: {first['msg']}") from None
    measures = tuple(
        Measure(name=name, function=function, column=column)
        for name, computed in given.measures.items()
        for function, column in computed.items()
    )
    names = [*given.by, *given.measures]
    unknown = {each.column for each in measures} - set(contract.column_names)
    for faulty, complaint in (
        (contract.day is None, "its key has no date, so nothing rolls"),
        (not set(given.by) <= set(contract.key) - {TENANT, contract.day}, "`by` takes columns of the key"),
        (
            len({*names, *RESERVED}) < len(names) + len(RESERVED),
            f"two columns of one name; its own are {', '.join(RESERVED)}",
        ),
        (unknown, f"no column {', '.join(sorted(unknown))}"),
        (given.rank is not None and given.rank not in given.measures, "`rank` names no measure"),
        (given.rank is not None and not given.by, "`rank` needs `by`: a tenant is ranked among nobody else"),
    ):
        if faulty:
            raise TailraceError(f"dbt model {contract.name}: window {given.name}: {complaint}")
    return Window(
        name=given.name,
        description=_one_line(given.description),
        days=given.days,
        by=given.by,
        measures=measures,
        rank=given.rank,
    )


_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
_Function = Annotated[str, Field(pattern=r"^(sum|mean|max|last|p[1-9][0-9]?)$")]


class _Declared(BaseModel, extra="forbid", frozen=True):
    name: Annotated[str, Field(pattern=r"^rolling_[a-z0-9_]{1,32}$")]
    description: str
    days: Annotated[int, Field(ge=1, le=366)]
    by: tuple[str, ...] = ()
    measures: Annotated[
        dict[_Name, Annotated[dict[_Function, str], Field(min_length=1, max_length=1)]], Field(min_length=1)
    ]
    rank: str | None = None


def typed_columns(node: dict[str, Any]) -> tuple[Column, ...]:
    """The columns of a manifest's model. Raises TailraceError where a type is unknown here."""
    return tuple(_column(str(node["name"]), column) for column in node["columns"].values())


def _column(model: str, column: dict[str, Any]) -> Column:
    name = str(column["name"])
    declared = str(column.get("data_type") or "").strip().lower()
    # Tenant ids are text in the warehouse because of the tenant 'unattributed', which is never published.
    postgres = "uuid" if name == TENANT else _postgres_type(declared)
    if postgres is None:
        raise TailraceError(f"dbt model {model}: column {name} has the type {declared or '(none)'}; use one of "
                            f"{', '.join(sorted(_TYPES))} or decimal(p, s)")  # fmt: skip
    return Column(name=name, type=postgres, description=_one_line(column.get("description")))


def _postgres_type(declared: str) -> str | None:
    if match := _DECIMAL.fullmatch(declared):
        return f"numeric({match[1]},{match[2]})"
    return _TYPES.get(declared)


def _primary_key(node: dict[str, Any]) -> tuple[str, ...]:
    for constraint in node.get("constraints") or []:
        if constraint["type"] == "primary_key":
            return tuple(constraint["columns"])
    return tuple(
        str(column["name"])
        for column in node["columns"].values()
        if any(constraint["type"] == "primary_key" for constraint in column.get("constraints") or [])
    )


def _one_line(text: object) -> str:
    return " ".join(str(text or "").split())
