"""What the command line says of the product's databases, whether they answer or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from demo.postgres import EmbeddedPostgres, free_port
from settings import ROOT

Tailrace = Any
CONFIG = """
region: us
state_dir: {folder}
sources:
  postgres: {{dsn: "{dsn}"}}
  stripe: {{url: "http://127.0.0.1:9", api_key_env: NONE}}
  hubspot: {{url: "http://127.0.0.1:9", token_env: NONE}}
serving: {{publisher_dsn: "{dsn}", reader_dsn: "{dsn}"}}
"""


@pytest.fixture
def tailrace(tmp_path: Path) -> Tailrace:
    def call(dsn: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        config = tmp_path / "tailrace.yml"
        config.write_text(CONFIG.format(folder=tmp_path, dsn=dsn))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
        return subprocess.run(
            [sys.executable, "-c", "from orchestration.cli import main; main()", *arguments],
            cwd=ROOT,
            env={**kept, "TAILRACE_CONFIG": str(config), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    return call


def test_status_answers_before_the_first_run_and_while_postgres_is_down(tailrace: Tailrace) -> None:
    done = tailrace(f"postgresql://cdc@127.0.0.1:{free_port()}/product", "status", "--json")
    assert done.returncode == 0, done.stderr
    (database,) = json.loads(done.stdout)["databases"]
    assert (database["database"], database["slot"], database["reachable"]) == ("product", "tailrace_product", False)
    assert "not reachable" in database["problems"][0]
    assert database["lsn"] is None
    assert database["lag_bytes"] is None


def test_doctor_and_status_name_what_stands_in_the_way(tailrace: Tailrace, postgres: EmbeddedPostgres) -> None:
    postgres.create_role("cdc", attributes="login replication")
    postgres.create_database("bare")
    dsn = postgres.dsn("bare", role="cdc")
    status = tailrace(dsn, "status")
    assert status.returncode == 0, status.stderr
    assert "publication tailrace does not exist" in status.stdout
    doctor = tailrace(dsn, "doctor", "--json")
    assert doctor.returncode == 1
    report = json.loads(doctor.stdout)
    assert not report["ok"]
    fine = {each["name"] for each in report["checks"] if each["problem"] is None}
    assert {"bare: server", "bare: role", "bare: slot"} <= fine
    (missing,) = [each for each in report["checks"] if "publication" in str(each["problem"])]
    assert missing["severity"] == "error"
    assert missing["remedy"].startswith("`create publication")


def test_resnapshot_asks_first(tailrace: Tailrace, postgres: EmbeddedPostgres) -> None:
    postgres.create_role("cdc", attributes="login replication")
    postgres.create_database("bare")
    dsn = postgres.dsn("bare", role="cdc")
    assert "--yes" in tailrace(dsn, "resnapshot").stderr
    assert "is not a source database" in tailrace(dsn, "resnapshot", "--database", "other", "--yes").stderr
    assert "publication tailrace does not exist" in tailrace(dsn, "resnapshot", "--yes").stderr
