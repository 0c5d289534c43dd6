"""Reading PostgreSQL as Arrow: the snapshot's tables and the slot's messages, in bounded record batches."""

# ruff: noqa: S608 - identifiers are the contracts' and the catalog's, each quoted; values are bound or escaped

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
from adbc_driver_postgresql import StatementOptions

from ingestion import land
from ingestion.land import RawColumn
from ingestion.postgres.catalog import SourceTable
from ingestion.postgres.connection import SESSION, copies_prefix, literal, lsn_text
from ingestion.postgres.types import DATE, JSON, NUMERIC, OID, TIMESTAMP, TIMESTAMPTZ, as_text, copied_as
from settings import TailraceError, postgres_problem
from warehouse import quote

BATCH_BYTES = 1 << 20
"""Of a copy: a batch that stays in the processor's cache while it is landed."""
# What the driver's shift from 2000 to 1970 makes of PostgreSQL's infinities.
_WRAPPED_MICROSECONDS = {"infinity": -(2**63) + 946_684_800_000_000 - 1, "-infinity": -(2**63) + 946_684_800_000_000}
_SPECIAL_NUMERICS = {"'nan'": "'NaN'", "'inf'": "'Infinity'", "'-inf'": "'-Infinity'"}
_WRAPPED_DAYS = {"infinity": -(2**31) + 10_957 - 1, "-infinity": -(2**31) + 10_957}


class Reader:
    """One session that reads Arrow record batches, of about 16 MB unless told."""

    def __init__(self, connection: adbc.Connection) -> None:
        self._connection = connection

    def run(self, query: str) -> None:
        """A statement without a result."""
        with self._connection.cursor() as cursor:
            cursor.execute(query)

    def value(self, query: str) -> Any:
        """The one value of a one-row query."""
        with self.batches(query) as rows:
            return rows.read_all().column(0)[0].as_py()

    def cancel(self) -> None:
        """End, from another thread, the query that runs now; it fails there. Nothing to do when none runs."""
        self._connection.adbc_cancel()

    @contextmanager
    def batches(self, query: str, *, batch_bytes: int | None = None) -> Iterator[pa.RecordBatchReader]:
        with self._connection.cursor() as cursor:
            if batch_bytes is not None:
                cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(batch_bytes)})
            cursor.execute(query)
            yield cursor.fetch_record_batch()


@contextmanager
def open_reader(dsn: str) -> Iterator[Reader]:
    """A session that sees the present; temporary slots live as long as it."""
    with _session(dsn, autocommit=True) as reader:
        yield reader


@contextmanager
def open_snapshot(dsn: str, snapshot: str) -> Iterator[Reader]:
    """A session that sees the database as of an exported snapshot."""
    with _session(dsn, autocommit=False) as reader:
        reader.run("set transaction isolation level repeatable read, read only")
        reader.run(f"set transaction snapshot {literal(snapshot)}")
        yield reader


@contextmanager
def _session(dsn: str, *, autocommit: bool) -> Iterator[Reader]:
    with reading(dsn), adbc.connect(dsn, autocommit=autocommit) as connection:
        reader = Reader(connection)
        for name, value in SESSION.items():
            reader.run(f"set {name} = {literal(value)}")
        yield reader


@contextmanager
def reading(dsn: str) -> Iterator[None]:
    """The driver's failures as one line; in the middle of a result it raises an OSError."""
    try:
        yield
    except (adbc.Error, OSError) as error:
        raise TailraceError(postgres_problem(dsn, error)) from None


class SlotCopy:
    """A temporary copy of a durable slot, in a session of its own.

    It can be consumed at linear cost while the durable one stays where it is. Who reads small changes one after the
    other keeps it: to open a session and to copy a slot take longer than they do. Used by one thread at a time.
    """

    def __init__(self, dsn: str, slot: str) -> None:
        self.dsn, self._slot = dsn, slot
        self._stack = ExitStack()
        self._reader: Reader | None = None
        self._name = ""
        self._position: int | None = None

    def open(self, position: int) -> tuple[Reader, str]:
        """The session and the name of the copy, which stands at ``position``: the one that was left there, or anew."""
        if self._reader is None or self._position != position:
            self.close()
            self._reader = self._stack.enter_context(open_reader(self.dsn))
            self._name = _temporary_copy(self._reader, self._slot, position)
        self._position = None  # from here on it is somewhere, until told where it was left
        return self._reader, self._name

    def left_at(self, position: int) -> None:
        """All that the copy was asked for is landed: whoever goes on from ``position`` may go on with it."""
        self._position = position

    def close(self) -> None:
        """End the session, and the copy with it. It may be opened again."""
        self._reader, self._position = None, None
        self._stack.close()


def _temporary_copy(reader: Reader, slot: str, position: int) -> str:
    """The name of a copy that begins at ``position``, should the durable slot lag behind it."""
    copy = copies_prefix() + secrets.token_hex(4)
    reader.value(
        f"select slot_name::text from pg_copy_logical_replication_slot({literal(slot)}, {literal(copy)}, true)"
    )
    behind = reader.value(
        f"select confirmed_flush_lsn < {literal(lsn_text(position))}::pg_lsn from pg_replication_slots "
        f"where slot_name = {literal(copy)}"
    )
    if behind:
        reader.value(
            "select slot_name::text from "
            f"pg_replication_slot_advance({literal(copy)}, {literal(lsn_text(position))}::pg_lsn)"
        )
    return copy


def changes_query(slot: str, *, upto: int, limit: int, publication: str, binary: bool) -> str:
    """Messages of whole transactions that committed up to ``upto``, stopping after the one that passes ``limit``."""
    options = ["proto_version", "1", "publication_names", quote(publication), "binary", str(binary).lower()]
    return (
        f"select data from pg_logical_slot_get_binary_changes({literal(slot)}, {literal(lsn_text(upto))}::pg_lsn, "
        f"{limit:d}, {', '.join(map(literal, options))})"
    )


@dataclass(frozen=True)
class Blocks:
    """A physical range of a table's heap: blocks from ``first``, up to but not including ``last`` (None: no end)."""

    first: int = 0
    last: int | None = None

    @property
    def sql(self) -> str:
        """A condition that PostgreSQL (14 and later) answers by reading these blocks alone."""
        bounds = [f"ctid >= '({self.first:d},0)'"] if self.first else []
        bounds += [f"ctid < '({self.last:d},0)'"] if self.last is not None else []
        return " and ".join(bounds) or "true"


def copy_query(
    table: SourceTable,
    columns: Sequence[RawColumn],
    *,
    only: bool,
    blocks: Blocks | None = None,
    where: str | None = None,
) -> str:
    """Columns of one table. What Arrow would not hold exactly is asked for in its text form.

    ``only`` keeps to the table itself: false for a partitioned one, whose rows are in its partitions.
    """
    names = [quote(column.name) for column in columns]
    native = [_arrives_natively(table, column) for column in columns]
    selected = [name if as_is else f"{as_text(name)} as {name}" for name, as_is in zip(names, native, strict=True)]
    conditions = [f"({each})" for each in (table.row_filter, blocks and blocks.sql, where) if each]
    clause = f" where {' and '.join(conditions)}" if conditions else ""
    source = f"{'only ' if only else ''}{quote(table.schema)}.{quote(table.raw.name)}"
    return f"select {', '.join(selected)} from {source}{clause}"


def _arrives_natively(table: SourceTable, column: RawColumn) -> bool:
    return copied_as(*table.types[column.name], column.duck_type) == "native"


def landed_value(table: SourceTable, column: RawColumn, name: str) -> str:
    """The DuckDB expression for what ``copy_query`` read as ``name``, in the column's type, with every value exact.

    The driver shifts the infinities of dates and times to 1970 with all other values, so that they wrap around; a
    finite time later than DuckDB's wraps too and is refused. It spells a numeric's special values its own way, and
    takes an oid for a signed number.
    """
    oid, _ = table.types[column.name]
    kind = column.duck_type
    if not _arrives_natively(table, column):
        return land.cast(name, column)
    if oid in (TIMESTAMP, TIMESTAMPTZ):
        moment = f"epoch_us({name})"
        infinite = _cases(moment, {at: f"'{value}'::{kind}" for value, at in _WRAPPED_MICROSECONDS.items()})
        late = f"then error('out of range')::{kind}"  # the last microsecond is what DuckDB takes for infinity
        late = f"when not isfinite({name}) {late} {infinite} when {moment} < -9000000000000000000 {late}"
        return f"case {late} else {name}::{kind} end"
    if oid == DATE:
        days = f"date_diff('day', date '1970-01-01', {name})"
        infinite = _cases(days, {at: f"'{value}'::{kind}" for value, at in _WRAPPED_DAYS.items()})
        return f"case {infinite} else {name}::{kind} end"
    if oid == NUMERIC and kind == "VARCHAR":
        return f"case {_cases(name, _SPECIAL_NUMERICS)} else {name} end"
    if oid == JSON and kind == "JSON":  # the driver vouches for it, but half a surrogate pair DuckDB could not read
        return f"{name}::varchar::json"
    if oid == OID:
        return f"(case when {name} < 0 then {name}::bigint + 4294967296 else {name} end)::{kind}"
    return f"{name}::{kind}"


def _cases(value: str, results: Mapping[Any, str]) -> str:
    return " ".join(f"when {value} = {given} then {result}" for given, result in results.items())
