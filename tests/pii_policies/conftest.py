"""One dbt for the folder: the project is parsed once an engine."""

from __future__ import annotations

import pytest

from tests.pii_policies.support import Dbt


@pytest.fixture(scope="session")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    """Its warehouse and vault are written by the staging tests only."""
    return Dbt(tmp_path_factory.mktemp("dbt"))
