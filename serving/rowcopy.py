"""Rows between Arrow and PostgreSQL's binary COPY, whole columns at a time.

A batch becomes one matrix of bytes, a line a row, values padded to their column's width; what pads and what is null is
then left out. Reading goes the same way for rows of fixed width, and for arrays of such values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.csv
from psycopg import sql
from psycopg.copy import QueuedLibpqWriter

from serving import background
from serving.contract import Column
from warehouse import quote

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Cursor = psycopg.Cursor[Any]

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_EPOCH_DAYS = 10_957
"""From 1970-01-01 to 2000-01-01, which PostgreSQL counts from."""
_EPOCH_MICROSECONDS = _EPOCH_DAYS * 86_400_000_000
_BATCH_ROWS = 65_536
_HEADER_WORDS = 5
_MATRIX_BYTES = 32 << 20
_PIECE_BYTES = 1 << 20
_ARRAYS = {"date[]": (1082, ">i4"), "smallint[]": (21, ">i2"), "bigint[]": (20, ">i8"), "uuid[]": (2950, "V16")}
"""Arrays: the object id of an element's type, and its binary form."""
_INTEGERS = {"smallint": ">i2", "integer": ">i4", "bigint": ">i8"}
_DUCKDB = {
    "text": "varchar",
    "uuid": "varchar",
    "jsonb": "varchar",
    "double precision": "double",
    "timestamp with time zone": "timestamptz",
}


def typed(column: Column) -> str:
    """The column in DuckDB's SQL, of the type that stands for PostgreSQL's."""
    name = quote(column.name)
    return f"{name}::{_DUCKDB.get(column.type, column.type.replace('numeric', 'decimal'))}"


def batches(relation: Any) -> Iterator[pa.RecordBatch]:
    """A DuckDB relation's rows, so many at a time as keep memory bounded."""
    yield from relation.to_arrow_reader(_BATCH_ROWS)


@contextmanager
def ahead(source: Iterable[pa.RecordBatch], columns: tuple[Column, ...]) -> Iterator[Iterator[bytes]]:
    """What ``copy_in`` sends of batches, whose columns are those of ``select_list``.

    A thread makes each piece before it is asked for, the first from now on; until all have been read nothing else may
    be asked of the DuckDB connection that the batches come from.
    """
    made = (piece for batch in source for piece in _lines(batch, columns))
    with background.workers() as pool:
        first = pool.submit(next, made, None)

        def read() -> Iterator[bytes]:
            piece = first.result()
            while piece is not None:
                following = pool.submit(next, made, None)
                yield piece
                piece = following.result()

        yield read()


def select_list(columns: Iterable[Column]) -> str:
    """What ``copy_in`` takes of each column, in DuckDB's SQL."""
    return ", ".join(_sendable(column) for column in columns)


def _sendable(column: Column) -> str:
    if column.type == "uuid":
        return f"unhex(replace({typed(column)}, '-', '')) as {quote(column.name)}"
    if column.type == "jsonb":
        return f"chr(1) || {typed(column)} as {quote(column.name)}"  # the version of jsonb's binary form
    return f"{typed(column)} as {quote(column.name)}"


def copy_in(
    cursor: Cursor,
    target: sql.Composable,
    columns: tuple[Column, ...],
    lines: Iterable[bytes],
    *,
    freeze: bool = False,
) -> int:
    """Copy what ``ahead`` made of batches, and return how many rows. ``freeze`` as in COPY."""
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    statement = sql.SQL("copy {} ({}) from stdin (format binary{})").format(
        target, names, sql.SQL(", freeze" if freeze else "")
    )
    with cursor.copy(statement, writer=QueuedLibpqWriter(cursor)) as copy:
        copy.write(_SIGNATURE)
        for piece in lines:
            copy.write(piece)
        copy.write(_END)
    return cursor.rowcount


def arrays_out(cursor: Cursor, query: sql.Composable, columns: tuple[Column, ...]) -> pa.Table:
    """The elements of arrays that a query finds, a row for each place in them, as these columns.

    The columns are uuid, which come as 16 bytes each, date, smallint and bigint. The arrays of a row are as long as
    each other, never empty and without nulls.
    """
    forms = [_ARRAYS[f"{column.type}[]"][1] for column in columns]
    found: list[list[np.ndarray]] = [[np.empty(0, form)] for form in forms]
    with cursor.copy(sql.SQL("copy ({}) to stdout (format binary)").format(query)) as copy:
        for piece in copy:  # a row, as the server sends it
            row, at = bytes(piece).removeprefix(_SIGNATURE), 2
            if row in (b"", _END):
                continue
            for form, pieces in zip(forms, found, strict=True):
                element = np.dtype([("length", ">i4"), ("value", form)])
                count = int.from_bytes(row[at + 16 : at + 20], "big")
                at += 4 * (1 + _HEADER_WORDS)
                pieces.append(np.frombuffer(row, element, count=count, offset=at)["value"])
                at += count * element.itemsize
    return pa.table(
        {
            column.name: _received(column.type, np.concatenate(pieces))
            for column, pieces in zip(columns, found, strict=True)
        }
    )


@contextmanager
def text_out(cursor: Cursor, table: sql.Composable, columns: tuple[Column, ...]) -> Iterator[pa.RecordBatchReader]:
    """The rows of a table, every value as text, read as they come."""
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    # PostgreSQL quotes an empty text and leaves a null bare.
    options = pa.csv.ConvertOptions(
        column_types={column.name: pa.string() for column in columns},
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )
    # By a query: a table under row-level security is not copied by its name.
    statement = sql.SQL("copy (select {} from {}) to stdout (format csv, header)").format(names, table)
    with cursor.copy(statement) as copy:
        stream = pa.PythonFile(_Pieces(copy), mode="r")
        yield pa.csv.open_csv(
            stream,
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=options,
        )


class _Pieces:
    """What comes out of a COPY, as a file that can be read once."""

    closed = False

    def __init__(self, copy: Iterable[Any]) -> None:
        self._pieces = iter(copy)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._rest += bytes(piece)
        size = len(self._rest) if size < 0 else size
        given, self._rest = self._rest[:size], self._rest[size:]
        return given


def _received(kind: str, values: np.ndarray) -> pa.Array:
    if kind == "uuid":
        data = pa.py_buffer(np.ascontiguousarray(values).tobytes())
        return pa.Array.from_buffers(pa.binary(16), len(values), [None, data])
    if kind == "date":
        return pa.array((values.astype("i4") + _EPOCH_DAYS).astype("i4")).view(pa.date32())
    return pa.array(values.astype("i8"))


def _lines(batch: pa.RecordBatch, columns: tuple[Column, ...]) -> Iterator[bytes]:
    """The batch as COPY's tuples, in pieces whose matrix stays small however long its longest text is."""
    if not batch.num_rows:
        return
    if any(pa.types.is_list(array.type) for array in batch.columns):
        yield from _lines_with_arrays(batch, columns)
        return
    fields = [_Field(batch.column(n), column) for n, column in enumerate(columns)]
    width = 2 + sum(4 + field.width for field in fields)
    step = max(1, _MATRIX_BYTES // width)
    if step < batch.num_rows:
        for start in range(0, batch.num_rows, step):
            yield from _lines(batch.slice(start, step), columns)
        return
    matrix: Bytes = np.empty((batch.num_rows, width), np.uint8)
    kept: np.ndarray | None = None if all(field.exact for field in fields) else np.ones(matrix.shape, bool)
    matrix[:, :2] = np.frombuffer(len(fields).to_bytes(2, "big"), np.uint8)
    at = 2
    for field in fields:
        matrix[:, at : at + 4] = field.lengths.astype(">i4").view(np.uint8).reshape(-1, 4)
        matrix[:, at + 4 : at + 4 + field.width] = field.values
        if kept is not None and not field.exact:
            kept[:, at + 4 : at + 4 + field.width] = np.arange(field.width) < field.lengths[:, None]
        at += 4 + field.width
    yield (matrix if kept is None else matrix[kept]).tobytes()


def _lines_with_arrays(batch: pa.RecordBatch, columns: tuple[Column, ...]) -> Iterator[bytes]:
    """Such rows are few and long, so that each is put together of its fields."""
    head = len(columns).to_bytes(2, "big")
    fields = [
        _arrays(batch.column(n), column.type) if column.type in _ARRAYS else _Field(batch.column(n), column).pieces()
        for n, column in enumerate(columns)
    ]
    lines = bytearray()
    for row in zip(*fields, strict=True):
        lines += b"".join((head, *row))
        if len(lines) > _PIECE_BYTES:
            yield bytes(lines)
            lines.clear()
    yield bytes(lines)


def _arrays(array: pa.ListArray, kind: str) -> Iterator[bytes]:
    """Lists without nulls as PostgreSQL's arrays: a header, and each value after its length."""
    oid, form = _ARRAYS[kind]
    offsets = np.asarray(array.offsets)
    values = _fixed(array.values[int(offsets[0]) : int(offsets[-1])], kind.removesuffix("[]"))
    width = np.dtype(form).itemsize
    elements = np.empty(len(values), [("length", ">i4"), ("value", f"V{width}")])
    elements["length"], elements["value"] = width, values.view(f"V{width}").reshape(-1)
    for first, end in pairwise(map(int, offsets - offsets[0])):
        count = end - first
        octets = _HEADER_WORDS * 4 + count * elements.itemsize
        yield np.array([octets, 1, 0, oid, count, 1], ">i4").tobytes() + elements[first:end].tobytes()


class _Field:
    """One column of a batch: its values as bytes, ``width`` a row, of which the first ``lengths`` count (-1: null)."""

    def __init__(self, array: pa.Array, column: Column) -> None:
        rows = len(array)
        null = np.asarray(array.is_null()) if array.null_count else None
        if column.type in ("text", "jsonb", "uuid"):
            self.values, lengths = _bytes_of(array)
        else:
            self.values = _fixed(array, column.type)
            lengths = np.full(rows, self.values.shape[1], np.int32)
        self.width = self.values.shape[1]
        self.lengths = lengths if null is None else np.where(null, -1, lengths)
        self.exact = bool((self.lengths == self.width).all())

    def pieces(self) -> Iterator[bytes]:
        """Each row's field, after its length."""
        for value, length in zip(self.values, map(int, self.lengths), strict=True):
            yield length.to_bytes(4, "big", signed=True) + value[: max(0, length)].tobytes()


def _bytes_of(array: pa.Array) -> tuple[Bytes, np.ndarray]:
    """Texts or blobs, padded to the longest, and their lengths."""
    array = array.cast(pa.large_binary())
    buffers = array.buffers()
    offsets = np.frombuffer(buffers[1], np.int64, count=len(array) + 1, offset=array.offset * 8)
    data = np.frombuffer(buffers[2] or b"", np.uint8)
    lengths = np.diff(offsets)
    longest = int(lengths.max())
    if not longest:
        return np.empty((len(array), 0), np.uint8), lengths
    if int(lengths.min()) == longest:
        return data[offsets[0] : offsets[-1]].reshape(len(array), longest), lengths
    places = np.minimum(offsets[:-1, None] + np.arange(longest), max(0, len(data) - 1))
    return data[places], lengths


def _fixed(array: pa.Array, kind: str) -> Bytes:
    rows = len(array)
    if kind == "uuid":
        return _bytes_of(array)[0]
    if kind.startswith("numeric"):
        return _numeric(array)
    if kind == "boolean":
        return np.asarray(array.fill_null(False)).astype(np.uint8).reshape(rows, 1)
    if kind == "date":
        values = np.asarray(array.view(pa.int32()).fill_null(_EPOCH_DAYS)) - _EPOCH_DAYS
        return _big_endian(values, ">i4")
    if kind == "timestamp with time zone":
        at = array.cast(pa.timestamp("us", "UTC")).view(pa.int64()).fill_null(_EPOCH_MICROSECONDS)
        return _big_endian(np.asarray(at) - _EPOCH_MICROSECONDS, ">i8")
    if kind == "double precision":
        return _big_endian(np.asarray(array.fill_null(0.0)), ">f8")
    return _big_endian(np.asarray(array.fill_null(0)), _INTEGERS[kind])


def _big_endian(values: np.ndarray, kind: str) -> Bytes:
    return np.ascontiguousarray(values.astype(kind)).view(np.uint8).reshape(len(values), -1)


def _numeric(array: pa.Array) -> Bytes:
    """Decimals as PostgreSQL's numeric: a header and digits to base 10,000, as many for every row of the column."""
    precision, scale = array.type.precision, array.type.scale
    after = -(-scale // 4)
    before = max(1, -(-(precision - scale) // 4))
    unscaled = _unscaled(array.cast(pa.decimal128(precision, scale)))
    digits = np.empty((len(array), 4 + before + after), ">i2")
    digits[:, 0], digits[:, 1] = before + after, before - 1
    digits[:, 2], digits[:, 3] = np.where(unscaled < 0, 0x4000, 0), scale
    size = abs(unscaled)
    parts = (
        (size // 10**scale, range(4, 4 + before)),
        (size % 10**scale * 10 ** (after * 4 - scale), range(4 + before, 4 + before + after)),
    )
    for rest, places in parts:
        for place in reversed(places):
            digits[:, place] = rest % 10_000
            rest = rest // 10_000
    return digits.view(np.uint8).reshape(len(array), -1)


def _unscaled(array: pa.Array) -> np.ndarray:
    """Decimals as integers; nulls are 0. Where 64 bits might not do, they are Python's own."""
    parts = np.frombuffer(array.buffers()[1], np.int64).reshape(-1, 2)[array.offset : array.offset + len(array)]
    low = parts[:, 0]
    if array.type.precision > 18 or array.type.scale > 16:
        low = np.array([(int(high) << 64) | (int(each) & (2**64 - 1)) for each, high in parts], object)
    return np.where(np.asarray(array.is_valid()), low, 0)
