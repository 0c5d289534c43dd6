"""A right that is killed at any point is gone on with, by its own command or by ``resume``, and ends the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from ingestion import forgetting
from privacy import receipts
from privacy.erase import erase
from privacy.resume import resume
from settings import ROOT
from tests.privacy.interrupted import RIGHTS, summary
from tests.privacy.support import EMAIL, JANE, RECEIPT_KEY, SECRETS, Home, home_in
from warehouse.failpoints import RIGHT_POINTS

QUICK = {("export", "export_mid_file"), ("offboard", "leave_after_raw"), ("split", "split_after_rows")}
CASES = [
    pytest.param(name, point, id=f"{name}-{point}", marks=[] if (name, point) in QUICK else pytest.mark.operations)
    for name, right in RIGHTS.items()
    for point in right.points
]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Home, dict[str, Any]]]:
    """Of a right: a deployment that is ready for it, and what an uninterrupted exercise makes of that; made once."""

    @cache
    def made(name: str) -> tuple[Home, dict[str, Any]]:
        right = RIGHTS[name]
        ready, whole = (home_in(tmp_path_factory.mktemp(each)) for each in ("ready", "whole"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TAILRACE_RECEIPT_KEY", RECEIPT_KEY)
            ready.seed()
            right.prepare(ready)
            with ready.warehouse.writer("a test") as con:
                forgetting.prepare(con)  # one key for all copies, so that they hash alike
            ready.copy_to(whole)
            right.source(whole)
            return ready, summary(whole, right.act(whole))

    return made


def killed(home: Home, name: str, point: str) -> None:
    died = subprocess.run(
        [sys.executable, "-m", "tests.privacy.interrupted", name, str(home.settings.config_path)],
        cwd=ROOT,
        env={**os.environ, "TAILRACE_FAILPOINT": point},
        capture_output=True,
        text=True,
    )
    assert died.returncode == -signal.SIGKILL, f"the point was not passed: {died.stderr[-500:]}"


@pytest.mark.parametrize(("name", "point"), CASES)
def test_killed_at_any_point_the_same_command_ends_it_the_same(
    before: Callable[[str], tuple[Home, dict[str, Any]]], make_home: Callable[[str], Home], name: str, point: str
) -> None:
    ready, expected = before(name)
    home = make_home(point)
    ready.copy_to(home)
    killed(home, name, point)
    RIGHTS[name].source(home)
    path = RIGHTS[name].act(home)
    assert summary(home, path) == expected
    assert receipts.verify(path).problems == ()


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("offboard", "leave_after_keys"),
        *(
            pytest.param(*case, marks=pytest.mark.operations)
            for case in [
                ("export", "export_after_journal"),
                ("rectify", "rectify_after_resync"),
                ("restrict", "erase_after_raw"),
                ("lift", "lift_after_rows"),
                ("merge", "leave_after_raw"),
                ("split", "split_after_rebuild"),
                ("move-region", "leave_after_built"),
                ("retention", "before_receipt"),
            ]
        ),
    ],
)
def test_resume_ends_whatever_was_interrupted(
    before: Callable[[str], tuple[Home, dict[str, Any]]], make_home: Callable[[str], Home], name: str, point: str
) -> None:
    ready, expected = before(name)
    home = make_home("resumed")
    ready.copy_to(home)
    killed(home, name, point)
    RIGHTS[name].source(home)
    (path,) = resume(home.rights())
    assert summary(home, path) == expected
    assert resume(home.rights()) == []


@pytest.mark.operations
def test_an_erasure_does_away_with_what_an_interrupted_export_or_correction_kept(
    before: Callable[[str], tuple[Home, dict[str, Any]]], make_home: Callable[[str], Home]
) -> None:
    ready, _ = before("rectify")
    home = make_home("both")
    ready.copy_to(home)
    killed(home, "rectify", "rectify_after_journal")
    killed(home, "export", "export_mid_file")
    assert any("under-way" in place for place in home.places_of(SECRETS["name"]))
    erase(home.rights(), tenant="alpha", subject=EMAIL)
    assert home.places_of(JANE, *SECRETS.values()) == []


def test_every_point_of_a_right_is_one_that_some_test_kills_at() -> None:
    assert {point for right in RIGHTS.values() for point in right.points} >= set(RIGHT_POINTS)
