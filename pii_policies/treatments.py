"""Treatments as pure functions: the reference that the SQL macros are held to, byte for byte, by ``vectors.json``."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

# SHA-256 works on blocks of 64 bytes (FIPS 180-4); HMAC's two pads (RFC 2104) are the key xor-ed with these.
BLOCK_SIZE = 64
_IPAD, _OPAD = 0x36, 0x5C
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def pads(key: bytes) -> tuple[bytes, bytes]:
    """HMAC-SHA-256's inner and outer pad of a key, 64 bytes each.

    With them a warehouse computes ``sha256(opad || sha256(ipad || message))`` from its own functions. Source: RFC 2104.
    Raises ValueError for an empty key and for one longer than a block, which RFC 2104 would hash first.
    """
    if not 0 < len(key) <= BLOCK_SIZE:
        raise ValueError(f"a key has 1 to {BLOCK_SIZE} bytes, not {len(key)}")
    block = key.ljust(BLOCK_SIZE, b"\0")
    return bytes(byte ^ _IPAD for byte in block), bytes(byte ^ _OPAD for byte in block)


def normalise_email(value: str) -> str:
    """Without outer blanks, A-Z in lower case. Other letters stay: engines differ on them, and bytes must not."""
    return value.strip(" ").translate(_LOWER)


def pseudonymise(
    key: bytes | None, value: str | int | UUID | None, *, normalise: Literal["email"] | None = None
) -> str | None:
    """64 lower-case hex digits: HMAC-SHA-256 of the value's UTF-8 text under the tenant's key.

    None where there is no value, or no key: a destroyed key makes pseudonyms vanish, not persons appear.
    """
    if key is None or value is None:
        return None
    text = str(value)
    if normalise == "email":
        text = normalise_email(text)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def mask(value: str | None) -> str | None:
    """The first character and, of an e-mail address, the domain: ``a***@example.com``; otherwise ``a***``."""
    if value is None:
        return None
    _, at, domain = value.rpartition("@")
    return value[:1] + "***" + at + domain if at and not value.startswith("@") else value[:1] + "***"


def generalise_network(value: str | None) -> str | None:
    """The network of an IP address: ``203.0.113.0/24``, or ``2001:db8:7::/48`` with three groups always.

    A prefix length (``10.1.2.3/8``, as PostgreSQL's inet may print) is ignored. None for what is no address.
    """
    if value is None:
        return None
    try:
        address = ipaddress.ip_address(value.partition("/")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(ipaddress.ip_network((int(address) >> 8 << 8, 24)))
    if address.scope_id is not None:
        return None
    groups = address.exploded.split(":")[:3]
    return ":".join(f"{int(group, 16):x}" for group in groups) + "::/48"


def generalise_band(value: int | float | Decimal | None) -> str | None:
    """The powers of ten between which an amount lies: ``1000-10000``, ``0-1``; ``-(1000-10000)`` of a negative one.

    The lower bound is part of the band. What is 10**12 or more, or no number, is in one band, ``1000000000000-``.
    """
    if value is None:
        return None
    size = abs(value) if value == value else 10**12
    bounds = [0, *(10**power for power in range(13))]
    lower = max(bound for bound in bounds if bound <= size)
    upper = next((str(bound) for bound in bounds if bound > size), "")
    band = f"{lower}-{upper}"
    return f"-({band})" if value < 0 else band


def generalise_month(value: date | None) -> date | None:
    """The first day of the month; of a timestamp, of its month in UTC."""
    if isinstance(value, datetime):
        value = value.astimezone(UTC).date()
    return value.replace(day=1) if value else None
