"""The static proof: of every column that dbt makes, which raw columns reach it, and through which treatment.

A raw column, or member of a raw document, that its class does not let through as it is must have gone through the
treatment that its class names; a way without is untreated, and told hop by hop. What a model merely looks at is held to
the same, but for the columns that a contract itself names to find the tenant of a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pii_policies.contracts import Contracts
from pii_policies.lineage import Relation, UnprovedError, Value, merged, read
from pii_policies.rules import Rules, met

VALUE = "value"
_SNAPSHOT_COLUMNS = ("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to", "dbt_is_deleted")


@dataclass(frozen=True, kw_only=True)
class Model:
    """A relation that dbt makes, and the queries that may fill it: a full build and an increment differ.

    ``refused`` says why its SQL tells not all that it does.
    """

    name: str
    layer: str
    schema: str
    queries: tuple[str, ...]
    is_snapshot: bool = False
    refused: str | None = None


@dataclass(frozen=True, kw_only=True)
class Path:
    """One way of a raw column into a column of a model (``use`` is ``value``), or into what a clause looks at."""

    model: str
    use: str
    raw: str
    data_class: str
    treatment: str
    hops: tuple[str, ...]
    treated: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "raw": self.raw,
            "model": self.model,
            "use": self.use,
            "class": self.data_class,
            "treatment": self.treatment,
            "path": list(self.hops),
        }

    def __str__(self) -> str:
        way = " → ".join((self.raw, *self.hops[1:]))
        shown = way if self.use == VALUE else f"{way} → {self.model} ({self.use} only)"
        return f"{shown}: {self.data_class}, {self.treatment}"


@dataclass(frozen=True)
class Proof:
    """What reaches each column, what is looked at, and the models of which neither could be told, with the reason."""

    columns: tuple[tuple[Model, str, tuple[Path, ...]], ...]
    looked_at: tuple[Path, ...]
    unproved: tuple[tuple[str, str], ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        return (*(path for _, _, paths in self.columns for path in paths), *self.looked_at)

    @property
    def untreated(self) -> tuple[Path, ...]:
        return tuple(path for path in self.paths if not path.treated)

    def problems(self) -> list[str]:
        """One line each: the whole way of an untreated value, or what could not be proved. None if the proof holds."""
        return [*map(str, self.untreated), *(f"{model}: not proved: {why}" for model, why in self.unproved)]

    def summary(self) -> str:
        """What was proved, in one line."""
        treated = sum(bool(paths) and any(path.treatment != "keep" for path in paths) for _, _, paths in self.columns)
        models = len({(model.schema, model.name) for model, _, _ in self.columns})
        return (
            f"{len(self.columns)} columns of {models} relations, {len(self.paths)} ways out of raw; {treated} columns "
            f"hold treated values, {len(self.untreated)} ways are untreated, {len(self.unproved)} relations not proved"
        )

    def as_json(self) -> dict[str, Any]:
        """Keys ``columns``, ``untreated`` (what could not be proved is among them), ``paths``."""
        unproved = [
            {"raw": None, "model": model, "use": "unproved", "class": None, "treatment": why, "path": [model]}
            for model, why in self.unproved
        ]
        return {
            "columns": [
                {
                    "model": model.name,
                    "layer": model.layer,
                    "column": column,
                    "from": [
                        {"raw": path.raw, "class": path.data_class, "treatment": path.treatment} for path in paths
                    ],
                }
                for model, column, paths in self.columns
            ],
            "untreated": [*(path.as_json() for path in self.untreated), *unproved],
            "paths": [path.as_json() for path in self.paths],
        }


def prove(contracts: Contracts, models: Iterable[Model]) -> Proof:
    """Follow every raw column through all models, whatever their order."""
    return _Walk(Rules(contracts), models).proof()


class _Walk:
    """Reads each model once, after those that it reads."""

    def __init__(self, rules: Rules, models: Iterable[Model]) -> None:
        self._rules = rules
        self._models = {(model.schema.lower(), model.name.lower()): model for model in models}
        self._done: dict[tuple[str, str], Relation | None] = {}
        self._reading: list[tuple[str, str]] = []
        self._looked_at: list[Path] = []
        self._unproved: list[tuple[str, str]] = []

    def proof(self) -> Proof:
        columns = []
        for key, model in sorted(self._models.items()):
            relation = self._relation(key)
            for name, value in relation.columns if relation else ():
                columns.append((model, name, tuple(self._paths(model, VALUE, value))))
        columns.sort(key=lambda each: (each[0].layer, each[0].name))
        looked_at = sorted(self._looked_at, key=lambda path: (path.model, path.use, path.raw))
        return Proof(tuple(columns), tuple(looked_at), tuple(sorted(self._unproved)))

    def _relation(self, key: tuple[str, str]) -> Relation | None:
        """The columns of a model; None where they could not be told."""
        if key not in self._done:
            model = self._models[key]
            self._reading.append(key)
            try:
                self._done[key], looks = self._read(model)
                for clause, value in looks:
                    self._looked_at += self._paths(model, clause, value)
            except UnprovedError as problem:
                self._done[key] = None
                self._unproved.append((model.name, str(problem)))
            self._reading.pop()
        return self._done[key]

    def _read(self, model: Model) -> tuple[Relation, list[tuple[str, Value]]]:
        """The columns of a model, each with itself as the last hop, and what it looks at, by clause."""
        if model.refused is not None:
            raise UnprovedError(model.refused)
        itself = Relation((), open=True)

        def tables(schema: str, name: str) -> Relation | None:
            own = (schema, name) == (model.schema.lower(), model.name.lower())
            return itself if own else self._table(schema, name)

        while True:  # an increment reads what it wrote before: go on until that adds nothing
            results = [read(query, tables) for query in model.queries]
            names = list(dict.fromkeys(name for result in results for name, _ in result.shown.columns))
            columns = []
            for name in names:
                value = merged(result.shown.get(name) or {} for result in results)
                columns.append((name, _with_hop(value, f"{model.name}.{name}")))
            if model.is_snapshot:
                everything = merged(value for _, value in columns)
                columns += [(name, everything) for name in _SNAPSHOT_COLUMNS if name not in names]
            if [(name, set(value)) for name, value in itself.columns] == [(name, set(v)) for name, v in columns]:
                return itself, [look for result in results for look in result.looked_at]
            itself = Relation(tuple(columns))

    def _table(self, schema: str, name: str) -> Relation | None:
        key = (schema, name)
        if key not in self._models:
            return self._rules.relation(schema, name)
        if key in self._reading:
            raise UnprovedError(f"reads {name}, which reads it in turn")
        found = self._relation(key)
        if found is None:
            raise UnprovedError(f"reads {name}, which is not proved")
        return found

    def _paths(self, model: Model, use: str, value: Value) -> list[Path]:
        """The ways that a value came, each judged."""
        found = []
        for flow, hops in value.items():
            demanded = self._rules.of(flow)
            done = " and ".join(sorted(flow.treatments))
            treated = True
            if met(demanded, flow.treatments):
                said = done or "keep"
            elif use == "presence":
                said = "only whether there is one"
            elif use != VALUE and self._rules.finds_tenants(flow):
                said = "named by the contract to find the tenant"
            else:
                treated = False
                said = f"{done or 'untreated'}, needs {demanded.label}"
            found.append(
                Path(
                    model=model.name,
                    use=use,
                    raw=flow.raw,
                    data_class=demanded.name,
                    treatment=said,
                    hops=hops,
                    treated=treated,
                )
            )
        return sorted(found, key=lambda path: (path.raw, path.treatment))


def _with_hop(value: Value, hop: str) -> Value:
    return {flow: hops if hops[-1] == hop else (*hops, hop) for flow, hops in value.items()}
