"""Which raw values reach each column of a query, and through which treatment: an abstract reading of its SQL.

Sound rather than clever. A value is the set of raw columns it was made of; whatever is not known to lose them keeps
them, and a construct that this module does not know is refused (``UnprovedError``), never passed. What a query merely
looks at without showing it (``where``, ``join``, ``group by``, ``order by`` …) is kept apart, by clause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from pii_policies import treated_sql

_KEYS = ("vault", "tenant_keys")

# Scalar functions that sqlglot has no class for, and which give nothing but what they are given.
_PURE = frozenset(
    {
        *("to_json", "json_object", "json_array", "json_merge_patch", "json_structure", "json_valid", "json_type"),
        *("row", "struct_pack", "struct_extract", "struct_insert", "list_value", "list_zip", "list_filter", "error"),
        *("list_aggregate", "list_aggr", "list_sort", "list_distinct", "list_unique", "list_reduce", "list_apply"),
        *("array_extract", "element_at", "map", "map_from_entries", "map_entries", "strip_accents", "format", "printf"),
        *("prefix", "suffix", "bar", "encode", "decode", "url_encode", "url_decode", "from_base64", "to_base64"),
        *("json_extract_path", "json_extract_path_text", "json_keys", "json_array_length", "nfc_normalize", "hash"),
        *("first", "last", "any_value", "mode", "list", "histogram", "entropy", "base64", "hex", "md5_number", "chr"),
        *("string_split", "string_split_regex", "regexp_split_to_array", "reverse", "ord", "unicode", "bit_length"),
        *("to_years", "to_months", "to_days", "to_hours", "to_minutes", "to_seconds", "to_microseconds"),
        *("is_histogram_other_bin", "levenshtein", "jaccard", "damerau_levenshtein", "jaro_similarity", "greatest"),
    }
)
_REFUSED = (exp.Columns, exp.ReadCSV, exp.ReadParquet, exp.Placeholder, exp.Parameter, exp.Lateral, exp.Unnest)
_TRANSPARENT = (
    *(exp.Func, exp.Binary, exp.Unary, exp.Predicate, exp.Connector, exp.Tuple, exp.Interval, exp.AtTimeZone),
    *(exp.Distinct, exp.JSONKeyValue, exp.Slice, exp.IgnoreNulls, exp.RespectNulls, exp.Bracket, exp.HavingMax),
    *(exp.Collate, exp.Between, exp.In, exp.Cube, exp.Rollup, exp.GroupingSets),
)
_EMPTY = (exp.Literal, exp.Null, exp.Boolean, exp.DataType, exp.Var, exp.JSONPath, exp.CurrentTimestamp)


class UnprovedError(Exception):
    """A construct that the proof does not know, or a name that it cannot resolve. The text says which."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A raw column, or with ``path`` a member of its document, that reached a value.

    ``exact``: the value is the raw one itself, read into another type perhaps. ``treatments``: those it went through.
    """

    schema: str
    table: str
    column: str
    path: tuple[str, ...] = ()
    treatments: frozenset[str] = frozenset()
    exact: bool = True

    @property
    def raw(self) -> str:
        member = ":" + ".".join(self.path).replace(".[*]", "[*]") if self.path else ""
        return f"{self.schema}.{self.table}.{self.column}{member}"


# What a value is made of, each with the columns it came by: `raw_app.users.email`, `stg_app__users.email`, …
Value = Mapping[Flow, tuple[str, ...]]
_NOTHING: Value = {}


@dataclass(frozen=True)
class Relation:
    """Columns in order, by lower-case name. Of an ``open`` one any name may be read: it is not known yet."""

    columns: tuple[tuple[str, Value], ...]
    open: bool = False

    def get(self, name: str) -> Value | None:
        found = [value for column, value in self.columns if column == name]
        if found:
            return merged(found)
        return _NOTHING if self.open else None

    @property
    def everything(self) -> Value:
        return merged(value for _, value in self.columns)


@dataclass(frozen=True)
class Result:
    """What a query shows, column by column, and what it merely looks at, by clause."""

    shown: Relation
    looked_at: tuple[tuple[str, Value], ...]


def read(sql: str, tables: Callable[[str, str], Relation | None]) -> Result:
    """The lineage of one query of DuckDB's dialect. ``tables(schema, name)`` gives what it may read.

    Raises UnprovedError, saying why, for SQL that cannot be read or holds what is not known here.
    """
    try:
        statements = [each for each in sqlglot.parse(sql, dialect=treated_sql.DIALECT) if each is not None]
    except SqlglotError:
        raise UnprovedError("SQL that the proof's parser cannot read") from None
    if len(statements) != 1:
        raise UnprovedError(f"{len(statements)} statements where one query is expected")
    reader = _Reader(tables)
    try:
        shown = reader.query(statements[0], _Scope())
    except (AttributeError, TypeError, ValueError, LookupError, RecursionError) as error:
        raise UnprovedError(f"a form of SQL that the proof does not know ({type(error).__name__})") from error
    return Result(shown, tuple((clause, value) for clause, value in sorted(reader.looked_at.items())))


def merged(values: Iterable[Value]) -> Value:
    """All flows of all values; of two ways that one came, the shorter."""
    result: dict[Flow, tuple[str, ...]] = {}
    for value in values:
        for flow, hops in value.items():
            known = result.get(flow)
            if known is None or (len(hops), hops) < (len(known), known):
                result[flow] = hops
    return result


def _changed(value: Value) -> Value:
    """The value after something was done to it."""
    return merged({replace(flow, exact=False): hops} for flow, hops in value.items())


def _narrowed(value: Value, path: tuple[str, ...]) -> Value:
    """A member of a document. Only of the raw document itself is it known which; of any other it may be any."""
    narrowed: dict[Flow, tuple[str, ...]] = {}
    for flow, hops in value.items():
        if flow.exact:
            # What `data[*]` gives is a list of the elements already.
            entered = path[1:] if flow.path[-1:] == ("[*]",) == path[:1] else path
            flow = replace(flow, path=flow.path + entered)
        narrowed[flow] = hops
    return narrowed


@dataclass
class _Scope:
    """The names that an expression may use. ``parent`` is the query around a subquery."""

    parent: _Scope | None = None
    relations: dict[str, Relation] = field(default_factory=dict)
    ctes: dict[str, Relation] = field(default_factory=dict)
    aliases: dict[str, exp.Expr] = field(default_factory=dict)
    windows: frozenset[str] = frozenset()
    aliases_first: bool = False
    hidden: set[tuple[str, str]] = field(default_factory=set)  # columns that `using` shows once

    def chain(self) -> Iterator[_Scope]:
        scope: _Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def cte(self, name: str) -> Relation | None:
        return next((scope.ctes[name] for scope in self.chain() if name in scope.ctes), None)

    def relation(self, name: str) -> Relation | None:
        return next((scope.relations[name] for scope in self.chain() if name in scope.relations), None)


class _Reader:
    def __init__(self, tables: Callable[[str, str], Relation | None]) -> None:
        self._tables = tables
        self._resolving: set[int] = set()
        self.looked_at: dict[str, Value] = {}

    # ------------------------------------------------------------------------------------------------- queries

    def query(self, node: exp.Expr, outer: _Scope) -> Relation:
        scope = _Scope(parent=outer)
        self._ctes(node, scope)
        if isinstance(node, exp.Select):
            return self._select(node, scope)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, scope)
        if isinstance(node, exp.Subquery):
            _only(node, "this", "with_", "order", "limit", "offset", "alias")
            result = self.query(node.this, scope)
            self._tail(node, _Scope(parent=scope, relations={"": result}))
            return _renamed(result, node)
        if isinstance(node, exp.Values):
            return self._values(node, scope)
        raise UnprovedError(f"`{node.key}` where a query is expected")

    def _ctes(self, node: exp.Expr, scope: _Scope) -> None:
        with_ = node.args.get("with_")
        if with_ is None:
            return
        _only(with_, "expressions", "recursive")
        for cte in with_.expressions:
            _only(cte, "this", "alias", "materialized")
            name = cte.alias.lower()
            if with_.args.get("recursive") and isinstance(cte.this, exp.SetOperation) and _mentions(cte.this, name):
                result = _renamed(self.query(cte.this.left, scope), cte)
                while True:
                    scope.ctes[name] = result
                    following = _renamed(self.query(cte.this, scope), cte)
                    if _flows(following) == _flows(result):
                        break
                    result = following
            else:
                result = _renamed(self.query(cte.this, scope), cte)
            scope.ctes[name] = result

    def _select(self, node: exp.Select, scope: _Scope) -> Relation:
        clauses = ("where", "group", "having", "qualify", "order", "limit", "offset", "windows", "distinct", "sample")
        _only(node, "expressions", "from_", "joins", "laterals", "with_", *clauses)
        from_ = node.args.get("from_")
        if from_ is not None:
            _only(from_, "this")
            self._source(from_.this, scope)
        self._joins(node, scope)
        for lateral in node.args.get("laterals") or []:
            self._source(lateral, scope)
        scope.aliases = {
            item.alias.lower(): item.this for item in node.expressions if isinstance(item, exp.Alias) and item.alias
        }
        for window in node.args.get("windows") or []:
            self._window(window, scope)
        scope.windows = frozenset(window.name.lower() for window in node.args.get("windows") or [])
        columns: list[tuple[str, Value]] = []
        is_open = False
        for number, item in enumerate(node.expressions):
            star = item.this if isinstance(item, exp.Column) else item
            if isinstance(star, exp.Star):
                expanded, unknown = self._star(star, item.args.get("table"), scope)
                columns += expanded
                is_open = is_open or unknown
            else:
                columns.append((item.alias_or_name.lower() or f"?{number}", self.value(item, scope)))
        for clause in ("where", "having", "qualify"):
            condition = node.args.get(clause)
            if condition is not None:
                self._look(clause, self.value(condition.this, scope))
        group = node.args.get("group")
        if group is not None:
            for part in _parts(group):
                self._look("group by", self.value(part, scope))
        distinct = node.args.get("distinct")
        if distinct is not None and distinct.args.get("on") is not None:
            self._look("distinct on", self.value(distinct.args["on"], scope))
        self._tail(node, scope)
        return Relation(tuple(columns), open=is_open)

    def _tail(self, node: exp.Expr, scope: _Scope) -> None:
        order = node.args.get("order")
        if order is not None:
            scope.aliases_first = True
            for part in order.expressions:
                self._look("order by", self.value(part.this, scope))
            scope.aliases_first = False
        for clause in ("limit", "offset"):
            part = node.args.get(clause)
            if part is not None:
                for child in part.iter_expressions():
                    self._look(clause, self.value(child, scope))

    def _set_operation(self, node: exp.SetOperation, scope: _Scope) -> Relation:
        _only(node, "this", "expression", "distinct", "by_name", "with_", "order", "limit", "offset")
        left, right = self.query(node.this, scope), self.query(node.expression, scope)
        is_open = left.open or right.open
        if not isinstance(node, exp.Union):
            self._look(node.key, right.everything)
            result = left
        elif node.args.get("by_name"):
            names = dict.fromkeys([name for name, _ in (*left.columns, *right.columns)])
            result = Relation(
                tuple((name, merged([left.get(name) or {}, right.get(name) or {}])) for name in names), open=is_open
            )
        else:
            if len(left.columns) != len(right.columns) and not is_open:
                raise UnprovedError("a union of queries with different numbers of columns")
            wide, other = (left, right) if len(left.columns) >= len(right.columns) else (right, left)
            values = [value for _, value in other.columns] + [_NOTHING] * (len(wide.columns) - len(other.columns))
            named = left if len(left.columns) == len(wide.columns) else wide
            result = Relation(
                tuple(
                    (name, merged([value, also]))
                    for (name, _), (_, value), also in zip(named.columns, wide.columns, values, strict=True)
                ),
                open=is_open,
            )
        self._tail(node, _Scope(parent=scope, relations={"": result}))
        return result

    def _values(self, node: exp.Values, scope: _Scope) -> Relation:
        _only(node, "expressions", "alias")
        rows = [[self.value(each, scope) for each in row.expressions] for row in node.expressions]
        columns = tuple((f"col{index}", merged(column)) for index, column in enumerate(zip(*rows, strict=True)))
        return _renamed(Relation(columns), node)

    # ------------------------------------------------------------------------------------------------- sources

    def _source(self, node: exp.Expr, scope: _Scope) -> None:
        """Add what stands in ``from`` or ``join`` to the scope, under its alias."""
        if isinstance(node, exp.Table):
            _only(node, "this", "db", "catalog", "alias", "joins", "sample")
            name = node.alias_or_name.lower()
            scope.relations[name] = _renamed(self._table(node, scope), node)
        elif isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            _only(node, "this", "alias", "joins")
            self._source(node.this, scope)
            if node.alias:
                raise UnprovedError("an alias for a parenthesised join")
        elif isinstance(node, exp.Subquery | exp.Values):
            bare = node.copy()
            bare.set("joins", None)
            bare.set("sample", None)
            scope.relations[node.alias.lower() or f"?{len(scope.relations)}"] = self.query(bare, scope)
        elif isinstance(node, exp.Unnest):
            _only(node, "expressions", "alias", "offset")
            self._unnest(node, scope)
        elif isinstance(node, exp.Lateral):
            _only(node, "this", "alias", "view", "outer", "cross_apply")
            if not isinstance(node.this, exp.Subquery):
                return self._lateral_function(node, scope)
            scope.relations[node.alias.lower() or f"?{len(scope.relations)}"] = _renamed(
                self.query(node.this, scope), node
            )
        else:
            raise UnprovedError(f"`{node.key}` in from")
        self._joins(node, scope)

    def _lateral_function(self, node: exp.Lateral, scope: _Scope) -> None:
        if not isinstance(node.this, exp.Explode | exp.Unnest):
            raise UnprovedError(f"`lateral {node.this.key}`")
        inner = exp.Unnest(expressions=[node.this.this or node.this.expressions[0]], alias=node.args.get("alias"))
        self._unnest(inner, scope)

    def _unnest(self, node: exp.Unnest, scope: _Scope) -> None:
        values = [_narrowed(self.value(each, scope), ("[*]",)) for each in node.expressions]
        columns = [("unnest" if index == 0 else f"unnest_{index}", value) for index, value in enumerate(values)]
        offset = node.args.get("offset")
        relation = _renamed(Relation(tuple(columns)), node)
        if offset:
            ordinal = offset.name.lower() if isinstance(offset, exp.Expr) else "ordinality"
            relation = Relation((*relation.columns, (ordinal, _NOTHING)))
        scope.relations[node.alias.lower() or "unnest"] = relation

    def _table(self, node: exp.Table, scope: _Scope) -> Relation:
        if isinstance(node.this, exp.GenerateSeries):
            value = merged(self.value(each, scope) for each in node.this.iter_expressions())
            return Relation(((node.this.sql_name().lower(), _changed(value)),))
        if not isinstance(node.this, exp.Identifier):
            raise UnprovedError(f"table function `{node.this.name or node.this.key}`")
        name = node.name.lower()
        if not node.db:
            known = scope.cte(name)
            if known is not None:
                return known
        found = self._tables(node.db.lower(), name)
        if found is None:
            raise UnprovedError(
                f"reads {f'{node.db}.' if node.db else ''}{node.name}, which no contract and no model has"
            )
        return found

    def _joins(self, node: exp.Expr, scope: _Scope) -> None:
        for join in node.args.get("joins") or []:
            _only(join, "this", "on", "using", "side", "kind", "method")
            before = dict(scope.relations)
            self._source(join.this, scope)
            added = {name: relation for name, relation in scope.relations.items() if name not in before}
            shared = [each.name.lower() for each in join.args.get("using") or []]
            if join.method.upper() == "NATURAL":
                left = {column for relation in before.values() for column, _ in relation.columns}
                shared = sorted(left & {column for relation in added.values() for column, _ in relation.columns})
            for column in shared:
                self._look("join", self._named(column, scope))
                scope.hidden |= {(name, column) for name in added}
            if join.args.get("on") is not None:
                self._look("join", self.value(join.args["on"], scope))
            if join.kind.upper() in ("SEMI", "ANTI"):
                for name in added:
                    del scope.relations[name]

    def _star(
        self, star: exp.Star, table: exp.Identifier | None, scope: _Scope
    ) -> tuple[list[tuple[str, Value]], bool]:
        _only(star, "except_", "replace", "rename")
        dropped = {each.name.lower() for each in star.args.get("except_") or []}
        replaced = {each.alias.lower(): each.this for each in star.args.get("replace") or []}
        names = {each.this.name.lower(): each.alias.lower() for each in star.args.get("rename") or []}
        relations = scope.relations
        if table is not None:
            relation = scope.relation(table.name.lower())
            if relation is None:
                raise UnprovedError(f"`{table.name}.*` of what is not in from")
            relations = {table.name.lower(): relation}
        columns = []
        for alias, relation in relations.items():
            for name, own in relation.columns:
                if name in dropped or (table is None and (alias, name) in scope.hidden):
                    continue
                value = self.value(replaced[name], scope) if name in replaced else own
                also = self._named(name, scope) if any(hidden == name for _, hidden in scope.hidden) else _NOTHING
                columns.append((names.get(name, name), merged([value, also])))
        return columns, any(relation.open for relation in relations.values())

    # --------------------------------------------------------------------------------------------- expressions

    def value(self, node: exp.Expr, scope: _Scope) -> Value:
        """What an expression is made of."""
        treated = treated_sql.find(node)
        if treated is not None and self._has_the_keys(treated, scope):
            return self._treat(treated, scope)
        match node:
            case exp.Column():
                return self._column(node, scope)
            case exp.Identifier():
                return self._identifier(node, scope)
            case exp.Paren() | exp.Alias() | exp.PropertyEQ() | exp.Kwarg():
                own = node.expression if isinstance(node, exp.PropertyEQ | exp.Kwarg) else node.this
                return self.value(own, scope)
            case exp.Cast() | exp.UnixToTime() | exp.AtTimeZone() | exp.Trim():
                return self._converted(node, scope)
            case exp.Nullif() if node.expression == exp.Literal.string(""):
                return self._converted(node, scope)
            case exp.Subquery() | exp.Select() | exp.SetOperation():
                return self.query(node, scope).everything
            case exp.Exists():
                self._exists(node, scope)
                return _NOTHING
            case exp.Window():
                self._window(node, scope)
                return _changed(self.value(node.this, scope))
            case exp.Filter():
                self._look("filter", self.value(node.expression.this, scope))
                return _changed(self.value(node.this, scope))
            case exp.Order():
                for part in node.expressions:
                    self._look("order by", self.value(part.this, scope))
                return _changed(self.value(node.this, scope))
            case exp.WithinGroup():
                ordered = [self.value(part.this, scope) for part in node.expression.expressions]
                return _changed(merged([self.value(node.this, scope), *ordered]))
            case exp.Count():
                return self._presence(node, scope)
            case exp.Is() if isinstance(node.expression, exp.Null):
                return self._presence(node, scope)
            case exp.JSONExtract() | exp.JSONExtractScalar():
                return self._member(node, scope)
            case exp.Dot():
                return _changed(self.value(node.this, scope))
            case exp.Anonymous() if node.name.lower() not in _PURE:
                raise UnprovedError(f"function `{node.name.lower()}`")
            case exp.Star():
                raise UnprovedError("`*` within an expression")
        if isinstance(node, _EMPTY):
            return _NOTHING
        if isinstance(node, _REFUSED) or not isinstance(node, _TRANSPARENT):
            raise UnprovedError(f"`{node.key}`")
        return self._through(node, scope)

    def _through(self, node: exp.Expr, scope: _Scope) -> Value:
        """A function or an operator: all that it is given. The elements of a list are what its lambda gets."""
        children = list(node.iter_expressions())
        values = [self.value(child, scope) for child in children if not isinstance(child, exp.Lambda)]
        if len(values) == len(children):
            return _changed(merged(values))
        elements = merged(_narrowed(value, ("[*]",)) for value in values)
        results = []
        for child in children:
            if isinstance(child, exp.Lambda):
                names = {each.name.lower(): elements for each in child.expressions}
                inner = _Scope(parent=scope, relations={"": Relation(tuple(names.items()))})
                results.append(self.value(child.this, inner))
        return _changed(merged(results if isinstance(node, exp.Transform) else [*values, *results]))

    def _converted(self, node: exp.Expr, scope: _Scope) -> Value:
        """A value read into another type is that value still."""
        others = [self.value(each, scope) for each in node.iter_expressions() if each is not node.this]
        return merged([self.value(node.this, scope), *map(_changed, others)])

    def _treat(self, treated: treated_sql.Treated, scope: _Scope) -> Value:
        inner = self.value(treated.value, scope)
        # A pseudonym hides whatever it is made of; the others leave something of the value, and know where by its form.
        return merged(
            {
                replace(flow, treatments=flow.treatments | {treated.treatment}, exact=False)
                if flow.exact or treated.treatment == "pseudonymise"
                else flow: hops
            }
            for flow, hops in inner.items()
        )

    def _has_the_keys(self, treated: treated_sql.Treated, scope: _Scope) -> bool:
        """A pseudonym is one only under keys of the vault, each pad in its place."""
        for key in treated.keys:
            flows = self._column(key, scope)
            if {(flow.schema, flow.table, flow.column, flow.exact) for flow in flows} != {
                (*_KEYS, key.name.lower(), True)
            }:
                return False
        return True

    def _presence(self, node: exp.Expr, scope: _Scope) -> Value:
        """Of a raw value itself, ``count`` and ``is null`` tell that it is there and nothing else."""
        if isinstance(node, exp.Count):
            parts = [each for each in node.iter_expressions() if not isinstance(each, exp.Star)]
            parts = [
                inner for each in parts for inner in (each.expressions if isinstance(each, exp.Distinct) else [each])
            ]
        else:
            parts = [node.this]
        shown = []
        for part in parts:
            for flow, hops in self.value(part, scope).items():
                if flow.exact:
                    self._look("presence", {flow: hops})
                else:
                    shown.append({flow: hops})
        return merged(shown)

    def _exists(self, node: exp.Exists, scope: _Scope) -> None:
        if not isinstance(node.this, exp.Query):
            raise UnprovedError("`exists` of what is no query")
        self.query(node.this, scope)  # whether there is a row does not hang on what it would show

    def _window(self, node: exp.Window, scope: _Scope) -> None:
        _only(node, "this", "partition_by", "order", "spec", "alias", "over")
        if node.args.get("over") and node.alias and node.alias.lower() not in scope.windows:
            raise UnprovedError(f"window `{node.alias}`")
        for part in node.args.get("partition_by") or []:
            self._look("window", self.value(part, scope))
        if node.args.get("order") is not None:
            for part in node.args["order"].expressions:
                self._look("window", self.value(part.this, scope))
        spec = node.args.get("spec")
        for part in spec.iter_expressions() if spec is not None else ():
            self._look("window", self.value(part, scope))

    def _member(self, node: exp.Expr, scope: _Scope) -> Value:
        document, path = self.value(node.this, scope), node.expression
        others = [self.value(each, scope) for each in node.args.get("expressions") or []]
        if isinstance(path, exp.JSONPath) and not others:
            steps = _steps(path)
            return _changed(document) if steps is None else _narrowed(document, steps)
        return _changed(merged([document, self.value(path, scope), *others]))

    def _identifier(self, node: exp.Identifier, scope: _Scope) -> Value:
        """A bare name within an expression is the parameter of a lambda."""
        for each in scope.chain():
            value = each.relations[""].get(node.name.lower()) if "" in each.relations else None
            if value is not None:
                return value
        raise UnprovedError(f"name `{node.name}`")

    def _column(self, node: exp.Column, scope: _Scope) -> Value:
        if isinstance(node.this, exp.Star):
            relation = scope.relation(node.table.lower())
            if relation is None:
                raise UnprovedError(f"`{node.table}.*` of what is not in from")
            return _changed(relation.everything)
        parts = [part.name.lower() for part in node.parts]
        # `relation.column`, `schema.relation.column`; else a member of a struct: `column.member` or with a relation.
        for index in range(len(parts) - 2, -1, -1):
            relation = scope.relation(parts[index])
            if relation is not None:
                column, members = (parts[index + 1], parts[index + 2 :])
                value = relation.get(column)
                if value is None:
                    raise UnprovedError(f"column {parts[index]}.{column}, which no contract and no model has")
                return _changed(value) if members else value
        value = self._named(parts[0], scope)
        return _changed(value) if len(parts) > 1 else value

    def _named(self, name: str, scope: _Scope) -> Value:
        """A name without a relation: a column, an alias of the select list, a whole row; else of a query around."""
        for each in scope.chain():
            own = [value for relation in each.relations.values() if (value := relation.get(name)) is not None]
            aliased = each.aliases.get(name)
            if aliased is not None and id(aliased) not in self._resolving and (each.aliases_first or not own):
                self._resolving.add(id(aliased))
                try:
                    return self.value(aliased, each)
                finally:
                    self._resolving.discard(id(aliased))
            if own:
                return merged(own)
            if name in each.relations:
                return _changed(each.relations[name].everything)
        raise UnprovedError(f"column {name}, which no contract and no model has")

    def _look(self, clause: str, value: Value) -> None:
        if value:
            self.looked_at[clause] = merged([self.looked_at.get(clause, _NOTHING), value])


def _parts(group: exp.Group) -> list[exp.Expr]:
    """What rows are grouped by; ``all`` is what is selected, and counted there."""
    _only(group, "expressions", "all", "grouping_sets", "cube", "rollup")
    parts = list(group.expressions)
    for kind in ("grouping_sets", "cube", "rollup"):
        for each in group.args.get(kind) or []:
            parts += each.expressions
    return parts


def _only(node: exp.Expr, *known: str) -> None:
    """Refuse a node with a part that this module does not read."""
    for name, part in node.args.items():
        if part not in (None, False, [], "") and name not in known:
            raise UnprovedError(f"`{name.strip('_')}` of `{node.key}`")


def _renamed(relation: Relation, node: exp.Expr) -> Relation:
    """The relation under the column names of its alias: ``as t (a, b)``."""
    alias = node.args.get("alias")
    names = [each.name.lower() for each in alias.columns] if isinstance(alias, exp.TableAlias) else []
    if not names:
        return relation
    if len(names) > len(relation.columns) and not relation.open:
        raise UnprovedError("an alias with more names than columns")
    renamed = [(name, value) for name, (_, value) in zip(names, relation.columns, strict=False)]
    return Relation((*renamed, *relation.columns[len(renamed) :]), open=relation.open)


def _steps(path: exp.JSONPath) -> tuple[str, ...] | None:
    """A JSON path as steps, any element of an array being ``[*]``; None where it does not say which member."""
    steps = []
    for part in path.expressions:
        match part:
            case exp.JSONPathRoot():
                continue
            case exp.JSONPathKey() if isinstance(part.this, str):
                steps.append(part.this)
            case exp.JSONPathSubscript():
                steps.append("[*]")
            case _:
                return None
    return tuple(steps)


def _flows(relation: Relation) -> list[tuple[str, frozenset[Flow]]]:
    return [(name, frozenset(value)) for name, value in relation.columns]


def _mentions(node: exp.Expr, name: str) -> bool:
    return any(table.name.lower() == name and not table.db for table in node.find_all(exp.Table))
