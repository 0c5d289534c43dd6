"""Which objects are read, which of their fields, and how their rows are placed: from the contract and ``describe``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

from pii_policies import Contracts, Table
from pii_policies.contracts import Column, TenantPath, Value
from settings import SalesforceObject, SalesforceSource, TailraceError

SOURCE = "salesforce"
ACCOUNT, MERGES = "Account", "RecordMerge"
MERGEABLE = ("Account", "Contact", "Lead")
REGION = "Region__c"
_KEPT = "operational"
_NUMBERS = frozenset({"double", "currency", "percent", "int", "long"})
# By which field a stream is read on, the best first. One that a change does not move knows new records only.
_CURSORS = ("SystemModstamp", "LastModifiedDate", "CreatedDate")


@dataclass(frozen=True)
class Stream:
    """One object as it is read.

    ``fields`` are selected and land; ``account`` and ``region`` are paths to the account and its region, selected only
    to place the row; ``numbers`` and ``moments`` name the fields whose spelling differs between query and job.
    """

    name: str
    fields: tuple[str, ...]
    cursor: str
    account: str | None
    region: str | None
    calculated: tuple[str, ...]
    strange: tuple[str, ...]
    """fields that no contract classifies"""
    missing: tuple[str, ...]
    """fields of the contract that the org does not show"""
    numbers: frozenset[str]
    moments: frozenset[str]
    parent: tuple[str, str] | None
    """the field that names the record it is part of, and that record's object"""

    @property
    def appends(self) -> bool:
        """Whether its rows never change: history, which the org forgets after a time, and which stays true."""
        return self.cursor == "CreatedDate"

    @property
    def selected(self) -> str:
        paths = [self.account, self.region]
        return ", ".join(dict.fromkeys([*self.fields, self.cursor, *(path for path in paths if path)]))

    def read(self, record: Mapping[str, Any], path: str) -> str | None:
        """A field of a record, nested or flat, spelled one way whichever API it came by."""
        value: Any = record.get(path)
        if value is None and "." in path:
            value = record
            for part in path.split("."):
                value = value.get(part) if isinstance(value, dict) else None
        if value is None or value == "":
            return None
        if isinstance(value, bool):
            return "true" if value else "false"
        text = str(value)
        if path in self.numbers:
            return _number(text)
        if path in self.moments:
            return text.removesuffix("+0000") + "Z" if text.endswith("+0000") else text
        return text


def with_configured(contracts: Contracts, source: SalesforceSource | None) -> Contracts:
    """The contracts, and in Salesforce's also the objects that the configuration adds.

    Raises TailraceError naming the object for a class that does not exist, or an object that the contract has.
    """
    if source is None or not source.objects:
        return contracts
    contract = contracts.sources[SOURCE]
    tables = dict(contract.tables)
    for name, configured in source.objects.items():
        if name in tables or not name.isidentifier() or not name.isascii():
            raise TailraceError(f"sources.salesforce.objects.{name}: not the name of an object beyond the contract's")
        tables[name] = _configured(contracts, contract.schema, name, configured)
    extended = replace(contract, tables=MappingProxyType(tables))
    return replace(contracts, sources=MappingProxyType({**contracts.sources, SOURCE: extended}))


def streams(contracts: Contracts, source: SalesforceSource) -> list[Table]:
    """The objects to read, accounts first: they state the region that others follow."""
    wanted = [t for t in contracts.raw_tables(SOURCE) if t.name != MERGES and t.name not in source.without]
    return sorted(wanted, key=lambda table: table.name != ACCOUNT)


def stream(contracts: Contracts, table: Table, described: Iterable[Mapping[str, Any]], *, regional: bool) -> Stream:
    """How to read an object of which ``describe`` tells these fields; ``regional`` says that accounts name a region.

    Raises TailraceError when it has no cursor.
    """
    known = {str(each["name"]): each for each in described}
    landing = [column.name for column in table.landed]
    fields = tuple(name for name in landing if name in known)
    cursor = next((name for name in _CURSORS if name in known), None)
    if "Id" not in fields or cursor is None:
        raise TailraceError(f"Salesforce {table.name}: shows no Id or no date of change; grant access to these fields")
    classified = {column.name for column in table.columns}
    account, parent = _account_path(contracts, table, known)
    return Stream(
        name=table.name,
        fields=fields,
        cursor=cursor,
        account=account,
        region=_region_path(account) if account and regional else None,
        calculated=tuple(name for name in fields if known[name].get("calculated")),
        strange=tuple(sorted(set(known) - classified)),
        missing=tuple(name for name in landing if name not in known),
        numbers=_of(known, *_NUMBERS),
        moments=_of(known, "datetime"),
        parent=parent,
    )


def _account_path(
    contracts: Contracts, table: Table, known: Mapping[str, Any]
) -> tuple[str | None, tuple[str, str] | None]:
    """The path to a row's account, as its tenant path leads there, and the record that it is part of."""
    if table.name == ACCOUNT:
        return "Id", None
    for path in table.tenant_paths:
        if path.target is None or path.target[0] != SOURCE or path.value.column not in known:
            continue
        column, target = path.value.column, path.target[1]
        if target == ACCOUNT:
            return column, (column, target)
        above, _ = _account_path(
            contracts, contracts.table(*path.target), {f: {} for f in _reachable(contracts, target)}
        )
        if above is not None:
            relation = column.removesuffix("Id") if column.endswith("Id") else column.removesuffix("c") + "r"
            return f"{relation}.{above}", (column, target)
    return None, None


def _region_path(account: str) -> str:
    """The path to the region of the account that a path to its id names."""
    if account == "Id":
        return REGION
    if account.endswith("__c"):
        return f"{account.removesuffix('c')}r.{REGION}"
    return f"{account.removesuffix('Id')}.{REGION}"


def _reachable(contracts: Contracts, name: str) -> list[str]:
    return [column.name for column in contracts.table(SOURCE, name).landed]


def _of(known: Mapping[str, Any], *types: str) -> frozenset[str]:
    return frozenset(name for name, each in known.items() if each.get("type") in types)


def _number(text: str) -> str:
    """One spelling: a query says 1200.00 where a job says 1200.0."""
    try:
        return format(Decimal(text).normalize(), "f")
    except InvalidOperation:
        return text


def _configured(contracts: Contracts, schema: str, name: str, configured: SalesforceObject) -> Table:
    place = f"sources.salesforce.objects.{name}"

    def column(field: str, class_name: str, *, key: bool = False) -> Column:
        if class_name not in contracts.classes:
            raise TailraceError(f"{place}.fields.{field}: unknown class {class_name}; use one of treatments.yml")
        if not field.isidentifier() or not field.isascii():
            raise TailraceError(f"{place}.fields: {field!r} is no name of a field")
        return Column(
            name=field,
            staged_as=field.lower(),
            type="VARCHAR",
            logical_type="string",
            data_class=contracts.classes[class_name],
            description=f"Field of {name}.",
            key_position=1 if key else None,
            required=key,
        )

    fields = {"IsDeleted": _KEPT, "CreatedDate": _KEPT, "SystemModstamp": _KEPT, **configured.fields}
    if configured.account is not None:
        fields.setdefault(configured.account, _KEPT)
    fields.pop("Id", None)
    path = TenantPath(value=Value(column=configured.account), target=(SOURCE, ACCOUNT)) if configured.account else None
    return Table(
        source=SOURCE,
        schema=schema,
        name=name,
        staged_as=name.lower(),
        description=f"{name}, as the configuration adds it.",
        grain="one row per record",
        columns=(
            column("Id", configured.fields.get("Id", _KEPT), key=True),
            *(column(*each) for each in fields.items()),
        ),
        tenant_paths=(path,) if path else (),
    )
