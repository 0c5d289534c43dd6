"""API keys of machines: made for one tenant, shown once, kept as a hash in the product's Postgres.

They stand in ``tenant_analytics.api_keys`` of the shared database, under forced row-level security like every table
there. A key names its tenant, so the reader looks it up as that tenant and never sees another's: it proves a key
without being able to read all of them, and every host of the API knows a revocation without a file carried to it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from serving import ddl
from serving.api.queries import Query
from serving.homes import SHARED
from settings import Settings, TailraceError, postgres_problem

TABLE = "api_keys"
LONGEST_DAYS = 400
_KEY = re.compile(r"trk_([0-9a-f]{12})_([0-9a-f]{32})_([A-Za-z0-9_-]{43})")

FIND = Query(
    "find_api_key",
    "select encode(hash, 'hex') from tenant_analytics.api_keys "
    "where tenant_id = $1::uuid and key_id = $2::text and revoked_at is null and expires_at > now()",
    2,
)


@dataclass(frozen=True)
class Presented:
    """A key as somebody presents it; nothing of it is proved."""

    key_id: str
    tenant: uuid.UUID
    secret: str

    def is_hashed_as(self, digest: str) -> bool:
        return hmac.compare_digest(_hash(self.secret).hex(), digest)


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A key as it is kept; the secret is not."""

    key_id: str
    tenant: str
    label: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


def parse(text: str) -> Presented | None:
    """What a bearer presents, if it has the form of a key."""
    match = _KEY.fullmatch(text)
    return Presented(match[1], uuid.UUID(match[2]), match[3]) if match else None


def create(settings: Settings, *, tenant: str, label: str, days: int) -> tuple[str, ApiKey]:
    """A new key and its record. The key is nowhere but in what this returns.

    Raises TailraceError for a tenant that is not published, or when Postgres refuses.
    """
    if not 1 <= days <= LONGEST_DAYS:
        raise TailraceError(f"api-key create: --days is {days}; give 1 to {LONGEST_DAYS}")
    owner = _tenant(tenant)
    key_id, secret, now = secrets.token_hex(6), secrets.token_urlsafe(32), datetime.now(UTC)
    made = ApiKey(
        key_id=key_id,
        tenant=str(owner),
        label=label,
        created_at=now,
        expires_at=now + timedelta(days=days),
        revoked_at=None,
    )
    with _cursor(settings) as cursor:
        _ensure_table(cursor)
        known = cursor.execute(
            "select 1 from tenant_analytics.tenant_directory where tenant_id = %s", [owner]
        ).fetchone()
        if known is None:
            raise TailraceError(f"api-key create: no published tenant has the id {owner}; publish it first")
        cursor.execute(
            "insert into tenant_analytics.api_keys (tenant_id, key_id, hash, label, created_at, expires_at) "
            "values (%s, %s, %s, %s, %s, %s)",
            [owner, key_id, _hash(secret), label, made.created_at, made.expires_at],
        )
    return f"trk_{key_id}_{owner.hex}_{secret}", made


def listed(settings: Settings, *, tenant: str | None = None) -> list[ApiKey]:
    """All keys, or those of one tenant, the newest first."""
    with _cursor(settings) as cursor:
        if not _exists(cursor):
            return []
        rows = cursor.execute(
            "select key_id, tenant_id, label, created_at, expires_at, revoked_at from tenant_analytics.api_keys "
            "where %(tenant)s::uuid is null or tenant_id = %(tenant)s::uuid order by created_at desc, key_id",
            {"tenant": _tenant(tenant) if tenant else None},
        ).fetchall()
    return [
        ApiKey(key_id=row[0], tenant=str(row[1]), label=row[2], created_at=row[3], expires_at=row[4], revoked_at=row[5])
        for row in rows
    ]


def revoke(settings: Settings, key_id: str) -> None:
    """The key is refused from now on, within half a minute everywhere. Raises TailraceError for one that is unknown."""
    with _cursor(settings) as cursor:
        found = 0
        if _exists(cursor):
            found = cursor.execute(
                "update tenant_analytics.api_keys set revoked_at = coalesce(revoked_at, now()) where key_id = %s",
                [key_id],
            ).rowcount
        if not found:
            raise TailraceError("api-key revoke: no key has this id; `tailrace api-key list` shows them")


@contextmanager
def _cursor(settings: Settings) -> Iterator[psycopg.Cursor[Any]]:
    dsn = settings.serving.publisher_dsn
    try:
        with psycopg.connect(dsn, connect_timeout=10) as connection, connection.cursor() as cursor:
            yield cursor
    except psycopg.Error as error:
        raise TailraceError(postgres_problem(dsn, error)) from None


def _ensure_table(cursor: psycopg.Cursor[Any]) -> None:
    if _exists(cursor):
        return
    visible = f"tenant_id = {ddl.CURRENT_TENANT.as_string(None)}"
    for statement in (
        f"set local role {ddl.OWNER}",
        "create table tenant_analytics.api_keys (tenant_id uuid not null, key_id text not null unique, "
        "hash bytea not null, label text not null, created_at timestamptz not null, expires_at timestamptz not null, "
        "revoked_at timestamptz, primary key (tenant_id, key_id))",
        "alter table tenant_analytics.api_keys enable row level security",
        "alter table tenant_analytics.api_keys force row level security",
        f"create policy tenant_isolation on tenant_analytics.api_keys for select using ({visible})",
        f"create policy publisher_writes on tenant_analytics.api_keys to {ddl.PUBLISHER} "
        "using (true) with check (true)",
        f"grant select, insert, update, delete on tenant_analytics.api_keys to {ddl.PUBLISHER}",
        f"grant select (tenant_id, key_id, hash, expires_at, revoked_at) on tenant_analytics.api_keys to {ddl.READER}",
        "comment on table tenant_analytics.api_keys is 'Keys of machines, as hashes; a tenant sees its own.'",
        "reset role",
    ):
        cursor.execute(statement.encode())


def _exists(cursor: psycopg.Cursor[Any]) -> bool:
    row = cursor.execute(
        "select 1 from pg_class where relname = %s and relnamespace = to_regnamespace(%s)", [TABLE, SHARED]
    ).fetchone()
    return row is not None


def _tenant(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise TailraceError("api-key: the tenant is not an id (uuid)") from None


def _hash(secret: str) -> bytes:
    """256 random bits need no slow hash: nobody guesses them."""
    return hashlib.sha256(secret.encode()).digest()
