"""``redact``: personal data in free text, found by its form and its check digits, replaced by what kind it was.

One list of recognisers gives the pure function and the SQL of both engines, held to the same bytes by ``vectors.json``.
Patterns know no look-around and no lazy repetition, so that every engine's matching agrees; they hold neither backslash
nor quote. Where a candidate's check digits decide, it is extracted, tested by arithmetic on its digits, and replaced
wherever it stands; the others are replaced by their pattern alone.

Names are not found: no pattern knows one. Where text must not hold any, drop it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

# What may not stand before a number or a code, so that the middle of a longer one is not taken for it.
_START = "(^|[^0-9A-Za-z])"
_SPACE = "[:space:]"  # in C's locale; Python spells it out
_PYTHON_SPACE = " \t\n\r\x0b\x0c"
_UPPER, _LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"

# Lengths of IBANs: ISO 13616 registry. Three zeroes in front are the length of a country that is not there.
_IBAN_LENGTHS = (
    "000AD24AE23AL28AT20AZ28BA20BE16BG22BH22BR29BY28CH21CR22CY28CZ24DE22DK18DO28EE20EG29ES24FI18FO18FR27GB22GE22GI23"
    "GL18GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30"
    "NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24"
    "XK20YE30"
)
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_PESEL = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)
_BSN = (9, 8, 7, 6, 5, 4, 3, 2, -1)
_CPF = ((10, 9, 8, 7, 6, 5, 4, 3, 2), (11, 10, 9, 8, 7, 6, 5, 4, 3, 2))
CARD_DIGITS = 19  # the longest that ISO/IEC 7812 allows
_MOST_DIGITS = 30


@dataclass(frozen=True)
class _Engine:
    """How an engine says the few things that the two say differently; ``w`` and ``c`` are what a test is of."""

    some: str
    checked: str
    plain: str


@dataclass(frozen=True)
class Checked:
    """A recogniser whose candidates, group 2 of ``pattern``, must pass a test: as a function, and as SQL of ``c``."""

    kind: str
    pattern: str
    passes: Callable[[str], bool]
    sql: str | Callable[[_Engine], str]


@dataclass(frozen=True)
class Plain:
    """A recogniser that goes by its pattern alone; group 1 stays."""

    kind: str
    pattern: str


# ----------------------------------------------------------------------------------------------------- check digits


def luhn(digits: str) -> bool:
    """Whether a number's check digit is right (ISO/IEC 7812-1, annex B)."""
    doubled = [int("0246813579"[int(digit)]) for digit in digits[-2::-2]]
    return (sum(map(int, digits[::-2])) + sum(doubled)) % 10 == 0


def mod_97(iban: str) -> bool:
    """Whether an IBAN's check digits are right (ISO 13616: mod 97-10 of ISO 7064). ``iban`` in capitals, no blanks."""
    return int("".join(str(int(each, 36)) for each in iban[4:] + iban[:4])) % 97 == 1


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def _mod_11_10(digits: str) -> bool:
    """ISO 7064, mod 11,10, over eleven digits."""
    product = 10
    for digit in digits[:10]:
        product = 2 * ((int(digit) + product + 9) % 10 + 1) % 11
    return (11 - product) % 10 == int(digits[10])


def _only_digits(text: str) -> str:
    return "".join(each for each in text if each in "0123456789")


def _is_card(candidate: str) -> bool:
    digits = _only_digits(candidate)
    if len(digits) > CARD_DIGITS:
        return True
    # A number beside it may have run into a card of 16 digits.
    return any(luhn(each) for each in (digits, *_windows(digits)))


def _windows(digits: str) -> list[str]:
    return [digits[start : start + 16] for start in range(4) if start + 16 <= len(digits)]


def _is_iban(candidate: str) -> bool:
    text = _capitals(candidate.replace(" ", ""))
    place = _IBAN_LENGTHS.find(text[:2])
    length = int(_IBAN_LENGTHS[place + 2 : place + 4]) if place >= 0 else 0
    return 0 < length <= len(text) and mod_97(text[:length])


def _is_dni(candidate: str) -> bool:
    text = _capitals(candidate.replace("-", ""))
    number = text[0].translate(str.maketrans("XYZ", "012")) + text[1:8]
    return _DNI_LETTERS[int(number) % 23] == text[8]


def _is_nir(candidate: str) -> bool:
    digits = _only_digits(candidate)
    return (int(digits[:13]) + int(digits[13:])) % 97 == 0


def _is_eleven(candidate: str) -> bool:
    digits = _only_digits(candidate)
    if len(digits) != 11:
        return False
    first, second = (_weighted(digits, weights) * 10 % 11 % 10 for weights in _CPF)
    cpf = first == int(digits[9]) and second == int(digits[10])
    return cpf or _weighted(digits, _PESEL) % 10 == 0 or _mod_11_10(digits)


def _is_bsn(candidate: str) -> bool:
    return len(candidate) == 9 and _weighted(candidate, _BSN) % 11 == 0


def _is_ipv6(candidate: str) -> bool:
    return "::" in candidate or candidate.count(":") == 7


def _capitals(text: str) -> str:
    return text.translate(str.maketrans(_LOWER, _UPPER))


# ------------------------------------------------------------------------------------- the same, as SQL of both engines

_SQL_DIGITS = "replace(replace(replace(c, ' ', ''), '-', ''), '.', '')"


def _digit(text: str, place: int) -> str:
    return f"cast(substr({text}, {place}, 1) as integer)"


def _sql_sum(text: str, weights: tuple[int, ...]) -> str:
    return " + ".join(f"{weight} * {_digit(text, place)}" for place, weight in enumerate(weights, 1))


def _sql_luhn(text: str) -> str:
    """Of a text of ``CARD_DIGITS`` digits; zeroes in front of a number add nothing."""
    terms = []
    for place in range(1, CARD_DIGITS + 1):
        digit = f"substr({text}, {place}, 1)"  # every second from the right is doubled, and its digits added
        if (CARD_DIGITS - place) % 2:
            digit = f"translate({digit}, '0123456789', '0246813579')"
        terms.append(f"cast({digit} as integer)")
    return f"({' + '.join(terms)}) % 10 = 0"


def _sql_card(engine: _Engine) -> str:
    digits = _SQL_DIGITS
    windows = [
        f"case when length({digits}) >= {start + 16} then substr({digits}, {start + 1}, 16) else {digits} end"
        for start in range(4)
    ]
    padded = [f"lpad({each}, {CARD_DIGITS}, '0')" for each in (digits, *windows)]
    valid = engine.some.format(items=", ".join(padded), test=_sql_luhn("w"))
    return f"length({digits}) > {CARD_DIGITS} or {valid}"


def _sql_iban(engine: _Engine) -> str:
    text = f"translate(replace(c, ' ', ''), '{_LOWER}', '{_UPPER}')"
    length = f"cast(substr('{_IBAN_LENGTHS}', position(left({text}, 2) in '{_IBAN_LENGTHS}') + 2, 2) as integer)"
    number = f"substr({text}, 5, greatest({length} - 4, 0)) || left({text}, 4)"
    for letter in _UPPER:
        number = f"replace({number}, '{letter}', '{ord(letter) - 55}')"
    # At most 33 characters of two digits; nine digits at a time stay within a bigint.
    rest = "0"
    for start in range(1, 73, 9):
        rest = f"({rest} * 1000000000 + cast(substr(w, {start}, 9) as bigint)) % 97"
    valid = engine.some.format(items=f"lpad({number}, 72, '0')", test=f"{rest} = 1")
    return f"{length} between 1 and length({text}) and {valid}"


def _sql_dni() -> str:
    text = f"translate(replace(c, '-', ''), '{_LOWER}', '{_UPPER}')"
    number = f"cast(translate(left({text}, 1), 'XYZ', '012') || substr({text}, 2, 7) as integer)"
    return f"substr('{_DNI_LETTERS}', {number} % 23 + 1, 1) = substr({text}, 9, 1)"


def _sql_eleven() -> str:
    digits = f"lpad({_SQL_DIGITS}, 11, '0')"
    product = "10"
    for place in range(1, 11):
        product = f"2 * (({_digit(digits, place)} + {product} + 9) % 10 + 1) % 11"
    cpf = [f"({_sql_sum(digits, w)}) * 10 % 11 % 10 = {_digit(digits, len(w) + 1)}" for w in _CPF]
    return (
        f"length({_SQL_DIGITS}) = 11 and (({' and '.join(cpf)}) or ({_sql_sum(digits, _PESEL)}) % 10 = 0 "
        f"or (11 - {product}) % 10 = {_digit(digits, 11)})"
    )


_SQL_NIR = (
    f"(cast(left(lpad({_SQL_DIGITS}, 15, '0'), 13) as bigint) + cast(right(lpad({_SQL_DIGITS}, 15, '0'), 2) as bigint))"
    " % 97 = 0"
)
_SQL_BSN = "length(c) = 9 and (" + _sql_sum("lpad(c, 9, '0')", _BSN) + ") % 11 = 0"
_SQL_IPV6 = "position('::' in c) > 0 or length(c) - length(replace(c, ':', '')) = 7"

# ------------------------------------------------------------------------------------------------------ recognisers

# In this order: a longer code before a shorter one that may be part of it.
CHECKED = (
    Checked(
        "iban",
        _START + "([A-Za-z]{2}[0-9]{2}([0-9A-Za-z]{11,30}|( [0-9A-Za-z]{4}){2,7}( [0-9A-Za-z]{1,3})?))",
        _is_iban,
        _sql_iban,
    ),
    Checked("card", _START + "([0-9]([ -]?[0-9]){12,29})", _is_card, _sql_card),
    Checked(
        "national-id",
        _START + "([12] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{2})",
        _is_nir,
        _SQL_NIR,
    ),
    Checked(
        "national-id",
        _START + "([0-9]{2} [0-9]{3} [0-9]{3} [0-9]{3}|[0-9]{3}[.]?[0-9]{3}[.]?[0-9]{3}-?[0-9]{2,})",
        _is_eleven,
        _sql_eleven(),
    ),
    Checked("national-id", _START + "([0-9]{9,})", _is_bsn, _SQL_BSN),
    Checked("national-id", _START + "([0-9XYZxyz][0-9]{7}-?[A-Za-z])", _is_dni, _sql_dni()),
    Checked("ip", _START + "(([0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4})", _is_ipv6, _SQL_IPV6),
)
_TOKEN = f'[^{_SPACE}<>()",;:@]'
_LABEL = f'[^{_SPACE}<>()",;:@.]'
PLAIN = (
    Plain("email", f"(){_TOKEN}+@{_LABEL}+([.]{_LABEL}+)+"),
    Plain("ip", _START + "[0-9]{1,3}([.][0-9]{1,3}){3}"),
    Plain("national-id", "(^|[^0-9A-Za-z-])[0-9]{3}-[0-9]{2}-[0-9]{4}"),
    Plain("national-id", _START + "[A-Za-z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-Da-d]"),
    Plain("phone", "(^|[^0-9A-Za-z])([+]|00)[1-9]([ ()./-]{0,3}[0-9]){6,14}"),
    Plain("phone", "(^|[^0-9A-Za-z])[(]?0[1-9]([ ()./-]{0,3}[0-9]){5,12}"),
    Plain("phone", "(^|[^0-9A-Za-z])[(]?[2-9][0-9]{2}[)]?[ ./-]{1,2}[2-9][0-9]{2}[ ./-][0-9]{4}"),
)


def redact(text: str | None) -> str | None:
    """The text with what was recognised replaced by its kind: ``write to [email]``. None stays None."""
    if text is None:
        return None
    result = text
    for recogniser in CHECKED:
        for found in _in_python(recogniser.pattern).finditer(text):
            if recogniser.passes(found[2]):
                result = result.replace(found[2], f"[{recogniser.kind}]")
    for plain in PLAIN:
        result = _in_python(plain.pattern).sub(rf"\1[{plain.kind}]", result)
    return result


def _in_python(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace(_SPACE, _PYTHON_SPACE))


# -------------------------------------------------------------------------------------------------------- dbt macros

_ENGINES: Mapping[str, _Engine] = {
    "default": _Engine(
        some="len(list_filter([{items}], lambda w: {test})) > 0",
        checked="list_reduce(\n    list_filter(regexp_extract_all({x}, '{pattern}', 2), lambda c: {test}),\n"
        "    lambda t, c: replace(t, c, '{mark}'),\n    {rest}\n)",
        plain="regexp_replace({rest}, '{pattern}', '\\1{mark}', 'g')",
    ),
    "snowflake": _Engine(
        some="array_size(filter([{items}], w varchar -> {test})) > 0",
        checked="reduce(\n    filter(regexp_substr_all({x}, '{pattern}', 1, 1, 'e', 2), c varchar -> {test}),\n"
        "    {rest},\n    (t varchar, c varchar) -> replace(t, c, '{mark}')\n)",
        plain="regexp_replace({rest}, '{pattern}', '\\\\1{mark}')",
    ),
}


def macro() -> str:
    """The macro ``redact``, for both engines."""
    parts = [
        "{# Free text without e-mail addresses, IBANs, cards, national ids, IP addresses and telephone numbers. #}\n"
        "{% macro redact(expression) -%}\n    {{ return(adapter.dispatch('redact')(expression)) }}\n{%- endmacro %}"
    ]
    for name, engine in _ENGINES.items():
        parts.append(
            f"{{% macro {name}__redact(expression) -%}}\n{_sql('{{ expression }}', engine)}\n{{%- endmacro %}}"
        )
    return "\n\n\n".join(parts) + "\n"


def _sql(expression: str, engine: _Engine) -> str:
    rest = expression
    for each in CHECKED:
        test = each.sql if isinstance(each.sql, str) else each.sql(engine)
        rest = engine.checked.format(
            x=expression, pattern=each.pattern, test=f"({test})", mark=f"[{each.kind}]", rest=rest
        )
    for plain in PLAIN:
        rest = engine.plain.format(rest=rest, pattern=plain.pattern, mark=f"[{plain.kind}]")
    return rest
