"""``tailrace policy``: the contracts compiled, checked and proved."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict

import typer

from orchestration import console
from orchestration.environment import prepare
from pii_policies import commands, keys, load_contracts
from pii_policies.classify import suspects
from settings import TailraceError, load_settings
from warehouse import open_warehouse


def compile_all() -> None:
    commands.compile_all(_say)


def check() -> None:
    commands.check_all()


def prove(*, as_json: bool) -> None:
    proof = commands.proved()
    if as_json:
        console.emit_json(proof.as_json())
    else:
        _say(proof.summary())
    commands.hold(proof)


def publication(*, schemas: Sequence[str], alter: bool) -> None:
    _say(commands.publication(schemas, alter=alter))


def rotate(*, tenants: Sequence[str], region: str | None, yes: bool) -> None:
    settings = load_settings(region=region)
    prepare(settings)
    if not yes and not (sys.stdin.isatty() and typer.confirm("Give every tenant named, or all, a new key?")):
        raise TailraceError("rotate makes the next run build everything anew; --yes confirms it")
    with open_warehouse(settings).writer("tenant keys") as connection:
        rotated = keys.rotate(connection, tenants or None)
    _say(
        f"{len(rotated)} tenants have a new key; the next run re-keys what is under the old ones, and lets go of those"
    )


def classify(*, region: str | None, as_json: bool) -> None:
    settings = load_settings(region=region)
    if not settings.warehouse_path.exists():
        raise TailraceError(f"{settings.warehouse_path}: nothing has landed yet; run the pipeline first (`make demo`)")
    with open_warehouse(settings).reader("classify") as connection:
        found = suspects(connection, load_contracts())
    if as_json:
        console.emit_json([asdict(each) for each in found])
        return
    for each in found:
        _say(str(each))
    _say(f"{len(found)} columns that are kept, or that nobody classified, look personal")


def _say(line: str) -> None:
    console.out.print(line, soft_wrap=True, markup=False)
