"""The manifest that the asset graph is made of is whole, whatever happened to dbt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestration.dbt_build import build_problem, ensure_manifest, forget_results, models
from settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TAILRACE_HOME", str(tmp_path))
    monkeypatch.delenv("TAILRACE_CONFIG", raising=False)
    return load_settings(region="us")


@pytest.mark.operations
def test_what_a_killed_dbt_left_half_written_is_never_read(settings: Settings) -> None:
    expected = json.loads(ensure_manifest(settings).read_text())["nodes"].keys()
    for artefact in ("manifest.json", "partial_parse.msgpack"):
        path = settings.dbt_target_dir / artefact
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert json.loads(ensure_manifest(settings).read_text())["nodes"].keys() == expected
    settings.dbt_manifest_path.unlink()  # parsed anew, over the same halves
    assert json.loads(ensure_manifest(settings).read_text())["nodes"].keys() == expected
    assert ("marts", "dim_tenants") in models(settings)


def test_a_failed_build_names_what_failed_and_a_missing_result_is_no_excuse(settings: Settings) -> None:
    results = settings.dbt_target_dir / "run_results.json"
    results.parent.mkdir(parents=True)
    nodes = {"model.tailrace.fct_a": "success", "model.tailrace.fct_b": "error", "test.tailrace.assert_c": "fail"}
    results.write_text(json.dumps({"results": [{"unique_id": name, "status": state} for name, state in nodes.items()]}))
    assert build_problem(settings).startswith("fct_b, assert_c failed; see ")
    forget_results(settings)
    assert build_problem(settings).startswith("the build failed; see ")
