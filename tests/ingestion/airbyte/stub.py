"""A stateful stand-in for an Airbyte server: what ``airbyte-api`` and ``dagster-airbyte`` call, and no more.

Public API under ``/api/public/v1``, of the configuration API ``/api/v1/connections/get``. Tokens expire, secrets are
shown masked, lists are paged, a job moves one state on at each look, one sync a connection runs at a time.
"""

from __future__ import annotations

import copy
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

PUBLIC, CONFIGURATION = "/api/public/v1", "/api/v1"
CLIENT_ID, CLIENT_SECRET = "stub-application", "stub-application-secret-0123456789"
WORKSPACE = "11111111-2222-3333-4444-555555555555"
MASK = "**********"
SECRET_FIELDS = {"password", "private_key", "private_key_password", "client_secret", "access_token", "refresh_token"}
GOING = {"pending", "queued", "running", "incomplete"}
KINDS = ("source", "destination", "connection")

Json = dict[str, Any]
Fault = Callable[[str, str], int | str | None]


class RefusalError(Exception):
    """An answer that is an error: Airbyte's problem document."""

    def __init__(self, status: int, detail: str = "", **headers: str) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


class AirbyteStub:
    """The server and its state; ``restart`` loses the tokens and keeps the state, as a real one would.

    ``fault(method, path)`` may name a status to answer with before anything is done, ``"after:<status>"`` to do it and
    answer so nevertheless, or ``"dropped"``. ``script`` is the states a new job goes through, ``records`` what it
    brings; ``on_success`` is told of each job that succeeds. ``requests`` and ``unserved`` are what was asked.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.resources: dict[str, dict[str, Json]] = {kind: {} for kind in KINDS}
        self.jobs: dict[int, Json] = {}
        self.tokens: dict[str, float] = {}
        self.offered: dict[str, dict[str, set[str]]] = {}
        self.token_seconds = 180
        self.page = 100
        self.script: list[str] = ["pending", "running", "succeeded"]
        self.scripts: list[list[str]] = []
        self.records = 7
        self.fault: Fault = lambda method, path: None
        self.on_success: Callable[[Json], None] = lambda job: None
        self.requests: list[tuple[str, str]] = []
        self.token_requests: list[str] = []
        self.unserved: list[str] = []
        self.clock = time.time
        self._created = 0
        self._port = 0
        self._start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def api_url(self) -> str:
        return self.url + PUBLIC

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def restart(self, *, down_seconds: float = 0.0) -> None:
        """Stop, and come back on the same port with the same state and no token."""
        self.stop()
        time.sleep(down_seconds)
        self.tokens.clear()
        self._start()

    def _start(self) -> None:
        stub = self

        class Handler(_Handler):
            server_stub = stub

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    # ---------------------------------------------------------------------------------------- what a test may do

    def named(self, kind: str, name: str) -> Json:
        """The one resource of this name."""
        (found,) = [each for each in self.resources[kind].values() if each["name"] == name]
        return found

    def snapshot(self) -> dict[str, dict[str, Json]]:
        """Every resource by kind and name, without what differs between two servers: ids and times."""
        ids = {key: each["name"] for kind in KINDS for key, each in self.resources[kind].items()}
        return {
            kind: {
                each["name"]: {
                    key: ids.get(value, value) if isinstance(value, str) else value
                    for key, value in each.items()
                    if key not in ("createdAt", "definitionId", f"{kind}Id")
                }
                for each in copy.deepcopy(list(self.resources[kind].values()))
            }
            for kind in KINDS
        }

    def past_job(self, connection_id: str, *, status: str, records: int, hours_ago: float) -> Json:
        """A job that ended some hours ago."""
        job = self._new_job(connection_id, [status], at=datetime.now(UTC) - timedelta(hours=hours_ago))
        job["rowsSynced"] = records
        return job

    # -------------------------------------------------------------------------------------------------- routing

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], content_type: str, body: bytes, token: str
    ) -> Any:
        with self.lock:
            if path == f"{PUBLIC}/applications/token" and method == "POST":
                return self._token(content_type, body)
            if self.tokens.get(token, 0) <= self.clock():
                raise RefusalError(401, "the token is unknown or has expired")
            given = json.loads(body) if body else {}
            if path == f"{CONFIGURATION}/connections/get" and method == "POST":
                return self._configuration_connection(given["connectionId"])
            parts = path.removeprefix(PUBLIC + "/").split("/") if path.startswith(PUBLIC + "/") else []
            match method, parts:
                case "GET", ["workspaces", name]:
                    if name != WORKSPACE:
                        raise RefusalError(404, "no such workspace")
                    return {"workspaceId": name, "name": "Default", "dataResidency": "us", "notifications": {}}
                case "GET", ["streams"]:
                    return self._streams(query["sourceId"][0])
                case "GET", ["jobs"]:
                    return self._paged("jobs", query, self._jobs_asked_for(query))
                case "POST", ["jobs"]:
                    return _shown_job(self._start_job(given))
                case "GET", ["jobs", number]:
                    return _shown_job(self._look_at(int(number)))
                case "DELETE", ["jobs", number]:
                    return _shown_job(self._cancel(int(number)))
                case _, [plural, *rest] if plural.removesuffix("s") in KINDS and plural.endswith("s") and len(rest) < 2:
                    return self._resource(method, plural.removesuffix("s"), rest[0] if rest else None, query, given)
            self.unserved.append(f"{method} {path}")
            raise RefusalError(404, "not served")

    def _token(self, content_type: str, body: bytes) -> Json:
        form = content_type.startswith("application/x-www-form-urlencoded")
        self.token_requests.append("form" if form else "json")
        given = {key: values[0] for key, values in parse_qs(body.decode()).items()} if form else json.loads(body)
        if form and given.get("grant_type") != "client_credentials":
            raise RefusalError(400, "grant_type is missing")
        if (given.get("client_id"), given.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            raise RefusalError(401, "unknown application")
        token = uuid.uuid4().hex
        self.tokens[token] = self.clock() + self.token_seconds
        return {"access_token": token, "token_type": "Bearer", "expires_in": self.token_seconds}

    # ------------------------------------------------------------------------------------------------ resources

    def _resource(self, method: str, kind: str, key: str | None, query: dict[str, list[str]], given: Json) -> Any:
        known = self.resources[kind]
        if key is None:
            if method == "GET":
                return self._paged(f"{kind}s", query, [_masked(each) for each in known.values()])
            return _masked(self._create(kind, given))
        if key not in known:
            raise RefusalError(404, f"no such {kind}")
        if method == "GET":
            return _masked(known[key])
        if method == "DELETE":
            if any(job["status"] in GOING for job in self.jobs.values() if job["connectionId"] == key):
                raise RefusalError(409, "a sync is running")
            self._delete(kind, key)
            return None
        changed = {**known[key], **{name: value for name, value in given.items() if name != "workspaceId"}}
        if kind == "connection":
            self._check_connection(changed)
        else:
            self._check_actor(kind, changed)
        known[key] = changed
        return _masked(changed)

    def _create(self, kind: str, given: Json) -> Json:
        self._created += 1
        made: Json = {
            f"{kind}Id": str(uuid.uuid4()),
            "createdAt": int(time.time()) + self._created,
            "workspaceId": WORKSPACE,
            **given,
        }
        if kind == "connection":
            made = {
                "status": "active",
                "namespaceDefinition": "destination",
                "nonBreakingSchemaUpdatesBehavior": "ignore",
                "schedule": {"scheduleType": "manual"},
                "tags": [],
                **made,
            }
            for actor in ("source", "destination"):
                if made.get(f"{actor}Id") not in self.resources[actor]:
                    raise RefusalError(404, f"no such {actor}")
            self._check_connection(made)
        else:
            if given.get("workspaceId") != WORKSPACE:
                raise RefusalError(403, "not your workspace")
            self._check_actor(kind, made)
            made |= {f"{kind}Type": given["configuration"][f"{kind}Type"], "definitionId": str(uuid.uuid4())}
        self.resources[kind][made[f"{kind}Id"]] = made
        return made

    def _check_actor(self, kind: str, made: Json) -> None:
        configuration = made["configuration"]
        if f"{kind}Type" not in configuration:
            raise RefusalError(400, f"{kind}Type is missing")
        if configuration.get("host") == "invalid.example":
            # Airbyte quotes the configuration that it refuses.
            raise RefusalError(422, f"the configuration does not fulfil the specification: {json.dumps(configuration)}")

    def _check_connection(self, made: Json) -> None:
        offered = self._catalog(made["sourceId"])
        for stream in made["configurations"].get("streams") or []:
            fields = offered.get((f"{stream['namespace']}." if stream.get("namespace") else "") + stream["name"])
            if fields is None:
                raise RefusalError(400, f"no stream {stream['name']}")
            chosen = {each["fieldPath"][0] for each in stream.get("selectedFields") or []}
            needed = {path[0] for path in stream["primaryKey"]} | set(stream["cursorField"])
            if chosen - fields or (chosen and needed - chosen):
                raise RefusalError(400, f"stream {stream['name']} lacks a field, or its key or cursor is not chosen")

    def _delete(self, kind: str, key: str) -> None:
        del self.resources[kind][key]
        if kind != "connection":
            for other in [k for k, each in self.resources["connection"].items() if each[f"{kind}Id"] == key]:
                del self.resources["connection"][other]

    def _catalog(self, source_id: str) -> dict[str, set[str]]:
        """What a source shows: by its type; of Postgres the streams of the schemas that it is configured to read."""
        if source_id not in self.resources["source"]:
            raise RefusalError(404, "no such source")
        configuration = self.resources["source"][source_id]["configuration"]
        offered = self.offered.get(configuration["sourceType"], {})
        schemas = configuration.get("schemas")
        return {f"{s}.{name}": fields for s in schemas for name, fields in offered.items()} if schemas else offered

    def _streams(self, source_id: str) -> list[Json]:
        shown = []
        for name, fields in self._catalog(source_id).items():
            namespace, _, own = name.rpartition(".")
            shown.append(
                {
                    "streamName": own,
                    **({"streamnamespace": namespace} if namespace else {}),
                    "syncModes": ["full_refresh_overwrite", "incremental_deduped_history"],
                    "propertyFields": [[field] for field in sorted(fields)],
                }
            )
        return shown

    def _configuration_connection(self, connection_id: str) -> Json:
        """What ``dagster-airbyte`` reads streams from."""
        each = self.resources["connection"].get(connection_id)
        if each is None:
            raise RefusalError(404, "no such connection")
        streams = [
            {
                "stream": {"name": stream["name"], "jsonSchema": {"properties": {}}},
                "config": {"selected": True, "syncMode": "incremental"},
            }
            for stream in each["configurations"]["streams"]
        ]
        shown = {key: each[key] for key in ("connectionId", "name", "sourceId", "destinationId", "status")}
        return {**shown, "prefix": each.get("prefix"), "syncCatalog": {"streams": streams}}

    def _paged(self, path: str, query: dict[str, list[str]], items: list[Json]) -> Json:
        offset, limit = int(query.get("offset", ["0"])[0]), min(int(query.get("limit", ["20"])[0]), self.page)
        page: Json = {"data": items[offset : offset + limit], "previous": "", "next": ""}
        if offset + limit < len(items):
            again = {key: values[0] for key, values in query.items()} | {"offset": str(offset + limit)}
            page["next"] = f"{self.api_url}/{path}?{urlencode(again)}"
        return page

    # ----------------------------------------------------------------------------------------------------- jobs

    def _new_job(self, connection_id: str, script: list[str], *, at: datetime | None = None) -> Json:
        moment = (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
        job = {
            "jobId": len(self.jobs) + 1,
            "connectionId": connection_id,
            "jobType": "sync",
            "status": script[0],
            "startTime": moment,
            "lastUpdatedAt": moment,
            "script": list(script[1:]),
            "rowsSynced": 0,
        }
        self.jobs[job["jobId"]] = job
        return job

    def _start_job(self, given: Json) -> Json:
        if given["connectionId"] not in self.resources["connection"]:
            raise RefusalError(404, "no such connection")
        if any(j["status"] in GOING for j in self.jobs.values() if j["connectionId"] == given["connectionId"]):
            raise RefusalError(409, f"A sync is already running for: {given['connectionId']}")
        return self._new_job(given["connectionId"], self.scripts.pop(0) if self.scripts else self.script)

    def _look_at(self, number: int) -> Json:
        if number not in self.jobs:
            raise RefusalError(404, "no such job")
        job = self.jobs[number]
        if job["script"]:
            job["status"] = job["script"].pop(0)
            job["lastUpdatedAt"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            if job["status"] == "succeeded":
                job["rowsSynced"], job["bytesSynced"] = self.records, 100 * self.records
                self.on_success(job)
        return job

    def _cancel(self, number: int) -> Json:
        job = self.jobs[number]
        if job["status"] in GOING:
            job["status"], job["script"] = "cancelled", []
        return job

    def _jobs_asked_for(self, query: dict[str, list[str]]) -> Iterator[Json] | list[Json]:
        connection, status = query.get("connectionId"), query.get("status")
        found = [
            _shown_job(job)
            for job in self.jobs.values()
            if (not connection or job["connectionId"] == connection[0]) and (not status or job["status"] == status[0])
        ]
        return found[::-1] if query.get("orderBy") == ["createdAt|DESC"] else found


def _shown_job(job: Json) -> Json:
    return {key: value for key, value in job.items() if key != "script"}


def _masked(node: Any) -> Any:
    if isinstance(node, list):
        return [_masked(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {key: MASK if key in SECRET_FIELDS and value else _masked(value) for key, value in node.items()}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet
    disable_nagle_algorithm = True
    server_stub: AirbyteStub

    def _serve(self) -> None:
        stub, parts = self.server_stub, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        stub.requests.append((self.command, parts.path))
        fault = stub.fault(self.command, parts.path)
        if fault == "dropped":
            self.close_connection = True
            return
        try:
            if isinstance(fault, int):
                raise RefusalError(fault, "a fault", **({"Retry-After": "0"} if fault == 429 else {}))
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            content = stub.answer(
                self.command, parts.path, parse_qs(parts.query), self.headers.get("Content-Type", ""), body, token
            )
            if isinstance(fault, str):
                raise RefusalError(int(fault.removeprefix("after:")), "a fault after the fact")
        except RefusalError as refusal:
            problem = {"status": refusal.status, "title": "refused", "detail": refusal.detail}
            self._send(refusal.status, problem, "application/problem+json", refusal.headers)
            return
        self._send(200 if content is not None else 204, content, "application/json", {})

    do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815  http.server names them

    def _send(self, status: int, content: Any, content_type: str, headers: dict[str, str]) -> None:
        payload = b"" if content is None else json.dumps(content).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(payload)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        return
