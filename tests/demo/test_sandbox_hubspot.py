"""The sandbox HubSpot over HTTP: lists, searches, the archive, and stamps that no two writes share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.sandbox import serve

Json = dict[str, Any]
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OBJECTS = "/crm/v3/objects"
KINDS = {
    "companies": {"name": "Acme", "tenant_id": "t1", "numberofemployees": "25"},
    "contacts": {"email": "a@b.example", "firstname": "Ann", "associatedcompanyid": "10001"},
    "deals": {"dealname": "Big", "amount": "99.5", "closedate": "2026-02-01T00:00:00Z"},
}
MODIFIED = {"companies": "hs_lastmodifieddate", "contacts": "lastmodifieddate", "deals": "hs_lastmodifieddate"}


class HubSpot:
    """A client that fails on any answer that is not asked for."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, headers={"authorization": "Bearer pat-1"}, timeout=30)

    def call(self, method: str, path: str, body: Json | None = None, *, status: int = 200, **query: Any) -> Json:
        answer = self.http.request(method, path, json=body, params=query or None)
        assert answer.status_code == status, answer.json()["category"]
        document: Json = answer.json() if answer.content else {}
        return document

    def clock(self, moment: datetime) -> None:
        self.call("POST", "/sandbox/clock", {"now": moment.isoformat()})

    def create(self, kind: str, **properties: Any) -> Json:
        return self.call("POST", f"{OBJECTS}/{kind}", {"properties": properties}, status=201)

    def batch(self, kind: str, members: list[Json]) -> list[Json]:
        inputs = {"inputs": [{"properties": one} for one in members]}
        made: list[Json] = self.call("POST", f"{OBJECTS}/{kind}/batch/create", inputs, status=201)["results"]
        return made

    def all(self, kind: str, **query: Any) -> list[Json]:
        found: list[Json] = []
        after: str | None = "0"
        while after is not None:
            page = self.call("GET", f"{OBJECTS}/{kind}", **({"limit": 3, "after": after} | query))
            found += page["results"]
            after = page.get("paging", {}).get("next", {}).get("after")
        return found

    def search(self, kind: str, *filters: Json, **body: Any) -> list[Json]:
        groups = [{"filters": list(filters)}] if filters else []
        found: list[Json] = []
        after: str | None = "0"
        while after is not None:
            asked = {"filterGroups": groups, "limit": 3, "after": after} | body
            page = self.call("POST", f"{OBJECTS}/{kind}/search", asked)
            found += page["results"]
            assert page["total"] >= len(found)
            after = page.get("paging", {}).get("next", {}).get("after")
        return found


def where(name: str, operator: str, value: Any = None, **more: Any) -> Json:
    return {"propertyName": name, "operator": operator, "value": value} | more


def ids(found: list[Json]) -> list[str]:
    return [one["id"] for one in found]


@pytest.fixture
def hubspot() -> Iterator[HubSpot]:
    """An empty portal whose clock stands at NOW."""
    with serve("hubspot") as running:
        client = HubSpot(running.url)
        client.clock(NOW)
        yield client
        client.http.close()


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_answers_in_hubspots_shape(hubspot: HubSpot, kind: str) -> None:
    made = hubspot.create(kind, **KINDS[kind])
    shown = hubspot.call("GET", f"{OBJECTS}/{kind}/{made['id']}", properties=",".join(KINDS[kind]))
    assert shown.keys() == {"id", "properties", "createdAt", "updatedAt", "archived"}
    assert shown["createdAt"] == shown["updatedAt"] == "2026-01-01T12:00:00.000Z"
    assert shown["archived"] is False
    stamps = {"createdate": shown["createdAt"], MODIFIED[kind]: shown["updatedAt"], "hs_object_id": made["id"]}
    moments = {"closedate": "2026-02-01T00:00:00.000Z"} if kind == "deals" else {}
    assert shown["properties"] == KINDS[kind] | moments | stamps
    [listed] = hubspot.all(kind, properties=",".join(KINDS[kind]))
    assert listed == shown


def test_unset_and_unknown_properties_are_null_and_left_out(hubspot: HubSpot) -> None:
    made = hubspot.create("companies", name="Acme")
    shown = hubspot.call("GET", f"{OBJECTS}/companies/{made['id']}", properties="domain,colour")["properties"]
    assert shown["domain"] is None
    assert "colour" not in shown


def test_a_list_pages_through_everything_in_order(hubspot: HubSpot) -> None:
    made = hubspot.batch("companies", [{"name": f"C{n}"} for n in range(10)])
    assert ids(hubspot.all("companies")) == ids(made)
    assert ids(hubspot.all("companies", limit=100)) == ids(made)


def test_an_update_changes_what_it_names_and_the_stamp(hubspot: HubSpot) -> None:
    made = hubspot.create("companies", name="Acme", domain="acme.example")
    later = NOW.replace(hour=13)
    hubspot.clock(later)
    hubspot.call("PATCH", f"{OBJECTS}/companies/{made['id']}", {"properties": {"domain": "", "industry": "STEEL"}})
    shown = hubspot.call("GET", f"{OBJECTS}/companies/{made['id']}", properties="name,domain,industry")
    assert {name: shown["properties"][name] for name in ("name", "domain", "industry")} == {
        "name": "Acme",
        "domain": None,
        "industry": "STEEL",
    }
    assert (shown["createdAt"], shown["updatedAt"]) == ("2026-01-01T12:00:00.000Z", "2026-01-01T13:00:00.000Z")


def test_stamps_grow_with_every_write_even_on_a_standing_clock(hubspot: HubSpot) -> None:
    made = [hubspot.create("companies", name="A"), hubspot.create("deals", dealname="B")]
    hubspot.clock(NOW.replace(hour=1))
    made.append(hubspot.call("PATCH", f"{OBJECTS}/companies/{made[0]['id']}", {"properties": {"name": "C"}}))
    stamps = [one["updatedAt"] for one in made]
    assert stamps == sorted(set(stamps))


def test_a_search_by_stamp_finds_exactly_what_changed(hubspot: HubSpot) -> None:
    old = hubspot.batch("companies", [{"name": f"C{n}"} for n in range(5)])
    later = NOW.replace(hour=13)
    hubspot.clock(later)
    changed = hubspot.call("PATCH", f"{OBJECTS}/companies/{old[1]['id']}", {"properties": {"name": "X"}})
    new = hubspot.batch("companies", [{"name": f"D{n}"} for n in range(4)])
    since = int(later.timestamp() * 1000)
    asked = {"sorts": [{"propertyName": "hs_lastmodifieddate", "direction": "ASCENDING"}]}
    found = hubspot.search("companies", where("hs_lastmodifieddate", "GTE", str(since)), **asked)
    assert ids(found) == [changed["id"], *ids(new)]
    found = hubspot.search("companies", where("hs_lastmodifieddate", "GT", str(since)), **asked)
    assert ids(found) == ids(new)
    found = hubspot.search("companies", where("hs_lastmodifieddate", "LTE", NOW.isoformat()), **asked)
    assert ids(found) == [one["id"] for one in old if one is not old[1]]
    found = hubspot.search("companies", where("hs_object_id", "GT", old[1]["id"]), sorts=["hs_object_id"])
    assert ids(found) == [*ids(old[2:]), *ids(new)]


def test_searches_combine_filters_by_and_groups_by_or(hubspot: HubSpot) -> None:
    sizes = [5, 40, 300]
    made = hubspot.batch("companies", [{"name": f"C{n}", "numberofemployees": n} for n in sizes])
    hubspot.create("companies", name="unsized")
    small, large = where("numberofemployees", "LT", "6"), where("numberofemployees", "GT", "100")
    assert ids(hubspot.search("companies", small)) == [made[0]["id"]]
    assert hubspot.search("companies", small, large) == []
    either = {"filterGroups": [{"filters": [small]}, {"filters": [large]}]}
    assert ids(hubspot.search("companies", **either)) == [made[0]["id"], made[2]["id"]]
    assert ids(hubspot.search("companies", where("name", "IN", values=["C5", "C40"]))) == ids(made[:2])
    assert ids(hubspot.search("companies", where("numberofemployees", "BETWEEN", 40, highValue=300))) == ids(made[1:])
    assert len(hubspot.search("companies", where("numberofemployees", "NOT_HAS_PROPERTY"))) == 1


def test_a_search_goes_no_further_than_its_cap(hubspot: HubSpot) -> None:
    refused = {"limit": 200, "after": "9801"}
    assert hubspot.call("POST", f"{OBJECTS}/companies/search", refused, status=400)["category"] == "VALIDATION_ERROR"
    assert hubspot.call("POST", f"{OBJECTS}/companies/search", {"limit": 200, "after": "9800"})["results"] == []
    hubspot.call("POST", f"{OBJECTS}/companies/search", {"limit": 201}, status=400)


def test_an_archived_object_is_in_the_archive_only(hubspot: HubSpot) -> None:
    kept, gone = hubspot.batch("contacts", [{"email": "a@b.example"}, {"email": "c@d.example"}])
    for _ in range(2):
        hubspot.call("DELETE", f"{OBJECTS}/contacts/{gone['id']}", status=204)
    assert ids(hubspot.all("contacts")) == ids(hubspot.search("contacts")) == [kept["id"]]
    [archived] = hubspot.all("contacts", archived="true")
    assert (archived["id"], archived["archived"]) == (gone["id"], True)
    assert archived["archivedAt"] > archived["updatedAt"]
    hubspot.call("GET", f"{OBJECTS}/contacts/{gone['id']}", status=404)
    assert hubspot.call("GET", f"{OBJECTS}/contacts/{gone['id']}", archived="true")["id"] == gone["id"]
    hubspot.call("PATCH", f"{OBJECTS}/contacts/{gone['id']}", {"properties": {"phone": "1"}}, status=404)


def test_a_deletion_for_privacy_leaves_not_even_the_archive(hubspot: HubSpot) -> None:
    made = hubspot.create("contacts", email="a@b.example")
    hubspot.call("POST", f"{OBJECTS}/contacts/gdpr-delete", {"objectId": made["id"]}, status=204)
    assert hubspot.all("contacts") == hubspot.all("contacts", archived="true") == []


def test_an_email_belongs_to_one_contact(hubspot: HubSpot) -> None:
    made = hubspot.create("contacts", email="A@b.example")
    refused = hubspot.call("POST", f"{OBJECTS}/contacts", {"properties": {"email": "a@B.example"}}, status=409)
    assert made["id"] in refused["message"]
    hubspot.call("DELETE", f"{OBJECTS}/contacts/{made['id']}", status=204)
    hubspot.create("contacts", email="a@b.example")


def test_a_batch_with_one_bad_member_makes_none(hubspot: HubSpot) -> None:
    inputs = {"inputs": [{"properties": {"name": "A"}}, {"properties": {"colour": "red"}}]}
    hubspot.call("POST", f"{OBJECTS}/companies/batch/create", inputs, status=400)
    assert hubspot.all("companies") == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{OBJECTS}/companies", {"properties": {"colour": "red"}}),
        (f"{OBJECTS}/companies", {"properties": {"hs_lastmodifieddate": "1"}}),
        (f"{OBJECTS}/companies", {"properties": {"numberofemployees": "many"}}),
        (f"{OBJECTS}/companies", {}),
        (f"{OBJECTS}/companies/search", {"filterGroups": [{"filters": [where("colour", "EQ", "red")]}]}),
        (f"{OBJECTS}/companies/search", {"filterGroups": [{"filters": [where("name", "LIKE", "x")]}]}),
        ("/sandbox/clock", {"now": "soon"}),
    ],
)
def test_bad_input_is_a_validation_error(hubspot: HubSpot, path: str, body: Json) -> None:
    assert hubspot.call("POST", path, body, status=400)["category"] == "VALIDATION_ERROR"


def test_requests_without_a_token_are_unauthorized(hubspot: HubSpot) -> None:
    for header in ("", "Bearer sk_test_1", "Basic pat-1"):
        answer = hubspot.http.get(f"{OBJECTS}/companies", headers={"authorization": header})
        assert (answer.status_code, answer.json()["category"]) == (401, "INVALID_AUTHENTICATION")


def test_a_restart_keeps_records_and_clock(tmp_path: Path) -> None:
    state = tmp_path / "hubspot.sqlite"
    with serve("hubspot", state=state) as running:
        hubspot = HubSpot(running.url)
        hubspot.clock(NOW)
        hubspot.create("companies", name="Acme")
        before = hubspot.all("companies"), hubspot.call("GET", "/sandbox/clock")
    with serve("hubspot", state=state) as running:
        hubspot = HubSpot(running.url)
        assert (hubspot.all("companies"), hubspot.call("GET", "/sandbox/clock")) == before
        assert hubspot.create("companies", name="B")["updatedAt"] > before[0][0]["updatedAt"]


# what hangs on records, and what they were


def test_a_primary_company_is_a_property_and_an_association(hubspot: HubSpot) -> None:
    one, two = (hubspot.create("companies", name=name)["id"] for name in ("A", "B"))
    contact = hubspot.create("contacts", firstname="Ann", associatedcompanyid=one)["id"]
    where = f"/crm/v4/objects/contacts/{contact}/associations"

    def companies() -> dict[str, list[int]]:
        found = hubspot.call("GET", f"{where}/companies")["results"]
        return {each["toObjectId"]: [type_["typeId"] for type_ in each["associationTypes"]] for each in found}

    assert companies() == {one: [1, 279]}
    hubspot.call("PUT", f"{where}/default/companies/{two}")
    assert companies() == {one: [1, 279], two: [279]}
    hubspot.call("PATCH", f"{OBJECTS}/contacts/{contact}", {"properties": {"associatedcompanyid": two}})
    assert companies() == {two: [1, 279]}
    back = hubspot.call("GET", f"/crm/v4/objects/companies/{two}/associations/contacts")["results"]
    assert [each["toObjectId"] for each in back] == [contact]
    hubspot.call("DELETE", f"{OBJECTS}/companies/{two}", status=204)
    assert companies() == {}, "what is in the archive is not shown"


def test_a_merge_makes_a_new_record_to_which_the_old_ids_lead(hubspot: HubSpot) -> None:
    one, two, three = (hubspot.create("deals", dealname=name, amount=n)["id"] for n, name in enumerate("ABC"))
    contact = hubspot.create("contacts", firstname="Ann")["id"]
    hubspot.call("PUT", f"/crm/v4/objects/deals/{two}/associations/default/contacts/{contact}")
    body = {"primaryObjectId": one, "objectIdToMerge": two}
    first = hubspot.call("POST", f"{OBJECTS}/deals/merge", body)["id"]
    body = {"primaryObjectId": first, "objectIdToMerge": three}
    last = hubspot.call("POST", f"{OBJECTS}/deals/merge", body)
    assert last["properties"]["hs_merged_object_ids"] == ";".join(sorted([one, two, three, first], key=int))
    assert ids(hubspot.all("deals")) == ids(hubspot.search("deals")) == [last["id"]]
    assert hubspot.all("deals", archived="true") == []
    for old in (one, two, three, first):
        shown = hubspot.call("GET", f"{OBJECTS}/deals/{old}", properties="dealname,amount")
        assert (shown["id"], shown["properties"]["dealname"], shown["properties"]["amount"]) == (last["id"], "A", "0")
    held = hubspot.call("GET", f"/crm/v4/objects/deals/{last['id']}/associations/contacts")["results"]
    assert [each["toObjectId"] for each in held] == [contact]


def test_a_property_tells_what_it_was_the_newest_first(hubspot: HubSpot) -> None:
    deal = hubspot.create("deals", dealstage="s0")["id"]
    for n in range(1, 25):
        hubspot.clock(NOW.replace(hour=13, minute=n))
        hubspot.call("PATCH", f"{OBJECTS}/deals/{deal}", {"properties": {"dealstage": f"s{n}", "amount": "1"}})
    [shown] = hubspot.all("deals", propertiesWithHistory="dealstage,amount")
    stages = shown["propertiesWithHistory"]["dealstage"]
    assert [each["value"] for each in stages] == [f"s{n}" for n in range(24, 4, -1)], "twenty, as the real one keeps"
    assert [each["value"] for each in shown["propertiesWithHistory"]["amount"]] == ["1"]
    read = {"inputs": [{"id": deal}], "properties": [], "propertiesWithHistory": ["dealstage"]}
    [found] = hubspot.call("POST", f"{OBJECTS}/deals/batch/read", read)["results"]
    assert found["propertiesWithHistory"]["dealstage"] == stages
    hubspot.call("GET", f"{OBJECTS}/deals", limit=51, propertiesWithHistory="dealstage", status=400)


def test_a_batch_read_names_those_that_are_not_there(hubspot: HubSpot) -> None:
    made = hubspot.create("companies", name="A")["id"]
    body = {"inputs": [{"id": made}, {"id": "7"}], "properties": ["name"]}
    answer = hubspot.call("POST", f"{OBJECTS}/companies/batch/read", body, status=207)
    assert ids(answer["results"]) == [made]
    assert answer["errors"][0]["context"]["ids"] == ["7"]


def test_an_index_that_lags_shows_what_was(hubspot: HubSpot) -> None:
    made = hubspot.create("companies", name="old")["id"]
    assert len(hubspot.search("companies")) == 1
    hubspot.call("POST", "/sandbox/behave", {"index_lag": 30})
    hubspot.clock(NOW.replace(minute=1))
    hubspot.call("PATCH", f"{OBJECTS}/companies/{made}", {"properties": {"name": "new"}})
    hubspot.create("companies", name="another")
    [shown] = hubspot.search("companies")
    assert shown["properties"]["name"] == "old"
    hubspot.clock(NOW.replace(minute=2))
    assert [each["properties"]["name"] for each in hubspot.search("companies")] == ["new", "another"]


def test_the_archive_can_be_left_and_forgets_after_ninety_days(hubspot: HubSpot) -> None:
    one, two = (hubspot.create("companies", name=name)["id"] for name in ("A", "B"))
    for key in (one, two):
        hubspot.call("DELETE", f"{OBJECTS}/companies/{key}", status=204)
    hubspot.call("POST", "/sandbox/restore", {"ids": [one]})
    assert ids(hubspot.search("companies")) == [one]
    hubspot.clock(NOW.replace(month=5))
    assert hubspot.call("POST", "/sandbox/purge", {})["purged"] == 1
    assert hubspot.all("companies", archived="true") == []


def test_a_property_of_the_portals_own_can_be_set_after_it_was_made(hubspot: HubSpot) -> None:
    body = {"name": "colour", "label": "Colour", "type": "string", "fieldType": "text", "groupName": "g"}
    hubspot.call("POST", "/crm/v3/properties/companies", body, status=201)
    hubspot.create("companies", name="A", colour="red")
    defined = {
        each["name"]: each["hubspotDefined"] for each in hubspot.call("GET", "/crm/v3/properties/companies")["results"]
    }
    assert (defined["colour"], defined["name"], defined["hs_merged_object_ids"]) == (False, True, True)


def test_the_older_address_of_properties_tells_the_same(hubspot: HubSpot) -> None:
    """Airbyte's connector asks there, for every object type that a portal has."""
    for kind in KINDS:
        assert (
            hubspot.http.get(f"/properties/v2/{kind}/properties").json()
            == (hubspot.call("GET", f"/crm/v3/properties/{kind}")["results"])
        )
    assert [each["name"] for each in hubspot.http.get("/properties/v2/calls/properties").json()] == ["hs_object_id"]
    hubspot.call("GET", "/properties/v2/nothing/properties", status=404)
    assert hubspot.call("GET", "/crm/v3/schemas") == {"results": []}
