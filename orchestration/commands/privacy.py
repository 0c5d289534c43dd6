"""``tailrace privacy …``: rights of persons and of tenants, each with a receipt."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast, get_args

from ingestion import forgetting
from ingestion.airbyte.snowflake import connect
from orchestration import console
from orchestration.rights import retain as enforce_retention
from orchestration.rights import rights_of, snowflake_databases
from privacy import expiry, ledger, people, receipts, requests, tenants
from privacy import export as exporting
from privacy import resume as resuming
from privacy.rights import Rights, operator
from settings import Region, TailraceError, load_settings


def exercise(act: Callable[[Rights], Path | list[Path]], *, title: str, region: str | None, as_json: bool) -> None:
    """Exercise a right and show its receipt."""
    settings = load_settings(region=region)
    with console.step(title, quiet=as_json) as progress:
        done = act(rights_of(settings, progress=progress))
    _tell_receipts(done, as_json=as_json)


def _tell_receipts(done: Path | list[Path], *, as_json: bool) -> None:
    paths = done if isinstance(done, list) else [done]
    bodies = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    if as_json:
        console.emit_json(bodies if isinstance(done, list) else bodies[0])
        return
    for path, body in zip(paths, bodies, strict=True):
        _show(path, body)
    if not paths:
        console.out.print("nothing was waiting")


def resume(*, region: str | None, as_json: bool) -> None:
    exercise(resuming.resume, title="what was interrupted", region=region, as_json=as_json)


def export(*, tenant: str, subject: str, region: str | None, as_json: bool) -> None:
    """Show where the export is; what is in it is for the person alone."""
    settings = load_settings(region=region)
    with console.step("export", quiet=as_json) as progress:
        path, receipt = exporting.export(rights_of(settings, progress=progress), tenant=tenant, subject=subject)
    if as_json:
        console.emit_json({"path": str(path), "receipt": str(receipt)})
    else:
        console.out.print(f"{path}; receipt {receipt}", soft_wrap=True)


def hold(*, tenant: str, subject: str | None, reason: str, region: str | None, as_json: bool) -> None:
    rights = rights_of(load_settings(region=region))
    with rights.warehouse.writer("legal hold") as con:
        forgetting.prepare(con)
        tenant = people.check_tenant(con, tenant)
        identifiers = None
        if subject is not None:
            identifiers = exporting.known_person(con, rights, tenant=tenant, subject=subject).identifiers
        id = f"hold-{receipts.new_id()}"
        ledger.hold(con, id=id, tenant=tenant, identifiers=identifiers, reason=reason)
        ledger.record(con, actor=rights.actor, action="hold", outcome="done", tenant=tenant, detail=id)
    _tell({"hold": id}, f"{id}: erasure is refused until `tailrace privacy release {id}`", as_json=as_json)


def release(id: str, *, region: str | None, as_json: bool) -> None:
    rights = rights_of(load_settings(region=region))
    with rights.warehouse.writer("legal hold") as con:
        if not ledger.release(con, id):
            raise TailraceError(f"{id}: no such legal hold; refusals name theirs")
        ledger.record(con, actor=rights.actor, action="release", outcome="done", detail=id)
    _tell({"released": id}, f"{id} is lifted", as_json=as_json)


def move(*, tenant: str, to: str, region: str | None, as_json: bool) -> None:
    if to not in get_args(Region):
        raise TailraceError(f"--to {to}: no region; there are {', '.join(get_args(Region))}")
    target = cast(Region, to)
    exercise(
        lambda rights: tenants.move_region(rights, tenant=tenant, to=target),
        title="move",
        region=region,
        as_json=as_json,
    )


def readmit(tenant: str, *, region: str | None, as_json: bool) -> None:
    version = tenants.readmit(rights_of(load_settings(region=region)), tenant=tenant)
    said = f"{tenant} may land again, under version {version} of its key; `tailrace resnapshot` brings its rows"
    _tell({"tenant": tenant, "key_version": version}, said, as_json=as_json)


def retain(*, region: str | None, as_json: bool) -> None:
    settings = load_settings(region=region)
    with console.step("retention", quiet=as_json) as progress:
        done = enforce_retention(settings, progress=progress)
    _tell_receipts(done, as_json=as_json)


def expire(*, deleted_at: str | None, region: str | None, as_json: bool) -> None:
    settings = load_settings(region=region)
    if settings.warehouse.kind != "snowflake":
        raise TailraceError(
            "warehouse.kind duckdb: nothing is left to expire; erasing and retention write the file anew at once"
        )
    at = _moment(deleted_at) if deleted_at else datetime.now(UTC)
    databases = snowflake_databases(settings)
    with connect(settings) as connection:
        path = expiry.state(settings, connection.cursor(), databases=databases, deleted_at=at, actor=operator())
    body = json.loads(path.read_text(encoding="utf-8"))
    if as_json:
        console.emit_json(body)
        return
    _show(path, body)
    told = ("table", "kind", "retention_days", "time_travel_ends", "fail_safe_ends")
    rows = [tuple(each[name] for name in told) for each in body["tables"]]
    console.table("what was deleted is gone", ["table", "kind", "days", "to readers after", "altogether after"], rows)


def _moment(text: str) -> datetime:
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise TailraceError("--deleted-at: not a time; write it as 2026-03-01T12:00:00Z") from None
    at = given if given.tzinfo else given.replace(tzinfo=UTC)
    if at > datetime.now(UTC):
        raise TailraceError("--deleted-at: lies ahead; give the time at which the rows were deleted")
    return at


def request(kind: str, *, tenant: str, subject: str, region: str | None, as_json: bool) -> None:
    path = requests.wait(load_settings(region=region), kind, {"tenant": tenant, "subject": subject})
    _tell({"request": str(path)}, f"{path} waits for the job privacy_{kind}", as_json=as_json)


def _tell(body: dict[str, Any], line: str, *, as_json: bool) -> None:
    if as_json:
        console.emit_json(body)
    else:
        console.out.print(line, soft_wrap=True)


def verify(path: Path, *, region: str | None, as_json: bool) -> None:
    """Show what a receipt says of itself; raises TailraceError when it does not hold."""
    found = receipts.verify(path, trusted=receipts.trusted_key(load_settings(region=region)))
    if as_json:
        console.emit_json({**vars(found), "valid": not found.problems})
    else:
        console.out.print(f"{found.kind} {found.receipt}: {found.outcome}, {found.chain} receipts before it")
        console.out.print(f"signed with {found.public_key}", soft_wrap=True)
    if found.problems:
        raise TailraceError(f"{found.problems[0]}; ask whoever gave you the receipt for the original")


def _show(path: Path, body: dict[str, Any]) -> None:
    console.out.print(f"{body['kind']} {body['receipt']}: {body['outcome']}; receipt {path}", soft_wrap=True)
    for step in body.get("steps", []):
        if isinstance(step["result"], list) and step["result"] and isinstance(step["result"][0], dict):
            rows = [(each["table"], each["deleted"], each["emptied"]) for each in step["result"]]
            console.table(step["step"], ["table", "rows deleted", "rows emptied"], rows)
    for name in ("files_that_still_hold_an_identifier", "mentions", "stale_copies", "left"):
        if body.get(name):
            console.out.print(
                f"  [yellow]![/] {name.replace('_', ' ')}: {console.plain(str(body[name]))}", soft_wrap=True
            )
