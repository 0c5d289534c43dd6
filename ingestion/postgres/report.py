"""What a pass over a source database did, for people and machines."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class TableReport:
    """What one pass landed in one raw table."""

    snapshotted: int = 0
    applied: int = 0
    deleted: int = 0
    bytes: int = 0


@dataclass
class SyncReport:
    """One pass over one source database. ``lsn`` is the position that the warehouse has now.

    ``lag_bytes`` is WAL written since the pass looked for the end of the stream, ``lag_seconds`` the age of that look,
    0 when nothing was written. ``retained_bytes`` is WAL that the slot holds on the server, ``safe_bytes`` what may be
    written before the server invalidates it (None: no limit). ``warnings`` are lines with their remedies.
    ``unclassified`` names, by raw table, the columns that the source has and no contract classifies.
    """

    database: str
    tables: dict[str, TableReport] = field(default_factory=dict)
    lsn: str = "0/0"
    lag_bytes: int = 0
    lag_seconds: float = 0.0
    retained_bytes: int = 0
    safe_bytes: int | None = None
    warnings: list[str] = field(default_factory=list)
    unclassified: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0

    def table(self, name: str) -> TableReport:
        """The report of one raw table, by its name."""
        return self.tables.setdefault(name, TableReport())

    @property
    def snapshotted(self) -> int:
        return sum(table.snapshotted for table in self.tables.values())

    @property
    def applied(self) -> int:
        return sum(table.applied for table in self.tables.values())

    @property
    def deleted(self) -> int:
        return sum(table.deleted for table in self.tables.values())

    @property
    def bytes(self) -> int:
        return sum(table.bytes for table in self.tables.values())
