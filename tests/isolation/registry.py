"""What an attempt is, where attempts are registered, and what they are given to work with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx
import psycopg

from tests.isolation.world import APP, READER, World

Channel = Literal["sql", "pooler", "api", "files", "dashboard"]
ROLES = (READER, APP)
_DIAGNOSTICS = (
    "severity",
    "sqlstate",
    "message_primary",
    "message_detail",
    "message_hint",
    "context",
    "schema_name",
    "table_name",
    "column_name",
    "datatype_name",
    "constraint_name",
    "internal_query",
)
_TEMPORARY = re.compile(r"pg_temp_\d+")
_STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d(?::?\d\d)?)?")


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """``limit`` names the section of docs/isolation.md that admits what this attempt learns."""

    name: str
    channel: Channel
    run: Callable[[Attack], None]
    limit: str = ""


ATTEMPTS: list[Attempt] = []


def attempt(channel: Channel, name: str, *, limit: str = "") -> Callable[[Callable[[Attack], None]], Any]:
    """Register a function as an attempt; SQL attempts run once as the reader and once as the product's own role."""

    def register(run: Callable[[Attack], None]) -> Callable[[Attack], None]:
        assert name not in {each.name for each in ATTEMPTS}, name
        ATTEMPTS.append(Attempt(name=name, channel=channel, run=run, limit=limit))
        return run

    return register


@dataclass
class Attack:
    """One attempt in one world. Every byte that comes back is kept in ``evidence``, looked at or not."""

    world: World
    role: str = READER
    evidence: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    accusations: list[str] = field(default_factory=list)
    glimpses: list[str] = field(default_factory=list)

    def accuse(self, what: str) -> None:
        """Say outright what was learnt, where no mark can show it."""
        self.accusations.append(what)

    def know(self, value: str) -> str:
        """Something that the attacker knows beforehand: seeing it again is no news."""
        self.known.add(value)
        return value

    def glimpse(self, *values: object) -> None:
        """Keep something that is searched for marks, and whose words depend on what the attacker had stolen before."""
        self.glimpses.append(" ".join(map(_text, values)))

    @property
    def other(self) -> str:
        """The id of the tenant that is attacked, known to the attacker."""
        return self.know(self.world.named.id)

    def note(self, *values: object) -> None:
        """Keep something that an attempt learnt."""
        self.evidence.append(" ".join(map(_text, values)))

    @contextmanager
    def session(
        self, *, tenant: str | None = "own", role: str | None = None, database: str | None = None, pooled: bool = False
    ) -> Iterator[Session]:
        """A connection with the attacker's tenant set for the session, as a careless client would; None: not set."""
        role = role or self.role
        database = database or self.world.product.shared
        if pooled:
            assert self.world.pooler is not None
            dsn = self.world.pooler.dsn(database, role)
        else:
            dsn = self.world.product.server.dsn(database, role=role)
        with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
            opened = Session(self, connection)
            connection.add_notice_handler(opened.heard)
            if tenant is not None:
                opened.be(self.world.own.id if tenant == "own" else tenant)
            yield opened

    def get(self, path: str, *, method: str = "GET", **options: Any) -> httpx.Response:
        """A request over HTTP; status, headers and body are evidence."""
        self.world.client.cookies.clear()
        try:
            answer = self.world.client.request(method, self.world.url + path, **options)
        except (httpx.LocalProtocolError, httpx.InvalidURL):  # what the client will not even send
            answer = httpx.Response(400, content=b"not sent")
        self.answered(answer.status_code, answer.headers, answer.content)
        return answer

    def answered(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Keep an answer; how much of a rate limit is left depends on the clock, not on other tenants."""
        kept = sorted((name, value) for name, value in headers.items() if not _varies(name))
        self.note(status, kept, body)


class Session:
    """A connection whose every answer, error and notice is evidence."""

    def __init__(self, attack: Attack, connection: psycopg.Connection[Any]) -> None:
        self._attack = attack
        self.connection = connection

    def be(self, tenant: str) -> None:
        """Set the tenant for the session."""
        self.ask("select set_config('app.current_tenant_id', %s, false)", [tenant])

    def ask(self, query: Any, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Rows, in no order; an error is evidence too, and no rows."""
        try:
            cursor = self.connection.execute(query, parameters)
            rows = cursor.fetchall() if cursor.description else []
            while cursor.nextset():
                rows += cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            self._attack.note(
                "error", *(getattr(error.diag, each) for each in _DIAGNOSTICS), error.diag.sqlstate or error
            )
            return []
        names = [column.name for column in cursor.description or ()]
        self._attack.note(cursor.statusmessage, names, sorted(map(_text, rows)))
        return rows

    def quietly(self, query: Any, parameters: Any = None) -> list[tuple[Any, ...]]:
        """The same for preparations, and for rows that the attempt narrows down itself."""
        kept = list(self._attack.evidence)
        try:
            return self.ask(query, parameters)
        finally:
            self._attack.evidence[:] = kept

    def copy_out(self, query: Any) -> None:
        """What COPY … TO STDOUT gives."""
        try:
            with self.connection.cursor().copy(query) as copy:
                self._attack.note(b"".join(bytes(part) for part in copy))
        except psycopg.Error as error:
            self._attack.note("error", *(getattr(error.diag, each) for each in _DIAGNOSTICS))

    def copy_in(self, query: Any, content: bytes) -> None:
        """COPY … FROM STDIN."""
        try:
            with self.connection.cursor().copy(query) as copy:
                copy.write(content)
        except psycopg.Error as error:
            self._attack.note("error", *(getattr(error.diag, each) for each in _DIAGNOSTICS))

    def heard(self, notice: psycopg.errors.Diagnostic) -> None:
        self._attack.note("notice", *(getattr(notice, each) for each in _DIAGNOSTICS))

    def relations(self) -> list[tuple[str, str, str]]:
        """(schema, name, kind) of every relation outside the system's schemas that this role may read at all."""
        return [
            (str(schema), str(name), str(kind))
            for schema, name, kind in self.quietly(
                """
                select nspname, relname, relkind from pg_class join pg_namespace on pg_namespace.oid = relnamespace
                where nspname not in ('pg_catalog', 'information_schema') and nspname !~ '^pg_(toast|temp)'
                    and relkind in ('r', 'p', 'v', 'm', 'f') and has_schema_privilege(pg_namespace.oid, 'usage')
                    and has_any_column_privilege(pg_class.oid, 'select')
                order by 1, 2
                """
            )
        ]

    def columns(self, schema: str, name: str) -> list[str]:
        """The columns of a relation that this role may read."""
        rows = self.quietly(
            """
            select attname from pg_attribute
            where attrelid = to_regclass(quote_ident(%s) || '.' || quote_ident(%s)) and attnum > 0 and not attisdropped
                and has_column_privilege(attrelid, attnum, 'select')
            order by attnum
            """,
            [schema, name],
        )
        return [str(row[0]) for row in rows]

    def rollups(self) -> list[str]:
        """The qualified, quoted names of what this role can read in the published schema and has a tenant."""
        return [
            f'"{schema}"."{name}"'
            for schema, name, _ in self.relations()
            if "tenant_id" in self.columns(schema, name) and schema != "app"
        ]


def _varies(header: str) -> bool:
    # A body that holds a time is now and then a digit longer, and has another tag; the body itself is compared.
    own = ("date", "x-request-id", "retry-after", "content-length", "etag")
    return header.lower() in own or "ratelimit" in header.lower()


def _text(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", errors="backslashreplace")
    if isinstance(value, tuple | list):
        return "(" + ", ".join(map(_text, value)) + ")"
    if isinstance(value, dict):
        return _text(sorted(value.items(), key=str))
    return str(value)


def settled(line: str, world: World) -> str:
    """The line without what differs between any two servers: ports, folders, time of day, numbers of sessions."""
    for each in (world.url, str(world.product.server.directory), str(world.product.directory)):
        line = line.replace(each, "…") if each else line
    for each in world.namespaces:
        line = line.replace(each, "<namespace>")
    line = _TEMPORARY.sub("pg_temp", line)
    return _STAMP.sub(lambda found: "<now>" if _recent(found[0]) else found[0], line)


def _recent(stamp: str) -> bool:
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return False
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return abs(datetime.now(UTC) - moment) < timedelta(days=1)
