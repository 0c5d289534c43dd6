"""A small JSON-over-HTTP client that keeps its connection, for the two APIs the company uses."""

from __future__ import annotations

import http.client
import json
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

from settings import TailraceError

_TRIES = 6
_AGAIN = {409, 429, 500, 502, 503, 504}


class ApiError(Exception):
    """An answer above 399; ``status`` is its code. The text holds no personal value."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Api:
    """One API at ``url`` under a bearer token; what is safe to repeat is repeated when it is busy or gone."""

    def __init__(self, *, name: str, url: str, token: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TailraceError(f"{name}: {url!r} is not an http(s) URL; mend its url in tailrace.yml")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=60)
        self._name, self._url, self._prefix = name, url, parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    def close(self) -> None:
        self._connection.close()

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        return self._call("GET", f"{path}?{urllib.parse.urlencode(query)}" if query else path, safe=True)

    def delete(self, path: str) -> dict[str, Any]:
        return self._call("DELETE", path, safe=True)

    def post_form(self, path: str, fields: Mapping[str, object], *, key: str) -> dict[str, Any]:
        """A form-encoded write under an idempotency key, so that a repeat has no second effect."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Idempotency-Key": key}
        return self._call("POST", path, body=urllib.parse.urlencode(fields), headers=headers, safe=True)

    def send_json(self, method: str, path: str, body: Mapping[str, object], *, safe: bool) -> dict[str, Any]:
        return self._call(method, path, body=json.dumps(body), headers={"Content-Type": "application/json"}, safe=safe)

    def _call(
        self,
        method: str,
        path: str,
        *,
        safe: bool,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        where = f"{self._name} {method} {path.partition('?')[0]}"
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1
            try:
                self._connection.request(method, self._prefix + path, body, {**self._headers, **(headers or {})})
                answer = self._connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if last or not (safe or isinstance(error, ConnectionRefusedError)):
                    raise TailraceError(f"{self._name} at {self._url}: not reachable; is it running?") from None
                time.sleep(0.05 * 2**attempt)
                continue
            if answer.status in _AGAIN and safe and not last:
                time.sleep(min(float(answer.headers.get("Retry-After") or 0.05 * 2**attempt), 5.0))
                continue
            if answer.status >= 400:
                raise ApiError(answer.status, f"{where}: answered {answer.status} ({_code(content)})")
            return json.loads(content) if content else {}
        raise AssertionError("the last attempt returns or raises")


def _code(content: bytes) -> str:
    """What an error answer calls itself: codes and parameter names only, since messages can quote values."""
    try:
        answer = json.loads(content)
    except ValueError:
        return "not JSON"
    error = answer.get("error", answer) if isinstance(answer, dict) else {}
    if not isinstance(error, dict):
        return "unknown"
    return " ".join(str(error[name]) for name in ("type", "category", "code", "param") if error.get(name)) or "unknown"
