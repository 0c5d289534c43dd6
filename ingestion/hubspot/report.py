"""What one HubSpot sync did."""

from __future__ import annotations

from dataclasses import dataclass, field

from ingestion.rest import SyncReport


@dataclass(kw_only=True)
class HubSpotReport(SyncReport):
    """The report of one HubSpot sync; streams are HubSpot's object types in the plural."""

    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """stream → properties of the contract that the portal does not have: they land empty"""
