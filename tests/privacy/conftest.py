"""A deployment of one person in every store, without servers: rows land as the loaders land them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.privacy.support import RECEIPT_KEY, Home, home_in


@pytest.fixture
def make_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Home]:
    for name in ("TAILRACE_HOME", "TAILRACE_REGION", "TAILRACE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TAILRACE_RECEIPT_KEY", RECEIPT_KEY)

    def make(name: str) -> Home:
        folder = tmp_path / name
        folder.mkdir()
        return home_in(folder)

    return make


@pytest.fixture
def home(make_home: Callable[[str], Home]) -> Home:
    """Jane and her colleague John of tenant A, and a namesake of Jane's in tenant B, all landed and built."""
    made = make_home("home")
    made.seed()
    return made
