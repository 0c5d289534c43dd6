"""What Stripe's wire looks like from the server's side: bracketed forms in, error objects out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

_PART = re.compile(r"\[([^\[\]]*)\]")
_LATEST = 4_102_444_800  # the year 2100: a clock that is sent further by mistake would renew for hours


class StripeError(Exception):
    """An error answer. ``keep`` says that what was done until then stays, as with a declined card."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int = 400,
        kind: str = "invalid_request_error",
        keep: bool = False,
    ) -> None:
        super().__init__(kind)
        self.status, self.keep = status, keep
        members = {"code": code, "message": message, "param": param, "type": kind}
        self.body = json.dumps({"error": {name: value for name, value in members.items() if value is not None}})


def missing(what: str, identifier: str, *, param: str = "id", status: int = 404) -> StripeError:
    return StripeError(f"No such {what}: '{identifier}'", param=param, code="resource_missing", status=status)


class Form:
    """Parameters of a request. Each is taken once; ``done`` refuses those that nobody took.

    An empty value unsets: the getters give None for it, and ``in`` tells it from a parameter that is not there.
    """

    def __init__(self, values: dict[str, Any], path: str = "") -> None:
        self._values = values
        self._path = path
        self._taken: set[str] = set()

    @classmethod
    def parse(cls, pairs: Iterable[tuple[str, str]]) -> Form:
        root: dict[str, Any] = {}
        for name, value in pairs:
            head, _, rest = name.partition("[")
            parts = [head, *_PART.findall("[" + rest)] if rest else [head]
            node = root
            for part in parts[:-1]:
                node = node.setdefault(part or str(len(node)), {})
                if not isinstance(node, dict):
                    raise StripeError("Invalid parameter nesting", param=head, code="parameter_invalid")
            node[parts[-1] or str(len(node))] = value
        return cls(root)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def _param(self, name: str) -> str:
        return f"{self._path}[{name}]" if self._path else name

    def _invalid(self, name: str, what: str) -> StripeError:
        return StripeError(f"Invalid {what}: {self._param(name)}", param=self._param(name), code="parameter_invalid")

    def text(self, name: str) -> str | None:
        self._taken.add(name)
        value = self._values.get(name)
        if isinstance(value, dict):
            raise self._invalid(name, "string")
        return value or None

    def required(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            param = self._param(name)
            raise StripeError(f"Missing required param: {param}.", param=param, code="parameter_missing")
        return value

    def choice(self, name: str, allowed: Iterable[str], *, default: str) -> str:
        value = self.text(name) or default
        if value not in allowed:
            raise self._invalid(name, f"{name}, must be one of {', '.join(allowed)}")
        return value

    def integer(self, name: str, *, least: int = 0, most: int = 10**9) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        if re.fullmatch(r"-?[0-9]{1,18}", value) is None or not least <= int(value) <= most:
            raise self._invalid(name, f"integer, must be from {least} to {most}")
        return int(value)

    def decimal(self, name: str) -> float | None:
        value = self.text(name)
        try:
            return None if value is None else float(value)
        except ValueError:
            raise self._invalid(name, "decimal") from None

    def boolean(self, name: str) -> bool | None:
        value = self.text(name)
        if value not in (None, "true", "false"):
            raise self._invalid(name, "boolean")
        return None if value is None else value == "true"

    def moment(self, name: str, *, now: int) -> int | None:
        """A time in Unix seconds; the word ``now`` is the clock's."""
        return now if self._values.get(name) == "now" and self.text(name) else self.integer(name, most=_LATEST)

    def form(self, name: str) -> Form:
        self._taken.add(name)
        value = self._values.get(name) or {}
        if not isinstance(value, dict):
            raise self._invalid(name, "object")
        return Form(value, self._param(name))

    def forms(self, name: str) -> list[Form]:
        """The members of a list of objects; none if it is empty or not there."""
        members = self.form(name)
        return [members.form(key) for key in members._values]

    def texts(self, name: str) -> list[str]:
        """The members of a list of strings; a single string is a list of one."""
        self._taken.add(name)
        value = self._values.get(name) or {}
        if not isinstance(value, dict):
            return [value]
        return [member for member in value.values() if isinstance(member, str)]

    def metadata(self, now: dict[str, str]) -> dict[str, str]:
        """``now`` with the keys of the request set; empty ones are gone."""
        self._taken.add("metadata")
        given = self._values.get("metadata")
        if given == "":
            return {}
        merged = now | self.form("metadata")._values
        if not all(isinstance(value, str) for value in merged.values()):
            raise self._invalid("metadata", "metadata, values must be strings")
        return {key: value for key, value in merged.items() if value != ""}

    def done(self) -> None:
        for name in self._values:
            if name not in self._taken:
                param = self._param(name)
                raise StripeError(f"Received unknown parameter: {param}", param=param, code="parameter_unknown")
