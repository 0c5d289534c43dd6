"""A client of the read API for Python: typed answers, pages joined, patience where the service asks for it.

with Client("https://analytics.example.com", token) as tailrace:
    for user in tailrace.users():
        ...
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Literal, Self, TypeVar

import httpx

from serving.api import models

_Answer = TypeVar("_Answer", bound=models.Answer)
_BUSY = (429, 503)


class ClientError(Exception):
    """The service refused: ``status`` and the ``detail`` of its problem document; 0 when it cannot be reached."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


class Client:
    """One tenant's figures. ``credential`` is a token or an API key, or a function that gives a fresh token.

    429 and 503 are asked again, ``tries`` times in all, after the seconds that Retry-After says, if those are no more
    than ``longest_wait``. Every method raises ClientError.
    """

    def __init__(
        self,
        base_url: str,
        credential: str | Callable[[], str],
        *,
        timeout: float = 20.0,
        tries: int = 4,
        longest_wait: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._credential = credential if callable(credential) else lambda: credential
        self._http = httpx.Client(base_url=base_url, timeout=timeout)
        self._tries = tries
        self._longest_wait = longest_wait
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def usage(
        self,
        *,
        first: date | None = None,
        last: date | None = None,
        grain: Literal["day", "week", "month"] = "day",
    ) -> models.Usage:
        """Usage in buckets; by default the last 30 days that hold data."""
        return self._get(models.Usage, "/v1/usage", {**_period(first, last), "grain": grain})

    def features(self, *, first: date | None = None, last: date | None = None) -> models.Features:
        return self._get(models.Features, "/v1/features", _period(first, last))

    def ai(self, *, first: date | None = None, last: date | None = None) -> models.Ai:
        return self._get(models.Ai, "/v1/ai", _period(first, last))

    def entitlements(self) -> models.Entitlements:
        return self._get(models.Entitlements, "/v1/entitlements", {})

    def benchmarks(self) -> models.Benchmarks:
        return self._get(models.Benchmarks, "/v1/benchmarks", {})

    def rolling(self) -> models.Rolling:
        return self._get(models.Rolling, "/v1/rolling", {})

    def freshness(self) -> models.Freshness:
        return self._get(models.Freshness, "/v1/freshness", {})

    def users(self, *, sort: str = "user_key", page: int = models.MOST_USERS) -> Iterator[models.User]:
        """All users, page by page. Sorted by ``user_key`` nobody is missed or told twice, whatever is published
        meanwhile; a user whose figure changes between two pages may be, in an order by that figure."""
        query = {"sort": sort, "limit": str(page)}
        while True:
            found = self._get(models.Users, "/v1/users", query)
            yield from found.users
            if found.next_cursor is None:
                return
            query["cursor"] = found.next_cursor

    def export(
        self,
        name: Literal["usage", "features", "ai", "users", "entitlements", "benchmarks"],
        path: Path,
        *,
        kind: Literal["csv", "parquet"] = "csv",
        first: date | None = None,
        last: date | None = None,
    ) -> int | None:
        """Write a rollup's rows to a file; the version that they are of, None before the first publish."""
        answer = self._ask(f"/v1/exports/{name}.{kind}", _period(first, last), stream=True)
        try:
            with path.open("wb") as file:
                for chunk in answer.iter_bytes():
                    file.write(chunk)
        except httpx.TransportError as error:
            raise ClientError(0, type(error).__name__) from None
        finally:
            answer.close()
        version = answer.headers.get("Tailrace-Version")
        return int(version) if version else None

    def _get(self, model: type[_Answer], path: str, query: dict[str, str]) -> _Answer:
        return model.model_validate_json(self._ask(path, query).content)

    def _ask(self, path: str, query: dict[str, str], *, stream: bool = False) -> httpx.Response:
        for left in reversed(range(self._tries)):
            request = self._http.build_request(
                "GET", path, params=query, headers={"Authorization": f"Bearer {self._credential()}"}
            )
            try:
                answer = self._http.send(request, stream=stream)
            except httpx.TransportError as error:
                raise ClientError(0, type(error).__name__) from None
            if answer.is_success:
                return answer
            answer.read()
            answer.close()
            wait = _seconds(answer.headers.get("Retry-After"))
            if answer.status_code not in _BUSY or not left or wait > self._longest_wait:
                raise ClientError(answer.status_code, _detail(answer))
            self._sleep(wait)
        raise AssertionError("tries is less than 1")


def _period(first: date | None, last: date | None) -> dict[str, str]:
    return {name: day.isoformat() for name, day in (("from", first), ("to", last)) if day is not None}


def _seconds(retry_after: str | None) -> float:
    """The API tells seconds; whatever else stands in between may tell a date, or nothing."""
    return float(retry_after) if retry_after and retry_after.isdigit() else 1.0


def _detail(answer: httpx.Response) -> str:
    try:
        return models.Problem.model_validate_json(answer.content).detail
    except ValueError:
        return answer.reason_phrase
