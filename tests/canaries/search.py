"""Looks for planted values in bytes and in what engines read, in every form that they may have taken."""

from __future__ import annotations

import base64
import gzip
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote as url_quote

import duckdb
import numpy as np
from numpy.typing import NDArray

from warehouse import quote

# In every planted text; nothing else in the world says it.
MARK = "kanarienvogel"
# Of planted values without room for the mark: the first half of every UUID, and a network that is nobody's.
UUID_MARK = "cafeca9a-0000-4000"
NETWORK = "198.18."


@dataclass(frozen=True)
class Form:
    """A form that a value may take: the bytes of it, and whether case counts."""

    name: str
    needle: bytes
    exact: bool = False


def forms(value: str) -> list[Form]:
    """Every form of ``value`` that is searched for; case does not count but in base64."""
    raw = value.encode()
    found = [
        Form("plain", raw.lower()),
        Form("hex", raw.lower().hex().encode()),
        Form("hex of upper case", raw.upper().hex().encode()),
        Form("utf-16", value.lower().encode("utf-16-le")),
        Form("percent-encoded", "".join(f"%{byte:02x}" for byte in raw.lower()).encode()),
    ]
    if url_quote(value) != value:
        found.append(Form("url-encoded", url_quote(value, safe="").lower().encode()))
    for variant in {raw, raw.lower(), raw.upper(), raw.capitalize()}:
        for shift in range(3):
            # However many bytes stand before it, one of three alignments is its; the ends depend on the neighbours.
            encoded = base64.b64encode(b"\0" * shift + variant)
            start, rest = (0, 2, 3)[shift], (shift + len(variant)) % 3
            core = encoded[start : len(encoded) - (4 if rest else 0)]
            found.append(Form("base64", core, exact=True))
            found.append(Form("base64", core.translate(bytes.maketrans(b"+/", b"-_")), exact=True))
    return found


class Searcher:
    """Finds any of ``values`` (the mark stands for all that carry it), however many they are."""

    def __init__(self, values: list[str]) -> None:
        sought = {form for value in dict.fromkeys(values) for form in forms(value)}
        self._folded = _Needles(form for form in sought if not form.exact)
        self._exact = _Needles(form for form in sought if form.exact)

    def find(self, content: bytes) -> set[str]:
        """The names of the forms that are in ``content``."""
        return self._folded.within(content.lower()) | self._exact.within(content)


class _Needles:
    """Forms by their first eight bytes: a pass over a content's own eights leaves few that are worth a look."""

    def __init__(self, forms: Iterable[Form]) -> None:
        self._by_head: dict[int, list[Form]] = {}
        self._short: list[Form] = []
        for form in forms:
            if len(form.needle) < 8:
                self._short.append(form)
            else:
                self._by_head.setdefault(int.from_bytes(form.needle[:8], "little"), []).append(form)
        heads = np.fromiter(self._by_head, dtype=np.uint64, count=len(self._by_head))
        self._seen = np.zeros(1 << 20, dtype=bool)
        self._seen[_slot(heads)] = True

    def within(self, content: bytes) -> set[str]:
        found = {form.name for form in self._short if form.needle in content}
        heads: set[int] = set()
        for offset in range(min(8, max(len(content) - 7, 0))):
            words = np.frombuffer(content, dtype="<u8", offset=offset, count=(len(content) - offset) // 8)
            heads.update(np.unique(words[self._seen[_slot(words)]]).tolist())
        likely = (form for head in heads for form in self._by_head.get(head, ()))
        return found | {form.name for form in likely if form.needle in content}


def _slot(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A word's place among 2^20, by Fibonacci hashing."""
    return (words * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(44)


def in_file(path: Path) -> Iterator[tuple[str, bytes]]:
    """What a file holds: its bytes, and what lies in it compressed or in an engine's pages."""
    content = path.read_bytes()
    yield "bytes", content
    if content[:2] == b"\x1f\x8b":
        yield "gzip", gzip.decompress(content)
    elif content[:6] == b"SQLite":
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            yield "sqlite", "\n".join(connection.iterdump()).encode()
    elif content[:4] == b"PAR1":
        with duckdb.connect() as connection:
            yield "parquet", _text(connection.execute("select * from read_parquet(?)", [str(path)]).fetchall())
    elif content[8:12] == b"DUCK":
        with duckdb.connect(str(path), read_only=True) as connection:
            yield from in_duckdb(connection)


def in_duckdb(connection: duckdb.DuckDBPyConnection, *, but: str = "") -> Iterator[tuple[str, bytes]]:
    """Every relation of a DuckDB database as text, but for schemas that start with ``but``."""
    listed = connection.execute(
        "select schema_name, table_name from duckdb_tables() where database_name = current_database() "
        "union all select schema_name, view_name from duckdb_views() "
        "where database_name = current_database() and not internal"
    ).fetchall()
    for schema, name in listed:
        if not (but and schema.startswith(but)):
            rows = connection.execute(f"select * from {quote(schema)}.{quote(name)}").fetchall()  # noqa: S608
            yield f"{schema}.{name}", _text(rows)


def _text(rows: list[tuple[object, ...]]) -> bytes:
    return "\n".join(" ".join(map(str, row)) for row in rows).encode()
