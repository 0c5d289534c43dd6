"""What a gate refused, kept for the engineer: rules, counts and the rows' ``_airbyte_raw_id``; never a value of a row.

The rows themselves stay in raw, where the id finds them; nothing downstream of raw holds them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from quality.expectations import Finding

IDS_KEPT = 1_000


def write(directory: Path, *, gate: str, findings: Iterable[Finding]) -> Path:
    """One JSON file a refusal, written whole or not at all. Returns its path."""
    directory.mkdir(parents=True, exist_ok=True)
    at = datetime.now(UTC)
    path = directory / f"{at:%Y%m%dT%H%M%S%fZ}-{gate}.json"
    body = {
        "gate": gate,
        "refused_at": at.isoformat(),
        "findings": [
            {
                "table": each.table,
                "column": each.subject,
                "expectation": each.expectation,
                "unexpected_rows": each.unexpected,
                "checked_rows": each.checked,
                "_airbyte_raw_id": list(each.raw_ids[:IDS_KEPT]),
            }
            for each in findings
        ],
    }
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    os.replace(unfinished, path)
    return path
