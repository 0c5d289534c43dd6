"""Which subjects of a shared source (customers, companies) belong to this deployment's region.

A source such as Stripe is one account for all regions. Rows of another region must not land, so the answer is kept
for each subject, and what depends on the subject (an invoice, a contact) follows it. A subject stands there by a hash
of its id: not even the id of another region's customer lies in this one's file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import duckdb

from settings import Settings

_TABLE = """
create schema if not exists tailrace;
create table if not exists tailrace.placed (source varchar not null, hash varchar not null, ours boolean not null)
"""


def abroad(source: str, expression: str) -> str:
    """The condition that the subject whose id a SQL expression of ours gives belongs to another region."""
    return f"sha256({expression}) in (select hash from tailrace.placed where source = '{source}' and not ours)"  # noqa: S608


class Residency:
    """The residency of one source's subjects, stored as ``tailrace.placed(source, hash, ours)``."""

    def __init__(self, *, source: str, settings: Settings) -> None:
        self._source = source
        self._region = settings.region
        self._unattributed: str = settings.residency.unattributed_region

    def ours(self, region: object) -> bool:
        """Whether a region as the source states it is this deployment's; none stated goes to the appointed one."""
        stated = region.strip().lower() if isinstance(region, str) else ""
        return (stated or self._unattributed) == self._region

    def ensure(self, con: duckdb.DuckDBPyConnection) -> None:
        con.execute(_TABLE)

    def known(self, con: duckdb.DuckDBPyConnection, subjects: Iterable[str]) -> dict[str, bool]:
        """Subject → ours, for those of ``subjects`` that were decided before."""
        rows = con.execute(
            "select id, ours from (select unnest(?::varchar[]) as id) join tailrace.placed on hash = sha256(id) "
            "where source = ?",
            [list(subjects), self._source],
        ).fetchall()
        return {str(subject): bool(ours) for subject, ours in rows}

    def record(self, con: duckdb.DuckDBPyConnection, decisions: Mapping[str, bool]) -> None:
        """Store decisions; the caller holds the transaction of the rows that they let in."""
        subjects, answers = list(decisions), list(decisions.values())
        con.execute(
            "delete from tailrace.placed where source = ? "
            "and hash in (select sha256(id) from (select unnest(?::varchar[]) as id))",
            [self._source, subjects],
        )
        con.execute(
            "insert into tailrace.placed select ?, sha256(id), ours "
            "from (select unnest(?::varchar[]) as id, unnest(?::boolean[]) as ours)",
            [self._source, subjects, answers],
        )
