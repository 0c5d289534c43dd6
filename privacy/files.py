"""Files of the deployment that may name a person: quarantine, exports, and every byte of all others."""

from __future__ import annotations

import json
import mmap
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from privacy.journal import is_journal
from settings import Settings

SHORTEST = 6
"""Characters of an identifier from which on finding it in a file means something."""


def exports_dir(settings: Settings) -> Path:
    return settings.privacy_dir / "exports"


def quarantined_ids(settings: Settings) -> set[str]:
    """Every ``_airbyte_raw_id`` that a quarantine file names."""
    return {
        raw_id
        for _, body in _quarantine(settings)
        for finding in body["findings"]
        for raw_id in finding["_airbyte_raw_id"]
    }


def drop_from_quarantine(settings: Settings, raw_ids: Collection[str]) -> int:
    """Take rows out of the quarantine's files; how many entries went."""
    dropped = 0
    for path, body in _quarantine(settings):
        before = sum(len(finding["_airbyte_raw_id"]) for finding in body["findings"])
        for finding in body["findings"]:
            finding["_airbyte_raw_id"] = [each for each in finding["_airbyte_raw_id"] if each not in raw_ids]
        gone = before - sum(len(finding["_airbyte_raw_id"]) for finding in body["findings"])
        if gone:
            unfinished = path.with_suffix(".tmp")
            unfinished.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
            unfinished.replace(path)
            dropped += gone
    return dropped


def _quarantine(settings: Settings) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(settings.quarantine_dir.glob("*.json")):
        yield path, json.loads(path.read_text(encoding="utf-8"))


def exports_naming(settings: Settings, values: Sequence[str]) -> list[Path]:
    return [path for path in sorted(exports_dir(settings).glob("*")) if path.is_file() and _holds(path, values)]


def holding(settings: Settings, values: Iterable[str]) -> list[str]:
    """Files of the deployment, by their path within its folder, whose bytes hold one of ``values``.

    As written and in lower case. The request and the journal of what is under way are not among them: they go with it.
    """
    searched = [value for value in values if len(value) >= SHORTEST]
    found = []
    for folder, _, names in os.walk(settings.region_dir):
        for name in sorted(names):
            path = Path(folder) / name
            passing = is_journal(path) or path.parent.name == "requests"
            if path.is_file() and not path.is_symlink() and not passing and _holds(path, searched):
                found.append(str(path.relative_to(settings.region_dir)))
    return sorted(found)


def _holds(path: Path, values: Sequence[str]) -> bool:
    """Whether a file's bytes hold one of ``values``; a number counts only where it stands alone."""
    wanted = {value.encode() for value in values} | {value.lower().encode() for value in values}
    numbers = [re.compile(rb"(?<![0-9A-Za-z])%b(?![0-9A-Za-z])" % value) for value in wanted if value.isdigit()]
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return False
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                named = any(content.find(value) >= 0 for value in wanted if not value.isdigit())
                return named or any(number.search(content) for number in numbers)
    except FileNotFoundError:
        return False
