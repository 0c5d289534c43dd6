"""The private server: each version that this machine has starts, captures logically and survives a power cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from demo import postgres
from demo.postgres import VERSIONS, EmbeddedPostgres, available_versions
from settings import TailraceError


@pytest.mark.operations
@pytest.mark.parametrize("version", available_versions())
def test_a_version_runs_with_logical_decoding_and_recovers_from_a_power_cut(tmp_path: Path, version: Any) -> None:
    with EmbeddedPostgres(tmp_path, version=version) as server:
        with server.connect() as connection:
            connection.execute("create table kept (n int)")
            connection.execute("insert into kept values (1)")
            connection.execute("select pg_create_logical_replication_slot('s', 'pgoutput')")
        server.kill()
        server.start()
        with server.connect() as connection:
            assert connection.execute("show server_version").fetchone()[0].split(".")[0] == version
            assert connection.execute("select n from kept").fetchall() == [(1,)]
            assert connection.execute("select slot_name::text from pg_replication_slots").fetchall() == [("s",)]
    assert not server.running


def test_the_wheel_always_brings_its_versions() -> None:
    assert {"16", "18"} <= set(available_versions()) <= set(VERSIONS)


def test_a_version_that_is_not_here_is_said_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_DEBIAN_15", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "15" not in available_versions()
    with pytest.raises(TailraceError, match="PostgreSQL 15 is not on this machine; install it"):
        EmbeddedPostgres(tmp_path, version="15")
    with pytest.raises(TailraceError, match="choose one of 15, 16, 18"):
        EmbeddedPostgres(tmp_path, version="9")  # type: ignore[arg-type]


def test_a_folder_of_another_version_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, version="16"):
        pass
    with pytest.raises(TailraceError, match="was made by PostgreSQL 16"):
        EmbeddedPostgres(tmp_path, version="18").start()
