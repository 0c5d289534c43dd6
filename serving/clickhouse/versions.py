"""Which versions there are: a row of ``publications`` each, more where a stamp moved on, the newest the last."""

# ruff: noqa: S608 - names are the configuration's, each quoted; values are bound

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self

import pyarrow as pa

from serving.clickhouse.store import Store
from serving.clickhouse.tables import PUBLICATIONS, qualified


@dataclass(frozen=True, kw_only=True)
class Publication:
    """``generation`` is the attempt that made it; versions before ``readable_from`` have lost rows.

    ``relations``: model → the table that has its rows, under a name that tells shapes apart.
    """

    version: int
    generation: int
    readable_from: int
    run_id: str
    as_of: datetime
    relations: dict[str, str]

    def as_of_later(self, *, run_id: str, as_of: datetime) -> Self:
        """The same content, known to hold until later."""
        return replace(self, run_id=run_id, as_of=as_of.astimezone(UTC))


def latest(store: Store, database: str, settings: Mapping[str, str] | None = None) -> Publication | None:
    """The version that stands; None where nothing was published yet. ``settings`` say as whom it is asked."""
    return next(iter(kept(store, database, settings)), None)


def kept(store: Store, database: str, settings: Mapping[str, str] | None = None) -> list[Publication]:
    """The versions that can be read, the one that stands first: not more than two."""
    rows = store.rows(
        "select version, generation, readable_from, run_id, as_of, relations "
        f"from {qualified(database, PUBLICATIONS)} order by version desc, as_of desc limit 1 by version limit 2",
        settings=settings,
    )
    found = [
        Publication(
            version=version,
            generation=generation,
            readable_from=readable_from,
            run_id=run_id,
            as_of=as_of.replace(tzinfo=UTC),
            relations=dict(relations),
        )
        for version, generation, readable_from, run_id, as_of, relations in rows
    ]
    return [each for each in found if each.version >= found[0].readable_from]


def record(store: Store, database: str, publication: Publication) -> None:
    """Commit: from this insert on the version stands."""
    columns = {
        "version": pa.array([publication.version], pa.uint64()),
        "generation": pa.array([publication.generation], pa.uint64()),
        "readable_from": pa.array([publication.readable_from], pa.uint64()),
        "run_id": pa.array([publication.run_id], pa.string()),
        "as_of": pa.array([publication.as_of], pa.timestamp("us", "UTC")),
        "relations": pa.array([list(publication.relations.items())], pa.map_(pa.string(), pa.string())),
    }
    store.insert(qualified(database, PUBLICATIONS), pa.table(columns))
