"""The one place where personal data is decided on: contracts say what a column holds, treatments what becomes of it.

``python -m pii_policies compile`` writes what follows from them, ``check`` fails when that is stale.
"""

from pii_policies.contracts import Column, Contract, Contracts, Table, load_contracts

__all__ = ["Column", "Contract", "Contracts", "Table", "load_contracts"]
