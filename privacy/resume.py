"""Whatever was interrupted is ended: rights of persons, by their journals, then what the warehouse has noted."""

from __future__ import annotations

from pathlib import Path

from privacy import erase, export, journal, rectify, restrict, retention, tenants
from privacy.rights import Rights

_OF_PERSONS = {
    "erasure": erase.finish,
    "restriction": erase.finish,
    "export": export.finish,
    "rectification": rectify.finish,
}
_OF_ALL_ELSE = {
    "restriction lifted": restrict.finish_lifting,
    "split": tenants.finish_split,
    retention.KIND: retention.finish,
    tenants.OFFBOARDING: tenants.finish_leaving,
    tenants.MERGE: tenants.finish_leaving,
    tenants.MOVE: tenants.finish_leaving,
}


def resume(rights: Rights) -> list[Path]:
    """End every right that was interrupted; the paths of the receipts, oldest first."""
    with rights.warehouse.writer("what was interrupted", on_wait=rights.progress) as con:
        begun = {receipt: str(each["kind"]) for receipt, each in journal.under_way(con).items()}
    done = [_OF_PERSONS[each.kind](rights, each) for each in list(journal.unfinished(rights.settings.privacy_dir))]
    return done + [_OF_ALL_ELSE[kind](rights, receipt) for receipt, kind in begun.items()]
