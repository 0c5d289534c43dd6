"""Lists a page at a time, as a connector's paginator says; a record that breaks its page is passed and told.

A page is narrowed when the API keeps failing at it although it answers otherwise: halved, down to the record at fault,
which is passed by the second in which it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ingestion.rest.client import ApiError, Json, RestClient, UnreadableError
from ingestion.rest.connector import Connector, Paginator, reach

_LATEST = 2**32
"""Unix seconds that no record was made after"""


@dataclass(frozen=True)
class Page:
    """Records, and the ``after`` of the next page: None when there is none.

    ``passed``: seconds (Unix) of records that were left out because no page can be made of them.
    """

    records: list[Json]
    after: str | None
    passed: list[int] = field(default_factory=list)


class Lists:
    """The lists of one connector. Safe for several threads, as the client is."""

    def __init__(self, client: RestClient, connector: Connector) -> None:
        self._client = client
        self._connector = connector

    def page(self, stream: str, *, after: str | None = None, query: Sequence[tuple[str, str]] = ()) -> Page:
        """The page after ``after``, whatever it takes; ``query`` narrows the list beyond the stream's own.

        Where the record that a page was to start after is gone, the list starts anew: landing twice does no harm.
        Raises ApiError, or UnreadableError when the source answers nothing at all.
        """
        how = self._connector.pages_of(stream)
        try:
            return self._ask(stream, after, how.size, query)
        except UnreadableError:
            self.check()
            if how.kind != "keyset" or how.window is None:
                raise
            return self._narrowed(stream, how, after, query)
        except ApiError as error:
            if after is None or not error.is_missing or how.kind != "keyset":
                raise
            return self._ask(stream, None, how.size, query)

    def check(self) -> None:
        """Whether the source answers at all. Raises what is to be told if it does not."""
        self._client.get(*_split(self._connector.probe))

    def walk(self, stream: str, *, after: str | None = None, query: Sequence[tuple[str, str]] = ()) -> Iterator[Page]:
        """Every page from ``after`` on; nothing where the list is empty."""
        while True:
            page = self.page(stream, after=after, query=query)
            if page.records or page.passed:
                yield page
            if page.after is None:
                return
            after = page.after

    def try_once(self, stream: str, query: Sequence[tuple[str, str]]) -> list[Json]:
        """A first page without much patience, for what failed before. Raises UnreadableError."""
        return self._ask(stream, None, self._connector.pages_of(stream).size, query, hasty=True).records

    def newer(self, stream: str, before: str) -> Page:
        """The records next newer than ``before``, newest first; ``after`` is where to go on towards newer ones.

        Where one breaks its page, the next page begins behind it.
        """
        try:
            return self._newer(stream, before, self._connector.pages_of(stream).size)
        except UnreadableError:
            self.check()
            how = self._connector.pages_of(stream)
            if how.window is None:
                raise
        size = how.size // 2
        while size:
            try:
                return self._newer(stream, before, size, hasty=True)
            except UnreadableError:
                size //= 2
        window = how.window
        second = _first_broken(
            lambda second: self._newer(stream, before, 1, [(window.at_or_before, str(second))], hasty=True)
        )
        oldest = None
        for page in self.walk(stream, query=[(window.at_or_after, str(second + 1))]):
            oldest = page.records[-1] if page.records else oldest
        if oldest is None:
            return Page([], None, passed=[second])
        return Page([oldest], str(oldest[self._connector.streams[stream].key]), passed=[second])

    def _newer(
        self, stream: str, before: str, size: int, query: Sequence[tuple[str, str]] = (), *, hasty: bool = False
    ) -> Page:
        how = self._connector.pages_of(stream)
        assert how.before_param is not None
        asked = [*_size(how, size), *self._query(stream), *query, (how.before_param, before)]
        answer = self._client.get(self._path(stream), asked, hasty=hasty)
        records = list(reach(answer, how.records) or [])
        more = bool(reach(answer, how.more or "")) and bool(records)
        return Page(records, str(records[0][self._connector.streams[stream].key]) if more else None)

    def one(self, stream: str, key: str) -> Json | None:
        """A record by its key, in the shape that the list shows it; None when it is gone."""
        spec, connector = self._connector.streams[stream], self._connector
        expand = [(connector.expand_param, name) for name in spec.expand]
        try:
            found = self._client.get(f"{self._path(stream)}/{key}", expand)
        except ApiError as error:
            if error.is_missing:
                return None
            raise
        return None if found.get("deleted") is True else found

    def rest_of(self, path: str, after: str | None, expand: Sequence[str] = ()) -> Iterator[list[Json]]:
        """What a list at ``path`` holds after the record ``after``."""
        how = self._connector.paginator
        path, own = _split(path)
        more = True
        while more:
            query = [*own, *_size(how, how.size), *((self._connector.expand_param, name) for name in expand)]
            if after is not None:
                query.append((how.after_param, after))
            answer = self._client.get(path, query)
            records = list(reach(answer, how.records) or [])
            if not records:
                return
            yield records
            after, more = str(records[-1]["id"]), bool(reach(answer, how.more or ""))

    def _ask(
        self, stream: str, after: str | None, size: int, query: Sequence[tuple[str, str]], *, hasty: bool = False
    ) -> Page:
        how, spec = self._connector.pages_of(stream), self._connector.streams[stream]
        named = any(name == how.size_param for name, _ in query)
        asked = [*([] if named else _size(how, size)), *self._query(stream), *query]
        if after is not None:
            asked.append((how.after_param, after))
        answer = self._client.get(self._path(stream), asked, hasty=hasty)
        records = reach(answer, how.records)
        if not isinstance(records, list):
            raise UnreadableError(
                f"{self._connector.title}: the list of {stream} has no {how.records}; check its url in tailrace.yml",
                status=200,
                code="",
            )
        if how.kind == "token":
            token = reach(answer, how.next or "")
            return Page(records, None if token is None else str(token))
        more = bool(reach(answer, how.more or ""))
        return Page(records, str(records[-1][spec.key]) if more and records else None)

    def _narrowed(self, stream: str, how: Paginator, after: str | None, query: Sequence[tuple[str, str]]) -> Page:
        """Smaller and smaller pages; if even the next record cannot be had, the first page behind it."""
        size = how.size // 2
        while size:
            try:
                return self._ask(stream, after, size, query, hasty=True)
            except UnreadableError:
                size //= 2
        assert how.window is not None
        window = how.window
        # There is no record between ``after`` and the one at fault: a window from any later second on is empty.
        second = _LATEST - _first_broken(
            lambda back: self._ask(stream, after, 1, [*query, (window.at_or_after, str(_LATEST - back))], hasty=True)
        )
        page = self.page(stream, query=[*query, (window.at_or_before, str(second - 1))])
        return replace(page, passed=[second, *page.passed])

    def _path(self, stream: str) -> str:
        path = self._connector.streams[stream].path
        assert path is not None
        return path

    def _query(self, stream: str) -> list[tuple[str, str]]:
        spec, connector = self._connector.streams[stream], self._connector
        expand = [(connector.expand_param, connector.expand_prefix + name) for name in spec.expand]
        return [*spec.query.items(), *expand]


def _first_broken(ask: Callable[[int], object]) -> int:
    """The least number from which on ``ask`` cannot be answered."""
    good, broken = 0, _LATEST
    while broken - good > 1:
        middle = (good + broken) // 2
        try:
            ask(middle)
            good = middle
        except UnreadableError:
            broken = middle
    return broken


def _size(how: Paginator, size: int) -> list[tuple[str, str]]:
    return [(how.size_param, str(size))] if how.size_param else []


def _split(path: str) -> tuple[str, list[tuple[str, str]]]:
    head, _, query = path.partition("?")
    pairs: list[Any] = [part.partition("=") for part in query.split("&") if part]
    return head, [(name, value) for name, _, value in pairs]
