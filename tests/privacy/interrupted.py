"""Each right as it is exercised on the deployment of ``support``: what goes before it, the command, what it ends as."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pii_policies import load_contracts
from privacy import files, journal, receipts, retention
from privacy.export import export
from privacy.rectify import rectify
from privacy.restrict import lift, restrict
from privacy.tenants import merge, move_region, offboard, split
from settings import load_settings
from tests.privacy.support import CONTACT, CUSTOMER, EMAIL, JANE, NOW, A, B, Home, receipt, sources
from tests.privacy.test_tenants import deleted, given_to

NEW = "cccccccc-0000-4000-8000-000000000003"
LATE = NOW + timedelta(days=4000)
_REWRITE = ("rewrite_mid_copy", "rewrite_before_swap")
_RECEIPT = ("before_receipt", "after_receipt")
_LEAVE = tuple(
    f"leave_after_{step}"
    for step in ("begun", "keys", "quarantine", "raw", "built", "exports", "rebuild", "rewrite")
)  # fmt: skip


@dataclass(frozen=True)
class Right:
    """``points`` are those that it passes; the command is the same before and after a kill."""

    act: Callable[[Home], Path]
    points: tuple[str, ...]
    prepare: Callable[[Home], Any] = lambda home: None
    source: Callable[[Home], None] = lambda home: None
    """what the sources say by the time of the command, told to every process anew"""


def _correct(home: Home) -> None:
    home.source = sources()
    for row in home.source["app", "users"]:
        if row["id"] == JANE:
            row["email"], row["full_name"] = "jane.corrected@alpha.example", "Jane Corrected"


def _move_all(home: Home) -> None:
    home.sync(deleted(sources()))
    home.sync(given_to(sources(), B))
    home.build()


def _move_hers(home: Home) -> None:
    directory = [*sources()["app", "tenants"], {**sources()["app", "tenants"][0], "id": NEW, "slug": "gamma"}]
    home.sync({("app", "tenants"): directory})
    hers = {
        name: [row for row in rows if JANE in (row.get("id"), row.get("user_id"), row.get("author_id"))]
        for name, rows in sources().items()
        if name[0] == "app"
    }
    home.sync(deleted(hers))
    home.sync(given_to({name: rows for name, rows in hers.items() if rows}, NEW))


def _leave_region(home: Home) -> None:
    home.sync(deleted(sources()))
    gone = {
        (source, name): [
            {**row, "_deleted": True} for row in rows if any(each in str(row) for each in (A, CUSTOMER, CONTACT))
        ]
        for (source, name), rows in sources().items()
        if source != "app"
    }
    home.sync({name: rows for name, rows in gone.items() if rows})


def _restricted(home: Home) -> str:
    kept = receipts.receipts_dir(home.settings).glob("*.json")
    return next(path.stem for path in kept if receipts.read(path)["kind"] == "restriction")


def _retain(home: Home) -> Path:
    path = retention.enforce(home.rights(), now=LATE)
    assert path is not None
    return path


RIGHTS = {
    "export": Right(
        lambda home: export(home.rights(), tenant="alpha", subject=EMAIL)[1],
        ("export_after_journal", "export_mid_file", "export_after_file", *_RECEIPT),
    ),
    "rectify": Right(
        lambda home: rectify(home.rights(), tenant="alpha", subject=JANE),
        ("rectify_after_journal", "rectify_after_resync", "rectify_after_rebuild", *_REWRITE, *_RECEIPT),
        source=_correct,
    ),
    "restrict": Right(
        lambda home: restrict(home.rights(), tenant="alpha", subject=EMAIL),
        ("erase_after_journal", "erase_after_tombstones", "restrict_after_aside", "erase_after_quarantine",
         "erase_mid_raw", "erase_after_raw", "erase_after_derived", "erase_after_rebuild", *_REWRITE,
         "erase_after_rewrite", *_RECEIPT),
    ),
    "lift": Right(
        lambda home: lift(home.rights(), receipt=_restricted(home)),
        ("lift_after_rows", "lift_after_rebuild", "lift_after_aside", *_REWRITE, *_RECEIPT),
        prepare=lambda home: restrict(home.rights(), tenant="alpha", subject=EMAIL),
    ),
    "offboard": Right(
        lambda home: offboard(home.rights(), tenant="alpha"), (*_LEAVE, *_REWRITE, *_RECEIPT)
    ),
    "merge": Right(
        lambda home: merge(home.rights(), tenant="alpha", into="beta"), (*_LEAVE, *_REWRITE, *_RECEIPT), _move_all
    ),
    "split": Right(
        lambda home: split(home.rights(), tenant="alpha", into="gamma"),
        ("split_after_rows", "split_after_rebuild", *_REWRITE, *_RECEIPT),
        _move_hers,
    ),
    "move-region": Right(
        lambda home: move_region(home.rights(), tenant="alpha", to="eu"),
        (*_LEAVE, *_REWRITE, *_RECEIPT),
        _leave_region,
    ),
    "retention": Right(_retain, ("retention_after_rows", *_REWRITE, *_RECEIPT)),
}  # fmt: skip


def summary(home: Home, path: Path) -> dict[str, Any]:
    """All that must not depend on where a right was interrupted."""
    passing = ("receipt", "requested_at", "completed_at", "previous", "hash", "signature", "restriction", "rewritten")
    written = {name: value for name, value in receipt(path).items() if name not in passing}
    written["steps"] = {step["step"]: step["result"] for step in written.get("steps", [])}
    exported = [json.loads(each.read_text())["records"] for each in files.exports_dir(home.settings).glob("*")]
    return {
        "receipt": written,
        "receipts": len(list(path.parent.glob("*"))),
        "exports": exported,
        "raw": home.raw(),
        "usage": home.query("select * from marts.usage order by all"),
        "staging": home.query("select tenant_id, id, author_id is null from staging.comments order by all"),
        "keys": home.query("select tenant_id, key_version, ipad is null from vault.tenant_keys order by all"),
        "tombstones": _counted(home, "tailrace.tombstones"),
        "aside": _counted(home, "vault.restricted"),
        "audited": home.query("select action, outcome, tenant_id, detail from tailrace.privacy_audit order by done_at"),
        "journals": len(list(journal.unfinished(home.settings.privacy_dir))),
    }


def _counted(home: Home, table: str) -> int:
    schema, _, name = table.partition(".")
    known = home.query(
        "select 1 from duckdb_tables() where table_name = ? and ? in (schema_name, database_name)", name, schema
    )
    return int(home.query(f"select count(*) from {table}")[0][0]) if known else 0  # noqa: S608


if __name__ == "__main__":
    assert load_contracts()
    there = Home(load_settings(config_path=Path(sys.argv[2])))
    right = RIGHTS[sys.argv[1]]
    right.source(there)
    right.act(there)
