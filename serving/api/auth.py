"""Who asks: the tenant that a signed token or an API key names, and nothing else in the request."""

from __future__ import annotations

import hashlib
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
# A key that was withdrawn is good for no longer than this.
_MOST_SECONDS_BETWEEN_READS = 300.0
# What was verified is believed for so long, unless the keys change before.
_BELIEVED_SECONDS = 30.0
_MOST_BELIEVED = 20_000


class KeySet:
    """The signing keys of a JWKS at an https (or http) address or in a file, by key id. Safe across threads."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = float("-inf")
        self.generation = 0

    def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key, reading the set again when the id is new or what is known is old; that may take seconds.

        Raises UnavailableError when it cannot be read at all.
        """
        known = self._keys.get(key_id)
        if known is not None and time.monotonic() - self._read_at < _MOST_SECONDS_BETWEEN_READS:
            return known
        with self._lock:
            if time.monotonic() - self._read_at >= _LEAST_SECONDS_BETWEEN_READS:
                before = self._keys
                self._keys = self._read()
                self._read_at = time.monotonic()
                if before.keys() != self._keys.keys():
                    self.generation += 1
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


class Believed:
    """What was verified a moment ago, under a hash of the header that proved it; of bounded size."""

    def __init__(self) -> None:
        self._tenants: dict[bytes, tuple[uuid.UUID, float, int]] = {}

    def find(self, authorization: str, *, generation: int) -> uuid.UUID | None:
        known = self._tenants.get(_digest(authorization))
        if known is None or known[1] <= time.time() or known[2] != generation:
            return None
        return known[0]

    def keep(self, authorization: str, tenant: uuid.UUID, *, until: float, generation: int) -> None:
        """``until``: when what proved it expires, as Unix time."""
        if len(self._tenants) >= _MOST_BELIEVED:
            self._tenants.clear()
        until = min(until, time.time() + _BELIEVED_SECONDS)
        self._tenants[_digest(authorization)] = (tenant, until, generation)


def _digest(authorization: str) -> bytes:
    return hashlib.blake2b(authorization.encode(), digest_size=24).digest()


def bearer(authorization: str | None) -> str:
    """What is presented. Raises UnauthorizedError without it."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthorizedError
    return token.strip()


class Verifier:
    """Turns a bearer token into the id of the tenant that may be shown."""

    def __init__(self, keys: KeySet, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    @property
    def generation(self) -> int:
        """Changes with the signing keys."""
        return self._keys.generation

    def verify(self, token: str) -> tuple[uuid.UUID, float]:
        """The claim ``tenant_id`` of a valid token, and until when (Unix time) it is one.

        Raises UnauthorizedError, the same for every fault.
        """
        try:
            claims = self._claims(token)
            return uuid.UUID(claims["tenant_id"]), float(claims["exp"]) + _LEEWAY_SECONDS
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
