"""Keys and tokens of the demo. In production the product's own identity provider signs, and these are not used."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from settings import Settings

_KEY_FILE, _JWKS_FILE = "jwt_key.pem", "jwks.json"


def ensure_demo_keys(settings: Settings) -> Path:
    """Make the demo's signing key (readable by its owner only) and its JWKS if missing; returns the JWKS path."""
    settings.demo_dir.mkdir(parents=True, exist_ok=True)
    key_file, jwks_file = settings.demo_dir / _KEY_FILE, settings.demo_dir / _JWKS_FILE
    if not key_file.exists():
        made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write(key_file, pem, mode=0o600)
    key, name = _key(settings)
    public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    content = json.dumps({"keys": [public | {"kid": name, "alg": "RS256", "use": "sig"}]}, indent=2).encode()
    if not jwks_file.exists() or jwks_file.read_bytes() != content:
        _write(jwks_file, content, mode=0o644)
    return jwks_file


def mint_demo_token(settings: Settings, tenant_id: str, *, lifetime: timedelta = timedelta(hours=12)) -> str:
    """A token that shows one tenant's figures, signed by the demo's key, which is made if it is missing."""
    ensure_demo_keys(settings)
    now = datetime.now(UTC)
    claims = {
        "iss": settings.serving.issuer,
        "aud": settings.serving.audience,
        "sub": "demo",
        "tenant_id": tenant_id,
        "iat": now,
        "exp": now + lifetime,
    }
    key, name = _key(settings)
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": name})


def _key(settings: Settings) -> tuple[rsa.RSAPrivateKey, str]:
    """The signing key, and what its tokens and the JWKS call it."""
    return _loaded((settings.demo_dir / _KEY_FILE).read_bytes())


@lru_cache(maxsize=8)  # a key is checked as it is loaded, which takes a hundred times as long as to sign
def _loaded(pem: bytes) -> tuple[rsa.RSAPrivateKey, str]:
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key, hashlib.sha256(der).hexdigest()[:16]


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """In one step, so that a reader never sees half a file."""
    following = path.with_name(path.name + ".next")
    descriptor = os.open(following, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    following.replace(path)
