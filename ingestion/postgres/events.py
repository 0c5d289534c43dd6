"""The waiting changes of one raw table, as one relation that DuckDB can query in the raw table's own types."""

# ruff: noqa: S608 - identifiers are the contracts' and the catalog's, each quoted; values are bound or escaped

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion import land
from ingestion.land import UNCHANGED, RawColumn, RawTable
from ingestion.postgres import types
from ingestion.postgres.pgoutput import DELETE, INSERT, UPDATE, Changes
from ingestion.postgres.values import Bools
from settings import TailraceError
from warehouse import quote

OLD = "_old_"
RESERVED = frozenset(
    {
        "_seq",
        "_op",
        "_deleted",
        "_moved",
        "_origin",
        "_events",
        "_partial",
        "_value",
        "_times",
        "_row",
        "_from",
        "_lives",
    }
    | {"_schema", "_round"}
)
RESERVED_BEGINNINGS = (OLD, UNCHANGED, "_sent_")
"""Names that landing gives to columns of its own."""
_CONTROL = ("_seq", "_op", "_ab_cdc_lsn", "_ab_cdc_updated_at")


@dataclass
class Events:
    """Changes of one raw table in stream order. The row that an update replaced may be an event of its own.

    With a key, an update that changed it is a delete of the old row and then an arrival; without one, every update is.
    As a relation, events have the raw table's columns, ``_seq`` (their order), ``_deleted``, ``_origin`` (a number,
    see ``origins``), ``_ab_cdc_lsn``, ``_ab_cdc_updated_at``, for each column in ``partial`` ``_unchanged_<column>``
    (the event does not give it) and, if ``moves``, ``_old_<key column>``.
    """

    table: RawTable
    origins: list[str] = field(default_factory=list)
    """Where rows came from (``database.schema``)."""
    count: int = 0
    changes: int = 0
    """Events, and the changes that they came from."""
    bytes: int = 0
    toasted: set[str] = field(default_factory=set)
    """Columns that some event does not give since the stream did not repeat their value."""
    lacking: set[str] = field(default_factory=set)
    """Columns that the source's table did not have at some event: what was landed is kept."""
    lenient: set[str] = field(default_factory=set)
    """Columns that are copied again afterwards: a value that does not fit, or is missing, may be NULL until then."""
    updates: bool = False
    deletes: bool = False
    moves: bool = False
    _parts: dict[pa.Schema, list[pa.Table]] = field(default_factory=dict)

    @property
    def partial(self) -> list[RawColumn]:
        """The columns that some event does not give."""
        return [column for column in self.table.values if column.name in self.toasted | self.lacking]

    @property
    def apart(self) -> bool:
        """Whether each event is the whole of another row."""
        return not (self.updates or self.deletes or self.partial) and len(self.origins) == 1

    def takes(self, item: Changes) -> bool:
        """Whether these changes can be counted with those that wait: without a key, only rows of one shape are."""
        return bool(self.table.key) or self.lacking == {column.name for column in self.table.columns} - {
            column.name for column in item.relation.columns
        }

    def add(self, item: Changes, *, origin: str, lenient: Collection[str] = ()) -> None:
        """Take the next changes. Raises TailraceError when they do not tell which row of a keyless table they mean."""
        names = {column.name for column in self.table.columns}
        given = [name for name in item.rows.column_names if name in names]
        rows = item.rows.select([*given, *_CONTROL])
        # Odd numbers, so that the row that was replaced finds its place just before.
        rows = rows.set_column(len(given), "_seq", pc.add(pc.multiply(rows["_seq"], 2), 1))
        if origin not in self.origins:
            self.origins.append(origin)
        number = np.full(rows.num_rows, self.origins.index(origin), np.int32)
        rows = rows.append_column("_origin", pa.array(number))
        if self.table.key:
            _check_named(self.table, item)
            rows = self._with_moves(rows, item)
        else:
            _check_identified(self.table, item)
            if len(item.moved):
                self._keep(_replaced(rows, item, np.ones(len(item.moved), np.bool_), given), item)
                self.deletes = True
        for name in item.unchanged.keys() & names:
            rows = rows.append_column(UNCHANGED + name, pa.array(item.unchanged[name]))
            self.toasted.add(name)
        self._keep(rows, item)
        self.updates |= bool((item.operations == UPDATE).any())
        self.deletes |= bool((item.operations == DELETE).any())
        self.lacking |= names - set(given)
        self.lenient |= set(lenient)
        self.changes += item.rows.num_rows
        self.bytes += item.rows.nbytes

    @contextmanager
    def relation(self, con: duckdb.DuckDBPyConnection) -> Iterator[str]:
        """The events as a subquery. Raises TailraceError, without the value, when one does not fit its column."""
        parts = {f"_part_{number}": pa.concat_tables(part) for number, part in enumerate(self._parts.values())}
        selects = [
            f"select {', '.join(self._selected(rows.column_names))} from {name} as n" for name, rows in parts.items()
        ]
        with land.registered(con, self.table, parts, lenient=self.lenient):
            yield f"({' union all '.join(selects)})"

    def _with_moves(self, rows: pa.Table, item: Changes) -> pa.Table:
        """The rows with the old key of those whose key changed, which leave it in events of their own."""
        if not len(item.moved):
            return rows
        changed = np.zeros(len(item.moved), np.bool_)
        for name in self.table.key:
            same = pc.equal(_storage(item.old[name]), _storage(rows[name].chunk(0)).take(pa.array(item.moved)))
            changed |= ~pc.fill_null(same, True).to_numpy(zero_copy_only=False)
        if not changed.any():
            return rows
        self.moves = self.deletes = True
        self._keep(_replaced(rows, item, changed, list(self.table.key)), item)
        place = np.full(rows.num_rows, -1)
        place[item.moved[changed]] = np.flatnonzero(changed)
        places = pa.array(place, mask=place < 0)
        for name in self.table.key:
            rows = rows.append_column(OLD + name, item.old[name].take(places))
        return rows

    def _keep(self, rows: pa.Table, item: Changes) -> None:
        for column in item.relation.columns:
            if column.oid == types.JSONB and column.name in rows.column_names:
                rows = _trust_json(rows, column.name)
        self._parts.setdefault(rows.schema, []).append(rows)
        self.count += rows.num_rows

    def _selected(self, given: list[str]) -> list[str]:
        """The columns of the relation from those that a part has."""
        selected = ["n._seq", "n._op = 'D' as _deleted", "n._origin", "n._ab_cdc_lsn", "n._ab_cdc_updated_at"]
        for column in self.table.columns:
            source, lenient = quote(column.name), column.name in self.lenient
            value = land.cast(f"n.{source}", column, lenient=lenient) if column.name in given else "null"
            selected.append(f"{value}::{column.duck_type} as {source}")
            if column.name in self.table.key and self.moves:
                old = land.cast(f"n.{quote(OLD + column.name)}", column) if OLD + column.name in given else "null"
                selected.append(f"{old}::{column.duck_type} as {quote(OLD + column.name)}")
        for column in self.partial:
            flag = quote(UNCHANGED + column.name)
            if column.name not in given:
                selected.append(f"n._op <> 'I' as {flag}")
            else:
                selected.append(f"{'n.' + flag if UNCHANGED + column.name in given else 'false'} as {flag}")
        return selected


def _replaced(rows: pa.Table, item: Changes, which: Bools, columns: list[str]) -> pa.Table:
    """The rows that the chosen of the moved ones replaced, as deletes just before."""
    chosen = pa.array(which)
    control = rows.select([*_CONTROL, "_origin"]).take(pa.array(item.moved[which]))
    control = control.set_column(0, "_seq", pc.subtract(control["_seq"], 1))
    operation = pa.DictionaryArray.from_arrays(
        pa.array(np.full(len(control), DELETE, np.int8)), rows["_op"].chunk(0).dictionary
    )
    control = control.set_column(1, "_op", operation)
    for name in columns:
        control = control.append_column(name, item.old[name].filter(chosen))
    return control


def _check_named(table: RawTable, item: Changes) -> None:
    """A change names its row by the replica identity that the table had then, which need not be the one it has now."""
    relation = item.relation
    if relation.full_identity or relation.identity.issuperset(table.key):
        return
    if (item.operations != INSERT).any():
        raise TailraceError(
            f"{table.label}: a change of {relation.schema}.{relation.name} names its row by another replica identity "
            f"than the key {', '.join(table.key)}; give it that identity, then copy the table anew "
            "(`tailrace resnapshot`)"
        )


def _check_identified(table: RawTable, item: Changes) -> None:
    """Without a key, a change must carry the whole row that it replaces: nothing less tells which row is meant."""
    changed = int((item.operations != INSERT).sum())
    whole = len(item.moved) + int((item.operations == DELETE).sum())
    if changed and not (item.relation.full_identity and whole == changed and not item.unchanged):
        name = f"{quote(item.relation.schema)}.{quote(item.relation.name)}"
        raise TailraceError(
            f"{table.label}: a change of {item.relation.schema}.{item.relation.name}, which has no key, does not tell "
            f"which row it replaces; `alter table {name} replica identity full`, then copy the table anew"
        )


def _trust_json(rows: pa.Table, name: str) -> pa.Table:
    """PostgreSQL has parsed it already. (A ``json`` may have half a surrogate pair, which DuckDB could not read.)"""
    values = rows[name]
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return rows
    kind = pa.json_(values.type)
    chunks = [pa.ExtensionArray.from_storage(kind, chunk) for chunk in values.chunks]
    return rows.set_column(rows.column_names.index(name), name, pa.chunked_array(chunks, kind))


def _storage(values: pa.Array) -> pa.Array:
    return values.storage if isinstance(values, pa.ExtensionArray) else values
