"""Attempts on the API by requests: the own token is good, and everything else in the request says another tenant."""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

import duckdb

from tests.isolation import tokens
from tests.isolation.attempts.paths import paths
from tests.isolation.markers import FIRST_DAY
from tests.isolation.registry import Attack, attempt

_VARYING = (b"date:", b"ratelimit", b"content-length:", b"x-request-id:", b"etag:")
_NAMES = ("tenant_id", "tenant", "tenantId", "tid", "org", "account", "customer", "app.current_tenant_id", "id")


def as_self(attack: Attack, path: str, **options: object) -> object:
    """A request with the attacker's own good token."""
    headers = {**tokens.header(tokens.own(attack.world)), **options.pop("headers", {})}  # type: ignore[dict-item]
    return attack.get(path, headers=headers, **options)


@attempt("api", "own token: every path there is")
def own_answers(attack: Attack) -> None:
    for path in paths(attack):
        as_self(attack, path)


@attempt("api", "another's id in the query, under every name")
def id_in_query(attack: Attack) -> None:
    for path in paths(attack):
        for name in _NAMES:
            as_self(attack, path, params={name: attack.other})
        as_self(attack, f"{path}?tenant_id={attack.world.own.id}&tenant_id={attack.other}")


@attempt("api", "another's id in the path")
def id_in_path(attack: Attack) -> None:
    for path in paths(attack):
        for shape in (f"{path}/{attack.other}", f"/v1/{attack.other}/usage", f"/v1/tenants/{attack.other}/usage"):
            as_self(attack, shape)
        as_self(attack, f"{path};tenant_id={attack.other}")


@attempt("api", "another's id in headers that proxies and frameworks heed")
def id_in_headers(attack: Attack) -> None:
    for path in paths(attack):
        headers = dict.fromkeys(
            (
                *("X-Tenant-Id", "X-Tenant", "Tenant-Id", "X-Org-Id", "X-User", "X-Forwarded-User", "From"),
                *("X-Original-Tenant", "app.current_tenant_id", "X-Remote-User", "X-Amzn-Oidc-Identity"),
            ),
            attack.other,
        )
        as_self(attack, path, headers=headers)
        for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix"):
            as_self(attack, path, headers={name: f"/v1/usage?tenant_id={attack.other}"})


@attempt("api", "another's id in cookies")
def id_in_cookies(attack: Attack) -> None:
    for path in paths(attack):
        as_self(attack, path, headers={"Cookie": "; ".join(f"{name}={attack.other}" for name in _NAMES)})


@attempt("api", "another's id in a body: JSON, form, multipart")
def id_in_body(attack: Attack) -> None:
    for path in paths(attack):
        for method in ("GET", "POST"):
            as_self(attack, path, method=method, json={"tenant_id": attack.other})
            as_self(attack, path, method=method, data={"tenant_id": attack.other})
            as_self(attack, path, method=method, files={"tenant_id": attack.other.encode()})


@attempt("api", "SQL, patterns and scripts in every parameter")
def injections(attack: Attack) -> None:
    evils = (
        "2026-01-01' or '1'='1",
        "2026-01-01'; select set_config('app.current_tenant_id', null, false); --",
        "2026-01-01' union all select tenant_name from tenant_analytics.tenant_directory --",
        "%' or true --",
        "*",
        "__proto__",
        "${jndi:ldap://127.0.0.1}",
        "\x00",
        "{{7*7}}",
    )
    for path in paths(attack):
        names = ("from", "to", "grain", "sort", "limit", "cursor")
        for evil in evils:
            as_self(attack, path, params=dict.fromkeys(names, evil))
            for name in names if path in ("/v1/usage", "/v1/users") else ():
                as_self(attack, path, params={name: evil})


@attempt("api", "days on which only other tenants have figures")
def others_days(attack: Attack) -> None:
    day = attack.know(FIRST_DAY.isoformat())
    last = attack.know("1979-04-30")
    for path in paths(attack):
        answer = as_self(attack, path, params={"from": day, "to": last})
        attack.know("1979-03-31")
        for line in getattr(answer, "text", "").splitlines():
            for found in (f"1979-0{month}-{number:02}" for month in (1, 2, 3, 4) for number in range(1, 32)):
                if found in line:
                    attack.know(found)  # ends of ranges that were asked for are no news; figures on them would be
        as_self(attack, path, params={"from": "0001-01-01", "to": "0001-01-02"})


@attempt("api", "cursors: another tenant's that leaked, bent ones, pages without end")
def cursors(attack: Attack) -> None:
    """A cursor says where its owner's reading stopped. Under the own token it leads to own rows or nowhere."""
    world = attack.world
    own, theirs = (tokens.header(tokens.genuine(world, tenant_id=each)) for each in (world.own.id, world.others[0].id))
    for path in paths(attack, exports=False):
        for cursor in filter(None, (next_cursor(world.ask(f"{path}?limit=2", headers=each)) for each in (theirs, own))):
            attack.know(cursor)
            for bent in (cursor, cursor[::-1], cursor + "A", cursor[:-2]):
                answer = world.ask(f"{path}?limit=500&cursor={quote(bent)}", headers=own)
                attack.glimpse(answer)
        for cursor in ("a", "MTA=", "-1", "0", "e30=", attack.other):
            as_self(attack, path, params={"cursor": cursor, "limit": "500"})
        for limit in ("-1", "0", "1000000", "1e9", "501"):
            as_self(attack, path, params={"limit": limit})


def next_cursor(answer: object) -> str:
    return str(answer.get("next_cursor") or "") if isinstance(answer, dict) else ""


@attempt("api", "another's ETag, any ETag, and the own one after another was served")
def etags(attack: Attack) -> None:
    world = attack.world
    for path in paths(attack):
        theirs = world.ask_headers(path, tokens.header(tokens.genuine(world, tenant_id=world.others[0].id))).get("etag")
        own = world.ask_headers(path, tokens.header(tokens.own(world))).get("etag")
        if theirs is not None and theirs == own:
            attack.accuse(f"{path}: two tenants have the same ETag")
        if theirs is not None:
            answer = attack.get(path, headers={**tokens.header(tokens.own(world)), "If-None-Match": theirs})
            if answer.status_code == 304:
                attack.accuse(f"{path} is unchanged under another tenant's ETag")
        as_self(attack, path, headers={"If-None-Match": 'W/"1"'})
        as_self(attack, path, headers={"If-Modified-Since": "Sun, 22 Nov 2099 00:00:00 GMT"})
        as_self(attack, path, headers={"If-Match": '"1"'})


@attempt("api", "answers that a cache between would give to the next one")
def shared_caches(attack: Attack) -> None:
    world = attack.world
    for path in paths(attack):
        world.ask(path, headers=tokens.header(tokens.genuine(world, tenant_id=world.others[0].id)))
        for suffix in ("", "?", "?x", "#a", "/.css", "%2ecss"):
            answer = attack.get(path + suffix, headers=tokens.header(tokens.own(world)))
            kept = answer.headers.get("cache-control", "")
            if answer.status_code == 200 and not {"no-store", "private"} & {each.strip() for each in kept.split(",")}:
                attack.accuse(f"{path}{suffix} may be kept by a shared cache")
        attack.get(path, headers={})
        attack.get(path, headers={"Cache-Control": "only-if-cached", "X-Forwarded-Host": "other.example"})


@attempt("api", "ranges of bytes, and of what is longer than the own answer")
def byte_ranges(attack: Attack) -> None:
    for path in paths(attack):
        for each in ("bytes=0-10", "bytes=100000-", "bytes=-500", "bytes=0-,0-"):
            as_self(attack, path, headers={"Range": each})


@attempt("api", "HEAD and OPTIONS, with and without a token")
def head_and_options(attack: Attack) -> None:
    for path in [*paths(attack), "/", "/healthz", "*"]:
        for method in ("HEAD", "OPTIONS"):
            if path != "*":
                as_self(attack, path, method=method)
                attack.get(path, method=method)


@attempt("api", "methods that write, and overrides of the method")
def methods(attack: Attack) -> None:
    for path in paths(attack):
        for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND"):
            if method != "CONNECT":
                as_self(attack, path, method=method)
        as_self(attack, path, method="POST", headers={"X-HTTP-Method-Override": "GET", "X-Tenant-Id": attack.other})


@attempt("api", "CORS: a page of another origin reads answers, simple, null and preflighted")
def cors(attack: Attack) -> None:
    for path in [*paths(attack), "/healthz"]:
        for origin in ("https://evil.example", "null", "http://127.0.0.1", attack.world.url + ".evil.example"):
            answers = (
                attack.get(path, headers={**tokens.header(tokens.own(attack.world)), "Origin": origin}),
                attack.get(
                    path,
                    method="OPTIONS",
                    headers={
                        "Origin": origin,
                        "Access-Control-Request-Method": "GET",
                        "Access-Control-Request-Headers": "authorization",
                    },
                ),
            )
            if any("access-control-allow-origin" in answer.headers for answer in answers):
                attack.accuse(f"{path} may be read by pages of {origin}")


@attempt("api", "a page embeds or includes answers: content types, JSONP, opener and resource policies")
def cross_site(attack: Attack) -> None:
    for path in paths(attack):
        answer = attack.get(path, headers=tokens.header(tokens.own(attack.world)))
        if answer.headers.get("x-content-type-options") != "nosniff":
            attack.accuse(f"{path} may be taken for a script")
        if "cross-origin-resource-policy" not in answer.headers:
            attack.accuse(f"{path} may be embedded by any page")
        for name in ("callback", "jsonp", "cb", "format"):
            as_self(attack, path, params={name: "steal"})
        as_self(attack, path, headers={"Accept": "text/html"})
        as_self(attack, path, headers={"Accept": "application/javascript"})


@attempt("api", "errors: what they say about the inside, by every fault a request can have")
def errors(attack: Attack) -> None:
    for path in [*paths(attack), "/v1", "/v1/nothing", "/nothing", "/v1/usage/"]:
        as_self(attack, path, params={"from": "not a day"})
        as_self(attack, path, params={"from": "2026-02-30", "to": "x" * 3000})
        as_self(attack, path, params={"unknown": attack.other})
        attack.get(path, headers={"Authorization": "Bearer é".encode()})
        attack.get(path, headers={"Accept": "application/xml", "Accept-Language": "\x7f"})


@attempt("api", "the paths that need no token: health, the document, files")
def public_paths(attack: Attack) -> None:
    for path in ("/healthz", "/openapi.json", "/docs", "/redoc", "/metrics", "/debug", "/v1", "/status", "/version"):
        attack.get(path)
        attack.get(path, params={"tenant_id": attack.other, "verbose": "1"})


@attempt("api", "a token of a tenant that does not exist against one without rows")
def existence(attack: Attack) -> None:
    """Who names a tenant to the API holds its token; what is learnt from a refusal or its absence is nothing."""
    stranger = tokens.genuine(attack.world, tenant_id="12345678-1234-4234-8234-123456789012")
    for path in paths(attack):
        attack.get(path, headers=tokens.header(stranger))


@attempt("api", "how often others ask: rate limits and counters")
def rate_limits(attack: Attack) -> None:
    world = attack.world
    theirs = tokens.header(tokens.genuine(world, tenant_id=world.others[0].id))
    path = "/v1/freshness"
    before = _remaining(world.ask_headers(path, tokens.header(tokens.own(world))))
    for _ in range(20):
        world.ask_headers(path, theirs)
    after = _remaining(world.ask_headers(path, tokens.header(tokens.own(world))))
    if before - after > 5:
        attack.accuse("another tenant's requests count against one's own limit")
    as_self(attack, path)


def _remaining(headers: Mapping[str, str]) -> int:
    found = re.search(r";r=(\d+)", headers["RateLimit"])
    assert found is not None
    return int(found[1])


@attempt("api", "web sockets")
def web_sockets(attack: Attack) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    for path in [*paths(attack), "/", "/ws", "/v1/ws", "/v1/stream"]:
        lines = "".join(f"{name}: {value}\r\n" for name, value in upgrade.items())
        answer = raw(attack, f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        if b" 101 " in answer.split(b"\r\n")[0]:
            attack.accuse(f"{path} opens a web socket")


@attempt("api", "server-sent events")
def events(attack: Attack) -> None:
    for path in [*paths(attack), "/events", "/v1/events", "/v1/stream", "/stream"]:
        answer = attack.get(
            path,
            headers={**tokens.header(tokens.own(attack.world)), "Accept": "text/event-stream", "Last-Event-ID": "0"},
        )
        if "event-stream" in answer.headers.get("content-type", ""):
            attack.accuse(f"{path} offers a stream")


@attempt("api", "requests within requests: lengths that contradict, chunks, pipelining")
def smuggling(attack: Attack) -> None:
    """Whatever is made of them, the second request has no token of another tenant to ride on."""
    host = "Host: x\r\n"
    inner = f"GET /v1/usage?tenant_id={attack.other} HTTP/1.1\r\n{host}\r\n"
    mine = f"Authorization: Bearer {tokens.own(attack.world)}\r\n"
    for request in (
        f"POST /healthz HTTP/1.1\r\n{host}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}",
        f"POST /healthz HTTP/1.1\r\n{host}Content-Length: {len(inner)}\r\nContent-Length: 0\r\n\r\n{inner}",
        f"POST /healthz HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{inner}",
        f"GET /v1/usage HTTP/1.1\r\n{host}{mine}\r\n{inner}",
        f"GET /v1/usage HTTP/1.1\r\n{host}{mine}X: a\r\n Authorization: Bearer x\r\n\r\n",
        f"GET /v1/usage HTTP/1.1\r\n{host}{mine}X-Tenant-Id\x00: {attack.other}\r\n\r\n",
        f"GET /v1/usage HTTP/1.0\r\n{mine}\r\n",
        f"GET http://other.example/v1/usage HTTP/1.1\r\n{host}{mine}\r\n",
        f"GET /v1/usage HTTP/1.1\r\n{host}Host: other.example\r\n{mine}\r\n",
        f"GET /v1/usage\tHTTP/1.1\r\n{host}{mine}\r\n",
    ):
        raw(attack, request.encode("latin-1"))


def raw(attack: Attack, request: bytes) -> bytes:
    """Bytes to the server and all that comes back within a moment of silence."""
    where = urlsplit(attack.world.url)
    with socket.create_connection((str(where.hostname), int(where.port or 0)), timeout=5) as connection:
        connection.sendall(request)
        connection.settimeout(0.15)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except (TimeoutError, ConnectionResetError):
            pass
    attack.note(*(line for line in answer.split(b"\r\n") if not line.lower().startswith(_VARYING)))
    return answer


@attempt("api", "paths spelt otherwise: slashes, dots, cases, encodings, hosts")
def spellings(attack: Attack) -> None:
    for path in ("//v1/usage", "/v1//usage", "/V1/USAGE", "/v1/./usage", "/v1/usage%00", "/v1/%75sage", "/v1/usage/..",
                 "/v1/features/../usage", "/v1/usage.json", "/v1/usage%2f", "/%76%31/usage", "/v1\\usage"):  # fmt: skip
        as_self(attack, path, headers={"X-Forwarded-Host": "other.example", "X-Forwarded-For": "127.0.0.1"})
        attack.get(path)


@attempt("files", "exports: the own rows and no others, in every format, and the file's name")
def exports(attack: Attack) -> None:
    for path in [each for each in paths(attack) if "export" in each]:
        for query in ("", "?from=2026-01-01&to=2026-01-31", f"?tenant_id={attack.other}"):
            answer = attack.get(path + query, headers=tokens.header(tokens.own(attack.world)))
            if answer.status_code == 200 and path.endswith("parquet"):
                with duckdb.connect() as connection:
                    rows = connection.from_arrow(parquet(answer.content)).fetchall()
                attack.note(*rows)


def parquet(content: bytes) -> object:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(io.BytesIO(content))


@attempt("files", "exports by another's name: ids and slugs in file names, formats that are none")
def export_names(attack: Attack) -> None:
    own = tokens.header(tokens.own(attack.world))
    slug = attack.know(attack.world.named.slug)
    for name in (attack.other, slug, "tenant_directory", "..", "../jwks", "*"):
        for suffix in ("csv", "parquet", "json"):
            attack.get(f"/v1/exports/{quote(name, safe='.*')}.{suffix}", headers=own)


@attempt("files", "exports without a token, and under forged ones")
def export_tokens(attack: Attack) -> None:
    world = attack.world
    attack.know(world.named.id)
    for path in [each for each in paths(attack) if "export" in each]:
        for headers in ({}, tokens.header(tokens.bent(world)), tokens.header(tokens.unsigned(world, "none"))):
            if attack.get(path, headers=headers).status_code < 400:
                attack.accuse(f"{path} gave a file to whoever asked")


@attempt("files", "files beside the dashboard's: keys, state, sources, listings, by every way out of the folder")
def other_files(attack: Attack) -> None:
    state = attack.world.settings.demo_dir
    for target in ("jwks.json", "jwt_key.pem", "tailrace.yml", "warehouse.duckdb", "etc/passwd", "serving/api/auth.py"):
        for way in (
            "/",
            "/../",
            "/../../",
            "/..%2f..%2f",
            "/%2e%2e/%2e%2e/",
            "/....//",
            "/static/",
            "/dashboard/",
            "//",
        ):
            raw(attack, f"GET {way}{target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    raw(attack, f"GET {state / 'jwks.json'} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    for path in (
        "/.git/config",
        "/.env",
        "/app.js.map",
        "/dashboard",
        "/tests",
        "/analytics.duckdb",
        "/us/analytics.duckdb",
    ):
        attack.get(path)


@attempt("dashboard", "the page and its files, without a token: nobody's name, id or figure")
def page(attack: Attack) -> None:
    found = attack.get("/")
    for path in ("/index.html", "/app.js", "/dashboard.css", "/charts.js", "/format.js", "/icon.svg"):
        attack.get(path)
    if "content-security-policy" not in found.headers:
        attack.accuse("the page may load scripts from anywhere")


@attempt("dashboard", "the page asked for another tenant: in its address, headers and cookies")
def page_for_another(attack: Attack) -> None:
    plain = attack.get("/").content
    for options in (
        {"params": {"tenant_id": attack.other, "token": tokens.bent(attack.world)}},
        {"headers": {"X-Tenant-Id": attack.other, "Cookie": f"tenant_id={attack.other}"}},
        {"headers": tokens.header(tokens.bent(attack.world))},
        {"headers": tokens.header(tokens.own(attack.world))},
    ):
        if attack.get("/", **options).content != plain:  # type: ignore[arg-type]
            attack.accuse("the page differs by who is said to ask, so a cache could mix them up")


@attempt("dashboard", "the page's policy: scripts, connections, forms, frames, referrers")
def page_policy(attack: Attack) -> None:
    headers = attack.get("/").headers
    policy = headers.get("content-security-policy", "")
    for wanted in ("default-src 'none'", "connect-src 'self'", "form-action 'none'", "base-uri 'none'"):
        if wanted not in policy:
            attack.accuse(f"the page's policy lacks {wanted}")
    if "unsafe-inline" in policy or "unsafe-eval" in policy:
        attack.accuse("the page's policy lets inline code run")
    if headers.get("referrer-policy") != "no-referrer":
        attack.accuse("the page's address goes to other hosts")
