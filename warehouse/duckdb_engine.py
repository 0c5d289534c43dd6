"""The warehouse on one machine: a DuckDB file for raw data and marts, and a separate file for tenant keys.

DuckDB allows one writing process. Every writer therefore opens the file under a lease, for one bounded step.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from duckdb.func import SPECIAL, PythonUDFType
from duckdb.sqltypes import VARCHAR

from settings import TailraceError
from warehouse.failpoints import failpoint
from warehouse.lease import lease

TextFunction = Callable[[pa.Array], pa.Array]
"""Texts to as many texts, nulls among them."""
DEFER_COMPACTION = "set max_vacuum_tasks = 0"
"""Leave holes, and row groups that are not full, to whoever writes next without haste: dbt, or ``compact``."""


def quote(identifier: str) -> str:
    """A SQL identifier, quoted; DuckDB, Snowflake and PostgreSQL agree on this form."""
    return '"' + identifier.replace('"', '""') + '"'


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """All of the block or nothing of it."""
    connection.begin()
    try:
        yield connection
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


@dataclass(frozen=True, kw_only=True)
class _Files:
    warehouse: Path
    vault: Path
    lease: Path


class DuckDBWarehouse:
    """One deployment's warehouse file, its vault of tenant keys and the writers' lease."""

    def __init__(self, path: Path, *, vault_path: Path, memory_limit: str = "2GB") -> None:
        self._files = _Files(warehouse=path, vault=vault_path, lease=path.with_name("warehouse.lease"))
        self._memory_limit = memory_limit
        self._functions: dict[str, TextFunction] = {}
        self._left: object = None
        self._epoch = 0

    @property
    def path(self) -> Path:
        return self._files.warehouse

    @property
    def lease_path(self) -> Path:
        return self._files.lease

    def define(self, name: str, function: TextFunction) -> None:
        """Let every connection from now on call ``function`` by ``name``, as a SQL function of one text."""
        self._functions[name] = function

    @contextmanager
    def lease(self, purpose: str, *, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
        """The writer's place without a connection, for a child process that opens the file itself (dbt)."""
        with lease(self._files.lease, purpose=purpose, on_wait=on_wait):
            self._create_vault()
            yield

    @contextmanager
    def writer(
        self, purpose: str, *, on_wait: Callable[[str], None] | None = None, memory_limit: str | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that may write, with the vault attached as ``vault``; closed at the end of the block.

        ``memory_limit`` stands in for the configured one, for a step that shares this process's memory with others.
        """
        with self.lease(purpose, on_wait=on_wait):
            self.epoch()
            connection = self._connect(read_only=False, memory_limit=memory_limit)
            try:
                yield connection
            finally:
                connection.close()
                self._left = self._stamps()

    def epoch(self) -> int:
        """A number that stays the same for as long as nobody but this object's ``writer`` writes the warehouse."""
        if self._stamps() != self._left:
            self._epoch, self._left = self._epoch + 1, self._stamps()
        return self._epoch

    def _stamps(self) -> list[tuple[int, int, int]]:
        """What changes whenever the file or its log is written."""
        stamps = []
        for path in (self._files.warehouse, self._files.warehouse.with_name(self._files.warehouse.name + ".wal")):
            with suppress(FileNotFoundError):
                found = path.stat()
                stamps.append((found.st_ino, found.st_mtime_ns, found.st_size))
        return stamps

    def compact(self, *, on_wait: Callable[[str], None] | None = None) -> None:
        """Close the holes that deleted and replaced rows left; DuckDB does so when a writer closes the file."""
        with self.writer("compacting", on_wait=on_wait) as connection:
            connection.execute("create schema if not exists tailrace")
            connection.execute("create or replace table tailrace.compacted as select now() as at")  # else it would not

    @contextmanager
    def reader(self, purpose: str = "reading") -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection. It takes the lease too: in DuckDB a reader of the file shuts a writer out."""
        with self.lease(purpose):
            if not self._files.warehouse.exists():
                raise TailraceError(f"{self._files.warehouse}: no warehouse yet; run the pipeline first (`make demo`)")
            connection = self._connect(read_only=True)
            try:
                yield connection
            finally:
                connection.close()

    def rewrite(self, purpose: str, *, on_wait: Callable[[str], None] | None = None) -> tuple[int, int]:
        """Write the warehouse and the vault to new files and put these in their places; bytes before and after.

        DuckDB leaves what was deleted in the blocks of the file until something else is written there. A new file has
        only what there is. A kill leaves the old one. Needs as much free disk as the warehouse has bytes.
        """
        with self.lease(purpose, on_wait=on_wait):
            paths = [path for path in (self._files.warehouse, self._files.vault) if path.exists()]
            before = sum(path.stat().st_size for path in paths)
            if shutil.disk_usage(self._files.warehouse.parent).free < before * 1.1:
                raise TailraceError(f"{self._files.warehouse}: no room for a second copy of it; free {before:,} bytes")
            for path in paths:
                self._rewrite(path)
            return before, sum(path.stat().st_size for path in paths)

    def _rewrite(self, path: Path) -> None:
        following = path.with_name(path.name + ".next")
        _discard(following)
        main = path == self._files.warehouse
        duckdb.connect(str(following)).close()
        following.chmod(path.stat().st_mode)  # before anything is in it
        try:
            connection = self._connect(read_only=False)
            try:
                source = quote(path.stem) if main else "vault"
                connection.execute(f"attach '{_text(following)}' as following")
                connection.execute(f"copy from database {source} to following")
                failpoint("rewrite_mid_copy")
                connection.execute("detach following")
                connection.execute(f"checkpoint {source}")  # the old file's log goes with it
            finally:
                connection.close()
            with following.open("rb") as file:
                os.fsync(file.fileno())
        except duckdb.Error as error:
            _discard(following)
            raise TailraceError(warehouse_problem(path, error)) from None
        failpoint("rewrite_before_swap")
        following.replace(path)
        path.with_name(path.name + ".wal").unlink(missing_ok=True)
        shutil.rmtree(path.with_name(path.name + ".tmp"), ignore_errors=True)

    def _connect(self, *, read_only: bool, memory_limit: str | None = None) -> duckdb.DuckDBPyConnection:
        try:
            connection = duckdb.connect(
                str(self._files.warehouse),
                read_only=read_only,
                config={"memory_limit": memory_limit or self._memory_limit, "preserve_insertion_order": "false"},
            )
            connection.execute("set TimeZone = 'UTC'")
            mode = " (read_only)" if read_only else ""
            connection.execute(f"attach '{_text(self._files.vault)}' as vault{mode}")
            for name, function in self._functions.items():
                connection.create_function(
                    name, function, [VARCHAR], VARCHAR, type=PythonUDFType.ARROW, null_handling=SPECIAL
                )
        except duckdb.Error as error:
            raise TailraceError(warehouse_problem(self._files.warehouse, error)) from None
        return connection

    def _create_vault(self) -> None:
        """Keys are readable by the owner only, from the file's first byte."""
        if self._files.vault.exists():
            return
        self._files.vault.parent.mkdir(parents=True, exist_ok=True)
        duckdb.connect(str(self._files.vault)).close()
        self._files.vault.chmod(0o600)


def _text(path: Path) -> str:
    return str(path).replace("'", "''")


def _discard(path: Path) -> None:
    for each in (path, path.with_name(path.name + ".wal")):
        each.unlink(missing_ok=True)


def warehouse_problem(path: Path, error: Exception) -> str:
    """One line for a DuckDB failure that a person can mend."""
    text = str(error)
    if "lock" in text.lower():
        return f"{path}: another program has the warehouse open; close it (analysts read the analytics file instead)"
    if "space" in text.lower():
        return f"{path}: the disk is full; free space and run again, nothing half-written is kept"
    return f"{path}: {text.splitlines()[0]}"
