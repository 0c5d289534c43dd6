"""HubSpot: every list read once, from then on what a search finds modified, the archive, and now and then the whole.

Guarantees: a position commits with the rows it covers, so whatever dies, the next sync goes on from there and neither
loses nor doubles a record. A search only names what changed; the record itself is read, so that the index may lag.
"""

from __future__ import annotations

import time

from ingestion.hubspot.lists import HubSpotLists
from ingestion.hubspot.portal import HubSpotReading
from ingestion.hubspot.report import HubSpotReport
from ingestion.rest import Progress, load_connector, open_client, open_lander
from pii_policies import load_contracts
from settings import Settings
from warehouse import DuckDBWarehouse

__all__ = ["HubSpotReport", "sync"]


def sync(settings: Settings, warehouse: DuckDBWarehouse, *, progress: Progress | None = None) -> HubSpotReport:
    """Bring ``raw_hubspot`` up to the portal's present state and return what was done.

    ``progress`` is told in words what has landed. Raises TailraceError, one line, when HubSpot cannot be reached or
    refuses the token; what was landed until then stays, and the next sync goes on from there.
    """
    started = time.monotonic()
    report = HubSpotReport(source="hubspot")
    contracts = load_contracts()
    connector = load_connector("hubspot", contracts)
    source = settings.sources.hubspot
    client = open_client(connector, url=source.url, token=source.token(), token_env=source.token_env)
    lander = open_lander(
        connector, settings=settings, contracts=contracts, warehouse=warehouse, report=report, progress=progress
    )
    try:
        lists = HubSpotLists(client, connector, columns={name: table.columns for name, table in lander.tables.items()})
        report.missing = lists.learn()
        HubSpotReading(connector, client=client, lander=lander, report=report, lists=lists).run()
    finally:
        client.close()
        report.requests, report.retries = client.requests, client.retries
        report.seconds = time.monotonic() - started
    return report
