"""``docs/data-inventory.md``: the record of processing, as the contracts tell it: what, why, where, how long, who."""

from __future__ import annotations

from pii_policies.compile import staging_name
from pii_policies.contracts import Contract, Contracts, Table

_TREATED = {
    "never_land": "not read",
    "drop": "stays in raw",
    "pseudonymise": "pseudonym",
    "mask": "masked",
    "redact": "redacted",
    "keep": "as it is",
}


def render(contracts: Contracts) -> str:
    """The page's text."""
    lines = [
        "# Data inventory",
        "",
        "Generated from `pii_policies/contracts/` by `tailrace policy compile`; change those, not this. It lists the",
        "columns that are decided on as personal, with what leaves raw of each. All others are states, amounts, times",
        "and ids of things, names of companies, and ids of tenants.",
        "",
        "| class | what it is | what leaves raw |",
        "|---|---|---|",
    ]
    for data_class in contracts.classes.values():
        left = f"its {data_class.to}" if data_class.to else _TREATED[data_class.treatment]
        lines.append(f"| {data_class.name} | {data_class.meaning} | {left} |")
    for contract in contracts.sources.values():
        lines += ["", f"## {contract.title}", "", *_source(contracts, contract)]
    return "\n".join(lines) + "\n"


def _source(contracts: Contracts, contract: Contract) -> list[str]:
    return [
        f"- **Why.** {contract.purpose}",
        f"- **Where.** Schema `{contract.schema}` of the region's warehouse; treated, in the staging models below and",
        "  what is built of them.",
        "- **How long.** As long as the source has the row. When it is deleted there, its personal columns are emptied",
        "  in raw and the row stays, marked, for the figures of closed days.",
        f"- **Who.** Answers for it: {contract.owner}. Raw is read by the pipeline alone; staging, marts and rollups",
        "  by analysts; rollups by the tenant that they are of.",
        "",
        "| raw table | staging | personal columns by class |",
        "|---|---|---|",
        *(_row(table) for table in contracts.raw_tables(contract.source)),
    ]


def _row(table: Table) -> str:
    classes: dict[str, list[str]] = {}
    for column in table.columns:
        if column.derived is None and column.data_class.treatment != "keep":
            classes.setdefault(column.data_class.name, []).append(f"`{column.name}`")
    listed = "; ".join(f"{name}: {', '.join(columns)}" for name, columns in sorted(classes.items()))
    return f"| `{table.schema}.{table.name}` | `{staging_name(table)}` | {listed or 'none'} |"
