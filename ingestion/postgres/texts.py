"""PostgreSQL's own text form of values, column by column: what its output functions print under the sessions' settings.

Each function makes a matrix of characters, one row a value, in which zero is no character; ``packed`` closes the gaps.
Integers are PostgreSQL's: days and microseconds count from 2000-01-01, the ends of the range are the infinities.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[Any]
Chars = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

_DAY_US = 86_400_000_000
_ZERO = ord("0")


def packed(chars: Chars, null: Bools) -> pa.Array:
    """The rows of a matrix as strings."""
    chars = np.where(null[:, None], 0, chars).astype(np.uint8)
    offsets = np.zeros(len(chars) + 1, np.int64)
    np.cumsum(np.count_nonzero(chars, axis=1), out=offsets[1:])
    buffers = [pa.py_buffer(offsets), pa.py_buffer(chars[chars != 0])]
    return pa.Array.from_buffers(pa.large_string(), len(chars), [_validity(null), *buffers])


def _validity(null: Bools) -> pa.Buffer | None:
    return pa.py_buffer(np.packbits(~null, bitorder="little")) if null.any() else None


def date(days: Ints) -> Chars:
    bounds = np.iinfo(np.int32)
    return _ends(_with_era(*_calendar(days)), days, bounds.min, bounds.max)


def timestamp(micros: Ints, *, zoned: bool) -> Chars:
    bounds = np.iinfo(np.int64)
    days, of_day = np.divmod(micros, _DAY_US)
    zone = [_text("+00", len(micros))] if zoned else []
    chars = _with_era(*_calendar(days), _text(" ", len(micros)), time(of_day), *zone)
    return _ends(chars, micros, bounds.min, bounds.max)


def time(micros: Ints) -> Chars:
    """Of the day, up to 24:00:00."""
    seconds, fraction = np.divmod(micros, 1_000_000)
    minutes, seconds = np.divmod(seconds, 60)
    hours, minutes = np.divmod(minutes, 60)
    colon = _text(":", len(micros))
    return np.hstack([digits(hours, 10, 2), colon, digits(minutes, 2, 2), colon, digits(seconds, 2, 2), _six(fraction)])


def _six(fraction: Ints) -> Chars:
    """``.`` and up to six digits without the zeros at their end; nothing of zero."""
    places = digits(fraction, 6, 6)
    needed = np.flip(np.maximum.accumulate(np.flip(places != _ZERO, axis=1), axis=1), axis=1)
    point = np.where(fraction != 0, ord("."), 0).astype(np.uint8)[:, None]
    return np.hstack([point, np.where(needed, places, 0).astype(np.uint8)])


def digits(values: Ints, width: int, least: int) -> Chars:
    """Integers from zero in up to ``width`` digits, at the least ``least``, on the right."""
    chars = np.zeros((len(values), width), np.uint8)
    rest = values
    for place in range(width):
        if place >= least and not rest.any():
            break
        rest, digit = np.divmod(rest, 10)
        shown = (digit + _ZERO) if place < least else np.where((rest > 0) | (digit > 0), digit + _ZERO, 0)
        chars[:, width - 1 - place] = shown
    return chars


def _calendar(days: Ints) -> tuple[Ints, Ints, Ints]:
    """Year (0 is 1 BC), month and day of the Gregorian calendar. https://howardhinnant.github.io/date_algorithms.html"""
    era, day = np.divmod(days.astype(np.int64) + 730_425, 146_097)  # days since 0000-03-01, in eras of 400 years
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day = day - (365 * year + year // 4 - year // 100)
    month = (5 * day + 2) // 153
    return (
        year + era * 400 + (month >= 10),
        np.where(month < 10, month + 3, month - 9),
        day - (153 * month + 2) // 5 + 1,
    )


def _with_era(year: Ints, month: Ints, day: Ints, *rest: Chars) -> Chars:
    before = year <= 0
    dash = _text("-", len(year))
    shown = [digits(np.where(before, 1 - year, year), 7, 4), dash, digits(month, 2, 2), dash, digits(day, 2, 2)]
    era = np.where(before[:, None], _text(" BC", len(year)), 0).astype(np.uint8)
    return np.hstack([*shown, *rest, era])


def _ends(chars: Chars, values: Ints, low: int, high: int) -> Chars:
    for end, word in ((low, "-infinity"), (high, "infinity")):
        chars[values == end] = np.frombuffer(word.encode().ljust(chars.shape[1], b"\0"), np.uint8)
    return chars


def _text(text: str, rows: int) -> Chars:
    return np.broadcast_to(np.frombuffer(text.encode(), np.uint8), (rows, len(text)))
