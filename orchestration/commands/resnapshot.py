"""``tailrace resnapshot``: copy the tables of product databases anew, whatever was landed of them before."""

from __future__ import annotations

import sys
from dataclasses import asdict

import typer

from ingestion import postgres
from orchestration import console
from orchestration.environment import prepare
from settings import TailraceError, load_settings
from warehouse import open_warehouse


def run(*, database: str | None, region: str | None, yes: bool, as_json: bool) -> None:
    settings = load_settings(region=region)
    prepare(settings)
    known = settings.source_databases()
    if database is not None and database not in known:
        raise TailraceError(f"{database} is not a source database; there are {', '.join(known)}")
    names = [database] if database is not None else list(known)
    _confirm(names, yes=yes)
    reports = []
    for name in names:
        with console.step(f"copying {name} anew", quiet=as_json) as progress:
            reports += postgres.sync(
                settings, open_warehouse(settings), database=name, resnapshot=True, progress=progress
            )
    if as_json:
        console.emit_json([asdict(report) for report in reports])
        return
    rows = [(report.database, report.snapshotted, report.applied, report.lsn) for report in reports]
    console.table("copied anew", ["database", "rows", "changes since", "landed up to"], rows)


def _confirm(names: list[str], *, yes: bool) -> None:
    """Reading every row again costs the source; raw tables stay as they are until the copy is whole."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise TailraceError(f"resnapshot reads every row of {', '.join(names)} again; --yes confirms it")
    if not typer.confirm(f"Read every row of {', '.join(names)} again?"):
        raise TailraceError("nothing was changed; the position and the slot are as they were")
