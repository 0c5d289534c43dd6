"""Great Expectations over pandas frames, reduced to counts: no value of a row ever leaves this module.

The SQL backend of Great Expectations does not work on the pinned DuckDB, so bounded frames are checked, in turn.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from settings import TailraceError

if TYPE_CHECKING:
    import great_expectations as gx
    import pandas as pd

ROWS_A_FRAME = 500_000


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One expectation of Great Expectations, by its own name and arguments."""

    type: str
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """The column or columns it speaks of, in words."""
        return ", ".join(self.columns) or "the table"

    @property
    def columns(self) -> list[str]:
        """The columns that its arguments name."""
        named = [value for name, value in self.kwargs.items() if name in ("column", "column_A", "column_B")]
        return [str(column) for column in [*named, *self.kwargs.get("column_list", [])]]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """An expectation that did not hold: where, which, and on how many of the rows checked."""

    table: str
    expectation: str
    subject: str
    unexpected: int
    checked: int
    raw_ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.table}.{self.subject}: {self.expectation} fails on {self.unexpected} of {self.checked} rows"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a gate says of one table."""

    table: str
    checked: int
    expectations: int
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        return not self.findings


def examine(
    table: str,
    frames: Iterable[pd.DataFrame],
    expectations: Iterable[Expectation],
    *,
    row_id: str | None = None,
) -> Verdict:
    """Hold every frame against every expectation. ``row_id`` names the column that identifies a refused row.

    Raises TailraceError when an expectation is unknown or cannot be evaluated: a gate never passes by accident.
    """
    wanted = list(expectations)
    unexpected = [0] * len(wanted)
    raw_ids: list[list[str]] = [[] for _ in wanted]
    checked = 0
    for frame in frames:
        checked += len(frame)
        for index, (count, rows) in enumerate(_check(table, frame, wanted, locate=row_id is not None)):
            unexpected[index] += count
            if row_id is not None:
                raw_ids[index] += [str(value) for value in frame[row_id].iloc[rows]]
    findings = tuple(
        Finding(
            table=table,
            expectation=each.type,
            subject=each.subject,
            unexpected=count,
            checked=checked,
            raw_ids=tuple(ids),
        )
        for each, count, ids in zip(wanted, unexpected, raw_ids, strict=True)
        if count
    )
    return Verdict(table=table, checked=checked, expectations=len(wanted), findings=findings)


def _check(
    table: str, frame: pd.DataFrame, expectations: list[Expectation], *, locate: bool
) -> list[tuple[int, list[int]]]:
    gx = _library()
    known = vars(gx.expectations)
    for each in expectations:
        if _class_name(each.type) not in known:
            raise TailraceError(f"gate of {table}: Great Expectations knows no {each.type}; mend the expectation")
        absent = set(each.columns) - set(frame.columns)
        if absent:
            raise TailraceError(f"gate of {table}: {each.type} names no column {min(absent)}; mend the expectation")
    try:
        suite = gx.ExpectationSuite(
            name=table,
            expectations=[
                known[_class_name(each.type)](**each.kwargs, meta={"index": index})
                for index, each in enumerate(expectations)
            ],
        )
    except ValueError:
        raise TailraceError(
            f"gate of {table}: an expectation's arguments do not fit it; mend the expectation"
        ) from None
    batch = _batches().get_batch(batch_parameters={"dataframe": frame.reset_index(drop=True)})
    result_format = {"result_format": "COMPLETE" if locate else "BASIC", "partial_unexpected_count": 0}
    found: dict[int, tuple[int, list[int]]] = {}
    for result in batch.validate(suite, result_format=result_format).results:
        index = result.expectation_config.meta["index"]
        each = expectations[index]
        if result.exception_info and result.exception_info.get("raised_exception"):
            raise TailraceError(f"gate of {table}: {each.type} on {each.subject} cannot be evaluated; mend it")
        # An expectation of the whole table counts no rows; its refusal counts as all of them.
        count = int(result.result.get("unexpected_count") or max(len(frame), 1))
        found[index] = (0, []) if result.success else (count, list(result.result.get("unexpected_index_list") or []))
    return [found[index] for index in range(len(expectations))]


def _class_name(expectation_type: str) -> str:
    return "".join(part.capitalize() for part in expectation_type.split("_"))


@cache
def _library() -> Any:
    # Imported at the first gate: it costs seconds of CPU that no other command needs.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations

    return great_expectations


@cache
def _batches() -> gx.core.batch_definition.BatchDefinition[Any]:
    context = _library().get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return (
        context.data_sources.add_pandas("frames")
        .add_dataframe_asset("frame")
        .add_batch_definition_whole_dataframe("all")
    )
