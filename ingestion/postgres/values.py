"""PostgreSQL values out of one byte buffer into Arrow arrays, column by column: no Python loop over rows.

A column goes to its raw type as what it is, or in PostgreSQL's text form. What does not fit the raw type comes as text
too: the cast that lands it refuses it, and names the column.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.postgres import texts, types

Ints = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]

NULL, UNCHANGED, TEXT, BINARY = (ord(letter) for letter in "nutb")
NOT_LANDED = ""
PADDING = 16  # a gather may look this far past the last field
_EPOCH_DAYS = 10_957  # PostgreSQL counts from 2000-01-01
EPOCH_US = 946_684_800_000_000
_INT64, _INT32 = np.iinfo(np.int64), np.iinfo(np.int32)
_NEGATIVE, _SPECIAL = 0x4000, 0xC000  # signs of a numeric
_POWERS = 10 ** np.arange(19, dtype=np.int64)
_LIMB = 18
"""Decimal digits that an int64 always holds."""
_COMMON_PLACES, _COMMON_SCALE = 8, 40
"""Digits of 10,000 before the point and decimals after it that numerics are written out with all at once."""


class NeedsTextError(Exception):
    """A value whose binary form is not decoded here; the same changes can be read again in text form."""


@dataclass(frozen=True)
class Column:
    """A column as the stream tells of it, a domain or an enum as its base type; and the raw type it lands in.

    A column whose raw type is NOT_LANDED is not decoded: all of it is null.
    """

    name: str
    oid: int
    typmod: int
    raw_type: str | None = None

    @property
    def wanted(self) -> str:
        return self.raw_type or types.raw_type(self.oid, self.typmod)


class Buffer:
    """Unaligned big-endian gathers from one byte buffer: strided views with stride 1, and one take each."""

    def __init__(self, data: npt.NDArray[np.uint8]) -> None:
        self.bytes = data
        self.arrow = pa.py_buffer(data)

    def _view(self, dtype: str, width: int) -> Ints:
        return np.ndarray((len(self.bytes) - width + 1,), dtype, buffer=self.bytes, strides=(1,))

    @cached_property
    def _two(self) -> Ints:
        return self._view("<u2", 2)

    @cached_property
    def _four(self) -> Ints:
        return self._view("<u4", 4)

    @cached_property
    def _eight(self) -> Ints:
        return self._view("<u8", 8)

    @cached_property
    def sixteen(self) -> Ints:
        return self._view("V16", 16)

    def uint16(self, at: Ints) -> Ints:
        return self._two[at].byteswap()

    def int16(self, at: Ints) -> Ints:
        return self.uint16(at).view(np.int16)

    def uint32(self, at: Ints) -> Ints:
        return self._four[at].byteswap()

    def int32(self, at: Ints) -> Ints:
        return self.uint32(at).view(np.int32)

    def uint64(self, at: Ints) -> Ints:
        return self._eight[at].byteswap()

    def int64(self, at: Ints) -> Ints:
        return self.uint64(at).view(np.int64)

    def rows(self, at: Ints, width: int) -> npt.NDArray[np.uint8]:
        """``width`` bytes each; those past the buffer's end are its last."""
        return self.bytes[np.minimum(at[:, None] + np.arange(width), len(self.bytes) - 1)]


@dataclass
class Fields:
    """One column of many tuples: the kind letter, the first byte and the length of each value."""

    kind: Ints
    start: Ints
    length: Ints


def array(buffer: Buffer, fields: Fields, column: Column) -> pa.Array:
    """One column. Raises NeedsTextError when its type's binary form is not known here."""
    null = (fields.kind == NULL) | (fields.kind == UNCHANGED)
    if column.raw_type == NOT_LANDED:
        return pa.nulls(len(null))
    if not (fields.kind == BINARY).any():
        text = _bytes(buffer, fields.start, fields.length, null, pa.string())
        # A float4 is shortest in its own precision: in that of a DOUBLE the same digits are another number.
        return text.cast(pa.float32()) if (column.oid, column.wanted) == (types.FLOAT4, "DOUBLE") else text
    known = _IN_KIND if types.in_kind(column.oid, column.wanted) else _AS_TEXT
    decode = known.get(column.oid)
    if decode is None:
        raise NeedsTextError
    return decode(buffer, np.where(null, 0, fields.start), fields, null, column)


def _fixed(kind: pa.DataType, values: Ints, null: Bools) -> pa.Array:
    valid = pa.py_buffer(np.packbits(~null, bitorder="little")) if null.any() else None
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(np.ascontiguousarray(values))])


def _bytes(buffer: Buffer, start: Ints, length: Ints, null: Bools, kind: pa.DataType) -> pa.Array:
    """Values of any width, out of ascending ranges of the buffer.

    One array over the same buffer has the values as its even elements and the gaps between them as its odd ones; one
    take picks the even ones.
    """
    if len(start) == 0:
        return pa.array([], kind)
    offsets = np.empty(2 * len(start), np.int64)
    offsets[0::2], offsets[1::2] = start, start + length
    large = pa.large_binary() if pa.types.is_binary(kind) else pa.large_string()
    ranges = pa.Array.from_buffers(large, len(offsets) - 1, [None, pa.py_buffer(offsets), buffer.arrow])
    return ranges.take(pa.array(np.arange(0, len(offsets), 2), mask=null))


def _each(buffer: Buffer, fields: Fields, null: Bools, text: Callable[[bytes], str]) -> pa.Array:
    """The text of values of which each distinct one is written out once."""
    coded = _bytes(buffer, fields.start, fields.length, null, pa.binary()).dictionary_encode()
    return pa.array([text(value) for value in coded.dictionary.to_pylist()], pa.large_string()).take(coded.indices)


# ---------------------------------------------------------------------------------------------------- dates and times


def _moment(kind: pa.DataType, values: Ints, null: Bools) -> pa.Array:
    """Dates and timestamps from PostgreSQL's integers, in their text form if one is too late for Arrow's.

    PostgreSQL's infinities are the two ends of the integer; DuckDB's are symmetric around zero.
    """
    values = np.where(null, 0, values).astype(values.dtype)
    shift, bounds = (_EPOCH_DAYS, _INT32) if pa.types.is_date32(kind) else (EPOCH_US, _INT64)
    infinite = (values == bounds.max) | (values == bounds.min)
    if ((values >= bounds.max - shift) & ~infinite).any():  # the last microsecond would read as infinity
        return texts.packed(_moment_text(kind, values), null)
    ends = np.where(values == bounds.max, bounds.max, -bounds.max)
    return _fixed(kind, np.where(infinite, ends, values + np.where(infinite, 0, shift)).astype(values.dtype), null)


def _moment_text(kind: pa.DataType, values: Ints) -> texts.Chars:
    return texts.date(values) if pa.types.is_date32(kind) else texts.timestamp(values, zoned=kind.tz is not None)


def _interval_parts(buffer: Buffer, at: Ints, null: Bools) -> tuple[Ints, Ints, Ints]:
    """Months, days, microseconds. Raises NeedsTextError for the two ends: infinite, but since PostgreSQL 17 only."""
    micros, days, months = (
        np.where(null, 0, part) for part in (buffer.int64(at), buffer.int32(at + 8), buffer.int32(at + 12))
    )
    for bound in ("min", "max"):
        low, high = getattr(_INT32, bound), getattr(_INT64, bound)
        if ((months == low) & (days == low) & (micros == high)).any():
            raise NeedsTextError
    return months, days, micros


def _interval(buffer: Buffer, at: Ints, fields: Fields, null: Bools, column: Column) -> pa.Array:
    months, days, micros = _interval_parts(buffer, at, null)
    if (np.abs(micros // 1000) > _INT64.max // 1_000_000).any():  # Arrow counts nanoseconds
        return texts.packed(texts.interval(months, days, micros), null)
    parts = np.zeros(len(at), np.dtype([("months", "<i4"), ("days", "<i4"), ("nanos", "<i8")]))
    parts["months"], parts["days"], parts["nanos"] = months, days, micros * 1000
    return _fixed(pa.month_day_nano_interval(), parts, null)


# ------------------------------------------------------------------------------------------------------------ numeric


def _numeric(buffer: Buffer, at: Ints, fields: Fields, null: Bools, column: Column) -> pa.Array:
    """Into the raw DECIMAL, or in text form if one value does not fit there."""
    bounds = types.decimal(column.wanted)
    assert bounds is not None
    exact = _decimal(buffer, at, null, *bounds)
    return _numeric_text(buffer, at, fields, null, column) if exact is None else exact


def _decimal(buffer: Buffer, at: Ints, null: Bools, precision: int, scale: int) -> pa.Array | None:
    """Base-10,000 digits as scaled integers in limbs of 18 decimal digits. Loops over digit places, not over rows."""
    if len(at) == 0:
        return pa.array([], pa.decimal128(precision, scale))
    count, sign = np.where(null, 0, buffer.uint16(at)).astype(np.int64), buffer.uint16(at + 4)
    if ((sign & _SPECIAL == _SPECIAL) & ~null).any():
        return None
    first = buffer.int16(at + 2).astype(np.int64) * 4 + scale  # exponent of the first digit's unit
    limbs = np.zeros((1 if precision <= _LIMB else 3, len(at)), np.int64)
    lost = np.zeros(len(at), np.bool_)
    for place in range(int(count.max(initial=0))):
        present = count > place
        digit = np.where(present, buffer.int16(np.where(present, at + 8 + 2 * place, 0)), 0).astype(np.int64)
        exponent = first - 4 * place
        if (exponent < 0).any():
            unit = _POWERS[np.clip(-exponent, 0, 4)]
            lost |= digit % unit != 0
            digit //= unit
        limb, shift = np.divmod(np.maximum(exponent, 0), _LIMB)
        carried = np.where(shift > _LIMB - 4, digit // _POWERS[_LIMB - shift], 0)
        digit = (digit - carried * _POWERS[_LIMB - shift]) * _POWERS[shift]
        for index, total in enumerate(limbs):
            total += np.where(limb == index, digit, 0) + np.where(limb == index - 1, carried, 0)
        lost |= (limb >= len(limbs)) & (digit != 0) | (limb >= len(limbs) - 1) & (carried != 0)
    full, below = divmod(precision, _LIMB)
    for index in range(full, len(limbs)):
        lost |= limbs[index] >= (_POWERS[below] if index == full else 1)
    if lost.any():
        return None
    return _fixed(pa.decimal128(precision, scale), _wide(limbs, sign == _NEGATIVE), null)


def _wide(limbs: Ints, negative: Bools) -> Ints:
    """Little-endian 128-bit integers, as (low, high) halves, from limbs of 18 decimal digits."""
    wide = np.zeros((limbs.shape[1], 2), np.int64)
    if len(limbs) == 1:
        wide[:, 0] = np.where(negative, -limbs[0], limbs[0])
        wide[:, 1] = wide[:, 0] >> 63
        return wide
    words = np.zeros((4, limbs.shape[1]), np.uint64)  # of 32 bits
    billion = np.uint64(10**9)
    for limb in limbs[::-1].astype(np.uint64):
        for carry in np.divmod(limb, billion):
            for word in words:
                carry = word * billion + carry
                word[:] = carry & np.uint64(0xFFFFFFFF)
                carry >>= np.uint64(32)
    low, high = words[0] | words[1] << np.uint64(32), words[2] | words[3] << np.uint64(32)
    wide[:, 0] = np.where(negative, ~low + np.uint64(1), low).view(np.int64)
    wide[:, 1] = np.where(negative, ~high + (low == 0).astype(np.uint64), high).view(np.int64)
    return wide


def _numeric_text(buffer: Buffer, at: Ints, fields: Fields, null: Bools, column: Column) -> pa.Array:
    """Common numerics all at once, huge and special ones each."""
    count, weight = buffer.uint16(at).astype(np.int64), buffer.int16(at + 2).astype(np.int64)
    sign, scale = buffer.uint16(at + 4), buffer.uint16(at + 6).astype(np.int64)
    rare = ~null & ((sign & _SPECIAL == _SPECIAL) | (weight >= _COMMON_PLACES) | (scale > _COMMON_SCALE))
    aside = null | rare
    count, weight, scale = (np.where(aside, 0, part) for part in (count, weight, scale))
    before, after = max(0, int(weight.max(initial=0))) + 1, -(-int(scale.max(initial=0)) // 4)
    groups = np.zeros((len(at), before + after), np.int64)
    for column_of, unit in enumerate(range(before - 1, -after - 1, -1)):
        place = weight - unit
        present = (place >= 0) & (place < count)
        groups[:, column_of] = np.where(present, buffer.int16(np.where(present, at + 8 + 2 * place, 0)), 0)
    common = texts.packed(texts.numeric(groups, before, scale, ~aside & (sign == _NEGATIVE)), aside)
    if not rare.any():
        return common
    values = Fields(fields.kind, fields.start, np.where(rare, fields.length, 0))
    return pc.coalesce(common, _each(buffer, values, ~rare, _one_numeric))


def _one_numeric(value: bytes) -> str:
    count, weight, sign, scale = struct.unpack_from(">HhHH", value)
    special = {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}.get(sign)
    if special is not None:
        return special
    groups = [f"{digit:04d}" for digit in struct.unpack_from(f">{count}h", value, 8)]
    lead = "".join(groups[: max(0, weight + 1)]).ljust(4 * max(0, weight + 1), "0").lstrip("0") or "0"
    rest = ("0000" * max(0, -1 - weight) + "".join(groups[max(0, weight + 1) :])).ljust(scale, "0")[:scale]
    return ("-" if sign == _NEGATIVE else "") + lead + ("." + rest if scale else "")


# ------------------------------------------------------------------------------------------------------- other kinds


def _address(value: bytes) -> str:
    """inet and cidr."""
    family, bits, is_cidr, size = value[:4]
    text = socket.inet_ntop(socket.AF_INET if family == 2 else socket.AF_INET6, value[4 : 4 + size])
    return f"{text}/{bits}" if is_cidr or bits != 8 * size else text


def _bits(value: bytes) -> str:
    (count,) = struct.unpack_from(">i", value)
    return f"{int.from_bytes(value[4:]):0{8 * len(value[4:])}b}"[:count] if count else ""


def _one_char(value: bytes) -> str:
    """The type ``"char"``, one byte; as PostgreSQL 16 and later write it."""
    return f"\\{value[0]:03o}" if value[0] > 127 else value.rstrip(b"\0").decode()


def _hexadecimal(buffer: Buffer, at: Ints, fields: Fields, null: Bools, column: Column) -> pa.Array:
    values = _bytes(buffer, fields.start, fields.length, null, pa.binary()).to_pylist()
    return pa.array([None if value is None else "\\x" + value.hex() for value in values], pa.large_string())


def _versioned(buffer: Buffer, at: Ints, fields: Fields, null: Bools, column: Column) -> pa.Array:
    skip = np.where(null, 0, 1)  # the version byte
    return _bytes(buffer, fields.start + skip, fields.length - skip, null, pa.string())


def _text(buffer: Buffer, at: Ints, fields: Fields, null: Bools, column: Column) -> pa.Array:
    return _bytes(buffer, fields.start, fields.length, null, pa.string())


_Decode = Callable[[Buffer, Ints, Fields, Bools, Column], pa.Array]


def _packed(chars: Callable[[Buffer, Ints], texts.Chars]) -> _Decode:
    return lambda b, at, f, null, c: texts.packed(chars(b, at), null)


def _one_by_one(text: Callable[[bytes], str]) -> _Decode:
    return lambda b, at, f, null, c: _each(b, f, null, text)


_IN_KIND: dict[int, _Decode] = {
    types.BOOL: lambda b, at, f, null, c: pa.array(b.bytes[at] != 0, mask=null),
    types.INT2: lambda b, at, f, null, c: _fixed(pa.int16(), b.int16(at), null),
    types.INT4: lambda b, at, f, null, c: _fixed(pa.int32(), b.int32(at), null),
    types.INT8: lambda b, at, f, null, c: _fixed(pa.int64(), b.int64(at), null),
    types.OID: lambda b, at, f, null, c: _fixed(pa.uint32(), b.uint32(at), null),
    types.FLOAT4: lambda b, at, f, null, c: _fixed(pa.float32(), b.int32(at), null),
    types.FLOAT8: lambda b, at, f, null, c: _fixed(pa.float64(), b.int64(at), null),
    types.NUMERIC: _numeric,
    types.DATE: lambda b, at, f, null, c: _moment(pa.date32(), b.int32(at), null),
    types.TIME: lambda b, at, f, null, c: _fixed(pa.time64("us"), b.int64(at), null),
    types.TIMESTAMP: lambda b, at, f, null, c: _moment(pa.timestamp("us"), b.int64(at), null),
    types.TIMESTAMPTZ: lambda b, at, f, null, c: _moment(pa.timestamp("us", "UTC"), b.int64(at), null),
    types.INTERVAL: _interval,
    types.UUID: lambda b, at, f, null, c: pa.ExtensionArray.from_storage(
        pa.uuid(), _fixed(pa.binary(16), b.sixteen[at], null)
    ),
    types.BYTEA: lambda b, at, f, null, c: _bytes(b, f.start, f.length, null, pa.binary()),
    types.JSON: _text,
    types.JSONB: _versioned,
}
_AS_TEXT: dict[int, _Decode] = {
    # DuckDB writes these as PostgreSQL does.
    **{oid: _IN_KIND[oid] for oid in (types.INT2, types.INT4, types.INT8, types.OID, types.UUID)},
    types.XID: _IN_KIND[types.OID],
    types.CID: _IN_KIND[types.OID],
    types.XID8: lambda b, at, f, null, c: _fixed(pa.uint64(), b.uint64(at), null),
    # Their binary form is their text, or begins with a version.
    **dict.fromkeys((types.TEXT, types.VARCHAR, types.BPCHAR, types.NAME, types.JSON, types.XML), _text),
    types.REFCURSOR: _text,
    types.JSONB: _versioned,
    types.JSONPATH: _versioned,
    types.BOOL: _packed(lambda b, at: np.where(b.bytes[at] != 0, ord("t"), ord("f")).astype(np.uint8)[:, None]),
    types.FLOAT4: lambda b, at, f, null, c: texts.floats(_fixed(pa.float32(), b.int32(at), null)),
    types.FLOAT8: lambda b, at, f, null, c: texts.floats(_fixed(pa.float64(), b.int64(at), null)),
    types.NUMERIC: _numeric_text,
    types.DATE: _packed(lambda b, at: texts.date(b.int32(at))),
    types.TIME: _packed(lambda b, at: texts.time(b.int64(at))),
    types.TIMETZ: _packed(lambda b, at: texts.timetz(b.int64(at), b.int32(at + 8))),
    types.TIMESTAMP: _packed(lambda b, at: texts.timestamp(b.int64(at), zoned=False)),
    types.TIMESTAMPTZ: _packed(lambda b, at: texts.timestamp(b.int64(at), zoned=True)),
    types.INTERVAL: lambda b, at, f, null, c: texts.packed(texts.interval(*_interval_parts(b, at, null)), null),
    types.TID: _packed(lambda b, at: texts.tid(b.uint32(at), b.uint16(at + 4))),
    types.PG_LSN: _packed(lambda b, at: texts.lsn(b.uint32(at), b.uint32(at + 4))),
    types.MACADDR: _packed(lambda b, at: texts.hexadecimal(b.rows(at, 6), ":")),
    types.MACADDR8: _packed(lambda b, at: texts.hexadecimal(b.rows(at, 8), ":")),
    types.BYTEA: _hexadecimal,
    types.INET: _one_by_one(_address),
    types.CIDR: _one_by_one(_address),
    types.BIT: _one_by_one(_bits),
    types.VARBIT: _one_by_one(_bits),
    types.CHAR: _one_by_one(_one_char),
}
