"""The contracts as Snowflake says them: tags, tag-based masking, row access. Text; nothing here connects.

Masking hangs on a tag that each raw schema carries as ``restricted``, so that a column which nobody classified is
closed from the moment it is there; a column's own tag then says its class. One role may read raw as it is. Row access
goes by a table of roles and tenants; `dbt_project.yml` puts that policy on staging, marts, rollups and snapshots.
"""

from __future__ import annotations

from collections.abc import Iterator

from pii_policies.compile import RAW_META
from pii_policies.contracts import Contracts

_SCHEMA = "governance"
TRANSFORMER = "TAILRACE_TRANSFORMER"
# Snowflake's types of what may land: a tag takes one policy for each.
_TYPES = ("varchar", "number", "float", "boolean", "date", "timestamp_ntz", "timestamp_tz", "time", "variant", "binary")


def policies_sql(contracts: Contracts) -> str:
    """The script, to be run by a role that owns the schemas. It may be run again."""
    parts = (_tag(contracts), _masking(contracts), _columns(contracts), _row_access())
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _tag(contracts: Contracts) -> Iterator[str]:
    yield f"create schema if not exists {_SCHEMA};"
    names = ", ".join(f"'{name}'" for name in contracts.classes)
    yield f"create tag if not exists {_SCHEMA}.data_class allowed_values {names};"


def _masking(contracts: Contracts) -> Iterator[str]:
    kept = ", ".join(f"'{name}'" for name, each in contracts.classes.items() if each.treatment == "keep")
    yield "-- Raw is read as it is by the role that transforms it, and by nobody else but where a class is kept open."
    for kind in _TYPES:
        yield (
            f"create or replace masking policy {_SCHEMA}.mask_{kind} as (value {kind}) returns {kind} ->\n"
            f"    case\n"
            f"        when is_role_in_session('{TRANSFORMER}') then value\n"
            f"        when system$get_tag_on_current_column('{_SCHEMA}.data_class') in ({kept}) then value\n"
            f"    end;"
        )
    listed = ", ".join(f"masking policy {_SCHEMA}.mask_{kind}" for kind in _TYPES)
    yield f"alter tag {_SCHEMA}.data_class set {listed} force;"


def _columns(contracts: Contracts) -> Iterator[str]:
    for contract in contracts.sources.values():
        yield f"-- {contract.title}"
        yield f"alter schema {contract.schema} set tag {_SCHEMA}.data_class = 'restricted';"
        for table in contracts.raw_tables(contract.source):
            tags = [(column.name, column.data_class.name) for column in table.landed]
            tags += [(name, "restricted" if name == "_airbyte_meta" else "operational") for name in RAW_META]
            tagged = ",\n    ".join(f"column {_named(name)} set tag {_SCHEMA}.data_class = '{c}'" for name, c in tags)
            yield f"alter table if exists {contract.schema}.{_named(table.name)} modify\n    {tagged};"


def _row_access() -> Iterator[str]:
    yield "-- Which role sees whose rows; '*' is everybody's. dbt hangs the policy on each relation in making it."
    columns = "role_name varchar not null, tenant_id varchar not null"
    yield f"create table if not exists {_SCHEMA}.tenant_access ({columns});"
    access = f"select 1 from {_SCHEMA}.tenant_access where is_role_in_session(role_name)"  # noqa: S608  constants
    yield (
        f"create row access policy if not exists {_SCHEMA}.tenant_rows as (row_tenant varchar) returns boolean ->\n"
        f"    is_role_in_session('{TRANSFORMER}') or exists ({access} and tenant_id in (row_tenant, '*'));"
    )


def _named(name: str) -> str:
    return '"' + name.upper() + '"'
