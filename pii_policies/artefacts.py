"""Every file of the repository that follows from the contracts, and whether it still does."""

from __future__ import annotations

from pathlib import Path

from pii_policies import compile, gates, inventory, redaction, snowflake
from pii_policies.contracts import Contracts
from settings import ROOT

DEPLOY = Path("deploy")
GATES = Path("quality/contract_gates.yml")
INVENTORY = Path("docs/data-inventory.md")
_REDACTION_HEADER = (
    "Generated from the recognisers in pii_policies/redaction.py by `tailrace policy compile`; change those, not this."
)


def artefacts(contracts: Contracts) -> dict[Path, str]:
    """Every generated file by its path within the repository."""
    macros = Path("dbt_project/macros/generated")
    staging = Path("dbt_project/models/staging")
    files = {
        macros / "raw_tables.sql": compile.raw_tables_macro(contracts),
        macros / "redact.sql": f"{{# {_REDACTION_HEADER} #}}\n{redaction.macro()}",
        DEPLOY / "snowflake_policies.sql": _sql_file(snowflake.policies_sql(contracts)),
        DEPLOY / "postgres_capture.sql": _sql_file(_capture_sql(contracts)),
        GATES: gates.gates_yml(contracts),
        INVENTORY: inventory.render(contracts),
    }
    for source, contract in contracts.sources.items():
        files[macros / f"treated_{source}.sql"] = compile.treated_macros(contracts, contract)
        files[staging / source / f"_{source}__sources.yml"] = compile.sources_yml(contract)
        files[staging / source / f"_{source}__models.yml"] = compile.models_yml(contract)
    return files


def write(contracts: Contracts, root: Path = ROOT) -> list[Path]:
    """Write what is stale and remove what no contract asks for any more. Returns the paths touched."""
    touched = stale(contracts, root)
    files = artefacts(contracts)
    for path in touched:
        if path in files:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(files[path], encoding="utf-8")
        else:
            (root / path).unlink()
    return touched


def stale(contracts: Contracts, root: Path = ROOT) -> list[Path]:
    """The generated files that are missing, differ from what the contracts give, or follow from no contract."""
    files = artefacts(contracts)
    differ = {path for path, text in files.items() if not _holds(root / path, text)}
    kept = {p.relative_to(root) for p in (root / "dbt_project/macros/generated").glob("*.sql")}
    kept |= {p.relative_to(root) for p in (root / DEPLOY).glob("*.sql")}
    for name in ("sources", "models"):
        kept |= {p.relative_to(root) for p in (root / "dbt_project/models/staging").glob(f"*/_*__{name}.yml")}
    return sorted(differ | (kept - set(files)))


def _capture_sql(contracts: Contracts) -> str:
    """What the owner of a product database runs for the role that captures it: pooled tenants in ``app``."""
    statements = [
        compile.publication_sql(contracts, schemas=["app"]),
        *compile.grants_sql(contracts, role="tailrace_cdc", schemas=["app"]),
    ]
    return ";\n".join(statements) + ";\n"


def _sql_file(text: str) -> str:
    return f"-- {compile.HEADER}\n{text}"


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (FileNotFoundError, UnicodeDecodeError):
        return False
