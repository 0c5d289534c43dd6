"""How the capture of each source database stands now: its position, its lag, its slot, and what wants attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psycopg

from ingestion.land import RawTable
from ingestion.postgres.catalog import discover, read_source
from ingestion.postgres.checks import all_findings
from ingestion.postgres.connection import connect, lsn_text
from ingestion.postgres.drift import unclassified
from ingestion.postgres.position import Position
from ingestion.postgres.slots import lag, slot_name
from settings import PostgresSource, Settings, TailraceError, postgres_problem, source_database


@dataclass(kw_only=True)
class Standing:
    """One source database. What only the server knows is None while it does not answer; ``problems`` says so.

    ``lsn`` and ``complete_until`` are None before the first landing. ``unclassified`` names by raw table the columns
    that no contract classifies.
    """

    database: str
    slot: str
    reachable: bool = False
    lsn: str | None = None
    complete_until: str | None = None
    lag_bytes: int | None = None
    lag_seconds: float | None = None
    retained_bytes: int | None = None
    safe_bytes: int | None = None
    wal_status: str | None = None
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unclassified: dict[str, list[str]] = field(default_factory=dict)


def standings(settings: Settings, *, tables: Sequence[RawTable], positions: Mapping[str, Position]) -> list[Standing]:
    """Every source database; those of ``positions`` (what is landed, by database) when the server does not answer."""
    config = settings.sources.postgres
    try:
        databases = settings.source_databases()
    except TailraceError as error:
        names = dict.fromkeys([source_database(config.dsn), *positions])
        found = [_landed(config, name, positions.get(name)) for name in names]
        for each in found:
            each.problems.append(str(error))
        return found
    return [_standing(config, name, dsn, tables, positions.get(name)) for name, dsn in databases.items()]


def _landed(config: PostgresSource, database: str, position: Position | None) -> Standing:
    result = Standing(database=database, slot=slot_name(config.slot, database))
    if position is not None:
        result.lsn, result.complete_until = lsn_text(position.lsn), position.complete_until
    return result


def _standing(
    config: PostgresSource, database: str, dsn: str, tables: Sequence[RawTable], position: Position | None
) -> Standing:
    result = _landed(config, database, position)
    try:
        with connect(dsn) as connection:
            result.reachable = True
            source = read_source(
                connection,
                publication=config.publication,
                slot=result.slot,
                patterns=config.schemas,
                tables=tables,
            )
            found = all_findings(connection, source, database=database, patterns=config.schemas, tables=tables)
            result.unclassified = unclassified(discover(source, tables))
            lsn = max(position.lsn, position.complete_lsn) if position is not None else 0
            behind = lag(connection, result.slot, lsn, result.complete_until)
    except TailraceError as error:
        result.problems.append(str(error))
        return result
    except psycopg.Error as error:
        result.problems.append(postgres_problem(dsn, error))
        return result
    result.problems += [str(each) for each in found if each.severity == "error"]
    result.warnings += [str(each) for each in found if each.severity == "warning"]
    if behind is not None:
        result.retained_bytes, result.safe_bytes = behind.retained_bytes, behind.safe_bytes
        result.wal_status = behind.wal_status
        if position is not None:
            result.lag_bytes, result.lag_seconds = behind.bytes, behind.seconds
    elif position is not None:
        result.problems.append(
            f"{database}: slot {result.slot} is gone, changes since {result.lsn} are lost; "
            f"`tailrace resnapshot --database {database}` copies its tables anew"
        )
    return result
