"""Change data capture from PostgreSQL: a snapshot, then the change stream, into raw tables, exactly once."""

from __future__ import annotations

from ingestion.postgres.capture import SyncReport, TableReport, sync
from ingestion.postgres.standing import Standing, standings

__all__ = ["Standing", "SyncReport", "TableReport", "standings", "sync"]
