"""The sample company: a multi-tenant workflow product, its customers and its own ledger of what truly happened."""

from demo.company.company import Company
from demo.company.roster import Tenant, roster

__all__ = ["Company", "Tenant", "roster"]
