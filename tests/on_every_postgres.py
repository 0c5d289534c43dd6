"""Run the capture suite on every PostgreSQL version that is present: ``make test-postgres``.

Prints a table and, as its last line, one JSON object. Fails when a version fails, or when none is present. Arguments
but ``--versions 15,16`` go to pytest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from demo.postgres import VERSIONS, available_versions

ROOT = Path(__file__).parents[1]
SUITE = "tests/ingestion/postgres"


def run(version: str, arguments: list[str]) -> dict[str, Any]:
    """The suite's outcome on one version; ``failed`` counts errors and a run that broke off too."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        began = time.monotonic()
        code = subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "2", "-m", "", SUITE, f"--junitxml={report}", *arguments],
            cwd=ROOT,
            env=os.environ | {"TAILRACE_TEST_POSTGRES": version},
        ).returncode
        seconds = round(time.monotonic() - began, 1)
        suite = ElementTree.parse(report).getroot().find("testsuite") if report.exists() else None
    counts = {name: int(suite.attrib[name]) if suite is not None else 0 for name in ("tests", "failures", "errors")}
    skipped = int(suite.attrib["skipped"]) if suite is not None else 0
    failed = counts["failures"] + counts["errors"]
    passed = counts["tests"] - failed - skipped
    return {"passed": passed, "failed": failed or int(code != 0), "seconds": seconds}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="on_every_postgres.py", allow_abbrev=False)
    parser.add_argument(
        "--versions", default=",".join(VERSIONS), help="of those that are present (default: %(default)s)"
    )
    options, arguments = parser.parse_known_args(arguments)
    wanted = options.versions.split(",")
    if unknown := sorted(set(wanted) - set(VERSIONS)):
        parser.error(f"--versions: there is no {unknown[0]}; there are {', '.join(VERSIONS)}")
    results: dict[str, dict[str, Any]] = {}
    for version in [each for each in available_versions() if each in wanted]:
        print(f"PostgreSQL {version}", flush=True)
        results[version] = run(version, arguments)
    print(f"\n{'PostgreSQL':<12}{'passed':>8}{'failed':>8}{'seconds':>9}")
    for version, each in results.items():
        print(f"{version:<12}{each['passed']:>8}{each['failed']:>8}{each['seconds']:>9}")
    absent = [version for version in wanted if version not in results]
    if absent:
        print(f"not on this machine: {', '.join(absent)}")
    print(json.dumps({"suite": SUITE, "versions": results, "absent": absent}))
    return int(not results or any(each["failed"] or not each["passed"] for each in results.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
