"""The search that canaries rest on: a value is found in any form and file, and no look-alike is accused."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.canaries.__main__ import on_purpose
from tests.canaries.search import MARK, Searcher, forms

VALUES = [MARK, "198.18.0.7", "cafeca9a-0000-4000"]


def test_leaks_of_every_form_are_caught_and_no_look_alike_is(tmp_path: Path) -> None:
    caught, alarms = on_purpose(tmp_path / "leaks", Searcher(VALUES))
    assert [name for name, found in caught.items() if not found] == []
    assert len(caught) >= 10
    assert alarms == []


@given(before=st.binary(max_size=40), after=st.binary(max_size=40), value=st.sampled_from(VALUES))
def test_base64_is_seen_through_wherever_the_value_stands_in_it(before: bytes, after: bytes, value: str) -> None:
    searcher = Searcher([value])
    assert "base64" in searcher.find(base64.b64encode(before + value.encode() + after))
    assert "base64" in searcher.find(base64.urlsafe_b64encode(before + value.encode() + after))


@given(
    values=st.lists(st.text("ab.é", min_size=3, max_size=12), min_size=1, max_size=8),
    content=st.lists(st.sampled_from([b"a", b"b", b".", b"A", "é".encode(), b"\0"]), max_size=60).map(b"".join),
)
def test_what_is_found_is_what_looking_for_each_form_alone_finds(values: list[str], content: bytes) -> None:
    alone = {
        form.name
        for value in values
        for form in forms(value)
        if form.needle in (content if form.exact else content.lower())
    }
    assert Searcher(values).find(content) == alone


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_found_in_upper_case_and_in_hex(value: str) -> None:
    searcher = Searcher([value])
    assert searcher.find(b"x" + value.upper().encode() + b"y")
    assert searcher.find(value.encode().hex().encode())
    assert not searcher.find(value[:-1].encode())
