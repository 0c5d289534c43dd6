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
from privacy import files, journal, ledger, people, receipts
from privacy.journal import Journal
from privacy.people import Person
from privacy.rights import Rights, conclude, head
from warehouse import quote
from warehouse.failpoints import failpoint

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
        begun = begin_reading(con, rights, kind="export", tenant=tenant, subject=subject)
    return exported(rights, begun.receipt), finish(rights, begun)


def exported(rights: Rights, receipt: str) -> Path:
    """Where an export is written."""
    return files.exports_dir(rights.settings) / f"{receipt}.json"


def finish(rights: Rights, begun: Journal) -> Path:
    """Write the file and the receipt; a file that was written whole before stands."""
    path = exported(rights, begun.receipt)
    if not path.exists():
        with rights.warehouse.writer("export", on_wait=rights.progress) as con:
            forgetting.read_key(con)
            held = held_of(con, rights.contracts, rights.rules, Person.of(begun))
        body = {
            "receipt": begun.receipt,
            "exported_at": begun.requested_at,
            "tenant": begun.tenant,
            "identifiers": [{"kind": kind, "value": value} for kind, value in begun.identifiers],
            "sources": {
                name: {"title": contract.title, "purpose": contract.purpose}
                for name, contract in rights.contracts.sources.items()
            },
            "records": held.rows,
            "named_in_rows_of_others": held.named_in,
        }
        _write(path, body)
        failpoint("export_after_file")
    written = json.loads(path.read_text(encoding="utf-8"))
    proof = {
        **head(rights, "export", begun.receipt, begun.tenant, begun.subject_hash, begun.requested_at),
        "rows": {table: len(rows) for table, rows in written["records"].items()},
        "named_in_rows_of_others": written["named_in_rows_of_others"],
    }
    done = conclude(rights, proof, action="export")
    journal.remove(rights.settings.privacy_dir, begun.receipt)
    return done


def begin_reading(
    con: duckdb.DuckDBPyConnection, rights: Rights, *, kind: str, tenant: str, subject: str, keep: bool = False
) -> Journal:
    """The journal of a right that takes nothing out, new, or the one that was interrupted.

    With ``keep`` it remembers the person's rows as they are now. Raises TailraceError for a subject nobody knows.
    """
    forgetting.prepare(con)
    tenant = people.check_tenant(con, tenant)
    named = ledger.subject_hash(con, tenant, subject)
    for each in journal.unfinished(rights.settings.privacy_dir):
        if (each.kind, each.subject_hash) == (kind, named):
            return each
    person = known_person(con, rights, tenant=tenant, subject=subject)
    begun = Journal(
        receipt=receipts.new_id(),
        kind=kind,
        tenant=tenant,
        subject_hash=named,
        requested_at=datetime.now(UTC).isoformat(timespec="seconds"),
        identifiers=person.identifiers,
        derived=(),
        kept=held_of(con, rights.contracts, rights.rules, person).rows if keep else None,
    )
    journal.write(rights.settings.privacy_dir, begun)
    failpoint("rectify_after_journal" if keep else "export_after_journal")
    return begun


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


def _write(path: Path, body: dict[str, Any]) -> None:
    """Whole or not at all; what a kill leaves of it lies under a name that an erasure searches, too."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_suffix(".tmp")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(body, file, indent=2, ensure_ascii=False)
        file.write("\n")
        file.flush()
        failpoint("export_mid_file")
        os.fsync(file.fileno())
    unfinished.replace(path)
