"""How much a tenant may ask: a token bucket each, in memory that all worker processes share.

The bucket is kept as the time at which it will be full again (GCRA: one number a tenant), in a table of fixed size in a
file that every worker maps. A bucket that is full again is as good as none, so its place may be taken.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import struct
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

_SLOTS = 1 << 16
_PROBES = 16
_SLOT = struct.Struct("=16sd")


@dataclass(frozen=True, slots=True)
class Allowance:
    """``remaining`` requests at once now; ``reset`` seconds until all are there again; ``retry`` 0 when allowed."""

    remaining: int
    reset: int
    retry: int = 0


class Limits:
    """``per_second`` requests a tenant in the long run, ``burst`` at once."""

    def __init__(self, *, per_second: float, burst: int, shared: Path | None = None) -> None:
        self._interval = 1 / per_second
        self._most = burst * self._interval
        self.policy = f'"tenant";q={burst};w={math.ceil(self._most)}'
        size = _SLOTS * _SLOT.size
        self._file: int | None = None
        if shared is not None:
            shared.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(shared, os.O_RDWR | os.O_CREAT, 0o600)
            os.ftruncate(self._file, size)
            self._table = mmap.mmap(self._file, size)
        else:
            self._table = mmap.mmap(-1, size)

    def take(self, tenant: uuid.UUID) -> Allowance:
        """One request of the tenant; refused when ``retry`` is not 0, and then nothing is taken."""
        if self._file is not None:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            return self._take(tenant.bytes, time.monotonic())
        finally:
            if self._file is not None:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _take(self, key: bytes, now: float) -> Allowance:
        place, full_at = self._find(key, now)
        after = max(full_at, now) + self._interval
        excess = after - now - self._most
        if excess > 1e-9:
            return Allowance(remaining=0, reset=math.ceil(full_at - now), retry=max(1, math.ceil(excess)))
        _SLOT.pack_into(self._table, place, key, after)
        left = max(0, int((self._most - (after - now)) / self._interval + 1e-9))
        return Allowance(remaining=left, reset=math.ceil(after - now))

    def _find(self, key: bytes, now: float) -> tuple[int, float]:
        """The tenant's place and when its bucket is full; else the place that is missed least."""
        start = int.from_bytes(key[:8], "big") % _SLOTS
        best, least = 0, math.inf
        for probe in range(_PROBES):
            place = (start + probe) % _SLOTS * _SLOT.size
            known, full_at = _SLOT.unpack_from(self._table, place)
            if known == key:
                # The clock starts anew with the machine, the file does not.
                return place, full_at if full_at <= now + self._most + 1e-9 else now
            if full_at > now + self._most:
                full_at = 0.0
            if full_at < least:
                best, least = place, full_at
        return best, now
