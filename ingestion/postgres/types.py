"""Which raw types hold which PostgreSQL types exactly, and how each travels.

A pair that is not named here is refused before it could round, overflow or become NULL in silence. VARCHAR holds every
type, in PostgreSQL's own text form.
"""

from __future__ import annotations

import re
from typing import Literal

BOOL, BYTEA, INT8, INT2, INT4, TEXT, OID, JSON, CIDR, FLOAT4, FLOAT8 = 16, 17, 20, 21, 23, 25, 26, 114, 650, 700, 701
INET, BPCHAR, VARCHAR, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, NUMERIC, UUID, JSONB = (
    869,
    1042,
    1043,
    1082,
    1083,
    1114,
    1184,
    1700,
    2950,
    3802,
)

_EXACT: dict[int, frozenset[str]] = {
    BOOL: frozenset({"BOOLEAN"}),
    BYTEA: frozenset({"BLOB"}),
    INT2: frozenset({"SMALLINT", "INTEGER", "BIGINT"}),
    INT4: frozenset({"INTEGER", "BIGINT"}),
    INT8: frozenset({"BIGINT"}),
    FLOAT4: frozenset({"FLOAT", "DOUBLE"}),
    FLOAT8: frozenset({"DOUBLE"}),
    JSON: frozenset({"JSON"}),
    JSONB: frozenset({"JSON"}),
    DATE: frozenset({"DATE"}),
    TIMESTAMP: frozenset({"TIMESTAMP"}),
    TIMESTAMPTZ: frozenset({"TIMESTAMP WITH TIME ZONE"}),
    UUID: frozenset({"UUID"}),
}
TEXTS = frozenset({TEXT, VARCHAR, BPCHAR})
# Types whose binary form decodes to what their text form shows, so that VARCHAR may be fed from either.
_TEXT_IN_BINARY = TEXTS | {JSON, JSONB, INET, CIDR}
# Types that the Arrow driver of a copy reads as they are; the first lot reads as PostgreSQL writes it even as VARCHAR.
_SAME_TEXT = TEXTS | {INT2, INT4, INT8, OID, UUID, JSON, JSONB, NUMERIC}
_NATIVE = _SAME_TEXT | {BOOL, FLOAT4, FLOAT8, BYTEA, DATE, TIME, TIMESTAMP, TIMESTAMPTZ}
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


def precision_scale(typmod: int) -> tuple[int, int] | None:
    """(precision, scale) of a ``numeric(p,s)``; None for a numeric without bounds."""
    if typmod < 4:
        return None
    scale = (typmod - 4) & 0x7FF
    return ((typmod - 4) >> 16) & 0xFFFF, scale - 2048 if scale > 1023 else scale


def fits(oid: int, typmod: int, raw_type: str) -> bool:
    """Whether every value of the source type is exact in the raw type (NaN and infinities of numeric apart)."""
    if raw_type == "VARCHAR":
        return True
    if oid == NUMERIC:
        bounds, raw = precision_scale(typmod), _DECIMAL.fullmatch(raw_type)
        if bounds is None or raw is None:
            return False
        return int(raw[2]) >= bounds[1] and int(raw[1]) - int(raw[2]) >= bounds[0] - bounds[1]
    return raw_type in _EXACT.get(oid, frozenset())


def binary_decodable(oid: int, typmod: int, raw_type: str) -> bool:
    """Whether the binary form of the source type can be decoded column by column into what the raw type shows."""
    if raw_type == "VARCHAR":
        return oid in _TEXT_IN_BINARY
    if oid == NUMERIC:
        bounds = precision_scale(typmod)
        return bounds is not None and bounds[0] <= 18 and 0 <= bounds[1] <= bounds[0]
    return raw_type in _EXACT.get(oid, frozenset())


def copied_as(oid: int, typmod: int, raw_type: str) -> Literal["native", "text"]:
    """How a copy asks for a column: as it is, to be read by ``values.from_adbc``, or in its text form.

    The Arrow driver flattens arrays, refuses composites and long intervals, and gives the raw bytes of most others.
    """
    return "native" if oid in (_SAME_TEXT if raw_type == "VARCHAR" else _NATIVE) else "text"
