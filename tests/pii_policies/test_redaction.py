"""What is recognised in free text: by its form and its check digits, the same in Python and on both engines."""

from __future__ import annotations

import string

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from pii_policies import treated_sql
from pii_policies.redaction import luhn, mod_97, redact

_IN_DUCKDB = treated_sql.rendered("redact", "value")
_IN_SNOWFLAKE = sqlglot.transpile(
    f"select {treated_sql.rendered('redact', 'value', dialect='snowflake')}", read="snowflake", write="duckdb"
)[0].removeprefix("SELECT ")
# What recognisers look at, so that a random text is full of near misses.
_TEXTS = st.text(alphabet=string.digits * 3 + "   --..::@+()/" + "XYZDEGBabcf" + "é\n", max_size=80)


def _with_check_digit(number: str) -> str:
    return next(number + digit for digit in string.digits if luhn(number + digit))


@settings(deadline=None, max_examples=30)
@given(texts=st.lists(_TEXTS, min_size=20, max_size=60))
def test_any_text_is_redacted_to_the_same_bytes_everywhere(texts: list[str]) -> None:
    with duckdb.connect() as con:
        con.execute("create table texts (number integer, value varchar)")
        con.executemany("insert into texts values (?, ?)", list(enumerate(texts)))
        for sql in (_IN_DUCKDB, _IN_SNOWFLAKE):
            rows = con.execute(f"select {sql} from texts order by number").fetchall()  # noqa: S608
            assert [row[0] for row in rows] == [redact(text) for text in texts]


@given(number=st.integers(min_value=10**14, max_value=10**15 - 1), blanks=st.sampled_from(["", " ", "-"]))
def test_a_card_is_found_however_it_is_grouped_and_beside_other_numbers(number: int, blanks: str) -> None:
    card = _with_check_digit(str(number))
    written = blanks.join(card[start : start + 4] for start in range(0, 16, 4))
    for text in (f"paid by {written}.", f"{written} 12/27", f"in 2026 {written}"):
        redacted = redact(text)
        assert redacted is not None
        assert "[card]" in redacted
        assert written not in redacted


@given(account=st.integers(min_value=0, max_value=10**18 - 1), grouped=st.booleans(), lower=st.booleans())
def test_an_iban_with_right_check_digits_is_found(account: int, grouped: bool, lower: bool) -> None:
    iban = next(candidate for check in range(2, 99) if mod_97(candidate := f"DE{check:02}{account:018}"))
    written = " ".join(iban[start : start + 4] for start in range(0, 22, 4)) if grouped else iban
    written = written.lower() if lower else written
    assert redact(f"to {written} please") == "to [iban] please"


@pytest.mark.parametrize(
    "text",
    [
        "Deploy of 2026-11-22 took 12.5 s, 4 retries, 99.95% up",
        "EUR 1.234.567,89 in invoice INV-000123",
        "https://example.com/path?id=12345 and std::vector",
        "run 4f9e1c2a-7b3d-4e5f-8a9b-0c1d2e3f4a5b at 10:20:30",
        "4111 1111 1111 1112",
    ],
)
def test_what_is_nobodys_stays(text: str) -> None:
    assert redact(text) == text
