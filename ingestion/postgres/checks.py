"""What stands in the way of capture, all of it, each with the SQL or the setting that mends it.

A finding of severity ``error`` would lose rows, values or changes: capture refuses to begin. A ``warning`` is going to,
or lets a table go uncaptured. SQL in a remedy is for whoever owns the table or the server, not for the capturing role.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ingestion.land import META, RawTable
from ingestion.postgres.catalog import Column, Index, Relation, Source, read_source, type_name
from ingestion.postgres.connection import Connection, literal
from ingestion.postgres.events import RESERVED, RESERVED_BEGINNINGS
from ingestion.postgres.types import fits
from settings import TailraceError
from warehouse import quote

Severity = Literal["error", "warning"]
Area = Literal["server", "role", "publication", "slot", "tables"]
AREAS: tuple[Area, ...] = ("server", "role", "publication", "slot", "tables")
_OLDEST = 150000
_GENERATED_PUBLISHED = 180000
MUCH_WAL = 10 * 1024**3
"""Bytes that a slot may hold on the server without a word, where the server sets no limit."""
_LEAST_DECODING = 16 * 1024**2
_ACTIONS = ("insert", "update", "delete", "truncate")
_LONGEST_REMEDY = 2_000


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that stands in the way. ``remedy`` is exact SQL in backticks, or what to change elsewhere."""

    where: str
    problem: str
    remedy: str
    severity: Severity = "error"
    about: Area = "tables"

    def __str__(self) -> str:
        shown = self.remedy if len(self.remedy) <= _LONGEST_REMEDY else "`tailrace doctor` has the SQL that mends it"
        return f"{self.where}: {self.problem}; {shown}"


def inspect(
    connection: Connection,
    *,
    database: str,
    publication: str,
    slot: str,
    patterns: Sequence[str],
    tables: Sequence[RawTable],
) -> list[Finding]:
    """Everything that stands in the way of capturing ``tables`` from one database, in the order of ``AREAS``."""
    source = read_source(connection, publication=publication, slot=slot, patterns=patterns, tables=tables)
    return all_findings(connection, source, database=database, patterns=patterns, tables=tables)


def all_findings(
    connection: Connection, source: Source, *, database: str, patterns: Sequence[str], tables: Sequence[RawTable]
) -> list[Finding]:
    """What ``inspect`` finds, from a catalog that has been read."""
    found = [*findings(connection, source, database=database, patterns=patterns, tables=tables)]
    found += _lost(source, database)
    return sorted(found, key=lambda finding: AREAS.index(finding.about))


def findings(
    connection: Connection, source: Source, *, database: str, patterns: Sequence[str], tables: Sequence[RawTable]
) -> Iterator[Finding]:
    """All of it but a lost slot: whether a stream can go on depends on the stored position, too, and
    ``slots.check_continuity`` tells.
    """
    raws = {table.name: table for table in tables}
    yield from _server(source, database)
    yield from _role(source, database)
    yield from _publication(source, database, raws, patterns)
    yield from _slot(source, database)
    for relation in source.relations:
        yield from _Table(connection, source, database, relation, raws[relation.name]).findings()


def require(found: Sequence[Finding]) -> list[str]:
    """Raise TailraceError with the first error. Returns the warnings as text."""
    for finding in found:
        if finding.severity == "error":
            raise TailraceError(str(finding))
    return [str(finding) for finding in found if finding.severity == "warning"]


def _finder(database: str, about: Area) -> Callable[..., Finding]:
    def finding(problem: str, remedy: str, severity: Severity = "error") -> Finding:
        return Finding(where=database, problem=problem, remedy=remedy, severity=severity, about=about)

    return finding


def _server(source: Source, database: str) -> Iterator[Finding]:
    server, finding = source.server, _finder(database, "server")
    if server["version"] < _OLDEST:
        yield finding(f"PostgreSQL {server['version'] // 10000} has no column lists", "upgrade it to 15 or later")
    if server["standby"]:
        yield finding("the server is a standby", "point the dsn at the primary")
    if server["wal_level"] != "logical":
        yield finding(
            f"wal_level is {server['wal_level']}", "`alter system set wal_level = logical`, then restart the server"
        )
    # A pass reads from a temporary copy of its slot; the first one makes the slot, too.
    wanted = 1 if server["slot"] else 2
    used, most = server["slots_used"], server["slots_max"]
    if used + wanted > most:
        yield finding(
            f"{used} of {most} replication slots are in use, and capture needs {wanted} more",
            f"`alter system set max_replication_slots = {used + wanted + 4}`, then restart the server; "
            "or drop a slot that nobody reads",
        )
    used, most = server["senders_used"], server["senders_max"]
    if used + 1 > most:
        yield finding(
            f"{used} of {most} wal senders are in use, and a copy of tables needs one more",
            f"`alter system set max_wal_senders = {used + 5}`, then restart the server",
            "warning" if server["slot"] else "error",
        )
    if server["decoding_bytes"] < _LEAST_DECODING:
        yield finding(
            f"logical_decoding_work_mem is {server['decoding_bytes'] // 1024} kB: the server spills even small "
            "transactions to its disk",
            f"`alter role {quote(server['role'])} set logical_decoding_work_mem = '64MB'`",
            "warning",
        )
    if server["idle_seconds"]:
        yield finding(
            f"idle_replication_slot_timeout invalidates a slot that was not read for {server['idle_seconds']} s",
            "run more often, or `alter system set idle_replication_slot_timeout = 0; select pg_reload_conf()`",
            "warning",
        )


def _role(source: Source, database: str) -> Iterator[Finding]:
    role = source.server["role"]
    if not source.server["may_replicate"]:
        yield _finder(database, "role")(f"role {role} may not replicate", f"`alter role {quote(role)} replication`")


def _publication(
    source: Source, database: str, raws: Mapping[str, RawTable], patterns: Sequence[str]
) -> Iterator[Finding]:
    name, found = source.publication, source.server["publication"]
    finding = _finder(database, "publication")
    capturable = [each for each in source.relations if each.kind in "rp" and each.logged]
    clauses = ", ".join(_table_clause(each, raws[each.name]) for each in capturable)
    if found is None:
        options = f"publish = '{', '.join(_ACTIONS)}'"
        if any(each.kind == "p" for each in capturable):
            options += ", publish_via_partition_root = true"
        tables = f" for table {clauses}" if clauses else ""
        yield finding(
            f"publication {name} does not exist", f"`create publication {quote(name)}{tables} with ({options})`"
        )
        return
    if missing := [action for action in _ACTIONS if not found[f"pub{action}"]]:
        yield finding(
            f"publication {name} does not publish {', '.join(missing)}",
            f"`alter publication {quote(name)} set (publish = '{', '.join(_ACTIONS)}')`",
        )
    if not any(each.published or each.member for each in source.relations):
        yield finding(
            f"publication {name} has no contracted table in a schema like {', '.join(patterns)}",
            f"`alter publication {quote(name)} add table {clauses}`"
            if clauses
            else "mend sources.postgres.schemas in tailrace.yml, which matches no schema with such a table",
        )


def _lost(source: Source, database: str) -> Iterator[Finding]:
    slot = source.server["slot"]
    if slot is not None and (slot["wal_status"] == "lost" or slot.get("invalidation_reason")):
        reason = slot.get("invalidation_reason") or "max_slot_wal_keep_size"
        yield _finder(database, "slot")(
            f"slot {source.slot} was invalidated by the server ({reason}), changes are lost",
            f"`tailrace resnapshot --database {database}` copies its tables anew",
        )


def _slot(source: Source, database: str) -> Iterator[Finding]:
    slot, server, finding = source.server["slot"], source.server, _finder(database, "slot")
    if slot is None:
        return
    another = (
        "set sources.postgres.slot in tailrace.yml to a name that is free, or "
        f"`select pg_drop_replication_slot({literal(source.slot)})`"
    )
    if slot["plugin"] != "pgoutput":
        kind = f"is decoded by {slot['plugin']}, not by pgoutput" if slot["plugin"] else "is a physical one"
        yield finding(f"slot {source.slot} {kind}", another)
        return
    if slot["database"] != server["name"]:
        yield finding(f"slot {source.slot} belongs to database {slot['database']}", another)
        return
    if slot["active"] and slot["active_pid"]:
        pid = int(slot["active_pid"])
        yield finding(
            f"slot {source.slot} is being read by process {pid}, a pass of Tailrace or another program",
            f"if it is another program, stop it, or `select pg_terminate_backend({pid})`",
            "warning",
        )
    keep, retained, safe = server["keep_bytes"], _retained(source), slot["safe_wal_size"]
    if keep >= 0 and safe is not None and int(safe) < keep / 4:
        yield finding(
            f"slot {source.slot} holds {_megabytes(retained)} of WAL, and is invalidated when another "
            f"{_megabytes(max(0, int(safe)))} are written",
            "run more often, or give it room: "
            f"`alter system set max_slot_wal_keep_size = '{_room(keep, retained)}MB'; select pg_reload_conf()`",
            "warning",
        )
    if keep < 0 and retained > MUCH_WAL:
        yield finding(
            f"slot {source.slot} holds {_megabytes(retained)} of WAL on the server's disk, without a limit",
            "run the pipeline, and end transactions that have been open for long (pg_stat_activity.xact_start)",
            "warning",
        )


@dataclass
class _Table:
    """One table that bears the name of a contract's."""

    connection: Connection
    source: Source
    database: str
    relation: Relation
    raw: RawTable

    @property
    def sql(self) -> str:
        return f"{quote(self.relation.schema)}.{quote(self.relation.name)}"

    @property
    def role(self) -> str:
        return quote(self.source.server["role"])

    @property
    def publication(self) -> str:
        return quote(self.source.publication)

    def findings(self) -> Iterator[Finding]:
        relation = self.relation
        if relation.kind in "fvm":
            kind = {"f": "a foreign table", "v": "a view", "m": "a materialized view"}[relation.kind]
            yield self._warning(f"is {kind}, which has no change stream", "capture the tables that it reads from")
            return
        if not relation.logged:
            yield self._warning("is unlogged: its changes are not in the WAL", f"`alter table {self.sql} set logged`")
            return
        if not relation.published:
            if self.source.server["publication"] is not None:
                yield self._unpublished()
            return
        if not relation.may_enter:
            yield self._error(
                f"{self.role} may not enter its schema",
                f"`grant usage on schema {quote(relation.schema)} to {self.role}`",
            )
        yield from self._names()
        yield from self._columns()
        yield from self._rows()
        yield from self._identity()

    def _names(self) -> Iterator[Finding]:
        """Names that landing uses itself, and those that the warehouse, which knows no case, could not tell apart."""
        taken = {name.lower(): name for name, _ in META} | {name: name for name in RESERVED}
        for column in self.raw.columns:
            name = column.name.lower()
            if name in taken or name.startswith(RESERVED_BEGINNINGS):
                yield self._error(
                    f"the name of column {column.name} is the same as {taken.get(name, 'one of our own')} in raw",
                    "rename the column, or take it out of the contract",
                    column=column.name,
                )
            taken[name] = column.name

    def _error(self, problem: str, remedy: str, *, column: str | None = None) -> Finding:
        return Finding(where=self._where(column), problem=problem, remedy=remedy)

    def _warning(self, problem: str, remedy: str) -> Finding:
        return Finding(where=self._where(None), problem=problem, remedy=remedy, severity="warning")

    def _where(self, column: str | None) -> str:
        return f"{self.database}: {self.relation.schema}.{self.relation.name}" + (f".{column}" if column else "")

    def _unpublished(self) -> Finding:
        if self.relation.kind == "p" and (self.relation.member or self.source.server["publication"]["puballtables"]):
            return self._error(
                "is published partition by partition, under names that no contract has",
                f"`alter publication {self.publication} set (publish_via_partition_root = true)`",
            )
        through_root = ""
        if self.relation.kind == "p" and not self.source.server["publication"]["pubviaroot"]:
            through_root = f"alter publication {self.publication} set (publish_via_partition_root = true); "
        return self._warning(
            f"is not in publication {self.source.publication}, so it is not captured",
            f"`{through_root}alter publication {self.publication} add table {_table_clause(self.relation, self.raw)}`",
        )

    def _columns(self) -> Iterator[Finding]:
        wanted = [self.relation.by_name[c.name] for c in self.raw.columns if c.name in self.relation.by_name]
        lacking = [column for column in wanted if not self.relation.publishes(column)]
        for column in lacking:
            if column.generated and (column.generated == "v" or self.source.server["version"] < _GENERATED_PUBLISHED):
                kind = "virtual" if column.generated == "v" else "generated"
                yield self._error(
                    f"is a {kind} column, which this server does not publish",
                    "take it out of the contract, and compute it in staging",
                    column=column.name,
                )
                lacking = [each for each in lacking if each is not column]
        if lacking:
            yield self._error(
                f"publication {self.source.publication} has no column {', '.join(c.name for c in lacking)}, "
                "which the contract lands",
                self._publish(lacking),
            )
        if hidden := [column.name for column in wanted if not column.readable]:
            yield self._error(
                f"{self.role} may not read {', '.join(hidden)}",
                f"`grant select ({', '.join(map(quote, hidden))}) on {self.sql} to {self.role}`",
            )
        types = {column.name: column.duck_type for column in self.raw.columns}
        for column in wanted:
            if not fits(*self.source.base(column), types[column.name]):
                kind = type_name(self.connection, column.oid, column.typmod)
                yield self._error(
                    f"{kind} does not fit {types[column.name]} exactly",
                    "widen the type in the contract (VARCHAR holds every value)",
                    column=column.name,
                )

    def _publish(self, lacking: Sequence[Column]) -> str:
        """The SQL that adds columns to what is published."""
        if not self.relation.listed:  # published whole, without what is generated
            return f"`alter publication {self.publication} set (publish_generated_columns = stored)`"
        listed = [
            column.name for column in self.relation.columns if self.relation.publishes(column) or column in lacking
        ]
        return self._republish(listed)

    def _republish(self, columns: Sequence[str] | None) -> str:
        """The SQL that publishes these columns of the table, or all of them; its row filter stays."""
        names = f" ({', '.join(map(quote, columns))})" if columns is not None else ""
        rows = f" where ({self.relation.row_filter})" if self.relation.row_filter else ""
        return (
            f"`alter publication {self.publication} drop table {self.sql}; "
            f"alter publication {self.publication} add table {self.sql}{names}{rows}`"
        )

    def _rows(self) -> Iterator[Finding]:
        problem = f"row-level security hides rows from {self.role}"
        if self.relation.rows_restricted:
            yield self._error(
                f"{problem} by a restrictive policy",
                f"take the role out of that policy, or `alter role {self.role} bypassrls`",
            )
        if self.relation.rows_hidden:
            name = f"{self.source.server['role']}_reads"[:60]
            while name in self.relation.policies:
                name += "_"
            yield self._error(
                problem, f"`create policy {quote(name)} on {self.sql} for select to {self.role} using (true)`"
            )

    def _identity(self) -> Iterator[Finding]:
        """How deletes and updates name their row must be what the contract takes for the key."""
        key = self.raw.key
        if lacking := [name for name in key if name not in self.relation.by_name]:
            yield self._error(
                f"the source has no column {lacking[0]}, which is of the contract's key",
                "mend the key in the contract, or restore the column in the source",
            )
            return
        names, full = self.relation.identity_names, self.relation.identity == "f"
        if not self._names_rows(names):
            yield self._error(self._misnamed("its", names), self._identity_remedy())
        for leaf in self.relation.leaves:
            if self._names_rows(names) and not self._names_rows(leaf.names):
                sql = f"{quote(leaf.schema)}.{quote(leaf.name)}"
                yield self._error(
                    self._misnamed(f"partition {leaf.name}'s", leaf.names),
                    f"`alter table {sql} replica identity {'full' if full else 'default'}`",
                )
        if full and self.relation.listed:
            excluded = sorted(self.raw.excluded & set(self.relation.by_name))
            leaves = f" (its column {excluded[0]} then leaves the source)" if excluded else ""
            keyed = f", or name its rows by their key: {self._key_sql()}" if key else ""
            yield self._error(
                "has replica identity full and a column list: PostgreSQL refuses its updates and deletes",
                f"publish the whole table{leaves}: {self._republish(None)}{keyed}",
            )
        if full and key and not any(self._columns_of(index) <= set(key) for index in self.relation.indexes):
            yield self._error(
                f"nothing in the source keeps the key {', '.join(key)} unique, and rows that share it would be one",
                f"`alter table {self.sql} add unique ({', '.join(map(quote, key))})`",
            )

    def _columns_of(self, index: Index) -> frozenset[str]:
        return frozenset(column.name for column in self.relation.columns if column.number in index.columns)

    def _names_rows(self, names: frozenset[str] | None) -> bool:
        """Whether a delete that carries these columns (None: all) names its row as the contract does."""
        return names is None or (bool(names) and names == frozenset(self.raw.key))

    def _misnamed(self, whose: str, names: frozenset[str] | None) -> str:
        has = f"is {', '.join(sorted(names))}" if names else "names no row, so that updates and deletes are refused"
        key = f"the contract's key is {', '.join(self.raw.key)}" if self.raw.key else "the contract has no key"
        return f"{whose} replica identity {has}; {key}"

    def _identity_remedy(self) -> str:
        if self.raw.key:
            return f"{self._key_sql()}, or mend the key in the contract"
        statements = [f"alter table {self.sql} replica identity full"]
        if self.relation.listed:  # full identity does not go with a column list
            statements.append(self._republish(None).strip("`"))
        return f"`{'; '.join(statements)}`"

    def _key_sql(self) -> str:
        """The SQL that makes the contract's key the table's replica identity."""
        key, alter = frozenset(self.raw.key), f"alter table {self.sql}"
        names = ", ".join(map(quote, self.raw.key))
        matching = [index for index in self.relation.indexes if self._columns_of(index) == key]
        if any(index.primary for index in matching):
            return f"`{alter} replica identity default`"
        if not any(index.primary for index in self.relation.indexes):
            return f"`{alter} add primary key ({names}), replica identity default`"
        nullable = [name for name in self.raw.key if not self.relation.by_name[name].not_null]
        steps = [f"alter column {quote(name)} set not null" for name in nullable]
        if not matching:
            steps.append(f"add constraint {quote(f'{self.relation.name[:50]}_named')} unique ({names})")
        index_name = matching[0].name if matching else f"{self.relation.name[:50]}_named"
        prefix = f"{alter} {', '.join(steps)}; " if steps else ""
        return f"`{prefix}{alter} replica identity using index {quote(index_name)}`"


def _table_clause(relation: Relation, raw: RawTable) -> str:
    """A table of a publication with the columns that the contract lands.

    With replica identity full PostgreSQL takes no column list.
    """
    sql = f"{quote(relation.schema)}.{quote(relation.name)}"
    if relation.identity == "f" or not raw.key:
        return sql
    names = [column.name for column in raw.columns if column.name in relation.by_name]
    return f"{sql} ({', '.join(map(quote, names))})"


def _retained(source: Source) -> int:
    flushed, slot = source.server["flushed"], source.server["slot"]
    if flushed is None or slot is None or slot["restart"] is None:
        return 0
    return max(0, int(flushed) - int(slot["restart"]))


def _room(keep: int, retained: int) -> int:
    """Megabytes that leave the slot at least half of them."""
    return -(-2 * max(keep, retained) // 1024**2)


def _megabytes(size: int) -> str:
    return f"{size / 1024**2:,.0f} MB"
