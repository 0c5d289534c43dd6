"""``tailrace doctor`` finds what a run would stop at, before it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.commands import doctor
from settings import load_settings
from tests.privacy.support import CONFIG


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("recognizers: [EmailRecognizer]", None),
        ("recognizers: [Nobody]", "Nobody is none of Presidio's recognisers"),
        ("model: en_core_of_nobody", "en_core_of_nobody is neither a package nor a folder"),
    ],
)
def test_redaction_that_could_not_start_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, problem: str | None
) -> None:
    monkeypatch.setattr(doctor, "prepare", lambda settings: None)
    config = tmp_path / "tailrace.yml"
    config.write_text(f"{CONFIG.format(home=tmp_path)}privacy: {{redaction: {{at_landing: presidio, {given}}}}}\n")
    found = next(each for each in doctor.examine(load_settings(config_path=config)) if "redaction" in each.name)
    assert (found.problem is None) if problem is None else (problem in str(found.problem))
