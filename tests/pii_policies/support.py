"""dbt as it is run, on files of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from settings import ROOT

PROJECT = ROOT / "dbt_project"

_PROFILE = {
    "tailrace": {
        "target": "test",
        "outputs": {
            "test": {
                "type": "duckdb",
                "path": "{{ env_var('TAILRACE_WAREHOUSE_PATH') }}",
                "schema": "main",
                "threads": 2,
                "settings": {"TimeZone": "UTC"},
                "attach": [{"path": "{{ env_var('TAILRACE_VAULT_PATH') }}", "alias": "vault"}],
            },
            "snowflake": {
                "type": "snowflake",
                "account": "none",
                "user": "none",
                "password": "none",
                "database": "tailrace",
                "schema": "main",
            },
        },
    }
}


class Dbt:
    """The project, with its warehouse, vault, target folder and profile under one directory."""

    def __init__(self, directory: Path) -> None:
        self.warehouse = directory / "warehouse.duckdb"
        self.vault = directory / "vault.duckdb"
        self.target = directory / "target"
        self._profiles = directory / "profiles"
        self._profiles.mkdir()
        (self._profiles / "profiles.yml").write_text(json.dumps(_PROFILE))
        self._macros = directory / "macros"
        self._macros.mkdir()
        (self._macros / "macros").symlink_to(PROJECT / "macros")
        whole = yaml.safe_load((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
        kept = {name: whole[name] for name in ("name", "version", "profile", "vars")}
        (self._macros / "dbt_project.yml").write_text(yaml.safe_dump(kept))

    def run(self, *arguments: str, target: str = "test", project: Path = PROJECT) -> str:
        """Run dbt; what it printed. Fails the test with dbt's own words."""
        places = {
            "--project-dir": project,
            "--profiles-dir": self._profiles,
            "--target": target,
            # Parsed anew for another target or project, so each has its own.
            "--target-path": self.target / project.name / target,
            "--log-path": self.target / "logs",
        }
        options = [str(part) for place in places.items() for part in place]
        finished = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "dbt.cli.main", "--quiet", *arguments, *options],
            env={
                **os.environ,
                "TAILRACE_WAREHOUSE_PATH": str(self.warehouse),
                "TAILRACE_VAULT_PATH": str(self.vault),
                "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            },
            capture_output=True,
            text=True,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    def compiled(self, sql: str, *, target: str) -> str:
        """The SQL that the project's macros make of ``sql``, without a connection, and without its models: those take
        dbt far longer to read.
        """
        offline = ["--no-populate-cache", "--no-introspect", "--output", "json"]
        printed = self.run("compile", "--inline", sql, *offline, target=target, project=self._macros)
        return str(json.loads(printed[printed.index("{") :])["compiled"])
