"""``tailrace privacy …``: rights of persons and of tenants, each with a receipt."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestration import console
from orchestration.rights import rights_of
from privacy import erase as erasing
from privacy import receipts
from privacy.rights import Rights
from settings import TailraceError, load_settings


def exercise(act: Callable[[Rights], Path | list[Path]], *, title: str, region: str | None, as_json: bool) -> None:
    """Exercise a right and show its receipt."""
    settings = load_settings(region=region)
    with console.step(title, quiet=as_json) as progress:
        done = act(rights_of(settings, progress=progress))
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
    exercise(erasing.resume, title="erasures that were interrupted", region=region, as_json=as_json)


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
