"""A columnar decoder of pgoutput (protocol version 1): no Python loop over rows.

Messages arrive as one Arrow binary column. Field positions are found for all rows of a relation at once, column after
column, and values are gathered from the one byte buffer into Arrow arrays.
https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingestion.postgres import types

Ints = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]

_BEGIN, _COMMIT, _INSERT, _UPDATE, _DELETE, _RELATION, _TRUNCATE = (ord(letter) for letter in "BCIUDRT")
_NULL, _UNCHANGED, _TEXT, _BINARY = (ord(letter) for letter in "nutb")
_NEW, _FULL = ord("N"), ord("O")
_PADDING = 16  # a gather may look this far past the last field
_EPOCH_US, _EPOCH_DAYS = 946_684_800_000_000, 10_957  # PostgreSQL counts from 2000-01-01
_INT64, _INT32 = np.iinfo(np.int64), np.iinfo(np.int32)
_POWERS = 10 ** np.arange(19, dtype=np.int64)


class NeedsTextError(Exception):
    """A value whose binary form is not decoded here; the same changes can be read again in text form."""


@dataclass(frozen=True)
class Column:
    name: str
    oid: int
    typmod: int


@dataclass(frozen=True)
class Relation:
    """A table as the stream announced it; announced again after every change of its shape."""

    oid: int
    schema: str
    name: str
    full_identity: bool
    columns: tuple[Column, ...]
    message: bytes = field(repr=False)


@dataclass
class Changes:
    """Row changes of one relation, in stream order.

    ``rows`` has the relation's columns (of a delete: its key only), ``_seq`` int64 (order in the batch), ``_op``
    (``U`` insert or update, ``D`` delete), ``_ab_cdc_lsn`` int64 (of the commit) and ``_ab_cdc_updated_at`` (its time).
    ``unchanged`` masks values that the stream did not send again. ``moved`` numbers the rows whose key may have
    changed, ``old`` has their former values, by column name.
    """

    relation: Relation
    rows: pa.Table
    unchanged: dict[str, Bools]
    moved: Ints
    old: dict[str, pa.Array]


@dataclass(frozen=True)
class Truncation:
    """The relation was emptied at this point of the stream."""

    relation: Relation
    lsn: int
    at: int
    """Commit time, microseconds since 1970 UTC."""


class _Buffer:
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
class _Fields:
    """One column of many tuples: the kind letter, the first byte and the length of each value."""

    kind: Ints
    start: Ints
    length: Ints


class Decoder:
    """Decodes the batches of one call of the slot function; relations and the open transaction carry over."""

    def __init__(self) -> None:
        self.commit_end = 0
        """LSN just after the last commit seen."""
        self.messages = 0
        self._relations: dict[int, Relation] = {}
        self._transaction = (0, 0)

    def feed(self, batch: pa.Array) -> list[Changes | Truncation]:
        """Decode whole messages; items of one relation come in stream order. Raises NeedsTextError."""
        count = len(batch)
        if count == 0:
            return []
        offsets = np.frombuffer(batch.buffers()[1], np.int32)[batch.offset : batch.offset + count + 1].astype(np.int64)
        data = np.zeros(int(offsets[-1]) + _PADDING, np.uint8)
        data[:-_PADDING] = np.frombuffer(batch.buffers()[2], np.uint8, count=int(offsets[-1]))
        buffer, starts = _Buffer(data), offsets[:-1]
        kinds = data[starts]
        first, self.messages = self.messages, self.messages + count
        lsn, at = self._commits(buffer, starts, kinds)

        before = dict(self._relations)
        cuts: dict[int, list[tuple[int, Relation | None]]] = {}  # where a relation changes its shape, or is truncated
        for index in np.flatnonzero((kinds == _RELATION) | (kinds == _TRUNCATE)):
            message = data[offsets[index] : offsets[index + 1]].tobytes()
            if message[0] == _RELATION:
                relation = _parse_relation(message)
                known = self._relations.get(relation.oid)
                if known is None or known.message != message:
                    self._relations[relation.oid] = relation
                    cuts.setdefault(relation.oid, []).append((int(index), relation))
            else:
                (number,) = struct.unpack_from(">I", message, 1)
                for oid in struct.unpack_from(f">{number}I", message, 6):
                    cuts.setdefault(oid, []).append((int(index), None))

        rows = np.flatnonzero((kinds == _INSERT) | (kinds == _UPDATE) | (kinds == _DELETE))
        owners = buffer.uint32(starts[rows] + 1)
        items: list[tuple[int, Changes | Truncation]] = []
        for oid in sorted({*np.unique(owners).tolist(), *cuts}):
            own = rows[owners == oid]
            current, low = before.get(oid), 0
            ends: list[tuple[int, Relation | None]] = [*cuts.get(oid, []), (count, None)]
            for end, event in ends:
                high = int(np.searchsorted(own, end))
                if high > low:
                    assert current is not None, "pgoutput announces a relation before its rows"
                    part = own[low:high]
                    changes = self._changes(
                        buffer, current, kinds[part], starts[part], first + part, lsn[part], at[part]
                    )
                    items.append((int(part[0]), changes))
                if end < count and event is None and current is not None:
                    items.append((end, Truncation(current, int(lsn[end]), int(at[end]))))
                current, low = event or current, high
        return [item for _, item in sorted(items, key=lambda pair: pair[0])]

    def _commits(self, buffer: _Buffer, starts: Ints, kinds: Ints) -> tuple[Ints, Ints]:
        """Commit LSN and time (µs since 1970) of the transaction of every message."""
        begins = np.flatnonzero(kinds == _BEGIN)
        lsns = np.concatenate([[self._transaction[0]], buffer.int64(starts[begins] + 1)])
        times = np.concatenate([[self._transaction[1]], buffer.int64(starts[begins] + 9) + _EPOCH_US])
        self._transaction = (int(lsns[-1]), int(times[-1]))
        commits = np.flatnonzero(kinds == _COMMIT)
        if len(commits):
            self.commit_end = int(buffer.int64(starts[commits[-1:]] + 10)[0])
        which = np.searchsorted(begins, np.arange(len(kinds)), side="right")
        return lsns[which], times[which]

    def _changes(
        self, buffer: _Buffer, relation: Relation, kinds: Ints, starts: Ints, sequence: Ints, lsn: Ints, at: Ints
    ) -> Changes:
        position = starts + 6  # past the letter, the relation and the tag of the first tuple
        with_old = np.flatnonzero((kinds == _UPDATE) & (buffer.bytes[starts + 5] != _NEW))
        old: dict[str, pa.Array] = {}
        former: list[_Fields] = []
        if len(with_old):
            former, end = _parse_tuples(buffer, position[with_old], len(relation.columns))
            position = position.copy()
            position[with_old] = end + 1  # past the tag of the new tuple
        fields, _ = _parse_tuples(buffer, position, len(relation.columns))
        is_delete = kinds == _DELETE
        unchanged: dict[str, Bools] = {}
        arrays: dict[str, pa.Array] = {}
        for index, (column, found) in enumerate(zip(relation.columns, fields, strict=True)):
            if former:
                before = former[index]
                old[column.name] = _array(buffer, before, column)
                # REPLICA IDENTITY FULL: what was not sent again stands in the old tuple.
                sent = (found.kind[with_old] == _UNCHANGED) & (before.kind != _UNCHANGED) & relation.full_identity
                if sent.any():
                    for target, source in (
                        (found.kind, before.kind),
                        (found.start, before.start),
                        (found.length, before.length),
                    ):
                        target[with_old[sent]] = source[sent]
            mask = found.kind == _UNCHANGED
            if mask.any():
                unchanged[column.name] = mask
            arrays[column.name] = _array(buffer, found, column)
        arrays |= {
            "_seq": pa.array(sequence.astype(np.int64)),
            "_op": pa.DictionaryArray.from_arrays(pa.array(is_delete.astype(np.int8)), ["U", "D"]),
            "_ab_cdc_lsn": pa.array(lsn.astype(np.int64)),
            "_ab_cdc_updated_at": pa.array(at.astype(np.int64)).cast(pa.timestamp("us", "UTC")),
        }
        return Changes(relation, pa.table(arrays), unchanged, with_old, old)


def _parse_relation(message: bytes) -> Relation:
    def text(start: int) -> tuple[str, int]:
        end = message.index(b"\0", start)
        return message[start:end].decode(), end + 1

    (oid,) = struct.unpack_from(">I", message, 1)
    schema, at = text(5)
    name, at = text(at)
    full = message[at : at + 1] == b"f"
    (number,) = struct.unpack_from(">H", message, at + 1)
    at += 3
    columns = []
    for _ in range(number):
        column, at = text(at + 1)
        columns.append(Column(column, *struct.unpack_from(">Ii", message, at)))
        at += 8
    return Relation(oid, schema, name, full, tuple(columns), message)


def _parse_tuples(buffer: _Buffer, position: Ints, columns: int) -> tuple[list[_Fields], Ints]:
    """Fields of the tuples that begin at ``position`` (their column count), and where each tuple ends."""
    position = position + 2
    found = []
    for _ in range(columns):
        kind = buffer.bytes[position]
        has_value = (kind == _TEXT) | (kind == _BINARY)
        length = np.where(has_value, buffer.int32(np.where(has_value, position + 1, 0)), 0).astype(np.int64)
        start = position + np.where(has_value, 5, 1)
        position = start + length
        found.append(_Fields(kind, start, length))
    return found, position


def _array(buffer: _Buffer, fields: _Fields, column: Column) -> pa.Array:
    null = (fields.kind == _NULL) | (fields.kind == _UNCHANGED)
    if not (fields.kind == _BINARY).any():
        return _bytes(buffer, fields.start, fields.length, null, pa.string())
    decode = _BINARY_DECODERS.get(column.oid)
    if decode is None:
        raise NeedsTextError
    return decode(buffer, np.where(null, 0, fields.start), fields, null, column)


def _fixed(kind: pa.DataType, values: Ints, null: Bools) -> pa.Array:
    valid = pa.py_buffer(np.packbits(~null, bitorder="little")) if null.any() else None
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(np.ascontiguousarray(values))])


def _bytes(buffer: _Buffer, start: Ints, length: Ints, null: Bools, kind: pa.DataType) -> pa.Array:
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


def _since_1970(values: Ints, shift: int, bounds: Any) -> Ints:
    """PostgreSQL's infinities are the two ends of the integer; DuckDB's are symmetric around zero."""
    infinite = (values == bounds.max) | (values == bounds.min)
    if ((values > bounds.max - shift) & ~infinite).any():
        raise NeedsTextError  # later than DuckDB can hold; the cast from text will say so
    ends = np.where(values == bounds.max, bounds.max, -bounds.max)
    return np.where(infinite, ends, values + shift).astype(values.dtype)


def _numeric(buffer: _Buffer, at: Ints, fields: _Fields, null: Bools, column: Column) -> pa.Array:
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


def _inet(buffer: _Buffer, at: Ints, fields: _Fields, null: Bools, column: Column) -> pa.Array:
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


def _json_binary(buffer: _Buffer, at: Ints, fields: _Fields, null: Bools, column: Column) -> pa.Array:
    skip = np.where(null, 0, 1)  # the version byte
    return _bytes(buffer, fields.start + skip, fields.length - skip, null, pa.string())


def _text(buffer: _Buffer, at: Ints, fields: _Fields, null: Bools, column: Column) -> pa.Array:
    return _bytes(buffer, fields.start, fields.length, null, pa.string())


_Decode = Callable[[_Buffer, Ints, _Fields, Bools, Column], pa.Array]
_BINARY_DECODERS: dict[int, _Decode] = {
    types.BOOL: lambda b, at, f, null, c: pa.array(b.bytes[at] != 0, mask=null),
    types.INT2: lambda b, at, f, null, c: _fixed(pa.int16(), b.int16(at), null),
    types.INT4: lambda b, at, f, null, c: _fixed(pa.int32(), b.int32(at), null),
    types.INT8: lambda b, at, f, null, c: _fixed(pa.int64(), b.int64(at), null),
    types.FLOAT4: lambda b, at, f, null, c: _fixed(pa.float32(), b.int32(at), null),
    types.FLOAT8: lambda b, at, f, null, c: _fixed(pa.float64(), b.int64(at), null),
    types.DATE: lambda b, at, f, null, c: _fixed(pa.date32(), _since_1970(b.int32(at), _EPOCH_DAYS, _INT32), null),
    types.TIMESTAMP: lambda b, at, f, null, c: _fixed(
        pa.timestamp("us"), _since_1970(b.int64(at), _EPOCH_US, _INT64), null
    ),
    types.TIMESTAMPTZ: lambda b, at, f, null, c: _fixed(
        pa.timestamp("us", "UTC"), _since_1970(b.int64(at), _EPOCH_US, _INT64), null
    ),
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
