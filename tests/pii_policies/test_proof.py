"""The static proof: every leaking model is caught and its whole way named, and no innocent one is accused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pii_policies import load_contracts
from pii_policies.compiled import PROJECT, compiled_models
from pii_policies.prove import Proof, prove

HERE = Path(__file__).parent
LEAKS = sorted(path.stem for path in (HERE / "leaks").glob("leak_*.sql"))


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Proof:
    """Of the project as it stands with the leaking and the innocent models beside its own."""
    project = tmp_path_factory.mktemp("project") / "dbt_project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    for folder in ("leaks", "innocents"):
        shutil.copytree(HERE / folder, project / "models" / folder, ignore=shutil.ignore_patterns("macros"))
    shutil.copytree(HERE / "leaks/macros", project / "macros/leaks")
    return prove(load_contracts(), compiled_models(project))


def _caught(proof: Proof, model: str) -> list[str]:
    """The problems that a model itself has, without the class and treatment that end a line."""
    own = [str(path).rpartition(": ")[0] for path in proof.untreated if path.model == model]
    return own + [f"{name}: not proved: {why}" for name, why in proof.unproved if name == model]


@pytest.mark.parametrize("model", LEAKS)
def test_a_leak_is_caught_and_its_whole_way_is_named(model: str, proof: Proof) -> None:
    expected = (HERE / f"leaks/{model}.sql").read_text(encoding="utf-8").splitlines()[0].removeprefix("-- caught: ")
    assert expected in _caught(proof, model)


def test_nothing_but_the_leaks_is_accused(proof: Proof) -> None:
    accused = {path.model for path in proof.untreated} | {model for model, _ in proof.unproved}
    assert accused == set(LEAKS)


def test_the_json_has_each_column_and_each_leak(proof: Proof) -> None:
    document = json.loads(json.dumps(proof.as_json()))
    assert set(document) == {"columns", "untreated", "paths"}
    leaking = {entry["model"] for entry in document["untreated"]}
    assert leaking == set(LEAKS)
    listed = {(entry["model"], entry["column"]) for entry in document["columns"]}
    assert ("dim_users", "user_key") in listed
    assert ("innocent_counts", "emails") in listed


def test_each_staging_column_that_a_contract_lists_is_in_the_proof(proof: Proof) -> None:
    from pii_policies.compile import staging_columns, staging_name

    proved = {(model.name, column) for model, column, _ in proof.columns}
    asked = {(staging_name(t), name.lower()) for t in load_contracts().tables() for name, _, _ in staging_columns(t)}
    assert asked <= proved
