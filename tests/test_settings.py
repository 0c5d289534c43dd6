"""Configuration: what it names it gives, and what is wrong with it is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from settings import ROOT, TailraceError, load_settings, postgres_problem, with_database


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_HOME", str(tmp_path / "home"))
    for name in ("TAILRACE_CONFIG", "TAILRACE_REGION", "TAILRACE_STRIPE_API_KEY", "TAILRACE_STRIPE_URL"):
        monkeypatch.delenv(name, raising=False)


def _config(tmp_path: Path, change: tuple[str, str]) -> Path:
    text = (ROOT / "tailrace.yml").read_text()
    assert change[0] in text
    path = tmp_path / "other.yml"
    path.write_text(text.replace(*change))
    return path


def test_two_regions_share_no_file_of_state() -> None:
    us, eu = load_settings(region="us"), load_settings(region="eu")
    assert us.warehouse_path != eu.warehouse_path
    assert us.dagster_home != eu.dagster_home
    assert "product_eu" in eu.sources.postgres.dsn
    assert eu.sources.postgres.silo_databases == "silo_eu_*"


def test_no_secret_stands_in_a_dsn_of_the_default_configuration() -> None:
    settings = load_settings()
    for dsn in (settings.sources.postgres.dsn, settings.serving.publisher_dsn, settings.serving.reader_dsn):
        assert "passfile=" in dsn
        assert "password=" not in dsn


def test_the_environment_overrides_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_STRIPE_URL", "https://stripe.example")
    assert load_settings().sources.stripe.url == "https://stripe.example"


def test_a_missing_secret_is_named_by_its_variable() -> None:
    with pytest.raises(TailraceError, match="TAILRACE_STRIPE_API_KEY"):
        load_settings().sources.stripe.api_key()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("region: us", "region: mars"), "region"),
        (("kind: duckdb", "kind: abacus"), "warehouse.kind"),
        (("port: 8000", "port: eight"), "serving.port"),
        (("  publication: tailrace", "  publikation: tailrace"), "sources.postgres.publikation"),
        (("schemas: [", "schemas: [["), "not valid YAML"),
    ],
)
def test_a_malformed_configuration_is_refused_in_one_line(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    with pytest.raises(TailraceError) as refusal:
        load_settings(config_path=_config(tmp_path, change))
    assert named in str(refusal.value)
    assert "other.yml" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_configuration_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(TailraceError, match="TAILRACE_CONFIG"):
        load_settings(config_path=tmp_path / "none.yml")


@pytest.mark.parametrize("dsn", ["postgresql://a@h:1/x?passfile=/p", "host=h port=1 user=a dbname=x"])
def test_another_database_keeps_server_and_role(dsn: str) -> None:
    from psycopg.conninfo import conninfo_to_dict

    before, after = conninfo_to_dict(dsn), conninfo_to_dict(with_database(dsn, "y"))
    assert after == before | {"dbname": "y"}


def test_a_connection_problem_names_the_place_and_no_password() -> None:
    line = postgres_problem("postgresql://role:hush@db.example:5/x", OSError("Connection refused"))
    assert "role@db.example:5/x" in line
    assert "hush" not in line
