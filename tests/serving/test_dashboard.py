"""The dashboard's files: whole in themselves, and under a policy that allows nothing inline."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serving.api.application import DASHBOARD

FILES = sorted(file for file in DASHBOARD.rglob("*") if file.is_file())
SCRIPTS = [file for file in FILES if file.suffix == ".js"]
# Where the documentation of the element shows how a page would name its own deployment.
EXAMPLE = "https://analytics.example.com"
# A namespace is a name, not an address that is asked.
NAMESPACE = "http://www.w3.org/2000/svg"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_file_names_another_host(file: Path) -> None:
    assert re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", told(file)) == []


def told(file: Path) -> str:
    """A file without the addresses that are not asked."""
    return file.read_text().replace(NAMESPACE, "").replace(EXAMPLE, "")


def test_page_has_no_inline_script_style_or_handler() -> None:
    page = (DASHBOARD / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", page) == []


def test_scripts_never_turn_text_into_markup_or_code() -> None:
    for file in SCRIPTS:
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", file.read_text()
        )
        assert found == [], file.name


def test_every_file_that_is_asked_for_is_there() -> None:
    for file in FILES:
        for pair in re.findall(r'(?:src|href)="([\w./-]+)"|from "([\w./-]+)"', file.read_text()):
            asked = (file.parent / "".join(pair)).resolve()
            assert asked in FILES, f"{file.name} asks for {asked.name}"


def test_page_asks_for_every_module_at_once() -> None:
    """Found one by one, each level of imports would cost a round trip before the first figure."""
    preloaded = set(re.findall(r'rel="modulepreload" href="([\w./-]+)"', (DASHBOARD / "index.html").read_text()))
    modules = {str(file.relative_to(DASHBOARD)) for file in SCRIPTS}
    assert preloaded == modules - {"app.js", "tailrace-usage.js"}


def test_token_is_taken_from_the_fragment_and_kept_in_memory_only() -> None:
    assert "location.hash" in (DASHBOARD / "app.js").read_text()
    for file in SCRIPTS:
        found = re.findall(r"location\.search|localStorage|sessionStorage|document\.cookie|indexedDB", file.read_text())
        assert found == [], file.name
