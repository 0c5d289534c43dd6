"""The paths that the API itself declares, so that a new one is attacked from its first day."""

from __future__ import annotations

import itertools
from typing import Any

from tests.isolation.registry import Attack


def paths(attack: Attack, *, exports: bool = True) -> list[str]:
    """Every path below /v1 that can be got, each choice of its parameters filled in."""
    world = attack.world
    if not world.declared:
        world.declared = declared(world.client.get(f"{world.url}/openapi.json").json())
    return [path for path in world.declared if exports or "export" not in path]


def declared(document: dict[str, Any]) -> list[str]:
    """The paths of an OpenAPI document."""
    found: list[str] = []
    for path, operations in sorted(document["paths"].items()):
        if path.startswith("/v1") and "get" in operations:
            parameters = [each for each in operations["get"].get("parameters", []) if each["in"] == "path"]
            choices = [[(each["name"], value) for value in _choices(document, each)] for each in parameters]
            for chosen in itertools.product(*choices):
                filled = path
                for name, value in chosen:
                    filled = filled.replace("{" + name + "}", value)
                found.append(filled)
    return found


def _choices(document: dict[str, Any], parameter: dict[str, Any]) -> list[str]:
    schema = parameter["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    values = schema.get("enum") or ([schema["const"]] if "const" in schema else None)
    assert values, f"the path parameter {parameter['name']} declares no choices; say here what to ask for"
    return [str(value) for value in values]
