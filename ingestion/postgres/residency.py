"""Whose rows a product database may hold, asked of it before any is read: its region's, and no silo's in a shared one.

Refused as a whole rather than left out row by row: a tenant in the wrong place is a fault of the product, which goes
on feeding that place for as long as nobody notices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from ingestion.postgres.catalog import Relation, Source
from ingestion.postgres.connection import Connection
from settings import TailraceError

_DIRECTORY = "tenants"
_UUID = 2950  # the type's OID in every PostgreSQL


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What a database may hold: tenants of ``region``, and those of ``silo_only`` (ids or slugs) in a silo alone."""

    database: str
    region: str
    silo_only: tuple[str, ...]
    is_silo: bool

    def check(self, connection: Connection, source: Source) -> None:
        """Raises TailraceError, naming the tenant, when the database has one that it may not.

        The directory of tenants is looked at where there is one; where silos are demanded, the rows themselves, too.
        """
        published = [each for each in source.relations if each.published]
        directories = [
            sql.Identifier(each.schema, each.name)
            for each in published
            if each.name == _DIRECTORY and _readable(each, "id", "slug", "tier", "region")
        ]
        for directory in directories:
            self._check_regions(connection, directory)
        if self.silo_only and not self.is_silo:
            self._check_silos(connection, directories, published)

    def _check_regions(self, connection: Connection, directory: sql.Identifier) -> None:
        query = sql.SQL("select id::text, region from {} where region is distinct from %s order by 1 limit 1")
        for tenant, region in connection.execute(query.format(directory), [self.region]).fetchall():
            raise TailraceError(
                f"{self.database}: tenant {tenant} belongs to region {region or '(none)'}, this deployment serves "
                f"{self.region}; nothing is read until it is out of this database, or the dsn names the right one"
            )

    def _check_silos(
        self, connection: Connection, directories: Sequence[sql.Identifier], published: Sequence[Relation]
    ) -> None:
        ids = {name.lower() for name in self.silo_only}
        query = sql.SQL("select lower(id::text), tier from {} where lower(id::text) = any(%s) or slug = any(%s)")
        for directory in directories:
            for tenant, tier in connection.execute(
                query.format(directory), [list(ids), list(self.silo_only)]
            ).fetchall():
                if tier != "silo":
                    raise self._misplaced(tenant, f"its tier is {tier}")
                ids.add(str(tenant))
        for relation in published:
            if not _readable(relation, "tenant_id"):
                continue
            kind = "uuid" if relation.by_name["tenant_id"].oid == _UUID else "text"  # so that an index on it is used
            rows = sql.SQL(
                "select tenant_id::text from {} where tenant_id = any(array("
                "select each::{} from unnest(%s::text[]) as each where %s or each ~ '^[0-9a-f-]{{36}}$')) limit 1"
            ).format(sql.Identifier(relation.schema, relation.name), sql.SQL(kind))
            for (tenant,) in connection.execute(rows, [sorted(ids), kind == "text"]).fetchall():
                raise self._misplaced(tenant, f"{relation.schema}.{relation.name} has rows of it")

    def _misplaced(self, tenant: str, how: str) -> TailraceError:
        return TailraceError(
            f"{self.database}: residency.silo_only names tenant {tenant}, this database is no silo, and {how}; nothing "
            "is read until the product has moved it into a silo of its own"
        )


def _readable(relation: Relation, *columns: str) -> bool:
    return all(name in relation.by_name and relation.by_name[name].readable for name in columns)
