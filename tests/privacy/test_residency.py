"""A region's rows stay in their region, a HIPAA tenant in its silo, and a global figure stands for a crowd."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import pytest

from pii_policies import load_contracts
from privacy import receipts
from privacy.residency import check_residency
from privacy.retention import enforce, overdue, standing
from serving.tenants import Tenant, homes
from settings import ROOT, TailraceError, load_settings
from tests.privacy.support import CONFIG, NOW, A, Home, receipt


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('{dsn: "postgres', '{region: eu, dsn: "postgres', "sources.postgres.region"),
        ("serving: {", "serving: {region: eu, ", "serving.region"),
        ("region: us\n", "region: us\nwarehouse: {region: eu}\n", "warehouse.region"),
    ],
)
def test_a_configuration_that_crosses_regions_is_refused_when_it_is_read(
    tmp_path: Path, old: str, new: str, key: str
) -> None:
    config = tmp_path / "tailrace.yml"
    whole = CONFIG.format(home=tmp_path).replace(
        "dsn: postgresql://nobody@127.0.0.1:1/none}\n", 'dsn: "postgresql://x"}\n'
    )
    config.write_text(whole)
    assert load_settings(config_path=config, region="us").region == "us"
    config.write_text(whole.replace(old, new))
    with pytest.raises(TailraceError, match=re.escape(f"{key} is eu and this deployment serves us")):
        load_settings(config_path=config, region="us")


@pytest.mark.parametrize("given", ["postgres", "serving"])
def test_a_hipaa_tenant_where_no_silos_are_configured_is_refused_when_it_is_read(tmp_path: Path, given: str) -> None:
    text = CONFIG.format(home=tmp_path) + "residency: {silo_only: [clinic], silo_only_in_shared_sources: lands}\n"
    first = {
        "postgres": ("postgres: {", "postgres: {silo_databases: silo_*, "),
        "serving": ("serving: {", "serving: {silo_databases: silo_*, "),
    }
    config = tmp_path / "tailrace.yml"
    config.write_text(text.replace(*first[given]))
    missing = "serving.silo_databases" if given == "postgres" else "sources.postgres.silo_databases"
    with pytest.raises(TailraceError, match=re.escape(f"{missing} is not set")):
        load_settings(config_path=config, region="us")
    config.write_text(text.replace(*first["postgres"]).replace(*first["serving"]))
    assert load_settings(config_path=config, region="us").residency.silo_only == ("clinic",)


AIRBYTE = """
airbyte:
  url: http://127.0.0.1:1
  workspace_id: w
  client_id_env: X
  client_secret_env: X
  destination: {host: h, database: d, warehouse: w, role: r, username: u, private_key_env: X}
  sources: {stripe: {account_serves_one_region: true, account_id: acct_1}}
"""


def test_tenants_of_silos_whose_records_lie_in_a_shared_account_are_named_before_they_land(tmp_path: Path) -> None:
    config = tmp_path / "tailrace.yml"
    config.write_text(CONFIG.format(home=tmp_path) + "residency: {silo_only: [clinic]}\n")
    with pytest.raises(TailraceError, match=r"names 1 tenants, and Stripe .*silo_only_in_shared_sources: lands"):
        load_settings(config_path=config)


@pytest.mark.parametrize(
    ("demand", "key"),
    [
        (
            "residency: {silo_only: [clinic], silo_only_in_shared_sources: lands}",
            "residency.silo_only",
        ),
        ("privacy: {redaction: {at_landing: presidio}}", "privacy.redaction"),
    ],
)
def test_what_is_decided_before_rows_land_is_not_left_to_airbyte(tmp_path: Path, demand: str, key: str) -> None:
    config = tmp_path / "tailrace.yml"
    silos = CONFIG.format(home=tmp_path)
    silos = silos.replace("postgres: {", "postgres: {silo_databases: silo_*, ")
    silos = silos.replace("serving: {", "serving: {silo_databases: silo_*, ")
    for text in (f"{silos}{demand}\n", silos + AIRBYTE):
        config.write_text(text)
        load_settings(config_path=config)
    config.write_text(f"{silos}{demand}\n{AIRBYTE}")
    with pytest.raises(TailraceError, match=rf"{re.escape(key)} is decided before .* airbyte\.sources\.stripe lands"):
        load_settings(config_path=config)


def tenant(**changes: Any) -> Tenant:
    return Tenant(**{"id": A, "name": "Alpha", "slug": "alpha", "tier": "pool", "region": "us", **changes})


def test_a_publish_of_another_regions_tenant_is_refused(home: Home) -> None:
    with pytest.raises(TailraceError, match="belongs to region eu, this deployment serves us"):
        homes(home.settings, [tenant(region="eu")], {"product": "dsn"})


@pytest.mark.parametrize("named", [A, "alpha"])
def test_a_hipaa_tenant_is_published_from_a_silo_only(home: Home, named: str) -> None:
    residency = home.settings.residency.model_copy(update={"silo_only": (named,)})
    serving = home.settings.serving.model_copy(update={"silo_databases": "silo_us_*"})
    settings = home.settings.model_copy(update={"residency": residency, "serving": serving})
    with pytest.raises(TailraceError, match="demands a silo of its own and it lies in a namespace"):
        homes(settings, [tenant(tier="namespace")], {"product": "dsn"})
    assert homes(settings, [tenant(tier="silo")], {"product": "dsn", "silo_us_alpha": "dsn"}) == {A: "silo_us_alpha"}


def manifest(**changes: Any) -> dict[str, Any]:
    model = {
        "resource_type": "model", "name": "fct_all", "unique_id": "model.t.fct_all", "database": "warehouse",
        "schema": "marts", "columns": {"tenant_id": {}}, "raw_code": "-- attach\nselect 1", "depends_on": {"nodes": []},
    }  # fmt: skip
    source = {"source_name": "raw_app", "name": "users", "database": "warehouse"}
    vault = {"source_name": "vault", "name": "tenant_keys", "database": "vault"}
    base = {**model, "name": "base", "unique_id": "model.t.base"}
    return {
        "nodes": {"base": base, "other": {**base, "unique_id": "o"}, "m": {**model, **changes}},
        "sources": {"s": source, "v": vault},
    }


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"database": "warehouse_eu"}, "fct_all: built in database warehouse_eu"),
        ({"raw_code": "select * from read_parquet('s3://eu/x')"}, "fct_all: read_parquet reads outside"),
        (
            {"raw_code": "{{ config(pre_hook=\"ATTACH '/eu/warehouse.duckdb' as eu\") }} select 1"},
            "fct_all: ATTACH reads",
        ),
        ({"columns": {"plan": {}}}, "fct_all: has no tenant_id and no test k_anonymous"),
    ],
)
def test_a_model_that_could_cross_regions_or_single_a_tenant_out_is_refused_at_load(
    changes: dict[str, Any], named: str
) -> None:
    check_residency(manifest())
    with pytest.raises(TailraceError, match=re.escape(named)):
        check_residency(manifest(**changes))


def test_a_source_of_another_region_is_refused_and_a_tested_global_figure_is_not() -> None:
    foreign = manifest()
    foreign["sources"]["s"]["database"] = "warehouse_eu"
    with pytest.raises(TailraceError, match=r"raw_app\.users: lies in database warehouse_eu"):
        check_residency(foreign)
    crowd = manifest(columns={"plan": {}})
    crowd["nodes"]["test"] = {
        "resource_type": "test",
        "test_metadata": {"name": "k_anonymous"},
        "depends_on": {"nodes": ["model.t.fct_all"]},
    }
    check_residency(crowd)


def render(call: str, k: int) -> str:
    """A macro's SQL, with what dbt gives to its Jinja."""
    source = (ROOT / "dbt_project/macros/k_anonymous.sql").read_text()
    returned: list[Any] = []

    def refuse(message: str) -> None:
        raise TailraceError(message)

    environment = jinja2.Environment(extensions=["jinja2.ext.do"], autoescape=False)
    names = {"var": lambda name: k, "exceptions": {"raise_compiler_error": refuse}, "return": lambda value: value}
    assert not returned
    return environment.from_string(source + "{{ " + call + " }}").render(**names)


def test_a_global_figure_leaves_out_groups_of_fewer_tenants_than_k() -> None:
    query = render("k_anonymous('usage', ['plan'], {'runs': 'sum(runs)'})", k=10)
    with duckdb.connect() as con:
        con.execute("create table usage (tenant_id varchar, plan varchar, runs int)")
        for plan, tenants in (("growth", 10), ("solo", 9)):
            con.executemany("insert into usage values (?, ?, 2)", [[f"{plan}{n}", plan] for n in range(tenants)] * 2)
        con.execute("insert into usage values ('unattributed', 'solo', 2)")  # nobody does not make nine ten
        assert con.execute(query).fetchall() == [("growth", 10 * 2 * 2, 10)]
    with pytest.raises(TailraceError, match="k_anonymity is 9"):
        render("k_anonymous('usage', ['plan'], {'runs': 'sum(runs)'})", k=9)


def test_retention_empties_what_is_past_its_days_and_says_so(home: Home) -> None:
    contracts = load_contracts()
    days = contracts.classes["network_address"].retain_days
    assert days is not None
    late, early = NOW + timedelta(days=days, seconds=1), NOW + timedelta(days=days)
    with home.warehouse.writer("a test") as con:
        assert overdue(con, contracts, now=early) == []
        (due,) = overdue(con, contracts, now=late)
        assert (due.table, due.column, due.rows) == ("raw_app.audit_log", "ip", 1)
        assert standing(con, contracts, now=late)["enforced_at"] is None
    path = enforce(home.rights(), now=late)
    assert path is not None
    assert receipts.verify(path).problems == ()
    assert receipt(path)["emptied"][0]["rows"] == 1
    assert home.query("select ip, action from raw_app.audit_log") == [(None, "login")]
    assert enforce(home.rights(), now=late) is None
    with home.warehouse.writer("a test") as con:
        shown = standing(con, contracts, now=datetime.now(UTC))
    assert {each["class"]: each["days"] for each in shown["classes"]}["network_address"] == days
    assert shown["enforced_at"] is not None


def test_of_a_document_retention_leaves_what_figures_are_made_of(home: Home) -> None:
    """A payload past its days keeps what the contract reads of it and is nobody's; then it is done with."""
    later = datetime.now(UTC) + timedelta(days=4000)
    enforce(home.rights(), now=later)
    ((kept,),) = home.query("select metadata from raw_stripe.customers where id = 'cus_Beta'")
    assert "tenant_id" in kept
    with home.warehouse.writer("a test") as con:
        assert overdue(con, load_contracts(), now=later) == []
