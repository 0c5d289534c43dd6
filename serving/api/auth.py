"""Who asks: the tenant that a signed token names, and nothing else in the request."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import jwt

from serving.api.problems import UnauthorizedError, UnavailableError

# The one algorithm: a token's own header never chooses, so alg=none and HMAC under the public key are refused.
_ALGORITHM = "RS256"
_LEEWAY_SECONDS = 30
_TIMEOUT_SECONDS = 5
# An unknown key id makes the set be read again, for rotation; not more often than this, or anyone could make us busy.
_LEAST_SECONDS_BETWEEN_READS = 10.0


class KeySet:
    """The signing keys of a JWKS at an https (or http) address or in a file, by key id. Safe across threads."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = float("-inf")

    def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key, reading the set again when the id is new. Raises UnavailableError when it cannot be read at all."""
        if key_id in self._keys:
            return self._keys[key_id]
        with self._lock:
            if time.monotonic() - self._read_at >= _LEAST_SECONDS_BETWEEN_READS:
                self._keys = self._read()
                self._read_at = time.monotonic()
        return self._keys.get(key_id)

    def _read(self) -> dict[str, jwt.PyJWK]:
        try:
            keys = jwt.PyJWKSet.from_dict(json.loads(self._bytes())).keys
        except (OSError, ValueError, jwt.PyJWTError):
            if self._keys:
                return self._keys  # the keys that were known stay good while their source is away
            raise UnavailableError from None
        return {key.key_id: key for key in keys if key.key_id and key.key_type == "RSA"}

    def _bytes(self) -> bytes:
        if self._location.startswith(("https://", "http://")):
            with urllib.request.urlopen(self._location, timeout=_TIMEOUT_SECONDS) as answer:
                return bytes(answer.read(1 << 20))
        return Path(self._location.removeprefix("file://")).read_bytes()


class Verifier:
    """Turns a bearer token into the id of the tenant that may be shown."""

    def __init__(self, keys: KeySet, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    def tenant(self, authorization: str | None) -> uuid.UUID:
        """The claim ``tenant_id`` of a valid token. Raises UnauthorizedError, the same for every fault."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthorizedError
        try:
            return uuid.UUID(self._claims(token.strip())["tenant_id"])
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            raise UnauthorizedError from None

    def _claims(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        key = self._keys.find(str(header.get("kid", "")))
        if header.get("alg") != _ALGORITHM or key is None:
            raise UnauthorizedError
        return jwt.decode(
            token,
            key.key,
            algorithms=[_ALGORITHM],
            issuer=self._issuer,
            audience=self._audience,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", "tenant_id"]},
        )
