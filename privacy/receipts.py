"""Signed receipts: what was done, where, to how many rows, and when; each holds the hash of the one before.

The signature is Ed25519 (RFC 8032). Its secret, 32 random bytes in hex, stands in an environment variable that the
configuration names; a receipt holds the public key, so that whoever knows whose that is can check it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from settings import Settings, TailraceError, secret

VERSION = 1
_GENESIS = "0" * 64


def receipts_dir(settings: Settings) -> Path:
    return settings.privacy_dir / "receipts"


def new_id() -> str:
    """An id that sorts by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def signing_key(settings: Settings) -> Ed25519PrivateKey:
    """Raises TailraceError, naming the variable, when it is not set or does not hold 32 bytes in hex."""
    variable = settings.privacy.receipt_key_env
    text = secret(variable, "receipts (make one with `openssl rand -hex 32`)")
    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))
    except ValueError:
        raise TailraceError(
            f"receipts: {variable} does not hold 32 bytes in hex; make one with `openssl rand -hex 32`"
        ) from None


def public_key(key: Ed25519PrivateKey) -> str:
    """In hex."""
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    return key.public_key().public_bytes(*raw).hex()


def issue(settings: Settings, body: dict[str, Any]) -> Path:
    """Sign and store a receipt; its path. The same id again gives the receipt that stands, and writes nothing.

    ``body`` has at least ``receipt``, the id. The caller holds the warehouse's lease, so that the chain has one end.
    """
    directory = receipts_dir(settings)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{body['receipt']}.json"
    if path.exists():
        return path
    key = signing_key(settings)
    chained = {"version": VERSION, **body, "previous": _last_hash(directory), "public_key": public_key(key)}
    digest = _digest(chained)
    whole = {**chained, "hash": digest, "signature": key.sign(bytes.fromhex(digest)).hex()}
    unfinished = path.with_suffix(".tmp")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return path


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What a check found. ``problems`` is empty for a receipt that holds; ``chain`` counts the receipts before it."""

    receipt: str
    kind: str
    outcome: str
    public_key: str
    chain: int
    problems: tuple[str, ...]


def verify(path: Path, *, trusted: str | None = None) -> Verified:
    """Check a receipt's hash and signature, and those of every receipt before it that lies beside it.

    ``trusted`` is the public key, in hex, that receipts must be signed with; without it a receipt is checked against
    the key that it names. Raises TailraceError when the file is no receipt.
    """
    body = read(path)
    problems = _problems(path.name, body, trusted)
    by_hash = {}
    for each in sorted(path.parent.glob("*.json")):
        if each != path:
            try:
                other = read(each)
            except TailraceError as error:
                problems.append(str(error))
                continue
            by_hash[str(other["hash"])] = (each.name, other)
    chain, previous = 0, str(body["previous"])
    while previous != _GENESIS:
        if previous not in by_hash:
            problems.append(f"{path.name}: the receipt before it in the chain is missing")
            break
        name, before = by_hash.pop(previous)
        problems += _problems(name, before, trusted)
        chain, previous = chain + 1, str(before["previous"])
    return Verified(
        receipt=str(body["receipt"]),
        kind=str(body.get("kind")),
        outcome=str(body.get("outcome")),
        public_key=str(body["public_key"]),
        chain=chain,
        problems=tuple(problems),
    )


def trusted_key(settings: Settings) -> str | None:
    """The public key of this deployment, where its secret is at hand."""
    return public_key(signing_key(settings)) if os.environ.get(settings.privacy.receipt_key_env) else None


def _problems(name: str, body: dict[str, Any], trusted: str | None) -> list[str]:
    signed = {key: value for key, value in body.items() if key not in ("hash", "signature")}
    problems = []
    if _digest(signed) != body["hash"]:
        problems.append(f"{name}: its text does not give its hash; it was changed")
    if trusted is not None and body["public_key"] != trusted:
        problems.append(f"{name}: signed with another key")
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(str(body["public_key"])))
        public.verify(bytes.fromhex(str(body["signature"])), bytes.fromhex(str(body["hash"])))
    except (InvalidSignature, ValueError):
        problems.append(f"{name}: its signature does not fit")
    return problems


def read(path: Path) -> dict[str, Any]:
    """A receipt's text. Raises TailraceError when it is none."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise TailraceError(f"{path}: cannot be read as a receipt; give the path of a receipt") from None
    if not isinstance(body, dict) or not {"receipt", "previous", "hash", "signature", "public_key"} <= set(body):
        raise TailraceError(f"{path}: no receipt; give the path of one")
    return body


def _last_hash(directory: Path) -> str:
    """The hash that no other receipt has as its previous: the end of the chain."""
    bodies = [read(path) for path in sorted(directory.glob("*.json"))]
    followed = {body["previous"] for body in bodies}
    ends = [str(body["hash"]) for body in bodies if body["hash"] not in followed]
    return ends[-1] if ends else _GENESIS


def _digest(body: dict[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
