"""``tailrace run --follow``: the product's change stream into raw, continuously, until Ctrl-C.

Gates, marts and publishing stay with the scheduled runs, which take turns with it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime

from ingestion.postgres import Follower, SyncReport
from orchestration import console
from orchestration.environment import prepare
from settings import load_settings
from warehouse import open_warehouse


def run(*, region: str | None, as_json: bool) -> None:
    """One line for each pass that landed something; with ``as_json`` a JSON object a line."""
    settings = load_settings(region=region)
    prepare(settings)

    def say(text: str) -> None:
        if not as_json:
            console.out.print(f"{datetime.now(UTC):%H:%M:%S}  {text}", soft_wrap=True, markup=False, highlight=False)

    def tell(report: SyncReport) -> None:
        if as_json:
            print(json.dumps(asdict(report)), flush=True)
        else:
            say(_line(report))

    say(f"following {', '.join(settings.source_databases())}; Ctrl-C ends it")
    with Follower(settings, open_warehouse(settings), progress=say) as follower:
        follower.run(report=tell)


def _line(report: SyncReport) -> str:
    parts = []
    if report.snapshotted:
        parts.append(f"{report.snapshotted:,} rows copied")
    if report.applied:
        parts.append(f"{report.applied:,} changes ({report.deleted:,} deletes)")
    return f"{report.database}: {', '.join(parts)} in {report.seconds * 1000:,.0f} ms, at {report.lsn}"
