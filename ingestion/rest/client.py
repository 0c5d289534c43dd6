"""One HTTP client for every REST source: a named secret, patient retries, and errors of one line.

Guarantees: a 429 waits as long as ``Retry-After`` asks, a 5xx, a timeout and a broken body are tried again with
exponential back-off and jitter; neither the credential nor a value of an answer ever stands in an error.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from settings import TailraceError

Json = dict[str, Any]

# Retries are counted and reported; a line in the log for each would only be noise before the one clear error.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)

_TRY_AGAIN = frozenset({408, 425, 429, *range(500, 600)})


def patience(
    *, attempts: int = 7, connects: int = 4, backoff: float = 0.5, longest_wait: float = 60.0
) -> urllib3.Retry:
    """How long a client keeps trying. Times in seconds; ``Retry-After`` is followed up to ``longest_wait``.

    Connecting has its own, smaller number: a wrong address should be told within seconds.
    """
    return urllib3.Retry(
        total=attempts + connects,
        connect=connects,
        read=attempts,
        status=attempts,
        other=1,
        redirect=0,
        raise_on_redirect=False,
        raise_on_status=False,
        allowed_methods=None,  # the few POSTs sent here are searches, safe to repeat
        status_forcelist=_TRY_AGAIN,
        backoff_factor=backoff,
        backoff_jitter=backoff,
        backoff_max=longest_wait,
        retry_after_max=int(longest_wait),
    )


class ApiError(TailraceError):
    """The API answered, and refused. ``status`` is HTTP's, ``code`` the API's own word for it ('' when none)."""

    def __init__(self, line: str, *, status: int, code: str) -> None:
        super().__init__(line)
        self.status = status
        self.code = code

    @property
    def is_missing(self) -> bool:
        """The object asked for, or the one a page was to start after, does not exist (any more)."""
        return self.status == 404 or self.code == "resource_missing"


class UnreadableError(ApiError):
    """One request keeps failing on the API's side, or is answered with something broken."""


class _Pace:
    """Lets threads begin no more than so many requests a second, evenly."""

    def __init__(self, per_second: float | None) -> None:
        self._gap = 1.0 / per_second if per_second else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        if not self._gap:
            return
        with self._lock:
            now = time.monotonic()
            due = max(self._next, now - 1.0)  # what a quiet second left over may be used at once
            self._next = due + self._gap
        if due > now:
            time.sleep(due - now)


class RestClient:
    """A bearer-authenticated JSON API, for several threads. Counts its ``requests`` and the ``retries`` among them."""

    def __init__(
        self,
        *,
        name: str,
        url: str,
        token: str,
        token_env: str,
        headers: dict[str, str] | None = None,
        retry: urllib3.Retry | None = None,
        timeout: float = 60.0,
        per_second: float | None = None,
        connections: int = 1,
    ) -> None:
        """``name`` is the system in errors, ``token_env`` the variable to mend; ``timeout`` in seconds, a read.

        No more than ``per_second`` requests begin in a second; ``connections`` are kept for threads that ask at once.
        """
        self.name = name
        self.requests = 0
        self.retries = 0
        self._count = threading.Lock()
        self._pace = _Pace(per_second)
        self._url = url.rstrip("/")
        self._token_env = token_env
        self._where = _without_userinfo(self._url)
        if urlsplit(self._url).scheme not in ("http", "https") or not urlsplit(self._url).netloc:
            raise TailraceError(f"{name}: {self._where!r} is not an http(s) address; mend its url in tailrace.yml")
        if not token.isascii() or not token.isprintable() or " " in token:
            # http.client would put the whole header into its error
            raise TailraceError(f"{name}: the value of {token_env} cannot be a credential; export the key alone")
        self._pool = urllib3.PoolManager(
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json", **(headers or {})},
            retries=retry or patience(),
            maxsize=connections,
            timeout=urllib3.Timeout(connect=min(10.0, timeout), read=timeout),
        )

    def get(self, path: str, query: Sequence[tuple[str, str]] = (), *, hasty: bool = False) -> Json:
        """The JSON object at ``path``.

        Raises ApiError when the API refuses, UnreadableError when it keeps failing at this one request, TailraceError
        when it cannot be had. ``hasty``: with one more try only, for a request that is known to fail.
        """
        return self._json("GET", path, query, None, hasty=hasty)

    def post(self, path: str, body: Json, *, hasty: bool = False) -> Json:
        """``get`` of what answers ``body``; only for requests that change nothing, as they may be repeated."""
        return self._json("POST", path, (), body, hasty=hasty)

    def close(self) -> None:
        self._pool.clear()

    def _json(
        self, method: str, path: str, query: Sequence[tuple[str, str]], body: Json | None, *, hasty: bool = False
    ) -> Json:
        for attempt in range(2 if hasty else 4):
            answer = self._send(method, path, query, body, hasty=hasty)
            if answer.status >= 300:
                raise self._refusal(path, answer)
            try:
                content = json.loads(answer.data)
            except (ValueError, UnicodeDecodeError):
                # a proxy or a broken stream cut the body without breaking the connection
                self._counted(retries=1)
                time.sleep(0.2 * attempt)
                continue
            if isinstance(content, dict):
                return content
            break
        raise UnreadableError(
            f"{self.name}: {self._where}{path} answers with something that is not its API's JSON; "
            "check its url in tailrace.yml",
            status=200,
            code="",
        )

    def _send(
        self, method: str, path: str, query: Sequence[tuple[str, str]], body: Json | None, *, hasty: bool
    ) -> urllib3.BaseHTTPResponse:
        address = self._url + quote(path) + (f"?{urlencode(query)}" if query else "")
        self._pace.wait()
        retries = self._pool.connection_pool_kw["retries"]
        if hasty:
            retries = retries.new(total=2, status=1, read=1)
        try:
            answer = self._pool.request(method, address, json=body, retries=retries)
        except (HTTPError, OSError, ValueError) as error:
            reason = error.reason if isinstance(error, MaxRetryError) else error
            self._counted(requests=1)
            if isinstance(reason, (ReadTimeoutError, ProtocolError)):  # connected, and then no whole answer
                raise UnreadableError(self._failure(error), status=0, code="") from None
            raise TailraceError(self._failure(error)) from None
        tried = len(answer.retries.history) if answer.retries else 0
        self._counted(requests=1 + tried, retries=tried)
        return answer

    def _counted(self, *, requests: int = 0, retries: int = 0) -> None:
        with self._count:
            self.requests += requests
            self.retries += retries

    def _failure(self, error: Exception) -> str:
        reason = error.reason if isinstance(error, MaxRetryError) else error
        remedy = "start it (`make up` for the demo) or mend its url in tailrace.yml"
        if isinstance(reason, SSLError):
            return f"{self.name} {self._where}: its TLS certificate is not accepted; mend its url in tailrace.yml"
        if isinstance(reason, (NewConnectionError, ConnectTimeoutError)):
            return f"{self.name} {self._where}: not reachable; {remedy}"
        if isinstance(reason, ReadTimeoutError):
            return f"{self.name} {self._where}: no answer in time; run again, the next run goes on from here"
        kind = type(reason).__name__
        return f"{self.name} {self._where}: the connection breaks ({kind}); check it, then run again"

    def _refusal(self, path: str, answer: urllib3.BaseHTTPResponse) -> ApiError:
        """What a refusing answer means, in our words: the API's message may quote the key or a person."""
        code, status, where = _code(answer.data), answer.status, f"{self._where}{path}"
        if status == 401:
            line = f"the credential in {self._token_env} was refused (401 by {where}); export a valid one"
        elif status == 403:
            line = f"the credential in {self._token_env} may not read {where} (403); grant it that permission"
        elif status in _TRY_AGAIN:
            line = f"{where} still answers {status} after many tries; run again later, the next run goes on from here"
        else:
            line = f"{where} answers {status}{f' ({code})' if code else ''}; check its url in tailrace.yml"
        kind = UnreadableError if status in _TRY_AGAIN and status != 429 else ApiError
        return kind(f"{self.name}: {line}", status=status, code=code)


def _code(body: bytes) -> str:
    """The machine-readable error code of a Stripe or HubSpot answer; never its message."""
    try:
        content = json.loads(body)
    except (ValueError, UnicodeDecodeError):
        return ""
    if not isinstance(content, dict):
        return ""
    error = content.get("error")
    code = (error.get("code") if isinstance(error, dict) else None) or content.get("category") or ""
    return code if isinstance(code, str) and code.replace("_", "").isalnum() and len(code) < 60 else ""


def _without_userinfo(url: str) -> str:
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}" if rest else "the url"
