"""The golden cases that the docs name are unit tests that exist, each with rows of its own to expect."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from settings import ROOT
from tests.dbt_project.support import PROJECT


@pytest.fixture(scope="module")
def unit_tests() -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted((PROJECT / "models").rglob("*unit_tests.yml")):
        for each in yaml.safe_load(path.read_text(encoding="utf-8"))["unit_tests"]:
            assert each["name"] not in found, f"{each['name']} is defined twice"
            found[each["name"]] = each
    return found


def test_every_case_that_the_docs_name_is_a_test_with_expectations(unit_tests: dict[str, dict[str, Any]]) -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    section = text[text.index("\n## Golden cases\n") :]
    named = set(re.findall(r"`([a-z0-9_]+)`", section.partition("| case |")[2]))
    assert len(named) > 25
    assert named <= set(unit_tests), named - set(unit_tests)
    assert all(unit_tests[name]["expect"]["rows"] for name in named)


def test_the_tests_named_golden_are_in_the_docs_and_there_are_sixty_cases(
    unit_tests: dict[str, dict[str, Any]],
) -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    golden = {name for name in unit_tests if name.startswith("golden_")}
    assert golden
    assert {name for name in golden if f"`{name}`" not in text} == set()
    assert len(unit_tests) >= 60
