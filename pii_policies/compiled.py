"""What dbt compiles the project to, for the proof: every query that may fill a relation, without a row of data.

dbt runs in a process of its own, on an empty DuckDB file of its own. An incremental model has two queries, that of a
full build and that of an increment; the second is compiled with its table in place, empty.
"""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pii_policies.prove import Model
from settings import ROOT, TailraceError

PROJECT = ROOT / "dbt_project"
# What may run beside the models: statements that hold no data. Anything else may move rows that no model shows.
_KNOWN_HOOKS = frozenset({"{{ create_raw_tables() }}"})
_DELETES_OWN = re.compile(r"\s*delete from \{\{ this \}\} where ([^{}]+)")
_MANIFESTS = ("full.json", "increment.json")


def compiled_models(project: Path = PROJECT) -> list[Model]:
    """Every relation that the project makes. Takes about ten seconds.

    Raises TailraceError with dbt's own line where the project does not compile.
    """
    with tempfile.TemporaryDirectory(prefix="tailrace-proof-") as scratch:
        made = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "pii_policies.compiled", str(project), scratch],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
                "TAILRACE_WAREHOUSE_PATH": f"{scratch}/proof.duckdb",
                "TAILRACE_VAULT_PATH": ":memory:",
                "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if made.returncode != 0:
            raise TailraceError(
                f"dbt compile: {problem_line(made)}; mend the model, `dbt compile --target ci` says more"
            )
        full, increment = (json.loads((Path(scratch) / name).read_text(encoding="utf-8")) for name in _MANIFESTS)
    return list(_models(full["nodes"], increment["nodes"], project))


def problem_line(made: subprocess.CompletedProcess[str]) -> str:
    """The line of a dbt process that failed which says why: its first error, else its last."""
    lines = [line.strip() for line in (made.stdout + made.stderr).splitlines() if line.strip()]
    return next((line for line in lines if "Error" in line), (lines or ["no output"])[-1])


def _models(full: Mapping[str, Any], increment: Mapping[str, Any], project: Path) -> Iterator[Model]:
    for key, node in sorted(full.items()):
        kind, config = node["resource_type"], node["config"]
        name, schema = str(node["alias"]), str(node["schema"])
        if kind == "seed":
            with (project / node["original_file_path"]).open(encoding="utf-8", newline="") as file:
                header = next(csv.reader(file), [])
            listed = ", ".join('null as "' + name.replace('"', '""') + '"' for name in header)
            yield Model(layer="seeds", queries=(f"select {listed}",), name=name, schema=schema)
        elif kind == "operation":
            if node["raw_code"].strip() not in _KNOWN_HOOKS:
                yield Model(layer="hooks", queries=(), refused="a hook of the project", name=name, schema=schema)
        elif kind in ("model", "snapshot") or (kind == "test" and config.get("store_failures")):
            compiled = [each.get("compiled_code") for each in (node, increment.get(key, {}))]
            hooks = [*(config.get("pre-hook") or []), *(config.get("post-hook") or [])]
            beside = [_of_hook(str(hook["sql"]), schema, name) for hook in hooks]
            refused = None
            if node.get("language", "sql") != "sql":
                refused = f"a model in {node['language']}"
            elif None in beside:
                refused = "a hook that does more than delete rows of the model's own"
            elif not compiled[0]:
                refused = "no compiled query"
            yield Model(
                layer={"snapshot": "snapshots", "test": "tests"}.get(kind, node["fqn"][1]),
                queries=tuple(dict.fromkeys(query for query in (*compiled, *beside) if query)),
                is_snapshot=kind == "snapshot",
                refused=refused,
                name=name,
                schema=schema,
            )


def _of_hook(hook: str, schema: str, name: str) -> str | None:
    """What a hook looks at when it deletes rows of its own model, as a query; None where it does anything else."""
    if hook.strip() in _KNOWN_HOOKS:
        return ""
    matched = _DELETES_OWN.fullmatch(hook)
    if matched is None:
        return None
    return f"select * from {_quoted(schema)}.{_quoted(name)} where {matched[1]}"  # noqa: S608  read only


def _compile(project: str, scratch: str) -> None:
    """In the process of dbt: both manifests into ``scratch``."""
    import duckdb
    from dbt.cli.main import dbtRunner

    base = ["--quiet", "--no-version-check", "--no-use-colors"]
    places = ["--project-dir", project, "--profiles-dir", project, "--target", "ci"]
    places += ["--target-path", f"{scratch}/target", "--log-path", f"{scratch}/logs"]

    def run(name: str, *options: str) -> None:
        result = dbtRunner().invoke([*base, "compile", *places, *options])
        if not result.success:
            sys.exit(f"Error: {result.exception}" if result.exception else 1)
        (Path(scratch) / name).write_bytes((Path(scratch) / "target/manifest.json").read_bytes())

    run(_MANIFESTS[0])
    nodes = json.loads((Path(scratch) / _MANIFESTS[0]).read_text(encoding="utf-8"))["nodes"].values()
    incremental = [node for node in nodes if node["config"].get("materialized") == "incremental"]
    if not incremental:
        (Path(scratch) / _MANIFESTS[1]).write_text('{"nodes": {}}', encoding="utf-8")
        return
    with duckdb.connect(f"{scratch}/proof.duckdb") as con:
        for node in incremental:
            con.execute("create schema if not exists " + _quoted(node["schema"]))
            con.execute(f"create table {_quoted(node['schema'])}.{_quoted(node['alias'])} (nothing integer)")
    run(_MANIFESTS[1], "--select", "config.materialized:incremental")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


if __name__ == "__main__":
    _compile(*sys.argv[1:])
