"""What the other tenants' figures, names and ids look like, and how to find them in any answer.

Every figure of theirs is a multiple of 7919 of ten digits, every text carries one word, every id one prefix, and some
of their days lie in 1979: nothing else in a product looks like that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import count

from tests.canaries.search import Searcher

WORD = "quollmark"
ID_PREFIX = "7919cafe"
FIRST_DAY = date(1979, 3, 5)
_FIGURES = range(126_281 * 7919, 271_000 * 7919, 7919)  # ten digits that fit into four bytes
_DIGITS = re.compile(rb"(?<!\d)\d{10}(?!\d)")
_DAYS = re.compile(rb"(?<!\d)1979-\d\d(?:-\d\d)?(?!\d)")
_SCALED = re.compile(r"decimal\((\d+), *(\d+)\)")


def identity(number: int) -> str:
    """The id of another tenant, a UUID."""
    return f"{ID_PREFIX}-{number:04x}-4000-8000-{number * 7919:012x}"


@dataclass
class Marked:
    """Makes values that are found again. ``figures`` are those that were made."""

    figures: set[int] = field(default_factory=set)
    _numbers: count[int] = field(default_factory=count)

    def value(self, column: str, kind: str, row: int) -> object:
        """A value for a column of the warehouse's type ``kind``; days and months count up by the row."""
        number = next(self._numbers)
        if kind in ("varchar", "text", "string"):
            return f"{WORD}{number:05}"
        if kind == "date":
            return month(FIRST_DAY, row) if column == "month" else FIRST_DAY + timedelta(days=row)
        if kind.startswith("timestamp"):
            return datetime.combine(FIRST_DAY + timedelta(days=row), time(), tzinfo=UTC)
        if kind == "boolean":
            return True
        figure = _FIGURES[number % len(_FIGURES)]
        self.figures.add(figure)
        if kind in ("double", "float"):
            return figure / 10**10
        if scaled := _SCALED.fullmatch(kind):
            digits, scale = int(scaled[1]), int(scaled[2])
            room = digits - scale
            return Decimal(figure) if room >= 10 else Decimal(figure).scaleb(-10).quantize(Decimal(1).scaleb(-scale))
        if kind in ("bigint", "integer", "int", "hugeint"):
            return figure
        raise AssertionError(f"{column}: no marked value of type {kind} yet; make one here")


def plain(column: str, kind: str, row: int, *, first: date) -> object:
    """A value of the tenant that attacks: small, and nothing like a mark."""
    if kind in ("varchar", "text", "string"):
        return f"own{row:03}"
    if kind == "date":
        return month(first, row) if column == "month" else first + timedelta(days=row)
    if kind.startswith("timestamp"):
        return datetime.combine(first + timedelta(days=row), time(), tzinfo=UTC)
    if kind == "boolean":
        return True
    return Decimal("0.25") if kind.startswith(("double", "float", "decimal")) else row + 1


def month(first: date, number: int) -> date:
    """The first day of the month that is ``number`` months after that of ``first``."""
    months = first.year * 12 + first.month - 1 + number
    return date(months // 12, months % 12 + 1, 1)


class Finder:
    """Finds marks in bytes: plain, hex, percent, UTF-16 and base64."""

    def __init__(self, marked: Marked) -> None:
        self._figures = {str(figure).encode() for figure in marked.figures}
        self._words = Searcher([WORD, ID_PREFIX])

    def find(self, content: bytes) -> set[str]:
        """What kinds of marks are in ``content``."""
        found = {f"word or id ({form})" for form in self._words.find(content)}
        if self._figures.intersection(_DIGITS.findall(content)):
            found.add("figure")
        if _DAYS.search(content):
            found.add("day")
        if bytes.fromhex(ID_PREFIX) in content:
            found.add("id (binary)")
        return found
