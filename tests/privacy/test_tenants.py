"""A tenant that leaves, merges, is divided or moves leaves nothing behind, and touches nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from privacy import ledger, receipts
from privacy.erase import erase
from privacy.tenants import merge, move_region, offboard, readmit, split
from settings import TailraceError
from tests.privacy.support import CONTACT, CUSTOMER, JANE, JOHN, SECRETS, A, B, Home, receipt, sources

OF_A = (A, JANE, JOHN, CONTACT, CUSTOMER, *SECRETS.values())
Rows = dict[tuple[str, str], list[dict[str, Any]]]


def given_to(rows: Rows, tenant: str, *, only: Callable[[dict[str, Any]], bool] = lambda row: True) -> Rows:
    """What the sources hold once rows of tenant A are another's; its line in the directory stays."""
    moved = {}
    for (source, name), listed in rows.items():
        moved[source, name] = [
            {key: _moved(value, tenant) for key, value in row.items()}
            if (source, name) != ("app", "tenants") and only(row)
            else row
            for row in listed
        ]
    return moved


def _moved(value: Any, tenant: str) -> Any:
    return value.replace(A, tenant) if isinstance(value, str) else value


def deleted(rows: Rows) -> Rows:
    """The same rows as deletes, by key and tenant, of the tables that carry their tenant."""
    return {
        name: [{**row, "_deleted": True} for row in listed if row.get("tenant_id") == A]
        for name, listed in rows.items()
        if name[0] == "app" and name[1] != "tenants"
    }


def of_others(home: Home) -> list[list[tuple[Any, ...]]]:
    return [
        home.query("select * from raw_app.users where tenant_id = ?", B),
        home.query("select * from raw_hubspot.companies where id = '2'"),
        home.query("select * from raw_stripe.customers where id = 'cus_Beta'"),
        home.query("select tenant_id, comments, authors from marts.usage where tenant_id = ?", B),
    ]


def test_an_offboarded_tenant_is_in_no_byte_and_lands_no_more(home: Home) -> None:
    before = of_others(home)
    assert home.query("select count(*) from vault.tenant_keys where tenant_id = ? and ipad is not null", A) == [(1,)]
    path = offboard(home.rights(), tenant="alpha")
    assert of_others(home) == before
    assert home.query("select count(*) from vault.tenant_keys where tenant_id = ? and ipad is not null", A) == [(0,)]
    assert home.places_of(JANE, JOHN, CONTACT, CUSTOMER, *SECRETS.values()) == []
    assert receipt(path)["left"] == {}
    assert receipts.verify(path).problems == ()
    home.sync()
    home.build()
    assert home.places_of(JANE, JOHN, CONTACT, CUSTOMER, *SECRETS.values()) == []
    assert [len(rows) for rows in of_others(home)] == [len(rows) for rows in before]
    assert offboard(home.rights(), tenant=A) == path, "once is enough"


def test_earlier_published_versions_of_a_tenant_that_left_are_forgotten(home: Home) -> None:
    built = home.built
    offboard(home.rights(), tenant="alpha")
    assert home.forgotten == [(A, built), (A, built + 1)]


def test_a_legal_hold_keeps_a_tenant(home: Home) -> None:
    before = home.raw()
    with home.warehouse.writer("a test") as con:
        ledger.hold(con, id="case-8", tenant=A, identifiers=None, reason="audit 8/2026")
    with pytest.raises(TailraceError, match="audit 8/2026"):
        offboard(home.rights(), tenant="alpha")
    assert home.raw() == before


def test_a_tenant_that_comes_back_gets_another_key(home: Home) -> None:
    offboard(home.rights(), tenant="alpha")
    assert readmit(home.rights(), tenant=A) == 2
    home.sync()
    home.build()
    assert home.query("select count(*) from raw_app.users where tenant_id = ?", A) == [(2,)]
    assert home.query("select count(*) from raw_hubspot.contacts where id = ?", CONTACT) == [(1,)]


@pytest.mark.operations
def test_a_merge_waits_for_the_sources_and_leaves_nothing_of_the_merged(home: Home) -> None:
    erase(home.rights(), tenant="alpha", subject=JOHN)
    with pytest.raises(TailraceError, match=r"still has .* live row"):
        merge(home.rights(), tenant="alpha", into="beta")
    home.sync(deleted(sources()))
    home.sync(given_to(sources(), B))
    home.build()
    path = merge(home.rights(), tenant="alpha", into="beta")
    assert home.query("select count(*) from raw_app.users where id = ?", JANE) == [(1,)]
    assert home.places_of(JOHN) == [], "who was erased stays so in the other tenant"
    assert receipt(path)["left"] == {}


def test_a_split_leaves_no_trace_of_those_who_went(home: Home) -> None:
    new = "cccccccc-0000-4000-8000-000000000003"
    directory = [*sources()["app", "tenants"], {**sources()["app", "tenants"][0], "id": new, "slug": "gamma"}]
    with pytest.raises(TailraceError, match="not in raw_app"):
        split(home.rights(), tenant="alpha", into="gamma")
    home.sync({("app", "tenants"): directory})
    hers: Rows = {
        name: [row for row in rows if JANE in (row.get("id"), row.get("user_id"), row.get("author_id"))]
        for name, rows in sources().items()
        if name[0] == "app"
    }
    hers = {name: rows for name, rows in hers.items() if rows}
    home.sync(deleted(hers))
    home.sync(given_to(hers, new))
    with home.warehouse.writer("a test") as con:
        from privacy.stores import pseudonyms

        old = pseudonyms(con, A, [JANE])
    path = split(home.rights(), tenant="alpha", into="gamma")
    for name in ("users", "comments", "workspace_members", "ai_requests"):
        mine = "id" if name == "users" else "author_id" if name == "comments" else "user_id"
        tenants = home.query(f"select distinct tenant_id::varchar from raw_app.{name} where {mine} = ?", JANE)  # noqa: S608
        assert tenants == [(new,)], name
    assert home.places_of(*old) == []
    assert receipt(path)["rows_left_behind"]["raw_app.comments"] == 3
    assert home.query("select count(*) from raw_app.users where tenant_id = ?", A) == [(1,)]


@pytest.mark.operations
def test_a_tenant_that_moves_is_in_the_other_region_alone(
    home: Home, make_home: Callable[[str], Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TailraceError, match="live row"):
        move_region(home.rights(), tenant="alpha", to="eu")
    with pytest.raises(TailraceError, match="serves us"):
        move_region(home.rights(), tenant="alpha", to="us")
    home.sync(deleted(sources()))
    shared = {
        (source, name): [
            {**row, "_deleted": True} for row in rows if any(each in str(row) for each in (A, CUSTOMER, f"'{CONTACT}'"))
        ]
        for (source, name), rows in sources().items()
        if source != "app"
    }
    home.sync({name: rows for name, rows in shared.items() if rows})
    path = move_region(home.rights(), tenant="alpha", to="eu")
    assert home.places_of(JANE, JOHN, CONTACT, CUSTOMER, *SECRETS.values()) == []
    assert (receipt(path)["to_region"], receipt(path)["left"]) == ("eu", {})
    eu = make_home("eu")
    eu.sync()
    eu.build()
    assert eu.query("select count(*) from raw_app.users where id = ?", JANE) == [(1,)]
    keys = [each.query("select ipad from vault.tenant_keys where tenant_id = ?", A) for each in (home, eu)]
    assert keys[0] == [(None,)]
    assert keys[1] != keys[0]


def test_a_document_that_only_mentions_a_tenant_loses_it_with_the_tenant(home: Home) -> None:
    stray = {"id": "evt_2", "type": "coupon.created", "created": 1, "data": '{"object": {"note": "' + A + '"}}'}
    home.sync({("stripe", "events"): [stray]})
    path = offboard(home.rights(), tenant="alpha")
    assert receipt(path)["left"] == {}
    assert home.query("select id from raw_stripe.events") == [("evt_2",)]
