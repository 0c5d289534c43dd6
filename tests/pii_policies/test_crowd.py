"""A model that sets tenants beside each other without a threshold is found in its compiled SQL, whatever its shape."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

import pytest

from pii_policies.crowd import LEAST, problems
from pii_policies.prove import Model

USAGE = "staging.stg_app__usage"


def model(query: str, *, name: str = "fct_figures", layer: str = "marts") -> Model:
    return Model(name=name, layer=layer, schema=layer, queries=(query,))


LEAKS = {
    "a self-join with other tenants": f"select n.tenant_id, avg(o.runs) as peers from {USAGE} n join {USAGE} o "
    "on n.plan = o.plan and n.tenant_id <> o.tenant_id group by n.tenant_id",
    "a group without an id": f"select plan, sum(runs) as runs from {USAGE} group by plan",
    "no group at all": f"select 't' as tenant_id, max(runs) as most from {USAGE}",
    "a cte that lets the tenant fall first": f"with u as (select plan, runs from {USAGE}) "
    "select plan, sum(runs) as runs from u group by all",
    "a window": f"select tenant_id, runs, avg(runs) over (partition by plan) as mean from {USAGE}",
    "a window over everybody": f"select tenant_id, sum(runs) over () as mean from {USAGE}",
    "a scalar subquery": f"select tenant_id, (select max(runs) from {USAGE}) as most from {USAGE}",
    "groups by position": f"select plan, sum(runs) from {USAGE} group by 1",
    "a threshold of too few": f"select plan, sum(runs) as runs, count(distinct tenant_id) as n from {USAGE} "
    f"group by plan having count(distinct tenant_id) >= {LEAST - 1}",
    "a threshold on the figure itself": f"select plan, sum(runs) as runs from {USAGE} group by plan "
    "having sum(runs) >= 10",
}
INNOCENTS = {
    "by tenant": f"select tenant_id, sum(runs) as runs from {USAGE} group by tenant_id",
    "by tenant's position": f"select tenant_id, day, sum(runs) from {USAGE} group by 1, 2",
    "by a tenant's record": f"select customer_id, max(tenant_id) as t, sum(paid) from {USAGE} group by customer_id",
    "a window within a tenant": f"select tenant_id, sum(runs) over (partition by tenant_id order by day) from {USAGE}",
    "of the company": f"select 'all' as tenant_id, month, sum(runs) as runs from {USAGE} group by month",
    "a calendar": "select month, max(day) as last from intermediate.int_calendar group by month",
    "with a threshold": f"select plan, sum(runs) as runs from {USAGE} group by plan "
    f"having count(distinct tenant_id) >= {LEAST}",
    "with a threshold by name": f"with p as (select plan, avg(runs) as mean, count(*) as peers from {USAGE} "
    "group by plan) select plan, mean from p where peers >= 12",
}


@pytest.mark.parametrize("query", LEAKS.values(), ids=LEAKS)
def test_a_figure_over_tenants_without_a_crowd_is_named(query: str) -> None:
    assert problems([model(query)]), query
    assert all(each.startswith("fct_figures: ") for each in problems([model(query)]))


@pytest.mark.parametrize("query", INNOCENTS.values(), ids=INNOCENTS)
def test_a_tenants_own_figure_and_a_crowds_raise_no_alarm(query: str) -> None:
    assert problems([model(query)]) == []


def test_a_model_in_between_hides_nothing() -> None:
    below = model(f"select tenant_id, plan, runs from {USAGE}", name="int_runs", layer="intermediate")
    above = model("select plan, sum(runs) as runs from intermediate.int_runs group by plan")
    assert [each.partition(":")[0] for each in problems([above, below])] == ["fct_figures"]


def test_what_was_reviewed_may_not_be_a_rollup() -> None:
    name, query = "fct_unit_economics_monthly", LEAKS["a window"]
    assert problems([model(query, name=name)]) == []
    assert problems([model(query, name=name, layer="rollups")])
