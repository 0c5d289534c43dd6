"""Reading PostgreSQL as Arrow: the snapshot's tables and the slot's messages, in bounded record batches."""

# ruff: noqa: S608 - identifiers are the contracts' and the catalog's, each quoted; values are bound or escaped

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa

from ingestion.postgres.catalog import SourceTable
from ingestion.postgres.connection import literal, lsn_text
from ingestion.postgres.types import TEXT, as_text, copied_as
from ingestion.postgres.values import from_adbc
from settings import TailraceError, postgres_problem
from warehouse import quote

_SESSION = (
    "set DateStyle = 'ISO'",
    "set TimeZone = 'UTC'",
    "set IntervalStyle = 'postgres'",
    "set extra_float_digits = 3",
    "set bytea_output = 'hex'",
    "set client_encoding = 'UTF8'",
)


class Reader:
    """One session that reads Arrow record batches of about 16 MB."""

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

    @contextmanager
    def batches(self, query: str) -> Iterator[pa.RecordBatchReader]:
        with self._connection.cursor() as cursor:
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
    try:
        with adbc.connect(dsn, autocommit=autocommit) as connection:
            reader = Reader(connection)
            for setting in _SESSION:
                reader.run(setting)
            yield reader
    except adbc.Error as error:
        raise TailraceError(postgres_problem(dsn, error)) from None


def temporary_copy(reader: Reader, slot: str) -> str:
    """A copy of the durable slot, which can be consumed at linear cost while the durable one stays where it is."""
    copy = f"tailrace_tmp_{os.getpid()}_{secrets.token_hex(4)}"
    reader.value(
        f"select slot_name::text from pg_copy_logical_replication_slot({literal(slot)}, {literal(copy)}, true)"
    )
    return copy


def changes_query(slot: str, *, upto: int, limit: int, publication: str, binary: bool) -> str:
    """Messages of whole transactions that committed up to ``upto``, stopping after the one that passes ``limit``."""
    options = ["proto_version", "1", "publication_names", quote(publication), "binary", str(binary).lower()]
    return (
        f"select data from pg_logical_slot_get_binary_changes({literal(slot)}, {literal(lsn_text(upto))}::pg_lsn, "
        f"{limit:d}, {', '.join(map(literal, options))})"
    )


def snapshot_query(table: SourceTable) -> str:
    """The contract's columns of one table, for ``copied``. What Arrow would not hold exactly is asked for as text."""
    selected = []
    for column in table.raw.columns:
        name = quote(column.name)
        if copied_as(*table.types[column.name], column.duck_type) == "native":
            selected.append(name)
        else:
            selected.append(f"{as_text(name)} as {name}")
    where = f" where {table.row_filter}" if table.row_filter else ""
    return f"select {', '.join(selected)} from {quote(table.schema)}.{quote(table.raw.name)}{where}"


def copied(table: SourceTable, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows of ``snapshot_query``, value-exact."""
    kinds = [(table.types[column.name], column.duck_type) for column in table.raw.columns]
    oids = [oid if copied_as(oid, typmod, raw_type) == "native" else TEXT for (oid, typmod), raw_type in kinds]
    for batch in batches:
        exact = [from_adbc(array, oid) for array, oid in zip(batch.columns, oids, strict=True)]
        yield pa.RecordBatch.from_arrays(exact, names=batch.schema.names)
