"""A columnar decoder of pgoutput (protocol version 1): no Python loop over rows.

Messages arrive as one Arrow binary column. Field positions are found for all rows of a relation at once, column after
column, and values are gathered from the one byte buffer into Arrow arrays.
https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from ingestion.postgres.values import (
    BINARY,
    EPOCH_US,
    NOT_LANDED,
    PADDING,
    TEXT,
    UNCHANGED,
    Bools,
    Buffer,
    Column,
    Fields,
    Ints,
    array,
)

_BEGIN, _COMMIT, _INSERT, _UPDATE, _DELETE, _RELATION, _TRUNCATE = (ord(letter) for letter in "BCIUDRT")
_NEW = ord("N")
INSERT, UPDATE, DELETE = range(3)
_OPERATIONS = pa.array(["I", "U", "D"])


@dataclass(frozen=True)
class Relation:
    """A table as the stream announced it; announced again after every change of its shape."""

    oid: int
    schema: str
    name: str
    full_identity: bool
    identity: frozenset[str]
    """Columns by which changes name their row."""
    columns: tuple[Column, ...]
    message: bytes = field(repr=False)


@dataclass
class Changes:
    """Row changes of one relation, in stream order.

    ``rows`` has the relation's columns (of a delete: its identity only), ``_seq`` int64 (order in the run), ``_op``
    (``I`` insert, ``U`` update, ``D`` delete), ``_ab_cdc_lsn`` int64 (where the commit record begins) and
    ``_ab_cdc_updated_at`` (its time). ``unchanged`` masks values that the stream did not send again. ``moved`` numbers
    the rows whose key may have changed, ``old`` has their former values, by column name.
    """

    relation: Relation
    rows: pa.Table
    unchanged: dict[str, Bools]
    moved: Ints
    old: dict[str, pa.Array]

    @property
    def operations(self) -> Ints:
        """INSERT, UPDATE or DELETE of every row."""
        return np.asarray(self.rows["_op"].chunk(0).indices)


@dataclass(frozen=True)
class Truncation:
    """The relation was emptied at this point of the stream."""

    relation: Relation
    lsn: int
    at: int
    """Commit time, microseconds since 1970 UTC."""


class Decoder:
    """Decodes the messages of one slot in order; relations and the open transaction carry over from batch to batch."""

    def __init__(
        self,
        aliases: Mapping[int, int] | None = None,
        *,
        raw_types: Callable[[int], Mapping[str, str]] | None = None,
    ) -> None:
        """``aliases``: base type of domains and enums, by OID. ``raw_types``: of a relation (OID) the raw type
        of each column that lands; the others are not decoded. Without it every column has its natural raw type."""
        self.commit_end = 0
        """LSN just after the last commit seen."""
        self.messages = 0
        self.open = False
        """Whether the last message seen leaves a transaction unfinished."""
        self._relations: dict[int, Relation] = {}
        self._transaction = (0, 0)
        self._aliases = aliases or {}
        self._raw_types = raw_types

    def feed(self, batch: pa.Array) -> list[Changes | Truncation]:
        """Decode whole messages; items of one relation come in stream order. Raises NeedsTextError."""
        count = len(batch)
        if count == 0:
            return []
        offsets, messages = _messages(batch)
        data = np.zeros(len(messages) + PADDING, np.uint8)
        data[:-PADDING] = messages
        buffer, starts = Buffer(data), offsets[:-1]
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
                    relation = self._resolved(relation)
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

    def _resolved(self, relation: Relation) -> Relation:
        """The relation with the types that its columns are decoded by."""
        raw = self._raw_types(relation.oid) if self._raw_types else None
        columns = [
            replace(
                column,
                oid=self._aliases.get(column.oid, column.oid),
                raw_type=raw.get(column.name, NOT_LANDED) if raw is not None else None,
            )
            for column in relation.columns
        ]
        return replace(relation, columns=tuple(columns))

    def whole(self, batch: pa.Array, messages: int) -> int:
        """How many messages of ``batch`` to feed until a transaction is whole and ``messages`` have been seen in all.

        All of them, if no such transaction ends in this batch.
        """
        offsets, data = _messages(batch)
        wanted = max(0, messages - self.messages - 1)
        commits = np.flatnonzero(data[offsets[wanted:-1]] == _COMMIT)
        return wanted + int(commits[0]) + 1 if len(commits) else len(batch)

    def _commits(self, buffer: Buffer, starts: Ints, kinds: Ints) -> tuple[Ints, Ints]:
        """Commit LSN and time (µs since 1970) of the transaction of every message."""
        begins = np.flatnonzero(kinds == _BEGIN)
        lsns = np.concatenate([[self._transaction[0]], buffer.int64(starts[begins] + 1)])
        times = np.concatenate([[self._transaction[1]], buffer.int64(starts[begins] + 9) + EPOCH_US])
        self._transaction = (int(lsns[-1]), int(times[-1]))
        commits = np.flatnonzero(kinds == _COMMIT)
        self.open = kinds[-1] != _COMMIT
        if len(commits):
            self.commit_end = int(buffer.int64(starts[commits[-1:]] + 10)[0])
        which = np.searchsorted(begins, np.arange(len(kinds)), side="right")
        return lsns[which], times[which]

    def _changes(
        self, buffer: Buffer, relation: Relation, kinds: Ints, starts: Ints, sequence: Ints, lsn: Ints, at: Ints
    ) -> Changes:
        position = starts + 6  # past the letter, the relation and the tag of the first tuple
        with_old = np.flatnonzero((kinds == _UPDATE) & (buffer.bytes[starts + 5] != _NEW))
        old: dict[str, pa.Array] = {}
        former: list[Fields] = []
        if len(with_old):
            former, end = _parse_tuples(buffer, position[with_old], len(relation.columns))
            position = position.copy()
            position[with_old] = end + 1  # past the tag of the new tuple
        fields, _ = _parse_tuples(buffer, position, len(relation.columns))
        operations = np.where(kinds == _INSERT, INSERT, np.where(kinds == _UPDATE, UPDATE, DELETE)).astype(np.int8)
        unchanged: dict[str, Bools] = {}
        arrays: dict[str, pa.Array] = {}
        for index, (column, found) in enumerate(zip(relation.columns, fields, strict=True)):
            if former:
                before = former[index]
                old[column.name] = array(buffer, before, column)
                # REPLICA IDENTITY FULL: what was not sent again stands in the old tuple.
                sent = (found.kind[with_old] == UNCHANGED) & (before.kind != UNCHANGED) & relation.full_identity
                if sent.any():
                    for target, source in (
                        (found.kind, before.kind),
                        (found.start, before.start),
                        (found.length, before.length),
                    ):
                        target[with_old[sent]] = source[sent]
            mask = found.kind == UNCHANGED
            if mask.any():
                unchanged[column.name] = mask
            arrays[column.name] = array(buffer, found, column)
        arrays |= {
            "_seq": pa.array(sequence.astype(np.int64)),
            "_op": pa.DictionaryArray.from_arrays(pa.array(operations), _OPERATIONS),
            "_ab_cdc_lsn": pa.array(lsn.astype(np.int64)),
            "_ab_cdc_updated_at": pa.array(at.astype(np.int64)).cast(pa.timestamp("us", "UTC")),
        }
        return Changes(relation, pa.table(arrays), unchanged, with_old, old)


def _messages(batch: pa.Array) -> tuple[Ints, Ints]:
    """Offsets (one more than there are messages) into the bytes of a binary or large binary array, and these bytes."""
    width = np.int64 if pa.types.is_large_binary(batch.type) else np.int32
    _, offsets, data = batch.buffers()
    bounds = np.frombuffer(offsets, width)[batch.offset : batch.offset + len(batch) + 1].astype(np.int64)
    first, last = int(bounds[0]), int(bounds[-1])
    return bounds - first, np.frombuffer(data, np.uint8, count=last - first, offset=first)


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
    columns, identity = [], set()
    for _ in range(number):
        named = message[at] & 1
        column, at = text(at + 1)
        if named:
            identity.add(column)
        columns.append(Column(column, *struct.unpack_from(">Ii", message, at)))
        at += 8
    return Relation(oid, schema, name, full, frozenset(identity), tuple(columns), message)


def _parse_tuples(buffer: Buffer, position: Ints, columns: int) -> tuple[list[Fields], Ints]:
    """Fields of the tuples that begin at ``position`` (their column count), and where each tuple ends."""
    position = position + 2
    found = []
    for _ in range(columns):
        kind = buffer.bytes[position]
        has_value = (kind == TEXT) | (kind == BINARY)
        if has_value.all():
            length = buffer.int32(position + 1).astype(np.int64)
            start = position + 5
        else:
            length = np.where(has_value, buffer.int32(np.where(has_value, position + 1, 0)), 0).astype(np.int64)
            start = position + np.where(has_value, 5, 1)
        position = start + length
        found.append(Fields(kind, start, length))
    return found, position
