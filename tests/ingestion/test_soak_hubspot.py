"""Ten weeks of a HubSpot portal under faults, and forty days in which nobody read it: raw is the portal in the end."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from demo.sandbox import serve
from ingestion import hubspot
from tests.ingestion.rest.portal import Portal, merges
from tests.ingestion.rest.support import live_rows
from tests.ingestion.rest.test_hubspot import compare
from tests.ingestion.soak import DAYS, OUTAGE, drawn, orders
from tests.ingestion.worlds import HubSpotWorld

pytestmark = pytest.mark.soak
MERGEABLE = ("companies", "contacts", "deals", "tickets")
CHANGED = {
    "companies": "industry",
    "contacts": "jobtitle",
    "deals": "amount",
    "tickets": "subject",
    "products": "name",
    "line_items": "quantity",
}


def live_a_day(portal: Portal, rng: random.Random, archived: list[str]) -> None:
    """Some of the things that can happen, at times within one request and so at one stamp; then the day passes."""
    for _ in range(rng.randint(1, 6)):
        stream = rng.choice(sorted(CHANGED))
        found = sorted(item["id"] for item in portal.objects(stream))
        turn = rng.choice(["account", "bulk", "change", "change", "archive", "restore", "merge", "tie", "forget"])
        if turn == "account" or not found:
            portal.account(f"a{rng.random()}", region=rng.choice(["us", "us", None]))
        elif turn == "bulk":
            portal.create("contacts", [{"firstname": f"n{rng.random()}"} for _ in range(rng.randint(2, 40))])
        elif turn == "change":
            portal.change(stream, rng.choice(found), **{CHANGED[stream]: str(rng.randint(1, 999))})
        elif turn == "archive":
            archived.append(rng.choice(found))
            portal.archive(stream, archived[-1])
        elif turn == "restore" and archived:
            portal.do("restore", ids=[archived.pop(rng.randrange(len(archived)))])
        elif turn == "merge" and stream in MERGEABLE and len(found) > 3:
            portal.merge(stream, *rng.sample(found, 2))
        elif turn == "tie":
            tickets, contacts = portal.objects("tickets"), portal.objects("contacts")
            if tickets and contacts:
                portal.tie("tickets", rng.choice(tickets)["id"], "contacts", rng.choice(contacts)["id"])
        elif turn == "forget" and stream == "contacts":
            portal.api.json("/crm/v3/objects/contacts/gdpr-delete", {"objectId": rng.choice(found)})
        if rng.random() < 0.5:
            portal.pass_time(timedelta(minutes=rng.randint(1, 90)))
    portal.pass_time(timedelta(days=1))


def test_raw_is_the_portal_after_ten_weeks_of_faults_and_an_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, archived = drawn(), list[str]()
    modes: Counter[str] = Counter()
    struck: Counter[str] = Counter()
    with serve("hubspot", 0, tmp_path / "state.sqlite") as server:
        world = HubSpotWorld(server.url)
        settings, warehouse = world.deployment(tmp_path / "deployment", monkeypatch)
        for day in range(DAYS):
            live_a_day(world.portal, rng, archived)
            if day in OUTAGE:
                continue
            if day % 7 == 6:
                compare(warehouse)  # a week by the clock of who reads, which stands still here
            world.order(orders(rng))
            modes[hubspot.sync(settings, warehouse).mode] += 1
            struck.update(world.struck())
        world.order([])
        hubspot.sync(settings, warehouse)
        compare(warehouse)
        hubspot.sync(settings, warehouse)
        world.assert_equal(warehouse)
        assert merges(warehouse), "some were merged"
        assert live_rows(warehouse, "raw_hubspot.associations"), "some are associated"
    weeks = [day for day in range(DAYS) if day % 7 == 6 and day not in OUTAGE]
    assert (modes["full"], modes["comparison"]) == (1, len(weeks))
    assert sum(struck.values()) > DAYS // 2
