"""Servers that tests share: one embedded Postgres a test process, on a free port, gone at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import cast

import pytest

from demo.postgres import EmbeddedPostgres, Version

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A running server, of the version that TAILRACE_TEST_POSTGRES names; make your own databases and roles in it."""
    version = cast(Version, os.environ.get("TAILRACE_TEST_POSTGRES", "18"))
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), version=version) as server:
        yield server
