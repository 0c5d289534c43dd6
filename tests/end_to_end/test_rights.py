"""A person of the whole deployment is erased, and neither a run nor a copy of everything brings them back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from demo import services
from tests.end_to_end.conftest import Deployment, configure
from tests.privacy.support import RECEIPT_KEY

pytestmark = pytest.mark.operations


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment of this file's own: whoever is erased is missing in others' comparisons with the ledger."""
    settings, environment = configure(tmp_path_factory.mktemp("rights"))
    environment |= {"TAILRACE_RECEIPT_KEY": RECEIPT_KEY}
    with services.running(settings) as postgres:
        company = services.sample_company(settings, postgres)
        company.found()
        company.live(6)
        deployment = Deployment(settings, postgres, company, environment)
        deployment.run()
        yield deployment


def held_in(deployment: Deployment, *values: str) -> list[str]:
    """Files of the region, and tables of its warehouse, that hold one of the values."""
    region = deployment.settings.region_dir
    found = [
        str(path.relative_to(region))
        for path in sorted(region.rglob("*"))
        if path.is_file() and any(value.encode() in path.read_bytes() for value in values)
    ]
    with duckdb.connect(str(deployment.settings.warehouse_path), read_only=True) as con:
        for schema, table in con.execute("select schema_name, table_name from duckdb_tables()").fetchall():
            text = str(con.execute(f'select * from "{schema}"."{table}"').fetchall()).lower()  # noqa: S608
            found += [f"{schema}.{table}" for value in values if value.lower() in text]
    return found


def test_an_erased_person_stays_away_from_runs_and_copies(own: Deployment) -> None:
    with own.warehouse() as con:
        tenant, user, email = con.execute(
            "select u.tenant_id::varchar, u.id::varchar, u.email from raw_app.users as u "
            "join raw_hubspot.contacts as c on lower(c.properties_email) = lower(u.email) "
            "where exists (select 1 from raw_app.comments where author_id = u.id) order by u.id limit 1"
        ).fetchall()[0]
        (contact,) = con.execute(
            "select id from raw_hubspot.contacts where lower(properties_email) = lower(?)", [email]
        ).fetchall()[0]
        counted = con.execute("select sum(comments) from marts.fct_usage_daily").fetchall()
    assert {"raw_app.users", "raw_hubspot.contacts", "raw_app.comments"} <= set(held_in(own, user, email))
    done = own.tailrace("privacy", "erase", "--tenant", tenant, "--subject", email, "--json")
    assert done.returncode == 0, done.stderr
    receipt = json.loads(done.stdout)
    assert receipt["files_that_still_hold_an_identifier"] == []
    assert {each.partition(".")[0] for each in receipt["mentions"]} <= {"raw_app", "raw_stripe", "raw_salesforce"}
    assert held_in(own, user, email) == [], receipt["mentions"]
    with own.warehouse() as con:
        assert con.execute("select sum(comments) from marts.fct_usage_daily").fetchall() == counted
        assert con.execute("select 1 from raw_hubspot.contacts where id = ?", [contact]).fetchall() == []
    own.company.live(1)
    own.run()
    again = own.tailrace("resnapshot", "--yes")
    assert again.returncode == 0, again.stderr
    own.run()
    assert held_in(own, user, email) == []
    path = next(Path(own.settings.privacy_dir / "receipts").glob("*.json"))
    assert own.tailrace("privacy", "verify", str(path)).returncode == 0
    path.write_text(path.read_text().replace('"outcome": "done"', '"outcome": "refused"'))
    assert own.tailrace("privacy", "verify", str(path)).returncode == 1


def test_an_offboarded_tenant_leaves_the_rollups_of_the_product_too(own: Deployment) -> None:
    with own.warehouse() as con:
        (tenant,) = con.execute(
            "select tenant_id from marts.fct_usage_daily join marts.dim_tenants using (tenant_id) "
            "where tier = 'pool' group by 1 order by sum(comments) desc limit 1"
        ).fetchall()[0]
    assert any(str(row[0]) == tenant for rows in own.published().values() for row in rows)
    done = own.tailrace("privacy", "offboard", "--tenant", tenant, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["left"] == {}
    assert not any(str(row[0]) == tenant for rows in own.published().values() for row in rows)
    own.company.live(1)
    own.run()
    assert not any(str(row[0]) == tenant for rows in own.published().values() for row in rows)


def test_a_rotation_re_keys_one_tenant_whole_and_changes_no_figure(own: Deployment) -> None:
    people = "select tenant_id, user_key from marts.dim_users"
    before, figures = own.analytics(people), _figures(own)
    tenant = max({tenant for tenant, _ in before}, key=lambda each: sum(each == owner for owner, _ in before))
    assert own.tailrace("policy", "rotate", tenant, "--yes").returncode == 0
    assert own.analytics(people) == before, "readers keep what is published until the next run"
    own.run()
    after = own.analytics(people)
    assert {row for row in after if row[0] != tenant} == {row for row in before if row[0] != tenant}
    renewed = {key for owner, key in after if owner == tenant}
    assert len(renewed) == len({key for owner, key in before if owner == tenant})
    assert renewed.isdisjoint(key for _, key in before)
    with own.warehouse() as connection:  # incremental, and of one key with the dimension
        active = connection.execute(
            "select distinct user_key from intermediate.int_user_activity_daily "
            "where tenant_id = ? and user_key is not null",
            [tenant],
        ).fetchall()
    assert active
    assert {key for (key,) in active} <= renewed
    assert _figures(own) == figures


def _figures(deployment: Deployment) -> dict[str, list[tuple[Any, ...]]]:
    """What is published but for who the users are."""
    published = deployment.published()
    for name in [name for name in published if name.endswith("rollup_tenant_users")]:
        published[name] = sorted(((row[0], *row[2:]) for row in published[name]), key=repr)
    return published
