"""Stripe's OpenAPI document, and what of an answer of the sandbox departs from it.

``tests/fixtures/README.md`` says where the document comes from and which version it is of.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

DOCUMENT = Path(__file__).parent / "fixtures" / "stripe_openapi.json.gz"
Validator = jsonschema_rs.Validator


class Document:
    """Each address of the document with a schema of its answer, each object with one of its own."""

    def __init__(self) -> None:
        whole: dict[str, Any] = json.loads(gzip.decompress(DOCUMENT.read_bytes()))
        self.version: str = whole["version"]
        self.objects = frozenset(whole["$defs"])
        self._defs = whole["$defs"]
        self._answers = [
            (re.compile(re.sub(r"\{[^/]+\}", "[^/]+", address)), schema) for address, schema in whole["paths"].items()
        ]
        # an address that is spelled out goes before one with a place holder
        self._answers.sort(key=lambda each: each[0].pattern.count("[^/]+"))

    @cache  # noqa: B019  # one document a process
    def _answer(self, address: str) -> Validator | None:
        schema = next((schema for pattern, schema in self._answers if pattern.fullmatch(address)), None)
        return None if schema is None else self._validator(schema)

    @cache  # noqa: B019
    def _object(self, name: str) -> Validator:
        return self._validator({"$ref": f"#/$defs/{name}"})

    def _validator(self, schema: dict[str, Any]) -> Validator:
        return jsonschema_rs.Draft202012Validator({"$defs": self._defs, **schema}, mask="…")

    def problems(self, method: str, path: str, status: int, body: str) -> Iterator[str]:
        """What is wrong with an answer: where and which rule, never a value."""
        answer = json.loads(body)
        if status != 200:
            yield from _told(self._object("error"), answer, f"error {status}")
            return
        validator = self._answer(f"{method} {path}")
        if validator is None:
            yield f"{method} {path}: no such address"
            return
        if not validator.is_valid(answer):
            yield from _told(validator, answer, str(answer.get("object")))
            return
        for event in answer["data"] if answer["object"] == "list" else [answer]:
            if event["object"] == "event":
                about, kind = event["data"]["object"], event["data"]["object"].get("object")
                if kind in self.objects:
                    yield from _told(self._object(kind), about, f"{kind} of {event['type']}")
                else:
                    yield f"{event['type']}: no such object"


def _told(validator: Validator, answer: Any, what: str) -> Iterator[str]:
    if not validator.is_valid(answer):
        for path, message in _leaves(validator.iter_errors(answer)):
            yield f"{what}: {path}: {message}"


def _leaves(errors: Iterable[Any], at: tuple[Any, ...] = ()) -> Iterator[tuple[str, str]]:
    """The errors that say most: of alternatives, those of the one that a value was meant for."""
    for error in errors:
        branches = getattr(error.kind, "context", None) or []
        meant = [branch for branch in branches if not any(_is_of_another_kind(each) for each in branch)]
        path = (*at, *error.instance_path)
        if len(meant) == 1:
            yield from _leaves(meant[0], path)
        else:
            yield ".".join("*" if isinstance(part, int) else str(part) for part in path), error.message


def _is_of_another_kind(error: Any) -> bool:
    return (not error.instance_path and error.kind.name == "type") or list(error.instance_path) == ["object"]
