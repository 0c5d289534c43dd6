"""The harness at small sizes, whole; and the page that shows its figures. No figure is asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import report
from bench.report import CDC_GOALS
from bench.scenarios import SCENARIOS
from settings import ROOT


@pytest.mark.operations
def test_a_run_measures_what_was_asked_and_ends_with_every_key(tmp_path: Path) -> None:
    asked = {"inserts_vs_recvlogical", "inserts_vs_per_message", "idle_poll_ms", "visible_p95_ms"}
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "bench.cdc", "--rows=500", "--rounds=1", "--changes=3", "--json"),
            *(f"--only={','.join(asked)}", f"--results={tmp_path}", f"--folder={tmp_path}"),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    (line,) = ended.stdout.splitlines()
    result = json.loads(line)
    assert set(result) == {*CDC_GOALS, "machine", "versions", "rows", "rounds", "seconds"}
    assert {key for key in CDC_GOALS if result[key] is not None} == asked
    (written,) = tmp_path.glob("cdc-*.json")
    assert json.loads(written.read_text()) == result
    assert list(tmp_path.iterdir()) == [written], "nothing else is left behind"


def test_every_figure_of_the_report_is_measured_by_one_scenario() -> None:
    assert sorted(key for scenario in SCENARIOS for key in scenario.keys) == sorted(CDC_GOALS)


def test_the_page_shows_the_newest_results() -> None:
    assert report.current() == report.PAGE.read_text(), "run `python -m bench.report`"
