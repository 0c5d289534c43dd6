"""A contender that counts has landed what the source has; one that has not is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from bench import contenders
from bench.per_message import PerMessage
from bench.source import BASE, DATABASE, PUBLICATION, Source
from bench.tables import EVENTS, EVENTS_DDL, insert_events, update_events
from ingestion.postgres.slots import slot_name
from settings import TailraceError

ROWS = 300


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """Events written in many transactions, some of them corrected, moved or deleted later, since the base slot."""
    with Source(tmp_path_factory.mktemp("bench")) as source:
        source.run(EVENTS_DDL)
        source.publish((EVENTS,))
        contenders.first_capture(source, "events")
        source.write(insert_events, ROWS, rows_a_commit=7)
        source.write(update_events, ROWS, rows_a_commit=100)
        source.run(
            "delete from app.events where id % 11 = 0",
            "update app.events set id = id + 1000000 where id % 13 = 0",
            "update app.events set kind = 'again' where id > 1000000",
        )
        yield source


def peer(source: Source, path: Path) -> PerMessage:
    slot = slot_name(BASE, DATABASE)
    source.run(f"select pg_copy_logical_replication_slot('{slot}', 'peer')")
    return PerMessage(dsn=source.dsn, slot="peer", publication=PUBLICATION, path=path, table=EVENTS)


@pytest.mark.operations
def test_every_contender_lands_inserts_updates_moves_and_deletes(source: Source, tmp_path: Path) -> None:
    assert contenders.engine(source, "events").seconds > 0
    assert contenders.engine_snapshot(source, "events").seconds > 0
    assert contenders.recvlogical(source).seconds > 0
    assert contenders.copy_binary(source).seconds > 0
    reader = peer(source, tmp_path / "peer.duckdb")
    reader.run()
    source.verify(tmp_path / "peer.duckdb", (EVENTS,), lambda table: table.name)
    source.run("update app.events set kind = 'last' where id < 50")
    source.changed()
    reader.run()  # goes on from where it stopped
    source.verify(tmp_path / "peer.duckdb", (EVENTS,), lambda table: table.name)
    source.run("select pg_drop_replication_slot('peer')")


@pytest.mark.parametrize(
    "damage",
    [
        "delete from events where id = 1",
        "insert into events select * from events where id = 1",
        "update events set amount = amount + 0.01 where id = 1",
        'update events set "at" = "at" + interval 1 microsecond where id = 1',
        "update events set url = null where id = 1",
    ],
)
def test_a_contender_that_lost_doubled_or_changed_a_row_does_not_count(
    source: Source, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "peer.duckdb"
    peer(source, path).run()
    source.run("select pg_drop_replication_slot('peer')")
    source.verify(path, (EVENTS,), lambda table: table.name)
    with duckdb.connect(str(path)) as con:
        con.execute(damage)
    with pytest.raises(TailraceError, match="does not count"):
        source.verify(path, (EVENTS,), lambda table: table.name)
