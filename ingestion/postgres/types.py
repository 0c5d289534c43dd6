"""Which raw types hold which PostgreSQL types exactly, and how each travels.

A pair that is not named here is refused before it could round, overflow or become NULL in silence. VARCHAR holds every
type, in PostgreSQL's own text form.
"""

from __future__ import annotations

import re
from typing import Literal

# OIDs of built-in types, from pg_type.dat: they never change.
BOOL, BYTEA, CHAR, NAME, INT8, INT2, INT4, TEXT, OID, TID, XID, CID = 16, 17, 18, 19, 20, 21, 23, 25, 26, 27, 28, 29
JSON, XML, CIDR, FLOAT4, FLOAT8, MACADDR8, MACADDR, INET = 114, 142, 650, 700, 701, 774, 829, 869
BPCHAR, VARCHAR, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, INTERVAL, TIMETZ = 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1266
BIT, VARBIT, NUMERIC, REFCURSOR, UUID, PG_LSN, JSONB, JSONPATH, XID8 = (
    1560,
    1562,
    1700,
    1790,
    2950,
    3220,
    3802,
    4072,
    5069,
)

_ZONED = "TIMESTAMP WITH TIME ZONE"
# The first is the natural one.
_EXACT: dict[int, tuple[str, ...]] = {
    BOOL: ("BOOLEAN",),
    BYTEA: ("BLOB",),
    INT2: ("SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE"),
    INT4: ("INTEGER", "BIGINT", "DOUBLE"),
    INT8: ("BIGINT",),
    OID: ("BIGINT",),
    FLOAT4: ("FLOAT", "DOUBLE"),
    FLOAT8: ("DOUBLE",),
    JSON: ("JSON",),
    JSONB: ("JSON",),
    DATE: ("DATE",),
    TIME: ("TIME",),
    TIMESTAMP: ("TIMESTAMP",),
    TIMESTAMPTZ: (_ZONED,),
    INTERVAL: ("VARCHAR", "INTERVAL"),  # infinity is no INTERVAL
    UUID: ("UUID",),
}
_INTEGER_DIGITS = {INT2: 5, INT4: 10, INT8: 19}
# Array → element, of elements that a list may hold.
_ELEMENTS = {
    1000: BOOL,
    1001: BYTEA,
    1003: NAME,
    1005: INT2,
    1007: INT4,
    1009: TEXT,
    1014: BPCHAR,
    1015: VARCHAR,
    1016: INT8,
    1021: FLOAT4,
    1022: FLOAT8,
    1028: OID,
    1041: INET,
    1115: TIMESTAMP,
    1182: DATE,
    1183: TIME,
    1185: TIMESTAMPTZ,
    1187: INTERVAL,
    1231: NUMERIC,
    199: JSON,
    2951: UUID,
    3807: JSONB,
}
# Types whose values DuckDB writes as PostgreSQL does, however they travel.
_SAME_TEXT = frozenset({TEXT, VARCHAR, BPCHAR, INT2, INT4, INT8, OID, UUID, JSON, JSONB})
# Types whose text form ``values`` makes from the binary form.
_TEXT_FROM_BINARY = _SAME_TEXT | {BOOL, BYTEA, CHAR, NAME, TID, XID, CID, XML, CIDR, FLOAT4, FLOAT8, MACADDR8, MACADDR}
_TEXT_FROM_BINARY |= {INET, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, INTERVAL, TIMETZ, BIT, VARBIT, NUMERIC, REFCURSOR}
_TEXT_FROM_BINARY |= {PG_LSN, JSONPATH, XID8}
# Types that the Arrow driver of a copy reads whole; ``reader.landed_value`` mends what it does to their values.
_NATIVE_AS_TEXT = _SAME_TEXT | {NUMERIC}
_NATIVE = _NATIVE_AS_TEXT | {BOOL, BYTEA, FLOAT4, FLOAT8, DATE, TIME, TIMESTAMP, TIMESTAMPTZ}

_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_WIDER = {
    "SMALLINT": ("INTEGER", "BIGINT", "VARCHAR"),
    "INTEGER": ("BIGINT", "VARCHAR"),
    "BIGINT": ("VARCHAR",),
    "FLOAT": ("DOUBLE",),
    "UUID": ("VARCHAR",),
    "JSON": ("VARCHAR",),
}


def precision_scale(typmod: int) -> tuple[int, int] | None:
    """(precision, scale) of a ``numeric(p,s)``; None for a numeric without bounds."""
    if typmod < 4:
        return None
    scale = (typmod - 4) & 0x7FF
    return ((typmod - 4) >> 16) & 0xFFFF, scale - 2048 if scale > 1023 else scale


def decimal(raw_type: str) -> tuple[int, int] | None:
    """(precision, scale) of a DuckDB DECIMAL; None for another type."""
    found = _DECIMAL.fullmatch(raw_type)
    return (int(found[1]), int(found[2])) if found else None


def raw_type(oid: int, typmod: int) -> str:
    """The raw type of a source column whose type nobody chose: in kind where DuckDB has the kind, else VARCHAR.

    Arrays are text: one column may hold arrays of different depths, a list may not.
    """
    bounds = precision_scale(typmod) if oid == NUMERIC else None
    if bounds is not None and bounds[0] <= 38 and 0 <= bounds[1] <= bounds[0]:
        return f"DECIMAL({bounds[0]},{bounds[1]})"
    return _EXACT.get(oid, ("VARCHAR",))[0]


def fits(oid: int, typmod: int, raw_type: str) -> bool:
    """Whether the raw type holds the source type exactly.

    The few values that are an exception are refused when they come: NaN and the infinities of numeric and interval,
    timestamps after the year 294246, arrays that are not one plain list, JSON with half a surrogate pair.
    """
    if raw_type == "VARCHAR":
        return True
    if raw_type.endswith("[]"):
        element, kind = _ELEMENTS.get(oid), raw_type[:-2]
        if element is None or (element, kind) == (FLOAT4, "DOUBLE"):  # its text names another number there
            return False
        return fits(element, typmod, kind)
    raw = decimal(raw_type)
    if raw is None:
        return raw_type in _EXACT.get(oid, ())
    if oid == NUMERIC:
        bounds = precision_scale(typmod)
        return bounds is not None and raw[1] >= bounds[1] and raw[0] - raw[1] >= bounds[0] - bounds[1]
    return raw[0] - raw[1] >= _INTEGER_DIGITS.get(oid, 39)


def in_kind(oid: int, raw_type: str) -> bool:
    """Whether values go to the raw type as what they are, not by way of their text."""
    if oid == NUMERIC:
        return decimal(raw_type) is not None
    return raw_type != "VARCHAR" and fits(oid, -1, raw_type) and not raw_type.endswith("[]")


def binary_decodable(oid: int, typmod: int, raw_type: str) -> bool:
    """Whether the binary form of the source type can be decoded column by column into what the raw type shows."""
    return in_kind(oid, raw_type) or oid in _TEXT_FROM_BINARY


def copied_as(oid: int, typmod: int, raw_type: str) -> Literal["native", "text"]:
    """How a copy asks for a column: as it is, to be mended by ``reader.landed_value``, or in its text form.

    The Arrow driver flattens arrays, refuses composites and long intervals, and gives the raw bytes of most others.
    """
    if oid == NUMERIC and precision_scale(typmod) is None:
        return "text"  # the driver's own fails at 131,072 digits
    return "native" if oid in (_NATIVE_AS_TEXT if raw_type == "VARCHAR" else _NATIVE) else "text"


def as_text(expression: str) -> str:
    """SQL for the text form of a column in a copy, NULL only where the column is.

    ``concat`` uses the type's own output function; a cast would add a netmask or strip blanks. ``is not null`` would be
    false of a composite value with a NULL in it.
    """
    return f"case when {expression} is distinct from null then concat({expression}) end"


def widens(old: str, new: str) -> bool:
    """Whether a raw column may change from one DuckDB type to another in place, every value staying what it is.

    To VARCHAR only from types that DuckDB writes as PostgreSQL does, so that old rows read as if landed anew.
    """
    before, after = decimal(old), decimal(new)
    if before is not None and after is not None:
        return after[1] >= before[1] and after[0] - after[1] >= before[0] - before[1]
    if after is not None:
        digits = {"SMALLINT": 5, "INTEGER": 10, "BIGINT": 19}.get(old, 39)
        return after[0] - after[1] >= digits
    if old.endswith("[]") and new.endswith("[]"):
        return widens(old[:-2], new[:-2])
    return old == new or new in _WIDER.get(old, ())
