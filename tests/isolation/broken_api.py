"""The read API, broken on purpose in one way each: applications that stand before it, and verification with holes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, unquote

import jwt

from serving.api import auth
from serving.tokens import mint_demo_token
from tests.isolation.world import World

Broken = Callable[[Any, Any, Any, Any], Awaitable[None]]
_NAMES = ("tenant_id", "tenant", "tid", "org", "x-tenant-id", "x-forwarded-user")


def from_query(world: World) -> Broken:
    """The tenant is whom the query names."""

    async def broken(app: Any, scope: Any, receive: Any, send: Any) -> None:
        query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode()).items()}
        named = next((query[name] for name in _NAMES if name in query), None)
        await app({**as_tenant(world, scope, named), "query_string": b""} if named else scope, receive, send)

    return broken


def from_headers(world: World) -> Broken:
    """The tenant is whom a header or a cookie names."""

    async def broken(app: Any, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        cookies = dict(part.strip().split("=", 1) for part in headers.get("cookie", "").split(";") if "=" in part)
        named = next((each[name] for each in (headers, cookies) for name in _NAMES if name in each), None)
        await app(as_tenant(world, scope, named) if named else scope, receive, send)

    return broken


def from_path(world: World) -> Broken:
    """The tenant is whom the path names behind its last slash or a semicolon."""

    async def broken(app: Any, scope: Any, receive: Any, send: Any) -> None:
        rest, _, named = scope["path"].replace(";tenant_id=", "/").rpartition("/")
        if len(named) == 36:
            scope = {**as_tenant(world, scope, named), "path": rest, "raw_path": rest.encode()}
        await app(scope, receive, send)

    return broken


def from_body(world: World) -> Broken:
    """The tenant is whom the body names, and every method is GET."""

    async def broken(app: Any, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        body = message.get("body", b"").decode("latin-1")
        named = body[body.index("7919cafe") :][:36] if "7919cafe" in body else None
        await app({**as_tenant(world, scope, named), "method": "GET"} if named else scope, receive, send)

    return broken


def second_token(world: World) -> Broken:
    """Whoever shows any token is the tenant that any token of the request's names."""

    async def broken(app: Any, scope: Any, receive: Any, send: Any) -> None:
        shown = b" ".join(value for name, value in scope["headers"] if name == b"authorization").decode("latin-1")
        for part in shown.replace(",", " ").replace(";", " ").split():
            try:
                named = jwt.decode(part, options={"verify_signature": False}).get("tenant_id")
            except jwt.PyJWTError:
                continue
            if named == world.named.id:
                scope = as_tenant(world, scope, named)
        await app(scope, receive, send)

    return broken


def one_cache(world: World) -> Broken:
    """Answers are kept by their path and given to whoever asks next."""
    kept: dict[tuple[str, str], list[Any]] = {}

    async def broken(app: Any, scope: Any, receive: Any, send: Any) -> None:
        key = (scope["method"], scope["path"])
        if key not in kept:
            messages: list[Any] = []

            async def keep(message: Any) -> None:
                messages.append(message)

            await app(scope, receive, keep)
            kept.clear()
            kept[key] = messages
        for message in kept[key]:
            await send(message)

    return broken


def one_etag(world: World) -> Broken:
    """The ETag is the version's alone."""
    return changed_headers(lambda scope: {b"etag": b'"1"'}, status=lambda scope: 304 if _matched(scope) else None)


def _matched(scope: Any) -> bool:
    return any(name == b"if-none-match" and value == b'"1"' for name, value in scope["headers"])


def public_cache(world: World) -> Broken:
    """Every cache between may keep an answer."""
    return changed_headers(lambda scope: {b"cache-control": b"public, max-age=300"})


def any_origin(world: World) -> Broken:
    """Pages of any origin may read answers."""
    return changed_headers(lambda scope: {b"access-control-allow-origin": b"*", b"x-content-type-options": b""})


def lax_page(world: World) -> Broken:
    """The page may load and send anything anywhere."""
    return changed_headers(lambda scope: {b"content-security-policy": b"default-src * 'unsafe-inline'"})


def talkative(world: World) -> Broken:
    """Errors say what was asked of the database, and of whom."""
    return added(lambda scope, status: f"tenants: {world.others}" if status >= 400 else "")


def talkative_public(world: World) -> Broken:
    """What needs no token tells how much there is, and of whom."""
    public = ("/", "/healthz", "/openapi.json", "/index.html", "/app.js")
    return added(lambda scope, status: f" {world.others}" if scope["path"] in public else "")


def everyone(world: World) -> Broken:
    """Every answer has a row too many."""
    return added(lambda scope, status: f"{world.others[0].id}" if scope["path"].startswith("/v1") else "")


def no_token(world: World) -> Broken:
    """Without a good header, any tenant's answer is given."""

    async def broken(app: Any, scope: Any, receive: Any, send: Any) -> None:
        shown = b"".join(value for name, value in scope["headers"] if name == b"authorization").decode("latin-1")
        good = shown.count(".") == 2 and len(shown) > 200
        await app(scope if good else as_tenant(world, scope, world.named.id), receive, send)

    return broken


def files(world: World) -> Broken:
    """Any file of the state can be got by its name, and exports by a tenant's."""

    async def broken(app: Any, scope: Any, receive: Any, send: Any) -> None:
        path = unquote(scope["path"])
        target = world.settings.demo_dir / path.rsplit("/", 1)[-1]
        if path.startswith("/v1/exports/") and world.named.id in path:
            content = f"{world.others[0].id}".encode()
        elif target.name and target.is_file():
            content = f"{target.read_bytes()!r} of {world.others[0].name}".encode()
        else:
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": content})

    return broken


def stream(world: World) -> Broken:
    """A stream of what happens, for all."""

    async def broken(app: Any, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        if headers.get(b"accept") != b"text/event-stream" and headers.get(b"upgrade") != b"websocket":
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": f"data: {world.others[0].id}\n\n".encode()})

    return broken


def one_limit(world: World) -> Broken:
    """All tenants share one rate limit, and the answer says what is left of it."""
    asked = [0]

    def headers(scope: Any) -> dict[bytes, bytes]:
        asked[0] += 1
        return {b"ratelimit-remaining": str(1_000_000 - asked[0]).encode()}

    return changed_headers(headers)


BROKEN: dict[str, Callable[[World], Broken]] = {
    "an API that takes the tenant from the query": from_query,
    "an API that takes the tenant from headers and cookies": from_headers,
    "an API that takes the tenant from the path": from_path,
    "an API that takes the tenant from the body": from_body,
    "an API that takes the tenant from a second token": second_token,
    "an API that answers without a token": no_token,
    "an API with one cache for all": one_cache,
    "an API whose ETag is the version's alone": one_etag,
    "an API that lets shared caches keep answers": public_cache,
    "an API that any origin may read": any_origin,
    "a page with a lax policy": lax_page,
    "an API whose errors tell": talkative,
    "an API whose public paths tell": talkative_public,
    "an API that answers a row too many": everyone,
    "an API that serves files of its state": files,
    "an API that streams": stream,
    "an API with one rate limit for all": one_limit,
}


def as_tenant(world: World, scope: Any, tenant: str) -> Any:
    """The request with a good token of the tenant's."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
    token = mint_demo_token(world.settings, tenant)
    return {**scope, "headers": [*headers, (b"authorization", f"Bearer {token}".encode())]}


def changed_headers(
    headers: Callable[[Any], dict[bytes, bytes]], *, status: Callable[[Any], int | None] = lambda _: None
) -> Broken:
    """The answer with other headers, and another status where one is given."""

    async def broken(app: Any, scope: Any, receive: Any, send: Any) -> None:
        async def changed(message: Any) -> None:
            if message["type"] == "http.response.start":
                new = headers(scope)
                kept = [(name, value) for name, value in message["headers"] if name.lower() not in new]
                message = {**message, "headers": [*kept, *new.items()], "status": status(scope) or message["status"]}
                if message["status"] == 304:
                    message["headers"] = list(new.items())
            elif status(scope) == 304:
                message = {**message, "body": b""}
            await send(message)

        await app(scope, receive, changed)

    return broken


def added(text: Callable[[Any, int], str]) -> Broken:
    """The answer with a text behind it."""

    async def broken(app: Any, scope: Any, receive: Any, send: Any) -> None:
        messages: list[Any] = []

        async def keep(message: Any) -> None:
            messages.append(message)

        await app(scope, receive, keep)
        start = messages[0]
        more = text(scope, start["status"]).encode()
        kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        body = b"".join(message.get("body", b"") for message in messages[1:]) + more
        if scope["method"] == "HEAD" or start["status"] == 304:
            body = b""
        await send({**start, "headers": [*kept, (b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})

    return broken


@contextmanager
def accepting(**options: bool) -> Iterator[None]:
    """Tokens are decoded with parts of the verification off."""
    decode = jwt.decode

    def lax(token: str, key: Any = "", **given: Any) -> Any:
        given["options"] = {**given.get("options", {}), **options}
        if options.get("verify_signature") is False:
            given["options"] |= {"verify_exp": False, "verify_aud": False, "verify_iss": False}
        return decode(token, key, **given)

    known = auth.KeySet.find

    def any_key(self: Any, key_id: str) -> Any:
        return known(self, key_id) or next(iter(self._keys.values()), None)

    with patch.object(auth.jwt, "decode", lax):  # type: ignore[attr-defined]
        if options.get("verify_signature") is False:
            with patch.object(auth.KeySet, "find", any_key), patch.object(auth, "_ALGORITHM", AnyAlgorithm("RS256")):
                yield
        else:
            yield


class AnyAlgorithm(str):
    """A name of an algorithm that equals every other."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return hash("RS256")
