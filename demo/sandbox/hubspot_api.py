"""HubSpot's CRM APIs over HTTP for one portal: objects, search, associations, owners, pipelines, properties.

``/sandbox/…`` is what the real one does not have: the clock, the lag of the search index, owners (made of users there),
the way out of the archive, and its end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from demo.sandbox.exchange import Answer, Request
from demo.sandbox.hubspot_objects import ASSOCIATIONS, KIND_OF, PIPELINES, PRIMARY, TYPES, UNUSED
from demo.sandbox.hubspot_store import HubSpotError, Record, Store, iso
from demo.sandbox.store import Json, dumps

SEARCH_CAP = 10_000
BATCH_CAP = 100
HISTORY_CAP = 50
ASSOCIATED = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COMPARE = {"EQ": "= ?", "NEQ": "<> ?", "LT": "< ?", "LTE": "<= ?", "GT": "> ?", "GTE": ">= ?"}
_OPERATORS = (*_COMPARE, "BETWEEN", "IN", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY")
_LABELS = {1: "Primary", 2: "Primary", 5: "Primary", 6: "Primary", 25: "Primary", 26: "Primary"}


class HubSpotApi:
    """Answers requests for one portal."""

    def __init__(self, state: Path) -> None:
        self._store = Store(state)

    def close(self) -> None:
        self._store.close()

    def answer(self, request: Request) -> Answer:
        """One request; HubSpot's error object for whatever is wrong with it."""
        self._store.skew = int(request.skew * 1000)
        try:
            _authorize(request)
            match request.path.strip("/").split("/"):
                case ["sandbox", action, *rest]:
                    return self._control(request, action, rest)
                case ["crm", "v3", "objects", kind, *rest] if kind in KIND_OF:
                    return self._objects(request, KIND_OF[kind], rest)
                case ["crm", "v4", "objects", kind, key, "associations", *rest] if kind in KIND_OF:
                    return self._associated(request, KIND_OF[kind], key, rest)
                case ["crm", "v4", "associations", kind, to, *rest] if kind in KIND_OF and to in KIND_OF:
                    return self._associations(request, KIND_OF[kind], KIND_OF[to], rest)
                case ["crm", "v3", "owners", *rest] if request.method == "GET":
                    return self._owners(request, rest)
                case ["crm", "v3", "pipelines", kind, *rest] if KIND_OF.get(kind) in PIPELINES:
                    return self._pipelines(request, KIND_OF[kind], rest)
                case ["crm", "v3", "properties", kind] if kind in KIND_OF:
                    return self._definitions(request, KIND_OF[kind])
                case ["crm", "v3", "schemas"] if request.method == "GET":
                    return Answer(200, dumps({"results": []}))  # no objects of the portal's own
                case ["properties", "v2", kind, "properties"] if kind in KIND_OF and request.method == "GET":
                    return Answer(200, dumps(self._defined(KIND_OF[kind])))
                case ["properties", "v2", kind, "properties"] if kind in UNUSED and request.method == "GET":
                    return Answer(200, dumps([_definition("hs_object_id", "number", own=False)]))
            raise _unknown()
        except HubSpotError as error:
            return Answer(error.status, error.body)

    # what the real one does not have

    def _control(self, request: Request, action: str, rest: list[str]) -> Answer:
        store = self._store
        body = _document(request) if request.method == "POST" else {}
        if request.method not in ("GET", "POST"):
            raise _unknown()
        with store.transaction():
            match action:
                case "clock":
                    if body:
                        store.set_now(_milliseconds(body.get("now"), "now"))
                    return Answer(200, dumps({"now": iso(store.now())}))
                case "behave":
                    store.lag = int(float(body.get("index_lag", store.lag / 1000)) * 1000)
                    return Answer(200, dumps({"index_lag": store.lag / 1000}))
                case "restore":
                    stamp = store.stamp()
                    for key in body["ids"]:
                        store.restore(int(key), stamp=stamp)
                    return Answer(200, "{}")
                case "purge":
                    return Answer(200, dumps({"purged": store.purge()}))
                case "owners":
                    return Answer(200, dumps(store.put_owner(body)))
        raise _unknown()

    # objects

    def _objects(self, request: Request, kind: str, rest: list[str]) -> Answer:
        route = f"{request.method} {'/'.join(rest)}"
        if route == "GET ":
            return self._list(kind, request)
        if route == "POST search":
            return self._search(kind, _document(request))
        if route == "POST batch/read":
            return self._read_batch(kind, request)
        writes: dict[str, Callable[[str, Json], Answer]] = {
            "POST ": lambda kind, body: Answer(201, dumps(self._created(kind, [body])[0])),
            "POST batch/create": lambda kind, body: self._batch_answer(201, self._created(kind, _inputs(body))),
            "POST batch/update": self._update_batch,
            "POST batch/archive": self._archive_batch,
            "POST merge": self._merge,
            "POST gdpr-delete": self._purge,
        }
        if route in writes:
            with self._store.transaction():
                return writes[route](kind, _document(request))
        if len(rest) != 1 or request.method not in ("GET", "PATCH", "DELETE"):
            raise _unknown()
        identifier = _identifier(rest[0])
        if request.method == "GET":
            record = self._store.get(kind, identifier, archived=_query(request).get("archived", "").lower() == "true")
            return Answer(200, dumps(self._shown(record, _View(request))))
        with self._store.transaction():
            if request.method == "PATCH":
                changes = self._properties(kind, _document(request))
                changed = self._store.update(self._store.get(kind, identifier), changes, stamp=self._store.stamp())
                return Answer(200, dumps(self._shown(changed, _View(properties=list(changes)))))
            self._store.archive(kind, identifier, stamp=self._store.stamp())
        return Answer(204, "")

    def _list(self, kind: str, request: Request) -> Answer:
        query, view = _query(request), _View(request)
        most = HISTORY_CAP if view.history else 100
        limit = _whole(query.get("limit", "10"), "limit", least=1, most=most)
        after = _whole(query.get("after", "0"), "after", least=0)
        found = self._store.page(
            kind, after=after, archived=query.get("archived", "").lower() == "true", limit=limit + 1
        )
        answer: Json = {"results": [self._shown(record, view) for record in found[:limit]]}
        if len(found) > limit:
            last = str(found[limit - 1].id)
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
            conditions = [self._condition(kind, one) for one in filters]
            alternatives.append(" and ".join(text for text, _ in conditions) or "true")
            values += [value for _, bound in conditions for value in bound]
        where = " or ".join(f"({text})" for text in alternatives) or "true"
        order = self._order(kind, body.get("sorts") or [])
        found, total = self._store.search(kind, where, values, order=order, limit=limit, offset=after)
        view = _View(properties=_texts(body.get("properties"), "properties"))
        answer: Json = {"total": total, "results": [self._shown(record, view) for record in found]}
        if after + len(found) < total:
            answer["paging"] = {"next": {"after": str(after + len(found))}}
        return Answer(200, dumps(answer))

    def _read_batch(self, kind: str, request: Request) -> Answer:
        body = _document(request)
        view = _View(
            properties=_texts(body.get("properties"), "properties"),
            history=_texts(body.get("propertiesWithHistory"), "propertiesWithHistory"),
        )
        inputs = _inputs(body, most=HISTORY_CAP if view.history else BATCH_CAP)
        archived = _query(request).get("archived", "").lower() == "true"
        found, missing = {}, []
        for one in inputs:
            record = self._store.find(kind, _identifier(str(one.get("id"))), archived=archived)
            if record is None:
                missing.append(str(one.get("id")))
            else:
                found[record.id] = self._shown(record, view)
        if not missing:
            return self._batch_answer(200, list(found.values()))
        message = f"Could not get some {TYPES[kind].singular.upper()} objects, they may be deleted or not exist."
        error = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": message, "context": {"ids": missing}}
        return self._batch_answer(207, list(found.values()), numErrors=1, errors=[error])

    def _created(self, kind: str, bodies: Sequence[Json]) -> list[Json]:
        stamp = self._store.stamp()
        made = []
        for body in bodies:
            properties = self._properties(kind, body)
            record = self._store.create(kind, properties, stamp=stamp)
            for tie in _list_of_objects(body.get("associations") or [], "associations", most=100):
                specs = _list_of_objects(tie.get("types"), "types", most=10)
                types = [_whole(spec.get("associationTypeId"), "associationTypeId", least=1) for spec in specs]
                to_kind = next(
                    (to for (own, to), known in ASSOCIATIONS.items() if own == kind and types[0] in known), ""
                )
                if not to_kind:
                    raise HubSpotError("No association type of these objects.")
                self._associate(record, to_kind, _identifier(str((tie.get("to") or {}).get("id"))), types)
            shown = [name for name, value in properties.items() if value is not None]
            made.append(self._shown(self._store.get(kind, record.id), _View(properties=shown)))
        return made

    def _update_batch(self, kind: str, body: Json) -> Answer:
        stamp = self._store.stamp()
        results = []
        for one in _inputs(body):
            record = self._store.get(kind, _whole(one.get("id"), "id", least=0))
            changes = self._properties(kind, one)
            changed = self._store.update(record, changes, stamp=stamp)
            results.append(self._shown(changed, _View(properties=list(changes))))
        return self._batch_answer(200, results)

    def _archive_batch(self, kind: str, body: Json) -> Answer:
        stamp = self._store.stamp()
        for one in _inputs(body):
            self._store.archive(kind, _identifier(str(one.get("id"))), stamp=stamp)
        return Answer(204, "")

    def _batch_answer(self, status: int, results: list[Json], **more: Any) -> Answer:
        now = iso(self._store.now())
        answer = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
        return Answer(status, dumps(answer | more))

    def _merge(self, kind: str, body: Json) -> Answer:
        primary, other = (_whole(body.get(name), name, least=0) for name in ("primaryObjectId", "objectIdToMerge"))
        made = self._store.merge(kind, primary, other, stamp=self._store.stamp())
        return Answer(200, dumps(self._shown(made, _View(properties=["hs_merged_object_ids"]))))

    def _purge(self, kind: str, body: Json) -> Answer:
        """A deletion for privacy: neither a list nor the archive knows the contact any more."""
        if kind != "contacts":
            raise _unknown()
        self._store.purge(kind=kind, identifier=_whole(body.get("objectId"), "objectId", least=0))
        return Answer(204, "")

    def _shown(self, record: Record, view: _View) -> Json:
        """A record as it is answered: the properties that are asked for, and those that are always shown."""
        type_ = TYPES[record.kind]
        stamps = {"createdate": iso(record.created), type_.modified: iso(record.modified)}
        held = json.loads(record.properties) | stamps | {"hs_object_id": str(record.id)}
        names = dict.fromkeys([*(view.properties or type_.shown), "createdate", type_.modified, "hs_object_id"])
        known = self._store.types[record.kind].keys() | held.keys() | {"hs_merged_object_ids"}
        shown: Json = {
            "id": str(record.id),
            "properties": {name: held.get(name) for name in names if name in known},
            "createdAt": stamps["createdate"],
            "updatedAt": stamps[type_.modified],
            "archived": record.archived is not None,
        }
        if record.archived is not None:
            shown["archivedAt"] = iso(record.archived)
        if view.history:
            history = json.loads(record.history)
            shown["propertiesWithHistory"] = {
                name: [
                    {"value": value, "timestamp": iso(at), "sourceType": "INTEGRATION", "sourceId": "sandbox"}
                    for value, at in history.get(name, [])
                ]
                for name in view.history
                if name in known
            }
        if view.associations:
            shown["associations"] = self._inline(record, view.associations)
        return shown

    def _inline(self, record: Record, kinds: Sequence[str]) -> Json:
        found: Json = {}
        for kind in dict.fromkeys(KIND_OF[each] for each in kinds if each in KIND_OF):
            name = f"{TYPES[record.kind].singular}_to_{TYPES[kind].singular}"
            ids = [str(other) for other, _ in self._store.associated(record.kind, record.id, kind)]
            if ids:
                found[kind.replace("_", " ")] = {"results": [{"id": key, "type": name} for key in ids]}
        return found

    # associations

    def _associate(self, record: Record, to_kind: str, other: int, types: Sequence[int]) -> None:
        if (record.kind, to_kind) not in ASSOCIATIONS:
            raise HubSpotError("These objects cannot be associated.")
        to = self._store.get(to_kind, other)
        for one, two in ((record, to), (to, record)):
            link = TYPES[one.kind].company
            if two.kind == "companies" and link and any(type_ in PRIMARY for type_ in types):
                self._store.update(one, {link: str(two.id)}, stamp=self._store.stamp())
        self._store.associate(record.kind, record.id, to_kind, to.id, types)

    def _associated(self, request: Request, kind: str, key: str, rest: list[str]) -> Answer:
        """The associations of one record."""
        record = self._store.get(kind, _identifier(key))
        match request.method, rest:
            case "GET", [to] if to in KIND_OF:
                query = _query(request)
                limit = _whole(query.get("limit", "500"), "limit", least=1, most=500)
                after = _whole(query.get("after", "0"), "after", least=0)
                found, more = self._tied(record.id, kind, KIND_OF[to], after=after, limit=limit)
                paging = {"paging": {"next": {"after": more, "link": ""}}} if more else {}
                return Answer(200, dumps({"results": found, **paging}))
            case "PUT", ["default", to, other] if to in KIND_OF:
                with self._store.transaction():
                    self._associate(record, KIND_OF[to], _identifier(other), [])
            case "PUT", [to, other] if to in KIND_OF:
                specs = _list_of_objects(_parsed(request), "the body", most=10)
                types = [_whole(spec.get("associationTypeId"), "associationTypeId", least=1) for spec in specs]
                with self._store.transaction():
                    self._associate(record, KIND_OF[to], _identifier(other), types)
            case "DELETE", [to, other] if to in KIND_OF:
                with self._store.transaction():
                    self._dissociate(record, KIND_OF[to], _identifier(other))
                return Answer(204, "")
            case _:
                raise _unknown()
        now = iso(self._store.now())
        return Answer(200, dumps({"status": "COMPLETE", "results": [], "startedAt": now, "completedAt": now}))

    def _dissociate(self, record: Record, to_kind: str, other: int) -> None:
        to = self._store.get(to_kind, other)
        for one, two in ((record, to), (to, record)):
            link = TYPES[one.kind].company
            if link and two.kind == "companies" and json.loads(one.properties).get(link) == str(two.id):
                self._store.update(one, {link: None}, stamp=self._store.stamp())
        self._store.dissociate(record.kind, record.id, to_kind, to.id)

    def _associations(self, request: Request, kind: str, to: str, rest: list[str]) -> Answer:
        """The associations of many records."""
        if (kind, to) not in ASSOCIATIONS:
            raise HubSpotError("These objects cannot be associated.")
        route = f"{request.method} {'/'.join(rest)}"
        if route == "GET labels":
            types = [each for each in ASSOCIATIONS[(kind, to)] if each is not None]
            return Answer(200, dumps({"results": [_association_type(each) for each in types]}))
        body = _document(request)
        now = iso(self._store.now())
        results: list[Json] = []
        if route == "POST batch/read":
            for one in _inputs(body, most=1000):
                key = _identifier(str(one.get("id")))
                after = _whole(one.get("after") or 0, "after", least=0)
                record = self._store.find(kind, key)
                found, more = self._tied(record.id, kind, to, after=after, limit=ASSOCIATED) if record else ([], "")
                if found:
                    paging = {"paging": {"next": {"after": more, "link": ""}}} if more else {}
                    results.append({"from": {"id": str(one["id"])}, "to": found, **paging})
        elif route == "POST batch/create":
            with self._store.transaction():
                for one in _inputs(body, most=2000):
                    specs = _list_of_objects(one.get("types"), "types", most=10)
                    types = [_whole(spec.get("associationTypeId"), "associationTypeId", least=1) for spec in specs]
                    ends = [_identifier(str((one.get(end) or {}).get("id"))) for end in ("from", "to")]
                    self._associate(self._store.get(kind, ends[0]), to, ends[1], types)
                    results.append({"fromObjectId": ends[0], "toObjectId": ends[1], "labels": []})
        else:
            raise _unknown()
        answer = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
        return Answer(200 if route == "POST batch/read" else 201, dumps(answer))

    def _tied(self, identifier: int, kind: str, to: str, *, after: int, limit: int) -> tuple[list[Json], str]:
        found = [each for each in self._store.associated(kind, identifier, to) if each[0] > after]
        shown: list[Json] = [
            {"toObjectId": str(other), "associationTypes": [_association_type(each) for each in types]}
            for other, types in found[:limit]
        ]
        return shown, str(found[limit - 1][0]) if len(found) > limit else ""

    # owners, pipelines, properties

    def _owners(self, request: Request, rest: list[str]) -> Answer:
        if rest and rest[0]:
            owner = self._store.owner(_identifier(rest[0]))
            if owner is None:
                raise HubSpotError("resource not found", status=404, category="OBJECT_NOT_FOUND")
            return Answer(200, dumps(owner))
        query = _query(request)
        limit = _whole(query.get("limit", "100"), "limit", least=1, most=500)
        after = _whole(query.get("after", "0"), "after", least=0)
        found = self._store.owners(archived=query.get("archived", "").lower() == "true", after=after, limit=limit + 1)
        answer: Json = {"results": found[:limit]}
        if len(found) > limit:
            answer["paging"] = {"next": {"after": found[limit - 1]["id"]}}
        return Answer(200, dumps(answer))

    def _pipelines(self, request: Request, kind: str, rest: list[str]) -> Answer:
        if request.method == "GET" and not rest:
            return Answer(200, dumps({"results": self._store.pipelines(kind)}))
        with self._store.transaction():
            if request.method == "POST" and not rest:
                return Answer(201, dumps(self._store.put_pipeline(kind, _document(request))))
            if request.method == "DELETE" and len(rest) == 1:
                self._store.drop_pipeline(kind, rest[0])
                return Answer(204, "")
        raise _unknown()

    def _definitions(self, request: Request, kind: str) -> Answer:
        if request.method == "POST":
            body = _document(request)
            name = str(body.get("name"))
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,99}", name) or body.get("type") not in (
                "string",
                "number",
                "datetime",
            ):
                raise HubSpotError("name and type must be those of a property.")
            with self._store.transaction():
                self._store.put_property(kind, name, body["type"])
            return Answer(201, dumps(_definition(name, body["type"], own=True)))
        if request.method != "GET":
            raise _unknown()
        return Answer(200, dumps({"results": self._defined(kind)}))

    def _defined(self, kind: str) -> list[Json]:
        known = self._store.readable(kind)
        common = known.keys() - (self._store.types[kind].keys() - TYPES[kind].types.keys()) - {"tenant_id", "region"}
        return [_definition(name, type_, own=name not in common) for name, type_ in known.items()]

    def _properties(self, kind: str, body: Json) -> Json:
        """What a request sets, as HubSpot stores it: texts; None unsets."""
        given = body.get("properties")
        if not isinstance(given, dict):
            raise HubSpotError("properties must be an object.")
        stored: Json = {}
        for name, value in given.items():
            type_ = self._store.types[kind].get(name)
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

    def _column(self, kind: str, name: Any) -> tuple[str, str]:
        """SQL of a property and its type; the text is one of this program's own, whatever the request says."""
        if not isinstance(name, str):
            raise HubSpotError("A filter or a sort must name a property.")
        own = {
            "hs_object_id": ("id", "number"),
            "createdate": ("created", "moment"),
            TYPES[kind].modified: ("seen_modified", "moment"),
        }
        if name in own:
            return own[name]
        known = self._store.types[kind]
        if name not in known:
            raise HubSpotError("A filter or a sort names a property that does not exist.")
        held = next(each for each in known if each == name)
        text = f"json_extract(coalesce(seen_properties, properties), '$.{held}')"
        return (f"cast({text} as real)" if known[held] == "number" else text, known[held])

    def _condition(self, kind: str, filter_: Json) -> tuple[str, list[Any]]:
        column, type_ = self._column(kind, filter_.get("propertyName"))
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

    def _order(self, kind: str, sorts: Any) -> str:
        if not isinstance(sorts, list) or len(sorts) > 1:
            raise HubSpotError("sorts must be a list of at most one sort.")
        if not sorts:
            return "created, id"
        sort = sorts[0] if isinstance(sorts[0], dict) else {"propertyName": sorts[0]}
        column, _ = self._column(kind, sort.get("propertyName"))
        return f"{column} {'desc' if sort.get('direction') == 'DESCENDING' else 'asc'}, id"


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


def _parsed(request: Request) -> Any:
    try:
        document = json.loads(request.body)
        dumps(document).encode()  # half a surrogate pair cannot be stored
    except (ValueError, RecursionError):
        document = None
    return document


def _document(request: Request) -> Json:
    document = _parsed(request)
    if not isinstance(document, dict):
        raise HubSpotError("Invalid input JSON: an object is expected.")
    return document


def _query(request: Request) -> dict[str, str]:
    return dict(request.query)


class _View:
    """What a reader wants to see of a record."""

    def __init__(
        self, request: Request | None = None, *, properties: Sequence[str] = (), history: Sequence[str] = ()
    ) -> None:
        given = request.query if request is not None else []
        wanted = {
            name: [part for key, value in given if key == name for part in value.split(",") if part]
            for name in ("properties", "propertiesWithHistory", "associations")
        }
        self.properties = list(properties) or wanted["properties"]
        self.history = list(history) or wanted["propertiesWithHistory"]
        self.associations = wanted["associations"]


def _identifier(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1


def _inputs(body: Json, *, most: int = BATCH_CAP) -> list[Json]:
    return _list_of_objects(body.get("inputs"), "inputs", most=most)


def _association_type(identifier: int) -> Json:
    return {"category": "HUBSPOT_DEFINED", "typeId": identifier, "label": _LABELS.get(identifier)}


def _definition(name: str, type_: str, *, own: bool) -> Json:
    kinds = {"string": "text", "number": "number", "datetime": "date"}
    more: Json = {"description": "", "groupName": "sandbox", "options": [], "archived": False, "hidden": False}
    more |= {"hubspotDefined": not own}
    return {"name": name, "label": name, "type": type_, "fieldType": kinds[type_]} | more


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
