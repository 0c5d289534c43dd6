"""What is in a portal: records with their history, associations, owners, pipelines, and an index that may lag.

Writes belong in a transaction. Every write takes a stamp of its own, and stamps never go back, unless the clock of one
request is off by ``skew``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from demo.sandbox.hubspot_objects import ASSOCIATIONS, PIPELINES, PRIMARY, READ_ONLY, TYPES
from demo.sandbox.store import Json, State, dumps

SCHEMA = """
create table if not exists records (
    id integer primary key autoincrement,
    kind text not null,
    created integer not null,
    modified integer not null,
    archived integer,
    survivor integer,
    properties text not null,
    history text not null,
    seen_modified integer,
    seen_properties text,
    written integer
);
create index if not exists records_by_kind on records (kind, id) where survivor is null;
create index if not exists records_by_stamp on records (kind, seen_modified, id) where seen_modified is not null;
create index if not exists records_unseen on records (written) where written is not null;
create index if not exists records_merged on records (survivor) where survivor is not null;
create index if not exists contacts_by_email on records (json_extract(properties, '$.email'))
    where kind = 'contacts' and archived is null;
create table if not exists associations (
    from_kind text not null,
    from_id integer not null,
    to_kind text not null,
    to_id integer not null,
    type_id integer not null,
    primary key (from_kind, from_id, to_kind, to_id, type_id)
) without rowid;
create table if not exists owners (id integer primary key, body text not null, archived integer not null);
create table if not exists pipelines (kind text not null, id text not null, body text not null, primary key (kind, id));
create table if not exists properties (kind text not null, name text not null, type text not null,
    primary key (kind, name)) without rowid
"""
FIRST_ID = 10_001
ARCHIVE_DAYS = 90
PORTAL_MADE = 1_577_836_800_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = "id, kind, created, modified, archived, properties, history"


class HubSpotError(Exception):
    """An error answer."""

    def __init__(self, message: str, *, status: int = 400, category: str = "VALIDATION_ERROR") -> None:
        super().__init__(category)
        self.status = status
        self.body = dumps(
            {
                "status": "error",
                "message": message,
                "correlationId": "00000000-0000-4000-8000-000000000000",
                "category": category,
            }
        )


@dataclass(frozen=True, slots=True)
class Record:
    id: int
    kind: str
    created: int
    modified: int
    archived: int | None
    properties: str
    history: str


class Store:
    """One portal's state file."""

    def __init__(self, path: Path) -> None:
        self._state = State(path, kind="hubspot", schema=SCHEMA)
        self._execute = self._state.connection.execute
        self.skew = 0
        """ms by which the clock of the present request is off"""
        self.lag = 0
        """ms after which a search sees a write"""
        self.types = {kind: dict(type_.types) | dict(self._execute(_CUSTOM, [kind])) for kind, type_ in TYPES.items()}
        with self.transaction():
            if self._execute("select 1 from pipelines").fetchone() is None:
                for kind, body in PIPELINES.items():
                    self.put_pipeline(kind, body, at=PORTAL_MADE)

    def close(self) -> None:
        self._state.close()

    def transaction(self) -> AbstractContextManager[None]:
        return self._state.transaction()

    # the clock

    def now(self) -> int:
        """ms since 1970."""
        frozen = self._state.meta("now")
        return (int(frozen) if frozen is not None else time.time_ns() // 1_000_000) + self.skew

    def set_now(self, moment: int) -> None:
        self._state.set_meta("now", moment)

    def stamp(self) -> int:
        """The time of a write: the clock's, or just after the last write if that is later."""
        if self.skew:
            return self.now()
        stamp = max(self.now(), (self._state.meta("last_stamp") or 0) + 1)
        self._state.set_meta("last_stamp", stamp)
        return stamp

    # reading records

    def find(self, kind: str, identifier: int, *, archived: bool = False) -> Record | None:
        """A record by its id, or by that of one that was merged into it."""
        row = self._execute(
            f"select {_COLUMNS} from records where kind = ? and (archived is not null) = ? and survivor is null"  # noqa: S608
            " and id = coalesce((select survivor from records where id = ?), ?)",
            [kind, archived, identifier, identifier],
        ).fetchone()
        return None if row is None else Record(*row)

    def get(self, kind: str, identifier: int, *, archived: bool = False) -> Record:
        found = self.find(kind, identifier, archived=archived)
        if found is None:
            raise HubSpotError("resource not found", status=404, category="OBJECT_NOT_FOUND")
        return found

    def page(self, kind: str, *, after: int, archived: bool, limit: int) -> list[Record]:
        """The first records after an id, in the order of their ids."""
        rows = self._execute(
            f"select {_COLUMNS} from records where kind = ? and survivor is null and id > ?"  # noqa: S608
            " and (archived is not null) = ? order by id limit ?",
            [kind, after, archived, limit],
        )
        return [Record(*row) for row in rows]

    def search(
        self, kind: str, where: str, values: Sequence[Any], *, order: str, limit: int, offset: int
    ) -> tuple[list[Record], int]:
        """A page of the records that the index shows, as it shows them, and how many they are in all."""
        with self.transaction():
            self._index()
        chosen = f"from records where kind = ? and seen_modified is not null and ({where})"
        columns = "id, kind, created, seen_modified, null, coalesce(seen_properties, properties), '{}'"
        sql = f"select {columns} {chosen} order by {order} limit ? offset ?"
        rows = [Record(*row) for row in self._execute(sql, [kind, *values, limit, offset])]
        if offset == 0 and len(rows) < limit:
            return rows, len(rows)
        total = self._execute(f"select count(*) {chosen}", [kind, *values]).fetchone()[0]
        return rows, total

    def _index(self) -> None:
        """Let the index see what was written longer ago than it lags; the caller holds the transaction."""
        upto = self.now() - self.skew - self.lag if self.lag else 1 << 62
        self._execute(
            "update records set written = null, seen_properties = null,"
            " seen_modified = case when archived is null and survivor is null then modified end"
            " where written is not null and written <= ?",
            [upto],
        )

    # writing records

    def create(self, kind: str, properties: Json, *, stamp: int) -> Record:
        properties = {name: value for name, value in properties.items() if value is not None}
        self._unique_email(kind, properties, owner=None)
        first = self._execute("select 1 from records limit 1").fetchone() is None
        history = {name: [[value, stamp]] for name, value in properties.items()}
        row = self._execute(
            "insert into records (id, kind, created, modified, properties, history, written)"
            " values (?, ?, ?, ?, ?, ?, ?) returning id",
            [FIRST_ID if first else None, kind, stamp, stamp, dumps(properties), dumps(history), self._written()],
        ).fetchone()
        self._follow_company(kind, row[0], properties)
        return self.get(kind, row[0])

    def update(self, record: Record, changes: Json, *, stamp: int) -> Record:
        self._unique_email(record.kind, changes, owner=record.id)
        before = json.loads(record.properties)
        merged = {name: value for name, value in (before | changes).items() if value is not None}
        history = json.loads(record.history)
        for name, value in changes.items():
            if before.get(name) != value:
                versions = [[value or "", stamp], *history.get(name, [])]
                history[name] = versions[: TYPES[record.kind].versions]
        self._write(record.id, stamp=stamp, properties=dumps(merged), history=dumps(history))
        self._follow_company(record.kind, record.id, changes)
        return self.get(record.kind, record.id)

    def archive(self, kind: str, identifier: int, *, stamp: int) -> None:
        if (record := self.find(kind, identifier)) is not None:
            self._write(record.id, archived=stamp)

    def restore(self, identifier: int, *, stamp: int) -> None:
        """Out of the archive again."""
        self._write(identifier, archived=None, modified=stamp)

    def purge(self, *, kind: str | None = None, identifier: int | None = None) -> int:
        """Forget a record, or what has been in the archive too long; how many."""
        if identifier is not None:
            gone = self._execute("delete from records where id = ? and kind = ?", [identifier, kind])
        else:
            before = self.now() - ARCHIVE_DAYS * 86_400_000
            gone = self._execute("delete from records where archived is not null and archived <= ?", [before])
        return int(gone.rowcount)

    def merge(self, kind: str, primary: int, other: int, *, stamp: int) -> Record:
        """A new record of two: the primary's values go before the other's, and both their ids lead to it."""
        first, second = self.get(kind, primary), self.get(kind, other)
        if first.id == second.id or not TYPES[kind].mergeable:
            raise HubSpotError("These records cannot be merged.")
        held = json.loads(second.properties) | json.loads(first.properties)
        gone = self._execute("select id from records where survivor in (?, ?)", [first.id, second.id]).fetchall()
        ids = [first.id, second.id, *(key for (key,) in gone)]
        held["hs_merged_object_ids"] = ";".join(str(key) for key in sorted(ids))
        self._write(second.id, archived=stamp)  # both give up what has to be unique
        self._write(first.id, archived=stamp)
        made = self.create(kind, held, stamp=stamp)
        histories = [json.loads(first.history), json.loads(second.history)]
        history = {
            name: sorted((each for old in histories for each in old.get(name, [])), key=lambda each: -each[1])
            for name in {**histories[1], **histories[0]}
        }
        history["hs_merged_object_ids"] = [[held["hs_merged_object_ids"], stamp]]
        self._write(made.id, history=dumps(history))
        for key in ids:
            self._write(key, survivor=made.id, archived=None)
            self._inherit(kind, key, made.id, stamp)
        return self.get(kind, made.id)

    def _inherit(self, kind: str, old: int, new: int, stamp: int) -> None:
        """What hung on one record hangs on another."""
        rows = self._execute(
            "select to_kind, to_id, type_id from associations where from_kind = ? and from_id = ?", [kind, old]
        ).fetchall()
        for to_kind, to_id, type_id in rows:
            self.dissociate(kind, old, to_kind, to_id)
            self.associate(kind, new, to_kind, to_id, [type_id])
            link = TYPES[to_kind].company
            neighbour = self.find(to_kind, to_id) if kind == "companies" and link else None
            if neighbour is not None and link and json.loads(neighbour.properties).get(link) == str(old):
                self.update(neighbour, {link: str(new)}, stamp=stamp)

    def _write(self, identifier: int, *, stamp: int | None = None, **columns: Any) -> None:
        if self.lag:
            self._index()
        if stamp is not None:
            columns["modified"] = stamp
        columns["written"] = self._written()
        sets = ", ".join(f"{name} = ?" for name in columns)
        self._execute(
            f"update records set seen_properties = coalesce(seen_properties, properties), {sets} where id = ?",  # noqa: S608
            [*columns.values(), identifier],
        )

    def _written(self) -> int:
        return self.now() - self.skew

    def _unique_email(self, kind: str, properties: Mapping[str, Any], *, owner: int | None) -> None:
        if kind != "contacts" or not properties.get("email"):
            return
        found = self._execute(
            "select id from records where kind = 'contacts' and archived is null and survivor is null"
            " and json_extract(properties, '$.email') = ? and id is not ?",
            [properties["email"], owner],
        ).fetchone()
        if found is not None:
            raise HubSpotError(f"Contact already exists. Existing ID: {found[0]}", status=409, category="CONFLICT")

    def _follow_company(self, kind: str, identifier: int, changes: Mapping[str, Any]) -> None:
        """The property that names the primary company and the primary association are the same thing."""
        link = TYPES[kind].company
        if link is None or link not in changes:
            return
        primary = ASSOCIATIONS[(kind, "companies")][0]
        for other, types in self.associated(kind, identifier, "companies", hidden=True):
            if primary in types:
                self.dissociate(kind, identifier, "companies", other)
        company = self.find("companies", int(changes[link])) if changes[link] else None
        if company is not None and primary is not None:
            self.associate(kind, identifier, "companies", company.id, [primary])

    # associations

    def associate(self, kind: str, identifier: int, to_kind: str, other: int, types: Iterable[int]) -> None:
        """Tie two records by types of association, seen from both sides; a primary one is a plain one, too."""
        plain = ASSOCIATIONS[(kind, to_kind)][1], ASSOCIATIONS[(to_kind, kind)][1]
        pairs = {plain, *((each, PRIMARY[each]) for each in types if each in PRIMARY)}
        for there, back in pairs:
            self._execute(
                "insert or ignore into associations values (?, ?, ?, ?, ?), (?, ?, ?, ?, ?)",
                [kind, identifier, to_kind, other, there, to_kind, other, kind, identifier, back],
            )

    def dissociate(self, kind: str, identifier: int, to_kind: str, other: int) -> None:
        for one in ((kind, identifier, to_kind, other), (to_kind, other, kind, identifier)):
            self._execute(
                "delete from associations where from_kind = ? and from_id = ? and to_kind = ? and to_id = ?", one
            )

    def associated(
        self, kind: str, identifier: int, to_kind: str, *, hidden: bool = False
    ) -> Iterator[tuple[int, list[int]]]:
        """Records that one is tied to, by their ids, with the types; archived ones only if ``hidden``."""
        rows = self._execute(
            "select a.to_id, json_group_array(a.type_id) from associations a join records r on r.id = a.to_id"
            " where a.from_kind = ? and a.from_id = ? and a.to_kind = ? and (? or r.archived is null)"
            " group by a.to_id order by a.to_id",
            [kind, identifier, to_kind, hidden],
        ).fetchall()
        for other, types in rows:
            yield other, sorted(json.loads(types))

    # owners, pipelines, properties

    def owners(self, *, archived: bool, after: int, limit: int) -> list[Json]:
        rows = self._execute(
            "select body from owners where archived = ? and id > ? order by id limit ?", [archived, after, limit]
        )
        return [json.loads(body) for (body,) in rows]

    def owner(self, identifier: int) -> Json | None:
        row = self._execute("select body from owners where id = ?", [identifier]).fetchone()
        return None if row is None else json.loads(row[0])

    def put_owner(self, body: Json) -> Json:
        """Make or change an owner; the real one does so when a user of the portal is made."""
        moment = iso(self.now())
        number = int(body.get("id") or 600 + self._execute("select count(*) from owners").fetchone()[0])
        made = {"type": "PERSON", "userId": number + 1000, "createdAt": moment, "teams": [], "archived": False}
        made |= (self.owner(number) or {}) | body | {"id": str(number), "updatedAt": moment}
        self._execute("insert or replace into owners values (?, ?, ?)", [number, dumps(made), bool(made["archived"])])
        return made

    def pipelines(self, kind: str) -> list[Json]:
        rows = self._execute("select body from pipelines where kind = ? order by id", [kind])
        return [json.loads(body) for (body,) in rows]

    def put_pipeline(self, kind: str, body: Json, *, at: int | None = None) -> Json:
        moment = iso(self.now() if at is None else at)
        made: Json = {"displayOrder": 0, "archived": False, "createdAt": moment} | body | {"updatedAt": moment}
        stamps = {"createdAt": moment, "updatedAt": moment, "archived": False}
        made["stages"] = [stamps | stage for stage in body.get("stages", [])]
        for order, stage in enumerate(made["stages"]):
            stage.setdefault("id", f"{made.get('id', 'p')}-{order}")
        made.setdefault("id", str(1000 + len(self.pipelines(kind))))
        self._execute("insert or replace into pipelines values (?, ?, ?)", [kind, made["id"], dumps(made)])
        return made

    def drop_pipeline(self, kind: str, identifier: str) -> None:
        self._execute("delete from pipelines where kind = ? and id = ?", [kind, identifier])

    def put_property(self, kind: str, name: str, type_: str) -> None:
        """A property of the portal's own."""
        self._execute("insert or replace into properties values (?, ?, ?)", [kind, name, type_])
        self.types[kind][name] = type_

    def readable(self, kind: str) -> dict[str, str]:
        """Every property of an object type, with its type."""
        own = {"hs_object_id": "number", "createdate": "datetime", TYPES[kind].modified: "datetime"}
        return self.types[kind] | READ_ONLY | own


_CUSTOM = "select name, type from properties where kind = ?"


def iso(milliseconds: int) -> str:
    """ISO 8601 in UTC with milliseconds, as HubSpot writes it."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"
