"""Which ranges of which relations are copied already: the lines of ``tailrace.copied``.

Each commits with the rows that it tells of, so that a pass that takes up the copy of a dead one knows what is left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple, dataclass

import duckdb
import pyarrow as pa

from ingestion.land import RawTable
from ingestion.postgres.reader import Blocks

_TABLE = """
create table if not exists tailrace.copied (
    database varchar, relation varchar, raw varchar, shape varchar, files varchar,
    lsn bigint, xmin bigint, first bigint, last bigint, rows bigint
)
"""


@dataclass(frozen=True)
class Range:
    """Blocks of one relation that are copied as of one snapshot.

    ``raw`` is the raw table's label. What the copy depends on is in ``shape`` (columns, types, filter) and ``files``
    (of the heap). The snapshot shows the stream up to ``lsn`` and saw the end of every transaction before ``xmin``.
    """

    relation: str
    raw: str
    shape: str
    files: str
    lsn: int
    xmin: int
    first: int
    last: int | None
    rows: int

    @property
    def blocks(self) -> Blocks:
        return Blocks(self.first, self.last)


@dataclass(frozen=True)
class Copied:
    """The lines of one database. Callers hold the transaction, but for reading."""

    database: str

    def prepare(self, con: duckdb.DuckDBPyConnection) -> None:
        con.execute("create schema if not exists tailrace")
        con.execute(_TABLE)
        con.execute("create sequence if not exists tailrace.copied_pieces")

    def ranges(self, con: duckdb.DuckDBPyConnection) -> dict[str, list[Range]]:
        """By relation."""
        known = con.execute(
            "select 1 from information_schema.tables where table_schema = 'tailrace' and table_name = 'copied'"
        ).fetchall()
        found: dict[str, list[Range]] = {}
        if known:
            for line in con.execute(
                "select relation, raw, shape, files, lsn, xmin, first, last, rows from tailrace.copied "
                "where database = $database",
                {"database": self.database},
            ).fetchall():
                found.setdefault(line[0], []).append(Range(*line))
        return found

    def others(self, con: duckdb.DuckDBPyConnection, raw: RawTable, names: Collection[str]) -> bool:
        """Whether other relations than these have copies for the same raw table."""
        return bool(
            con.execute(
                "select 1 from tailrace.copied where database = $database and raw = $raw "
                "and relation not in (select unnest($names::varchar[])) limit 1",
                {"database": self.database, "raw": raw.label, "names": list(names)},
            ).fetchall()
        )

    def note(self, con: duckdb.DuckDBPyConnection, ranges: Sequence[Range]) -> None:
        if not ranges:
            return
        names = ["database", "relation", "raw", "shape", "files", "lsn", "xmin", "first", "last", "rows"]
        columns = [list(column) for column in zip(*((self.database, *astuple(each)) for each in ranges), strict=True)]
        con.register("_noted", pa.table(columns, names=names))
        con.execute("insert into tailrace.copied select * from _noted")
        con.unregister("_noted")

    def forget(self, con: duckdb.DuckDBPyConnection, names: Collection[str]) -> None:
        con.execute(
            "delete from tailrace.copied where database = $database and relation in (select unnest($names::varchar[]))",
            {"database": self.database, "names": list(names)},
        )


def whole(ranges: Sequence[Range], shape: str) -> int | None:
    """The LSN that ranges show together, if they are of one snapshot and leave no gap."""
    if not ranges or any(each.shape != shape or each.lsn != ranges[0].lsn for each in ranges):
        return None
    return ranges[0].lsn if joined(each.blocks for each in ranges) == [Blocks()] else None


def joined(ranges: Iterable[Blocks]) -> list[Blocks]:
    """The same blocks in as few ranges as may be."""
    found: list[Blocks] = []
    for blocks in sorted(ranges, key=lambda each: each.first):
        if found and found[-1].last is not None and blocks.first <= found[-1].last:
            end = None if blocks.last is None else max(found[-1].last, blocks.last)
            found[-1] = Blocks(found[-1].first, end)
        elif not found or found[-1].last is not None:
            found.append(blocks)
    return found
