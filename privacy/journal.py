"""What a right under way must remember to go on after a kill. Of a person, a file; of all else, rows of the warehouse.

The counts of each step stand in the warehouse, in the transaction of the step, so that a step that is done twice is
counted once. The file alone holds identifiers; it is its owner's (0600), and overwritten before it is removed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

_BEGINS = "under-way-"
_BEGUN, _ENDED = "begun", "audit"
_TABLE = """
create schema if not exists tailrace;
create table if not exists tailrace.erasure_steps (
    receipt varchar not null, step varchar not null, result json, done_at timestamptz not null,
    primary key (receipt, step)
)
"""


@dataclass(frozen=True, kw_only=True)
class Journal:
    """One right of a person under way. ``identifiers`` are (kind, value)."""

    receipt: str
    kind: str
    tenant: str
    subject_hash: str
    requested_at: str
    identifiers: tuple[tuple[str, str], ...]
    derived: tuple[str, ...]
    """pseudonyms of the identifiers"""
    kept: Any = None
    """what it read before it changed anything, as JSON says it"""


def write(directory: Path, journal: Journal) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = _path(directory, journal.receipt)
    unfinished = path.with_suffix(".tmp")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(journal), file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def unfinished(directory: Path) -> Iterator[Journal]:
    """Every right of a person that was begun and not ended, oldest first."""
    for path in sorted(directory.glob(f"{_BEGINS}*.json")):
        body = json.loads(path.read_text(encoding="utf-8"))
        pairs = tuple((kind, value) for kind, value in body.pop("identifiers"))
        yield Journal(identifiers=pairs, derived=tuple(body.pop("derived")), **body)


def remove(directory: Path, receipt: str) -> None:
    path = _path(directory, receipt)
    if path.exists():
        with path.open("r+b") as file:
            file.write(b"\0" * path.stat().st_size)
            file.flush()
            os.fsync(file.fileno())
        path.unlink()


def is_journal(path: Path) -> bool:
    return path.name.startswith(_BEGINS)


def result(con: duckdb.DuckDBPyConnection, receipt: str, step: str) -> Any | None:
    """What a step that is done has stored, or None."""
    con.execute(_TABLE)
    rows = con.execute(
        "select result from tailrace.erasure_steps where receipt = ? and step = ?", [receipt, step]
    ).fetchall()
    return json.loads(rows[0][0]) if rows else None


def store(con: duckdb.DuckDBPyConnection, receipt: str, step: str, value: Any) -> None:
    """Note a step as done, in the caller's transaction."""
    con.execute(_TABLE)
    con.execute("insert into tailrace.erasure_steps values (?, ?, ?, now())", [receipt, step, json.dumps(value)])


def begin(con: duckdb.DuckDBPyConnection, receipt: str, kind: str, **details: Any) -> dict[str, Any]:
    """Note what is begun under a receipt's id, in the caller's transaction, so that ``under_way`` finds it."""
    begun = {"kind": kind, "requested_at": datetime.now(UTC).isoformat(timespec="seconds"), **details}
    store(con, receipt, _BEGUN, begun)
    return begun


def begun(con: duckdb.DuckDBPyConnection, receipt: str) -> dict[str, Any]:
    """What ``begin`` noted."""
    return dict(result(con, receipt, _BEGUN) or {})


def under_way(con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Any]]:
    """Receipt → what was begun under it and has no audit row yet, oldest first."""
    con.execute(_TABLE)
    rows = con.execute(
        "select receipt, result from tailrace.erasure_steps as b where step = ? and not exists "
        "(select 1 from tailrace.erasure_steps as e where e.receipt = b.receipt and e.step = ?) order by done_at",
        [_BEGUN, _ENDED],
    ).fetchall()
    return {str(receipt): dict(json.loads(value)) for receipt, value in rows}


def end_once(con: duckdb.DuckDBPyConnection, receipt: str) -> bool:
    """Note that all is done; False where that was noted before. In the caller's transaction."""
    if result(con, receipt, _ENDED) is not None:
        return False
    store(con, receipt, _ENDED, True)
    return True


def steps(con: duckdb.DuckDBPyConnection, receipt: str) -> dict[str, tuple[Any, str]]:
    """Step → (result, when, in UTC) of all that is done, in order, but how it began."""
    con.execute(_TABLE)
    rows = con.execute(
        "select step, result, strftime(done_at, '%Y-%m-%dT%H:%M:%S.%fZ') from tailrace.erasure_steps where receipt = ? "
        "and step <> ? order by done_at",
        [receipt, _BEGUN],
    ).fetchall()
    return {str(step): (json.loads(value), str(at)) for step, value, at in rows}


def _path(directory: Path, receipt: str) -> Path:
    return directory / f"{_BEGINS}{receipt}.json"
