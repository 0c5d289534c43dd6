"""The HTTP session under simple-salesforce: patient, within the API budget, and silent about what it carries.

Guarantees: a 429, a 5xx, a timeout and a connection that breaks are tried again, as late as ``Retry-After`` asks, else
with exponential back-off and jitter; no request is made once the budget is spent; no redirect is followed.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests

from settings import TailraceError

TRY_AGAIN = frozenset({408, 425, 429, *range(500, 600)})
_USAGE = re.compile(r"api-usage=(\d+)/(\d+)")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class BudgetSpentError(TailraceError):
    """No more requests may be made today; what is left to read comes with a later run."""


class UnreadableError(TailraceError):
    """One request keeps failing on Salesforce's side, or is answered with something broken."""


class PatientSession(requests.Session):
    """A session of one org. Counts its ``requests`` and the ``retries`` among them."""

    def __init__(self, url: str, *, budget_share: float, timeout: float = 120.0, longest_wait: float = 60.0) -> None:
        """``timeout`` in seconds, a read; raises TailraceError when ``url`` is none that may be used."""
        super().__init__()
        parts = urlsplit(url)
        local = parts.hostname in _LOOPBACK
        theirs = parts.scheme == "https" and (parts.hostname or "").endswith(".salesforce.com")
        if not parts.hostname or not (theirs or (local and parts.scheme in ("http", "https"))):
            raise TailraceError(
                "Salesforce: its url in tailrace.yml is no org's domain; write https://<my domain>.my.salesforce.com"
            )
        self.host = parts.hostname
        self.requests = self.retries = 0
        self.attempts, self.backoff = 7, 0.5
        self._local = f"{parts.scheme}://{parts.netloc}" if local else None
        self._share, self._timeout, self._longest = budget_share, timeout, longest_wait
        self._used, self._most = 0, 0
        self.trust_env = not local

    def request(  # type: ignore[override]
        self, method: str, url: str, *args: Any, **options: Any
    ) -> requests.Response:
        """As ``requests`` does it. Raises TailraceError when Salesforce cannot be reached, UnreadableError and
        BudgetSpentError; whatever else Salesforce answers is returned."""
        address = self._address(url)
        options = {"timeout": (10.0, self._timeout), **options, "allow_redirects": False}
        for attempt in range(self.attempts):
            if self._most and self._used >= self._share * self._most:
                raise BudgetSpentError(
                    f"Salesforce: {self._used:,} of {self._most:,} API requests of the day are used, and "
                    f"sources.salesforce.api_budget_share is {self._share:g}; the rest comes with a later run"
                )
            self.requests += 1
            last = attempt == self.attempts - 1
            wait = ""
            try:
                answer = super().request(method, address, *args, **options)
            except requests.exceptions.SSLError:
                raise TailraceError(
                    f"Salesforce {self.host}: its TLS certificate is not accepted; mend its url"
                ) from None
            except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
                if last or (_unreachable(error) and attempt >= 3):
                    raise self._failure(error) from None
            except requests.exceptions.RequestException as error:  # the body was cut
                if last:
                    raise self._failure(error) from None
            else:
                self._note(answer)
                if not _again(answer):
                    return answer
                if last:
                    raise self._given_up(answer)
                wait = answer.headers.get("Retry-After", "")
            self.retries += 1
            self._pause(attempt, wait)
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def hasty(self) -> Iterator[None]:
        """For requests that are expected to fail again: two attempts each."""
        patient, self.attempts = self.attempts, 2
        try:
            yield
        finally:
            self.attempts = patient

    def _address(self, url: str) -> str:
        """simple-salesforce always says https, and its login salesforce.com; a sandbox on this machine is neither."""
        if self._local is None:
            return url
        parts = urlsplit(url)
        return self._local + url[len(f"{parts.scheme}://{parts.netloc}") :]

    def _note(self, answer: requests.Response) -> None:
        usage = _USAGE.search(answer.headers.get("Sforce-Limit-Info", ""))
        if usage:
            self._used, self._most = int(usage[1]), int(usage[2])

    def _pause(self, attempt: int, wait: str) -> None:
        asked = float(wait) if wait.strip().isdigit() else self.backoff * (2**attempt + random.random())
        time.sleep(min(asked, self._longest))

    def _failure(self, error: Exception) -> TailraceError:
        if _unreachable(error):
            return TailraceError(
                f"Salesforce {self.host}: not reachable; start it (`make up` for the demo) or mend its url"
            )
        kind = "no answer in time" if isinstance(error, requests.exceptions.Timeout) else "the connection breaks"
        return UnreadableError(f"Salesforce {self.host}: {kind}; run again, the next run goes on from here")

    def _given_up(self, answer: requests.Response) -> TailraceError:
        if answer.status_code == 403:
            return BudgetSpentError(
                f"Salesforce {self.host}: the org's limit of API requests is exceeded; the rest comes with a later run"
            )
        return UnreadableError(
            f"Salesforce {self.host}: still answers {answer.status_code} after {self.attempts} tries; run again later, "
            "the next run goes on from here"
        )


def error_code(answer: requests.Response) -> str:
    """Salesforce's own word for an error; never its message, which may quote a value. '' when there is none."""
    try:
        content = answer.json()
    except ValueError:
        return ""
    first = content[0] if isinstance(content, list) and content else content
    code = (first.get("errorCode") or first.get("error")) if isinstance(first, dict) else None
    return code if isinstance(code, str) and code.replace("_", "").isalnum() and len(code) < 60 else ""


def _again(answer: requests.Response) -> bool:
    limited = answer.status_code == 403 and error_code(answer) == "REQUEST_LIMIT_EXCEEDED"
    return limited or answer.status_code in TRY_AGAIN


def _unreachable(error: Exception) -> bool:
    """Nobody answered at all, as against a connection that broke."""
    return isinstance(error, requests.exceptions.ConnectTimeout) or (
        isinstance(error, requests.exceptions.ConnectionError) and "NewConnectionError" in repr(error)
    )
