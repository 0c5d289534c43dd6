"""From events to rows of a raw table: by its key the last state of each row, without one a count of equal rows."""

# ruff: noqa: S608 - identifiers are the contracts' and the catalog's, each quoted; values are bound or escaped

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from ingestion.land import UNCHANGED, Landed, RawTable, screen
from ingestion.postgres.connection import literal
from ingestion.postgres.events import OLD, Events
from settings import TailraceError
from warehouse import quote

_SENT = "_sent_"


class MissingValueError(TailraceError):
    """The stream did not repeat a value, and neither an earlier change nor the raw table has it."""


def land_events(con: duckdb.DuckDBPyConnection, events: Events, *, database: str, extracted_at: datetime) -> Landed:
    """Bring the raw table to the state after the events. The caller holds the transaction.

    Raises MissingValueError for a value that nothing has, and TailraceError for one that does not fit its column.
    """
    with events.relation(con) as relation:
        landing = _Landing(con, events, _screened(con, events, relation), database, extracted_at)
        return landing.by_key() if events.table.key else landing.by_value()


def _screened(con: duckdb.DuckDBPyConnection, events: Events, relation: str) -> str:
    """The events, without persons who are to be forgotten; kept aside, because landing reads them several times."""
    given = [column.name for column in events.table.columns]
    kept = screen(con, events.table, relation, [*given, *(UNCHANGED + column.name for column in events.partial)])
    if kept is relation:
        return relation
    con.execute(f"create or replace temp table _screened as select * from {kept}")
    return "_screened"


@dataclass
class _Landing:
    con: duckdb.DuckDBPyConnection
    events: Events
    relation: str
    database: str
    extracted_at: datetime

    @property
    def table(self) -> RawTable:
        return self.events.table

    @property
    def key(self) -> str:
        return ", ".join(quote(name) for name in self.table.key)

    def by_key(self) -> Landed:
        """The raw rows of the events' keys are replaced by what the last event of each makes of them."""
        events = self.events
        if events.moves and events.partial:
            self._carry()
        rows = events.count if events.apart else self._find_last()
        keys, among = f"select {self.key} from {self.relation if events.apart else '_last'}", ""
        if settled := events.deletes or bool(events.partial):
            self._settle(repeated=rows < events.count)
            keys += f" where not _partial union all select {self.key} from _settled"
            among = "where e._seq in (select _seq from _last where not _partial)"
        elif rows < events.count:
            among = "where e._seq in (select _seq from _last)"
        self._run(f"delete from {self.table.sql} as o using ({keys}) as n where {_same(self.table.key, 'o', 'n')}")
        landed = Landed(upserted=self._insert(f"{self.relation} as e {among}", deleted="false"))
        if settled:
            written = self._insert("_settled as e", deleted="e._deleted")
            landed.deleted = self._count("_settled where _deleted")
            landed.upserted += written - landed.deleted
        return landed

    def by_value(self) -> Landed:
        """Equal rows are alike: those that came less those that went are added, or marked as deleted."""
        if not self.events.deletes:
            return Landed(upserted=self._insert(f"{self.relation} as e", deleted="false"))
        compared = [column.name for column in self.table.columns if column.name not in self.events.lacking]
        value = ", ".join(["_origin", *map(quote, compared)])
        net = "sum(case when _deleted then -1 else 1 end)"
        self._run(
            f"create or replace temp table _came as select * from {self.relation} qualify not _deleted "
            f"and row_number() over (partition by {value}, _deleted order by _seq desc) "
            f"<= {net} over (partition by {value})"
        )
        self._run(
            f"create or replace temp table _went as select {value}, -{net} as _times, row_number() over () as _value, "
            "max(_ab_cdc_lsn) as _ab_cdc_lsn, max(_ab_cdc_updated_at) as _ab_cdc_updated_at "
            f"from {self.relation} group by {value} having {net} < 0"
        )
        self._run(
            "create or replace temp table _gone as select o.rowid as _row, n._ab_cdc_lsn, n._ab_cdc_updated_at "
            f"from {self.table.sql} as o join _went as n on {_alike(compared, 'o', 'n')} "
            f"where o._ab_cdc_deleted_at is null and o._airbyte_meta->>'origin' = {self._origin('n')} "
            "qualify row_number() over (partition by n._value order by o.rowid) <= n._times"
        )
        gone = self._count("_gone")
        ((expected,),) = self._run("select coalesce(sum(_times), 0)::bigint from _went")
        if gone != expected and not self.events.lenient:
            raise MissingValueError(
                f"{self.table.label}: the stream changes rows that were never landed; run "
                f"`tailrace resnapshot --database {self.database}`"
            )
        wiped = [f"{quote(name)} = null" for name in sorted(self.table.wiped)]
        marks = ["_ab_cdc_deleted_at = n._ab_cdc_updated_at", "_ab_cdc_updated_at = n._ab_cdc_updated_at"]
        marks += ["_ab_cdc_lsn = n._ab_cdc_lsn", "_airbyte_extracted_at = $extracted_at"]
        self._run(
            f"update {self.table.sql} as o set {', '.join(marks + wiped)} from _gone as n where o.rowid = n._row",
            extracted_at=self.extracted_at,
        )
        return Landed(upserted=self._insert("_came as e", deleted="false"), deleted=gone)

    def _find_last(self) -> int:
        """``_last``, of every row its last event: whether it deletes, and whether it leaves values to others.

        The number of rows. A key that lives in several origins at once (a tenant on the move between schemas) is the
        row that came last.
        """
        events = self.events
        row = f"{self.key}, _origin"
        partial = " or ".join(["_deleted", *(quote(UNCHANGED + column.name) for column in events.partial)])
        deleted = "arg_max(_deleted, _seq)" if events.deletes else "false"
        leaves = f"arg_max({partial}, _seq)" if events.deletes or events.partial else "false"
        one = ""
        if len(events.origins) > 1:
            last = f"max(_seq) filter (where not _deleted) over (partition by {self.key})"
            one = f"qualify coalesce(_seq = {last}, true)"
        self._run(
            f"create or replace temp table _last as select * from (select {row}, max(_seq) as _seq, "
            f"count(*) as _events, {deleted} as _deleted, {leaves} as _partial "
            f"from {self.relation} group by {row}) {one}"
        )
        return self._count("_last")

    def _settle(self, *, repeated: bool) -> None:
        """``_settled``, the rows whose last event leaves values to earlier ones or to the row that raw holds.

        A delete from another origin than the row's own is void. Raises MissingValueError.
        """
        events, table = self.events, self.table
        names = [quote(name) for name in table.key]
        control = [*names, "_origin", "_seq", "_deleted", "_ab_cdc_lsn", "_ab_cdc_updated_at"]
        partial = {column.name for column in events.partial}
        origin = self._origin("n")
        alone = [f"e.{name}" for name in control]
        folded = [f"e.{name}" for name in [*names, "_origin"]] + ["max(e._seq)", "any_value(l._deleted)"]
        folded += [f"arg_max(e.{name}, e._seq)" for name in control[-2:]]
        settled, missing = [f"n.{name}" for name in control], {}
        for column in table.values:
            name, sent = quote(column.name), quote(_SENT + column.name)
            given = "not e._deleted"
            if column.name in partial:
                given += f" and not e.{quote(UNCHANGED + column.name)}"
            alone += [f"e.{name}", f"{given} as {sent}"]
            folded += [f"arg_max_null(e.{name}, e._seq) filter (where {given})", f"bool_or({given})"]
            value = f"when n.{sent} then n.{name} when o._from = {origin} and (n._deleted or o._lives) then o.{name}"
            value = f"case {'when n._deleted then null ' if column.name in table.wiped else ''}{value} end"
            settled.append(f"{value} as {name}")
            if column.name in events.toasted - events.lenient:
                settled.append(f"n.{sent}")
                missing[column.name] = f"not _deleted and not {sent} and {name} is null"
        own = (
            f"select {', '.join(alone)} from {self.relation} as e "
            "where e._seq in (select _seq from _last where _partial and _events = 1)"
        )
        if repeated:
            own += (
                f" union all select {', '.join(folded)} from {self.relation} as e "
                f"join _last as l on {_same([*table.key, '_origin'], 'e', 'l')} "
                f"where l._partial and l._events > 1 group by {', '.join(folded[: len(names) + 1])}"
            )
        held = (
            f"select *, _airbyte_meta->>'origin' as _from, _ab_cdc_deleted_at is null as _lives from {table.sql} as o "
            f"where exists (select 1 from _last as n where n._partial and {_same(table.key, 'o', 'n')})"
        )
        one = f"qualify row_number() over (partition by {', '.join(settled[: len(names)])} order by n._seq desc) = 1"
        self._run(
            f"create or replace temp table _settled as with own as ({own}), held as ({held}) "
            f"select {', '.join(settled)} from own as n left join held as o on {_same(table.key, 'o', 'n')} "
            f"where not (n._deleted and o._lives is not null and o._from is distinct from {origin}) "
            f"{one if len(events.origins) > 1 else ''}"
        )
        self._check("_settled", missing)

    def _carry(self) -> None:
        """Give rows whose key changed the values that the stream did not repeat: those of the row under its old key.

        That row's last value in these events, else the raw table's. A row may move several times: each round settles
        the arrivals whose old key has no earlier unsettled arrival. Raises MissingValueError.
        """
        events, table = self.events, self.table
        moved = " and ".join(f"{quote(OLD + name)} is not null" for name in table.key)
        self._run(f"create or replace temp table _events as select *, {moved} as _moved from {self.relation}")
        self.relation = "_events"
        flags = " or ".join(quote(UNCHANGED + column.name) for column in events.partial)
        old = {name: OLD + name for name in table.key}
        before = f"p._origin = e._origin and {_same(table.key, 'p', 'e', old)} and p._seq < e._seq"
        values, sets, missing = [], [], {}
        for column in events.partial:
            name, flag = quote(column.name), quote(UNCHANGED + column.name)
            sent = f"filter (where not p._deleted and not p.{flag})"
            last = f"arg_max_null(p.{name}, p._seq) {sent}"
            values.append(f"case when count(p._seq) {sent} > 0 then {last} else any_value(o.{name}) end as {name}")
            values.append(f"any_value(e.{flag}) as {flag}")
            sets += [f"{name} = case when e.{flag} then r.{name} else e.{name} end", f"{flag} = false"]
            if column.name in events.toasted - events.lenient:
                missing[column.name] = f"{flag} and {name} is null"
        while self._count(f"_events where _moved and ({flags})"):
            self._run(
                f"create or replace temp table _settled as "
                f"with waiting as (select * from _events where _moved and ({flags})), "
                f"ready as (select * from waiting as e where not exists (select 1 from waiting as p where {before})) "
                f"select e._seq, {', '.join(values)} from ready as e left join _events as p on {before} "
                f"left join {table.sql} as o on {_same(table.key, 'o', 'e', old)} and o._ab_cdc_deleted_at is null "
                f"and o._airbyte_meta->>'origin' = {self._origin('e')} group by e._seq"
            )
            self._check("_settled", missing)
            self._run(f"update _events as e set {', '.join(sets)} from _settled as r where e._seq = r._seq")

    def _check(self, relation: str, missing: dict[str, str]) -> None:
        for name, condition in missing.items():
            if self._count(f"{relation} where {condition}"):
                raise MissingValueError(
                    f"{self.table.label}.{name}: the stream did not repeat a value, and it was never landed; run "
                    f"`tailrace resnapshot --database {self.database}`"
                )

    def _insert(self, source: str, *, deleted: str) -> int:
        """Write the rows of ``source``, known as ``e``, into the raw table."""
        columns = ", ".join(f"e.{quote(column.name)}" for column in self.table.columns)
        ((written,),) = self._run(
            f"insert into {self.table.sql} by name select {columns}, "
            # No transaction lands twice, and no number comes twice in a run.
            f"concat({literal(self.database + '.')}, e._ab_cdc_lsn, '.', e._seq) as _airbyte_raw_id, "
            "$extracted_at::timestamptz as _airbyte_extracted_at, "
            f"{self._by_origin(lambda origin: json.dumps({'origin': origin}), 'e')}::json as _airbyte_meta, "
            "0::bigint as _airbyte_generation_id, e._ab_cdc_lsn, e._ab_cdc_updated_at, "
            f"case when {deleted} then e._ab_cdc_updated_at end as _ab_cdc_deleted_at from {source}",
            extracted_at=self.extracted_at,
        )
        return int(written)

    def _origin(self, alias: str) -> str:
        return self._by_origin(str, alias)

    def _by_origin(self, text: Callable[[str], str], alias: str) -> str:
        """What ``text`` makes of an event's origin."""
        texts = [literal(text(origin)) for origin in self.events.origins]
        return texts[0] if len(texts) == 1 else f"([{', '.join(texts)}])[{alias}._origin + 1]"

    def _count(self, source: str) -> int:
        return int(self._run(f"select count(*) from {source}")[0][0])

    def _run(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        return self.con.execute(query, values or None).fetchall()


def _same(names: Iterable[str], left: str, right: str, renamed: Mapping[str, str] | None = None) -> str:
    """Two rows have the same key; ``renamed`` tells what the columns are called on the right."""
    renamed = renamed or {}
    return " and ".join(f"{left}.{quote(name)} = {right}.{quote(renamed.get(name, name))}" for name in names)


def _alike(names: Iterable[str], left: str, right: str) -> str:
    return " and ".join(f"{left}.{quote(name)} is not distinct from {right}.{quote(name)}" for name in names)
