"""Stripe: every list read once, from then on the events feed, and now and then a comparison with the whole.

Guarantees: a position commits with the rows it covers, so whatever dies, the next sync goes on from there and neither
loses nor doubles an object. A feed that no longer holds what was read last (it keeps 30 days) is answered by reading
the whole and mending what differs; an event that came late or twice changes nothing that a newer one told.
"""

from __future__ import annotations

import time

from ingestion.rest import Progress, load_connector, open_client, open_lander
from ingestion.stripe.feed import StripeReading
from ingestion.stripe.report import StripeReport
from pii_policies import load_contracts
from settings import Settings
from warehouse import DuckDBWarehouse

__all__ = ["StripeReport", "sync"]


def sync(settings: Settings, warehouse: DuckDBWarehouse, *, progress: Progress | None = None) -> StripeReport:
    """Bring ``raw_stripe`` up to the present state of every account and return what was done.

    ``progress`` is told in words what has landed. Raises TailraceError, one line, when Stripe cannot be reached or
    refuses the key; what was landed until then stays, and the next sync goes on from there.
    """
    started = time.monotonic()
    report = StripeReport(source="stripe")
    contracts = load_contracts()
    connector = load_connector("stripe", contracts)
    source = settings.sources.stripe
    for name, account in source.each().items():
        client = open_client(
            connector,
            url=account.url or source.url,
            token=source.api_key(name),
            token_env=account.api_key_env,
            headers={"Stripe-Version": source.api_version},
        )
        lander = open_lander(
            connector,
            settings=settings,
            contracts=contracts,
            warehouse=warehouse,
            report=report,
            progress=progress,
            account=name,
        )
        reading = StripeReading(
            connector, client=client, lander=lander, report=report, version=source.api_version, account=name
        )
        try:
            reading.run()
        finally:
            client.close()
            report.requests += client.requests
            report.retries += client.retries
            report.seconds = time.monotonic() - started
    return report
