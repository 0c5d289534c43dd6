"""Figures over tenants, found in the compiled SQL: what is shown beside one tenant's own stands for a crowd of others.

A query is over tenants when it joins rows of one to rows of another, or aggregates rows that are tenants' by keys of
which none is an id. It then needs a threshold: a comparison of a count with `k_anonymity`, ten or more. A relation
whose ``tenant_id`` is the literal 'all' tells of the company itself, to whoever may see all rows: it needs none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import sqlglot
from sqlglot import exp

from pii_policies.prove import Model

LEAST = 10
_TENANT = "tenant_id"
_LAYERS = ("intermediate", "marts", "rollups", "reconciliation")
_REVIEWED: Mapping[str, str] = {
    "fct_unit_economics_monthly": "one bit of a tenant, whether it is among the largest, for the company itself",
    "rec_totals": "the first day of all usage decides which month is compared in turn, and is not shown",
}
"""Models that may be over tenants without a threshold, and why; none of them may be a rollup."""
_Place = tuple[str, str]


def problems(models: Iterable[Model]) -> list[str]:
    """One line for each query over tenants that no threshold guards: model, what makes it one, and the remedy."""
    trees = {
        (model.schema.lower(), model.name.lower()): (model, sqlglot.parse_one(query, dialect="duckdb"))
        for model in models
        if model.layer in _LAYERS
        for query in model.queries[:1]
    }
    everybodys = {place for place, (_, tree) in trees.items() if _of_everybody(tree)}
    found = []
    for place, (model, tree) in sorted(trees.items()):
        reviewed = model.name in _REVIEWED and model.layer != "rollups"
        if place in everybodys or reviewed or _has_threshold(tree):
            continue
        for why in dict.fromkeys(_over_tenants(tree, everybodys, trees)):
            found.append(
                f"{model.name}: {why}: a figure over tenants without a threshold; use the macro k_anonymous, or "
                "compare a count of tenants with k_anonymity()"
            )
    return found


def _over_tenants(tree: exp.Expr, everybodys: set[_Place], models: Mapping[_Place, object]) -> Iterator[str]:
    ctes = {cte.alias.lower(): cte.this for cte in tree.find_all(exp.CTE)}
    for join in tree.find_all(exp.Join):
        on = join.args.get("on")
        for unequal in on.find_all(exp.NEQ) if on is not None else ():
            if _TENANT in {column.name.lower() for column in unequal.find_all(exp.Column)}:
                yield "joins rows of other tenants"
    for select in tree.find_all(exp.Select):
        if not _bears(select, ctes, everybodys, models, frozenset()):
            continue
        name = select.parent.alias if isinstance(select.parent, exp.CTE) else "its last query"
        if _aggregates(select) and not _keyed(_group_keys(select)):
            yield f"{name} aggregates over tenants"
        for window in select.find_all(exp.Window):
            own = window.find_ancestor(exp.Select) is select
            if own and isinstance(window.this, exp.AggFunc) and not _keyed(window.args.get("partition_by") or []):
                yield f"{name} has a window over tenants"


def _bears(
    node: exp.Expr,
    ctes: Mapping[str, exp.Expr],
    everybodys: set[_Place],
    models: Mapping[_Place, object],
    within: frozenset[str],
) -> bool:
    """Whether rows of a query are tenants' own: any relation that it reads is, all the way down."""
    for table in node.find_all(exp.Table):
        name, place = table.name.lower(), (table.db.lower(), table.name.lower())
        if not table.db and name in ctes:
            if name not in within and _bears(ctes[name], ctes, everybodys, models, within | {name}):
                return True
        elif place[0] == "staging" or (place in models and place not in everybodys and place[1] != "int_calendar"):
            return True
    return False


def _of_everybody(tree: exp.Expr) -> bool:
    """Whether the rows say that they are nobody's in particular."""
    for select in tree.find_all(exp.Select):
        for each in select.expressions:
            value = each.this if isinstance(each, exp.Alias) else each
            while isinstance(value, exp.Cast):
                value = value.this
            if each.alias_or_name.lower() == _TENANT and isinstance(value, exp.Literal) and value.this == "all":
                return True
    return False


def _aggregates(select: exp.Select) -> bool:
    """Whether it shows an aggregate of more than ids."""
    return any(
        isinstance(each, exp.AggFunc)
        and each.find_ancestor(exp.Select) is select
        and each.find_ancestor(exp.Window) is None
        and not (isinstance(each.this, exp.Column) and each.this.name.lower().endswith("_id"))
        for shown in select.expressions
        for each in shown.find_all(exp.AggFunc)
    )


def _group_keys(select: exp.Select) -> list[exp.Expr]:
    group = select.args.get("group")
    if group is None:
        return []
    if group.args.get("all"):
        return [each for each in select.expressions if each.find(exp.AggFunc) is None]
    positions = [each for each in group.expressions if isinstance(each, exp.Literal) and each.is_int]
    return [*group.expressions, *(select.expressions[int(each.this) - 1] for each in positions)]


def _keyed(keys: Iterable[exp.Expr]) -> bool:
    """Whether one of the keys is an id, so that a group is within one tenant."""
    names = [column.name.lower() for key in keys for column in key.find_all(exp.Column)]
    return any(name == "id" or name.endswith(("_id", "_key")) for name in names)


def _counted(value: exp.Expr) -> exp.Count | None:
    """The count that a column shows: of rows or within a window, less the tenant's own."""
    if isinstance(value, exp.Sub) and isinstance(value.expression, exp.Literal):
        value = value.this
    if isinstance(value, exp.Window):
        value = value.this
    return value if isinstance(value, exp.Count) else None


def _has_threshold(tree: exp.Expr) -> bool:
    counts = {each.alias.lower() for each in tree.find_all(exp.Alias) if _counted(each.this) is not None}
    return any(
        isinstance(each.expression, exp.Literal)
        and each.expression.is_int
        and int(each.expression.this) >= LEAST
        and (isinstance(each.this, exp.Count) or each.this.name.lower() in counts)
        for each in tree.find_all(exp.GTE)
    )
