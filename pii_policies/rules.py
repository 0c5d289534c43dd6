"""What the contracts ask of each raw column, and of each member of a raw document, before it may leave raw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pii_policies.classes import DataClass
from pii_policies.compile import RAW_META
from pii_policies.contracts import Column, Contracts, Table, Value
from pii_policies.lineage import Flow, Relation

Member = tuple[str, str, str, tuple[str, ...]]  # schema, table, column, path within its document

_VAULT = ("vault", "tenant_keys")
_PADS = frozenset({"ipad", "opad"})
_VAULT_COLUMNS = ("tenant_id", "key_version", "ipad", "opad", "created_at")
_BARE = DataClass(name="operational", treatment="keep", meaning="What the platform says of a row.")
_CLOSED = DataClass(name="restricted", treatment="drop", meaning="A document whose members were not decided on.")
_SECRET = DataClass(name="credential", treatment="never_land", meaning="A tenant's key.")
_STRICTNESS = ("keep", "generalise", "mask", "redact", "pseudonymise", "drop", "never_land")


def met(demanded: DataClass, treatments: frozenset[str]) -> bool:
    """Whether what a value went through suffices for its class: its own treatment, or a pseudonym, which shows less."""
    match demanded.treatment:
        case "keep":
            return True
        case "drop" | "never_land":
            return False
        case "generalise":
            return not treatments.isdisjoint({f"generalise_{demanded.to}", "pseudonymise"})
        case treatment:
            return not treatments.isdisjoint({treatment, "pseudonymise"})


class Rules:
    """The raw tables and the vault's as relations, and the class of whatever flows out of them."""

    def __init__(self, contracts: Contracts) -> None:
        landing = [table for table in contracts.tables() if table.derived_from is None]
        self._tables = {(table.schema.lower(), table.name.lower()): table for table in landing}
        self._members: dict[Member, list[DataClass]] = {}
        for table, value, data_class in _declared(contracts):
            if value.path is not None:
                self._members.setdefault(_member(table, value), []).append(data_class)
        self._finds_tenants = frozenset(_tenant_finding(contracts))

    def relation(self, schema: str, name: str) -> Relation | None:
        """The columns of a raw table, or of the vault's; None for what is neither."""
        if name == _VAULT[1] and schema in ("vault", "main"):
            return _raw(*_VAULT, _VAULT_COLUMNS)
        table = self._tables.get((schema, name))
        return _raw(schema, name, [*(column.name for column in table.landed), *RAW_META]) if table else None

    def finds_tenants(self, flow: Flow) -> bool:
        """Whether a contract names it to find the tenant of a row: a join may use it, no column may show it."""
        return (flow.schema, flow.table, flow.column, flow.path) in self._finds_tenants

    def of(self, flow: Flow) -> DataClass:
        """The class of what a flow carries: of a document as strict as the strictest of its members."""
        if (flow.schema, flow.table) == _VAULT:
            return _SECRET if flow.column in _PADS else _BARE
        if flow.column in RAW_META:
            return _CLOSED if flow.column == "_airbyte_meta" else _BARE
        place = (flow.schema, flow.table, flow.column)
        for length in range(len(flow.path), 0, -1):
            if (*place, flow.path[:length]) in self._members:
                return _strictest(self._members[(*place, flow.path[:length])])
        column = _column(self._tables[place[:2]], flow.column)
        if column.members and not flow.path:
            return _CLOSED
        below = [
            each
            for (*owner, path), classes in self._members.items()
            if tuple(owner) == place and path[: len(flow.path)] == flow.path
            for each in classes
        ]
        return _strictest([column.data_class, *below])


def _raw(schema: str, name: str, columns: Iterable[str]) -> Relation:
    names = [column.lower() for column in columns]
    return Relation(tuple((c, {Flow(schema, name, c): (f"{schema}.{name}.{c}",)}) for c in names))


def _declared(contracts: Contracts) -> Iterator[tuple[Table, Value, DataClass]]:
    """Every value that a contract decides on, with the raw table it is read from."""
    for table in contracts.tables():
        origin = _origin(contracts, table)
        for column in table.columns:
            value = column.derived or Value(column=column.name)
            if not column.members:
                yield origin, value, column.data_class
            for member in column.members:
                if member.derived is not None:
                    inner = ".[*]." + str(member.derived.path)
                    yield origin, Value(column=value.column, path=(value.path or "") + inner), member.data_class
        for path in table.tenant_paths:
            if path.target is None and path.value.path is not None:
                yield origin, path.value, contracts.classes.get("tenant_identifier", _BARE)


def _tenant_finding(contracts: Contracts) -> Iterator[Member]:
    """Columns of tenant paths, and the keys that they lead to."""
    for table in contracts.tables():
        derived: Mapping[str, Value] = {c.name: c.derived for c in table.columns if c.derived is not None}
        for path in table.tenant_paths:
            value = derived.get(path.value.column, path.value) if table.derived_from else path.value
            yield _member(_origin(contracts, table), value)
            if path.target is not None:
                target = contracts.table(*path.target)
                yield _member(target, Value(column=target.key_columns[0].name))


def _member(table: Table, value: Value) -> Member:
    path = tuple(part for part in value.path.split(".") if part) if value.path else ()
    return table.schema.lower(), table.name.lower(), value.column.lower(), path


def _origin(contracts: Contracts, table: Table) -> Table:
    return table if table.derived_from is None else contracts.table(table.source, table.derived_from)


def _column(table: Table, name: str) -> Column:
    return next(column for column in table.landed if column.name.lower() == name)


def _strictest(classes: Iterable[DataClass]) -> DataClass:
    return max(classes, key=lambda each: _STRICTNESS.index(each.treatment))
