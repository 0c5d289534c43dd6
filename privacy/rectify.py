"""Rectification flows from the source: what was corrected there lands, is built on, and no stale copy stays unnamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ingestion import forgetting
from pii_policies import Contracts
from pii_policies.erasure import EMAIL
from pii_policies.treatments import normalise_email
from privacy import files, journal, receipts, stores
from privacy.export import Held, begin_reading, held_of
from privacy.journal import Journal
from privacy.people import Person
from privacy.rights import Rights, conclude, head
from warehouse.failpoints import failpoint

_COMPARED = 4
"""Characters of a replaced value from which on a copy of it can be told from chance."""


def rectify(rights: Rights, *, tenant: str, subject: str) -> Path:
    """Land what the sources say of a person now, build on it, and name every copy that says otherwise.

    Correct the source first. The receipt's ``stale_copies`` are places that still hold a value that was replaced, or
    an address that differs from the product's: correct those sources, too, and run it again.
    """
    receipts.signing_key(rights.settings)
    with rights.warehouse.writer("rectification: before", on_wait=rights.progress) as con:
        begun = begin_reading(con, rights, kind="rectification", tenant=tenant, subject=subject, keep=True)
    return finish(rights, begun)


def finish(rights: Rights, begun: Journal) -> Path:
    """All of it; what the rows were before is in the journal, so that a kill after landing does not hide a change."""
    rights.progress("reading the sources")
    rights.resync(rights.progress)
    failpoint("rectify_after_resync")
    rights.rebuild(rights.progress)
    failpoint("rectify_after_rebuild")
    rights.warehouse.rewrite("rectification: rewriting the file", on_wait=rights.progress)
    with rights.warehouse.writer("rectification: after", on_wait=rights.progress) as con:
        forgetting.read_key(con)
        # An identifier may be what was corrected: the person is who they were, and who they are now.
        after = held_of(con, rights.contracts, rights.rules, Person.of(begun))
        changed, replaced = _differences(rights.contracts, Held(rows=begun.kept), after)
        schemas = [contract.schema for contract in rights.contracts.sources.values()]
        stale = _still(after, replaced)
        pseudonyms = stores.pseudonyms(con, begun.tenant, [*replaced, *map(normalise_email, replaced)])
        stale |= stores.count_built(con, schemas, pseudonyms)
        stale |= _other_addresses(rights.contracts, after)
        raw = rights.settings.warehouse_path.name  # another tenant's person may rightly bear the same value
        stale |= {name: 1 for name in files.holding(rights.settings, replaced) if name != raw}
    body = {
        **head(rights, "rectification", begun.receipt, begun.tenant, begun.subject_hash, begun.requested_at),
        "outcome": "stale copies" if stale else "done",
        "changed": changed,
        "stale_copies": stale,
    }
    path = conclude(rights, body, action="rectify")
    journal.remove(rights.settings.privacy_dir, begun.receipt)
    return path


def _differences(contracts: Contracts, before: Held, after: Held) -> tuple[list[str], list[str]]:
    """Columns that changed, and the values that stood in them."""
    changed, replaced = [], set()
    for table, rows in before.rows.items():
        schema, _, name = table.partition(".")
        contract = next(c for c in contracts.sources.values() if c.schema == schema).tables[name]
        personal = {c.name for c in contract.landed if c.data_class.treatment != "keep" and c.type == "VARCHAR"}
        fresh = {_key(row, contract.key): row for row in after.rows.get(table, [])}
        for row in rows:
            new = fresh.get(_key(row, contract.key), {})
            for column in sorted(personal & row.keys()):
                old = row[column]
                if old is not None and old != new.get(column):
                    changed.append(f"{table}.{column}")
                    if len(str(old)) >= _COMPARED:
                        replaced.add(str(old))
    return sorted(set(changed)), sorted(replaced)


def _still(held: Held, replaced: list[str]) -> dict[str, int]:
    """Columns of the person's rows, documents among them, that still hold a value that was replaced elsewhere."""
    found: dict[str, int] = {}
    for table, rows in held.rows.items():
        for row in rows:
            for column, value in row.items():
                if any(old.lower() in str(value).lower() for old in replaced):
                    found[f"{table}.{column}"] = found.get(f"{table}.{column}", 0) + 1
    return found


def _key(row: dict[str, Any], key: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in key)


def _other_addresses(contracts: Contracts, held: Held) -> dict[str, int]:
    """Columns that hold an e-mail address of the person which the product does not have."""
    columns = [
        (f"{table.schema}.{table.name}", column.name)
        for source in contracts.sources
        for table in contracts.raw_tables(source)
        for column in table.landed
        if column.data_class.name == EMAIL and table.subject
    ]
    product = contracts.sources["app"].schema + "."
    found = {
        (table, column): [str(row[column]).lower().strip() for row in held.rows.get(table, []) if row.get(column)]
        for table, column in columns
    }
    ours = {value for (table, _), values in found.items() if table.startswith(product) for value in values}
    if not ours:
        return {}
    return {
        f"{table}.{column}": sum(value not in ours for value in values)
        for (table, column), values in found.items()
        if any(value not in ours for value in values)
    }
