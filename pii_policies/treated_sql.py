"""Recognises a treatment in compiled SQL by its shape: what the project's own macros give, around any value.

The macros under ``dbt_project/macros/treatments/`` are the definition, which ``vectors.json`` holds to the bytes. Here
each is rendered for DuckDB around a placeholder; compiled SQL that has the same shape, with the same value wherever the
placeholder stands, is that treatment. Anything else, however alike, is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import jinja2
import sqlglot
from sqlglot import exp

from settings import ROOT

DIALECT = "duckdb"
MACROS = ROOT / "dbt_project/macros"
_FILES = ("treatments/*.sql", "generated/redact.sql")
_VALUE = "__value__"
# Each the name of the macro that applies it.
_TREATMENTS = ("pseudonymise", "mask", "generalise_network", "generalise_month", "generalise_band", "redact")


@dataclass(frozen=True)
class Treated:
    """A treatment found in SQL: the value it was applied to, and the key columns that it took (``tenant_key.ipad``)."""

    treatment: str
    value: exp.Expr
    keys: tuple[exp.Column, ...]


def find(node: exp.Expr) -> Treated | None:
    """The treatment that ``node`` as a whole is, if it is one."""
    for treatment, template in _templates().items():
        if type(template) is not type(node):
            continue
        bound: dict[str, exp.Expr] = {}
        keys: list[exp.Column] = []
        if _same(template, node, bound, keys) and _VALUE in bound:
            return Treated(treatment, bound[_VALUE], tuple(keys))
    return None


def rendered(macro: str, argument: str, *, folder: Path = MACROS, dialect: str = "default") -> str:
    """The SQL of a treatment macro around ``argument``, for DuckDB (``default``) or ``snowflake``, without dbt."""
    return str(getattr(_module(folder, dialect), macro)(argument)).strip()


@lru_cache(maxsize=4)
def _module(folder: Path, dialect: str) -> jinja2.environment.TemplateModule:
    # SQL, not HTML: there is nothing to escape.
    environment = jinja2.Environment(autoescape=False, extensions=["jinja2.ext.do"])
    source = "\n".join(path.read_text(encoding="utf-8") for glob in _FILES for path in sorted(folder.glob(glob)))
    template = environment.from_string(source)

    class Adapter:
        """Of dbt's adapter all that the macros use: which variant of a macro an engine gets."""

        @staticmethod
        def dispatch(name: str) -> object:
            return getattr(module, f"{dialect}__{name}", None) or getattr(module, f"default__{name}")

    context: dict[str, object] = {
        "adapter": Adapter,
        "return": lambda value: value,
        "source": lambda schema, table: f"{schema}.{table}",
    }
    environment.globals.update(context)
    module = template.make_module(context)
    return module


@lru_cache(maxsize=1)
def _templates() -> Mapping[str, exp.Expr]:
    return {treatment: sqlglot.parse_one(rendered(treatment, _VALUE), dialect=DIALECT) for treatment in _TREATMENTS}


def _same(template: object, node: object, bound: dict[str, exp.Expr], keys: list[exp.Column]) -> bool:
    if isinstance(template, exp.Column) and isinstance(node, exp.Expr):
        if template.name == _VALUE and not template.table:
            return bound.setdefault(_VALUE, node) == node
        if isinstance(node, exp.Column) and template.table:
            keys.append(node)
    if isinstance(template, exp.Identifier) and isinstance(node, exp.Identifier):
        return template.name.lower() == node.name.lower()
    if isinstance(template, exp.Expr):
        if type(template) is not type(node) or not isinstance(node, exp.Expr):
            return False
        names = set(template.args) | set(node.args)
        return all(_same(template.args.get(name), node.args.get(name), bound, keys) for name in names)
    if isinstance(template, list) and isinstance(node, list):
        return len(template) == len(node) and all(
            _same(one, other, bound, keys) for one, other in zip(template, node, strict=True)
        )
    return (template or None) == (node or None)
