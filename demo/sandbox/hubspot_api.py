"""HubSpot's v3 CRM objects over HTTP: companies, contacts and deals with a settable clock."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from demo.sandbox.server import Answer, Request
from demo.sandbox.store import Json, State, dumps

SCHEMA = """
create table if not exists records (
    id integer primary key autoincrement,
    kind text not null,
    created integer not null,
    modified integer not null,
    archived integer,
    properties text not null
);
create index if not exists records_by_kind on records (kind, id);
create index if not exists records_by_stamp on records (kind, modified, id) where archived is null;
create index if not exists contacts_by_email on records (json_extract(properties, '$.email'))
    where kind = 'contacts' and archived is null
"""
FIRST_ID = 10_001
SEARCH_CAP = 10_000
BATCH_CAP = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ObjectType:
    """The properties of an object type: ``types`` of those that can be set, ``shown`` without being asked for."""

    types: dict[str, str]
    shown: tuple[str, ...]
    modified: str


TYPES = {
    "companies": ObjectType(
        types={
            "name": "string",
            "domain": "string",
            "tenant_id": "string",
            "region": "string",
            "industry": "string",
            "numberofemployees": "number",
            "lifecyclestage": "string",
        },
        shown=("name", "domain"),
        modified="hs_lastmodifieddate",
    ),
    "contacts": ObjectType(
        types={
            "email": "string",
            "firstname": "string",
            "lastname": "string",
            "phone": "string",
            "jobtitle": "string",
            "associatedcompanyid": "number",
        },
        shown=("firstname", "lastname", "email"),
        modified="lastmodifieddate",
    ),
    "deals": ObjectType(
        types={
            "dealname": "string",
            "amount": "number",
            "deal_currency_code": "string",
            "dealstage": "string",
            "pipeline": "string",
            "closedate": "datetime",
            "hs_primary_associated_company": "number",
        },
        shown=("amount", "closedate", "dealname", "dealstage", "pipeline"),
        modified="hs_lastmodifieddate",
    ),
}
_COMPARE = {"EQ": "= ?", "NEQ": "<> ?", "LT": "< ?", "LTE": "<= ?", "GT": "> ?", "GTE": ">= ?"}
_OPERATORS = (*_COMPARE, "BETWEEN", "IN", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY")


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


class HubSpotApi:
    """Answers requests for one portal. No two write requests share a stamp, and stamps never go back."""

    def __init__(self, state: Path) -> None:
        self._state = State(state, kind="hubspot", schema=SCHEMA)
        self._execute = self._state.connection.execute

    def close(self) -> None:
        self._state.close()

    def answer(self, request: Request) -> Answer:
        """One request; HubSpot's error object for whatever is wrong with it."""
        try:
            _authorize(request)
            if request.path == "/sandbox/clock":
                return self._clock(request)
            parts = request.path.strip("/").split("/")
            if parts[:3] != ["crm", "v3", "objects"] or len(parts) < 4 or parts[3] not in TYPES:
                raise _unknown()
            return self._objects(request, parts[3], parts[4:])
        except HubSpotError as error:
            return Answer(error.status, error.body)

    # the clock

    def _clock(self, request: Request) -> Answer:
        if request.method == "POST":
            moment = _milliseconds(_document(request).get("now"), "now")
            with self._state.transaction():
                self._state.set_meta("now", moment)
        elif request.method != "GET":
            raise _unknown()
        return Answer(200, dumps({"now": iso(self._now())}))

    def _now(self) -> int:
        frozen = self._state.meta("now")
        return int(frozen) if frozen is not None else time.time_ns() // 1_000_000

    def _stamp(self) -> int:
        """The time of a write: the clock's, or just after the last write if that is later."""
        stamp = max(self._now(), (self._state.meta("last_stamp") or 0) + 1)
        self._state.set_meta("last_stamp", stamp)
        return stamp

    # routes

    def _objects(self, request: Request, kind: str, rest: list[str]) -> Answer:
        route = f"{request.method} {'/'.join(rest)}"
        if route == "GET ":
            return self._list(kind, request)
        if route == "POST search":
            return self._search(kind, _document(request))
        writes: dict[str, Callable[[str, Json], Answer]] = {
            "POST ": lambda kind, body: Answer(201, dumps(self._created(kind, [body])[0])),
            "POST batch/create": self._create_batch,
            "POST batch/update": self._update_batch,
            "POST gdpr-delete": self._purge,
        }
        if route in writes:
            with self._state.transaction():
                return writes[route](kind, _document(request))
        if len(rest) != 1 or request.method not in ("GET", "PATCH", "DELETE"):
            raise _unknown()
        identifier = int(rest[0]) if rest[0].isascii() and rest[0].isdigit() and len(rest[0]) < 19 else -1
        if request.method == "GET":
            row = self._row(kind, identifier, archived=_query(request).get("archived") == "true")
            return Answer(200, dumps(_shown(kind, row, _wanted(request))))
        with self._state.transaction():
            if request.method == "PATCH":
                changed = self._updated(kind, identifier, _properties(kind, _document(request)), self._stamp())
                return Answer(200, dumps(changed))
            self._execute(
                "update records set archived = ? where id = ? and kind = ? and archived is null",
                [self._stamp(), identifier, kind],
            )
        return Answer(204, "")

    # reads

    def _row(self, kind: str, identifier: int, *, archived: bool = False) -> tuple[Any, ...]:
        row = self._execute(
            "select id, created, modified, archived, properties from records"
            " where id = ? and kind = ? and (archived is not null) = ?",
            [identifier, kind, archived],
        ).fetchone()
        if row is None:
            raise HubSpotError("resource not found", status=404, category="OBJECT_NOT_FOUND")
        return tuple(row)

    def _list(self, kind: str, request: Request) -> Answer:
        query = _query(request)
        limit = _whole(query.get("limit", "10"), "limit", least=1, most=100)
        after = _whole(query.get("after", "0"), "after", least=0)
        rows = self._execute(
            "select id, created, modified, archived, properties from records"
            " where kind = ? and id > ? and (archived is not null) = ? order by id limit ?",
            [kind, after, query.get("archived") == "true", limit + 1],
        ).fetchall()
        wanted = _wanted(request)
        answer: Json = {"results": [_shown(kind, row, wanted) for row in rows[:limit]]}
        if len(rows) > limit:
            last = str(rows[limit - 1][0])
            link = f"{request.headers.get('host', '')}/crm/v3/objects/{kind}?limit={limit}&after={last}"
            answer["paging"] = {"next": {"after": last, "link": f"http://{link}"}}
        return Answer(200, dumps(answer))

    def _search(self, kind: str, body: Json) -> Answer:
        limit = _whole(body.get("limit", 10), "limit", least=1, most=200)
        after = _whole(body.get("after") or 0, "after", least=0)
        if after + limit > SEARCH_CAP:
            raise HubSpotError(f"A search pages through at most {SEARCH_CAP} results.")
        groups = _list_of_objects(body.get("filterGroups") or [], "filterGroups", most=5)
        alternatives, values = [], []
        for group in groups:
            filters = _list_of_objects(group.get("filters") or [], "filters", most=6)
            conditions = [_condition(kind, one) for one in filters]
            alternatives.append(" and ".join(text for text, _ in conditions) or "true")
            values += [value for _, bound in conditions for value in bound]
        where = " or ".join(f"({text})" for text in alternatives) or "true"
        order = _order(kind, body.get("sorts") or [])
        chosen = f"from records where kind = ? and archived is null and ({where})"
        sql = f"select id, created, modified, archived, properties {chosen} order by {order} limit ? offset ?"
        rows = self._execute(sql, [kind, *values, limit, after]).fetchall()
        count = f"select count(*) {chosen}"
        total = self._execute(count, [kind, *values]).fetchone()[0]
        wanted = _texts(body.get("properties"), "properties")
        answer: Json = {"total": total, "results": [_shown(kind, row, wanted) for row in rows]}
        if after + len(rows) < total:
            answer["paging"] = {"next": {"after": str(after + len(rows))}}
        return Answer(200, dumps(answer))

    # writes

    def _created(self, kind: str, bodies: Sequence[Json]) -> list[Json]:
        stamp = self._stamp()
        made = []
        for body in bodies:
            properties = {name: value for name, value in _properties(kind, body).items() if value is not None}
            self._unique_email(kind, properties, owner=None)
            first = self._execute("select 1 from records limit 1").fetchone() is None
            row = self._execute(
                "insert into records (id, kind, created, modified, properties) values (?, ?, ?, ?, ?) returning id",
                [FIRST_ID if first else None, kind, stamp, stamp, dumps(properties)],
            ).fetchone()
            made.append(_shown(kind, self._row(kind, row[0]), list(properties)))
        return made

    def _updated(self, kind: str, identifier: int, changes: Json, stamp: int) -> Json:
        row = self._row(kind, identifier)
        self._unique_email(kind, changes, owner=identifier)
        merged = json.loads(row[4]) | changes
        properties = {name: value for name, value in merged.items() if value is not None}
        self._execute(
            "update records set modified = ?, properties = ? where id = ?", [stamp, dumps(properties), identifier]
        )
        return _shown(kind, self._row(kind, identifier), list(changes))

    def _unique_email(self, kind: str, properties: Json, *, owner: int | None) -> None:
        if kind != "contacts" or not properties.get("email"):
            return
        found = self._execute(
            "select id from records where kind = 'contacts' and archived is null"
            " and json_extract(properties, '$.email') = ? and id is not ?",
            [properties["email"], owner],
        ).fetchone()
        if found is not None:
            raise HubSpotError(f"Contact already exists. Existing ID: {found[0]}", status=409, category="CONFLICT")

    def _create_batch(self, kind: str, body: Json) -> Answer:
        inputs = _list_of_objects(body.get("inputs"), "inputs", most=BATCH_CAP)
        return self._batch_answer(201, self._created(kind, inputs))

    def _update_batch(self, kind: str, body: Json) -> Answer:
        stamp = self._stamp()
        results = []
        for one in _list_of_objects(body.get("inputs"), "inputs", most=BATCH_CAP):
            identifier = _whole(one.get("id"), "id", least=0)
            results.append(self._updated(kind, identifier, _properties(kind, one), stamp))
        return self._batch_answer(200, results)

    def _batch_answer(self, status: int, results: list[Json]) -> Answer:
        now = iso(self._now())
        return Answer(status, dumps({"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}))

    def _purge(self, kind: str, body: Json) -> Answer:
        """A deletion for privacy: neither a list nor the archive knows the contact any more."""
        if kind != "contacts":
            raise _unknown()
        identifier = _whole(body.get("objectId"), "objectId", least=0)
        self._execute("delete from records where id = ? and kind = 'contacts'", [identifier])
        return Answer(204, "")


def iso(milliseconds: int) -> str:
    """ISO 8601 in UTC with milliseconds, as HubSpot writes it."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


def _milliseconds(value: Any, name: str) -> int:
    """A moment given as ISO 8601 or in milliseconds since 1970."""
    text = str(value)
    try:
        if re.fullmatch(r"-?\d{1,15}", text):
            iso(int(text))
            return int(text)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise HubSpotError(f"{name} is not a valid date-time.") from None
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)


def _authorize(request: Request) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.startswith("pat-"):
        message = "Authentication credentials not found. Send `Authorization: Bearer pat-…`."
        raise HubSpotError(message, status=401, category="INVALID_AUTHENTICATION")


def _unknown() -> HubSpotError:
    return HubSpotError("No such address.", status=404, category="OBJECT_NOT_FOUND")


def _document(request: Request) -> Json:
    try:
        document = json.loads(request.body)
        dumps(document).encode()  # half a surrogate pair cannot be stored
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise HubSpotError("Invalid input JSON: an object is expected.")
    return document


def _query(request: Request) -> dict[str, str]:
    return dict(request.query)


def _wanted(request: Request) -> list[str]:
    given = [value for name, value in request.query if name == "properties"]
    return [name for value in given for name in value.split(",") if name]


def _whole(value: Any, name: str, *, least: int, most: int | None = None) -> int:
    text = str(value)
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1
    if number < least or (most is not None and number > most):
        raise HubSpotError(f"{name} must be a whole number from {least} to {most if most is not None else 'any'}.")
    return number


def _list_of_objects(value: Any, name: str, *, most: int) -> list[Json]:
    if not isinstance(value, list) or len(value) > most or not all(isinstance(one, dict) for one in value):
        raise HubSpotError(f"{name} must be a list of at most {most} objects.")
    return value


def _texts(value: Any, name: str) -> list[str]:
    if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        raise HubSpotError(f"{name} must be a list of texts.")
    return value or []


def _properties(kind: str, body: Json) -> Json:
    """What a request sets, as HubSpot stores it: texts; None unsets."""
    given = body.get("properties")
    if not isinstance(given, dict):
        raise HubSpotError("properties must be an object.")
    stored: Json = {}
    for name, value in given.items():
        type_ = TYPES[kind].types.get(name)
        if type_ is None:
            raise HubSpotError(f'Property "{name}" does not exist or is read only.')
        text = None if value is None or value == "" else value if isinstance(value, str) else dumps(value)
        if text is not None and type_ == "number":
            try:
                float(text)
            except ValueError:
                raise HubSpotError(f'Property "{name}" is not a valid number.') from None
        if text is not None and type_ == "datetime":
            text = iso(_milliseconds(text, name))
        stored[name] = text.lower() if name == "email" and text is not None else text
    return stored


def _shown(kind: str, row: Sequence[Any], wanted: Sequence[str]) -> Json:
    """A record as it is answered: the properties that are asked for, and those that are always shown."""
    identifier, created, modified, archived, text = row
    type_ = TYPES[kind]
    held = json.loads(text) | {
        "createdate": iso(created),
        type_.modified: iso(modified),
        "hs_object_id": str(identifier),
    }
    names = dict.fromkeys([*(wanted or type_.shown), "createdate", type_.modified, "hs_object_id"])
    known = type_.types.keys() | held.keys()
    shown: Json = {
        "id": str(identifier),
        "properties": {name: held.get(name) for name in names if name in known},
        "createdAt": iso(created),
        "updatedAt": iso(modified),
        "archived": archived is not None,
    }
    return shown if archived is None else shown | {"archivedAt": iso(archived)}


def _column(kind: str, name: Any) -> tuple[str, str]:
    """SQL of a property and its type; the text is one of this program's own, whatever the request says."""
    type_ = TYPES[kind]
    if not isinstance(name, str):
        raise HubSpotError("A filter or a sort must name a property.")
    own = {
        "hs_object_id": ("id", "number"),
        "createdate": ("created", "moment"),
        type_.modified: ("modified", "moment"),
    }
    if name in own:
        return own[name]
    if name not in type_.types:
        raise HubSpotError("A filter or a sort names a property that does not exist.")
    held = next(known for known in type_.types if known == name)
    text = f"json_extract(properties, '$.{held}')"
    return (f"cast({text} as real)" if type_.types[held] == "number" else text, type_.types[held])


def _condition(kind: str, filter_: Json) -> tuple[str, list[Any]]:
    column, type_ = _column(kind, filter_.get("propertyName"))
    operator = filter_.get("operator")
    if operator not in _OPERATORS:
        raise HubSpotError("A filter's operator must be one of " + ", ".join(_OPERATORS) + ".")

    def typed(value: Any) -> Any:
        if type_ == "moment":
            return _milliseconds(value, "a filter's value")
        if type_ == "datetime":
            return iso(_milliseconds(value, "a filter's value"))
        if type_ == "number":
            try:
                return float(value)
            except (TypeError, ValueError):
                raise HubSpotError("A filter's value is not a number.") from None
        return str(value)

    if operator == "HAS_PROPERTY":
        return f"{column} is not null", []
    if operator == "NOT_HAS_PROPERTY":
        return f"{column} is null", []
    if operator == "BETWEEN":
        return f"{column} between ? and ?", [typed(filter_.get("value")), typed(filter_.get("highValue"))]
    if operator in ("IN", "NOT_IN"):
        members = [typed(value) for value in _texts(filter_.get("values"), "values")]
        return f"{column} {'in' if operator == 'IN' else 'not in'} ({', '.join('?' * len(members))})", members
    return f"{column} {_COMPARE[operator]}", [typed(filter_.get("value"))]


def _order(kind: str, sorts: Any) -> str:
    if not isinstance(sorts, list) or len(sorts) > 1:
        raise HubSpotError("sorts must be a list of at most one sort.")
    if not sorts:
        return "created, id"
    sort = sorts[0] if isinstance(sorts[0], dict) else {"propertyName": sorts[0]}
    column, _ = _column(kind, sort.get("propertyName"))
    return f"{column} {'desc' if sort.get('direction') == 'DESCENDING' else 'asc'}, id"
