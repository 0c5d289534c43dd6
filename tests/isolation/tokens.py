"""Tokens as an attacker would make, keep or bend them."""

from __future__ import annotations

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from serving.tokens import mint_demo_token
from tests.isolation.world import World

PublicKey = rsa.RSAPublicKey


def own(world: World) -> str:
    """A good token of the attacker's own tenant."""
    return mint_demo_token(world.settings, world.own.id)


def header(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@cache
def forger() -> rsa.RSAPrivateKey:
    """A key that no key set names."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def genuine(world: World, **claims: Any) -> str:
    """A token that the product's own key signed for the other tenant, but for the claims given (None leaves one out).

    Only one that is no longer, not yet, or elsewhere good may be in the attacker's hands.
    """
    kept = {name: value for name, value in (_claims(world) | claims).items() if value is not None}
    return jwt.encode(kept, _signing_key(world), algorithm="RS256", headers={"kid": key_id(world)})


def forged(world: World, *, headers: dict[str, Any] | None = None, algorithm: str = "RS256") -> str:
    """A token for the other tenant under the attacker's key and under the known key's name."""
    named = {"kid": key_id(world)} | (headers or {})
    if all(isinstance(value, str) for value in named.values()) and named["kid"] and "crit" not in named:
        return jwt.encode(_claims(world), forger(), algorithm=algorithm, headers=named)
    # The library refuses to make some of what a server must refuse to take.
    return signed({"alg": algorithm, "typ": "JWT"} | named, _plain(world), b"\1" * 256)


def unsigned(world: World, algorithm: str, signature: bytes = b"") -> str:
    """A token for the other tenant that says it needs no signature."""
    return signed({"alg": algorithm, "typ": "JWT", "kid": key_id(world)}, _plain(world), signature)


def by_hmac(world: World, secret: bytes, algorithm: str = "HS256") -> str:
    """A token for the other tenant with the public key as if it were a shared secret."""
    text = f"{_part({'alg': algorithm, 'typ': 'JWT', 'kid': key_id(world)})}.{_part(_plain(world))}"
    return f"{text}.{_base64(hmac.digest(secret, text.encode(), 'sha' + algorithm[2:]))}"


def bent(world: World) -> str:
    """The attacker's own token with the other tenant in its claims and the signature left as it was."""
    start, _, signature = own(world).split(".")
    return f"{start}.{_part(_plain(world))}.{signature}"


def signed(head: dict[str, Any], claims: dict[str, Any], signature: bytes) -> str:
    return f"{_part(head)}.{_part(claims)}.{_base64(signature)}"


def public_forms(world: World) -> list[bytes]:
    """The public key as it may be taken for a secret."""
    public = _signing_key(world).public_key()
    forms = [
        public.public_bytes(encoding, kind)
        for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER)
        for kind in (serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1)
    ]
    return [*forms, (world.settings.demo_dir / "jwks.json").read_bytes(), b""]


def forger_jwk() -> dict[str, Any]:
    """The attacker's public key as a JWK."""
    return dict(jwt.algorithms.RSAAlgorithm.to_jwk(forger().public_key(), as_dict=True)) | {
        "kid": "mine",
        "alg": "RS256",
    }


def key_id(world: World) -> str:
    return str(jwt.get_unverified_header(own(world))["kid"])


def past(minutes: int = 60) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def _claims(world: World) -> dict[str, Any]:
    serving = world.settings.serving
    return {
        "iss": serving.issuer,
        "aud": serving.audience,
        "sub": "demo",
        "tenant_id": world.named.id,
        "exp": datetime.now(UTC) + timedelta(hours=1),
    }


def _plain(world: World) -> dict[str, Any]:
    claims = _claims(world)
    return claims | {"exp": int(claims["exp"].timestamp())}


def _signing_key(world: World) -> rsa.RSAPrivateKey:
    pem = (world.settings.demo_dir / "jwt_key.pem").read_bytes()
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _part(content: dict[str, Any]) -> str:
    return _base64(json.dumps(content).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
