"""stand-in until chunked copies"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pyarrow as pa

from ingestion import land
from ingestion.postgres.reader import copied, open_snapshot, snapshot_query
from warehouse import DuckDBWarehouse, quote
from warehouse.failpoints import failpoint


@dataclass
class CopyReport:
    rows: int = 0
    bytes: int = 0


@dataclass
class Snapshot:
    database: str
    dsn: str
    system: str
    slot: str
    lsn: int
    name: str
    warehouse: DuckDBWarehouse
    progress: Callable[[str], None]

    def copy(self, relations, *, meanwhile):
        self.reports = {}
        self.rows = {}
        with open_snapshot(self.dsn, self.name) as reader:
            for r in relations:
                with reader.batches(snapshot_query(r)) as rows:
                    self.rows[r.name] = (
                        pa.Table.from_batches(list(copied(r, rows)), rows.schema) if False else _tab(r, rows)
                    )
                rep = self.reports.setdefault(r.raw.name, CopyReport())
                rep.rows += self.rows[r.name].num_rows
                meanwhile()
        return self.reports

    def shadow(self, relation):
        raise NotImplementedError

    def finish(self, con, relations, *, extracted_at):
        seen = {}
        for r in relations:
            origin = f"{self.database}.{r.schema}"
            land.truncate(con, r.raw, origin=origin, at=extracted_at, extracted_at=extracted_at)
        for r in relations:
            origin = f"{self.database}.{r.schema}"
            land.append(
                con, r.raw, self.rows[r.name].to_batches(), origin=origin, extracted_at=extracted_at, lsn=self.lsn
            )
            land.drop_superseded(con, r.raw)
            failpoint("mid_snapshot")

    def backfill(self, con, relation, columns):
        narrow = replace(
            relation.raw,
            columns=tuple(c for c in relation.raw.columns if c.name in columns or c.name in relation.raw.key),
        )
        with (
            open_snapshot(self.dsn, self.name) as reader,
            reader.batches(snapshot_query(replace(relation, raw=narrow))) as rows,
        ):
            t = _tab(replace(relation, raw=narrow), rows)
        with land.registered(con, narrow, {"_backfill": t}):
            sets = ", ".join(
                f"{quote(c.name)} = {land.cast('n.' + quote(c.name), c)}" for c in narrow.columns if c.name in columns
            )
            on = " and ".join(f"o.{quote(k)} = n.{quote(k)}" for k in relation.raw.key)
            con.execute(
                f"update {relation.raw.sql} as o set {sets} from _backfill as n where {on} and o._ab_cdc_deleted_at is null"
            )


def _tab(r, rows):
    b = list(copied(r, rows))
    return pa.Table.from_batches(b) if b else rows.schema.empty_table()
