"""Changes in stream order become one row a key, merged into the raw tables inside one warehouse transaction."""

# ruff: noqa: S608 - identifiers are the contracts' and the catalog's, each quoted; values are bound or escaped

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa

from ingestion import land
from ingestion.land import UNCHANGED, Landed, RawTable
from ingestion.postgres.pgoutput import Changes, Relation, Truncation
from warehouse import quote

_OLD = "_old_"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Buffered:
    """Changes of one raw table that wait in a temporary table (DuckDB spills it) for the end of the batch."""

    table: RawTable
    events: str
    changes: int = 0
    unchanged: set[str] = field(default_factory=set)
    deletes: bool = False
    moves: bool = False


class Applier:
    """Lands the changes of one batch. Where a row came from (``database.schema``) goes with it."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        *,
        database: str,
        landing: Callable[[str, str], RawTable | None],
        extracted_at: datetime,
    ) -> None:
        self.landed: dict[str, Landed] = {}
        self.changes: dict[str, int] = {}
        self._con = con
        self._database = database
        self._landing = landing
        self._extracted_at = extracted_at
        self._buffers: dict[str, Buffered] = {}

    def add(self, item: Changes | Truncation) -> None:
        """Take the next item of the stream; relations that no contract lands are passed over."""
        table = self._landing(item.relation.schema, item.relation.name)
        if table is None:
            return
        if isinstance(item, Truncation):
            self._flush(table)
            landed = land.truncate(
                self._con,
                table,
                origin=self._origin(item.relation),
                at=_EPOCH + timedelta(microseconds=item.at),
                extracted_at=self._extracted_at,
                lsn=item.lsn,
            )
            self._count(table, landed)
            self.changes[table.name] = self.changes.get(table.name, 0) + 1
        else:
            self._buffer(table, item)

    def finish(self) -> None:
        """Merge what waits."""
        for buffered in list(self._buffers.values()):
            self._flush(buffered.table)

    def _origin(self, relation: Relation) -> str:
        return f"{self._database}.{relation.schema}"

    def _count(self, table: RawTable, landed: Landed) -> None:
        self.landed.setdefault(table.name, Landed())
        self.landed[table.name] += landed

    def _buffer(self, table: RawTable, item: Changes) -> None:
        buffered = self._buffers.get(table.name)
        if buffered is None:
            buffered = self._buffers[table.name] = self._create(table)
        rows, moved = item.rows, len(item.moved) > 0
        for name, mask in item.unchanged.items():
            rows = rows.append_column(UNCHANGED + name, pa.array(mask))
            buffered.unchanged.add(name)
        if moved:
            place = np.full(rows.num_rows, -1)
            place[item.moved] = np.arange(len(item.moved))
            places = pa.array(place, mask=place < 0)
            for name in table.key:
                rows = rows.append_column(_OLD + name, item.old[name].take(places))
        with land.registered(self._con, table, "_changes", rows):
            self._insert(buffered, item.relation, set(rows.column_names), moved)
        buffered.changes += rows.num_rows
        self._count(table, Landed(bytes=item.rows.nbytes))

    def _create(self, table: RawTable) -> Buffered:
        events = quote(f"_events_{table.name}")
        kinds = {column.name: column.duck_type for column in table.columns}
        columns = ["_seq bigint", "_deleted boolean", "_moved boolean", "_origin varchar", "_ab_cdc_lsn bigint"]
        columns += ["_ab_cdc_updated_at timestamptz"]
        columns += [f"{quote(_OLD + name)} {kinds[name]}" for name in table.key]
        columns += [f"{quote(name)} {kind}" for name, kind in kinds.items()]
        columns += [f"{quote(UNCHANGED + column.name)} boolean" for column in table.values]
        self._con.execute(f"create or replace temp table {events} ({', '.join(columns)})")
        return Buffered(table, events)

    def _insert(self, buffered: Buffered, relation: Relation, given: set[str], moved: bool) -> None:
        """Append the changes as typed events. A changed key is a delete of the old row, then an arrival of the new."""
        table, origin = buffered.table, self._origin(relation)
        kinds = {column.name: column for column in table.columns}
        old = {quote(name): land.cast(f"n.{quote(_OLD + name)}", kinds[name]) for name in table.key}
        is_move = "false"
        if moved:
            new = {quote(name): land.cast(f"n.{quote(name)}", kinds[name]) for name in table.key}
            known = " and ".join(f"{value} is not null" for value in old.values())
            differs = " or ".join(f"{old[name]} is distinct from {new[name]}" for name in old)
            is_move = f"({known} and ({differs}))"
            leaving = old | {quote(UNCHANGED + column.name): "true" for column in table.values}
            self._append(buffered, leaving, "2 * n._seq", "true", "false", origin, f"where {is_move}")
        arriving = {}
        for column in table.columns:
            if column.name in given:
                arriving[quote(column.name)] = land.cast(f"n.{quote(column.name)}", column)
        for column in table.values:
            flag = UNCHANGED + column.name
            if column.name not in given:  # the source dropped it in mid-stream: keep what was landed
                buffered.unchanged.add(column.name)
                arriving[quote(flag)] = "true"
            else:
                arriving[quote(flag)] = f"n._op = 'D' or n.{quote(flag)}" if flag in given else "n._op = 'D'"
        if moved:
            arriving |= {quote(_OLD + name): old[quote(name)] for name in table.key}
        self._append(buffered, arriving, "2 * n._seq + 1", "n._op = 'D'", is_move, origin, "")
        ((deletes, moves),) = self._con.execute(
            f"select bool_or(_deleted), bool_or(_moved) from {buffered.events}"
        ).fetchall()
        buffered.deletes, buffered.moves = bool(deletes), bool(moves)

    def _append(
        self, buffered: Buffered, values: dict[str, str], seq: str, deleted: str, moved: str, origin: str, where: str
    ) -> None:
        selected = [f"{value} as {name}" for name, value in values.items()]
        selected += [f"{seq} as _seq", f"{deleted} as _deleted", f"{moved} as _moved", "$origin as _origin"]
        self._con.execute(
            f"insert into {buffered.events} by name "
            f"select {', '.join(selected)}, n._ab_cdc_lsn, n._ab_cdc_updated_at from _changes as n {where}",
            {"origin": origin},
        )

    def _flush(self, table: RawTable) -> None:
        buffered = self._buffers.pop(table.name, None)
        if buffered is None:
            return
        if buffered.moves and buffered.unchanged:
            self._carry_unchanged(buffered)
        for relation in self._fold(buffered):
            given = [column.name for column in table.columns] + ["_origin", "_ab_cdc_lsn", "_ab_cdc_updated_at"]
            if buffered.deletes or buffered.unchanged:
                given += ["_deleted", *(UNCHANGED + column.name for column in table.values)]
            self._count(table, land.merge(self._con, table, relation, given, extracted_at=self._extracted_at))
        self.changes[table.name] = self.changes.get(table.name, 0) + buffered.changes
        self._con.execute(f"drop table {buffered.events}")

    def _carry_unchanged(self, buffered: Buffered) -> None:
        """Give rows whose key changed the values that the stream did not repeat: those of the row under its old key.

        That row's last value in the batch, else the warehouse's. A row may move several times: each round settles
        the arrivals whose old key has no earlier unsettled arrival.
        """
        table, events = buffered.table, buffered.events
        flags = [quote(UNCHANGED + name) for name in sorted(buffered.unchanged)]
        unsettled = f"_moved and ({' or '.join(flags)})"
        at_old = " and ".join(f"p.{quote(name)} = e.{quote(_OLD + name)}" for name in table.key)
        raw_at_old = " and ".join(f"o.{quote(name)} = e.{quote(_OLD + name)}" for name in table.key)
        values, sets = [], []
        for name in sorted(buffered.unchanged):
            flag, column = quote(UNCHANGED + name), quote(name)
            sent = f"filter (where not p.{flag})"
            last = f"arg_max_null(p.{column}, p._seq) {sent}"
            values.append(f"case when count(p._seq) {sent} > 0 then {last} else any_value(o.{column}) end as {column}")
            sets += [f"{column} = case when e.{flag} then r.{column} else e.{column} end", f"{flag} = false"]
        while self._con.execute(f"select 1 from {events} where {unsettled} limit 1").fetchall():
            self._con.execute(
                f"create or replace temp table _settled as with waiting as (select * from {events} where {unsettled}), "
                f"ready as (select * from waiting as e where not exists "
                f"(select 1 from waiting as p where p._origin = e._origin and {at_old} and p._seq < e._seq)) "
                f"select e._seq, {', '.join(values)} from ready as e "
                f"left join {events} as p on p._origin = e._origin and {at_old} and p._seq < e._seq "
                f"left join {table.sql} as o on {raw_at_old} group by e._seq"
            )
            self._con.execute(f"update {events} as e set {', '.join(sets)} from _settled as r where e._seq = r._seq")
        self._con.execute("drop table if exists _settled")

    def _fold(self, buffered: Buffered) -> list[str]:
        """Relations with at most one row a key, to be merged one after the other; nearly always it is one.

        Events fold by origin and key: the last one tells whether the row lives, and each column takes the last value
        that was sent. A key that lives in two origins at once (a tenant on the move between schemas) takes more rounds:
        deletes first, then the rows that live.
        """
        table, events = buffered.table, buffered.events
        key = ", ".join(quote(name) for name in table.key)
        repeated = self._con.execute(f"select 1 from {events} group by {key} having count(*) > 1 limit 1").fetchall()
        if not repeated:
            return [events]
        folded = [f"arg_max({name}, _seq) as {name}" for name in ("_deleted", "_ab_cdc_lsn", "_ab_cdc_updated_at")]
        for column in table.values:
            name, flag = quote(column.name), quote(UNCHANGED + column.name)
            folded.append(f"arg_max_null({name}, _seq) filter (where not {flag}) as {name}")
            folded.append(f"bool_and({flag}) as {flag}")
        columns = [quote(column.name) for column in table.values]
        flags = [quote(UNCHANGED + column.name) for column in table.values]
        kept = ", ".join([key, "_origin", "_deleted", "_ab_cdc_lsn", "_ab_cdc_updated_at", *columns, *flags])
        self._con.execute(
            f"create or replace temp table _folded as "
            f"with counted as (select *, count(*) over (partition by _origin, {key}) as _events from {events}), "
            f"one_each as (select {kept}, _seq from counted where _events = 1 union all by name "
            f"select {key}, _origin, max(_seq) as _seq, {', '.join(folded)} "
            f"from counted where _events > 1 group by _origin, {key}) "
            f"select *, row_number() over (partition by {key} order by not _deleted, _seq) as _round from one_each"
        )
        ((last,),) = self._con.execute("select max(_round) from _folded").fetchall()
        rounds = []
        for number in range(1, int(last) + 1):
            self._con.execute(
                f"create or replace temp view _round_{number} as select * from _folded where _round = {number}"
            )
            rounds.append(f"_round_{number}")
        return rounds
