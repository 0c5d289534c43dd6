"""The declarative connector format: one YAML file a source, loaded into typed objects.

A file says what is asked for and how its rows are placed; ``engine.py`` runs it. Docs: ``docs/connectors.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pii_policies import Contracts
from settings import TailraceError

DIRECTORY = Path(__file__).parents[1] / "connectors"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Retry(_Part):
    """How long a request is tried again; times in seconds."""

    attempts: int = Field(default=7, ge=0)
    connects: int = Field(default=4, ge=0)
    backoff_seconds: float = Field(default=0.5, ge=0)
    longest_wait_seconds: float = Field(default=60.0, gt=0)
    timeout_seconds: float = Field(default=60.0, gt=0)


class Window(_Part):
    """Query parameters that narrow a list to records made at certain times; ``field`` holds the time, in seconds."""

    field: str
    at_or_after: str
    at_or_before: str


class Paginator(_Part):
    """How a list goes on. ``keyset``: after the key of the last record; ``token``: with a token that the page gives.

    Paths are dotted and lead into the answer; ``…_param`` are query parameters.
    """

    kind: Literal["keyset", "token"]
    records: str
    """path of the list of records"""
    size: int = Field(default=100, ge=1)
    size_param: str | None = "limit"
    after_param: str
    before_param: str | None = None
    """keyset: the parameter that walks the other way, towards newer records"""
    more: str | None = None
    """keyset: path of the flag that says whether there are more"""
    next: str | None = None
    """token: path of the next page's token"""
    window: Window | None = None
    """what a record that breaks its page is passed by"""


class Cursor(_Part):
    """How changes are found after the first reading of the whole.

    ``feed``: the source tells them in a feed; ``created``: new records by their time, and those that ``unsettled``
    matches again; ``search``: by a stamp of modification; ``whole``: the stream is read whole in each run; ``own``: by
    code of the source; ``none``: its rows come with another stream's.
    """

    kind: Literal["feed", "created", "search", "whole", "own", "none"]
    field: str | None = None
    """the column that holds the stamp"""
    path: str | None = None
    """where to search, if not at the stream's own path"""
    overlap_minutes: int = Field(default=0, ge=0)
    unsettled: dict[str, str] = {}
    """column → value of rows that change until they have another one"""
    every_hours: int = Field(default=0, ge=0)
    """how often the stream is read, where each run would be too much"""


class Residency(_Part):
    """What decides the region of a record; without any of it the record is nobody's.

    ``states``: path of the region, on the stream whose records are the subjects; ``subject``: paths to the subject's
    id, the first that is there; ``via``: path to a reference → stream of the record that decides instead;
    ``everywhere``: every region's, unless a subject is named.
    """

    states: str | None = None
    subject: tuple[str, ...] = ()
    via: dict[str, str] = {}
    everywhere: bool = False


class Nested(_Part):
    """A list within a record whose members are rows of another stream.

    ``parent``: the member's column that takes the record's key. A list that goes on (the paginator's ``more``) is read
    to its end and completed in place. ``references``: members are ids, or objects where they were asked to be
    expanded; the record keeps ids, and members that are gone are told elsewhere.
    """

    stream: str
    at: str
    parent: str | None = None
    references: bool = False
    path: str | None = None
    """where the list is read on, with ``{key}`` for the record's key"""
    expand: tuple[str, ...] = ()


class Stream(_Part):
    """One raw table and how it is read. A stream without a ``path`` has no list of its own."""

    path: str | None = None
    key: str = "id"
    cursor: Cursor
    query: dict[str, str] = {}
    expand: tuple[str, ...] = ()
    """references to be asked for as objects"""
    object: str | None = None
    """what the source calls the type of its records, where it tells"""
    retrieve: bool = True
    """whether a record can be asked for by its key, at ``path/key``"""
    deletes: tuple[str, ...] = ()
    """events that tell that a record is gone"""
    residency: Residency = Residency()
    nested: tuple[Nested, ...] = ()
    omit: tuple[str, ...] = ()
    """fields that are known and not wanted: they neither land nor count as unclassified"""
    keeps: bool = False
    """whether rows stay when a list no longer shows them: what the source forgets stays true"""
    paginator: Paginator | None = None
    """where it is not the connector's"""
    properties: dict[str, Any] = {}
    """whatever else code of the source needs to know"""


class Feed(_Part):
    """A list of events, newest first, of which each holds the state of an object."""

    stream: str
    overlap_minutes: int = Field(default=60, ge=0)
    """how far each run looks back for events that came late"""


class Connector(_Part):
    """One source: how it is asked, and its streams in the order of their first reading."""

    name: str
    title: str
    auth: Literal["bearer"] = "bearer"
    headers: dict[str, str] = {}
    requests_per_second: float | None = Field(default=None, gt=0)
    parallelism: int = Field(default=1, ge=1, le=32)
    """lists that are read at once"""
    retry: Retry = Retry()
    paginator: Paginator
    expand_param: str = "expand[]"
    expand_prefix: str = "data."
    probe: str
    """a path that answers whenever the source does: tells a broken page from a broken source"""
    reconcile_hours: int = Field(default=168, ge=0)
    """how often everything is read whole and compared"""
    omit: tuple[str, ...] = ()
    """the same of every stream"""
    feed: Feed | None = None
    streams: dict[str, Stream]

    def pages_of(self, stream: str) -> Paginator:
        return self.streams[stream].paginator or self.paginator

    @property
    def listed(self) -> tuple[str, ...]:
        """The streams with a list of their own, in the file's order."""
        return tuple(name for name, stream in self.streams.items() if stream.path and stream.cursor.kind != "own")

    @cached_property
    def referred(self) -> frozenset[str]:
        """The streams whose records decide whose others are."""
        return frozenset(target for stream in self.streams.values() for target in stream.residency.via.values())

    @cached_property
    def _by_object(self) -> dict[str, str]:
        return {stream.object: name for name, stream in self.streams.items() if stream.object is not None}

    def stream_of(self, kind: str) -> str | None:
        """The stream whose records the source calls so."""
        return self._by_object.get(kind)

    def stating(self) -> str | None:
        """The stream whose records are the subjects that others belong to."""
        return next((name for name, stream in self.streams.items() if stream.residency.states), None)


def load_connector(name: str, contracts: Contracts, *, directory: Path = DIRECTORY) -> Connector:
    """The connector of ``<name>.yml``, checked against the contract of the same name.

    Raises TailraceError, one line naming file and key, for malformed YAML, an unknown key, a stream that the contract
    does not have or has under another key, and references to streams that are not there.
    """
    path = directory / f"{name}.yml"
    connector = _read(path)
    for place, problem in _problems(connector, contracts):
        raise TailraceError(f"{path.name}: {place}: {problem}")
    return connector


@lru_cache(maxsize=8)
def _read(path: Path) -> Connector:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise TailraceError(f"{path.name}: cannot be read; a connector is a file in {path.parent}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path.name}:{mark.line + 1}" if mark else path.name
        raise TailraceError(f"{where}: not valid YAML; mend that line") from None
    try:
        return Connector.model_validate(raw)
    except ValidationError as error:
        detail = error.errors()[0]
        key = ".".join(str(part) for part in detail["loc"])
        raise TailraceError(f"{path.name}: {key}: {detail['msg'].lower()}; mend that key") from None


def _problems(connector: Connector, contracts: Contracts) -> Iterator[tuple[str, str]]:
    streams = connector.streams
    if connector.name not in contracts.sources:
        yield "name", f"no contract is called {connector.name}; add {connector.name}.odcs.yaml"
        return
    tables = {table.name: table for table in contracts.raw_tables(connector.name)}
    for missing in sorted(set(tables) - set(streams)):
        yield "streams", f"nothing reads {missing} of the contract; add a stream"
    if sum(1 for stream in streams.values() if stream.residency.states) > 1:
        yield "streams", "two of them state regions; subjects are the records of one stream"
    for name, stream in streams.items():
        here = f"streams.{name}"
        if name not in tables:
            yield here, f"{connector.name}.odcs.yaml has no such table; classify it there first"
            continue
        if tables[name].key != (stream.key,):
            yield f"{here}.key", f"the contract's key is {', '.join(tables[name].key)}"
        if stream.path is None and stream.cursor.kind not in ("none", "own", "feed"):
            yield f"{here}.path", f"a cursor of kind {stream.cursor.kind} reads a list; name its path"
        if stream.cursor.kind in ("created", "search") and stream.cursor.field is None:
            yield f"{here}.cursor.field", f"a cursor of kind {stream.cursor.kind} goes by a column; name it"
        if stream.cursor.kind == "feed" and connector.feed is None:
            yield f"{here}.cursor", "the connector has no feed"
        if stream.cursor.kind == "created" and connector.pages_of(name).window is None:
            yield f"{here}.cursor", "the paginator has no window to ask for new records by"
        for target in [*stream.residency.via.values(), *(nested.stream for nested in stream.nested)]:
            if target not in streams:
                yield here, f"there is no stream {target}"
        for nested in stream.nested:
            if nested.parent is not None and nested.stream in tables:
                landed = {column.name for column in tables[nested.stream].landed}
                if nested.parent not in landed:
                    yield f"{here}.nested", f"the contract's {nested.stream} has no column {nested.parent}"
    if connector.feed is not None and connector.feed.stream not in streams:
        yield "feed.stream", f"there is no stream {connector.feed.stream}"


def reach(record: Mapping[str, Any], path: str) -> Any:
    """The member of a record at a dotted path; None where the path ends early."""
    value: Any = record
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def reference(value: Any, key: str = "id") -> str | None:
    """A reference as an id, whether or not the source expanded it."""
    found = value.get(key) if isinstance(value, Mapping) else value
    return found if isinstance(found, str) and found else None
