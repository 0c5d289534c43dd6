"""What should stand on the Airbyte server, from ``tailrace.yml`` and the manifest. No secret is read here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ingestion.airbyte import manifest
from pii_policies import load_contracts
from settings import (
    Airbyte,
    AirbyteDatabase,
    AirbyteHubSpot,
    AirbytePostgres,
    AirbyteSalesforce,
    AirbyteStripe,
    Settings,
    TailraceError,
)

Kind = Literal["source", "destination", "connection"]


@dataclass(frozen=True)
class Secret:
    """Stands where a secret will: the environment variable that holds it, read only when it is sent."""

    variable: str


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A source, destination or connection by its name. ``type`` is the connector's; a connection has none.

    ``fields`` of a connection name its source and destination; those of an actor are its configuration.
    """

    kind: Kind
    name: str
    type: str = ""
    fields: Mapping[str, Any]


def prefix(settings: Settings) -> str:
    """What the names of this deployment's resources begin with; Tailrace touches no others."""
    return f"tailrace-{settings.region}-"


def required(settings: Settings) -> Airbyte:
    """The section ``airbyte``. Raises TailraceError when there is none."""
    if settings.airbyte is None:
        raise TailraceError(f"{settings.config_path}: no section airbyte; docs/airbyte.md shows one")
    return settings.airbyte


def resources(settings: Settings) -> list[Resource]:
    """Every resource this deployment declares. Raises TailraceError when the declaration cannot hold."""
    airbyte = required(settings)
    if settings.warehouse.kind != "snowflake":
        raise TailraceError("Airbyte lands in Snowflake here, not in DuckDB; set warehouse.kind: snowflake")
    if not settings.landed_by_airbyte:
        return []
    destination = Resource(
        kind="destination",
        name=f"{prefix(settings)}snowflake",
        type="snowflake",
        fields=_snowflake(airbyte),
    )
    found = [destination]
    for source, section in airbyte.sources.named().items():
        part = manifest.part(source)
        _refuse_gaps(source, part, getattr(section, "without", ()))
        for name, configuration, streams in _actors(settings, source, section, part):
            type_ = str(configuration["sourceType"])
            found.append(Resource(kind="source", name=name, type=type_, fields=configuration))
            fields = _connection(name, destination.name, str(part["namespace"]), streams)
            found.append(Resource(kind="connection", name=name, fields=fields))
    _refuse_doubles(airbyte)
    return found


def connection_names(settings: Settings, source: str) -> list[str]:
    """The names of the connections that land a source: one, or one a database of the product."""
    section = required(settings).sources.named()[source]
    if not isinstance(section, AirbytePostgres):
        return [f"{prefix(settings)}{source}"]
    return [_database_name(settings, database) for database in section.databases]


def _refuse_doubles(airbyte: Airbyte) -> None:
    """A slot read by two connections loses rows of both."""
    slots = [slot(database) for database in (airbyte.sources.app.databases if airbyte.sources.app else ())]
    doubled = next((name for name in slots if slots.count(name) > 1), None)
    if doubled is not None:
        raise TailraceError(f"airbyte.sources.app.databases: two entries read the slot {doubled}; give each its own")


def _refuse_gaps(source: str, part: dict[str, Any], accepted: tuple[str, ...]) -> None:
    gaps = [name for name in part["connector_lacks"] if name not in accepted]
    if gaps:
        raise TailraceError(
            f"airbyte.sources.{source}: Airbyte's connector does not read {', '.join(gaps)}; land {source} by the "
            f"embedded loader, or name them in airbyte.sources.{source}.without and do without"
        )


def _actors(
    settings: Settings, source: str, section: Any, part: dict[str, Any]
) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(name, configuration, streams) of each source of the server that a source of ours takes."""
    if isinstance(section, AirbytePostgres):
        return [
            (
                _database_name(settings, database),
                _postgres(settings, section, database),
                _streams(_of_database(part, directory=index == 0), namespace=database.namespace),
            )
            for index, database in enumerate(section.databases)
        ]
    return [(f"{prefix(settings)}{source}", _api_source(settings, section), _streams(part["streams"]))]


def _of_database(part: dict[str, Any], *, directory: bool) -> list[dict[str, Any]]:
    """The directory (tables that are nobody's own) is published by the first database only."""
    tables = {table.name: table for table in load_contracts().raw_tables("app")}
    own = {name for name, table in tables.items() if any(column.name == "tenant_id" for column in table.columns)}
    return [stream for stream in part["streams"] if directory or stream["name"] in own]


def _streams(streams: list[dict[str, Any]], *, namespace: str | None = None) -> dict[str, Any]:
    return {
        (f"{namespace}." if namespace else "") + each["name"]: {
            "sync_mode": each["sync_mode"],
            "cursor": each["cursor"],
            "primary_key": each["primary_key"],
            "fields": sorted(each["fields"]),
            "mappers": 0,
        }
        for each in streams
    }


def _connection(source: str, destination: str, namespace: str, streams: dict[str, Any]) -> dict[str, Any]:
    """Dagster starts the syncs; a column that the source adds lands only once the contract has it."""
    return {
        "source": source,
        "destination": destination,
        "status": "active",
        "schedule": "manual",
        "namespace_definition": "custom_format",
        "namespace_format": namespace,
        "prefix": "",
        "non_breaking_schema_updates": "ignore",
        "streams": streams,
    }


def _snowflake(airbyte: Airbyte) -> dict[str, Any]:
    """Soft deletes: a deleted row stays, marked, as the raw table contract says."""
    to = airbyte.destination
    credentials: dict[str, Any] = {
        "auth_type": "Key Pair Authentication",
        "private_key": Secret(to.private_key_env),
    }
    if to.private_key_password_env:
        credentials["private_key_password"] = Secret(to.private_key_password_env)
    return {
        "destinationType": "snowflake",
        "host": to.host,
        "database": to.database,
        "schema": "raw",
        "warehouse": to.warehouse,
        "role": to.role,
        "username": to.username,
        "credentials": credentials,
        "cdc_deletion_mode": "Soft delete",
    }


def _postgres(settings: Settings, section: AirbytePostgres, database: AirbyteDatabase) -> dict[str, Any]:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        dsn = conninfo_to_dict(settings.sources.postgres.dsn)
        host, user, port = str(dsn["host"]), str(dsn["user"]), int(str(dsn.get("port", 5432)))
    except (ProgrammingError, KeyError, ValueError):
        raise TailraceError(
            "sources.postgres.dsn: Airbyte needs host, user and port of it; write postgresql://role@host:port/database"
        ) from None
    return {
        "sourceType": "postgres",
        "host": host,
        "port": port,
        "database": database.name,
        "schemas": [database.namespace],
        "username": user,
        "password": Secret(section.password_env),
        "ssl_mode": {"mode": section.ssl_mode},
        "tunnel_method": {"tunnel_method": "NO_TUNNEL"},
        "replication_method": {
            "method": "CDC",
            "plugin": "pgoutput",
            "replication_slot": slot(database),
            "publication": settings.sources.postgres.publication,
            "lsn_commit_behaviour": "After loading Data in the destination",
            # A silent re-sync would empty what other databases landed in the same tables.
            "invalid_cdc_cursor_position_behavior": "Fail sync",
        },
    }


def slot(database: AirbyteDatabase) -> str:
    """The replication slot of a database and schema. Slots are named across the whole server: its name is in it.

    Raises TailraceError when PostgreSQL would not take the name.
    """
    own = "" if database.namespace == "app" else f"_{database.namespace}"
    name = database.slot or f"airbyte_{database.name}{own}".lower()
    if not re.fullmatch(r"[a-z0-9_]{1,63}", name):
        raise TailraceError(
            f"airbyte.sources.app.databases: {name} cannot name a slot; set `slot` of {database.name}, "
            "63 of a-z, 0-9 and _ at most"
        )
    return name


def _database_name(settings: Settings, database: AirbyteDatabase) -> str:
    own = "" if database.namespace == "app" else f"-{database.namespace}"
    return f"{prefix(settings)}app-{database.name}{own}"


def _api_source(settings: Settings, section: AirbyteStripe | AirbyteHubSpot | AirbyteSalesforce) -> dict[str, Any]:
    if isinstance(section, AirbyteStripe):
        if settings.sources.stripe.api_key_env is None:
            raise TailraceError(
                "airbyte.sources.stripe: Airbyte lands one account; give sources.stripe.api_key_env of it"
            )
        return {
            "sourceType": "stripe",
            "account_id": section.account_id,
            "client_secret": Secret(settings.sources.stripe.api_key_env),
            "start_date": section.start_date,
        }
    if isinstance(section, AirbyteHubSpot):
        return {
            "sourceType": "hubspot",
            "credentials": {
                "credentials_title": "Private App Credentials",
                "access_token": Secret(settings.sources.hubspot.token_env),
            },
            "start_date": section.start_date,
        }
    return {
        "sourceType": "salesforce",
        "auth_type": "Client",
        "client_id": Secret(section.client_id_env),
        "client_secret": Secret(section.client_secret_env),
        "refresh_token": Secret(section.refresh_token_env),
        "is_sandbox": section.is_sandbox,
        "start_date": section.start_date,
    }
