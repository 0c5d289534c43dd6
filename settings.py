"""Every environment decision of Tailrace: ``tailrace.yml`` and the environment become one typed, frozen object.

Secrets are named here (``api_key_env``), never held: they are read from the environment at the moment of use.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

Region = Literal["us", "eu"]
ROOT = Path(__file__).resolve().parent
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>(?:[^{}]|\{\w+\})*))?\}")


class TailraceError(Exception):
    """A failure the user can mend. Its text is one line: what is wrong, where, and the remedy."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PostgresSource(_Section):
    """The product's Postgres, read by change data capture."""

    dsn: str
    schemas: tuple[str, ...] = ("app", "t_*")
    silo_databases: str | None = None
    publication: str = "tailrace"
    slot: str = "tailrace"
    on_slot_lost: Literal["fail", "resnapshot"] = "fail"
    region: Region | None = None
    """region whose tenants it holds, where that is to be checked; another than the deployment's is refused"""


class StripeAccount(_Section):
    """One of several accounts; its rows say so in ``_airbyte_meta``."""

    api_key_env: str
    url: str | None = None
    """where it is not the source's"""


class StripeSource(_Section):
    """One Stripe account by its key, or several by their names."""

    url: str
    api_key_env: str | None = None
    api_version: str = "2025-09-30.clover"
    accounts: dict[Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,40}$")], StripeAccount] = {}

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        if (self.api_key_env is None) != bool(self.accounts):
            raise ValueError("give api_key_env of one account, or accounts of several")
        return self

    def each(self) -> dict[str, StripeAccount]:
        """Name → account; one account that needs no name has an empty one."""
        return self.accounts or {"": StripeAccount(api_key_env=str(self.api_key_env))}

    def api_key(self, account: str = "") -> str:
        """The secret key, from the environment variable that the configuration names."""
        return secret(self.each()[account].api_key_env, "Stripe")


class HubSpotSource(_Section):
    url: str
    token_env: str

    def token(self) -> str:
        """The private-app token, from the environment variable that the configuration names."""
        return secret(self.token_env, "HubSpot")


class SalesforceObject(_Section):
    """An object beyond the contract's. It lands by the classes given here, and leaves raw only by a contract."""

    fields: dict[str, str] = Field(min_length=1)
    """field → class of ``treatments.yml``"""
    account: str | None = None
    """field that names the Account it belongs to; without one it is the unattributed region's"""


class SalesforceSource(_Section):
    """One Salesforce org. What the chosen way to log in does not need may be left out."""

    url: str
    """the org's own domain: ``https://acme.my.salesforce.com``"""
    auth: Literal["client_credentials", "jwt_bearer", "password"] = "client_credentials"
    client_id_env: str
    client_secret_env: str | None = None
    private_key_env: str | None = None
    username: str | None = None
    password_env: str | None = None
    security_token_env: str | None = None
    api_version: str = "62.0"
    api_budget_share: float = Field(default=0.5, gt=0, le=1)
    """share of the org's daily API requests after whose use, by whomever, no more are made"""
    bulk_from: int = Field(default=20_000, ge=1)
    """records from which on a Bulk API 2.0 job reads them, not pages of a query"""
    overlap_minutes: int = Field(default=10, ge=0)
    """how far each run looks back, for what was stamped before it was committed"""
    compare_hours: int = Field(default=24, ge=0)
    """how often objects with formula or roll-up fields are read whole: these change without a stamp"""
    reconcile_hours: int = Field(default=168, ge=0)
    """how often all others are: what left the recycle bin before it was seen shows in no other way"""
    objects: dict[str, SalesforceObject] = {}
    without: tuple[str, ...] = ()
    """objects of the contract that this org does not have"""

    def secret(self, name: Literal["client_id", "client_secret", "private_key", "password", "security_token"]) -> str:
        """A credential, from the environment variable that the configuration names."""
        variable: str | None = getattr(self, f"{name}_env")
        if variable is None:
            raise TailraceError(f"sources.salesforce.{name}_env: {self.auth} needs it; name an environment variable")
        return secret(variable, "Salesforce")


class Sources(_Section):
    postgres: PostgresSource
    stripe: StripeSource
    hubspot: HubSpotSource
    salesforce: SalesforceSource | None = None


class Warehouse(_Section):
    kind: Literal["duckdb", "snowflake"] = "duckdb"
    memory_limit: str = "2GB"
    region: Region | None = None
    """region that it stands in; another than the deployment's is refused"""


class Residency(_Section):
    """Rows of shared sources that name no region belong to one deployment, so that they are shown exactly once."""

    unattributed_region: Region = "us"
    silo_only: tuple[str, ...] = ()
    """ids or slugs of tenants whose data (HIPAA) may lie in a silo only; found elsewhere, nothing lands, nothing is
    published"""
    silo_only_in_shared_sources: Literal["lands"] | None = None
    """that what Stripe and the CRM have of these tenants lands beside all others': no silo could hold it apart"""


class Redaction(_Section):
    """The deeper pass over texts whose class is redacted, before they land: Presidio's recognisers."""

    at_landing: Literal["presidio"]
    language: str = Field(default="en", pattern=r"^[a-z]{2}$")
    recognizers: tuple[str, ...] = ()
    """Presidio's classes by name; none: those of ``pii_policies/deeper.py``"""
    score: float = Field(default=0.4, gt=0, le=1)
    """from which on a finding counts; Presidio gives telephone numbers 0.4, what its check digits prove 1"""
    model: str | None = None
    """a spaCy pipeline that finds names, by its package or folder; whoever names it has installed it"""


class Privacy(_Section):
    """Rights of persons: who signs for what was done; and what texts lose before they land."""

    receipt_key_env: str = "TAILRACE_RECEIPT_KEY"
    """variable with 32 random bytes in hex, the secret that receipts are signed with"""
    redaction: Redaction | None = None


class ClickHouse(_Section):
    """A second target, of high-cardinality figures: a server, or (``path``) the engine embedded in the publisher."""

    host: str | None = None
    port: int | None = None
    """8443 with TLS, 8123 without, where it is not said"""
    user: str | None = None
    password_env: str | None = None
    secure: bool = True
    """TLS, the server's certificate verified"""
    path: str | None = None
    """folder of the embedded engine's own; one process at a time"""
    database: str = Field(default="tailrace_{region}", pattern=r"^[A-Za-z_][A-Za-z0-9_{}]{0,40}$")
    """shared; a silo tenant has one of its own, ``<database>__<slug>``"""
    region: Region | None = None
    """region that it stands in; another than the deployment's is refused"""

    @model_validator(mode="after")
    def _server_or_path(self) -> Self:
        if (self.host is None) == (self.path is None):
            raise ValueError("give host of a server, or path of the embedded engine")
        if self.host is not None and (self.user is None or self.password_env is None):
            raise ValueError("a server needs user and password_env")
        return self

    def password(self) -> str:
        """The password, from the environment variable that the configuration names."""
        return secret(str(self.password_env), "ClickHouse")


class Serving(_Section):
    """Where rollups are published to and read from, and who may read them."""

    publisher_dsn: str
    reader_dsn: str
    silo_databases: str | None = None
    region: Region | None = None
    """region of the databases that rollups go to; another than the deployment's is refused"""
    host: str = "127.0.0.1"
    port: int = 8000
    jwks: str = "{state_dir}/demo/jwks.json"
    issuer: str = "tailrace-demo"
    audience: str = "tailrace"
    embed_origins: tuple[str, ...] = ()
    """origins (https://app.example.com) whose pages may frame the dashboard and ask the API; none by default"""
    requests_per_second: float = Field(default=20.0, gt=0)
    """of one tenant in the long run; the bucket holds ``request_burst``"""
    request_burst: int = Field(default=100, ge=1)
    connections: int = Field(default=4, ge=1)
    """to the shared database, of each worker process of the read API"""
    prepared_statements: bool = True
    """false behind a transaction pooler that does not know them (PgBouncer before 1.21)"""
    clickhouse: ClickHouse | None = None
    """where figures per user, endpoint and minute go besides; nowhere by default"""

    @field_validator("embed_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not re.fullmatch(r"https?://[A-Za-z0-9.\-]+(:\d{1,5})?", origin):
                raise PydanticCustomError(
                    "origin", "{origin} is not an origin; write https://app.example.com", {"origin": origin}
                )
        return origins


class Dagster(_Section):
    host: str = "127.0.0.1"
    port: int = 3000
    schedule: str = "0 * * * *"


class AirbyteDestination(_Section):
    """The Snowflake account that Airbyte lands in, by key pair; Airbyte lands in no DuckDB file."""

    host: str
    database: str
    warehouse: str
    role: str
    username: str
    private_key_env: str
    private_key_password_env: str | None = None


class _AirbyteSource(_Section):
    quiet_hours: int | None = Field(default=None, ge=0)
    """hours a sync may bring nothing before that is a failure; None: the contract's freshness"""


class AirbyteDatabase(_Section):
    """One database and schema of the product; a slot of its own, because a stream's position belongs to its slot."""

    name: str
    namespace: str = "app"
    slot: str | None = None


class AirbytePostgres(_AirbyteSource):
    """Address and role are those of ``sources.postgres.dsn``; the first database publishes the directory too."""

    password_env: str
    databases: tuple[AirbyteDatabase, ...] = Field(min_length=1)
    ssl_mode: Literal["disable", "prefer", "require"] = "require"


class _AirbyteShared(_AirbyteSource):
    """Airbyte lands every row of an account, so a shared source must be an account of this region's customers alone."""

    account_serves_one_region: Literal[True]
    start_date: str = "2017-01-25T00:00:00Z"
    without: tuple[str, ...] = ()
    """what the connector cannot read and is knowingly done without: ``table`` or ``table.column``"""


class AirbyteStripe(_AirbyteShared):
    account_id: str


class AirbyteHubSpot(_AirbyteShared):
    pass


class AirbyteSalesforce(_AirbyteShared):
    client_id_env: str
    client_secret_env: str
    refresh_token_env: str
    is_sandbox: bool = False


class AirbyteSources(_Section):
    """The sources that Airbyte lands; one that is not named is landed by the embedded loader."""

    app: AirbytePostgres | None = None
    stripe: AirbyteStripe | None = None
    hubspot: AirbyteHubSpot | None = None
    salesforce: AirbyteSalesforce | None = None

    def named(self) -> dict[str, AirbytePostgres | AirbyteStripe | AirbyteHubSpot | AirbyteSalesforce]:
        """Source → its section, of those that Airbyte lands."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}


class Airbyte(_Section):
    """An Airbyte server, what it lands, and how patiently its syncs are followed."""

    url: str
    workspace_id: str
    client_id_env: str
    client_secret_env: str
    destination: AirbyteDestination
    sources: AirbyteSources = AirbyteSources()
    poll_seconds: float = Field(default=10.0, gt=0)
    sync_minutes: int = Field(default=360, ge=1)
    retries: int = Field(default=1, ge=0, le=5)


class Demo(_Section):
    """The sample company and the stand-ins it lives in; nothing here is used in production."""

    postgres_port: int = 54329
    stripe_port: int = 12111
    hubspot_port: int = 12112
    salesforce_port: int = 12113
    tenants: int = Field(default=40, ge=4, le=2000)
    days: int = Field(default=60, ge=1, le=1500)
    seed: int = 7
    start: date = date(2026, 1, 1)


class Settings(_Section):
    """One deployment: one region, one warehouse, its sources and its readers."""

    region: Region
    state_dir: Path
    config_path: Path
    warehouse: Warehouse = Warehouse()
    sources: Sources
    serving: Serving
    residency: Residency = Residency()
    privacy: Privacy = Privacy()
    dagster: Dagster = Dagster()
    airbyte: Airbyte | None = None
    demo: Demo = Demo()

    @model_validator(mode="after")
    def _one_region(self) -> Settings:
        """A deployment reads, keeps and shows one region; a key that says otherwise is refused before anything runs."""
        places = {
            "sources.postgres.region": self.sources.postgres.region,
            "warehouse.region": self.warehouse.region,
            "serving.region": self.serving.region,
            "serving.clickhouse.region": self.serving.clickhouse.region if self.serving.clickhouse else None,
        }
        for key, region in places.items():
            if region not in (None, self.region):
                raise PydanticCustomError(
                    "residency",
                    "{key} is {named} and this deployment serves {region}: rows would leave their region",
                    {"key": key, "named": region, "region": self.region},
                )
        return self

    @model_validator(mode="after")
    def _silos_for_silo_only(self) -> Settings:
        """Who demands a silo needs a place where silos are: without one every such tenant would lie in the pool."""
        places = {
            "sources.postgres.silo_databases": self.sources.postgres.silo_databases,
            "serving.silo_databases": self.serving.silo_databases,
        }
        if self.residency.silo_only and self.residency.silo_only_in_shared_sources is None:
            raise PydanticCustomError(
                "residency",
                "residency.silo_only names {count} tenants, and Stripe and the CRM are accounts of all tenants, whose "
                "records land side by side; keep these out, or say residency.silo_only_in_shared_sources: lands",
                {"count": len(self.residency.silo_only)},
            )
        for key, pattern in places.items():
            if self.residency.silo_only and pattern is None:
                raise PydanticCustomError(
                    "residency",
                    "residency.silo_only names {count} tenants and {key} is not set: no silo for them to lie in",
                    {"count": len(self.residency.silo_only), "key": key},
                )
        return self

    @model_validator(mode="after")
    def _asked_before_landing(self) -> Settings:
        """What is decided row by row before it lands cannot be demanded of Airbyte, which asks nobody."""
        demands = {
            "residency.silo_only": bool(self.residency.silo_only),
            "privacy.redaction": self.privacy.redaction is not None,
        }
        for key, demanded in demands.items():
            if demanded and self.landed_by_airbyte:
                raise PydanticCustomError(
                    "residency",
                    "{key} is decided before rows land, and airbyte.sources.{source} lands them without asking; leave "
                    "that source to the embedded loader",
                    {"key": key, "source": self.landed_by_airbyte[0]},
                )
        return self

    @property
    def landed_by_airbyte(self) -> tuple[str, ...]:
        """The sources that Airbyte lands instead of the embedded loaders."""
        return tuple(self.airbyte.sources.named()) if self.airbyte else ()

    @property
    def region_dir(self) -> Path:
        """State of this deployment; two regions never share a file."""
        return self.state_dir / self.region

    @property
    def warehouse_path(self) -> Path:
        return self.region_dir / "warehouse.duckdb"

    @property
    def vault_path(self) -> Path:
        return self.region_dir / "vault.duckdb"

    @property
    def analytics_path(self) -> Path:
        return self.region_dir / "analytics.duckdb"

    @property
    def dagster_home(self) -> Path:
        return self.region_dir / "dagster"

    @property
    def dbt_project_dir(self) -> Path:
        return ROOT / "dbt_project"

    @property
    def dbt_target_dir(self) -> Path:
        return self.region_dir / "dbt" / "target"

    @property
    def dbt_manifest_path(self) -> Path:
        """The manifest that Dagster and publishing read; dbt itself writes another, in its target folder."""
        return self.region_dir / "dbt" / "manifest.json"

    @property
    def dbt_logs_dir(self) -> Path:
        return self.region_dir / "dbt" / "logs"

    @property
    def logs_dir(self) -> Path:
        return self.region_dir / "logs"

    @property
    def quarantine_dir(self) -> Path:
        return self.region_dir / "quarantine"

    @property
    def privacy_dir(self) -> Path:
        """Receipts, exports, and what an erasure that was interrupted goes on from; the owner's alone."""
        return self.region_dir / "privacy"

    @property
    def demo_dir(self) -> Path:
        """The sample company's Postgres, sandbox APIs and ledger, shared by both regions."""
        return self.state_dir / "demo"

    @cached_property
    def process_environment(self) -> dict[str, str]:
        """What dbt and Dagster child processes need to find this deployment; no secret is in it."""
        return {
            "TAILRACE_CONFIG": str(self.config_path),
            "TAILRACE_HOME": str(self.state_dir),
            "TAILRACE_REGION": self.region,
            "TAILRACE_WAREHOUSE_PATH": str(self.warehouse_path),
            "TAILRACE_VAULT_PATH": str(self.vault_path),
            "DAGSTER_HOME": str(self.dagster_home),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "DO_NOT_TRACK": "1",
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "GX_ANALYTICS_ENABLED": "false",
        }

    def source_databases(self) -> dict[str, str]:
        """Database name → DSN of every product database to capture: the shared one, then each silo."""
        return _expand(self.sources.postgres.dsn, self.sources.postgres.silo_databases)

    def rollup_databases(self) -> dict[str, str]:
        """Database name → publisher DSN of every product database that rollups go to."""
        return _expand(self.serving.publisher_dsn, self.serving.silo_databases)

    def reader_databases(self) -> dict[str, str]:
        """Database name → reader DSN of every product database that rollups are read from."""
        return _expand(self.serving.reader_dsn, self.serving.silo_databases)


def load_settings(*, region: str | None = None, config_path: Path | None = None) -> Settings:
    """Read ``tailrace.yml`` (``TAILRACE_CONFIG`` names another), with ``TAILRACE_HOME`` and ``TAILRACE_REGION``.

    Raises TailraceError naming the file and the key when the configuration cannot be read or does not fit.
    """
    path = (config_path or Path(os.environ.get("TAILRACE_CONFIG", ROOT / "tailrace.yml"))).absolute()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TailraceError(f"{path}: cannot be read ({_reason(error)}); set TAILRACE_CONFIG to a file") from None
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise TailraceError(
            f"{where}: not valid YAML ({getattr(error, 'problem', 'syntax')}); mend that line"
        ) from None
    if not isinstance(raw, dict):
        raise TailraceError(f"{path}: expected a mapping at the top; see tailrace.yml in the repository")
    raw = _interpolate(raw, path)
    raw["region"] = region or os.environ.get("TAILRACE_REGION") or raw.get("region")
    home = os.environ.get("TAILRACE_HOME") or raw.get("state_dir") or ".tailrace"
    raw["state_dir"] = Path(home) if Path(home).is_absolute() else (path.parent / home)
    raw["config_path"] = path
    try:
        first = Settings.model_validate(raw)
        settings = Settings.model_validate(_fill(first.model_dump(), _placeholders(first)))
    except ValidationError as error:
        detail = error.errors()[0]
        if detail["type"] == "residency":
            raise TailraceError(f"{path}: {detail['msg']}; mend that key") from None
        key = ".".join(str(part) for part in detail["loc"])
        raise TailraceError(f"{path}: {key}: {detail['msg'].lower()}; mend that key") from None
    _sandbox_credentials(settings)
    return settings


def _sandbox_credentials(settings: Settings) -> None:
    """The sample company's keys stand in a file of its own, so that single commands and jobs work beside the demo."""
    try:
        lines = (settings.demo_dir / "sandbox.env").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for name, _, value in (line.partition("=") for line in lines):
        os.environ.setdefault(name, value)


def _placeholders(settings: Settings) -> dict[str, str]:
    return {
        "region": settings.region,
        "state_dir": str(settings.state_dir),
        "postgres_port": str(settings.demo.postgres_port),
        "stripe_port": str(settings.demo.stripe_port),
        "hubspot_port": str(settings.demo.hubspot_port),
        "salesforce_port": str(settings.demo.salesforce_port),
    }


def _fill(node: Any, values: dict[str, str]) -> Any:
    def change(text: str) -> str:
        for name, value in values.items():
            text = text.replace("{" + name + "}", value)
        return text

    return _map_strings(node, change)


def _interpolate(node: Any, path: Path) -> Any:
    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match["name"], match["default"])
        if found is None:
            raise TailraceError(f"{path}: the environment variable {match['name']} is not set; export it")
        return found

    return _map_strings(node, lambda text: _VARIABLE.sub(value, text))


def _map_strings(node: Any, change: Callable[[str], str]) -> Any:
    if isinstance(node, dict):
        return {key: _map_strings(value, change) for key, value in node.items()}
    if isinstance(node, list):
        return [_map_strings(value, change) for value in node]
    return change(node) if isinstance(node, str) else node


def secret(variable: str, system: str) -> str:
    """The secret in the environment variable ``variable``. Raises TailraceError naming it when it is not set."""
    value = os.environ.get(variable, "").strip()
    if not value:
        raise TailraceError(f"{system}: the environment variable {variable} is not set; export the credential")
    return value


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or type(error).__name__).lower()


def _expand(dsn: str, silo_pattern: str | None) -> dict[str, str]:
    """The database of ``dsn`` and, on the same server, every database that matches ``silo_pattern``."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        own = str(conninfo_to_dict(dsn)["dbname"])
        if silo_pattern is None:
            return {own: dsn}
        with psycopg.connect(dsn, connect_timeout=10) as connection:
            rows = connection.execute("select datname from pg_database where datallowconn order by datname").fetchall()
    except (psycopg.Error, KeyError) as error:
        raise TailraceError(postgres_problem(dsn, error)) from None
    silos = sorted(name for (name,) in rows if fnmatch.fnmatchcase(name, silo_pattern))
    return {own: dsn} | {name: with_database(dsn, name) for name in silos}


def source_database(dsn: str) -> str:
    """The database that a DSN names."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        return str(conninfo_to_dict(dsn)["dbname"])
    except (ProgrammingError, KeyError) as error:
        raise TailraceError(postgres_problem(dsn, error)) from None


def with_database(dsn: str, database: str) -> str:
    """The same server and role, another database; a URI stays a URI."""
    from psycopg.conninfo import make_conninfo

    if "://" not in dsn:
        return make_conninfo(dsn, dbname=database)
    head, _, query = dsn.partition("?")
    scheme, _, rest = head.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/{database}" + (f"?{query}" if query else "")


def postgres_problem(dsn: str, error: Exception) -> str:
    """One line for a Postgres connection that failed: where (no password) and what to do."""
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(dsn)
        user, host, database = (parts.get(name, "?") for name in ("user", "host", "dbname"))
        where = f"{user}@{host}:{parts.get('port', 5432)}/{database}"
    except Exception:
        return "Postgres: the DSN cannot be parsed; write postgresql://role@host:port/database"
    text = str(error).lower()
    if "refused" in text or "timeout" in text or "could not translate" in text or "failed to resolve" in text:
        return f"Postgres {where}: not reachable; start it (`make up` for the demo) or mend the dsn in tailrace.yml"
    if "password" in text or "authentication" in text or "no pg_hba" in text:
        return f"Postgres {where}: the credential was refused; check the role and its passfile"
    if "does not exist" in text:
        return f"Postgres {where}: the database or role does not exist; create it or mend the dsn in tailrace.yml"
    return f"Postgres {where}: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}"
