"""PostgreSQL values out of one byte buffer into Arrow arrays, column by column: no Python loop over rows."""

from __future__ import annotations

import socket
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
PADDING = 16  # a gather may look this far past the last field
_EPOCH_DAYS = 10_957  # PostgreSQL counts from 2000-01-01
EPOCH_US = 946_684_800_000_000
_INT64, _INT32 = np.iinfo(np.int64), np.iinfo(np.int32)
_ADBC_SPECIAL = pa.array(["nan", "inf", "-inf"])
_POWERS = 10 ** np.arange(19, dtype=np.int64)


class NeedsTextError(Exception):
    """A value whose binary form is not decoded here; the same changes can be read again in text form."""


@dataclass(frozen=True)
class Column:
    name: str
    oid: int
    typmod: int


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

    def int16(self, at: Ints) -> Ints:
        return self._two[at].byteswap().view(np.int16)

    def int32(self, at: Ints) -> Ints:
        return self._four[at].byteswap().view(np.int32)

    def uint32(self, at: Ints) -> Ints:
        return self._four[at].byteswap()

    def int64(self, at: Ints) -> Ints:
        return self._eight[at].byteswap().view(np.int64)


@dataclass
class Fields:
    """One column of many tuples: the kind letter, the first byte and the length of each value."""

    kind: Ints
    start: Ints
    length: Ints


def array(buffer: Buffer, fields: Fields, column: Column) -> pa.Array:
    null = (fields.kind == NULL) | (fields.kind == UNCHANGED)
    if not (fields.kind == BINARY).any():
        return _bytes(buffer, fields.start, fields.length, null, pa.string())
    decode = _BINARY_DECODERS.get(column.oid)
    if decode is None:
        raise NeedsTextError
    return decode(buffer, np.where(null, 0, fields.start), fields, null, column)


def from_adbc(array: pa.Array, oid: int) -> pa.Array:
    """What the Arrow driver made of a column that a copy asked for as it is, with every value exact.

    The driver shifts PostgreSQL's date and time infinities with the rest, spells a numeric's special values its own
    way, and calls an oid signed. A column that holds a timestamp later than Arrow's comes back in its text form.
    """
    if oid in (types.DATE, types.TIMESTAMP, types.TIMESTAMPTZ):
        null = array.is_null().to_numpy(zero_copy_only=False)
        days = oid == types.DATE
        shifted = array.view(pa.int32() if days else pa.int64()).fill_null(0).to_numpy()
        shift = np.int32(_EPOCH_DAYS) if days else np.int64(EPOCH_US)
        return _moment(array.type, shifted - shift, null)  # wraps around as the driver did
    if isinstance(array, pa.ExtensionArray) and oid in (types.NUMERIC, types.JSON, types.JSONB):
        array = array.storage
    if oid == types.NUMERIC and pc.any(pc.is_in(array, _ADBC_SPECIAL)).as_py():
        for theirs, own in zip(_ADBC_SPECIAL, ("NaN", "Infinity", "-Infinity"), strict=True):
            array = pc.if_else(pc.equal(array, theirs), own, array)
    if oid == types.OID:
        return array.view(pa.uint32())
    return array


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


def _numeric(buffer: Buffer, at: Ints, fields: Fields, null: Bools, column: Column) -> pa.Array:
    """numeric(p<=18,s): base-10,000 digits into one scaled integer. Loops over digit places, not over rows."""
    bounds = types.precision_scale(column.typmod)
    if bounds is None or not (bounds[0] <= 18 and 0 <= bounds[1] <= bounds[0]):
        raise NeedsTextError
    digits = np.where(null, 0, buffer.int16(at))
    weight, sign = buffer.int16(at + 2).astype(np.int64), buffer.int16(at + 4).view(np.uint16)
    if (np.where(null, 0, sign) & 0xC000 == 0xC000).any():  # NaN, infinity
        raise NeedsTextError
    total = np.zeros(len(at), np.int64)
    for place in range(int(digits.max(initial=0))):
        present = digits > place
        digit = np.where(present, buffer.int16(np.where(present, at + 8 + 2 * place, 0)), 0).astype(np.int64)
        exponent = (weight - place) * 4 + bounds[1]
        total += np.where(present, digit * _POWERS[np.clip(exponent, 0, 18)] // _POWERS[np.clip(-exponent, 0, 4)], 0)
    total = np.where(sign == 0x4000, -total, total)
    wide = np.empty((len(at), 2), np.int64)
    wide[:, 0], wide[:, 1] = total, total >> 63
    return _fixed(pa.decimal128(*bounds), wide, null) if len(at) else pa.array([], pa.decimal128(*bounds))


def _inet(buffer: Buffer, at: Ints, fields: Fields, null: Bools, column: Column) -> pa.Array:
    """Each distinct address is written out once."""
    coded = _bytes(buffer, fields.start, fields.length, null, pa.binary()).dictionary_encode()
    return pa.array([_address(value) for value in coded.dictionary.to_pylist()], pa.string()).take(coded.indices)


def _address(value: bytes) -> str:
    family, bits, is_cidr, size = value[:4]
    address = value[4 : 4 + size]
    if family != 2 and address[:10] == bytes(10):
        raise NeedsTextError  # PostgreSQL has a notation of its own for these, e.g. ::ffff:10.0.0.1
    text = socket.inet_ntop(socket.AF_INET if family == 2 else socket.AF_INET6, address)
    return f"{text}/{bits}" if is_cidr or bits != 8 * size else text


def _json_binary(buffer: Buffer, at: Ints, fields: Fields, null: Bools, column: Column) -> pa.Array:
    skip = np.where(null, 0, 1)  # the version byte
    return _bytes(buffer, fields.start + skip, fields.length - skip, null, pa.string())


def _text(buffer: Buffer, at: Ints, fields: Fields, null: Bools, column: Column) -> pa.Array:
    return _bytes(buffer, fields.start, fields.length, null, pa.string())


_Decode = Callable[[Buffer, Ints, Fields, Bools, Column], pa.Array]
_BINARY_DECODERS: dict[int, _Decode] = {
    types.BOOL: lambda b, at, f, null, c: pa.array(b.bytes[at] != 0, mask=null),
    types.INT2: lambda b, at, f, null, c: _fixed(pa.int16(), b.int16(at), null),
    types.INT4: lambda b, at, f, null, c: _fixed(pa.int32(), b.int32(at), null),
    types.INT8: lambda b, at, f, null, c: _fixed(pa.int64(), b.int64(at), null),
    types.FLOAT4: lambda b, at, f, null, c: _fixed(pa.float32(), b.int32(at), null),
    types.FLOAT8: lambda b, at, f, null, c: _fixed(pa.float64(), b.int64(at), null),
    types.DATE: lambda b, at, f, null, c: _moment(pa.date32(), b.int32(at), null),
    types.TIMESTAMP: lambda b, at, f, null, c: _moment(pa.timestamp("us"), b.int64(at), null),
    types.TIMESTAMPTZ: lambda b, at, f, null, c: _moment(pa.timestamp("us", "UTC"), b.int64(at), null),
    types.UUID: lambda b, at, f, null, c: pa.ExtensionArray.from_storage(
        pa.uuid(), _fixed(pa.binary(16), b.sixteen[at], null)
    ),
    types.BYTEA: lambda b, at, f, null, c: _bytes(b, f.start, f.length, null, pa.binary()),
    types.TEXT: _text,
    types.VARCHAR: _text,
    types.BPCHAR: _text,
    types.JSON: _text,
    types.JSONB: _json_binary,
    types.INET: _inet,
    types.CIDR: _inet,
    types.NUMERIC: _numeric,
}
