"""``tailrace publish``: bring the product to the rollups as they are built, or back to the version before."""

from __future__ import annotations

import uuid
from dataclasses import asdict

from orchestration import console
from orchestration.environment import prepare
from orchestration.rights import publish_built
from serving.publish import PublishReport
from serving.rollback import release, rollback
from settings import Settings, TailraceError, load_settings
from warehouse import open_warehouse


def run(*, region: str | None, verify: bool, undo: bool, let_go: bool, tenant: str | None, as_json: bool) -> None:
    """Publish, roll back (``undo``), or release what was rolled back (``let_go``)."""
    if undo and let_go:
        raise TailraceError("publish: --rollback and --release are two things; give one")
    if tenant is not None and not (undo or let_go):
        raise TailraceError("publish: --tenant goes with --rollback or --release; everybody is published together")
    if verify and (undo or let_go):
        raise TailraceError("publish: --verify goes with neither --rollback nor --release; verify when you publish")
    settings = load_settings(region=region)
    chosen = None if tenant is None else _tenant(tenant)
    if undo:
        _roll_back(settings, chosen, as_json=as_json)
    elif let_go:
        released = release(settings, tenant=chosen)
        if as_json:
            console.emit_json({"released": released})
        else:
            console.out.print(f"{released} tenant(s) follow the next publish")
    else:
        _publish(settings, verify=verify, as_json=as_json)


def _publish(settings: Settings, *, verify: bool, as_json: bool) -> None:
    prepare(settings)
    with console.step("publishing", quiet=as_json) as progress:
        report = publish_built(settings, open_warehouse(settings), progress, verify=verify)
    if report is None:
        raise TailraceError("nothing has been landed from Postgres yet; `tailrace run` first")
    if as_json:
        console.emit_json({**asdict(report), "rows": report.rows, "written": report.written, "deleted": report.deleted})
        return
    _show(report)


def _show(report: PublishReport) -> None:
    rows = [
        (
            each.home.name,
            each.version,
            sum(table.written for table in each.tables.values()),
            sum(table.deleted for table in each.tables.values()),
            len(each.held),
            sum(each.mended.values()),
        )
        for each in report.homes
    ]
    columns = ["home", "version", "written", "deleted", "tenants held", "parts mended"]
    console.table(f"published as of {report.as_of:%Y-%m-%d %H:%M} UTC", columns, rows)
    if any(each.held for each in report.homes):
        console.out.print("held where they were rolled back to; `tailrace publish --release` lets them go on")


def _roll_back(settings: Settings, tenant: str | None, *, as_json: bool) -> None:
    with console.step("rolling back", quiet=as_json):
        restored = rollback(settings, tenant=tenant)
    if as_json:
        console.emit_json([asdict(each) for each in restored])
        return
    rows = [(each.home.name, each.version, each.restores, each.rows, each.tenants) for each in restored]
    console.table("rolled back", ["home", "version", "as version", "rows changed", "tenants held"], rows)


def _tenant(given: str) -> str:
    try:
        return str(uuid.UUID(given))
    except ValueError:
        raise TailraceError(
            "publish: --tenant is no tenant's id; `tailrace sql` on marts.dim_tenants has them"
        ) from None
