"""Salesforce's REST and Bulk 2.0 query APIs over HTTP: one org with a settable clock, for demo and tests only.

Log in at ``/services/oauth2/token`` with any client id and secret that begin with ``sandbox``. ``/sandbox/…`` is what
the real one does not have: the clock, what SOAP alone can do (undelete, merge, purge).
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from demo.sandbox.exchange import Answer, Request
from demo.sandbox.salesforce_objects import EXTERNAL_ID, HISTORY, OBJECTS, ObjectType, type_of
from demo.sandbox.salesforce_store import Record, Store, StoreError
from demo.sandbox.soql import Query, SoqlError, iso, milliseconds, parse
from demo.sandbox.store import Json, dumps

SIMULATOR = "00Dsandbox!simulator"  # a session that never expires, for who lives in the org; it meets no fault
PAGE, BULK_PAGE = 2_000, 50_000
_JOBS = "jobs/query"
_REAL = ".salesforce.com"
"""Hosts by which the sandbox is asked for only where something in between ends TLS."""


class SalesforceError(Exception):
    """An error answer."""

    def __init__(self, code: str, message: str, *, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(code)
        self.status, self.headers = status, headers or {}
        self.body = dumps([{"message": message, "errorCode": code}])


@dataclass
class Settings:
    """How the sandbox behaves, beyond what is in the org; a new process begins with the defaults."""

    page: int = PAGE
    """records a page of ``query``, at most"""
    polls: int = 1
    """times that a query job is still in progress when it is asked for"""
    limit: int = 100_000
    """API requests a day"""
    used: int = 0
    hidden: set[str] = field(default_factory=set)
    """objects, and fields as ``Object.Field``, that the user may not see"""


class SalesforceApi:
    """Answers requests for one org."""

    def __init__(self, state: Path) -> None:
        self._store = Store(state)
        self._settings = Settings()

    def close(self) -> None:
        self._store.close()

    def answer(self, request: Request) -> Answer:
        """One request; Salesforce's list of errors for whatever is wrong with it."""
        self._store.skew = int(request.skew * 1000)
        try:
            if request.path == "/services/oauth2/token" and request.method == "POST":
                return self._log_in(request)
            self._authorize(request)
            if request.path.startswith("/sandbox/"):
                return self._control(request)
            parts = request.path.strip("/").split("/")
            if parts[:2] != ["services", "data"] or len(parts) < 4 or not parts[2].startswith("v"):
                raise _unknown()
            return self._metered(request, parts[2], parts[3:])
        except SalesforceError as error:
            return Answer(error.status, error.body, error.headers)
        except StoreError as error:
            refused = SalesforceError(error.code, str(error), status=error.status)
            return Answer(refused.status, refused.body)
        except SoqlError as error:
            return Answer(400, SalesforceError(error.code, str(error)).body)

    # sessions and limits

    def _log_in(self, request: Request) -> Answer:
        form = dict(parse_qsl(request.body.decode("utf-8", "replace")))
        scheme, _, basic = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                name, _, secret = base64.b64decode(basic).decode().partition(":")
            except ValueError:
                name, secret = "", ""
            form |= {"client_id": name, "client_secret": secret}
        known = form.get("client_id", "").startswith("sandbox") and form.get("client_secret", "").startswith("sandbox")
        good = {
            "client_credentials": known,
            "password": known and bool(form.get("username")) and form.get("password", "").startswith("sandbox"),
            "refresh_token": known and form.get("refresh_token", "").startswith("sandbox"),
            "urn:ietf:params:oauth:grant-type:jwt-bearer": form.get("assertion", "").count(".") == 2,
        }
        grant = form.get("grant_type", "")
        if grant not in good:
            return Answer(
                400, dumps({"error": "unsupported_grant_type", "error_description": "grant type not supported"})
            )
        if not good[grant]:
            code = "invalid_client" if grant == "client_credentials" else "invalid_grant"
            return Answer(400, dumps({"error": code, "error_description": "authentication failure"}))
        with self._store.transaction():
            number = int(self._store.meta("session") or 0) + 1
            self._store.set_meta("session", number)
        name = request.headers.get("host", "")
        host = f"{'https' if name.endswith(_REAL) else 'http'}://{name}"
        body = {"access_token": f"00Dsandbox!{number}", "instance_url": host, "token_type": "Bearer", "scope": "api"}
        body |= {"id": f"{host}/id/00Dsandbox/005", "issued_at": str(self._store.now()), "signature": "sandbox"}
        return Answer(200, dumps(body))

    def _authorize(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        _, mark, number = token.partition("!")
        valid = token == SIMULATOR or (
            token.startswith("00Dsandbox!")
            and number.isdigit()
            and (self._store.meta("expired") or 0) < int(number) <= (self._store.meta("session") or 0)
        )
        if scheme.lower() != "bearer" or not mark or not valid:
            raise SalesforceError("INVALID_SESSION_ID", "Session expired or invalid", status=401)

    def _metered(self, request: Request, version: str, rest: list[str]) -> Answer:
        """A request that counts, unless it is the simulator's."""
        settings = self._settings
        if request.headers["authorization"].endswith(SIMULATOR):
            return self._route(request, version, rest)
        settings.used += 1
        if settings.used > settings.limit:
            raise SalesforceError("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403)
        answer = self._route(request, version, rest)
        return replace(
            answer, headers=answer.headers | {"Sforce-Limit-Info": f"api-usage={settings.used}/{settings.limit}"}
        )

    # routes

    def _route(self, request: Request, version: str, rest: list[str]) -> Answer:
        path = "/".join(rest)
        if request.method == "GET" and path == "limits":
            left = max(0, self._settings.limit - self._settings.used)
            return Answer(200, dumps({"DailyApiRequests": {"Max": self._settings.limit, "Remaining": left}}))
        if rest[0] in ("query", "queryAll") and request.method == "GET":
            return self._query(request, version, rest)
        if path.startswith(_JOBS):
            return self._bulk(request, version, rest[2:])
        if path == "composite/sobjects" and request.method in ("POST", "PATCH"):
            return self._collection(request)
        if rest[0] == "sobjects":
            return self._objects(request, version, rest[1:])
        raise _unknown()

    def _objects(self, request: Request, version: str, rest: list[str]) -> Answer:
        if not rest and request.method == "GET":
            shown = [_named(each) for each in OBJECTS.values() if each.name not in self._settings.hidden]
            return Answer(200, dumps({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": shown}))
        if rest[0] not in OBJECTS or rest[0] in self._settings.hidden:
            raise _unknown()
        kind = OBJECTS[rest[0]]
        route = f"{request.method} {len(rest)}"
        if route == "GET 2" and rest[1] == "describe":
            return Answer(200, dumps(self._described(kind)))
        if route == "POST 1" and kind.name != HISTORY:
            with self._store.transaction():
                made = self._store.create(kind.name, _document(request))
            return Answer(201, dumps({"id": made, "success": True, "errors": []}))
        if len(rest) == 2:
            return self._one(request, kind, version, self._store.find(rest[1]) if rest[1] else None)
        if len(rest) == 3 and rest[1] == EXTERNAL_ID:
            found = self._store.by_key(kind.name, rest[2])
            if found is None and request.method == "PATCH":
                with self._store.transaction():
                    made = self._store.create(kind.name, _document(request) | {EXTERNAL_ID: rest[2]})
                return Answer(201, dumps({"id": made, "success": True, "errors": [], "created": True}))
            return self._one(request, kind, version, found)
        raise _unknown()

    def _one(self, request: Request, kind: ObjectType, version: str, record: Record | None) -> Answer:
        if record is None or record.object != kind.name:
            raise _unknown()
        if request.method == "GET":
            read = self._store.reader()
            shown = {name: read(record, name) for name in kind.fields if self._sees(kind, name)}
            return Answer(200, dumps(_attributes(record, version) | shown))
        with self._store.transaction():
            if request.method == "PATCH":
                self._store.update(record, _document(request))
            elif request.method == "DELETE":
                self._store.delete(record)
            else:
                raise _unknown()
        return Answer(204, "")

    def _collection(self, request: Request) -> Answer:
        """Up to 200 records made or changed at once, all or none."""
        given = _document(request).get("records")
        if not isinstance(given, list) or len(given) > 200:
            raise SalesforceError("INVALID_ARGUMENT", "records must be a list of at most 200")
        done = []
        with self._store.transaction():
            for each in given:
                fields = {name: value for name, value in each.items() if name not in ("attributes", "id", "Id")}
                if request.method == "POST":
                    name = each["attributes"]["type"]
                    if name not in OBJECTS:
                        raise _unknown()
                    made = self._store.create(name, fields)
                else:
                    made = str(each.get("id") or each.get("Id"))
                    self._store.update(self._store.find(made), fields)
                done.append({"id": made, "success": True, "errors": []})
        return Answer(200, dumps(done))

    # query

    def _query(self, request: Request, version: str, rest: list[str]) -> Answer:
        if len(rest) > 1:
            cursor, _, offset = rest[1].rpartition("-")
            job = self._store.job(cursor)
            if job is None or not offset.isdigit():
                raise SalesforceError("INVALID_QUERY_LOCATOR", "invalid query locator")
            return self._page(parse(job[0]), cursor, version, int(offset))
        text = dict(request.query).get("q", "")
        query, everything = self._parsed(text), rest[0] == "queryAll"
        if query.counts:
            total = self._store.count(query, hears_all=everything)
            return Answer(200, dumps({"totalSize": total, "done": True, "records": []}))
        found = self._store.select(query, hears_all=everything)
        if len(found) <= self._settings.page:
            return self._shown(query, found, version, total=len(found), more=None)
        with self._store.transaction():
            cursor = self._store.add_job(text, hears_all=everything, polls=0)
            self._store.keep_results(cursor, found)
        return self._page(query, cursor, version, 0)

    def _page(self, query: Query, cursor: str, version: str, offset: int) -> Answer:
        found, total = self._store.results(cursor, offset, self._settings.page)
        end = offset + len(found)
        more = f"/services/data/{version}/query/{cursor}-{end}" if end < total else None
        return self._shown(query, found, version, total=total, more=more)

    def _shown(self, query: Query, found: Sequence[str], version: str, *, total: int, more: str | None) -> Answer:
        read = self._store.reader()
        rows = [
            _attributes(record, version) | _nested([(path, read(record, path)) for path in query.fields])
            for record in self._store.records(found)
        ]
        answer: Json = {"totalSize": total, "done": more is None, "records": rows}
        return Answer(200, dumps(answer | ({} if more is None else {"nextRecordsUrl": more})))

    def _parsed(self, text: str) -> Query:
        query = parse(text)
        if query.object.name in self._settings.hidden:
            raise SoqlError("sObject type is not supported.", code="INVALID_TYPE")
        if not all(self._sees(query.object, path) for path in query.fields):
            raise SoqlError("No such column on entity.", code="INVALID_FIELD")
        return query

    def _sees(self, kind: ObjectType, name: str) -> bool:
        return f"{kind.name}.{name}" not in self._settings.hidden

    # Bulk 2.0

    def _bulk(self, request: Request, version: str, rest: list[str]) -> Answer:
        if not rest and request.method == "POST":
            document = _document(request)
            if document.get("operation") not in ("query", "queryAll"):
                raise SalesforceError("INVALIDENTITY", "operation must be query or queryAll")
            query = self._parsed(str(document.get("query")))
            if query.counts:
                raise SalesforceError("FUNCTIONALITY_NOT_ENABLED", "aggregates are not supported")
            everything = document["operation"] == "queryAll"
            with self._store.transaction():
                made = self._store.add_job(str(document["query"]), hears_all=everything, polls=self._settings.polls)
                self._store.keep_results(made, self._store.select(query, hears_all=everything, unordered=True))
            return Answer(200, dumps(self._job(made, version)))
        if not rest or self._store.job(rest[0]) is None:
            raise _unknown()
        route = f"{request.method} {len(rest)}"
        if route == "GET 2" and rest[1] == "results":
            return self._results(request, rest[0])
        with self._store.transaction():
            if route == "GET 1":
                _, _, polls, state = self._store.job(rest[0]) or ("", False, 0, "")
                if state in ("UploadComplete", "InProgress"):
                    state = "InProgress" if polls > 0 else "JobComplete"
                    self._store.set_job(rest[0], polls=polls - 1, state=state)
            elif route == "PATCH 1":
                self._store.set_job(rest[0], polls=0, state="Aborted")
            elif route == "DELETE 1":
                self._store.drop_job(rest[0])
                return Answer(204, "")
            else:
                raise _unknown()
        return Answer(200, dumps(self._job(rest[0], version)))

    def _job(self, identifier: str, version: str) -> Json:
        query, everything, _, state = self._store.job(identifier) or ("", False, 0, "")
        return {
            "id": identifier,
            "operation": "queryAll" if everything else "query",
            "object": parse(query).object.name,
            "state": state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(version.removeprefix("v")),
            "lineEnding": "LF",
            "columnDelimiter": "COMMA",
            "numberRecordsProcessed": self._store.results(identifier, 0, 0)[1] if state == "JobComplete" else 0,
        }

    def _results(self, request: Request, job: str) -> Answer:
        text, _, _, state = self._store.job(job) or ("", False, 0, "")
        if state != "JobComplete":
            raise SalesforceError("INVALIDJOBSTATE", "the job is not complete")
        given = dict(request.query)
        size = min(int(given.get("maxRecords", BULK_PAGE)), BULK_PAGE)
        try:
            offset = int(base64.b64decode(given["locator"])) if given.get("locator") else 0
        except ValueError:
            raise SalesforceError("INVALID_QUERY_LOCATOR", "invalid locator") from None
        query = parse(text)
        found, total = self._store.results(job, offset, size)
        records = self._store.records(found)
        read = self._store.reader()
        sheet = io.StringIO()
        writer = csv.writer(sheet, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(query.fields)
        writer.writerows([_cell(read(record, path)) for path in query.fields] for record in records)
        end = offset + len(found)
        locator = base64.b64encode(str(end).encode()).decode() if end < total else "null"
        headers = {"content-type": "text/csv; charset=UTF-8", "Sforce-NumberOfRecords": str(len(records))}
        return Answer(200, sheet.getvalue(), headers | {"Sforce-Locator": locator})

    # what the real one does not have

    def _control(self, request: Request) -> Answer:
        given = _document(request) if request.method == "POST" else {}
        actions: dict[str, Callable[[Json], Json]] = {
            "clock": self._set_clock,
            "create": lambda body: {"id": self._store.create(body["object"], body["fields"], stamp=body.get("stamp"))},
            "undelete": lambda body: _each(body, self._store.undelete),
            "merge": self._merge,
            "purge": lambda body: {"purged": self._store.purge(body.get("ids"))},
            "expire": self._expire,
            "behave": self._behave,
        }
        action = actions.get(request.path.removeprefix("/sandbox/"))
        if action is None:
            raise _unknown()
        with self._store.transaction():
            return Answer(200, dumps(action(given)))

    def _merge(self, body: Json) -> Json:
        self._store.merge(body["master"], body["losers"])
        return {}

    def _set_clock(self, body: Json) -> Json:
        if "now" in body:
            self._store.set_meta("now", milliseconds(str(body["now"])))
        return {"now": iso(self._store.now())}

    def _expire(self, body: Json) -> Json:
        self._store.set_meta("expired", self._store.meta("session") or 0)
        return {}

    def _behave(self, body: Json) -> Json:
        """Change how the sandbox behaves: the fields of ``Settings``."""
        for name, value in body.items():
            if name == "hidden":
                self._settings.hidden = set(value)
            elif name in ("page", "polls", "limit", "used"):
                setattr(self._settings, name, int(value))
            else:
                raise SalesforceError("INVALID_ARGUMENT", "no such setting")
        return {"used": self._settings.used, "limit": self._settings.limit}

    def _described(self, kind: ObjectType) -> Json:
        relations = {field_: (name, target) for name, (field_, target) in kind.parents.items()}
        fields = []
        for name in kind.fields:
            if not self._sees(kind, name):
                continue
            relation, target = relations.get(name, (None, None))
            fields.append(
                {
                    "name": name,
                    "type": type_of(name),
                    "calculated": name in kind.calculated,
                    "custom": name.endswith("__c"),
                    "createable": name in kind.settable,
                    "externalId": name == EXTERNAL_ID,
                    "relationshipName": relation,
                    "referenceTo": [target] if target else [],
                }
            )
        return _named(kind) | {"fields": fields, "childRelationships": []}


def _each(body: Json, action: Callable[[str], None]) -> Json:
    for identifier in body["ids"]:
        action(identifier)
    return {}


def _named(kind: ObjectType) -> Json:
    return {"name": kind.name, "keyPrefix": kind.prefix, "queryable": True, "mergeable": kind.mergeable}


def _attributes(record: Record, version: str) -> Json:
    url = f"/services/data/{version}/sobjects/{record.object}/{record.id}"
    return {"attributes": {"type": record.object, "url": url}}


def _nested(values: list[tuple[str, Any]]) -> Json:
    """Values by their paths, as objects within objects; a parent that is not there is null."""
    made: Json = {}
    for path, value in values:
        *above, name = path.split(".")
        place: Json | None = made
        for part in above:
            if place is not None:
                place = place.setdefault(part, {})
        if place is not None:
            place[name] = value
    return made


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text[:-5] + "Z" if text.endswith("+0000") and len(text) == 28 else text


def _unknown() -> SalesforceError:
    return SalesforceError("NOT_FOUND", "The requested resource does not exist", status=404)


def _document(request: Request) -> Json:
    try:
        document = json.loads(request.body)
        dumps(document).encode()  # half a surrogate pair cannot be stored
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise SalesforceError("JSON_PARSER_ERROR", "an object is expected")
    return document
