"""One implementation behind two doors; a fault is named, a line each, and the exit code says so."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from orchestration import console
from orchestration.cli import app
from pii_policies import commands, load_contracts, proof_page
from pii_policies.__main__ import main
from pii_policies.prove import Model, Proof, prove
from settings import ROOT, TailraceError

LEAKY = Model(name="leaky", layer="marts", schema="marts", queries=("select email as label from raw_app.users",))
SOUND = Model(name="sound", layer="marts", schema="marts", queries=("select role from raw_app.users",))
WAY = "raw_app.users.email → leaky.label: email, untreated, needs pseudonymise"


def _proof(*models: Model) -> Proof:
    return prove(load_contracts(), models)


def test_an_untreated_way_is_named_whole_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "proved", lambda: _proof(LEAKY, SOUND))
    assert main(["prove"]) == 1
    assert capsys.readouterr().err == WAY + "\n"
    assert main(["prove", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert [(each["raw"], each["model"], each["use"], each["path"]) for each in document["untreated"]] == [
        ("raw_app.users.email", "leaky", "value", ["raw_app.users.email", "leaky.label"])
    ]
    other = CliRunner().invoke(app, ["policy", "prove", "--json"])
    assert json.loads(other.stdout) == document
    assert isinstance(other.exception, TailraceError)
    assert str(other.exception) == WAY


def test_a_proof_that_holds_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "proved", lambda: _proof(SOUND))
    assert main(["prove"]) == 0
    assert "0 ways are untreated, 0 relations not proved" in capsys.readouterr().out


def test_a_page_of_another_proof_is_stale(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(commands, "_compiled", lambda: [SOUND])
    assert main(["check"]) == 1
    assert capsys.readouterr().err == "docs/privacy-proof.md: stale; run `tailrace policy compile`\n"


def test_a_page_says_what_leaves_raw_and_what_stays() -> None:
    treated = Model(
        name="m", layer="marts", schema="marts", queries=("select count(phone) as phones from raw_app.users",)
    )
    page = proof_page.render(load_contracts(), _proof(treated))
    assert "| `raw_app.users.phone` | phone | only whether there is one | `m (presence)` |" in page
    assert "- `raw_app.users.full_name`" in page
    assert "## Untreated" not in page
    assert f"- {WAY}" in proof_page.render(load_contracts(), _proof(LEAKY))


def test_both_doors_print_the_same_publication(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publication", "--alter", "app", "t_acme"]) == 0
    printed = capsys.readouterr().out
    shown = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=shown, highlight=False))
    app(["policy", "publication", "--alter", "app", "t_acme"], standalone_mode=False)
    assert shown.getvalue() == printed
    assert '"t_acme"."users"' in printed
    assert "password_hash" not in printed


@pytest.mark.parametrize("arguments", [[], ["prove", "--yaml"], ["check", "app"], ["unknown"]])
def test_wrong_usage_is_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage:")


def test_the_committed_page_is_of_this_project() -> None:
    text = (ROOT / proof_page.PAGE).read_text(encoding="utf-8")
    assert "- 0 ways out of raw are untreated, 0 relations could not be proved." in text
