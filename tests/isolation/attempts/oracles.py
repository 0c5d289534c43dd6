"""Attempts that learn from how an answer is given: functions that tell, errors, plans, estimates and time."""

# ruff: noqa: S608 - every statement is made of constants and of names out of the catalogue
from __future__ import annotations

import re
import statistics
import time
import uuid
from typing import Any

from tests.isolation.attempts.queries import USAGE, each_table
from tests.isolation.registry import Attack, Session, attempt

_TELL = (
    "create function pg_temp.tell(anyelement) returns boolean language plpgsql cost 0.0000001 as "
    "$$ begin raise notice '%', $1; return true; end $$"
)
_NUMBER = re.compile(r"\d+")
_BRIEF = "costs off, timing off, summary off"
_NOBODY = "7919cafe-0001-4000-8000-00000000beef"  # as alike as can be, and nobody's


@attempt("sql", "a cheap function in where, told every row it is given")
def leaky_function(attack: Attack) -> None:
    """By the index, and by a scan of all rows, where the cheapest condition is tried first."""
    with attack.session() as session:
        session.ask(_TELL)
        for setting in ("on", "off"):
            for kind in ("indexscan", "bitmapscan", "indexonlyscan"):
                session.quietly(f"set enable_{kind} = {setting}")
            for table in session.rollups():
                session.ask(f"select 1 from {table} as t where pg_temp.tell(t)")
                session.ask(f"select 1 from {table} where pg_temp.tell(tenant_id)")
                session.ask(f"select 1 from {table} where pg_temp.tell(tenant_id) and tenant_id = %s", [attack.other])


@attempt("sql", "a cheap function with no tenant set")
def leaky_function_without_tenant(attack: Attack) -> None:
    with attack.session(tenant=None) as session:
        session.ask(_TELL)
        for table in session.rollups():
            session.ask(f"select 1 from {table} as t where pg_temp.tell(t)")


@attempt("sql", "cheap functions in joins, order by, group by, having, windows and limits")
def leaky_clauses(attack: Attack) -> None:
    with attack.session() as session:
        session.ask(_TELL)
        for table in session.rollups():
            for query in (
                "select 1 from {t} as t join (values (1)) as v (i) on pg_temp.tell(t)",
                "select 1 from {t} as t order by pg_temp.tell(t)",
                "select 1 from {t} as t group by pg_temp.tell(t.tenant_id)",
                "select 1 from {t} as t group by tenant_id having pg_temp.tell(tenant_id)",
                "select sum(1) over (partition by pg_temp.tell(t)) from {t} as t",
                "select distinct on (pg_temp.tell(t)) 1 from {t} as t",
                "select case when pg_temp.tell(t) then 1 end from {t} as t limit 1",
                "select count(*) filter (where pg_temp.tell(t)) from {t} as t",
            ):
                session.ask(query.replace("{t}", table))


@attempt("sql", "an operator of one's own, cheap and declared to match an index")
def leaky_operator(attack: Attack) -> None:
    with attack.session() as session:
        session.ask(
            "create function pg_temp.same(uuid, uuid) returns boolean language plpgsql cost 0.0000001 as "
            "$$ begin raise notice 'compared % %', $1, $2; return true; end $$"
        )
        session.ask(
            "create operator pg_temp.=== (function = pg_temp.same, leftarg = uuid, rightarg = uuid, restrict = eqsel)"
        )
        for table in session.rollups():
            session.ask(
                f"select 1 from {table} where tenant_id operator(pg_temp.===) %s::uuid",
                [attack.world.own.id],
            )


@attempt("sql", "functions and aggregates declared leakproof, or to run as their definer")
def leakproof_claims(attack: Attack) -> None:
    with attack.session() as session:
        session.ask(
            _TELL.replace("language plpgsql", "language plpgsql leakproof").replace("pg_temp.tell", "pg_temp.proof")
        )
        session.ask(_TELL)
        session.ask("alter function pg_temp.tell(anyelement) leakproof")
        session.ask("alter function pg_temp.tell(anyelement) owner to tailrace_owner")
        session.ask("alter function pg_temp.tell(anyelement) security definer")
        for table in session.rollups():
            session.ask(f"select 1 from {table} as t where pg_temp.proof(t)")
            session.ask(f"select 1 from {table} as t where pg_temp.tell(t)")


@attempt("sql", "a domain whose check tells, an index and a default that call a function")
def leaky_types(attack: Attack) -> None:
    with attack.session() as session:
        session.ask(_TELL)
        session.ask("create domain pg_temp.told as uuid check (pg_temp.tell(value))")
        for number, table in enumerate(session.rollups()):
            session.ask(f"select tenant_id::pg_temp.told from {table}")
            session.ask(f"select 1 from {table} where tenant_id::pg_temp.told is not null")
            session.ask(f"create index taken{number} on {table} (pg_temp.tell(tenant_id))")


@attempt("sql", "casts that fail on others' values and quote them")
def cast_errors(attack: Attack) -> None:
    each_table(
        attack,
        "select tenant_id::text::integer from {t}",
        "select 1 from {t} as t where t::text::integer = 1",
        "select 1 from {t} where tenant_id::text::integer = 1 and tenant_id = {other}",
        "select 1 from {t} as t where (to_jsonb(t) ->> 'tenant_id')::date is not null",
    )


@attempt("sql", "errors that arise only on others' rows: division by zero, overflow, subscripts")
def arithmetic_errors(attack: Attack) -> None:
    each_table(
        attack,
        "select 1 from {t} where 1 / (case when tenant_id = {other} then 0 else 1 end) = 1",
        f"select 1 from {{t}} where case when tenant_id <> '{attack.world.own.id}' then 1 / 0 else 1 end = 1",
        "select 1 from {t} where 2147483647 + (case when tenant_id = {other} then 1 else 0 end) > 0",
        "select sqrt(case when tenant_id = {other} then -1 else 1 end) from {t}",
        "select 1 from {t} where repeat('a', case when tenant_id = {other} then 1073741824 else 1 end) = 'a'",
    )


@attempt("sql", "errors out of scalar subqueries: more than one row")
def cardinality_errors(attack: Attack) -> None:
    with attack.session() as session:
        for table in session.rollups():
            session.ask(f"select (select tenant_id from {table} where tenant_id = %s)", [attack.other])
            session.ask(f"select (select tenant_id from {table} where tenant_id <> %s)", [attack.world.own.id])


@attempt("sql", "plans of one's own query and of another's id: shape, rows and buffers")
def executed_plans(attack: Attack) -> None:
    """An id that exists and one that does not are handled alike, block for block."""
    attack.know(_NOBODY)
    with attack.session() as session:
        for table in session.rollups():
            for query in (
                f"select * from {table} where tenant_id = '{attack.other}'",
                f"select * from {table} where tenant_id in ('{attack.other}', '{attack.world.own.id}')",
                f"select * from {table} where (tenant_id, 1) >= ('{attack.other}', 1)",
                f"select from (values ('{attack.other}'::uuid)) v (id) join {table} on tenant_id = id",
            ):
                explained = [
                    f"explain (analyze, buffers, {_BRIEF}) " + each
                    for each in (query, query.replace(attack.other, _NOBODY))
                ]
                for each in explained:
                    session.quietly(each)
                one, two = (_blocks(session.quietly(each)) for each in explained)
                attack.note(table, "the same" if one == two.replace(_NOBODY, attack.other) else f"{one} {two}")


def _blocks(plan: list[tuple[Any, ...]]) -> str:
    """A plan without whether blocks were in memory."""
    lines = "\n".join(str(row[0]) for row in plan)
    lines = re.sub(r"Memory: \d+kB|Planning:\n\s+Buffers:[^\n]*", "", lines)
    return re.sub(
        r"shared(?: (?:hit|read)=\d+)+", lambda found: f"{sum(map(int, _NUMBER.findall(found[0])))} blocks", lines
    )


def estimate(session: Session, query: str) -> int:
    """How many rows the planner expects."""
    rows = session.quietly("explain (format json) " + query)
    return int(rows[0][0][0]["Plan"]["Plan Rows"]) if rows else -1


@attempt("sql", "the planner's estimate for another's id against that for nobody's")
def estimated_by_id(attack: Attack) -> None:
    """Statistics may only be consulted by leakproof operators, and equality of ids is one."""
    with attack.session() as session:
        for table in session.rollups():
            for condition in ("= '{}'", "<= '{}'", "in ('{}', 'fa11ce00-0000-4000-8000-000000000001')", "<> '{}'"):
                one, two = (
                    estimate(session, f"select from {table} where tenant_id {condition.format(each)}")
                    for each in (attack.other, attack.know(_NOBODY))
                )
                attack.note(table, condition, "alike" if one == two else f"{one} and {two} rows")


@attempt("sql", "another's id found by halving on the planner's estimates")
def id_by_estimates(attack: Attack) -> None:
    """Where the estimate of ``tenant_id < x`` jumps, a tenant's id stands in the statistics."""
    with attack.session() as session:
        for table in session.rollups():
            low, high = 0, (1 << 128) - 1

            def rows(value: int, table: str = table) -> int:
                return estimate(session, f"select from {table} where tenant_id < '{uuid.UUID(int=value)}'")

            bottom, top = rows(low), rows(high)
            while high - low > 1 and bottom != top:
                middle = (low + high) // 2
                at = rows(middle)
                low, high, bottom, top = (
                    (middle, high, at, top) if top - at >= at - bottom else (low, middle, bottom, at)
                )
            attack.note(table, "found" if bottom != top else "nothing", uuid.UUID(int=low) if bottom != top else "")


@attempt("sql", "others' days and figures found by the planner's estimates")
def values_by_estimates(attack: Attack) -> None:
    """What is expected must not depend on the value that is asked for."""
    probes = {
        "date": ("1950-01-01", "1979-03-07", "1979-12-31", "2026-01-05"),
        "text": ("", "own000", "quollmark00100", "zzz"),
    }
    with attack.session() as session:
        for table in session.rollups():
            schema, name = (part.strip('"') for part in table.split('"."'))
            for column in session.columns(schema, name):
                ((kind,),) = session.quietly(
                    "select atttypid::regtype::text from pg_attribute where attrelid = %s::regclass and attname = %s",
                    [table, column],
                )
                for operator in ("<", ">", "="):
                    estimates = [
                        estimate(session, f"select from {table} where \"{column}\" {operator} '{attack.know(probe)}'")
                        for probe in probes.get(kind, ("0", "0.5", "5", "1000000000", "2146049000"))
                    ]
                    attack.note(table, column, operator, "alike" if len(set(estimates)) == 1 else estimates)


@attempt("sql", "generic and verbose plans, and settings in them")
def verbose_plans(attack: Attack) -> None:
    with attack.session() as session:
        # Which scan is cheaper depends on how many rows there are in all.
        session.quietly(
            "set enable_seqscan = off; set enable_bitmapscan = off; set max_parallel_workers_per_gather = 0"
        )
        for table in session.rollups():
            session.ask(f"explain (verbose, settings, costs off) select * from {table}")
            session.ask(f"explain (generic_plan, costs off) select * from {table} where tenant_id = $1")


@attempt("sql", "all tenants' rows in the planner's estimate", limit="totals")
def estimated_totals(attack: Attack) -> None:
    with attack.session() as session:
        for table in session.rollups():
            attack.note(table, estimate(session, f"select from {table}"))


@attempt("sql", "all tenants' rows among those that a forced scan removed", limit="totals")
def removed_totals(attack: Attack) -> None:
    with attack.session() as session:
        session.quietly("set enable_indexscan = off; set enable_bitmapscan = off; set enable_indexonlyscan = off")
        for table in session.rollups():
            session.ask(f"explain (analyze, {_BRIEF}) select * from {table}")


@attempt("sql", "time: another's id against nobody's")
def timed(attack: Attack) -> None:
    """Told apart only by a large effect, seen three times over: medians that differ by half and by a millisecond."""
    with attack.session() as session:
        for table in session.rollups():
            told = all(_slower(session, table, attack.other, attack.know(_NOBODY)) for _ in range(3))
            attack.note(table, "told apart by time" if told else "not told apart")


def _slower(session: Session, table: str, one: str, two: str) -> bool:
    samples: dict[str, list[float]] = {one: [], two: []}
    query = f"select count(*) from {table} where tenant_id = %s"
    for _ in range(15):
        for each, taken in samples.items():
            started = time.perf_counter()
            session.quietly(query, [each])
            taken.append(time.perf_counter() - started)
    first, second = (statistics.median(taken) for taken in samples.values())
    return abs(first - second) > max(0.5 * min(first, second), 0.001)


@attempt("sql", "statistics of columns: pg_stats, pg_statistic and their extensions")
def column_statistics(attack: Attack) -> None:
    with attack.session() as session:
        session.ask("select * from pg_stats where schemaname <> 'pg_catalog' and schemaname <> 'information_schema'")
        session.ask("select * from pg_stats_ext")
        session.ask("select * from pg_stats_ext_exprs")
        session.ask("select count(*) from pg_statistic")
        session.ask("select stxdmcv from pg_statistic_ext_data")
        session.ask("select pg_stat_get_backend_activity(1)")
        session.ask("create statistics pg_temp.mine (mcv) on tenant_id, day from " + USAGE)
        session.ask(f"analyze {USAGE}")
        session.ask(f"vacuum (verbose, analyze) {USAGE}")
        session.ask("select most_common_vals::text from pg_stats where tablename ~ 'rollup'")
