"""Requests wait in files of their owner's; the jobs that take them name nobody."""

from __future__ import annotations

import pytest

from privacy import files, requests
from privacy.receipts import receipts_dir
from settings import TailraceError
from tests.privacy.support import EMAIL, JANE, Home, receipt


def test_a_job_takes_every_request_of_its_kind_and_names_nobody(home: Home) -> None:
    for kind in ("erase", "export"):
        path = requests.wait(home.settings, kind, {"tenant": "alpha", "subject": EMAIL})
        assert path.stat().st_mode & 0o077 == 0
    (exported,) = requests.handler("export")(home.rights())
    (erased,) = requests.handler("erase")(home.rights())
    assert [receipt(each)["kind"] for each in (exported, erased)] == ["export", "erasure"]
    assert receipt(erased)["files_that_still_hold_an_identifier"] == []
    assert list(files.exports_dir(home.settings).iterdir()) == [], "an export of the erased is gone with them"
    assert requests.handler("erase")(home.rights()) == []


def test_a_request_that_fails_waits_and_keeps_nobody_else_waiting(home: Home) -> None:
    wrong = requests.wait(home.settings, "erase", {"tenant": "nobody", "subject": EMAIL})
    right = requests.wait(home.settings, "erase", {"tenant": "alpha", "subject": JANE})
    with pytest.raises(TailraceError, match=r"1 of 2 requests failed"):
        requests.handler("erase")(home.rights())
    assert (wrong.exists(), right.exists()) == (True, False)
    assert len(list(receipts_dir(home.settings).iterdir())) == 1


def test_a_kind_without_a_job_is_refused(home: Home) -> None:
    with pytest.raises(TailraceError, match="no job takes requests"):
        requests.wait(home.settings, "merge", {"tenant": "alpha"})
