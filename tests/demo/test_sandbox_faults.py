"""Faults on order strike what they are ordered for, as often as they are, and the same way in every sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from demo.sandbox import Running, serve
from demo.sandbox.exchange import Kind

Json = dict[str, Any]
TOKENS: dict[Kind, str] = {"stripe": "sk_test_1", "hubspot": "pat-1", "salesforce": "00Dsandbox!1"}
LISTS: dict[Kind, str] = {
    "stripe": "/v1/customers?limit=2",
    "hubspot": "/crm/v3/objects/companies?limit=2",
    "salesforce": "/services/data/v62.0/query?q=SELECT Id, Name, Industry FROM Account ORDER BY Id",
}


class Client:
    def __init__(self, kind: Kind, url: str) -> None:
        self.kind = kind
        self._http = httpx.Client(base_url=url, timeout=10)
        self.token = TOKENS[kind]
        if kind == "salesforce":
            form = {"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox"}
            self.token = self._http.post("/services/oauth2/token", data=form).json()["access_token"]
            self.send("POST", "/sandbox/behave", json={"page": 2})

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        given = {"authorization": f"Bearer {self.token}"} | more.pop("headers", {})
        return self._http.request(method, path, headers=given, **more)

    def order(self, *faults: Json) -> None:
        assert self.send("POST", "/sandbox/faults", json={"faults": faults}).status_code == 200

    def make(self, name: str) -> str:
        if self.kind == "stripe":
            return str(self.send("POST", "/v1/customers", data={"name": name}).json()["id"])
        if self.kind == "hubspot":
            body: Json = {"properties": {"name": name}}
            return str(self.send("POST", "/crm/v3/objects/companies", json=body).json()["id"])
        return str(self.send("POST", "/services/data/v62.0/sobjects/Account", json={"Name": name}).json()["id"])

    def ids(self) -> list[str]:
        """The ids of every page, in the order in which the pages come."""
        found: list[str] = []
        path: str | None = LISTS[self.kind]
        while path is not None:
            page = self.send("GET", path).json()
            rows = page.get("data") or page.get("results") or page.get("records") or []
            found += [row.get("id") or row["Id"] for row in rows]
            if self.kind == "stripe":
                path = f"{LISTS['stripe']}&starting_after={rows[-1]['id']}" if page["has_more"] else None
            elif self.kind == "hubspot":
                path = f"{LISTS['hubspot']}&after={page['paging']['next']['after']}" if "paging" in page else None
            else:
                path = page.get("nextRecordsUrl")
        return found


@pytest.fixture(params=list(TOKENS))
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    kind: Kind = request.param
    running: Running
    with serve(kind) as running:
        yield Client(kind, running.url)


@pytest.mark.parametrize(("kind", "status"), [("429", 429), ("500", 500), ("503", 503)])
def test_a_refusal_comes_after_as_many_as_it_skips_and_as_often_as_it_is_ordered(
    client: Client, kind: str, status: int
) -> None:
    client.order({"kind": kind, "skip": 1, "times": 2, "retry_after": "7"})
    answers = [client.send("GET", LISTS[client.kind]) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, status, status, 200]
    assert answers[1].headers["Retry-After"] == "7"
    assert isinstance(answers[1].json(), dict | list)
    left = client.send("GET", "/sandbox/faults").json()
    assert (left["struck"], left["faults"][0]["times"]) == ({kind: 2}, 0)


@pytest.mark.parametrize("kind", ["cut", "truncated"])
def test_a_connection_breaks(client: Client, kind: str) -> None:
    client.make("Acme")
    client.order({"kind": kind})
    with pytest.raises(httpx.RemoteProtocolError if kind == "truncated" else httpx.TransportError):
        client.send("GET", LISTS[client.kind])
    assert len(client.ids()) == 1


def test_a_timeout_is_silence_and_holds_up_nobody_else(client: Client) -> None:
    client.order({"kind": "timeout", "seconds": 3})
    with pytest.raises(httpx.ReadTimeout):
        client.send("GET", LISTS[client.kind], timeout=0.2)
    assert client.send("GET", LISTS[client.kind], timeout=2).status_code == 200


def test_a_garbled_answer_is_half_of_one_as_if_it_were_whole(client: Client) -> None:
    client.make("Acme")
    client.order({"kind": "garbled"})
    with pytest.raises(json.JSONDecodeError):
        client.send("GET", LISTS[client.kind]).json()


def test_a_page_comes_twice_and_none_is_lost(client: Client) -> None:
    made = [client.make(f"n{n}") for n in range(7)]
    client.order({"kind": "duplicate"})
    found = client.ids()
    assert len(found) == 7 + 2
    assert sorted(set(found)) == sorted(made)
    assert sorted(client.ids()) == sorted(made)


def test_a_share_is_drawn_by_its_seed_alike_each_time(client: Client) -> None:
    drawn = []
    for _ in range(2):
        client.order({"kind": "500", "share": 0.5, "seed": 7, "times": 99})
        drawn.append([client.send("GET", LISTS[client.kind]).status_code for _ in range(20)])
    assert drawn[0] == drawn[1]
    assert {200, 500} == set(drawn[0])


def test_a_clock_that_is_off_stamps_one_write_and_no_other(client: Client) -> None:
    client.make("before")
    client.order({"kind": "clock_skew", "method": "POST", "seconds": -3600})
    late, after = client.make("late"), client.make("after")
    path = {"stripe": "/v1/customers", "hubspot": "/crm/v3/objects/companies"}.get(
        client.kind, "/services/data/v62.0/sobjects/Account"
    )

    def stamp(key: str) -> Any:
        body = client.send("GET", f"{path}/{key}").json()
        return body.get("created") or body.get("updatedAt") or body["SystemModstamp"]

    assert stamp(late) < stamp(after)


def test_who_lives_in_a_sandbox_meets_no_fault(client: Client) -> None:
    client.order({"kind": "500", "times": 99})
    simulator = {"stripe": "sk_test_simulator", "hubspot": "pat-simulator"}.get(client.kind, "00Dsandbox!simulator")
    assert client.send("GET", LISTS[client.kind]).status_code == 500
    spared = client.send("GET", LISTS[client.kind], headers={"authorization": f"Bearer {simulator}"})
    assert spared.status_code == 200


def test_an_order_that_nobody_knows_is_refused_and_none_is_dropped(client: Client) -> None:
    client.order({"kind": "500"})
    for wrong in ({"kind": "flood"}, {"kind": "500", "colour": "red"}, {}):
        assert client.send("POST", "/sandbox/faults", json={"faults": [wrong]}).status_code == 400
    assert client.send("GET", LISTS[client.kind]).status_code == 500
    client.order({"kind": "500"})
    client.send("DELETE", "/sandbox/faults")
    assert client.send("GET", LISTS[client.kind]).status_code == 200


def test_a_poisoned_record_breaks_its_page_and_can_still_be_named() -> None:
    with serve("hubspot") as running:
        client = Client("hubspot", running.url)
        made = [client.make(f"n{n}") for n in range(4)]
        client.order({"kind": "poison", "record": made[2], "on": "objects/companies"})
        pages = [client.send("GET", f"{LISTS['hubspot']}&after={after}") for after in ("0", made[1])]
        assert [page.status_code for page in pages] == [200, 500]
        named = client.send("GET", f"{LISTS['hubspot']}&after={made[1]}&properties=hs_object_id")
        assert [row["id"] for row in named.json()["results"]] == made[2:]


def test_events_of_one_second_come_in_the_reverse_order() -> None:
    with serve("stripe") as running:
        client = Client("stripe", running.url)
        path = "/v1/test_helpers/test_clocks/clock_sandbox/advance"
        client.send("POST", path, data={"frozen_time": "1767225600"})
        for n in range(3):
            client.make(f"n{n}")
        client.send("POST", path, data={"frozen_time": "1767225700"})
        client.make("last")
        right = [event["id"] for event in client.send("GET", "/v1/events").json()["data"]]
        client.order({"kind": "out_of_order"})
        wrong = [event["id"] for event in client.send("GET", "/v1/events").json()["data"]]
        assert wrong == [right[0], *reversed(right[1:])]
