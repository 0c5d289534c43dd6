"""Two deployments of one company, eu and us, side by side: neither holds a byte of the other's tenants."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import duckdb
import pytest
from psycopg import sql

from demo import services
from demo.company.roster import Tenant
from pii_policies.keys import KEY_BYTES
from settings import Region, load_settings
from tests.canaries.search import Searcher, in_duckdb, in_file
from tests.end_to_end.conftest import Deployment, configure

pytestmark = pytest.mark.operations

MARKS: Mapping[Region, str] = {"eu": "kolibriaeuropaea", "us": "pelicanusamericanus"}
"""What only the personal values of that region's tenants say."""
_TOKEN = re.compile(rb"[0-9A-Za-z_@.-]{12,}")


@dataclass(frozen=True)
class Side:
    """One region's deployment, and what tells a row of its tenants."""

    deployment: Deployment
    tenants: list[Tenant]
    values: list[str]
    """searched for in every form"""
    ids: frozenset[bytes]
    """of its tenants' records, wherever they lie"""

    @property
    def state(self) -> Path:
        return self.deployment.settings.region_dir


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Region, Side]]:
    """The company lives, each tenant's personal values are marked by region, and each region's pipeline runs twice."""
    settings, environment = configure(tmp_path_factory.mktemp("two_regions"))
    with services.running(settings) as postgres:
        company = services.sample_company(settings, postgres)
        company.found()
        company.live(36)  # by then an eu tenant is in a silo, and in Salesforce
        tenants = {region: [t for t in company.tenants if t.region == region] for region in get_args(Region)}
        for listed in tenants.values():
            for tenant in listed:
                _mark_product(postgres.connect, tenant)
    ids = {region: _mark_shared(settings.demo_dir, region, listed) for region, listed in tenants.items()}
    with services.running(settings) as postgres:
        company = services.sample_company(settings, postgres)
        found: dict[Region, Side] = {}
        for region, listed in tenants.items():
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("TAILRACE_HOME", environment["TAILRACE_HOME"])
                own = load_settings(config_path=Path(environment["TAILRACE_CONFIG"]), region=region)
            deployment = Deployment(own, postgres, company, environment | {"TAILRACE_REGION": region})
            values = [MARKS[region], *(str(tenant.id) for tenant in listed), *(tenant.slug for tenant in listed)]
            own_ids = ids[region] | _users(postgres.connect, listed)
            found[region] = Side(deployment, listed, values, frozenset(own_ids))
        for _ in range(2):  # the second goes on from a position, by feeds and searches
            for side in found.values():
                side.deployment.run()
            company.live(1)
        yield found


def _mark_product(connect: Any, tenant: Tenant) -> None:
    with connect(tenant.database) as connection:
        for table, column in (("users", "full_name"), ("comments", "body"), ("projects", "name")):
            connection.execute(
                sql.SQL("update {} set {} = {} || ' ' || %s where tenant_id = %s").format(
                    sql.Identifier(tenant.schema, table), sql.Identifier(column), sql.Identifier(column)
                ),
                [MARKS[tenant.region], tenant.id],
            )


_SHARED = (("stripe", "objects", "body"), ("hubspot", "records", "properties"), ("salesforce", "records", "body"))
_PERSONAL = ("name", "Name", "FirstName", "firstname", "lastname", "LastName", "description", "Description")
_LEAST = 12
"""Characters of an id that nothing else is likely to spell: those of Stripe and Salesforce, not of HubSpot."""


def _mark_shared(directory: Path, region: Region, tenants: list[Tenant]) -> set[bytes]:
    """Mark every personal text of the tenants' records in Stripe and the CRMs, which do not run; their ids."""
    found: set[bytes] = set()
    for kind, table, column in _SHARED:
        with sqlite3.connect(directory / f"{kind}.sqlite") as connection:
            rows = connection.execute(f"select id, {column} from {table}").fetchall()  # noqa: S608
            theirs = _theirs({str(key): body for key, body in rows}, tenants)
            for key, body in rows:
                if str(key) in theirs:
                    document = json.loads(body)
                    for name in _PERSONAL:
                        if isinstance(document.get(name), str):
                            document[name] = f"{document[name]} {MARKS[region]}"
                    changed = [json.dumps(document), key]
                    connection.execute(f"update {table} set {column} = ? where id = ?", changed)  # noqa: S608
        connection.close()
        # Whoever follows a feed that all regions share remembers where it stands by an event, whosever that was.
        found |= {key.encode() for key in theirs if len(key) >= _LEAST and not key.startswith("evt_")}
    return found


def _theirs(bodies: Mapping[str, str], tenants: list[Tenant]) -> set[str]:
    """The records that name one of the tenants, and those that name such a record in turn."""
    names = [name for tenant in tenants for name in (str(tenant.id), f"{tenant.slug}.example.com")]
    named = {key for key, body in bodies.items() if any(name in body for name in names)}
    subjects = [key for key in named if len(key) >= _LEAST and key.startswith(("cus_", "001"))]
    return named | {key for key, body in bodies.items() if any(subject in body for subject in subjects)}


def _users(connect: Any, tenants: list[Tenant]) -> set[bytes]:
    found = set()
    for tenant in tenants:
        with connect(tenant.database) as connection:
            query = sql.SQL("select id::text, lower(email) from {} where tenant_id = %s")
            rows = connection.execute(query.format(sql.Identifier(tenant.schema, "users")), [tenant.id]).fetchall()
        found |= {value.encode() for row in rows for value in row}
    return found


def _contents(side: Side, path: Path) -> Iterator[tuple[str, bytes]]:
    if path != side.deployment.settings.warehouse_path:
        yield from in_file(path)
        return
    yield "bytes", path.read_bytes()
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("attach ? as vault (read_only)", [str(side.deployment.settings.vault_path)])  # of staging
        yield from in_duckdb(connection)


def held_of(side: Side, other: Side) -> list[str]:
    """Where the folder of ``side`` holds something of ``other``: bytes, and what databases hold when they are read."""
    searcher = Searcher(other.values)
    found = []
    for path in sorted(side.state.rglob("*")):
        if path.is_file():
            for kind, content in _contents(side, path):
                place = f"{path.relative_to(side.state)} ({kind})"
                found += [f"{place}: {form}" for form in sorted(searcher.find(content))]
                ids = other.ids & {token.lower() for token in _TOKEN.findall(content)}
                ids |= other.ids & set(_TOKEN.findall(content))
                if ids:
                    found.append(f"{place}: {len(ids)} ids, one of {min(ids)[:4]!r}…")
    return found


def test_each_region_holds_its_own_tenants_and_no_byte_of_the_others(sides: dict[Region, Side]) -> None:
    eu, us = sides["eu"], sides["us"]
    for side in (eu, us):
        assert len(side.tenants) > 1
        places = held_of(side, side)
        assert any("warehouse.duckdb" in place for place in places), "what is searched for can be found"
        schemas = {place.split("(")[1].split(".")[0] for place in places if "raw_" in place}
        assert schemas == {"raw_app", "raw_stripe", "raw_hubspot", "raw_salesforce"}, "of every source some landed"
    assert held_of(eu, us) == []
    assert held_of(us, eu) == []


def test_each_product_database_shows_its_own_regions_figures(sides: dict[Region, Side]) -> None:
    for side in sides.values():
        shown = {str(row[0]) for rows in side.deployment.published().values() for row in rows}
        assert shown <= {str(tenant.id) for tenant in side.tenants}
        assert len(shown) > 2


def test_a_deployment_pointed_at_the_other_regions_database_is_refused_before_a_row_is_read(
    sides: dict[Region, Side], tmp_path: Path
) -> None:
    """No key of the configuration tells the regions apart here: the database's own directory does."""
    us, eu = sides["us"].deployment, sides["eu"].deployment
    home = tmp_path / "state"
    done = us.tailrace("run", "--json", TAILRACE_HOME=str(home), TAILRACE_SOURCE_DSN=eu.settings.sources.postgres.dsn)
    assert done.returncode != 0
    assert "belongs to region eu" in done.stderr
    assert "serves us" in done.stderr
    stray = Side(replace(us, settings=us.settings.model_copy(update={"state_dir": home})), [], [], frozenset())
    assert [place for place in held_of(stray, sides["eu"]) if "raw_app" in place] == []


def test_no_key_is_in_a_byte_of_anything_but_the_vault(sides: dict[Region, Side]) -> None:
    """Logs, manifests, query texts, both databases, Dagster's storage: raw, hex or base64, no tenant's key nor pad."""
    for side in sides.values():
        settings = side.deployment.settings
        needles = [needle for secret in _secrets(side) for needle in _written(secret)]
        assert any(needle in settings.vault_path.read_bytes() for needle in needles), (
            "what is searched for can be found"
        )
        said = [side.deployment.tailrace(*words) for words in (("status", "--json"), ("env",), ("doctor",))]
        texts = [("output", (each.stdout + each.stderr).encode()) for each in said]
        files = [path for path in side.state.rglob("*") if path.is_file() and path != settings.vault_path]
        texts += [(str(path), content) for path in files for _, content in _contents(side, path)]
        assert [place for place, content in texts if any(needle in content for needle in needles)] == []


def _secrets(side: Side) -> list[bytes]:
    """Pads and the keys that they are of, the key of tombstones, and the one that receipts are signed with."""
    with duckdb.connect(str(side.deployment.settings.vault_path), read_only=True) as vault:
        rows = vault.execute("select ipad, opad from tenant_keys where ipad is not null").fetchall()
        known = vault.execute("select 1 from duckdb_tables() where table_name = 'tombstone_key'").fetchall()
        rows += vault.execute("select ipad, opad from tombstone_key").fetchall() if known else []
    environment = (side.deployment.settings.demo_dir / "sandbox.env").read_text()
    signing = re.search(r"^TAILRACE_RECEIPT_KEY=([0-9a-f]{64})$", environment, re.MULTILINE)
    assert signing is not None
    keys = [bytes(byte ^ 0x36 for byte in ipad)[:KEY_BYTES] for ipad, _ in rows]
    return [*keys, *(bytes(pad) for row in rows for pad in row), bytes.fromhex(signing[1])]


def _written(secret: bytes) -> list[bytes]:
    """As bytes, in hex of either case, in base64 at each alignment."""
    found = [secret, secret.hex().encode(), secret.hex().upper().encode()]
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + secret)
        found.append(encoded[4 if shift else 0 : -4])
    return found
