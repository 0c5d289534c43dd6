"""An erased person is nowhere, in no byte, and does not come back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestion import forgetting
from pii_policies import load_contracts
from privacy import files, journal, ledger, people, receipts, stores
from privacy.erase import erase
from privacy.resume import resume
from settings import ROOT, TailraceError
from tests.privacy.support import (
    CONTACT,
    CONTACT_OF_B,
    CUSTOMER,
    EMAIL,
    JANE,
    JOHN,
    MERGED_CONTACT,
    OTHER_JANE,
    RECEIPT_KEY,
    SECRETS,
    A,
    B,
    Home,
    home_in,
    receipt,
    sources,
)
from warehouse.failpoints import ERASURE_POINTS

# What only this person's rows of tenant A hold; the address is another person's in tenant B as well.
HERS = (JANE, CONTACT, MERGED_CONTACT, *SECRETS.values())


@pytest.mark.parametrize(
    "subject",
    [JANE, EMAIL.upper(), *(pytest.param(each, marks=pytest.mark.operations) for each in (CUSTOMER, CONTACT))],
)
def test_any_identifier_finds_the_person_in_every_store(home: Home, subject: str) -> None:
    assert all("warehouse.duckdb" in home.places_of(value) for value in SECRETS.values()), "the bytes are there to find"
    path = erase(home.rights(), tenant="alpha", subject=subject)
    assert home.places_of(*HERS) == []
    assert receipt(path)["outcome"] == "done"
    assert receipts.verify(path).problems == ()


def test_an_erased_person_comes_back_by_no_way_of_landing(home: Home) -> None:
    erase(home.rights(), tenant="alpha", subject=EMAIL)
    after = home.raw()
    home.sync()
    assert home.raw() == after
    home.build()
    assert home.places_of(*HERS) == []
    home.copy_anew()
    assert home.places_of(*HERS) == []


def test_a_late_change_that_does_not_name_the_person_any_more_brings_nothing_back(home: Home) -> None:
    """The product erases its user too and clears the author, but not the text, of what was written."""
    erase(home.rights(), tenant="alpha", subject=EMAIL)
    late = [{**row, "author_id": None} for row in sources()["app", "comments"] if row["author_id"] == JANE]
    home.sync({("app", "comments"): late})
    assert home.places_of(SECRETS["body"]) == []
    moved = [{**row, "properties_associatedcompanyid": "2"} for row in sources()["hubspot", "contacts"]]
    home.sync({("hubspot", "contacts"): moved})
    assert home.places_of(CONTACT) == [], "a contact who changed companies is the same contact"


def test_new_records_of_the_same_address_do_not_land_and_those_of_others_do(home: Home) -> None:
    erase(home.rights(), tenant="alpha", subject=JANE)
    again = {**sources()["hubspot", "contacts"][0], "id": "777777"}
    other = {**again, "id": "888888", "properties_email": "new@alpha.example"}
    home.sync({("hubspot", "contacts"): [again, other]})
    assert home.query("select id from raw_hubspot.contacts order by id") == [("888888",), (CONTACT_OF_B,)]


def test_everybody_else_is_untouched(home: Home) -> None:
    def others() -> list[list[tuple[Any, ...]]]:
        return [
            home.query("select * from raw_app.users where id not in (?) order by id", JANE),
            home.query("select * from raw_app.comments where author_id in (?, ?) order by id", JOHN, OTHER_JANE),
            home.query("select * from raw_hubspot.contacts where id = ?", CONTACT_OF_B),
            home.query("select * from raw_stripe.customers where id = 'cus_Beta'"),
            home.query("select * from raw_hubspot.companies order by id"),
            home.query("select * from raw_hubspot.associations where contact_id = ?", CONTACT_OF_B),
            home.query("select tenant_id, email from snapshots.users where tenant_id = ?", B)[:1],
        ]

    before = others()
    erase(home.rights(), tenant="alpha", subject=JANE)
    assert others() == before
    assert all(before)


def test_an_id_that_a_source_gave_to_another_kind_of_record_too_is_somebody_elses(home: Home) -> None:
    """HubSpot numbers owners and contacts apart from each other."""
    home.sync({("hubspot", "owners"): [{"id": CONTACT, "email": "owner@vendor.example", "lastName": "Owner"}]})
    erase(home.rights(), tenant="alpha", subject=JANE)
    owners = [(CONTACT, "owner@vendor.example", "Owner")]
    assert home.query('select id, email, "lastName" from raw_hubspot.owners') == owners
    home.sync({("hubspot", "owners"): [{"id": CONTACT, "email": "owner@vendor.example", "lastName": "Owner"}]})
    assert home.query('select id, email, "lastName" from raw_hubspot.owners') == owners


def test_business_records_and_figures_stay_without_the_person(home: Home) -> None:
    erase(home.rights(), tenant="alpha", subject=JANE)
    assert home.query("select customer, amount_due, customer_email, customer_name from raw_stripe.invoices") == [
        (CUSTOMER, 4200, None, None)
    ]
    ((kept,),) = home.query("select metadata from raw_stripe.customers where id = ?", CUSTOMER)
    assert json.loads(kept) == {"tenant_id": A}, "of a document only what says whose it is"
    ((data,),) = home.query("select data from raw_stripe.events")
    assert json.loads(data)["object"]["id"] == CUSTOMER
    assert EMAIL not in data
    # Three comments of hers and one of John's: all counted, by him alone.
    assert home.query("select comments, authors from marts.usage where tenant_id = ?", A) == [(4, 1)]


def test_the_receipt_counts_what_was_done_and_names_nobody(home: Home) -> None:
    path = erase(home.rights(), tenant="alpha", subject=JANE)
    written = receipt(path)
    steps = {step["step"]: step["result"] for step in written["steps"]}
    raw = {each["table"]: (each["deleted"], each["emptied"]) for each in steps["raw"]}
    mine = [row for row in sources()["app", "comments"] if row["author_id"] == JANE]
    assert raw["raw_app.comments"] == (0, len(mine))
    assert raw["raw_app.users"] == raw["raw_app.workspace_members"] == raw["raw_hubspot.contacts"] == (1, 0)
    assert raw["raw_stripe.customers"] == raw["raw_stripe.invoices"] == (0, 1)
    built = {each["table"]: each["deleted"] for each in steps["built"]}
    assert built["staging.comments"] == len(mine)
    assert built["snapshots.users"] == 1
    assert written["files_that_still_hold_an_identifier"] == []
    text = path.read_text().lower()
    assert not [value for value in (EMAIL, *HERS) if value.lower() in text]


def test_earlier_published_versions_are_forgotten_before_and_after_the_new_one(home: Home) -> None:
    built = home.built
    path = erase(home.rights(), tenant="alpha", subject=EMAIL)
    assert home.forgotten == [(A, built), (A, built + 1)]
    assert {step["step"]: step["result"] for step in receipt(path)["steps"]}["rebuild"] == {"product": 1}


def test_what_others_wrote_of_the_person_is_named_not_hidden(home: Home) -> None:
    john = {**sources()["app", "comments"][3], "body": f"ask {EMAIL} about it"}
    home.sync({("app", "comments"): [john]})
    written = receipt(erase(home.rights(), tenant="alpha", subject=JANE))
    # The namesake in the other tenant has the same address, in raw_app.users and the CRM.
    assert written["mentions"] == {
        "raw_app.comments.body": 1,
        "raw_app.users.email": 1,
        "raw_hubspot.contacts.properties_email": 1,
    }


def test_a_changed_receipt_or_a_broken_chain_does_not_verify(home: Home) -> None:
    first = erase(home.rights(), tenant="alpha", subject=JANE)
    second = erase(home.rights(), tenant="alpha", subject=JOHN)
    assert receipts.verify(second, trusted=receipts.trusted_key(home.settings)).chain == 1
    assert receipts.verify(second, trusted="00" * 32).problems
    second.write_text(second.read_text().replace('"outcome": "done"', '"outcome": "refused"'))
    assert any("changed" in problem for problem in receipts.verify(second).problems)
    whole = first.read_text()
    first.write_text(whole.replace('"actor": "a test"', '"actor": "nobody"'))
    assert receipts.verify(second).problems
    first.unlink()
    assert any("missing" in problem for problem in receipts.verify(second).problems)


def test_a_legal_hold_refuses_with_its_reason_on_the_receipt(home: Home) -> None:
    before = home.raw()
    with home.warehouse.writer("a test") as con:
        forgetting.prepare(con)
        person = people.find(con, home.rights().rules, tenant=A, subject=EMAIL)
        ledger.hold(con, id="case-7", tenant=A, identifiers=person.identifiers, reason="litigation 7/2026")
    with pytest.raises(TailraceError, match="litigation 7/2026"):
        erase(home.rights(), tenant="alpha", subject=CONTACT)
    (path,) = receipts.receipts_dir(home.settings).glob("*.json")
    assert (receipt(path)["outcome"], receipt(path)["reason"]) == ("refused", "litigation 7/2026")
    assert receipts.verify(path).problems == ()
    assert home.raw() == before
    with home.warehouse.writer("a test") as con:
        ledger.release(con, "case-7")
    erase(home.rights(), tenant="alpha", subject=CONTACT)
    actions = home.query("select action, outcome from tailrace.privacy_audit order by done_at")
    assert actions == [("erase", "refused"), ("erasure", "done")]


def test_a_number_names_the_person_only_where_it_stands_alone(home: Home) -> None:
    john = {**sources()["app", "comments"][3], "body": f"reference a{CONTACT}f of John's"}
    home.sync({("app", "comments"): [john]})
    exported = files.exports_dir(home.settings)
    exported.mkdir(parents=True)
    (exported / "johns.json").write_text(json.dumps({"key": f"a{CONTACT}f", "size": f"{CONTACT}0"}))
    (exported / "names-her.json").write_text(json.dumps({"met": [int(CONTACT)]}))
    written = receipt(erase(home.rights(), tenant="alpha", subject=JANE))
    assert "raw_app.comments.body" not in written["mentions"]
    assert [path.name for path in exported.iterdir()] == ["johns.json"]
    home.sync({("app", "comments"): [{**john, "body": f"see contact {CONTACT}, please"}]})
    with home.warehouse.reader() as con:
        assert stores.mentions(con, [CONTACT]) == {"raw_app.comments.body": 1}


def test_quarantine_and_exports_lose_the_person(home: Home) -> None:
    ((hers, johns),) = home.query(
        "select max(_airbyte_raw_id) filter (id = ?), max(_airbyte_raw_id) filter (id = ?) from raw_app.users",
        JANE,
        JOHN,
    )
    folder = home.settings.quarantine_dir
    folder.mkdir(parents=True)
    (folder / "x.json").write_text(json.dumps({"findings": [{"table": "t", "_airbyte_raw_id": [hers, johns]}]}))
    exported = files.exports_dir(home.settings)
    exported.mkdir(parents=True)
    (exported / "hers.json").write_text(json.dumps({"email": EMAIL.lower()}))
    (exported / "johns.json").write_text(json.dumps({"email": "john@alpha.example"}))
    erase(home.rights(), tenant="alpha", subject=JANE)
    assert json.loads((folder / "x.json").read_text())["findings"][0]["_airbyte_raw_id"] == [johns]
    assert [path.name for path in exported.iterdir()] == ["johns.json"]


def test_nobody_known_is_an_error_and_changes_nothing(home: Home) -> None:
    with pytest.raises(TailraceError, match="nobody is known"):
        erase(home.rights(), tenant="alpha", subject="99999999")
    with pytest.raises(TailraceError, match=r"not in raw_app\.tenants"):
        erase(home.rights(), tenant="gamma", subject=EMAIL)


def test_landing_asks_nothing_of_a_deployment_where_nobody_was_erased(home: Home) -> None:
    with home.warehouse.writer("a test") as con:
        assert not forgetting.active(con)
    with home.warehouse.writer("a test") as con:
        forgetting.prepare(con)
        assert not forgetting.active(con), "a key alone forgets nobody"


KILLED = """
import os, sys
from pathlib import Path
from privacy.erase import erase
from settings import load_settings
from tests.privacy.support import Home
erase(Home(load_settings(config_path=Path(sys.argv[1]))).rights(), tenant="alpha", subject=sys.argv[2])
"""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, tuple[Any, ...]]]:
    """A deployment before an erasure, and what is to come of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAILRACE_RECEIPT_KEY", RECEIPT_KEY)
        seeded, whole = (home_in(tmp_path_factory.mktemp(name)) for name in ("seeded", "whole"))
        seeded.seed()
        seeded.copy_to(whole)
        yield seeded, _summary(whole, erase(whole.rights(), tenant="alpha", subject=EMAIL))


MOMENTS = ("erase_mid_raw", "rewrite_before_swap")


@pytest.mark.parametrize(
    "point",
    [each if each in MOMENTS else pytest.param(each, marks=pytest.mark.operations) for each in ERASURE_POINTS],
)
def test_killed_at_any_point_it_is_gone_on_with_and_ends_the_same(
    uninterrupted: tuple[Home, tuple[Any, ...]], make_home: Callable[[str], Home], point: str
) -> None:
    seeded, expected = uninterrupted
    home = make_home(point)
    seeded.copy_to(home)
    died = subprocess.run(
        [sys.executable, "-c", KILLED, str(home.settings.config_path), EMAIL],
        cwd=ROOT,
        env={**os.environ, "TAILRACE_FAILPOINT": point},
        capture_output=True,
        text=True,
    )
    assert died.returncode == -signal.SIGKILL, f"the point was not passed: {died.stderr[-500:]}"
    (path,) = resume(home.rights())
    assert _summary(home, path) == expected
    assert home.places_of(*HERS) == []
    assert list(journal.unfinished(home.settings.privacy_dir)) == []


def _summary(home: Home, path: Path) -> tuple[Any, ...]:
    """All that must not depend on where an erasure was interrupted."""
    written = receipt(path)
    steps = {step["step"]: step["result"] for step in written["steps"]}
    usage = home.query("select * from marts.usage order by all")
    tombstones = home.query("select count(*), count(distinct hash) from tailrace.tombstones")
    audited = home.query("select action, outcome from tailrace.privacy_audit")
    return (
        steps,
        written["mentions"],
        written["files_that_still_hold_an_identifier"],
        home.raw(),
        usage,
        tombstones,
        audited,
    )


def test_every_table_with_a_column_that_identifies_people_has_a_rule() -> None:
    contracts = load_contracts()
    from pii_policies.erasure import erasure_map

    rules = erasure_map(contracts)
    for source in contracts.sources:
        for table in contracts.raw_tables(source):
            classes = {column.data_class.name for column in table.landed}
            if classes & {"person_identifier", "email"}:
                assert f"{table.schema}.{table.name}" in rules
