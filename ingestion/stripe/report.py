"""What one Stripe sync did."""

from __future__ import annotations

from dataclasses import dataclass

from ingestion.rest import SyncReport


@dataclass(kw_only=True)
class StripeReport(SyncReport):
    """The report of one Stripe sync, over all accounts; streams are Stripe's object types in the plural."""

    late: int = 0
    """events that the feed showed later than newer ones"""
    asked: int = 0
    """objects asked for because the feed did not tell their present state beyond doubt"""
