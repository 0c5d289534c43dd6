"""Data contracts (Open Data Contract Standard v3) as typed objects: what may land, by which key, how personal it is.

How this project reads the standard, beyond its letter:

- ``physicalType`` is the DuckDB type of the raw column, ``logicalType`` decides the type in staging: a ``timestamp``
  that is physically a BIGINT holds Unix seconds, one that is a VARCHAR holds ISO 8601, a TIMESTAMP is in UTC. An
  ``array`` is physically JSON, or a list such as ``INTEGER[]``.
- ``name`` is the column (or table) in staging; ``physicalName``, where it differs, the column (or table) in raw.
- ``classification`` names a class of ``treatments.yml``.
- ``transformLogic`` makes a column that does not land but is read out of one that does: ``data:object.status`` is the
  member ``object.status`` of the JSON column ``data``. In the ``items`` of an array it is the path within an element.
- Custom properties of a table: ``tenantPath`` (below), ``grows`` (its staging model is incremental), ``stream`` (events
  that nobody reads whole: staging is a view, and marts read it by the day), ``derivedFrom``
  (the table is a view on another one, narrowed by ``rowFilter``), ``subject``, ``about`` and ``erasure`` (below).

A tenant path tells whose a row is: ``tenant_id`` is a column, ``metadata:tenant_id`` a member of a JSON column,
``customer -> customers`` follows the column to the row of that key in another table and goes on by that table's path.
``app.tenants`` is a table of another contract. Of a list of paths the first that resolves holds; ``none`` is for
reference tables, which are nobody's.

Whom a row is about: ``subject`` lists the columns by which a row is known as one person's record (its id, the ids it
was merged into, its e-mail addresses). Other tables refer to persons by columns of the classes ``person_identifier``
and ``email``, and by tenant paths that lead to a subject; ``about`` names those of them whose person the row's other
personal columns are about, all of them if it is left out. ``erasure: empty`` keeps a subject's row, without its
personal values, where the row is a business record as well; otherwise it goes. ``retainFrom`` is the column from
which on the days count that a class is retained, the row's last change if it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pii_policies.classes import TREATMENTS_PATH, DataClass, load_classes, load_yaml
from settings import TailraceError

CONTRACTS_DIR = Path(__file__).with_name("contracts")

_PHYSICAL: Mapping[str, tuple[str, ...]] = {
    "string": ("VARCHAR", "UUID", "TIME"),
    "integer": ("SMALLINT", "INTEGER", "BIGINT", "VARCHAR"),
    "number": ("DECIMAL", "FLOAT", "DOUBLE", "VARCHAR"),
    "boolean": ("BOOLEAN",),
    "timestamp": ("TIMESTAMPTZ", "TIMESTAMP", "BIGINT", "VARCHAR"),
    "date": ("DATE",),
    "object": ("JSON",),
    "array": ("JSON",),
}
_ELEMENTS = frozenset(
    {"VARCHAR", "UUID", "SMALLINT", "INTEGER", "BIGINT", "DECIMAL", "FLOAT", "DOUBLE", "BOOLEAN", "DATE"}
)
_TABLE_PROPERTIES = frozenset(
    {"tenantPath", "grows", "stream", "derivedFrom", "rowFilter", "subject", "about", "erasure", "retainFrom"}
)


@dataclass(frozen=True, kw_only=True)
class Value:
    """A column, or a member of a JSON column by its dotted path."""

    column: str
    path: str | None = None


@dataclass(frozen=True, kw_only=True)
class TenantPath:
    """The tenant of a row: the value itself, or the tenant of the row it is the key of, as (source, table)."""

    value: Value
    target: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a contract. ``name`` is what raw calls it (staging, if derived), ``type`` its DuckDB type."""

    name: str
    staged_as: str
    type: str
    logical_type: str
    data_class: DataClass
    description: str
    key_position: int | None = None
    required: bool = False
    allowed: tuple[str, ...] = ()
    derived: Value | None = None
    members: tuple[Column, ...] = ()
    identifies: str | None = None
    """what kind of thing the identifier in it names, where the source numbers each kind from one"""

    @property
    def lands(self) -> bool:
        return self.derived is None and self.data_class.lands


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of a contract: a raw table, or with ``derived_from`` a view on one. ``name`` is what raw calls it."""

    source: str
    schema: str
    name: str
    staged_as: str
    description: str
    grain: str
    columns: tuple[Column, ...]
    tenant_paths: tuple[TenantPath, ...]
    grows: bool = False
    stream: bool = False
    derived_from: str | None = None
    row_prefix: tuple[str, str] | None = None
    subject: tuple[str, ...] = ()
    about: tuple[str, ...] | None = None
    erased_whole: bool = True
    retain_from: str = "_ab_cdc_updated_at"
    """raw column from which on the retention of a class counts"""

    @property
    def label(self) -> str:
        return f"{self.source}.{self.name}"

    @property
    def key(self) -> tuple[str, ...]:
        """Names of the key's columns, in key order."""
        return tuple(column.name for column in self.key_columns)

    @property
    def key_columns(self) -> tuple[Column, ...]:
        keyed = [column for column in self.columns if column.key_position is not None]
        return tuple(sorted(keyed, key=lambda column: column.key_position or 0))

    @property
    def landed(self) -> tuple[Column, ...]:
        """The columns that land in raw, in the contract's order."""
        return tuple(column for column in self.columns if column.lands)

    @property
    def personal(self) -> frozenset[str]:
        """Raw columns that a deleted row loses: all that need treatment, but for those that say which row it was
        (its key) and whose (its tenant path)."""
        named = set(self.key) | {path.value.column for path in self.tenant_paths}
        return frozenset(c.name for c in self.landed if c.data_class.treatment != "keep") - named

    @property
    def staged(self) -> tuple[Column, ...]:
        """The columns of the staging model that come from the source, in order; ``tenant_id`` is not among them."""
        return tuple(c for c in self.columns if c.data_class.staged and c.staged_as != "tenant_id")

    def column(self, name: str) -> Column:
        """The landed column of this name in raw. Raises KeyError."""
        for column in self.landed:
            if column.name == name:
                return column
        raise KeyError(f"{self.label}.{name}")


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The contract of one source."""

    source: str
    title: str
    purpose: str
    owner: str
    schema: str
    freshness_hours: int
    tables: Mapping[str, Table]


@dataclass(frozen=True, kw_only=True)
class Contracts:
    """All contracts, checked against each other and against the classes of ``treatments.yml``."""

    sources: Mapping[str, Contract]
    classes: Mapping[str, DataClass]

    def table(self, source: str, name: str) -> Table:
        """One table. Raises TailraceError when no contract has it."""
        contract = self.sources.get(source)
        if contract is None or name not in contract.tables:
            raise TailraceError(f"{source}.{name}: no contract has this table; add it to {source}.odcs.yaml")
        return contract.tables[name]

    def raw_tables(self, source: str) -> tuple[Table, ...]:
        """The tables of a source that land, in the contract's order."""
        return tuple(table for table in self.sources[source].tables.values() if table.derived_from is None)

    def tables(self) -> Iterator[Table]:
        """Every table, derived ones included."""
        for contract in self.sources.values():
            yield from contract.tables.values()


def load_contracts(directory: Path = CONTRACTS_DIR, treatments: Path = TREATMENTS_PATH) -> Contracts:
    """Read and check every ``<source>.odcs.yaml`` of ``directory``.

    Raises TailraceError in one line naming file, table and column: for malformed YAML, a column without a class or
    with an unknown one, a treatment that its type cannot take, a tenant path that does not resolve.
    """
    return _load(directory, treatments)


@lru_cache(maxsize=4)
def _load(directory: Path, treatments: Path) -> Contracts:
    classes = load_classes(treatments)
    paths = sorted(directory.glob("*.odcs.yaml"))
    if not paths:
        raise TailraceError(f"{directory}: no contracts; put <source>.odcs.yaml files there")
    read = [_contract(path, classes) for path in paths]
    contracts = Contracts(sources=MappingProxyType({c.source: c for c in read}), classes=classes)
    for contract in read:
        for table in contract.tables.values():
            _check_table(contracts, table)
    return contracts


def contract_file(source: str) -> str:
    return f"{source}.odcs.yaml"


def _contract(path: Path, classes: Mapping[str, DataClass]) -> Contract:
    file = path.name
    source = file.removesuffix(".odcs.yaml")
    document = _mapping(load_yaml(path), file)
    schema = None
    for server in _list(document, "servers", file):
        schema = schema or _custom(_mapping(server, f"{file}: servers"), f"{file}: servers").get("schema")
    if not isinstance(schema, str):
        raise TailraceError(f"{file}: no raw schema; give servers a custom property `schema`")
    hours = [
        entry.get("value")
        for entry in _list(document, "slaProperties", file)
        if isinstance(entry, dict) and entry.get("property") == "freshness" and entry.get("unit") == "h"
    ]
    if not hours or not isinstance(hours[0], int):
        raise TailraceError(f"{file}: no freshness; add slaProperties {{property: freshness, value: …, unit: h}}")
    tables: dict[str, Table] = {}
    for entry in _list(document, "schema", file):
        table = _table(file, source, schema, _mapping(entry, f"{file}: schema"), classes)
        if table.name in tables:
            raise TailraceError(f"{file}: {table.name}: stands there twice; remove one")
        tables[table.name] = table
    return Contract(
        source=source,
        title=_text(document, "name", file),
        purpose=_text(_mapping(document.get("description"), f"{file}: description"), "purpose", file),
        owner=_text(_mapping(document.get("team"), f"{file}: team"), "name", file),
        schema=schema,
        freshness_hours=hours[0],
        tables=MappingProxyType(tables),
    )


def _table(file: str, source: str, schema: str, entry: dict[str, Any], classes: Mapping[str, DataClass]) -> Table:
    staged_as = _text(entry, "name", f"{file}: a table")
    name = str(entry.get("physicalName") or staged_as)
    place = f"{file}: {name}"
    custom = _custom(entry, place)
    unknown = set(custom) - _TABLE_PROPERTIES
    if unknown:
        raise TailraceError(f"{place}: unknown custom property {min(unknown)}; known are {sorted(_TABLE_PROPERTIES)}")
    if "tenantPath" not in custom:
        raise TailraceError(f"{place}: no tenantPath; say whose a row is, or `none` for a reference table")
    paths = custom["tenantPath"]
    texts = [] if paths == "none" else paths if isinstance(paths, list) else [paths]
    row_filter = custom.get("rowFilter")
    prefix = None
    if row_filter is not None:
        narrowed = _mapping(row_filter, f"{place}: rowFilter")
        prefix = (_text(narrowed, "column", place), _text(narrowed, "startsWith", place))
        if not prefix[1].replace(".", "").replace("_", "").isalnum():
            raise TailraceError(f"{place}: rowFilter startsWith may hold letters, digits, dots and underscores only")
    return Table(
        source=source,
        schema=schema,
        name=_identifier(name, place),
        staged_as=_identifier(staged_as, place),
        description=_text(entry, "description", place),
        grain=_text(entry, "dataGranularityDescription", place),
        columns=tuple(
            _column(place, _mapping(column, f"{place}: properties"), classes, element=False)
            for column in _list(entry, "properties", place)
        ),
        tenant_paths=tuple(_tenant_path(place, source, text) for text in texts),
        grows=custom.get("grows") is True,
        stream=custom.get("stream") is True,
        derived_from=custom.get("derivedFrom"),
        row_prefix=prefix,
        subject=_names(custom.get("subject", []), f"{place}: subject"),
        about=_names(custom["about"], f"{place}: about") if "about" in custom else None,
        retain_from=_identifier(str(custom.get("retainFrom", "_ab_cdc_updated_at")), f"{place}: retainFrom"),
        erased_whole=_erasure(custom.get("erasure", "row"), place) == "row",
    )


def _names(value: object, place: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TailraceError(f"{place}: not a list; name columns")
    return tuple(_identifier(str(name), place) for name in value)


def _erasure(value: object, place: str) -> object:
    if value not in ("row", "empty"):
        raise TailraceError(f"{place}: erasure is `row` or `empty`")
    return value


def _column(place: str, entry: dict[str, Any], classes: Mapping[str, DataClass], *, element: bool) -> Column:
    staged_as = _identifier(_text(entry, "name", f"{place}: a column"), place)
    place = f"{place}.{staged_as}"
    classification = entry.get("classification")
    if classification is None:
        raise TailraceError(f"{place}: no classification; name a class of treatments.yml (restricted, if in doubt)")
    data_class = classes.get(classification)
    if data_class is None:
        raise TailraceError(
            f"{place}: unknown class {classification}; add it to treatments.yml or use one that is there"
        )
    logical, physical = _text(entry, "logicalType", place), _text(entry, "physicalType", place)
    if not _holds(physical, logical):
        raise TailraceError(f"{place}: physicalType {physical} cannot hold the logicalType {logical}; correct one")
    if not data_class.applies_to(logical):
        raise TailraceError(
            f"{place}: class {classification} is treated by {data_class.treatment}, which cannot apply to {logical}"
        )
    logic = entry.get("transformLogic")
    derived = None
    if element:
        derived = Value(column="", path=_dotted(str(logic or staged_as), place))
    elif logic is not None:
        derived = _value(str(logic), place)
    members: tuple[Column, ...] = ()
    if isinstance(entry.get("items"), dict):
        members = tuple(
            _column(place, _mapping(member, place), classes, element=True)
            for member in _list(entry["items"], "properties", f"{place}: items")
        )
    for member in members:
        if member.data_class.treatment not in ("keep", "drop"):
            raise TailraceError(f"{place}.{member.staged_as}: members of an array can be kept or dropped only")
    position = entry.get("primaryKeyPosition") if entry.get("primaryKey") is True else None
    if entry.get("primaryKey") is True and not isinstance(position, int):
        raise TailraceError(f"{place}: primaryKey without primaryKeyPosition; number the columns of the key from 1")
    if position is not None and not data_class.staged:
        raise TailraceError(f"{place}: part of the key and treated by {data_class.treatment}; staging needs its key")
    return Column(
        name=str(entry.get("physicalName") or staged_as),
        staged_as=staged_as,
        type=physical,
        logical_type=logical,
        data_class=data_class,
        description=_text(entry, "description", place),
        key_position=position,
        required=entry.get("required") is True,
        allowed=tuple(str(_mapping(value, f"{place}: enum")["value"]) for value in entry.get("enum") or ()),
        derived=derived,
        members=members,
        identifies=_identifier(str(identifies), place)
        if (identifies := _custom(entry, place).get("identifies"))
        else None,
    )


def _holds(physical: str, logical: str) -> bool:
    if physical.endswith("[]"):
        return logical == "array" and physical[:-2].partition("(")[0] in _ELEMENTS
    return physical.partition("(")[0] in _PHYSICAL.get(logical, ())


def _check_table(contracts: Contracts, table: Table) -> None:
    """What one table alone cannot tell: its paths and what it is derived from must exist and land."""
    place = f"{contract_file(table.source)}: {table.name}"
    landing = [column.name for column in table.columns if column.derived is None]
    for kind, names in (("raw", landing), ("staging", [column.staged_as for column in table.columns])):
        for name in names:
            if names.count(name) > 1:
                raise TailraceError(f"{place}.{name}: two columns of this name in {kind}; rename one")
    if not table.key:
        raise TailraceError(f"{place}: no primaryKey; a raw table holds one row a key")
    origin = table
    if table.derived_from is not None:
        tables = contracts.sources[table.source].tables
        if table.derived_from not in tables or tables[table.derived_from].derived_from is not None:
            raise TailraceError(f"{place}: derivedFrom {table.derived_from} is no landed table of this contract")
        origin = tables[table.derived_from]
        loose = [column.staged_as for column in table.columns if column.derived is None]
        if loose:
            raise TailraceError(f"{place}.{loose[0]}: no transformLogic; a derived table reads all from its origin")
    for column in table.columns:
        if column.derived is not None:
            _check_value(origin, column.derived, f"{place}.{column.staged_as}: transformLogic")
    if table.row_prefix is not None:
        _check_value(origin, Value(column=table.row_prefix[0]), f"{place}: rowFilter")
    if table.retain_from != "_ab_cdc_updated_at":
        _check_value(table, Value(column=table.retain_from), f"{place}: retainFrom")
    for name in (*table.subject, *(table.about or ())):
        _check_value(table, Value(column=name), f"{place}: subject, about")
    _resolve(contracts, table, seen=())


def _resolve(contracts: Contracts, table: Table, *, seen: tuple[str, ...]) -> None:
    place = f"{contract_file(table.source)}: {table.name}: tenantPath"
    if table.label in seen:
        raise TailraceError(f"{place}: goes in a circle ({' -> '.join((*seen, table.label))}); let it end at a tenant")
    for path in table.tenant_paths:
        if table.derived_from is None:
            _check_value(table, path.value, place)
        elif all(column.name != path.value.column for column in table.columns):
            raise TailraceError(f"{place}: no column {path.value.column}; a derived table's path starts at its columns")
        if path.target is None:
            continue
        source, name = path.target
        contract = contracts.sources.get(source)
        if contract is None or name not in contract.tables:
            raise TailraceError(f"{place}: leads to {source}.{name}, which no contract has; correct the path")
        target = contract.tables[name]
        if not target.tenant_paths or target.derived_from is not None:
            raise TailraceError(f"{place}: leads to {source}.{name}, whose rows are no tenant's; correct the path")
        if len(target.key) != 1:
            raise TailraceError(f"{place}: leads to {source}.{name}, whose key has {len(target.key)} columns, not one")
        _resolve(contracts, target, seen=(*seen, table.label))


def _check_value(table: Table, value: Value, place: str) -> None:
    column = next((column for column in table.landed if column.name == value.column), None)
    if column is None:
        raise TailraceError(f"{place}: {table.name} lands no column {value.column}; correct it, or land the column")
    if value.path is not None and column.type != "JSON":
        raise TailraceError(f"{place}: {value.column} is {column.type}, not JSON, and has no member {value.path}")


def _tenant_path(place: str, source: str, text: object) -> TenantPath:
    place = f"{place}: tenantPath"
    if not isinstance(text, str):
        raise TailraceError(f"{place}: not text; write `column`, `column:member` or `column -> table`")
    left, arrow, right = (part.strip() for part in text.partition("->"))
    if not arrow:
        return TenantPath(value=_value(left, place))
    owner, dot, name = right.rpartition(".")
    return TenantPath(value=_value(left, place), target=(owner if dot else source, _identifier(name, place)))


def _value(text: str, place: str) -> Value:
    column, colon, path = text.partition(":")
    return Value(column=_identifier(column, place), path=_dotted(path, place) if colon else None)


def _dotted(path: str, place: str) -> str:
    for part in path.split("."):
        _identifier(part, place)
    return path


def _identifier(text: str, place: str) -> str:
    """Names go into SQL and YAML as they are, so they may hold letters, digits and underscores only."""
    if not text.isidentifier() or not text.isascii():
        raise TailraceError(f"{place}: {text!r} is no name; use letters, digits and underscores")
    return text


def _custom(entry: dict[str, Any], place: str) -> dict[str, Any]:
    listed = entry.get("customProperties") or []
    return {_text(item, "property", place): item.get("value") for item in listed if isinstance(item, dict)}


def _mapping(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TailraceError(f"{place}: a mapping is expected there")
    return value


def _list(entry: dict[str, Any], name: str, place: str) -> list[Any]:
    value = entry.get(name)
    if not isinstance(value, list) or not value:
        raise TailraceError(f"{place}: `{name}` is missing or no list")
    return value


def _text(entry: dict[str, Any], name: str, place: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value.strip():
        raise TailraceError(f"{place}: `{name}` is missing or no text")
    return value
