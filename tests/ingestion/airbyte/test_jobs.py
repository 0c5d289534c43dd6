"""Syncs: started once, joined, followed through outages, cancelled with the run, never empty in silence."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from ingestion.airbyte import apply as airbyte
from ingestion.airbyte import desired, jobs
from ingestion.airbyte.client import AirbyteClient
from ingestion.airbyte.jobs import Patience, Synced
from settings import TailraceError
from tests.ingestion.airbyte.conftest import APP, HUBSPOT, STRIPE, Configure, client_of
from tests.ingestion.airbyte.stub import CLIENT_ID, CLIENT_SECRET, WORKSPACE, AirbyteStub

HUBSPOT_CONNECTION = "tailrace-us-hubspot"
STRIPE_CONNECTION = "tailrace-us-stripe"


@pytest.fixture(autouse=True)
def _standing(client: AirbyteClient, configure: Configure) -> None:
    settings = configure(APP, STRIPE, HUBSPOT)
    airbyte.apply(client, desired.resources(settings), prefix=desired.prefix(settings))


def patience(**more: Any) -> Patience:
    return Patience(**{"poll_seconds": 0.01, "sync_seconds": 60, "retries": 1, "quiet_hours": 2, **more})


def synced(client: AirbyteClient, *names: str, **more: Any) -> list[Synced]:
    return jobs.sync(client, names or (HUBSPOT_CONNECTION,), patience=patience(**more))


def test_a_sync_is_followed_to_its_end_and_counted(stub: AirbyteStub, client: AirbyteClient) -> None:
    stub.script = ["pending", "queued", "running", "incomplete", "running", "succeeded"]
    (done,) = synced(client)
    assert (done.records, done.bytes, done.tries, done.joined) == (stub.records, 100 * stub.records, 1, False)
    connection = stub.named("connection", HUBSPOT_CONNECTION)["connectionId"]
    assert done.url == (
        f"{stub.url}/workspaces/{WORKSPACE}/connections/{connection}/timeline?jobId={done.job_id}&openLogs=true"
    )
    assert (datetime.now(UTC) - done.started_at).total_seconds() < 60


def test_several_connections_run_side_by_side(stub: AirbyteStub, client: AirbyteClient) -> None:
    done = synced(client, HUBSPOT_CONNECTION, STRIPE_CONNECTION)
    assert {each.connection for each in done} == {HUBSPOT_CONNECTION, STRIPE_CONNECTION}
    starts = [i for i, request in enumerate(stub.requests) if request == ("POST", "/api/public/v1/jobs")]
    looks = [i for i, (method, path) in enumerate(stub.requests) if method == "GET" and "/jobs/" in path]
    assert max(starts) < min(looks)


def test_a_running_sync_is_joined_not_started_again(stub: AirbyteStub, client: AirbyteClient) -> None:
    connection = stub.named("connection", HUBSPOT_CONNECTION)["connectionId"]
    running = stub._new_job(connection, ["running", "running", "succeeded"])
    (done,) = synced(client)
    assert (done.job_id, done.joined) == (running["jobId"], True)
    assert len(stub.jobs) == 1


def test_a_sync_that_starts_between_look_and_start_is_joined_by_its_409(
    stub: AirbyteStub, client: AirbyteClient
) -> None:
    connection = stub.named("connection", HUBSPOT_CONNECTION)["connectionId"]

    def race(method: str, path: str) -> None:
        if (method, path) == ("POST", "/api/public/v1/jobs") and not stub.jobs:
            stub._new_job(connection, ["running", "succeeded"])

    stub.fault = race
    (done,) = synced(client)
    assert done.joined
    assert len(stub.jobs) == 1


@pytest.mark.parametrize("fault", [500, 503, "after:500", "after:502", "dropped"])
def test_a_start_whose_answer_is_lost_starts_one_sync(
    fault: int | str, stub: AirbyteStub, client: AirbyteClient
) -> None:
    lost: list[str] = []

    def once(method: str, path: str) -> int | str | None:
        if (method, path) != ("POST", "/api/public/v1/jobs") or lost:
            return None
        lost.append(path)
        return fault

    stub.fault = once
    synced(client)
    assert [job["status"] for job in stub.jobs.values()] == ["succeeded"]


def test_a_failed_sync_is_tried_once_more(stub: AirbyteStub, client: AirbyteClient) -> None:
    stub.scripts = [["pending", "failed"], ["running", "succeeded"]]
    (done,) = synced(client)
    assert done.tries == 2


def test_a_sync_that_goes_on_failing_is_refused_with_its_log(stub: AirbyteStub, client: AirbyteClient) -> None:
    stub.script = ["running", "failed"]
    with pytest.raises(TailraceError, match=r"failed \(2 tries\); its log says why: http") as refusal:
        synced(client)
    assert "\n" not in str(refusal.value)
    assert len(stub.jobs) == 2


def test_a_cancelled_sync_is_refused_and_not_tried_again(stub: AirbyteStub, client: AirbyteClient) -> None:
    stub.script = ["running", "cancelled"]
    with pytest.raises(TailraceError, match="cancelled"):
        synced(client)
    assert len(stub.jobs) == 1


def test_one_that_fails_does_not_stop_the_others(stub: AirbyteStub, client: AirbyteClient) -> None:
    stub.scripts = [["running", "failed"], ["running", "running", "running", "succeeded"]]
    with pytest.raises(TailraceError, match=HUBSPOT_CONNECTION):
        synced(client, HUBSPOT_CONNECTION, STRIPE_CONNECTION, retries=0)
    assert {job["status"] for job in stub.jobs.values()} == {"failed", "succeeded"}


def test_a_first_sync_that_brings_nothing_is_refused(stub: AirbyteStub, client: AirbyteClient) -> None:
    stub.records = 0
    with pytest.raises(TailraceError, match="succeeded with no record"):
        synced(client)


@pytest.mark.parametrize(
    ("hours_ago", "quiet_hours", "refused"), [(1, 2, False), (3, 2, True), (3, 48, False), (0.1, 0, True)]
)
def test_a_sync_may_bring_nothing_for_a_while(
    hours_ago: float, quiet_hours: float, refused: bool, stub: AirbyteStub, client: AirbyteClient
) -> None:
    connection = stub.named("connection", HUBSPOT_CONNECTION)["connectionId"]
    stub.past_job(connection, status="succeeded", records=5, hours_ago=hours_ago)
    stub.past_job(connection, status="succeeded", records=0, hours_ago=0.01)
    stub.records = 0
    if refused:
        with pytest.raises(TailraceError, match="no record"):
            synced(client, quiet_hours=quiet_hours)
    else:
        assert [each.records for each in synced(client, quiet_hours=quiet_hours)] == [0]


def test_records_of_a_failed_sync_do_not_count_as_brought(stub: AirbyteStub, client: AirbyteClient) -> None:
    connection = stub.named("connection", HUBSPOT_CONNECTION)["connectionId"]
    stub.past_job(connection, status="failed", records=5, hours_ago=0.5)
    stub.records = 0
    with pytest.raises(TailraceError, match="no record"):
        synced(client)


class _Terminated(BaseException):
    """As Dagster ends a run: no Exception."""


def test_ending_the_run_cancels_what_it_started_and_leaves_what_it_joined(
    stub: AirbyteStub, client: AirbyteClient
) -> None:
    joined = stub._new_job(stub.named("connection", STRIPE_CONNECTION)["connectionId"], ["running"])
    stub.script = ["running"]
    looked: list[str] = []

    def terminate(method: str, path: str) -> None:
        if method == "GET" and "/jobs/" in path:
            looked.append(path)

    stub.fault = terminate

    class Ending(AirbyteClient):
        def job(self, job_id: int) -> dict[str, Any]:
            if len(looked) >= 4:
                raise _Terminated
            return super().job(job_id)

    client.__class__ = Ending
    with pytest.raises(_Terminated):
        synced(client, HUBSPOT_CONNECTION, STRIPE_CONNECTION)
    ours = next(job for job in stub.jobs.values() if job["jobId"] != joined["jobId"])
    assert (ours["status"], joined["status"]) == ("cancelled", "running")


def test_a_run_that_ends_before_it_heard_of_its_job_cancels_it(stub: AirbyteStub, client: AirbyteClient) -> None:
    stub.script = ["running"]

    class Ending(AirbyteClient):
        def start(self, connection_id: str) -> dict[str, Any]:
            super().start(connection_id)
            raise _Terminated

    client.__class__ = Ending
    with pytest.raises(_Terminated):
        synced(client)
    assert [job["status"] for job in stub.jobs.values()] == ["cancelled"]


def test_a_sync_that_takes_too_long_is_cancelled_and_refused(stub: AirbyteStub, client: AirbyteClient) -> None:
    stub.script = ["running"]
    with pytest.raises(TailraceError, match="sync_minutes"):
        synced(client, sync_seconds=0.1)
    assert [job["status"] for job in stub.jobs.values()] == ["cancelled"]


def test_a_token_that_expires_in_mid_poll_is_renewed(stub: AirbyteStub, client: AirbyteClient) -> None:
    stub.script = ["pending", *["running"] * 6, "succeeded"]
    asked, looks = len(stub.token_requests), []

    def forget(method: str, path: str) -> None:
        if method == "GET" and path.endswith("/jobs/1"):
            looks.append(path)
            if len(looks) % 2:  # every second look comes with the token that the one before was refused for
                stub.tokens.clear()

    stub.fault = forget
    (done,) = synced(client)
    assert done.tries == 1
    assert len(stub.token_requests) == asked + len(stub.script) - 1


def test_a_server_that_restarts_in_mid_poll_loses_no_sync(stub: AirbyteStub, client: AirbyteClient) -> None:
    stub.script = ["pending", *["running"] * 40, "succeeded"]
    restarted = threading.Event()

    def restart() -> None:
        while not any(job["status"] == "running" for job in list(stub.jobs.values())):
            pass
        stub.restart(down_seconds=0.3)
        restarted.set()

    thread = threading.Thread(target=restart)
    thread.start()
    (done,) = synced(client)
    thread.join()
    assert restarted.is_set()
    assert done.tries == 1
    assert len(stub.jobs) == 1


def test_an_outage_longer_than_a_request_waits_does_not_end_the_sync(
    stub: AirbyteStub, client: AirbyteClient, configure: Configure
) -> None:
    stub.script = ["pending", "running", "succeeded"]
    looks: list[str] = []

    def outage(method: str, path: str) -> int | None:
        if method == "GET" and "/jobs/" in path:
            looks.append(path)
            return 503 if len(looks) < 8 else None
        return None

    stub.fault = outage
    impatient = client_of(configure(APP, STRIPE, HUBSPOT), patience=0.01)
    said: list[str] = []
    (done,) = jobs.sync(impatient, [HUBSPOT_CONNECTION], patience=patience(), progress=said.append)
    assert done.tries == 1
    assert any("not seen" in line for line in said)


def test_a_connection_that_is_not_there_is_refused_with_its_remedy(client: AirbyteClient) -> None:
    with pytest.raises(TailraceError, match=r"no connection nowhere; run `tailrace airbyte apply`"):
        synced(client, "nowhere")


def test_dagsters_own_client_runs_against_the_stub_too(stub: AirbyteStub) -> None:
    """What it does without: it takes an empty success for one, and a queued job for an error."""
    from dagster_airbyte import AirbyteWorkspace

    stub.page = 2
    workspace = AirbyteWorkspace(
        rest_api_base_url=stub.api_url,
        configuration_api_base_url=f"{stub.url}/api/v1",
        workspace_id=WORKSPACE,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        poll_interval=0.01,
        max_items_per_page=2,
    )
    data = workspace.fetch_airbyte_workspace_data()
    assert {each.name for each in data.connections_by_id.values()} == {
        each["name"] for each in stub.resources["connection"].values()
    }
    assert {each.database for each in data.destinations_by_id.values()} == {"TAILRACE"}
    stub.records = 0
    connection = stub.named("connection", HUBSPOT_CONNECTION)["connectionId"]
    output = workspace.get_client().sync_and_poll(connection)
    assert output.job_details["status"] == "succeeded"
    assert output.job_details["rowsSynced"] == 0
    assert set(stub.token_requests) == {"form", "json"}
    assert stub.unserved == []
