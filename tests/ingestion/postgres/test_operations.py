"""What befalls servers: lost slots, restores, failovers. Each is told from the others, and none is silent."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from demo import postgres as demo_postgres
from demo.postgres import EmbeddedPostgres
from ingestion.postgres import standings, sync
from ingestion.postgres.connection import connect, lsn_number
from ingestion.postgres.position import Position
from ingestion.postgres.slots import StreamLostError, find_slot, lag, timeline_history

from .conftest import Product

pytestmark = pytest.mark.operations
TENANT = "00000000-0000-0000-0000-000000000001"


def add(product: Any, first: int, last: int, *, schema: str = "app") -> None:
    product.run(
        product.shared,
        f"insert into {schema}.items (tenant_id, id, title, n) "
        f"select '{TENANT}', md5(i::text)::uuid, 'title', i from generate_series({first}, {last}) i",
    )


def resnapshotting(product: Any) -> None:
    """From now on a lost stream is copied anew."""
    text = product.config.read_text()
    product.config.write_text(text.replace("slot: tr\n", "slot: tr\n    on_slot_lost: resnapshot\n"))


def lost(product: Any, problem: str) -> None:
    """The loss is refused in one line with its remedies; then, where the configuration says so, mended by a copy."""
    before = product.raw("select count(*) from raw_app.items")
    with pytest.raises(StreamLostError) as caught:
        product.sync()
    text = str(caught.value)
    assert problem in text
    assert "\n" not in text
    assert f"tailrace resnapshot --database {product.shared}" in text
    assert "on_slot_lost" in text
    assert product.raw("select count(*) from raw_app.items") == before
    resnapshotting(product)
    told: list[str] = []
    report = sync(product.settings, product.warehouse, tables=product.tables, progress=told.append)[0]
    assert any(problem in warning for warning in report.warnings)
    assert any("anew" in line for line in told)
    product.assert_equal()
    add(product, 9001, 9005)
    again = product.sync()[0]
    assert (again.snapshotted, again.warnings) == (0, [])
    product.assert_equal()


def write_wal(product: Any, database: str, megabytes: int) -> None:
    """Real WAL that no publication carries; then the record that the server writes every 15 seconds of activity."""
    product.run(database, "create table if not exists public.noise (filler text)")
    for _ in range(megabytes):
        product.run(database, "insert into public.noise select repeat('x', 1000) from generate_series(1, 960)")
    product.run(database, "checkpoint")


# ------------------------------------------------------------------------------------------- on the shared server


def test_a_dropped_slot_is_copied_anew_where_that_is_wished_for(product: Any) -> None:
    add(product, 1, 20)
    product.sync()
    product.run(product.shared, "delete from app.items where n < 5")
    product.run(product.shared, f"select pg_drop_replication_slot('{product.slot(product.shared)}')")
    add(product, 21, 30)
    lost(product, "is gone")


def test_a_slot_that_someone_else_advanced_is_copied_anew_where_that_is_wished_for(product: Any) -> None:
    add(product, 1, 20)
    product.sync()
    add(product, 21, 30)
    slot = product.slot(product.shared)
    product.run(product.shared, f"select pg_replication_slot_advance('{slot}', pg_current_wal_flush_lsn())")
    lost(product, "by someone else")


def test_resnapshot_copies_one_database_anew_and_forgets_nothing_of_the_others(product: Any) -> None:
    add(product, 1, 20)
    product.sync()
    before = _position(product, product.silo)
    with product.warehouse.writer("test") as con:
        con.execute("delete from raw_app.items where n > 10")
    (report,) = sync(
        product.settings, product.warehouse, database=product.shared, tables=product.tables, resnapshot=True
    )
    assert report.snapshotted == 20
    product.assert_equal()
    assert _position(product, product.silo) == before
    add(product, 21, 30)
    product.sync()
    product.assert_equal()


def test_an_idle_database_holds_no_wal_of_its_neighbours(product: Any) -> None:
    add(product, 1, 5)
    product.sync()
    before = _slot(product)
    write_wal(product, product.silo, 40)
    write_wal(product, product.shared, 10)  # unpublished
    product.sync()
    after = _slot(product)
    assert after.restart > before.restart
    assert after.confirmed > before.confirmed
    with connect(product.settings.sources.postgres.dsn) as connection:
        behind = lag(connection, product.slot(product.shared), after.confirmed)
    assert behind is not None
    assert behind.retained_bytes < 16 * 1024**2
    add(product, 6, 9)
    product.sync()
    product.assert_equal()


def test_lag_is_what_was_written_since_and_nothing_after_a_pass(product: Any) -> None:
    add(product, 1, 5)
    product.sync()
    position = _position(product, product.shared)
    with connect(product.settings.sources.postgres.dsn) as connection:
        began = connection.execute("select (pg_current_wal_flush_lsn() - '0/0')::bigint").fetchone()[0]
        add(product, 6, 500)
        ended = connection.execute("select (pg_current_wal_flush_lsn() - '0/0')::bigint").fetchone()[0]
        slot = product.slot(product.shared)
        behind = lag(connection, slot, position.complete_lsn, position.complete_until)
        assert behind.bytes >= ended - began > 0
        assert behind.seconds > 0
        now = lag(connection, slot, ended + 2**40, position.complete_until)  # whatever the server writes by itself
        assert (now.bytes, now.seconds) == (0, 0.0)
        assert lag(connection, "no_such_slot", ended) is None
        assert now.safe_bytes is None
        assert now.wal_status == "reserved"
    report = product.sync()[0]
    assert lsn_number(report.lsn) >= ended


def test_the_standing_tells_lag_warnings_and_columns_that_nobody_classified(product: Any) -> None:
    add(product, 1, 5)
    tables = product.tables
    first = {each.database: each for each in standings(product.settings, tables=tables, positions={})}
    assert first[product.shared].reachable
    assert (first[product.shared].lsn, first[product.shared].lag_bytes) == (None, None)
    product.sync()
    product.run(product.shared, "alter table app.members add column nick text")
    product.run(product.shared, "alter publication tailrace drop table t_acme.members")
    positions = {name: _position(product, name) for name in product.schemas}
    after = {each.database: each for each in standings(product.settings, tables=tables, positions=positions)}
    shared = after[product.shared]
    assert shared.unclassified["members"] == ["nick"]
    assert [warning for warning in shared.warnings if "t_acme.members" in warning]
    assert shared.problems == []
    assert shared.lag_bytes is not None
    assert shared.retained_bytes is not None
    product.run(product.shared, f"select pg_drop_replication_slot('{product.slot(product.shared)}')")
    gone = {each.database: each for each in standings(product.settings, tables=tables, positions=positions)}
    assert "is gone" in gone[product.shared].problems[0]
    config = product.config.read_text()
    product.config.write_text(config.replace(f":{product.server.port}/", ":9/"))
    down = {each.database: each for each in standings(product.settings, tables=tables, positions=positions)}
    assert set(down) == set(product.schemas)
    assert not down[product.shared].reachable
    assert "not reachable" in down[product.shared].problems[0]
    assert down[product.shared].lsn == after[product.shared].lsn
    product.config.write_text(config)


# ------------------------------------------------------------------------------------------- on servers of its own


@pytest.fixture
def own(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Product]:
    """A product on a server that the test may break."""
    with EmbeddedPostgres(tmp_path / "own", version=postgres.version) as server:
        made = Product(server, tmp_path, 1)
        yield made
        for connection in made._connections.values():
            connection.close()


@contextmanager
def served_by(product: Any, server: EmbeddedPostgres) -> Iterator[None]:
    """The product's name now leads to another server."""
    text, old = product.config.read_text(), product.server
    product.config.write_text(
        text.replace(old.dsn("", role="cdc").partition("/?")[0], server.dsn("", role="cdc").partition("/?")[0])
    )
    product.server = server
    for connection in product._connections.values():
        connection.close()
    product._connections.clear()
    yield


def test_a_server_restored_from_an_older_copy_of_its_files_is_recognised(own: Any, tmp_path: Path) -> None:
    add(own, 1, 20)
    own.sync()
    own.server.stop()
    shutil.copytree(own.server.data, tmp_path / "backup", symlinks=True)
    own.server.start()
    for start in (100, 200, 300):
        add(own, start, start + 20)
        own.run(own.shared, "checkpoint")
        own.sync()
    own.server.stop()
    _replace_data(own.server, tmp_path / "backup")
    own.server.start()
    position = _position(own, own.shared)
    with pytest.raises(StreamLostError, match="is behind"):
        own.sync()
    # It is written on, past the position; its slot stands where it did when the copy was made.
    add(own, 1000, 1020)
    while _flushed(own) <= position.lsn:
        own.run(own.shared, "select pg_switch_wal()", "select pg_logical_emit_message(false, 'test', 'x')")
    lost(own, "restored from an older copy")


def test_a_slot_that_outgrew_its_limit_warns_first_and_is_copied_anew_after(own: Any) -> None:
    add(own, 1, 20)
    own.sync()
    own.run("postgres", "checkpoint")
    with own.server.connect() as connection:
        connection.execute("alter system set max_slot_wal_keep_size = '64MB'")
        connection.execute("select pg_reload_conf()")
        write_wal(own, own.silo, 52)
        _until(lambda: [each for each in own.findings() if "is invalidated when" in each.problem])
        (finding,) = [each for each in own.findings() if "is invalidated when" in each.problem]
        assert finding.severity == "warning"
        for statement in finding.remedy.split("`")[1].split(";"):
            connection.execute(statement)
        _until(lambda: not [each for each in own.findings() if "is invalidated when" in each.problem])
        connection.execute("alter system set max_slot_wal_keep_size = '1MB'")
        connection.execute("select pg_reload_conf()")
        write_wal(own, own.silo, 40)
        _until(lambda: [each for each in own.findings() if "was invalidated" in each.problem])
        connection.execute("alter system reset max_slot_wal_keep_size")
        connection.execute("select pg_reload_conf()")
    lost(own, "was invalidated")


def test_a_failover_to_a_standby_that_has_the_slot_goes_on(own: Any, tmp_path: Path) -> None:
    if int(own.server.version) < 17:
        pytest.skip("slots are synchronised to standbys from PostgreSQL 17 on")
    add(own, 1, 20)
    own.sync()
    with _standby(own.server, tmp_path / "standby", own.shared) as standby:
        names = [own.slot(database) for database in own.schemas]
        ready = "select count(*) from pg_replication_slots where slot_name = any(%s) and synced and not temporary"
        with standby.connect() as watching:

            def synchronised() -> bool:
                """A standby takes a slot over once the slot has moved past what the standby still has of the WAL."""
                for database in own.schemas:
                    own.run(
                        database, "checkpoint", "select pg_logical_emit_message(true, 'test', repeat('x', 20000000))"
                    )
                own.run(own.shared, "checkpoint")
                own.sync()
                return watching.execute(ready, [names]).fetchone() == (len(names),)

            _until(synchronised)
            add(own, 21, 30)
            own.sync()
            add(own, 31, 40)  # not landed when the primary dies
            end = own.run(own.shared, "select pg_current_wal_flush_lsn()::text")[0][0]
            _until(lambda: watching.execute("select pg_last_wal_replay_lsn() >= %s::pg_lsn", [end]).fetchone()[0])
        own.server.kill()
        with standby.connect() as connection:
            assert connection.execute("select pg_promote()").fetchone() == (True,)
        with served_by(own, standby):
            add(own, 41, 50)
            own.run(own.shared, "delete from app.items where n between 15 and 35")
            report = own.sync()[0]
            own.assert_equal()
            assert report.snapshotted == 0
            assert any("failover" in warning for warning in report.warnings)
            assert own.sync()[0].warnings == []
            assert _position(own, own.shared).timeline == 2
            assert set(timeline_history(own.settings.sources.postgres.dsn, 2)) == {1}


def test_a_failover_that_lost_what_was_landed_is_recognised(own: Any, tmp_path: Path) -> None:
    add(own, 1, 20)
    own.sync()
    with _standby(own.server, tmp_path / "standby", own.shared) as standby:
        standby.stop()
        add(own, 21, 30)
        own.sync()  # landed, and never seen by the standby
        own.server.kill()
        standby.start()
        with standby.connect() as connection:
            assert connection.execute("select pg_promote()").fetchone() == (True,)
        with served_by(own, standby):
            add(own, 31, 40)
            lost(own, "left timeline 1")


def test_what_the_server_lacks_is_named_and_mended(
    postgres: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("wal_level", "max_replication_slots", "max_wal_senders"):
        monkeypatch.delitem(demo_postgres._OPTIONS, name)  # options of the command line would win over the remedy
    with EmbeddedPostgres(tmp_path / "own", version=postgres.version) as server:
        with server.connect() as connection:
            connection.execute("alter system set max_replication_slots = 1")
            connection.execute("alter system set max_wal_senders = 0")
            connection.execute("alter system set wal_level = replica")
            if int(server.version) >= 18:
                connection.execute("alter system set idle_replication_slot_timeout = '1h'")
        _restart(server)
        product = Product(server, tmp_path, 1)
        problems = {
            "wal_level is replica": "error",
            "replication slots are in use": "error",
            "wal senders are in use": "error",
        }
        if int(server.version) >= 18:
            problems["was not read for 3600 s"] = "warning"
        for problem, severity in problems.items():
            (finding,) = [each for each in product.findings() if problem in each.problem]
            assert finding.severity == severity
            with server.connect() as connection:
                for statement in finding.remedy.split("`")[1].split(";"):
                    connection.execute(statement)
        _restart(server)
        assert product.findings() == []
        add(product, 1, 5)
        product.sync()
        product.assert_equal()


@contextmanager
def _standby(primary: EmbeddedPostgres, folder: Path, database: str) -> Iterator[EmbeddedPostgres]:
    """A standby that synchronises slots where the version can, running until the end of the block."""
    standby = EmbeddedPostgres(folder, version=primary.version)
    folder.mkdir()
    shutil.copy(primary.passfile, standby.passfile)
    if os.geteuid() == 0:
        shutil.chown(folder, demo_postgres._RUN_AS)
        shutil.copy(primary.passfile, folder / "standby.pass")
        shutil.chown(folder / "standby.pass", demo_postgres._RUN_AS)
    else:
        shutil.copy(primary.passfile, folder / "standby.pass")
    (folder / "standby.pass").chmod(0o600)
    subprocess.run(
        [
            *demo_postgres.unprivileged(),
            str(primary._binaries / "pg_basebackup"),
            f"--pgdata={standby.data}",
            f"--dbname=postgresql://postgres@127.0.0.1:{primary.port}/?passfile={folder / 'standby.pass'}",
            "--create-slot",
            "--slot=standby",
            "--no-sync",
            "--checkpoint=fast",
        ],
        check=True,
        capture_output=True,
    )
    settings = {
        "primary_conninfo": f"host=127.0.0.1 port={primary.port} user=postgres dbname={database} "
        f"passfile={folder / 'standby.pass'}",
        "primary_slot_name": "standby",
        "hot_standby_feedback": "on",
    }
    if int(primary.version) >= 17:
        settings["sync_replication_slots"] = "on"
    with (standby.data / "postgresql.auto.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    (standby.data / "standby.signal").touch()
    with standby:
        yield standby


def _replace_data(server: EmbeddedPostgres, copy: Path) -> None:
    shutil.rmtree(server.data)
    shutil.copytree(copy, server.data, symlinks=True)
    server.data.chmod(0o700)
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", demo_postgres._RUN_AS, str(server.data)], check=True)


def _restart(server: EmbeddedPostgres) -> None:
    server.stop()
    server.start()


def _position(product: Any, database: str) -> Position:
    with product.warehouse.reader() as con:
        position = Position.read(con, database)
    assert position is not None
    return position


def _slot(product: Any) -> Any:
    with connect(product.settings.sources.postgres.dsn) as connection:
        return find_slot(connection, product.slot(product.shared))


def _flushed(product: Any) -> int:
    return int(product.run(product.shared, "select (pg_current_wal_flush_lsn() - '0/0')::bigint")[0][0])


def _until(done: Callable[[], Any], *, patience: float = 60.0) -> None:
    deadline = time.monotonic() + patience
    while not done():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.2)
