"""One random key a tenant, made once, readable from the vault only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import duckdb
import pytest

from ingestion import land
from pii_policies import load_contracts
from pii_policies.keys import UNATTRIBUTED, ensure_keys, ensure_keys_for_raw, retire, rotate, rotating
from pii_policies.treatments import BLOCK_SIZE, pads
from settings import TailraceError

CONTRACTS = load_contracts()


@pytest.fixture
def con(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute(f"attach '{tmp_path / 'vault.duckdb'}' as vault")
        yield connection


def _keys(con: duckdb.DuckDBPyConnection) -> dict[str, tuple[bytes, bytes]]:
    rows = con.execute("select tenant_id, ipad, opad from vault.tenant_keys").fetchall()
    return {str(tenant): (bytes(ipad), bytes(opad)) for tenant, ipad, opad in rows}


def test_every_tenant_gets_one_key_of_its_own_and_keeps_it(con: duckdb.DuckDBPyConnection) -> None:
    assert ensure_keys(con, ["one", "two"]) == len({"one", "two", UNATTRIBUTED})
    before = _keys(con)
    assert len(set(before.values())) == len(before)
    assert ensure_keys(con, ["two", "three"]) == 1
    assert {tenant: _keys(con)[tenant] for tenant in before} == before


def test_the_pads_belong_to_one_key(con: duckdb.DuckDBPyConnection) -> None:
    ensure_keys(con, [])
    ipad, opad = _keys(con)[UNATTRIBUTED]
    key = bytes(byte ^ 0x36 for byte in ipad)
    assert pads(key) == (ipad, opad)
    assert len(ipad) == BLOCK_SIZE


def test_a_destroyed_key_is_not_made_anew(con: duckdb.DuckDBPyConnection) -> None:
    ensure_keys(con, ["gone"])
    con.execute("update vault.tenant_keys set ipad = null, opad = null where tenant_id = 'gone'")
    assert ensure_keys(con, ["gone"]) == 0


def test_every_tenant_that_a_landed_row_names_gets_a_key(con: duckdb.DuckDBPyConnection) -> None:
    assert ensure_keys_for_raw(con, CONTRACTS) == 1, "nothing has landed: only the unattributed have one"
    directory, runs = UUID(int=1), UUID(int=2)
    for name in ("tenants", "workflow_runs"):
        land.ensure_table(con, land.raw_table(CONTRACTS.table("app", name)))
    con.execute("insert into raw_app.tenants (id) values (?)", [directory])
    con.execute("insert into raw_app.workflow_runs (tenant_id, id) values (?, ?)", [runs, UUID(int=3)])
    ensure_keys_for_raw(con, CONTRACTS)
    assert set(_keys(con)) == {UNATTRIBUTED, str(directory), str(runs)}


def _versions(con: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[int, bool]]]:
    rows = con.execute(
        "select tenant_id, list((key_version, ipad is not null) order by key_version) from vault.tenant_keys group by 1"
    ).fetchall()
    return {tenant: [tuple(each) for each in versions] for tenant, versions in rows}


def test_a_rotated_tenant_keeps_its_old_key_until_a_build_is_done_with_it(con: duckdb.DuckDBPyConnection) -> None:
    ensure_keys(con, ["one", "two"])
    before = _keys(con)
    assert rotate(con, ["one"]) == ["one"]
    assert rotating(con) == {"one": 2}
    assert _versions(con)["one"] == [(1, True), (2, True)]
    assert _keys(con)["two"] == before["two"]
    retire(con, rotating(con))
    assert rotating(con) == {}
    assert _versions(con)["one"] == [(1, False), (2, True)]
    assert ensure_keys(con, ["one", "two"]) == 0


def test_a_rotation_during_a_build_is_left_to_the_next(con: duckdb.DuckDBPyConnection) -> None:
    ensure_keys(con, ["one"])
    rotate(con, ["one"])
    build = rotating(con)
    rotate(con, ["one"])
    retire(con, build)
    assert rotating(con) == {"one": 3}
    assert _versions(con)["one"] == [(1, False), (2, True), (3, True)]


def test_a_destroyed_key_is_not_rotated_back_to_life(con: duckdb.DuckDBPyConnection) -> None:
    ensure_keys(con, ["gone", "here"])
    con.execute("update vault.tenant_keys set ipad = null, opad = null where tenant_id = 'gone'")
    assert rotate(con) == ["here", UNATTRIBUTED]
    with pytest.raises(TailraceError, match="no such tenant has a key"):
        rotate(con, ["gone"])
