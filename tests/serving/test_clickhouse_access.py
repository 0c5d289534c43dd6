"""Who may read what in ClickHouse: the compiled SQL is ClickHouse's own, its policies and grants hold in the engine.

The embedded engine takes no `create row policy`, but it takes users from a file, whose filters are row policies and
whose grants are grants: the compiled conditions and privileges are put there, word for word, and then tried out.
"""

# ruff: noqa: S608 - names are the tests' own

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any
from xml.sax.saxutils import escape

import pytest
import sqlglot

from serving.clickhouse import access, homes, tables
from serving.clickhouse.contract import load_details
from serving.clickhouse.queries import MODEL, Snapshot
from serving.tenants import Tenant
from settings import ROOT
from tests.serving.clickhouse_support import World

pytest.importorskip("clickhouse_connect")
pytest.importorskip("chdb")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("world"))
    made.fill()
    made.publish()
    return made


def tenants_of(world: World) -> list[Tenant]:
    return [
        Tenant(id=each.id, name=each.name, slug=each.slug, tier=each.tier, region="us")
        for each in world.tenants.values()
    ]


def compiled(world: World) -> list[str]:
    home = homes.homes(world.settings, world.section, tenants_of(world))
    return access.statements(world.database, load_details(world.manifest), home)


def test_every_statement_is_clickhouses_own(world: World) -> None:
    """Its parser takes each, and writes it so that it takes that again; sqlglot's takes what makes tables and views."""
    details = load_details(world.manifest)
    made = [*tables.of_every_database(world.database)]
    for detail in details:
        made += [*tables.of_detail(world.database, detail), *tables.views(world.database, detail)]
    with world.store() as store:
        for statement in (*made, *compiled(world)):
            query = "select formatQuerySingleLine({statement:String})"
            ((once,),) = store.rows(query, {"statement": statement})
            assert store.rows(query, {"statement": once}) == [(once,)]
    for statement in made:
        (parsed,) = sqlglot.parse(statement, dialect="clickhouse")
        assert isinstance(parsed, sqlglot.exp.Create)


def test_every_table_that_holds_rows_has_a_policy_for_each_tenant_and_none_for_nobody(world: World) -> None:
    statements = compiled(world)
    for database in {world.home(each) for each in world.tenants.values()}:
        with world.store() as store:
            holding = {
                name
                for (name,) in store.rows(
                    "select name from system.tables where database = {d:String} and engine like '%MergeTree'",
                    {"d": database},
                )
            } - {tables.PUBLICATIONS}
        assert len(holding) == 4
        on = {
            name: statement
            for statement in statements
            if (found := re.match(r'create row policy or replace "(\w+)" on ', statement))
            and f'"{database}".' in statement
            for name in [found[1]]
        }
        at_home = [each for each in world.tenants.values() if world.home(each) == database]
        assert len(on) == len(at_home) + 2
        for statement in on.values():
            assert set(re.findall(rf'"{database}"\."(\w+)"', statement)) == holding
        assert on[f"{database}_nobody"].endswith("using 0 to all")
        for tenant in at_home:
            role = access.tenant_role(database, tenant.id)
            assert on[role].endswith(f'using "tenant_id" = toUUID(\'{tenant.id}\') to "{role}"')


def test_no_password_stands_in_what_is_printed(world: World) -> None:
    users = [statement for statement in compiled(world) if statement.startswith("create user")]
    assert len(users) == 2
    assert all(re.search(r"by \{\w+_password:String\}", statement) for statement in users)


def test_who_has_no_tenants_role_has_none_by_default(world: World) -> None:
    (reader,) = (
        each for each in compiled(world) if each.startswith(f'create user if not exists "{world.database}_reader"')
    )
    assert "default role none" in reader


READ = """
import json, sys
from pathlib import Path
from serving.clickhouse.store import connect
from settings import TailraceError, load_settings
settings = load_settings(config_path=Path(sys.argv[1]))
found = []
with connect(settings.serving.clickhouse, options={"config-file": sys.argv[2]}) as store:
    for query in json.loads(sys.stdin.read()):
        try:
            found.append([[str(value) for value in row] for row in store.rows(query)])
        except TailraceError as error:
            found.append(str(error))
print(json.dumps(found))
"""


def as_role(world: World, role: str, queries: list[str]) -> list[Any]:
    """What a process is answered whose engine knows one user, with the policies and privileges compiled for a role."""
    database = world.database
    details = load_details(world.manifest)
    at_home = [each.id for each in world.tenants.values() if world.home(each) == database]
    (policy,) = [each for each in access.policies(database, details, at_home) if each.role == role] or [None]
    filters = ""
    for table in policy.tables if policy else _holding(world):
        name = table.split(".")[1].strip('"')
        filters += f"<{name}><filter>{escape(policy.using) if policy else 0}</filter></{name}>"
    grants = "".join(f"<query>grant {escape(each)}</query>" for each in access.granted(database, details))
    folder = world.directory / "config"
    folder.mkdir(exist_ok=True)
    (folder / "users.xml").write_text(
        "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default><password/>"
        "<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>"
        f"<grants>{grants}</grants><databases><{database}>{filters}</{database}></databases>"
        "</default></users></clickhouse>"
    )
    (folder / "config.xml").write_text(f"<clickhouse><users_config>{folder / 'users.xml'}</users_config></clickhouse>")
    done = subprocess.run(
        [sys.executable, "-c", READ, str(world.directory / "tailrace.yml"), str(folder / "config.xml")],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        input=json.dumps(queries),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def _holding(world: World) -> list[str]:
    (policy, *_) = access.policies(world.database, load_details(world.manifest), [world.tenants["acorn"].id])
    return list(policy.tables)


def test_a_tenant_reads_its_own_rows_and_nobody_elses_whatever_it_asks(world: World) -> None:
    database, own, other = world.database, world.tenants["acorn"].id, world.tenants["birch"].id
    with world.store() as store:
        relation = Snapshot.open(store, database, own).publication.relations[MODEL]
        holding = [
            f"{database}.{each}" for each in (relation, f"{relation}_hourly", f"{relation}_users_daily", "slices")
        ]
        mine = [store.rows(f"select count() from {table} where tenant_id = '{own}'")[0][0] for table in holding]
        everybodys = [store.rows(f"select count() from {table}")[0][0] for table in holding]
    assert all(0 < few < many for few, many in zip(mine, everybodys, strict=True))
    views = [f"{database}.{each}" for each in (MODEL, f"{MODEL}_hourly", f"{MODEL}_users_daily")]
    one = holding[0]
    counted = [f"select count() from {table}" for table in holding]
    of_other = [f"select count() from {table} where tenant_id = '{other}'" for table in (*holding, *views)]
    distinct = [f"select distinct tenant_id from {table}" for table in (*holding, *views)]
    twisted = [
        f"select count() from {one} where tenant_id = '{other}' or 1 = 1",
        f"select count() from (select tenant_id from {one} union all select tenant_id from {one}) "
        f"where tenant_id = '{other}'",
        f"select count() from {one} prewhere tenant_id = '{other}'",
        f"select count() from {one}_hourly final where tenant_id <> '{own}'",
        f"select count() from {one} as a join {one} as b using (day) where b.tenant_id = '{other}'",
        f"select count() from {one} where throwIf(tenant_id = '{other}') = 1",
        f"select uniqExact(tenant_id) - 1 from {one}",
        f"select count() from merge('{database}', '^{MODEL}_') where tenant_id = '{other}'",
        f"select count() from {one} where tenant_id in (select tenant_id from {database}.slices "
        f"where tenant_id = '{other}')",
    ]
    refused = [
        f"select * from {database}.{relation}_hourly_filling",
        f"insert into {one} (tenant_id, day) values ('{own}', today())",
        f"alter table {one} delete where 1",
        f"drop table {one}",
        f"truncate table {one}",
        f"create table {database}.mine (a Int8) engine = Memory",
        "create row policy p on x.y using 1 to all",
        f"select * from mergeTreeIndex('{database}', '{relation}')",
        "select * from file('/etc/passwd', 'LineAsString')",
        "select * from url('http://127.0.0.1:1/', 'LineAsString')",
        f"select count() from {world.home(world.tenants['deep-vault'])}.slices",
    ]
    role = access.tenant_role(database, own)
    answers = iter(as_role(world, role, [*counted, *of_other, *distinct, *twisted, *refused]))
    assert [next(answers) for _ in counted] == [[[str(count)]] for count in mine]
    assert [next(answers) for _ in of_other] == [[["0"]]] * len(of_other)
    assert [next(answers) for _ in distinct] == [[[own]]] * len(distinct)
    found = {query: next(answers) for query in twisted}
    assert found.pop(twisted[0]) == [[str(mine[0])]]
    assert {query: answer for query, answer in found.items() if answer != [["0"]]} == {}
    for query in refused:
        answer = next(answers)
        assert isinstance(answer, str), (query, answer)
        assert "refused with" in answer


def test_who_is_no_tenant_reads_no_row(world: World) -> None:
    queries = [f"select count() from {table}" for table in _holding(world)]
    assert as_role(world, "nobody", queries) == [[["0"]]] * len(queries)
