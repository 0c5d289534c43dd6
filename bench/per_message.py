"""A peer: pgoutput decoded a message at a time in Python, as most Python readers do it, written with care.

It reads the slot as the engine does (a temporary copy, bounded batches, linear cost), parses each message with
``struct``, folds a batch to the last change of each key, and lands a batch as one Arrow table: never a statement a row.
Values stay bytes until Arrow has them; DuckDB casts them from PostgreSQL's text, which is quicker than Python objects.
It lands the table's columns and two of the engine's seven own, commits its position with them, then advances the slot.

Not done here: TOAST values that were not sent again, truncation, keyless tables, a changed shape. Meeting one is an
error, never a wrong row.
https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

# ruff: noqa: S608 - the identifiers are the bench's own

from __future__ import annotations

import json
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa

from bench.tables import DATASETS
from ingestion.land import RawTable
from warehouse import quote

BATCH_MESSAGES = 250_000
_EPOCH_US = 946_684_800_000_000  # of PostgreSQL's epoch, 2000-01-01
_BEGIN, _COMMIT, _INSERT, _UPDATE, _DELETE, _RELATION = b"BCIUDR"
_TEXT, _NULL, _NEW = b"tnN"
_int32 = struct.Struct(">i").unpack_from
_uint32 = struct.Struct(">I").unpack_from
_begin = struct.Struct(">qq").unpack_from

Values = list[bytes | None]
Key = tuple[bytes | None, ...]


def fields(message: bytes, at: int) -> tuple[Values, int]:
    """The values of the tuple whose column count stands at ``at``, and where it ends."""
    values: Values = []
    count = message[at] << 8 | message[at + 1]
    at += 2
    for _ in range(count):
        kind = message[at]
        if kind == _TEXT:
            (length,) = _int32(message, at + 1)
            at += 5
            values.append(message[at : at + length])
            at += length
        elif kind == _NULL:
            values.append(None)
            at += 1
        else:
            raise NotImplementedError("a value that was not sent again")
    return values, at


class Folder:
    """The last state of each key in one batch, and how far the stream was read."""

    def __init__(self, table: RawTable) -> None:
        self.messages = 0
        self.commit_end = 0
        self.rows: dict[Key, tuple[Values | None, int, int]] = {}
        """Key → (values, None when deleted; commit LSN; commit time in µs since 1970)."""
        self._columns = [column.name for column in table.columns]
        self._key = [self._columns.index(name) for name in table.key]
        self._relation = -1
        self._lsn = self._at = 0

    def feed(self, messages: Iterable[bytes]) -> None:
        for message in messages:
            self.messages += 1
            kind = message[0]
            if kind == _INSERT:
                self._check(message)
                self._put(fields(message, 6)[0])
            elif kind == _UPDATE:
                self._check(message)
                at = 6
                if message[5] != _NEW:
                    old, at = fields(message, 6)
                    self._put(old, deleted=True)
                    at += 1
                self._put(fields(message, at)[0])
            elif kind == _DELETE:
                self._check(message)
                self._put(fields(message, 6)[0], deleted=True)
            elif kind == _BEGIN:
                self._lsn, at = _begin(message, 1)
                self._at = at + _EPOCH_US
            elif kind == _COMMIT:
                (self.commit_end,) = struct.unpack_from(">q", message, 10)
            elif kind == _RELATION:
                self._announce(message)
            else:
                raise NotImplementedError(f"message {chr(kind)}")

    def _check(self, message: bytes) -> None:
        if _uint32(message, 1)[0] != self._relation:
            raise NotImplementedError("a change of another relation")

    def _put(self, values: Values, *, deleted: bool = False) -> None:
        key = tuple([values[index] for index in self._key])
        self.rows[key] = (None if deleted else values, self._lsn, self._at)

    def _announce(self, message: bytes) -> None:
        (self._relation,) = _uint32(message, 1)
        at = message.index(b"\0", message.index(b"\0", 5) + 1) + 2  # past schema, name and replica identity
        count, at, names = message[at] << 8 | message[at + 1], at + 2, []
        for _ in range(count):
            end = message.index(b"\0", at + 1)
            names.append(message[at + 1 : end].decode())
            at = end + 9
        if names != self._columns:
            raise NotImplementedError("another shape of the table")


class PerMessage:
    """One slot into one DuckDB file."""

    def __init__(self, *, dsn: str, slot: str, publication: str, path: Path, table: RawTable) -> None:
        self._dsn, self._slot, self._publication = dsn, slot, publication
        self._path, self._table = path, table

    def run(self) -> None:
        """Land every transaction that has been committed so far."""
        with psycopg.connect(self._dsn, autocommit=True) as connection, duckdb.connect(str(self._path)) as con:
            columns = [f"{quote(column.name)} {column.type}" for column in self._table.columns]
            columns += ["_ab_cdc_lsn bigint", "_ab_cdc_updated_at timestamptz"]
            con.execute(f"create table if not exists {self._table.name} ({', '.join(columns)})")
            con.execute("create table if not exists position (lsn bigint)")
            (upto,) = connection.execute("select pg_current_wal_flush_lsn()::text").fetchone() or (None,)
            copy = f"per_message_{self._slot}"
            connection.execute("select pg_copy_logical_replication_slot(%s, %s, true)", [self._slot, copy])
            while True:
                folder = Folder(self._table)
                folder.feed(self._messages(connection, copy, str(upto)))
                if folder.messages:
                    self._land(con, folder)
                    advance = "select pg_replication_slot_advance(%s, '0/0'::pg_lsn + %s::numeric)"
                    connection.execute(advance, [self._slot, folder.commit_end])
                if folder.messages < BATCH_MESSAGES:
                    return

    def _messages(self, connection: psycopg.Connection, slot: str, upto: str) -> Iterator[bytes]:
        query = (
            "select data from pg_logical_slot_get_binary_changes(%s, %s::pg_lsn, %s, "
            "'proto_version', '1', 'publication_names', %s)"
        )
        with connection.cursor() as cursor:
            values = [slot, upto, BATCH_MESSAGES, self._publication]
            for (message,) in cursor.stream(query, values, binary=True, size=1000):
                yield message

    def _land(self, con: duckdb.DuckDBPyConnection, folder: Folder) -> None:
        names = [column.name for column in self._table.columns]
        key = [names.index(name) for name in self._table.key]
        living = [(values, lsn, at) for values, lsn, at in folder.rows.values() if values is not None]
        by_column = zip(*(values for values, _, _ in living), strict=True)
        arrays = {
            name: pa.array(values, pa.binary()).cast(pa.string())
            for name, values in zip(names, by_column, strict=False)
        }
        arrays["_ab_cdc_lsn"] = pa.array([lsn for _, lsn, _ in living], pa.int64())
        arrays["_ab_cdc_updated_at"] = pa.array([at for _, _, at in living], pa.timestamp("us", "UTC"))
        keys = zip(*folder.rows, strict=True)
        touched = {names[i]: pa.array(list(v), pa.binary()).cast(pa.string()) for i, v in zip(key, keys, strict=True)}
        con.register("_rows", pa.table(arrays))
        con.register("_keys", pa.table(touched))
        by_key = [column for column in self._table.columns if column.name in touched]
        same = " and ".join(f"t.{quote(column.name)} = k.{quote(column.name)}::{column.type}" for column in by_key)
        con.begin()
        con.execute(f"delete from {self._table.name} as t using _keys as k where {same}")
        if living:
            con.execute(f"insert into {self._table.name} by name select * from _rows")
        con.execute("delete from position")
        con.execute("insert into position values (?)", [folder.commit_end])
        con.commit()
        con.unregister("_rows")
        con.unregister("_keys")


def main() -> None:
    """Read the job from standard input, run it, and print its seconds: imports are not in them."""
    job = json.load(sys.stdin)
    (table,) = DATASETS[job["dataset"]]
    peer = PerMessage(
        dsn=job["dsn"], slot=job["slot"], publication=job["publication"], path=Path(job["path"]), table=table
    )
    began = time.perf_counter()
    peer.run()
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
