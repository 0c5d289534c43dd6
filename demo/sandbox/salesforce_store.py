"""The records of the sandbox's org: made, changed, deleted with what belongs to them, brought back, merged, purged.

Every write of one request carries the clock's present moment as its ``SystemModstamp``: on a standing clock many
records share it. Formula and roll-up fields are computed when they are read, so they change without a stamp.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from demo.sandbox.salesforce_objects import (
    BY_PREFIX,
    EXTERNAL_ID,
    HISTORY,
    OBJECTS,
    STAGES,
    TRACKED,
    children_of,
    fits,
    identifier,
    type_of,
)
from demo.sandbox.soql import Query, iso
from demo.sandbox.store import Json, State, dumps

SCHEMA = f"""
create table if not exists records (
    id text primary key,
    object text not null,
    created integer not null,
    modified integer not null,
    deleted integer not null default 0,
    gone_with text,
    body text not null
) without rowid;
create index if not exists records_by_stamp on records (object, modified, id);
create index if not exists records_by_key on records (object, json_extract(body, '$.{EXTERNAL_ID}'));
create index if not exists records_by_account on records (object, json_extract(body, '$.AccountId'));
create index if not exists records_by_opportunity on records (object, json_extract(body, '$.OpportunityId'));
create table if not exists jobs (
    id text primary key, query text not null, hears_all integer not null, polls integer not null, state text not null
);
create table if not exists results (job text, n integer, record text, primary key (job, n)) without rowid
"""
RECYCLED_DAYS = 15
USER = "005000000000001AAA"  # whoever the sandbox says did something
_DAY = 86_400_000


class StoreError(Exception):
    """A write that Salesforce would refuse."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


class Record:
    """A row of the table of records."""

    __slots__ = ("body", "created", "deleted", "gone_with", "id", "modified", "object")

    def __init__(self, row: Sequence[Any]) -> None:
        self.id, self.object, self.created, self.modified, self.deleted, self.gone_with = row[:6]
        self.body: Json = json.loads(row[6])


class Store:
    """One org in one state file."""

    def __init__(self, path: Path) -> None:
        self._state = State(path, kind="salesforce", schema=SCHEMA)
        self.skew = 0
        self._execute = self._state.connection.execute

    def close(self) -> None:
        self._state.close()

    def transaction(self) -> AbstractContextManager[None]:
        return self._state.transaction()

    def meta(self, name: str) -> Any:
        return self._state.meta(name)

    def set_meta(self, name: str, value: Any) -> None:
        self._state.set_meta(name, value)

    def now(self) -> int:
        """The clock in ms since 1970: as it was set, else real time. It may be set back, and is off by ``skew``."""
        frozen = self.meta("now")
        return (int(frozen) if frozen is not None else time.time_ns() // 1_000_000) + self.skew

    # writes; the caller holds the transaction

    def create(self, name: str, fields: Json, *, stamp: int | None = None) -> str:
        """A new record's id. ``stamp`` in ms, where the write began at another moment than it is seen."""
        self._accept(name, fields)
        moment = self.now() if stamp is None else stamp
        body = self._derive(name, {key: value for key, value in fields.items() if value is not None})
        number = int(self.meta("last_number") or 1) + 1
        self.set_meta("last_number", number)
        made = identifier(OBJECTS[name].prefix, number)
        body |= {"CreatedById": USER, "LastModifiedById": USER}
        self._execute(
            "insert into records (id, object, created, modified, body) values (?, ?, ?, ?, ?)",
            [made, name, moment, moment, dumps(body)],
        )
        if name == "Opportunity":
            self._history(made, "created", None, None, moment)
        if name == "OpportunityLineItem":
            self._count_items(body["OpportunityId"], moment)
        return made

    def update(self, record: Record, fields: Json, *, stamp: int | None = None) -> None:
        self._accept(record.object, fields)
        moment = self.now() if stamp is None else stamp
        changed = self._derive(record.object, {**record.body, **fields})
        changed = {key: value for key, value in changed.items() if value is not None}
        if record.object == "Opportunity":
            for name in TRACKED:
                if record.body.get(name) != changed.get(name):
                    self._history(record.id, name, record.body.get(name), changed.get(name), moment)
        self._execute("update records set modified = ?, body = ? where id = ?", [moment, dumps(changed), record.id])

    def delete(self, record: Record, *, merged_into: str | None = None) -> None:
        """To the recycle bin, and with it what belongs to it."""
        moment = self.now()
        if merged_into is not None:
            record.body["MasterRecordId"] = merged_into
        self._execute(
            "update records set deleted = 1, modified = ?, gone_with = ?, body = ? where id = ?",
            [moment, record.id, dumps(record.body), record.id],
        )
        for child in self._below(record):
            self._execute(
                "update records set deleted = 1, modified = ?, gone_with = ? where id = ?",
                [moment if child.object != HISTORY else child.modified, record.id, child.id],
            )
        if record.object == "OpportunityLineItem":
            self._count_items(record.body["OpportunityId"], moment)

    def undelete(self, identifier_: str) -> None:
        """Out of the recycle bin, with what went there along with it."""
        record = self.find(identifier_, deleted=True)
        record.body.pop("MasterRecordId", None)
        self._execute("update records set body = ? where id = ?", [dumps(record.body), record.id])
        self._execute(
            "update records set deleted = 0, gone_with = null, modified = case object when ? then modified else ? end "
            "where gone_with = ?",
            [HISTORY, self.now(), record.id],
        )

    def merge(self, master: str, losers: Sequence[str]) -> None:
        """The losers' children become the master's; the losers are deleted and say who survived."""
        survivor, moment = self.find(master), self.now()
        if not OBJECTS[survivor.object].mergeable:
            raise StoreError("INVALID_OPERATION", "only accounts, contacts and leads can be merged")
        for loser in map(self.find, losers):
            if loser.object != survivor.object:
                raise StoreError("INVALID_OPERATION", "records of different objects cannot be merged")
            for kind, field in (*children_of(loser.object), *((OBJECTS[n], "WhoId") for n in ("Task", "Event"))):
                for child in self._where(kind.name, f"json_extract(body, '$.{field}') = ?", loser.id):
                    child.body[field] = survivor.id
                    self._execute(
                        "update records set modified = ?, body = ? where id = ?", [moment, dumps(child.body), child.id]
                    )
            self.delete(loser, merged_into=survivor.id)
        self.update(survivor, {})

    def purge(self, identifiers: Sequence[str] | None = None) -> int:
        """Empty the recycle bin: of these records and what went with them, else of all that lies there long enough."""
        before = self._execute("select count(*) from records").fetchone()[0]
        if identifiers is None:
            old = self.now() - RECYCLED_DAYS * _DAY
            roots = "select id from records where deleted and modified <= ?"
            self._execute(f"delete from records where deleted and gone_with in ({roots})", [old])  # noqa: S608
        else:
            for each in identifiers:
                self._execute("delete from records where deleted and (id = ? or gone_with = ?)", [each, each])
        return int(before - self._execute("select count(*) from records").fetchone()[0])

    # reads

    def find(self, identifier_: str, *, deleted: bool = False) -> Record:
        row = self._execute(
            "select id, object, created, modified, deleted, gone_with, body from records where id = ? and deleted = ?",
            [identifier_, deleted],
        ).fetchone()
        if row is None:
            raise StoreError("NOT_FOUND", "The requested resource does not exist", status=404)
        return Record(row)

    def by_key(self, name: str, key: str) -> Record | None:
        """The live record with this external id."""
        return next(self._where(name, f"json_extract(body, '$.{EXTERNAL_ID}') = ?", key), None)

    def select(self, query: Query, *, hears_all: bool, unordered: bool = False) -> list[str]:
        """The ids that a query finds, in its order; ``hears_all`` the deleted, too."""
        alive = "" if hears_all else " and not deleted"
        order = "substr(id, 13, 3) desc, id" if unordered else query.order
        limit = f" limit {query.limit}" if query.limit is not None else ""
        sql = f"select id from records where object = ? and {query.where}{alive} order by {order}{limit}"  # noqa: S608
        return [found for (found,) in self._execute(sql, [query.object.name, *query.values])]

    def count(self, query: Query, *, hears_all: bool) -> int:
        alive = "" if hears_all else " and not deleted"
        sql = f"select count(*) from records where object = ? and {query.where}{alive}"  # noqa: S608
        return int(self._execute(sql, [query.object.name, *query.values]).fetchone()[0])

    def records(self, identifiers: Sequence[str]) -> list[Record]:
        """These records, in this order; what is purged meanwhile is left out."""
        found: dict[str, Record] = {}
        for start in range(0, len(identifiers), 10_000):  # SQLite binds no more than 32,766 values
            some = identifiers[start : start + 10_000]
            rows = self._execute(
                "select id, object, created, modified, deleted, gone_with, body from records "  # noqa: S608
                f"where id in ({', '.join('?' * len(some))})",
                list(some),
            )
            found |= {row[0]: Record(row) for row in rows}
        return [found[each] for each in identifiers if each in found]

    def reader(self) -> Callable[[Record, str], Any]:
        """A function that gives a record's field, also a parent's; it remembers the parents it has seen."""
        seen: dict[str, Record | None] = {}

        def parent(identifier_: str) -> Record | None:
            if identifier_ not in seen:
                found = self.records([identifier_])
                seen[identifier_] = found[0] if found else None
            return seen[identifier_]

        def read(record: Record, path: str) -> Any:
            head, dot, rest = path.partition(".")
            if dot:
                field = OBJECTS[record.object].parents[head][0]
                above = parent(record.body[field]) if record.body.get(field) else None
                return None if above is None else read(above, rest)
            return self._value(record, head, parent)

        return read

    # results of jobs and of long queries

    def keep_results(self, job: str, identifiers: Sequence[str]) -> None:
        rows = ((job, n, each) for n, each in enumerate(identifiers))
        self._state.connection.executemany("insert into results values (?, ?, ?)", rows)

    def results(self, job: str, offset: int, size: int) -> tuple[list[str], int]:
        """A page of ids, and how many there are in all."""
        rows = self._execute(
            "select record from results where job = ? and n >= ? order by n limit ?", [job, offset, size]
        ).fetchall()
        total = self._execute("select count(*) from results where job = ?", [job]).fetchone()[0]
        return [found for (found,) in rows], int(total)

    def add_job(self, query: str, *, hears_all: bool, polls: int) -> str:
        number = int(self.meta("last_job") or 0) + 1
        self.set_meta("last_job", number)
        made = identifier("750", number)
        self._execute("insert into jobs values (?, ?, ?, ?, 'UploadComplete')", [made, query, hears_all, polls])
        return made

    def job(self, identifier_: str) -> tuple[str, bool, int, str] | None:
        """Query, whether it hears of the deleted, polls until it is done, state."""
        row = self._execute("select query, hears_all, polls, state from jobs where id = ?", [identifier_]).fetchone()
        return None if row is None else (row[0], bool(row[1]), row[2], row[3])

    def set_job(self, identifier_: str, *, polls: int, state: str) -> None:
        self._execute("update jobs set polls = ?, state = ? where id = ?", [polls, state, identifier_])

    def drop_job(self, identifier_: str) -> None:
        self._execute("delete from results where job = ?", [identifier_])
        self._execute("delete from jobs where id = ?", [identifier_])

    # inside

    def _where(self, name: str, condition: str, value: object) -> Iterator[Record]:
        rows = self._execute(
            "select id, object, created, modified, deleted, gone_with, body from records "  # noqa: S608
            f"where object = ? and not deleted and {condition} order by id",
            [name, value],
        ).fetchall()
        return map(Record, rows)

    def _below(self, record: Record) -> list[Record]:
        """What is deleted along with a record: children, and theirs."""
        found = []
        for kind, field in children_of(record.object):
            if kind.cascades and field in ("AccountId", "OpportunityId", "ContactId"):
                for child in self._where(kind.name, f"json_extract(body, '$.{field}') = ?", record.id):
                    found += [child, *self._below(child)]
        return list({each.id: each for each in found}.values())

    def _accept(self, name: str, fields: Json) -> None:
        kind = OBJECTS[name]
        for key, value in fields.items():
            if key not in kind.settable:
                raise StoreError("INVALID_FIELD_FOR_INSERT_UPDATE", "No such column, or it cannot be set.")
            if not fits(key, value):
                raise StoreError("INVALID_TYPE_ON_FIELD_IN_RECORD", "A value does not fit its field.")

    def _derive(self, name: str, body: Json) -> Json:
        """What follows from other fields at the moment of a write, as Salesforce stores it."""
        if name in ("Contact", "Lead", "User"):
            body["Name"] = " ".join(filter(None, [body.get("FirstName"), body.get("LastName")])) or None
        if name == "Lead":
            body.setdefault("IsConverted", False)
        if name == "Opportunity":
            stage = body.get("StageName") or "Prospecting"
            if stage not in STAGES:
                raise StoreError("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "bad value for restricted picklist field")
            chance, category = STAGES[stage]
            body |= {"StageName": stage, "Probability": chance, "ForecastCategoryName": category}
            body |= {"IsClosed": stage.startswith("Closed"), "IsWon": stage == "Closed Won"}
            body["ExpectedRevenue"] = None if body.get("Amount") is None else body["Amount"] * chance / 100
            body.setdefault("HasOpportunityLineItem", False)
        if name == "OpportunityLineItem":
            if not body.get("OpportunityId"):
                raise StoreError("REQUIRED_FIELD_MISSING", "Required fields are missing: [OpportunityId]")
            price = (body.get("Quantity") or 0) * (body.get("UnitPrice") or 0)
            body["TotalPrice"] = round(price * (100 - (body.get("Discount") or 0)) / 100, 2)
        if name == "Task":
            body["IsClosed"] = body.get("Status") == "Completed"
        if name in ("Task", "Event"):
            body["AccountId"] = self._account_of(body.get("WhatId")) or self._account_of(body.get("WhoId"))
        return body

    def _account_of(self, identifier_: str | None) -> str | None:
        """The account that an activity concerns, by what or whom it names."""
        kind = BY_PREFIX.get((identifier_ or "")[:3])
        if identifier_ is None or kind is None:
            return None
        if kind == "Account":
            return identifier_
        found = self.records([identifier_])
        account = found[0].body.get("AccountId") if found else None
        return str(account) if account else None

    def _count_items(self, opportunity: str, moment: int) -> None:
        (record,) = self.records([opportunity])
        items = self._where("OpportunityLineItem", "json_extract(body, '$.OpportunityId') = ?", opportunity)
        has = next(items, None) is not None
        if record.body.get("HasOpportunityLineItem") is not has:
            record.body["HasOpportunityLineItem"] = has
            self._execute(
                "update records set modified = ?, body = ? where id = ?", [moment, dumps(record.body), opportunity]
            )

    def _history(self, opportunity: str, field: str, old: Any, new: Any, moment: int) -> None:
        number = int(self.meta("last_number") or 1) + 1
        self.set_meta("last_number", number)
        body = {"OpportunityId": opportunity, "Field": field, "DataType": type_of(field), "CreatedById": USER}
        body |= {key: value for key, value in (("OldValue", old), ("NewValue", new)) if value is not None}
        self._execute(
            "insert into records (id, object, created, modified, body) values (?, ?, ?, ?, ?)",
            [identifier(OBJECTS[HISTORY].prefix, number), HISTORY, moment, moment, dumps(body)],
        )

    def _value(self, record: Record, name: str, parent: Callable[[str], Record | None]) -> Any:
        match name:
            case "Id":
                return record.id
            case "CreatedDate":
                return iso(record.created)
            case "LastModifiedDate" | "SystemModstamp":
                return iso(record.modified)
            case "IsDeleted":
                return bool(record.deleted)
            case "Open_Pipeline__c":
                return self._execute(
                    "select coalesce(sum(json_extract(body, '$.Amount')), 0) from records where object = 'Opportunity' "
                    "and json_extract(body, '$.AccountId') = ? and not deleted "
                    "and not json_extract(body, '$.IsClosed')",
                    [record.id],
                ).fetchone()[0]
            case "Account_Industry__c":
                account = record.body.get("AccountId")
                above = parent(account) if account else None
                return None if above is None else above.body.get("Industry")
        value = record.body.get(name)
        return False if value is None and type_of(name) == "boolean" else value
