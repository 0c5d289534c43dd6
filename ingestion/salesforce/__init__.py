"""Salesforce: every object read whole once, from then on by its stamps, and now and then compared whole.

Guarantees: a position commits with the rows that it covers, page by page, so whatever dies, the next sync goes on from
there. Records that share a stamp, or were stamped before they were committed, are found by (stamp, Id) and an overlap;
deleted ones, and those merged into others, by ``queryAll``; what changes or goes without a stamp by the comparison. A
record of which no page can be made is left out by name, told, and asked for again in each sync: nothing passes unseen.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ingestion.rest import Lander, Progress, Residency, SyncReport
from pii_policies import load_contracts
from settings import Settings
from warehouse import DuckDBWarehouse

__all__ = ["SalesforceReport", "sync"]


@dataclass(kw_only=True)
class SalesforceReport(SyncReport):
    """The report of one Salesforce sync; streams are objects."""

    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """object → fields of its contract that the org does not show"""


def sync(settings: Settings, warehouse: DuckDBWarehouse, *, progress: Progress | None = None) -> SalesforceReport:
    """Bring ``raw_salesforce`` up to the org's present state and return what was done; without an org, only its tables.

    ``progress`` is told in words what has landed. A spent API budget ends the sync early and is noted in the report.
    Raises TailraceError, one line, when the org cannot be reached or refuses the credential; what was landed until
    then stays, and the next sync goes on from there.
    """
    started = time.monotonic()
    source = settings.sources.salesforce
    report = SalesforceReport(source="salesforce")
    # Imported where they are needed: simple-salesforce takes half a second.
    from ingestion.salesforce.objects import with_configured

    contracts = with_configured(load_contracts(), source)
    lander = Lander(
        source="salesforce",
        contracts=contracts,
        residency=Residency(source="salesforce", settings=settings),
        warehouse=warehouse,
        report=report,
        progress=progress,
        redaction=settings.privacy.redaction,
    )
    if source is None:
        lander.prepare([])
        report.note = "sources.salesforce is not configured"
        return report
    from ingestion.salesforce.api import Org
    from ingestion.salesforce.reading import read
    from ingestion.salesforce.session import BudgetSpentError, PatientSession

    session = PatientSession(source.url, budget_share=source.api_budget_share)
    try:
        org = Org(source, session)
        read(org, source=source, contracts=contracts, lander=lander, report=report)
    except BudgetSpentError as spent:
        report.note = "; ".join(filter(None, [report.note, str(spent)]))
    finally:
        session.close()
        report.requests, report.retries = session.requests, session.retries
        report.seconds = time.monotonic() - started
    return report
