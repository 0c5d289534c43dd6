from __future__ import annotations

import pytest

from tests.dbt_project.support import DbtProject


@pytest.fixture(scope="session")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> DbtProject:
    """One state folder a test process, so that the project is parsed whole only once."""
    return DbtProject(tmp_path_factory.mktemp("dbt"))
