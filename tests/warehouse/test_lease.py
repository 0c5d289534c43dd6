"""Writers wait in turn, and a dead one is no obstacle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import duckdb
import pytest

from settings import ROOT, TailraceError
from warehouse import DuckDBWarehouse, positions, transaction
from warehouse.lease import holder, lease

HOLD = """
import sys, time
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from warehouse.lease import lease
with lease(Path(sys.argv[1]), purpose="a long landing"):
    print("held", flush=True)
    time.sleep(60)
"""


def _holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "held"
    return process


def test_a_waiting_writer_says_for_whom_and_a_killed_holder_frees_the_place(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    process = _holder(path)
    said: list[str] = []
    try:
        assert "a long landing" in str(holder(path))
        threading.Timer(0.3, lambda: os.kill(process.pid, signal.SIGKILL)).start()
        with lease(path, purpose="a publish", on_wait=said.append):
            assert process.wait() == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
    assert len(said) == 1
    assert "a publish waits for a long landing" in said[0]
    assert holder(path) is None


def test_a_turn_that_never_comes_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    process = _holder(path)
    try:
        with pytest.raises(TailraceError, match="a long landing"), lease(path, purpose="a publish", timeout=0.2):
            pass
    finally:
        process.kill()
        process.wait()


def test_many_writers_at_once_lose_no_row_and_see_no_lock_error(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", vault_path=tmp_path / "v.duckdb")
    with warehouse.writer("set-up") as connection:
        connection.execute("create table numbers (n integer)")
    script = (
        "import sys; from pathlib import Path; from warehouse import DuckDBWarehouse, transaction\n"
        "w = DuckDBWarehouse(Path(sys.argv[1]), vault_path=Path(sys.argv[2]))\n"
        "for n in range(5):\n"
        "    with w.writer('writer') as c, transaction(c): c.execute('insert into numbers values (?)', [n])\n"
    )
    arguments = [str(tmp_path / "w.duckdb"), str(tmp_path / "v.duckdb")]
    writers = [subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=ROOT) for _ in range(3)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    with warehouse.reader() as connection:
        assert connection.execute("select count(*), sum(n) from numbers").fetchone() == (15, 3 * sum(range(5)))


def test_a_position_commits_with_its_rows_or_not_at_all(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", vault_path=tmp_path / "v.duckdb")
    with warehouse.writer("landing") as connection:
        assert positions.read(connection, "stripe", "events") is None
        with transaction(connection):
            positions.write(connection, "stripe", "events", {"last": "evt_1"})
        with pytest.raises(duckdb.Error), transaction(connection):
            _move_on_and_fail(connection)
        assert positions.read(connection, "stripe", "events") == {"last": "evt_1"}
        assert [(source, stream) for source, stream, _, _ in positions.all_positions(connection)] == [
            ("stripe", "events")
        ]


def _move_on_and_fail(connection: duckdb.DuckDBPyConnection) -> None:
    positions.write(connection, "stripe", "events", {"last": "evt_2"})
    connection.execute("insert into nowhere values (1)")


def test_the_vault_is_for_its_owner_only(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", vault_path=tmp_path / "v.duckdb")
    with warehouse.writer("keys") as connection:
        connection.execute("create table vault.t (n integer)")
    assert (tmp_path / "v.duckdb").stat().st_mode & 0o077 == 0


def test_a_file_that_another_program_holds_is_named_in_one_line(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", vault_path=tmp_path / "v.duckdb")
    with warehouse.writer("set-up"):
        pass
    script = "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print('open', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "w.duckdb")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(TailraceError) as refusal, warehouse.writer("landing"):
            pass
        assert "w.duckdb" in str(refusal.value)
        assert "\n" not in str(refusal.value)
    finally:
        process.kill()
        process.wait()


def test_stamps_follow_each_other_even_when_the_clock_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", vault_path=tmp_path / "v.duckdb")
    with warehouse.writer("landing") as connection:
        first = positions.stamp(connection)
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
        monkeypatch.setattr(positions, "datetime", _Clock(an_hour_ago))
        assert first < positions.stamp(connection) < first + timedelta(seconds=1)


class _Clock:
    """Stands in for ``datetime`` with a clock that stands still."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self, zone: tzinfo) -> datetime:
        return self._now.astimezone(zone)

    fromisoformat = staticmethod(datetime.fromisoformat)
