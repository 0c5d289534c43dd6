"""A source of changes: one PostgreSQL server of its own, the data in it, and slots that all read the same WAL range.

Each scenario has a server to itself: WAL is the server's, and one scenario's changes would be read by another's slots.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import psycopg

from bench.tables import landed_checksum, source_checksum
from demo.postgres import EmbeddedPostgres
from ingestion.land import RawTable
from ingestion.postgres.slots import slot_name
from settings import TailraceError

DATABASE, ROLE, PUBLICATION = "bench", "cdc", "tailrace"
BASE = "base"
"""Prefix of the slot that the first capture makes; contenders read copies of it."""
ROWS_A_COMMIT = 1000


class Source:
    """The server, running inside the ``with`` block, and what contenders ask of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = EmbeddedPostgres(folder / "postgres", version="18")
        self._checksums: dict[str, tuple[int, str]] = {}

    def __enter__(self) -> Self:
        self.server.start()
        try:
            self.server.create_role(ROLE, attributes="login replication")
            self.server.create_database(DATABASE)
            # Vacuum would run in some rounds and not in others.
            self.run("alter system set autovacuum = off", "select pg_reload_conf()")
            self.run("create schema app", f"create publication {PUBLICATION}")
            self.run(f"grant usage on schema app to {ROLE}")
        except BaseException:
            self.server.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.stop()

    @property
    def dsn(self) -> str:
        """As the role that captures; no secret is in it."""
        return self.server.dsn(DATABASE, role=ROLE)

    def password(self) -> str:
        """Of the role that captures, for a client that does not read a libpq password file."""
        lines = [line.split(":") for line in self.server.passfile.read_text().splitlines()]
        return next(parts[4] for parts in lines if parts[3] == ROLE)

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Each statement in a transaction of its own; rows of the last."""
        with self.server.connect(DATABASE) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def value(self, query: str) -> Any:
        return self.run(query)[0][0]

    def publish(self, tables: Sequence[RawTable]) -> None:
        for table in tables:
            self.run(f"alter publication {PUBLICATION} add table app.{table.name}")
            self.run(f"grant select on app.{table.name} to {ROLE}")

    def write(self, statement: Callable[[str, str], str], rows: int, *, rows_a_commit: int = ROWS_A_COMMIT) -> None:
        """Run ``statement`` (given the first and the last number, as SQL) over 1 to ``rows``, in many transactions."""
        body = statement("low", f"least(low + {rows_a_commit - 1}, {rows})")
        self.run(
            "set synchronous_commit = off",
            "set enable_hashjoin = off",
            "set enable_mergejoin = off",
            f"do $$ declare low bigint; begin for low in select generate_series(1, {rows}, {rows_a_commit}) loop "
            f"{body}; commit; end loop; end $$",
        )
        self.changed()
        self.settle()

    def changed(self) -> None:
        """What is compared with the source has to be read from it anew."""
        self._checksums.clear()

    def settle(self) -> None:
        """Everything written is on the disk, at the source and here, before a clock starts."""
        self.run("checkpoint")
        os.sync()

    def tool(self, name: str) -> str:
        """A program out of the server's own folder, e.g. ``pg_recvlogical``."""
        return str(Path(self.value("select setting from pg_config where name = 'BINDIR'")) / name)

    def call(self, name: str, *arguments: str, **environment: str) -> float:
        """Run a program of the server's folder; its seconds."""
        command = [self.tool(name), *arguments]
        began = time.perf_counter()
        ended = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        if ended.returncode != 0:
            reason = (ended.stderr.strip().splitlines() or ["no message"])[-1]
            raise TailraceError(f"{name} failed: {reason}")
        return seconds

    def copy_slot(self, prefix: str) -> str:
        """A slot that reads what the base slot would; named as the engine names it for this prefix."""
        slot = slot_name(prefix, DATABASE)
        self.run(f"select pg_copy_logical_replication_slot('{slot_name(BASE, DATABASE)}', '{slot}')")
        return slot

    def drop_slot(self, prefix: str) -> None:
        """Drop the slot, waiting for the server to notice that its reader has ended."""
        slot = slot_name(prefix, DATABASE)
        for _ in range(100):
            try:
                self.run(f"select pg_drop_replication_slot('{slot}')")
                return
            except psycopg.errors.ObjectInUse:
                time.sleep(0.1)
        raise TailraceError(f"slot {slot} of the bench stays in use; end its reader")

    def verify(self, path: Path, tables: Sequence[RawTable], relation: Callable[[RawTable], str]) -> None:
        """Raises TailraceError unless ``relation`` (SQL) in the DuckDB file holds each table's rows, value by value."""
        with duckdb.connect(str(path), read_only=True) as con:
            for table in tables:
                if table.name not in self._checksums:
                    rows, total = self.run(source_checksum(table))[0]
                    self._checksums[table.name] = (int(rows), str(total))
                landed = con.execute(landed_checksum(table, relation(table))).fetchall()[0]
                if (int(landed[0]), str(landed[1])) != self._checksums[table.name]:
                    raise TailraceError(
                        f"{path.name}: {table.name} is not what the source has: {landed[0]:,} rows of "
                        f"{self._checksums[table.name][0]:,}, or other values; the contender does not count"
                    )
