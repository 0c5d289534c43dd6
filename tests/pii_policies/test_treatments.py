"""One vector file, the same bytes everywhere; treatments that cannot be undone by what they leave."""

# ruff: noqa: S608 - the SQL is put together from the names of the test itself

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from pii_policies import treatments
from pii_policies.redaction import redact
from settings import ROOT
from tests.pii_policies.support import Dbt

VECTORS: dict[str, list[dict[str, Any]]] = json.loads((ROOT / "pii_policies/vectors.json").read_text("utf-8"))
del VECTORS["about"]

# Per set of vectors: the macro call on the column `value`, and the column's type.
CALLS = {
    "pseudonymise": ("pseudonymise('vectors.value')", "varchar"),
    "pseudonymise_email": ("pseudonymise(normalise_email('vectors.value'))", "varchar"),
    "mask": ("mask('vectors.value')", "varchar"),
    "generalise_network": ("generalise_network('vectors.value')", "varchar"),
    "generalise_month": ("generalise_month('vectors.value')", "timestamptz"),
    "generalise_band": ("generalise_band('vectors.value')", "decimal(18, 4)"),
    "redact": ("redact('vectors.value')", "varchar"),
}


def _in_python(name: str, vector: dict[str, Any]) -> str | None:
    value = vector["value"]
    match name:
        case "pseudonymise":
            return treatments.pseudonymise(bytes.fromhex(vector["key"]), value)
        case "pseudonymise_email":
            return treatments.pseudonymise(bytes.fromhex(vector["key"]), value, normalise="email")
        case "mask":
            return treatments.mask(value)
        case "generalise_network":
            return treatments.generalise_network(value)
        case "generalise_month":
            month = treatments.generalise_month(datetime.fromisoformat(value))
            return month.isoformat() if month else None
        case "generalise_band":
            return treatments.generalise_band(Decimal(value) if value else None)
        case "redact":
            return redact(value)
    raise AssertionError(name)


def _selects() -> dict[str, str]:
    """The query of each set of vectors, in dbt's language: the row's key is joined as staging models join it."""
    return {
        name: f"select vectors.number, {{{{ {call} }}}} as got from {name}_vectors as vectors "
        "left join tenant_key on vectors.number = tenant_key.number"
        for name, (call, _) in CALLS.items()
    }


@pytest.fixture(scope="module")
def compiled(dbt: Dbt) -> dict[str, dict[str, str]]:
    """The queries as each engine gets them: target -> set of vectors -> SQL."""
    mark = "\n-- next\n"
    sets = _selects()
    result = {}
    for target in ("test", "snowflake"):
        parts = dbt.compiled(mark.join(sets.values()), target=target).split(mark.strip())
        result[target] = dict(zip(sets, parts, strict=True))
    return result


def _load(con: duckdb.DuckDBPyConnection, name: str) -> None:
    con.execute("set TimeZone = 'UTC'")
    con.execute(f"create table {name}_vectors (number integer, value {CALLS[name][1]})")
    con.execute("create or replace table tenant_key (number integer, ipad blob, opad blob)")
    for number, vector in enumerate(VECTORS[name]):
        con.execute(f"insert into {name}_vectors values (?, ?)", [number, vector["value"]])
        if "key" in vector:
            ipad, opad = treatments.pads(bytes.fromhex(vector["key"]))
            con.execute("insert into tenant_key values (?, ?, ?)", [number, ipad, opad])


def _answers(con: duckdb.DuckDBPyConnection, sql: str) -> list[str | None]:
    rows = con.execute(f"select got from ({sql}) order by number").fetchall()
    return [row[0].isoformat() if isinstance(row[0], date) else row[0] for row in rows]


@pytest.mark.parametrize("name", VECTORS)
def test_python_gives_the_bytes_of_the_vectors(name: str) -> None:
    assert [_in_python(name, vector) for vector in VECTORS[name]] == [vector["expected"] for vector in VECTORS[name]]


@pytest.mark.parametrize("name", VECTORS)
def test_duckdb_gives_the_bytes_of_the_vectors(name: str, compiled: dict[str, dict[str, str]]) -> None:
    with duckdb.connect() as con:
        _load(con, name)
        assert _answers(con, compiled["test"][name]) == [vector["expected"] for vector in VECTORS[name]]


@pytest.mark.parametrize("name", VECTORS)
def test_snowflakes_sql_gives_the_bytes_of_the_vectors_when_translated(
    name: str, compiled: dict[str, dict[str, str]]
) -> None:
    translated = sqlglot.transpile(compiled["snowflake"][name], read="snowflake", write="duckdb")[0]
    with duckdb.connect() as con:
        _load(con, name)
        assert _answers(con, translated) == [vector["expected"] for vector in VECTORS[name]], translated


def test_the_vectors_pseudonyms_are_hmac_sha_256() -> None:
    for vector in VECTORS["pseudonymise"]:
        expected = hmac.new(bytes.fromhex(vector["key"]), vector["value"].encode(), hashlib.sha256).hexdigest()
        assert vector["expected"] == expected


@settings(deadline=None)
@given(key=st.binary(min_size=1, max_size=treatments.BLOCK_SIZE), message=st.binary(max_size=300))
def test_the_pads_alone_make_the_hmac(key: bytes, message: bytes) -> None:
    ipad, opad = treatments.pads(key)
    inner = hashlib.sha256(ipad + message).digest()
    assert hashlib.sha256(opad + inner).digest() == hmac.new(key, message, hashlib.sha256).digest()


def test_a_missing_key_gives_no_pseudonym_and_a_missing_value_neither() -> None:
    assert treatments.pseudonymise(None, "ada@example.com") is None
    assert treatments.pseudonymise(b"key", None) is None


def test_one_person_has_one_pseudonym_in_a_tenant_and_another_in_the_next() -> None:
    one, other = b"1" * 32, b"2" * 32
    same = {treatments.pseudonymise(one, text, normalise="email") for text in ("ada@example.com", " ADA@example.com ")}
    assert len(same) == 1
    assert treatments.pseudonymise(other, "ada@example.com", normalise="email") not in same


@settings(deadline=None, max_examples=20)
@given(addresses=st.lists(st.ip_addresses(), min_size=1, max_size=50))
def test_any_address_is_in_its_network_and_duckdb_agrees(
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address], compiled: dict[str, dict[str, str]]
) -> None:
    networks = [treatments.generalise_network(str(address)) for address in addresses]
    for address, network in zip(addresses, networks, strict=True):
        assert network is not None
        assert address in ipaddress.ip_network(network)
    with duckdb.connect() as con:
        con.execute("create table generalise_network_vectors (number integer, value varchar)")
        con.execute("create table tenant_key (number integer)")
        con.executemany("insert into generalise_network_vectors values (?, ?)", list(enumerate(map(str, addresses))))
        assert _answers(con, compiled["test"]["generalise_network"]) == networks
