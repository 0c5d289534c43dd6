"""The difference between what is declared and what the server has. Pure: it reads neither secrets nor the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ingestion.airbyte.desired import Kind, Resource, Secret

Action = Literal["create", "update", "replace", "delete"]
NOT_SET, SET = "(not set)", "(set)"
# Deleted in this order: a source takes its connections with it.
KINDS: tuple[Kind, ...] = ("connection", "source", "destination")


@dataclass(frozen=True, kw_only=True)
class FieldChange:
    """One field by its dotted path. A secret is shown as ``(set)``, whatever it is."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, kw_only=True)
class Change:
    action: Action
    kind: Kind
    name: str
    resource_id: str | None = None
    fields: tuple[FieldChange, ...] = ()
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``ids`` of the resources that stand and stay, by (kind, name); ``notes``: what is left alone, and why."""

    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    ids: Mapping[tuple[Kind, str], str] = field(default_factory=dict)

    def of(self, kind: Kind, *actions: Action) -> Iterator[Change]:
        return (change for change in self.changes if change.kind == kind and change.action in actions)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The server's resources of every kind, as it describes them."""

    source: Sequence[dict[str, Any]]
    destination: Sequence[dict[str, Any]]
    connection: Sequence[dict[str, Any]]


def make(declared: Sequence[Resource], observed: Observed, *, prefix: str) -> Plan:
    """What brings the server to what is declared. Names that do not begin with ``prefix`` are left alone."""
    kept: dict[tuple[Kind, str], dict[str, Any]] = {}
    surplus: list[tuple[Kind, dict[str, Any], str]] = []
    wanted = {(resource.kind, resource.name): resource for resource in declared}
    for kind in KINDS:
        for item in sorted(getattr(observed, kind), key=lambda each: _rank(kind, each, observed)):
            key: tuple[Kind, str] = (kind, str(item.get("name", "")))
            if not key[1].startswith(prefix):
                continue
            if key not in wanted:
                surplus.append((kind, item, "not declared"))
            elif key in kept:
                surplus.append((kind, item, "a second one of this name"))
            else:
                kept[key] = item
    replaced = {
        key for key, item in kept.items() if key[0] != "connection" and item.get(f"{key[0]}Type") != wanted[key].type
    }
    ids = {key: _id(key[0], item) for key, item in kept.items() if key not in replaced}
    changes, notes = _deletions(surplus, observed, prefix)
    for resource in declared:
        key = (resource.kind, resource.name)
        changes += _change(resource, kept.get(key), ids, replaced=key in replaced)
    for change in changes:
        if change.action == "replace":
            ids.pop((change.kind, change.name), None)
    return Plan(changes=tuple(changes), notes=tuple(notes), ids=ids)


def _rank(kind: Kind, item: dict[str, Any], observed: Observed) -> tuple[bool, int]:
    """Of several of one name the one in use stays, else the oldest."""
    used = {each.get(f"{kind}Id") for each in observed.connection} if kind != "connection" else set()
    return (_id(kind, item) not in used, int(item.get("createdAt") or 0))


def _id(kind: str, item: dict[str, Any]) -> str:
    return str(item[f"{kind}Id"])


def _deletions(
    surplus: Sequence[tuple[Kind, dict[str, Any], str]], observed: Observed, prefix: str
) -> tuple[list[Change], list[str]]:
    changes, notes = [], []
    for kind, item, why in surplus:
        strangers = [
            str(each.get("name"))
            for each in observed.connection
            if kind != "connection"
            and each.get(f"{kind}Id") == _id(kind, item)
            and not str(each.get("name")).startswith(prefix)
        ]
        if strangers:
            notes.append(
                f"{kind} {item['name']} is {why}, but connection {strangers[0]}, not ours, uses it: left alone"
            )
        else:
            changes.append(
                Change(action="delete", kind=kind, name=str(item["name"]), resource_id=_id(kind, item), why=why)
            )
    return changes, notes


def _change(
    resource: Resource, item: dict[str, Any] | None, ids: Mapping[tuple[Kind, str], str], *, replaced: bool
) -> list[Change]:
    if item is None:
        new = tuple(_differences(resource.fields, {}))
        return [Change(action="create", kind=resource.kind, name=resource.name, fields=new)]
    names = {value: name for (kind, name), value in ids.items() if kind != "connection"}
    present = connection_fields(item, names) if resource.kind == "connection" else item.get("configuration") or {}
    fields = list(_differences(resource.fields, present))
    if not fields and not replaced:
        return []
    moved = resource.kind == "connection" and any(change.path in ("source", "destination") for change in fields)
    return [
        Change(
            action="replace" if replaced or moved else "update",
            kind=resource.kind,
            name=resource.name,
            resource_id=_id(resource.kind, item),
            fields=tuple(fields),
            why="what it connects or of which type it is cannot be changed in place" if replaced or moved else "",
        )
    ]


def connection_fields(item: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A connection as the server describes it, in the terms in which it is declared. ``names`` by id."""
    streams = (item.get("configurations") or {}).get("streams") or []
    return {
        "source": names.get(str(item.get("sourceId")), "another source"),
        "destination": names.get(str(item.get("destinationId")), "another destination"),
        "status": item.get("status"),
        "schedule": (item.get("schedule") or {}).get("scheduleType"),
        "namespace_definition": item.get("namespaceDefinition"),
        "namespace_format": item.get("namespaceFormat"),
        "prefix": item.get("prefix") or "",
        "non_breaking_schema_updates": item.get("nonBreakingSchemaUpdatesBehavior"),
        "streams": {
            (f"{each['namespace']}." if each.get("namespace") else "") + str(each["name"]): {
                "sync_mode": each.get("syncMode"),
                "cursor": ".".join(each.get("cursorField") or []),
                "primary_key": [".".join(path) for path in each.get("primaryKey") or []],
                "fields": _selected(each),
                "mappers": len(each.get("mappers") or []),
            }
            for each in streams
        },
    }


def _selected(stream: dict[str, Any]) -> list[str]:
    """No selection is a selection of everything, new fields included."""
    chosen = stream.get("selectedFields")
    return ["(every field)"] if not chosen else sorted(".".join(each.get("fieldPath") or []) for each in chosen)


def _differences(declared: Mapping[str, Any], present: Mapping[str, Any], path: str = "") -> Iterator[FieldChange]:
    """Fields that differ from what is declared; what the server adds of its own is not ours, but for streams."""
    for name, after in declared.items():
        before, place = present.get(name), f"{path}{name}"
        if isinstance(after, Secret):
            if not before:
                yield FieldChange(path=place, before=NOT_SET, after=SET)
        elif isinstance(after, Mapping):
            inner = before if isinstance(before, Mapping) else {}
            yield from _differences(after, inner, f"{place}.")
            if name == "streams":
                yield from (
                    FieldChange(path=f"{place}.{stream}", before="landed", after=None)
                    for stream in inner
                    if stream not in after
                )
        elif isinstance(after, list) and isinstance(before, list):
            yield from _list_difference(place, before, after)
        elif not _same(before, after):
            yield FieldChange(path=place, before=before, after=after)


def _list_difference(place: str, before: list[Any], after: list[Any]) -> Iterator[FieldChange]:
    """Of long lists only what came and went."""
    if before == after:
        return
    gone, come = [x for x in before if x not in after], [x for x in after if x not in before]
    both = (gone, come) if gone or come else (before, after)
    yield FieldChange(path=place, before=both[0], after=both[1])


def _same(before: Any, after: Any) -> bool:
    """Moments are the same however they are written."""
    if before == after:
        return True
    if isinstance(before, str) and isinstance(after, str) and before[:4].isdigit() and after[:4].isdigit():
        return _moment(before) == _moment(after) is not None
    return False


def _moment(text: str) -> Any:
    from datetime import datetime

    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
