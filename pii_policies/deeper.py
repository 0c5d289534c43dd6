"""The deeper pass of ``redact``: Presidio's recognisers, and a model where one is named, over texts before they land.

Presidio is an extra of the project (``presidio``). What it finds is replaced by its kind, as the bulk pass does, which
follows on what is left; both again until nothing is found any more, so that a redacted text stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pii_policies.redaction import redact
from settings import Redaction, TailraceError

UNREAD = "[unread]"
"""What stands for a text that Presidio cannot be asked about: longer than a model takes, or a pattern took too long."""
RECOGNIZERS = (
    "EmailRecognizer",
    "PhoneRecognizer",
    "CreditCardRecognizer",
    "IbanRecognizer",
    "IpRecognizer",
    "MacAddressRecognizer",
    "CryptoRecognizer",
    "UsSsnRecognizer",
    "UsItinRecognizer",
    "UsMbiRecognizer",
    "MedicalLicenseRecognizer",
    "UkNinoRecognizer",
    "NhsRecognizer",
    "DeTaxIdRecognizer",
    "DeSocialSecurityRecognizer",
    "EsNifRecognizer",
    "EsNieRecognizer",
    "ItFiscalCodeRecognizer",
    "PlPeselRecognizer",
    "SePersonnummerRecognizer",
    "FiPersonalIdentityCodeRecognizer",
    "AuTfnRecognizer",
    "AuMedicareRecognizer",
    "InAadhaarRecognizer",
)
"""Those whose findings have check digits or a form that little else has."""
_KINDS = {"EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "CREDIT_CARD": "card", "IBAN_CODE": "iban"}
_KINDS |= {"IP_ADDRESS": "ip"}
_NOT_PERSONAL = {"DATE_TIME"}  # what a model finds beside names; a log has one in every line
_ROUNDS = 8


def require(redaction: Redaction) -> None:
    """Raises TailraceError when the configuration asks for Presidio and it is not installed. Imports nothing."""
    if find_spec("presidio_analyzer") is None:
        raise TailraceError(
            f"privacy.redaction.at_landing {redaction.at_landing}: presidio-analyzer is not installed; install the "
            "project with its extra: `pip install -e '.[presidio]'`"
        )


@lru_cache(maxsize=4)
def redactor(redaction: Redaction) -> Callable[[str | None], str | None]:
    """A function that redacts a text as configured; it is slow to make, so there is one a configuration.

    It reads nothing from a network, logs nothing, and gives the same for the same text. Raises TailraceError for a
    recogniser or a model that is not there.
    """
    require(redaction)
    find = _finder(redaction)

    def once(text: str) -> str:
        for start, end, kind in sorted(find(text), reverse=True):
            text = f"{text[:start]}[{kind}]{text[end:]}"
        return str(redact(text))

    def deeper(text: str | None) -> str | None:
        if not text:
            return text
        try:
            for _ in range(_ROUNDS):
                text, before = once(text), text
                if text == before:
                    return text
        except Exception:  # whatever a recogniser chokes on; its message may quote the text
            pass
        return UNREAD

    return deeper


def _finder(redaction: Redaction) -> Callable[[str], Iterable[tuple[int, int, str]]]:
    """Text → (start, end, kind) of what is found, none overlapping another."""
    import tldextract
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry

    _silence()
    # Whether an address ends in a public suffix is told by the list in the package, not by one that is fetched.
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    recognizers = [_recognizer(name, redaction.language) for name in redaction.recognizers or RECOGNIZERS]
    registry = RecognizerRegistry(recognizers=recognizers, supported_languages=[redaction.language])
    engine = _engine(redaction)
    if redaction.model is not None:
        registry.add_nlp_recognizer(engine)
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[redaction.language])
    kinds = sorted(set(analyzer.get_supported_entities(redaction.language)) - _NOT_PERSONAL)

    def find(text: str) -> Iterable[tuple[int, int, str]]:
        found = analyzer.analyze(text, language=redaction.language, entities=kinds, score_threshold=redaction.score)
        return _apart(found)

    return find


def _engine(redaction: Redaction) -> Any:
    """What tells a model's names; none is told without a model. Presidio would fetch a model that is not there."""
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    name = "no_op" if redaction.model is None else "spacy"
    if redaction.model is not None:
        from spacy.util import is_package

        if not is_package(redaction.model) and not Path(redaction.model).exists():
            raise TailraceError(
                f"privacy.redaction.model: {redaction.model} is neither a package nor a folder here; install it"
            )
    models = [{"lang_code": redaction.language, "model_name": redaction.model or name}]
    return NlpEngineProvider(nlp_configuration={"nlp_engine_name": name, "models": models}).create_engine()


def _recognizer(name: str, language: str) -> Any:
    from presidio_analyzer import PatternRecognizer, predefined_recognizers

    known: Any = getattr(predefined_recognizers, name, None)
    local = isinstance(known, type) and issubclass(known, (PatternRecognizer, predefined_recognizers.PhoneRecognizer))
    if not local:
        raise TailraceError(
            f"privacy.redaction.recognizers: {name} is none of Presidio's recognisers by pattern; names need a model"
        )
    return known(supported_language=language)


def _apart(found: Iterable[Any]) -> list[tuple[int, int, str]]:
    """Findings that overlap become one, of the kind that is surest, then longest."""
    apart: list[tuple[int, int, str]] = []
    group: list[Any] = []
    end = 0
    for each in [*sorted(found, key=lambda one: (one.start, one.end)), None]:
        if group and (each is None or each.start >= end):
            surest = max(group, key=lambda one: (one.score, one.end - one.start, one.entity_type))
            kind = _KINDS.get(surest.entity_type, surest.entity_type.lower().replace("_", "-"))
            apart.append((group[0].start, end, kind))
            group = []
        if each is not None:
            end = max(end, each.end) if group else each.end
            group.append(each)
    return apart


class _Mute(logging.Filter):
    """Nothing of Presidio's is logged. That a pattern took too long, which it would pass over, is an error."""

    def filter(self, record: logging.LogRecord) -> bool:
        if "timed out" in str(record.msg):
            raise TimeoutError
        return False


def _silence() -> None:
    logger = logging.getLogger("presidio-analyzer")
    if not any(isinstance(each, _Mute) for each in logger.filters):
        logger.addFilter(_Mute())
