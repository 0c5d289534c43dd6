"""``tailrace airbyte``: the server held to what is declared, and the manifest to the contracts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from orchestration import console
from pii_policies import load_contracts
from settings import Settings, TailraceError, load_settings

if TYPE_CHECKING:  # the official client takes seconds to import; the other commands do without
    from ingestion.airbyte.client import AirbyteClient
    from ingestion.airbyte.plan import FieldChange, Plan

CHANGES = 2


def plan(*, region: str | None, as_json: bool, detailed_exitcode: bool) -> None:
    settings = load_settings(region=region)
    made = _planned(settings)
    if as_json:
        console.emit_json({"changes": [asdict(each) for each in made.changes], "notes": list(made.notes)})
    else:
        for each in made.changes:
            why = f" ({each.why})" if each.why else ""
            console.out.print(f"{each.action} {each.kind} {each.name}{why}", soft_wrap=True, markup=False)
            for field in each.fields:
                console.out.print(f"    {_line(field, new=each.action == 'create')}", soft_wrap=True, markup=False)
        for note in made.notes:
            console.out.print(f"note: {note}", soft_wrap=True, markup=False)
        console.out.print(f"{len(made.changes)} changes" if made.changes else "no changes: the server is as declared")
    if made.changes and detailed_exitcode:
        raise typer.Exit(CHANGES)


def apply(*, region: str | None, as_json: bool, resend_secrets: bool) -> None:
    from ingestion.airbyte import apply as airbyte
    from ingestion.airbyte import desired

    settings = load_settings(region=region)
    declared = desired.resources(settings)
    with _client(settings) as client:
        done = airbyte.apply(
            client,
            declared,
            prefix=desired.prefix(settings),
            resend_secrets=resend_secrets,
            progress=lambda line: None if as_json else console.out.print(line, soft_wrap=True, markup=False),
        )
    if as_json:
        console.emit_json({"done": done})
    elif not done:
        console.out.print("nothing to do: the server is as declared")


def manifest(*, region: str | None, check: bool, server: bool) -> None:
    from ingestion.airbyte import manifest as kept

    contracts = load_contracts()
    stale = kept.is_stale(contracts)
    if not check:
        if stale:
            kept.MANIFEST_PATH.write_text(kept.render(kept.build(contracts)), encoding="utf-8")
            console.out.print(str(kept.MANIFEST_PATH), soft_wrap=True)
        return
    if stale:
        raise TailraceError(f"{kept.MANIFEST_PATH}: stale; run `tailrace airbyte manifest`")
    if server:
        drifted = [each for each in _planned(load_settings(region=region)).changes if each.kind == "connection"]
        if drifted:
            names = ", ".join(f"{each.name} ({each.action})" for each in drifted)
            raise TailraceError(
                f"connections differ from the manifest: {names}; see `tailrace airbyte plan`, then apply"
            )


def _planned(settings: Settings) -> Plan:
    from ingestion.airbyte import apply as airbyte
    from ingestion.airbyte import desired
    from ingestion.airbyte.plan import make

    declared = desired.resources(settings)
    with _client(settings) as client:
        return make(declared, airbyte.observe(client), prefix=desired.prefix(settings))


@contextmanager
def _client(settings: Settings) -> Iterator[AirbyteClient]:
    from ingestion.airbyte.client import AirbyteClient
    from ingestion.airbyte.desired import required

    client = AirbyteClient(required(settings))
    try:
        yield client
    finally:
        client.close()


def _line(field: FieldChange, *, new: bool) -> str:
    return (
        f"{field.path}: {_shown(field.after)}"
        if new
        else f"{field.path}: {_shown(field.before)} -> {_shown(field.after)}"
    )


def _shown(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return "-" if value is None else '""' if value == "" else str(value)
