"""Prepares a process for Dagster and dbt: folders, environment variables, no telemetry."""

from __future__ import annotations

import os
from pathlib import Path

from settings import Settings, TailraceError

_DAGSTER_YAML = """\
# Written by Tailrace. No telemetry, no sign-up form; one run at a time, since runs take turns at the warehouse anyway.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 1
"""


def prepare(settings: Settings) -> None:
    """Create the deployment's folders and export what dbt and Dagster child processes read; no secret is exported."""
    try:
        for folder in (settings.region_dir, settings.dagster_home, settings.dbt_target_dir, settings.logs_dir):
            folder.mkdir(parents=True, exist_ok=True)
        _write_if_changed(settings.dagster_home / "dagster.yaml", _DAGSTER_YAML)
    except OSError as error:
        raise TailraceError(
            f"{settings.state_dir}: cannot be written ({error.strerror}); free space there or set TAILRACE_HOME"
        ) from None
    os.environ.update(settings.process_environment)
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # of dependencies; a user can mend none of them


def _write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
