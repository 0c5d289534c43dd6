"""A person's own data, machine-readable: their records, and the rows that are about them; nobody else's."""

# ruff: noqa: S608 - names are the contracts' and the catalog's, each quoted; values are bound

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from ingestion import forgetting
from pii_policies import Contracts
from pii_policies.erasure import ErasureRule
from privacy import files, ledger, people, receipts
from privacy.people import Person
from privacy.rights import Rights, head
from warehouse import quote

_THEIRS = "_theirs"


@dataclass
class Held:
    """What raw holds of a person: rows by table, and in how many rows of others they are merely named."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    named_in: dict[str, int] = field(default_factory=dict)


def export(rights: Rights, *, tenant: str, subject: str) -> tuple[Path, Path]:
    """Write what raw holds of a person to a file of its owner's; its path, and the receipt's.

    Raises TailraceError for a subject nobody knows.
    """
    receipts.signing_key(rights.settings)
    with rights.warehouse.writer("export", on_wait=rights.progress) as con:
        forgetting.prepare(con)
        tenant = people.check_tenant(con, tenant)
        person = known_person(con, rights, tenant=tenant, subject=subject)
        held = held_of(con, rights.contracts, rights.rules, person)
        receipt, requested = receipts.new_id(), datetime.now(UTC).isoformat(timespec="seconds")
        named = ledger.subject_hash(con, tenant, subject)
        body = {
            "receipt": receipt,
            "exported_at": requested,
            "tenant": tenant,
            "identifiers": [{"kind": kind, "value": value} for kind, value in person.identifiers],
            "sources": {
                name: {"title": contract.title, "purpose": contract.purpose}
                for name, contract in rights.contracts.sources.items()
            },
            "records": held.rows,
        }
        path = _write(files.exports_dir(rights.settings) / f"{receipt}.json", body)
        counts = {table: len(rows) for table, rows in held.rows.items()}
        proof = receipts.issue(
            rights.settings,
            {
                **head(rights, "export", receipt, tenant, named, requested),
                "outcome": "done",
                "rows": counts,
                "named_in_rows_of_others": held.named_in,
            },
        )
        ledger.record(
            con,
            actor=rights.actor,
            action="export",
            outcome="done",
            tenant=tenant,
            subject=named,
            receipt=receipt,
        )
    return path, proof


def known_person(con: duckdb.DuckDBPyConnection, rights: Rights, *, tenant: str, subject: str) -> Person:
    """Raises TailraceError when no record of this tenant bears the identifier."""
    person = people.find(con, rights.rules, tenant=tenant, subject=subject)
    if not person.records:
        raise people.unknown("export")
    return person


@contextmanager
def tombstones_of(con: duckdb.DuckDBPyConnection, person: Person) -> Iterator[str]:
    """A table of this person's identifiers alone, for ``forgetting.verdicts``."""
    con.execute(f"create or replace temp table {_THEIRS} (hash varchar, tenant_id varchar)")
    for kind, value in person.identifiers:
        con.execute(f"insert into {_THEIRS} values ({forgetting.hashed(kind, '?')}, ?)", [value, person.tenant])
    yield _THEIRS
    con.execute(f"drop table {_THEIRS}")


def held_of(
    con: duckdb.DuckDBPyConnection, contracts: Contracts, rules: Mapping[str, ErasureRule], person: Person
) -> Held:
    """The person's rows, in the source's own columns. Of a row about them, ids of other people are left out."""
    present, held = people.landed(con), Held()
    with tombstones_of(con, person) as among:
        for label, rule in sorted(rules.items()):
            if label not in present:
                continue
            columns = contracts.table(rule.source, rule.table).landed
            found = forgetting.verdicts(rule, [column.name for column in columns], among=among)
            named = {each.column: f"_names_{number}" for number, each in enumerate(rule.identifiers) if each.whole}
            shown = []
            for column in columns:
                value = f"n.{quote(column.name)}"
                if column.name in named and column.data_class.name == "person_identifier":
                    value = f"case when {named[column.name]} then {value} end"
                shown.append(f"{quote(column.name)} := {value}")
            relation = found.tested(f"{quote(rule.schema)}.{quote(rule.table)}")
            theirs = f"({found.dropped} or {found.about})"
            rows = con.execute(
                f"select to_json(struct_pack({', '.join(shown)})) from {relation} as n where {theirs}"
            ).fetchall()
            if rows:
                held.rows[label] = sorted((json.loads(row) for (row,) in rows), key=json.dumps)
            (count,) = con.execute(
                f"select count(*) from {relation} as n where {found.touched} and not {theirs}"
            ).fetchall()[0]
            if count:
                held.named_in[label] = int(count)
    return held


def _write(path: Path, body: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(body, file, indent=2, ensure_ascii=False)
        file.write("\n")
    return path
