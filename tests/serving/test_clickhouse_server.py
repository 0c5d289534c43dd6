"""A server by configuration: over HTTP, with a credential, and as each tenant's role."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from serving.clickhouse import access
from serving.clickhouse.store import connect
from settings import ROOT, ClickHouse, TailraceError, load_settings
from tests.serving.clickhouse_support import FIRST_DAY, World

pytest.importorskip("clickhouse_connect")
pytest.importorskip("chdb")

from tests.serving import clickhouse_server as server


def pointed_to(world: World, port: int, **section: object) -> None:
    """Have a world publish to a server instead."""
    config = world.directory / "tailrace.yml"
    body = yaml.safe_load(config.read_text())
    body["serving"]["clickhouse"] = {
        "host": "127.0.0.1",
        "port": port,
        "secure": False,
        "user": server.USER,
        "password_env": "CLICKHOUSE_PASSWORD_OF_A_TEST",
        "database": world.database,
        **section,
    }
    config.write_text(yaml.safe_dump(body))
    world.settings = load_settings(config_path=config)


def test_what_is_published_over_http_is_read_over_http_as_the_tenants_role(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLICKHOUSE_PASSWORD_OF_A_TEST", server.PASSWORD)
    world = World(tmp_path)
    world.fill()
    with server.serving(world.path) as front:
        pointed_to(world, front.port)
        world.publish()
        world.rewrite(world.tenants["acorn"], FIRST_DAY, 1)
        world.publish("run 2")
        written = len(front.asked)
        with world.store() as store:
            assert world.in_clickhouse(store) == world.in_warehouse()
        ours = [each for each in front.asked[written:] if f'"{world.database}' in each["query"]]
        roles = {access.tenant_role(world.home(each), each.id): each.id for each in world.tenants.values()}
        assert {each.get("role") for each in ours} == set(roles)
        for asked in ours:
            assert asked["quota_key"] == roles[asked["role"]] == asked.get("param_tenant", asked["quota_key"])
        assert not any(server.PASSWORD in value for asked in front.asked for value in asked.values())


def test_a_wrong_password_is_said_in_one_line_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_PASSWORD_OF_A_TEST", "hunter2")
    world = World(tmp_path)
    with server.serving(world.path) as front:
        pointed_to(world, front.port)
        with pytest.raises(TailraceError, match="password_env") as refused:
            world.publish()
        assert "hunter2" not in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_server_that_is_not_there_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_PASSWORD_OF_A_TEST", server.PASSWORD)
    section = ClickHouse(
        host="127.0.0.1", port=1, secure=False, user="u", password_env="CLICKHOUSE_PASSWORD_OF_A_TEST", database="d"
    )
    with pytest.raises(TailraceError, match=r"ClickHouse 127\.0\.0\.1: not reachable; start it or mend"):
        connect(section)


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"host": "h", "user": "u"}, "user and password_env"),
        ({}, "host of a server, or path"),
        ({"host": "h", "path": "p", "user": "u", "password_env": "P"}, "host of a server, or path"),
        ({"path": "p", "database": "no-dashes"}, "database"),
        ({"path": "p", "region": "eu"}, "rows would leave their region"),
    ],
)
def test_a_section_that_does_not_fit_is_refused_when_it_is_read(
    tmp_path: Path, section: dict[str, str], problem: str
) -> None:
    config = World(tmp_path).directory / "tailrace.yml"
    body = yaml.safe_load(config.read_text())
    body["serving"]["clickhouse"] = section
    config.write_text(yaml.safe_dump(body))
    with pytest.raises(TailraceError, match=problem):
        load_settings(config_path=config)


CONNECT = """
import sys
from pathlib import Path
sys.modules[sys.argv[2]] = None
from serving.clickhouse.store import connect
from settings import TailraceError, load_settings
try:
    connect(load_settings(config_path=Path(sys.argv[1])).serving.clickhouse)
except TailraceError as error:
    print(error)
"""


def connect_in_a_process(world: World, *, without: str = "nothing") -> str:
    """What another process is told."""
    done = subprocess.run(
        [sys.executable, "-c", CONNECT, str(world.directory / "tailrace.yml"), without],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-1000:]
    return done.stdout


@pytest.mark.parametrize("missing", ["clickhouse_connect", "chdb"])
def test_without_the_packages_the_extra_is_named(tmp_path: Path, missing: str) -> None:
    assert "pip install 'tailrace[clickhouse]'" in connect_in_a_process(World(tmp_path), without=missing)


def test_a_folder_that_another_process_has_open_is_said_to_be(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.store():
        assert "another process has it open" in connect_in_a_process(world)
