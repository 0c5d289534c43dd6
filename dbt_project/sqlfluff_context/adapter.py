"""``adapter`` as the project's macros know it, for sqlfluff: it renders them as dbt would for DuckDB, without dbt."""

from __future__ import annotations

from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context


@pass_context
def dispatch(context: Context, macro: str) -> Any:
    """The macro's form for DuckDB, which stands beside the macro."""
    return context.resolve(f"default__{macro}")


def quote(identifier: str) -> str:
    return f'"{identifier}"'


def get_relation(database: str, schema: str, identifier: str) -> None:
    """No relation is there: nothing was built."""
