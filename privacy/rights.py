"""What every right is exercised with, and how each receipt begins."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pii_policies import Contracts, load_contracts
from pii_policies.erasure import ErasureRule, erasure_map
from settings import Settings
from warehouse import DuckDBWarehouse

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What exercising a right needs.

    ``rebuild`` builds, publishes, and writes the analytics file; ``resync`` lands; ``forget_published`` drops what is
    kept of a tenant's earlier published versions, and lets go of it where it was rolled back.
    """

    settings: Settings
    warehouse: DuckDBWarehouse
    rebuild: Callable[[Progress], None]
    resync: Callable[[Progress], None]
    forget_published: Callable[[str], Mapping[str, int]]
    actor: str
    progress: Progress = lambda text: None

    def rebuild_without_past(self, tenant: str) -> Mapping[str, int]:
        """Rebuild, so that nothing of what was published of a tenant before is left; rows dropped by database.

        Twice: a tenant that was rolled back must follow, and what the new version replaces is kept with it.
        """
        self.forget_published(tenant)
        self.rebuild(self.progress)
        return self.forget_published(tenant)

    @property
    def contracts(self) -> Contracts:
        return load_contracts()

    @property
    def rules(self) -> Mapping[str, ErasureRule]:
        """The rules of tables whose rows can be a person's."""
        return erasure_map(self.contracts)

    def personal(self, identifiers: Sequence[tuple[str, str]]) -> list[str]:
        """The identifiers that name a person and no business record that stands, such as a customer of Stripe."""
        kept = {rule.source for rule in self.rules.values() if rule.is_subject and not rule.erased_whole}
        return sorted({value for kind, value in identifiers if kind not in kept})


def head(rights: Rights, kind: str, receipt: str, tenant: str, subject: str | None, requested: str) -> dict[str, Any]:
    """How a receipt begins. ``subject`` is a keyed hash; None where the tenant as a whole is meant."""
    return {
        "kind": kind,
        "receipt": receipt,
        "region": rights.settings.region,
        "tenant": tenant,
        "subject": subject,
        "requested_at": requested,
        "actor": rights.actor,
    }


def operator() -> str:
    """Who runs this command, as the system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
