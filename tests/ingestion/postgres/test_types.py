"""Every value of every built-in type arrives as it is: by the first copy, and by the stream as an insert or an update.

The source itself is the oracle. A column that lands as VARCHAR must read as PostgreSQL prints it; one that lands in
kind must be the same value.
"""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql

from ingestion.land import RawColumn, RawTable
from ingestion.postgres import catalog, sync, types
from ingestion.postgres.connection import connect
from ingestion.postgres.pgoutput import Changes, Decoder
from ingestion.postgres.values import NeedsTextError
from settings import TailraceError, load_settings
from warehouse import open_warehouse, quote

TYPES = """
create type mood as enum ('sad', 'it''s ok', 'a, b', 'ÜBER');
create domain positive as int check (value > 0);
create domain price as numeric(12, 2);
create domain nested_price as price;
create domain feeling as mood;
create domain numbers as int[];
create type pair as (n int, "the text" text);
create type tree as (head pair, tail pair[]);
create type textrange as range (subtype = text, collation = "C");
"""
TEXTS = (
    "''",
    "' '",
    "'null'",
    "'NULL'",
    r"'\N'",
    r"'\x00'",
    "E'tab\\t nl\\n cr\\r bs\\b quote\" '' back\\\\'",
    "'{a,b}'",
    "chr(1) || chr(127) || chr(8232) || chr(65279)",
    "'Ünïcödé – 日本語 ' || chr(128512) || chr(1114111)",
    "repeat('long ', 4000)",
)
LATEST = "294276-12-31 23:59:59.999999"
STAMPS = (
    "'2000-01-01 00:00:00'",
    "'1999-12-31 23:59:59.999999'",
    "'2024-02-29 12:30:45.5'",
    "'infinity'",
    "'-infinity'",
    "'4714-11-24 00:00:00 BC'",
    "'0001-12-31 23:59:59.9 BC'",
    "'0001-01-01 00:00:00'",
    "'12345-06-07 08:09:10.01'",
    "'294247-01-10 04:00:54.775806'",
)
ENDLESS = ("'infinity'", "'-infinity'")


@dataclass(frozen=True)
class Kind:
    """A source type, values of it, and raw types beside VARCHAR that hold them. ``late`` values fit VARCHAR only."""

    type: str
    values: Sequence[str]
    raw: Sequence[str] = ()
    late: Sequence[str] = ()
    since: int = 0
    """The server version that they came with."""


FLOATS = (
    "0",
    "'-0'",
    "1",
    "-1.5",
    "0.1",
    "'NaN'",
    "'Infinity'",
    "'-Infinity'",
    "100000",
    "123456",
    "1234567",
    "1e-4",
    "1e-5",
)
# Types that decode from their binary form.
BINARY = (
    Kind("bool", ("true", "false"), ("BOOLEAN",)),
    Kind('"char"', ("'a'", "''", "'\"'")),
    Kind("name", ("'a name'", "repeat('n', 63)", "''")),
    Kind("int2", ("-32768", "32767", "0"), ("SMALLINT", "INTEGER", "BIGINT", "DOUBLE", "FLOAT", "DECIMAL(5,0)")),
    Kind("int4", ("-2147483648", "2147483647", "0"), ("INTEGER", "BIGINT", "DOUBLE", "DECIMAL(14,4)")),
    Kind("int8", ("-9223372036854775808", "9223372036854775807", "0"), ("BIGINT", "DECIMAL(38,2)")),
    Kind("oid", ("0", "2147483648", "4294967295"), ("BIGINT",)),
    Kind("xid", ("'4294967295'", "'0'")),
    Kind("cid", ("'4294967295'", "'0'")),
    Kind("xid8", ("'18446744073709551615'", "'0'")),
    Kind("tid", ("'(0,0)'", "'(4294967295,65535)'")),
    Kind("pg_lsn", ("'0/0'", "'FFFFFFFF/FFFFFFFF'", "'1A/2B'", "'10/A0'")),
    Kind(
        "float4", (*FLOATS, "1e-45", "3.4028235e38", "16777216", "1.26217745e-29", "7.7279603e+08"), ("FLOAT", "DOUBLE")
    ),
    Kind(
        "float8", (*FLOATS, "5e-324", "1.7976931348623157e308", "1e15", "1e23", "2.9650500052129203e+17"), ("DOUBLE",)
    ),
    Kind("numeric(12,2)", ("0", "-0.01", "9999999999.99", "1.5"), ("DECIMAL(12,2)", "DECIMAL(38,10)"), ("'NaN'",)),
    Kind("numeric(2,2)", ("0", "-0.05", "0.99"), ("DECIMAL(2,2)",), ("'NaN'",)),
    Kind("numeric(18,0)", ("-" + "9" * 18, "10000"), ("DECIMAL(18,0)", "DECIMAL(38,0)")),
    Kind("numeric(38,10)", ("9" * 28 + "." + "9" * 10, "-" + "9" * 28 + ".0000000001", "0"), ("DECIMAL(38,10)",)),
    Kind("numeric(38,38)", ("0." + "9" * 38, "-1e-38"), ("DECIMAL(38,38)",)),
    Kind("numeric(40,2)", ("9" * 38 + ".99", "'NaN'")),
    Kind("numeric(5,-3)", ("12345678", "-1000", "0"), ("DECIMAL(8,0)",)),
    Kind("numeric(3,5)", ("0.00999", "-0.00001"), ("DECIMAL(5,5)",)),
    Kind(
        "numeric",
        (
            "0",
            "0.00",
            "-0.0",
            "1e-20",
            "1e40",
            "100.00",
            "12345678901234567890.123456789",
            "'NaN'",
            *ENDLESS,
            "repeat('9', 131072)::numeric",
            "('0.' || repeat('0', 16382) || '1')::numeric",
            "1000000000000",
            "10000.0001",
        ),
    ),
    Kind("char(5)", ("'a'", "''", "'abcde'", "'  x'")),
    Kind("varchar(9)", ("'a  '", "''", "'日本語'")),
    Kind("text", TEXTS),
    Kind("bytea", (r"'\x'", r"'\x00'", r"'\x5c78'", "decode(repeat('00ff', 3000), 'hex')", "'abc'"), ("BLOB",)),
    Kind(
        "date",
        (
            "'2000-01-01'",
            "'1999-12-31'",
            *ENDLESS,
            "'4714-11-24 BC'",
            "'0001-12-31 BC'",
            "'5874897-12-31'",
            "'0099-01-02'",
        ),
        ("DATE",),
    ),
    Kind("time", ("'00:00:00'", "'24:00:00'", "'23:59:59.999999'", "'12:00:00.5'"), ("TIME",)),
    Kind(
        "timetz",
        ("'00:00:00+00'", "'24:00:00-15:59:59'", "'12:00:00.5+05:30'", "'01:02:03+15:59'", "'01:02:03-00:00:30'"),
    ),
    Kind("timestamp", STAMPS, ("TIMESTAMP",), ("'294247-01-10 04:00:54.775807'", f"'{LATEST}'")),
    Kind("timestamptz", STAMPS, ("TIMESTAMPTZ",), ("'294247-01-10 04:00:54.775807'", f"'{LATEST}'")),
    Kind("timestamp(3)", ("'2024-02-29 12:30:45.5555'",), ("TIMESTAMP",)),
    Kind(
        "interval",
        (
            "'0'",
            "'1 year 2 months -3 days 4:05:06.789'",
            "'-1 year 2 months 3 days -0.000001 s'",
            "'-1 day'",
            "'1 day'",
            "'178956970 years 7 months'",
            "'-178956970 years -8 months -2147483648 days'",
            "'2562047788:00:54.775807'",
            "'-2562047788:00:54.775807'",
            "'25 hours'",
            "'-1 mon +1 day -1:00'",
            "'1 month 00:00:01'",
        ),
        ("INTERVAL",),
    ),
    Kind("uuid", ("'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-fffffffffff1'"), ("UUID",)),
    Kind(
        "inet",
        (
            "'10.0.0.1'",
            "'10.1.2.3/8'",
            "'0.0.0.0/0'",
            "'::'",
            "'::1'",
            "'::2'",
            "'::ffff:10.0.0.1'",
            "'::10.0.0.1'",
            "'2001:db8::1/64'",
            "'2001:db8:0:0:1:0:0:1'",
            "'1:0:2:0:3:0:4:0'",
        ),
    ),
    Kind("cidr", ("'10.0.0.0/8'", "'10.0.0.1/32'", "'2001:db8::/32'", "'::/0'")),
    Kind("macaddr", ("'08:00:2b:01:02:ff'",)),
    Kind("macaddr8", ("'08:00:2b:01:02:03:04:ff'",)),
    Kind(
        "json",
        (r"""'{"b" : 1,  "a": 2, "a":3}'""", "'null'", "' [ ] '", "'1e400'", r"""'"\u0000 \u00fc"'""", "'\"ü\"'"),
        ("JSON",),
        (r"""'"\ud800"'""",),
    ),
    Kind("jsonb", ("""'{"b" : 1, "a":[1.50, true, null]}'""", "'null'", "'{}'", "'1e400'"), ("JSON",)),
    Kind("jsonpath", ("'$.a[*] ? (@ > 1)'", "'strict $'")),
    Kind("bit(3)", ("B'101'", "B'000'")),
    Kind("varbit", ("B''", "B'1'", "B'00000000'", "B'101010101'", "repeat('10', 500)::varbit")),
    Kind("refcursor", ("'c'",)),
)
# Types that make a pass read the stream as text.
TEXT = (
    Kind("interval", ENDLESS, since=170000),
    Kind("money", ("12.5", "'-92233720368547758.08'", "92233720368547758.07")),
    Kind("tsvector", ("'''a b'':1A,2 c'", "''")),
    Kind("tsquery", ("'a & (b | !c:*A)'", "''")),
    Kind("point", ("'(1,2)'", "'(1e300,-0)'", "'(NaN,Infinity)'")),
    Kind("line", ("'{1,2,3}'",)),
    Kind("lseg", ("'[(1,2),(3,4)]'",)),
    Kind("box", ("'(3,4),(1,2)'",)),
    Kind("path", ("'[(1,2),(3,4)]'", "'((1,2),(3,4))'")),
    Kind("polygon", ("'((1,2),(3,4),(5,6))'",)),
    Kind("circle", ("'<(1,2),3>'",)),
    Kind("regclass", ("'pg_class'", "0")),
    Kind("regtype", ("'int4'", "'mood'")),
    Kind("regproc", ("'now'",)),
    Kind("regprocedure", ("'sum(int4)'",)),
    Kind("regoper", ("'|/'",)),
    Kind("regoperator", ("'+(int4,int4)'",)),
    Kind("regnamespace", ("'pg_catalog'",)),
    Kind("regrole", ("'postgres'",)),
    Kind("regcollation", ("'\"C\"'",)),
    Kind("regconfig", ("'simple'",)),
    Kind("regdictionary", ("'simple'",)),
    Kind("txid_snapshot", ("'10:20:10,14,15'",)),
    Kind("pg_snapshot", ("'10:20:10,14,15'",)),
    Kind("int2vector", ("'1 2 3'",)),
    Kind("oidvector", ("'1 2'",)),
    Kind("aclitem", ("'postgres=r/postgres'",)),
    Kind(
        "xml",
        (
            "'<a>ü</a>'",
            '\'<?xml version="1.0" encoding="UTF-8"?><a/>\'',
            '\'<?xml version="1.0" standalone="yes"?><a/>\'',
        ),
    ),
    Kind(
        "int[]", ("'{}'", "'{1,NULL,-3}'"), ("INTEGER[]", "BIGINT[]"), ("'{{1,2},{3,4}}'", "'[2:3]={1,2}'", "'{{{1}}}'")
    ),
    Kind("int2[]", ("'{1,2}'",), ("SMALLINT[]",)),
    Kind("bool[]", ("'{t,f,NULL}'",), ("BOOLEAN[]",)),
    Kind("float8[]", ("'{0.1,-0,1e300}'",), ("DOUBLE[]",)),
    Kind("float4[]", ("'{0.1,-0,1e30}'",), ("FLOAT[]",)),
    Kind("numeric(6,2)[]", ("'{1.5,NULL,-9999.99}'",), ("DECIMAL(6,2)[]", "DECIMAL(12,4)[]"), ("'{NaN}'",)),
    Kind("date[]", ("'{2020-01-01,1999-12-31}'",), ("DATE[]",)),
    Kind("timestamp[]", ("'{\"2020-01-01 10:00:00.5\"}'",), ("TIMESTAMP[]",)),
    Kind("uuid[]", ("'{00000000-0000-0000-0000-000000000001}'",), ("UUID[]",)),
    Kind("bytea[]", (r"array['\x00ff', '', null]::bytea[]",), ("BLOB[]",)),
    Kind("text[]", (f"array[{', '.join(TEXTS)}]", "'{}'", "'{NULL,\"NULL\",null}'"), ("VARCHAR[]",), ("'{{a},{b}}'",)),
    Kind("varchar(3)[]", ("'{a,\" b\"}'",), ("VARCHAR[]",)),
    Kind("jsonb[]", ("""array['{"a": [1, "x,y"]}', '"q\\"z"']::jsonb[]""",)),
    Kind("mood", ("'sad'", "'it''s ok'", "'a, b'", "'ÜBER'")),
    Kind("mood[]", ("array['sad', 'a, b', null]::mood[]",)),
    Kind("positive", ("1", "2147483647")),
    Kind("price", ("1.5", "'NaN'")),
    Kind("feeling", ("'it''s ok'",)),
    Kind("numbers", ("'{1,2}'", "'{}'")),
    Kind("int4range", ("'[1,5)'", "'empty'", "'(,)'")),
    Kind("int8range", ("'[1,)'",)),
    Kind("numrange", ("'(1.50,2]'",)),
    Kind("daterange", ("'[2020-01-01,infinity]'",)),
    Kind("tsrange", ("'[2020-01-01 10:00,)'",)),
    Kind("tstzrange", ("'[2020-01-01 10:00+02,infinity)'",)),
    Kind("textrange", ("'[\"a, b\",c]'",)),
    Kind("int4multirange", ("'{}'", "'{[1,5),[7,9)}'")),
    Kind("datemultirange", ("'{[2020-01-01,2020-02-01)}'",)),
    Kind("pair", ("row(1, 'a \"b\" (c), d')", "row(null, '')", "row(null, null)")),
    Kind("tree", ("row(row(1, 'x'), array[row(2, 'y,z')::pair, null])::tree",)),
    Kind("pair[]", ("array[row(1, 'a\"b')::pair, null]",)),
)

# What both sides make of a value, by raw type, so that equality means the same value.
_SOURCE = {
    "VARCHAR": "case when num_nulls({0}) = 0 then concat({0}) end",
    "FLOAT": "encode(float4send({0}), 'hex')",
    "DOUBLE": "encode(float8send({0}::float8), 'hex')",
    "DATE": "case when isfinite({0}) then ({0} - date '1970-01-01')::text else {0}::text end",
    "TIMESTAMP": "case when isfinite({0}) then (extract(epoch from {0}) * 1000000)::bigint::text else {0}::text end",
    "TIME": "{0}::text",
    "INTERVAL": "encode(interval_send({0}), 'hex')",
    "BLOB": "encode({0}, 'hex')",
    "JSON": "{0}::text",
    "FLOAT[]": "{0}::float8[]",
}
_SOURCE["TIMESTAMPTZ"] = _SOURCE["TIMESTAMP"]
_RAW = {
    "DATE": "case when isfinite({0}) then date_diff('day', date '1970-01-01', {0})::varchar else {0}::varchar end",
    "TIMESTAMP": "case when isfinite({0}) then epoch_us({0})::varchar else {0}::varchar end",
    "TIME": "{0}::varchar",
    "INTERVAL": "datepart(['year', 'month', 'day', 'hour', 'minute', 'microsecond'], {0})",
}
_RAW["TIMESTAMPTZ"] = _RAW["TIMESTAMP"]


def _source(raw_type: str) -> str:
    return "{0}::numeric" if types.decimal(raw_type) else _SOURCE.get(raw_type, "{0}")


def comparable(raw_type: str, value: Any) -> Any:
    """A value of the warehouse as the source's expression tells of it."""
    if value is None:
        return None
    if raw_type in ("FLOAT", "DOUBLE"):
        return struct.pack(">f" if raw_type == "FLOAT" else ">d", value).hex()
    if raw_type == "INTERVAL":
        micros = (value["hour"] * 60 + value["minute"]) * 60_000_000 + value["microsecond"]
        return struct.pack(">qii", micros, value["day"], value["year"] * 12 + value["month"]).hex()
    return value.hex() if raw_type == "BLOB" else value


@dataclass(frozen=True)
class Landing:
    """One source column on its way to one raw type."""

    name: str
    kind: Kind
    raw_type: str
    literals: Sequence[str]


def landings(kinds: Sequence[Kind], *, version: int, xml: bool) -> list[Landing]:
    found = []
    for kind in kinds:
        if version < kind.since or (kind.type == "xml" and not xml):
            continue
        found.append(Landing(f"c{len(found)}", kind, "VARCHAR", [*kind.values, *kind.late]))
        found += [Landing(f"c{len(found) + i}", kind, raw, kind.values) for i, raw in enumerate(kind.raw)]
    return found


class Source:
    """A database, and the warehouse that it is captured into."""

    def __init__(self, server: Any, folder: Path, name: str, *, setup: str = TYPES) -> None:
        self.server, self.name = server, name
        self.tables: tuple[RawTable, ...] = ()
        self.progress: list[str] = []
        server.create_database(name)
        self.run(setup, "create publication tailrace for all tables")
        config = folder / f"{name}.yml"
        config.write_text(f"""
region: us
state_dir: {folder / name}
sources:
  postgres: {{dsn: "{server.superuser_dsn(name)}", slot: tr, schemas: [public]}}
  stripe: {{url: "http://127.0.0.1:9", api_key_env: NONE}}
  hubspot: {{url: "http://127.0.0.1:9", token_env: NONE}}
serving: {{publisher_dsn: "postgresql://127.0.0.1/none", reader_dsn: "postgresql://127.0.0.1/none"}}
""")
        self.settings = load_settings(config_path=config)
        self.warehouse = open_warehouse(self.settings)

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Statements in one session with the settings of a capture; rows of the last."""
        with connect(self.server.superuser_dsn(self.name)) as connection, connection.transaction():
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def sync(self) -> None:
        sync(self.settings, self.warehouse, tables=self.tables, progress=self.progress.append)

    def insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        with psycopg.connect(self.server.superuser_dsn(self.name)) as connection:
            cursor = connection.cursor()
            with cursor.copy(sql.SQL("copy {} from stdin").format(sql.Identifier(table))) as copy:
                for row in rows:
                    copy.write_row(row)

    def raw(self, query: str) -> list[tuple[Any, ...]]:
        with self.warehouse.reader() as con:
            return con.execute(query).fetchall()

    def forget(self) -> None:
        """As if nothing had been captured yet."""
        with self.warehouse.writer("test") as con:
            if con.execute("select 1 from duckdb_tables() where table_name = 'positions'").fetchall():
                con.execute("delete from tailrace.positions")
        self.drop_slot()

    def drop_slot(self) -> None:
        self.run(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()"
        )


def raw_table(name: str, columns: Mapping[str, str], key: str = "k") -> RawTable:
    columns = {key: "INTEGER"} | dict(columns)
    return RawTable("raw_app", name, tuple(RawColumn(*column) for column in columns.items()), (key,), frozenset())


def differences(source: Source, table: RawTable) -> dict[str, list[tuple[Any, Any]]]:
    """By column, the values that the source and the warehouse do not agree on: (expected, landed)."""
    columns, key = table.columns, quote(table.key[0])
    asked = [_source(column.type).format(quote(column.name)) for column in columns]
    expected = source.run(f"select {', '.join(asked)} from {quote(table.name)} order by {key}")
    asked = [_RAW.get(column.type, "{0}").format(quote(column.name)) for column in columns]
    rows = source.raw(f"select {', '.join(asked)} from {table.sql} where _ab_cdc_deleted_at is null order by {key}")
    assert len(rows) == len(expected)
    found: dict[str, list[tuple[Any, Any]]] = {}
    for theirs, ours in zip(expected, rows, strict=True):
        for column, want, value in zip(columns, theirs, ours, strict=True):
            got = comparable(column.type, value)
            if (want, type(want)) != (got, type(got)):
                found.setdefault(column.name, []).append((want, got))
    return found


@dataclass
class Story:
    """What one table went through, and where it differed from its source on the way."""

    landings: Sequence[Landing]
    stages: Mapping[str, Mapping[str, Sequence[tuple[Any, Any]]]]
    progress: Sequence[str]


def tell(source: Source, kinds: Sequence[Kind]) -> Story:
    """The values come by the first copy, come again as inserts, and then wander from row to row as updates."""
    ((version,),) = source.run("select current_setting('server_version_num')::int")
    try:
        source.run("select '<a/>'::xml")
        xml = True
    except psycopg.errors.FeatureNotSupported:
        xml = False
    columns = landings(kinds, version=version, xml=xml)
    count = max(len(column.literals) for column in columns)
    source.run(f"create table t (k int primary key, {', '.join(f'{c.name} {c.kind.type}' for c in columns)})")
    source.tables = (raw_table("t", {column.name: column.raw_type for column in columns}),)

    def insert(first: int) -> None:
        rows = []
        for index in range(count):
            given = [c.literals[index] if index < len(c.literals) else "null" for c in columns]
            rows.append(f"insert into t values ({', '.join([str(first + index), *given])})")
        source.run(*rows, f"insert into t (k) values ({first + count})")

    stages = {}
    insert(0)
    source.sync()
    stages["the first copy"] = differences(source, source.tables[0])
    insert(1000)
    source.sync()
    stages["an insert"] = differences(source, source.tables[0])
    moved = ", ".join(f"{column.name} = o.{column.name}" for column in columns)
    source.run(f"update t set {moved} from t as o where o.k >= 1000 and o.k = 1000 + (t.k + 1) % {count + 1}")
    source.sync()
    stages["an update"] = differences(source, source.tables[0])
    source.drop_slot()
    return Story(columns, stages, source.progress)


@pytest.fixture(scope="module")
def stories(postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Story]:
    folder = tmp_path_factory.mktemp("types")
    told = {"binary": tell(Source(postgres, folder, "types_binary"), BINARY)}
    told["text"] = tell(Source(postgres, folder, "types_text"), TEXT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "binary_decodable", lambda *_: False)
        told["forced text"] = tell(Source(postgres, folder, "types_forced"), BINARY)
    return told


FORMS = [("binary", kind) for kind in BINARY] + [("forced text", kind) for kind in BINARY] + [("text", k) for k in TEXT]


@pytest.mark.parametrize(("form", "kind"), FORMS, ids=lambda value: getattr(value, "type", value))
def test_every_value_arrives_exactly(stories: dict[str, Story], form: str, kind: Kind) -> None:
    story = stories[form]
    columns = [column for column in story.landings if column.kind is kind]
    if not columns:
        pytest.skip("this server was built without it")
    for column in columns:
        for stage, different in story.stages.items():
            assert not different.get(column.name), f"{kind.type} as {column.raw_type} by {stage}"


def test_common_types_never_make_a_pass_read_text(stories: dict[str, Story]) -> None:
    assert not [line for line in stories["binary"].progress if "text" in line]


# ------------------------------------------------------------------------------------------------------ random values


def _numeric(random: Random) -> str:
    digits = "".join(random.choices("0123456789", k=random.choice((1, 4, 9, 20, 40, 200))))
    return f"{random.choice(('', '-'))}{digits}e{random.choice((0, -2, -4, -9, -30, 3, 30))}"


def _stamp(random: Random) -> str:
    before = random.random() < 0.3
    year, month, day = (
        random.randrange(1, 4713 if before else 294_246),
        random.randrange(1, 13),
        random.randrange(1, 29),
    )
    seconds = f"{random.randrange(60)}.{random.choice((0, random.randrange(1_000_000))):06d}"
    clock = f"{random.randrange(24)}:{random.randrange(60)}:{seconds}"
    return f"{year:04d}-{month}-{day} {clock}{' BC' if before else ''}"


def _interval(random: Random) -> str:
    months, days, micros = (random.choice((0, 1, -1, random.randint(-(10**n), 10**n))) for n in (9, 9, 18))
    return f"{months} months {days} days {micros} microseconds"


def _text(random: Random) -> str:
    letters = [*"ab ,{}()'\"\\\n\t", "ü", "日", "\U0001f600", "\u2028", "\x01", "NULL"]
    return "".join(random.choices(letters, k=random.randrange(12)))


RANDOM: dict[str, tuple[Callable[[Random], str], tuple[str, ...]]] = {
    "numeric": (_numeric, ("VARCHAR",)),
    "float8": (lambda random: repr(struct.unpack("d", random.randbytes(8))[0]), ("VARCHAR", "DOUBLE")),
    "float4": (lambda random: repr(struct.unpack("f", random.randbytes(4))[0]), ("VARCHAR", "FLOAT", "DOUBLE")),
    "numeric(38,9)": (lambda random: f"{random.randint(-(10**37), 10**37)}e-9", ("VARCHAR", "DECIMAL(38,9)")),
    "numeric(9,4)": (
        lambda random: f"{random.randint(-(10**9) + 1, 10**9 - 1)}e-4",
        ("DECIMAL(9,4)", "DECIMAL(20,10)"),
    ),
    "interval": (_interval, ("VARCHAR", "INTERVAL")),
    "timestamp": (_stamp, ("VARCHAR", "TIMESTAMP")),
    "timestamptz": (_stamp, ("VARCHAR", "TIMESTAMPTZ")),
    "date": (lambda random: _stamp(random).split()[0], ("VARCHAR", "DATE")),
    "text": (_text, ("VARCHAR",)),
    "bytea": (lambda random: "\\x" + random.randbytes(random.randrange(9)).hex(), ("VARCHAR", "BLOB")),
    "varbit": (lambda random: "".join(random.choices("01", k=random.randrange(100))), ("VARCHAR",)),
}
RANDOM_ARRAYS: dict[str, tuple[Callable[[Random], str], tuple[str, ...]]] = {
    "text[]": (
        lambda random: "{" + ",".join(json.dumps(_text(random), ensure_ascii=False) for _ in range(3)) + "}",
        ("VARCHAR", "VARCHAR[]"),
    ),
}


@pytest.mark.parametrize("form", ["binary", "text"])
def test_random_values_arrive_exactly(postgres: Any, tmp_path: Path, form: str) -> None:
    random = Random(f"{form} values")
    source = Source(postgres, tmp_path, f"types_random_{form}")
    kinds = RANDOM if form == "binary" else RANDOM | RANDOM_ARRAYS  # arrays make the pass read text
    columns = [(kind, make, raw) for kind, (make, raws) in kinds.items() for raw in raws]
    source.run(f"create table t (k int primary key, {', '.join(f'c{i} {c[0]}' for i, c in enumerate(columns))})")
    source.tables = (raw_table("t", {f"c{i}": column[2] for i, column in enumerate(columns)}),)
    for first in (0, 1000):  # by the copy, by the stream
        values = [[first + row, *(make(random) for _, make, _ in columns)] for row in range(250)]
        source.insert("t", values)
        source.sync()
        assert differences(source, source.tables[0]) == {}
    source.drop_slot()


# ------------------------------------------------------------------------------------------- names, shapes, exceptions

NAMES = (
    "Mixed",
    "mixed_",
    'with "quotes"',
    "it's",
    "a space",
    "100%s %(x)s",
    "$1",
    "back\\slash",
    "ünï–日本",
    "new\nline",
    "n" * 63,
    "select",
    "order",
    "a.b",
    "a::int",
    "-- c",
    "?",
    "{x}",
)


def test_any_name_of_a_table_or_column_lands(postgres: Any, tmp_path: Path) -> None:
    source = Source(postgres, tmp_path, "types_names")
    tables = ['A "table" of 100%', "user", "t" * 63]
    for name in tables:
        columns = ", ".join(f"{quote(column)} text" for column in NAMES)
        source.run(f'create table {quote(name)} ("The Key" int primary key, {columns})')
    source.tables = tuple(raw_table(name, dict.fromkeys(NAMES, "VARCHAR"), key="The Key") for name in tables)
    for first in (0, 10):
        for name in tables:
            source.insert(name, [[first, *NAMES]])
        source.sync()
        for name, table in zip(tables, source.tables, strict=True):
            source.run(f'update {quote(name)} set {quote(NAMES[1])} = \'changed\', "The Key" = "The Key" + 100')
            source.sync()
            assert differences(source, table) == {}
    source.drop_slot()


def test_a_table_of_300_columns_lands(postgres: Any, tmp_path: Path) -> None:
    source = Source(postgres, tmp_path, "types_wide")
    kinds = [("int", "INTEGER"), ("text", "VARCHAR"), ("numeric(8,2)", "DECIMAL(8,2)"), ("timestamptz", "TIMESTAMPTZ")]
    columns = [kinds[index % 4] for index in range(299)]
    source.run(
        f"create table t (k int primary key, {', '.join(f'c{i} {kind}' for i, (kind, _) in enumerate(columns))})"
    )
    source.tables = (raw_table("t", {f"c{i}": raw for i, (_, raw) in enumerate(columns)}),)
    row = ["1", "one", "1.5", "2020-01-01"]
    for key in (1, 2):
        source.insert("t", [[key, *(row[index % 4] for index in range(299))]])
        source.sync()
        assert differences(source, source.tables[0]) == {}
    source.drop_slot()


def test_identity_and_generated_columns_land_as_far_as_the_server_publishes_them(postgres: Any, tmp_path: Path) -> None:
    source = Source(postgres, tmp_path, "types_generated")
    ((version,),) = source.run("select current_setting('server_version_num')::int")
    source.run(
        "create table t (k int generated always as identity primary key, a int, b int generated by default as identity,"
        " stored int generated always as (a * 2) stored)"
    )
    if version >= 180000:
        source.run("alter table t add column virtual int generated always as (a * 3) virtual")
        source.run("alter publication tailrace set (publish_generated_columns = stored)")
    published = {"a": "INTEGER", "b": "INTEGER"} | ({"stored": "INTEGER"} if version >= 180000 else {})
    source.tables = (raw_table("t", published),)
    for value in (1, 2):
        source.run(f"insert into t (a) values ({value})", "update t set a = a + 1")
        source.sync()
        assert differences(source, source.tables[0]) == {}
    source.drop_slot()


_KINDS = {kind.type: kind for kind in (*TEXT, *BINARY)}
REFUSED = [
    (_KINDS[kind], _KINDS[kind].raw[0], value)
    for kind in ("numeric(12,2)", "timestamptz", "json", "int[]")
    for value in _KINDS[kind].late[:2]
]
REFUSED.append((Kind("interval", (), since=170000), "INTERVAL", ENDLESS[0]))


@pytest.mark.parametrize("late", [False, True], ids=["copy", "stream"])
def test_what_a_raw_type_cannot_hold_is_refused_by_its_column_and_never_shown(
    postgres: Any, tmp_path: Path, late: bool
) -> None:
    source = Source(postgres, tmp_path, f"types_refused_{late}".lower())
    ((version,),) = source.run("select current_setting('server_version_num')::int")
    for number, (kind, raw, value) in enumerate(REFUSED):
        if version < kind.since:
            continue
        table = f"t{number}"
        source.run(f"create table {table} (k int primary key, secret {kind.type})")
        source.tables = (raw_table(table, {"secret": raw}),)
        if late:
            source.sync()
        source.run(f"insert into {table} values (1, {value})")
        with pytest.raises(TailraceError) as caught:
            source.sync()
        text = str(caught.value)
        assert text.startswith(f"raw_app.{table}.secret: a value does not fit"), (kind.type, raw, value)
        assert "\n" not in text
        assert value.strip("'") not in text
        source.run(f"drop table {table}")
        source.forget()


def test_domains_and_enums_decode_by_the_type_beneath(postgres: Any, tmp_path: Path) -> None:
    source = Source(postgres, tmp_path, "types_aliases")
    oids = "select oid from pg_type where typname in ({})"
    ((positive,), (price,)) = source.run(
        oids.format("'positive', 'nested_price'") + " order by typname = 'nested_price'"
    )
    ((mood,), (feeling,)) = source.run(oids.format("'mood', 'feeling'") + " order by typname = 'feeling'")
    source.run("create table t (k int primary key, n positive, p nested_price, m mood, f feeling)")
    source.run("select pg_create_logical_replication_slot('types_aliases', 'pgoutput')")
    source.run("insert into t values (1, 5, 1.5, 'a, b', 'ÜBER'), (2, null, 'nan', null, null)")
    messages = source.run(
        "select data from pg_logical_slot_get_binary_changes('types_aliases', null, null,"
        " 'proto_version', '1', 'publication_names', 'tailrace', 'binary', 'true')"
    )
    source.drop_slot()
    feed = pa.array([bytes(row[0]) for row in messages], pa.binary())
    raw = {"k": "INTEGER", "n": "INTEGER", "p": "VARCHAR", "m": "VARCHAR", "f": "VARCHAR"}
    with pytest.raises(NeedsTextError):
        Decoder(raw_types=lambda *_: raw).feed(feed)
    aliases = {positive: types.INT4, price: types.NUMERIC, mood: types.TEXT, feeling: types.TEXT}
    (changes,) = Decoder(aliases, raw_types=lambda *_: raw).feed(feed)
    assert isinstance(changes, Changes)
    assert changes.rows.select(list(raw)).to_pylist() == [
        {"k": 1, "n": 5, "p": "1.50", "m": "a, b", "f": "ÜBER"},
        {"k": 2, "n": None, "p": "NaN", "m": None, "f": None},
    ]
    (changes,) = Decoder(aliases, raw_types=lambda *_: {"k": "INTEGER"}).feed(feed)
    assert isinstance(changes, Changes)
    assert changes.rows["p"].null_count == 2, "what does not land is not decoded"


# ---------------------------------------------------------------------------------------------------- which raw types


def typmod(precision: int, scale: int) -> int:
    return (precision << 16 | scale & 0x7FF) + 4


@pytest.mark.parametrize(
    ("oid", "modifier", "natural"),
    [
        (types.INT4, -1, "INTEGER"),
        (types.NUMERIC, typmod(12, 2), "DECIMAL(12,2)"),
        (types.NUMERIC, typmod(38, 38), "DECIMAL(38,38)"),
        (types.NUMERIC, typmod(39, 2), "VARCHAR"),
        (types.NUMERIC, typmod(5, -2), "VARCHAR"),
        (types.NUMERIC, -1, "VARCHAR"),
        (types.TIMESTAMPTZ, -1, "TIMESTAMP WITH TIME ZONE"),
        (types.INTERVAL, -1, "VARCHAR"),
        (types.JSONB, -1, "JSON"),
        (types.BPCHAR, 9, "VARCHAR"),
        (1007, -1, "VARCHAR"),
        (999_999, -1, "VARCHAR"),
    ],
)
def test_the_natural_raw_type_holds_the_source_type(oid: int, modifier: int, natural: str) -> None:
    assert types.raw_type(oid, modifier) == natural
    assert types.fits(oid, modifier, natural)


def test_a_raw_type_that_would_round_or_overflow_does_not_fit() -> None:
    for oid, modifier, raw in [
        (types.INT8, -1, "INTEGER"),
        (types.FLOAT8, -1, "FLOAT"),
        (types.NUMERIC, -1, "DECIMAL(38,10)"),
        (types.NUMERIC, typmod(12, 4), "DECIMAL(12,2)"),
        (types.NUMERIC, typmod(12, 2), "DOUBLE"),
        (types.INT8, -1, "DECIMAL(18,0)"),
        (types.TIMESTAMPTZ, -1, "DATE"),
        (types.TIMESTAMPTZ, -1, "TIMESTAMP"),
        (types.TEXT, -1, "JSON"),
        (types.INT4, -1, "INTEGER[]"),
        (1016, -1, "INTEGER[]"),
        (1021, -1, "DOUBLE[]"),  # a float4 in an array has no exact DOUBLE by way of its text
    ]:
        assert not types.fits(oid, modifier, raw), (oid, raw)


WIDER = {
    ("SMALLINT", "BIGINT"),
    ("INTEGER", "BIGINT"),
    ("BIGINT", "VARCHAR"),
    ("BIGINT", "DECIMAL(19,0)"),
    ("FLOAT", "DOUBLE"),
    ("DECIMAL(12,2)", "DECIMAL(14,4)"),
    ("UUID", "VARCHAR"),
    ("INTEGER[]", "BIGINT[]"),
}
NOT_WIDER = {
    ("BIGINT", "INTEGER"),
    ("BIGINT", "DOUBLE"),
    ("DECIMAL(12,2)", "DECIMAL(12,4)"),
    ("DECIMAL(12,2)", "VARCHAR"),
    ("BOOLEAN", "VARCHAR"),
    ("DOUBLE", "VARCHAR"),
    ("TIMESTAMP WITH TIME ZONE", "VARCHAR"),
    ("DATE", "TIMESTAMP"),
    ("VARCHAR", "INTEGER"),
    ("INTEGER[]", "VARCHAR"),
}


def test_a_raw_column_widens_only_where_every_value_stays_what_it_is() -> None:
    assert {pair for pair in WIDER | NOT_WIDER if types.widens(*pair)} == WIDER
