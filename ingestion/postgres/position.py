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
    """A relation whose rows are landed: its object id at the source, and the raw type of each column that lands."""

    oid: int
    columns: dict[str, str]


@dataclass
class Position:
    """Where the stream of one database goes on, in which cluster, and which relations are landed as of that point."""

    lsn: int
    system: str
    relations: dict[str, Captured] = field(default_factory=dict)
    """By ``schema.table``."""

    @classmethod
    def read(cls, con: duckdb.DuckDBPyConnection, database: str) -> Position | None:
        """The stored position; None before the first landing."""
        stored = positions.read(con, SOURCE, database)
        return None if stored is None else cls._parse(stored)

    @classmethod
    def _parse(cls, stored: dict[str, Any]) -> Position:
        relations = {name: Captured(**each) for name, each in stored["relations"].items()}
        return cls(lsn_number(stored["lsn"]), stored["system"], relations)

    def store(self, con: duckdb.DuckDBPyConnection, database: str) -> None:
        """Write it down; the caller holds the transaction that lands the rows."""
        relations = {name: asdict(each) for name, each in self.relations.items()}
        value = {"lsn": lsn_text(self.lsn), "system": self.system, "relations": relations}
        positions.write(con, SOURCE, database, value)
