"""How far a source database has been landed, stored in the warehouse with the rows that it covers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import duckdb

from ingestion.postgres.connection import lsn_number, lsn_text
from warehouse import positions

SOURCE = "postgres"


@dataclass
class Captured:
    """A relation whose rows are landed: what it was when they were, see ``catalog.State``.

    ``columns``: name → (raw type, number, type OID, the transaction that changed its definition last).
    """

    oid: int
    files: dict[int, int]
    columns: dict[str, tuple[str, int, int, str]]

    @classmethod
    def parse(cls, stored: dict[str, Any]) -> Captured:
        files = {int(oid): int(file) for oid, file in stored["files"].items()}
        return cls(int(stored["oid"]), files, {name: tuple(each) for name, each in stored["columns"].items()})


@dataclass
class Position:
    """Where the stream of one database goes on, in which cluster, and which relations are landed as of that point."""

    lsn: int
    system: str
    relations: dict[str, Captured] = field(default_factory=dict)
    """By ``schema.table``."""
    timeline: int | None = None
    """Of the WAL that was read last; None in positions stored before it was kept."""
    restart: int = 0
    """The slot's restart LSN at the end of the last pass. Even a crash does not move it back: only an older copy of the
    server stands before it."""
    complete_lsn: int = 0
    """End of the source's WAL when the warehouse was last complete up to it; beyond ``lsn`` nothing was for us."""
    complete_until: str | None = None
    """The source's clock then, ISO 8601 in UTC."""

    @classmethod
    def read(cls, con: duckdb.DuckDBPyConnection, database: str) -> Position | None:
        """The stored position; None before the first landing."""
        stored = positions.read(con, SOURCE, database)
        return None if stored is None else cls._parse(stored)

    @classmethod
    def _parse(cls, stored: dict[str, Any]) -> Position:
        # Positions of an earlier format have only the names of columns: such a relation is copied anew.
        known = {name: each for name, each in stored["relations"].items() if isinstance(each, dict)}
        relations = {name: Captured.parse(each) for name, each in known.items()}
        return cls(
            lsn=lsn_number(stored["lsn"]),
            system=stored["system"],
            relations=relations,
            timeline=stored.get("timeline"),
            restart=lsn_number(stored.get("restart", "0/0")),
            complete_lsn=lsn_number(stored.get("complete_lsn", "0/0")),
            complete_until=stored.get("complete_until"),
        )

    def store(self, con: duckdb.DuckDBPyConnection, database: str) -> None:
        """Write it down; the caller holds the transaction that lands the rows."""
        relations = {name: asdict(each) for name, each in self.relations.items()}
        value = {
            "lsn": lsn_text(self.lsn),
            "system": self.system,
            "timeline": self.timeline,
            "restart": lsn_text(self.restart),
            "complete_lsn": lsn_text(self.complete_lsn),
            "complete_until": self.complete_until,
            "relations": relations,
        }
        positions.write(con, SOURCE, database, value)

    @staticmethod
    def forget(con: duckdb.DuckDBPyConnection, database: str) -> None:
        """Remove the position: the next pass copies the database anew. The caller holds the transaction."""
        positions.remove(con, SOURCE, database)
