"""Each fault in each source: nothing is lost, nothing doubled, and raw equals the sandbox's state."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from demo.sandbox.faults import KINDS, OF_ONE
from tests.ingestion.worlds import WORLDS, open_world

ANSWERED_AGAIN = {"429", "500", "503", "timeout", "cut", "truncated", "garbled", "request_limit"}
PATIENCE = 0.5  # seconds that a reader here waits for an answer
# Salesforce is held to every fault by its queries; by its jobs, too, where there is more time.
SLOWER = {"salesforce-bulk": pytest.mark.operations}
MATRIX = [
    pytest.param(name, fault, marks=SLOWER.get(name, ()))
    for name, world in WORLDS.items()
    for fault in (*KINDS, *OF_ONE)
    if fault != "poison" and OF_ONE.get(fault, world.kind) == world.kind
]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Readers that do not sleep between attempts; how long they would have."""
    asked: list[float] = []
    sleep, send = time.sleep, urllib3.HTTPConnectionPool.urlopen

    def hurried(self: Any, *args: Any, **options: Any) -> Any:
        return send(self, *args, **options | {"timeout": urllib3.Timeout(PATIENCE)})

    def nap(seconds: float) -> None:
        asked.append(seconds)
        sleep(min(seconds, 0.001))

    monkeypatch.setattr(urllib3.HTTPConnectionPool, "urlopen", hurried)
    monkeypatch.setattr(time, "sleep", nap)
    return asked


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The state files of the worlds as they were founded, by name; they are filled once they are asked for."""
    return {}


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path, founded: dict[str, bytes]) -> Iterator[Any]:
    name, state = request.param, tmp_path / "state.sqlite"
    if name not in founded:
        running, made = open_world(name, state)
        made.found()
        running.stop()
        founded[name] = state.read_bytes()
    state.write_bytes(founded[name])
    running, made = open_world(name, state)
    yield made
    running.stop()


def order(world: Any, fault: str) -> None:
    """The fault on the second request and on some after it, wherever they go; a clock is off for half of the writes."""
    if fault == "clock_skew":
        faults = [{"kind": fault, "method": "POST", "times": 99, "share": 0.5, "seconds": -120, "on": "/"}]
    else:
        more = {"seconds": PATIENCE * 2} if fault == "timeout" else {"retry_after": "3"}
        faults = [{"kind": fault, "skip": skip, **more} for skip in ((1, 3, 5) if fault != "session" else (1,))]
    world.order(faults)


@pytest.mark.parametrize(("world", "fault"), MATRIX, indirect=["world"])
def test_a_fault_loses_and_doubles_nothing(
    world: Any, fault: str, tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, warehouse = world.deployment(tmp_path / "deployment", monkeypatch)
    order(world, fault)
    report = world.sync(settings, warehouse)
    world.assert_equal(warehouse)
    struck = world.struck()
    if fault in ANSWERED_AGAIN:
        assert report.retries >= struck.get(fault, 0) > 0
    if fault in ("429", "503", "request_limit"):
        assert any(wait >= 3 for wait in waits), "Retry-After is followed"

    order(world, fault)
    world.live()
    world.sync(settings, warehouse)
    world.assert_equal(warehouse)
    world.order([])
    again = world.sync(settings, warehouse)
    assert (again.rows, again.deleted.total()) == (0, 0), "what was landed is not landed again"


@pytest.mark.parametrize("world", [pytest.param(name, marks=SLOWER.get(name, ())) for name in WORLDS], indirect=True)
def test_a_poisoned_record_waits_and_no_other_is_lost_or_doubled(
    world: Any, tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, warehouse = world.deployment(tmp_path / "deployment", monkeypatch)
    (table, on), victim = world.poisonable, world.victim()
    schema, name = table.split(".")

    def landed() -> list[str]:
        with warehouse.reader() as con:
            live = con.execute(f'select id from {schema}."{name}" where _ab_cdc_deleted_at is null').fetchall()  # noqa: S608
        return [key for (key,) in live]

    world.order([{"kind": "poison", "record": victim, "on": on}])
    for _ in range(2):
        report = world.sync(settings, warehouse)
        assert report.skipped == {name: 1}
        rows = landed()
        assert len(rows) == len(set(rows)) > 0
        assert victim not in rows
        world.live()
    assert world.struck()["poison"] > 0
    world.order([])
    assert world.sync(settings, warehouse).skipped.total() == 0
    world.assert_equal(warehouse)
