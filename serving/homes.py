"""Where tenants' rollups are: two schemas of a database, one that tenants read and one of the publisher's own.

The pool's and each silo's are ``tenant_analytics`` and ``tenant_analytics_private``. A namespace tenant has a pair of
its own in the shared database, with the same tables under the same policies.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

SHARED = "tenant_analytics"
_SHARED_PRIVATE = "tenant_analytics_private"
_OF_NAMESPACE = "$private"
"""No slug has a ``$``, so that no tenant's schema is called like another's private one."""


@dataclass(frozen=True)
class Home:
    """One pair of schemas; ``schema`` is the one that tenants read."""

    database: str
    schema: str = SHARED

    @property
    def private(self) -> str:
        """The schema that nobody but the publisher uses."""
        return self.schema + _OF_NAMESPACE if self.is_namespace else _SHARED_PRIVATE

    @property
    def is_namespace(self) -> bool:
        return self.schema != SHARED

    @property
    def name(self) -> str:
        """For reports: the database, and the namespace where it is one."""
        return f"{self.database}.{self.schema}" if self.is_namespace else self.database

    def table(self, name: str) -> sql.Identifier:
        """A published table's quoted, qualified name."""
        return sql.Identifier(self.schema, name)

    def own(self, name: str) -> sql.Identifier:
        """The same of the publisher's own tables."""
        return sql.Identifier(self.private, name)

    def regclass(self, name: str) -> str:
        """A published table as ``to_regclass`` reads it."""
        return self.table(name).as_string(None)


def of_private(database: str, schema: str) -> Home:
    """The namespace that a private schema belongs to."""
    return Home(database, schema.removesuffix(_OF_NAMESPACE))


PRIVATE_PATTERN = f"%{_OF_NAMESPACE}"
"""Private schemas of namespaces, for ``like``."""
