"""``dbt build`` needs nothing: no landed rows, no credentials, no file."""

from __future__ import annotations

import pytest

from tests.dbt_project.support import DbtProject

pytestmark = pytest.mark.xdist_group("dbt")


def test_build_from_nothing_passes_every_model_and_test(dbt: DbtProject) -> None:
    done = dbt.run("build")
    assert done.returncode == 0, done.stdout[-4000:]
    kinds = {node.split(".")[0] for node, status in dbt.results().items() if status in {"success", "pass"}}
    assert kinds >= {"model", "test", "unit_test"}
    assert set(dbt.results().values()) <= {"success", "pass"}
