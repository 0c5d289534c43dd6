"""What each source's connection lands, derived from the data contracts and kept in the repository.

Dagster's definitions load from it without a server, a review shows in it what a changed contract makes land, and
``tailrace airbyte manifest --check`` holds it to the contracts, and to the server where there is one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ingestion.airbyte.connectors import CONNECTORS, Connector
from pii_policies import Contracts, Table
from settings import TailraceError

MANIFEST_PATH = Path(__file__).with_name("connections.json")
SYNC_MODE = "incremental_deduped_history"
_NOTE = "Generated from pii_policies/contracts/ by `tailrace airbyte manifest`; change those, not this."


def build(contracts: Contracts) -> dict[str, Any]:
    """The manifest that follows from the contracts: source → namespace, streams, and what its connector lacks."""
    sources = {name: CONNECTORS[name] for name in contracts.sources if name in CONNECTORS}
    return {"note": _NOTE, "sources": {name: _source(contracts, each) for name, each in sources.items()}}


def render(manifest: dict[str, Any]) -> str:
    return json.dumps(manifest, indent=2) + "\n"


def is_stale(contracts: Contracts, path: Path = MANIFEST_PATH) -> bool:
    """Whether the manifest in the repository is missing or not what the contracts give."""
    return not path.exists() or path.read_text(encoding="utf-8") != render(build(contracts))


def load(path: Path = MANIFEST_PATH) -> dict[str, Any]:
    """Source → its part of the manifest. Raises TailraceError when it is missing or no manifest."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["sources"])
    except (OSError, ValueError, KeyError, TypeError):
        raise TailraceError(f"{path}: missing or no manifest; run `tailrace airbyte manifest`") from None


def part(source: str, path: Path = MANIFEST_PATH) -> dict[str, Any]:
    """One source's part. Raises TailraceError when the manifest has none."""
    found = load(path).get(source)
    if found is None:
        raise TailraceError(f"airbyte.sources.{source}: no contract {source}.odcs.yaml, or no manifest of it; add it")
    return dict(found)


def _source(contracts: Contracts, connector: Connector) -> dict[str, Any]:
    tables = contracts.raw_tables(connector.source)
    landed = [table for table in tables if not connector.lacks_table(table.name)]
    lacking = [table.name for table in tables if connector.lacks_table(table.name)]
    lacking += [
        f"{table.name}.{column.name}"
        for table in landed
        for column in table.landed
        if connector.lacks_column(table.name, column.name)
    ]
    return {
        "namespace": contracts.sources[connector.source].schema,
        "connector_lacks": lacking,
        "streams": [_stream(connector, table) for table in landed],
    }


def _stream(connector: Connector, table: Table) -> dict[str, Any]:
    own = [column.name for column in table.landed if not connector.lacks_column(table.name, column.name)]
    return {
        "name": table.name,
        "sync_mode": SYNC_MODE,
        "cursor": connector.cursor_of(table.name),
        "primary_key": list(table.key),
        "fields": [*own, *connector.extra_columns(table)],
    }
