"""Random histories of a product: what its sessions write, when passes come, and when one of them is killed.

A history is drawn whole from its seed before anything runs, so that it can be played again in part: ``shortest`` cuts
a failing one down to the statements that make it fail. What a statement does when it cannot (a key that is taken, a
row that the other session holds) is part of the play: it fails and is rolled back.
"""

# ruff: noqa: S608 - the statements are the tests' own

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from ingestion.land import RawColumn, RawTable
from warehouse.failpoints import CAPTURE_POINTS

SESSIONS = {"A": "shared", "B": "shared", "S": "silo"}
"""Sessions and the database that each writes to."""
SCHEMAS = {"shared": ("app", "t_acme", "t_beta"), "silo": ("app",)}
WANDERER = UUID(int=99)
COPIED = "tenant_id, id, title, note, amount, cost, n, big, done, due_on, at, payload, ip, score"
REPLIES = RawTable(
    "raw_app",
    "replies",
    (
        RawColumn("tenant_id", "UUID"),
        RawColumn("id", "INTEGER"),
        RawColumn("item_id", "UUID"),
        RawColumn("body", "VARCHAR"),
    ),
    ("tenant_id", "id"),
    frozenset({"body"}),
)
"""A child of items: what cascades."""
_CHILD_DDL = """
create table {0}.replies (
    tenant_id uuid, id int, item_id uuid, body text, primary key (tenant_id, id),
    foreign key (tenant_id, item_id) references {0}.items on update cascade on delete cascade);
grant select on {0}.replies to cdc;
alter publication tailrace add table {0}.replies;
"""
_IDENTITY_DDL = {
    "default": "",
    # A column list does not go with full identity: the whole table is published, and lands by its contract alone.
    "full": """
alter publication tailrace drop table {0}.items;
alter publication tailrace add table {0}.items;
alter table {0}.items replica identity full;
alter table {0}.members replica identity full;
alter table {0}.replies replica identity full;
""",
    "index": """
alter table {0}.members alter tenant_id set not null, alter space_id set not null, alter user_id set not null,
    drop constraint members_pkey;
create unique index on {0}.members (user_id, tenant_id, space_id);
alter table {0}.members replica identity using index members_user_id_tenant_id_space_id_idx;
create unique index named on {0}.items (id, tenant_id);
alter table {0}.items replica identity using index named;
""",
}
IDENTITIES = tuple(_IDENTITY_DDL)
_GIVES_WAY = (psycopg.errors.IntegrityError, psycopg.errors.LockNotAvailable)


@dataclass(frozen=True)
class Step:
    """One thing that happens.

    ``run`` a statement of a session, ``undo`` one and roll back to its savepoint, ``plain`` one without a savepoint;
    ``commit``, ``rollback``; a ``pass``, a pass that goes on ``meanwhile``, a pass that is ``kill``ed at ``text``.
    """

    kind: str
    session: str = ""
    text: str = ""
    batch: int = 0
    hit: int = 1

    def __str__(self) -> str:
        if self.kind in ("pass", "meanwhile"):
            return f"-- {self.kind}, batches of {self.batch}"
        if self.kind == "kill":
            return f"-- a pass in batches of {self.batch}, killed at {self.text} (time {self.hit})"
        return f"{self.session}: {self.text or self.kind};" + (" -- undone" if self.kind == "undo" else "")


class Author:
    """Draws a history. Keys are few, so that events meet on the same row.

    A schema has tenants of its own; one tenant's rows wander between the schemas of the shared database.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        origins = [(database, schema) for database, schemas in SCHEMAS.items() for schema in schemas]
        self.tenants = {origin: [UUID(int=10 * n + 1), UUID(int=10 * n + 2)] for n, origin in enumerate(origins)}
        self.large = 0

    def history(self, *, passes: int, writes: int, kills: bool = True) -> list[Step]:
        """Writes before the first pass, and about ``writes`` between each pass and the next; ends with a pass."""
        wanderers = f"select '{WANDERER}', md5(i::text)::uuid, {self.text()}, i from generate_series(1, 12) i"
        steps = [Step("run", "A", f"insert into app.items (tenant_id, id, note, n) {wanderers}"), Step("commit", "A")]
        for _ in range(passes):
            for _ in range(self.random.choice([writes // 3, writes])):
                steps += self.write()
            steps.append(self.pass_(kills))
        return steps

    def pass_(self, kills: bool) -> Step:
        batch = self.random.choice([1, 5, 25, 250_000])
        kind = self.random.choices(["pass", "meanwhile", "kill"], weights=[5, 2, 3 if kills else 0])[0]
        if kind == "kill":
            return Step(kind, "", self.random.choice(CAPTURE_POINTS), batch, self.random.choice([1, 1, 2, 5]))
        return Step(kind, batch=batch)

    def write(self) -> list[Step]:
        session = self.random.choices(list(SESSIONS), weights=[5, 4, 2])[0]
        end = self.random.random()
        if end < 0.18:
            return [Step("commit", session)]
        if end < 0.21:
            return [Step("rollback", session)]
        if end < 0.24:
            return [Step("run", session, "set local synchronous_commit = off")]
        kind = self.random.choices(["run", "undo", "plain"], weights=[8, 1, 1])[0]
        return [Step(kind, session, statement) for statement in self.statements(SESSIONS[session])]

    def statements(self, database: str) -> list[str]:
        schema = self.random.choice(SCHEMAS[database])
        tenant, key, other = self.random.choice(self.tenants[database, schema]), self.key(), self.key()
        row = f"tenant_id = '{tenant}' and id = '{key}'"
        row_of_other = f"tenant_id = '{tenant}' and id = '{other}'"
        columns = self.random.sample([*_VALUES, "note", "payload"], self.random.randint(1, 4))
        values = {name: self.value(name) for name in dict.fromkeys(columns)}
        sets = ", ".join(f"{name} = {value}" for name, value in values.items())
        names, given = ", ".join(values), ", ".join(values.values())
        insert = f"insert into {schema}.items (tenant_id, id, {names}) values ('{tenant}', '{key}', {given})"
        update = f"update {schema}.items set {sets} where {row}"
        delete = f"delete from {schema}.items where {row}"
        target = self.random.choice([each for each in SCHEMAS[database] if each != schema] or [schema])
        member = f"tenant_id = '{tenant}' and space_id = {self.random.randint(1, 2)}"
        reply = f"tenant_id = '{tenant}' and id = {self.random.randint(1, 9)}"
        move = f"update {schema}.items set id = '{{}}' where tenant_id = '{tenant}' and id = '{{}}'"
        nowhere = UUID(int=77)
        choices: list[tuple[int, list[str]]] = [
            (30, [insert]),
            (30, [update]),
            (25, [f"update {schema}.items set n = coalesce(n, 0) + 1 where {row}"]),
            (10, [f"update {schema}.items set id = '{other}' where {row}"]),
            (8, [f"update {schema}.items set id = '{other}', {sets} where {row}"]),
            (4, [f"update {schema}.items set id = id where {row}"]),
            (4, [move.format(nowhere, key), move.format(key, other), move.format(other, nowhere)]),
            (4, [move.format(other, key), update.replace(key, other), insert]),
            (6, [f"update {schema}.items set n = 1, amount = null where tenant_id = '{tenant}'"]),
            (15, [delete]),
            (5, [delete, insert, update, delete, insert]),
            (5, [insert, update, delete, f"delete from {schema}.items where {row_of_other}"]),
            (8, [f"{insert} on conflict (tenant_id, id) do update set {sets}"]),
            (
                4,
                [
                    f"merge into {schema}.items as i using (values ('{tenant}'::uuid, '{key}'::uuid), "
                    f"('{tenant}'::uuid, '{other}'::uuid)) as v (t, k) on i.tenant_id = v.t and i.id = v.k "
                    f"when matched and i.n > 2 then delete when matched then update set n = coalesce(i.n, 0) + 2 "
                    f"when not matched then insert (tenant_id, id, n) values (v.t, v.k, 0)"
                ]
                if key != other
                else [update],
            ),
            (1, [f"truncate {schema}.items cascade"]),
            (1, [f"truncate {schema}.{self.random.choice(['members', 'replies', 'items, app.members cascade'])}"]),
            (1, [insert, f"truncate {schema}.items cascade", insert, update]),
            (
                9,
                [
                    f"with gone as (delete from {schema}.items where tenant_id = '{WANDERER}' "
                    f"and n % 4 = {self.random.randint(0, 3)} and '{schema}' <> '{target}' returning {COPIED}) "
                    f"insert into {target}.items ({COPIED}) select * from gone"
                ],
            ),
            (6, [f"update {schema}.items set n = n + 1, {sets} where tenant_id = '{WANDERER}'"]),
            (
                8,
                [
                    f"insert into {schema}.members select '{tenant}', s, {self.random.randint(1, 9)}, 'r' "
                    "from generate_series(1, 2) s"
                ],
            ),
            (6, [f"update {schema}.members set user_id = user_id + 1, role = 'x' where {member}"]),
            (5, [f"delete from {schema}.members where {member}"]),
            (
                12,
                [
                    f"insert into {schema}.replies values ('{tenant}', {self.random.randint(1, 9)}, '{key}', "
                    f"{self.value('note')})"
                ],
            ),
            (4, [f"update {schema}.replies set id = {self.random.randint(1, 9)}, item_id = '{other}' where {reply}"]),
            (4, [f"update {schema}.replies set body = {self.value('title')} where {reply}"]),
        ]
        return self.random.choices([each for _, each in choices], weights=[weight for weight, _ in choices])[0]

    def key(self) -> str:
        return str(UUID(int=self.random.randint(1, 12)))

    def value(self, name: str) -> str:
        if self.random.random() < 0.15:
            return "null"
        if name in ("note", "payload") and self.random.random() < 0.6:
            return self.text() if name == "note" else f"to_jsonb({self.text()})"
        return self.random.choice(_VALUES[name])

    def text(self) -> str:
        """A value that does not compress, of its own: too long to stay in the row."""
        self.large += 1
        return f"(select string_agg(md5('{self.large}.' || i), '') from generate_series(1, 300) i)"


_VALUES = {
    "title": ["''", "'a'", "E'q\\'s \\\\ \\n \u00e9'"],
    "note": ["''", "'small'"],
    "amount": ["0", "-12.30", "9999999999.99", "736.63"],
    "cost": ["0.000001", "-3.5", "123456.654321"],
    "big": ["9223372036854775807", "-1"],
    "done": ["true", "false"],
    "due_on": ["'infinity'", "'2024-02-29'", "'0099-01-01 BC'"],
    "at": ["'2026-03-01 10:11:12.131415+00'", "'-infinity'", "'1900-01-01 00:00:00.000001+00'"],
    "payload": ["'{\"k\": [1, 2.50, null]}'", "'[]'"],
    "ip": ["'10.0.0.1'", "'10.0.0.0/8'", "'2001:db8::1'"],
    "score": ["0.1", "'nan'", "'-infinity'"],
}


def play(product: Any, steps: Sequence[Step], *, identity: str = "default", batch: int | None = None) -> None:
    """Play a history and a last pass; after every pass that ends, raw equals the source.

    ``batch`` overrides the size of the batches.
    """
    product.tables = (*product.tables, REPLIES)
    for database, schemas in product.schemas.items():
        for schema in schemas:
            product.run(database, (_CHILD_DDL + _IDENTITY_DDL[identity]).format(schema))
    with _Player(product, batch).sessions() as player:
        for step in steps:
            player.play(step)
        player.commit_all()
        player.end_pass()
        player.play(Step("pass", batch=250_000))
        assert all(report.applied == 0 for report in product.sync()), "a pass without writes applied something"


class _Player:
    def __init__(self, product: Any, batch: int | None) -> None:
        self.product = product
        self.batch = batch
        self.open: dict[str, Any] = {}
        self.holding: set[str] = set()
        """Sessions whose transaction keeps even readers out of a table, until it ends."""
        self.begun = False
        """Whether the first snapshot is done. A slot cannot be made before every open transaction ends."""
        self.background: tuple[threading.Thread, list[BaseException]] | None = None

    @contextmanager
    def sessions(self) -> Iterator[_Player]:
        with ExitStack() as stack:
            for name, database in SESSIONS.items():
                connection = stack.enter_context(self.product.server.connect(getattr(self.product, database)))
                connection.execute("set lock_timeout = '10ms'")
                self.open[name] = connection
            try:
                yield self
            finally:
                for connection in self.open.values():
                    connection.rollback()
                if self.background is not None:
                    self.background[0].join()

    def play(self, step: Step) -> None:
        batch = self.batch or step.batch
        if step.kind == "pass":
            self.before_pass()
            self.product.sync(batch_messages=batch)
            self.begun = True
            self.product.assert_equal()
        elif step.kind == "kill":
            self.before_pass()
            self.begun |= self.product.sync_killed(step.text, batch_messages=batch, hit=step.hit) == 0
        elif step.kind == "meanwhile":
            self.before_pass()
            self.begin_pass(batch)
        elif step.kind in ("commit", "rollback"):
            self.open[step.session].execute(step.kind)
            self.holding.discard(step.session)
        else:
            self.write(step)

    def write(self, step: Step) -> None:
        connection = self.open[step.session]
        if connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            connection.execute("begin")
        if step.kind != "plain":
            connection.execute("savepoint before")
        try:
            connection.execute(step.text)
        except _GIVES_WAY:
            connection.execute("rollback" if step.kind == "plain" else "rollback to before")
            if step.kind == "plain":
                self.holding.discard(step.session)
            return
        if step.kind == "undo":
            connection.execute("rollback to before")
        elif step.kind == "run":
            connection.execute("release before")
        if "truncate" in step.text:
            self.holding.add(step.session)

    def commit_all(self) -> None:
        for session, connection in self.open.items():
            connection.execute("commit")
            self.holding.discard(session)

    def before_pass(self) -> None:
        self.end_pass()
        if not self.begun:
            self.commit_all()
        for session in list(self.holding):
            self.play(Step("commit", session))

    def begin_pass(self, batch: int) -> None:
        errors: list[BaseException] = []

        def work() -> None:
            try:
                self.product.sync(batch_messages=batch)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        self.background = thread, errors

    def end_pass(self) -> None:
        """Wait for a pass in the background; it waits for nobody that waits for it."""
        if self.background is None:
            return
        thread, errors = self.background
        self.background = None
        if not self.begun:
            self.commit_all()
        for session in list(self.holding):
            self.play(Step("commit", session))
        thread.join()
        if errors:
            raise errors[0]
        self.begun = True


def shortest(steps: Sequence[Step], fails: Callable[[Sequence[Step]], bool], *, seconds: float) -> list[Step]:
    """A part of ``steps`` that still fails, the shortest that halving after halving finds in the time given."""
    deadline = time.monotonic() + seconds
    best, size = list(steps), max(1, len(steps) // 2)
    while time.monotonic() < deadline:
        start, cut = 0, False
        while start < len(best) and time.monotonic() < deadline:
            shorter = best[:start] + best[start + size :]
            if fails(shorter):
                best, cut = shorter, True
            else:
                start += size
        if size == 1 and not cut:
            break
        size = max(1, size // 2)
    return best
