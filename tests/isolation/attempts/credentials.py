"""Attempts on the API by credentials: tokens forged, bent, expired, meant for others, or put where none belongs."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from tests.isolation import tokens
from tests.isolation.attempts.paths import paths
from tests.isolation.registry import Attack, attempt


def try_tokens(attack: Attack, each: Iterable[str]) -> None:
    """Each token at each path; one that is let in is told by what it is shown, and by its status."""
    attack.know(attack.world.named.id)
    for token in each:
        for path in paths(attack):
            answer = attack.get(path, headers=tokens.header(token))
            if answer.status_code < 400:
                attack.accuse(f"{path} let a token in that is not good")


@attempt("api", "no token, half a token, another scheme")
def no_token(attack: Attack) -> None:
    for path in paths(attack):
        for value in (None, "", "Bearer", "Bearer ", "Bearer null", "Basic YTph", f"Token {tokens.own(attack.world)}"):
            answer = attack.get(path, headers={"Authorization": value} if value is not None else {})
            if answer.status_code < 400:
                attack.accuse(f"{path} answered without a token")


@attempt("api", "text that is no token")
def garbage(attack: Attack) -> None:
    try_tokens(attack, ["a", "a.b.c", "..", "." * 5000, "e30.e30.", "' or true --", "%00", "{}"])


@attempt("api", "a genuine token of another tenant that has expired")
def expired(attack: Attack) -> None:
    try_tokens(attack, [tokens.genuine(attack.world, exp=tokens.past(minutes)) for minutes in (2, 60, 60 * 24 * 400)])


@attempt("api", "a genuine token of another tenant that is not good yet, or never ends")
def not_yet(attack: Attack) -> None:
    later = tokens.past(0) + timedelta(hours=1)
    try_tokens(attack, [tokens.genuine(attack.world, nbf=later), tokens.genuine(attack.world, exp=None)])


@attempt("api", "a genuine token of another tenant for another audience")
def other_audience(attack: Attack) -> None:
    audiences = ("another", "", ["another"], attack.world.settings.serving.audience.upper(), None)
    try_tokens(attack, [tokens.genuine(attack.world, aud=each) for each in audiences])


@attempt("api", "a genuine token of another tenant by another issuer")
def other_issuer(attack: Attack) -> None:
    issuer = attack.world.settings.serving.issuer
    try_tokens(
        attack, [tokens.genuine(attack.world, iss=each) for each in ("another", issuer + "/", issuer[:-1], None)]
    )


@attempt("api", "another tenant's id under alg=none, in every spelling")
def unsigned(attack: Attack) -> None:
    spellings = ("none", "None", "NONE", "nOnE", "", "null")
    try_tokens(attack, [tokens.unsigned(attack.world, each, body) for each in spellings for body in (b"", b"x")])


@attempt("api", "another tenant's id under HMAC with the public key as the secret")
def confused(attack: Attack) -> None:
    world = attack.world
    try_tokens(
        attack,
        [tokens.by_hmac(world, form, each) for form in tokens.public_forms(world) for each in ("HS256", "HS512")],
    )


@attempt("api", "another tenant's id under the attacker's key and the known key's name")
def other_key(attack: Attack) -> None:
    world = attack.world
    try_tokens(attack, [tokens.forged(world, algorithm=each) for each in ("RS256", "RS384", "RS512", "PS256")])


@attempt("api", "key ids that name files, addresses, queries and nothing")
def key_ids(attack: Attack) -> None:
    ids = (
        *(
            "",
            "../jwks.json",
            "/dev/null",
            "file:///dev/null",
            "http://127.0.0.1:9/keys",
            "' or 1=1 --",
            "mine",
            "\x00",
        ),
        *([], {}, None, 0, True),
    )
    try_tokens(attack, [tokens.forged(attack.world, headers={"kid": each}) for each in ids])


@attempt("api", "keys that the token itself brings or points to: jku, x5u, jwk, x5c")
def brought_keys(attack: Attack) -> None:
    with key_server() as (address, asked):
        jwk = tokens.forger_jwk()
        headers = (
            {"jku": address},
            {"x5u": address},
            {"jku": address, "kid": "mine"},
            {"jwk": jwk},
            {"jwk": jwk, "kid": "mine"},
            {"x5c": ["MIIB"]},
            {"crit": ["exp"], "kid": "mine"},
        )
        try_tokens(attack, [tokens.forged(attack.world, headers=each) for each in headers])
        if asked:
            attack.accuse("the API asked an address that a token named for keys")


@contextmanager
def key_server() -> Iterator[tuple[str, list[str]]]:
    """The attacker's key set over HTTP, and what was asked of it."""
    asked: list[str] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"keys": [tokens.forger_jwk()]}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/keys", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@attempt("api", "the own token with another tenant's claims, its signature bent, cut or zero")
def altered(attack: Attack) -> None:
    world = attack.world
    head, claims, signature = tokens.own(world).split(".")
    other = tokens.bent(world)
    try_tokens(
        attack,
        [
            other,
            f"{head}.{other.split('.')[1]}.",
            f"{head}.{other.split('.')[1]}",
            f"{head}.{claims}.{other.split('.')[1]}.{signature}",
            f"{head}.{other.split('.')[1]}.{'A' * len(signature)}",
            f"{head}.{other.split('.')[1]}.{signature}.{signature}",
        ],
    )


@attempt("api", "another tenant's token beside the own one: headers twice, joined by commas and semicolons")
def two_headers(attack: Attack) -> None:
    world = attack.world
    mine, theirs = tokens.own(world), tokens.bent(world)
    attack.know(world.named.id)
    for path in paths(attack):
        for first, second in ((mine, theirs), (theirs, mine)):
            attack.get(path, headers=[("Authorization", f"Bearer {first}"), ("Authorization", f"Bearer {second}")])
            attack.get(path, headers={"Authorization": f"Bearer {first}, Bearer {second}"})
            attack.get(path, headers={"Authorization": f"Bearer {first};{second}"})
            attack.get(path, headers={"Authorization": f"Bearer {first} {second}"})


@attempt("api", "tokens where none belongs: query, cookie, body, other headers")
def elsewhere(attack: Attack) -> None:
    token = tokens.own(attack.world)
    for path in paths(attack):
        for options in (
            {"params": {"access_token": token}},
            {"params": {"token": token}},
            {"headers": {"Cookie": f"token={token}; access_token={token}; session={token}"}},
            {"headers": {"X-Authorization": f"Bearer {token}"}},
            {"headers": {"Proxy-Authorization": f"Bearer {token}"}},
            {"headers": {"X-Api-Key": token}},
            {"method": "POST", "data": {"access_token": token}},
        ):
            answer = attack.get(path, **options)  # type: ignore[arg-type]
            if answer.status_code < 400:
                attack.accuse(f"{path} took a token from elsewhere than its header")


@attempt("api", "keys that the product never gave: as bearer, as API key, as another tenant's prefix")
def api_keys(attack: Attack) -> None:
    attack.know(attack.world.named.id)
    for path in paths(attack):
        for key in ("tr_0", "tr_live_0", f"tr_{attack.world.named.id}_x", "x" * 64, f"{attack.world.named.id}:x", ""):
            for headers in ({"X-Api-Key": key}, {"Authorization": f"ApiKey {key}"}, {"Authorization": f"Bearer {key}"}):
                answer = attack.get(path, headers=headers)
                if answer.status_code < 400:
                    attack.accuse(f"{path} took a key that was never given")
