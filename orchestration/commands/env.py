"""``tailrace env``: every DSN, path and address in use. A DSN names a passfile, so no secret is printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestration import console
from settings import Settings, TailraceError, load_settings


def run(*, region: str | None, as_json: bool) -> None:
    values = describe(load_settings(region=region))
    if as_json:
        console.emit_json(values)
        return
    flat = [(name, value if isinstance(value, str) else ", ".join(value.values())) for name, value in values.items()]
    for name, value in flat:
        console.out.print(f"{name:16} {value}", soft_wrap=True)


def describe(settings: Settings) -> dict[str, Any]:
    """Names and addresses. Silo databases are listed when the server answers; else the configured database alone."""
    return {
        "region": settings.region,
        "config_path": str(settings.config_path),
        "state_dir": str(settings.state_dir),
        "warehouse_path": str(settings.warehouse_path),
        "vault_path": str(settings.vault_path),
        "analytics_path": str(settings.analytics_path),
        "dagster_home": str(settings.dagster_home),
        "logs_dir": str(settings.logs_dir),
        "quarantine_dir": str(settings.quarantine_dir),
        "ledger_path": str(settings.demo_dir / "company.sqlite"),
        "source_dsns": _databases(settings.source_databases, settings.sources.postgres.dsn),
        "rollup_dsns": _databases(settings.reader_databases, settings.serving.reader_dsn),
        "publisher_dsns": _databases(settings.rollup_databases, settings.serving.publisher_dsn),
        "stripe_url": settings.sources.stripe.url,
        "crm_url": settings.sources.hubspot.url,
        "salesforce_url": settings.sources.salesforce.url if settings.sources.salesforce else "none",
        "dagster_url": f"http://{settings.dagster.host}:{settings.dagster.port}",
        "dashboard_url": f"http://{settings.serving.host}:{settings.serving.port}",
    }


def _databases(expand: Callable[[], dict[str, str]], configured: str) -> dict[str, str]:
    try:
        found = expand()
    except TailraceError:
        found = {"configured": configured}
    return {name: without_password(dsn) for name, dsn in found.items()}


def without_password(dsn: str) -> str:
    """The DSN as it may be shown: a password in it, which there should not be, is left out."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        password = conninfo_to_dict(dsn).get("password")
    except ProgrammingError:
        return "not a DSN"
    return dsn.replace(str(password), "***") if password else dsn
