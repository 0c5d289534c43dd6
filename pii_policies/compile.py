"""What follows from the contracts: dbt sources, treated select lists, model properties, raw tables, the publication.

Pure functions from ``Contracts`` to text; the same contracts always give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pii_policies import keys
from pii_policies.classes import load_yaml
from pii_policies.contracts import CONTRACTS_DIR, Column, Contract, Contracts, Table, Value, contract_file
from settings import TailraceError

RESERVED = frozenset({"end", "start", "trigger"})
RAW_META: Mapping[str, str] = {
    "_airbyte_raw_id": "VARCHAR",
    "_airbyte_extracted_at": "TIMESTAMPTZ",
    "_airbyte_meta": "JSON",
    "_airbyte_generation_id": "BIGINT",
    "_ab_cdc_lsn": "BIGINT",
    "_ab_cdc_updated_at": "TIMESTAMPTZ",
    "_ab_cdc_deleted_at": "TIMESTAMPTZ",
}
HEADER = "Generated from pii_policies/contracts/ by `python -m pii_policies compile`; change those, not this."
_JSON_TYPE = "{{ 'json' if target.type == 'duckdb' else 'variant' }}"
_UNATTRIBUTED = "'unattributed'"
_RECENT_DAYS = 3  # of a stream, that a test of keys looks at


def validate(contracts: Contracts, directory: Path = CONTRACTS_DIR) -> None:
    """Hold every contract file to the Open Data Contract Standard's own models.

    Raises TailraceError naming file and place. Apart from the loader because the standard's package takes its time.
    """
    from open_data_contract_standard.model import OpenDataContractStandard
    from pydantic import ValidationError

    for source in contracts.sources:
        file = contract_file(source)
        try:
            OpenDataContractStandard(**load_yaml(directory / file))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise TailraceError(f"{file}: {place}: {first['msg']} (Open Data Contract Standard)") from None


# --------------------------------------------------------------------------------------------------- PostgreSQL


def publication_sql(
    contracts: Contracts,
    *,
    schemas: Sequence[str],
    directory: bool = True,
    publication: str = "tailrace",
    exists: bool = False,
) -> str:
    """The statement that publishes what may be read of a product database, column by column.

    ``schemas`` hold tenants' tables. With ``directory`` the tables that are not a tenant's own (`tenants`, `plans`) are
    published too, from the first schema; a silo database, whose directory is not read, goes without. ``exists`` alters
    a publication in place, which a replication slot that reads from it survives.
    """
    tables = [
        f"{_quote(schema)}.{_quote(table.name)} ({', '.join(_quote(column.name) for column in table.landed)})"
        for schema, table in _published(contracts, schemas, directory)
    ]
    verb, clause = ("alter", "set table") if exists else ("create", "for table")
    return f"{verb} publication {_quote(publication)} {clause}\n    " + ",\n    ".join(tables)


def grants_sql(contracts: Contracts, *, role: str, schemas: Sequence[str], directory: bool = True) -> list[str]:
    """The statements that let the capturing role read the published columns and no other, for its first snapshot."""
    statements = [f"grant usage on schema {_quote(schema)} to {_quote(role)}" for schema in schemas]
    for schema, table in _published(contracts, schemas, directory):
        # The system columns let a copy read a table in physical ranges, and go on after it was killed.
        columns = ", ".join([*(_quote(column.name) for column in table.landed), "ctid", "xmin"])
        statements.append(f"grant select ({columns}) on {_quote(schema)}.{_quote(table.name)} to {_quote(role)}")
    return statements


def _published(contracts: Contracts, schemas: Sequence[str], directory: bool) -> list[tuple[str, Table]]:
    published = []
    for index, schema in enumerate(schemas):
        for table in contracts.raw_tables("app"):
            own = any(column.name == "tenant_id" for column in table.columns)
            if own or (directory and index == 0):
                published.append((schema, table))
    return published


def _quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


# ------------------------------------------------------------------------------------------------------ staging


def staging_name(table: Table) -> str:
    return f"stg_{table.source}__{table.staged_as}"


def staging_columns(table: Table) -> list[tuple[str, str, str]]:
    """The columns of a table's staging model in order: name, type (as dbt writes it), description."""
    own = [(column.staged_as, staging_type(column), _described(column)) for column in table.staged]
    return [
        ("tenant_id", "varchar", '{{ doc("tenant_id") }}'),
        *own,
        ("is_deleted", "boolean", '{{ doc("is_deleted") }}'),
        ("_extracted_at", "timestamptz", '{{ doc("_extracted_at") }}'),
    ]


def staging_key(table: Table) -> list[str]:
    return [column.staged_as for column in table.key_columns]


def staging_type(column: Column) -> str:
    """The type a column has in staging, on either engine."""
    treatment, to = column.data_class.treatment, column.data_class.to
    if treatment in ("pseudonymise", "mask", "redact") or to in ("network", "band"):
        return "varchar"
    return "date" if to == "month" else _own_type(column)


def _own_type(column: Column) -> str:
    """The type that a column's values have in staging where they are kept."""
    if column.logical_type == "integer":
        return "bigint" if column.type == "VARCHAR" else column.type.lower()
    if column.logical_type == "number":
        return "decimal(18,4)" if column.type == "VARCHAR" else column.type.lower()
    return {
        "string": "varchar",
        "boolean": "boolean",
        "timestamp": "timestamptz",
        "date": "date",
        "object": _JSON_TYPE,
        "array": _JSON_TYPE,
    }[column.logical_type]


def _described(column: Column) -> str:
    note = {
        "pseudonymise": '{{ doc("pseudonym") }}',
        "mask": "Masked.",
        "redact": "Without what was recognised as personal.",
        "generalise": {
            "network": "Its /24 or /48 network only.",
            "month": "Its month only.",
            "band": "Its power of ten only.",
        }.get(column.data_class.to or ""),
    }.get(column.data_class.treatment)
    return f"{column.description} {note}" if note else column.description


def sources_yml(contract: Contract) -> str:
    """A dbt source of a contract's raw tables. Freshness is asked of tables that grow: others may rest for weeks."""
    fresh = {"warn_after": {"count": contract.freshness_hours, "period": "hour"}}
    tables = []
    for table in contract.tables.values():
        if table.derived_from is not None:
            continue
        config: dict[str, object] = {"meta": {"owner": contract.owner, "key": list(table.key)}}
        if table.grows or table.stream:
            config["freshness"] = fresh
            config["loaded_at_field"] = "_airbyte_extracted_at"
        columns = [
            {
                "name": column.name,
                "description": column.description,
                "config": {"meta": {"class": column.data_class.name, "treatment": column.data_class.treatment}},
            }
            for column in table.landed
        ]
        tables.append({"name": table.name, "description": table.description, "config": config, "columns": columns})
    source = {
        "name": contract.schema,
        "schema": contract.schema,
        "description": f'{{{{ doc("source_{contract.source}") }}}}',
        "tables": tables,
    }
    return yaml_text({"version": 2, "sources": [source]})


def models_yml(contract: Contract) -> str:
    """Properties of a contract's staging models: every column with type and description, the key tested."""
    models = []
    for table in contract.tables.values():
        columns = [{"name": n, "data_type": t, "description": d} for n, t, d in staging_columns(table)]
        key: dict[str, object] = {"arguments": {"columns": staging_key(table)}}
        if (
            table.stream
        ):  # Landing holds keys apart, and the gate on raw looks; all of history would cost more than a build.
            recent = {
                "extracted_within_days": _RECENT_DAYS,
                "landed_in": f"source('{contract.schema}', '{table.name}')",
            }
            key = {"arguments": {"columns": staging_key(table)} | recent}
        hidden = [c.staged_as for c in table.key_columns if c.data_class.treatment == "pseudonymise"]
        if hidden:  # Once a tenant's key is destroyed, its pseudonyms are null and tell no rows apart.
            key["config"] = {"where": " and ".join(f"{name} is not null" for name in hidden)}
        models.append(
            {
                "name": staging_name(table),
                "description": f"{table.description} {table.grain[:1].upper()}{table.grain[1:]}.",
                "config": {"contract": {"enforced": True}},
                "data_tests": [{"unique_combination_of_columns": key}],
                "columns": columns,
            }
        )
    return yaml_text({"version": 2, "models": models})


class _Dumper(yaml.SafeDumper):
    """Lists indented beneath their key, and no aliases."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        return True


def yaml_text(document: object) -> str:
    """A generated YAML file."""
    return f"# {HEADER}\n" + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


# -------------------------------------------------------------------------------------------------- dbt macros


@dataclass(frozen=True)
class _Expression:
    """SQL text, or a Jinja expression that gives it; the two are quoted differently wherever they nest."""

    text: str
    jinja: bool = False

    @property
    def sql(self) -> str:
        """As part of SQL."""
        return f"{{{{ {self.text} }}}}" if self.jinja else self.text

    @property
    def argument(self) -> str:
        """As an argument of a macro."""
        return self.text if self.jinja else f"'{self.text}'"

    def through(self, macro: str, *arguments: object) -> _Expression:
        """This expression given to a macro."""
        return _Expression(f"{macro}({', '.join([self.argument, *map(repr, arguments)])})", jinja=True)

    def as_text(self) -> _Expression:
        return _Expression(f"cast({self.sql} as varchar)")


def _raw(alias: str, column: str) -> _Expression:
    if column in RESERVED:
        return _Expression(f"'{alias}.' ~ reserved('{column}')", jinja=True)
    return _Expression(f"{alias}.{column}")


def _read(alias: str, value: Value) -> _Expression:
    """A column, or a member of a JSON one as text."""
    column = _raw(alias, value.column)
    return column.through("json_member", value.path) if value.path else column


@dataclass
class _Joins:
    """The joins that a select needs to find the tenant of its rows, in order, each under an alias of its own."""

    clauses: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def aliases(self) -> list[str]:
        return [alias for _, alias, _ in self.clauses]

    def add(self, table: Table, value: _Expression) -> str:
        """Join ``table`` on its key being ``value``. Returns the alias it is joined under."""
        key = table.key_columns[0]
        taken = self.aliases.count(table.name) + sum(alias.startswith(f"{table.name}_") for alias in self.aliases)
        alias = f"{table.name}_{taken + 1}" if taken else table.name
        relation = f"{{{{ source('{table.schema}', '{table.name}') }}}}"
        if key.type == "UUID":
            condition = f"lower({value.sql}) = cast({alias}.{key.name} as varchar)"
        else:
            condition = f"{value.sql} = {alias}.{key.name}"
        self.clauses.append((relation, alias, condition))
        return alias

    def lines(self) -> list[str]:
        return [f"    left join {relation} as {alias}\n        on {on}" for relation, alias, on in self.clauses]


def treated_macros(contracts: Contracts, contract: Contract) -> str:
    """A macro a table: the treated select over a CTE named ``source`` that holds raw rows."""
    macros = [_treated_macro(contracts, table) for table in contract.tables.values()]
    return f"{{# {HEADER} #}}\n\n\n" + "\n\n\n".join(macros) + "\n"


def _treated_macro(contracts: Contracts, table: Table) -> str:
    joins = _Joins()
    tenants = _tenants(contracts, table, "source", joins)
    tenant = f"coalesce({', '.join([*tenants, _UNATTRIBUTED])})" if tenants else _UNATTRIBUTED
    # A row changes with what says whose it is: when its customer is attributed at last, it is built anew.
    extracted = _Expression(f"last_extracted({', '.join(map(repr, ['source', *joins.aliases]))})", jinja=True)
    columns = [
        f"{tenant} as tenant_id",
        *(f"{_treated(column).sql} as {column.staged_as}" for column in table.staged),
        "source._ab_cdc_deleted_at is not null as is_deleted",
        f"{extracted.sql} as _extracted_at",
    ]
    lines = [f"{{% macro treated_{table.source}__{table.staged_as}() -%}}", "    select"]
    lines += ["        " + ",\n        ".join(columns), "    from source", *joins.lines()]
    if any(column.data_class.treatment == "pseudonymise" for column in table.staged):
        lines.append(f"    left join {{{{ tenant_keys() }}}} as tenant_key\n        on {tenant} = tenant_key.tenant_id")
    where = "where"
    if table.row_prefix is not None:
        column, prefix = table.row_prefix
        lines.append(f"    where left({_raw('source', column).sql}, {len(prefix)}) = '{prefix}'")
        where = "    and"
    if table.grows:
        lines.append("    {%- if is_incremental() %}")
        lines.append(f"    {where} {extracted.through('extracted_since_last_build').sql}")
        lines.append("    {%- endif %}")
    return "\n".join([*lines, "{%- endmacro %}"])


def _tenants(contracts: Contracts, table: Table, alias: str, joins: _Joins) -> list[str]:
    """The tenant of the row that ``alias`` holds, as text, by each of its table's paths; adds the joins on the way."""
    derived = {}
    if table.derived_from is not None:
        derived = {column.name: column.derived for column in table.columns if column.derived is not None}
    found = []
    for path in table.tenant_paths:
        value = _read(alias, derived.get(path.value.column, path.value))
        if path.target is None:
            found.append(value.as_text().sql)
        else:
            target = contracts.table(*path.target)
            found += _tenants(contracts, target, joins.add(target, value), joins)
    return found


def _treated(column: Column) -> _Expression:
    """A staged column: read from raw, treated as its class demands, in its staging type."""
    value = column.derived or Value(column=column.name)
    expression = _read("source", value)
    text = expression if value.path or column.type == "VARCHAR" else expression.as_text()
    data_class = column.data_class
    match data_class.treatment:
        case "pseudonymise":
            return (text.through("normalise_email") if data_class.normalise == "email" else text).through(
                "pseudonymise"
            )
        case "mask" | "redact":
            return text.through(data_class.treatment)
        case "generalise":
            whole = text if data_class.to == "network" else _kept(column, value, expression)
            return whole.through(f"generalise_{data_class.to}")
        case "keep":
            return _kept(column, value, expression)
        case _:
            raise AssertionError(f"{column.staged_as}: {data_class.treatment} leaves nothing to stage")


def _kept(column: Column, value: Value, expression: _Expression) -> _Expression:
    if column.type == "JSON":
        document = _raw("source", value.column)
        if column.members:
            members = {m.staged_as: m.derived.path for m in column.members if m.derived and m.data_class.staged}
            return document.through("json_elements", value.path, members)
        return document.through("json_document", *([value.path] if value.path else []))
    if column.type.endswith("[]"):
        return expression.through("list_document")
    if column.logical_type == "timestamp" and column.type == "BIGINT":
        return (expression.through("parsed", "bigint") if value.path else expression).through("from_unix")
    if column.type == "TIMESTAMP":
        return expression.through("from_utc")
    is_text = value.path is not None or column.type == "VARCHAR"
    if is_text and column.logical_type != "string":
        return expression.through("parsed", _own_type(column))
    return expression.as_text() if column.type in ("UUID", "TIME") else expression


def raw_tables_macro(contracts: Contracts) -> str:
    """A macro that makes every raw table, and the vault's, where it is missing: dbt runs where nothing ever landed."""
    statements = []
    for contract in contracts.sources.values():
        statements.append(f"create schema if not exists {contract.schema};")
        for table in contracts.raw_tables(contract.source):
            columns = [(column.name, column.type) for column in table.landed] + list(RAW_META.items())
            listed = ",\n    ".join(f'"{name}" {kind}' for name, kind in columns)
            statements.append(f"create table if not exists {contract.schema}.{table.name} (\n    {listed}\n);")
    statements.append(f"{keys.TABLE};")
    body = "\n".join(statements)
    return (
        f"{{# {HEADER} #}}\n"
        "{# On Snowflake these belong to the loader. #}\n"
        "{% macro create_raw_tables() -%}\n"
        "{% if target.type == 'duckdb' -%}\n"
        f"{body}\n"
        "{%- endif %}\n"
        "{%- endmacro %}\n"
    )
