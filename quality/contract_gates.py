"""The expectations that `tailrace policy compile` made of the contracts: one file, and what holds staging to it."""

# ruff: noqa: S608 - names are the artefact's, each quoted; values are bound

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import yaml

from quality.expectations import Expectation, Finding, Verdict
from settings import TailraceError
from warehouse import positions, quote

DEFINITIONS = Path(__file__).with_name("contract_gates.yml")
_SCHEMA, _GATE = "staging", "staging_gate"
_COLUMNS, _SHAPE = "expect_table_columns_to_match_ordered_list", "expect_column_values_to_match_regex"


def raw_expectations(label: str, *, path: Path = DEFINITIONS) -> Sequence[Expectation]:
    """Those of one raw table, ``schema.table``. Raises TailraceError for a table that the artefact does not know."""
    return _of(path, "raw", label)


def staging_models(*, path: Path = DEFINITIONS) -> list[str]:
    """The staging models that have a gate."""
    return list(_loaded(path)["staging"])


def check_staging(con: duckdb.DuckDBPyConnection, model: str, *, path: Path = DEFINITIONS) -> Verdict:
    """Hold a staging model to its columns, and the rows built since it last passed to the shapes of their treatments.

    ``con`` is a writer's. The mark moves when it passes, so that rows once refused are refused again. All in one query:
    pseudonyms of millions of rows would take minutes as frames.
    """
    expectations, name = _of(path, "staging", model), f"{_SCHEMA}.{model}"
    (wanted,) = (each.kwargs["column_list"] for each in expectations if each.type == _COLUMNS)
    shapes = {each.kwargs["column"]: each.kwargs["regex"] for each in expectations if each.type == _SHAPE}
    present = _columns(con, model)
    if present != wanted:
        strange = sorted(set(present) ^ set(wanted)) or ["their order"]
        finding = Finding(table=name, expectation=_COLUMNS, subject=", ".join(strange), unexpected=1, checked=1)
        return Verdict(table=name, checked=0, expectations=len(expectations), findings=(finding,))
    mark = (positions.read(con, _GATE, model) or {}).get("passed_until", "-infinity")
    tests = [f"count(*) filter (not regexp_full_match({quote(column)}::varchar, ?))" for column in shapes]
    counts = con.execute(
        f"select max(_extracted_at)::varchar, count(*), {', '.join([*tests, '0'])} "
        f"from {_SCHEMA}.{quote(model)} where _extracted_at > ?::timestamptz",
        [*shapes.values(), mark],
    ).fetchall()[0]
    newest, checked, unexpected = counts[0], int(counts[1]), counts[2:]
    findings = tuple(
        Finding(table=name, expectation=_SHAPE, subject=column, unexpected=int(count), checked=checked)
        for column, count in zip(shapes, unexpected, strict=False)
        if count
    )
    if not findings and newest is not None:
        positions.write(con, _GATE, model, {"passed_until": newest})
    return Verdict(table=name, checked=checked, expectations=len(expectations), findings=findings)


def _columns(con: duckdb.DuckDBPyConnection, model: str) -> list[str]:
    rows = con.execute(
        "select column_name from information_schema.columns where table_catalog = current_database() "
        "and table_schema = ? and table_name = ? order by ordinal_position",
        [_SCHEMA, model],
    ).fetchall()
    return [str(name) for (name,) in rows]


def _of(path: Path, kind: str, name: str) -> Sequence[Expectation]:
    listed = _loaded(path)[kind].get(name)
    if listed is None:
        raise TailraceError(f"{path.name}: no gate of {name}; run `tailrace policy compile`")
    return [Expectation(type=each["type"], kwargs=each["kwargs"]) for each in listed]


@cache
def _loaded(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        return dict(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # noqa: S506  both are safe
    except (OSError, yaml.YAMLError):
        raise TailraceError(f"{path.name}: cannot be read; run `tailrace policy compile`") from None
