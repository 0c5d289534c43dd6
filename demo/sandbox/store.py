"""State of one sandbox in one SQLite file, committed before every answer: a killed server loses nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from settings import TailraceError

Json = dict[str, Any]
VERSION = 1


def dumps(value: Any) -> str:
    """Compact JSON; the stores hand these texts out again without parsing them."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class State:
    """An open state file, held by this process alone.

    Raises TailraceError, one line, when the file cannot be opened, is no state of this ``kind`` or is in use.
    """

    def __init__(self, path: Path, *, kind: str, schema: str) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # The server answers from one thread, which need not be the one that opened the file.
            self.connection = sqlite3.connect(path, isolation_level=None, timeout=2, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise TailraceError(f"{path}: cannot be opened ({reason}); choose another --state") from None
        try:
            self._claim(kind, schema)
        except sqlite3.Error as error:
            self.connection.close()
            if "locked" in str(error):
                raise TailraceError(f"{path}: another sandbox is using it; stop that one first") from None
            raise TailraceError(f"{path}: not a readable state file ({error}); move it away to start anew") from None
        except TailraceError:
            self.connection.close()
            raise

    def _claim(self, kind: str, schema: str) -> None:
        execute = self.connection.execute
        execute("pragma locking_mode = exclusive")
        execute("pragma journal_mode = wal")
        # A killed process loses nothing that was written; only a power cut could take the last commits.
        execute("pragma synchronous = normal")
        execute("begin immediate")
        held = [name for (name,) in execute("select name from sqlite_master where type = 'table'")]
        if held and "meta" not in held:
            raise TailraceError(f"{self.path}: some other program's file; choose another --state")
        execute("create table if not exists meta (name text primary key, value text not null)")
        found = self.meta("sandbox")
        if found is None:
            self.set_meta("sandbox", {"kind": kind, "version": VERSION})
        elif found != {"kind": kind, "version": VERSION}:
            was = f"{found.get('kind')} state, version {found.get('version')}"
            raise TailraceError(f"{self.path}: holds {was}, not {kind} version {VERSION}; choose another --state")
        for statement in schema.split(";"):
            execute(statement)
        execute("commit")
        problem = execute("pragma quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise sqlite3.DatabaseError("damaged")

    def meta(self, name: str) -> Any:
        """The value kept under ``name``, or None."""
        row = self.connection.execute("select value from meta where name = ?", [name]).fetchone()
        return None if row is None else json.loads(row[0])

    def set_meta(self, name: str, value: Any) -> None:
        self.connection.execute(
            "insert into meta values (?, ?) on conflict (name) do update set value = excluded.value",
            [name, json.dumps(value)],
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block or nothing of it."""
        self.connection.execute("begin immediate")
        try:
            yield
        except BaseException:
            self.connection.execute("rollback")
            raise
        self.connection.execute("commit")

    def close(self) -> None:
        self.connection.close()
