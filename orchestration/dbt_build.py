"""How dbt is called: the manifest that Dagster's asset graph is made of, and the arguments of a build."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pii_policies.compiled import problem_line
from privacy.residency import check_residency
from settings import Settings, TailraceError

_WATCHED = (".sql", ".yml", ".yaml", ".md", ".csv")
_GENERATED_FOLDERS = {"target", "logs", "dbt_packages"}


def build_arguments(*, anew: bool = False) -> list[str]:
    """A whole build: models and data tests. Unit tests hold fixed inputs against fixed outputs, so CI runs them.

    ``anew`` makes incremental models from all of raw: what they hold is under keys that are being replaced.
    """
    return ["build", "--exclude-resource-type", "unit_test", *(["--full-refresh"] if anew else [])]


def location_arguments(settings: Settings) -> list[str]:
    """Where dbt reads the project and writes what it makes: state goes to the state folder, not into the project."""
    project = str(settings.dbt_project_dir)
    return [
        *("--project-dir", project),
        *("--profiles-dir", project),
        *("--target", target(settings)),
    ]


def target(settings: Settings) -> str:
    """The profile's target for the configured warehouse."""
    return {"duckdb": "dev", "snowflake": "prod"}[settings.warehouse.kind]


def dbt_environment(settings: Settings) -> dict[str, str]:
    """Environment of a dbt process: where its target folder and log go."""
    return {
        "DBT_TARGET_PATH": str(settings.dbt_target_dir),
        "DBT_LOG_PATH": str(settings.dbt_logs_dir),
        **settings.process_environment,
    }


def ensure_manifest(settings: Settings) -> Path:
    """The manifest of the project as it stands, parsed anew only when a file of the project is newer.

    dbt writes its own manifest in place, so one that was killed leaves half of it. This is a copy, put there whole.
    Raises TailraceError with dbt's own last line when the project does not parse.
    """
    manifest = settings.dbt_manifest_path
    settings.dbt_target_dir.mkdir(parents=True, exist_ok=True)
    with (settings.dbt_target_dir / "parse.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not manifest.exists() or manifest.stat().st_mtime < _newest(settings.dbt_project_dir):
            began = time.time()
            _dbt(settings, ["parse", *location_arguments(settings)])
            following = manifest.with_suffix(".next")
            parsed = settings.dbt_target_dir / "manifest.json"
            check_residency(json.loads(parsed.read_text(encoding="utf-8")))
            shutil.copyfile(parsed, following)
            os.utime(following, (began, began))  # a file that is edited meanwhile is newer
            os.replace(following, manifest)
    return manifest


def forget_results(settings: Settings) -> None:
    """Remove the last build's results, so that they are not taken for those of a build that ends before it has any."""
    (settings.dbt_target_dir / "run_results.json").unlink(missing_ok=True)


def build(settings: Settings) -> None:
    """Build everything, with its data tests. The caller holds the writer's lease. Raises TailraceError."""
    ensure_manifest(settings)
    forget_results(settings)
    try:
        _dbt(settings, [*build_arguments(), *location_arguments(settings)])
    except TailraceError:
        raise TailraceError(f"dbt: {build_problem(settings)}") from None


def build_problem(settings: Settings) -> str:
    """Which models and tests the last build failed on; dbt's own words, which may quote a row, stay in its log."""
    try:
        results = json.loads((settings.dbt_target_dir / "run_results.json").read_text(encoding="utf-8"))["results"]
    except (OSError, ValueError, KeyError):
        results = []
    failed = [each["unique_id"].split(".")[2] for each in results if each["status"] in ("error", "fail")]
    return f"{', '.join(failed) or 'the build'} failed; see {settings.dbt_logs_dir / 'dbt.log'}"


def models(settings: Settings) -> list[tuple[str, str]]:
    """(schema, name) of every model of the project."""
    nodes = json.loads(ensure_manifest(settings).read_text(encoding="utf-8"))["nodes"].values()
    return sorted((node["schema"], node["name"]) for node in nodes if node["resource_type"] == "model")


def dbt_executable() -> str:
    """The dbt of this environment, whatever PATH says."""
    return str(Path(sys.executable).with_name("dbt"))


def _dbt(settings: Settings, arguments: Sequence[str]) -> None:
    made = subprocess.run(
        [dbt_executable(), "--no-version-check", "--no-use-colors", *arguments],
        env={**os.environ, **dbt_environment(settings)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if made.returncode != 0:
        raise TailraceError(f"dbt {arguments[0]}: {problem_line(made)}; see {settings.dbt_logs_dir / 'dbt.log'}")


def _newest(project: Path) -> float:
    newest = 0.0
    for folder, folders, files in os.walk(project):
        folders[:] = [each for each in folders if each not in _GENERATED_FOLDERS]
        newest = max(newest, *(os.stat(os.path.join(folder, f)).st_mtime for f in files if f.endswith(_WATCHED)), 0.0)
    return newest
