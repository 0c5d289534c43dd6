"""Tenants that leave, become one, are divided, or move to another region: nothing of them stays behind.

What changes at a tenant changes in the product and the CRM first; landing follows. These commands take away what
landing leaves: a key, pseudonyms under it, rows marked as deleted, files. They refuse while the sources still have
live rows where they should not. Killed anywhere, the same command goes on.
"""

# ruff: noqa: S608 - names are the contracts' and the catalog's, each quoted; values are bound

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from ingestion import forgetting
from pii_policies.erasure import ErasureRule, erasure_rules
from pii_policies.keys import KEY_BYTES, UNATTRIBUTED
from pii_policies.keys import TABLE as KEYS_TABLE
from pii_policies.treatments import pads
from privacy import files, journal, ledger, people, receipts, stores
from privacy.rights import Rights, head
from quality.rollup_gate import expect_fewer
from settings import Region, TailraceError
from warehouse import positions, quote, transaction

DIRECTORY = "raw_app.tenants"


def offboard(rights: Rights, *, tenant: str) -> Path:
    """Destroy a tenant's key and erase every row of it. Returns the receipt's path.

    Raises TailraceError for a tenant nobody knows, and, its receipt written, for one under a legal hold.
    """
    return _leave(rights, kind="offboarding", tenant=tenant)


def merge(rights: Rights, *, tenant: str, into: str) -> Path:
    """After the product has given a tenant's rows to another: the emptied one leaves.

    Tombstones and legal holds of its persons hold in the other one. Raises TailraceError while rows are left.
    """

    def prepare(con: duckdb.DuckDBPyConnection, leaving: str) -> dict[str, Any]:
        other = people.check_tenant(con, into)
        if other == leaving:
            raise TailraceError("merge: a tenant cannot be merged into itself; name two")
        _refuse_live_rows(con, rights, leaving, doing=f"merge into {into}")
        with transaction(con):
            for table in (forgetting.TOMBSTONES, "tailrace.legal_holds"):
                con.execute(f"update {table} set tenant_id = ? where tenant_id = ?", [other, leaving])
        return {"into": other}

    return _leave(rights, kind="merge", tenant=tenant, prepare=prepare)


def move_region(rights: Rights, *, tenant: str, to: Region) -> Path:
    """After the product has moved a tenant to another region's database: it leaves this region's deployment.

    The other region's deployment lands it from there, under a key of its own. Raises TailraceError while rows are left.
    """

    def prepare(con: duckdb.DuckDBPyConnection, leaving: str) -> dict[str, Any]:
        if to == rights.settings.region:
            raise TailraceError(f"move-region: this deployment serves {to}; run it where the tenant leaves")
        _refuse_live_rows(con, rights, leaving, doing=f"move to {to}")
        return {"to_region": to}

    return _leave(rights, kind="move to another region", tenant=tenant, prepare=prepare)


def split(rights: Rights, *, tenant: str, into: str) -> Path:
    """After the product has given some of a tenant's rows to a new one: what they left under the old tenant goes.

    Tombstones and legal holds hold in both. Raises TailraceError when the new tenant has no rows yet.
    """
    receipts.signing_key(rights.settings)
    receipt, requested = receipts.new_id(), _now()
    rights.rebuild(rights.progress)  # figures of the old tenant must have counted that the rows went
    with rights.warehouse.writer("split", on_wait=rights.progress) as con:
        forgetting.prepare(con)
        ledger.prepare(con)
        old, new = people.check_tenant(con, tenant), people.check_tenant(con, into)
        if old == new or not _live_rows(con, rights, new):
            raise TailraceError(f"split: tenant {into} has no rows of its own yet; move them in the product and run it")
        with transaction(con):
            for table in (forgetting.TOMBSTONES, "tailrace.legal_holds"):
                _copy_to(con, table, old, new)
            left = {label: _drop_moved(con, rule, old, new) for label, rule in _own(con, rights).items()}
            moved = _identifiers_of(con, rights, new)
            built = _scrub_moved(con, rights, old, stores.pseudonyms(con, old, moved))
    rights.rebuild_without_past(old)
    rights.warehouse.rewrite("split: rewriting the file", on_wait=rights.progress)
    body = {"into": new, "rows_left_behind": {k: n for k, n in left.items() if n}, "built": built}
    return _issue(rights, "split", receipt, old, requested, body)


def readmit(rights: Rights, *, tenant: str) -> int:
    """Let a tenant that left land again, under a new key; the version of that key.

    Its rows come with the next full landing: `tailrace resnapshot`, and the next whole listing of the other sources.
    """
    with rights.warehouse.writer("readmitting a tenant", on_wait=rights.progress) as con:
        forgetting.prepare(con)
        if not con.execute(f"delete from {forgetting.GONE_TENANTS} where tenant_id = ?", [tenant]).fetchall()[0][0]:
            raise TailraceError(f"tenant {tenant}: did not leave; give the id that its receipt names")
        con.execute("delete from tailrace.erasure_steps where receipt = ?", [f"keys of {tenant}"])
        con.execute(f"delete from {forgetting.TOMBSTONES} where receipt = ?", [f"left with {tenant}"])
        ((last,),) = con.execute(
            "select coalesce(max(key_version), 0) from vault.tenant_keys where tenant_id = ?", [tenant]
        ).fetchall()
        con.execute(
            "insert into vault.tenant_keys values (?, ?, ?, ?, now())",
            [tenant, last + 1, *pads(secrets.token_bytes(KEY_BYTES))],
        )
        ledger.record(con, actor=rights.actor, action="readmit", outcome="done", tenant=tenant)
    return int(last + 1)


def _leave(rights: Rights, *, kind: str, tenant: str, prepare: Any = None) -> Path:
    receipts.signing_key(rights.settings)
    requested = _now()
    with rights.warehouse.writer(kind, on_wait=rights.progress) as con:
        forgetting.prepare(con)
        ledger.prepare(con)
        leaving = _leaving(con, tenant)
        under_way = con.execute(
            f"select receipt from {forgetting.GONE_TENANTS} where tenant_id = ?", [leaving]
        ).fetchall()
        receipt = str(under_way[0][0]) if under_way else receipts.new_id()
        stored = receipts.receipts_dir(rights.settings) / f"{receipt}.json"
        if stored.exists():
            return stored
        if not under_way:
            _refuse_held(rights, con, kind, leaving, requested)
            more = prepare(con, leaving) if prepare else {}
            with transaction(con):
                con.execute(f"insert into {forgetting.GONE_TENANTS} values (?, ?)", [leaving, receipt])
                journal.store(con, receipt, "begun", {**more, "requested_at": requested})
        begun = dict(journal.result(con, receipt, "begun") or {})
        keys = _destroy_keys(con, leaving)
        _once(con, receipt, "keys", lambda: keys)
        _once(con, receipt, "quarantine", lambda: _clear_quarantine(con, rights))
        _once(con, receipt, "raw", lambda: _clear_raw(con, rights, leaving))
        _once(con, receipt, "built", lambda: _clear_built(con, rights, leaving))
    for path in files.exports_naming(rights.settings, [leaving]):
        path.unlink(missing_ok=True)
    rights.rebuild_without_past(leaving)
    rights.warehouse.rewrite(f"{kind}: rewriting the files", on_wait=rights.progress)
    with rights.warehouse.writer(kind, on_wait=rights.progress) as con:
        steps = journal.steps(con, receipt)
        left = {
            place: count
            for place, count in stores.mentions(con, [leaving]).items()
            if not place.startswith("tailrace.")
        }
    requested = str(begun.pop("requested_at"))
    body = {
        **begun,
        "steps": [
            {"step": step, "at": at, "result": result} for step, (result, at) in steps.items() if step != "begun"
        ],
        "left": left,
    }
    return _issue(rights, kind, receipt, leaving, requested, body)


def _leaving(con: duckdb.DuckDBPyConnection, tenant: str) -> str:
    gone = con.execute(
        f"select tenant_id from {forgetting.GONE_TENANTS} where tenant_id = lower(?)", [tenant]
    ).fetchall()
    found = str(gone[0][0]) if gone else people.check_tenant(con, tenant)
    if found == UNATTRIBUTED:
        raise TailraceError("unattributed is no tenant that could leave; attribute its rows in the sources")
    return found


def _refuse_held(rights: Rights, con: duckdb.DuckDBPyConnection, kind: str, tenant: str, requested: str) -> None:
    rows = con.execute("select id, reason from tailrace.legal_holds where tenant_id = ?", [tenant]).fetchall()
    if not rows or kind == "merge":  # a merge carries its holds along
        return
    receipt = receipts.new_id()
    body = {**head(rights, kind, receipt, tenant, None, requested), "outcome": "refused", "reason": rows[0][1]}
    path = receipts.issue(rights.settings, body)
    ledger.record(con, actor=rights.actor, action=kind, outcome="refused", tenant=tenant, receipt=receipt)
    raise TailraceError(f"{kind}: refused by a legal hold ({rows[0][1]}); the receipt is {path}")


def _once(con: duckdb.DuckDBPyConnection, receipt: str, step: str, act: Any) -> None:
    if journal.result(con, receipt, step) is None:
        with transaction(con):
            journal.store(con, receipt, step, act())


def _destroy_keys(con: duckdb.DuckDBPyConnection, tenant: str) -> int:
    """Every version of the tenant's key; how many there are. Pseudonyms under it can be made by nobody any more."""
    con.execute(KEYS_TABLE)
    con.execute("update vault.tenant_keys set ipad = null, opad = null where tenant_id = ?", [tenant])
    rows = con.execute("select count(*) from vault.tenant_keys where tenant_id = ?", [tenant]).fetchall()
    return int(rows[0][0])


def _rules(con: duckdb.DuckDBPyConnection, rights: Rights) -> dict[str, ErasureRule]:
    """Of every raw table that there is; those first whose tenant is found through others."""
    present = people.landed(con)
    rules = {label: rule for label, rule in erasure_rules(rights.contracts).items() if label in present}
    return dict(sorted(rules.items(), key=lambda each: -each[1].lookups))


def _own(con: duckdb.DuckDBPyConnection, rights: Rights) -> dict[str, ErasureRule]:
    rules = _rules(con, rights)
    return {label: rule for label, rule in rules.items() if rule.own_tenant and label != DIRECTORY}


def _clear_quarantine(con: duckdb.DuckDBPyConnection, rights: Rights) -> int:
    named = files.quarantined_ids(rights.settings)
    gone = stores.touched_ids(con, _rules(con, rights), sorted(named)) if named else set()
    return files.drop_from_quarantine(rights.settings, gone)


def _clear_raw(con: duckdb.DuckDBPyConnection, rights: Rights, tenant: str) -> list[dict[str, Any]]:
    """Rows that others lead to leave a tombstone: what refers to them has no other way to tell whose it was."""
    rules = _rules(con, rights)
    owners = {label for rule in rules.values() for _, label, _ in rule.owners}
    at, done = positions.stamp(con), []
    for label, rule in rules.items():
        for name in stores.forms(con, rule):
            relation = f"{quote(rule.schema)}.{quote(name)}"
            if label in owners:
                found = forgetting.verdicts(rule, stores.columns_of(con, rule.schema, name))
                key = forgetting.gone_hash(label, f"n.{quote(rule.key[0])}::varchar")
                tests = [test for test in found.tests if test == "_tenant_gone" or test.startswith("_owner_gone_")]
                con.execute(
                    f"insert into {forgetting.TOMBSTONES} select distinct {key}, null, ? from {found.tested(relation)} "
                    f"as n where coalesce({' or '.join(tests)}, false)",
                    [f"left with {tenant}"],
                )
            each = stores.scrub(con, rule, name, receipt=f"left with {tenant}", at=at)
            named = _empty_documents(con, rule, relation, tenant)
            if each.deleted or each.emptied or named:
                done.append({**vars(each), "emptied": each.emptied + named})
    return done


def _empty_documents(con: duckdb.DuckDBPyConnection, rule: ErasureRule, relation: str, tenant: str) -> int:
    """Documents and texts that name the tenant in rows that no path leads from to it; how many rows."""
    names = [f"contains(lower(n.{quote(each.column)}::varchar), $tenant)" for each in rule.emptied]
    if not names:
        return 0
    changes = ", ".join(
        f"{quote(each.column)} = case when {name} then {each.rest or 'null'} else n.{quote(each.column)} end"
        for each, name in zip(rule.emptied, names, strict=True)
    )
    rows = con.execute(
        f"update {relation} as n set {changes} where {' or '.join(names)}", {"tenant": tenant}
    ).fetchall()
    return int(rows[0][0])


def _clear_built(con: duckdb.DuckDBPyConnection, rights: Rights, tenant: str) -> list[dict[str, Any]]:
    schemas = [contract.schema for contract in rights.contracts.sources.values()]
    done = stores.scrub_built(con, schemas, [tenant])
    for each in done:
        schema, _, name = each.table.partition(".")
        if schema == "rollups":
            expect_fewer(con, name, each.deleted)
    return [vars(each) for each in done]


def _live_rows(con: duckdb.DuckDBPyConnection, rights: Rights, tenant: str) -> dict[str, int]:
    """Rows of the tenant, its line in the directory aside, that no source has deleted."""
    found = {}
    for label, rule in _rules(con, rights).items():
        if rule.tenant is None or label == DIRECTORY:
            continue
        rows = con.execute(
            f"select count(*) from {quote(rule.schema)}.{quote(rule.table)} as n "
            f"where n._ab_cdc_deleted_at is null and {rule.tenant} = ?",
            [tenant],
        ).fetchall()
        if rows[0][0]:
            found[label] = int(rows[0][0])
    return found


def _refuse_live_rows(con: duckdb.DuckDBPyConnection, rights: Rights, tenant: str, *, doing: str) -> None:
    left = _live_rows(con, rights, tenant)
    if left:
        label, count = next(iter(left.items()))
        raise TailraceError(
            f"tenant {tenant}, {doing}: {label} still has {count:,} live row(s) of it, and {len(left) - 1} other "
            "table(s); move them in the source, run the pipeline, then this again"
        )


def _copy_to(con: duckdb.DuckDBPyConnection, table: str, old: str, new: str) -> None:
    columns = stores.columns_of(con, *table.split("."))
    given = [f"? as {quote(c)}" if c == "tenant_id" else quote(c) for c in columns]
    if "id" in columns:
        given = ["id || '.split'" if c == "id" else g for c, g in zip(columns, given, strict=True)]
    con.execute(f"insert into {table} select {', '.join(given)} from {table} where tenant_id = ?", [new, old])


def _drop_moved(con: duckdb.DuckDBPyConnection, rule: ErasureRule, old: str, new: str) -> int:
    """Delete rows of the old tenant, marked as deleted, whose row lives on under the new one."""
    rest = [quote(name) for name in rule.key if name not in rule.tenant_columns]
    if not rest:
        return 0
    relation, column = f"{quote(rule.schema)}.{quote(rule.table)}", quote(rule.tenant_columns[0])
    same = " and ".join(f"n.{name} = o.{name}" for name in rest)
    rows = con.execute(
        f"delete from {relation} as o where o.{column}::varchar = ? and o._ab_cdc_deleted_at is not null and exists "
        f"(select 1 from {relation} as n where {same} and n.{column}::varchar = ? and n._ab_cdc_deleted_at is null)",
        [old, new],
    ).fetchall()
    return int(rows[0][0])


def _identifiers_of(con: duckdb.DuckDBPyConnection, rights: Rights, tenant: str) -> list[str]:
    found: set[str] = set()
    for label, rule in _rules(con, rights).items():
        if not rule.is_subject or rule.tenant is None:
            continue
        for each in rule.identifiers:
            if each.subject:
                rows = con.execute(f"select {each.sql} from {label} as n where {rule.tenant} = ?", [tenant]).fetchall()
                found |= {str(value) for (value,) in rows if value is not None}
    return sorted(found)


def _scrub_moved(
    con: duckdb.DuckDBPyConnection, rights: Rights, tenant: str, pseudonyms: list[str]
) -> Mapping[str, int]:
    schemas = [contract.schema for contract in rights.contracts.sources.values()]
    return {each.table: each.deleted for each in stores.scrub_built(con, schemas, pseudonyms)}


def _issue(rights: Rights, kind: str, receipt: str, tenant: str, requested: str, body: dict[str, Any]) -> Path:
    with rights.warehouse.writer(kind, on_wait=rights.progress) as con:
        path = receipts.issue(
            rights.settings,
            {
                **head(rights, kind, receipt, tenant, None, requested),
                "outcome": "done",
                **body,
                "completed_at": _now(),
            },
        )
        ledger.record(con, actor=rights.actor, action=kind, outcome="done", tenant=tenant, receipt=receipt)
    return path


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
