"""Change data capture from PostgreSQL: a snapshot, then the change stream, into raw tables, exactly once."""

from __future__ import annotations

from ingestion.postgres.capture import SyncReport, TableReport, sync

__all__ = ["SyncReport", "TableReport", "sync"]
