"""A stub server, and deployments that declare what it should hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestion.airbyte import manifest
from ingestion.airbyte.client import AirbyteClient
from pii_policies import load_contracts
from settings import Settings, load_settings
from tests.ingestion.airbyte.stub import CLIENT_ID, CLIENT_SECRET, WORKSPACE, AirbyteStub

SECRETS = {
    "TEST_AIRBYTE_ID": CLIENT_ID,
    "TEST_AIRBYTE_SECRET": CLIENT_SECRET,
    "TEST_PG_PASSWORD": "pg-Pa55word-zq81",
    "TEST_STRIPE_KEY": "sk_live_zq82_stripe_secret",
    "TEST_HUBSPOT_TOKEN": "pat-zq83-hubspot-secret",
    "TEST_SNOWFLAKE_KEY": "-----BEGIN PRIVATE KEY-----\nzq84privatekeyline\n-----END PRIVATE KEY-----",
}
CONFIG = """
region: us
state_dir: {home}
warehouse: {{kind: {warehouse}}}
sources:
  postgres: {{dsn: "postgresql://tailrace_airbyte@db.internal:5432/product_us", slot: tailrace}}
  stripe: {{url: "http://127.0.0.1:1", api_key_env: TEST_STRIPE_KEY}}
  hubspot: {{url: "http://127.0.0.1:1", token_env: TEST_HUBSPOT_TOKEN}}
serving: {{publisher_dsn: postgresql://nobody@127.0.0.1:1/none, reader_dsn: postgresql://nobody@127.0.0.1:1/none}}
airbyte:
  url: {url}
  workspace_id: {workspace}
  client_id_env: TEST_AIRBYTE_ID
  client_secret_env: TEST_AIRBYTE_SECRET
  poll_seconds: 0.02
  destination:
    host: xy12345.eu-central-1.snowflakecomputing.com
    database: TAILRACE
    warehouse: LOADING
    role: TAILRACE_LOADER
    username: AIRBYTE
    private_key_env: TEST_SNOWFLAKE_KEY
  sources:{sources}
"""
APP = """
    app:
      password_env: TEST_PG_PASSWORD
      databases: [{name: product_us}, {name: product_us, namespace: t_acme}, {name: silo_us_globex}]"""
STRIPE = """
    stripe:
      account_id: acct_1
      account_serves_one_region: true
      without: [discounts, subscription_items, subscription_schedules, invoice_line_items, tax_rates, meters,
                meter_event_summaries, subscriptions.discounts, invoices.parent, promotion_codes.promotion,
                credit_notes.pre_payment_amount, credit_notes.post_payment_amount, credit_notes.refunds]"""
HUBSPOT = """
    hubspot:
      account_serves_one_region: true
      without: [associations, property_history, merges, deal_pipelines, ticket_pipelines, tickets.company_id,
                line_items.company_id, line_items.deal_id, owners.type]"""

Configure = Callable[..., Settings]


@pytest.fixture
def stub() -> Iterator[AirbyteStub]:
    """A server whose sources offer what the manifest selects, and fields beside it that must not land."""
    server = AirbyteStub()
    for source, part in manifest.build(load_contracts())["sources"].items():
        kind = {"app": "postgres"}.get(source, source)
        server.offered[kind] = {
            stream["name"]: {*stream["fields"], "password_hash", "receipt_url", "fresh_column"}
            for stream in part["streams"]
        }
    yield server
    server.stop()


@pytest.fixture
def configure(stub: AirbyteStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """``configure(APP, STRIPE, …)``: a deployment that declares these sources, its secrets exported."""
    for name in ("TAILRACE_HOME", "TAILRACE_REGION", "TAILRACE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)

    def make(*sources: str, warehouse: str = "snowflake", url: str | None = None) -> Settings:
        config = tmp_path / "tailrace.yml"
        config.write_text(
            CONFIG.format(
                home=tmp_path / "home",
                url=url or stub.api_url,
                workspace=WORKSPACE,
                warehouse=warehouse,
                sources="".join(sources) or " {}",
            )
        )
        return load_settings(config_path=config)

    return make


@pytest.fixture
def client(stub: AirbyteStub, configure: Configure) -> Iterator[AirbyteClient]:
    made = client_of(configure(APP, STRIPE, HUBSPOT))
    yield made
    made.close()


def client_of(settings: Settings, **more: Any) -> AirbyteClient:
    """A client that gives up quickly."""
    assert settings.airbyte is not None
    return AirbyteClient(settings.airbyte, **{"patience": 2.0, **more})
