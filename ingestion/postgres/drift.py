"""A source whose tables change: which columns land now, and what has to be copied before the stream can go on.

A column that no contract classifies is restricted: if the publication lists it, it lands in raw, is wiped when its row
is deleted, and goes no further; either way it is named to the operator. A column that the source dropped keeps in raw
what was landed of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ingestion.land import META, RawColumn, RawTable
from ingestion.postgres.catalog import SourceTable
from ingestion.postgres.events import RESERVED, RESERVED_BEGINNINGS
from ingestion.postgres.position import Captured, Position
from ingestion.postgres.types import fits, raw_type, widens


def unclassified(relations: Iterable[SourceTable]) -> dict[str, list[str]]:
    """Raw table → names of the columns that the source has and no contract classifies."""
    found: dict[str, set[str]] = {}
    for relation in relations:
        if relation.unclassified:
            found.setdefault(relation.raw.name, set()).update(name for name, *_ in relation.unclassified)
    return {table: sorted(names) for table, names in sorted(found.items())}


def landing(relations: Sequence[SourceTable], present: Mapping[str, Mapping[str, str]]) -> list[SourceTable]:
    """The relations with every column that they publish in their raw table, the restricted ones included.

    ``present`` has the types of raw columns that exist, by table. A restricted column keeps the type that raw has if
    every value fits; else it takes its natural one, or VARCHAR where schemas differ.
    """
    wanted: dict[str, dict[str, set[str]]] = {}
    for relation in relations:
        for name, oid, typmod in _restricted(relation):
            known = present.get(relation.raw.name, {}).get(name)
            kind = known if known is not None and fits(oid, typmod, known) else raw_type(oid, typmod)
            wanted.setdefault(relation.raw.name, {}).setdefault(name, set()).add(kind)
    extended: dict[str, RawTable] = {}
    for relation in relations:
        raw, extra = relation.raw, wanted.get(relation.raw.name)
        if extra and raw.name not in extended:
            columns = [RawColumn(name, min(kinds) if len(kinds) == 1 else "VARCHAR") for name, kinds in extra.items()]
            extended[raw.name] = replace(raw, columns=(*raw.columns, *columns), personal=raw.personal | set(extra))
    return [
        replace(
            relation,
            raw=extended.get(relation.raw.name, relation.raw),
            types=relation.types | {name: (oid, typmod) for name, oid, typmod in _restricted(relation)},
        )
        for relation in relations
    ]


def _restricted(relation: SourceTable) -> list[tuple[str, int, int]]:
    """Unclassified columns that are published, but for names that raw could not tell from others."""
    taken = {column.name.lower() for column in relation.raw.columns} | {name for name, _ in META} | RESERVED
    found = []
    for name, oid, typmod, published in relation.unclassified:
        if published and name.lower() not in taken and not name.startswith(RESERVED_BEGINNINGS):
            taken.add(name.lower())
            found.append((name, oid, typmod))
    return found


@dataclass
class Drift:
    """How the published relations differ from those that the position covers."""

    fresh: list[SourceTable] = field(default_factory=list)
    """To be copied whole: new, made anew under the same name, or changed where no key tells which row is which."""
    grown: dict[str, tuple[SourceTable, list[str]]] = field(default_factory=dict)
    """Relation → the columns to be copied, of all of its rows."""
    altered: list[SourceTable] = field(default_factory=list)
    """Changed without an effect on what was landed: to be remembered."""
    gone: list[str] = field(default_factory=list)
    """No longer published."""

    @property
    def retyped(self) -> dict[str, list[str]]:
        """Columns whose old values need not fit any more, because they will be copied again."""
        return {name: columns for name, (_, columns) in self.grown.items()}


def captured(relation: SourceTable) -> Captured:
    """What is to be remembered of a relation whose rows are landed as it is now."""
    state = relation.state
    columns = {name: (kind, *state.columns[name]) for name, kind in relation.shape.items()}
    return Captured(state.oid, dict(state.files), columns)


def compare(position: Position, relations: Sequence[SourceTable]) -> Drift:
    """What changed at the source since the position was stored."""
    drift = Drift(gone=sorted(set(position.relations) - {relation.name for relation in relations}))
    for relation in relations:
        known = position.relations.get(relation.name)
        if known is None or known.oid != relation.state.oid or _partitions_changed(known, relation):
            drift.fresh.append(relation)
            continue
        changed = _changed_columns(known, relation)
        if changed and set(changed).isdisjoint(relation.raw.key) and relation.raw.key:
            drift.grown[relation.name] = (relation, changed)
        elif changed:
            drift.fresh.append(relation)  # nothing says which row a value belongs to
        elif known != captured(relation):
            drift.altered.append(relation)
    return drift


def _changed_columns(known: Captured, relation: SourceTable) -> list[str]:
    """Columns whose landed values need not be the source's: new ones, of another type, or rewritten in place.

    A table is rewritten for many reasons; a column's values were changed by it if its definition changed, too.
    """
    rewritten = known.files != dict(relation.state.files)
    changed = []
    for name, kind in relation.shape.items():
        number, oid, version = relation.state.columns[name]
        was = known.columns.get(name)
        if (
            was is None
            or was[1:3] != (number, oid)
            or (rewritten and was[3] != version)
            or not (was[0] == kind or widens(was[0], kind))
        ):
            changed.append(name)
    return changed


def _partitions_changed(known: Captured, relation: SourceTable) -> bool:
    """Rows came or went with their partition: attached, detached, dropped or truncated, which the root is not told."""
    if relation.kind != "p":
        return False
    now = dict(relation.state.files)
    new = set(now) - set(known.files)
    return any(now.get(oid) != file for oid, file in known.files.items()) or bool(new & relation.state.filled)
