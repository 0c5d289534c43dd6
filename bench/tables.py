"""The tables that the benches write at the source and expect in raw, and a checksum that both sides compute alike."""

# ruff: noqa: S608 - the identifiers are this module's own

from __future__ import annotations

from ingestion.land import RawColumn, RawTable
from warehouse import quote


def _table(name: str, key: tuple[str, ...], **columns: str) -> RawTable:
    return RawTable("raw_app", name, tuple(RawColumn(*pair) for pair in columns.items()), key, frozenset())


EVENTS = _table(
    "events",
    ("tenant_id", "id"),
    tenant_id="UUID",
    id="BIGINT",
    session_id="UUID",
    kind="VARCHAR",
    url="VARCHAR",
    amount="DECIMAL(12,2)",
    billable="BOOLEAN",
    at="TIMESTAMPTZ",
    properties="JSON",
)
EVENTS_DDL = """
create table app.events (
    tenant_id uuid, id bigint, session_id uuid not null, kind text not null, url text not null,
    amount numeric(12, 2) not null, billable boolean not null, at timestamptz not null, properties jsonb not null,
    primary key (tenant_id, id)
)"""
_PGBENCH = (
    _table("pgbench_accounts", ("aid",), aid="INTEGER", bid="INTEGER", abalance="INTEGER", filler="VARCHAR"),
    _table("pgbench_branches", ("bid",), bid="INTEGER", bbalance="INTEGER", filler="VARCHAR"),
    _table("pgbench_tellers", ("tid",), tid="INTEGER", bid="INTEGER", tbalance="INTEGER", filler="VARCHAR"),
)
_HISTORY = _table(
    "pgbench_history",
    (),
    tid="INTEGER",
    bid="INTEGER",
    aid="INTEGER",
    delta="INTEGER",
    mtime="TIMESTAMP",
    filler="VARCHAR",
)
DATASETS: dict[str, tuple[RawTable, ...]] = {
    "events": (EVENTS,),
    "pgbench": (*_PGBENCH, _HISTORY),
    "pgbench_without_history": _PGBENCH,
}
"""Raw tables by the name under which a child process is told which to capture."""

_EVENT = """
    md5('tenant ' || n % 40)::uuid as tenant_id, n as id, md5('session ' || n / 20)::uuid as session_id,
    (array['page_view', 'click', 'search', 'export', 'invite'])[1 + n % 5] as kind,
    'https://app.example.com/workspaces/' || md5('space ' || n % 977) || '/boards/' || n % 7919 as url,
    (n % 1000003)::numeric / 100 as amount, n % 3 = 0 as billable,
    timestamptz '2026-01-01' + n * interval '1.000001 seconds' as at,
    jsonb_build_object('plan', n % 4, 'browser', 'Firefox 140.0', 'duration_ms', n % 60000,
        'ref', md5(n::text), 'labels', jsonb_build_array('a' || n % 10, 'b')) as properties"""


def insert_events(first: str, last: str) -> str:
    """An insert of the events numbered ``first`` to ``last`` (SQL expressions), about 320 bytes a change."""
    return f"insert into app.events select {_EVENT} from generate_series({first}, {last}) as n"


def update_events(first: str, last: str) -> str:
    """An update of every second event numbered ``first`` to ``last``, each found by its primary key."""
    return f"""
update app.events as e set amount = e.amount + 1, billable = not e.billable, kind = 'corrected'
from (select md5('tenant ' || n % 40)::uuid as tenant_id, n as id from generate_series({first}, {last}, 2) as n) as k
where e.tenant_id = k.tenant_id and e.id = k.id"""


_IN_POSTGRES = {
    "BOOLEAN": "{0}::text",
    "TIMESTAMP": "(extract(epoch from {0}) * 1000000)::bigint::text",
    "TIMESTAMP WITH TIME ZONE": "(extract(epoch from {0}) * 1000000)::bigint::text",
}
_IN_DUCKDB = {"TIMESTAMP": "epoch_us({0})::varchar", "TIMESTAMP WITH TIME ZONE": "epoch_us({0})::varchar"}


def source_checksum(table: RawTable) -> str:
    """The query for (rows, sum over the rows of 60 bits of their MD5) at the source."""
    text = _row_text(table, _IN_POSTGRES, "concat({0})")  # the type's own output form: char(n) keeps its blanks
    number = f"('x' || substr(md5({text}), 1, 15))::bit(60)::bigint"
    return f"select count(*), coalesce(sum({number}), 0)::text from app.{quote(table.name)}"


def landed_checksum(table: RawTable, relation: str) -> str:
    """The same in DuckDB, of ``relation`` (SQL)."""
    text = _row_text(table, _IN_DUCKDB, "{0}::varchar")
    return f"select count(*), coalesce(sum(('0x' || substr(md5({text}), 1, 15))::ubigint), 0)::varchar from {relation}"


def _row_text(table: RawTable, forms: dict[str, str], other: str) -> str:
    parts = []
    for column in table.columns:
        name = quote(column.name)
        parts.append(f"case when {name} is null then '~' else {forms.get(column.duck_type, other).format(name)} end")
    return " || '|' || ".join(parts)
