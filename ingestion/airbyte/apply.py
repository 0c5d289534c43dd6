"""Reading the server and bringing it to what is declared. Each step stands alone: stop anywhere, apply again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingestion.airbyte.client import AirbyteClient, missing_variables, variables
from ingestion.airbyte.desired import Resource
from ingestion.airbyte.plan import KINDS, Change, Observed, Plan, make
from settings import TailraceError

Progress = Callable[[str], None]


def observe(client: AirbyteClient) -> Observed:
    """Everything in the workspace. Raises AirbyteError when it cannot be read."""
    client.check_workspace()
    return Observed(**{kind: client.listed(kind) for kind in KINDS})


def apply(
    client: AirbyteClient,
    declared: Sequence[Resource],
    *,
    prefix: str,
    resend_secrets: bool = False,
    progress: Progress = lambda line: None,
) -> list[str]:
    """Bring the server to what is declared; returns what was done, a line each, told to ``progress`` as it happens.

    ``resend_secrets`` updates every source and destination, for secrets that were rotated: the server never shows
    one, so a plan cannot tell. Raises TailraceError before the first change when a secret that it needs is not set.
    """
    plan = make(declared, observe(client), prefix=prefix)
    return _Run(client, declared, plan, progress).all(resend_secrets=resend_secrets)


class _Run:
    def __init__(self, client: AirbyteClient, declared: Sequence[Resource], plan: Plan, progress: Progress) -> None:
        self._client = client
        self._declared = {(resource.kind, resource.name): resource for resource in declared}
        self._plan = plan
        self._ids = dict(plan.ids)
        self._progress = progress
        self._done: list[str] = []

    def all(self, *, resend_secrets: bool) -> list[str]:
        changes = list(self._plan.changes)
        if resend_secrets:
            touched = {(change.kind, change.name) for change in changes if change.action != "delete"}
            changes += [
                Change(action="update", kind=resource.kind, name=resource.name, why="secrets sent again")
                for key, resource in self._declared.items()
                if resource.kind != "connection" and key not in touched
            ]
        self._require_secrets(changes)
        for kind in KINDS:
            for change in changes:
                if change.kind == kind and change.action in ("delete", "replace"):
                    self._client.delete(kind, change.name, str(change.resource_id))
                    self._say(change, "deleted")
        for kind in reversed(KINDS):  # what a connection joins must stand before it
            for change in changes:
                if change.kind == kind and change.action != "delete":
                    self._write(change)
        return self._done

    def _require_secrets(self, changes: Sequence[Change]) -> None:
        written = [self._declared[change.kind, change.name] for change in changes if change.action != "delete"]
        missing = missing_variables(set().union(*(variables(each.fields) for each in written)))
        if missing:
            raise TailraceError(f"nothing was changed: export {', '.join(missing)}, which hold secrets to be sent")

    def _write(self, change: Change) -> None:
        resource = self._declared[change.kind, change.name]
        body = self._connection(resource) if change.kind == "connection" else {"configuration": dict(resource.fields)}
        key = (change.kind, change.name)
        if change.action == "update":
            body.pop("source_id", None)
            body.pop("destination_id", None)
            self._client.update(change.kind, change.name, self._ids[key], body)
            self._say(change, "updated")
        else:
            created = self._client.create(change.kind, change.name, body)
            self._ids[key] = str(created[f"{change.kind}Id"])
            self._say(change, "created")

    def _connection(self, resource: Resource) -> dict[str, Any]:
        fields = resource.fields
        source, destination = self._ids["source", fields["source"]], self._ids["destination", fields["destination"]]
        _require_offered(resource, self._client.streams(source, destination))
        return {
            "source_id": source,
            "destination_id": destination,
            "status": fields["status"],
            "schedule": {"schedule_type": fields["schedule"]},
            "namespace_definition": fields["namespace_definition"],
            "namespace_format": fields["namespace_format"],
            "prefix": fields["prefix"],
            "non_breaking_schema_updates_behavior": fields["non_breaking_schema_updates"],
            "configurations": {"streams": [_stream(name, each) for name, each in fields["streams"].items()]},
        }

    def _say(self, change: Change, done: str) -> None:
        line = f"{done} {change.kind} {change.name}" + (f" ({change.why})" if change.why else "")
        self._done.append(line)
        self._progress(line)


def _stream(name: str, stream: dict[str, Any]) -> dict[str, Any]:
    namespace, _, own = name.rpartition(".")
    return {
        "name": own,
        **({"namespace": namespace} if namespace else {}),
        "sync_mode": stream["sync_mode"],
        "cursor_field": [stream["cursor"]],
        "primary_key": [[column] for column in stream["primary_key"]],
        "selected_fields": [{"field_path": [column]} for column in stream["fields"]],
        "mappers": [],
    }


def _require_offered(resource: Resource, offered: dict[str, set[str]]) -> None:
    """Refuse a connection of which the source does not show every stream and field: a gap must not land as nulls."""
    for name, stream in resource.fields["streams"].items():
        if name not in offered:
            raise TailraceError(
                f"connection {resource.name}: the source shows no stream {name}; publish it and let Airbyte's role "
                "read it, or take it out of the contract"
            )
        missing = sorted(set(stream["fields"]) - offered[name])
        if missing:
            raise TailraceError(
                f"connection {resource.name}: {name} shows no field {', '.join(missing)}; add it in the source, or "
                "take it out of the contract"
            )
