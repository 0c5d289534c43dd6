"""Erase a person, wherever the deployment has them, so that they stay away; and say so on a signed receipt.

1. *find*: identifiers, from any one of them. A legal hold ends it here, with its reason on the receipt.
2. *tombstones*: from this commit on nothing that is the person's lands.
3. *quarantine*, *raw*: what landing would keep out is taken out; copies that still grow, too.
4. *built*: rows of staging, marts, rollups and snapshots that hold a pseudonym of the person go; the build that
   follows counts again, publishes, and writes the analytics file anew.
5. *rewrite*: the warehouse's file is written anew, so that the bytes are gone; every file is searched for identifiers.

Killed anywhere, it is gone on with by the same command, or by ``resume``, and ends the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from ingestion import forgetting
from pii_policies.erasure import ErasureRule
from privacy import aside, files, journal, ledger, people, receipts, stores
from privacy.journal import Journal
from privacy.rights import Rights, head
from settings import TailraceError
from warehouse import positions, transaction
from warehouse.failpoints import failpoint

RULES = (
    "the person's own records, and rows whose key names the person, are deleted",
    "rows about the person keep what concerns the business and lose every personal value",
    "events stay in the figures as nobody's; the person is no active user any more, on any day",
)
NOT_REACHED = (
    "the sources themselves: erase there too, or they keep what they have",
    "what other people wrote about the person, named under `mentions` where an identifier is in it",
    "backups of this machine's disks, and files that somebody copied out of the deployment's folder",
)


def erase(rights: Rights, *, tenant: str, subject: str) -> Path:
    """Erase the person whom ``subject``, any identifier, names in ``tenant``. Returns the receipt's path.

    Raises TailraceError for a subject nobody knows, and, its receipt written, for one under a legal hold.
    """
    receipts.signing_key(rights.settings)
    return finish(rights, begin(rights, kind="erasure", tenant=tenant, subject=subject))


def resume(rights: Rights) -> list[Path]:
    """End every erasure that was interrupted."""
    return [finish(rights, each) for each in list(journal.unfinished(rights.settings.privacy_dir))]


def begin(rights: Rights, *, kind: str, tenant: str, subject: str) -> Journal:
    """The journal of a new erasure or restriction of this person, or of the one that was interrupted.

    Raises TailraceError for a subject nobody knows, and, the receipt of its refusal written, for one under a hold.
    """
    directory = rights.settings.privacy_dir
    with rights.warehouse.writer("erasure: finding", on_wait=rights.progress) as con:
        forgetting.prepare(con)
        tenant = people.check_tenant(con, tenant)
        named = ledger.subject_hash(con, tenant, subject)
        for each in journal.unfinished(directory):
            if each.subject_hash == named and each.kind == kind:
                return each
        ledger.prepare(con)
        restriction = aside.is_restricted(con, named)
        if restriction is not None:
            raise TailraceError(
                f"{kind}: processing is restricted under {restriction}; `tailrace privacy lift {restriction}` first"
            )
        person = people.find(con, rights.rules, tenant=tenant, subject=subject)
        if not person.identifiers:
            raise people.unknown(kind)
        receipt = receipts.new_id()
        requested = datetime.now(UTC).isoformat(timespec="seconds")
        hold = ledger.held(con, tenant=tenant, identifiers=person.identifiers)
        if hold is not None and kind == "erasure":
            body = head(rights, "erasure", receipt, tenant, named, requested)
            path = receipts.issue(rights.settings, {**body, "outcome": "refused", "reason": hold.reason})
            ledger.record(
                con,
                actor=rights.actor,
                action="erase",
                outcome="refused",
                tenant=tenant,
                subject=named,
                receipt=receipt,
                detail=f"legal hold {hold.id}",
            )
            raise TailraceError(f"erasure: refused by legal hold {hold.id} ({hold.reason}); the receipt is {path}")
        begun = Journal(
            receipt=receipt,
            kind=kind,
            tenant=tenant,
            subject_hash=named,
            requested_at=requested,
            identifiers=person.identifiers,
            derived=tuple(stores.pseudonyms(con, tenant, [value for _, value in person.identifiers])),
        )
        journal.write(directory, begun)
        failpoint("erase_after_journal")
        return begun


def finish(rights: Rights, begun: Journal) -> Path:
    """All steps that are not done yet."""
    place_tombstones(rights, begun)
    take_out(rights, begun)
    rights.progress("building anew, without the person")
    _once(rights, begun, "rebuild", lambda: rights.rebuild(rights.progress))
    failpoint("erase_after_rebuild")
    return _prove(rights, begun)


def place_tombstones(rights: Rights, begun: Journal) -> None:
    with rights.warehouse.writer("erasure: tombstones", on_wait=rights.progress) as con:
        forgetting.prepare(con)
        if journal.result(con, begun.receipt, "tombstones") is None:
            with transaction(con):
                for kind, value in begun.identifiers:
                    con.execute(
                        f"insert into {forgetting.TOMBSTONES} values ({forgetting.hashed(kind, '?')}, ?, ?)",  # noqa: S608
                        [value, begun.tenant, begun.receipt],
                    )
                journal.store(con, begun.receipt, "tombstones", len(begun.identifiers))
    failpoint("erase_after_tombstones")


def take_out(rights: Rights, begun: Journal) -> None:
    """Quarantine, raw and what was built from it, each in its own transaction."""
    rules = rights.rules
    schemas = [contract.schema for contract in rights.contracts.sources.values()]
    with rights.warehouse.writer("erasure", on_wait=rights.progress) as con:
        forgetting.read_key(con)
        if begun.kind == "restriction" and journal.result(con, begun.receipt, "raw") is None:
            aside.keep_aside(con, rights, begun)
        if journal.result(con, begun.receipt, "quarantine") is None:
            present = people.landed(con)
            known = {label: rule for label, rule in rules.items() if label in present}
            named = files.quarantined_ids(rights.settings)
            gone = stores.touched_ids(con, known, sorted(named)) if named else set()
            count = files.drop_from_quarantine(rights.settings, gone)
            with transaction(con):
                journal.store(con, begun.receipt, "quarantine", count)
        failpoint("erase_after_quarantine")
        rights.progress("raw tables")
        if journal.result(con, begun.receipt, "raw") is None:
            with transaction(con):
                done = _scrub_raw(con, rules, begun.receipt)
                stores.scrub_notes(con, begun.identifiers)
                journal.store(con, begun.receipt, "raw", [vars(each) for each in done])
        failpoint("erase_after_raw")
        rights.progress("staging, marts, rollups, snapshots")
        if journal.result(con, begun.receipt, "built") is None:
            with transaction(con):
                built = stores.scrub_built(con, schemas, begun.derived)
                journal.store(con, begun.receipt, "built", [vars(each) for each in built])
        failpoint("erase_after_derived")


def _scrub_raw(con: duckdb.DuckDBPyConnection, rules: Mapping[str, ErasureRule], receipt: str) -> list[stores.Scrubbed]:
    at = positions.stamp(con)
    done = []
    for rule in _referring_first(rules.values()):
        for name in stores.forms(con, rule):
            each = stores.scrub(con, rule, name, receipt=receipt, at=at)
            if each.deleted or each.emptied:
                done.append(each)
            failpoint("erase_mid_raw")
    return done


def _referring_first(rules: Any) -> Sequence[ErasureRule]:
    """A row may find its tenant, or its person, through a subject's row: subjects go last."""
    return sorted(rules, key=lambda rule: (rule.is_subject, rule.label))


def _prove(rights: Rights, begun: Journal) -> Path:
    """Write the files anew, search every byte, write the receipt; then the journal goes."""
    settings, warehouse = rights.settings, rights.warehouse
    searched = rights.personal(begun.identifiers)
    exports = files.exports_naming(settings, searched)
    _once(rights, begun, "exports", lambda: [path.name for path in exports])
    for path in exports:
        path.unlink(missing_ok=True)
    rights.progress("writing the warehouse's file anew")
    before, after = warehouse.rewrite("erasure: rewriting the file", on_wait=rights.progress)
    failpoint("erase_after_rewrite")
    rights.progress("searching every byte")
    with warehouse.writer("erasure: receipt", on_wait=rights.progress) as con:
        mentions = stores.mentions(con, searched)
        done = journal.steps(con, begun.receipt)
    found = files.holding(settings, searched)
    body = {
        **head(rights, begun.kind, begun.receipt, begun.tenant, begun.subject_hash, begun.requested_at),
        "outcome": "done",
        "rules": list(RULES),
        "steps": [{"step": step, "at": at, "result": result} for step, (result, at) in done.items()],
        "rewritten": {"bytes_before": before, "bytes_after": after},
        "files_that_still_hold_an_identifier": found,
        "mentions": mentions,
        "not_reached": list(NOT_REACHED),
        "completed_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    failpoint("erase_before_receipt")
    with warehouse.writer("erasure: receipt", on_wait=rights.progress) as con:
        path = receipts.issue(settings, body)
        failpoint("erase_after_receipt")
        if journal.result(con, begun.receipt, "audit") is None:
            with transaction(con):
                ledger.record(
                    con,
                    actor=rights.actor,
                    action=begun.kind,
                    outcome="done",
                    tenant=begun.tenant,
                    subject=begun.subject_hash,
                    receipt=begun.receipt,
                )
                journal.store(con, begun.receipt, "audit", True)
    journal.remove(settings.privacy_dir, begun.receipt)
    return path


def _once(rights: Rights, begun: Journal, step: str, act: Callable[[], Any]) -> None:
    """Do a step that holds no lease of its own, and note what it gives."""
    with rights.warehouse.writer(f"erasure: {step}", on_wait=rights.progress) as con:
        if journal.result(con, begun.receipt, step) is not None:
            return
    value = act()
    with rights.warehouse.writer(f"erasure: {step}", on_wait=rights.progress) as con, transaction(con):
        journal.store(con, begun.receipt, step, value if value is not None else True)
