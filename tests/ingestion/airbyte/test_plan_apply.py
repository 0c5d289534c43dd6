"""Airbyte as code: apply converges from anywhere, twice is once, drift is seen and repaired, no secret is shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from ingestion.airbyte import apply as airbyte
from ingestion.airbyte import desired, manifest
from ingestion.airbyte.client import AirbyteClient, AirbyteError
from ingestion.airbyte.plan import Plan, make
from pii_policies import load_contracts
from settings import Settings, TailraceError
from tests.ingestion.airbyte.conftest import APP, HUBSPOT, SECRETS, STRIPE, Configure, client_of
from tests.ingestion.airbyte.stub import KINDS, AirbyteStub

OURS = "tailrace-us-"


def planned(client: AirbyteClient, settings: Settings) -> Plan:
    return make(desired.resources(settings), airbyte.observe(client), prefix=desired.prefix(settings))


def applied(client: AirbyteClient, settings: Settings, **more: Any) -> list[str]:
    return airbyte.apply(client, desired.resources(settings), prefix=desired.prefix(settings), **more)


@pytest.fixture
def whole(configure: Configure) -> Settings:
    return configure(APP, STRIPE, HUBSPOT)


def test_plan_after_apply_is_empty_and_a_second_apply_does_nothing(client: AirbyteClient, whole: Settings) -> None:
    assert {change.action for change in planned(client, whole).changes} == {"create"}
    done = applied(client, whole)
    # a destination, and for three databases, Stripe and HubSpot a source and a connection each
    assert len(done) == 1 + 2 * 5
    assert planned(client, whole).changes == ()
    assert applied(client, whole) == []


def test_a_connection_lands_the_contract_and_what_airbyte_needs_and_nothing_else(
    stub: AirbyteStub, client: AirbyteClient, whole: Settings
) -> None:
    applied(client, whole)
    connection = stub.named("connection", f"{OURS}app-product_us")
    assert connection["namespaceDefinition"] == "custom_format"
    assert connection["namespaceFormat"] == "raw_app"
    assert connection["schedule"] == {"scheduleType": "manual"}
    assert connection["nonBreakingSchemaUpdatesBehavior"] == "ignore"
    tables = {table.name: table for table in load_contracts().raw_tables("app")}
    assert {stream["name"] for stream in connection["configurations"]["streams"]} == set(tables)
    for stream in connection["configurations"]["streams"]:
        table = tables[stream["name"]]
        selected = {each["fieldPath"][0] for each in stream["selectedFields"]}
        cdc = {"_ab_cdc_lsn", "_ab_cdc_updated_at", "_ab_cdc_deleted_at"}
        assert selected == {column.name for column in table.landed} | cdc
        assert not selected & {column.name for column in table.columns if not column.lands}
        assert stream["namespace"] == "app"
        assert [path[0] for path in stream["primaryKey"]] == list(table.key)
        assert stream["syncMode"] == "incremental_deduped_history"


def test_each_database_and_namespace_reads_a_slot_of_its_own_and_the_directory_is_read_once(
    stub: AirbyteStub, client: AirbyteClient, whole: Settings
) -> None:
    applied(client, whole)
    sources = [each for each in stub.resources["source"].values() if each["sourceType"] == "postgres"]
    replication = [each["configuration"]["replication_method"] for each in sources]
    assert {each["replication_slot"] for each in replication} == {
        "airbyte_product_us",
        "airbyte_product_us_t_acme",
        "airbyte_silo_us_globex",
    }
    assert {each["publication"] for each in replication} == {"tailrace"}
    directories = [
        each["name"]
        for each in stub.resources["connection"].values()
        if any(stream["name"] == "tenants" for stream in each["configurations"]["streams"])
    ]
    assert directories == [f"{OURS}app-product_us"]


@hypothesis(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.integers(min_value=0, max_value=11), lost=st.sampled_from(["before", "after"]))
def test_killed_in_the_middle_and_applied_again_converges(
    steps: int, lost: str, stub: AirbyteStub, client: AirbyteClient, whole: Settings
) -> None:
    """``after`` loses the answer to a write that was done, so that the second apply finds what nobody noted."""
    for kind in KINDS:
        stub.resources[kind].clear()
    applied(client, whole)
    expected = stub.snapshot()
    for kind in KINDS:
        stub.resources[kind].clear()

    writes = 0

    def fault(method: str, path: str) -> int | str | None:
        nonlocal writes
        if method != "POST" or path.endswith("token"):
            return None
        writes += 1
        return None if writes <= steps else "after:500" if lost == "after" else 500

    stub.fault = fault
    if steps < 11:  # a destination and five pairs
        with pytest.raises(AirbyteError):
            applied(client, whole)
    stub.fault = lambda method, path: None
    applied(client, whole)
    assert stub.snapshot() == expected
    assert all(len(stub.resources[kind]) == len(expected[kind]) for kind in KINDS)
    assert planned(client, whole).changes == ()


def test_two_of_one_name_become_one_and_the_one_in_use_stays(
    stub: AirbyteStub, client: AirbyteClient, whole: Settings
) -> None:
    applied(client, whole)
    used = stub.named("source", f"{OURS}stripe")["sourceId"]
    stub.resources["source"]["second"] = {**stub.resources["source"][used], "sourceId": "second", "createdAt": 0}
    (change,) = planned(client, whole).changes
    assert (change.action, change.kind, change.resource_id) == ("delete", "source", "second")
    applied(client, whole)
    assert stub.named("source", f"{OURS}stripe")["sourceId"] == used


def _set(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda connection: connection.__setitem__(key, value)


def _first_stream(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda connection: connection["configurations"]["streams"][0].__setitem__(key, value)


MANUAL_CHANGES = {
    "schedule": _set("schedule", {"scheduleType": "cron", "cronExpression": "0 0 * * * ?"}),
    "status": _set("status", "inactive"),
    "namespace_format": _set("namespaceFormat", "public"),
    "prefix": _set("prefix", "x_"),
    "non_breaking_schema_updates": _set("nonBreakingSchemaUpdatesBehavior", "propagate_fully"),
    "streams.companies.fields": _first_stream("selectedFields", None),
    "streams.companies.sync_mode": _first_stream("syncMode", "full_refresh_overwrite"),
    "streams.companies.mappers": _first_stream("mappers", [{"type": "hashing", "mapperConfiguration": {}}]),
    "streams.companies.primary_key": _first_stream("primaryKey", [["createdAt"]]),
}


@pytest.mark.parametrize("path", MANUAL_CHANGES)
def test_a_manual_change_on_the_server_shows_up_and_is_repaired(
    path: str, stub: AirbyteStub, client: AirbyteClient, configure: Configure
) -> None:
    settings = configure(HUBSPOT)
    applied(client, settings)
    expected = stub.snapshot()
    MANUAL_CHANGES[path](stub.named("connection", f"{OURS}hubspot"))
    (change,) = planned(client, settings).changes
    assert (change.action, [each.path for each in change.fields]) == ("update", [path])
    applied(client, settings)
    assert stub.snapshot() == expected


def test_a_stream_added_by_hand_is_seen_and_taken_out(
    stub: AirbyteStub, client: AirbyteClient, configure: Configure
) -> None:
    settings = configure(HUBSPOT)
    applied(client, settings)
    streams = stub.named("connection", f"{OURS}hubspot")["configurations"]["streams"]
    streams.append({**streams[0], "name": "quotes"})
    (change,) = planned(client, settings).changes
    assert [(each.path, each.before, each.after) for each in change.fields] == [("streams.quotes", "landed", None)]
    applied(client, settings)
    assert "quotes" not in {
        each["name"] for each in stub.named("connection", f"{OURS}hubspot")["configurations"]["streams"]
    }


def test_a_source_of_another_type_under_our_name_is_replaced_with_what_hangs_on_it(
    stub: AirbyteStub, client: AirbyteClient, configure: Configure
) -> None:
    settings = configure(HUBSPOT)
    applied(client, settings)
    expected = stub.snapshot()
    stub.named("source", f"{OURS}hubspot")["sourceType"] = "faker"
    assert {(c.kind, c.action) for c in planned(client, settings).changes} == {
        ("source", "replace"),
        ("connection", "replace"),
    }
    applied(client, settings)
    assert stub.snapshot() == expected


def test_what_is_no_longer_declared_goes_and_what_is_not_ours_stays(
    stub: AirbyteStub, client: AirbyteClient, configure: Configure
) -> None:
    applied(client, configure(APP, STRIPE, HUBSPOT))
    stripe = stub.named("source", f"{OURS}stripe")
    theirs = {**stripe, "sourceId": "theirs", "name": "finance team's Stripe"}
    eu = {**stripe, "sourceId": "eu", "name": "tailrace-eu-stripe"}
    stub.resources["source"] |= {"theirs": theirs, "eu": eu}
    less = configure(APP, HUBSPOT)
    assert {(c.action, c.kind, c.name) for c in planned(client, less).changes} == {
        ("delete", "connection", f"{OURS}stripe"),
        ("delete", "source", f"{OURS}stripe"),
    }
    applied(client, less)
    assert {"theirs", "eu"} <= set(stub.resources["source"])
    assert planned(client, less).changes == ()


def test_a_source_that_somebody_elses_connection_uses_is_left_alone_and_said(
    stub: AirbyteStub, client: AirbyteClient, configure: Configure
) -> None:
    applied(client, configure(STRIPE, HUBSPOT))
    ours = stub.named("connection", f"{OURS}stripe")
    stub.resources["connection"]["x"] = {**ours, "connectionId": "x", "name": "finance"}
    plan = planned(client, configure(HUBSPOT))
    assert [(c.kind, c.action) for c in plan.changes] == [("connection", "delete")]
    assert "finance" in plan.notes[0]


def test_lists_of_several_pages_are_read_whole(stub: AirbyteStub, client: AirbyteClient, whole: Settings) -> None:
    stub.page = 2
    applied(client, whole)
    assert planned(client, whole).changes == ()


@pytest.mark.parametrize("fault", [429, 500, 503, "dropped"])
def test_a_passing_fault_on_reading_is_waited_out(
    fault: int | str, stub: AirbyteStub, client: AirbyteClient, configure: Configure
) -> None:
    settings = configure(HUBSPOT)
    seen: set[tuple[str, str]] = set()

    def once(method: str, path: str) -> int | str | None:
        if method != "GET" or (method, path) in seen:
            return None
        seen.add((method, path))
        return fault

    stub.fault = once
    applied(client, settings)
    assert planned(client, settings).changes == ()


def test_a_token_that_the_server_forgot_is_renewed_once(
    stub: AirbyteStub, client: AirbyteClient, configure: Configure
) -> None:
    settings = configure(HUBSPOT)
    applied(client, settings)
    asked = len(stub.token_requests)
    stub.restart()
    assert planned(client, settings).changes == ()
    assert stub.token_requests[asked:] == ["form"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (401, "TEST_AIRBYTE_ID"),
        (403, "editor"),
        (404, "airbyte.workspace_id"),
        (409, "wait"),
        (422, "tailrace.yml"),
        (503, "run again"),
    ],
)
def test_what_the_server_refuses_is_one_line_with_its_remedy(
    fault: int, said: str, stub: AirbyteStub, configure: Configure
) -> None:
    settings = configure(HUBSPOT)
    client = client_of(settings, patience=0.2)
    stub.fault = lambda method, path: fault if "token" not in path else None
    with pytest.raises(AirbyteError) as refusal:
        planned(client, settings)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert refusal.value.status == fault


def test_a_server_that_is_not_there_is_one_line(configure: Configure) -> None:
    settings = configure(HUBSPOT, url="http://127.0.0.1:9/api/public/v1")
    with pytest.raises(AirbyteError, match=r"not reachable.*airbyte\.url"):
        planned(client_of(settings, patience=0.2), settings)


def test_an_unknown_application_is_one_line(
    stub: AirbyteStub, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configure(HUBSPOT)
    monkeypatch.setenv("TEST_AIRBYTE_SECRET", "wrong-zq85")
    with pytest.raises(AirbyteError, match="TEST_AIRBYTE_SECRET") as refusal:
        planned(client_of(settings), settings)
    assert "zq85" not in str(refusal.value)


def test_a_configuration_that_the_server_refuses_is_said_without_the_secrets_it_quotes(
    stub: AirbyteStub, client: AirbyteClient, configure: Configure
) -> None:
    settings = configure(HUBSPOT)
    airbyte_section = settings.airbyte
    assert airbyte_section is not None
    bad = airbyte_section.destination.model_copy(update={"host": "invalid.example"})
    settings = settings.model_copy(update={"airbyte": airbyte_section.model_copy(update={"destination": bad})})
    with pytest.raises(AirbyteError, match="does not fulfil") as refusal:
        applied(client, settings)
    for value in SECRETS.values():
        for line in value.splitlines():
            assert line not in str(refusal.value) or line.startswith("-----")


def test_nothing_is_changed_while_a_secret_is_missing(
    stub: AirbyteStub, client: AirbyteClient, whole: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_STRIPE_KEY")
    with pytest.raises(TailraceError, match="TEST_STRIPE_KEY"):
        applied(client, whole)
    assert not any(stub.resources[kind] for kind in KINDS)


def test_a_plan_needs_no_secret_of_a_source(
    client: AirbyteClient, whole: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in set(SECRETS) - {"TEST_AIRBYTE_ID", "TEST_AIRBYTE_SECRET"}:
        monkeypatch.delenv(name)
    assert planned(client, whole).changes


def test_a_secret_is_shown_as_set_and_sent_as_it_is(stub: AirbyteStub, client: AirbyteClient, whole: Settings) -> None:
    plan = planned(client, whole)
    shown = {field.path: field.after for change in plan.changes for field in change.fields}
    assert shown["password"] == shown["client_secret"] == shown["credentials.access_token"] == "(set)"
    applied(client, whole)
    configuration = stub.named("source", f"{OURS}app-product_us")["configuration"]
    assert configuration["password"] == os.environ["TEST_PG_PASSWORD"]
    destination = stub.named("destination", f"{OURS}snowflake")["configuration"]
    assert destination["credentials"]["private_key"] == os.environ["TEST_SNOWFLAKE_KEY"]


def test_a_rotated_secret_is_sent_when_asked_for(
    stub: AirbyteStub, client: AirbyteClient, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configure(HUBSPOT)
    applied(client, settings)
    monkeypatch.setenv("TEST_HUBSPOT_TOKEN", "pat-rotated")
    assert applied(client, settings) == []
    assert len(applied(client, settings, resend_secrets=True)) == 2
    sent = stub.named("source", f"{OURS}hubspot")["configuration"]["credentials"]["access_token"]
    assert sent == "pat-rotated"


def test_a_field_that_the_source_does_not_show_is_refused_before_its_connection_is_made(
    stub: AirbyteStub, client: AirbyteClient, configure: Configure
) -> None:
    stub.offered["hubspot"]["deals"] -= {"properties_amount"}
    with pytest.raises(TailraceError, match="deals shows no field properties_amount"):
        applied(client, configure(HUBSPOT))
    assert not stub.resources["connection"]


def test_a_source_whose_connector_reads_less_than_the_contract_needs_that_to_be_accepted(configure: Configure) -> None:
    with pytest.raises(TailraceError, match=r"discounts.*without"):
        desired.resources(configure(STRIPE.replace("subscriptions.discounts, ", "")))


def test_a_shared_account_is_refused_because_airbyte_lands_all_regions(configure: Configure) -> None:
    with pytest.raises(TailraceError, match="account_serves_one_region"):
        configure(HUBSPOT.replace("true", "false"))


def test_duckdb_is_no_destination(configure: Configure) -> None:
    with pytest.raises(TailraceError, match=r"warehouse\.kind: snowflake"):
        desired.resources(configure(HUBSPOT, warehouse="duckdb"))


def test_two_readers_of_one_slot_are_refused(configure: Configure) -> None:
    doubled = APP.replace("{name: silo_us_globex}", "{name: silo_us_globex, slot: airbyte_product_us}")
    with pytest.raises(TailraceError, match="airbyte_product_us"):
        desired.resources(configure(doubled))


def test_the_manifest_in_the_repository_is_what_the_contracts_give() -> None:
    assert not manifest.is_stale(load_contracts())


def test_no_never_land_column_is_in_the_manifest() -> None:
    for source, part in manifest.load().items():
        for stream in part["streams"]:
            table = load_contracts().table(source, stream["name"])
            assert not {column.name for column in table.columns if not column.data_class.lands} & set(stream["fields"])


def test_nothing_was_asked_that_the_stub_does_not_serve(
    stub: AirbyteStub, client: AirbyteClient, whole: Settings
) -> None:
    applied(client, whole)
    planned(client, whole)
    assert stub.unserved == []
