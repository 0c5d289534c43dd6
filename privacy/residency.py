"""What the dbt project may read: this deployment's own warehouse and vault, nothing of another region.

Held against the manifest when the project is loaded, before a model can run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from settings import TailraceError

_OUTSIDE = re.compile(
    r"\battach\b|\b(?:read_(?:parquet|csv|csv_auto|json|json_auto|ndjson|text|blob|duckdb)|parquet_scan|"
    r"postgres_(?:scan|query)|mysql_(?:scan|query)|sqlite_scan|iceberg_scan|delta_scan)\s*\(",
    re.IGNORECASE,
)
_PRESENTED = ("marts", "rollups")
_TEST = "k_anonymous"


def check_residency(manifest: Mapping[str, Any]) -> None:
    """Raises TailraceError, naming the model, for one that could read another region's rows or show a tenant's alone.

    A model reads relations of one database (and the vault), by ``ref`` and ``source``; it opens no file and no other
    database. What is presented and has no ``tenant_id`` is a figure over tenants: it has the test ``k_anonymous``.
    """
    nodes = [node for node in manifest["nodes"].values() if node["resource_type"] in ("model", "snapshot")]
    own = {str(node["database"]) for node in nodes}
    if len(own) > 1:
        odd = min(nodes, key=lambda node: [str(other["database"]) for other in nodes].count(str(node["database"])))
        raise TailraceError(f"dbt model {odd['name']}: built in database {odd['database']}, others are not; use one")
    for source in manifest["sources"].values():
        if source["database"] not in own and source["source_name"] != "vault":
            raise TailraceError(
                f"dbt source {source['source_name']}.{source['name']}: lies in database {source['database']}, which is "
                "not this deployment's; a region's rows stay in its own warehouse"
            )
    for node in nodes:
        found = _OUTSIDE.search(_without_comments(str(node.get("raw_code") or "")))
        if found is not None:
            raise TailraceError(
                f"dbt model {node['name']}: {found[0].strip(' (')} reads outside of this deployment's warehouse; "
                "land it as a source of this region"
            )
    tested = _tested(manifest["nodes"].values())
    for node in nodes:
        presented = str(node["schema"]) in _PRESENTED
        if presented and "tenant_id" not in node["columns"] and node["unique_id"] not in tested:
            raise TailraceError(
                f"dbt model {node['name']}: has no tenant_id and no test {_TEST}; a figure over tenants is made by the "
                "macro k_anonymous and holds that test"
            )


def _tested(nodes: Iterable[Mapping[str, Any]]) -> set[str]:
    return {
        str(unique_id)
        for node in nodes
        if node["resource_type"] == "test" and (node.get("test_metadata") or {}).get("name") == _TEST
        for unique_id in node["depends_on"]["nodes"]
    }


def _without_comments(code: str) -> str:
    return re.sub(r"--[^\n]*|\{#.*?#\}|/\*.*?\*/", " ", code, flags=re.DOTALL)
