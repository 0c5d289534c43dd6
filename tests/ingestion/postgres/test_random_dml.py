"""Whatever a product writes, in whatever order, raw equals the source after every pass."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

import psycopg
import pytest

WANDERER = UUID(int=99)
COPIED = "tenant_id, id, title, note, amount, cost, n, big, done, due_on, at, payload, ip, score"


class Writer:
    """Random transactions over all schemas. Keys are few, so that events meet on the same row.

    A schema has tenants of its own; one tenant's rows wander between the schemas of the shared database.
    """

    def __init__(self, product: Any, seed: int) -> None:
        self.random = random.Random(seed)
        self.product = product
        origins = [(database, schema) for database, schemas in product.schemas.items() for schema in schemas]
        self.tenants = {origin: [UUID(int=10 * n + 1), UUID(int=10 * n + 2)] for n, origin in enumerate(origins)}
        values = f"select '{WANDERER}', md5(i::text)::uuid, {_LARGE}, i from generate_series(1, 12) i"
        product.run(product.shared, f"insert into app.items (tenant_id, id, note, n) {values}")

    def live(self, *, transactions: int) -> None:
        for _ in range(transactions):
            database = self.random.choice(list(self.product.schemas))
            connection = self.product.connection(database)
            with connection.transaction() as transaction:
                for _ in range(self.random.randint(1, 6)):
                    try:
                        with connection.transaction() as savepoint:
                            self.step(connection, database)
                            if self.random.random() < 0.1:
                                raise psycopg.Rollback(savepoint)
                    except psycopg.errors.UniqueViolation:
                        pass
                if self.random.random() < 0.1:
                    raise psycopg.Rollback(transaction)

    def step(self, connection: Any, database: str) -> None:
        schema = self.random.choice(self.product.schemas[database])
        tenant, key, other = self.random.choice(self.tenants[database, schema]), self.key(), self.key()
        member = f"tenant_id = '{tenant}' and space_id = {self.random.randint(1, 2)}"
        row = f"tenant_id = '{tenant}' and id = '{key}'"
        values = {name: self.value(name) for name in self.random.sample(list(_VALUES), self.random.randint(1, 4))}
        sets = ", ".join(f"{name} = {value}" for name, value in values.items())
        target = self.random.choice([each for each in self.product.schemas[database] if each != schema] or [schema])
        steps = {
            30: f"insert into {schema}.items (tenant_id, id, {', '.join(values)}) "
            f"values ('{tenant}', '{key}', {', '.join(values.values())})",
            31: f"update {schema}.items set {sets} where {row}",
            32: f"update {schema}.items set n = coalesce(n, 0) + 1 where {row}",
            12: f"update {schema}.items set id = '{other}' where {row}",
            8: f"update {schema}.items set n = 1, amount = null where tenant_id = '{tenant}'",
            15: f"delete from {schema}.items where {row}",
            1: f"truncate {schema}.{self.random.choice(['items', 'members'])}",
            9: f"with gone as (delete from {schema}.items where tenant_id = '{WANDERER}' "
            f"and n % 4 = {self.random.randint(0, 3)} and '{schema}' <> '{target}' returning {COPIED}) "
            f"insert into {target}.items ({COPIED}) select * from gone",
            7: f"update {schema}.items set n = n + 1, {sets} where tenant_id = '{WANDERER}'",
            10: f"insert into {schema}.members select '{tenant}', s, {self.random.randint(1, 9)}, 'r' "
            "from generate_series(1, 2) s",
            6: f"update {schema}.members set user_id = user_id + 1, role = 'x' where {member}",
            5: f"delete from {schema}.members where {member}",
        }
        connection.execute(self.random.choices(list(steps.values()), weights=list(steps))[0])

    def key(self) -> str:
        return str(UUID(int=self.random.randint(1, 12)))

    def value(self, name: str) -> str:
        return "null" if self.random.random() < 0.15 else self.random.choice(_VALUES[name])


_LARGE = "(select string_agg(md5(random()::text), '') from generate_series(1, 300))"
_VALUES = {
    "title": ["''", "'a'", "E'q\\'s \\\\ \\n \u00e9'"],
    "note": [_LARGE, _LARGE, "'small'"],
    "amount": ["0", "-12.30", "9999999999.99", "736.63"],
    "cost": ["0.000001", "-3.5", "123456.654321"],
    "big": ["9223372036854775807", "-1"],
    "done": ["true", "false"],
    "due_on": ["'infinity'", "'2024-02-29'", "'0099-01-01 BC'"],
    "at": ["now()", "'-infinity'", "clock_timestamp()", "'1900-01-01 00:00:00.000001+00'"],
    "payload": [f"to_jsonb({_LARGE})", "'{\"k\": [1, 2.50, null]}'", "'[]'"],
    "ip": ["'10.0.0.1'", "'10.0.0.0/8'", "'2001:db8::1'"],
    "score": ["0.1", "'nan'", "'-infinity'"],
}


@pytest.mark.parametrize("seed", range(3))
def test_random_writes_between_passes_leave_raw_equal_to_the_source(product: Any, seed: int) -> None:
    writer = Writer(product, seed)
    writer.live(transactions=20)
    for _ in range(3):
        product.sync(batch_messages=writer.random.choice([5, 25, 250_000]))
        product.assert_equal()
        writer.live(transactions=writer.random.choice([5, 50]))
    product.sync()
    product.assert_equal()


@pytest.mark.parametrize("seed", range(2))
def test_full_replica_identity_leaves_raw_equal_to_the_source(product: Any, seed: int) -> None:
    # A column list does not go with full identity: the whole table is published, and lands by its contract alone.
    for database, schemas in product.schemas.items():
        for schema in schemas:
            product.run(
                database,
                f"alter publication tailrace drop table {schema}.items",
                f"alter publication tailrace add table {schema}.items",
                f"alter table {schema}.items replica identity full",
                f"alter table {schema}.members replica identity full",
            )
    writer = Writer(product, 100 + seed)
    writer.live(transactions=20)
    product.sync()
    for _ in range(2):
        writer.live(transactions=40)
        product.sync(batch_messages=30)
        product.assert_equal()


def test_the_same_history_in_batches_of_any_size_gives_the_same_rows(new_product: Any) -> None:
    states = []
    for batch_messages in (4, 60, 250_000):
        product = new_product()
        product.sync()
        writer = Writer(product, 7)
        writer.live(transactions=30)
        product.sync(batch_messages=batch_messages)
        product.assert_equal()
        columns = "tenant_id, id, n, amount, cost, big, done, due_on, score, _ab_cdc_deleted_at is null"
        schema = "split_part(_airbyte_meta->>'origin', '.', 2)"
        states.append(product.raw(f"select {columns}, {schema} from raw_app.items order by all"))
    assert repr(states[0]) == repr(states[1]) == repr(states[2])
