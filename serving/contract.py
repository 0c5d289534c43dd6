"""What a rollup looks like in the product's Postgres, derived from the enforced contract of its dbt model."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from settings import TailraceError

PREFIX = "rollup_"
TENANT = "tenant_id"
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
class TableContract:
    """One published table: ``key`` leads with the tenant; ``source`` is (schema, table) in the warehouse."""

    name: str
    source: tuple[str, str]
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    description: str = ""

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
    return [_contract(node) for node in sorted(models, key=lambda node: str(node["name"]))]


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
    return TableContract(
        name=name,
        source=(str(node["schema"]), str(node.get("alias") or name)),
        columns=columns,
        key=key,
        description=_one_line(node.get("description")),
    )


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
