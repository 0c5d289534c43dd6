"""The connection to ClickHouse: a server over HTTP, or the engine embedded in this process."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from settings import ClickHouse, TailraceError

_REFUSED = re.compile(r"\(([A-Z][A-Z0-9_]+)\)")
_REMEDIES = {
    "AUTHENTICATION_FAILED": "check serving.clickhouse.user and the variable that password_env names",
    "ACCESS_DENIED": "grant what `tailrace clickhouse access` prints",
    "UNKNOWN_TABLE": "`tailrace publish` makes it",
    "UNKNOWN_DATABASE": "`tailrace publish` makes it",
    "NOT_ENOUGH_SPACE": "free space and run again; the version that stood still does",
    "MEMORY_LIMIT_EXCEEDED": "give ClickHouse more memory, or ask for a shorter time",
    "TIMEOUT_EXCEEDED": "ask for a shorter time",
    "QUOTA_EXCEEDED": "wait, or raise the quota",
}


class Store:
    """One ClickHouse. Statements name the database of every table; values are bound. Raises TailraceError."""

    def __init__(self, client: Any, where: str, *, server: bool) -> None:
        self._client = client
        self._where = where
        self.server = server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def run(self, statement: str, settings: Mapping[str, Any] | None = None) -> None:
        """A statement that answers nothing."""
        with self._explained():
            self._client.command(statement, settings=dict(settings or {}))

    def rows(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        """A query's rows; ``{name:Type}`` in it is bound by the server."""
        with self._explained():
            answer = self._client.query(query, parameters=dict(parameters or {}), settings=dict(settings or {}))
        return [tuple(row) for row in answer.result_rows]

    def arrow(self, query: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """The same, as Arrow."""
        with self._explained():
            return self._client.query_arrow(query, parameters=dict(parameters or {}), use_strings=True)

    def insert(self, table: str, rows: pa.Table) -> None:
        """Append rows, by the names of their columns. ``table`` is quoted."""
        with self._explained():
            self._client.insert_arrow(table, rows, settings={"max_partitions_per_insert_block": 0, "async_insert": 0})

    @contextmanager
    def _explained(self) -> Iterator[None]:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        try:
            yield
        except ClickHouseError as error:
            raise TailraceError(self._problem(error)) from None

    def _problem(self, error: Exception) -> str:
        """One line, without ClickHouse's own text: it may quote values."""
        text = str(error)
        codes = [each for each in _REFUSED.findall(text) if each in _REMEDIES] or _REFUSED.findall(text)
        if codes:
            return f"{self._where}: refused with {codes[-1]}; {_REMEDIES.get(codes[-1], 'its log says more')}"
        return f"{self._where}: {type(error).__name__}; check that it runs and that serving.clickhouse points to it"


def connect(section: ClickHouse, *, options: Mapping[str, str] | None = None) -> Store:
    """Open ``serving.clickhouse``; use it in a ``with``. ``options`` are the embedded engine's own.

    Raises TailraceError when it cannot be reached, refuses the credential, or what it takes is not installed.
    """
    try:
        import clickhouse_connect
        from clickhouse_connect.driver.exceptions import ClickHouseError
    except ImportError:
        raise TailraceError(
            "serving.clickhouse: clickhouse-connect is not installed; pip install 'tailrace[clickhouse]'"
        ) from None
    where = f"ClickHouse {section.host or section.path}"
    try:
        if section.path is not None:
            Path(section.path).mkdir(parents=True, exist_ok=True, mode=0o700)
            client = clickhouse_connect.get_client(
                interface="chdb", path=section.path, chdb_options=dict(options or {})
            )
        else:
            client = clickhouse_connect.get_client(
                host=section.host,
                port=section.port or (8443 if section.secure else 8123),
                username=section.user,
                password=section.password(),
                secure=section.secure,
                interface="https" if section.secure else "http",
                # Each statement stands alone; without a session, several go at once.
                autogenerate_session_id=False,
                connect_timeout=10,
                send_receive_timeout=600,
            )
    except ImportError:
        raise TailraceError(
            "serving.clickhouse.path: chdb is not installed; pip install 'tailrace[clickhouse]', or name a host"
        ) from None
    except OSError as error:
        raise TailraceError(f"{where}: cannot be written ({error.strerror}); mend serving.clickhouse.path") from None
    except ClickHouseError as error:
        raise TailraceError(_unreachable(where, error)) from None
    return Store(client, where, server=section.host is not None)


def _unreachable(where: str, error: Exception) -> str:
    text = str(error).lower()
    if "authentication" in text or "password" in text:
        return f"{where}: {_REMEDIES['AUTHENTICATION_FAILED']}"
    if "lock" in text or "another" in text or "already" in text:
        return f"{where}: another process has it open, or this one has another path open; wait for it and run again"
    return f"{where}: not reachable; start it or mend serving.clickhouse in tailrace.yml"
