"""Change data capture from PostgreSQL: a snapshot, then the change stream, into raw tables, exactly once."""

from __future__ import annotations

from ingestion.postgres.capture import sync
from ingestion.postgres.follow import Follower
from ingestion.postgres.report import SyncReport, TableReport
from ingestion.postgres.standing import Standing, standings

__all__ = ["Follower", "Standing", "SyncReport", "TableReport", "standings", "sync"]
