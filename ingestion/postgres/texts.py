"""PostgreSQL's own text form of values, column by column: what its output functions print under the sessions' settings.

Each function makes a matrix of characters, one row a value, in which zero is no character; ``packed`` closes the gaps.
Integers are PostgreSQL's: days and microseconds count from 2000-01-01, the ends of the range are the infinities.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[Any]
Chars = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

_DAY_US = 86_400_000_000
_ZERO = ord("0")
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_HEX_UPPER = np.frombuffer(b"0123456789ABCDEF", np.uint8)


def packed(chars: Chars, null: Bools) -> pa.Array:
    """The rows of a matrix as strings."""
    chars = _where(~null, chars)
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


def timetz(micros: Ints, west: Ints) -> Chars:
    """A time of the day and its zone, in seconds west of Greenwich."""
    away = np.abs(west)
    sign = np.where(west <= 0, ord("+"), ord("-")).astype(np.uint8)[:, None]
    colon = _text(":", len(west))
    minutes, seconds = (np.hstack([colon, digits(part, 2, 2)]) for part in (away // 60 % 60, away % 60))
    shown = [_where(away % 3600 != 0, minutes), _where(away % 60 != 0, seconds)]
    return np.hstack([time(micros), sign, digits(away // 3600, 2, 2), *shown])


def interval(months: Ints, days: Ints, micros: Ints) -> Chars:
    """In IntervalStyle postgres: a part after a negative one has its sign written out."""
    months = months.astype(np.int64)
    years = np.sign(months) * (np.abs(months) // 12)
    chars: list[Chars] = []
    some = np.zeros(len(months), np.bool_)
    negative = some.copy()
    for value, unit in ((years, " year"), (months - 12 * years, " mon"), (days.astype(np.int64), " day")):
        shown = value != 0
        plural = _where(value != 1, _text("s", len(value)))
        number = [_where(some, _text(" ", len(value))), _sign(value < 0, negative), digits(np.abs(value), 10, 1)]
        chars.append(_where(shown, np.hstack([*number, _text(unit, len(value)), plural])))
        some, negative = some | shown, np.where(shown, value < 0, negative)
    lead = [_where(some, _text(" ", len(micros))), _sign(micros < 0, negative)]
    of_day = np.hstack([*lead, time(np.abs(micros).view(np.uint64))])
    return np.hstack([*chars, _where(~some | (micros != 0), of_day)])


def _sign(negative: Bools, after_negative: Bools) -> Chars:
    return np.where(negative, ord("-"), np.where(after_negative, ord("+"), 0)).astype(np.uint8)[:, None]


def numeric(groups: Ints, before: int, scale: Ints, negative: Bools) -> Chars:
    """Digits of 10,000, ``before`` of them before the point, and how many decimals each value shows."""
    units = np.array([1000, 100, 10, 1])
    places = (groups[:, :, None] // units % 10 + _ZERO).astype(np.uint8).reshape(len(groups), -1)
    lead, rest = places[:, : 4 * before], places[:, 4 * before :]
    begun = np.logical_or.accumulate(lead != _ZERO, axis=1)
    begun[:, -1] = True
    sign, point = (_where(some, _text(sign, len(groups))) for some, sign in ((negative, "-"), (scale > 0, ".")))
    shown = np.arange(rest.shape[1]) < scale[:, None]
    return np.hstack([sign, np.where(begun, lead, 0), point, np.where(shown, rest, 0)]).astype(np.uint8)


def floats(values: pa.Array) -> pa.Array:
    """float4 and float8 by their shortest digits: Arrow's text where both write plain numbers, else one by one."""
    single = pa.types.is_float32(values.type)
    magnitude = np.abs(values.fill_null(0).to_numpy())
    common = (magnitude == 0) | ((magnitude > 0.001) & (magnitude < 100_000))
    text = values.cast(pa.large_string())
    if common.all():
        return text
    aside = pa.array(common)
    rest = pc.if_else(aside, None, values).dictionary_encode()
    shortest = rest.dictionary.cast(pa.string()).to_pylist()
    written = [
        _float(value, digits, single) for value, digits in zip(rest.dictionary.to_pylist(), shortest, strict=True)
    ]
    return pc.if_else(aside, text, pa.array(written, pa.large_string()).take(rest.indices))


def _float(value: float, shortest: str, single: bool) -> str:
    """As PostgreSQL lays it out, whose digits never meet the middle between two numbers, as others' shortest may."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    digits = Decimal(shortest)
    if abs(value) >= 2 ** (17 if single else 52):  # below there is no such middle of so few digits
        places = len(digits.normalize().as_tuple().digits)
        while _meets_middle(value, digits, single):
            digits, places = Decimal(f"{value:.{places}e}"), places + 1
    _, figures, power = digits.normalize().as_tuple()
    mantissa = "".join(map(str, figures))
    power = int(power) + len(mantissa) - 1
    sign = "-" if value < 0 else ""
    if power < -4 or power >= (6 if single else 15):
        return f"{sign}{mantissa[0]}{'.' * (len(mantissa) > 1)}{mantissa[1:]}e{power:+03d}"
    if power < 0:
        return f"{sign}0.{'0' * (-1 - power)}{mantissa}"
    whole, rest = mantissa[: power + 1].ljust(power + 1, "0"), mantissa[power + 1 :]
    return f"{sign}{whole}{'.' * bool(rest)}{rest}"


def _meets_middle(value: float, digits: Decimal, single: bool) -> bool:
    number = (np.float32 if single else np.float64)(value)
    away = Fraction(digits) - Fraction(value)
    with np.errstate(over="ignore"):
        neighbour = float(np.nextafter(number, type(number)(math.copysign(math.inf, away))))
    return math.isfinite(neighbour) and 2 * abs(away) == abs(Fraction(neighbour) - Fraction(value))


def tid(block: Ints, offset: Ints) -> Chars:
    around = [_text(text, len(block)) for text in "(,)"]
    return np.hstack([around[0], digits(block, 10, 1), around[1], digits(offset, 5, 1), around[2]])


def lsn(high: Ints, low: Ints) -> Chars:
    """Two hexadecimal numbers without leading zeros."""
    halves = []
    for half in (high, low):
        places = _HEX_UPPER[(half.astype(np.int64)[:, None] >> np.arange(28, -4, -4)) & 15]
        begun = np.logical_or.accumulate(places != _ZERO, axis=1)
        begun[:, -1] = True
        halves.append(np.where(begun, places, 0).astype(np.uint8))
    return np.hstack([halves[0], _text("/", len(high)), halves[1]])


def hexadecimal(data: Chars, between: str) -> Chars:
    """Bytes in lower case, with ``between`` between them."""
    pairs = np.stack([np.full_like(data, ord(between)), _HEX[data >> 4], _HEX[data & 15]], axis=2)
    return pairs.reshape(len(data), -1)[:, 1:]


def _six(fraction: Ints) -> Chars:
    """``.`` and up to six digits without the zeros at their end; nothing of zero."""
    places = digits(fraction, 6, 6)
    needed = np.logical_or.accumulate(places[:, ::-1] != _ZERO, axis=1)[:, ::-1]
    point = _where(fraction != 0, _text(".", len(fraction)))
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
    return np.hstack([*shown, *rest, _where(before, _text(" BC", len(year)))])


def _ends(chars: Chars, values: Ints, low: int, high: int) -> Chars:
    for end, word in ((low, "-infinity"), (high, "infinity")):
        chars[values == end] = np.frombuffer(word.encode().ljust(chars.shape[1], b"\0"), np.uint8)
    return chars


def _where(shown: Bools, chars: Chars) -> Chars:
    return np.where(shown[:, None], chars, 0).astype(np.uint8)


def _text(text: str, rows: int) -> Chars:
    return np.broadcast_to(np.frombuffer(text.encode(), np.uint8), (rows, len(text)))
