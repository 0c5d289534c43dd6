"""The erasure map: how a person is known in each raw table, and which values there are that person's.

It follows from the contracts: the classes of the columns, the tenant paths, and what ``subject``, ``about`` and
``erasure`` declare. The rules are DuckDB expressions over a relation called ``n`` that has a raw table's columns, so
that landing and erasing decide by the same text. Names come from the contracts, whose loader lets identifiers through
only.

An identifier belongs to a kind: ``email`` everywhere, otherwise the source that gave it, so that contact 7 of a CRM is
not invoice 7 of another system; and what it ``identifies``, where the source has an owner 7 as well.
"""

# ruff: noqa: S608 - names are the contracts'

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pii_policies.contracts import Column, Contracts, Table, TenantPath, Value
from settings import TailraceError

EMAIL = "email"
_IDENTIFYING = ("person_identifier", "email")


@dataclass(frozen=True, kw_only=True)
class Identifier:
    """One way in which a row names a person. ``sql`` is the identifier as normalised text."""

    column: str
    kind: str
    sql: str
    whole: bool
    """the column holds the identifier and nothing else, and is no part of the key: it is emptied"""
    subject: bool
    """the row is this person's own record"""
    keyed: bool
    """the identifier is part of the key: without it there is no row"""
    about: bool
    """the row's other personal values are this person's"""


@dataclass(frozen=True, kw_only=True)
class Emptied:
    """A column that a person's row loses. ``rest`` is what stays of a JSON column, as an expression, or None."""

    column: str
    rest: str | None = None


@dataclass(frozen=True, kw_only=True)
class ErasureRule:
    """What to do with the rows of one raw table. ``tenant`` is the row's tenant as text, null when not resolved."""

    source: str
    schema: str
    table: str
    key: tuple[str, ...]
    key_sql: tuple[str, ...]
    """the key's columns as normalised text"""
    tenant: str | None
    tenant_columns: tuple[str, ...]
    owners: tuple[tuple[str, str, str], ...]
    """(column, ``schema.table``, key as text): the rows of other tables that tell whose this one is"""
    own_tenant: bool
    """the tenant is part of the key, so identifiers are a tenant's; elsewhere only e-mails are"""
    is_subject: bool
    erased_whole: bool
    identifiers: tuple[Identifier, ...]
    emptied: tuple[Emptied, ...]
    classified: frozenset[str]

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.table}"

    @property
    def lookups(self) -> int:
        """How many other tables have to be asked, one after the other, for a row's tenant."""
        return (self.tenant or "").count("select max(")

    @property
    def concerns_people(self) -> bool:
        """Whether a row of this table can be a person's at all."""
        return bool(self.identifiers)


def erasure_rule(contracts: Contracts, table: Table) -> ErasureRule:
    """The rule of one table that lands; of a derived one there is none, because it is a view."""
    if table.derived_from is not None:
        raise TailraceError(f"{table.label}: derived from {table.derived_from}, whose rule holds; ask for that")
    paths = table.tenant_paths
    return ErasureRule(
        source=table.source,
        schema=table.schema,
        table=table.name,
        key=table.key,
        key_sql=tuple(_normalised(f'n."{column.name}"', column, "") for column in table.key_columns),
        tenant=_tenant(contracts, table, "n"),
        tenant_columns=tuple(dict.fromkeys(path.value.column for path in paths)),
        owners=tuple(
            (path.value.column, f"{target.schema}.{target.name}", _read("n", path.value))
            for path in paths
            if path.target is not None
            for target in [contracts.table(*path.target)]
        ),
        own_tenant=any(path.value == Value(column=name) for path in paths for name in table.key),
        is_subject=bool(table.subject),
        erased_whole=table.erased_whole,
        identifiers=tuple(_identifiers(contracts, table)),
        emptied=tuple(_emptied(contracts, table)),
        classified=frozenset(column.name for column in table.landed),
    )


def erasure_rules(contracts: Contracts) -> dict[str, ErasureRule]:
    """``schema.table`` → rule, of every table that lands."""
    rules = [erasure_rule(contracts, table) for source in contracts.sources for table in contracts.raw_tables(source)]
    return {rule.label: rule for rule in rules}


def erasure_map(contracts: Contracts) -> dict[str, ErasureRule]:
    """The rules of tables whose rows can be a person's."""
    return {label: rule for label, rule in erasure_rules(contracts).items() if rule.concerns_people}


def normalised_email(expression: str) -> str:
    """As ``treatments.normalise_email``, so that an address is one person however it is written."""
    upper, lower = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
    return f"translate(trim({expression}, ' '), '{upper}', '{lower}')"


def _identifiers(contracts: Contracts, table: Table) -> Iterator[Identifier]:
    for column in table.landed:
        declared = column.name in table.subject
        if column.data_class.name not in _IDENTIFYING and not declared:
            continue
        kind = _kind(table, column)
        keyed = column.key_position is not None
        yield Identifier(
            column=column.name,
            kind=kind,
            sql=_normalised(f'n."{column.name}"', column, kind),
            whole=not keyed and column.data_class.name in _IDENTIFYING,
            subject=declared,
            keyed=keyed and column.data_class.name in _IDENTIFYING,
            about=declared if table.subject else table.about is None or column.name in table.about,
        )
    for path in table.tenant_paths:
        found = _subject_on_path(contracts, table, path, "n")
        if found is not None:
            kind, sql = found
            yield Identifier(
                column=path.value.column, kind=kind, sql=sql, whole=False, subject=False, keyed=False, about=True
            )


def _kind(table: Table, column: Column) -> str:
    if column.data_class.name == "email":
        return EMAIL
    return f"{table.source}.{column.identifies}" if column.identifies else table.source


def _normalised(text: str, column: Column, kind: str) -> str:
    if kind == EMAIL:
        return normalised_email(f"{text}::varchar")
    return f"lower({text}::varchar)" if column.type == "UUID" else f"{text}::varchar"


def _subject_on_path(contracts: Contracts, table: Table, path: TenantPath, alias: str) -> tuple[str, str] | None:
    """The first subject on the way to the tenant: its kind, and the expression that gives its id."""
    if path.target is None:
        return None
    target, value = contracts.table(*path.target), _read(alias, path.value)
    if target.subject:
        return _kind(target, target.key_columns[0]), value
    for further in target.tenant_paths:
        inner = f"{alias}{len(alias)}"
        found = _subject_on_path(contracts, target, further, inner)
        if found is not None:
            kind, sql = found
            return kind, _looked_up(target, inner, sql, value)
    return None


def _tenant(contracts: Contracts, table: Table, alias: str) -> str | None:
    found = []
    for path in table.tenant_paths:
        value = _read(alias, path.value)
        if path.target is None:
            found.append(f"lower({value})")
            continue
        target = contracts.table(*path.target)
        itself = any(p.target is None and p.value == Value(column=target.key[0]) for p in target.tenant_paths)
        if itself:  # the value is a tenant's id; its row need not have landed
            found.append(f"lower({value})")
            continue
        inner = f"{alias}{len(alias)}"
        further = _tenant(contracts, target, inner)
        if further is not None:
            found.append(_looked_up(target, inner, further, value))
    if not found:
        return None
    return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"


def _looked_up(target: Table, alias: str, expression: str, key: str) -> str:
    """The expression over the row of ``target`` with that key, null when there is none."""
    relation = f'"{target.schema}"."{target.name}"'
    return f'(select max({expression}) from {relation} as {alias} where {alias}."{target.key[0]}" = {key})'


def _read(alias: str, value: Value) -> str:
    column = f'{alias}."{value.column}"'
    return f"({column}::json ->> '$.{value.path}')" if value.path else f"{column}::varchar"


def _emptied(contracts: Contracts, table: Table) -> Iterator[Emptied]:
    paths = [path.value for path in table.tenant_paths]
    named = {value.column for value in paths if value.path is None} | set(table.key)
    for column in table.landed:
        if column.data_class.treatment == "keep" or column.name in named:
            continue
        if column.data_class.name == "person_identifier":
            continue  # it goes where it is the person's; elsewhere it names somebody else
        kept = _kept_members(contracts, table, column.name) if column.type == "JSON" else {}
        yield Emptied(column=column.name, rest=_rest(f'n."{column.name}"::json', kept) if kept else None)


_Members = dict[str, "_Members | tuple[str, ...] | None"]


def _kept_members(contracts: Contracts, table: Table, column: str) -> _Members:
    """The members of a JSON column that are about no person and that something is read from."""
    return _tree(_read_members(contracts, table, column))


def _read_members(contracts: Contracts, table: Table, column: str) -> set[tuple[str, tuple[str, ...] | None]]:
    found: set[tuple[str, tuple[str, ...] | None]] = set()
    family = [t for t in contracts.sources[table.source].tables.values() if t.derived_from == table.name]
    for each in (table, *family):
        for c in each.columns:
            if c.derived is None or c.derived.column != column or not c.derived.path:
                continue
            if c.data_class.treatment == "keep":
                members = [m.derived.path for m in c.members if m.derived and m.data_class.treatment == "keep"]
                found.add((c.derived.path, tuple(m for m in members if m) if c.members else None))
    for path in table.tenant_paths:
        if path.value.column == column and path.value.path:
            found.add((path.value.path, None))
    return found


def _rest(document: str, members: Mapping[str, _Members | tuple[str, ...] | None]) -> str:
    parts = []
    for name, inner in members.items():
        member = f"({document} -> '$.{name}')"
        if isinstance(inner, tuple):
            kept = _rest("e", _tree((path, None) for path in inner))
            listed = f"to_json(list_transform(json_extract({document}, '$.{name}[*]'), lambda e: {kept}))"
            member = f"case when {member} is null then null else {listed} end"
        elif isinstance(inner, dict):
            member = f"case when {member} is null then null else {_rest(member, inner)} end"
        parts += [f"'{name}'", member]
    return f"json_object({', '.join(parts)})"


def _tree(paths: Iterable[tuple[str, tuple[str, ...] | None]]) -> _Members:
    """Dotted paths as a tree. A leaf is None; of an array it is the paths kept of each element."""
    tree: _Members = {}
    for path, elements in sorted(paths, key=lambda each: each[0]):
        node: _Members = tree
        *parents, leaf = path.split(".")
        for part in parents:
            child = node.setdefault(part, {})
            if not isinstance(child, dict):
                break
            node = child
        else:
            node.setdefault(leaf, elements)
    return tree
