"""``tailrace api-key``: keys with which a tenant's machines ask the read API."""

from __future__ import annotations

from orchestration import console
from serving.api import keys
from settings import load_settings


def create(*, tenant: str, label: str, days: int, region: str | None, as_json: bool) -> None:
    secret, made = keys.create(load_settings(region=region), tenant=tenant, label=label, days=days)
    if as_json:
        console.emit_json({"key": secret, **_told(made)})
        return
    console.out.print(secret, soft_wrap=True, highlight=False)
    console.out.print(f"It is good until {made.expires_at:%Y-%m-%d} and is not shown again.", style="dim")


def show(*, tenant: str | None, region: str | None, as_json: bool) -> None:
    found = keys.listed(load_settings(region=region), tenant=tenant)
    if as_json:
        console.emit_json([_told(each) for each in found])
        return
    rows = [
        (
            *(each.key_id, each.tenant, each.label, f"{each.created_at:%Y-%m-%d}", f"{each.expires_at:%Y-%m-%d}"),
            f"{each.revoked_at:%Y-%m-%d}" if each.revoked_at else "",
        )
        for each in found
    ]
    console.table("API keys", ["key id", "tenant", "label", "created", "expires", "revoked"], rows)


def revoke(key_id: str, *, region: str | None) -> None:
    keys.revoke(load_settings(region=region), key_id)
    console.out.print(f"{key_id} is revoked; every host refuses it within half a minute.")


def _told(key: keys.ApiKey) -> dict[str, str | None]:
    return {
        "key_id": key.key_id,
        "tenant": key.tenant,
        "label": key.label,
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat(),
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }
