"""A contract or a treatment at fault is refused in one line that names the place; nothing is guessed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pii_policies import load_contracts
from pii_policies.classes import TREATMENTS_PATH
from pii_policies.compile import validate
from pii_policies.contracts import CONTRACTS_DIR
from settings import ROOT, TailraceError


class Copy:
    """The project's contracts and treatments, free to be spoilt."""

    def __init__(self, directory: Path) -> None:
        self.contracts = directory / "contracts"
        shutil.copytree(CONTRACTS_DIR, self.contracts)
        self.treatments = Path(shutil.copy(TREATMENTS_PATH, directory))

    def spoil(self, file: str, old: str, new: str) -> None:
        """Replace the first ``old`` of a file, which must be there."""
        path = self.treatments if file == "treatments.yml" else self.contracts / file
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), "utf-8")

    def refusal(self) -> str:
        with pytest.raises(TailraceError) as caught:
            validate(load_contracts(self.contracts, self.treatments), self.contracts)
        return str(caught.value)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


EMAIL = "{name: email, logicalType: string, physicalType: VARCHAR, classification: email"

REFUSED = {
    "an unknown treatment": (
        "treatments.yml",
        "{treatment: pseudonymise, meaning",
        "{treatment: encrypt, meaning",
        ["treatments.yml", "person_identifier", "encrypt"],
    ),
    "a class without a meaning": (
        "treatments.yml",
        ', meaning: "A telephone number."',
        "",
        ["treatments.yml", "phone", "meaning"],
    ),
    "an unclassified column": (
        "app.odcs.yaml",
        EMAIL,
        EMAIL.replace(", classification: email", ""),
        ["app.odcs.yaml", "users.email", "no classification"],
    ),
    "an unknown class": (
        "app.odcs.yaml",
        EMAIL,
        EMAIL.replace("classification: email", "classification: mail"),
        ["app.odcs.yaml", "users.email", "unknown class mail"],
    ),
    "a treatment that cannot apply to a type": (
        "app.odcs.yaml",
        "{name: last_seen_at, logicalType: timestamp, physicalType: TIMESTAMPTZ, classification: operational",
        "{name: last_seen_at, logicalType: timestamp, physicalType: TIMESTAMPTZ, classification: email",
        ["app.odcs.yaml", "users.last_seen_at", "pseudonymise", "timestamp"],
    ),
    "a type that cannot hold the logical type": (
        "app.odcs.yaml",
        EMAIL,
        EMAIL.replace("VARCHAR", "BLOB"),
        ["app.odcs.yaml", "users.email", "BLOB"],
    ),
    "a list of what no list holds": (
        "app.odcs.yaml",
        EMAIL,
        EMAIL.replace("logicalType: string", "logicalType: array").replace("VARCHAR", '"JSON[]"'),
        ["app.odcs.yaml", "users.email", "JSON[]"],
    ),
    "a tenant path to nowhere": (
        "stripe.odcs.yaml",
        'value: "customer -> customers"',
        'value: "customer -> clients"',
        ["stripe.odcs.yaml", "subscriptions", "tenantPath", "stripe.clients"],
    ),
    "a tenant path from a column that is not there": (
        "stripe.odcs.yaml",
        'value: "charge -> charges"',
        'value: "payment -> charges"',
        ["stripe.odcs.yaml", "refunds", "tenantPath", "payment"],
    ),
    "a tenant path that ends at nobody's table": (
        "stripe.odcs.yaml",
        'value: "charge -> charges"',
        'value: "charge -> products"',
        ["stripe.odcs.yaml", "refunds", "tenantPath", "stripe.products"],
    ),
    "a tenant path that goes in a circle": (
        "stripe.odcs.yaml",
        'value: "metadata:tenant_id -> app.tenants"',
        'value: "id -> customers"',
        ["stripe.odcs.yaml", "customers", "circle"],
    ),
    "no tenant path": (
        "hubspot.odcs.yaml",
        '- {property: tenantPath, value: "properties_tenant_id -> app.tenants"}',
        "- {property: grows, value: false}",
        ["hubspot.odcs.yaml", "companies", "tenantPath"],
    ),
    "a member of a column that is not JSON": (
        "stripe.odcs.yaml",
        'transformLogic: "recurring:interval"',
        'transformLogic: "currency:interval"',
        ["stripe.odcs.yaml", "prices.recurring_interval", "JSON"],
    ),
    "a column twice": (
        "app.odcs.yaml",
        "{name: full_name,",
        "{name: email,",
        ["app.odcs.yaml", "users.email", "two columns"],
    ),
    "a name that is none": (
        "app.odcs.yaml",
        "{name: full_name,",
        '{name: "full name; drop table users",',
        ["app.odcs.yaml", "users", "no name"],
    ),
    "a key that would not reach staging": (
        "app.odcs.yaml",
        "classification: person_identifier, description: The user.}",
        "classification: person_name, description: The user.}",
        ["app.odcs.yaml", "users.id", "key"],
    ),
    "what the standard does not know": (
        "app.odcs.yaml",
        "status: active",
        "status: active\nowner: somebody",
        ["app.odcs.yaml", "owner", "Open Data Contract Standard"],
    ),
    "what is not YAML": (
        "app.odcs.yaml",
        "schema:\n",
        "schema: [\n",
        ["app.odcs.yaml", "line ", "not YAML"],
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_is_refused_in_one_line_naming_the_place(fault: str, copy: Copy) -> None:
    file, old, new, named = REFUSED[fault]
    copy.spoil(file, old, new)
    refusal = copy.refusal()
    assert "\n" not in refusal
    for part in named:
        assert part in refusal


def test_the_projects_own_contracts_hold() -> None:
    validate(load_contracts())


def test_a_deleted_row_keeps_only_what_says_which_and_whose_it_was() -> None:
    contracts = load_contracts()
    assert contracts.table("app", "users").personal == {"email", "full_name", "phone", "last_login_ip"}
    assert "metadata" not in contracts.table("stripe", "customers").personal, "it names the tenant"
    assert "metadata" in contracts.table("stripe", "invoices").personal
    for table in contracts.tables():
        assert not table.personal & set(table.key)


def test_what_may_never_land_is_not_among_the_landed() -> None:
    never = [c for t in load_contracts().tables() for c in t.columns if c.data_class.treatment == "never_land"]
    assert {"password_hash", "receipt_url"} <= {column.name for column in never}
    assert not any(column.lands for column in never)


@pytest.mark.parametrize(
    ("arguments", "code"), [([], 2), (["chekc"], 2), (["check", "app"], 2), (["publication", "app"], 0)]
)
def test_the_command_says_by_its_exit_code_what_it_found(arguments: list[str], code: int) -> None:
    finished = subprocess.run([sys.executable, "-m", "pii_policies", *arguments], cwd=ROOT, capture_output=True)
    assert finished.returncode == code, finished.stderr
    assert b"Traceback" not in finished.stderr
