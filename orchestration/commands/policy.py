"""``tailrace policy``: the contracts compiled, checked and proved."""

from __future__ import annotations

from collections.abc import Sequence

from orchestration import console
from pii_policies import commands


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


def _say(line: str) -> None:
    console.out.print(line, soft_wrap=True, markup=False)
