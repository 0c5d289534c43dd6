"""The deeper redaction finds what its vectors name, says it once, and keeps texts to itself."""

from __future__ import annotations

import logging
import socket
import string
from pathlib import Path
from typing import Any

import presidio_analyzer.pattern_recognizer
import pytest
import spacy
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pii_policies import deeper
from pii_policies.redaction import redact
from settings import Redaction, TailraceError

PRESIDIO = Redaction(at_landing="presidio")
# Numbers that their issuers publish as examples, and what each becomes.
VECTORS = {
    "write to bob@example.com today": "write to [email] today",
    "call 030 901820 now": "call [phone] now",
    "paid by 4111 1111 1111 1111": "paid by [card]",
    "to DE89 3704 0044 0532 0130 00": "to [iban]",
    "from 10.1.2.3": "from [ip]",
    "adapter 00:1B:44:11:3A:B7 is down": "adapter [mac-address] is down",
    "sent to 1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2": "sent to [crypto]",
    "codice fiscale RSSMRA85T10A562S": "codice fiscale [it-fiscal-code]",
    "beneficiary 1EG4-TE5-MK73": "beneficiary [us-mbi]",
    "bob@corp.internal": "[email]",  # by the bulk pass: no public suffix
    "release 1.2.3 went out on 2026-01-01": "release 1.2.3 went out on 2026-01-01",
    "": "",
}
_NEAR_MISSES = st.text(alphabet=string.digits * 3 + "   --..::@+()/[]" + "XYZDEGBabcf" + "é\n", max_size=60)


@pytest.mark.parametrize("text", VECTORS)
def test_what_is_found_becomes_its_kind(text: str) -> None:
    assert deeper.redactor(PRESIDIO)(text) == VECTORS[text]


def test_nothing_stays_nothing() -> None:
    assert deeper.redactor(PRESIDIO)(None) is None


@hypothesis_settings(deadline=None, max_examples=100)
@given(text=_NEAR_MISSES)
def test_a_redacted_text_stays_as_it_is_and_hides_nothing_less_than_the_bulk_pass(text: str) -> None:
    once = deeper.redactor(PRESIDIO)(text)
    assert deeper.redactor(PRESIDIO)(once) == once
    assert redact(once) == once


def test_findings_that_overlap_become_one() -> None:
    both = Redaction(at_landing="presidio", recognizers=("EmailRecognizer", "UrlRecognizer"))
    assert deeper.redactor(both)("see https://bob@example.com/x now") == "see https://[email] now"


def test_a_finding_counts_from_the_configured_score_on() -> None:
    sure = Redaction(at_landing="presidio", recognizers=("MacAddressRecognizer",), score=0.9)
    text = "adapter 00:1B:44:11:3A:B7"
    assert deeper.redactor(sure)(text) == text


def test_no_network_is_asked_and_nothing_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError("something was asked of the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    deeper.redactor.cache_clear()
    with caplog.at_level(logging.DEBUG):
        assert deeper.redactor(PRESIDIO)("bob@example.com paid") == "[email] paid"
    assert "bob" not in caplog.text
    assert not [each for each in caplog.records if each.name == "presidio-analyzer"]


def test_a_text_that_takes_too_long_is_withheld_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presidio_analyzer.pattern_recognizer, "REGEX_TIMEOUT_SECONDS", 1e-9)
    assert deeper.redactor(PRESIDIO)("a.b-" * 50_000) == deeper.UNREAD


def test_a_text_that_a_recogniser_fails_on_is_withheld_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str) -> Any:
        raise ValueError(text)

    monkeypatch.setattr(deeper, "_finder", lambda redaction: fail)
    failing = Redaction(at_landing="presidio", score=0.77)
    assert deeper.redactor(failing)("bob") == deeper.UNREAD


def test_a_pipeline_that_finds_names_is_used_where_it_is_named(tmp_path: Path) -> None:
    pipeline = spacy.blank("en")
    ruler: Any = pipeline.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": "Jane Doe"}, {"label": "DATE", "pattern": "today"}])
    pipeline.to_disk(tmp_path / "names")
    named = Redaction(at_landing="presidio", model=str(tmp_path / "names"))
    text = "Jane Doe wrote to bob@example.com today"
    assert deeper.redactor(named)(text) == "[person] wrote to [email] today"
    assert deeper.redactor(PRESIDIO)(text) == "Jane Doe wrote to [email] today"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"recognizers": ("EmailRecogniser",)}, "EmailRecogniser is none of"),
        ({"recognizers": ("AzureAILanguageRecognizer",)}, "AzureAILanguageRecognizer is none of"),
        ({"model": "en_core_of_nobody"}, "en_core_of_nobody is neither"),
    ],
)
def test_what_is_not_there_or_would_send_texts_away_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(TailraceError, match=said):
        deeper.redactor(Redaction(at_landing="presidio", **given))


def test_configured_and_not_installed_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deeper, "find_spec", lambda name: None)
    with pytest.raises(TailraceError, match=r"presidio-analyzer is not installed.*\.\[presidio\]"):
        deeper.require(PRESIDIO)
