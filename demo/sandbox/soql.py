"""The part of SOQL that the sandbox understands, and its translation to SQLite.

``SELECT fields FROM object [WHERE …] [ORDER BY …] [LIMIT n]`` with AND, OR, parentheses, IN and comparisons with
texts, numbers, booleans, null, dates and date-times; fields of parents (``Account.Name``) in SELECT only; ``COUNT()``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from demo.sandbox.salesforce_objects import OBJECTS, ObjectType, type_of

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')"
    r"|(?P<moment>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))"
    r"|(?P<date>\d{4}-\d\d-\d\d)|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<word>[A-Za-z_][\w.]*)|(?P<sign><=|>=|!=|[=<>(),]))"
)
_COLUMNS = {
    "Id": "id",
    "CreatedDate": "created",
    "LastModifiedDate": "modified",
    "SystemModstamp": "modified",
    "IsDeleted": "deleted",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SoqlError(Exception):
    """A query that Salesforce would refuse; ``code`` is its word for it."""

    def __init__(self, message: str, *, code: str = "MALFORMED_QUERY") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Query:
    """A parsed query: ``where`` is SQL over the table of records, ``values`` are bound to it."""

    object: ObjectType
    fields: tuple[str, ...]
    counts: bool
    where: str
    values: tuple[Any, ...]
    order: str
    limit: int | None


def parse(text: str) -> Query:
    """Raises SoqlError, with Salesforce's code, on what is not understood and on fields that do not exist."""
    return _Parser(text).query()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise SoqlError("unexpected token")
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()
        self._at = 0
        self._values: list[Any] = []

    def query(self) -> Query:
        self._expect("select")
        fields = [self._field_text()]
        while self._take(","):
            fields.append(self._field_text())
        self._expect("from")
        name = self._next("word")
        if name not in OBJECTS:
            raise SoqlError("sObject type is not supported.", code="INVALID_TYPE")
        self._object = OBJECTS[name]
        counts = fields == ["COUNT()"]
        for path in () if counts else fields:
            self._check(self._object, path)
        where = self._either() if self._take("where") else "true"
        order, limit = [], None
        if self._take("order"):
            self._expect("by")
            order.append(self._sort())
            while self._take(","):
                order.append(self._sort())
        if self._take("limit"):
            limit = int(self._next("number"))
        if self._at < len(self._tokens):
            raise SoqlError("unexpected token")
        return Query(self._object, tuple(fields), counts, where, tuple(self._values), ", ".join(order) or "id", limit)

    # conditions

    def _either(self) -> str:
        parts = [self._both()]
        while self._take("or"):
            parts.append(self._both())
        return "(" + " or ".join(parts) + ")"

    def _both(self) -> str:
        parts = [self._one()]
        while self._take("and"):
            parts.append(self._one())
        return "(" + " and ".join(parts) + ")"

    def _one(self) -> str:
        if self._take("("):
            inner = self._either()
            self._expect(")")
            return inner
        name = self._next("word")
        column = self._column(name)
        if self._take("in"):
            self._expect("(")
            members = [self._literal(name)]
            while self._take(","):
                members.append(self._literal(name))
            self._expect(")")
            self._values += members
            return f"{column} in ({', '.join('?' * len(members))})"
        sign = self._next("sign")
        if sign not in ("=", "!=", "<", "<=", ">", ">="):
            raise SoqlError("unexpected token")
        value = self._literal(name)
        if value is None:
            if sign not in ("=", "!="):
                raise SoqlError("null can only be compared by = and !=")
            return f"{column} is {'not ' if sign == '!=' else ''}null"
        self._values.append(value)
        return f"{column} {'is not' if sign == '!=' else sign} ?"

    def _literal(self, name: str) -> Any:
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        self._at += 1
        wanted = type_of(name)
        if kind == "word" and text.lower() in ("true", "false", "null"):
            return {"true": 1, "false": 0, "null": None}[text.lower()]
        if kind == "text" and wanted not in ("datetime", "date", "double", "currency", "percent", "int", "boolean"):
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        if kind == "moment" and wanted == "datetime":
            return milliseconds(text) if name in _COLUMNS else iso(milliseconds(text))
        if kind == "date" and wanted == "date":
            return text
        if kind == "number" and wanted in ("double", "currency", "percent", "int"):
            return float(text)
        raise SoqlError("value of filter criterion for field does not fit its type", code="INVALID_FIELD")

    # names

    def _sort(self) -> str:
        column = self._column(self._next("word"))
        if self._take("desc"):
            return f"{column} desc"
        self._take("asc")
        return column

    def _column(self, name: str) -> str:
        if name not in self._object.fields or name in self._object.calculated:
            raise SoqlError("No such column on entity.", code="INVALID_FIELD")
        return _COLUMNS.get(name) or f"json_extract(body, '$.{name}')"

    def _check(self, of: ObjectType, path: str) -> None:
        head, dot, rest = path.partition(".")
        if not dot:
            if head not in of.fields:
                raise SoqlError("No such column on entity.", code="INVALID_FIELD")
            return
        if head not in of.parents:
            raise SoqlError("Didn't understand relationship in field path.", code="INVALID_FIELD")
        self._check(OBJECTS[of.parents[head][1]], rest)

    def _field_text(self) -> str:
        word = self._next("word")
        if word.upper() == "COUNT" and self._take("("):
            self._expect(")")
            return "COUNT()"
        return word

    # tokens

    def _take(self, text: str) -> bool:
        if self._at < len(self._tokens):
            kind, found = self._tokens[self._at]
            if kind != "text" and found.lower() == text:
                self._at += 1
                return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise SoqlError(f"expecting {text.upper()}")

    def _next(self, kind: str) -> str:
        if self._at < len(self._tokens) and self._tokens[self._at][0] == kind:
            self._at += 1
            return self._tokens[self._at - 1][1]
        raise SoqlError("unexpected token")


def iso(moment: int) -> str:
    """ISO 8601 with milliseconds, as Salesforce's JSON writes it; ``moment`` in ms since 1970."""
    return (_EPOCH + timedelta(milliseconds=moment)).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment % 1000:03d}+0000"


def milliseconds(text: str) -> int:
    """A moment in ms since 1970. Raises SoqlError when it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise SoqlError("not a date-time") from None
    return ((found if found.tzinfo else found.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)
