"""Export, rectification and restriction: the person's own data, true, and at rest when they ask for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from privacy import receipts
from privacy.erase import erase
from privacy.export import export
from privacy.rectify import rectify
from privacy.restrict import lift, restrict
from settings import TailraceError
from tests.privacy.support import CONTACT, CUSTOMER, EMAIL, JANE, JOHN, SECRETS, A, Home, receipt, sources


def test_an_export_holds_all_of_the_person_and_nobody_else(home: Home) -> None:
    path, proof = export(home.rights(), tenant="alpha", subject=CONTACT)
    exported = json.loads(path.read_text())
    text = path.read_text()
    assert not [name for name, value in SECRETS.items() if value not in text]
    assert [row["id"] for row in exported["records"]["raw_app.users"]] == [JANE]
    assert len(exported["records"]["raw_app.comments"]) == 3
    assert [row["id"] for row in exported["records"]["raw_stripe.customers"]] == [CUSTOMER]
    for other in (JOHN, "john@alpha.example", "by John", "by another Jane", "Another Jane", "cus_Beta"):
        assert other not in text
    assert path.stat().st_mode & 0o077 == 0
    assert receipts.verify(proof).problems == ()
    assert receipt(proof)["rows"] == {table: len(rows) for table, rows in exported["records"].items()}
    assert EMAIL.lower() not in proof.read_text().lower()


def test_a_correction_flows_from_the_source_and_copies_that_are_stale_are_named(home: Home) -> None:
    corrected = "jane.corrected@alpha.example"

    def with_address(tables: dict[Any, Any], names: set[tuple[str, str]], column: str) -> None:
        for name in names:
            for row in tables[name]:
                if row.get("id") in (JANE, CONTACT, CUSTOMER, A):
                    row[column] = corrected

    now = sources()
    with_address(now, {("app", "users")}, "email")
    home.source = now
    body = receipt(rectify(home.rights(), tenant="alpha", subject=JANE))
    assert body["changed"] == ["raw_app.users.email"]
    assert body["outcome"] == "stale copies"
    assert {"raw_hubspot.contacts.properties_email", "raw_stripe.customers.email"} <= body["stale_copies"].keys()
    assert "raw_app.users.email" not in body["stale_copies"]
    assert body["stale_copies"]["snapshots.users"] == 1, "a snapshot that kept the old pseudonym is a stale copy"


@pytest.mark.operations
def test_a_correction_everywhere_leaves_no_stale_copy(home: Home) -> None:
    now = sources()
    for row in now["app", "users"]:
        if row["id"] == JANE:
            row["full_name"] = "Jane Corrected"
    home.source = now
    body = receipt(rectify(home.rights(), tenant="alpha", subject=JANE))
    assert body["changed"] == ["raw_app.users.full_name"]
    # The family name in the CRM and on the invoice is still the old one, and is said to be.
    assert {"raw_hubspot.contacts.properties_lastname", "raw_stripe.customers.name"} <= body["stale_copies"].keys()
    for table, column in (("contacts", "properties_lastname"), ("customers", "name"), ("invoices", "customer_name")):
        for row in now["hubspot" if table == "contacts" else "stripe", table]:
            if row[column] == SECRETS["name"]:
                row[column] = "Jane Corrected"
    now["stripe", "events"] = []
    home.query("delete from raw_stripe.events")
    body = receipt(rectify(home.rights(), tenant="alpha", subject=JANE))
    assert (body["outcome"], body["stale_copies"]) == ("done", {})


@pytest.mark.operations
def test_a_restricted_person_is_at_rest_and_comes_back_whole(home: Home) -> None:
    before, usage = home.raw(), home.query("select * from marts.usage order by all")
    path = restrict(home.rights(), tenant="alpha", subject=EMAIL)
    assert home.query("select count(*) from raw_app.users where id = ?", JANE) == [(0,)]
    assert home.places_of(SECRETS["body"]) in ([], ["vault.duckdb"]), "kept aside, out of reach of every model"
    home.sync()
    assert home.query("select count(*) from raw_app.users where id = ?", JANE) == [(0,)]
    with pytest.raises(TailraceError, match="restricted under"):
        erase(home.rights(), tenant="alpha", subject=EMAIL)
    lifted = lift(home.rights(), receipt=path.stem)
    assert home.raw() == before
    assert home.query("select * from marts.usage order by all") == usage
    assert receipts.verify(lifted).chain == 1
    with pytest.raises(TailraceError, match="lifted before"):
        lift(home.rights(), receipt=path.stem)
    erase(home.rights(), tenant="alpha", subject=EMAIL)
    assert home.places_of(*SECRETS.values()) == []
