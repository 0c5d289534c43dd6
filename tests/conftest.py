"""Servers that tests share: one embedded Postgres a test process, on a free port, gone at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from demo.postgres import EmbeddedPostgres

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A running server; make your own databases and roles in it."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server
