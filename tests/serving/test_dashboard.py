"""The dashboard's files: whole in themselves, and under a policy that allows nothing inline."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serving.api.application import DASHBOARD

FILES = sorted(DASHBOARD.iterdir())
# A namespace is a name, not an address that is asked.
NAMESPACE = "http://www.w3.org/2000/svg"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_file_names_another_host(file: Path) -> None:
    assert re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", file.read_text().replace(NAMESPACE, "")) == []


def test_page_has_no_inline_script_style_or_handler() -> None:
    page = (DASHBOARD / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", page) == []


def test_scripts_never_turn_text_into_markup_or_code() -> None:
    for file in FILES:
        if file.suffix == ".js":
            found = re.findall(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", file.read_text()
            )
            assert found == [], file.name


def test_every_file_that_is_asked_for_is_there() -> None:
    asked = set()
    for file in FILES:
        asked |= set(re.findall(r'(?:src|href)="([\w.-]+)"|from "\./([\w.-]+)"', file.read_text()))
    names = {name for pair in asked for name in pair if name}
    assert names <= {file.name for file in FILES}


def test_token_is_taken_from_the_fragment_and_kept_in_memory_only() -> None:
    script = (DASHBOARD / "app.js").read_text()
    assert "location.hash" in script
    assert re.findall(r"location\.search|localStorage|sessionStorage|document\.cookie|indexedDB", script) == []
